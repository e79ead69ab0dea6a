// The generator's backends: what of a request they look at.
#include "perf/loadgen/backend.h"
#include <rte_byteorder.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GATEWAY RTE_BE32(0xc6130001)
#define FIRST   RTE_BE32(0xc613000b)
#define SAMPLED 16 // bursts, of which one is looked at

static struct backend backend;
static struct message response;
static struct link wire;
static unsigned answers;
static uint32_t seq;

void link_send(struct link *l, const struct flow *f, uint8_t flags, uint32_t at, const char *data, uint32_t n,
	       uint64_t sum)
{
	(void)l, (void)f, (void)flags, (void)at, (void)data, (void)sum;
	answers += n > 0;
}

void link_send_syn(struct link *l, const struct flow *f, uint8_t flags, uint32_t at)
{
	(void)l, (void)f, (void)flags, (void)at;
}

void link_refuse(struct link *l, const struct segment *s)
{
	(void)l, (void)s;
	fail();
}

static void say(uint8_t flags, const char *data, uint32_t n)
{
	// All that was sent is acknowledged: the answers of this file are one segment each.
	struct segment s = {.src = GATEWAY,
			    .dst = FIRST,
			    .sport = RTE_BE16(2000),
			    .dport = RTE_BE16(8080),
			    .seq = seq,
			    .ack = 0x10001 + answers * response.n,
			    .len = n,
			    .wnd = UINT16_MAX,
			    .flags = flags,
			    .data = data};

	seq += n + !!(flags & TCP_SYN);
	backend_input(&backend, &s, 1, 1);
}

static int begin(void **state)
{
	(void)state;
	wire = (struct link){.address = FIRST};
	answers = 0;
	seq = 7;
	if (message_make(&response, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", 4) ||
	    backend_init(&backend, 1, 8080, &wire, &response))
		return -1;
	say(TCP_SYN, NULL, 0);
	return backend.accepted == 1 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	backend_fini(&backend);
	message_free(&response);
	return 0;
}

// So many POSTs of 30 bytes; the byte at `wrong` (-1: none) is another one.
static void posts(unsigned n, int wrong)
{
	struct message request;

	assert_int_equal(message_make(&request, "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n", 30), 0);
	if (wrong >= 0)
		request.bytes[request.n - 30 + (unsigned)wrong] ^= 1;
	for (unsigned i = 0; i < n; i++)
		say(TCP_ACK | TCP_PSH, request.bytes, request.n);
	message_free(&request);
}

static void each_request_is_answered_once_its_body_is_there(void **state)
{
	(void)state;
	posts(SAMPLED, -1);
	assert_int_equal(backend.requests, SAMPLED);
	assert_int_equal(answers, SAMPLED);
	assert_int_equal(backend.bad_requests, 0);
}

static void a_body_that_is_not_what_was_sent_is_a_bad_request(void **state)
{
	(void)state;
	posts(SAMPLED, 29);
	assert_int_equal(backend.bad_requests, 1);
}

static void a_body_in_pieces_is_looked_at_from_where_each_piece_begins(void **state)
{
	struct message request;

	(void)state;
	assert_int_equal(message_make(&request, "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n", 100), 0);
	for (unsigned i = 0; i < 2 * SAMPLED; i++) {
		uint32_t first = request.n - 100 + 10 + i;

		if (i == SAMPLED)
			say(TCP_ACK, NULL, 0); // first pieces so far, second ones from now on
		say(TCP_ACK, request.bytes, first);
		say(TCP_ACK | TCP_PSH, request.bytes + first, request.n - first);
	}
	message_free(&request);
	assert_int_equal(backend.requests, 2 * SAMPLED);
	assert_int_equal(backend.bad_requests, 0);
}

static void a_byte_that_is_left_out_is_noticed_in_what_follows(void **state)
{
	struct message request;

	(void)state;
	assert_int_equal(message_make(&request, "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n", 100), 0);
	say(TCP_ACK, NULL, 0); // so that it is second pieces that are looked at
	for (unsigned i = 0; i < SAMPLED; i++) {
		say(TCP_ACK, request.bytes, request.n - 60);
		say(TCP_ACK | TCP_PSH, request.bytes + request.n - 59, 59);
	}
	message_free(&request);
	assert_int_equal(backend.requests, SAMPLED);
	assert_in_range(backend.bad_requests, 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
		TEST(each_request_is_answered_once_its_body_is_there),
		TEST(a_body_that_is_not_what_was_sent_is_a_bad_request),
		TEST(a_body_in_pieces_is_looked_at_from_where_each_piece_begins),
		TEST(a_byte_that_is_left_out_is_noticed_in_what_follows),
	};

	if (!pkt_start(64))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
