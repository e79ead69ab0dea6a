#include "tests/unit/tcp/bed.h"

static struct tcp_options parse(const void *p, uint32_t n)
{
	struct tcp_options o;

	// A copy of its exact size, so that reading beyond it is seen.
	uint8_t *exact = malloc(n ? n : 1);
	memcpy(exact, p, n);
	options_parse(&o, exact, n);
	free(exact);
	return o;
}

static void what_is_written_is_read_back(void **state)
{
	uint8_t p[40];
	uint32_t n = 0;

	(void)state;
	n += options_put_mss(p + n, 1460);
	n += options_put_wscale(p + n, 7);
	n += options_put_ts(p + n, 0x01020304, 0xfffefdfc);
	n += options_put_sack_ok(p + n);
	assert_int_equal(n, OPT_SYN_MAX);
	struct tcp_options o = parse(p, n);
	assert_int_equal(o.mss, 1460);
	assert_true(o.has_wscale && o.has_ts && o.sack_ok);
	assert_int_equal(o.wscale, 7);
	assert_int_equal(o.tsval, 0x01020304);
	assert_int_equal(o.tsecr, 0xfffefdfc);
}

static void rfc7323_appendix_a_layout_is_read(void **state)
{
	uint8_t p[12];

	(void)state;
	options_put_ts(p, 5, 6);
	struct tcp_options o = parse(p, 12);
	assert_true(o.has_ts && o.tsval == 5 && o.tsecr == 6);
}

static void unknown_options_are_skipped_by_their_length(void **state)
{
	(void)state;
	struct tcp_options o = parse("\x04\x02\xfe\x04\x01\x02\x02\x04\x02\x00\x00\x00", 12);
	assert_int_equal(o.mss, 512);
}

static void nothing_is_read_behind_the_end_of_list(void **state)
{
	(void)state;
	struct tcp_options o = parse("\x01\x00\x02\x04\x02\x00\x00\x00", 8);
	assert_int_equal(o.mss, 0);
}

static void wrong_lengths_end_the_list_without_reading_beyond(void **state)
{
	(void)state;
	assert_int_equal(parse("\x02\x00\x02\x00", 4).mss, 0); // length 0
	assert_int_equal(parse("\x02\x01\x02\x00", 4).mss, 0); // length 1
	assert_int_equal(parse("\x02\x08\x02\x00", 4).mss, 0); // longer than what is there
	assert_int_equal(parse("\x02\x03\x02\x00", 4).mss, 0); // not the length of this kind
	assert_int_equal(parse("\x01\x01\x01\x02", 4).mss, 0); // kind without length
	assert_false(parse("\x08\x0a\x00\x00\x00\x00\x00\x00", 8).has_ts);
	assert_int_equal(parse("", 0).mss, 0);
}

static void rfc7323_2_3_a_shift_above_14_counts_as_14(void **state)
{
	(void)state;
	assert_int_equal(parse("\x03\x03\xff\x00", 4).wscale, 14);
}

static void rfc2018_3_blocks_are_read_in_their_order(void **state)
{
	struct sack_block v[] = {{100, 200}, {300, 400}, {0xfffffff0, 5}};
	uint8_t p[40];
	uint32_t n = options_put_ts(p, 1, 2);

	(void)state;
	n += options_put_sack(p + n, v, 3);
	assert_int_equal(n, 40);
	struct tcp_options o = parse(p, n);
	assert_true(o.has_ts);
	assert_int_equal(o.n_sack, 3);
	assert_memory_equal(o.sack, v, sizeof(v));
}

static void rfc2018_3_a_sack_option_of_a_wrong_length_is_ignored(void **state)
{
	(void)state;
	assert_int_equal(parse("\x05\x02\x01\x01", 4).n_sack, 0); // no block
	assert_int_equal(parse("\x05\x09\x00\x00\x00\x01\x00\x00\x00\x01\x01\x00", 12).n_sack, 0);
	assert_int_equal(parse("\x05\x0a\x00\x00\x00\x01\x00\x00", 8).n_sack, 0); // cut off
	assert_false(parse("\x04\x03\x01\x00", 4).sack_ok);
}

static void any_bytes_are_survived(void **state)
{
	struct random r;
	uint8_t p[40];

	(void)state;
	random_seed(&r, 1);
	for (int i = 0; i < 20000; i++) {
		uint32_t n = random_below(&r, 41);
		for (uint32_t k = 0; k < n; k++)
			p[k] = (uint8_t)(random_below(&r, 3) ? random_below(&r, 12) : random_next(&r));
		struct tcp_options o = parse(p, n);
		assert_true(o.wscale <= 14 && o.n_sack <= SACK_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(rfc7323_appendix_a_layout_is_read),
		cmocka_unit_test(unknown_options_are_skipped_by_their_length),
		cmocka_unit_test(nothing_is_read_behind_the_end_of_list),
		cmocka_unit_test(wrong_lengths_end_the_list_without_reading_beyond),
		cmocka_unit_test(rfc7323_2_3_a_shift_above_14_counts_as_14),
		cmocka_unit_test(rfc2018_3_blocks_are_read_in_their_order),
		cmocka_unit_test(rfc2018_3_a_sack_option_of_a_wrong_length_is_ignored),
		cmocka_unit_test(any_bytes_are_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
