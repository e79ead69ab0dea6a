#include "policy/compress/heap.h"
#include <stdbool.h>

// In front of each block. Sizes count it, and are multiples of its own.
struct block {
	uint32_t size;
	uint32_t before; // size of the block in front; 0: it is the first
	uint32_t used;
	uint32_t pad;
};
_Static_assert(sizeof(struct block) == 16, "blocks are aligned by their headers");

#define SPLIT_LEAST 64 // bytes of a rest that becomes a block of its own

static struct block *next_of(const struct heap *h, struct block *b)
{
	char *at = (char *)b + b->size;

	return at < h->base + h->size ? (struct block *)(void *)at : NULL;
}

static void size_set(const struct heap *h, struct block *b, uint32_t size)
{
	struct block *next;

	b->size = size;
	next = next_of(h, b);
	if (next)
		next->before = size;
}

void heap_init(struct heap *h, void *base, uint32_t size)
{
	*h = (struct heap){.base = base, .size = size / 16 * 16};
	*(struct block *)base = (struct block){.size = h->size};
}

void *heap_take(struct heap *h, size_t n)
{
	uint32_t need;

	if (n > h->size)
		return NULL;
	need = (uint32_t)((n + 15) / 16 * 16 + sizeof(struct block));
	for (struct block *b = (struct block *)(void *)h->base; b; b = next_of(h, b)) {
		uint32_t rest = b->size - need;

		if (b->used || b->size < need)
			continue;
		if (rest >= SPLIT_LEAST) {
			struct block *tail = (struct block *)(void *)((char *)b + need);

			*tail = (struct block){.before = need};
			size_set(h, tail, rest);
			b->size = need;
		}
		b->used = 1;
		h->used += b->size;
		h->peak = h->used > h->peak ? h->used : h->peak;
		return b + 1;
	}
	return NULL;
}

void heap_give(struct heap *h, void *p)
{
	struct block *b = p ? (struct block *)p - 1 : NULL, *other;

	if (!b)
		return;
	h->used -= b->size;
	b->used = 0;
	other = next_of(h, b);
	if (other && !other->used)
		size_set(h, b, b->size + other->size);
	other = (struct block *)(void *)((char *)b - b->before);
	if (b->before && !other->used)
		size_set(h, other, other->size + b->size);
}
