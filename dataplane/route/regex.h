// Regular expressions in routes' conditions (PCRE2). A snapshot carries them as text; they are compiled once
// for each generation, on a thread that may allocate, and a worker sees the generation only when they are. They
// match bytes, not characters of UTF-8, and anywhere in the subject where they are not anchored; a query
// parameter's value is decoded first.
//
// A match is bounded, whatever the expression and the subject: REGEX_STEPS items of the expression tried (going
// over 16 bytes of the subject counts as one more), REGEX_HEAP bytes for backtracking, REGEX_SUBJECT bytes of
// the subject. Beyond these it ends, and whether it would match is not known. There is no just-in-time
// compiler: the data plane has no memory that it could both write and execute.
#pragma once
#include "base/arena.h"
#include "contract/snapshot.h"
#include "contract/stats.h"

#define REGEX_STEPS   20000u
#define REGEX_HEAP    (128u << 10)
#define REGEX_SUBJECT 4096u

struct regex_set;     // those of a snapshot, compiled; read by any number of threads
struct regex_matcher; // what one thread matches with

// Whether the expression can be used; else a sentence in why, and where in the text (*at, bytes).
bool regex_check(struct slice text, char *why, size_t why_size, size_t *at);

// Allocates from the heap. NULL with a sentence in why: one cannot be compiled, or no memory is left.
struct regex_set *regex_set_create(const struct snapshot *s, char *why, size_t why_size);
void regex_set_free(struct regex_set *set); // NULL is fine
const struct snapshot *regex_set_snapshot(const struct regex_set *set);

size_t regex_matcher_memory(void);
// beyond: counts matches that met a bound; NULL: nobody does. NULL: the arena is used up.
struct regex_matcher *regex_matcher_create(struct arena *a, stat_cell *beyond);

enum regex_result { REGEX_DIFFERS, REGEX_MATCHES, REGEX_BEYOND };
// Expression i of the set; REGEX_BEYOND: a bound was met. Allocates nothing.
enum regex_result regex_match(const struct regex_set *set, uint32_t i, struct regex_matcher *m,
			      struct slice subject);
// The same of a query parameter's value: percent-decoded, '+' being a blank.
enum regex_result regex_match_decoded(const struct regex_set *set, uint32_t i, struct regex_matcher *m,
				      struct slice value);
