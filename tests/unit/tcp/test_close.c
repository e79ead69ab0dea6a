// Closing: RFC 9293 3.6, RFC 6191, RFC 1337.
#include "tests/unit/tcp/bed.h"

static void rfc9293_3_6_closing_first_goes_through_time_wait(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.msl = 5 * SEC});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_pools pools;

	(void)state;
	tcp_close(c);
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
	bed_ack(b, o->seq + 1, WND);
	bed_fin(b);
	o = bed_out(b);
	assert_int_equal(o->flags, TCP_ACK);
	assert_int_equal(o->ack, b->seq);
	tcp_pools(b->tcp, &pools);
	assert_int_equal(pools.conns_used, 0);
	assert_int_equal(pools.time_wait_used, 1);
	// The FIN comes again: its ACK was lost. The wait begins anew.
	bed_sleep(b, 8 * SEC);
	b->seq--;
	bed_fin(b);
	assert_int_equal(bed_out(b)->ack, b->seq);
	bed_sleep(b, 8 * SEC);
	assert_int_equal(b->tcp->waits.used, 1);
	bed_sleep(b, 3 * SEC);
	assert_int_equal(b->tcp->waits.used, 0);
	bed_silent(b);
	assert_int_equal(b->calls, 0);
	bed_free(b);
}

static void closing_second_leaves_nothing_behind(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_fin(b);
	assert_int_equal(b->all, EV_EOF);
	assert_true(tcp_recv_eof(c));
	assert_int_equal(bed_state(c), TCP_CLOSE_WAIT);
	assert_int_equal(bed_out(b)->ack, b->seq);
	tcp_close(c);
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
	bed_ack(b, o->seq + 1, WND);
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(b->tcp->waits.used, 0);
	bed_free(b);
}

static void rfc9293_3_6_half_close_goes_on_receiving(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 10);
	tcp_shutdown(c);
	bed_run(b);
	assert_int_equal(bed_out(b)->len, 10);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
	bed_ack(b, o->seq + 1, WND);
	assert_int_equal(bed_state(c), TCP_FIN_WAIT_2);
	bed_sleep(b, 3600 * SEC); // as long as the owner wants
	bed_data(b, "still here", 10);
	assert_int_equal(tcp_recv_len(c), 10);
	assert_int_equal(tcp_send_space(c), 0);
	bed_fin(b);
	assert_int_equal(b->all, EV_READABLE | EV_EOF);
	assert_false(tcp_recv_eof(c));
	tcp_recv_skip(c, 10);
	assert_true(tcp_recv_eof(c));
	assert_int_equal(bed_state(c), TCP_TIME_WAIT);
	tcp_close(c);
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(b->tcp->waits.used, 1);
	bed_free(b);
}

static void half_close_by_the_peer_goes_on_sending(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_fin(b);
	bed_drain(b);
	bed_send(b, c, 500);
	assert_int_equal(bed_out(b)->len, 500);
	bed_ack(b, b->ack + 500, WND);
	tcp_shutdown(c);
	bed_run(b);
	assert_int_equal(bed_out(b)->flags & TCP_FIN, TCP_FIN);
	assert_int_equal(bed_state(c), TCP_LAST_ACK);
	bed_ack(b, b->ack + 1, WND);
	assert_int_equal(bed_state(c), TCP_CLOSED);
	assert_int_equal(b->all & EV_ERROR, 0);
	tcp_close(c);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void rfc9293_3_6_both_sides_may_close_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	tcp_close(c);
	bed_run(b);
	const struct out *o = bed_out(b);
	bed_fin(b); // acknowledges nothing of ours
	assert_int_equal(bed_state(c), TCP_CLOSING);
	assert_int_equal(bed_out(b)->ack, b->seq);
	bed_ack(b, o->seq + 1, WND);
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(b->tcp->waits.used, 1);
	bed_free(b);
}

static void what_was_queued_before_close_is_still_sent(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 1000});

	(void)state;
	bed_send(b, c, 3000);
	tcp_close(c);
	bed_run(b);
	uint32_t got = 0, first = b->ack;
	bool fin = false;
	while (!fin) {
		const struct out *o = bed_out(b);
		assert_int_equal(o->seq, first + got);
		got += o->len;
		fin = o->flags & TCP_FIN;
		bed_ack(b, first + got + fin, 1000);
	}
	assert_int_equal(got, 3000);
	bed_free(b);
}

static void rfc2525_2_17_closing_with_unread_data_resets(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_data(b, "unread", 6);
	bed_drain(b);
	tcp_close(c);
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags & TCP_RST, TCP_RST);
	assert_int_equal(o->seq, b->ack);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_silent(b);
	bed_free(b);
}

static void rfc9293_3_6_1_data_after_close_resets(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	tcp_close(c);
	bed_run(b);
	uint32_t fin = bed_out(b)->seq;
	bed_ack(b, fin + 1, WND);
	bed_data(b, "late", 4);
	assert_int_equal(bed_out(b)->flags & TCP_RST, TCP_RST);
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(bed_count(b, CTR_tcp_after_close), 1);
	bed_free(b);
}

static void a_closed_connection_does_not_wait_for_the_peers_fin_for_ever(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	tcp_close(c);
	bed_run(b);
	bed_ack(b, bed_out(b)->seq + 1, WND);
	bed_sleep(b, 59 * SEC);
	assert_int_equal(b->tcp->conns.used, 1);
	bed_sleep(b, 2 * SEC);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void abort_resets_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 100);
	bed_drain(b);
	tcp_abort(c);
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags & TCP_RST, TCP_RST);
	assert_int_equal(o->seq, b->ack + 100);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_sleep(b, 60 * SEC);
	bed_silent(b);
	bed_free(b);
}

static void a_connect_that_is_closed_before_it_is_open_just_ends(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);

	(void)state;
	bed_drain(b);
	tcp_close(c);
	bed_run(b);
	bed_silent(b);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void a_lost_fin_is_sent_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	tcp_close(c);
	bed_run(b);
	uint32_t seq = bed_out(b)->seq;
	bed_sleep(b, 1100 * MS);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
	assert_int_equal(o->seq, seq);
	bed_free(b);
}

static void a_fin_that_overtook_data_waits_for_it(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_in(b, (struct in){.seq = b->seq + 5, .ack = b->ack, .flags = TCP_ACK | TCP_FIN, .wnd = WND});
	bed_run(b);
	assert_int_equal(b->all, 0);
	bed_data(b, "first", 5);
	assert_int_equal(b->all, EV_READABLE | EV_EOF);
	assert_int_equal(bed_state(c), TCP_CLOSE_WAIT);
	bed_free(b);
}

// A connection that has gone to TIME_WAIT; our last number is returned.
static uint32_t wait_state(struct bed *b, bool ts)
{
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .ts = ts, .tsval = FIRST_TS});

	tcp_close(c);
	bed_run(b);
	uint32_t fin = bed_out(b)->seq;
	bed_ack(b, fin + 1, WND);
	bed_fin(b);
	bed_drain(b);
	assert_int_equal(b->tcp->waits.used, 1);
	b->all = b->calls = 0;
	b->ts = false;
	return fin + 1;
}

static void rfc6191_a_later_syn_ends_time_wait(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	uint32_t last = wait_state(b, false);

	(void)state;
	bed_in(b, (struct in){.seq = b->seq + 100, .flags = TCP_SYN, .wnd = WND});
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_SYN | TCP_ACK);
	assert_true(seq_gt(o->seq, last));
	assert_int_equal(b->tcp->waits.used, 0);
	assert_int_equal(bed_count(b, CTR_tcp_time_wait_reused), 1);
	bed_free(b);
}

static void rfc6191_a_later_timestamp_ends_time_wait_even_with_a_lower_number(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	wait_state(b, true);
	bed_in(b,
	       (struct in){
		       .seq = b->seq - 5000, .flags = TCP_SYN, .wnd = WND, .ts = true, .tsval = FIRST_TS + 1});
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_SYN | TCP_ACK);
	bed_free(b);
}

static void an_old_syn_in_time_wait_is_answered_with_an_ack(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	uint32_t last = wait_state(b, true);

	(void)state;
	bed_in(b,
	       (struct in){
		       .seq = b->seq + 5000, .flags = TCP_SYN, .wnd = WND, .ts = true, .tsval = FIRST_TS - 1});
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_ACK);
	assert_int_equal(o->seq, last);
	assert_int_equal(o->ack, b->seq);
	assert_int_equal(b->tcp->waits.used, 1);
	bed_free(b);
}

static void rfc1337_a_reset_does_not_end_time_wait(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	wait_state(b, false);
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_RST});
	bed_run(b);
	bed_silent(b);
	assert_int_equal(b->tcp->waits.used, 1);
	bed_free(b);
}

static void the_oldest_time_wait_gives_way_when_the_records_are_used_up(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_time_wait = 2});

	(void)state;
	for (uint16_t i = 0; i < 5; i++) {
		struct tcp_conn *c;
		b->peer_port = (uint16_t)(PEER + i);
		c = bed_accept(b);
		tcp_close(c);
		bed_run(b);
		bed_ack(b, bed_out(b)->seq + 1, WND);
		bed_fin(b);
		bed_drain(b);
	}
	assert_int_equal(b->tcp->waits.used, 2);
	assert_int_equal(bed_count(b, CTR_tcp_time_wait_recycled), 3);
	bed_free(b);
}

static void ports_in_time_wait_are_not_chosen_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	const struct out *o = bed_out(b);
	uint16_t port = o->src;

	(void)state;
	b->peer_port = SRV;
	b->our_port = port;
	b->seq = 100;
	bed_in(b, (struct in){.seq = b->seq++, .ack = o->seq + 1, .flags = TCP_SYN | TCP_ACK, .wnd = WND});
	bed_run(b);
	tcp_close(c);
	bed_run(b);
	bed_ack(b, o->seq + 2, WND);
	bed_fin(b);
	assert_int_equal(b->tcp->waits.used, 1);
	for (unsigned i = 0; i < PORT_COUNTERS; i++)
		b->tcp->port_counter[i] = 0; // the counter comes round to the same port
	bed_drain(b);
	bed_connect(b);
	assert_int_not_equal(bed_out(b)->src, port);
	bed_free(b);
}

// The connection that was opened and closed by us; n times, each from another port.
static void open_and_close(struct bed *b, unsigned n, bool ts)
{
	for (unsigned i = 0; i < n; i++) {
		struct tcp_conn *c = bed_connect(b);
		const struct out *o = bed_out(b);
		struct in in = {.src = SRV,
				.dst = o->src,
				.seq = 100,
				.ack = o->seq + 1,
				.wnd = WND,
				.ts = ts,
				.tsval = 1};

		in.flags = TCP_SYN | TCP_ACK;
		bed_in(b, in);
		bed_run(b);
		tcp_close(c);
		bed_run(b);
		in.flags = TCP_FIN | TCP_ACK;
		in.seq++;
		in.ack++;
		bed_in(b, in);
		bed_run(b);
		bed_drain(b);
	}
}

static void rfc6191_where_no_port_is_left_one_in_time_wait_is_taken_above_its_last_number(void **state)
{
	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		struct bed *b = bed_make((struct tcp_config){.max_time_wait = 3000});
		int err = 0;

		open_and_close(b, 2500, ts);
		assert_int_equal(b->tcp->waits.used, 2500);
		for (unsigned i = 0; i < PORT_COUNTERS; i++)
			b->tcp->port_counter[i] = 0;
		// Not within a second, as both must be told apart by their timestamps; without these not at
		// all.
		assert_null(tcp_connect(b->tcp, 0, b->remote, SRV, bed_event, b, NULL, &err));
		assert_int_equal(err, -EADDRNOTAVAIL);
		bed_sleep(b, 1100 * MS);
		for (unsigned i = 0; i < PORT_COUNTERS; i++)
			b->tcp->port_counter[i] = 0;
		struct tcp_conn *c = tcp_connect(b->tcp, 0, b->remote, SRV, bed_event, b, NULL, &err);
		assert_int_equal(c != NULL, ts);
		assert_int_equal(bed_count(b, CTR_tcp_time_wait_port), ts);
		bed_run(b);
		if (c)
			assert_int_equal(bed_out(b)->flags, TCP_SYN);
		bed_free(b);
	}
}

static void rfc6191_2_a_syn_with_a_clock_ends_time_wait_of_one_without(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	wait_state(b, false);
	bed_in(b, (struct in){.seq = b->seq - 5000, .flags = TCP_SYN, .wnd = WND, .ts = true, .tsval = 1});
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_SYN | TCP_ACK);
	bed_free(b);
}

static void rfc9293_3_6_in_closing_a_lost_fin_is_sent_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	tcp_shutdown(c);
	bed_run(b);
	const struct out *fin = bed_out(b);
	bed_in(b, (struct in){.seq = b->seq++, .ack = b->ack, .flags = TCP_FIN | TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(bed_state(c), TCP_CLOSING);
	bed_drain(b);
	for (int i = 0; i < 2; i++) {
		bed_sleep(b, 4 * SEC);
		const struct out *o = bed_out(b);
		assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
		assert_int_equal(o->seq, fin->seq);
		bed_drain(b);
	}
	bed_ack(b, b->ack + 1, WND);
	assert_int_equal(bed_state(c), TCP_TIME_WAIT);
	tcp_close(c);
	bed_free(b);
}

static void a_partial_ack_of_a_fin_with_data_leaves_the_rest_and_the_fin(void **state)
{
	(void)state;
	for (int sack = 0; sack < 2; sack++) {
		struct bed *b = bed_make((struct tcp_config){0});
		struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = sack});
		char bytes[500] = {0};

		assert_int_equal(tcp_send_copy(c, bytes, 500), 0);
		tcp_shutdown(c);
		bed_run(b);
		const struct out *o = bed_out(b);
		assert_int_equal(o->len, 500);
		assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
		bed_ack(b, b->ack + 200, WND); // the middle of its payload
		assert_int_equal(bed_state(c), TCP_FIN_WAIT_1);
		bed_drain(b);
		bed_sleep(b, 2 * SEC);
		o = bed_out(b);
		assert_int_equal(o->seq + o->len, b->ack + 300);
		assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
		bed_ack(b, b->ack + 300, WND); // all but the FIN
		assert_int_equal(bed_state(c), TCP_FIN_WAIT_1);
		bed_drain(b);
		bed_sleep(b, 5 * SEC);
		o = bed_out(b);
		assert_int_equal(o->len, 0);
		assert_int_equal(o->flags & TCP_FIN, TCP_FIN);
		bed_ack(b, b->ack + 1, WND);
		assert_int_equal(bed_state(c), TCP_FIN_WAIT_2);
		bed_free(b);
	}
}

static void no_timer_of_a_dead_connection_does_anything(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.keep_idle = 1 * SEC, .user_timeout = 3 * SEC});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 2500);
	bed_data(b, "x", 1); // a delayed acknowledgement is due, too
	bed_drain(b);
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_RST});
	bed_run(b);
	assert_int_equal(b->all & EV_ERROR, EV_ERROR);
	bed_sleep(b, 100 * SEC); // its owner takes its time
	bed_silent(b);
	tcp_close(c);
	bed_free(b);
}

// The probe is due, no buffer is left for it, and meanwhile the one before is answered.
static void rfc9293_3_8_6_1_a_fin_that_was_acknowledged_is_not_probed_for(void **state)
{
	static struct pkt *hog[65536];
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000});
	unsigned n = 0;

	(void)state;
	bed_ack(b, b->ack, 0);
	tcp_shutdown(c);
	bed_sleep(b, 2 * SEC);
	assert_int_equal(bed_out(b)->flags & TCP_FIN, TCP_FIN); // into the shut window
	bed_drain(b);
	while ((hog[n] = pkt_alloc(bed_pool)))
		n++;
	bed_sleep(b, 5 * SEC);
	bed_silent(b);
	assert_true(bed_count(b, CTR_tcp_no_buffer) > 0);
	pkt_free(hog[--n]);
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack + 1, .flags = TCP_ACK, .wnd = WND});
	assert_int_equal(bed_state(c), TCP_FIN_WAIT_2);
	while (n)
		pkt_free(hog[--n]);
	bed_sleep(b, 5 * SEC);
	bed_silent(b);
	assert_null(conn_check(c));
	tcp_abort(c);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc9293_3_6_closing_first_goes_through_time_wait),
	BED_TEST(closing_second_leaves_nothing_behind),
	BED_TEST(rfc9293_3_6_half_close_goes_on_receiving),
	BED_TEST(half_close_by_the_peer_goes_on_sending),
	BED_TEST(rfc9293_3_6_both_sides_may_close_at_once),
	BED_TEST(what_was_queued_before_close_is_still_sent),
	BED_TEST(rfc2525_2_17_closing_with_unread_data_resets),
	BED_TEST(rfc9293_3_6_1_data_after_close_resets),
	BED_TEST(a_closed_connection_does_not_wait_for_the_peers_fin_for_ever),
	BED_TEST(abort_resets_at_once),
	BED_TEST(a_connect_that_is_closed_before_it_is_open_just_ends),
	BED_TEST(a_lost_fin_is_sent_again),
	BED_TEST(a_fin_that_overtook_data_waits_for_it),
	BED_TEST(rfc6191_a_later_syn_ends_time_wait),
	BED_TEST(rfc6191_a_later_timestamp_ends_time_wait_even_with_a_lower_number),
	BED_TEST(an_old_syn_in_time_wait_is_answered_with_an_ack),
	BED_TEST(rfc1337_a_reset_does_not_end_time_wait),
	BED_TEST(the_oldest_time_wait_gives_way_when_the_records_are_used_up),
	BED_TEST(ports_in_time_wait_are_not_chosen_again),
	BED_TEST(rfc6191_where_no_port_is_left_one_in_time_wait_is_taken_above_its_last_number),
	BED_TEST(rfc6191_2_a_syn_with_a_clock_ends_time_wait_of_one_without),
	BED_TEST(rfc9293_3_6_in_closing_a_lost_fin_is_sent_again),
	BED_TEST(a_partial_ack_of_a_fin_with_data_leaves_the_rest_and_the_fin),
	BED_TEST(no_timer_of_a_dead_connection_does_anything),
	BED_TEST(rfc9293_3_8_6_1_a_fin_that_was_acknowledged_is_not_probed_for),
};
BED_MAIN(tests)
