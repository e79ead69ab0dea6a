// Opening: RFC 9293 3.5 and 3.10, RFC 7323 2 and 3, RFC 6298 5.
#include "tests/unit/tcp/bed.h"

static void rfc9293_3_5_a_syn_is_answered_and_the_owner_is_told_once_established(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_in(b, (struct in){.seq = PEER_ISN, .flags = TCP_SYN, .wnd = WND, .mss = 1000});
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_SYN | TCP_ACK);
	assert_int_equal(o->ack, PEER_ISN + 1);
	assert_int_equal(o->opt.mss, 1460);
	assert_false(o->opt.has_wscale); // not offered, not answered
	assert_false(o->opt.has_ts);
	assert_int_equal(b->calls, 0);
	bed_in(b, (struct in){.seq = PEER_ISN + 1, .ack = o->seq + 1, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	assert_int_equal(tcp_conn_tag(b->c), 42);
	assert_int_equal(bed_state(b->c), TCP_ESTABLISHED);
	assert_int_equal(bed_count(b, CTR_tcp_accepted), 1);
	bed_silent(b);
	bed_free(b);
}

static void rfc7323_options_offered_in_a_syn_are_answered(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_in(b, (struct in){.seq = 1,
			      .flags = TCP_SYN,
			      .wnd = WND,
			      .mss = 1000,
			      .wscale = true,
			      .shift = 5,
			      .ts = true,
			      .tsval = 77});
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_true(o->opt.has_wscale && o->opt.has_ts);
	assert_int_equal(o->opt.wscale, 7); // 4 MiB
	assert_int_equal(o->opt.tsecr, 77);
	assert_int_equal(o->wnd, 65535); // never scaled in a SYN
	bed_free(b);
}

static void connecting_offers_all_options_and_acknowledges_the_answer(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	const struct out *o = bed_out(b);
	struct tcp_info info;

	(void)state;
	assert_int_equal(o->flags, TCP_SYN);
	assert_true(o->opt.mss == 1460 && o->opt.has_wscale && o->opt.has_ts);
	assert_in_range(o->src, STEER_EPHEMERAL, 65535);
	uint32_t iss = o->seq, tsval = o->opt.tsval;
	bed_in(b, (struct in){.src = SRV,
			      .dst = o->src,
			      .seq = 500,
			      .ack = iss + 1,
			      .flags = TCP_SYN | TCP_ACK,
			      .wnd = WND,
			      .mss = 1400,
			      .wscale = true,
			      .shift = 2,
			      .ts = true,
			      .tsval = 9,
			      .tsecr = tsval});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	o = bed_out(b);
	assert_int_equal(o->flags, TCP_ACK);
	assert_int_equal(o->seq, iss + 1);
	assert_int_equal(o->ack, 501);
	assert_int_equal(o->opt.tsecr, 9);
	tcp_get_info(c, &info);
	assert_int_equal(info.mss, 1388);
	assert_false(info.accepted);
	assert_int_equal(bed_count(b, CTR_tcp_connected), 1);
	bed_free(b);
}

static void a_request_sent_on_open_carries_the_handshakes_acknowledgement(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	const struct out *o = bed_out(b);

	(void)state;
	bed_in(b, (struct in){.src = SRV,
			      .dst = o->src,
			      .seq = 500,
			      .ack = o->seq + 1,
			      .flags = TCP_SYN | TCP_ACK,
			      .wnd = WND});
	tcp_dispatch(b->tcp);
	tcp_send_copy(c, "GET", 3);
	bed_run(b);
	o = bed_out(b);
	assert_int_equal(o->len, 3);
	assert_int_equal(o->ack, 501);
	bed_silent(b);
	bed_free(b);
}

static void a_syn_that_comes_again_gets_its_answer_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	for (int i = 0; i < 2; i++) {
		bed_in(b, (struct in){.seq = 5, .flags = TCP_SYN, .wnd = WND});
		bed_run(b);
	}
	const struct out *first = bed_out(b), *second = bed_out(b);
	assert_int_equal(second->flags, TCP_SYN | TCP_ACK);
	assert_int_equal(second->seq, first->seq);
	assert_int_equal(b->tcp->conns.used, 1);
	bed_free(b);
}

static void rfc6298_5_syn_is_sent_again_after_1_2_4_seconds_then_given_up(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.syn_retries = 3});
	struct tcp_conn *c = bed_connect(b);
	uint64_t before = bed_out(b)->at;

	(void)state;
	bed_sleep(b, 60 * SEC);
	for (uint64_t wait = 1; wait <= 4; wait *= 2) {
		const struct out *o = bed_out(b);
		assert_int_equal(o->flags, TCP_SYN);
		assert_in_range(o->at - before, wait * SEC, wait * SEC + 3 * MS);
		before = o->at;
	}
	bed_silent(b);
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ETIMEDOUT);
	tcp_close(c);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void a_half_open_connection_is_given_up_without_anyone_hearing_of_it(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.syn_retries = 2});

	(void)state;
	bed_in(b, (struct in){.seq = 5, .flags = TCP_SYN, .wnd = WND});
	bed_run(b);
	bed_sleep(b, 60 * SEC);
	assert_int_equal(b->n_out, 3);
	assert_int_equal(b->calls, 0);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void a_reset_in_answer_to_syn_is_connection_refused(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	const struct out *o = bed_out(b);

	(void)state;
	// One that does not acknowledge our SYN means nothing.
	bed_in(b, (struct in){.src = SRV, .dst = o->src, .ack = o->seq, .flags = TCP_RST | TCP_ACK});
	bed_in(b, (struct in){.src = SRV, .dst = o->src, .flags = TCP_RST});
	bed_run(b);
	assert_int_equal(b->calls, 0);
	bed_in(b, (struct in){.src = SRV, .dst = o->src, .ack = o->seq + 1, .flags = TCP_RST | TCP_ACK});
	bed_run(b);
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ECONNREFUSED);
	tcp_close(c);
	bed_free(b);
}

static void rfc9293_3_10_7_3_an_ack_of_another_syn_is_reset(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	bed_connect(b);
	const struct out *o = bed_out(b);

	(void)state;
	bed_in(b, (struct in){.src = SRV,
			      .dst = o->src,
			      .seq = 1,
			      .ack = o->seq + 77,
			      .flags = TCP_SYN | TCP_ACK,
			      .wnd = WND});
	bed_run(b);
	uint32_t wrong = o->seq + 77;
	o = bed_out(b);
	assert_int_equal(o->flags, TCP_RST);
	assert_int_equal(o->seq, wrong);
	assert_int_equal(b->calls, 0);
	bed_free(b);
}

static void rfc9293_3_5_both_sides_may_open_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	const struct out *o = bed_out(b);
	uint32_t iss = o->seq;
	uint16_t port = o->src;

	(void)state;
	bed_in(b, (struct in){.src = SRV, .dst = port, .seq = 900, .flags = TCP_SYN, .wnd = WND, .mss = 1000});
	bed_run(b);
	o = bed_out(b);
	assert_int_equal(o->flags, TCP_SYN | TCP_ACK);
	assert_int_equal(o->seq, iss);
	assert_int_equal(o->ack, 901);
	assert_int_equal(bed_state(c), TCP_SYN_RECEIVED);
	bed_in(b, (struct in){.src = SRV,
			      .dst = port,
			      .seq = 900,
			      .ack = iss + 1,
			      .flags = TCP_SYN | TCP_ACK,
			      .wnd = WND});
	bed_run(b);
	assert_int_equal(b->all, EV_OPEN);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_free(b);
}

static void rfc5461_an_icmp_error_ends_a_connection_only_while_it_opens(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_connect(b);
	const struct out *o = bed_out(b);

	(void)state;
	tcp_unreachable(b->tcp, b->local, b->remote, o->src, SRV, o->seq + 9, 3, 3, 0); // never sent
	bed_run(b);
	assert_int_equal(b->calls, 0);
	tcp_unreachable(b->tcp, b->local, b->remote, o->src, SRV, o->seq, 3, 3, 0);
	bed_run(b);
	assert_int_equal(tcp_error(c), ECONNREFUSED);
	tcp_close(c);
	b->all = 0;
	bed_drain(b);

	c = bed_accept(b);
	bed_send(b, c, 10);
	tcp_unreachable(b->tcp, b->local, b->remote, SRV, PEER, bed_out(b)->seq, 3, 3, 0);
	bed_run(b);
	assert_int_equal(b->all, 0);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_free(b);
}

static void rfc6528_initial_numbers_differ_by_connection_and_rise_with_time(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct flow_ends e = {.local = b->local, .remote = b->remote, .local_port = 1, .remote_port = 2};
	uint32_t first = conn_isn(b->tcp, &e, 0);

	(void)state;
	e.local_port = 3;
	assert_int_not_equal(conn_isn(b->tcp, &e, 0), first);
	e.local_port = 1;
	bed_sleep(b, SEC);
	assert_in_range(conn_isn(b->tcp, &e, 0) - first, 244000, 244300); // one in 4.096 us
	bed_free(b);
}

static void a_full_pool_refuses_syns_silently_and_keeps_what_it_has(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_conns = 1});
	struct tcp_conn *c = bed_accept(b);
	int err;

	(void)state;
	bed_in(b, (struct in){.src = 1234, .seq = 5, .flags = TCP_SYN, .wnd = WND});
	bed_run(b);
	bed_silent(b);
	assert_int_equal(bed_count(b, CTR_tcp_no_conn_left), 1);
	assert_null(tcp_connect(b->tcp, 0, b->remote, SRV, bed_event, b, NULL, &err));
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_free(b);
}

static void without_cookies_half_open_connections_are_limited_and_the_oldest_goes_first(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_conns = 16});

	(void)state;
	b->accept.cookies = TCP_COOKIES_NEVER;
	for (uint16_t i = 0; i < 40; i++) {
		bed_in(b, (struct in){.src = (uint16_t)(1000 + i), .seq = 5, .flags = TCP_SYN, .wnd = WND});
		bed_run(b);
	}
	assert_int_equal(b->tcp->conns.used, 5);
	assert_int_equal(bed_count(b, CTR_tcp_half_open_dropped), 35);
	bed_drain(b);
	bed_in(b, (struct in){.src = 1039, .seq = 5, .flags = TCP_SYN, .wnd = WND}); // the last is still there
	bed_run(b);
	assert_int_equal(b->tcp->conns.used, 5);
	assert_int_equal(bed_out(b)->dst, 1039);
	bed_free(b);
}

static void connects_fail_where_there_is_no_route(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	int err = 0;

	(void)state;
	assert_null(tcp_connect(b->tcp, 0, addr_from_v4(htonl(0xc6130001)), SRV, bed_event, b, NULL, &err));
	assert_int_equal(err, -ENETUNREACH);
	assert_int_equal(b->tcp->conns.used, 0);
	bed_free(b);
}

static void local_ports_are_distinct_and_steer_to_this_worker(void **state)
{
	static struct steer steer = {.kind = STEER_PORTBITS, .workers = 4};
	struct tcp_config conf = {.max_conns = 100, .worker = 3};
	bool used[65536] = {false};
	struct bed *b;

	(void)state;
	conf.steer[0] = &steer;
	b = bed_make(conf);
	for (int i = 0; i < 100; i++) {
		struct tcp_info info;
		bed_drain(b);
		tcp_get_info(bed_connect(b), &info);
		assert_in_range(info.local_port, STEER_EPHEMERAL, 65535);
		assert_int_equal(steer_flow(&steer, b->remote, b->local, SRV, info.local_port), 3);
		assert_false(used[info.local_port]);
		used[info.local_port] = true;
	}
	bed_free(b);
}

static void a_peers_tiny_mss_does_not_make_tiny_segments(void **state)
{
	struct tcp_info info;

	(void)state;
	for (uint16_t floor = 0; floor <= 64; floor += 64) {
		struct bed *b = bed_make((struct tcp_config){.min_mss = floor});

		tcp_get_info(bed_accept_with(b, (struct in){.mss = 1}), &info);
		assert_int_equal(info.mss, floor ? floor : 216);
		assert_int_equal(bed_count(b, CTR_tcp_tiny_mss), 1);
		bed_free(b);
	}
}

static void rfc9293_3_7_1_without_the_option_the_mss_is_536(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_info info;

	(void)state;
	tcp_get_info(bed_accept_with(b, (struct in){0}), &info);
	assert_int_equal(info.mss, 536);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc9293_3_5_a_syn_is_answered_and_the_owner_is_told_once_established),
	BED_TEST(rfc7323_options_offered_in_a_syn_are_answered),
	BED_TEST(connecting_offers_all_options_and_acknowledges_the_answer),
	BED_TEST(a_request_sent_on_open_carries_the_handshakes_acknowledgement),
	BED_TEST(a_syn_that_comes_again_gets_its_answer_again),
	BED_TEST(rfc6298_5_syn_is_sent_again_after_1_2_4_seconds_then_given_up),
	BED_TEST(a_half_open_connection_is_given_up_without_anyone_hearing_of_it),
	BED_TEST(a_reset_in_answer_to_syn_is_connection_refused),
	BED_TEST(rfc9293_3_10_7_3_an_ack_of_another_syn_is_reset),
	BED_TEST(rfc9293_3_5_both_sides_may_open_at_once),
	BED_TEST(rfc5461_an_icmp_error_ends_a_connection_only_while_it_opens),
	BED_TEST(rfc6528_initial_numbers_differ_by_connection_and_rise_with_time),
	BED_TEST(a_full_pool_refuses_syns_silently_and_keeps_what_it_has),
	BED_TEST(without_cookies_half_open_connections_are_limited_and_the_oldest_goes_first),
	BED_TEST(connects_fail_where_there_is_no_route),
	BED_TEST(local_ports_are_distinct_and_steer_to_this_worker),
	BED_TEST(a_peers_tiny_mss_does_not_make_tiny_segments),
	BED_TEST(rfc9293_3_7_1_without_the_option_the_mss_is_536),
};
BED_MAIN(tests)
