// Lines of a script as words.
#pragma once
#include "scripts/script.h"

#define WORDS_MAX 64

struct line {
	struct script *s;
	unsigned number;
	char *word[WORDS_MAX];
	unsigned n, at; // at: the next to be read
};

// The words of one script at a time are kept: forgets those of the script before.
void line_begin(void);
// Keeps text until then. NULL, and the script has its error: there is no room.
char *line_keep(struct line *l, const char *text);
// Cuts a copy of text into words. False: the script has its error.
bool line_cut(struct line *l, const char *text);
const char *line_take(struct line *l); // "": no more
// Returns false, for the caller to return.
bool line_fail(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
// One line as a step, none where it is empty, behind the *n that are there.
bool line_step(struct script *s, unsigned number, const char *text, struct step *out, unsigned *n);
