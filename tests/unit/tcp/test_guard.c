// What strangers and broken peers can do: RFC 9293 3.10.7, RFC 5961, RFC 7323 5; and what owners may do.
#include "base/checksum.h"
#include "tests/unit/tcp/bed.h"

static void rfc9293_3_10_7_1_a_syn_to_a_closed_port_is_reset(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_in(b, (struct in){.dst = 81, .seq = 1000, .flags = TCP_SYN, .wnd = WND});
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_RST | TCP_ACK);
	assert_int_equal(o->seq, 0);
	assert_int_equal(o->ack, 1001);
	assert_int_equal(bed_count(b, CTR_tcp_no_listener), 1);
	bed_free(b);
}

static void rfc9293_3_10_7_1_an_ack_of_no_connection_is_reset_with_its_number(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_in(b, (struct in){.seq = 1000, .ack = 777, .flags = TCP_ACK, .len = 10});
	bed_in(b, (struct in){.dst = SRV + 1, .seq = 1000, .flags = TCP_FIN, .len = 10});
	bed_in(b, (struct in){.seq = 1000, .ack = 777, .flags = TCP_RST | TCP_ACK});
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_RST);
	assert_int_equal(o->seq, 777);
	o = bed_out(b);
	assert_int_equal(o->flags, TCP_RST | TCP_ACK);
	assert_int_equal(o->ack, 1011);
	bed_silent(b); // never in answer to a reset
	bed_free(b);
}

// What is left of the limit would tell whether somebody else got one, and so whether his connection exists.
static void rfc5961_10_resets_to_one_stranger_do_not_use_up_those_of_another(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct addr a = b->remote, other = a;

	(void)state;
	other.b[15] ^= 1;
	for (int i = 0; i < 1500; i++) {
		b->remote = i % 2 ? a : other;
		bed_in(b, (struct in){.seq = 1, .ack = 2, .flags = TCP_ACK});
		bed_run(b);
		bed_drain(b);
	}
	assert_int_equal(bed_count(b, CTR_tcp_reset_tx), 1500);
	b->remote = a;
	bed_free(b);
}

static void resets_to_strangers_are_limited(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	for (int i = 0; i < 1500; i++) {
		bed_in(b, (struct in){.seq = 1, .ack = 2, .flags = TCP_ACK});
		bed_run(b);
		bed_drain(b);
	}
	assert_int_equal(bed_count(b, CTR_tcp_reset_tx), 1000);
	assert_int_equal(bed_count(b, CTR_tcp_rst_limited), 500);
	bed_sleep(b, SEC / 2);
	bed_in(b, (struct in){.seq = 1, .ack = 2, .flags = TCP_ACK});
	bed_run(b);
	assert_int_equal(bed_count(b, CTR_tcp_reset_tx), 1001);
	bed_free(b);
}

static void rfc5961_3_2_only_the_exact_number_resets(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_in(b, (struct in){.seq = b->seq + 100, .flags = TCP_RST}); // in the window: challenge
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_ACK);
	assert_int_equal(o->ack, b->seq);
	bed_in(b, (struct in){.seq = b->seq + 10000000, .flags = TCP_RST}); // outside: nothing
	bed_in(b, (struct in){.seq = b->seq - 1, .flags = TCP_RST});
	bed_run(b);
	bed_silent(b);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_RST});
	bed_run(b);
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ECONNRESET);
	bed_silent(b);
	tcp_close(c);
	bed_free(b);
}

static void data_received_before_a_reset_can_still_be_read(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_in(b,
	       (struct in){
		       .seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .data = "answer", .len = 6});
	bed_in(b, (struct in){.seq = b->seq + 6, .flags = TCP_RST});
	bed_run(b);
	assert_int_equal(b->all, EV_READABLE | EV_ERROR);
	assert_int_equal(b->calls, 1); // all together
	assert_int_equal(tcp_recv_len(c), 6);
	tcp_close(c);
	bed_run(b);
	bed_silent(b);
	bed_free(b);
}

static void rfc5961_4_2_a_syn_in_an_open_connection_is_challenged(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_SYN, .wnd = WND});
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_ACK);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	for (int i = 0; i < 100; i++)
		bed_in(b, (struct in){.seq = b->seq, .flags = TCP_SYN, .wnd = WND}), bed_run(b);
	bed_silent(b); // a flood of them makes no flood of ours (RFC 5961 7)
	bed_free(b);
}

static void rfc9293_3_10_7_4_an_ack_of_what_was_never_sent_is_answered_and_ignored(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 10);
	bed_drain(b);
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack + 11, .flags = TCP_ACK, .wnd = WND, .len = 5});
	bed_run(b);
	assert_int_equal(bed_out(b)->ack, b->seq);
	assert_int_equal(tcp_send_queued(c), 10);
	assert_int_equal(tcp_recv_len(c), 0);
	assert_int_equal(bed_count(b, CTR_tcp_bad_ack), 1);
	bed_free(b);
}

static void an_ack_with_a_wrong_number_does_not_complete_a_handshake(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_in(b, (struct in){.seq = 1, .flags = TCP_SYN, .wnd = WND});
	bed_run(b);
	uint32_t iss = bed_out(b)->seq;
	bed_in(b, (struct in){.seq = 2, .ack = iss + 2, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(b->calls, 0);
	assert_int_equal(bed_out(b)->flags, TCP_RST);
	bed_free(b);
}

static void rfc7323_5_paws_refuses_old_timestamps(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .ts = true, .tsval = FIRST_TS});

	(void)state;
	b->tsval = FIRST_TS + 10;
	bed_data(b, "abc", 3);
	bed_run(b);
	b->tsval = FIRST_TS + 8;
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 3});
	bed_run(b);
	assert_int_equal(tcp_recv_len(c), 3);
	const struct out *o = bed_out(b);
	assert_int_equal(o->ack, b->seq);
	assert_int_equal(o->opt.tsecr, FIRST_TS + 10);
	assert_int_equal(bed_count(b, CTR_tcp_paws), 1);
	bed_free(b);
}

static void rfc7323_5_5_after_24_days_of_silence_any_timestamp_is_taken(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .ts = true, .tsval = FIRST_TS});

	(void)state;
	b->now += 24 * 86400 * SEC + 3600 * SEC;
	bed_sleep(b, SEC);
	b->tsval = FIRST_TS - 1;
	bed_data(b, "abc", 3);
	assert_int_equal(tcp_recv_len(c), 3);
	bed_free(b);
}

static void rfc7323_3_2_a_segment_without_the_agreed_timestamp_is_dropped(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .ts = true, .tsval = FIRST_TS});

	(void)state;
	b->ts = false;
	bed_data(b, "abc", 3);
	assert_int_equal(tcp_recv_len(c), 0);
	bed_silent(b);
	bed_in(b, (struct in){.seq = b->seq - 3, .flags = TCP_RST}); // a reset needs none
	bed_run(b);
	assert_int_equal(b->all, EV_ERROR);
	tcp_close(c);
	bed_free(b);
}

static void a_segment_wholly_outside_of_the_window_is_answered_with_ack(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_in(b, (struct in){.seq = b->seq + 1000000, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 3});
	bed_run(b);
	assert_int_equal(bed_out(b)->ack, b->seq);
	assert_int_equal(tcp_recv_len(c), 0);
	assert_int_equal(bed_count(b, CTR_tcp_out_of_window), 1);
	bed_free(b);
}

static void an_overtaken_ack_does_not_bring_back_an_old_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = 1000, .wnd = 4000});
	uint32_t una = b->ack;

	(void)state;
	bed_send(b, c, 10000);
	bed_drain(b);
	bed_ack(b, una + 3000, 1000);
	bed_drain(b);
	bed_ack(b, una + 1000, 3000); // sent before the other
	assert_int_equal(c->snd_wnd, 1000);
	bed_silent(b);
	bed_free(b);
}

static void malformed_headers_are_counted_and_dropped(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	const uint8_t off[] = {0, 4 << 4, 6 << 4, 15 << 4};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct pkt *p = bed_packet((struct in){.src = 1, .dst = SRV, .flags = TCP_SYN});
		((struct tcp_header *)pkt_data(p))->off = off[i];
		bed_input(b, p);
	}
	struct pkt *p = pkt_alloc(bed_pool);
	memset(pkt_append(p, 19), 0, 19);
	bed_input(b, p);
	bed_input(b, bed_packet((struct in){.src = 0, .dst = SRV, .flags = TCP_SYN}));
	bed_run(b);
	bed_silent(b);
	assert_int_equal(bed_count(b, CTR_tcp_bad_header), 6);
	bed_free(b);
}

static void checksums_are_verified_where_the_device_has_not(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	for (uint16_t wrong = 0; wrong < 2; wrong++) {
		struct pkt *p = bed_packet((struct in){.src = PEER, .dst = SRV, .seq = 1, .flags = TCP_SYN});
		struct tcp_header *h = (struct tcp_header *)pkt_data(p);
		uint8_t pseudo[12] = {198, 18, 0, 2, 198, 18, 0, 1, 0, 6, 0, 20};
		uint64_t sum = checksum_add(checksum_add(0, pseudo, 12), h, 20);
		h->sum = (uint16_t)(checksum_fold(sum) ^ wrong);
		struct net_seg seg = {.pkt = p, .src = b->remote, .dst = b->local};
		tcp_input(b->tcp, &seg, 1);
	}
	assert_int_equal(b->tcp->conns.used, 1);
	assert_int_equal(bed_count(b, CTR_tcp_bad_checksum), 1);
	bed_free(b);
}

static void a_checksum_over_odd_pieces_is_right(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	uint8_t pseudo[12] = {198, 18, 0, 2, 198, 18, 0, 1, 0, 6, 0, 20 + 9};
	struct pkt *whole = bed_packet((struct in){.src = PEER,
						   .dst = SRV,
						   .seq = b->seq,
						   .ack = b->ack,
						   .flags = TCP_ACK,
						   .wnd = WND,
						   .data = "123456789",
						   .len = 9});
	struct tcp_header *h = (struct tcp_header *)pkt_data(whole);

	(void)state;
	h->sum = checksum_fold(checksum_add(checksum_add(0, pseudo, 12), h, 29));
	struct pkt *head = NULL;
	for (uint32_t at = 0; at < 29; at += at ? 3 : 23) {
		uint32_t n = at ? 3 : 23;
		struct pkt *p = pkt_alloc(bed_pool);
		memcpy(pkt_append(p, n), pkt_data(whole) + at, n);
		if (head)
			pkt_chain(head, p);
		else
			head = p;
	}
	pkt_free(whole);
	struct net_seg seg = {.pkt = head, .src = b->remote, .dst = b->local};
	tcp_input(b->tcp, &seg, 1);
	bed_run(b);
	assert_int_equal(tcp_recv_len(c), 9);
	bed_free(b);
}

// Three connections become readable in one burst; whoever is told first ends them all.
static struct tcp_conn *three[3];
static void end_all(struct bed *b, struct tcp_conn *c, unsigned events)
{
	(void)c;
	if (!(events & EV_READABLE))
		return;
	b->react = NULL;
	tcp_abort(three[2]);
	tcp_close(three[0]);
	tcp_abort(three[1]);
}

static void an_owner_may_end_any_connection_from_within_an_event(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	uint32_t ack[3];

	(void)state;
	for (uint16_t i = 0; i < 3; i++) {
		b->peer_port = (uint16_t)(PEER + i);
		b->seq = PEER_ISN;
		three[i] = bed_accept(b);
		ack[i] = b->ack;
	}
	for (uint16_t i = 0; i < 3; i++)
		bed_in(b, (struct in){.src = (uint16_t)(PEER + i),
				      .seq = b->seq,
				      .ack = ack[i],
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .len = 5});
	b->react = end_all;
	bed_run(b);
	assert_int_equal(b->calls, 1);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void listing_goes_through_all_connections_in_slices(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_conns = 100});
	struct tcp_info info[7];
	uint64_t cursor = 0;
	unsigned total = 0, slices = 0;
	bool seen[50] = {false};

	(void)state;
	for (uint16_t i = 0; i < 50; i++) {
		b->peer_port = (uint16_t)(PEER + i);
		b->seq = PEER_ISN;
		bed_accept(b);
	}
	do {
		unsigned n = tcp_list(b->tcp, &cursor, info, 7);
		for (unsigned i = 0; i < n; i++) {
			assert_false(seen[info[i].remote_port - PEER]);
			seen[info[i].remote_port - PEER] = true;
			assert_true(info[i].accepted && info[i].state == TCP_ESTABLISHED);
		}
		total += n;
		slices++;
	} while (cursor);
	assert_int_equal(total, 50);
	assert_int_equal(slices, 8);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc9293_3_10_7_1_a_syn_to_a_closed_port_is_reset),
	BED_TEST(rfc9293_3_10_7_1_an_ack_of_no_connection_is_reset_with_its_number),
	BED_TEST(resets_to_strangers_are_limited),
	BED_TEST(rfc5961_10_resets_to_one_stranger_do_not_use_up_those_of_another),
	BED_TEST(rfc5961_3_2_only_the_exact_number_resets),
	BED_TEST(data_received_before_a_reset_can_still_be_read),
	BED_TEST(rfc5961_4_2_a_syn_in_an_open_connection_is_challenged),
	BED_TEST(rfc9293_3_10_7_4_an_ack_of_what_was_never_sent_is_answered_and_ignored),
	BED_TEST(an_ack_with_a_wrong_number_does_not_complete_a_handshake),
	BED_TEST(rfc7323_5_paws_refuses_old_timestamps),
	BED_TEST(rfc7323_5_5_after_24_days_of_silence_any_timestamp_is_taken),
	BED_TEST(rfc7323_3_2_a_segment_without_the_agreed_timestamp_is_dropped),
	BED_TEST(a_segment_wholly_outside_of_the_window_is_answered_with_ack),
	BED_TEST(an_overtaken_ack_does_not_bring_back_an_old_window),
	BED_TEST(malformed_headers_are_counted_and_dropped),
	BED_TEST(checksums_are_verified_where_the_device_has_not),
	BED_TEST(a_checksum_over_odd_pieces_is_right),
	BED_TEST(an_owner_may_end_any_connection_from_within_an_event),
	BED_TEST(listing_goes_through_all_connections_in_slices),
};
BED_MAIN(tests)
