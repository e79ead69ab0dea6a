// One client of the generator against a server of this file: what counts as answered, and from when.
#include "perf/loadgen/client.h"
#include <rte_byteorder.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HZ       1000000000.0 // a tick is a nanosecond
#define MS       1000000ull
#define PATIENCE 100 // ms
#define BODY     6

static struct client client;
static struct client_work work;
static struct link wire;
// What the client sent last, and what the server is to say next.
static struct flow flow;
static uint8_t flags;
static unsigned syns, requests;
static uint32_t theirs; // seq
static uint64_t now;

void link_send(struct link *l, const struct flow *f, uint8_t how, uint32_t seq, const char *data, uint32_t n,
	       uint64_t sum)
{
	(void)l, (void)seq, (void)sum;
	flow = *f;
	flags = how;
	requests += n > 4 && memcmp(data + n - 4, "\r\n\r\n", 4) == 0;
}

void link_send_syn(struct link *l, const struct flow *f, uint8_t how, uint32_t seq)
{
	(void)l, (void)seq;
	flow = *f;
	flags = how;
	syns++;
}

void link_refuse(struct link *l, const struct segment *s)
{
	(void)l, (void)s;
}

void link_flush(struct link *l)
{
	(void)l;
}

static void say(uint8_t how, const char *data)
{
	struct segment s = {.src = flow.remote,
			    .dst = flow.local,
			    .sport = flow.remote_port,
			    .dport = flow.local_port,
			    .seq = theirs,
			    .ack = flow.snd_nxt,
			    .len = (uint32_t)strlen(data),
			    .wnd = UINT16_MAX,
			    .flags = how,
			    .data = data};

	theirs += s.len + !!(how & (TCP_SYN | TCP_FIN));
	client_set_now(&client, now, (uint32_t)(now / MS));
	client.verify = true;
	client_input(&client, &s, 1);
}

static void answer(const char *first_line, const char *body)
{
	char text[512];

	snprintf(text, sizeof(text), "%s\r\nDate: x\r\nContent-Length: %zu\r\n\r\n%s", first_line, strlen(body),
		 body);
	flow.snd_nxt = flow.snd_una + work.request.n; // all of the request has come
	say(TCP_ACK | TCP_PSH, text);
}

// Time goes by, and what is due happens.
static void wait_ms(unsigned ms)
{
	for (now += ms * MS;;) {
		client_set_now(&client, now, (uint32_t)(now / MS));
		client_sweep(&client);
		if (!client_turn(&client))
			break;
	}
}

// One connection that is open and idle, as yet without a rate.
static int begin(void **state)
{
	const struct client_conf conf = {.server = RTE_BE32(0xc6120001),
					 .port = 80,
					 .conns = 1,
					 .open_rate = 1000,
					 .patience = PATIENCE,
					 .pipeline = 1,
					 .hz = HZ};

	(void)state;
	wire = (struct link){.address = RTE_BE32(0xc6120100)};
	work = (struct client_work){.status = 200, .body = BODY, .share = 1};
	now = MS;
	syns = requests = 0;
	theirs = 1000;
	if (message_make(&work.request, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0) ||
	    client_init(&client, &conf, &wire, &work, 1))
		return -1;
	client_set_now(&client, now, (uint32_t)(now / MS));
	client_limit(&client, 0, 0);
	client_rate(&client, -1, 0);
	client.measuring = true;
	wait_ms(1);
	say(TCP_SYN | TCP_ACK, "");
	return syns == 1 && client.open == 1 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	client_fini(&client);
	message_free(&work.request);
	return 0;
}

static uint64_t faults(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < CLIENT_FAULTS; i++)
		n += client.fault[i];
	return n;
}

static void an_answer_that_is_as_it_should_be_counts_and_the_next_request_follows(void **state)
{
	(void)state;
	client_rate(&client, 0, 0);
	wait_ms(1);
	assert_int_equal(requests, 1);
	answer("HTTP/1.1 200 OK", "hello\n");
	assert_int_equal(client.done, 1);
	assert_int_equal(requests, 2);
	answer("HTTP/1.1 200 OK", "hello\n");
	assert_int_equal(client.done, 2);
	assert_int_equal(faults(), 0);
}

static void another_status_is_a_fault_though_all_else_is_alike(void **state)
{
	(void)state;
	client_rate(&client, 0, 0);
	wait_ms(1);
	answer("HTTP/1.1 200 OK", "hello\n");
	answer("HTTP/1.1 201 OK", "hello\n");
	assert_int_equal(client.fault[FAULT_STATUS], 1);
	assert_int_equal(client.done, 1);
	assert_int_equal(client.latency.total, 1);
}

static void another_length_is_a_fault(void **state)
{
	(void)state;
	client_rate(&client, 0, 0);
	wait_ms(1);
	answer("HTTP/1.1 200 OK", "hello\n");
	answer("HTTP/1.1 200 OK", "hell\n");
	assert_int_equal(client.fault[FAULT_LENGTH], 1);
	assert_int_equal(client.done, 1);
}

static void what_is_no_answer_is_a_fault_though_as_long_as_one(void **state)
{
	(void)state;
	client_rate(&client, 0, 0);
	wait_ms(1);
	answer("HTTP/1.1 200 OK", "hello\n");
	answer("XXXX/9.9 200 OK", "hello\n");
	assert_int_equal(client.fault[FAULT_HEAD], 1);
	assert_int_equal(client.done, 1);
}

static void another_body_than_that_of_the_answers_before_is_a_fault(void **state)
{
	(void)state;
	client_rate(&client, 0, 0);
	wait_ms(1);
	answer("HTTP/1.1 200 OK", "hello\n");
	answer("HTTP/1.1 200 OK", "hullo\n");
	assert_int_equal(client.fault[FAULT_BODY], 1);
	assert_int_equal(client.done, 1);
}

static void what_must_come_from_backends_is_held_against_their_pattern_from_the_first_answer_on(void **state)
{
	(void)state;
	work.patterned = true;
	client_rate(&client, 0, 0);
	wait_ms(1);
	answer("HTTP/1.1 200 OK", "bcdefg");
	assert_int_equal(client.fault[FAULT_BODY], 1);
	answer("HTTP/1.1 200 OK", "abcdef");
	assert_int_equal(client.fault[FAULT_BODY], 1);
	assert_int_equal(client.done, 1);
}

static void a_latency_counts_from_when_the_request_was_due(void **state)
{
	(void)state;
	client_rate(&client, 100, 0); // each 10 ms, the first one now
	wait_ms(0);
	assert_int_equal(requests, 1);
	now += 30 * MS; // those of 10 and 20 ms found no connection that was free
	answer("HTTP/1.1 200 OK", "hello\n");
	wait_ms(0);
	assert_int_equal(requests, 2);
	now += 5 * MS;
	answer("HTTP/1.1 200 OK", "hello\n");
	assert_int_equal(client.latency.total, 2);
	assert_in_range(client.latency.max, 30 * MS - 1000, 30 * MS + 1000);
	assert_in_range(histogram_at(&client.latency, 0), 25 * MS - 1000, 25 * MS + 300000);
}

static void what_was_due_before_measuring_began_anew_has_no_latency(void **state)
{
	(void)state;
	client_rate(&client, 100, 0);
	wait_ms(0);
	client.measured_from = now + 5 * MS;
	now += 30 * MS;
	answer("HTTP/1.1 200 OK", "hello\n");
	assert_int_equal(client.done, 1);
	assert_int_equal(client.latency.total, 0);
	wait_ms(0);
	answer("HTTP/1.1 200 OK", "hello\n");
	assert_int_equal(client.latency.total, 1);
}

static void a_request_without_an_answer_is_missed_and_its_connection_given_up(void **state)
{
	(void)state;
	client_rate(&client, 1000, 0);
	wait_ms(0);
	assert_int_equal(requests, 1);
	client_rate(&client, -1, 0);
	for (unsigned i = 0; i < 2 * PATIENCE; i++)
		wait_ms(1);
	assert_int_equal(client.fault[FAULT_TIMEOUT], 1);
	assert_int_equal(client.latency.total, 0);
	assert_int_equal(client.open, 0);
	assert_int_equal(client.active, 0);
}

static void a_request_that_no_connection_was_free_for_is_missed_too(void **state)
{
	(void)state;
	client_rate(&client, 100, 0);
	wait_ms(0);
	client_patience(&client, 0, 2);
	wait_ms(15);
	assert_int_equal(client.fault[FAULT_UNSENT], 1);
	assert_int_equal(client.started, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
		TEST(an_answer_that_is_as_it_should_be_counts_and_the_next_request_follows),
		TEST(another_status_is_a_fault_though_all_else_is_alike),
		TEST(another_length_is_a_fault),
		TEST(what_is_no_answer_is_a_fault_though_as_long_as_one),
		TEST(another_body_than_that_of_the_answers_before_is_a_fault),
		TEST(what_must_come_from_backends_is_held_against_their_pattern_from_the_first_answer_on),
		TEST(a_latency_counts_from_when_the_request_was_due),
		TEST(what_was_due_before_measuring_began_anew_has_no_latency),
		TEST(a_request_without_an_answer_is_missed_and_its_connection_given_up),
		TEST(a_request_that_no_connection_was_free_for_is_missed_too),
	};

	if (!pkt_start(64))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
