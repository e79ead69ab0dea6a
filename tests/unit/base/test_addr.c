#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"

static struct addr parsed(const char *s)
{
	struct addr a;

	assert_int_equal(addr_parse(s, strlen(s), &a), 0);
	return a;
}

static void text_is(const char *in, const char *out)
{
	char buf[ADDR_TEXT_MAX];

	assert_string_equal(addr_text(parsed(in), buf), out);
}

static void ipv4_is_carried_mapped(void **state)
{
	(void)state;
	const uint8_t want[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 18, 0, 1};
	struct addr a = parsed("198.18.0.1");

	assert_memory_equal(a.b, want, 16);
	assert_true(addr_is_v4(a));
	assert_true(addr_eq(a, parsed("::ffff:198.18.0.1")));
	assert_false(addr_is_v4(parsed("fd00:c6:12::1")));
}

static void text_follows_rfc5952(void **state)
{
	(void)state;
	text_is("198.18.255.1", "198.18.255.1");
	text_is("::", "::");
	text_is("::1", "::1");
	text_is("FD00:00C6:12::0:1", "fd00:c6:12::1");
	text_is("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"); // 4.2.2: one zero group stays
	text_is("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");          // 4.2.3: the longest run
	text_is("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");    // the first of equals
	text_is("fd00:c6:12::", "fd00:c6:12::");
	text_is("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void what_is_no_address_is_refused(void **state)
{
	(void)state;
	const char *bad[] = {"",          "198.18.0",     "198.18.0.256",   "198.18.0.1 ",
			     "198.18.0.", "198.18.0.1.2", "fd00::1::2",     "g::1",
			     "[::1]",     "198.18.0.1/8", "localhost.local"};
	struct addr a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(addr_parse(bad[i], strlen(bad[i]), &a), -1);
	assert_int_equal(addr_parse("198.18.0.1\0xx", 13, &a), -1);
	char lengthy[200];
	memset(lengthy, '1', sizeof(lengthy));
	assert_int_equal(addr_parse(lengthy, sizeof(lengthy), &a), -1);
}

static void only_the_given_bytes_are_read(void **state)
{
	(void)state;
	struct addr a;

	assert_int_equal(addr_parse("198.18.0.123", 10, &a), 0);
	assert_true(addr_eq(a, parsed("198.18.0.1")));
}

static void prefixes_match_to_the_bit(void **state)
{
	(void)state;
	struct addr net = parsed("198.18.0.0");

	assert_true(addr_in_prefix(parsed("198.19.255.255"), net, 96 + 15));
	assert_false(addr_in_prefix(parsed("198.20.0.0"), net, 96 + 15));
	assert_true(addr_in_prefix(parsed("fd00::1"), net, 0));
	assert_true(addr_in_prefix(net, net, 128));
	assert_false(addr_in_prefix(parsed("198.18.0.1"), net, 128));
	assert_false(addr_in_prefix(parsed("fd00::1"), parsed("0.0.0.0"), 96));
}

static void any_is_the_unspecified_of_either_family(void **state)
{
	(void)state;
	assert_true(addr_is_any(parsed("::")));
	assert_true(addr_is_any(parsed("0.0.0.0")));
	assert_false(addr_is_any(parsed("::1")));
	assert_false(addr_is_any(parsed("0.0.0.1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_is_carried_mapped),
		cmocka_unit_test(text_follows_rfc5952),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(only_the_given_bytes_are_read),
		cmocka_unit_test(prefixes_match_to_the_bit),
		cmocka_unit_test(any_is_the_unspecified_of_either_family),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
