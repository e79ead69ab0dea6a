// Loss recovery with SACK: RFC 2018 8, RFC 2883, RFC 8985, RFC 6937.
#include "tests/unit/tcp/bed.h"

#define RTT (20 * MS)

// Sends `segments` of 1000 bytes; a round trip later nothing is acknowledged yet.
static struct tcp_conn *flight_on(struct bed *b, uint32_t segments, uint32_t wnd)
{
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = true, .wnd = wnd});

	// The path is known.
	bed_send(b, c, 1000);
	bed_sleep(b, RTT);
	bed_drain(b);
	bed_ack(b, b->ack + 1000, wnd);
	assert_in_range(c->min_rtt, 20000, 21100);
	c->srtt = 20000;
	bed_send(b, c, segments * 1000);
	bed_sleep(b, RTT);
	bed_drain(b);
	return c;
}
static struct tcp_conn *flight(struct bed *b, uint32_t segments)
{
	return flight_on(b, segments, WND);
}

// The peer has segments lo to hi-1 of the flight (and a further range), and acknowledges those before `ack`.
static void sack2(struct bed *b, uint32_t ack, uint32_t lo, uint32_t hi, uint32_t lo2, uint32_t hi2)
{
	struct in in = {
		.seq = b->seq,
		.ack = b->ack + ack * 1000,
		.flags = TCP_ACK,
		.wnd = WND,
		.n_sack = hi2 ? 2 : 1,
		.sack = {{b->ack + lo * 1000, b->ack + hi * 1000}, {b->ack + lo2 * 1000, b->ack + hi2 * 1000}}};

	bed_in(b, in);
	bed_run(b);
}
static void sack(struct bed *b, uint32_t ack, uint32_t lo, uint32_t hi)
{
	sack2(b, ack, lo, hi, 0, 0);
}

static void rfc8985_6_2_what_was_sent_before_three_sacked_segments_goes_out_again_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);

	(void)state;
	sack(b, 0, 1, 4);
	assert_int_equal(bed_out(b)->seq, b->ack);
	assert_int_equal(bed_count(b, CTR_tcp_fast_retransmit), 1);
	assert_int_equal(c->sacked, 3000);
	bed_ack(b, b->ack + 10000, WND);
	assert_int_equal(c->flags & CONN_RECOVERY, 0);
	assert_int_equal(bed_count(b, CTR_tcp_retransmit), 1);
	bed_free(b);
}

static void rfc4015_a_recovery_for_what_was_only_late_is_undone(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);
	uint32_t cwnd = c->cwnd;

	(void)state;
	sack(b, 0, 1, 4);
	assert_int_equal(bed_out(b)->seq, b->ack);
	assert_true(c->cwnd < cwnd);
	bed_sleep(b, 2 * MS); // too soon for an answer to what was sent again
	bed_ack(b, b->ack + 4000, WND);
	assert_int_equal(bed_count(b, CTR_tcp_undo), 1);
	assert_int_equal(c->flags & CONN_RECOVERY, 0);
	assert_true(c->cwnd >= cwnd && c->cwnd < c->ssthresh); // slow start goes on
	bed_free(b);
}

static void rfc4015_a_recovery_that_ends_before_anything_was_sent_again_is_undone(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);
	uint32_t cwnd = c->cwnd;
	struct in in = {.seq = b->seq,
			.ack = b->ack,
			.flags = TCP_ACK,
			.wnd = WND,
			.n_sack = 1,
			.sack = {{b->ack + 1000, b->ack + 4000}}};

	(void)state;
	bed_in(b, in); // and the late one in the same burst
	assert_int_equal(c->flags & CONN_RECOVERY, CONN_RECOVERY);
	bed_ack(b, b->ack + 4000, WND);
	assert_int_equal(bed_count(b, CTR_tcp_undo), 1);
	assert_int_equal(bed_count(b, CTR_tcp_retransmit), 0);
	assert_true(c->cwnd >= cwnd);
	bed_free(b);
}

static void rfc4015_a_recovery_for_what_was_lost_is_not_undone(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);
	uint32_t cwnd = c->cwnd;

	(void)state;
	sack2(b, 0, 1, 4, 5, 8);
	sack2(b, 0, 1, 4, 5, 9);
	bed_sleep(b, 2 * MS);
	sack(b, 4, 5, 9); // the first was late, the other has to come again
	bed_sleep(b, RTT);
	bed_ack(b, c->snd_max, WND);
	assert_int_equal(bed_count(b, CTR_tcp_undo), 0);
	assert_int_equal(c->flags & CONN_RECOVERY, 0);
	assert_true(c->cwnd < cwnd);
	bed_free(b);
}

static void rfc5681_3_1_on_a_path_that_reorders_the_window_grows_with_what_arrives_in_any_order(void **state)
{
	(void)state;
	for (uint32_t reorders = 0; reorders < 2; reorders++) {
		struct bed *b = bed_make((struct tcp_config){0});
		struct tcp_conn *c = flight(b, 10);
		uint32_t cwnd = c->cwnd;

		c->flags |= reorders ? CONN_REORDERED : 0;
		sack(b, 0, 1, 3);
		assert_int_equal(c->cwnd, cwnd + reorders * 2000); // slow start
		bed_free(b);
	}
}

static void rfc8985_6_2_one_sacked_segment_waits_for_the_reordering_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	flight(b, 10);
	sack(b, 0, 1, 2);
	bed_silent(b);
	bed_sleep(b, RTT / 4 + 3 * MS);
	assert_int_equal(bed_out(b)->seq, b->ack);
	bed_free(b);
}

static void rfc8985_6_2_what_is_only_late_is_not_sent_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);

	(void)state;
	sack(b, 0, 1, 2);
	bed_sleep(b, 2 * MS);
	bed_ack(b, b->ack + 2000, WND);
	assert_int_equal(c->flags & CONN_REORDERED, CONN_REORDERED);
	// Now that the path is known to reorder, three duplicates alone do not count either.
	sack(b, 0, 1, 5);
	bed_sleep(b, 2 * MS);
	bed_ack(b, b->ack + 8000, WND);
	assert_int_equal(bed_count(b, CTR_tcp_retransmit), 0);
	bed_free(b);
}

static void rfc8985_4_a_lost_retransmission_is_found_without_a_timeout(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	flight(b, 20);
	sack(b, 0, 1, 8);
	assert_int_equal(bed_out(b)->seq, b->ack);
	sack(b, 0, 1, 10);
	const struct out *o = NULL;
	while (b->seen < b->n_out)
		o = bed_out(b);
	assert_non_null(o); // new data went out behind the retransmission
	uint32_t end = (o->seq + o->len - b->ack) / 1000;
	bed_sleep(b, RTT);
	bed_drain(b);
	sack(b, 0, 1, end);
	assert_int_equal(bed_out(b)->seq, b->ack);
	assert_int_equal(bed_count(b, CTR_tcp_rto), 0);
	bed_free(b);
}

static void rfc6937_3_the_window_shrinks_in_proportion_to_what_arrives(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.cc = TCP_CC_NEWRENO});
	struct tcp_conn *c = flight(b, 30);
	unsigned before = c->snd_max - c->snd_una; // ten and the one that slow start had added

	(void)state;
	for (uint32_t i = 2; i <= before / 1000; i++)
		sack(b, 0, 1, i);
	// Half as much went out as was under way, and no more than that is on its way now.
	assert_in_range(b->n_out, before / 2000 - 1, before / 2000 + 2);
	assert_in_range(rack_pipe(c), 1, c->ssthresh + 1000);
	bed_free(b);
}

static void rfc6937_3_an_ack_that_tells_nothing_new_lets_nothing_out(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	flight(b, 30);
	sack(b, 0, 1, 4);
	bed_drain(b);
	for (int i = 0; i < 20; i++)
		sack(b, 0, 1, 4);
	bed_silent(b);
	bed_free(b);
}

static void rfc8985_7_2_a_lost_tail_is_probed_after_two_round_trips(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	flight(b, 3);
	bed_sleep(b, RTT - 2 * MS);
	bed_silent(b);
	bed_sleep(b, 9 * MS);
	assert_int_equal(bed_out(b)->seq, b->ack + 2000);
	bed_silent(b);
	assert_int_equal(bed_count(b, CTR_tcp_tail_probe), 1);
	// Its answer shows what else is missing.
	bed_sleep(b, RTT);
	sack(b, 0, 2, 3);
	bed_sleep(b, RTT / 4 + 3 * MS);
	assert_int_equal(bed_out(b)->seq, b->ack);
	assert_int_equal(bed_count(b, CTR_tcp_rto), 0);
	bed_free(b);
}

static void rfc8985_7_3_the_probe_is_new_data_where_there_is_some(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 30);
	uint32_t sent = c->snd_max;

	(void)state;
	bed_sleep(b, RTT + 9 * MS);
	assert_int_equal(bed_out(b)->seq, sent);
	bed_silent(b);
	bed_free(b);
}

static void rfc8985_7_4_a_probe_that_was_not_needed_leaves_the_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 3);
	uint32_t cwnd = c->cwnd;

	(void)state;
	bed_sleep(b, RTT + 9 * MS);
	assert_int_equal(bed_count(b, CTR_tcp_tail_probe), 1);
	bed_ack(b, b->ack + 3000, WND);
	struct in in = {.seq = b->seq,
			.ack = b->ack,
			.flags = TCP_ACK,
			.wnd = WND,
			.n_sack = 1,
			.sack = {{b->ack - 1000, b->ack}}};
	bed_in(b, in);
	bed_run(b);
	assert_int_equal(bed_count(b, CTR_tcp_dsack_rx), 1);
	assert_int_equal(c->flags & CONN_TLP, 0);
	bed_send(b, c, 1000);
	bed_ack(b, b->ack + 1000, WND);
	assert_true(c->cwnd >= cwnd);
	bed_free(b);
}

static void rfc8985_7_4_a_loss_that_the_probe_mended_reduces_the_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 3);
	uint32_t cwnd = c->cwnd;

	(void)state;
	bed_sleep(b, RTT + 9 * MS);
	bed_ack(b, b->ack + 3000, WND);
	bed_send(b, c, 1000);
	bed_ack(b, b->ack + 1000, WND); // beyond the probe, and no word of a duplicate
	assert_true(c->cwnd < cwnd);
	bed_free(b);
}

// After a timeout the window is smaller than the threshold, which is never below two segments.
static void rfc8985_7_4_a_loss_that_the_probe_mended_never_widens_the_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 3);

	(void)state;
	bed_sleep(b, RTT + 9 * MS);
	assert_int_equal(bed_count(b, CTR_tcp_tail_probe), 1);
	bed_ack(b, b->ack + 3000, WND);
	c->cwnd = c->mss; // as the timeout left it
	bed_send(b, c, 100);
	bed_ack(b, b->ack + 100, WND);
	assert_in_range(c->cwnd, c->mss, c->mss + 100);
	bed_free(b);
}

static void rfc8985_7_3_a_lost_fin_is_probed(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 1);

	(void)state;
	bed_ack(b, b->ack + 1000, WND);
	c->srtt = 1000;
	c->rttvar = 100000; // a long RTO, so that it is not that
	tcp_shutdown(c);
	bed_run(b);
	bed_drain(b);
	bed_sleep(b, 300 * MS);
	assert_int_equal(bed_out(b)->flags & TCP_FIN, TCP_FIN);
	assert_int_equal(bed_count(b, CTR_tcp_rto), 0);
	bed_free(b);
}

static void rfc8985_6_3_after_a_timeout_only_what_is_missing_goes_out_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 6);
	unsigned seq[4] = {0}, n = 0;

	(void)state;
	sack(b, 0, 2, 4);
	bed_sleep(b, SEC);
	assert_true(bed_count(b, CTR_tcp_rto) > 0);
	bed_drain(b);
	bed_ack(b, b->ack + 1000, WND);
	bed_ack(b, b->ack + 3000, WND); // 1 to 3
	bed_sleep(b, SEC);
	while (b->seen < b->n_out && n < 4)
		seq[n++] = bed_out(b)->seq - b->ack;
	for (unsigned i = 0; i < n; i++)
		assert_in_range(seq[i] + 3000, 0, 5000);
	assert_int_equal(c->sacked, 0);
	bed_free(b);
}

static void rfc2018_8_what_the_peer_gave_up_again_is_sent_again_after_a_timeout(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 4);

	(void)state;
	sack(b, 0, 0, 4); // it says it has all, but acknowledges nothing
	bed_sleep(b, 300 * MS);
	assert_int_equal(bed_count(b, CTR_tcp_sack_reneged), 1);
	assert_int_equal(c->sacked, 0);
	bool first = false;
	while (b->seen < b->n_out)
		first |= bed_out(b)->seq == b->ack;
	assert_true(first);
	bed_free(b);
}

static void blocks_of_what_was_never_sent_are_counted_and_ignored(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 4);

	(void)state;
	sack(b, 0, 3, 5);                     // beyond
	sack2(b, 0, 3, 2, 4, 100);            // backwards, and far beyond
	sack(b, 0, 1, (uint32_t)-2000000000); // half of all numbers
	assert_int_equal(bed_count(b, CTR_tcp_sack_bad), 4);
	assert_int_equal(c->sacked, 0);
	bed_silent(b);
	bed_free(b);
}

static void rfc2883_5_d_sack_is_tolerated_and_widens_the_reordering_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 8);

	(void)state;
	bed_ack(b, b->ack + 1000, WND);
	sack(b, 0, (uint32_t)-1, 0);
	assert_int_equal(c->reo_mult, 2);
	sack(b, 0, (uint32_t)-1, 0); // the same round trip
	assert_int_equal(c->reo_mult, 2);
	sack2(b, 0, 3, 4, 2, 5); // within the second block
	assert_int_equal(bed_count(b, CTR_tcp_dsack_rx), 3);
	assert_int_equal(c->sacked, 3000);
	bed_free(b);
}

// As against kernels that split their buffers at the edges of blocks.
static void blocks_of_single_bytes_cost_nothing_and_change_nothing(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = flight(b, 10);

	(void)state;
	for (uint32_t i = 1; i < 9000; i += 8) {
		struct in in = {.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .n_sack = SACK_MAX};
		for (uint32_t k = 0; k < SACK_MAX; k++)
			in.sack[k] = (struct sack_block){b->ack + i + 2 * k, b->ack + i + 2 * k + 1};
		bed_in(b, in);
		bed_run(b);
	}
	assert_int_equal(c->sacked, 0);
	bed_silent(b);
	bed_free(b);
}

static void segments_smaller_than_buffers_are_told_apart(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 536, .sack_ok = true});
	struct pkt *p = pkt_alloc(bed_pool);

	(void)state;
	memset(pkt_append(p, 2000), 'x', 2000);
	tcp_send(c, p);
	bed_run(b);
	assert_int_equal(b->n_out, 4);
	bed_drain(b);
	bed_sleep(b, 1 * MS);
	bed_in(b, (struct in){.seq = b->seq,
			      .ack = b->ack,
			      .flags = TCP_ACK,
			      .wnd = WND,
			      .n_sack = 1,
			      .sack = {{b->ack + 536, b->ack + 2000}}});
	bed_run(b);
	bed_sleep(b, 3 * MS);
	assert_int_equal(c->sacked, 1464);
	const struct out *o = bed_out(b);
	assert_int_equal(o->seq, b->ack);
	assert_int_equal(o->len, 536);
	bed_silent(b);
	bed_free(b);
}

static void a_tiny_mss_makes_the_scoreboard_coarse_but_right(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.min_mss = 64});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 64, .sack_ok = true});
	uint32_t got = 0;

	(void)state;
	bed_send(b, c, 600);
	for (int i = 0; i < 60 && got < 600; i++) {
		bed_sleep(b, 50 * MS);
		while (b->seen < b->n_out) {
			const struct out *o = bed_out(b);
			if (i % 3 && o->seq - b->ack <= got && o->seq - b->ack + o->len > got)
				got = o->seq - b->ack + o->len;
		}
		bed_in(b, (struct in){.seq = b->seq, .ack = b->ack + got, .flags = TCP_ACK, .wnd = WND});
		bed_run(b);
	}
	assert_int_equal(got, 600);
	assert_int_equal(tcp_send_queued(c), 0);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc8985_6_2_what_was_sent_before_three_sacked_segments_goes_out_again_at_once),
	BED_TEST(rfc4015_a_recovery_for_what_was_only_late_is_undone),
	BED_TEST(rfc4015_a_recovery_that_ends_before_anything_was_sent_again_is_undone),
	BED_TEST(rfc4015_a_recovery_for_what_was_lost_is_not_undone),
	BED_TEST(rfc5681_3_1_on_a_path_that_reorders_the_window_grows_with_what_arrives_in_any_order),
	BED_TEST(rfc8985_6_2_one_sacked_segment_waits_for_the_reordering_window),
	BED_TEST(rfc8985_6_2_what_is_only_late_is_not_sent_again),
	BED_TEST(rfc8985_4_a_lost_retransmission_is_found_without_a_timeout),
	BED_TEST(rfc6937_3_the_window_shrinks_in_proportion_to_what_arrives),
	BED_TEST(rfc6937_3_an_ack_that_tells_nothing_new_lets_nothing_out),
	BED_TEST(rfc8985_7_2_a_lost_tail_is_probed_after_two_round_trips),
	BED_TEST(rfc8985_7_3_the_probe_is_new_data_where_there_is_some),
	BED_TEST(rfc8985_7_4_a_probe_that_was_not_needed_leaves_the_window),
	BED_TEST(rfc8985_7_4_a_loss_that_the_probe_mended_reduces_the_window),
	BED_TEST(rfc8985_7_4_a_loss_that_the_probe_mended_never_widens_the_window),
	BED_TEST(rfc8985_7_3_a_lost_fin_is_probed),
	BED_TEST(rfc8985_6_3_after_a_timeout_only_what_is_missing_goes_out_again),
	BED_TEST(rfc2018_8_what_the_peer_gave_up_again_is_sent_again_after_a_timeout),
	BED_TEST(blocks_of_what_was_never_sent_are_counted_and_ignored),
	BED_TEST(rfc2883_5_d_sack_is_tolerated_and_widens_the_reordering_window),
	BED_TEST(blocks_of_single_bytes_cost_nothing_and_change_nothing),
	BED_TEST(segments_smaller_than_buffers_are_told_apart),
	BED_TEST(a_tiny_mss_makes_the_scoreboard_coarse_but_right),
};
BED_MAIN(tests)
