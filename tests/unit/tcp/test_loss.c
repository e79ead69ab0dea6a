// Loss: RFC 6298, RFC 5681, RFC 6582, RFC 3042.
#include "tests/unit/tcp/bed.h"

static void rfc6298_the_rto_doubles_until_the_connection_is_given_up(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.data_retries = 5});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_info info;

	(void)state;
	tcp_get_info(c, &info);
	bed_send(b, c, 100);
	uint64_t before = bed_out(b)->at, wait = info.rto_us * 1000ull;
	bed_sleep(b, 600 * SEC);
	for (int i = 0; i < 5; i++) {
		const struct out *o = bed_out(b);
		assert_int_equal(o->len, 100);
		assert_in_range(o->at - before, wait, wait + 3 * MS);
		before = o->at;
		wait *= 2;
	}
	assert_int_equal(bed_out(b)->flags & TCP_RST, TCP_RST);
	bed_silent(b);
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ETIMEDOUT);
	assert_int_equal(tcp_send_queued(c), 0);
	tcp_close(c);
	bed_free(b);
}

static void rfc6298_5_3_an_ack_that_does_not_advance_leaves_the_timer(void **state)
{
	(void)state;
	for (int sack = 0; sack < 2; sack++) {
		struct bed *b = bed_make((struct tcp_config){0});
		struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = sack});

		bed_send(b, c, 1000);
		bed_drain(b);
		for (int i = 0; i < 50; i++) { // without them it would be due after 200 ms
			bed_sleep(b, 20 * MS);
			bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND + i});
			bed_run(b);
		}
		assert_true(bed_count(b, CTR_tcp_rto) >= 1);
		assert_int_equal(bed_out(b)->len, 1000);
		bed_free(b);
	}
}

static void rfc6298_2_the_rto_follows_the_measured_round_trip(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	struct tcp_info info;
	const struct out *o = bed_out(b);

	(void)state;
	bed_sleep(b, 400 * MS);
	bed_in(b, (struct in){.src = SRV,
			      .dst = o->src,
			      .seq = 1,
			      .ack = o->seq + 1,
			      .flags = TCP_SYN | TCP_ACK,
			      .wnd = WND});
	bed_run(b);
	tcp_get_info(c, &info);
	assert_in_range(info.srtt_us, 400000, 402000); // SRTT = R, RTTVAR = R/2, RTO = R + 4 RTTVAR
	assert_in_range(info.rto_us, 1200000, 1206000);
	bed_free(b);
}

static void rfc6298_3_what_was_sent_twice_is_not_timed(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_info before, after;

	(void)state;
	tcp_get_info(c, &before);
	bed_send(b, c, 100);
	bed_sleep(b, 5 * SEC);
	bed_ack(b, b->ack + 100, WND);
	tcp_get_info(c, &after);
	assert_int_equal(after.srtt_us, before.srtt_us);
	// And the backed-off RTO stays until something else was timed (RFC 6298 5.7).
	assert_true(after.rto_us > 2 * before.rto_us);
	bed_send(b, c, 100);
	bed_ack(b, b->ack + 100, WND);
	tcp_get_info(c, &after);
	assert_in_range(after.rto_us, 200000, before.rto_us);
	bed_free(b);
}

static void rfc6298_5_7_a_lost_syn_makes_the_first_rto_3_seconds(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	struct tcp_info info;
	const struct out *o = bed_out(b);

	(void)state;
	bed_sleep(b, 1500 * MS);
	bed_in(b, (struct in){.src = SRV,
			      .dst = o->src,
			      .seq = 1,
			      .ack = o->seq + 1,
			      .flags = TCP_SYN | TCP_ACK,
			      .wnd = WND});
	bed_run(b);
	tcp_get_info(c, &info);
	assert_int_equal(info.rto_us, 3000000);
	assert_int_equal(info.cwnd, info.mss); // RFC 5681 3.1
	bed_free(b);
}

static void rfc6928_the_first_window_is_ten_segments(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000});

	(void)state;
	bed_send(b, c, 30000);
	assert_int_equal(b->n_out, 10);
	bed_free(b);
}

static void rfc5681_3_1_slow_start_doubles_the_window_each_round_trip(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000});

	(void)state;
	bed_send(b, c, 60000);
	bed_drain(b);
	for (int i = 0; i < 10; i++)
		bed_ack(b, b->ack + 1000, WND);
	assert_int_equal(b->n_out, 20);
	bed_free(b);
}

// Sends `segments` of 1000 bytes in one flight.
static struct tcp_conn *flight(struct bed *b, uint32_t segments)
{
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000});

	bed_send(b, c, segments * 1000);
	bed_drain(b);
	return c;
}

static void rfc5681_3_2_three_duplicate_acks_send_the_lost_segment_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);
	uint32_t una = b->ack;

	(void)state;
	bed_ack(b, una, WND);
	bed_ack(b, una, WND);
	bed_silent(b);
	bed_ack(b, una, WND);
	const struct out *o = bed_out(b);
	assert_int_equal(o->seq, una);
	assert_int_equal(o->len, 1000);
	bed_silent(b);
	assert_int_equal(bed_count(b, CTR_tcp_fast_retransmit), 1);
	struct tcp_info info;
	bed_ack(b, una + 10000, WND);
	tcp_get_info(c, &info);
	assert_int_equal(info.cwnd, 2000); // full ACK, nothing under way: RFC 6582 3.2 step 3 (1)
	bed_free(b);
}

static void rfc6582_a_partial_ack_sends_the_next_hole_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);
	uint32_t una = b->ack;

	(void)state;
	for (int i = 0; i < 3; i++)
		bed_ack(b, una, WND);
	assert_int_equal(bed_out(b)->seq, una);
	bed_ack(b, una + 4000, WND);
	assert_int_equal(bed_out(b)->seq, una + 4000);
	bed_ack(b, una + 7000, WND);
	assert_int_equal(bed_out(b)->seq, una + 7000);
	assert_int_equal(c->flags & CONN_RECOVERY, CONN_RECOVERY);
	bed_ack(b, una + 10000, WND);
	assert_int_equal(c->flags & CONN_RECOVERY, 0);
	assert_int_equal(bed_count(b, CTR_tcp_fast_retransmit), 1);
	assert_int_equal(bed_count(b, CTR_tcp_rto), 0);
	bed_free(b);
}

static void rfc3042_the_first_two_duplicates_let_new_segments_out(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	flight(b, 20); // ten of them under way
	uint32_t una = b->ack;

	(void)state;
	bed_ack(b, una, WND);
	assert_int_equal(bed_out(b)->seq, una + 10000);
	bed_ack(b, una, WND);
	assert_int_equal(bed_out(b)->seq, una + 11000);
	bed_silent(b);
	bed_free(b);
}

static void a_window_update_is_no_duplicate_ack(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	flight(b, 10);

	(void)state;
	for (uint32_t i = 1; i < 10; i++)
		bed_ack(b, b->ack, WND + i * 100);
	bed_data(b, "x", 1);
	bed_data(b, "y", 1);
	assert_int_equal(bed_count(b, CTR_tcp_fast_retransmit), 0);
	bed_free(b);
}

static void after_a_timeout_it_begins_anew_with_one_segment(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.cc = TCP_CC_NEWRENO});
	struct tcp_conn *c = flight(b, 10);
	uint32_t una = b->ack;
	struct tcp_info info;

	(void)state;
	bed_sleep(b, 205 * MS);
	assert_int_equal(bed_out(b)->seq, una);
	bed_silent(b);
	tcp_get_info(c, &info);
	assert_int_equal(info.cwnd, 1000);
	assert_int_equal(c->ssthresh, 5000);
	bed_ack(b, una + 1000, WND);
	assert_int_equal(bed_out(b)->seq, una + 1000);
	assert_int_equal(bed_out(b)->seq, una + 2000);
	bed_silent(b);
	bed_ack(b, una + 10000, WND); // the peer had the others all along
	bed_sleep(b, 10 * SEC);
	bed_silent(b);
	bed_free(b);
}

static void a_bare_ack_after_a_timeout_is_still_in_the_peers_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	flight(b, 10);
	uint32_t end = b->ack + 10000;

	(void)state;
	bed_sleep(b, 205 * MS);
	bed_drain(b);
	bed_data(b, "x", 1);
	bed_data(b, "y", 1);
	const struct out *o = bed_out(b);
	assert_int_equal(o->len, 0);
	assert_int_equal(o->seq, end);
	bed_free(b);
}

static void an_old_stamp_echoed_by_a_duplicate_does_not_spoil_the_rto(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .ts = true, .tsval = FIRST_TS});
	struct tcp_info info;

	(void)state;
	bed_send(b, c, 100);
	uint32_t stamp = bed_out(b)->opt.tsval;
	bed_sleep(b, 10 * SEC);
	bed_in(b, (struct in){.seq = b->seq,
			      .ack = b->ack + 100,
			      .flags = TCP_ACK,
			      .wnd = WND,
			      .ts = true,
			      .tsval = FIRST_TS,
			      .tsecr = stamp});
	bed_run(b);
	tcp_get_info(c, &info);
	assert_in_range(info.srtt_us, 1, 10000);
	bed_free(b);
}

// RFC 5681 3.1, equation 4: at the first timeout of a segment, also where it went out as a probe into a window
// that was too small for silly window avoidance.
static void rfc5681_3_1_the_timeout_of_what_a_probe_sent_lowers_the_threshold(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 5000);
	bed_ack(b, b->ack + 5000, 500);
	bed_drain(b);
	bed_send(b, c, 3000);
	bed_silent(b);
	while (b->n_out == 0)
		bed_sleep(b, 10 * MS);
	assert_int_equal(bed_out(b)->len, 500);
	uint32_t ssthresh = c->ssthresh;
	while (bed_count(b, CTR_tcp_rto) == 0)
		bed_sleep(b, 10 * MS);
	assert_true(c->ssthresh < ssthresh);
	assert_int_equal(c->ssthresh, 2 * c->mss);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc6298_5_3_an_ack_that_does_not_advance_leaves_the_timer),
	BED_TEST(rfc6298_the_rto_doubles_until_the_connection_is_given_up),
	BED_TEST(rfc6298_2_the_rto_follows_the_measured_round_trip),
	BED_TEST(rfc6298_3_what_was_sent_twice_is_not_timed),
	BED_TEST(rfc6298_5_7_a_lost_syn_makes_the_first_rto_3_seconds),
	BED_TEST(rfc6928_the_first_window_is_ten_segments),
	BED_TEST(rfc5681_3_1_slow_start_doubles_the_window_each_round_trip),
	BED_TEST(rfc5681_3_2_three_duplicate_acks_send_the_lost_segment_again),
	BED_TEST(rfc6582_a_partial_ack_sends_the_next_hole_at_once),
	BED_TEST(rfc3042_the_first_two_duplicates_let_new_segments_out),
	BED_TEST(a_window_update_is_no_duplicate_ack),
	BED_TEST(rfc5681_3_1_the_timeout_of_what_a_probe_sent_lowers_the_threshold),
	BED_TEST(after_a_timeout_it_begins_anew_with_one_segment),
	BED_TEST(a_bare_ack_after_a_timeout_is_still_in_the_peers_window),
	BED_TEST(an_old_stamp_echoed_by_a_duplicate_does_not_spoil_the_rto),
};
BED_MAIN(tests)
