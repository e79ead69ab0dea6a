// All memory of a worker: one mapping, taken from its front at start, given back whole at the end.
// Nothing is ever freed singly. Start-up only; a worker that runs does not allocate.
#pragma once
#include <stddef.h>

struct arena {
	char *base;
	size_t size, used;
};

// Maps size bytes (rounded up to pages), zeroed and touched on use. 0 or -errno.
int arena_init(struct arena *a, size_t size);
// Zeroed memory, aligned to align (a power of two, at least 1); NULL when the arena is used up.
void *arena_alloc(struct arena *a, size_t size, size_t align);
void arena_fini(struct arena *a);
