// What timers cost: perf/micro/wheel [TIMERS]. One thread; a million connections' timers (or so many as are
// asked for) in records of 64 bytes, armed up to a minute ahead. Moving one, as each segment does with that of
// its connection; cancelling one and arming it again; and a turn of the wheel, for each timer that fires and is
// armed anew.
#include "base/wheel.h"
#include "base/arena.h"
#include "base/random.h"
#include "perf/micro/cycles.h"
#include <stdio.h>

#define BURST   32
#define WINDOWS 20000
#define TICK    (1ull << 20)
#define AHEAD   60000000000ull // ns

struct owner {
	struct timer timer;
} __attribute__((aligned(64)));

struct bench {
	struct wheel wheel;
	struct owner *owner;
	struct random random;
	uint32_t n;
	uint64_t now;
};

static uint64_t ahead(struct bench *b)
{
	return b->now + (uint64_t)random_below(&b->random, 60000) * (AHEAD / 60000);
}

static void fire(void *ctx, struct timer *t)
{
	struct bench *b = ctx;

	timer_arm(&b->wheel, t, b->now + AHEAD);
}

static void draw(struct bench *b, struct timer **v, uint64_t *at)
{
	for (unsigned k = 0; k < BURST; k++) {
		v[k] = &b->owner[random_below(&b->random, b->n)].timer;
		at[k] = ahead(b);
		__builtin_prefetch(v[k]); // as its connection was, when its segment came
	}
	_mm_mfence();
}

static void row(uint32_t n)
{
	struct cycles move = cycles_start(WINDOWS), again = cycles_start(WINDOWS), turn = cycles_start(WINDOWS);
	struct bench b = {.n = n, .now = 1000 * TICK};
	double moved, renewed, fired;
	uint64_t at[BURST], begun;
	struct timer *v[BURST];
	struct arena a;

	random_seed(&b.random, 1);
	if (arena_init(&a, arena_table_memory(n * sizeof(struct owner))) ||
	    !(b.owner = arena_alloc_table(&a, n * sizeof(struct owner))))
		abort();
	wheel_init(&b.wheel, b.now, fire, &b);
	for (uint32_t i = 0; i < n; i++)
		timer_arm(&b.wheel, &b.owner[i].timer, ahead(&b));
	for (unsigned w = 0; w < WINDOWS; w++) {
		draw(&b, v, at);
		begun = __rdtsc();
		for (unsigned k = 0; k < BURST; k++)
			timer_arm(&b.wheel, v[k], at[k]);
		cycles_add(&move, __rdtsc() - begun);
	}
	for (unsigned w = 0; w < WINDOWS; w++) {
		draw(&b, v, at);
		begun = __rdtsc();
		for (unsigned k = 0; k < BURST; k++) {
			timer_cancel(&b.wheel, v[k]);
			timer_arm(&b.wheel, v[k], at[k]);
		}
		cycles_add(&again, __rdtsc() - begun);
	}
	for (unsigned w = 0; w < WINDOWS; w++) {
		unsigned did;

		b.now += TICK;
		begun = __rdtsc();
		did = wheel_run(&b.wheel, b.now, 0);
		begun = __rdtsc() - begun;
		if (did)
			cycles_add(&turn, begun / did);
	}
	moved = cycles_median(&move, BURST);
	renewed = cycles_median(&again, BURST);
	fired = cycles_median(&turn, 1);
	printf("wheel     %8u timers: %4.0f cycles to move one (%.1f ns), cancelled and armed %4.0f, fired and "
	       "armed "
	       "%4.0f%s\n",
	       n, moved, cycles_ns(moved), renewed, fired, b.wheel.armed == n ? "" : " (SOME ARE LOST)");
	arena_fini(&a);
}

int main(int argc, char **argv)
{
	row(argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000);
	if (argc == 1)
		row(1000000);
	return 0;
}
