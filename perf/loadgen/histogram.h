// Latencies in nanoseconds, log-linear: 128 buckets for each power of two, so that a value is known to 0.8%.
#pragma once
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_SUB      (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS  (40u * HISTOGRAM_SUB)

struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t total, max;
};

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned log = 63u - (unsigned)__builtin_clzll(ns | HISTOGRAM_SUB), shift = log - HISTOGRAM_SUB_BITS;
	unsigned i = shift * HISTOGRAM_SUB + (unsigned)(ns >> shift);

	h->count[i < HISTOGRAM_BUCKETS ? i : HISTOGRAM_BUCKETS - 1]++;
	h->total++;
	if (ns > h->max)
		h->max = ns;
}

// The smallest latency that share (0 to 1) of all do not exceed, in ns: the upper bound of its bucket.
uint64_t histogram_at(const struct histogram *h, double share);
void histogram_merge(struct histogram *into, const struct histogram *h);
