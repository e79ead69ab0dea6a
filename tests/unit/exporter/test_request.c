// Request heads, as the exporter takes them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first.
#include "ebpf/request.h"
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static enum request_fault fault;

static int parse(const char *s, struct request *r)
{
	return request_parse(slice_of(s, strlen(s)), r, &fault);
}

static void a_get_is_understood(void **state)
{
	static const char s[] = "GET /metrics?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9145\r\n\r\nGET ";
	struct request r;

	(void)state;
	assert_int_equal(parse(s, &r), sizeof(s) - 1 - 4);
	assert_true(slice_eq(r.method, SLICE("GET")));
	assert_true(slice_eq(r.path, SLICE("/metrics")));
	assert_true(r.keep);
}

static void each_part_of_a_head_is_waited_for(void **state)
{
	static const char s[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct request r;

	(void)state;
	for (size_t n = 0; n < sizeof(s) - 1; n++)
		assert_int_equal(request_parse(slice_of(s, n), &r, &fault), 0);
	assert_int_equal(parse(s, &r), sizeof(s) - 1);
}

static void the_connection_ends_where_the_client_says_so(void **state)
{
	static const struct {
		const char *text;
		bool keep;
	} cases[] = {
		{"GET / HTTP/1.1\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nConnection: foo, Close\r\n\r\n", false},
		{"GET / HTTP/1.0\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", true},
		{"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", false},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"POST / HTTP/1.1\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", false},
	};
	struct request r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(parse(cases[i].text, &r) > 0);
		assert_int_equal(r.keep, cases[i].keep);
	}
}

static void malformed_heads_are_refused(void **state)
{
	static const struct {
		const char *text;
		enum request_fault fault;
	} cases[] = {
		{"GET\r\n", REQUEST_BAD},
		{"GET /\r\n", REQUEST_BAD},
		{"GET  / HTTP/1.1\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1 \r\n", REQUEST_BAD},
		{"GET metrics HTTP/1.1\r\n", REQUEST_BAD},
		{"G(T / HTTP/1.1\r\n", REQUEST_BAD},
		{"GET /\x01 HTTP/1.1\r\n", REQUEST_BAD},
		{"GET / HTTP/2.0\r\n", REQUEST_VERSION},
		{"GET / HTTP/1.x\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nno colon\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\nHost : a\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\n folded: a\r\n", REQUEST_BAD},
		{"GET / HTTP/1.1\r\n: a\r\n", REQUEST_BAD},
		{"\x16\x03\x01\x02\n", REQUEST_BAD}, // a TLS client
	};
	struct request r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].text, &r), -1);
		assert_int_equal(fault, cases[i].fault);
	}
}

static void a_head_beyond_the_bound_is_refused(void **state)
{
	char *s = malloc(REQUEST_HEAD_MAX);
	struct request r;

	(void)state;
	assert_non_null(s);
	memset(s, 'a', REQUEST_HEAD_MAX);
	memcpy(s, "GET /", 5);
	assert_int_equal(request_parse(slice_of(s, REQUEST_HEAD_MAX - 1), &r, &fault), 0);
	assert_int_equal(request_parse(slice_of(s, REQUEST_HEAD_MAX), &r, &fault), -1);
	assert_int_equal(fault, REQUEST_TOO_LARGE);
	memset(s, '\n', REQUEST_HEAD_MAX);
	assert_int_equal(request_parse(slice_of(s, REQUEST_HEAD_MAX), &r, &fault), -1);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_get_is_understood),
		cmocka_unit_test(each_part_of_a_head_is_waited_for),
		cmocka_unit_test(the_connection_ends_where_the_client_says_so),
		cmocka_unit_test(malformed_heads_are_refused),
		cmocka_unit_test(a_head_beyond_the_bound_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
