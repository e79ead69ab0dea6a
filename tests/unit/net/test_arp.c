#include "tests/unit/net/fixture.h"

enum { REQUEST = 1, REPLY = 2 };

static void arp(const uint8_t *eth_dst, unsigned op, const uint8_t *sha, const char *spa, const char *tpa)
{
	struct frame f = {0};

	add_ethernet(&f, eth_dst, sha, TYPE_ARP);
	add_arp(&f, op, sha, spa, tpa);
	add(&f, NULL, 18); // padded to 60 bytes
	receive(&f);
}

// A packet of a TCP kind towards the path.
static void output(const struct net_path *path, char c)
{
	char tcp[20] = {0x12, 0x34, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50};
	struct pkt *p = frame_pkt(tcp, 20);

	memset(pkt_append(p, 1), c, 1);
	net_output(&net, path, p, IPPROTO_TCP, 0);
}

static void path_to(struct net_path *p, const char *remote)
{
	assert_int_equal(net_path_init(&net, p, UINT16_MAX, (struct addr){0}, ip(remote), 0), 0);
}

// The last request sent: to which hardware address, and for which protocol address.
static bool asked(const uint8_t *mac, const char *target)
{
	const struct net_txq *q = &net.tx[0];
	const uint8_t *f;

	if (q->n == 0)
		return false;
	f = (const uint8_t *)pkt_data(q->v[q->n - 1]);
	return pkt_len(q->v[q->n - 1]) == 42 && memcmp(f, mac, 6) == 0 && get16(f + 12) == TYPE_ARP &&
	       get16(f + 20) == REQUEST && memcmp(f + 22, our_mac, 6) == 0 &&
	       memcmp(f + 28, &ip("198.18.0.1").b[12], 4) == 0 && memcmp(f + 38, &ip(target).b[12], 4) == 0;
}

static void our_addresses_are_announced_when_they_are_new(void **state)
{
	(void)state;
	uint32_t n;
	const uint8_t *f;

	net_configure(&net, &snap.s);
	assert_int_equal(net.tx[0].n + net.tx[1].n, 0); // nothing is new
	snap.port[1].addresses.n = 2;
	net.port[1].n_addresses = 1;
	net_configure(&net, &snap.s);
	assert_int_equal(net.tx[0].n, 0);
	f = sent_on(1, &n);
	assert_memory_equal(f, mac_broadcast, 6);
	assert_memory_equal(f + 6, our_mac1, 6);
	assert_int_equal(get16(f + 18 + 6), REQUEST);
	assert_memory_equal(f + 18 + 14, &ip("198.18.1.2").b[12], 4); // sender and target alike
	assert_memory_equal(f + 18 + 24, &ip("198.18.1.2").b[12], 4);
	tx_clear();
}

static void a_request_for_our_address_is_answered_and_its_sender_learned(void **state)
{
	(void)state;
	uint32_t n;
	const uint8_t *f;
	struct net_path path;

	arp(mac_broadcast, REQUEST, peer_mac, "198.18.0.9", "198.18.0.1");
	f = sent_on(0, &n);
	assert_int_equal(n, 42);
	assert_memory_equal(f, peer_mac, 6);
	assert_memory_equal(f + 6, our_mac, 6);
	assert_int_equal(get16(f + 20), REPLY);
	assert_memory_equal(f + 22, our_mac, 6);
	assert_memory_equal(f + 28, &ip("198.18.0.1").b[12], 4);
	assert_memory_equal(f + 32, peer_mac, 6);
	assert_memory_equal(f + 38, &ip("198.18.0.9").b[12], 4);
	tx_clear();
	assert_int_equal(seen.learns, 1);
	assert_memory_equal(seen.learned_mac, peer_mac, 6);

	path_to(&path, "198.18.0.9");
	output(&path, 'x');
	assert_int_equal(net.tx[0].n, 1); // at once, without a question
	assert_memory_equal(sent_on(0, &n), peer_mac, 6);
	net_path_release(&net, &path);
	assert_int_equal(count(CTR_arp_rx), 1);
	assert_int_equal(count(CTR_arp_tx), 1);
}

static void requests_for_others_are_not_answered(void **state)
{
	(void)state;
	arp(mac_broadcast, REQUEST, peer_mac, "198.18.0.9", "198.18.0.7");
	arp(mac_broadcast, REQUEST, peer_mac, "198.18.0.9", "198.18.1.1"); // of the other port
	assert_int_equal(net.tx[0].n, 0);
	assert_int_equal(seen.learns, 0);
}

static void a_probe_for_our_address_is_answered_but_teaches_nothing(void **state)
{
	(void)state;
	arp(mac_broadcast, REQUEST, peer_mac, "0.0.0.0", "198.18.0.1");
	assert_int_equal(net.tx[0].n, 1);
	assert_int_equal(seen.learns, 0);
}

static void malformed_packets_are_counted(void **state)
{
	(void)state;
	// Each changes one byte of a good request to a value that it must not have.
	const struct {
		unsigned at;
		uint8_t value;
	} change[] = {{14, 1},  {15, 6}, {16, 0x86}, {17, 1}, {18, 8},
		      {19, 16}, {20, 1}, {21, 0},    {21, 3}, {22, 3}};
	unsigned expected = 0;

	for (unsigned i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		struct frame f = {0};

		add_ethernet(&f, mac_broadcast, peer_mac, TYPE_ARP);
		add_arp(&f, REQUEST, peer_mac, "198.18.0.9", "198.18.0.1");
		f.b[change[i].at] = change[i].value;
		receive(&f);
		assert_int_equal(count(CTR_arp_bad), ++expected);
	}
	for (uint32_t n = 14; n < 42; n++) {
		struct frame f = {0};

		add_ethernet(&f, mac_broadcast, peer_mac, TYPE_ARP);
		add_arp(&f, REQUEST, peer_mac, "198.18.0.9", "198.18.0.1");
		f.n = n;
		receive(&f);
		assert_int_equal(count(CTR_arp_bad), ++expected);
	}
	assert_int_equal(net.tx[0].n, 0);
	assert_int_equal(seen.learns, 0);
}

static void nothing_is_learned_from_bad_sources(void **state)
{
	(void)state;
	static const uint8_t group[6] = {1, 0, 0x5e, 1, 2, 3}, zero[6];
	const char *never[] = {"224.0.0.1", "255.255.255.255", "127.0.0.1", "0.1.2.3", "240.0.0.1"};
	const char *elsewhere[] = {"198.18.1.9", "198.18.0.255", "198.18.0.0", "198.19.0.9"};

	for (unsigned i = 0; i < 5; i++) {
		arp(our_mac, REQUEST, peer_mac, never[i], "198.18.0.1");
		assert_int_equal(count(CTR_arp_bad), i + 1);
	}
	assert_int_equal(net.tx[0].n, 0);
	for (unsigned i = 0; i < 4; i++)
		arp(our_mac, REQUEST, peer_mac, elsewhere[i], "198.18.0.1");
	for (unsigned i = 0; i < 2; i++) { // the frame's source is good, the one inside is not
		struct frame f = {0};

		add_ethernet(&f, our_mac, peer_mac, TYPE_ARP);
		add_arp(&f, REPLY, i ? zero : group, "198.18.0.9", "198.18.0.1");
		receive(&f);
	}
	assert_int_equal(count(CTR_arp_bad), 7);
	assert_int_equal(seen.learns, 0);
	tx_clear();
}

static void another_station_with_our_address_is_a_conflict(void **state)
{
	(void)state;
	arp(mac_broadcast, REQUEST, peer_mac, "198.18.0.1", "198.18.0.1");
	arp(our_mac, REPLY, peer_mac, "198.18.0.1", "198.18.0.1");
	assert_int_equal(count(CTR_neigh_conflict), 2);
	assert_int_equal(net.tx[0].n, 0);
	assert_int_equal(seen.learns, 0);
}

static void an_answer_nobody_waits_for_makes_no_entry(void **state)
{
	(void)state;
	struct net_path path;

	arp(our_mac, REPLY, peer_mac, "198.18.0.9", "198.18.0.1");
	assert_int_equal(seen.learns, 1); // another worker may have asked
	path_to(&path, "198.18.0.9");
	assert_true(asked(mac_broadcast, "198.18.0.9"));
	net_path_release(&net, &path);
	tx_clear();
}

static void packets_wait_for_the_answer_and_leave_in_order(void **state)
{
	(void)state;
	struct net_path path;

	path_to(&path, "198.18.0.9");
	assert_int_equal(net.tx[0].n, 1);
	assert_true(asked(mac_broadcast, "198.18.0.9"));
	tx_clear();
	for (char c = '0'; c < '0' + NEIGH_QUEUE + 2; c++)
		output(&path, c);
	assert_int_equal(net.tx[0].n, 0);
	assert_int_equal(count(CTR_neigh_queue_full), 2);
	arp(our_mac, REPLY, peer_mac, "198.18.0.9", "198.18.0.1");
	assert_int_equal(net.tx[0].n, NEIGH_QUEUE);
	for (unsigned i = 0; i < NEIGH_QUEUE; i++) {
		assert_memory_equal(pkt_data(net.tx[0].v[i]), peer_mac, 6);
		assert_int_equal(pkt_data(net.tx[0].v[i])[54], '2' + (int)i); // the oldest two gave way
	}
	assert_int_equal(seen.learns, 1);
	net_path_release(&net, &path);
	tx_clear();
}

static void what_waits_without_room_for_a_tag_that_comes_meanwhile_is_dropped(void **state)
{
	(void)state;
	struct net_path path;

	path_to(&path, "198.18.0.9");
	tx_clear();
	for (uint32_t off = 14 + 20; off <= 18 + 20; off += 4) {
		struct pkt *p = pkt_alloc(pool);

		(void)pkt_prepend(p, pkt_headroom(p) - off);
		pkt_trim(p, pkt_len(p) - 20);
		memset(pkt_data(p), 0, 20);
		net_output(&net, &path, p, IPPROTO_TCP, 0);
	}
	net.port[0].vlan = 7;
	net_learn(&net, 0, ip("198.18.0.9"), peer_mac); // as another worker has heard
	assert_int_equal(count(CTR_neigh_unresolved), 1);
	assert_int_equal(net.tx[0].n, 1);
	net.port[0].vlan = 0;
	net_path_release(&net, &path);
	tx_clear();
}

static void three_questions_then_failure_and_hold_down(void **state)
{
	(void)state;
	struct net_path path;

	path_to(&path, "198.18.0.9");
	output(&path, 'a');
	assert_int_equal(count(CTR_arp_tx), 1);
	run_until(net.now + SECOND * 3 / 2);
	assert_int_equal(count(CTR_arp_tx), 2);
	run_until(net.now + SECOND);
	assert_int_equal(count(CTR_arp_tx), 3);
	assert_int_equal(count(CTR_neigh_unresolved), 0);
	run_until(net.now + SECOND);
	assert_int_equal(count(CTR_arp_tx), 3);
	assert_int_equal(count(CTR_neigh_unresolved), 1);
	// The transport of what waited is told.
	assert_int_equal(seen.unreachables, 1);
	assert_true(addr_eq(seen.unreachable.local, ip("198.18.0.1")));
	assert_true(addr_eq(seen.unreachable.remote, ip("198.18.0.9")));
	assert_int_equal(seen.unreachable.local_port, 0x1234);
	assert_int_equal(seen.unreachable.remote_port, 80);
	assert_int_equal(seen.unreachable.seq, 7);
	assert_int_equal(seen.unreachable.type, 3);
	assert_int_equal(seen.unreachable.code, 1);
	tx_clear();
	// Held down: refused at once.
	output(&path, 'b');
	assert_int_equal(count(CTR_neigh_unresolved), 2);
	assert_int_equal(net.tx[0].n, 0);
	// Then asked again.
	run_until(net.now + 4 * SECOND);
	output(&path, 'c');
	assert_true(asked(mac_broadcast, "198.18.0.9"));
	tx_clear();
	arp(our_mac, REPLY, peer_mac, "198.18.0.9", "198.18.0.1");
	assert_int_equal(net.tx[0].n, 1);
	net_path_release(&net, &path);
	tx_clear();
}

static void a_neighbour_heard_of_while_held_down_is_reachable(void **state)
{
	(void)state;
	struct net_path path;

	path_to(&path, "198.18.0.9");
	run_until(net.now + 4 * SECOND);
	tx_clear();
	arp(mac_broadcast, REQUEST, peer_mac, "198.18.0.9", "198.18.0.1");
	tx_clear();
	output(&path, 'a');
	assert_int_equal(net.tx[0].n, 1);
	net_path_release(&net, &path);
	tx_clear();
}

static void an_entry_in_use_is_confirmed_by_unicast(void **state)
{
	(void)state;
	struct net_path path;
	uint64_t asks;

	mac_known("198.18.0.9", peer_mac);
	path_to(&path, "198.18.0.9");
	run_until(net.now + SECOND);
	output(&path, 'a');
	tx_clear();
	run_until(net.now + 28 * SECOND);
	assert_int_equal(count(CTR_arp_tx), 0);
	while (count(CTR_arp_tx) == 0 && net.now < 70 * SECOND)
		run_until(net.now + SECOND / 10);
	assert_int_equal(count(CTR_arp_tx), 1);
	assert_true(asked(peer_mac, "198.18.0.9"));
	tx_clear();
	output(&path, 'b'); // goes out meanwhile
	assert_int_equal(net.tx[0].n, 1);
	tx_clear();
	arp(our_mac, REPLY, peer_mac, "198.18.0.9", "198.18.0.1");
	asks = count(CTR_arp_tx);
	run_until(net.now + 20 * SECOND);
	assert_int_equal(count(CTR_arp_tx), asks);
	net_path_release(&net, &path);
}

static void an_entry_out_of_use_is_not_asked_until_it_is_used(void **state)
{
	(void)state;
	struct net_path path;

	mac_known("198.18.0.9", peer_mac);
	run_until(net.now + 100 * SECOND);
	assert_int_equal(count(CTR_arp_tx), 0);
	path_to(&path, "198.18.0.9");
	assert_int_equal(count(CTR_arp_tx), 0);
	output(&path, 'a');
	assert_int_equal(net.tx[0].n, 2); // the question and the packet
	assert_int_equal(count(CTR_arp_tx), 1);
	net_path_release(&net, &path);
	tx_clear();
}

static void a_neighbour_that_falls_silent_is_asked_by_broadcast_and_then_given_up(void **state)
{
	(void)state;
	struct net_path path;

	mac_known("198.18.0.9", peer_mac);
	run_until(net.now + 100 * SECOND);
	path_to(&path, "198.18.0.9");
	output(&path, 'a'); // asks by unicast, three times
	tx_clear();
	run_until(net.now + SECOND * 7 / 2);
	assert_true(asked(mac_broadcast, "198.18.0.9"));
	tx_clear();
	output(&path, 'b');
	run_until(net.now + 4 * SECOND);
	assert_int_equal(count(CTR_arp_tx), 6);
	assert_int_equal(count(CTR_neigh_unresolved), 1);
	net_path_release(&net, &path);
	tx_clear();
}

static void a_changed_hardware_address_holds_for_every_path(void **state)
{
	(void)state;
	struct net_path a, b;
	uint32_t n;

	mac_known("198.18.0.9", peer_mac);
	path_to(&a, "198.18.0.9");
	path_to(&b, "198.18.0.9");
	assert_int_equal(a.neigh, b.neigh);
	arp(mac_broadcast, REPLY, other_mac, "198.18.0.9", "198.18.0.9"); // gratuitous
	assert_int_equal(seen.learns, 1);
	assert_memory_equal(seen.learned_mac, other_mac, 6);
	output(&a, 'x');
	assert_memory_equal(sent_on(0, &n), other_mac, 6);
	tx_clear();
	output(&b, 'x');
	assert_memory_equal(sent_on(0, &n), other_mac, 6);
	tx_clear();
	net_path_release(&net, &a);
	net_path_release(&net, &b);
}

static void what_another_worker_learned_serves_here(void **state)
{
	(void)state;
	struct net_path path;

	path_to(&path, "198.18.0.9");
	output(&path, 'a');
	tx_clear();
	net_learn(&net, 0, ip("198.18.0.9"), peer_mac);
	assert_int_equal(net.tx[0].n, 1);
	assert_int_equal(seen.learns, 0); // and is not passed on again
	net_learn(&net, 7, ip("198.18.0.9"), peer_mac);
	net_path_release(&net, &path);
	tx_clear();
}

static void a_full_table_takes_the_longest_unused_and_never_one_in_use(void **state)
{
	(void)state;
	struct net_path path[NEIGHBOURS - 1], more;
	char text[32];
	uint16_t third;

	for (unsigned i = 0; i < NEIGHBOURS - 1; i++) {
		snprintf(text, sizeof(text), "198.18.0.%u", 10 + i);
		path_to(&path[i], text);
	}
	assert_int_equal(net_path_init(&net, &more, 0, (struct addr){0}, ip("198.18.0.100"), 0), -ENOBUFS);
	assert_int_equal(count(CTR_neigh_table_full), 1);
	third = path[2].neigh;
	output(&path[2], 'w'); // a packet that still waits goes with its entry
	net_path_release(&net, &path[2]);
	net_path_release(&net, &path[1]);
	path_to(&more, "198.18.0.100");
	assert_int_equal(more.neigh, third);
	assert_int_equal(count(CTR_neigh_unresolved), 1);
	net_path_release(&net, &more);
	path_to(&more, "198.18.0.12"); // forgotten: asked anew
	assert_true(asked(mac_broadcast, "198.18.0.12"));
	net_path_release(&net, &more);
	for (unsigned i = 0; i < NEIGHBOURS - 1; i++)
		if (i != 1 && i != 2)
			net_path_release(&net, &path[i]);
	tx_clear();
}

static void rfc6583_7_who_is_only_answered_leaves_an_eighth_of_the_table(void **state)
{
	(void)state;
	struct net_path path[NEIGHBOURS - 1];
	unsigned n = 0;
	char text[32];

	for (; n < NEIGHBOURS - 1; n++) {
		snprintf(text, sizeof(text), "198.18.0.%u", 10 + n);
		if (net_path_init(&net, &path[n], 0, ip("198.18.0.1"), ip(text), 0) != 0)
			break;
	}
	assert_int_equal(n, NEIGHBOURS - 1 - NEIGHBOURS / 8);
	for (; n < NEIGHBOURS - 1; n++) { // upstreams are reached all the same
		snprintf(text, sizeof(text), "198.18.0.%u", 10 + n);
		path_to(&path[n], text);
	}
	while (n > 0)
		net_path_release(&net, &path[--n]);
	tx_clear();
}

static void a_failed_entry_nobody_refers_to_is_freed(void **state)
{
	(void)state;
	struct net_path path;

	for (unsigned i = 0; i < 3 * NEIGHBOURS; i++) {
		char text[32];

		snprintf(text, sizeof(text), "198.18.0.%u", 10 + i);
		path_to(&path, text);
		net_path_release(&net, &path);
	}
	run_until(net.now + 8 * SECOND);
	for (unsigned i = 1; i < NEIGHBOURS; i++)
		assert_int_equal(net.neigh[i].state, NEIGH_FREE);
	assert_int_equal(wheel.armed, 0);
	tx_clear();
}

static void an_empty_pool_still_answers_and_asks_later(void **state)
{
	(void)state;
	struct frame f = {0};
	struct pkt *first = NULL, *p, *in;
	struct net_path path;

	add_ethernet(&f, mac_broadcast, peer_mac, TYPE_ARP);
	add_arp(&f, REQUEST, peer_mac, "198.18.0.9", "198.18.0.1");
	in = frame_pkt(f.b, f.n);
	while ((p = pkt_alloc(pool))) {
		*(struct pkt **)pkt_priv(p) = first;
		first = p;
	}
	net_input(&net, 0, &in, 1);
	assert_int_equal(net.tx[0].n, 1);
	path_to(&path, "198.18.0.10");
	assert_int_equal(net.tx[0].n, 1);
	for (; first; first = p) {
		p = *(struct pkt **)pkt_priv(first);
		pkt_free(first);
	}
	run_until(net.now + SECOND * 3 / 2);
	assert_true(asked(mac_broadcast, "198.18.0.10"));
	net_path_release(&net, &path);
	tx_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(our_addresses_are_announced_when_they_are_new),
		NET_TEST(a_request_for_our_address_is_answered_and_its_sender_learned),
		NET_TEST(requests_for_others_are_not_answered),
		NET_TEST(a_probe_for_our_address_is_answered_but_teaches_nothing),
		NET_TEST(malformed_packets_are_counted),
		NET_TEST(nothing_is_learned_from_bad_sources),
		NET_TEST(another_station_with_our_address_is_a_conflict),
		NET_TEST(an_answer_nobody_waits_for_makes_no_entry),
		NET_TEST(what_waits_without_room_for_a_tag_that_comes_meanwhile_is_dropped),
		NET_TEST(packets_wait_for_the_answer_and_leave_in_order),
		NET_TEST(three_questions_then_failure_and_hold_down),
		NET_TEST(a_neighbour_heard_of_while_held_down_is_reachable),
		NET_TEST(an_entry_in_use_is_confirmed_by_unicast),
		NET_TEST(an_entry_out_of_use_is_not_asked_until_it_is_used),
		NET_TEST(a_neighbour_that_falls_silent_is_asked_by_broadcast_and_then_given_up),
		NET_TEST(a_changed_hardware_address_holds_for_every_path),
		NET_TEST(what_another_worker_learned_serves_here),
		NET_TEST(a_full_table_takes_the_longest_unused_and_never_one_in_use),
		NET_TEST(rfc6583_7_who_is_only_answered_leaves_an_eighth_of_the_table),
		NET_TEST(a_failed_entry_nobody_refers_to_is_freed),
		NET_TEST(an_empty_pool_still_answers_and_asks_later),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
