#include "tests/unit/net/fixture.h"

static void add_tcp(struct frame *f)
{
	add_ipv4(f, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 20);
	add(f, "01234567890123456789", 20);
}

static void a_frame_for_us_goes_up(void **state)
{
	(void)state;
	struct frame f = {0};

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	add_tcp(&f);
	receive(&f);
	assert_int_equal(seen.segs, 1);
	assert_memory_equal(pkt_data(seen.seg[0].pkt), "01234567890123456789", 20);
}

static void a_burst_goes_up_at_once_and_in_order(void **state)
{
	(void)state;
	struct pkt *v[NET_BURST];

	for (unsigned i = 0; i < NET_BURST; i++) {
		struct frame f = {0};

		add_ethernet(&f, our_mac, peer_mac, i % 4 == 3 ? 0x88cc : TYPE_IPV4);
		add_tcp(&f);
		f.b[34] = (uint8_t)i;
		v[i] = frame_pkt(f.b, f.n);
	}
	net_input(&net, 0, v, NET_BURST);
	assert_int_equal(seen.bursts, 1);
	assert_int_equal(seen.segs, NET_BURST * 3 / 4);
	for (unsigned i = 1; i < seen.segs; i++)
		assert_true(pkt_data(seen.seg[i - 1].pkt)[0] < pkt_data(seen.seg[i].pkt)[0]);
	assert_int_equal(count(CTR_rx_unknown_ethertype), NET_BURST / 4);
}

static void short_frames_and_unusable_sources_are_refused(void **state)
{
	(void)state;
	static const uint8_t zero[6], group[6] = {1, 0, 0x5e, 0, 0, 1};
	const uint8_t *bad[] = {zero, group, mac_broadcast, our_mac};
	unsigned expected = 0;

	for (uint32_t n = 0; n < 14; n++) {
		struct frame f = {0};

		add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
		f.n = n;
		receive(&f);
		assert_int_equal(count(CTR_rx_bad_ethernet), ++expected);
	}
	for (unsigned i = 0; i < 4; i++) {
		struct frame f = {0};

		add_ethernet(&f, our_mac, bad[i], TYPE_IPV4);
		add_tcp(&f);
		receive(&f);
		assert_int_equal(count(CTR_rx_bad_ethernet), ++expected);
	}
	for (uint32_t n = 14; n < 18; n++) {
		struct frame f = {0};

		add_ethernet(&f, our_mac, peer_mac, TYPE_VLAN);
		add(&f, NULL, 4);
		f.n = n;
		receive(&f);
		assert_int_equal(count(CTR_rx_bad_ethernet), ++expected);
	}
	assert_int_equal(seen.segs, 0);
}

static void frames_for_other_stations_are_refused(void **state)
{
	(void)state;
	struct frame f = {0};

	add_ethernet(&f, other_mac, peer_mac, TYPE_IPV4);
	add_tcp(&f);
	receive(&f);
	assert_int_equal(count(CTR_rx_not_for_us_mac), 1);
	assert_int_equal(seen.segs, 0);
}

static void a_datagram_in_a_broadcast_frame_is_not_for_us(void **state)
{
	(void)state;
	struct frame f = {0};

	add_ethernet(&f, mac_broadcast, peer_mac, TYPE_IPV4);
	add_tcp(&f);
	receive(&f);
	assert_int_equal(count(CTR_ip_not_for_us), 1);
	assert_int_equal(seen.segs, 0);
}

static void other_ethertypes_and_ipv6_are_counted(void **state)
{
	(void)state;
	const uint16_t unknown[] = {0, 60, 1500, 0x0600, 0x0805, 0x88cc, 0x88a8, 0xffff};
	struct frame f = {0};

	for (unsigned i = 0; i < 8; i++) {
		f = (struct frame){0};
		add_ethernet(&f, our_mac, peer_mac, unknown[i]);
		receive(&f);
		assert_int_equal(count(CTR_rx_unknown_ethertype), i + 1);
	}
	f = (struct frame){0};
	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV6);
	add(&f, NULL, 40);
	receive(&f);
	assert_int_equal(count(CTR_ipv6_ignored), 1);
}

static void tagged(struct frame *f, const uint8_t *dst, unsigned tag, const char *to)
{
	*f = (struct frame){0};
	add_ethernet(f, dst, peer_mac, TYPE_VLAN);
	put16(add(f, NULL, 2), tag);
	put16(add(f, NULL, 2), TYPE_IPV4);
	add_ipv4(f, "198.18.1.9", to, IPPROTO_TCP, 20);
	add(f, NULL, 20);
}

static void a_port_with_a_tag_takes_only_that_tag(void **state)
{
	(void)state;
	struct frame f;

	tagged(&f, our_mac1, 100, "198.18.1.1");
	receive_on(1, &f);
	tagged(&f, our_mac1, 0xe000 | 100, "198.18.1.1"); // the priority is of no concern
	receive_on(1, &f);
	assert_int_equal(seen.segs, 2);

	tagged(&f, our_mac1, 101, "198.18.1.1");
	receive_on(1, &f);
	tagged(&f, our_mac1, 0, "198.18.1.1");
	receive_on(1, &f);
	f = (struct frame){0};
	add_ethernet(&f, our_mac1, peer_mac, TYPE_IPV4);
	add_tcp(&f);
	receive_on(1, &f);
	assert_int_equal(count(CTR_rx_wrong_vlan), 3);
	assert_int_equal(seen.segs, 2);
}

static void a_port_without_a_tag_takes_none_but_the_priority_tag(void **state)
{
	(void)state;
	struct frame f;

	tagged(&f, our_mac, 0xe000, "198.18.0.1");
	receive(&f);
	assert_int_equal(seen.segs, 1);
	tagged(&f, our_mac, 100, "198.18.0.1");
	receive(&f);
	assert_int_equal(count(CTR_rx_wrong_vlan), 1);
	assert_int_equal(seen.segs, 1);
}

static void what_a_tagged_port_sends_is_tagged(void **state)
{
	(void)state;
	const uint8_t want[] = {0x81, 0, 0, 100, 8, 6};
	uint32_t n;

	arp_announce(&net, 1, ip("198.18.1.1"));
	assert_memory_equal(sent_on(1, &n) + 12, want, 6);
	assert_int_equal(n, 18 + 28);
	tx_clear();
}

static void headers_scattered_over_a_chain_are_gathered(void **state)
{
	(void)state;
	struct frame f = {0};
	const uint32_t cuts[][9] = {{1, 1}, {13, 1, 0}, {14, 3, 0}, {20, 10, 10, 0}, {5, 5, 5, 5, 5, 5, 5, 5}};

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&f, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 1000);
	for (unsigned i = 0; i < 1000; i++)
		f.b[f.n++] = (uint8_t)i;
	for (unsigned i = 0; i < 5; i++) {
		receive_chained(&f, cuts[i]);
		assert_int_equal(seen.segs, i + 1);
		assert_null(pkt_next(seen.seg[i].pkt));
		assert_memory_equal(pkt_data(seen.seg[i].pkt), f.b + 34, 1000);
	}
}

static void chains_with_their_headers_together_are_not_copied(void **state)
{
	(void)state;
	struct frame f = {0};

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&f, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 1000);
	add(&f, NULL, 1000);
	receive_chained(&f, (const uint32_t[]){400, 400, 0});
	assert_int_equal(seen.segs, 1);
	assert_int_equal(pkt_len(seen.seg[0].pkt), 400 - 34);
	assert_int_equal(pkt_chain_len(seen.seg[0].pkt), 1000);
}

static void a_chain_that_cannot_be_gathered_is_dropped(void **state)
{
	(void)state;
	struct frame f = {0};

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&f, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 2500);
	add(&f, NULL, 2500);
	receive_chained(&f, (const uint32_t[]){20, 1500, 0});
	assert_int_equal(count(CTR_rx_no_buffer), 1);
	assert_int_equal(seen.segs, 0);
}

static void a_full_transmit_queue_drops_and_counts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NET_TXQ + 3; i++)
		arp_announce(&net, 0, ip("198.18.0.1"));
	assert_int_equal(net.tx[0].n, NET_TXQ);
	assert_int_equal(count(CTR_tx_full), 3);
	assert_int_equal(stat_get(&port_stats[0].tx_dropped), 3);
	tx_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(a_frame_for_us_goes_up),
		NET_TEST(a_burst_goes_up_at_once_and_in_order),
		NET_TEST(short_frames_and_unusable_sources_are_refused),
		NET_TEST(frames_for_other_stations_are_refused),
		NET_TEST(a_datagram_in_a_broadcast_frame_is_not_for_us),
		NET_TEST(other_ethertypes_and_ipv6_are_counted),
		NET_TEST(a_port_with_a_tag_takes_only_that_tag),
		NET_TEST(a_port_without_a_tag_takes_none_but_the_priority_tag),
		NET_TEST(what_a_tagged_port_sends_is_tagged),
		NET_TEST(headers_scattered_over_a_chain_are_gathered),
		NET_TEST(chains_with_their_headers_together_are_not_copied),
		NET_TEST(a_chain_that_cannot_be_gathered_is_dropped),
		NET_TEST(a_full_transmit_queue_drops_and_counts),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
