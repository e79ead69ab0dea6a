#include "perf/loadgen/phase.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct phase p;
static char why[256];

static void a_phase_says_its_rate_floods_and_times(void **state)
{
	(void)state;
	assert_true(phase_read(
		&p,
		"name=flood rate=50000 syn=1.2e6 udp=10 lossy=1 settle=0.5 seconds=3 runs=5 think=2.5 "
		"numbers=1000 each=1 open=256 active=16",
		why, sizeof(why)));
	assert_string_equal(p.name, "flood");
	assert_true(p.rate == 50000 && p.settle == 0.5 && p.seconds == 3 && p.runs == 5 && p.lossy &&
		    p.think == 2.5);
	assert_true(p.flood[FLOOD_SYN] == 1.2e6 && p.flood[FLOOD_UDP] == 10 && p.flood[FLOOD_RST] == 0);
	assert_int_equal(p.hostile, HOSTILE_NONE);
	assert_true(p.numbers == 1000 && p.each && p.open == 256 && p.active == 16);
}

static void an_empty_line_is_two_seconds_of_closed_loop(void **state)
{
	(void)state;
	assert_true(phase_read(&p, "", why, sizeof(why)));
	assert_string_equal(p.name, "main");
	assert_true(p.rate == 0 && p.seconds == 2 && p.runs == 1 && p.numbers == 1 && !p.lossy && p.think == 0);
	assert_true(phase_read(&p, "rate=closed", why, sizeof(why)));
	assert_true(p.rate == 0);
	assert_true(phase_read(&p, "rate=none", why, sizeof(why)));
	assert_true(p.rate < 0);
}

static void
a_round_in_open_loop_must_be_quieter_than_one_in_closed_loop_unless_the_phase_says_more(void **state)
{
	(void)state;
	assert_true(phase_read(&p, "rate=1000", why, sizeof(why)));
	assert_true(p.quiet == 0.004 && !p.any && !p.hold);
	assert_true(phase_read(&p, "rate=closed", why, sizeof(why)));
	assert_true(p.quiet == 0.02);
	assert_true(phase_read(&p, "rate=1000 quiet=0.01 any=1 hold=1", why, sizeof(why)));
	assert_true(p.quiet == 0.01 && p.any && p.hold);
}

static void hostile_clients_act_once_a_second_if_nothing_else_is_said(void **state)
{
	(void)state;
	assert_true(phase_read(&p, "hostile=sack_split hostiles=500", why, sizeof(why)));
	assert_int_equal(p.hostile, SACK_SPLIT);
	assert_int_equal(p.hostiles, 500);
	assert_true(p.acts == 500);
	assert_true(phase_read(&p, "hostile=slow_head acts=20000", why, sizeof(why)));
	assert_true(p.acts == 20000 && p.hostiles == 10000);
}

static void what_is_not_possible_is_named(void **state)
{
	static const char *const lines[] = {"rate=0",     "rate=-1",        "rate=fast",  "seconds=0",
					    "runs=0",     "runs=101",       "syn=much",   "hostile=polite",
					    "hostiles=0", "hostiles=65537", "colour=red", "closed",
					    "numbers=0",  "name=",          "name=a\"b",  "settle=1s"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		why[0] = 0;
		assert_false(phase_read(&p, lines[i], why, sizeof(why)));
		assert_non_null(strstr(why, lines[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_phase_says_its_rate_floods_and_times),
		cmocka_unit_test(an_empty_line_is_two_seconds_of_closed_loop),
		cmocka_unit_test(
			a_round_in_open_loop_must_be_quieter_than_one_in_closed_loop_unless_the_phase_says_more),
		cmocka_unit_test(hostile_clients_act_once_a_second_if_nothing_else_is_said),
		cmocka_unit_test(what_is_not_possible_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
