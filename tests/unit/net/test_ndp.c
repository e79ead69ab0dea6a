#include "tests/unit/net/fixture6.h"

// RFC 4861 7.2.2: a question for target, from source, to its group or to mac alone.
static bool asked(const char *source, const char *target, const uint8_t *mac)
{
	const uint8_t *f = last_ndp(NS);
	struct addr t = ip(target);
	const uint8_t group[6] = {0x33, 0x33, 0xff, t.b[13], t.b[14], t.b[15]};

	return f && memcmp(f, mac ? mac : group, 6) == 0 && has_addr(f + 22, source) &&
	       memcmp(f + 38, mac ? t.b : ipv6_solicited_node(t).b, 16) == 0 && has_addr(f + 62, target) &&
	       f[78] == 1 && f[79] == 1 && memcmp(f + 80, our_mac, 6) == 0;
}

static void a_new_address_is_asked_for_and_announced_after_a_second(void **state)
{
	(void)state;
	const uint8_t *f;

	// For the link-local and the configured one: a report for the group, then the question from nobody.
	assert_int_equal(net.tx[0].n, 4);
	assert_int_equal(net.tx[1].n, 0); // no IPv6 there
	f = (const uint8_t *)pkt_data(net.tx[0].v[2]);
	assert_int_equal(f[20], IPPROTO_HOPOPTS);
	assert_int_equal(f[62], 143);
	assert_true(has_addr(f + 38, "ff02::16"));
	assert_true(has_addr(f + 62 + 12, "ff02::1:ff00:1"));
	f = last_ndp(NS);
	assert_memory_equal(f, our_group_mac, 6);
	assert_true(has_addr(f + 22, "::"));
	assert_true(has_addr(f + 38, "ff02::1:ff00:1"));
	assert_true(has_addr(f + 62, OURS));
	assert_int_equal(get16(f + 18), 24); // without an option (RFC 4861 4.3)
	tx_clear();
	run_until(net.now + SECOND / 2);
	assert_int_equal(net.tx[0].n, 0);
	run_until(net.now + SECOND);
	assert_int_equal(net.tx[0].n, 2);
	f = last_ndp(NA);
	assert_true(has_addr(f + 22, OURS));
	assert_true(has_addr(f + 38, "ff02::1"));
	assert_int_equal(f[58], O);
	assert_memory_equal(f + 80, our_mac, 6);
	tx_clear();
	net_configure(&net, &snap6.s);
	assert_int_equal(net.tx[0].n, 0); // nothing is new
	snap6.port[0].addresses.n = 3;
	net_configure(&net, &snap6.s);
	assert_int_equal(net.tx[0].n, 2);
	tx_clear();
}

static void a_tentative_address_hears_nothing_and_answers_nobody(void **state)
{
	(void)state;
	struct frame f = {0};

	tx_clear();
	ndp(NS, PEER, "ff02::1:ff00:1", OURS, 0, 1, peer_mac);
	assert_int_equal(seen.learns, 0);
	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV6);
	add_ipv6(&f, PEER, OURS, IPPROTO_TCP, 64, 20);
	add(&f, NULL, 20);
	receive(&f);
	assert_int_equal(count(CTR_ip_not_for_us), 1);
	assert_int_equal(net.tx[0].n, 0);
	run_until(net.now + SECOND * 3 / 2);
	receive(&f);
	assert_int_equal(seen.segs, 1);
	tx_clear();
}

static void an_address_that_somebody_has_is_never_used(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct net_path path;

		tx_clear();
		if (i == 0) // he defends it, or asks for it at the same time (RFC 4862 5.4.3, 5.4.4)
			ndp(NA, OURS, "ff02::1", OURS, O, 2, peer_mac);
		else
			ndp(NS, "::", "ff02::1:ff00:1", OURS, 0, 0, peer_mac);
		assert_int_equal(count(CTR_neigh_conflict), i + 1);
		assert_true(addr_eq(seen.learned, ip(OURS))); // the other workers hear of it
		run_until(net.now + 2 * SECOND);
		assert_false(net_is_local(&net, 0, ip(OURS)));
		assert_int_equal(net_path_init(&net, &path, 0, (struct addr){0}, ip(PEER), 0), -ENETUNREACH);
		tx_clear();
		ndp(NS, PEER, "ff02::1:ff00:1", OURS, 0, 1, peer_mac);
		assert_int_equal(net.tx[0].n, 0);
		// Given again after it was taken away, it is asked for again.
		snap6.port[0].addresses.n = 1;
		net_configure(&net, &snap6.s);
		snap6.port[0].addresses.n = 2;
		net_configure(&net, &snap6.s);
		assert_true(net_is_local(&net, 0, ip(OURS)));
	}
	tx_clear();
}

static void what_another_worker_heard_of_a_duplicate_holds_here(void **state)
{
	(void)state;
	tx_clear();
	net_learn(&net, 0, ip(OURS), our_mac);
	assert_false(net_is_local(&net, 0, ip(OURS)));
	assert_int_equal(seen.learns, 0);
}

static void an_address_in_use_is_defended(void **state)
{
	(void)state;
	const uint8_t *f;

	ndp(NS, "::", "ff02::1:ff00:1", OURS, 0, 0, peer_mac);
	f = last_ndp(NA);
	assert_non_null(f);
	assert_true(has_addr(f + 38, "ff02::1"));
	assert_int_equal(f[58], O); // not solicited (RFC 4861 7.2.4)
	tx_clear();
	ndp(NA, OURS, "ff02::1", OURS, O, 2, peer_mac);
	assert_int_equal(count(CTR_neigh_conflict), 1);
	assert_true(net_is_local(&net, 0, ip(OURS)));
}

static void a_connection_waits_until_its_address_is_ours(void **state)
{
	(void)state;
	struct net_path path = path6(PEER);

	tx_clear();
	output6(&path, 'a');
	assert_int_equal(net.tx[0].n, 0);
	run_until(net.now + SECOND * 5 / 2);
	assert_true(asked(OURS, PEER, NULL));
	ndp(NA, PEER, OURS, PEER, S, 2, peer_mac);
	assert_memory_equal(pkt_data(net.tx[0].v[net.tx[0].n - 1]), peer_mac, 6);
	net_path_release(&net, &path);
	tx_clear();
}

static void a_question_for_our_address_is_answered_and_its_sender_learned(void **state)
{
	(void)state;
	const uint8_t *f;
	struct net_path path;

	ndp(NS, PEER, "ff02::1:ff00:1", OURS, 0, 1, peer_mac);
	f = last_ndp(NA);
	assert_non_null(f);
	assert_memory_equal(f, peer_mac, 6);
	assert_true(has_addr(f + 22, OURS));
	assert_true(has_addr(f + 38, PEER));
	assert_true(has_addr(f + 62, OURS));
	assert_int_equal(f[58], S | O);
	assert_int_equal(f[78], 2);
	assert_memory_equal(f + 80, our_mac, 6);
	tx_clear();
	assert_int_equal(seen.learns, 1);
	// It has not shown to hear us: used at once, and asked (RFC 4861 7.2.3, 7.3.3).
	path = path6(PEER);
	output6(&path, 'x');
	assert_int_equal(net.tx[0].n, 2);
	assert_memory_equal(pkt_data(net.tx[0].v[1]), peer_mac, 6);
	net_path_release(&net, &path);
	tx_clear();
}

static void the_link_local_address_answers_too(void **state)
{
	(void)state;
	ndp(NS, "fe80::9", "ff02::1:ff00:1", LOCAL, 0, 1, peer_mac);
	assert_true(has_addr(last_ndp(NA) + 22, LOCAL));
	tx_clear();
	struct net_path path = path6("fe80::9");
	assert_true(addr_eq(path.local, ip(LOCAL)));
	net_path_release(&net, &path);
}

static void a_question_without_a_source_address_is_answered_when_the_asker_is_resolved(void **state)
{
	(void)state;
	ndp(NS, PEER, OURS, OURS, 0, 0, peer_mac);
	assert_true(asked(OURS, PEER, NULL));
	tx_clear();
	ndp(NA, PEER, OURS, PEER, S | O, 2, peer_mac);
	ndp(NS, PEER, OURS, OURS, 0, 0, peer_mac);
	assert_non_null(last_ndp(NA));
	tx_clear();
}

static void questions_for_others_are_not_answered(void **state)
{
	(void)state;
	ndp(NS, PEER, OURS, "fd00:c6:12::7", 0, 1, peer_mac);
	assert_int_equal(count(CTR_ndp_ignored), 1);
	assert_int_equal(net.tx[0].n, 0);
	assert_int_equal(seen.learns, 0);
}

static void malformed_messages_are_counted(void **state)
{
	(void)state;
	unsigned expected = 0;
	struct frame f;
	uint8_t *h, *m;

	for (unsigned i = 0; i < 13; i++) {
		f = i < 8 ? ndp_frame(NS, PEER, "ff02::1:ff00:1", OURS, 0, 1, peer_mac)
			  : ndp_frame(NA, PEER, OURS, PEER, S, 2, peer_mac);
		h = f.b + 14;
		m = f.b + 54;
		switch (i) {
		case 0:
			h[7] = 254;
			break; // it crossed a router
		case 1:
			m[1] = 1;
			break; // code
		case 2:
			memcpy(m + 8, ip("ff02::1").b, 16);
			break; // target a group
		case 3:
			m[25] = 0;
			break; // option without a length
		case 4:
			m[25] = 2;
			break; // and beyond the end
		case 5:
			memset(h + 8, 0, 16);
			break; // from nobody, with an address
		case 6:
			m[26] = 1;
			break; // hardware address of a group
		case 7:
			memcpy(m + 8, ip("198.18.0.1").b, 16);
			break; // IPv4 in disguise
		case 8:
			memcpy(h + 24, ip("ff02::1").b, 16);
			f.b[0] = 0x33;
			break; // solicited, to a group
		case 9:
			memset(h + 8, 0, 16);
			break; // from nobody
		case 10:
			h[7] = 64;
			break;
		case 11:
			m[1] = 3;
			break;
		default:
			memset(m + 8, 0, 16);
			break;
		}
		icmp6_fix(h, m, 32);
		receive(&f);
		assert_int_equal(count(CTR_ndp_bad), ++expected);
	}
	for (uint16_t n = 8; n < 24; n++) { // cut short
		f = ndp_frame(NS, PEER, OURS, OURS, 0, 0, peer_mac);
		put16(f.b + 18, n);
		icmp6_fix(f.b + 14, f.b + 54, n);
		receive(&f);
		assert_int_equal(count(CTR_ndp_bad), ++expected);
	}
	// From nobody, but not to the group that it has to be asked in (RFC 4861 7.1.1).
	ndp(NS, "::", "ff02::1", OURS, 0, 0, peer_mac);
	ndp(NS, "::", OURS, OURS, 0, 0, peer_mac);
	assert_int_equal(count(CTR_ndp_bad), expected + 2);
	assert_int_equal(net.tx[0].n, 0);
	assert_int_equal(seen.learns, 0);
}

static void unknown_options_are_skipped(void **state)
{
	(void)state;
	struct frame f = ndp_frame(NS, PEER, "ff02::1:ff00:1", OURS, 0, 14, peer_mac); // a nonce (RFC 3971)

	receive(&f);
	assert_true(asked(OURS, PEER, NULL)); // it did not say its hardware address
	tx_clear();
}

static void fragments_of_discovery_are_refused(void **state)
{
	(void)state;
	struct frame f = {0}, whole = ndp_frame(NS, PEER, "ff02::1:ff00:1", OURS, 0, 1, peer_mac);
	uint8_t *h;

	add_ethernet(&f, our_group_mac, peer_mac, TYPE_IPV6);
	h = add_ipv6(&f, PEER, "ff02::1:ff00:1", IPPROTO_FRAGMENT, 255, 40);
	(void)h;
	add(&f, NULL, 8)[0] = IPPROTO_ICMPV6;
	add(&f, whole.b + 54, 32);
	receive(&f);
	assert_int_equal(count(CTR_ndp_bad), 1);
	assert_int_equal(net.tx[0].n, 0);
}

static void routers_and_redirects_change_nothing(void **state)
{
	(void)state;
	const uint8_t types[] = {133, 134, 137};

	for (unsigned i = 0; i < 3; i++) {
		ndp(types[i], "fe80::9", types[i] == 137 ? OURS : "ff02::1", PEER, 0, 0, peer_mac);
		assert_int_equal(count(CTR_ndp_ignored), i + 1);
	}
	assert_int_equal(net.tx[0].n, 0);
	assert_int_equal(seen.learns, 0);
}

static void packets_wait_for_the_answer_and_leave_in_order(void **state)
{
	(void)state;
	struct net_path path = path6(PEER);

	assert_true(asked(OURS, PEER, NULL));
	tx_clear();
	for (char c = '0'; c < '0' + NEIGH_QUEUE + 2; c++)
		output6(&path, c);
	assert_int_equal(net.tx[0].n, 0);
	ndp(NA, PEER, OURS, PEER, S | O, 2, peer_mac);
	assert_int_equal(net.tx[0].n, NEIGH_QUEUE);
	for (unsigned i = 0; i < NEIGH_QUEUE; i++) {
		const uint8_t *f = (const uint8_t *)pkt_data(net.tx[0].v[i]);

		assert_memory_equal(f, peer_mac, 6);
		assert_int_equal(get16(f + 12), TYPE_IPV6);
		assert_int_equal(f[74], '2' + (int)i); // the oldest two gave way
	}
	net_path_release(&net, &path);
	tx_clear();
}

static void three_questions_then_the_transport_is_told(void **state)
{
	(void)state;
	struct net_path path = path6(PEER);

	output6(&path, 'a');
	run_until(net.now + SECOND * 5 / 2);
	assert_int_equal(count(CTR_ndp_tx), 3);
	run_until(net.now + SECOND);
	assert_int_equal(count(CTR_ndp_tx), 3);
	assert_int_equal(count(CTR_neigh_unresolved), 1);
	assert_int_equal(seen.unreachables, 1);
	assert_true(addr_eq(seen.unreachable.local, ip(OURS)));
	assert_true(addr_eq(seen.unreachable.remote, ip(PEER)));
	assert_int_equal(seen.unreachable.local_port, 0x1234);
	assert_int_equal(seen.unreachable.remote_port, 80);
	assert_int_equal(seen.unreachable.seq, 7);
	net_path_release(&net, &path);
	tx_clear();
}

static uint8_t state_of(const struct net_path *path)
{
	return net.neigh[path->neigh].state;
}

// RFC 4861 7.2.5, line by line.
static void advertisements_change_an_entry_as_their_flags_say(void **state)
{
	(void)state;
	struct net_path path = path6(PEER);
	const struct net_neigh *e = &net.neigh[path.neigh];

	ndp(NA, PEER, OURS, PEER, S, 0, peer_mac); // incomplete, and it does not say the address
	assert_int_equal(state_of(&path), NEIGH_INCOMPLETE);
	ndp(NA, PEER, "ff02::1", PEER, O, 2, peer_mac);
	assert_int_equal(state_of(&path), NEIGH_STALE);
	ndp(NA, PEER, OURS, PEER, S, 0, peer_mac);
	assert_int_equal(state_of(&path), NEIGH_REACHABLE);
	ndp(NA, PEER, OURS, PEER, S, 2, other_mac); // another address, without override
	assert_int_equal(state_of(&path), NEIGH_STALE);
	assert_memory_equal(e->mac, peer_mac, 6);
	ndp(NA, PEER, OURS, PEER, S, 2, other_mac); // and again: nothing
	assert_int_equal(state_of(&path), NEIGH_STALE);
	ndp(NA, PEER, OURS, PEER, S | O, 2, other_mac);
	assert_int_equal(state_of(&path), NEIGH_REACHABLE);
	assert_memory_equal(e->mac, other_mac, 6);
	ndp(NA, PEER, "ff02::1", PEER, O, 2, other_mac); // the same, unsolicited
	assert_int_equal(state_of(&path), NEIGH_REACHABLE);
	ndp(NA, PEER, "ff02::1", PEER, O, 2, peer_mac);
	assert_int_equal(state_of(&path), NEIGH_STALE);
	assert_memory_equal(e->mac, peer_mac, 6);
	net_path_release(&net, &path);
	tx_clear();
}

static void an_advertisement_nobody_waits_for_makes_no_entry(void **state)
{
	(void)state;
	struct net_path path;

	ndp(NA, PEER, OURS, PEER, S | O, 2, peer_mac);
	assert_int_equal(seen.learns, 1); // another worker may have asked
	path = path6(PEER);
	assert_true(asked(OURS, PEER, NULL));
	net_path_release(&net, &path);
	tx_clear();
}

static void a_neighbour_in_use_is_confirmed_by_unicast(void **state)
{
	(void)state;
	struct net_path path = path6(PEER);

	ndp(NA, PEER, OURS, PEER, S | O, 2, peer_mac);
	run_until(net.now + SECOND);
	output6(&path, 'a');
	tx_clear();
	for (unsigned i = 0; i < 700 && net.tx[0].n == 0; i++)
		run_until(net.now + SECOND / 10);
	assert_true(asked(OURS, PEER, peer_mac));
	tx_clear();
	ndp(NA, PEER, OURS, PEER, S, 0, peer_mac); // a unicast answer need not say the address
	assert_int_equal(state_of(&path), NEIGH_REACHABLE);
	net_path_release(&net, &path);
	tx_clear();
}

static void what_another_worker_learned_serves_here(void **state)
{
	(void)state;
	struct net_path path = path6(PEER);

	output6(&path, 'a');
	tx_clear();
	net_learn(&net, 0, ip(PEER), peer_mac);
	assert_int_equal(net.tx[0].n, 1);
	assert_int_equal(state_of(&path), NEIGH_REACHABLE);
	net_learn(&net, 0, ip(PEER), other_mac);
	assert_int_equal(state_of(&path), NEIGH_STALE);
	net_path_release(&net, &path);
	tx_clear();
}

static void a_listener_query_is_answered_for_every_group(void **state)
{
	(void)state;
	struct frame f = {0};
	uint8_t *h, *m;

	for (unsigned i = 0; i < 3; i++) {
		f = (struct frame){0};
		add_ethernet(&f, (const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, peer_mac, TYPE_IPV6);
		h = add_ipv6(&f, i == 1 ? PEER : "fe80::9", "ff02::1", IPPROTO_ICMPV6, i == 2 ? 64 : 1, 28);
		m = add(&f, NULL, 28);
		m[0] = 130;
		icmp6_fix(h, m, 28);
		receive(&f);
		assert_int_equal(net.tx[0].n, 2);
		assert_int_equal(count(CTR_icmp_bad), i); // not from a link-local address; from beyond a router
	}
	assert_int_equal(pkt_data(net.tx[0].v[0])[62 + 8], 2);
	tx_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET6_TENTATIVE(a_new_address_is_asked_for_and_announced_after_a_second),
		NET6_TENTATIVE(a_tentative_address_hears_nothing_and_answers_nobody),
		NET6_TENTATIVE(an_address_that_somebody_has_is_never_used),
		NET6_TENTATIVE(what_another_worker_heard_of_a_duplicate_holds_here),
		NET6_TENTATIVE(a_connection_waits_until_its_address_is_ours),
		NET6_TEST(an_address_in_use_is_defended),
		NET6_TEST(a_question_for_our_address_is_answered_and_its_sender_learned),
		NET6_TEST(the_link_local_address_answers_too),
		NET6_TEST(a_question_without_a_source_address_is_answered_when_the_asker_is_resolved),
		NET6_TEST(questions_for_others_are_not_answered),
		NET6_TEST(malformed_messages_are_counted),
		NET6_TEST(unknown_options_are_skipped),
		NET6_TEST(fragments_of_discovery_are_refused),
		NET6_TEST(routers_and_redirects_change_nothing),
		NET6_TEST(packets_wait_for_the_answer_and_leave_in_order),
		NET6_TEST(three_questions_then_the_transport_is_told),
		NET6_TEST(advertisements_change_an_entry_as_their_flags_say),
		NET6_TEST(an_advertisement_nobody_waits_for_makes_no_entry),
		NET6_TEST(a_neighbour_in_use_is_confirmed_by_unicast),
		NET6_TEST(what_another_worker_learned_serves_here),
		NET6_TEST(a_listener_query_is_answered_for_every_group),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
