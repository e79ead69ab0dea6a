// The flow table: from the four ends of a segment to a connection or TIME_WAIT record.
//
// Buckets are one cache line of ten tags and ten indexes. A flow stands in one of two buckets, of which the
// second follows from the first and the tag; so a lookup touches two lines at most, whatever the fill, and the
// object itself. The hash is keyed: an outsider cannot aim at a bucket.
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/hash.h"
#include <emmintrin.h>
#include <stdint.h>

#define FLOW_WAYS 10
#define FLOW_NONE UINT32_MAX
_Static_assert(FLOW_WAYS == 10, "flow_match");

struct flow_bucket {
	uint16_t tag[FLOW_WAYS]; // 0: free
	uint32_t used;
	uint32_t index[FLOW_WAYS];
} __attribute__((aligned(64)));

struct flow_table {
	struct flow_bucket *bucket;
	uint32_t mask;
	struct hash_key key;
	uint32_t used;
	uint32_t changes; // how often something was put in or taken out
};

// entries: most that will ever be in it. 0 or -ENOMEM.
int flow_init(struct flow_table *f, struct arena *a, uint32_t entries, struct hash_key key);
size_t flow_memory(uint32_t entries);
// false in the (very unlikely) case that both buckets and all their neighbours are full.
bool flow_insert(struct flow_table *f, uint64_t hash, uint32_t index);
// index must be in it.
void flow_remove(struct flow_table *f, uint64_t hash, uint32_t index);
// The flow is `to` from now on; `from` must be in it.
void flow_replace(struct flow_table *f, uint64_t hash, uint32_t from, uint32_t to);

static inline uint64_t flow_hash(const struct flow_table *f, struct addr local, struct addr remote,
				 uint16_t local_port, uint16_t remote_port)
{
	uint64_t h = hash_mix(remote.w[0] ^ f->key.k0, remote.w[1] ^ f->key.k1);

	h = hash_mix(h ^ local.w[0], local.w[1] ^ f->key.k0);
	return hash_mix(h ^ ((uint32_t)local_port << 16 | remote_port), f->key.k1);
}
static inline uint16_t flow_tag(uint64_t hash)
{
	uint16_t tag = (uint16_t)(hash >> 48);
	return tag ? tag : 1;
}
static inline uint32_t flow_first(const struct flow_table *f, uint64_t hash)
{
	return (uint32_t)hash & f->mask;
}
static inline uint32_t flow_other(const struct flow_table *f, uint32_t bucket, uint16_t tag)
{
	return bucket ^ ((tag * 0x5bd1e995u >> 8 | 1) & f->mask);
}
static inline void flow_prefetch(const struct flow_table *f, uint64_t hash)
{
	uint32_t b = flow_first(f, hash);

	__builtin_prefetch(&f->bucket[b]);
	__builtin_prefetch(&f->bucket[flow_other(f, b, flow_tag(hash))]);
}
// Bit i: way i has this tag. Eight at a time, the last two with some of the first again.
static inline unsigned flow_match(const struct flow_bucket *b, uint16_t tag)
{
	__m128i want = _mm_set1_epi16((short)tag);
	__m128i first = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)&b->tag[0]), want);
	__m128i last = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)&b->tag[FLOW_WAYS - 8]), want);
	unsigned bits = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(first, last));

	return (bits & 0xff) | (bits >> (16 - FLOW_WAYS) & 0x300);
}
// The first entry whose tag fits, to be prefetched; FLOW_NONE: not in the table for certain.
static inline uint32_t flow_guess(const struct flow_table *f, uint64_t hash)
{
	uint16_t tag = flow_tag(hash);
	uint32_t n = flow_first(f, hash);

	for (int turn = 0; turn < 2; turn++, n = flow_other(f, n, tag)) {
		unsigned bits = flow_match(&f->bucket[n], tag);
		if (bits)
			return f->bucket[n].index[__builtin_ctz(bits)];
	}
	return FLOW_NONE;
}
