// Statistics: histogram buckets, the list of counters, mapping of the arrays.
#include "contract/stats.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
// cmocka needs the headers above first
#include <cmocka.h>

static void each_duration_falls_below_its_buckets_bound_and_not_below_the_one_before(void **state)
{
	(void)state;
	for (uint64_t ns = 0; ns < 100000000000; ns += ns / 17 + 1) {
		unsigned b = hist_bucket(ns);

		assert_true(ns < hist_bound(b));
		assert_true(b == 0 || ns >= hist_bound(b - 1));
	}
}

static void buckets_are_quarters_of_powers_of_two_of_microseconds(void **state)
{
	(void)state;
	assert_int_equal(hist_bucket(0), 0);
	assert_int_equal(hist_bucket(999), 0);
	assert_int_equal(hist_bound(0), 1000);
	assert_int_equal(hist_bucket(1000), 1);
	assert_int_equal(hist_bound(1), 1250);
	assert_int_equal(hist_bucket(1250), 2);
	assert_int_equal(hist_bound(4), 2000);
	assert_int_equal(hist_bound(5), 2500);
	assert_int_equal(hist_bound(HIST_BUCKETS - 2), (1ull << 26) * 1000);
	assert_int_equal(hist_bucket((1ull << 26) * 1000 - 1), HIST_BUCKETS - 2);
	assert_int_equal(hist_bucket((1ull << 26) * 1000), HIST_BUCKETS - 1);
	assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
	assert_true(hist_bound(HIST_BUCKETS - 1) == UINT64_MAX);
}

static void every_counter_has_a_name_of_its_own_and_a_text(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CTR_COUNT; i++) {
		assert_non_null(counter_info[i].name);
		assert_true(strlen(counter_info[i].help) >= 8);
		assert_true(counter_info[i].group <= GROUP_worker && counter_info[i].kind <= KIND_gauge);
		assert_non_null(counter_group_name[counter_info[i].group]);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(counter_info[k].name, counter_info[i].name);
	}
}

static void arrays(int fd[STATS_ARRAYS], uint32_t workers)
{
	for (enum stats_array a = 0; a < STATS_ARRAYS; a++) {
		uint64_t n = (uint64_t)stats_entry_size(a) * stats_entries(a, workers);

		fd[a] = memfd_create(stats_array_name[a], MFD_CLOEXEC);
		assert_true(fd[a] >= 0);
		assert_int_equal(ftruncate(fd[a], (off_t)((n + 4095) & ~4095ull)), 0);
	}
}

static void what_one_process_counts_another_reads(void **state)
{
	struct stats writer, reader;
	int fd[STATS_ARRAYS];

	(void)state;
	arrays(fd, 3);
	assert_int_equal(stats_map(&writer, fd, 3, 1), 0);
	assert_int_equal(stats_map(&reader, fd, 3, 0), 0);
	stat_add(&writer.worker[2].c[CTR_COUNT - 1], 5);
	stat_add(&writer.port[3 * STATS_PORTS - 1].link_up, 1);
	stat_add(&writer.route[3 * STATS_ROUTES - 1].duration[HIST_BUCKETS - 1], 7);
	stat_add(&writer.upstream[3 * STATS_UPSTREAMS - 1].duration[HIST_BUCKETS - 1], 8);
	assert_int_equal(stat_get(&reader.worker[2].c[CTR_COUNT - 1]), 5);
	assert_int_equal(stat_get(&reader.port[3 * STATS_PORTS - 1].link_up), 1);
	assert_int_equal(stat_get(&reader.route[3 * STATS_ROUTES - 1].duration[HIST_BUCKETS - 1]), 7);
	assert_int_equal(stat_get(&reader.upstream[3 * STATS_UPSTREAMS - 1].duration[HIST_BUCKETS - 1]), 8);
	stats_unmap(&writer);
	stats_unmap(&reader);
	for (enum stats_array a = 0; a < STATS_ARRAYS; a++)
		close(fd[a]);
}

static void arrays_made_for_fewer_workers_are_refused(void **state)
{
	struct stats st;
	int fd[STATS_ARRAYS];

	(void)state;
	arrays(fd, 1);
	assert_int_equal(stats_map(&st, fd, 2, 1), -EINVAL);
	assert_int_equal(stats_map(&st, fd, 0, 1), -EINVAL);
	for (enum stats_array a = 0; a < STATS_ARRAYS; a++)
		close(fd[a]);
	assert_int_equal(stats_map(&st, fd, 1, 1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_duration_falls_below_its_buckets_bound_and_not_below_the_one_before),
		cmocka_unit_test(buckets_are_quarters_of_powers_of_two_of_microseconds),
		cmocka_unit_test(every_counter_has_a_name_of_its_own_and_a_text),
		cmocka_unit_test(what_one_process_counts_another_reads),
		cmocka_unit_test(arrays_made_for_fewer_workers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
