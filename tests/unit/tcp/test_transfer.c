// Data: queues, acknowledgements and windows (RFC 9293 3.8, RFC 5681 4.2, RFC 7323 2).
#include "tests/unit/tcp/bed.h"

#define DELACK (40 * MS)

static void payload_in_order_is_handed_over_without_its_header(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_data(b, "hello", 5);
	assert_int_equal(b->all, EV_READABLE);
	assert_int_equal(tcp_recv_len(c), 5);
	struct pkt *p = tcp_recv_take(c);
	assert_int_equal(pkt_len(p), 5);
	assert_memory_equal(pkt_data(p), "hello", 5);
	pkt_free(p);
	assert_int_equal(tcp_recv_len(c), 0);
	assert_null(tcp_recv_peek(c));
	bed_free(b);
}

static void rfc9293_3_8_6_3_one_segment_is_acknowledged_with_delay_two_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_accept(b);
	uint64_t begin = b->now;
	bed_data(b, "a", 1);
	bed_silent(b);
	bed_sleep(b, 200 * MS);
	const struct out *o = bed_out(b);
	assert_in_range(o->at - begin, DELACK, DELACK + 3 * MS);
	assert_int_equal(o->ack, b->seq);
	bed_data(b, "b", 1);
	bed_silent(b);
	bed_data(b, "c", 1);
	assert_int_equal(bed_out(b)->ack, b->seq);
	bed_sleep(b, 200 * MS);
	bed_silent(b);
	bed_free(b);
}

static void an_answer_carries_the_acknowledgement(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_data(b, "request", 7);
	bed_send(b, c, 10);
	const struct out *o = bed_out(b);
	assert_int_equal(o->len, 10);
	assert_int_equal(o->ack, b->seq);
	bed_sleep(b, 100 * MS);
	bed_silent(b);
	bed_free(b);
}

static void rfc5681_4_2_a_gap_is_told_at_once_and_its_filling_too(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	uint32_t seq = b->seq;

	(void)state;
	bed_in(b,
	       (struct in){
		       .seq = seq + 3, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .data = "def", .len = 3});
	bed_run(b);
	assert_int_equal(bed_out(b)->ack, seq);
	assert_int_equal(tcp_recv_len(c), 0);
	bed_in(b,
	       (struct in){.seq = seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .data = "abc", .len = 3});
	bed_run(b);
	assert_int_equal(bed_out(b)->ack, seq + 6);
	assert_int_equal(tcp_recv_len(c), 6);
	bed_free(b);
}

// Reads all that is there.
static uint32_t read_all(struct tcp_conn *c, char *to)
{
	uint32_t n = 0;
	struct pkt *p;

	while ((p = tcp_recv_take(c))) {
		memcpy(to + n, pkt_data(p), pkt_len(p));
		n += pkt_len(p);
		pkt_free(p);
	}
	return n;
}

static void overlapping_segments_in_any_order_give_each_byte_once(void **state)
{
	static const struct {
		uint32_t from, to;
	} part[] = {{5, 9}, {12, 16}, {4, 6}, {8, 13}, {5, 9}, {3, 16}, {0, 2}, {1, 4}, {14, 20}};
	const char *text = "abcdefghijklmnopqrst";
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	char got[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(part) / sizeof(*part); i++) {
		bed_in(b, (struct in){.seq = b->seq + part[i].from,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .data = text + part[i].from,
				      .len = part[i].to - part[i].from});
		bed_run(b);
	}
	assert_int_equal(read_all(c, got), 20);
	assert_memory_equal(got, text, 20);
	bed_free(b);
}

static void a_scattered_segment_is_taken_in_single_buffers(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	char got[4000];

	(void)state;
	struct pkt *head = bed_packet((struct in){
		.src = PEER, .dst = SRV, .seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND});
	for (int i = 0; i < 3; i++) {
		struct pkt *p = pkt_alloc(bed_pool);
		memset(pkt_append(p, 1001), 'a' + i, 1001);
		pkt_chain(head, p);
	}
	bed_input(b, head);
	bed_run(b);
	for (struct pkt *p = tcp_recv_peek(c); p; p = tcp_recv_peek_next(p))
		assert_null(pkt_next(p));
	assert_int_equal(read_all(c, got), 3003);
	assert_true(got[0] == 'a' && got[1001] == 'b' && got[3002] == 'c');
	bed_free(b);
}

static void small_segments_share_a_buffer(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_info info;

	(void)state;
	for (int i = 0; i < 1000; i++)
		bed_data(b, "x", 1), bed_drain(b);
	tcp_get_info(c, &info);
	assert_int_equal(tcp_recv_len(c), 1000);
	assert_int_equal(info.queued_in, pkt_truesize(tcp_recv_peek(c)));
	bed_free(b);
}

static void out_of_order_buffers_are_limited_and_the_nearest_are_kept(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.ooo_max = 4});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	for (uint32_t i = 9; i >= 1; i--) {
		bed_in(b,
		       (struct in){
			       .seq = b->seq + i * 10, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 10});
		bed_run(b);
	}
	assert_int_equal(c->ooo_count, 4);
	assert_int_equal(bed_count(b, CTR_tcp_ooo_full), 5);
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 10});
	bed_run(b);
	assert_int_equal(tcp_recv_len(c), 50);
	bed_free(b);
}

static void the_window_shuts_when_the_owner_does_not_read_and_opens_in_large_steps(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 8000});
	struct tcp_conn *c = bed_accept(b);
	char got[9000];

	(void)state;
	for (int i = 0; i < 8; i++)
		bed_data(b, NULL, 1000);
	while (b->seen < b->n_out)
		bed_out(b);
	assert_int_equal(b->out[b->n_out - 1].wnd, 0);
	assert_int_equal(b->out[b->n_out - 1].ack, b->seq);
	bed_drain(b);
	tcp_recv_skip(c, 500); // not worth telling (RFC 9293 3.8.6.2.2)
	bed_run(b);
	bed_silent(b);
	// Beyond the window: refused, and answered.
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 100});
	bed_run(b);
	assert_int_equal(bed_out(b)->ack, b->seq);
	assert_int_equal(tcp_recv_len(c), 7500);
	read_all(c, got);
	bed_run(b);
	assert_int_equal(bed_out(b)->wnd, 8000);
	bed_silent(b);
	bed_free(b);
}

// Without scaling the window field cannot tell of a buffer beyond 64 KB: reading has no news for the peer.
static void reading_sends_no_acknowledgement_of_its_own_to_a_peer_without_window_scaling(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 262144});
	struct tcp_conn *c = bed_accept(b);
	char got[1000];

	(void)state;
	for (int i = 0; i < 4; i++) {
		bed_data(b, NULL, 200);
		read_all(c, got);
		bed_run(b);
		bed_silent(b);
		bed_send(b, c, 10);
		assert_int_equal(bed_out(b)->ack, b->seq);
		bed_silent(b);
	}
	bed_free(b);
}

static void rfc7323_2_2_the_agreed_scale_counts_both_ways(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wscale = true, .shift = 7, .wnd = 8});

	(void)state;
	// The SYN's window counted as it stood, the handshake's ACK scaled: 8 << 7.
	assert_int_equal(c->snd_wnd, 1024);
	bed_data(b, "a", 1);
	bed_data(b, "b", 1);
	assert_in_range(bed_out(b)->wnd, (65536 - 2048) >> 7, 65536 >> 7); // one buffer is held
	bed_free(b);
}

static void nothing_goes_out_beyond_the_peers_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 3500});
	uint32_t sent = 0, first = b->ack;

	(void)state;
	bed_send(b, c, 10000);
	while (b->seen < b->n_out)
		sent += bed_out(b)->len;
	assert_int_equal(sent, 3000); // 500 more would be a sliver
	bed_ack(b, first + 3000, 3000);
	sent = 0;
	while (b->seen < b->n_out)
		sent += bed_out(b)->len;
	assert_int_equal(sent, 3000);
	bed_free(b);
}

static void rfc9293_3_8_6_2_1_a_sliver_of_window_is_not_used(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 4000});

	(void)state;
	bed_send(b, c, 10000);
	bed_drain(b);
	bed_ack(b, b->ack + 4000, 100);
	bed_silent(b);
	bed_ack(b, b->ack, 1000);
	assert_int_equal(bed_out(b)->len, 1000);
	bed_free(b);
}

static void rfc9293_3_8_6_1_a_shut_window_is_probed_with_growing_intervals(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 1000});
	uint32_t una = b->ack + 1000;

	(void)state;
	bed_send(b, c, 5000);
	bed_drain(b);
	bed_ack(b, una, 0);
	uint64_t before = b->now, wait = 200 * MS;
	for (int i = 0; i < 5; i++) {
		bed_sleep(b, wait + 10 * MS);
		const struct out *o = bed_out(b);
		assert_int_equal(o->seq, una);
		assert_int_equal(o->len, 1);
		assert_int_equal(o->data[0], 1000 % 256);
		if (i)
			assert_in_range(o->at - before, wait, wait + 5 * MS);
		before = o->at;
		b->now = o->at;
		bed_ack(b, una, 0);
		wait = i ? wait * 2 : 400 * MS;
		bed_silent(b);
		b->seen = b->n_out = 0;
	}
	assert_int_equal(bed_count(b, CTR_tcp_probe), 5);
	bed_ack(b, una, 4000); // open again: everything follows, from the byte that was not taken
	const struct out *o = bed_out(b);
	assert_int_equal(o->seq, una);
	assert_int_equal(o->len, 1000);
	bed_free(b);
}

static void a_peer_that_answers_probes_may_keep_its_window_shut_for_hours(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 1000});

	(void)state;
	bed_send(b, c, 5000);
	bed_ack(b, b->ack + 1000, 0);
	for (int i = 0; i < 120; i++) {
		bed_drain(b);
		bed_sleep(b, 60 * SEC);
		bed_ack(b, b->ack, 0);
	}
	assert_int_equal(b->all, 0);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_sleep(b, 1000 * SEC); // silence is another matter
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ETIMEDOUT);
	tcp_close(c);
	bed_free(b);
}

// RFC 9293 3.10.7.4: no segment is acceptable while the window is shut, but a valid acknowledgement counts. A
// peer that probed, and does not know yet that its byte was taken, numbers it so.
static void rfc9293_3_10_7_4_an_ack_counts_although_the_window_is_shut(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.rcv_buf = 2000});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_info info;
	char fill[2000] = {0};

	(void)state;
	bed_data(b, fill, 1000);
	bed_data(b, fill, 1000);
	bed_send(b, c, 100);
	bed_drain(b);
	bed_in(b, (struct in){.seq = b->seq - 1, .ack = b->ack + 100, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	tcp_get_info(c, &info);
	assert_int_equal(info.flight, 0);
	assert_int_equal(bed_out(b)->wnd, 0); // and it is told, as a keep-alive probe looks the same
	tcp_recv_skip(c, 2000);
	bed_free(b);
}

static void a_probed_byte_that_was_taken_is_not_sent_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 1000});
	uint32_t una = b->ack + 1000;

	(void)state;
	bed_send(b, c, 3000);
	bed_ack(b, una, 0);
	bed_sleep(b, 250 * MS);
	bed_drain(b);
	bed_ack(b, una + 1, 5000);
	const struct out *o = bed_out(b);
	assert_int_equal(o->seq, una + 1);
	assert_int_equal(o->data[0], 1001 % 256);
	bed_free(b);
}

static void the_owner_hears_when_a_full_send_queue_has_room_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.snd_buf = 10000});
	struct tcp_conn *c = bed_accept(b);
	uint32_t n = 0;

	(void)state;
	while (tcp_send_space(c)) {
		bed_send(b, c, 1000);
		n += 1000;
	}
	assert_int_equal(tcp_send_queued(c), n);
	bed_ack(b, b->ack + 1000, WND);
	assert_int_equal(b->all & EV_WRITABLE, 0);
	bed_ack(b, b->ack + n - 1000, WND);
	assert_int_equal(b->all & EV_WRITABLE, EV_WRITABLE);
	assert_int_equal(tcp_send_queued(c), 0);
	assert_int_equal(tcp_send_space(c), 10000);
	bed_free(b);
}

static void small_writes_share_a_buffer_and_a_segment(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	for (int i = 0; i < 10; i++)
		tcp_send_copy(c, "0123456789", 10);
	assert_int_equal(c->snd_held, pkt_truesize(c->snd_head));
	bed_run(b);
	assert_int_equal(bed_out(b)->len, 100);
	bed_silent(b);
	bed_free(b);
}

static struct pkt *buffer(uint32_t n, char fill)
{
	struct pkt *p = pkt_alloc(bed_pool);

	memset(pkt_append(p, n), fill, n);
	return p;
}

static void a_buffer_is_sent_in_place_and_copied_while_the_driver_holds_it(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	b->hold = true;
	tcp_send(c, buffer(900, 'p'));
	bed_run(b);
	assert_int_equal(bed_count(b, CTR_tcp_in_place), 1);
	assert_int_equal(pkt_pool_used(bed_pool), 1); // nothing was copied
	struct pkt *driver = b->held[b->n_held - 1];
	uint32_t len = pkt_len(driver);
	char *before = malloc(len);
	memcpy(before, pkt_data(driver), len);
	bed_drain(b);
	bed_sleep(b, 300 * MS); // timeout: sent again
	assert_int_equal(bed_out(b)->len, 900);
	assert_int_equal(bed_count(b, CTR_tcp_copied), 1);
	assert_int_equal(pkt_len(driver), len);
	assert_memory_equal(pkt_data(driver), before, len);
	free(before);
	while (b->n_held)
		pkt_free_chain(b->held[--b->n_held]);
	b->hold = false;
	bed_drain(b);
	bed_sleep(b, 400 * MS); // the driver has given it back: in place again
	const struct out *o = bed_out(b);
	assert_int_equal(o->len, 900);
	assert_int_equal(o->data[899], 'p');
	assert_int_equal(bed_count(b, CTR_tcp_in_place), 2);
	bed_free(b);
}

static void a_buffer_that_the_caller_keeps_may_be_sent_on_two_connections(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *one = bed_accept(b), *two;
	struct pkt *p = buffer(600, 's');

	(void)state;
	b->peer_port++;
	b->seq = PEER_ISN;
	two = bed_accept(b);
	pkt_ref(p);
	tcp_send(one, p);
	tcp_close(one); // still sends it
	bed_run(b);
	tcp_send(two, p);
	bed_run(b);
	bed_drain(b);
	bed_sleep(b, 250 * MS); // both again
	const struct out *first = bed_out(b), *second = bed_out(b);
	assert_int_equal(first->len, 600);
	assert_int_equal(second->len, 600);
	assert_int_not_equal(first->dst, second->dst);
	assert_int_equal(first->data[599], 's');
	bed_free(b);
}

static void a_buffer_larger_than_a_segment_is_split(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b); // MSS 1000

	(void)state;
	tcp_send(c, buffer(1800, 'q'));
	bed_run(b);
	assert_int_equal(bed_out(b)->len, 1000);
	assert_int_equal(bed_out(b)->len, 800);
	bed_silent(b);
	bed_free(b);
}

static void without_packet_buffers_a_segment_waits_and_is_sent_later(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	static struct pkt *hog[65536];
	uint32_t n = 0;

	(void)state;
	tcp_send(c, buffer(1500, 'r')); // needs two copies
	while ((hog[n] = pkt_alloc(bed_pool)))
		n++;
	assert_int_equal(tcp_send_copy(c, "abc", 3), -ENOBUFS);
	static const char large[2000];
	assert_int_equal(tcp_send_copy(c, large, sizeof(large)), -ENOBUFS);
	assert_int_equal(tcp_send_queued(c), 1500);
	bed_run(b);
	bed_silent(b);
	assert_true(bed_count(b, CTR_tcp_no_buffer) > 0);
	while (n)
		pkt_free(hog[--n]);
	bed_sleep(b, 50 * MS);
	assert_int_equal(bed_out(b)->len, 1000);
	assert_int_equal(bed_out(b)->len, 500);
	bed_free(b);
}

static void data_waits_while_the_devices_queue_is_full_but_acknowledgements_go(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct net_txq *q = &b->net.tx[0];

	(void)state;
	while (q->n < NET_TXQ - 64)
		q->v[q->n++] = buffer(10, 0); // no segments: not captured
	for (uint32_t i = 0; i < 2; i++)
		bed_in(b, (struct in){.seq = b->seq++, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 1});
	bed_send(b, c, 5000);
	const struct out *o = bed_out(b);
	assert_int_equal(o->len, 0);
	assert_int_equal(o->ack, b->seq);
	bed_silent(b);
	assert_int_equal(tcp_send_queued(c), 5000);
	bed_free(b);
}

static void a_full_device_queue_loses_nothing_by_the_next_tick(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct net_txq *q = &b->net.tx[0];

	(void)state;
	while (q->n < NET_TXQ - 64)
		q->v[q->n++] = buffer(10, 0);
	bed_send(b, c, 5000);
	bed_silent(b);
	bed_sleep(b, 3 * MS);
	for (int i = 0; i < 5; i++)
		assert_int_equal(bed_out(b)->len, 1000);
	bed_free(b);
}

static void rfc1191_a_smaller_path_mtu_makes_smaller_segments(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1460});

	(void)state;
	bed_send(b, c, 1460);
	const struct out *o = bed_out(b);
	assert_int_equal(o->len, 1460);
	tcp_unreachable(b->tcp, b->local, b->remote, SRV, PEER, o->seq, 3, 4, 1000);
	bed_run(b);
	assert_int_equal(bed_out(b)->len, 960);
	assert_int_equal(bed_out(b)->len, 500);
	tcp_unreachable(b->tcp, b->local, b->remote, SRV, PEER, o->seq, 3, 4, 68); // absurd
	bed_run(b);
	bed_silent(b);
	bed_free(b);
}

static void the_owners_timer_fires_once_and_may_be_cancelled(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	tcp_set_timer(c, b->now + 500 * MS);
	bed_sleep(b, 499 * MS);
	assert_int_equal(b->all, 0);
	bed_sleep(b, 4 * MS);
	assert_int_equal(b->all, EV_TIMER);
	assert_int_equal(b->calls, 1);
	tcp_set_timer(c, b->now + 500 * MS);
	tcp_set_timer(c, 0);
	bed_sleep(b, 5 * SEC);
	assert_int_equal(b->calls, 1);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(payload_in_order_is_handed_over_without_its_header),
	BED_TEST(rfc9293_3_8_6_3_one_segment_is_acknowledged_with_delay_two_at_once),
	BED_TEST(an_answer_carries_the_acknowledgement),
	BED_TEST(rfc5681_4_2_a_gap_is_told_at_once_and_its_filling_too),
	BED_TEST(overlapping_segments_in_any_order_give_each_byte_once),
	BED_TEST(a_scattered_segment_is_taken_in_single_buffers),
	BED_TEST(small_segments_share_a_buffer),
	BED_TEST(out_of_order_buffers_are_limited_and_the_nearest_are_kept),
	BED_TEST(reading_sends_no_acknowledgement_of_its_own_to_a_peer_without_window_scaling),
	BED_TEST(the_window_shuts_when_the_owner_does_not_read_and_opens_in_large_steps),
	BED_TEST(rfc7323_2_2_the_agreed_scale_counts_both_ways),
	BED_TEST(nothing_goes_out_beyond_the_peers_window),
	BED_TEST(rfc9293_3_8_6_2_1_a_sliver_of_window_is_not_used),
	BED_TEST(rfc9293_3_8_6_1_a_shut_window_is_probed_with_growing_intervals),
	BED_TEST(a_peer_that_answers_probes_may_keep_its_window_shut_for_hours),
	BED_TEST(rfc9293_3_10_7_4_an_ack_counts_although_the_window_is_shut),
	BED_TEST(a_probed_byte_that_was_taken_is_not_sent_again),
	BED_TEST(the_owner_hears_when_a_full_send_queue_has_room_again),
	BED_TEST(small_writes_share_a_buffer_and_a_segment),
	BED_TEST(a_buffer_is_sent_in_place_and_copied_while_the_driver_holds_it),
	BED_TEST(a_buffer_that_the_caller_keeps_may_be_sent_on_two_connections),
	BED_TEST(a_buffer_larger_than_a_segment_is_split),
	BED_TEST(without_packet_buffers_a_segment_waits_and_is_sent_later),
	BED_TEST(data_waits_while_the_devices_queue_is_full_but_acknowledgements_go),
	BED_TEST(a_full_device_queue_loses_nothing_by_the_next_tick),
	BED_TEST(rfc1191_a_smaller_path_mtu_makes_smaller_segments),
	BED_TEST(the_owners_timer_fires_once_and_may_be_cancelled),
};
BED_MAIN(tests)
