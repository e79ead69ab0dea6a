// The Prometheus text format, version 0.0.4.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first.
#include "ebpf/text.h"
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void expect(struct text *t, const char *want)
{
	assert_false(t->failed);
	text_add(t, "", 1);
	assert_string_equal(t->p, want);
	text_free(t);
}

static void a_family_has_help_and_type(void **state)
{
	struct text t = {0};

	(void)state;
	text_family(&t, "a_total", "counter", "Back\\slash and\nline.");
	text_sample(&t, "a_total", NULL, 0, UINT64_MAX);
	expect(&t, "# HELP a_total Back\\\\slash and\\nline.\n# TYPE a_total counter\na_total "
		   "18446744073709551615\n");
}

static void labels_are_escaped(void **state)
{
	const struct label l[] = {{"route", "a\"b\\c\nd"}, {"class", "2xx"}};
	struct text t = {0};

	(void)state;
	text_sample(&t, "x", l, 2, 1);
	expect(&t, "x{route=\"a\\\"b\\\\c\\nd\",class=\"2xx\"} 1\n");
}

static void labels_are_made_valid_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"caf\xc3\xa9", "caf\xc3\xa9"},
		{"\xf0\x9f\x9a\xaa", "\xf0\x9f\x9a\xaa"},
		{"a\xff"
		 "b",
		 "a\xef\xbf\xbd"
		 "b"},
		{"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                 // overlong
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // surrogate
		{"cut\xe2\x82", "cut\xef\xbf\xbd\xef\xbf\xbd"},           // ends inside of a sequence
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct label l = {"l", cases[i].in};
		struct text t = {0};
		char want[64];

		text_sample(&t, "x", &l, 1, 0);
		snprintf(want, sizeof(want), "x{l=\"%s\"} 0\n", cases[i].out);
		expect(&t, want);
	}
}

static void durations_are_seconds_without_loss(void **state)
{
	static const struct {
		uint64_t ns;
		const char *out;
	} cases[] = {{0, "x 0\n"},
		     {1, "x 0.000000001\n"},
		     {1000, "x 0.000001\n"},
		     {1500000000, "x 1.5\n"},
		     {10000000000, "x 10\n"},
		     {UINT64_MAX, "x 18446744073.709551615\n"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct text t = {0};

		text_sample_seconds(&t, "x", NULL, 0, cases[i].ns);
		expect(&t, cases[i].out);
	}
}

static const char *line_of(const char *text, const char *start)
{
	const char *at = strstr(text, start);

	assert_non_null(at);
	return at + strlen(start);
}

static void a_histogram_is_cumulative_and_ends_with_all(void **state)
{
	uint64_t bucket[HIST_BUCKETS] = {0};
	struct text t = {0};

	(void)state;
	bucket[hist_bucket(500)] = 1;              // below 1 us
	bucket[hist_bucket(3000)] += 10;           // 2..4 us
	bucket[hist_bucket(1000000)] += 100;       // 1 ms: 512..1024 us
	bucket[hist_bucket(100000000000)] += 1000; // 100 s: beyond the last bound
	text_histogram(&t, "d_seconds", NULL, 0, bucket, 100001003500);
	text_add(&t, "", 1);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_bucket{le=\"0.000001\"} "), "1\n", 2), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_bucket{le=\"0.000002\"} "), "1\n", 2), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_bucket{le=\"0.000004\"} "), "11\n", 3), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_bucket{le=\"0.000512\"} "), "11\n", 3), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_bucket{le=\"0.001024\"} "), "111\n", 4), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_bucket{le=\"67.108864\"} "), "111\n", 4), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_bucket{le=\"+Inf\"} "), "1111\n", 5), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_sum "), "100.0010035\n", 12), 0);
	assert_int_equal(strncmp(line_of(t.p, "d_seconds_count "), "1111\n", 5), 0);
	text_free(&t);
}

// Each bound is the limit between the two buckets around it: one nanosecond decides.
static void every_duration_lies_below_the_bounds_that_count_it(void **state)
{
	(void)state;
	for (unsigned power = 0; power <= 26; power++) {
		for (int past = 0; past < 2; past++) {
			uint64_t bucket[HIST_BUCKETS] = {0}, bound = 1000ull << power;
			char start[64], want[8];
			struct text t = {0};

			bucket[hist_bucket(past ? bound : bound - 1)] = 1;
			text_histogram(&t, "d", NULL, 0, bucket, 0);
			text_add(&t, "", 1);
			snprintf(start, sizeof(start), "%llu.%06llu", (1ull << power) / 1000000,
				 (1ull << power) % 1000000);
			while (strchr(start, '.') && start[strlen(start) - 1] == '0')
				start[strlen(start) - 1] = '\0';
			snprintf(want, sizeof(want), "\"} %d\n", !past);
			assert_int_equal(strncmp(line_of(t.p, start), want, strlen(want)), 0);
			text_free(&t);
		}
	}
}

static void a_page_beyond_the_bound_fails_as_a_whole(void **state)
{
	static char block[1 << 20];
	struct text t = {0};

	(void)state;
	memset(block, 'x', sizeof(block));
	for (unsigned i = 0; i < TEXT_MAX / sizeof(block); i++)
		text_add(&t, block, sizeof(block));
	assert_false(t.failed);
	text_add(&t, "x", 1);
	assert_true(t.failed);
	assert_int_equal(t.n, TEXT_MAX);
	text_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_family_has_help_and_type),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(labels_are_made_valid_utf8),
		cmocka_unit_test(durations_are_seconds_without_loss),
		cmocka_unit_test(a_histogram_is_cumulative_and_ends_with_all),
		cmocka_unit_test(every_duration_lies_below_the_bounds_that_count_it),
		cmocka_unit_test(a_page_beyond_the_bound_fails_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
