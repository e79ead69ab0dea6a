#include "tcp/flow.h"
#include <errno.h>

// Filled to at most 60 %: with two choices of ten ways an insert then practically never has to move others.
static uint32_t flow_buckets(uint32_t entries)
{
	uint64_t want = (uint64_t)entries / 6 + 1, n = 2;

	while (n < want)
		n *= 2;
	return (uint32_t)n;
}

size_t flow_memory(uint32_t entries)
{
	return arena_table_memory((size_t)flow_buckets(entries) * sizeof(struct flow_bucket));
}

int flow_init(struct flow_table *f, struct arena *a, uint32_t entries, struct hash_key key)
{
	uint32_t n = flow_buckets(entries);

	*f = (struct flow_table){.mask = n - 1, .key = key};
	f->bucket = arena_alloc_table(a, (size_t)n * sizeof(struct flow_bucket));
	return f->bucket ? 0 : -ENOMEM;
}

static bool bucket_put(struct flow_bucket *b, uint16_t tag, uint32_t index)
{
	unsigned free = flow_match(b, 0);

	if (!free)
		return false;
	unsigned i = (unsigned)__builtin_ctz(free);
	b->tag[i] = tag;
	b->index[i] = index;
	b->used++;
	return true;
}

// Moves one entry of a full bucket to that entry's other bucket.
static bool bucket_make_room(struct flow_table *f, uint32_t n)
{
	struct flow_bucket *b = &f->bucket[n];

	for (unsigned i = 0; i < FLOW_WAYS; i++) {
		if (!bucket_put(&f->bucket[flow_other(f, n, b->tag[i])], b->tag[i], b->index[i]))
			continue;
		b->tag[i] = 0;
		b->used--;
		return true;
	}
	return false;
}

bool flow_insert(struct flow_table *f, uint64_t hash, uint32_t index)
{
	uint16_t tag = flow_tag(hash);
	uint32_t first = flow_first(f, hash), second = flow_other(f, first, tag);

	f->changes++;
	if (f->bucket[second].used < f->bucket[first].used) {
		uint32_t swap = first;
		first = second;
		second = swap;
	}
	if (f->bucket[first].used == FLOW_WAYS && !bucket_make_room(f, first)) {
		first = second;
		if (!bucket_make_room(f, first))
			return false;
	}
	f->used++;
	return bucket_put(&f->bucket[first], tag, index);
}

// Where index stands: its bucket, and the way in it.
static inline struct flow_bucket *flow_place(struct flow_table *f, uint64_t hash, uint32_t index, unsigned *way)
{
	uint16_t tag = flow_tag(hash);
	uint32_t n = flow_first(f, hash);

	f->changes++;
	for (int turn = 0; turn < 2; turn++, n = flow_other(f, n, tag)) {
		struct flow_bucket *b = &f->bucket[n];

		for (unsigned bits = flow_match(b, tag); bits; bits &= bits - 1) {
			*way = (unsigned)__builtin_ctz(bits);
			if (b->index[*way] == index)
				return b;
		}
	}
	return NULL;
}

void flow_remove(struct flow_table *f, uint64_t hash, uint32_t index)
{
	unsigned i;
	struct flow_bucket *b = flow_place(f, hash, index, &i);

	if (!b)
		return;
	b->tag[i] = 0;
	b->used--;
	f->used--;
}

void flow_replace(struct flow_table *f, uint64_t hash, uint32_t from, uint32_t to)
{
	unsigned i;
	struct flow_bucket *b = flow_place(f, hash, from, &i);

	if (b)
		b->index[i] = to;
}
