// Trailer sections: each is read in one piece and cut at every byte, and held to what heads are held to.
#include "http/trailer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct http_limits limits = {.head = 4096, .fields = 8};
static struct http_head out;

// In memory of its exact size.
static int parse(const char *text, size_t n, const struct http_limits *l, struct http_head *h)
{
	char *copy = malloc(n ? n : 1);
	int used;

	assert_non_null(copy);
	memcpy(copy, text, n);
	used = http_parse_trailers(copy, n, l, h);
	for (unsigned i = 0; used > 0 && i < h->n; i++) { // point to what stays
		h->field[i].name.p = text + (h->field[i].name.p - copy);
		h->field[i].value.p = text + (h->field[i].value.p - copy);
	}
	free(copy);
	return used;
}

static void fields_are_read_once_the_section_is_whole(void **state)
{
	static const char text[] = "A: b\r\nGrpc-Status:0 \r\nD:\r\nE: \xff\t.\r\n\r\nGET / HTTP/1.1\r\n";
	static const char *const name[] = {"A", "Grpc-Status", "D", "E"}, *const value[] = {"b", "0", "",
											    "\xff\t."};
	size_t whole = strlen(text) - strlen("GET / HTTP/1.1\r\n");

	(void)state;
	for (size_t n = 0; n < whole; n++)
		assert_int_equal(parse(text, n, &limits, &out), HTTP_MORE);
	for (size_t n = whole; n <= strlen(text); n++) {
		assert_int_equal(parse(text, n, &limits, &out), whole);
		assert_int_equal(out.n, 4);
		for (unsigned i = 0; i < 4; i++) {
			assert_true(slice_eq(out.field[i].name, slice_of(name[i], strlen(name[i]))));
			assert_true(slice_eq(out.field[i].value, slice_of(value[i], strlen(value[i]))));
		}
	}
}

// RFC 9110 6.5.1: what trailers say of the message's framing says nothing.
static void framing_in_trailers_is_a_field_like_any_other(void **state)
{
	static const char text[] =
		"Content-Length: 5\r\nContent-Length: x\r\nTransfer-Encoding: gzip\r\nHost: a\r\n"
		"Host: b\r\nExpect: x\r\nConnection: close\r\n\r\n";

	(void)state;
	out.framing = FRAMING_NONE;
	out.length = 7;
	out.keep_alive = true;
	assert_int_equal(parse(text, sizeof(text) - 1, &limits, &out), sizeof(text) - 1);
	assert_int_equal(out.n, 7);
	assert_int_equal(out.framing, FRAMING_NONE);
	assert_int_equal(out.length, 7);
	assert_true(out.keep_alive);
}

// The verdict of the parser of heads, over the same lines, cut at every byte.
static void trailers_are_held_to_the_rules_of_header_fields(void **state)
{
	static const char *const text[] = {
		"A: b\r\n\r\n",
		"A:b\r\nC:\t d \t\r\n\r\nrest",
		" A: b\r\n\r\n",
		"\tA: b\r\n\r\n",
		"A: b\r\n c\r\n\r\n",
		"A\r\n\r\n",
		"A : b\r\n\r\n",
		": b\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"A: \x01\r\n\r\n",
		"A: b\x7f\r\n\r\n",
		"A: b\n\r\n",
		"A: b\r\n\n",
		"A: b\rc\r\n\r\n",
		"A: b\r\n\rx",
		"\n",
		"\r\n",
		"\rx",
		"A(: b\r\n\r\n",
		"\x80: b\r\n\r\n",
		"a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\nf: 6\r\ng: 7\r\n\r\n",
		"a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\nf: 6\r\ng: 7\r\nh: 8\r\n\r\n",
		"a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\nf: 6\r\ng: 7\r\nh 8\r\n\r\n",
		"a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\nf: 6\r\ng: 7\r\n h: 8\r\n\r\n",
	};
	static const char head[] = "GET / HTTP/1.0\r\n";
	const struct http_limits seven = {.head = 4096, .fields = 7},
				 same = {.head = 8192, .line = 4096, .uri = 4096, .fields = 7};

	(void)state;
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		for (size_t n = 0; n <= strlen(text[i]); n++) {
			static struct http_head reference;
			char both[512];
			int here = parse(text[i], n, &seven, &out), there;

			memcpy(both, head, sizeof(head) - 1);
			memcpy(both + sizeof(head) - 1, text[i], n);
			there = http_parse_request_within(both, sizeof(head) - 1 + n, &same, &reference);
			if (there > 0)
				there -= (int)sizeof(head) - 1;
			if (here != there)
				fail_msg("the first %zu bytes of %s: %d, as fields of a head %d", n, text[i],
					 here, there);
			for (unsigned k = 0; here > 0 && k < out.n; k++) {
				assert_int_equal(out.n, reference.n);
				assert_true(slice_eq(out.field[k].name, reference.field[k].name));
				assert_true(slice_eq(out.field[k].value, reference.field[k].value));
			}
		}
}

static void trailers_are_bounded_in_bytes_and_in_lines(void **state)
{
	const struct http_limits small = {.head = 64, .fields = 8}, few = {.head = 4096, .fields = 2};
	char text[256];
	int n;

	(void)state;
	n = snprintf(text, sizeof(text), "A: %057d\r\n\r\n", 0); // 64 bytes
	assert_int_equal(parse(text, (size_t)n, &small, &out), 64);
	n = snprintf(text, sizeof(text), "A: %058d\r\n\r\n", 0);
	assert_int_equal(parse(text, 63, &small, &out), HTTP_MORE);
	assert_int_equal(parse(text, (size_t)n, &small, &out), -FAULT_head_too_large);
	assert_int_equal(parse("A: 1\r\nB: 2\r\n\r\n", 14, &few, &out), 14);
	assert_int_equal(parse("A: 1\r\nB: 2\r\nC: 3\r\n\r\n", 20, &few, &out), -FAULT_too_many_fields);
}

static bool allowed(const char *name)
{
	return http_trailer_allowed(slice_of(name, strlen(name)));
}

// RFC 9110 6.5.1
static void what_frames_routes_authenticates_or_describes_is_no_trailer(void **state)
{
	static const char *const none[] = {
		"Transfer-Encoding",
		"content-length",
		"HOST",
		"Trailer",
		"TE",
		"Connection",
		"Keep-Alive",
		"Upgrade",
		"Proxy-Connection",
		"Max-Forwards",
		"Expect",
		"Cache-Control",
		"Range",
		"If-Match",
		"If-None-Match",
		"Authorization",
		"Cookie",
		"Set-Cookie",
		"WWW-Authenticate",
		"Proxy-Authorization",
		"Content-Type",
		"Content-Range",
		"Location",
		"Date",
		"Content-Encoding",
		"Via",
		"Forwarded",
		"Vary",
		"X-Forwarded-For",
		"Access-Control-Allow-Origin",
		"X-Request-Id",
		"Accept",
		"Accept-Encoding",
	};
	static const char *const some[] = {
		"Content-Digest", "Repr-Digest", "Server-Timing", "Grpc-Status", "ETag", "Authentication-Info",
		"X-Checksum",     "Ages",        "Hos",           "hosts",       ""};

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (allowed(none[i]))
			fail_msg("%s", none[i]);
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		if (!allowed(some[i]))
			fail_msg("%s", some[i]);
}

// Behind CGI both are HTTP_X_FORWARDED_FOR (RFC 3875 4.1.18).
static void an_underscore_is_no_way_around_it(void **state)
{
	(void)state;
	assert_false(allowed("X_Forwarded_For"));
	assert_false(allowed("content_length"));
	assert_false(allowed("Content_Digest"));
	assert_true(allowed("grpc_status"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read_once_the_section_is_whole),
		cmocka_unit_test(framing_in_trailers_is_a_field_like_any_other),
		cmocka_unit_test(trailers_are_held_to_the_rules_of_header_fields),
		cmocka_unit_test(trailers_are_bounded_in_bytes_and_in_lines),
		cmocka_unit_test(what_frames_routes_authenticates_or_describes_is_no_trailer),
		cmocka_unit_test(an_underscore_is_no_way_around_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
