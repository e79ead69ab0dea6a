#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "base/wheel.h"
#include <cmocka.h>

#define TICK (1ull << 20)
#define MS   1000000ull
#define DAY  (86400ull * 1000 * MS)

struct bed {
	struct wheel w;
	uint64_t now, previous;
	unsigned fired, early, late;
	struct timer *again; // armed anew for now when it fires
	struct timer *victim;
};

static void on_fire(void *ctx, struct timer *t)
{
	struct bed *b = ctx;

	b->fired++;
	assert_false(timer_armed(t));
	b->early += t->at > b->now;
	b->late += t->at + TICK < b->previous;
	if (b->again == t)
		timer_arm(&b->w, t, b->now);
	if (b->victim) {
		timer_cancel(&b->w, b->victim);
		b->victim = NULL;
	}
}

static void bed_init(struct bed *b, uint64_t now)
{
	*b = (struct bed){.now = now, .previous = now};
	wheel_init(&b->w, now, on_fire, b);
}

static unsigned bed_run(struct bed *b, uint64_t now, unsigned budget)
{
	b->previous = b->now;
	b->now = now;
	return wheel_run(&b->w, now, budget);
}

static void a_timer_fires_once_not_early_and_within_a_tick(void **state)
{
	struct bed b;
	struct timer t = {0};

	(void)state;
	bed_init(&b, 123456789);
	timer_arm(&b.w, &t, b.now + 5 * MS);
	assert_int_equal(bed_run(&b, b.now + 5 * MS - 1, 0), 0);
	assert_true(timer_armed(&t));
	assert_int_equal(bed_run(&b, b.now + 1 + TICK, 0), 1);
	assert_int_equal(bed_run(&b, b.now + DAY, 0), 0);
	assert_int_equal(b.early, 0);
	assert_int_equal(b.w.armed, 0);
}

static void random_timers_at_all_distances_keep_their_time(void **state)
{
	static struct timer t[2000];
	struct bed b;
	struct random r;

	(void)state;
	random_seed(&r, 42);
	for (int round = 0; round < 20; round++) {
		bed_init(&b, random_next(&r) >> 10);
		uint64_t begin = b.now;
		for (int i = 0; i < 2000; i++) {
			t[i] = (struct timer){0};
			timer_arm(&b.w, &t[i], begin + (random_next(&r) % (12 * DAY) >> random_below(&r, 40)));
		}
		for (int i = 0; i < 2000; i += 10)
			timer_cancel(&b.w, &t[i]);
		while (b.w.armed) {
			uint64_t next = wheel_next(&b.w),
				 at = b.now + (random_next(&r) % DAY >> random_below(&r, 40));
			for (int i = 0; i < 2000; i++)
				if (timer_armed(&t[i]))
					assert_true(next <= t[i].at + TICK);
			bed_run(&b, at > next ? at : next, 0);
		}
		assert_int_equal(b.fired, 1800);
		assert_int_equal(b.early, 0);
		assert_int_equal(b.late, 0);
	}
}

static void moving_an_armed_timer_forgets_the_old_deadline(void **state)
{
	struct bed b;
	struct timer t = {0};

	(void)state;
	bed_init(&b, 0);
	timer_arm(&b.w, &t, 5 * MS);
	timer_arm(&b.w, &t, 500 * MS);
	assert_int_equal(b.w.armed, 1);
	assert_int_equal(bed_run(&b, 100 * MS, 0), 0);
	timer_arm(&b.w, &t, 150 * MS);
	assert_int_equal(bed_run(&b, 160 * MS, 0), 1);
	assert_int_equal(bed_run(&b, 600 * MS, 0), 0);
}

static void a_budget_leaves_the_rest_for_the_next_run(void **state)
{
	static struct timer t[100];
	struct bed b;

	(void)state;
	bed_init(&b, 0);
	for (int i = 0; i < 100; i++) {
		t[i] = (struct timer){0};
		timer_arm(&b.w, &t[i], 7 * MS);
	}
	assert_int_equal(bed_run(&b, 20 * MS, 30), 30);
	assert_int_equal(bed_run(&b, 20 * MS, 30), 30);
	assert_true(wheel_next(&b.w) <= 20 * MS);
	assert_int_equal(bed_run(&b, 20 * MS, 0), 40);
}

// As many as connections that were opened together: each run does a part, and what happens meanwhile holds.
static void timers_far_ahead_come_nearer_a_part_at_a_time(void **state)
{
	enum { N = 1000, BUDGET = 10 };
	static struct timer t[N + 2];
	struct bed b;
	unsigned fired = 0, runs = 0;

	(void)state;
	memset(t, 0, sizeof(t));
	bed_init(&b, 0);
	for (int i = 0; i < N; i++)
		timer_arm(&b.w, &t[i], 600 * 1000 * MS + (uint64_t)i);
	uint64_t begin = 600 * 1000 * MS & ~((TICK << 18) - 1); // where their slot's time begins
	assert_int_equal(bed_run(&b, begin + TICK, BUDGET), 0);
	assert_true(wheel_next(&b.w) <= begin + TICK); // there is more to do
	timer_cancel(&b.w, &t[0]);
	timer_cancel(&b.w, &t[N - 1]);
	timer_arm(&b.w, &t[N / 2], 600 * 1000 * MS + 900 * MS);
	timer_arm(&b.w, &t[N], begin + 2 * TICK);
	while (bed_run(&b, begin + 3 * TICK, BUDGET) == 0)
		runs++;
	assert_in_range(runs, N / (BUDGET * WHEEL_MOVES) - 1, N / (BUDGET * WHEEL_MOVES) + 1);
	assert_false(timer_armed(&t[N]));
	for (int i = 0; i < 10000 && b.w.armed; i++)
		fired += bed_run(&b, 601 * 1000 * MS, BUDGET);
	assert_int_equal(fired, N - 2);
	assert_int_equal(b.early, 0);
}

static void a_timer_armed_for_now_while_firing_waits_for_the_next_tick(void **state)
{
	struct bed b;
	struct timer t = {0};

	(void)state;
	bed_init(&b, 0);
	b.again = &t;
	timer_arm(&b.w, &t, 1);
	assert_int_equal(bed_run(&b, TICK, 0), 1);
	assert_int_equal(bed_run(&b, TICK, 0), 0);
	assert_int_equal(bed_run(&b, 2 * TICK, 0), 1);
	// The same across the end of a level.
	for (uint64_t i = 3; i < 10000; i++)
		assert_int_equal(bed_run(&b, i * TICK, 0), 1);
}

static void a_firing_timer_may_cancel_its_neighbour(void **state)
{
	struct bed b;
	struct timer t[2] = {0};

	(void)state;
	bed_init(&b, 0);
	timer_arm(&b.w, &t[0], 5 * MS);
	timer_arm(&b.w, &t[1], 5 * MS);
	b.victim = &t[0]; // the last armed fires first
	assert_int_equal(bed_run(&b, 10 * MS, 0), 1);
	assert_int_equal(b.w.armed, 0);
}

static void a_deadline_beyond_the_span_does_not_fire_early(void **state)
{
	struct bed b;
	struct timer t = {0};

	(void)state;
	bed_init(&b, 77 * DAY);
	timer_arm(&b.w, &t, b.now + 30 * DAY);
	for (int i = 0; i < 29; i++)
		assert_int_equal(bed_run(&b, b.now + DAY, 0), 0);
	assert_int_equal(bed_run(&b, b.now + DAY - 1, 0), 0);
	assert_int_equal(bed_run(&b, b.now + TICK + 1, 0), 1);
}

static void an_empty_wheel_never_needs_to_wake(void **state)
{
	struct bed b;
	struct timer t = {0};

	(void)state;
	bed_init(&b, 0);
	assert_true(wheel_next(&b.w) == UINT64_MAX);
	timer_arm(&b.w, &t, DAY);
	assert_true(wheel_next(&b.w) <= DAY + TICK);
	timer_cancel(&b.w, &t);
	assert_true(wheel_next(&b.w) == UINT64_MAX);
	assert_int_equal(bed_run(&b, 2 * DAY, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_once_not_early_and_within_a_tick),
		cmocka_unit_test(random_timers_at_all_distances_keep_their_time),
		cmocka_unit_test(moving_an_armed_timer_forgets_the_old_deadline),
		cmocka_unit_test(a_budget_leaves_the_rest_for_the_next_run),
		cmocka_unit_test(timers_far_ahead_come_nearer_a_part_at_a_time),
		cmocka_unit_test(a_timer_armed_for_now_while_firing_waits_for_the_next_tick),
		cmocka_unit_test(a_firing_timer_may_cancel_its_neighbour),
		cmocka_unit_test(a_deadline_beyond_the_span_does_not_fire_early),
		cmocka_unit_test(an_empty_wheel_never_needs_to_wake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
