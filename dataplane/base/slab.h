// A pool of equal objects, sized at start. Single-threaded: it belongs to one worker.
// Objects keep their content while free, but for the first 8 bytes, which hold the free list; under
// AddressSanitizer a free object is poisoned.
#pragma once
#include "base/arena.h"
#include <stdint.h>

struct slab {
	char *mem;
	void *free;
	uint32_t size;     // of one object, bytes, rounded up to its alignment
	uint32_t capacity; // objects
	uint32_t used;
	uint32_t high; // most ever in use
	uint64_t none_left;
};

// 0, or -ENOMEM where the arena has no room. align: power of two, at least 8.
int slab_init(struct slab *s, struct arena *a, uint32_t capacity, uint32_t size, uint32_t align);
// NULL (counted in none_left) when all are in use. Not zeroed.
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *obj);

// Index of an object in its slab and back; stable for the slab's life.
static inline uint32_t slab_index(const struct slab *s, const void *obj)
{
	return (uint32_t)((size_t)((const char *)obj - s->mem) / s->size);
}
static inline void *slab_at(const struct slab *s, uint32_t index)
{
	return s->mem + (size_t)index * s->size;
}
