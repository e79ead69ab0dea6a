#include "tests/unit/net/fixture.h"

static uint8_t *tcp_frame(struct frame *f, const char *src, const char *dst)
{
	uint8_t *h;

	*f = (struct frame){0};
	add_ethernet(f, our_mac, peer_mac, TYPE_IPV4);
	h = add_ipv4(f, src, dst, IPPROTO_TCP, 20);
	add(f, "abcdefghijklmnopqrst", 20);
	return h;
}

static void what_goes_up_carries_the_facts_of_the_header(void **state)
{
	(void)state;
	struct frame f;
	uint8_t *h = tcp_frame(&f, "198.18.0.9", "198.18.0.1");

	h[1] = 0xb9; // EF with CE
	h[8] = 33;
	ip_fix(h);
	receive(&f);
	assert_int_equal(seen.segs, 1);
	assert_true(addr_eq(seen.seg[0].src, ip("198.18.0.9")));
	assert_true(addr_eq(seen.seg[0].dst, ip("198.18.0.1")));
	assert_int_equal(seen.seg[0].port, 0);
	assert_int_equal(seen.seg[0].tos, 0xb9);
	assert_int_equal(seen.seg[0].ttl, 33);
	assert_false(seen.seg[0].checked);
}

static void padding_of_the_frame_is_cut_off(void **state)
{
	(void)state;
	struct frame f;

	tcp_frame(&f, "198.18.0.9", "198.18.0.1");
	add(&f, "PADDING", 7);
	receive(&f);
	assert_int_equal(pkt_chain_len(seen.seg[0].pkt), 20);
	// Also where it stands in further buffers of a chain.
	tcp_frame(&f, "198.18.0.9", "198.18.0.1");
	add(&f, NULL, 980);
	put16(f.b + 16, 20 + 600);
	ip_fix(f.b + 14);
	receive_chained(&f, (const uint32_t[]){300, 300, 300, 0});
	assert_int_equal(pkt_chain_len(seen.seg[1].pkt), 600);
	assert_int_equal(pkt_mbuf(seen.seg[1].pkt)->nb_segs, 3);
}

static void options_are_skipped(void **state)
{
	(void)state;
	struct frame f = {0};
	uint8_t *h;

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	h = add_ipv4(&f, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 60);
	h[0] = 0x4f;
	memset(add(&f, NULL, 40), 1, 40);
	ip_fix(h);
	add(&f, "abcdefghijklmnopqrst", 20);
	receive(&f);
	assert_int_equal(seen.segs, 1);
	assert_memory_equal(pkt_data(seen.seg[0].pkt), "abcdefghijklmnopqrst", 20);
}

static void a_ttl_that_ran_out_does_not_matter_at_the_destination(void **state)
{
	(void)state;
	struct frame f;
	uint8_t *h = tcp_frame(&f, "198.18.0.9", "198.18.0.1");

	h[8] = 0;
	ip_fix(h);
	receive(&f);
	assert_int_equal(seen.segs, 1);
}

static void malformed_headers_are_counted(void **state)
{
	(void)state;
	const uint8_t first[] = {0x55, 0x65, 0x05, 0x44, 0x40, 0x4f};
	const uint16_t total[] = {0, 19, 41, 0xffff};
	struct frame f;
	uint8_t *h;
	unsigned expected = 0;

	for (unsigned i = 0; i < sizeof(first); i++) {
		h = tcp_frame(&f, "198.18.0.9", "198.18.0.1");
		h[0] = first[i];
		receive(&f);
		assert_int_equal(count(CTR_ip_bad_header), ++expected);
	}
	for (unsigned i = 0; i < 4; i++) {
		h = tcp_frame(&f, "198.18.0.9", "198.18.0.1");
		put16(h + 2, total[i]);
		ip_fix(h);
		receive(&f);
		assert_int_equal(count(CTR_ip_bad_header), ++expected);
	}
	for (uint32_t n = 14; n < 14 + 40; n++) { // cut short anywhere
		tcp_frame(&f, "198.18.0.9", "198.18.0.1");
		f.n = n;
		receive(&f);
		assert_int_equal(count(CTR_ip_bad_header), ++expected);
	}
	assert_int_equal(seen.segs, 0);
}

static void every_flipped_bit_of_the_header_is_noticed(void **state)
{
	(void)state;
	struct frame f;

	for (unsigned bit = 0; bit < 160; bit++) {
		tcp_frame(&f, "198.18.0.9", "198.18.0.1");
		f.b[14 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		receive(&f);
		assert_int_equal(count(CTR_ip_bad_checksum) + count(CTR_ip_bad_header), bit + 1);
	}
	assert_int_equal(seen.segs, 0);
	assert_in_range(count(CTR_ip_bad_checksum), 100, 160);
}

static void a_checksum_the_device_has_verified_is_not_verified_again(void **state)
{
	(void)state;
	struct frame f;
	struct pkt *p;

	for (unsigned trusted = 0; trusted < 2; trusted++) {
		net.port[0].rx_ip_csum = net.port[0].rx_tcp_csum = trusted;
		tcp_frame(&f, "198.18.0.9", "198.18.0.1");
		f.b[24] ^= 1; // the checksum itself
		p = frame_pkt(f.b, f.n);
		pkt_mbuf(p)->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		net_input(&net, 0, &p, 1);
	}
	assert_int_equal(count(CTR_ip_bad_checksum), 1); // flags of a device that does not claim to look
	assert_int_equal(seen.segs, 1);
	assert_true(seen.seg[0].checked);
	// What the device says is bad, or has not looked at, is looked at here.
	tcp_frame(&f, "198.18.0.9", "198.18.0.1");
	p = frame_pkt(f.b, f.n);
	pkt_mbuf(p)->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_BAD;
	net_input(&net, 0, &p, 1);
	assert_int_equal(seen.segs, 2);
	assert_false(seen.seg[1].checked);
}

static void destinations_that_are_not_ours_are_refused(void **state)
{
	(void)state;
	const char *dst[] = {"198.18.0.2", "198.18.1.1",      "198.18.0.255", "198.18.0.0",   "198.19.0.1",
			     "224.0.0.1",  "255.255.255.255", "127.0.0.1",    "198.18.0.254", "0.0.0.0"};
	struct frame f;

	for (unsigned i = 0; i < 10; i++) {
		tcp_frame(&f, "198.18.0.9", dst[i]);
		receive(&f);
		assert_int_equal(count(CTR_ip_not_for_us), i + 1);
	}
	assert_int_equal(seen.segs, 0);
	assert_int_equal(net.tx[0].n, 0);
}

static void impossible_sources_are_refused(void **state)
{
	(void)state;
	const char *martian[] = {"0.0.0.0",   "0.1.2.3",   "127.0.0.1", "127.9.9.9",
				 "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"};
	const char *strange[] = {"198.18.1.1", "198.18.0.255", "198.18.0.0"};
	struct frame f;

	for (unsigned i = 0; i < 8; i++) { // RFC 6890
		tcp_frame(&f, martian[i], "198.18.0.1");
		receive(&f);
		assert_int_equal(count(CTR_ip_martian), i + 1);
	}
	for (unsigned i = 0; i < 3; i++) {
		tcp_frame(&f, strange[i], "198.18.0.1");
		receive(&f);
		assert_int_equal(count(CTR_ip_bad_source), i + 1);
	}
	tcp_frame(&f, "198.18.0.1", "198.18.0.1");
	receive(&f);
	assert_int_equal(count(CTR_ip_land), 1);
	assert_int_equal(seen.segs, 0);
}

static void df_and_the_reserved_bit_make_no_fragment(void **state)
{
	(void)state;
	struct frame f;
	uint8_t *h;

	for (unsigned i = 0; i < 2; i++) {
		h = tcp_frame(&f, "198.18.0.9", "198.18.0.1");
		put16(h + 6, i ? 0x8000 : 0x4000);
		ip_fix(h);
		receive(&f);
	}
	assert_int_equal(seen.segs, 2);
}

static struct net_path path_to(const char *remote)
{
	struct net_path p;

	assert_int_equal(net_path_init(&net, &p, UINT16_MAX, (struct addr){0}, ip(remote), 0), 0);
	return p;
}

static void what_is_sent_has_both_checksums(void **state)
{
	(void)state;
	struct net_path path;
	const uint8_t *f;
	uint8_t pseudo[12];
	uint32_t n;

	mac_known("198.18.0.9", peer_mac);
	path = path_to("198.18.0.9");
	for (uint32_t payload = 0; payload < 70; payload++) {
		struct pkt *p = frame_pkt(
			"\x12\x34\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x10\x10\x00\x00\x00\x00", 20);

		memset(pkt_append(p, payload), (int)payload + 200, payload);
		// In two buffers, the second beginning at an even or odd offset.
		if (payload > 30)
			pkt_chain(p, frame_pkt("xyz", 3));
		net_output(&net, &path, p, IPPROTO_TCP, 0x28);
		p = pkt_copy(net.tx[0].v[0], pool);
		tx_clear();
		if (!p)
			abort();
		f = (const uint8_t *)pkt_data(p);
		n = pkt_len(p);
		assert_int_equal(n, 14 + 20 + 20 + payload + (payload > 30 ? 3 : 0));
		assert_int_equal(get16(f + 12), TYPE_IPV4);
		assert_int_equal(f[14], 0x45);
		assert_int_equal(f[15], 0x28);
		assert_int_equal(get16(f + 16), n - 14);
		assert_int_equal(get16(f + 20), 0x4000); // DF
		assert_int_equal(f[22], 64);
		assert_int_equal(f[23], IPPROTO_TCP);
		assert_int_equal(checksum_fold(checksum_add(0, f + 14, 20)), 0);
		memcpy(pseudo, f + 26, 8);
		pseudo[8] = 0;
		pseudo[9] = IPPROTO_TCP;
		put16(pseudo + 10, n - 34);
		assert_int_equal(checksum_fold(checksum_add(checksum_add(0, pseudo, 12), f + 34, n - 34)), 0);
		pkt_free(p);
	}
	net_path_release(&net, &path);
}

static uint16_t id_of_one_sent(const struct net_path *path, const char *segment)
{
	net_output(&net, path, frame_pkt(segment, 20), IPPROTO_TCP, 0);
	uint16_t id = (uint16_t)get16((const uint8_t *)pkt_data(net.tx[0].v[0]) + 18);
	tx_clear();
	return id;
}

static void rfc6864_4_1_identifications_do_not_tell_what_was_sent_to_others(void **state)
{
	static const char
		one[] = "\x12\x34\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x10\x10\x00\x00\x00\x00\x00",
		next[] = "\x12\x34\x00\x50\x00\x00\x05\xa9\x00\x00\x00\x00\x50\x10\x10\x00\x00\x00\x00\x00";
	struct net_path path, other;

	(void)state;
	mac_known("198.18.0.9", peer_mac);
	mac_known("198.18.0.8", peer_mac);
	path = path_to("198.18.0.9");
	other = path_to("198.18.0.8");
	uint16_t before = id_of_one_sent(&path, one);
	for (unsigned i = 0; i < 10; i++)
		(void)id_of_one_sent(&other, next);
	assert_int_equal(id_of_one_sent(&path, one), before);
	assert_int_not_equal(id_of_one_sent(&path, next), before); // for routers that do not heed DF
	net_path_release(&net, &path);
	net_path_release(&net, &other);
}

static void a_device_that_computes_checksums_gets_the_sum_of_the_pseudo_header(void **state)
{
	(void)state;
	struct net_path path;
	struct pkt *p;
	uint8_t pseudo[12], *f;
	uint16_t field, want;

	net.port[0].tx_ip_csum = net.port[0].tx_tcp_csum = true;
	mac_known("198.18.0.9", peer_mac);
	path = path_to("198.18.0.9");
	p = frame_pkt("\x12\x34\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x10\x10\x00\x00\x00\x00", 20);
	net_output(&net, &path, p, IPPROTO_TCP, 0);
	p = net.tx[0].v[0];
	f = (uint8_t *)pkt_data(p);
	assert_int_equal(pkt_mbuf(p)->ol_flags,
			 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(pkt_mbuf(p)->l2_len, 14);
	assert_int_equal(pkt_mbuf(p)->l3_len, 20);
	assert_int_equal(get16(f + 24), 0);
	memcpy(pseudo, f + 26, 8);
	pseudo[8] = 0;
	pseudo[9] = IPPROTO_TCP;
	put16(pseudo + 10, 20);
	memcpy(&field, f + 34 + 16, 2);
	want = (uint16_t)~checksum_fold(checksum_add(0, pseudo, 12));
	assert_int_equal(field, want);
	net_path_release(&net, &path);
	tx_clear();
}

static void what_exceeds_the_mtu_is_not_sent(void **state)
{
	(void)state;
	struct net_path path;
	struct pkt *p;

	mac_known("198.18.0.9", peer_mac);
	path = path_to("198.18.0.9");
	for (uint32_t n = 1480; n <= 1481; n++) {
		p = frame_pkt("", 0);
		memset(pkt_append(p, n), 0, n);
		net_output(&net, &path, p, IPPROTO_TCP, 0);
	}
	assert_int_equal(net.tx[0].n, 1);
	assert_int_equal(count(CTR_ip_too_big), 1);
	net_path_release(&net, &path);
	tx_clear();
}

static void a_packet_held_twice_stays_with_its_other_holder(void **state)
{
	(void)state;
	struct net_path path;
	struct pkt *p =
		frame_pkt("\x12\x34\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x10\x10\x00\x00\x00\x00", 20);

	mac_known("198.18.0.9", peer_mac);
	path = path_to("198.18.0.9");
	pkt_ref(p);
	net_output(&net, &path, p, IPPROTO_TCP, 0);
	tx_clear();
	assert_true(pkt_exclusive(p));
	pkt_free(p);
	net_path_release(&net, &path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(what_goes_up_carries_the_facts_of_the_header),
		NET_TEST(padding_of_the_frame_is_cut_off),
		NET_TEST(options_are_skipped),
		NET_TEST(a_ttl_that_ran_out_does_not_matter_at_the_destination),
		NET_TEST(malformed_headers_are_counted),
		NET_TEST(every_flipped_bit_of_the_header_is_noticed),
		NET_TEST(a_checksum_the_device_has_verified_is_not_verified_again),
		NET_TEST(destinations_that_are_not_ours_are_refused),
		NET_TEST(impossible_sources_are_refused),
		NET_TEST(df_and_the_reserved_bit_make_no_fragment),
		NET_TEST(what_is_sent_has_both_checksums),
		NET_TEST(rfc6864_4_1_identifications_do_not_tell_what_was_sent_to_others),
		NET_TEST(a_device_that_computes_checksums_gets_the_sum_of_the_pseudo_header),
		NET_TEST(what_exceeds_the_mtu_is_not_sent),
		NET_TEST(a_packet_held_twice_stays_with_its_other_holder),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
