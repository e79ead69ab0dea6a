// What is wrong with a configuration: everything is collected, each with its place, so that one run shows all.
#pragma once
#include "memory.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct mark {
	uint32_t file; // index in diag's files
	uint32_t line; // from 1; 0: nowhere in particular
	uint32_t column;
};

struct diag_entry {
	struct mark mark;
	bool warning;
	const char *text;
};

struct diag {
	struct memory memory;
	const char **files;
	uint32_t n_files;
	struct diag_entry *v;
	uint32_t n, errors, warnings;
};

uint32_t diag_file(struct diag *d, const char *name);
void diag_error(struct diag *d, struct mark at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_warning(struct diag *d, struct mark at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
// In the order of the files and lines.
void diag_sort(struct diag *d);
// "file:line:column: message", one line, without its end.
int diag_line(const struct diag *d, const struct diag_entry *e, char *dst, size_t room);
void diag_print(struct diag *d, FILE *out);
void diag_free(struct diag *d);

// The word of the list that is closest to what was written, NULL when none is close (edit distance).
const char *diag_suggest(const char *written, const char *const *words, size_t n);
