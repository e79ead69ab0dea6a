// What we tell of payload that is out of order (RFC 2018) or came twice (RFC 2883).
#include "tests/unit/tcp/bed.h"

static struct tcp_conn *accept_sack(struct bed *b)
{
	return bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = true});
}

// 100 bytes, `n` times 100 bytes ahead of what is in order.
static void piece(struct bed *b, uint32_t n)
{
	bed_in(b,
	       (struct in){.seq = b->seq + n * 100, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 100});
	bed_run(b);
}

static void blocks(struct bed *b, unsigned n, const uint32_t *lo, const uint32_t *hi)
{
	const struct out *o = bed_out(b);

	assert_int_equal(o->flags, TCP_ACK);
	assert_int_equal(o->opt.n_sack, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(o->opt.sack[i].lo, b->seq + lo[i] * 100);
		assert_int_equal(o->opt.sack[i].hi, b->seq + hi[i] * 100);
	}
}
#define BLOCKS(b, n, ...)                                                                                      \
	blocks(b, n, (const uint32_t[][4]){__VA_ARGS__}[0], (const uint32_t[][4]){__VA_ARGS__}[1])

static void rfc2018_2_sack_is_agreed_on_only_if_both_ends_offer_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct bed *b = bed_make((struct tcp_config){.no_sack = i & 1});
		bed_in(b,
		       (struct in){
			       .seq = 1, .flags = TCP_SYN, .wnd = WND, .mss = 1000, .sack_ok = (i & 2) != 0});
		bed_run(b);
		assert_int_equal(bed_out(b)->opt.sack_ok, i == 2);
		bed_free(b);
	}
}

static void rfc2018_2_a_syn_of_ours_offers_sack_unless_it_is_off(void **state)
{
	(void)state;
	for (unsigned off = 0; off < 2; off++) {
		struct bed *b = bed_make((struct tcp_config){.no_sack = off});
		bed_connect(b);
		assert_int_equal(bed_out(b)->opt.sack_ok, !off);
		bed_free(b);
	}
}

static void rfc2018_4_the_first_block_holds_the_segment_that_came_last(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	accept_sack(b);
	piece(b, 2);
	BLOCKS(b, 1, {2}, {3});
	piece(b, 6);
	BLOCKS(b, 2, {6, 2}, {7, 3});
	piece(b, 4);
	BLOCKS(b, 3, {4, 6, 2}, {5, 7, 3});
	piece(b, 3); // joins two blocks
	BLOCKS(b, 2, {2, 6}, {5, 7});
	bed_free(b);
}

static void rfc2018_3_four_blocks_are_told_and_three_beside_timestamps(void **state)
{
	(void)state;
	for (unsigned ts = 0; ts < 2; ts++) {
		struct bed *b = bed_make((struct tcp_config){0});
		bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = true, .ts = ts, .tsval = FIRST_TS});
		for (uint32_t i = 1; i <= 5; i++)
			piece(b, 2 * i);
		b->seen += 4;
		if (ts)
			BLOCKS(b, 3, {10, 8, 6}, {11, 9, 7});
		else
			BLOCKS(b, 4, {10, 8, 6, 4}, {11, 9, 7, 5});
		bed_free(b);
	}
}

static void rfc2018_4_blocks_end_when_the_hole_is_filled(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	accept_sack(b);
	piece(b, 1);
	bed_drain(b);
	piece(b, 0);
	const struct out *o = bed_out(b);
	assert_int_equal(o->ack, b->seq + 200);
	assert_int_equal(o->opt.n_sack, 0);
	bed_free(b);
}

static void rfc2018_4_payload_that_goes_out_does_not_stand_in_for_blocks(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_sack(b);

	(void)state;
	bed_in(b, (struct in){.seq = b->seq + 100, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 100});
	assert_int_equal(tcp_send_copy(c, "answer", 6), 0);
	bed_run(b);
	assert_int_equal(bed_out(b)->len, 6);
	BLOCKS(b, 1, {1}, {2});
	bed_silent(b);
	bed_free(b);
}

static void rfc2883_4_1_1_an_old_segment_is_reported_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	accept_sack(b);
	piece(b, 0);
	bed_drain(b);
	piece(b, 0);
	BLOCKS(b, 1, {0}, {1});
	piece(b, 2); // the report is not repeated
	BLOCKS(b, 1, {2}, {3});
	bed_free(b);
}

static void rfc2883_4_1_2_a_duplicate_out_of_order_is_reported_before_its_block(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	accept_sack(b);
	piece(b, 2);
	piece(b, 3);
	bed_drain(b);
	piece(b, 2);
	BLOCKS(b, 2, {2, 2}, {3, 4});
	bed_free(b);
}

static void rfc2883_4_2_only_the_part_that_was_there_is_reported(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_sack(b);

	(void)state;
	piece(b, 0);
	bed_drain(b);
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 200});
	bed_run(b);
	BLOCKS(b, 1, {0}, {1});
	assert_int_equal(tcp_recv_len(c), 200);
	bed_free(b);
}

static void what_is_older_than_any_window_is_not_reported(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 4096});

	(void)state;
	accept_sack(b);
	piece(b, (uint32_t)-50); // 5000 bytes back
	assert_int_equal(bed_out(b)->opt.n_sack, 0);
	bed_free(b);
}

static void without_agreement_nothing_is_told(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_accept(b);
	piece(b, 2);
	piece(b, 2);
	assert_int_equal(bed_out(b)->opt.n_sack, 0);
	assert_int_equal(bed_out(b)->opt.n_sack, 0);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc2018_2_sack_is_agreed_on_only_if_both_ends_offer_it),
	BED_TEST(rfc2018_2_a_syn_of_ours_offers_sack_unless_it_is_off),
	BED_TEST(rfc2018_4_the_first_block_holds_the_segment_that_came_last),
	BED_TEST(rfc2018_3_four_blocks_are_told_and_three_beside_timestamps),
	BED_TEST(rfc2018_4_blocks_end_when_the_hole_is_filled),
	BED_TEST(rfc2018_4_payload_that_goes_out_does_not_stand_in_for_blocks),
	BED_TEST(rfc2883_4_1_1_an_old_segment_is_reported_once),
	BED_TEST(rfc2883_4_1_2_a_duplicate_out_of_order_is_reported_before_its_block),
	BED_TEST(rfc2883_4_2_only_the_part_that_was_there_is_reported),
	BED_TEST(what_is_older_than_any_window_is_not_reported),
	BED_TEST(without_agreement_nothing_is_told),
};
BED_MAIN(tests)
