#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/checksum.h"

// RFC 1071 as its section 4.1 words it, byte pairs in network order.
static uint16_t by_the_book(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint64_t)p[i] << 8 | p[i + 1];
	if (n & 1)
		sum += (uint64_t)p[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void the_example_of_rfc1071_sums_to_ddf2(void **state)
{
	(void)state;
	const uint8_t in[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	assert_int_equal(checksum_fold(checksum_add(0, in, sizeof(in))), htons((uint16_t)~0xddf2));
}

static void every_length_and_alignment_agrees_with_the_definition(void **state)
{
	(void)state;
	static uint8_t buf[400];
	uint32_t x = 12345;

	for (size_t i = 0; i < sizeof(buf); i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(x >> 24);
	}
	for (size_t off = 0; off < 9; off++)
		for (size_t n = 0; n <= 300; n++)
			assert_int_equal(checksum_fold(checksum_add(0, buf + off, n)),
					 by_the_book(buf + off, n));
}

static void carries_are_not_lost(void **state)
{
	(void)state;
	static uint8_t ones[65535];

	memset(ones, 0xff, sizeof(ones));
	for (size_t n = 1; n < sizeof(ones); n = n * 3 + 1)
		assert_int_equal(checksum_fold(checksum_add(0, ones, n)), by_the_book(ones, n));
	assert_int_equal(checksum_fold(checksum_add(UINT64_MAX, ones, 2)), 0);
}

static void a_sum_may_be_made_of_even_pieces(void **state)
{
	(void)state;
	uint8_t buf[131];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 37);
	uint64_t sum = checksum_add(checksum_add(checksum_add(0, buf, 12), buf + 12, 70), buf + 82, 49);
	assert_int_equal(checksum_fold(sum), by_the_book(buf, sizeof(buf)));
}

static void a_sum_over_data_and_its_checksum_is_zero(void **state)
{
	(void)state;
	uint8_t hdr[20] = {0x45, 0, 0, 60, 1, 2, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2};
	uint16_t c = checksum_fold(checksum_add(0, hdr, sizeof(hdr)));

	memcpy(hdr + 10, &c, 2);
	assert_int_equal(checksum_fold(checksum_add(0, hdr, sizeof(hdr))), 0);
	hdr[3] ^= 1;
	assert_int_not_equal(checksum_fold(checksum_add(0, hdr, sizeof(hdr))), 0);
}

// What it adds to a sum that is not nothing, as none of a packet is.
static uint16_t with(struct checksum_tail t)
{
	return checksum_fold(1 + (uint64_t)t.sum);
}

static void what_is_taken_off_the_front_leaves_the_sum_of_the_rest(void **state)
{
	(void)state;
	uint8_t buf[300];
	uint32_t x = 777;

	for (size_t i = 0; i < sizeof(buf); i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(i < 250 ? x >> 24 : i < 280 ? 0 : 0xff);
	}
	for (size_t n = 0; n <= sizeof(buf); n++) {
		uint16_t all = (uint16_t)~checksum_fold(checksum_add(0, buf, n));

		for (size_t off = 0; off <= n; off++) {
			struct checksum_tail rest =
				checksum_without((struct checksum_tail){all, (uint16_t)n}, buf, off);

			assert_int_equal(rest.len, n - off);
			assert_int_equal(with(rest), checksum_fold(checksum_add(1, buf + off, n - off)));
		}
	}
}

static void a_sum_goes_on_behind_a_head_of_any_length(void **state)
{
	(void)state;
	uint8_t buf[200];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 91 + i / 7);
	for (size_t head = 0; head <= 100; head++)
		for (size_t n = 1; n <= 100; n++) {
			uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, buf + head, n));
			struct checksum_tail t =
				checksum_behind((struct checksum_tail){sum, (uint16_t)n}, head);

			assert_int_equal(checksum_fold(checksum_add(t.sum, buf, head)),
					 by_the_book(buf, head + n));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_rfc1071_sums_to_ddf2),
		cmocka_unit_test(every_length_and_alignment_agrees_with_the_definition),
		cmocka_unit_test(carries_are_not_lost),
		cmocka_unit_test(a_sum_may_be_made_of_even_pieces),
		cmocka_unit_test(a_sum_over_data_and_its_checksum_is_zero),
		cmocka_unit_test(what_is_taken_off_the_front_leaves_the_sum_of_the_rest),
		cmocka_unit_test(a_sum_goes_on_behind_a_head_of_any_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
