// A heap of fixed size in memory that the caller brings, for a library that must allocate: some ten blocks at a
// time, first fit, neighbours that are free become one. It never grows and asks nobody.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct heap {
	char *base;
	uint32_t size;
	uint32_t used, peak; // bytes with their headers: now, and at most since heap_init()
};

// base is aligned to 16 bytes; whatever was in use is forgotten.
void heap_init(struct heap *h, void *base, uint32_t size);
// Aligned to 16 bytes, not zeroed. NULL: no room.
void *heap_take(struct heap *h, size_t n);
void heap_give(struct heap *h, void *p); // NULL is fine
