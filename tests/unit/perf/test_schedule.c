#include "perf/loadgen/schedule.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define HZ 1e9

static void the_first_time_is_due_at_once_and_the_next_a_step_later(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 5000, HZ, 1000);
	assert_true(schedule_due(&s, 5000));
	assert_int_equal(schedule_take(&s), 5000);
	assert_false(schedule_due(&s, 5000 + 999999));
	assert_true(schedule_due(&s, 5000 + 1000000));
	assert_int_equal(schedule_take(&s), 1005000);
}

// Coordinated omission: a second of standstill leaves a thousand times due, each a millisecond after the other.
static void who_was_held_up_finds_every_missed_time_still_due(void **state)
{
	struct schedule s;
	uint64_t now = 1000000000, n = 0;

	(void)state;
	schedule_start(&s, 0, HZ, 1000);
	for (; schedule_due(&s, now); n++)
		assert_int_equal(schedule_take(&s), n * 1000000);
	assert_int_equal(n, 1001);
}

static void a_rate_that_does_not_divide_the_clock_does_not_drift(void **state)
{
	struct schedule s;
	uint64_t n = 0;

	(void)state;
	schedule_start(&s, 0, 2595192000.0, 700001);
	while (schedule_due(&s, 60ull * 2595192000))
		(void)schedule_take(&s), n++;
	assert_in_range(n, 60ull * 700001, 60ull * 700001 + 2);
}

static void a_rate_of_zero_or_less_is_never_due(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, HZ, 0);
	assert_false(schedule_due(&s, UINT64_MAX));
	schedule_start(&s, 0, HZ, -1);
	assert_false(schedule_due(&s, UINT64_MAX));
	assert_int_equal(schedule_skip(&s, UINT64_MAX, 0), 0);
}

static void what_cannot_be_made_up_for_is_skipped_and_counted(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, HZ, 1000);
	assert_int_equal(schedule_skip(&s, 10000000, 4), 6);
	assert_int_equal(schedule_take(&s), 6000000);
	assert_int_equal(schedule_skip(&s, 10000000, 4), 0);
}

static void time_in_which_everybody_stood_still_delays_what_is_due(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, HZ, 1000);
	assert_int_equal(schedule_take(&s), 0);
	schedule_delay(&s, 500000);
	assert_false(schedule_due(&s, 1000000));
	assert_int_equal(schedule_take(&s), 1500000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_time_is_due_at_once_and_the_next_a_step_later),
		cmocka_unit_test(who_was_held_up_finds_every_missed_time_still_due),
		cmocka_unit_test(a_rate_that_does_not_divide_the_clock_does_not_drift),
		cmocka_unit_test(a_rate_of_zero_or_less_is_never_due),
		cmocka_unit_test(what_cannot_be_made_up_for_is_skipped_and_counted),
		cmocka_unit_test(time_in_which_everybody_stood_still_delays_what_is_due),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
