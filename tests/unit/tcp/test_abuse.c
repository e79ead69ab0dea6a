// Peers that mean harm, one kind of attack in each test: what it costs stays bounded, it is counted by its own
// name, and the connection or the others go on.
#include "tcp/sendq.h"
#include "tests/unit/tcp/bed.h"

static void rfc5961_3_a_flood_of_inexact_resets_ends_nothing_and_is_hardly_answered(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		bed_in(b, (struct in){.seq = b->seq + 1 + i * 7919, .flags = TCP_RST});
		bed_run(b);
		if (i % 10 == 0)
			bed_sleep(b, 10 * MS);
	}
	assert_in_range(b->n_out, 1, 3); // a second
	assert_int_equal(bed_count(b, CTR_tcp_bad_reset), 1000);
	bed_data(b, "alive", 5);
	assert_int_equal(tcp_recv_len(c), 5);
	bed_free(b);
}

static void rfc5961_4_a_flood_of_syns_in_a_connection_is_hardly_answered(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_accept(b);
	for (uint32_t i = 0; i < 1000; i++) {
		bed_in(b, (struct in){.seq = b->seq + i, .flags = TCP_SYN, .wnd = WND});
		bed_run(b);
	}
	assert_int_equal(b->n_out, 1);
	assert_int_equal(bed_count(b, CTR_tcp_bad_syn), 1000);
	bed_free(b);
}

static void a_flood_of_fins_costs_one_ack_for_each_burst(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	for (uint32_t i = 0; i < 100; i++) // far ahead of what was received
		bed_in(b, (struct in){.seq = b->seq + 100000 + i, .ack = b->ack, .flags = TCP_ACK | TCP_FIN});
	bed_run(b);
	assert_int_equal(b->n_out, 1);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_fin(b);
	bed_drain(b);
	for (uint32_t i = 0; i < 100; i++) // the same again
		bed_in(b, (struct in){.seq = b->seq - 1, .ack = b->ack, .flags = TCP_ACK | TCP_FIN});
	bed_run(b);
	assert_int_equal(b->n_out, 1);
	assert_int_equal(bed_state(c), TCP_CLOSE_WAIT);
	bed_free(b);
}

// The peer answers each ACK of ours with one that we must answer.
static void rfc5961_10_two_ends_that_acknowledge_each_other_fall_silent(void **state)
{
	const struct {
		uint32_t seq, ack;
	} kind[] = {{(uint32_t)-100000, 0}, {100000, 0}, {0, 1000}, {0, (uint32_t)-100000}};
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_accept(b);
	for (unsigned k = 0; k < 4; k++) {
		unsigned answers = 0;

		bed_sleep(b, SEC);
		bed_drain(b);
		for (int i = 0; i < 1000; i++) {
			bed_in(b, (struct in){.seq = b->seq + kind[k].seq,
					      .ack = b->ack + kind[k].ack,
					      .flags = TCP_ACK,
					      .wnd = WND});
			bed_run(b);
			answers += b->n_out;
			bed_drain(b);
			bed_sleep(b, MS);
		}
		assert_in_range(answers, 1, 3);
	}
	assert_int_equal(bed_count(b, CTR_tcp_challenge) + bed_count(b, CTR_tcp_challenge_limited), 4000);
	bed_free(b);
}

static void crumbs_out_of_order_pin_a_few_buffers_only(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = true});

	(void)state;
	for (uint32_t i = 1; i < 401; i += 2) { // every other byte
		bed_in(b,
		       (struct in){.seq = b->seq + i, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 1});
		bed_run(b);
		bed_drain(b);
	}
	assert_int_equal(c->ooo_count, 8);
	assert_int_equal(bed_count(b, CTR_tcp_ooo_crumbs), 192);
	// Nothing is lost by it but time.
	bed_data(b, NULL, 401);
	assert_int_equal(tcp_recv_len(c), 401);
	assert_int_equal(c->ooo_count, 0);
	bed_free(b);
}

static void small_pieces_that_join_share_a_buffer_on_either_side_of_a_hole(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	char bytes[1000];

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	for (uint32_t i = 1; i < 1000; i++) { // all but the first byte, one by one
		bed_in(b, (struct in){.seq = b->seq + i,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .data = bytes + i,
				      .len = 1});
		bed_run(b);
		bed_drain(b);
	}
	assert_int_equal(c->ooo_count, 1);
	assert_int_equal(bed_count(b, CTR_tcp_ooo_crumbs), 0);
	bed_data(b, bytes, 1);
	assert_int_equal(tcp_recv_len(c), 1000);
	for (uint32_t i = 0, at = 0; i < 2 && tcp_recv_peek(c); i++) {
		struct pkt *p = tcp_recv_take(c);
		assert_memory_equal(pkt_data(p), bytes + at, pkt_len(p));
		at += pkt_len(p);
		pkt_free(p);
	}
	assert_int_equal(tcp_recv_len(c), 0);
	bed_free(b);
}

static void one_byte_segments_in_order_share_buffers(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	for (int i = 0; i < 5000; i++) {
		bed_data(b, "x", 1);
		bed_drain(b);
	}
	assert_int_equal(tcp_recv_len(c), 5000);
	assert_true(c->rcv_held <= 4 * (2048 + 512));
	bed_free(b);
}

// SegmentSmack (CVE-2018-5390): the price of a segment is a walk over what is kept, and that is bounded in
// number and bytes whatever comes.
static void cve_2018_5390_holes_without_end_are_bounded_in_number_and_bytes(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.ooo_max = 200});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = true});

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t at = 700 + (i * 97 % 300) * 800;

		bed_in(b, (struct in){
				  .seq = b->seq + at, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 600});
		bed_run(b);
		bed_drain(b);
		assert_true(c->ooo_count <= 200);
		assert_true(c->rcv_held <= 4 * c->rcv_buf + 4096);
	}
	assert_true(bed_count(b, CTR_tcp_ooo_full) > 0 || bed_count(b, CTR_tcp_out_of_window) > 0);
	bed_free(b);
}

static unsigned parts_of(const struct tcp_conn *c)
{
	struct board_pos at;
	unsigned n = 0;

	for (bool more = board_first(c, &at); more; more = board_next(c, &at))
		n++;
	return n;
}

static unsigned buffers_of(const struct tcp_conn *c)
{
	unsigned n = 0;

	for (const struct pkt *p = c->snd_head; p; p = sendq_item(p)->next)
		n++;
	return n;
}

// SACK panic and its kin (CVE-2019-11477, -11478, -11479): blocks of single bytes and a tiny MSS split nothing,
// so what an acknowledgement costs follows from what we have queued, not from the peer.
static void cve_2019_11477_blocks_of_single_bytes_split_nothing(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1, .sack_ok = true, .wnd = 40000});

	(void)state;
	assert_int_equal(c->mss, 216);
	c->cwnd = 40000;
	bed_send(b, c, 40000);
	unsigned parts = parts_of(c), buffers = buffers_of(c);
	assert_true(parts <= PARTS_MAX * buffers);
	for (uint32_t i = 0; i < 2000; i++) {
		struct in in = {.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = 40000, .n_sack = 4};

		for (uint32_t k = 0; k < 4; k++) {
			uint32_t lo = b->ack + (i * 4 + k) * 7 % 39999;
			in.sack[k] = (struct sack_block){lo, lo + 1};
		}
		b->n_out = b->seen = 0;
		bed_in(b, in);
		bed_run(b);
		assert_true(parts_of(c) <= PARTS_MAX * buffers);
	}
	assert_int_equal(c->sacked, 0);
	bed_free(b);
}

static void cve_2019_11478_blocks_of_what_was_never_sent_are_ignored_and_counted(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .sack_ok = true});

	(void)state;
	bed_send(b, c, 3000);
	uint32_t una = c->snd_una, max = c->snd_max;
	const struct sack_block bad[] = {{max, max + 1},
					 {una, max + 1000},
					 {una + 2000, una + 1000},
					 {una - 1000000, una + 1000},
					 {5, 5}};
	for (unsigned i = 0; i < 5; i++) {
		bed_in(b, (struct in){.seq = b->seq,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .n_sack = 1,
				      .sack = {bad[i]}});
		bed_run(b);
		assert_int_equal(c->sacked, 0);
		assert_int_equal(c->lost, 0);
	}
	assert_true(bed_count(b, CTR_tcp_sack_bad) >= 3);
	bed_free(b);
}

// Sockstress: the peer answers all probes and never opens its window.
static void rfc6429_a_window_kept_shut_ends_the_connection_with_the_user_timeout(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.user_timeout = 20 * SEC});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 1000});

	(void)state;
	bed_send(b, c, 5000);
	bed_ack(b, b->ack + 1000, 0);
	for (int i = 0; i < 250 && !(b->all & EV_ERROR); i++) {
		bed_sleep(b, 100 * MS);
		if (b->seen != b->n_out && !(b->all & EV_ERROR))
			bed_ack(b, b->ack, 0);
		bed_drain(b);
	}
	assert_true(b->all & EV_ERROR);
	assert_int_equal(tcp_error(c), ETIMEDOUT);
	assert_int_equal(bed_count(b, CTR_tcp_window_shut), 1);
	assert_int_equal(c->snd_held, 0);
	tcp_close(c);
	bed_free(b);
}

// Takes buffers until they are short.
static unsigned exhaust(struct pkt **taken, unsigned n)
{
	while (!pkt_pool_short(bed_pool)) {
		taken[n] = pkt_alloc(bed_pool);
		assert_non_null(taken[n]);
		n++;
	}
	return n;
}

static struct tcp_conn *stuck(struct bed *b, uint16_t port, uint32_t bytes)
{
	struct tcp_conn *c;

	b->peer_port = port;
	b->seq = PEER_ISN;
	bed_drain(b);
	c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 1000});
	bed_send(b, c, bytes);
	bed_ack(b, b->ack + 1000, 0);
	bed_drain(b);
	return c;
}

static void when_buffers_run_short_the_worst_holder_that_takes_nothing_ends_first(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.holder_time = SEC});
	struct pkt *taken[4096];
	unsigned n;

	(void)state;
	struct tcp_conn *small = stuck(b, PEER, 30000), *worst = stuck(b, PEER + 1, 60000);
	struct tcp_conn *little = stuck(b, PEER + 2, 3000);
	bed_sleep(b, 2 * SEC);
	struct tcp_conn *fresh = stuck(b, PEER + 3, 90000); // it has just taken something
	n = exhaust(taken, 0);
	bed_drain(b);
	bed_sleep(b, 3 * MS);
	assert_int_equal(tcp_error(worst), ENOBUFS);
	assert_int_equal(bed_count(b, CTR_tcp_holder_ended), 1); // that was enough
	assert_int_equal(bed_state(small), TCP_ESTABLISHED);
	bed_drain(b);
	n = exhaust(taken, n);
	bed_sleep(b, 3 * MS);
	assert_int_equal(tcp_error(small), ENOBUFS);
	n = exhaust(taken, n);
	bed_sleep(b, 3 * MS);
	assert_int_equal(bed_state(fresh), TCP_ESTABLISHED);
	assert_int_equal(bed_state(little), TCP_ESTABLISHED); // not worth it
	assert_int_equal(bed_count(b, CTR_tcp_holder_ended), 2);
	bed_sleep(b, 2 * SEC); // a walk in vain is followed by another one later
	assert_int_equal(tcp_error(fresh), ENOBUFS);
	assert_int_equal(bed_count(b, CTR_tcp_holder_ended), 3);
	tcp_close(fresh);
	tcp_close(worst);
	tcp_close(small);
	while (n)
		pkt_free(taken[--n]);
	bed_free(b);
}

static void when_buffers_run_short_nothing_is_kept_out_of_order(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct pkt *taken[4096];
	unsigned n;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		bed_in(b, (struct in){.seq = b->seq + 700 + i * 1400,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .len = 700});
	bed_run(b);
	bed_drain(b);
	assert_int_equal(c->ooo_count, 20);
	n = exhaust(taken, 0);
	bed_sleep(b, 2 * MS);
	assert_int_equal(c->ooo_count, 0);
	assert_int_equal(bed_count(b, CTR_tcp_ooo_pruned), 1);
	n = exhaust(taken, n);
	bed_sleep(b, MS);
	bed_in(b, (struct in){.seq = b->seq + 700, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 700});
	bed_run(b);
	assert_int_equal(bed_count(b, CTR_tcp_ooo_no_buffer), 1);
	bed_data(b, NULL, 700); // what comes in order is always welcome
	assert_int_equal(tcp_recv_len(c), 700);
	while (n)
		pkt_free(taken[--n]);
	bed_free(b);
}

// 600 segments of 1000 bytes are under way. Returns the number of the first byte.
static uint32_t wide_window(struct bed *b)
{
	struct tcp_conn *c = bed_accept_with(
		b, (struct in){.mss = 1000, .sack_ok = true, .wscale = true, .shift = 14, .wnd = WND});

	c->cwnd = 1u << 20;
	for (unsigned i = 0; i < 6; i++) {
		bed_send(b, c, 100000);
		bed_drain(b);
	}
	assert_int_equal(c->snd_max - b->ack, 600000);
	return b->ack;
}

static void sack_one(struct bed *b, uint32_t lo, uint32_t hi)
{
	bed_in(b, (struct in){.seq = b->seq,
			      .ack = b->ack,
			      .flags = TCP_ACK,
			      .wnd = 600,
			      .n_sack = 1,
			      .sack = {{lo, hi}}});
	bed_run(b);
	bed_drain(b);
}

static void rfc8985_6_2_the_work_for_an_ack_is_by_holes_not_by_what_is_under_way(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.buffer_memory = 64u << 20});
	uint32_t una = wide_window(b);

	(void)state;
	for (uint32_t i = 2; i <= 600; i++)
		sack_one(b, una + 1000, una + i * 1000);
	assert_int_equal(b->c->sacked, 599000);
	assert_int_equal(b->tcp->walk.at, 0); // nothing was asked for of what all share
	bed_free(b);
}

// CVE-2019-11478: a peer splits the queue into holes and has it walked for each ACK.
static void cve_2019_11478_walks_over_a_queue_of_holes_are_rationed(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.buffer_memory = 64u << 20});
	uint32_t una = wide_window(b);

	(void)state;
	for (unsigned again = 0; again < 3; again++)
		for (uint32_t i = 300; i-- > 0;)
			sack_one(b, una + (2 * i + 1) * 1000, una + (2 * i + 2) * 1000);
	assert_true(bed_count(b, CTR_tcp_sack_limited) > 0);
	assert_int_equal(b->tcp->walk.left, 0);
	bed_sleep(b, 2 * MS); // there is more with time
	uint64_t had = bed_count(b, CTR_tcp_sack_limited);
	sack_one(b, una + 299000, una + 300000);
	assert_int_equal(bed_count(b, CTR_tcp_sack_limited), had);
	bed_ack(b, una + 600000, 600);
	assert_int_equal(b->c->sacked, 0);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc5961_3_a_flood_of_inexact_resets_ends_nothing_and_is_hardly_answered),
	BED_TEST(rfc5961_4_a_flood_of_syns_in_a_connection_is_hardly_answered),
	BED_TEST(a_flood_of_fins_costs_one_ack_for_each_burst),
	BED_TEST(rfc5961_10_two_ends_that_acknowledge_each_other_fall_silent),
	BED_TEST(crumbs_out_of_order_pin_a_few_buffers_only),
	BED_TEST(small_pieces_that_join_share_a_buffer_on_either_side_of_a_hole),
	BED_TEST(one_byte_segments_in_order_share_buffers),
	BED_TEST(cve_2018_5390_holes_without_end_are_bounded_in_number_and_bytes),
	BED_TEST(cve_2019_11477_blocks_of_single_bytes_split_nothing),
	BED_TEST(cve_2019_11478_blocks_of_what_was_never_sent_are_ignored_and_counted),
	BED_TEST(rfc8985_6_2_the_work_for_an_ack_is_by_holes_not_by_what_is_under_way),
	BED_TEST(cve_2019_11478_walks_over_a_queue_of_holes_are_rationed),
	BED_TEST(rfc6429_a_window_kept_shut_ends_the_connection_with_the_user_timeout),
	BED_TEST(when_buffers_run_short_the_worst_holder_that_takes_nothing_ends_first),
	BED_TEST(when_buffers_run_short_nothing_is_kept_out_of_order),
};
BED_MAIN(tests)
