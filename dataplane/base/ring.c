#include "base/ring.h"
#include <errno.h>
#include <string.h>

int ptr_ring_init(struct ptr_ring *r, struct arena *a, uint32_t capacity)
{
	void *slots = arena_alloc(a, capacity * sizeof(void *), CACHE_LINE);

	if (!slots)
		return -ENOMEM;
	*r = (struct ptr_ring){.mask = capacity - 1, .slot = slots};
	return 0;
}

unsigned ptr_ring_push(struct ptr_ring *r, void *const *v, unsigned n)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t room = r->mask + 1 - (head - r->tail_seen);

	if (room < n) {
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		room = r->mask + 1 - (head - r->tail_seen);
		if (room < n)
			n = room;
	}
	for (unsigned i = 0; i < n; i++)
		r->slot[(head + i) & r->mask] = v[i];
	atomic_store_explicit(&r->head, head + n, memory_order_release);
	return n;
}

unsigned ptr_ring_pop(struct ptr_ring *r, void **v, unsigned n)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t filled = r->head_seen - tail;

	if (filled < n) {
		r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
		filled = r->head_seen - tail;
		if (filled < n)
			n = filled;
	}
	for (unsigned i = 0; i < n; i++)
		v[i] = r->slot[(tail + i) & r->mask];
	atomic_store_explicit(&r->tail, tail + n, memory_order_release);
	return n;
}

// A record in the ring: this head, then the payload, padded to 8 bytes; the payload may wrap, the head cannot.
struct rec_head {
	uint32_t n; // payload bytes
	uint16_t type;
	uint16_t pad;
};
_Static_assert(sizeof(struct rec_head) == 8, "records are aligned to their head");

// Indices only ever move by multiples of 8; low bits can only come from damage.
#define ALIGNED(i) ((i) & ~7ull)

void rec_ring_create(struct rec_ring *r, uint32_t size)
{
	uint32_t epoch = r->epoch + 1;

	memset(r, 0, sizeof(*r));
	r->size = size;
	r->epoch = epoch;
}

static void copy_in(struct rec_ring *r, uint32_t size, uint64_t at, const void *from, uint32_t n)
{
	uint32_t i = (uint32_t)at & (size - 1), first = size - i < n ? size - i : n;

	memcpy(r->data + i, from, first);
	memcpy(r->data, (const char *)from + first, n - first);
}

static void copy_out(const struct rec_ring *r, uint32_t size, uint64_t at, void *to, uint32_t n)
{
	uint32_t i = (uint32_t)at & (size - 1), first = size - i < n ? size - i : n;

	memcpy(to, r->data + i, first);
	memcpy((char *)to + first, r->data, n - first);
}

bool rec_ring_put(struct rec_ring *r, uint32_t size, uint16_t type, const void *rec, uint32_t n)
{
	uint64_t head = ALIGNED(atomic_load_explicit(&r->head, memory_order_relaxed));
	uint64_t tail = ALIGNED(atomic_load_explicit(&r->tail, memory_order_acquire));
	uint64_t used = head - tail;
	struct rec_head h = {.n = n, .type = type};
	uint64_t need = sizeof(h) + ALIGNED((uint64_t)n + 7);

	// used > size: the consumer's index is damaged; it will find that out and start anew.
	if (n == 0 || n > REC_MAX || used > size || size - used < need) {
		uint64_t lost = atomic_load_explicit(&r->lost, memory_order_relaxed);
		atomic_store_explicit(&r->lost, lost + 1, memory_order_relaxed);
		return false;
	}
	copy_in(r, size, head, &h, sizeof(h));
	copy_in(r, size, head + sizeof(h), rec, n);
	atomic_store_explicit(&r->head, head + need, memory_order_release);
	return true;
}

int rec_ring_get(struct rec_ring *r, uint32_t size, uint16_t *type, void *buf)
{
	uint64_t tail = ALIGNED(atomic_load_explicit(&r->tail, memory_order_relaxed));
	uint64_t head = ALIGNED(atomic_load_explicit(&r->head, memory_order_acquire));
	uint64_t filled = head - tail;
	struct rec_head h;

	if (filled == 0)
		return 0;
	if (filled > size)
		goto corrupt;
	copy_out(r, size, tail, &h, sizeof(h));
	if (h.n == 0 || h.n > REC_MAX || sizeof(h) + ALIGNED((uint64_t)h.n + 7) > filled)
		goto corrupt;
	copy_out(r, size, tail + sizeof(h), buf, h.n);
	*type = h.type;
	atomic_store_explicit(&r->tail, tail + sizeof(h) + ALIGNED((uint64_t)h.n + 7), memory_order_release);
	return (int)h.n;
corrupt:
	atomic_store_explicit(&r->tail, head, memory_order_release);
	return -1;
}
