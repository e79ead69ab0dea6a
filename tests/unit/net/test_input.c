// Whatever arrives: nothing is read beyond a frame (the sanitizer looks), nothing is lost.
#include "base/random.h"
#include "tests/unit/net/fixture6.h"

static struct frame seed[6];

static void make_seeds(void)
{
	uint8_t *h;

	memset(seed, 0, sizeof(seed));
	add_ethernet(&seed[0], mac_broadcast, peer_mac, TYPE_ARP);
	add_arp(&seed[0], 1, peer_mac, "198.18.0.9", "198.18.0.1");
	add_ethernet(&seed[1], our_mac, peer_mac, TYPE_ARP);
	add_arp(&seed[1], 2, peer_mac, "198.18.0.10", "198.18.0.1");
	add_ethernet(&seed[2], our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&seed[2], "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 40);
	add(&seed[2], NULL, 40);
	add_ethernet(&seed[3], our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&seed[3], "198.18.0.9", "198.18.0.1", IPPROTO_ICMP, 40);
	h = add(&seed[3], NULL, 40);
	h[0] = ICMP_ECHO;
	icmp_fix(h, 40);
	add_ethernet(&seed[4], our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&seed[4], "198.18.0.254", "198.18.0.1", IPPROTO_ICMP, 36);
	h = add(&seed[4], NULL, 8);
	h[0] = ICMP_UNREACHABLE;
	add_ipv4(&seed[4], "198.18.0.1", "198.18.0.9", IPPROTO_TCP, 8);
	add(&seed[4], NULL, 8);
	icmp_fix(h, 36);
	add_ethernet(&seed[5], our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&seed[5], "198.18.0.9", "198.18.0.1", IPPROTO_UDP, 20);
	add(&seed[5], NULL, 20);
}

// Changed in a few places, cut or grown; checksums mostly set right again, so that more than the first check
// is reached.
static struct frame mutated(struct random *r)
{
	struct frame f = seed[random_below(r, 6)];

	for (unsigned i = random_below(r, 4); i > 0; i--)
		f.b[random_below(r, f.n)] = (uint8_t)random_next(r);
	if (random_below(r, 4) == 0)
		f.n = random_below(r, f.n + 20);
	if (f.n >= 34 && get16(f.b + 12) == TYPE_IPV4 && random_below(r, 8)) {
		uint32_t header = (f.b[14] & 15u) * 4;

		if (14 + header + 8 <= f.n && f.b[23] == IPPROTO_ICMP)
			icmp_fix(f.b + 14 + header, f.n - 14 - header);
		if (14 + header <= f.n)
			ip_fix(f.b + 14);
	}
	return f;
}

static void mutated_frames_are_taken_or_refused_and_never_lost(void **state)
{
	(void)state;
	struct random r;
	unsigned taken = 0;

	make_seeds();
	random_seed(&r, 20240611);
	for (unsigned i = 0; i < 60000; i++) {
		struct frame f = mutated(&r);

		if (f.n > 8 && random_below(&r, 3) == 0) {
			const uint32_t sizes[] = {1 + random_below(&r, f.n - 1), 1 + random_below(&r, 20), 0};

			receive_chained(&f, sizes);
		} else {
			receive(&f);
		}
		for (; seen.segs > 0; taken++)
			pkt_free_chain(seen.seg[--seen.segs].pkt);
		if (i % 16 == 0) {
			tx_clear();
			run_until(net.now + SECOND / 10);
		}
	}
	assert_true(taken > 1000);
	// Each refusal was reached.
	for (enum counter c = 0; c < CTR_COUNT; c++)
		switch (c) {
		case CTR_rx_bad_ethernet:
		case CTR_rx_not_for_us_mac:
		case CTR_rx_unknown_ethertype:
		case CTR_arp_bad:
		case CTR_ip_bad_header:
		case CTR_ip_bad_checksum:
		case CTR_ip_not_for_us:
		case CTR_ip_bad_source:
		case CTR_ip_fragment_rx:
		case CTR_ip_unknown_protocol:
		case CTR_icmp_bad:
		case CTR_icmp_echo:
		case CTR_icmp_error_rx:
		case CTR_icmp_ignored:
			if (count(c) == 0)
				fail_msg("never seen: %s", counter_info[c].name);
			break;
		default:
			break;
		}
	tx_clear();
}

static struct frame seed6[9];

// A packet from PEER: next header, and what follows.
static void seed_ipv6(struct frame *f, uint8_t next, const void *body, uint16_t n, uint16_t more)
{
	uint8_t *h, *l4;

	*f = (struct frame){0};
	add_ethernet(f, our_mac, peer_mac, TYPE_IPV6);
	h = add_ipv6(f, PEER, OURS, next, 255, (uint16_t)(n + more));
	l4 = add(f, body, n);
	add(f, NULL, more);
	if (next == IPPROTO_ICMPV6)
		icmp6_fix(h, l4, n + more);
}

static void make_seeds6(void)
{
	static const uint8_t chain[] = {60, 0, 5, 2, 0, 0, 1, 0, 43, 0, 1, 4, 0, 0, 0, 0, 44, 0,
					0,  0, 0, 0, 0, 0, 6, 0, 0,  0, 1, 2, 3, 4, 0, 0, 0,  0};
	uint8_t error[56] = {ICMP6_TOO_BIG, 0, 0, 0, 0, 0, 5, 0, 0x60, [14] = IPPROTO_TCP};

	memcpy(error + 16, ip(OURS).b, 16);
	memcpy(error + 32, ip(PEER).b, 16);
	seed6[0] = ndp_frame(NS, PEER, "ff02::1:ff00:1", OURS, 0, 1, peer_mac);
	seed6[1] = ndp_frame(NA, PEER, OURS, PEER, S | O, 2, peer_mac);
	seed6[2] = ndp_frame(NS, "::", "ff02::1:ff00:1", OURS, 0, 0, peer_mac);
	seed_ipv6(&seed6[3], IPPROTO_TCP, NULL, 0, 40);
	seed_ipv6(&seed6[4], IPPROTO_HOPOPTS, chain, sizeof(chain), 40);
	seed_ipv6(&seed6[5], IPPROTO_ICMPV6, "\x80\0\0\0\x12\x34\0\1", 8, 40);
	seed_ipv6(&seed6[6], IPPROTO_ICMPV6, error, sizeof(error), 0);
	seed_ipv6(&seed6[7], IPPROTO_UDP, NULL, 0, 30);
	seed_ipv6(&seed6[8], IPPROTO_ICMPV6, "\x82\0\0\0", 4, 24);
	seed6[8].b[21] = 1;
	memcpy(seed6[8].b + 22, ip("fe80::9").b, 16);
}

static struct frame mutated6(struct random *r)
{
	struct frame f = seed6[random_below(r, 9)];

	for (unsigned i = random_below(r, 4); i > 0; i--)
		f.b[14 + random_below(r, f.n - 14)] =
			(uint8_t)(random_below(r, 2) ? random_below(r, 64) : random_next(r));
	if (random_below(r, 4) == 0) {
		f.n = 14 + random_below(r, f.n);
		if (f.n >= 54 && random_below(r, 4))
			put16(f.b + 18, f.n - 54);
	}
	if (f.n > 54 && f.b[20] == IPPROTO_ICMPV6 && random_below(r, 8))
		icmp6_fix(f.b + 14, f.b + 54, f.n - 54);
	return f;
}

// Now and then addresses go and come again, and mostly prove to be ours.
static void mutated_ipv6_frames_are_taken_or_refused_and_never_lost(void **state)
{
	(void)state;
	static const enum counter reached[] = {
		CTR_ip_bad_header,       CTR_ip_not_for_us,    CTR_ip_martian, CTR_ip_fragment_bad,
		CTR_ip_unknown_protocol, CTR_icmp_bad,         CTR_icmp_echo,  CTR_icmp_error_rx,
		CTR_icmp_ignored,        CTR_ip_bad_extension, CTR_ndp_rx,     CTR_ndp_bad,
		CTR_ndp_ignored,         CTR_neigh_conflict,   CTR_ndp_tx,
	};
	struct random r;
	unsigned taken = 0;

	make_seeds6();
	random_seed(&r, 20240612);
	for (unsigned i = 0; i < 80000; i++) {
		struct frame f = mutated6(&r);

		if (random_below(&r, 3) == 0) {
			const uint32_t sizes[] = {1 + random_below(&r, f.n - 1), 1 + random_below(&r, 20), 0};

			receive_chained(&f, sizes);
		} else {
			receive(&f);
		}
		for (; seen.segs > 0; taken++)
			pkt_free_chain(seen.seg[--seen.segs].pkt);
		if (i % 16 == 0) {
			tx_clear();
			run_until(net.now + SECOND / 10);
		}
		if (i % 4096 == 0) {
			snap6.port[0].addresses.n = 1;
			net_configure(&net, &snap6.s);
			snap6.port[0].addresses.n = 2 + random_below(&r, 2);
			net_configure(&net, &snap6.s);
			if (random_below(&r, 4))
				run_until(net.now + 2 * SECOND);
			tx_clear();
		}
	}
	assert_true(taken > 1000);
	for (unsigned i = 0; i < sizeof(reached) / sizeof(reached[0]); i++)
		if (count(reached[i]) == 0)
			fail_msg("never seen: %s", counter_info[reached[i]].name);
	tx_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(mutated_frames_are_taken_or_refused_and_never_lost),
		NET6_TEST(mutated_ipv6_frames_are_taken_or_refused_and_never_lost),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
