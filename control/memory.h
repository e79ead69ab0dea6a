// Memory that is given back all at once: what reading one configuration takes.
#pragma once
#include <stddef.h>

struct memory_chunk;
struct memory {
	struct memory_chunk *last;
	size_t left;
	char *at;
};

// Zeroed, aligned to 16. Never NULL: control ends with a message when the machine has no memory left.
void *memory_take(struct memory *m, size_t size);
// A copy with a NUL behind it.
char *memory_text(struct memory *m, const char *s, size_t n);
char *memory_print(struct memory *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Makes room for one more element in an array of n elements of size bytes each, doubling it at powers of two.
void *memory_grow(struct memory *m, void *array, size_t n, size_t size);
void memory_free(struct memory *m);
