// How large segments may be: RFC 1191, RFC 8201, RFC 2923 2.1, RFC 4821 7.7.
#include "tests/unit/tcp/bed.h"

#define MINUTE (60 * SEC)

static struct tcp_conn *accept_large(struct bed *b, uint16_t peer, bool sack)
{
	b->peer_port = peer;
	b->seq = PEER_ISN;
	bed_drain(b);
	return bed_accept_with(b, (struct in){.mss = 1460, .sack_ok = sack});
}

static void too_big(struct bed *b, uint32_t seq, uint16_t mtu)
{
	tcp_unreachable(b->tcp, b->local, b->remote, SRV, b->peer_port, seq, 3, 4, mtu);
	bed_run(b);
}

static void rfc8201_5_2_what_one_connection_learnt_others_to_that_address_know(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, false);

	(void)state;
	bed_send(b, c, 1460);
	too_big(b, bed_out(b)->seq, 1400);
	assert_int_equal(c->mss, 1360);
	assert_int_equal(bed_count(b, CTR_tcp_path_mtu), 1);
	bed_drain(b);
	b->peer_port = PEER + 1;
	b->seq = PEER_ISN;
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_SYN, .wnd = WND, .mss = 1460});
	bed_run(b);
	assert_int_equal(bed_out(b)->opt.mss, 1460); // RFC 9293 3.7.1: what we can receive
	bed_drain(b);
	assert_int_equal(accept_large(b, PEER + 2, false)->mss, 1360);
	bed_free(b);
}

static void rfc8201_5_4_after_ten_minutes_larger_segments_are_tried_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, false);

	(void)state;
	bed_send(b, c, 1460);
	too_big(b, bed_out(b)->seq, 1400);
	bed_ack(b, b->ack + 1460, WND);
	bed_sleep(b, 9 * MINUTE);
	bed_drain(b);
	bed_send(b, c, 2000);
	assert_int_equal(bed_out(b)->len, 1360);
	bed_ack(b, b->ack + 2000, WND);
	bed_sleep(b, 2 * MINUTE);
	bed_send(b, c, 10);
	bed_drain(b);
	bed_send(b, c, 2000);
	assert_int_equal(bed_out(b)->len, 1460);
	assert_int_equal(accept_large(b, PEER + 1, false)->mss, 1460);
	bed_free(b);
}

static void rfc1191_5_a_router_that_names_no_size_means_the_next_usual_one(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, true);
	const uint16_t mss[] = {1452, 966, 536, 536};

	(void)state;
	bed_send(b, c, 1460);
	uint32_t seq = bed_out(b)->seq;
	for (int i = 0; i < 4; i++) {
		too_big(b, seq, 0);
		assert_int_equal(c->mss, mss[i]);
	}
	bed_free(b);
}

static void rfc5927_7_a_size_that_no_network_has_is_not_believed(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, true);

	(void)state;
	bed_send(b, c, 1460);
	uint32_t seq = bed_out(b)->seq;
	too_big(b, seq, 68);
	too_big(b, seq, 575);
	too_big(b, seq, 9000);
	too_big(b, seq + 100000, 1000); // nor what was never sent (RFC 5927 4.1)
	assert_int_equal(c->mss, 1460);
	bed_free(b);
}

// Segments larger than `fits` vanish without a word; the connection sends 20 000 bytes.
static void black_hole(bool sack, uint32_t fits)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, sack);
	uint32_t first = b->ack, end = first + 20000, got = first;
	uint64_t begin = b->now;

	bed_send(b, c, 20000);
	for (int i = 0; i < 10000 && got != end; i++) {
		bool more = false;
		for (; b->seen < b->n_out; b->seen++) {
			const struct out *o = &b->out[b->seen];
			if (o->len == 0 || o->len > fits || seq_gt(o->seq, got) || seq_le(o->seq + o->len, got))
				continue;
			got = o->seq + o->len;
			more = true;
		}
		bed_drain(b);
		if (more)
			bed_ack(b, got, WND);
		else
			bed_sleep(b, 10 * MS);
	}
	assert_int_equal(got, end);
	assert_true(c->mss <= fits);
	assert_in_range(b->now - begin, 1, 20 * SEC);
	assert_true(bed_count(b, CTR_tcp_black_hole) > 0);
	// RFC 2923 2.1: new connections begin with full segments; it may have been an outage.
	assert_int_equal(accept_large(b, PEER + 1, sack)->mss, 1460);
	bed_free(b);
}

static void rfc2923_2_1_full_segments_that_vanish_without_a_word_become_smaller(void **state)
{
	(void)state;
	for (int sack = 0; sack < 2; sack++) {
		black_hole(sack, 1400);
		black_hole(sack, 1100);
		black_hole(sack, 536);
	}
}

static void rfc2923_2_1_small_segments_that_vanish_are_no_matter_of_size(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, true);

	(void)state;
	bed_send(b, c, 500);
	bed_sleep(b, 20 * SEC);
	assert_int_equal(c->mss, 1460);
	assert_int_equal(bed_count(b, CTR_tcp_black_hole), 0);
	bed_free(b);
}

static void an_outage_leaves_the_segments_as_large_as_they_were(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, true);

	(void)state;
	bed_send(b, c, 1460);
	bed_sleep(b, 1300 * MS); // two timeouts
	assert_int_equal(c->mss, 1460);
	bed_sleep(b, 200 * MS);
	assert_int_equal(c->mss, 1220);
	bed_sleep(b, 6 * SEC);
	assert_int_equal(c->mss, 536);
	assert_int_equal(bed_count(b, CTR_tcp_black_hole), 3);
	bed_sleep(b, 6 * SEC);
	assert_int_equal(c->mss, 1460);
	bed_free(b);
}

// Segments larger than `fits` vanish; all others are acknowledged 20 ms later, until `bytes` have arrived.
static void carry(struct bed *b, struct tcp_conn *c, uint32_t bytes, uint32_t fits)
{
	uint32_t got = b->ack, end = got + bytes;
	struct sack_block beyond = {0};

	for (int i = 0; i < 20000 && got != end; i++) {
		uint32_t queued = tcp_send_queued(c), left = end - b->ack - queued;
		if (queued < 30000 && left)
			bed_send(b, c, left < 10000 ? left : 10000);
		bool any = false;
		for (; b->seen < b->n_out; b->seen++) {
			const struct out *o = &b->out[b->seen];
			uint32_t o_end = o->seq + o->len;
			if (o->len == 0 || o->len > fits)
				continue;
			any = true;
			if (seq_le(o->seq, got) && seq_gt(o_end, got))
				got = o_end;
			else if (seq_gt(o->seq, got))
				beyond = beyond.lo == beyond.hi
						 ? (struct sack_block){o->seq, o_end}
						 : (struct sack_block){seq_lt(o->seq, beyond.lo) ? o->seq
												 : beyond.lo,
								       seq_max(beyond.hi, o_end)};
			if (beyond.lo != beyond.hi && seq_ge(got, beyond.lo)) {
				got = seq_max(got, beyond.hi);
				beyond.lo = beyond.hi;
			}
		}
		bed_drain(b);
		bed_sleep(b, any ? 20 * MS : 10 * MS);
		if (!any)
			continue;
		b->ack = got;
		bed_in(b, (struct in){.seq = b->seq,
				      .ack = got,
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .sack = {beyond},
				      .n_sack = beyond.lo != beyond.hi});
		bed_run(b);
	}
	assert_int_equal(got, end);
}

static void rfc4821_7_6_1_what_was_an_outage_leaves_segments_as_large_as_they_were(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, true);

	(void)state;
	bed_send(b, c, 1460);
	bed_sleep(b, 2 * SEC);
	assert_int_equal(c->mss, 1220);
	bed_drain(b);
	carry(b, c, 300000, 1460);
	assert_int_equal(c->mss, 1460);
	assert_int_equal(bed_count(b, CTR_tcp_mtu_probe), 1);
	assert_int_equal(c->more & MORE_SEARCH, 0);
	bed_free(b);
}

static void rfc4821_7_3_a_narrow_path_that_says_nothing_is_filled_but_for_a_few_bytes(void **state)
{
	static const uint32_t fits[] = {1452, 1400, 1300, 1232};

	(void)state;
	for (unsigned i = 0; i < sizeof(fits) / sizeof(*fits); i++) {
		struct bed *b = bed_make((struct tcp_config){0});
		struct tcp_conn *c = accept_large(b, PEER, true);

		bed_send(b, c, 1460);
		bed_sleep(b, 2 * SEC);
		for (int k = 0; k < 10; k++) { // some seconds lie between probes
			carry(b, c, 200000, fits[i]);
			bed_sleep(b, 9 * SEC);
		}
		assert_in_range(c->mss, fits[i] - 16, fits[i]);
		// A probe's loss shut no window: of timeouts there were those that found the narrow path alone.
		assert_int_equal(bed_count(b, CTR_tcp_rto), 3);
		assert_int_equal(bed_count(b, CTR_tcp_fast_retransmit), 0);
		assert_true(bed_count(b, CTR_tcp_mtu_probe_lost) > 0);
		bed_free(b);
	}
}

static void rfc4821_7_3_a_path_that_becomes_wide_is_found_to_be_within_ten_minutes(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, true);

	(void)state;
	bed_send(b, c, 1460);
	too_big(b, bed_out(b)->seq, 1300);
	bed_drain(b);
	carry(b, c, 100000, 1260);
	assert_int_equal(c->mss, 1260);
	bed_sleep(b, 11 * MINUTE);
	carry(b, c, 100000, 1260); // narrow still
	assert_int_equal(c->mss, 1260);
	assert_true(bed_count(b, CTR_tcp_mtu_probe_lost) > 0);
	for (int k = 0; k < 80; k++) {
		bed_sleep(b, 10 * SEC);
		carry(b, c, 50000, 1460);
	}
	assert_int_equal(c->mss, 1460);
	assert_int_equal(accept_large(b, PEER + 1, true)->mss, 1460);
	bed_free(b);
}

static void a_connection_that_ends_gives_its_place_in_the_search_up(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_large(b, PEER, true);

	(void)state;
	bed_send(b, c, 1460);
	bed_sleep(b, 2 * SEC);
	assert_true(c->more & MORE_SEARCH);
	assert_int_equal(b->tcp->mtu_search[conn_index(b->tcp, c)].owner, conn_index(b->tcp, c) + 1);
	tcp_abort(c);
	assert_int_equal(b->tcp->mtu_search[0].owner, 0);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc4821_7_6_1_what_was_an_outage_leaves_segments_as_large_as_they_were),
	BED_TEST(rfc4821_7_3_a_narrow_path_that_says_nothing_is_filled_but_for_a_few_bytes),
	BED_TEST(rfc4821_7_3_a_path_that_becomes_wide_is_found_to_be_within_ten_minutes),
	BED_TEST(a_connection_that_ends_gives_its_place_in_the_search_up),
	BED_TEST(rfc8201_5_2_what_one_connection_learnt_others_to_that_address_know),
	BED_TEST(rfc8201_5_4_after_ten_minutes_larger_segments_are_tried_again),
	BED_TEST(rfc1191_5_a_router_that_names_no_size_means_the_next_usual_one),
	BED_TEST(rfc5927_7_a_size_that_no_network_has_is_not_believed),
	BED_TEST(rfc2923_2_1_full_segments_that_vanish_without_a_word_become_smaller),
	BED_TEST(rfc2923_2_1_small_segments_that_vanish_are_no_matter_of_size),
	BED_TEST(an_outage_leaves_the_segments_as_large_as_they_were),
};
BED_MAIN(tests)
