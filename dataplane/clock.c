#include "clock.h"
#include <cpuid.h>
#include <string.h>

#define MEASURE_NS 20000000ull
// A difference beyond this is no drift: the machine stood still, and the reading jumps forward.
#define JUMP_NS      10000000ll
#define CATCH_UP_NS  1000000000ll // how long a difference takes to vanish
#define ADJUST_SHORT 10000000ull  // too short a time to measure a rate in

// CPUID 0x80000007, EDX bit 8: the TSC runs at one rate in all power states.
static bool tsc_is_invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8));
}

// Both clocks at one moment: the tightest of a few tries, as an interrupt may fall between.
static void sample(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t before = __rdtsc(), at = clock_kernel(), after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*tsc = before + best / 2;
			*ns = at;
		}
	}
}

static void anchor(struct clock *c, uint64_t tsc, uint64_t ns, uint64_t mult)
{
	uint32_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);

	atomic_store_explicit(&c->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&c->anchor_tsc, tsc, memory_order_relaxed);
	atomic_store_explicit(&c->anchor_ns, ns, memory_order_relaxed);
	atomic_store_explicit(&c->mult, mult, memory_order_relaxed);
	atomic_store_explicit(&c->seq, seq + 2, memory_order_release);
}

static uint64_t rate(uint64_t cycles, uint64_t ns)
{
	return (uint64_t)(((unsigned __int128)ns << 32) / cycles);
}

void clock_init(struct clock *c)
{
	memset(c, 0, sizeof *c);
	c->tsc = tsc_is_invariant();
	sample(&c->seen_tsc, &c->seen_ns);
}

void clock_start(struct clock *c)
{
	uint64_t tsc, ns, passed = clock_kernel() - c->seen_ns;

	if (passed < MEASURE_NS)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = (long)(MEASURE_NS - passed)},
				NULL);
	sample(&tsc, &ns);
	if (tsc <= c->seen_tsc || ns <= c->seen_ns) {
		c->tsc = false;
		return;
	}
	anchor(c, tsc, ns, rate(tsc - c->seen_tsc, ns - c->seen_ns));
	c->seen_tsc = tsc;
	c->seen_ns = ns;
}

void clock_adjust(struct clock *c)
{
	uint64_t tsc, ns, reads, mult;
	int64_t behind;

	if (!c->tsc)
		return;
	sample(&tsc, &ns);
	if (tsc <= c->seen_tsc || ns <= c->seen_ns + ADJUST_SHORT)
		return;
	mult = rate(tsc - c->seen_tsc, ns - c->seen_ns);
	reads = clock_at(c, tsc);
	behind = (int64_t)(ns - reads);
	if (behind > JUMP_NS) {
		anchor(c, tsc, ns, mult);
	} else {
		// From what is read now, at such a rate that the difference is gone in a second. Never slower
		// than half: time goes on.
		if (behind < -CATCH_UP_NS / 2)
			behind = -CATCH_UP_NS / 2;
		mult = (uint64_t)((__int128)mult * (CATCH_UP_NS + behind) / CATCH_UP_NS);
		anchor(c, tsc, reads, mult);
	}
	c->seen_tsc = tsc;
	c->seen_ns = ns;
}
