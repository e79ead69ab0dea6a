#include "perf/loadgen/placement.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct placement p;

static unsigned theirs; // CPU

// This thread on the first CPU that it may use; theirs is the last one of them.
static int ours_and_theirs(void **state)
{
	cpu_set_t may, one;
	unsigned first = CPU_SETSIZE;

	(void)state;
	if (sched_getaffinity(0, sizeof(may), &may))
		return -1;
	for (unsigned i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &may)) {
			first = first < i ? first : i;
			theirs = i;
		}
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	return sched_setaffinity(0, sizeof(one), &one);
}

static void a_cpu_has_at_most_its_whole_core_and_the_time_that_looking_took_is_known(void **state)
{
	double share;

	(void)state;
	assert_int_equal(placement_open(&p, theirs), 0);
	share = placement_share(&p);
	assert_true(share > 0.1 && share <= 1);
	assert_true(placement_ran(&p) > 0);
	// Asked for again at once: nothing has been looked at since.
	assert_true(placement_share(&p) <= 1);
	placement_close(&p);
}

static void where_another_cpu_is_can_be_asked_again_and_again(void **state)
{
	unsigned known = 0;

	(void)state;
	if (sched_getcpu() == (int)theirs)
		skip();
	assert_int_equal(placement_open(&p, theirs), 0);
	for (unsigned i = 0; i < 1000 && known < 3; i++) {
		enum placement_kind kind = placement_find(&p);

		assert_true(kind < PLACEMENT_KINDS);
		known += kind != PLACEMENT_UNKNOWN;
	}
	assert_int_equal(known, 3);
	// Each is followed by looks at the core.
	assert_true(placement_share(&p) > 0);
	placement_close(&p);
}

static void what_is_looked_at_while_it_is_asked_for_counts_once(void **state)
{
	(void)state;
	if (sched_getcpu() == (int)theirs)
		skip();
	assert_int_equal(placement_open(&p, theirs), 0);
	for (unsigned i = 0; i < 500; i++) {
		(void)placement_find(&p);
		for (unsigned k = 0; k < 200; k++)
			assert_true(placement_share(&p) <= 1);
	}
	placement_close(&p);
}

static void a_cpu_that_is_not_there_cannot_be_looked_at(void **state)
{
	(void)state;
	assert_true(placement_open(&p, 1000) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cpu_has_at_most_its_whole_core_and_the_time_that_looking_took_is_known),
		cmocka_unit_test(where_another_cpu_is_can_be_asked_again_and_again),
		cmocka_unit_test(what_is_looked_at_while_it_is_asked_for_counts_once),
		cmocka_unit_test(a_cpu_that_is_not_there_cannot_be_looked_at),
	};

	return cmocka_run_group_tests(tests, ours_and_theirs, NULL);
}
