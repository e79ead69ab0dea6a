#include "perf/loadgen/message.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// What message_send() hands to the link.
static char sent[8192];
static unsigned segments, pushed;
static bool sums_hold;
static struct link wire;

void link_send(struct link *l, const struct flow *f, uint8_t flags, uint32_t seq, const char *data, uint32_t n,
	       uint64_t sum)
{
	(void)f;
	l->n_tx++;
	memcpy(sent + seq, data, n);
	segments++;
	pushed += (flags & TCP_PSH) != 0;
	sums_hold &= checksum_fold(sum) == checksum_fold(checksum_add(0, data, n));
}

static int clear(void **state)
{
	(void)state;
	memset(sent, 0, sizeof(sent));
	segments = pushed = 0;
	sums_hold = true;
	wire = (struct link){0};
	return 0;
}

static bool reads(const char *text, struct head *h)
{
	return head_read(text, (uint32_t)strlen(text), h, NULL);
}

static void an_answers_head_tells_status_and_length(void **state)
{
	struct head h;

	(void)state;
	assert_true(reads("HTTP/1.1 200 OK\r\nDate: x\r\ncontent-LENGTH: 6\r\n\r\nhello\n", &h));
	assert_int_equal(h.status, 200);
	assert_int_equal(h.body, 6);
	assert_int_equal(h.n, 47);
	assert_false(h.close);
}

static void an_answers_end_of_the_connection_is_seen(void **state)
{
	struct head h;

	(void)state;
	assert_true(reads("HTTP/1.1 503 Overloaded\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", &h));
	assert_true(h.close);
	assert_int_equal(h.status, 503);
}

static void an_answer_without_a_length_is_not_understood_unless_it_has_no_body(void **state)
{
	struct head h;

	(void)state;
	assert_false(reads("HTTP/1.1 200 OK\r\nDate: x\r\n\r\n", &h));
	assert_true(reads("HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", &h));
}

static void a_head_that_does_not_end_is_not_understood(void **state)
{
	struct head h;

	(void)state;
	assert_false(reads("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n", &h));
	assert_false(reads("", &h));
}

static void a_requests_head_has_no_status(void **state)
{
	struct head h;

	(void)state;
	assert_true(reads("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n", &h));
	assert_int_equal(h.status, 0);
	assert_int_equal(h.body, 1024);
}

static void a_message_goes_out_in_segments_with_their_checksums(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(message_make(&m, "POST / HTTP/1.1\r\n\r\n", 4001), 0);
	assert_int_equal(message_send(&m, &wire, NULL, 0, 0, m.n), m.n);
	assert_memory_equal(sent, m.bytes, m.n);
	assert_int_equal(segments, 3);
	assert_int_equal(pushed, 1);
	assert_true(sums_hold);
	message_free(&m);
}

static void what_was_lost_is_sent_again_from_any_byte_up_to_any_byte(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(message_make(&m, "POST / HTTP/1.1\r\n\r\n", 4001), 0);
	for (uint32_t from = 1; from < m.n; from += 487)
		for (uint32_t to = from + 1; to <= m.n; to += 511) {
			clear(NULL);
			assert_int_equal(message_send(&m, &wire, NULL, 0, from, to), to);
			assert_memory_equal(sent + from, m.bytes + from, to - from);
			assert_int_equal(sent[from - 1], 0);
			assert_int_equal(sent[to], 0);
			assert_true(sums_hold);
		}
	message_free(&m);
}

static void a_message_stops_where_the_link_is_full_unless_that_loses_what_it_does_not_take(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(message_make(&m, "POST / HTTP/1.1\r\n\r\n", 4001), 0);
	wire.n_tx = LINK_FULL - 1;
	assert_int_equal(message_send(&m, &wire, NULL, 0, 0, m.n), LINK_MSS);
	assert_int_equal(message_send(&m, &wire, NULL, 0, LINK_MSS, m.n), LINK_MSS);
	wire.lossy = true;
	assert_int_equal(message_send(&m, &wire, NULL, 0, LINK_MSS, m.n), m.n);
	assert_memory_equal(sent, m.bytes, m.n);
	message_free(&m);
}

static void the_digits_of_a_message_tell_its_number_wherever_they_are_and_its_checksum_holds(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(message_make(&m, "GET /## HTTP/1.1\r\nHost: a-###\r\n\r\n", 3), 0);
	assert_memory_equal(m.bytes, "GET /00 HTTP/1.1\r\nHost: a-000\r\n\r\nabc", m.n);
	message_number(&m, 98765);
	assert_int_equal(message_send(&m, &wire, NULL, 0, 0, m.n), m.n);
	assert_memory_equal(sent, "GET /65 HTTP/1.1\r\nHost: a-765\r\n\r\nabc", m.n);
	assert_true(sums_hold);
	message_number(&m, 1234567); // the last ones of more digits than there is room for
	assert_int_equal(message_send(&m, &wire, NULL, 0, 0, m.n), m.n);
	assert_memory_equal(sent, "GET /67 HTTP/1.1\r\nHost: a-567\r\n\r\nabc", m.n);
	assert_true(sums_hold);
	message_free(&m);
}

static void a_message_with_too_many_digits_is_refused(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(
		message_make(&m, "GET /################ HTTP/1.1\r\nHost: ################\r\n\r\n", 0), 0);
	message_free(&m);
	assert_int_equal(
		message_make(&m, "GET /################# HTTP/1.1\r\nHost: ################\r\n\r\n", 0),
		-E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answers_head_tells_status_and_length),
		cmocka_unit_test(an_answers_end_of_the_connection_is_seen),
		cmocka_unit_test(an_answer_without_a_length_is_not_understood_unless_it_has_no_body),
		cmocka_unit_test(a_head_that_does_not_end_is_not_understood),
		cmocka_unit_test(a_requests_head_has_no_status),
		cmocka_unit_test_setup(a_message_goes_out_in_segments_with_their_checksums, clear),
		cmocka_unit_test_setup(
			a_message_stops_where_the_link_is_full_unless_that_loses_what_it_does_not_take, clear),
		cmocka_unit_test_setup(
			the_digits_of_a_message_tell_its_number_wherever_they_are_and_its_checksum_holds,
			clear),
		cmocka_unit_test(a_message_with_too_many_digits_is_refused),
		cmocka_unit_test_setup(what_was_lost_is_sent_again_from_any_byte_up_to_any_byte, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
