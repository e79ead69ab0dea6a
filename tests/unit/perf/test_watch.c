#include "perf/loadgen/watch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000ull

// A tenth of a second in which both threads had their CPUs.
static const struct watch_mark begin = {.wall = 500 * MS, .self = 200 * MS, .ran = 300 * MS, .waited = 7 * MS};
static struct watch_mark end;

static int calm(void **state)
{
	(void)state;
	end = begin;
	end.wall += 100 * MS;
	end.self += 100 * MS;
	end.ran += 100 * MS;
	return 0;
}

static bool is(double share)
{
	double away = watch_away(&begin, &end);

	return away > share - 1e-9 && away < share + 1e-9;
}

static void who_runs_all_the_time_was_not_disturbed_however_long_he_took(void **state)
{
	(void)state;
	assert_true(is(0));
}

static void who_waited_for_his_cpu_was_disturbed_and_the_worse_one_counts(void **state)
{
	(void)state;
	end.self -= 3 * MS;
	assert_true(is(0.03));
	end.ran -= 5 * MS;
	end.waited += 5 * MS;
	assert_true(is(0.05));
}

static void time_that_the_machine_below_took_is_not_the_threads(void **state)
{
	(void)state;
	end.ran -= 4 * MS;
	assert_true(is(0.04));
}

static void who_sleeps_is_not_excused_but_for_the_time_he_waited_to_run_again(void **state)
{
	(void)state;
	end.ran -= 20 * MS;
	end.sleeps++;
	assert_true(is(0));
	end.waited += 2 * MS;
	assert_true(is(0.02));
}

static void what_its_own_other_threads_took_from_it_is_its_own(void **state)
{
	(void)state;
	end.ran -= 6 * MS;
	end.waited += 6 * MS;
	end.others += 4 * MS;
	assert_true(is(0.02));
	end.others += 4 * MS;
	assert_true(is(0));
}

static void turns_longer_than_their_work_count_though_the_kernel_knows_nothing_of_them(void **state)
{
	(void)state;
	end.stalled += 9 * MS;
	assert_true(is(0.09));
}

static void a_round_is_clear_when_the_watched_cpu_was_near_at_both_ends_and_had_its_core(void **state)
{
	struct watch_mark from = begin, to;

	(void)state;
	from.placed = PLACEMENT_NEAR;
	to = end;
	to.placed = PLACEMENT_NEAR;
	to.share = 0.95;
	assert_int_equal(watch_round(&from, &to, 0.004), ROUND_CLEAR);
	assert_true(watch_clear(&to));
	to.share = 0.7;
	assert_int_equal(watch_round(&from, &to, 0.004), ROUND_HAMPERED);
	assert_false(watch_clear(&to));
	to.share = 0.95;
	to.placed = PLACEMENT_FAR;
	assert_int_equal(watch_round(&from, &to, 0.004), ROUND_HAMPERED);
	assert_false(watch_clear(&to));
	to.placed = PLACEMENT_NEAR;
	from.placed = PLACEMENT_FAR;
	assert_int_equal(watch_round(&from, &to, 0.004), ROUND_HAMPERED);
	from.placed = PLACEMENT_NEAR;
	to.self -= 5 * MS;
	assert_int_equal(watch_round(&from, &to, 0.004), ROUND_DISTURBED);
}

static void without_a_second_thread_the_first_one_alone_is_watched(void **state)
{
	struct watch w;
	struct watch_mark m;

	(void)state;
	assert_int_equal(watch_open(&w, 0, 0, 0, 0), 0);
	assert_true(watch_mark(&w, &m, true));
	assert_true(m.wall && m.self && !m.ran);
	watch_close(&w);
}

static void a_thread_is_known_by_its_number_and_its_account_comes_with_time(void **state)
{
	struct watch w;
	struct watch_mark m;
	bool first = true;

	(void)state;
	assert_int_equal(watch_open(&w, (int)syscall(SYS_gettid), getpid(), 0, 0), 0);
	assert_false(watch_mark(&w, &m, first));
	while (!watch_mark(&w, &m, false))
		;
	assert_true(m.ran > 0 && m.self > 0);
	watch_close(&w);
	assert_true(watch_open(&w, 0x7fffffff, 1, 0, 0) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(who_runs_all_the_time_was_not_disturbed_however_long_he_took, calm),
		cmocka_unit_test_setup(who_waited_for_his_cpu_was_disturbed_and_the_worse_one_counts, calm),
		cmocka_unit_test_setup(time_that_the_machine_below_took_is_not_the_threads, calm),
		cmocka_unit_test_setup(who_sleeps_is_not_excused_but_for_the_time_he_waited_to_run_again, calm),
		cmocka_unit_test_setup(what_its_own_other_threads_took_from_it_is_its_own, calm),
		cmocka_unit_test_setup(
			turns_longer_than_their_work_count_though_the_kernel_knows_nothing_of_them, calm),
		cmocka_unit_test_setup(
			a_round_is_clear_when_the_watched_cpu_was_near_at_both_ends_and_had_its_core, calm),
		cmocka_unit_test(without_a_second_thread_the_first_one_alone_is_watched),
		cmocka_unit_test(a_thread_is_known_by_its_number_and_its_account_comes_with_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
