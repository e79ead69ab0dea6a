// The PROXY protocol: each header whole, in memory of its exact size, and cut at every byte.
#include "http/proxy_protocol.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(s)  s, sizeof(s) - 1

// The result of a copy of exactly these bytes.
static int parsed(const char *p, size_t n, struct proxy_header *out)
{
	char *copy = malloc(n ? n : 1);
	int result;

	assert_non_null(copy);
	memcpy(copy, p, n);
	result = proxy_parse(copy, n, out);
	free(copy);
	return result;
}

static void cut_anywhere_more_is_needed(const char *p, size_t whole)
{
	struct proxy_header h;

	for (size_t n = 0; n < whole; n++) {
		assert_int_equal(parsed(p, n, &h), 0);
		assert_true(h.need > n && h.need <= whole);
	}
}

static void ends_are(const struct proxy_header *h, const char *src, unsigned src_port, const char *dst,
		     unsigned dst_port)
{
	char text[ADDR_TEXT_MAX];

	assert_true(h->known);
	assert_string_equal(addr_text(h->src, text), src);
	assert_string_equal(addr_text(h->dst, text), dst);
	assert_int_equal(h->src_port, src_port);
	assert_int_equal(h->dst_port, dst_port);
}

static void version_1_names_both_ends(void **state)
{
	static const char four[] = "PROXY TCP4 192.0.2.1 198.18.0.1 56324 443\r\nGET /";
	static const char six[] = "PROXY TCP6 2001:db8::1 ::ffff:198.18.0.1 0 65535\r\n";
	struct proxy_header h;

	(void)state;
	assert_int_equal(parsed(BYTES(four), &h), sizeof(four) - 6);
	ends_are(&h, "192.0.2.1", 56324, "198.18.0.1", 443);
	cut_anywhere_more_is_needed(four, sizeof(four) - 6);
	assert_int_equal(parsed(BYTES(six), &h), sizeof(six) - 1);
	ends_are(&h, "2001:db8::1", 0, "198.18.0.1", 65535);
	cut_anywhere_more_is_needed(six, sizeof(six) - 1);
}

static void version_1_unknown_leaves_the_connections_own_ends(void **state)
{
	static const char *const rows[] = {
		"PROXY UNKNOWN\r\n",
		"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
	};
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(parsed(rows[i], strlen(rows[i]), &h), strlen(rows[i]));
		assert_false(h.known);
		cut_anywhere_more_is_needed(rows[i], strlen(rows[i]));
	}
}

static void version_1_that_is_malformed_is_refused(void **state)
{
	static const char *const rows[] = {
		"PROXY \r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP5 192.0.2.1 198.18.0.1 1 2\r\n",
		"PROXY tcp4 192.0.2.1 198.18.0.1 1 2\r\n",
		"PROXY  TCP4 192.0.2.1 198.18.0.1 1 2\r\n",
		"PROXY TCP4  192.0.2.1 198.18.0.1 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 1 2 \r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 1 2 3\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 1\r\n",
		"PROXY TCP4 192.0.2.256 198.18.0.1 1 2\r\n",
		"PROXY TCP4 192.0.02.1 198.18.0.1 1 2\r\n",
		"PROXY TCP4 ::1 198.18.0.1 1 2\r\n",
		"PROXY TCP6 192.0.2.1 198.18.0.1 1 2\r\n",
		"PROXY TCP6 2001:db8::1 2001:db8:::2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 65536 2\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 01 2\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 -1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 1 0x2\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 1 2\n\r\n",
		"PROXY TCP4 192.0.2.1 198.18.0.1 1 2\rX",
		"PROXY UNKNOWNX\r\n",
	};
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parsed(rows[i], strlen(rows[i]), &h) != -PROXY_BAD)
			fail_msg("%s", rows[i]);
}

static void version_1_has_107_bytes_at_most(void **state)
{
	char text[PROXY_V1_MAX + 8];
	struct proxy_header h;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "PROXY UNKNOWN ", 14);
	memcpy(text + PROXY_V1_MAX - 2, "\r\n", 2);
	assert_int_equal(parsed(text, PROXY_V1_MAX, &h), PROXY_V1_MAX);
	memcpy(text + PROXY_V1_MAX - 2, "x\r\n", 3);
	assert_int_equal(parsed(text, PROXY_V1_MAX + 1, &h), -PROXY_BAD);
	assert_int_equal(parsed(text, PROXY_V1_MAX - 1, &h), -PROXY_BAD); // no end in sight
}

static void what_is_no_header_is_known_at_its_first_byte(void **state)
{
	struct proxy_header h;

	(void)state;
	assert_int_equal(parsed(BYTES("G"), &h), -PROXY_MISSING);
	assert_int_equal(parsed(BYTES("POST / HTTP/1.1\r\n"), &h), -PROXY_MISSING);
	assert_int_equal(parsed(BYTES("PROXY"), &h), 0);
	assert_int_equal(parsed(BYTES("PROXX"), &h), -PROXY_MISSING);
	assert_int_equal(parsed(BYTES("\r\nGET / HTTP/1.1\r\n"), &h), -PROXY_MISSING);
	assert_int_equal(parsed(BYTES("\r\n\r\n\0\r\nQUIT\0"), &h), -PROXY_MISSING);
}

#define INET "\xc0\0\x02\x01\xc6\x12\0\x01\xdc\x04\x01\xbb"
#define INET6                                                                                                  \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\0\x01"

static void version_2_names_both_ends(void **state)
{
	static const char four[] = SIGNATURE "\x21\x11\0\x0c" INET;
	static const char six[] = SIGNATURE "\x21\x21\0\x24" INET6;
	struct proxy_header h;

	(void)state;
	assert_int_equal(parsed(BYTES(four), &h), 28);
	ends_are(&h, "192.0.2.1", 56324, "198.18.0.1", 443);
	cut_anywhere_more_is_needed(four, 28);
	assert_int_equal(parsed(BYTES(six), &h), 52);
	ends_are(&h, "2001:db8::1", 65535, "2001:db8::2", 1);
	cut_anywhere_more_is_needed(six, 52);
}

static void version_2_local_and_other_families_leave_the_connections_own_ends(void **state)
{
	static const char local[] = SIGNATURE "\x20\0\0\0";
	static const char local_with_addresses[] = SIGNATURE "\x20\x11\0\x0c" INET;
	static const char datagram[] = SIGNATURE "\x21\x12\0\x0c" INET;
	static const char unspecified[] = SIGNATURE "\x21\0\0\x05\x04\0\x02zz";
	char unix_stream[16 + 216] = SIGNATURE "\x21\x31\0\xd8";
	struct proxy_header h;

	(void)state;
	assert_int_equal(parsed(BYTES(local), &h), 16);
	assert_false(h.known);
	assert_int_equal(parsed(BYTES(local_with_addresses), &h), 28);
	assert_false(h.known);
	assert_int_equal(parsed(BYTES(datagram), &h), 28);
	assert_false(h.known);
	assert_int_equal(parsed(BYTES(unspecified), &h), 21);
	assert_false(h.known);
	assert_int_equal(parsed(unix_stream, sizeof(unix_stream), &h), sizeof(unix_stream));
	assert_false(h.known);
}

static void version_2_extensions_are_skipped_and_must_fit(void **state)
{
	static const char good[] = SIGNATURE "\x21\x11\0\x16" INET "\x04\0\0\xe0\0\x04zone";
	static const char cut[] = SIGNATURE "\x21\x11\0\x16" INET "\x04\0\0\xe0\0\x05zone";
	static const char cut_short[] = SIGNATURE "\x21\x11\0\x0e" INET "\x04\0";
	struct proxy_header h;

	(void)state;
	assert_int_equal(parsed(BYTES(good), &h), 38);
	assert_true(h.known);
	assert_int_equal(parsed(BYTES(cut), &h), -PROXY_BAD);
	assert_int_equal(parsed(BYTES(cut_short), &h), -PROXY_BAD);
}

// CRC-32C of RFC 4960 B, here computed bit by bit.
static uint32_t crc32c_slowly(const unsigned char *p, size_t n)
{
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *p++;
		for (unsigned i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

static void version_2_a_checksum_must_hold(void **state)
{
	unsigned char text[] = SIGNATURE "\x21\x11\0\x17" INET "\x03\0\x04\0\0\0\0\x04\0\x01x";
	size_t n = sizeof(text) - 1;
	uint32_t crc = crc32c_slowly(text, n);
	struct proxy_header h;

	(void)state;
	assert_int_equal(crc32c_slowly((const unsigned char *)"123456789", 9),
			 0xe3069283); // RFC 3720 B.4's kind
	for (unsigned i = 0; i < 4; i++)
		text[31 + i] = (unsigned char)(crc >> (24 - 8 * i));
	assert_int_equal(parsed((const char *)text, n, &h), n);
	assert_true(h.known);
	for (size_t i = 16; i < n; i++) {
		text[i] ^= 1; // any bit but those that say what is where
		if (i < 28 || (i > 30 && i < 35) || i == n - 1)
			assert_int_equal(parsed((const char *)text, n, &h), -PROXY_CHECKSUM);
		text[i] ^= 1;
	}
	text[17] ^= 1;
	assert_int_equal(parsed((const char *)text, n, &h), -PROXY_CHECKSUM);
	assert_int_equal(parsed(BYTES(SIGNATURE "\x21\x11\0\x10" INET "\x03\0\x01x"), &h), -PROXY_BAD);
}

static void version_2_that_is_malformed_is_refused(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} rows[] = {
		{BYTES(SIGNATURE "\x11\x11\0\x0c" INET)}, // another version
		{BYTES(SIGNATURE "\x22\x11\0\x0c" INET)}, // another command
		{BYTES(SIGNATURE "\x21\x10\0\x0c" INET)}, // unassigned pairs of family and protocol
		{BYTES(SIGNATURE "\x21\x01\0\x0c" INET)},
		{BYTES(SIGNATURE "\x21\x13\0\x0c" INET)},
		{BYTES(SIGNATURE "\x21\x41\0\x0c" INET)},
		{BYTES(SIGNATURE "\x21\x11\0\x0b" INET)}, // too short for its addresses
		{BYTES(SIGNATURE "\x21\x21\0\x23" INET6)},
		{BYTES(SIGNATURE "\x21\x11\x10\x01" INET)}, // longer than PROXY_MAX
	};
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parsed(rows[i].p, rows[i].n, &h) != -PROXY_BAD)
			fail_msg("row %zu", i);
}

static struct addr address(const char *s)
{
	struct addr a;

	assert_int_equal(addr_parse(s, strlen(s), &a), 0);
	return a;
}

static void what_is_written_reads_back(void **state)
{
	static const struct {
		const char *src, *dst, *v1;
	} rows[] = {
		{"192.0.2.1", "198.18.0.1", "PROXY TCP4 192.0.2.1 198.18.0.1 65535 80\r\n"},
		{"2001:db8::1", "fd00::1", "PROXY TCP6 2001:db8::1 fd00::1 65535 80\r\n"},
		{"2001:db8::1", "198.18.0.1", "PROXY TCP6 2001:db8::1 ::ffff:198.18.0.1 65535 80\r\n"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
		 "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe "
		 "65535 "
		 "80\r\n"},
	};
	char text[PROXY_OUT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proxy_header h = {.src = address(rows[i].src),
					 .dst = address(rows[i].dst),
					 .src_port = 65535,
					 .dst_port = 80};
		struct proxy_header back;

		for (unsigned version = 1; version <= 2; version++) {
			size_t n = proxy_write(text, version, &h);

			assert_true(n <= sizeof(text));
			assert_int_equal(parsed(text, n, &back), n);
			ends_are(&back, rows[i].src, 65535, rows[i].dst, 80);
			if (version == 1) {
				assert_int_equal(n, strlen(rows[i].v1));
				assert_memory_equal(text, rows[i].v1, n);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_names_both_ends),
		cmocka_unit_test(version_1_unknown_leaves_the_connections_own_ends),
		cmocka_unit_test(version_1_that_is_malformed_is_refused),
		cmocka_unit_test(version_1_has_107_bytes_at_most),
		cmocka_unit_test(what_is_no_header_is_known_at_its_first_byte),
		cmocka_unit_test(version_2_names_both_ends),
		cmocka_unit_test(version_2_local_and_other_families_leave_the_connections_own_ends),
		cmocka_unit_test(version_2_extensions_are_skipped_and_must_fit),
		cmocka_unit_test(version_2_a_checksum_must_hold),
		cmocka_unit_test(version_2_that_is_malformed_is_refused),
		cmocka_unit_test(what_is_written_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
