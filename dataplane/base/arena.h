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
// For a table that is read at random places: in large pages where the system has them, so that lookups do not
// miss the TLB, and backed at once, as a large page that is needed for the first time takes the kernel
// milliseconds. Takes up to arena_table_memory(size) of the arena.
#define ARENA_LARGE_PAGE (2ul << 20)
void *arena_alloc_table(struct arena *a, size_t size);
static inline size_t arena_table_memory(size_t size)
{
	return size < ARENA_LARGE_PAGE ? size + 64 : size + ARENA_LARGE_PAGE;
}
void arena_fini(struct arena *a);
