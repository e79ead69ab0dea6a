// What was queued and not sent is taken back, so that it may go out on another connection.
#include "tests/unit/tcp/bed.h"

// Of segments of 1460 bytes, its window shut behind what was sent first.
static struct bed *begin(struct tcp_conn **c)
{
	struct bed *b = bed_make((struct tcp_config){0});

	*c = bed_accept_with(b, (struct in){.mss = 1460});
	assert_false(tcp_send_waits(*c));
	return b;
}

// Of two windows that may have overtaken each other the larger counts, but for a shut one.
static void window(struct bed *b, uint32_t wnd)
{
	bed_ack(b, b->ack, 0);
	if (wnd)
		bed_ack(b, b->ack, wnd);
	bed_run(b);
	bed_drain(b);
}

static void what_was_queued_since_a_mark_is_taken_back_and_the_rest_stays(void **state)
{
	struct tcp_conn *c;
	struct bed *b = begin(&c);
	struct pkt *p;

	(void)state;
	window(b, 0);
	tcp_send(c, bed_filled('a', 1000));
	uint32_t mark = tcp_send_mark(c);
	tcp_send(c, bed_filled('b', 600));
	tcp_send(c, bed_filled('c', 1400));
	bed_run(b);
	assert_false(tcp_send_began(c, mark));
	p = tcp_send_withdraw(c, mark);
	bed_holds(p, 'b', 600);
	bed_holds(pkt_next(p), 'c', 1400);
	assert_null(pkt_next(pkt_next(p)));
	pkt_free_chain(p);
	assert_int_equal(tcp_send_queued(c), 1000);
	assert_int_equal(tcp_send_mark(c), mark);
	assert_null(tcp_send_withdraw(c, mark)); // nothing is there now
	window(b, WND);
	assert_int_equal(tcp_send_queued(c), 1000);
	tcp_abort(c);
	bed_free(b);
}

// Small ones share a buffer with what stands before them.
static void a_mark_may_stand_in_the_midst_of_a_buffer(void **state)
{
	struct tcp_conn *c;
	struct bed *b = begin(&c);
	struct pkt *p;

	(void)state;
	window(b, 0);
	assert_int_equal(tcp_send_copy(c, "before", 6), 0);
	uint32_t mark = tcp_send_mark(c);
	assert_int_equal(tcp_send_copy(c, "behind", 6), 0);
	tcp_send(c, bed_filled('c', 1400));
	p = tcp_send_withdraw(c, mark);
	assert_int_equal(pkt_len(p), 6);
	assert_memory_equal(pkt_data(p), "behind", 6);
	bed_holds(pkt_next(p), 'c', 1400);
	pkt_free_chain(p);
	bed_ack(b, b->ack, WND);
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->len, 6);
	assert_memory_equal(o->data, "before", 6);
	tcp_abort(c);
	bed_free(b);
}

static void what_was_queued_first_of_all_can_be_taken_back(void **state)
{
	struct tcp_conn *c;
	struct bed *b = begin(&c);
	struct pkt *p;

	(void)state;
	window(b, 0);
	uint32_t mark = tcp_send_mark(c);
	tcp_send(c, bed_filled('a', 300));
	p = tcp_send_withdraw(c, mark);
	bed_holds(p, 'a', 300);
	pkt_free_chain(p);
	assert_int_equal(tcp_send_queued(c), 0);
	bed_run(b);
	tcp_abort(c);
	bed_free(b);
}

static void it_is_still_there_when_the_connection_is_dead(void **state)
{
	struct tcp_conn *c;
	struct bed *b = begin(&c);
	struct pkt *p;

	(void)state;
	window(b, 0);
	uint32_t mark = tcp_send_mark(c);
	tcp_send(c, bed_filled('a', 300));
	bed_run(b);
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_RST});
	tcp_dispatch(b->tcp);
	assert_int_equal(b->events, EV_ERROR);
	assert_true(tcp_send_waits(c));
	p = tcp_send_withdraw(c, mark);
	bed_holds(p, 'a', 300);
	pkt_free_chain(p);
	tcp_close(c);
	bed_free(b);
}

static void nothing_is_taken_back_of_what_has_left_in_part(void **state)
{
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	uint32_t mark = tcp_send_mark(c);
	window(b, 1); // a probe takes one byte
	tcp_send(c, bed_filled('a', 300));
	bed_run(b);
	assert_false(tcp_send_began(c, mark));
	bed_sleep(b, 2 * SEC);
	assert_true(tcp_send_began(c, mark));
	assert_null(tcp_send_withdraw(c, mark));
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_RST});
	tcp_dispatch(b->tcp);
	assert_true(tcp_send_began(c, mark));
	assert_null(tcp_send_withdraw(c, mark));
	tcp_close(c);
	bed_free(b);
}

static void what_is_sent_waits_behind_a_shut_window_and_behind_what_waits_there(void **state)
{
	struct tcp_conn *c;
	struct bed *b = begin(&c);

	(void)state;
	window(b, 0);
	assert_true(tcp_send_waits(c));
	window(b, 100); // less than silly window avoidance uses (RFC 9293 3.8.6.2.1)
	assert_true(tcp_send_waits(c));
	window(b, WND);
	assert_false(tcp_send_waits(c));
	tcp_send(c, bed_filled('a', 300));
	assert_true(tcp_send_waits(c));
	bed_run(b);
	assert_false(tcp_send_waits(c)); // it is under way
	tcp_shutdown(c);
	assert_true(tcp_send_waits(c));
	tcp_abort(c);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(what_was_queued_since_a_mark_is_taken_back_and_the_rest_stays),
	BED_TEST(a_mark_may_stand_in_the_midst_of_a_buffer),
	BED_TEST(what_was_queued_first_of_all_can_be_taken_back),
	BED_TEST(it_is_still_there_when_the_connection_is_dead),
	BED_TEST(nothing_is_taken_back_of_what_has_left_in_part),
	BED_TEST(what_is_sent_waits_behind_a_shut_window_and_behind_what_waits_there),
};
BED_MAIN(tests)
