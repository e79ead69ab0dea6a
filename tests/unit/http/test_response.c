// Response heads: each row whole and cut at every byte, as for requests.
#include "http/parse.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX 8192

static struct http_head head;

static int parse_copy(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);
	int got;

	assert_non_null(copy);
	memcpy(copy, p, n);
	got = http_parse_response(copy, n, MAX, &head);
	free(copy);
	return got;
}

#define OK "HTTP/1.1 200 OK\r\n"
#define E  "\r\n"

static const struct good {
	const char *rfc, *text, *view; // "status [reason] framing keep|close [1.0] [upgrade]"
} good[] = {
	{"9112 4", OK E, "200 [OK] until-close keep"},
	{"9112 4", "HTTP/1.1 200 \r\n" E, "200 [] until-close keep"},
	{"9112 4", "HTTP/1.1 200\r\n" E, "200 [] until-close keep"},
	{"9112 4", "HTTP/1.1 404 Not  Found\t!\r\n" E, "404 [Not  Found\t!] until-close keep"},
	{"9112 4", "HTTP/1.1 404 caf\xc3\xa9\r\n" E, "404 [caf\xc3\xa9] until-close keep"},
	{"9112 4", "HTTP/1.1 599 x\r\n" E, "599 [x] until-close keep"},
	{"9112 2.3", "HTTP/1.0 200 OK\r\n" E, "200 [OK] until-close close 1.0"},
	{"9110 2.5", "HTTP/1.2 200 OK\r\n" E, "200 [OK] until-close keep"},
	{"9112 9.3", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n" E,
	 "200 [OK] length=1 keep 1.0"},
	{"9112 9.3", OK "Connection: close\r\n" E, "200 [OK] until-close close"},
	{"9112 6.3", OK "Content-Length: 12\r\n" E, "200 [OK] length=12 keep"},
	{"9112 6.3", OK "Content-Length: 0\r\n" E, "200 [OK] length=0 keep"},
	{"9112 6.3", OK "Transfer-Encoding: chunked\r\n" E, "200 [OK] chunked keep"},
	{"9112 6.3", OK "transfer-encoding: Chunked\r\n" E, "200 [OK] chunked keep"},
	{"9112 6.3", "HTTP/1.1 204 No Content\r\n" E, "204 [No Content] none keep"},
	{"9112 6.3", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" E, "204 [No Content] none close"},
	{"9112 6.3", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" E, "304 [Not Modified] none keep"},
	{"9112 6.3", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n" E,
	 "304 [Not Modified] none keep"},
	{"9110 15.2", "HTTP/1.1 100 Continue\r\n" E, "100 [Continue] none keep"},
	{"9110 15.2", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" E, "103 [Early Hints] none keep"},
	{"9110 7.8", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" E,
	 "101 [Switching] none keep upgrade"},
	{"9112 5", OK "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n" E, "200 [OK] until-close keep"},
	{"9110 7.2", OK "Host: a\r\nHost: b c\r\n" E, "200 [OK] until-close keep"},
	{"9110 10.1.1", OK "Expect: anything\r\n" E, "200 [OK] until-close keep"},
	{"9112 6.3", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n" E,
	 "205 [Reset Content] length=0 keep"},
	{"9112 6.3", "HTTP/1.1 206 Partial Content\r\nContent-Length: 7\r\nContent-Range: bytes 0-6/9\r\n" E,
	 "206 [Partial Content] length=7 keep"},
	{"9110 15.4", "HTTP/1.1 302 Found\r\nLocation: /b#c\r\nContent-Length: 0\r\n" E,
	 "302 [Found] length=0 keep"},
};

static const struct bad {
	const char *rfc, *text;
	enum http_fault fault;
} bad[] = {
	{"9112 4", "\r\nHTTP/1.1 200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", " HTTP/1.1 200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "http/1.1 200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTQ/1.1 200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "ICY 200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "<html>", FAULT_bad_status_line},
	{"9112 4", "HTTP/1.10 200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1 200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1  200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1\t200 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1 20 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1 2000 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1 2x0 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1\r\n" E, FAULT_bad_status_line},
	{"9110 15", "HTTP/1.1 000 OK\r\n" E, FAULT_bad_status_line},
	{"9110 15", "HTTP/1.1 099 OK\r\n" E, FAULT_bad_status_line},
	{"9110 15", "HTTP/1.1 600 OK\r\n" E, FAULT_bad_status_line},
	{"9110 15", "HTTP/1.1 999 OK\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1 200 O\x01K\r\n" E, FAULT_bad_status_line},
	{"9112 4", "HTTP/1.1 200 O\x7fK\r\n" E, FAULT_bad_status_line},
	{"9112 2.3", "HTTP/2 200 OK\r\n" E, FAULT_bad_version},
	{"9112 2.3", "HTTP/0.9 200 OK\r\n" E, FAULT_bad_version},
	{"9112 2.2", "HTTP/1.1 200 OK\n" E, FAULT_bad_line_end},
	{"9112 2.2", "HTTP/1.1 200\n" E, FAULT_bad_line_end},
	{"9112 2.2", "HTTP/1.1 200 OK\rX" E, FAULT_bad_line_end},
	{"9112 2.2", OK "A: b\n" E, FAULT_bad_line_end},
	{"9112 2.2", OK "\n", FAULT_bad_line_end},
	{"9112 5.1", OK "A : b\r\n" E, FAULT_bad_field_name},
	{"9112 5.1", OK "A b\r\n" E, FAULT_bad_field_name},
	{"9112 5.1", OK ": b\r\n" E, FAULT_bad_field_name},
	{"9112 5.2", OK "A: b\r\n c\r\n" E, FAULT_obs_fold},
	{"9112 5.2", OK " A: b\r\n" E, FAULT_obs_fold},
	{"9110 5.5", OK "A: \x02\r\n" E, FAULT_bad_field_value},
	{"9110 8.6", OK "Content-Length: x\r\n" E, FAULT_bad_length},
	{"9110 8.6", OK "Content-Length: -5\r\n" E, FAULT_bad_length},
	{"9110 8.6", OK "Content-Length: 5,5\r\n" E, FAULT_bad_length},
	{"9110 8.6", OK "Content-Length: 99999999999999999999\r\n" E, FAULT_bad_length},
	{"9112 6.3", OK "Content-Length: 5\r\nContent-Length: 5\r\n" E, FAULT_several_lengths},
	{"9112 6.3", OK "Content-Length: 5\r\nContent-Length: 7\r\n" E, FAULT_several_lengths},
	{"9112 6.3", "HTTP/1.1 304 x\r\nContent-Length: 5\r\nContent-Length: 7\r\n" E, FAULT_several_lengths},
	{"9112 6.3", OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" E, FAULT_length_and_chunked},
	{"9112 6.3", OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" E, FAULT_length_and_chunked},
	{"9112 6.1", OK "Transfer-Encoding: gzip\r\n" E, FAULT_bad_transfer_encoding},
	{"9112 6.1", OK "Transfer-Encoding: gzip, chunked\r\n" E, FAULT_bad_transfer_encoding},
	{"9112 6.1", OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" E,
	 FAULT_chunked_not_last},
	{"9112 6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" E, FAULT_chunked_in_1_0},
};

static void view_of(const struct http_head *h, char *out, size_t room)
{
	char framing[40] = "none";

	if (h->framing == FRAMING_LENGTH)
		snprintf(framing, sizeof(framing), "length=%llu", (unsigned long long)h->length);
	else if (h->framing != FRAMING_NONE)
		strcpy(framing, h->framing == FRAMING_CHUNKED ? "chunked" : "until-close");
	snprintf(out, room, "%u [%.*s] %s %s%s%s", h->status, (int)h->reason.n, h->reason.p, framing,
		 h->keep_alive ? "keep" : "close", h->minor ? "" : " 1.0", h->upgrade ? " upgrade" : "");
}

static void good_responses_are_read_and_wait_for_their_last_byte(void **state)
{
	char view[256];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct good *g = &good[i];
		size_t n = strlen(g->text);

		for (size_t cut = 0; cut < n; cut++)
			if (parse_copy(g->text, cut) != HTTP_MORE)
				fail_msg("RFC %s, cut at %zu of %s", g->rfc, cut, g->text);
		assert_int_equal(parse_copy(g->text, n), n);
		assert_int_equal(http_parse_response(g->text, n, n, &head), n);
		view_of(&head, view, sizeof(view));
		assert_string_equal(view, g->view);
		assert_int_equal(http_parse_response(g->text, n, n - 1, &head), -FAULT_head_too_large);
	}
}

static void bad_responses_are_refused_for_the_same_reason_wherever_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *b = &bad[i];
		size_t n = strlen(b->text);
		int got = HTTP_MORE;

		for (size_t cut = 0; cut <= n; cut++) {
			int before = got;

			got = parse_copy(b->text, cut);
			if (got != before && (before != HTTP_MORE || got != -(int)b->fault))
				fail_msg("RFC %s, cut at %zu of %s: %d, then %d", b->rfc, cut, b->text, before,
					 got);
		}
		if (got != -(int)b->fault)
			fail_msg("RFC %s: %s: %d and not %s", b->rfc, b->text, got,
				 http_fault_info[b->fault].text);
	}
}

// RFC 9112 6.3, rules 1 and 2: what follows depends on the request too.
static void the_body_depends_on_the_request(void **state)
{
	static const char text[] = OK "Content-Length: 5\r\n\r\n";

	(void)state;
	assert_int_equal(parse_copy(text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(http_response_framing(&head, METHOD_GET), FRAMING_LENGTH);
	assert_int_equal(http_response_framing(&head, METHOD_POST), FRAMING_LENGTH);
	assert_int_equal(http_response_framing(&head, METHOD_HEAD), FRAMING_NONE);
	assert_int_equal(http_response_framing(&head, METHOD_CONNECT), FRAMING_NONE);
	assert_int_equal(head.length, 5);
	head.status = 404;
	assert_int_equal(http_response_framing(&head, METHOD_CONNECT), FRAMING_LENGTH);
}

// For the answer to HEAD, and for 304, which keep the length they state (RFC 9110 8.6).
static void a_stated_length_is_kept_where_no_body_follows(void **state)
{
	static const char text[] = "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n";

	(void)state;
	assert_int_equal(parse_copy(text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(head.framing, FRAMING_NONE);
	assert_int_equal(head.length, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_responses_are_read_and_wait_for_their_last_byte),
		cmocka_unit_test(bad_responses_are_refused_for_the_same_reason_wherever_cut),
		cmocka_unit_test(the_body_depends_on_the_request),
		cmocka_unit_test(a_stated_length_is_kept_where_no_body_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
