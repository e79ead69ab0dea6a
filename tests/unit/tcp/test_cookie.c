// SYN cookies: RFC 4987 3.6, with what RFC 7323 and RFC 2018 agree on kept in our timestamp.
#include "tcp/cookie.h"
#include "tests/unit/tcp/bed.h"

#define PERIOD (1ull << COOKIE_SHIFT)

static struct bed *bed_with(enum tcp_cookies cookies, struct tcp_config conf)
{
	struct bed *b = bed_make(conf);

	b->accept.cookies = cookies;
	return b;
}

static const struct out *syn(struct bed *b, struct in in)
{
	in.seq = b->seq;
	in.flags = TCP_SYN;
	in.wnd = WND;
	bed_in(b, in);
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_SYN | TCP_ACK);
	assert_int_equal(o->ack, b->seq + 1);
	b->ack = o->seq + 1;
	return o;
}

static void rfc4987_3_6_an_answered_syn_costs_no_memory_and_its_ack_opens_the_connection(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	const struct out *o = syn(
		b,
		(struct in){.mss = 1460, .wscale = true, .shift = 7, .ts = true, .tsval = 5, .sack_ok = true});
	struct tcp_info info;

	(void)state;
	assert_int_equal(o->opt.mss, 1460);
	assert_true(o->opt.has_wscale && o->opt.has_ts && o->opt.sack_ok);
	assert_int_equal(o->opt.wscale, conn_wscale(b->tcp->conf.rcv_buf));
	assert_int_equal(o->opt.tsecr, 5);
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(b->tcp->flows.used, 0);
	assert_int_equal(pkt_pool_used(bed_pool), 0);
	bed_sleep(b, 300 * MS);
	bed_in(b, (struct in){.seq = b->seq + 1,
			      .ack = b->ack,
			      .flags = TCP_ACK,
			      .wnd = 100,
			      .ts = true,
			      .tsval = 9,
			      .tsecr = o->opt.tsval});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	assert_int_equal(b->calls, 1);
	tcp_get_info(b->c, &info);
	assert_int_equal(info.state, TCP_ESTABLISHED);
	assert_true(info.accepted);
	assert_int_equal(info.mss, 1460 - 12);
	assert_int_equal(b->c->snd_wscale, 7);
	assert_int_equal(b->c->snd_wnd, 100 << 7);
	assert_int_equal(b->c->rcv_wscale, o->opt.wscale);
	assert_true(b->c->flags & CONN_SACK);
	assert_int_equal(tcp_conn_tag(b->c), 42);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_sent), 1);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_accepted), 1);
	// And it works, both ways.
	b->seq++;
	b->ts = true;
	b->tsval = 10;
	bed_drain(b);
	bed_data(b, "ping", 4);
	assert_int_equal(tcp_recv_len(b->c), 4);
	bed_send(b, b->c, 2000);
	o = bed_out(b);
	assert_int_equal(o->seq, b->ack);
	assert_int_equal(o->len, 1448);
	bed_free(b);
}

static void rfc3168_6_1_1_ecn_is_kept_through_a_cookie_where_timestamps_are(void **state)
{
	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
		struct in in = {
			.seq = b->seq, .flags = TCP_SYN | TCP_ECE | TCP_CWR, .wnd = WND, .ts = ts, .tsval = 5};

		bed_in(b, in);
		bed_run(b);
		const struct out *o = bed_out(b);
		assert_int_equal(o->flags, TCP_SYN | TCP_ACK | (ts ? TCP_ECE : 0));
		bed_in(b, (struct in){.seq = b->seq + 1,
				      .ack = o->seq + 1,
				      .flags = TCP_ACK,
				      .wnd = WND,
				      .ts = ts,
				      .tsval = 6,
				      .tsecr = o->opt.tsval});
		bed_run(b);
		assert_int_equal(b->all, EV_OPEN);
		assert_int_equal((b->c->more & MORE_ECN) != 0, ts);
		bed_free(b);
	}
}

static void the_ack_of_a_cookie_may_bring_data_and_fin(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});

	(void)state;
	syn(b, (struct in){.mss = 1000});
	bed_in(b, (struct in){.seq = b->seq + 1,
			      .ack = b->ack,
			      .flags = TCP_ACK | TCP_FIN,
			      .wnd = WND,
			      .data = "request",
			      .len = 7});
	bed_run(b);
	assert_int_equal(b->events, EV_OPEN | EV_READABLE | EV_EOF);
	assert_int_equal(tcp_recv_len(b->c), 7);
	assert_int_equal(bed_state(b->c), TCP_CLOSE_WAIT);
	assert_int_equal(bed_out(b)->ack, b->seq + 9);
	bed_free(b);
}

static void without_timestamps_window_scale_and_sack_are_given_up(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	const struct out *o = syn(b, (struct in){.mss = 1400, .wscale = true, .shift = 7, .sack_ok = true});

	(void)state;
	assert_false(o->opt.has_wscale || o->opt.has_ts || o->opt.sack_ok);
	bed_in(b, (struct in){.seq = b->seq + 1, .ack = b->ack, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	assert_int_equal(b->c->mss, 1400);
	assert_int_equal(b->c->snd_wnd, WND);
	assert_int_equal(b->c->snd_wscale | b->c->rcv_wscale, 0);
	assert_false(b->c->flags & (CONN_SACK | CONN_TS | CONN_WSCALE));
	bed_free(b);
}

static void what_was_not_offered_is_not_agreed_on(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	const struct out *o = syn(b, (struct in){.ts = true, .tsval = 5});

	(void)state;
	assert_true(o->opt.has_ts);
	assert_false(o->opt.has_wscale || o->opt.sack_ok);
	bed_in(b, (struct in){.seq = b->seq + 1,
			      .ack = b->ack,
			      .flags = TCP_ACK,
			      .wnd = WND,
			      .ts = true,
			      .tsval = 6,
			      .tsecr = o->opt.tsval});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	assert_int_equal(b->c->mss, 536 - 12);
	assert_int_equal(b->c->snd_wnd, WND);
	assert_int_equal(b->c->flags & (CONN_SACK | CONN_TS | CONN_WSCALE), CONN_TS);
	bed_free(b);
}

static void the_mss_is_rounded_down_never_up(void **state)
{
	const struct {
		uint16_t said, kept;
	} mss[] = {{537, 536},   {1219, 536},  {1220, 1220}, {1399, 1360},
		   {1459, 1440}, {1460, 1460}, {65535, 1460}};
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});

	(void)state;
	for (unsigned i = 0; i < sizeof(mss) / sizeof(*mss); i++) {
		b->peer_port++;
		syn(b, (struct in){.mss = mss[i].said});
		bed_in(b, (struct in){.seq = b->seq + 1, .ack = b->ack, .flags = TCP_ACK, .wnd = WND});
		bed_run(b);
		assert_int_equal(b->c->mss, mss[i].kept);
	}
	bed_free(b);
}

static void a_wrong_number_is_reset_and_counted(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	uint32_t seq = b->seq + 1;

	(void)state;
	syn(b, (struct in){.mss = 1000});
	uint32_t ack = b->ack;
	const struct in wrong[] = {
		{.seq = seq, .ack = ack + 1},          // never sent
		{.seq = seq + 1, .ack = ack},          // not behind its SYN
		{.seq = seq, .ack = ack ^ 1u << 27},   // another MSS
		{.seq = seq, .ack = ack - (1u << 29)}, // another period
		{.seq = seq, .ack = ack, .src = 1234}, // another port's
	};
	for (unsigned i = 0; i < 5; i++) {
		struct in in = wrong[i];
		in.flags = TCP_ACK;
		bed_in(b, in);
		bed_run(b);
		const struct out *o = bed_out(b);
		assert_int_equal(o->flags, TCP_RST);
		assert_int_equal(o->seq, in.ack);
		assert_int_equal(bed_count(b, CTR_tcp_cookie_wrong), i + 1);
	}
	struct pkt *p =
		bed_packet((struct in){.src = PEER, .dst = SRV, .seq = seq, .ack = ack, .flags = TCP_ACK});
	struct net_seg seg = {.pkt = p, .src = b->remote, .dst = b->local, .checked = true};
	seg.src.b[15]++; // another address's
	tcp_input(b->tcp, &seg, 1);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_wrong), 6);
	assert_int_equal(b->calls, 0);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void a_right_number_with_a_stamp_that_was_never_sent_is_wrong(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	const struct out *o = syn(b, (struct in){.mss = 1000, .ts = true, .tsval = 5});
	const uint32_t wrong[] = {0, o->opt.tsval + 1000000, o->opt.tsval - 1000000};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		bed_in(b, (struct in){.seq = b->seq + 1,
				      .ack = b->ack,
				      .flags = TCP_ACK,
				      .ts = true,
				      .tsval = 6,
				      .tsecr = wrong[i]});
	assert_int_equal(bed_count(b, CTR_tcp_cookie_wrong), 3);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void acks_of_nothing_are_reset_unlooked_at_when_no_cookie_was_sent_lately(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_PRESSURE, (struct tcp_config){0});
	struct net_seg net = {.src = b->remote, .dst = b->local};
	struct segment s = {.net = &net, .seq = b->seq, .src_port = PEER, .dst_port = SRV};
	uint32_t right = cookie_number(b->tcp, &s);

	(void)state;
	for (int i = 0; i < 2; i++) {
		bed_in(b, (struct in){.seq = b->seq + 1, .ack = right + 1, .flags = TCP_ACK, .wnd = WND});
		bed_run(b);
		assert_int_equal(bed_out(b)->flags, TCP_RST);
		assert_int_equal(bed_count(b, CTR_tcp_no_connection), i + 1);
		// Once cookies are sent again it would be taken; and no longer when that is long ago.
		b->tcp->cookie_sent = b->now;
		bed_sleep(b, COOKIE_LIFE + SEC);
		right = cookie_number(b->tcp, &s);
	}
	assert_int_equal(bed_count(b, CTR_tcp_cookie_wrong), 0);
	assert_int_equal(b->calls, 0);
	bed_free(b);
}

static void a_cookie_is_good_for_a_hundred_seconds_and_no_longer_than_140(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	uint32_t old;

	(void)state;
	syn(b, (struct in){.mss = 1000});
	old = b->ack;
	bed_sleep(b, 100 * SEC);
	bed_in(b, (struct in){.seq = b->seq + 1, .ack = old, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	// Its connection ends, and the same acknowledgement comes again.
	tcp_abort(b->c);
	bed_run(b);
	bed_drain(b);
	b->all = 0;
	b->peer_port++;
	bed_sleep(b, 40 * SEC);
	syn(b, (struct in){.mss = 1000}); // cookies are expected
	b->peer_port--;
	bed_in(b, (struct in){.seq = b->seq + 1, .ack = old, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_RST);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_old), 1);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_wrong), 0);
	// Nor when the period's bits have come around.
	for (int i = 0; i < 3; i++) {
		bed_sleep(b, PERIOD);
		b->peer_port++;
		syn(b, (struct in){.mss = 1000});
	}
	bed_sleep(b, 8 * PERIOD - (b->now - 1000 * SEC) + SEC);
	b->peer_port = PEER;
	bed_in(b, (struct in){.seq = b->seq + 1, .ack = old, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_wrong), 1);
	assert_int_equal(b->all, 0);
	bed_free(b);
}

static void under_pressure_cookies_take_over_and_nobody_half_open_is_given_up(void **state)
{
	struct bed *b =
		bed_with(TCP_COOKIES_PRESSURE, (struct tcp_config){.max_conns = 100, .max_half_open = 5});
	uint32_t first = 0;

	(void)state;
	for (uint16_t i = 0; i < 40; i++) {
		b->peer_port = (uint16_t)(PEER + i);
		syn(b, (struct in){.mss = 1000});
		first = i ? first : b->ack;
	}
	assert_int_equal(b->tcp->conns.used, 5);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_sent), 35);
	assert_int_equal(bed_count(b, CTR_tcp_half_open_dropped), 0);
	bed_in(b, (struct in){.seq = b->seq + 1, .ack = b->ack, .flags = TCP_ACK, .wnd = WND}); // the last
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	b->all = 0;
	b->peer_port = PEER;
	bed_in(b, (struct in){.seq = b->seq + 1, .ack = first, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_accepted), 1);
	// There is room again: no cookie.
	b->peer_port = 1000;
	syn(b, (struct in){.mss = 1000});
	assert_int_equal(bed_count(b, CTR_tcp_cookie_sent), 35);
	bed_free(b);
}

static void when_connections_run_short_a_completed_handshake_takes_a_half_open_ones_place(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_PRESSURE, (struct tcp_config){.max_conns = 8, .max_half_open = 8});

	(void)state;
	for (uint16_t i = 0; i < 7; i++) {
		b->peer_port = (uint16_t)(PEER + i);
		syn(b, (struct in){.mss = 1000});
	}
	assert_int_equal(b->tcp->conns.used, 7); // the last eighth is not for half-open ones
	assert_int_equal(bed_count(b, CTR_tcp_cookie_sent), 0);
	for (uint16_t i = 0; i < 9; i++) {
		b->peer_port = (uint16_t)(PEER + 100 + i);
		bed_in(b, (struct in){.seq = b->seq, .flags = TCP_SYN, .wnd = WND});
		bed_run(b);
		if (b->seen == b->n_out)
			break;
		b->ack = bed_out(b)->seq + 1;
		bed_in(b, (struct in){.seq = b->seq + 1, .ack = b->ack, .flags = TCP_ACK, .wnd = WND});
		bed_run(b);
	}
	assert_int_equal(bed_count(b, CTR_tcp_accepted), 8);
	assert_int_equal(bed_count(b, CTR_tcp_half_open_dropped), 7);
	assert_int_equal(bed_count(b, CTR_tcp_no_conn_left), 1); // the ninth is not even answered
	bed_free(b);
}

static void a_flood_of_syns_leaves_nothing_behind(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};

	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		b->remote =
			addr_from_v4(htonl(0xc6120000 + 2 + i % 4)); // as many as the bed has neighbours for
		net_learn(&b->net, 0, b->remote, mac);
		b->peer_port = (uint16_t)(1000 + i);
		b->seq = i * 7919;
		syn(b, (struct in){.mss = 1000, .ts = true, .tsval = i, .wscale = true, .sack_ok = true});
		bed_drain(b);
	}
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(pkt_pool_used(bed_pool), 0);
	assert_int_equal(bed_count(b, CTR_tcp_cookie_sent), 20000);
	bed_free(b);
}

static void answers_go_out_in_the_buffer_of_the_syn_when_no_other_is_left(void **state)
{
	struct bed *b = bed_with(TCP_COOKIES_ALWAYS, (struct tcp_config){0});
	struct pkt *p =
		bed_packet((struct in){.src = PEER, .dst = SRV, .seq = 1, .flags = TCP_SYN, .wnd = WND});
	struct pkt *taken[4096];
	unsigned n = 0;

	(void)state;
	b->tcp->short_at = b->now; // as looked at before
	while ((taken[n] = pkt_alloc(bed_pool)))
		n++;
	bed_input(b, p);
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_SYN | TCP_ACK);
	assert_int_equal(bed_count(b, CTR_tcp_no_buffer), 0);
	while (n)
		pkt_free(taken[--n]);
	bed_free(b);
}

static void rfc7323_5_4_stamps_with_options_rise_and_are_never_ahead_of_the_clock(void **state)
{
	uint32_t last = 0xffffff00u - 64;

	(void)state;
	for (uint32_t now = 0xffffff00u; now != 0x200; now += 3) {
		struct tcp_options opt = {.has_wscale = now & 4, .wscale = now >> 4 & 7, .sack_ok = now & 1};
		uint32_t stamp = cookie_stamp(now, &opt, now & 2);

		assert_true(seq_le(stamp, now));
		assert_true(now - stamp < 64 && seq_gt(stamp + 64, last));
		assert_int_equal(stamp & 15, now & 4 ? (now >> 4 & 7) : 15);
		assert_int_equal(stamp >> 4 & 1, now & 1);
		assert_int_equal(stamp >> 5 & 1, now >> 1 & 1);
		last = stamp;
	}
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc4987_3_6_an_answered_syn_costs_no_memory_and_its_ack_opens_the_connection),
	BED_TEST(rfc3168_6_1_1_ecn_is_kept_through_a_cookie_where_timestamps_are),
	BED_TEST(the_ack_of_a_cookie_may_bring_data_and_fin),
	BED_TEST(without_timestamps_window_scale_and_sack_are_given_up),
	BED_TEST(what_was_not_offered_is_not_agreed_on),
	BED_TEST(the_mss_is_rounded_down_never_up),
	BED_TEST(a_wrong_number_is_reset_and_counted),
	BED_TEST(a_right_number_with_a_stamp_that_was_never_sent_is_wrong),
	BED_TEST(acks_of_nothing_are_reset_unlooked_at_when_no_cookie_was_sent_lately),
	BED_TEST(a_cookie_is_good_for_a_hundred_seconds_and_no_longer_than_140),
	BED_TEST(under_pressure_cookies_take_over_and_nobody_half_open_is_given_up),
	BED_TEST(when_connections_run_short_a_completed_handshake_takes_a_half_open_ones_place),
	BED_TEST(a_flood_of_syns_leaves_nothing_behind),
	BED_TEST(answers_go_out_in_the_buffer_of_the_syn_when_no_other_is_left),
	BED_TEST(rfc7323_5_4_stamps_with_options_rise_and_are_never_ahead_of_the_clock),
};
BED_MAIN(tests)
