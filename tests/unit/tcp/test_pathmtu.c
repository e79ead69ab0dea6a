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

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc8201_5_2_what_one_connection_learnt_others_to_that_address_know),
	BED_TEST(rfc8201_5_4_after_ten_minutes_larger_segments_are_tried_again),
	BED_TEST(rfc1191_5_a_router_that_names_no_size_means_the_next_usual_one),
	BED_TEST(rfc5927_7_a_size_that_no_network_has_is_not_believed),
	BED_TEST(rfc2923_2_1_full_segments_that_vanish_without_a_word_become_smaller),
	BED_TEST(rfc2923_2_1_small_segments_that_vanish_are_no_matter_of_size),
	BED_TEST(an_outage_leaves_the_segments_as_large_as_they_were),
};
BED_MAIN(tests)
