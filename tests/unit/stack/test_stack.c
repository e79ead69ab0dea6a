// The stack as a library: its socket-like interface.
#include "tests/unit/stack/two.h"

static void transfer(bool v6)
{
	struct two *w = two_make(v6, NULL);
	static char out[300000], in[300000];
	size_t sent = 0, got = 0;
	struct cg_sock *k[2];
	struct tcp_info info;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7 + i / 251);
	two_open(w, k);
	assert_int_equal(cg_poll(k[0]), CG_OPEN | CG_WRITABLE);
	assert_int_equal(cg_poll(k[1]), CG_OPEN | CG_WRITABLE);
	assert_int_equal(cg_state(k[0]), TCP_ESTABLISHED);
	assert_int_equal(cg_read(k[1], in, 1), -EAGAIN);
	while (got < sizeof(in)) {
		ssize_t n = sent < sizeof(out) ? cg_write(k[0], out + sent, sizeof(out) - sent) : 0;
		assert_true(n >= 0 || n == -EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		two_sleep(w, 10 * MS);
		while ((n = cg_read(k[1], in + got, sizeof(in) - got)) > 0)
			got += (size_t)n;
	}
	assert_memory_equal(in, out, sizeof(in));
	cg_info(k[0], &info);
	assert_int_equal(info.bytes_out, sizeof(out));
	assert_true(addr_eq(info.remote, w->addr[1]));
	assert_int_equal(info.remote_port, 80);
	cg_close(k[0]);
	cg_close(k[1]);
	two_quiet(w);
	two_free(w);
}
static void bytes_arrive_in_order_over_ipv4(void **state)
{
	(void)state;
	transfer(false);
}
static void bytes_arrive_in_order_over_ipv6(void **state)
{
	(void)state;
	transfer(true);
}

// RFC 9293 3.6: each way is closed for itself.
static void the_end_is_read_once_all_before_it_is_and_the_other_way_stays_open(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k[2];
	char in[8];

	(void)state;
	two_open(w, k);
	assert_int_equal(cg_write(k[0], "last", 4), 4);
	assert_int_equal(cg_shutdown(k[0]), 0);
	assert_int_equal(cg_write(k[0], "x", 1), -EPIPE);
	two_turn(w);
	assert_int_equal(cg_state(k[0]), TCP_FIN_WAIT_2);
	assert_int_equal(cg_state(k[1]), TCP_CLOSE_WAIT);
	assert_true(cg_poll(k[1]) & CG_READABLE);
	assert_false(cg_poll(k[1]) & CG_EOF);
	assert_int_equal(cg_read(k[1], in, sizeof(in)), 4);
	assert_true(cg_poll(k[1]) & CG_EOF);
	assert_int_equal(cg_read(k[1], in, sizeof(in)), 0);
	assert_int_equal(cg_write(k[1], "answer", 6), 6);
	two_turn(w);
	assert_int_equal(cg_read(k[0], in, sizeof(in)), 6);
	cg_close(k[1]);
	two_turn(w);
	assert_int_equal(cg_read(k[0], in, sizeof(in)), 0);
	assert_int_equal(cg_state(k[0]), TCP_TIME_WAIT);
	cg_close(k[0]);
	two_quiet(w);
	two_free(w);
}

static void an_abort_resets_the_peer(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k[2];
	char in[8];

	(void)state;
	two_open(w, k);
	cg_abort(k[0]);
	two_turn(w);
	assert_int_equal(cg_poll(k[1]), CG_OPEN | CG_ERROR);
	assert_int_equal(cg_error(k[1]), ECONNRESET);
	assert_int_equal(cg_read(k[1], in, sizeof(in)), -ECONNRESET);
	assert_int_equal(cg_write(k[1], in, sizeof(in)), -ECONNRESET);
	assert_int_equal(cg_shutdown(k[1]), -ECONNRESET);
	assert_null(cg_read_packet(k[1]));
	assert_int_equal(cg_state(k[1]), TCP_CLOSED);
	cg_close(k[1]);
	two_quiet(w);
	two_free(w);
}

// RFC 2525 2.17.
static void closing_with_unread_bytes_resets_the_peer(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k[2];

	(void)state;
	two_open(w, k);
	assert_int_equal(cg_write(k[0], "unread", 6), 6);
	two_turn(w);
	cg_close(k[1]);
	two_turn(w);
	assert_int_equal(cg_error(k[0]), ECONNRESET);
	cg_close(k[0]);
	two_quiet(w);
	two_free(w);
}

static void a_port_that_nobody_listens_on_refuses(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k;
	int err;

	(void)state;
	k = cg_connect(w->s[0], w->addr[1], 81, NULL, &err);
	assert_non_null(k);
	assert_int_equal(cg_poll(k), 0);
	two_turn(w);
	assert_int_equal(cg_error(k), ECONNREFUSED);
	assert_int_equal(cg_counter(w->s[1], CTR_tcp_no_listener), 1);
	cg_close(k);
	two_quiet(w);
	two_free(w);
}

static void a_host_that_nobody_has_is_unreachable(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k;
	int err;

	(void)state;
	k = cg_connect(w->s[0], two_addr("198.18.0.77"), 80, NULL, &err);
	assert_non_null(k);
	two_sleep(w, 10 * SEC);
	assert_int_equal(cg_error(k), EHOSTUNREACH);
	cg_close(k);
	assert_null(cg_connect(w->s[0], two_addr("203.0.113.1"), 80, NULL, &err));
	assert_int_equal(err, -ENETUNREACH);
	two_quiet(w);
	two_free(w);
}

static void a_peer_that_falls_silent_times_out(void **state)
{
	struct two *w = two_make(false, &(struct tcp_config){.user_timeout = 5 * SEC});
	struct cg_sock *k[2];

	(void)state;
	two_open(w, k);
	w->cut = true;
	assert_int_equal(cg_write(k[0], "?", 1), 1);
	two_sleep(w, 8 * SEC);
	assert_int_equal(cg_error(k[0]), ETIMEDOUT);
	cg_close(k[0]);
	cg_abort(k[1]);
	two_quiet(w);
	two_free(w);
}

static void what_is_written_before_the_connection_is_open_is_sent_then(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k, *a;
	char in[8];
	int err;

	(void)state;
	struct cg_listener *l = cg_listen(w->s[1], w->addr[1], 80, NULL, &err);
	k = cg_connect(w->s[0], w->addr[1], 80, NULL, &err);
	assert_int_equal(cg_write(k, "early", 5), 5);
	cg_close(k);
	assert_null(cg_accept(l));
	two_turn(w);
	a = cg_accept(l);
	if (a) { // closed before it was open: nothing was sent
		cg_abort(a);
		fail();
	}
	k = cg_connect(w->s[0], w->addr[1], 80, NULL, &err);
	assert_int_equal(cg_write(k, "early", 5), 5);
	assert_int_equal(cg_shutdown(k), 0);
	two_turn(w);
	a = cg_accept(l);
	assert_non_null(a);
	assert_int_equal(cg_read(a, in, sizeof(in)), 5);
	assert_int_equal(cg_read(a, in, sizeof(in)), 0);
	cg_close(k);
	cg_close(a);
	two_quiet(w);
	two_free(w);
}

static void the_exact_listener_wins_and_a_second_one_of_its_kind_is_refused(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_listener *any, *exact;
	struct cg_sock *k, *a;
	int err;

	(void)state;
	any = cg_listen(w->s[1], (struct addr){0}, 80, NULL, &err);
	exact = cg_listen(w->s[1], w->addr[1], 80, NULL, &err);
	assert_non_null(any);
	assert_non_null(exact);
	assert_null(cg_listen(w->s[1], w->addr[1], 80, NULL, &err));
	assert_int_equal(err, -EADDRINUSE);
	assert_null(cg_listen(w->s[1], two_addr("0.0.0.0"), 80, NULL, &err));
	assert_int_equal(err, -EADDRINUSE);
	assert_null(cg_listen(w->s[1], w->addr[1], 0, NULL, &err));
	assert_int_equal(err, -EINVAL);
	k = cg_connect(w->s[0], w->addr[1], 80, NULL, &err);
	two_turn(w);
	assert_null(cg_accept(any));
	a = cg_accept(exact);
	assert_non_null(a);
	cg_close(k);
	cg_close(a);
	two_quiet(w);
	two_free(w);
}

static void what_was_not_accepted_is_reset_when_listening_ends(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k[3], *a;
	struct cg_listener *l;
	int err;

	(void)state;
	l = cg_listen(w->s[1], (struct addr){0}, 80, NULL, &err);
	for (int i = 0; i < 3; i++)
		k[i] = cg_connect(w->s[0], w->addr[1], 80, NULL, &err);
	two_turn(w);
	a = cg_accept(l);
	assert_non_null(a);
	cg_unlisten(l);
	two_turn(w);
	assert_int_equal(cg_error(k[0]), 0);
	assert_int_equal(cg_error(k[1]), ECONNRESET);
	assert_int_equal(cg_error(k[2]), ECONNRESET);
	for (int i = 0; i < 3; i++)
		cg_close(k[i]);
	cg_close(a);
	two_quiet(w);
	two_free(w);
}

static void a_handshake_that_outlives_its_listener_is_reset(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_listener *l;
	struct cg_sock *k;
	struct pkt *v[8];
	unsigned n;
	int err;

	(void)state;
	cg_learn(w->s[0], w->addr[1], (uint8_t[]){2, 0, 0, 0, 0, 2});
	cg_learn(w->s[1], w->addr[0], (uint8_t[]){2, 0, 0, 0, 0, 1});
	l = cg_listen(w->s[1], (struct addr){0}, 80, NULL, &err);
	k = cg_connect(w->s[0], w->addr[1], 80, NULL, &err);
	cg_advance(w->s[0], w->now);
	n = cg_output(w->s[0], v, 8);
	assert_int_equal(n, 1);  // the SYN
	cg_input(w->s[1], v, n); // held by nobody else
	cg_advance(w->s[1], w->now);
	cg_unlisten(l);
	assert_non_null(cg_listen(w->s[1], (struct addr){0}, 80, NULL, &err));
	two_turn(w);
	assert_int_equal(cg_error(k), ECONNRESET);
	cg_close(k);
	two_quiet(w);
	two_free(w);
}

static void options_hold_for_the_connections_of_a_listener_and_for_one_that_is_opened(void **state)
{
	struct two *w = two_make(false, NULL);
	const struct cg_options opt = {.cc = TCP_CC_NEWRENO, .rcv_buf = 3000};
	struct cg_listener *l;
	struct tcp_info info;
	struct cg_sock *k, *a;
	char out[20000] = {0};
	int err;

	(void)state;
	l = cg_listen(w->s[1], (struct addr){0}, 80, &opt, &err);
	k = cg_connect(w->s[0], w->addr[1], 80, &opt, &err);
	two_turn(w);
	a = cg_accept(l);
	cg_info(k, &info);
	assert_string_equal(info.cc, "newreno");
	cg_info(a, &info);
	assert_string_equal(info.cc, "newreno");
	// Nobody reads: no more than the buffer comes.
	assert_int_equal(cg_write(k, out, sizeof(out)), sizeof(out));
	assert_int_equal(cg_write(a, out, sizeof(out)), sizeof(out));
	two_sleep(w, SEC);
	cg_info(a, &info);
	assert_in_range(info.bytes_in, 1, 3000);
	cg_info(k, &info);
	assert_in_range(info.bytes_in, 1, 3000);
	cg_abort(k);
	cg_abort(a);
	two_quiet(w);
	two_free(w);
}

// RFC 9293 3.5, figure 7.
static void both_may_connect_to_each_other_at_once(void **state)
{
	struct two *w = two_make(false, NULL);
	const struct cg_options opt[2] = {{.local_port = 5000}, {.local_port = 6000}};
	struct cg_sock *k[2];
	char in[8];
	int err;

	(void)state;
	k[0] = cg_connect(w->s[0], w->addr[1], 6000, &opt[0], &err);
	k[1] = cg_connect(w->s[1], w->addr[0], 5000, &opt[1], &err);
	assert_null(cg_connect(w->s[0], w->addr[1], 6000, &opt[0], &err));
	assert_int_equal(err, -EADDRINUSE);
	two_turn(w);
	assert_int_equal(cg_state(k[0]), TCP_ESTABLISHED);
	assert_int_equal(cg_state(k[1]), TCP_ESTABLISHED);
	assert_int_equal(cg_write(k[0], "both", 4), 4);
	two_turn(w);
	assert_int_equal(cg_read(k[1], in, sizeof(in)), 4);
	cg_close(k[0]);
	cg_close(k[1]);
	two_quiet(w);
	two_free(w);
}

static void packets_pass_through_without_a_copy(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k[2];
	struct pkt *p;
	char in[8];

	(void)state;
	two_open(w, k);
	assert_int_equal(cg_write(k[0], "echo", 4), 4);
	two_turn(w);
	p = cg_read_packet(k[1]);
	assert_non_null(p);
	assert_int_equal(pkt_len(p), 4);
	assert_int_equal(cg_write_packet(k[1], p), 0);
	assert_null(cg_read_packet(k[1]));
	two_turn(w);
	assert_int_equal(cg_read(k[0], in, sizeof(in)), 4);
	assert_memory_equal(in, "echo", 4);
	p = pkt_alloc(two_pool);
	memcpy(pkt_append(p, 1), "x", 1);
	cg_shutdown(k[1]);
	assert_int_equal(cg_write_packet(k[1], p), -EPIPE);
	pkt_free(p);
	cg_close(k[0]);
	cg_close(k[1]);
	two_quiet(w);
	two_free(w);
}

static void frames_pass_as_bytes_too(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_listener *l;
	struct cg_sock *k;
	char frame[2048];
	int err, frames = 0;
	uint32_t n;

	(void)state;
	l = cg_listen(w->s[1], (struct addr){0}, 80, NULL, &err);
	k = cg_connect(w->s[0], w->addr[1], 80, NULL, &err);
	for (int i = 0; i < 20; i++) {
		cg_advance(w->s[i % 2], w->now);
		for (; (n = cg_output_frame(w->s[i % 2], frame, sizeof(frame))); frames++)
			assert_int_equal(cg_input_frame(w->s[1 - i % 2], frame, n), 0);
	}
	assert_in_range(frames, 5, 8); // ARP and its answer, SYN, SYN-ACK, ACK
	assert_int_equal(cg_poll(k), CG_OPEN | CG_WRITABLE);
	assert_int_equal(cg_input_frame(w->s[0], frame, 0), -EINVAL);
	assert_int_equal(cg_input_frame(w->s[0], frame, 1u << 20), -EINVAL);
	cg_close(k);
	cg_close(cg_accept(l));
	two_quiet(w);
	two_free(w);
}

static void the_same_calls_give_the_same_packets(void **state)
{
	struct cg_config conf = two_config("198.18.0.1", 24, 1);
	char frame[2][2048];
	uint32_t n[2];
	int err;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct cg_stack *s = cg_create(&conf, &err);

		cg_learn(s, two_addr("198.18.0.2"), (uint8_t[]){2, 0, 0, 0, 0, 2});
		assert_non_null(cg_connect(s, two_addr("198.18.0.2"), 80, NULL, &err));
		cg_advance(s, conf.now);
		n[i] = cg_output_frame(s, frame[i], sizeof(frame[i]));
		cg_destroy(s); // with the connection still open
	}
	assert_int_equal(n[0], n[1]);
	assert_memory_equal(frame[0], frame[1], n[0]);
	assert_int_equal(pkt_pool_used(two_pool), 0);
}

static void next_says_when_there_is_something_to_do(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k[2];

	(void)state;
	assert_true(cg_next(w->s[0]) == UINT64_MAX);
	two_open(w, k);
	two_sleep(w, SEC);
	cg_write(k[0], "x", 1);
	assert_int_equal(cg_next(w->s[0]), w->now);
	cg_advance(w->s[0], w->now);
	assert_true(cg_next(w->s[0]) > w->now); // the retransmission timer
	assert_true(cg_next(w->s[0]) < w->now + SEC);
	cg_abort(k[0]);
	cg_abort(k[1]);
	two_turn(w);
	two_quiet(w);
	two_free(w);
}

static void a_pool_of_connections_that_is_used_up_refuses(void **state)
{
	struct two *w = two_make(false, &(struct tcp_config){.max_conns = 4});
	struct cg_sock *k[5];
	int err;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_non_null(k[i] = cg_connect(w->s[0], w->addr[1], 80, NULL, &err));
	assert_null(cg_connect(w->s[0], w->addr[1], 80, NULL, &err));
	assert_int_equal(err, -ENOMEM);
	for (int i = 0; i < 4; i++)
		cg_abort(k[i]);
	two_quiet(w);
	two_free(w);
}

static void a_bad_configuration_makes_no_stack(void **state)
{
	struct cg_config good = two_config("198.18.0.1", 24, 1), bad;
	int err;

	(void)state;
#define BAD(change)                                                                                            \
	do {                                                                                                   \
		bad = good;                                                                                    \
		change;                                                                                        \
		assert_null(cg_create(&bad, &err));                                                            \
		assert_int_equal(err, -EINVAL);                                                                \
	} while (0)
	BAD(bad.pool = NULL);
	BAD(bad.n_addresses = 0);
	BAD(bad.n_addresses = CG_ADDRESSES + 1);
	BAD(bad.address[0].prefix = 33);
	BAD(bad.mac[0] = 1); // a group
	BAD(bad.mtu = 575);
	BAD(bad.mtu = 2031);
	BAD((bad.address[0].addr = two_addr("fd00::1"), bad.mtu = 1279));
	bad = good;
	bad.mtu = 576;
	cg_destroy(cg_create(&bad, &err));
	assert_int_equal(err, 0);
}

// RFC 4862 5.4: the address is asked for before it is used.
static void an_ipv6_address_is_asked_for_unless_told_otherwise(void **state)
{
	struct cg_config conf = two_config("fd00:c6:12::1", 64, 1);
	struct cg_stack *s;
	char frame[200];
	int err;

	(void)state;
	s = cg_create(&conf, &err);
	cg_advance(s, conf.now);
	assert_int_equal(cg_output_frame(s, frame, sizeof(frame)), 0);
	cg_destroy(s);
	conf.no_dad = false;
	s = cg_create(&conf, &err);
	cg_advance(s, conf.now + 2 * SEC);
	assert_true(cg_output_frame(s, frame, sizeof(frame)) > 0);
	cg_destroy(s);
}

static void a_remote_network_is_reached_through_the_gateway(void **state)
{
	struct cg_config conf = two_config("198.18.0.1", 24, 1);
	struct cg_stack *s;
	char frame[200];
	int err;

	(void)state;
	conf.gateway4 = two_addr("198.18.0.254");
	s = cg_create(&conf, &err);
	assert_non_null(cg_connect(s, two_addr("203.0.113.9"), 80, NULL, &err));
	assert_null(cg_connect(s, two_addr("2001:db8::1"), 80, NULL, &err));
	cg_advance(s, conf.now);
	assert_int_equal(cg_output_frame(s, frame, sizeof(frame)), 42);
	assert_memory_equal(frame + 38, "\306\022\000\376", 4); // who has 198.18.0.254?
	cg_destroy(s);
}

static void users_are_kept(void **state)
{
	struct two *w = two_make(false, NULL);
	struct cg_sock *k[2];

	(void)state;
	two_open(w, k);
	assert_null(cg_user(k[1]));
	cg_set_user(k[1], w);
	assert_ptr_equal(cg_user(k[1]), w);
	cg_abort(k[0]);
	cg_abort(k[1]);
	two_turn(w);
	two_quiet(w);
	two_free(w);
}

static unsigned seen[TCP_STATES][TCP_STATES];

static void watch(void *ctx, const struct tcp_conn *c, enum tcp_state from, enum tcp_state to)
{
	(void)ctx, (void)c;
	seen[from][to]++;
}

static void changes_of_state_are_told(void **state)
{
	struct two *w = two_make(false, &(struct tcp_config){.on_state = watch});
	struct cg_sock *k[2];
	char c;

	(void)state;
	memset(seen, 0, sizeof(seen));
	two_open(w, k);
	cg_shutdown(k[0]);
	two_turn(w);
	assert_int_equal(cg_read(k[1], &c, 1), 0);
	cg_close(k[1]);
	two_turn(w);
	cg_close(k[0]);
	two_quiet(w);
	assert_int_equal(seen[TCP_CLOSED][TCP_SYN_SENT], 1);
	assert_int_equal(seen[TCP_CLOSED][TCP_SYN_RECEIVED], 1);
	assert_int_equal(seen[TCP_SYN_SENT][TCP_ESTABLISHED], 1);
	assert_int_equal(seen[TCP_SYN_RECEIVED][TCP_ESTABLISHED], 1);
	assert_int_equal(seen[TCP_ESTABLISHED][TCP_FIN_WAIT_1], 1);
	assert_int_equal(seen[TCP_FIN_WAIT_1][TCP_FIN_WAIT_2], 1);
	assert_int_equal(seen[TCP_ESTABLISHED][TCP_CLOSE_WAIT], 1);
	assert_int_equal(seen[TCP_CLOSE_WAIT][TCP_LAST_ACK], 1);
	assert_int_equal(seen[TCP_FIN_WAIT_2][TCP_TIME_WAIT], 1);
	assert_int_equal(seen[TCP_LAST_ACK][TCP_CLOSED], 1);
	two_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_in_order_over_ipv4),
		cmocka_unit_test(bytes_arrive_in_order_over_ipv6),
		cmocka_unit_test(the_end_is_read_once_all_before_it_is_and_the_other_way_stays_open),
		cmocka_unit_test(an_abort_resets_the_peer),
		cmocka_unit_test(closing_with_unread_bytes_resets_the_peer),
		cmocka_unit_test(a_port_that_nobody_listens_on_refuses),
		cmocka_unit_test(a_host_that_nobody_has_is_unreachable),
		cmocka_unit_test(a_peer_that_falls_silent_times_out),
		cmocka_unit_test(what_is_written_before_the_connection_is_open_is_sent_then),
		cmocka_unit_test(the_exact_listener_wins_and_a_second_one_of_its_kind_is_refused),
		cmocka_unit_test(what_was_not_accepted_is_reset_when_listening_ends),
		cmocka_unit_test(a_handshake_that_outlives_its_listener_is_reset),
		cmocka_unit_test(options_hold_for_the_connections_of_a_listener_and_for_one_that_is_opened),
		cmocka_unit_test(both_may_connect_to_each_other_at_once),
		cmocka_unit_test(packets_pass_through_without_a_copy),
		cmocka_unit_test(frames_pass_as_bytes_too),
		cmocka_unit_test(the_same_calls_give_the_same_packets),
		cmocka_unit_test(next_says_when_there_is_something_to_do),
		cmocka_unit_test(a_pool_of_connections_that_is_used_up_refuses),
		cmocka_unit_test(a_bad_configuration_makes_no_stack),
		cmocka_unit_test(an_ipv6_address_is_asked_for_unless_told_otherwise),
		cmocka_unit_test(a_remote_network_is_reached_through_the_gateway),
		cmocka_unit_test(users_are_kept),
		cmocka_unit_test(changes_of_state_are_told),
	};

	if (!pkt_start(64) || !(two_pool = pkt_pool_create("two", 4u << 20, -1)))
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
