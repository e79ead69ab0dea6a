// How much a connection may hold: windows and send queues that follow the path, and their part of packet
// memory.
#include "tests/unit/tcp/bed.h"

#define KIB 1024u
#define MSS 1000

static struct tcp_conn *accept_on(struct bed *b, uint16_t port, uint16_t peer)
{
	b->our_port = port;
	b->peer_port = peer;
	b->seq = PEER_ISN;
	return bed_accept_with(b, (struct in){.mss = MSS, .wscale = true, .shift = 7});
}

// n bytes come within `time`, in segments; the owner reads them, or not.
static void receive(struct bed *b, struct tcp_conn *c, uint32_t n, uint64_t time, bool read)
{
	uint32_t segments = n / MSS;

	for (uint32_t i = 0; i < segments; i++) {
		bed_sleep(b, time / segments);
		bed_data(b, NULL, MSS);
		if (read)
			tcp_recv_skip(c, tcp_recv_len(c));
		bed_run(b);
		bed_drain(b);
	}
}

static uint32_t window(const struct tcp_conn *c)
{
	struct tcp_info info;

	tcp_get_info(c, &info);
	return info.rcv_buf;
}

static void rfc9293_3_8_6_a_window_grows_while_a_round_trip_fills_half_of_it(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 300 * KIB});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	c->srtt = 50000;
	assert_int_equal(window(c), 64 * KIB);
	receive(b, c, 40000, 40 * MS, true);
	assert_int_equal(window(c), 128 * KIB);
	receive(b, c, 70000, 40 * MS, true);
	assert_int_equal(window(c), 256 * KIB);
	assert_in_range(c->rcv_adv - c->rcv_nxt, 128 * KIB + 1, 256 * KIB); // and the peer knows
	receive(b, c, 140000, 40 * MS, true);
	assert_int_equal(window(c), 300 * KIB); // what is configured is the most
	receive(b, c, 400000, 40 * MS, true);
	assert_int_equal(window(c), 300 * KIB);
	bed_free(b);
}

static void a_window_does_not_grow_for_a_slow_peer(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	c->srtt = 10000;
	receive(b, c, 400000, 4000 * MS, true); // 2 KB in two round trips
	assert_int_equal(window(c), 64 * KIB);
	bed_free(b);
}

static void a_window_does_not_grow_for_an_owner_that_does_not_read(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	c->srtt = 50000;
	receive(b, c, 60000, 40 * MS, false);
	assert_int_equal(window(c), 64 * KIB);
	bed_free(b);
}

static void without_window_scaling_it_ends_with_what_the_field_can_tell(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	c->srtt = 50000;
	receive(b, c, 500000, 40 * MS, true);
	assert_in_range(window(c), 65535, 65536);
	bed_free(b);
}

static uint32_t fill(struct bed *b, struct tcp_conn *c)
{
	uint32_t buffers = 0;

	for (; tcp_send_space(c); buffers++)
		assert_int_equal(tcp_send_copy(c, b->out[0].data, MSS), 0);
	bed_run(b);
	bed_drain(b);
	return buffers;
}

static void a_send_queue_may_hold_more_as_the_congestion_window_grows(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.snd_buf = 600 * KIB, .buffer_memory = 64 << 20});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	assert_int_equal(tcp_send_space(c), 256 * KIB);
	c->cwnd = 100 * KIB;
	assert_int_equal(tcp_send_space(c), 400 * KIB);
	c->min_rtt = 1000;
	c->srtt = 3000; // most of the window waits on its way
	assert_int_equal(tcp_send_space(c), 400 * KIB * 2 / 3);
	c->srtt = 1000;
	c->cwnd = 10000 * KIB;
	assert_int_equal(tcp_send_space(c), 600 * KIB);
	bed_free(b);
}

static void when_memory_is_short_who_holds_most_gets_no_send_space_first(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.buffer_memory = 900 * KIB});
	struct tcp_conn *c = accept_on(b, SRV, PEER), *d;

	(void)state;
	fill(b, c); // an eighth of what is free: x = (900 - x) / 8
	assert_in_range(c->snd_held, 100 * KIB - 2500, 100 * KIB + 2500);
	d = accept_on(b, SRV, PEER + 1);
	assert_in_range(tcp_send_space(d), 98 * KIB, 102 * KIB);
	fill(b, d);
	assert_true(b->tcp->held < 900 * KIB);
	assert_int_equal(tcp_send_space(c), 0);
	bed_free(b);
}

static void however_short_memory_is_a_connection_that_holds_nothing_may_send_a_little(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.buffer_memory = 4 * KIB});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	assert_int_equal(fill(b, c), 2);
	assert_int_equal(tcp_send_space(c), 0);
	b->all = 0;
	bed_ack(b, b->ack + 2 * MSS, WND); // and is told when it may again
	assert_int_equal(b->all & EV_WRITABLE, EV_WRITABLE);
	assert_int_equal(fill(b, c), 2);
	bed_free(b);
}

// The limit may fall below what is held without anything being sent.
static void an_owner_that_found_no_send_space_is_told_of_it_in_any_case(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	bed_send(b, c, 10 * MSS);
	assert_true(tcp_send_space(c) > 0);
	b->tcp->conf.buffer_memory = 40 * KIB;
	assert_int_equal(tcp_send_space(c), 0);
	b->all = 0;
	bed_ack(b, b->ack + 10 * MSS, WND);
	assert_int_equal(b->all & EV_WRITABLE, EV_WRITABLE);
	bed_free(b);
}

static void when_memory_is_short_who_holds_most_offers_no_more_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER), *d;
	uint32_t edge;

	(void)state;
	b->tcp->conf.buffer_memory = 100 * KIB;
	receive(b, c, 30000, 40 * MS, false); // 70 KB of buffers
	edge = c->rcv_adv;
	receive(b, c, 10000, 40 * MS, false);
	assert_int_equal(c->rcv_adv, edge);
	tcp_recv_skip(c, 40000);
	bed_run(b);
	assert_true(c->rcv_adv - c->rcv_nxt > 0);
	d = accept_on(b, SRV, PEER + 1);
	receive(b, d, 3000, 40 * MS, true);
	assert_true(d->rcv_adv - d->rcv_nxt >= 2 * MSS);
	bed_free(b);
}

// A window cannot be taken back, so that what all are promised at first must be there.
static void the_first_windows_of_many_connections_share_the_memory(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.buffer_memory = 2000 * KIB, .max_conns = 256});
	struct tcp_conn *c = NULL;
	uint32_t first, before;

	(void)state;
	c = accept_on(b, SRV, PEER);
	first = before = window(c);
	assert_int_equal(first, 64 * KIB);
	for (uint16_t i = 1; i < 60; i++) {
		c = accept_on(b, SRV, (uint16_t)(PEER + i));
		assert_true(window(c) <= before);
		before = window(c);
	}
	assert_in_range(before, 16 * KIB, 17 * KIB);
	c->srtt = 50000;
	receive(b, c, 10000, 40 * MS, true); // who needs more gets it
	assert_true(window(c) >= 32 * KIB);
	b->tcp->held = 1000 * KIB;
	assert_int_equal(window(accept_on(b, SRV, PEER + 60)), 1000 * KIB / 2 / 61);
	b->tcp->held = 2000 * KIB;
	assert_int_equal(window(accept_on(b, SRV, PEER + 61)), 4 * KIB);
	b->tcp->held = 0;
	bed_free(b);
}

static void when_memory_is_held_payload_is_refused_but_to_who_holds_nothing(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER), *d;

	(void)state;
	b->tcp->conf.buffer_memory = 50 * KIB;
	// What was offered when there was room may be more than there is.
	receive(b, c, 21000, 40 * MS, false);
	b->tcp->conf.buffer_memory = 40 * KIB;
	uint32_t had = tcp_recv_len(c);
	bed_data(b, NULL, MSS);
	assert_int_equal(tcp_recv_len(c), had);
	assert_int_equal(bed_count(b, CTR_tcp_memory_full), 1);
	bed_drain(b);
	d = accept_on(b, SRV, PEER + 1);
	bed_data(b, NULL, MSS);
	assert_int_equal(tcp_recv_len(d), MSS);
	bed_free(b);
}

// Ten thousand with two buffers each would have the last ones.
static void when_buffers_are_tight_whoever_holds_one_takes_no_more_and_who_comes_new_is_let_in(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER), *d;
	struct pkt *taken[4096];
	unsigned n = 0;

	(void)state;
	bed_data(b, NULL, MSS);
	b->tcp->conf.buffer_memory = 1;
	while (pkt_pool_left(bed_pool) >= pkt_pool_size(bed_pool) / 8)
		taken[n++] = pkt_alloc(bed_pool);
	bed_sleep(b, MS);
	assert_false(pkt_pool_short(bed_pool));
	bed_data(b, NULL, MSS);
	assert_int_equal(tcp_recv_len(c), MSS);
	assert_int_equal(bed_count(b, CTR_tcp_memory_full), 1);
	bed_drain(b);
	d = accept_on(b, SRV, PEER + 1);
	bed_data(b, NULL, MSS);
	assert_int_equal(tcp_recv_len(d), MSS);
	assert_int_equal(fill(b, d), 1);
	bed_ack(b, b->ack + MSS, WND);
	assert_int_equal(fill(b, d), 1);
	while (n)
		pkt_free(taken[--n]);
	bed_sleep(b, MS);
	assert_int_equal(fill(b, d), 1); // beside the one that is under way
	bed_free(b);
}

// Otherwise it could never be read.
static void what_is_out_of_order_makes_room_for_what_comes_next(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	b->tcp->conf.buffer_memory = 50 * KIB;
	for (uint32_t i = 1; i < 6; i++)
		bed_in(b, (struct in){.seq = b->seq + i * MSS,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .len = MSS});
	bed_run(b);
	assert_int_equal(c->ooo_count, 5);
	b->tcp->conf.buffer_memory = 8 * KIB;
	bed_data(b, NULL, MSS);
	assert_int_equal(tcp_recv_len(c), 4 * MSS); // those furthest away were given up
	bed_free(b);
}

// A window that shut for want of memory opens again without a probe of the peer.
static void rfc9293_3_8_6_2_2_reading_tells_of_room_when_memory_is_short(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	(void)state;
	b->tcp->conf.buffer_memory = 20 * KIB;
	for (int i = 0; i < 100 && c->rcv_adv != c->rcv_nxt; i++) {
		uint32_t room = c->rcv_adv - c->rcv_nxt;
		b->tcp->conf.buffer_memory = 200 * KIB; // no refusals here
		bed_data(b, NULL, room < MSS ? room : MSS);
		b->tcp->conf.buffer_memory = 20 * KIB;
		bed_run(b);
		bed_drain(b);
	}
	if (c->rcv_adv == c->rcv_nxt) {
		tcp_recv_skip(c, tcp_recv_len(c));
		bed_run(b);
		assert_true(bed_out(b)->wnd > 0);
	}
	bed_free(b);
}

static void what_queues_hold_is_told_in_bytes_of_whole_buffers(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.buffer_memory = 900 * KIB});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_pools p;

	(void)state;
	bed_data(b, "x", 1); // each takes a buffer, whatever it carries
	bed_send(b, c, 1001);
	tcp_pools(b->tcp, &p);
	assert_int_equal(p.queued_in, pkt_pool_buffer(bed_pool));
	assert_int_equal(p.queued_out, 2 * pkt_pool_buffer(bed_pool));
	assert_int_equal(p.queue_limit, 900 * KIB);
	bed_ack(b, b->ack + 1000, WND);
	tcp_recv_skip(c, 1);
	tcp_pools(b->tcp, &p);
	assert_int_equal(p.queued_in, 0);
	assert_int_equal(p.queued_out, pkt_pool_buffer(bed_pool));
	assert_null(tcp_check(b->tcp));
	bed_free(b);
}

// In the place of a buffer of 2432 bytes, 704 for each 384 of what is not whole yet.
static void little_that_has_to_wait_is_moved_into_small_buffers(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 64 * KIB});
	struct tcp_conn *c = accept_on(b, SRV, PEER);
	struct pkt_pool *small = pkt_pool_create_small("small", 32 * KIB, -1);
	char text[900], got[900];
	uint32_t at = 0;

	(void)state;
	assert_non_null(small);
	assert_int_equal(pkt_pool_buffer(small), 704);
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	tcp_recv_shrink(c, small); // there is nothing
	bed_data(b, text, 300);
	assert_int_equal(c->rcv_held, pkt_pool_buffer(bed_pool));
	tcp_recv_shrink(c, small);
	assert_int_equal(c->rcv_held, 704);
	assert_int_equal(pkt_pool_used(small), 1);
	bed_data(b, text + 300, 1); // goes behind it
	assert_int_equal(c->rcv_held, 704);
	bed_data(b, text + 301, 599);
	tcp_recv_shrink(c, small);
	assert_int_equal(pkt_pool_used(small), 3);
	assert_int_equal(c->rcv_held, 3 * 704);
	assert_int_equal(c->tcp->held, c->rcv_held);
	for (struct pkt *p = tcp_recv_peek(c); p; p = tcp_recv_peek_next(p)) {
		memcpy(got + at, pkt_data(p), pkt_len(p));
		at += pkt_len(p);
	}
	assert_int_equal(at, 900);
	assert_memory_equal(got, text, 900);
	tcp_recv_shrink(c, small); // they are as small as they get
	assert_int_equal(bed_count(b, CTR_tcp_shrunk), 2);
	assert_null(tcp_check(b->tcp));
	tcp_recv_skip(c, 900);
	assert_int_equal(pkt_pool_used(small), 0);
	assert_int_equal(c->rcv_held, 0);
	bed_free(b);
	pkt_pool_free(small);
}

static void what_is_worth_its_buffers_or_finds_no_small_one_stays(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 64 * KIB});
	struct tcp_conn *c = accept_on(b, SRV, PEER);
	struct pkt_pool *small = pkt_pool_create_small("small", 32 * KIB, -1);
	struct pkt *taken[64];
	unsigned n = 0;

	(void)state;
	assert_non_null(small);
	bed_data(b, NULL, 1200);
	tcp_recv_shrink(c, small);
	tcp_recv_shrink(c, NULL);
	assert_int_equal(pkt_pool_used(small), 0);
	tcp_recv_skip(c, 1200);
	while (n < 64 && (taken[n] = pkt_alloc(small)))
		n++;
	assert_in_range(n, 1, 63);
	pkt_free(taken[--n]);
	bed_data(b, NULL, 500); // needs two
	tcp_recv_shrink(c, small);
	assert_int_equal(pkt_pool_used(small), n);
	assert_int_equal(tcp_recv_len(c), 500);
	assert_int_equal(bed_count(b, CTR_tcp_small_none), 1);
	while (n)
		pkt_free(taken[--n]);
	bed_free(b);
	pkt_pool_free(small);
}

// A message of n bytes in segments of `size`, which its owner takes when all of it is there: the window never
// shuts before that.
static void await_message(uint32_t rcv_buf, uint32_t n, uint32_t size)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = rcv_buf});
	struct tcp_conn *c = accept_on(b, SRV, PEER);

	while (tcp_recv_len(c) < n) {
		uint32_t part = n - tcp_recv_len(c) < size ? n - tcp_recv_len(c) : size;

		assert_in_range(c->rcv_adv - c->rcv_nxt, part, UINT32_MAX);
		bed_data(b, NULL, part);
		tcp_recv_await(c, n);
		bed_sleep(b, 50 * MS); // a delayed acknowledgement, too
		bed_run(b);
		bed_drain(b);
		assert_null(tcp_check(b->tcp));
	}
	tcp_recv_skip(c, n);
	assert_int_equal(c->rcv_held, 0);
	bed_free(b);
}

static void rfc9293_3_8_6_the_window_opens_for_the_rest_of_what_an_owner_waits_for(void **state)
{
	static const uint32_t sizes[] = {1, 100, 513, 536, 700, 1000};

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		await_message(2 * KIB, 2 * KIB, sizes[i]);
		await_message(4 * KIB, 16 * KIB, sizes[i]);
		await_message(16 * KIB, 16 * KIB, sizes[i]);
		await_message(64 * KIB, 16 * KIB, sizes[i]);
		await_message(4 * KIB, 300, sizes[i]);
	}
}

// What is packed together is still what came.
static void what_an_owner_waits_for_is_packed_into_few_buffers(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 4 * KIB});
	struct tcp_conn *c = accept_on(b, SRV, PEER);
	char text[3600], got[3600];
	uint32_t at = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	for (unsigned i = 0; i < 6; i++)
		bed_data(b, text + i * 600, 600);
	assert_in_range(c->rcv_held, 4 * pkt_pool_buffer(bed_pool), UINT32_MAX);
	tcp_recv_await(c, 16 * KIB);
	assert_int_equal(c->rcv_held, 2 * pkt_pool_buffer(bed_pool));
	assert_int_equal(c->tcp->held, c->rcv_held);
	for (struct pkt *p = tcp_recv_peek(c); p; p = tcp_recv_peek_next(p)) {
		memcpy(got + at, pkt_data(p), pkt_len(p));
		at += pkt_len(p);
	}
	assert_int_equal(at, sizeof(text));
	assert_memory_equal(got, text, sizeof(text));
	assert_null(tcp_check(b->tcp));
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(what_queues_hold_is_told_in_bytes_of_whole_buffers),
	BED_TEST(rfc9293_3_8_6_a_window_grows_while_a_round_trip_fills_half_of_it),
	BED_TEST(a_window_does_not_grow_for_a_slow_peer),
	BED_TEST(a_window_does_not_grow_for_an_owner_that_does_not_read),
	BED_TEST(without_window_scaling_it_ends_with_what_the_field_can_tell),
	BED_TEST(a_send_queue_may_hold_more_as_the_congestion_window_grows),
	BED_TEST(when_memory_is_short_who_holds_most_gets_no_send_space_first),
	BED_TEST(however_short_memory_is_a_connection_that_holds_nothing_may_send_a_little),
	BED_TEST(an_owner_that_found_no_send_space_is_told_of_it_in_any_case),
	BED_TEST(when_memory_is_short_who_holds_most_offers_no_more_window),
	BED_TEST(the_first_windows_of_many_connections_share_the_memory),
	BED_TEST(when_memory_is_held_payload_is_refused_but_to_who_holds_nothing),
	BED_TEST(when_buffers_are_tight_whoever_holds_one_takes_no_more_and_who_comes_new_is_let_in),
	BED_TEST(what_is_out_of_order_makes_room_for_what_comes_next),
	BED_TEST(rfc9293_3_8_6_2_2_reading_tells_of_room_when_memory_is_short),
	BED_TEST(little_that_has_to_wait_is_moved_into_small_buffers),
	BED_TEST(what_is_worth_its_buffers_or_finds_no_small_one_stays),
	BED_TEST(rfc9293_3_8_6_the_window_opens_for_the_rest_of_what_an_owner_waits_for),
	BED_TEST(what_an_owner_waits_for_is_packed_into_few_buffers),
};
BED_MAIN(tests)
