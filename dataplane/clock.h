// CLOCK_MONOTONIC in nanoseconds, read by workers without a system call: from the TSC where it is invariant
// (else through clock_gettime(), which the vDSO answers).
//
// One thread (housekeeping) compares with the kernel's clock about each second and turns the rate a little, so
// that both agree again a second later: the reading never jumps back, and forward only after the machine stood
// still. Any thread reads; each reader keeps its own last value (clock_read's `last`).
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

struct clock {
	bool tsc;
	_Alignas(64) _Atomic uint32_t seq; // odd while the three below change
	_Atomic uint64_t anchor_tsc, anchor_ns;
	_Atomic uint64_t mult; // ns for each cycle, times 2^32
	// Of the adjusting thread alone.
	_Alignas(64) uint64_t seen_tsc, seen_ns; // last comparison
};

// Begins measuring the TSC's rate; clock_start() ends that, and waits where less than 20 ms lie between.
void clock_init(struct clock *c);
void clock_start(struct clock *c);
void clock_adjust(struct clock *c);

static inline uint64_t clock_kernel(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_at(const struct clock *c, uint64_t tsc)
{
	uint64_t anchor_tsc, anchor_ns, mult;
	uint32_t seq;

	do {
		seq = atomic_load_explicit(&c->seq, memory_order_acquire);
		anchor_tsc = atomic_load_explicit(&c->anchor_tsc, memory_order_relaxed);
		anchor_ns = atomic_load_explicit(&c->anchor_ns, memory_order_relaxed);
		mult = atomic_load_explicit(&c->mult, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
	} while ((seq & 1) || seq != atomic_load_explicit(&c->seq, memory_order_relaxed));
	// A reader may hold a TSC from just before the anchor.
	if ((int64_t)(tsc - anchor_tsc) < 0)
		return anchor_ns;
	return anchor_ns + (uint64_t)(((unsigned __int128)(tsc - anchor_tsc) * mult) >> 32);
}

static inline uint64_t clock_read(const struct clock *c, uint64_t last)
{
	uint64_t now = c->tsc ? clock_at(c, __rdtsc()) : clock_kernel();

	return now > last ? now : last;
}
