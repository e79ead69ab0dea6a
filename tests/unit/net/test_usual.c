// The short cuts for what is common: what they make of a frame, and of a segment to be sent, is what the long
// way makes.
#include "base/random.h"
#include "tests/unit/net/fixture.h"

#define ROUNDS 20000

static struct random r;

static void vary(struct frame *f)
{
	static const uint8_t places[] = {0,  5,  6,  7,  11, 12, 13, 14, 15, 16, 17, 18, 20, 21,
					 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 36};

	switch (random_below(&r, 6)) {
	case 0:
		break;
	case 1: // any bit
		f->b[random_below(&r, f->n)] ^= (uint8_t)(1u << random_below(&r, 8));
		break;
	case 2: // any header, with a right sum
		f->b[places[random_below(&r, sizeof(places))]] = (uint8_t)random_next(&r);
		ip_fix(f->b + 14);
		break;
	case 3: // another source
		f->b[26 + random_below(&r, 4)] = (uint8_t)random_next(&r);
		ip_fix(f->b + 14);
		break;
	case 4: // cut off
		f->n = random_below(&r, f->n + 1);
		break;
	default: // from ourselves, from nobody, from many
		memcpy(f->b + 6, random_below(&r, 2) ? our_mac : mac_broadcast, MAC_LEN);
		if (random_below(&r, 2))
			memset(f->b + 6, 0, MAC_LEN);
		break;
	}
}

static struct frame any_frame(void)
{
	struct frame f = {0};
	uint32_t n = 20 + random_below(&r, 100);

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&f, "198.18.0.9", random_below(&r, 8) ? "198.18.0.1" : "198.18.0.255", IPPROTO_TCP,
		 (uint16_t)n);
	for (uint32_t i = 0; i < n; i++)
		*(uint8_t *)add(&f, NULL, 1) = (uint8_t)random_next(&r);
	add(&f, NULL, random_below(&r, 3) * 9); // padding
	vary(&f);
	return f;
}

static void received_frames_are_taken_alike_on_the_short_way_and_the_long_way(void **state)
{
	(void)state;
	static struct worker_stats before;
	struct frame usual = {0};
	unsigned taken = 0;

	random_seed(&r, 1);
	add_ethernet(&usual, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&usual, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 20);
	add(&usual, NULL, 20);
	receive(&usual); // so that our address is known
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct frame f = any_frame();
		uint64_t counted[CTR_COUNT];

		while (seen.segs)
			pkt_free_chain(seen.seg[--seen.segs].pkt);
		tx_clear();
		before = *stats;
		receive(&f);
		for (unsigned k = 0; k < CTR_COUNT; k++)
			counted[k] = stat_get(&stats->c[k]) - stat_get(&before.c[k]);
		tx_clear();
		// What is no TCP may be answered, or learnt from, and a fragment is another thing the second
		// time.
		if (f.n < 24 || get16(f.b + 12) != TYPE_IPV4 || f.b[23] != IPPROTO_TCP ||
		    (get16(f.b + 20) & 0x3fff)) {
			assert_int_equal(seen.segs, 0);
			continue;
		}
		before = *stats;
		net.special_known = false;
		receive(&f);
		net.special_known = true;
		for (unsigned k = 0; k < CTR_COUNT; k++)
			assert_int_equal(stat_get(&stats->c[k]) - stat_get(&before.c[k]), counted[k]);
		assert_true(seen.segs == 0 || seen.segs == 2);
		if (!seen.segs)
			continue;
		struct net_seg *a = &seen.seg[0], *b = &seen.seg[1];
		assert_int_equal(pkt_len(a->pkt), pkt_len(b->pkt));
		assert_int_equal(pkt_chain_len(a->pkt), pkt_chain_len(b->pkt));
		assert_memory_equal(pkt_data(a->pkt), pkt_data(b->pkt), pkt_len(a->pkt));
		assert_true(addr_eq(a->src, b->src) && addr_eq(a->dst, b->dst));
		assert_true(a->tos == b->tos && a->ttl == b->ttl && a->port == b->port &&
			    a->neigh == b->neigh && a->checked == b->checked);
		taken++;
	}
	assert_in_range(taken, ROUNDS / 4, ROUNDS);
	tx_clear();
}

// The frame that a segment becomes, and what a device is asked for.
static uint32_t sent(uint8_t out[2048], uint64_t *flags)
{
	uint32_t n;
	const uint8_t *f = sent_on(0, &n);

	assert_in_range(n, 0, 2048);
	memcpy(out, f, n);
	*flags = pkt_mbuf(net.tx[0].v[0])->ol_flags;
	assert_int_equal(pkt_port(net.tx[0].v[0]), 0);
	tx_clear();
	return n;
}

static void segments_are_sent_alike_on_the_short_way_and_the_long_way(void **state)
{
	(void)state;
	struct net_path path;

	random_seed(&r, 2);
	mac_known("198.18.0.9", peer_mac);
	assert_int_equal(net_path_init(&net, &path, 0, (struct addr){0}, ip("198.18.0.9"), 0), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		static uint8_t one[2048], other[2048];
		uint32_t h[15], words = 5 + random_below(&r, 11),
				n = random_below(&r, 2) ? random_below(&r, 100) : 1400;
		struct checksum_tail tail = {0};
		uint8_t payload[1400], tos = (uint8_t)random_next(&r);
		uint64_t asked, asked_long;

		for (unsigned k = 0; k < words; k++)
			h[k] = random_below(&r, 4) ? (uint32_t)random_next(&r) : UINT32_MAX;
		h[4] = 0;
		for (unsigned k = 0; k < n; k++)
			payload[k] = random_below(&r, 4) ? (uint8_t)random_next(&r) : 0xff;
		if (n % 4 == 0)
			tail = (struct checksum_tail){(uint16_t)~checksum_fold(checksum_add(0, payload, n)),
						      (uint16_t)n};
		net.port[0].tx_ip_csum = random_below(&r, 4) == 0;
		net.port[0].tx_tcp_csum = random_below(&r, 4) == 0;
		net_output_tcp(&net, &path, frame_pkt(payload, n), h, words, tos, tail);
		uint32_t len = sent(one, &asked);
		struct pkt *p = frame_pkt(payload, n);
		memcpy(pkt_prepend(p, words * 4), h, words * 4);
		net_output_summed(&net, &path, p, tos, tail);
		assert_int_equal(sent(other, &asked_long), len);
		assert_memory_equal(one, other, len);
		assert_int_equal(asked, asked_long);
	}
	net_path_release(&net, &path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(received_frames_are_taken_alike_on_the_short_way_and_the_long_way),
		NET_TEST(segments_are_sent_alike_on_the_short_way_and_the_long_way),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
