// X-Forwarded-For and Forwarded (RFC 7239): which hops are named, and by which addresses.
#include "http/forwarded.h"
#include "http/parse.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct http_head head;
static char text[16384];

// A request with these field lines; the head's slices stay valid until the next.
static const struct http_head *with(const char *fields)
{
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

	assert_int_equal(http_parse_request(text, (size_t)n, sizeof(text), &head), n);
	return &head;
}

static void node_is(const struct forwarded *f, uint32_t i, const char *node)
{
	const struct forwarded_hop *hop = forwarded_hop(f, i);

	assert_non_null(hop);
	assert_int_equal(hop->node.n, strlen(node));
	assert_memory_equal(hop->node.p, node, hop->node.n);
}

static void several_x_forwarded_for_are_one_list_and_the_nearest_hop_is_the_last(void **state)
{
	struct forwarded f;

	(void)state;
	assert_true(forwarded_parse(with("X-Forwarded-For: a, b\r\nX: y\r\nx-forwarded-for:c ,,d\r\n"),
				    HDR_x_forwarded_for, &f));
	assert_int_equal(f.n, 4);
	node_is(&f, 0, "d");
	node_is(&f, 1, "c");
	node_is(&f, 3, "a");
	assert_null(forwarded_hop(&f, 4));
}

static void no_field_names_no_hop(void **state)
{
	struct forwarded f;

	(void)state;
	assert_true(forwarded_parse(with(""), HDR_forwarded, &f));
	assert_null(forwarded_hop(&f, 0));
	assert_true(forwarded_parse(with("X-Forwarded-For:\r\n"), HDR_x_forwarded_for, &f));
	assert_null(forwarded_hop(&f, 0));
}

static void of_many_hops_the_nearest_are_kept(void **state)
{
	struct forwarded f;
	char fields[2048];
	int n = snprintf(fields, sizeof(fields), "X-Forwarded-For: n0");

	(void)state;
	for (unsigned i = 1; i < 100; i++)
		n += snprintf(fields + n, sizeof(fields) - (size_t)n, ", n%u", i);
	snprintf(fields + n, sizeof(fields) - (size_t)n, "\r\n");
	assert_true(forwarded_parse(with(fields), HDR_x_forwarded_for, &f));
	node_is(&f, 0, "n99");
	node_is(&f, FORWARDED_HOPS - 1, "n68");
	assert_null(forwarded_hop(&f, FORWARDED_HOPS));
}

// The examples of RFC 7239 4 and 7.1.
static void forwarded_is_read_with_quotes_commas_and_any_case(void **state)
{
	struct forwarded f;

	(void)state;
	assert_true(forwarded_parse(with("Forwarded: for=\"_gazonk\"\r\n"
					 "Forwarded: For=\"[2001:db8:cafe::17]:4711\"\r\n"
					 "Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\r\n"
					 "Forwarded: for=192.0.2.43, for=198.51.100.17; host=\"a,b;c\"\r\n"),
				    HDR_forwarded, &f));
	assert_int_equal(f.n, 5);
	node_is(&f, 0, "198.51.100.17");
	assert_memory_equal(forwarded_hop(&f, 0)->host.p, "a,b;c", 5);
	node_is(&f, 1, "192.0.2.43");
	node_is(&f, 2, "192.0.2.60");
	assert_memory_equal(forwarded_hop(&f, 2)->proto.p, "http", 4);
	node_is(&f, 3, "[2001:db8:cafe::17]:4711");
	node_is(&f, 4, "_gazonk");
}

static void malformed_forwarded_is_known_as_such(void **state)
{
	static const char *const bad[] = {
		"for",           "for=",      "for =a",      "for= a",    "for=a b",    "=a",
		"for=\"a",       "for=\"a\\", "for=a;for=b", "for=[::1]", "for=a,for=", "for=a;by=\"x\"y",
		"for=1.2.3.4:5", "for=a;;=",
	};
	struct forwarded f;
	char fields[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(fields, sizeof(fields), "Forwarded: %s\r\n", bad[i]);
		if (forwarded_parse(with(fields), HDR_forwarded, &f))
			fail_msg("taken: %s", bad[i]);
	}
	assert_true(forwarded_parse(with("Forwarded: for=a;;proto=b ; by=c,,\r\n"), HDR_forwarded, &f));
	assert_int_equal(f.n, 1);
}

static void nodes_are_addresses_with_or_without_a_port(void **state)
{
	static const struct {
		const char *node, *address; // NULL: names none
	} rows[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:80", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"[2001:db8::1]:65535", "2001:db8::1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"", NULL},
		{"unknown", NULL},
		{"_hidden", NULL},
		{"192.0.2", NULL},
		{"192.0.2.1:", NULL},
		{"192.0.2.1:x", NULL},
		{"192.0.2.1:123456", NULL},
		{"192.0.2.1 ", NULL},
		{"[192.0.2.1]", NULL},
		{"[2001:db8::1", NULL},
		{"[2001:db8::1]80", NULL},
		{"[2001:db8::1]:", NULL},
		{"2001:db8::1%eth0", NULL},
	};
	char back[ADDR_TEXT_MAX];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool is = forwarded_node(slice_of(rows[i].node, strlen(rows[i].node)), &a);

		if (is != (rows[i].address != NULL))
			fail_msg("%s", rows[i].node);
		if (is)
			assert_string_equal(addr_text(a, back), rows[i].address);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_x_forwarded_for_are_one_list_and_the_nearest_hop_is_the_last),
		cmocka_unit_test(no_field_names_no_hop),
		cmocka_unit_test(of_many_hops_the_nearest_are_kept),
		cmocka_unit_test(forwarded_is_read_with_quotes_commas_and_any_case),
		cmocka_unit_test(malformed_forwarded_is_known_as_such),
		cmocka_unit_test(nodes_are_addresses_with_or_without_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
