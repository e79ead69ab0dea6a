// Cycles of the time-stamp counter, which goes on at one rate whatever the processor's clock does. A figure is
// the median of many short windows: what else the machine does meets few of them.
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

struct cycles {
	uint64_t *took;
	unsigned n, room;
};

static inline struct cycles cycles_start(unsigned room)
{
	struct cycles c = {.took = calloc(room, sizeof(uint64_t)), .room = room};

	if (!c.took)
		abort();
	return c;
}

static inline void cycles_add(struct cycles *c, uint64_t took)
{
	if (c->n < c->room)
		c->took[c->n++] = took;
}

static int cycles_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

// For each of `each` operations in a window. Ends it.
static inline double cycles_median(struct cycles *c, double each)
{
	double median;

	qsort(c->took, c->n, sizeof(*c->took), cycles_order);
	median = (double)c->took[c->n / 2] / each;
	free(c->took);
	*c = (struct cycles){0};
	return median;
}

// The counter's rate, by the monotonic clock.
static inline double cycles_ns(double cycles)
{
	static double rate; // cycles in a ns

	if (!rate) {
		struct timespec from, to;
		uint64_t begun = __rdtsc();

		clock_gettime(CLOCK_MONOTONIC, &from);
		do
			clock_gettime(CLOCK_MONOTONIC, &to);
		while ((to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec) < 20000000);
		rate = (double)(__rdtsc() - begun) /
		       (double)((to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec));
	}
	return cycles / rate;
}
