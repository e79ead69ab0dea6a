// Payload that comes in any order, and how much of it is kept.
#include "tests/unit/tcp/bed.h"

#define TOTAL 40000u

static uint32_t seed;

static uint32_t up_to(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

static char byte_at(uint32_t at)
{
	return (char)(at * 7 + at / 251);
}

static void piece(struct bed *b, uint32_t at, uint32_t n)
{
	char bytes[2000];

	for (uint32_t i = 0; i < n; i++)
		bytes[i] = byte_at(at + i);
	bed_in(b, (struct in){.seq = b->seq + at,
			      .ack = b->ack,
			      .flags = TCP_ACK,
			      .wnd = WND,
			      .data = bytes,
			      .len = n});
	bed_run(b);
}

// All that is in order is what was sent; returns how much that is.
static uint32_t read_right(struct tcp_conn *c)
{
	uint32_t at = 0;

	for (struct pkt *p = tcp_recv_peek(c); p; p = tcp_recv_peek_next(p))
		for (uint32_t i = 0; i < pkt_len(p); i++, at++)
			assert_int_equal(pkt_data(p)[i], byte_at(at));
	assert_int_equal(at, tcp_recv_len(c));
	return at;
}

// What the last ACK tells as received was sent, and is all that is held: [0, *ack) in order, and the blocks.
static void told_right(struct bed *b, const bool *sent)
{
	const struct out *o = &b->out[b->n_out - 1];

	for (unsigned i = 0; i < o->opt.n_sack; i++) {
		uint32_t lo = o->opt.sack[i].lo - b->seq, hi = o->opt.sack[i].hi - b->seq;
		assert_true(lo < hi && hi <= TOTAL);
		for (uint32_t at = lo; at < hi; at++)
			assert_true(sent[at]);
	}
	bed_drain(b);
}

static void rfc9293_3_10_7_4_pieces_that_overlap_in_any_order_give_what_was_sent(void **state)
{
	(void)state;
	for (uint32_t round = 1; round <= 200; round++) {
		struct bed *b = bed_make((struct tcp_config){.ooo_max = round % 3 ? 0 : 1 + round / 8});
		struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = true});
		static bool sent[TOTAL];
		uint32_t largest = round % 5 ? 1400 : 40;

		memset(sent, 0, sizeof(sent));
		seed = round;
		for (unsigned i = 0; i < 150; i++) {
			uint32_t at = up_to(TOTAL), n = 1 + up_to(largest);
			n = at + n <= TOTAL ? n : TOTAL - at;
			memset(sent + at, true, n);
			piece(b, at, n);
			told_right(b, sent);
		}
		memset(sent, true, sizeof(sent));
		for (uint32_t at = 0; at < TOTAL; at += 1000) {
			piece(b, at, 1000);
			told_right(b, sent);
			read_right(c);
		}
		assert_int_equal(read_right(c), TOTAL);
		assert_int_equal(c->ooo_count, 0);
		bed_free(b);
	}
}

static void what_a_wide_window_holds_behind_one_loss_is_kept_and_told_as_one_block(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 2u << 20, .buffer_memory = 64u << 20});

	(void)state;
	b->accept.rcv_buf = 2u << 20;
	struct tcp_conn *c =
		bed_accept_with(b, (struct in){.mss = 1400, .sack_ok = true, .wscale = true, .shift = 7});
	bed_data(b, "x", 1); // the SYN's window cannot tell of more
	bed_sleep(b, 100 * MS);
	bed_drain(b);
	for (uint32_t i = 1; i <= 1000; i++) {
		bed_in(b, (struct in){.seq = b->seq + i * 1400,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .wnd = 1000,
				      .len = 1400});
		bed_run(b);
		assert_int_equal(b->out[0].opt.n_sack, 1);
		assert_int_equal(b->out[0].opt.sack[0].lo, b->seq + 1400);
		assert_int_equal(b->out[0].opt.sack[0].hi, b->seq + (i + 1) * 1400);
		bed_drain(b);
	}
	assert_int_equal(c->ooo_count, 1000);
	bed_data(b, NULL, 1400);
	assert_int_equal(tcp_recv_len(c), 1 + 1001 * 1400);
	assert_int_equal(c->ooo_count, 0);
	bed_free(b);
}

// Each segment fills a hole of a window full of holes, from its end, from its begin, and at random.
static void every_hole_of_a_window_may_be_filled_in_any_order(void **state)
{
	(void)state;
	for (unsigned way = 0; way < 3; way++) {
		struct bed *b = bed_make((struct tcp_config){.rcv_buf = 1u << 20, .buffer_memory = 64u << 20});
		uint32_t order[300];

		b->accept.rcv_buf = 1u << 20;
		struct tcp_conn *c = bed_accept_with(
			b, (struct in){.mss = 1400, .sack_ok = true, .wscale = true, .shift = 7});
		bed_data(b, "x", 1);
		bed_sleep(b, 100 * MS);
		bed_drain(b);
		for (uint32_t pass = 0; pass < 2; pass++) { // every other one, then those between
			seed = 77;
			for (uint32_t i = 0; i < 300; i++) {
				uint32_t j = way == 2 ? up_to(i + 1) : i;
				order[i] = order[j];
				order[j] = i;
			}
			for (uint32_t i = 0; i < 300; i++) {
				uint32_t k = 2 * (way == 1 ? 299 - order[i] : order[i]) + 1 - pass;
				bed_in(b, (struct in){.seq = b->seq + k * 1000,
						      .ack = b->ack,
						      .flags = TCP_ACK,
						      .wnd = 1000,
						      .len = 1000});
				bed_run(b);
				bed_drain(b);
			}
			assert_int_equal(c->ooo_count, pass ? 0 : 300);
		}
		assert_int_equal(tcp_recv_len(c), 1 + 600 * 1000);
		bed_free(b);
	}
}

// A window offered when there was memory is no promise to hold whatever comes out of order.
static void what_is_kept_out_of_order_is_a_share_of_the_memory_that_is_left(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 1u << 20, .buffer_memory = 800u << 10});

	(void)state;
	b->accept.rcv_buf = 1u << 20;
	struct tcp_conn *c =
		bed_accept_with(b, (struct in){.mss = 1400, .sack_ok = true, .wscale = true, .shift = 7});
	for (uint32_t i = 1; i <= 40; i++) {
		bed_in(b, (struct in){.seq = b->seq + i * 1400,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .wnd = 1000,
				      .len = 1400});
		bed_run(b);
		bed_drain(b);
	}
	assert_true(c->ooo_count > 20);
	assert_in_range(c->rcv_held, 1, (800u << 10) / SHARE_PARTS + 4096);
	assert_int_equal(bed_count(b, CTR_tcp_ooo_full), 40 - c->ooo_count);
	bed_free(b);
}

static void rfc5681_4_2_while_segments_are_lost_each_is_acknowledged_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_accept(b);
	bed_data(b, NULL, 100);
	bed_silent(b); // as every second one is
	bed_data(b, NULL, 100);
	bed_drain(b);
	bed_in(b, (struct in){.seq = b->seq + 100, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 100});
	bed_data(b, NULL, 100);
	b->seq += 100;
	for (unsigned i = 0; i < 63; i++) {
		bed_drain(b);
		bed_data(b, NULL, 100);
		assert_int_equal(bed_out(b)->ack, b->seq);
	}
	bed_data(b, NULL, 100);
	bed_silent(b);
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(rfc9293_3_10_7_4_pieces_that_overlap_in_any_order_give_what_was_sent),
		BED_TEST(what_a_wide_window_holds_behind_one_loss_is_kept_and_told_as_one_block),
		BED_TEST(every_hole_of_a_window_may_be_filled_in_any_order),
		BED_TEST(what_is_kept_out_of_order_is_a_share_of_the_memory_that_is_left),
		BED_TEST(rfc5681_4_2_while_segments_are_lost_each_is_acknowledged_at_once),
	};
	bed_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
