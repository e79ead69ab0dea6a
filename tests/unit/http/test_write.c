// The view of a head: fields dropped and added, and heads written from it.
#include "http/parse.h"
#include "http/write.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct http_head head;
static char out[4096];

static void request(const char *text)
{
	assert_int_equal(http_parse_request(text, strlen(text), 8192, &head), strlen(text));
}

static void response(const char *text)
{
	assert_int_equal(http_parse_response(text, strlen(text), 8192, &head), strlen(text));
}

static void request_is(enum http_framing framing, uint64_t length, const char *expect)
{
	int n = http_write_request(out, sizeof(out), &head, head.target, framing, length);

	assert_int_equal(n, strlen(expect));
	assert_memory_equal(out, expect, n);
	// Every room that is too small is noticed, and not a byte is written behind it.
	for (int room = 0; room < n; room++) {
		char *small = malloc((size_t)room + 1);

		assert_int_equal(http_write_request(small, (size_t)room, &head, head.target, framing, length),
				 -1);
		free(small);
	}
	assert_int_equal(http_write_request(out, (size_t)n, &head, head.target, framing, length), n);
}

static void response_is(enum http_framing framing, uint64_t length, bool keep, const char *connection,
			const char *expect)
{
	struct slice c = slice_of(connection, strlen(connection));
	int n = http_write_response(out, sizeof(out), &head, framing, length, keep, c);

	assert_int_equal(n, strlen(expect));
	assert_memory_equal(out, expect, n);
	for (int room = 0; room < n; room++)
		assert_int_equal(http_write_response(out, (size_t)room, &head, framing, length, keep, c), -1);
}

static void a_request_is_written_with_its_framing_stated_anew(void **state)
{
	(void)state;
	request("POST /a?b HTTP/1.0\r\nA: 1\r\nHost: h:1\r\nContent-Length: 7\r\nB:2\r\nC:  3 \r\n\r\n");
	request_is(FRAMING_LENGTH, 7,
		   "POST /a?b HTTP/1.1\r\nHost: h:1\r\nA: 1\r\nB: 2\r\nC: 3\r\nContent-Length: 7\r\n\r\n");
	request_is(FRAMING_CHUNKED, 0,
		   "POST /a?b HTTP/1.1\r\nHost: h:1\r\nA: 1\r\nB: 2\r\nC: 3\r\nTransfer-Encoding: "
		   "chunked\r\n\r\n");
	request_is(FRAMING_NONE, 0, "POST /a?b HTTP/1.1\r\nHost: h:1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
}

static void the_target_authority_replaces_host(void **state)
{
	(void)state;
	request("GET http://A.example/x HTTP/1.1\r\nHost: a.example\r\nX: y\r\n\r\n");
	assert_int_equal(http_write_request(out, sizeof(out), &head, head.path, FRAMING_NONE, 0), 42);
	assert_memory_equal(out, "GET /x HTTP/1.1\r\nHost: A.example\r\nX: y\r\n\r\n", 42);
}

static void dropped_fields_are_not_written_and_added_ones_are(void **state)
{
	(void)state;
	request("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE:\r\nF: \r\n\r\n");
	http_drop(&head, SLICE("b"));
	assert_true(http_add(&head, SLICE("X-New"), SLICE("")));
	assert_true(http_add(&head, SLICE("Via"), SLICE("1.1 churchgate")));
	request_is(FRAMING_NONE, 0,
		   "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nC: 3\r\nD: 4\r\nE: \r\nF: \r\nX-New: \r\nVia: 1.1 "
		   "churchgate\r\n\r\n");
	http_drop(&head, SLICE("A"));
	http_drop(&head, SLICE("D"));
	http_drop_id(&head, HDR_via);
	request_is(FRAMING_NONE, 0, "GET / HTTP/1.1\r\nHost: h\r\nC: 3\r\nE: \r\nF: \r\nX-New: \r\n\r\n");
}

static void a_changed_value_is_written_in_its_place(void **state)
{
	(void)state;
	request("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
	http_find(&head, SLICE("b"))->value = SLICE("two");
	request_is(FRAMING_NONE, 0, "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: two\r\nC: 3\r\n\r\n");
}

// Slices that stand two bytes apart by chance are no line that was received.
static void neighbours_in_memory_that_are_no_lines_are_written_one_by_one(void **state)
{
	static const char scratch[] = "AxxBxxCxxD";

	(void)state;
	request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(http_add(&head, slice_of(scratch, 1), slice_of(scratch + 3, 1)));
	assert_true(http_add(&head, slice_of(scratch + 6, 1), slice_of(scratch + 9, 1)));
	request_is(FRAMING_NONE, 0, "GET / HTTP/1.1\r\nHost: h\r\nA: B\r\nC: D\r\n\r\n");
}

static void a_response_is_written_with_its_framing_stated_anew(void **state)
{
	(void)state;
	response("HTTP/1.0 200 Fine\r\nContent-Length: 5\r\nA: 1\r\nB: 2\r\n\r\n");
	response_is(FRAMING_LENGTH, 5, false, "",
		    "HTTP/1.1 200 Fine\r\nA: 1\r\nB: 2\r\nContent-Length: 5\r\n\r\n");
	response_is(
		FRAMING_CHUNKED, 0, false, "close",
		"HTTP/1.1 200 Fine\r\nA: 1\r\nB: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
	response_is(FRAMING_NONE, 5, false, "keep-alive",
		    "HTTP/1.1 200 Fine\r\nA: 1\r\nB: 2\r\nConnection: keep-alive\r\n\r\n");
	response_is(FRAMING_CLOSE, 5, false, "close",
		    "HTTP/1.1 200 Fine\r\nA: 1\r\nB: 2\r\nConnection: close\r\n\r\n");
	// HEAD and 304 (RFC 9110 8.6)
	response_is(FRAMING_NONE, 18446744073709551615ull, true, "",
		    "HTTP/1.1 200 Fine\r\nA: 1\r\nB: 2\r\nContent-Length: 18446744073709551615\r\n\r\n");
}

static void our_own_response_needs_no_received_bytes(void **state)
{
	(void)state;
	memset(&head, 0, sizeof(head));
	head.status = 204;
	head.reason = slice_of(http_reason(204), strlen(http_reason(204)));
	response_is(FRAMING_NONE, 0, false, "", "HTTP/1.1 204 No Content\r\n\r\n");
}

// RFC 9110 7.6.1
static void connection_level_fields_are_dropped(void **state)
{
	(void)state;
	request("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine ,Keep-Alive\r\nConnection: y\r\n"
		"Keep-Alive: 5\r\nX-Mine: 1\r\nx-mine: 2\r\nY: 3\r\nX-Mine-Not: 4\r\nProxy-Connection: a\r\n"
		"TE: trailers\r\nTrailer: T\r\nUpgrade: u\r\nProxy-Authorization: secret\r\n"
		"Authorization: kept\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
	http_drop_hop_by_hop(&head);
	request_is(FRAMING_NONE, 0,
		   "GET / HTTP/1.1\r\nHost: h\r\nX-Mine-Not: 4\r\nAuthorization: kept\r\n"
		   "Expect: 100-continue\r\n\r\n");
	response("HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nConnection: Foo\r\nFoo: 1\r\nKeep-Alive: 1\r\n"
		 "Content-Length: 3\r\n\r\n");
	http_drop_hop_by_hop(&head);
	response_is(FRAMING_LENGTH, 3, false, "",
		    "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 3\r\n\r\n");
}

static void connection_that_names_itself_still_drops_the_others(void **state)
{
	(void)state;
	request("GET / HTTP/1.1\r\nHost: h\r\nConnection: connection\r\nConnection: x\r\nX: 1\r\nY: 2\r\n\r\n");
	http_drop_hop_by_hop(&head);
	request_is(FRAMING_NONE, 0, "GET / HTTP/1.1\r\nHost: h\r\nY: 2\r\n\r\n");
}

static void fields_are_found_in_any_case_until_they_are_dropped(void **state)
{
	struct http_field *f;

	(void)state;
	request("GET / HTTP/1.1\r\nHost: h\r\nvIA: 1\r\nVia: 2\r\nOther: 3\r\n\r\n");
	f = http_find(&head, SLICE("VIA"));
	assert_non_null(f);
	assert_int_equal(f->value.p[0], '1');
	assert_ptr_equal(f, http_find_id(&head, HDR_via));
	f->dropped = true;
	assert_int_equal(http_find_id(&head, HDR_via)->value.p[0], '2');
	http_drop_id(&head, HDR_via);
	assert_null(http_find(&head, SLICE("via")));
	assert_null(http_find_id(&head, HDR_via));
	assert_int_equal(http_find(&head, SLICE("oTHER"))->value.p[0], '3');
	assert_null(http_find(&head, SLICE("othe")));
}

static void every_known_name_is_known_in_any_case(void **state)
{
	char upper[64];

	(void)state;
#define HEADER(id, text)                                                                                       \
	assert_int_equal(http_header_of(SLICE(text)), HDR_##id);                                               \
	for (size_t i = 0; i < sizeof(text); i++)                                                              \
		upper[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);                  \
	assert_int_equal(http_header_of(slice_of(upper, sizeof(text) - 1)), HDR_##id);                         \
	upper[1] ^= 1;                                                                                         \
	assert_int_equal(http_header_of(slice_of(upper, sizeof(text) - 1)), HDR_OTHER);
#include "http/headers.def"
#undef HEADER
	assert_int_equal(http_header_of(SLICE("")), HDR_OTHER);
	assert_int_equal(http_header_of(SLICE("x-forwarded-hose")), HDR_OTHER);
}

static void methods_are_known_in_upper_case_only(void **state)
{
	(void)state;
	for (unsigned i = 0; i < METHOD_OTHER; i++) {
		const char *name = http_method_name[i];

		assert_int_equal(http_method_of(slice_of(name, strlen(name))), i);
	}
	assert_int_equal(http_method_of(SLICE("get")), METHOD_OTHER);
	assert_int_equal(http_method_of(SLICE("")), METHOD_OTHER);
	assert_int_equal(http_method_of(SLICE("OPTION")), METHOD_OTHER);
}

static void there_is_room_for_a_bounded_number_of_fields(void **state)
{
	(void)state;
	request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	for (int i = 1; i < HTTP_FIELDS_ROOM; i++)
		assert_true(http_add(&head, SLICE("A"), SLICE("b")));
	assert_false(http_add(&head, SLICE("A"), SLICE("b")));
	assert_int_equal(head.n, HTTP_FIELDS_ROOM);
}

static void lists_are_taken_apart(void **state)
{
	struct slice list = SLICE(" ,a, b c\t,,d ,"), e;

	(void)state;
	assert_true(http_list_next(&list, &e));
	assert_true(slice_eq(e, SLICE("a")));
	assert_true(http_list_next(&list, &e));
	assert_true(slice_eq(e, SLICE("b c")));
	assert_true(http_list_next(&list, &e));
	assert_true(slice_eq(e, SLICE("d")));
	assert_false(http_list_next(&list, &e));
}

// RFC 9110 5.6.7
static void dates_are_written_as_the_calendar_has_them(void **state)
{
	static const uint64_t interesting[] = {0, 784111777, 951782400, 951868799, 4102444799, 253402300799};
	char got[30] = "", expect[64];

	(void)state;
	http_date(got, 784111777);
	assert_string_equal(got, "Sun, 06 Nov 1994 08:49:37 GMT");
	for (uint64_t i = 0; i < 40000 + sizeof(interesting) / sizeof(interesting[0]); i++) {
		uint64_t t = i < 40000 ? i * 86399 + i : interesting[i - 40000];
		time_t when = (time_t)t;
		struct tm tm;

		gmtime_r(&when, &tm);
		strftime(expect, sizeof(expect), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		http_date(got, t);
		assert_string_equal(got, expect);
	}
}

static void chunk_sizes_are_hexadecimal(void **state)
{
	static const struct {
		uint64_t n;
		const char *line;
	} rows[] = {{0, "0\r\n"},     {1, "1\r\n"},         {15, "f\r\n"},
		    {16, "10\r\n"},   {255, "ff\r\n"},      {256, "100\r\n"},
		    {420, "1a4\r\n"}, {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = http_write_chunk_size(out, rows[i].n);

		assert_int_equal(n, strlen(rows[i].line));
		assert_memory_equal(out, rows[i].line, n);
	}
}

static void every_fault_has_a_status_and_a_text(void **state)
{
	(void)state;
	for (unsigned i = 1; i < FAULT_COUNT; i++) {
		assert_true(http_fault_info[i].status >= 400 && http_fault_info[i].status < 600);
		assert_true(http_reason(http_fault_info[i].status)[0] != '\0');
		assert_true(http_fault_info[i].text[0] != '\0');
	}
	assert_string_equal(http_reason(299), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_written_with_its_framing_stated_anew),
		cmocka_unit_test(the_target_authority_replaces_host),
		cmocka_unit_test(dropped_fields_are_not_written_and_added_ones_are),
		cmocka_unit_test(a_changed_value_is_written_in_its_place),
		cmocka_unit_test(neighbours_in_memory_that_are_no_lines_are_written_one_by_one),
		cmocka_unit_test(a_response_is_written_with_its_framing_stated_anew),
		cmocka_unit_test(our_own_response_needs_no_received_bytes),
		cmocka_unit_test(connection_level_fields_are_dropped),
		cmocka_unit_test(connection_that_names_itself_still_drops_the_others),
		cmocka_unit_test(fields_are_found_in_any_case_until_they_are_dropped),
		cmocka_unit_test(every_known_name_is_known_in_any_case),
		cmocka_unit_test(methods_are_known_in_upper_case_only),
		cmocka_unit_test(there_is_room_for_a_bounded_number_of_fields),
		cmocka_unit_test(lists_are_taken_apart),
		cmocka_unit_test(dates_are_written_as_the_calendar_has_them),
		cmocka_unit_test(chunk_sizes_are_hexadecimal),
		cmocka_unit_test(every_fault_has_a_status_and_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
