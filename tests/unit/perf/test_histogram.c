#include "perf/loadgen/histogram.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram h;

static int empty(void **state)
{
	(void)state;
	h = (struct histogram){0};
	return 0;
}

static void values_are_known_to_one_part_in_a_hundred_and_twenty_eight(void **state)
{
	(void)state;
	for (uint64_t v = 1; v < 60000000000ull; v += v / 3 + 1) {
		h = (struct histogram){0};
		histogram_add(&h, v);
		histogram_add(&h, UINT64_MAX >> 20); // so that the bound is not the largest value itself
		uint64_t at = histogram_at(&h, 0);
		assert_true(at >= v);
		assert_true(at <= v + v / HISTOGRAM_SUB + 1);
	}
}

static void quantiles_are_those_of_the_sorted_values(void **state)
{
	(void)state;
	for (uint64_t us = 1; us <= 1000; us++)
		histogram_add(&h, us * 1000);
	static const struct {
		double share;
		uint64_t us;
	} want[] = {{0.5, 501}, {0.9, 901}, {0.99, 991}, {0.999, 1000}};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		uint64_t at = histogram_at(&h, want[i].share), ns = want[i].us * 1000;
		assert_true(at >= ns && at <= ns + ns / HISTOGRAM_SUB + 1);
	}
	assert_int_equal(h.total, 1000);
}

static void one_slow_answer_in_ten_thousand_is_the_maximum_and_not_the_p99(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 9999; i++)
		histogram_add(&h, 5000);
	histogram_add(&h, 3000000000ull);
	assert_true(histogram_at(&h, 0.99) < 5100);
	assert_int_equal(histogram_at(&h, 1), 3000000000ull);
	assert_int_equal(h.max, 3000000000ull);
}

static void what_is_beyond_the_range_counts_in_the_last_bucket(void **state)
{
	(void)state;
	histogram_add(&h, UINT64_MAX);
	assert_int_equal(h.count[HISTOGRAM_BUCKETS - 1], 1);
	assert_int_equal(h.max, UINT64_MAX);
}

static void an_empty_histogram_has_no_latency(void **state)
{
	(void)state;
	assert_int_equal(histogram_at(&h, 0.99), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(values_are_known_to_one_part_in_a_hundred_and_twenty_eight, empty),
		cmocka_unit_test_setup(quantiles_are_those_of_the_sorted_values, empty),
		cmocka_unit_test_setup(one_slow_answer_in_ten_thousand_is_the_maximum_and_not_the_p99, empty),
		cmocka_unit_test_setup(what_is_beyond_the_range_counts_in_the_last_bucket, empty),
		cmocka_unit_test_setup(an_empty_histogram_has_no_latency, empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
