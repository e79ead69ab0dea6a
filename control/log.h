// Control's log: one line for each event, "2026-01-31T12:00:00.123Z level text", to a file or standard error.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct log {
	int fd;
	char *path; // NULL: standard error
	char *buffer;
	unsigned used;
};

// 0 or -errno (the log then stays as it was). path NULL: standard error.
int log_open(struct log *l, const char *path);
void log_close(struct log *l);
// Whatever the level: what changed, and who changed it.
void log_note(struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_error(struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// realtime: ns since 1970. Lines are collected until log_flush().
void log_line(struct log *l, uint64_t realtime, const char *kind, const char *text, unsigned n);
void log_flush(struct log *l);
