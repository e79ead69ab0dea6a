// A listener's limits, and who is refused first when connections or buffers run short.
#include "tests/unit/tcp/bed.h"

static bool try_syn(struct bed *b, uint16_t port)
{
	b->peer_port = port;
	b->seq = PEER_ISN;
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_SYN, .wnd = WND, .mss = 1000});
	bed_run(b);
	if (b->seen == b->n_out)
		return false;
	const struct out *o = bed_out(b);
	b->ack = o->seq + 1;
	return o->flags == (TCP_SYN | TCP_ACK);
}

static bool try_ack(struct bed *b)
{
	unsigned before = b->calls;

	bed_in(b, (struct in){.seq = PEER_ISN + 1, .ack = b->ack, .flags = TCP_ACK, .wnd = WND});
	bed_run(b);
	return b->calls > before;
}

static bool try_open(struct bed *b, uint16_t port)
{
	return try_syn(b, port) && try_ack(b);
}

static void from(struct bed *b, const char *address)
{
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};

	assert_int_equal(addr_parse(address, strlen(address), &b->remote), 0);
	net_learn(&b->net, 0, b->remote, mac);
}

static void an_address_has_so_many_connections_and_no_more(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_conns = 64});

	(void)state;
	b->accept.max_per_address = 3;
	for (uint16_t i = 0; i < 3; i++)
		assert_true(try_open(b, (uint16_t)(PEER + i)));
	struct tcp_conn *last = b->c;
	assert_false(try_syn(b, PEER + 3));
	bed_silent(b);
	assert_int_equal(bed_count(b, CTR_tcp_address_limit), 1);
	from(b, "198.18.0.3"); // another is not concerned
	assert_true(try_open(b, PEER));
	from(b, "198.18.0.2");
	tcp_abort(last);
	bed_run(b);
	bed_drain(b);
	assert_true(try_open(b, PEER + 4)); // there is room again
	bed_free(b);
}

static void a_refused_client_is_told_where_the_listener_says_so(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_conns = 64});

	(void)state;
	b->accept.max_per_address = 1;
	b->accept.refuse_reset = true;
	assert_true(try_open(b, PEER));
	bed_drain(b);
	assert_false(try_syn(b, PEER + 1));
	assert_int_equal(b->out[0].flags, TCP_RST | TCP_ACK);
	bed_free(b);
}

static void who_is_denied_gets_no_answer_to_anything_and_ends_his_handshake_in_vain(void **state)
{
	static _Alignas(4096) char memory[ADDRESS_LIST_MIN];
	struct address_list list;
	struct addr client;
	char why[100];

	(void)state;
	memset(memory, 0, sizeof(memory));
	address_list_create(memory, sizeof(memory), (struct hash_key){1, 2});
	assert_true(address_list_attach(&list, memory, sizeof(memory), why, sizeof(why)));
	struct bed *b = bed_make((struct tcp_config){.max_conns = 64, .addresses = &list});

	client = b->remote;
	assert_true(try_syn(b, PEER));
	uint32_t used = b->tcp->conns.used;
	assert_int_equal(address_list_add(&list, ADDRESS_DENY, client, 128, 0, ADDRESS_HAND), 0);
	assert_false(try_ack(b)); // half open when it came onto the list
	bed_silent(b);
	assert_int_equal(b->tcp->conns.used, used - 1);
	assert_false(try_syn(b, PEER + 1));
	bed_silent(b);
	for (unsigned i = 0; i < 2; i++) { // else answered with RST
		bed_in(b,
		       (struct in){.seq = 7, .ack = 9, .flags = i ? TCP_FIN | TCP_ACK : TCP_ACK, .wnd = WND});
		bed_run(b);
		bed_silent(b);
	}
	assert_int_equal(bed_count(b, CTR_tcp_denied), 4);
	from(b, "198.18.0.3");
	assert_true(try_open(b, PEER));
	from(b, "198.18.0.2");
	assert_true(address_list_remove(&list, ADDRESS_DENY, client, 128, ADDRESS_HAND));
	assert_true(try_open(b, PEER + 2));
	bed_free(b);
}

static void whoever_forges_an_address_uses_up_nothing_of_its_limit(void **state)
{
	struct tcp_rate rate = {.rate = 5, .burst = 5, .tokens = 5};
	struct bed *b = bed_make((struct tcp_config){.max_conns = 64, .max_half_open = 64});

	(void)state;
	rate.refilled = b->now;
	b->accept.max_per_address = 3;
	b->accept.rate = &rate;
	for (uint16_t i = 0; i < 30; i++)
		assert_true(try_syn(b, (uint16_t)(1000 + i)));
	assert_true(try_open(b, PEER));
	// Half-open ones that were let in when there was room are refused when they come to the end.
	b->accept.refuse_reset = true;
	assert_true(try_open(b, PEER + 1));
	assert_true(try_syn(b, PEER + 3));
	uint32_t ack = b->ack;
	assert_true(try_open(b, PEER + 2));
	b->ack = ack;
	b->peer_port = PEER + 3;
	bed_drain(b);
	uint32_t used = b->tcp->conns.used;
	assert_false(try_ack(b));
	assert_int_equal(bed_out(b)->flags, TCP_RST);
	assert_int_equal(b->tcp->conns.used, used - 1);
	assert_int_equal(bed_count(b, CTR_tcp_address_limit), 1);
	bed_free(b);
}

static void connections_count_until_they_are_gone_however_they_end(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_conns = 64});

	(void)state;
	b->accept.max_per_address = 1;
	for (int how = 0; how < 4; how++) {
		b->accept.cookies = how & 1 ? TCP_COOKIES_ALWAYS : TCP_COOKIES_PRESSURE;
		assert_true(try_open(b, (uint16_t)(PEER + how)));
		assert_int_equal(b->tcp->sources.used, 1);
		b->seq = PEER_ISN + 1;
		switch (how) {
		case 0: // reset by the peer: gone although its owner has not let go
			bed_in(b, (struct in){.seq = b->seq, .flags = TCP_RST});
			bed_run(b);
			assert_int_equal(b->tcp->sources.used, 0);
			tcp_close(b->c);
			break;
		case 1:
			tcp_abort(b->c);
			break;
		case 2: // closed by us: TIME_WAIT counts no more
			tcp_close(b->c);
			bed_run(b);
			assert_int_equal(b->tcp->sources.used, 1);
			b->ack++;
			bed_fin(b);
			assert_int_equal(b->tcp->waits.used, 1);
			break;
		default: // closed by the peer
			bed_fin(b);
			tcp_close(b->c);
			bed_run(b);
			b->ack++;
			bed_ack(b, b->ack, WND);
		}
		bed_run(b);
		assert_int_equal(b->tcp->sources.used, 0);
		bed_drain(b);
	}
	bed_free(b);
}

static void the_addresses_of_one_ipv6_prefix_are_one_client(void **state)
{
	const struct hash_key secret = {1, 2};
	struct addr a, b, c, d;

	(void)state;
	addr_parse("fd00:c6:12::1", 13, &a);
	addr_parse("fd00:c6:12::ffff:1", 18, &b);
	addr_parse("fd00:c6:12:1::1", 15, &c);
	addr_parse("fd00:c6:12::2", 13, &d);
	assert_true(source_key(secret, a, 64, 1) == source_key(secret, b, 64, 1));
	assert_true(source_key(secret, a, 64, 1) != source_key(secret, c, 64, 1));
	assert_true(source_key(secret, a, 63, 1) == source_key(secret, c, 63, 1));
	assert_true(source_key(secret, a, 128, 1) != source_key(secret, d, 128, 1));
	assert_true(source_key(secret, a, 126, 1) != source_key(secret, b, 126, 1));
	assert_true(source_key(secret, a, 64, 1) != source_key(secret, a, 64, 2)); // another listener
	// Of IPv4 every address is one.
	assert_true(source_key(secret, addr_from_v4(1), 16, 1) != source_key(secret, addr_from_v4(2), 16, 1));
}

static void the_table_of_addresses_takes_as_many_as_there_may_be_connections(void **state)
{
	struct arena arena;
	struct sources s;
	static uint32_t place[12285];

	(void)state;
	assert_int_equal(arena_init(&arena, sources_memory(12285)), 0);
	assert_int_equal(sources_init(&s, &arena, 12285), 0);
	for (uint32_t i = 0; i < 12285; i++) {
		place[i] = source_add(&s, source_key((struct hash_key){3, i}, addr_from_v4(i), 64, 0));
		assert_int_not_equal(place[i], 0);
	}
	for (uint32_t i = 0; i < 12285; i++) {
		uint64_t key = source_key((struct hash_key){3, i}, addr_from_v4(i), 64, 0);
		assert_int_equal(source_count(&s, key), 1);
		assert_int_equal(source_add(&s, key), place[i]);
		assert_int_equal(source_count(&s, key), 2);
		source_drop(&s, place[i]);
		source_drop(&s, place[i]);
		assert_int_equal(source_count(&s, key), 0);
	}
	assert_int_equal(s.used, 0);
	arena_fini(&arena);
}

static void an_accept_rate_lets_a_burst_through_and_then_so_many_a_second(void **state)
{
	struct tcp_rate rate = {.rate = 10, .burst = 5, .tokens = 5};
	struct bed *b = bed_make((struct tcp_config){.max_conns = 200, .max_time_wait = 200});
	unsigned opened = 0;

	(void)state;
	rate.refilled = b->now;
	b->accept.rate = &rate;
	for (uint16_t i = 0; i < 20; i++)
		opened += try_open(b, (uint16_t)(PEER + i));
	assert_int_equal(opened, 5);
	assert_int_equal(bed_count(b, CTR_tcp_accept_limit), 15);
	for (uint16_t i = 0; i < 100; i++) {
		bed_sleep(b, 20 * MS);
		bed_drain(b);
		opened += try_open(b, (uint16_t)(PEER + 100 + i));
	}
	assert_in_range(opened, 24, 25); // two seconds
	bed_free(b);
}

static void a_handshake_beyond_the_rate_is_completed_when_it_is_its_turn(void **state)
{
	for (int cookies = 0; cookies < 2; cookies++) {
		struct tcp_rate rate = {.rate = 1, .burst = 1, .tokens = 1};
		struct bed *b = bed_make((struct tcp_config){0});
		uint32_t ack;

		(void)state;
		rate.refilled = b->now;
		b->accept.rate = &rate;
		b->accept.cookies = cookies ? TCP_COOKIES_ALWAYS : TCP_COOKIES_NEVER;
		assert_true(try_syn(b, PEER + 1));
		ack = b->ack;
		assert_true(try_open(b, PEER));
		b->peer_port = PEER + 1;
		b->ack = ack;
		assert_false(try_ack(b)); // the token is gone; nobody is told
		assert_int_equal(b->tcp->conns.used, cookies ? 1 : 2);
		bed_silent(b);
		bed_sleep(b, 1100 * MS);
		assert_int_equal(b->n_out - b->seen, cookies ? 0 : 1); // SYN-ACK again
		assert_true(try_ack(b));
		assert_int_equal(bed_count(b, CTR_tcp_accept_limit), 1);
		bed_free(b);
	}
}

static void clients_leave_the_reserve_to_upstreams(void **state)
{
	for (int cookies = 0; cookies < 3; cookies++) {
		struct bed *b = bed_make((struct tcp_config){.max_conns = 16, .reserve = 4});
		unsigned opened = 0;
		int err;

		(void)state;
		b->accept.cookies = (enum tcp_cookies)cookies;
		for (uint16_t i = 0; i < 40; i++)
			opened += try_open(b, (uint16_t)(PEER + i));
		assert_int_equal(opened, 12);
		assert_int_equal(bed_count(b, CTR_tcp_no_conn_left), 28);
		for (int i = 0; i < 4; i++)
			assert_non_null(tcp_connect(b->tcp, 0, b->remote, (uint16_t)(100 + i), bed_event, b,
						    NULL, &err));
		assert_null(tcp_connect(b->tcp, 0, b->remote, SRV, bed_event, b, NULL, &err));
		bed_free(b);
	}
}

static void when_buffers_run_short_new_connections_are_refused_and_old_ones_go_on(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct pkt *taken[4096];
	unsigned n = 0;
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	assert_false(pkt_pool_short(bed_pool));
	while (!pkt_pool_short(bed_pool))
		taken[n++] = pkt_alloc(bed_pool);
	for (int cookies = 0; cookies < 3; cookies++) {
		b->accept.cookies = (enum tcp_cookies)cookies;
		bed_sleep(b, MS);
		assert_false(try_syn(b, (uint16_t)(1000 + cookies)));
		assert_int_equal(bed_count(b, CTR_tcp_syn_no_buffer), cookies + 1);
	}
	b->peer_port = PEER;
	b->seq = PEER_ISN + 1;
	b->ack = c->snd_una;
	bed_data(b, "still here", 10);
	assert_int_equal(tcp_recv_len(c), 10);
	bed_send(b, c, 100);
	assert_int_equal(bed_out(b)->len, 100);
	while (n)
		pkt_free(taken[--n]);
	bed_sleep(b, MS);
	assert_true(try_open(b, 2000));
	bed_free(b);
}

static void failed_handshakes_leave_no_buffer_and_no_connection_behind(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.max_conns = 64, .syn_retries = 1});
	unsigned before = pkt_pool_used(bed_pool);

	(void)state;
	for (uint16_t i = 0; i < 200; i++) {
		b->accept.cookies = (enum tcp_cookies)(i % 3);
		b->seen = b->n_out = 0;
		if (!try_syn(b, (uint16_t)(1000 + i)))
			continue;
		if (i % 5 == 0) // refused by the peer
			bed_in(b, (struct in){.seq = PEER_ISN + 1, .flags = TCP_RST});
		if (i % 5 == 1) // a wrong number, with data
			bed_in(b,
			       (struct in){
				       .seq = PEER_ISN + 1, .ack = b->ack + 1, .flags = TCP_ACK, .len = 100});
		if (i % 5 == 2) // data before the handshake is complete, out of order
			bed_in(b, (struct in){.seq = PEER_ISN + 99, .flags = 0, .len = 100});
		bed_run(b);
	}
	bed_drain(b);
	bed_sleep(b, 3 * SEC);
	bed_drain(b);
	bed_sleep(b, 10 * SEC);
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(b->tcp->n_accepted, 0);
	assert_int_equal(b->calls, 0);
	assert_int_equal(pkt_pool_used(bed_pool), before);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(an_address_has_so_many_connections_and_no_more),
	BED_TEST(a_refused_client_is_told_where_the_listener_says_so),
	BED_TEST(who_is_denied_gets_no_answer_to_anything_and_ends_his_handshake_in_vain),
	BED_TEST(whoever_forges_an_address_uses_up_nothing_of_its_limit),
	BED_TEST(connections_count_until_they_are_gone_however_they_end),
	BED_TEST(the_addresses_of_one_ipv6_prefix_are_one_client),
	BED_TEST(the_table_of_addresses_takes_as_many_as_there_may_be_connections),
	BED_TEST(an_accept_rate_lets_a_burst_through_and_then_so_many_a_second),
	BED_TEST(a_handshake_beyond_the_rate_is_completed_when_it_is_its_turn),
	BED_TEST(clients_leave_the_reserve_to_upstreams),
	BED_TEST(when_buffers_run_short_new_connections_are_refused_and_old_ones_go_on),
	BED_TEST(failed_handshakes_leave_no_buffer_and_no_connection_behind),
};
BED_MAIN(tests)
