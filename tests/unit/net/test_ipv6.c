#include "tests/unit/net/fixture6.h"

// 20 bytes of TCP behind the extension headers given (the first one's kind, and their bytes).
static uint8_t *tcp_frame(struct frame *f, uint8_t first, const void *extension, uint16_t n)
{
	uint8_t *h;

	*f = (struct frame){0};
	add_ethernet(f, our_mac, peer_mac, TYPE_IPV6);
	h = add_ipv6(f, PEER, OURS, first, 64, (uint16_t)(n + 20));
	if (n)
		add(f, extension, n);
	add(f, "abcdefghijklmnopqrst", 20);
	return h;
}

static uint8_t *plain(struct frame *f)
{
	return tcp_frame(f, IPPROTO_TCP, NULL, 0);
}

static void peer_known(void)
{
	struct net_path path = path6(PEER);

	ndp(NA, PEER, OURS, PEER, S, 2, peer_mac);
	net_path_release(&net, &path);
	tx_clear();
}

static void what_goes_up_carries_the_facts_of_the_header(void **state)
{
	(void)state;
	struct frame f;
	uint8_t *h = plain(&f);

	h[0] = 0x6b;
	h[1] = 0x95; // EF with CE, and a flow label
	h[7] = 0;    // does not matter at the destination
	add(&f, "PADDING", 7);
	receive(&f);
	assert_int_equal(seen.segs, 1);
	assert_true(addr_eq(seen.seg[0].src, ip(PEER)));
	assert_true(addr_eq(seen.seg[0].dst, ip(OURS)));
	assert_int_equal(seen.seg[0].tos, 0xb9);
	assert_int_equal(pkt_chain_len(seen.seg[0].pkt), 20);
	assert_memory_equal(pkt_data(seen.seg[0].pkt), "abcdefghijklmnopqrst", 20);
}

static void malformed_headers_are_counted(void **state)
{
	(void)state;
	struct frame f;
	unsigned expected = 0;

	for (uint32_t n = 14; n < 14 + 60; n++) { // cut short anywhere
		plain(&f);
		f.n = n;
		receive(&f);
		assert_int_equal(count(CTR_ip_bad_header), ++expected);
	}
	for (unsigned i = 0; i < 16; i++) {
		if (i == 6)
			continue;
		plain(&f)[0] = (uint8_t)(i << 4);
		receive(&f);
		assert_int_equal(count(CTR_ip_bad_header), ++expected);
	}
	assert_int_equal(seen.segs, 0);
}

static void destinations_that_are_not_ours_are_refused(void **state)
{
	(void)state;
	const char *dst[] = {"fd00:c6:12::2", "fe80::1",        "::1",     "::",      "::ffff:198.18.0.1",
			     "ff02::2",       "ff02::1:ff00:2", "ff05::1", "ff02::1", "ff02::1:ff00:1"};
	struct frame f;

	for (unsigned i = 0; i < 10; i++) {
		memcpy(plain(&f) + 24, ip(dst[i]).b, 16);
		receive(&f);
		assert_int_equal(count(CTR_ip_not_for_us), i + 1);
	}
	plain(&f)[0] = 0x60; // to us alone, in a frame for many
	memcpy(f.b, our_group_mac, 6);
	receive(&f);
	assert_int_equal(count(CTR_ip_not_for_us), 11);
	assert_int_equal(seen.segs + net.tx[0].n, 0);
}

static void impossible_sources_are_refused(void **state)
{
	(void)state;
	const char *martian[] = {"::", "::1", "ff02::1", "ff0e::5", "::ffff:198.18.0.9", "::ffff:127.0.0.1"};
	struct frame f;

	for (unsigned i = 0; i < 6; i++) { // RFC 6890
		memcpy(plain(&f) + 8, ip(martian[i]).b, 16);
		receive(&f);
		assert_int_equal(count(CTR_ip_martian), i + 1);
	}
	memcpy(plain(&f) + 8, ip(LOCAL).b, 16);
	receive(&f);
	assert_int_equal(count(CTR_ip_bad_source), 1);
	memcpy(plain(&f) + 8, ip(OURS).b, 16);
	receive(&f);
	assert_int_equal(count(CTR_ip_land), 1);
	assert_int_equal(seen.segs + net.tx[0].n, 0);
}

static void a_port_without_an_ipv6_address_ignores_ipv6(void **state)
{
	(void)state;
	struct frame f;

	plain(&f);
	memcpy(f.b, our_mac1, 6);
	receive_on(1, &f);
	assert_int_equal(count(CTR_ipv6_ignored), 1);
}

static void known_extension_headers_are_skipped(void **state)
{
	(void)state;
	static const uint8_t hop[] = {60, 0, 5, 2, 0, 0, 1, 0}, dest[] = {6, 1, 1, 12, [15] = 0},
			     routed[] = {6, 2, 0, 0, [23] = 9}, atomic[] = {6, 0, 0, 0, 1, 2, 3, 4},
			     skipped[] = {6, 0, 0x1e, 4, 9, 9, 9, 9}, pads[] = {6, 0, 0, 0, 0, 0, 0, 0};
	uint8_t two[sizeof(hop) + sizeof(dest)];
	struct frame f;

	memcpy(two, hop, sizeof(hop));
	memcpy(two + sizeof(hop), dest, sizeof(dest));
	tcp_frame(&f, IPPROTO_HOPOPTS, two, sizeof(two));
	receive(&f);
	tcp_frame(&f, IPPROTO_ROUTING, routed, sizeof(routed)); // at its end (RFC 8200 4.4)
	receive(&f);
	tcp_frame(&f, IPPROTO_FRAGMENT, atomic, sizeof(atomic)); // RFC 6946
	receive(&f);
	tcp_frame(&f, IPPROTO_DSTOPTS, skipped, sizeof(skipped));
	receive(&f);
	tcp_frame(&f, IPPROTO_DSTOPTS, pads, sizeof(pads));
	receive(&f);
	tcp_frame(&f, IPPROTO_HOPOPTS, two, sizeof(two));
	receive_chained(&f, (const uint32_t[]){20, 30, 9, 0});
	assert_int_equal(seen.segs, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_memory_equal(pkt_data(seen.seg[i].pkt), "abcdefghijklmnopqrst", 20);
}

// The ICMPv6 message that was sent to the peer, verified.
static const uint8_t *told(uint8_t type, uint8_t code)
{
	uint32_t n;
	const uint8_t *r = sent_on(0, &n);

	assert_memory_equal(r, peer_mac, 6);
	assert_int_equal(n, 54u + get16(r + 18));
	assert_true(has_addr(r + 22, OURS) && has_addr(r + 38, PEER));
	assert_int_equal(sum6(r + 14, r + 54, get16(r + 18), IPPROTO_ICMPV6), 0);
	assert_int_equal(r[54], type);
	assert_int_equal(r[55], code);
	return r;
}

static void what_cannot_be_processed_is_told_with_a_pointer(void **state)
{
	(void)state;
	const struct {
		uint8_t first, bytes[24], n, code, pointer;
	} bad[] = {
		{IPPROTO_ROUTING, {6, 2, 0, 1}, 24, PROBLEM_FIELD, 42}, // RFC 5095: as an unknown type
		{IPPROTO_ROUTING, {6, 0, 3, 9}, 8, PROBLEM_FIELD, 42},
		{IPPROTO_HOPOPTS, {6, 0, 0x80, 4}, 8, PROBLEM_OPTION, 42},
		{IPPROTO_DSTOPTS, {6, 0, 1, 0, 0xc2, 2}, 8, PROBLEM_OPTION, 44},
		{IPPROTO_DSTOPTS, {0, 0, 1, 4}, 8, PROBLEM_NEXT_HEADER, 40}, // hop-by-hop, and not the first
		{99, {0}, 8, PROBLEM_NEXT_HEADER, 6},
	};
	struct frame f;

	peer_known();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tcp_frame(&f, bad[i].first, bad[i].bytes, bad[i].n);
		receive(&f);
		assert_int_equal(get32(told(ICMP6_PARAMETER, bad[i].code) + 58), bad[i].pointer);
		assert_memory_equal(pkt_data(net.tx[0].v[0]) + 62, f.b + 14, f.n - 14); // it quotes the packet
		tx_clear();
	}
	assert_int_equal(count(CTR_ip_bad_extension) + count(CTR_ip_unknown_protocol), 6);
	assert_int_equal(seen.segs, 0);
}

static void what_its_sender_wants_no_answer_to_is_dropped_in_silence(void **state)
{
	(void)state;
	static const uint8_t discard[] = {6, 0, 0x40, 4, 0, 0, 0, 0}, beyond[] = {6, 0, 1, 5, 0, 0, 0, 0},
			     longer[] = {6, 9, 1, 4, 0, 0, 0, 0};
	uint8_t many[8 * 9], options[8 * 12] = {6, 11};
	struct frame f;

	peer_known();
	tcp_frame(&f, IPPROTO_DSTOPTS, discard, 8);
	receive(&f);
	tcp_frame(&f, IPPROTO_DSTOPTS, beyond, 8); // an option longer than its header
	receive(&f);
	tcp_frame(&f, IPPROTO_DSTOPTS, longer, 8); // a header longer than the packet
	receive(&f);
	for (unsigned i = 0; i < sizeof(many); i++)
		many[i] = i % 8 == 0 ? (i == 64 ? 6 : IPPROTO_DSTOPTS) : i % 8 == 2 ? 1 : i % 8 == 3 ? 4 : 0;
	tcp_frame(&f, IPPROTO_DSTOPTS, many, sizeof(many));
	receive(&f);
	tcp_frame(&f, IPPROTO_DSTOPTS, options, sizeof(options)); // Pad1 without end
	receive(&f);
	assert_int_equal(count(CTR_ip_bad_extension), 5);
	tcp_frame(&f, IPPROTO_DSTOPTS, many + 8, sizeof(many) - 8); // one header less is taken
	receive(&f);
	assert_int_equal(seen.segs, 1);
	tcp_frame(&f, IPPROTO_NONE, NULL, 0);
	receive(&f);
	assert_int_equal(count(CTR_ip_unknown_protocol), 1);
	assert_int_equal(net.tx[0].n, 0);
}

static uint8_t *icmp_frame(struct frame *f, const char *dst, uint8_t type, uint8_t code, uint16_t n)
{
	struct addr to = ip(dst);
	uint8_t group[6] = {0x33, 0x33, to.b[12], to.b[13], to.b[14], to.b[15]}, *h, *icmp;

	*f = (struct frame){0};
	add_ethernet(f, to.b[0] == 0xff ? group : our_mac, peer_mac, TYPE_IPV6);
	h = add_ipv6(f, PEER, dst, IPPROTO_ICMPV6, 64, n);
	icmp = add(f, NULL, n);
	icmp[0] = type;
	icmp[1] = code;
	for (unsigned i = 8; i < n; i++)
		icmp[i] = (uint8_t)(i * 7);
	icmp6_fix(h, icmp, n);
	return icmp;
}

static void an_echo_request_is_answered_byte_by_byte(void **state)
{
	(void)state;
	struct frame f;

	peer_known();
	for (uint16_t n = 8; n <= 1460; n = (uint16_t)(n + 121)) {
		icmp_frame(&f, n % 2 ? "ff02::1" : OURS, ICMP6_ECHO, 0, n); // a group's echo comes from us
		if (n > 500)
			receive_chained(&f, (const uint32_t[]){201, 100, 0});
		else
			receive(&f);
		assert_memory_equal(told(ICMP6_ECHO_REPLY, 0) + 58, f.b + 58, n - 4u);
		tx_clear();
	}
}

static void malformed_and_unused_messages_are_counted(void **state)
{
	(void)state;
	const uint8_t unused[] = {0, 5, 100, 127, 129, 131, 132, 138, 139, 143, 200, 255};
	struct frame f;

	icmp_frame(&f, OURS, ICMP6_ECHO, 0, 40)[20] ^= 1;
	receive(&f);
	for (uint16_t n = 4; n < 8; n++) {
		icmp_frame(&f, OURS, ICMP6_ECHO, 0, n);
		receive(&f);
	}
	assert_int_equal(count(CTR_icmp_bad), 5);
	for (unsigned i = 0; i < sizeof(unused); i++) {
		icmp_frame(&f, OURS, unused[i], 0, 32);
		receive(&f);
		assert_int_equal(count(CTR_icmp_ignored), i + 1);
	}
	assert_int_equal(net.tx[0].n, 0);
}

// An error about a segment of ours to PEER:80.
static uint8_t *error_frame(struct frame *f, uint8_t type, uint8_t code, uint32_t mtu, uint16_t quoted)
{
	struct frame quote = {0};
	uint8_t *icmp = icmp_frame(f, OURS, type, code, (uint16_t)(8 + quoted));

	add_ipv6(&quote, OURS, PEER, IPPROTO_TCP, 60, 20);
	put16(add(&quote, NULL, 2), 40000);
	put16(add(&quote, NULL, 2), 80);
	put32(add(&quote, NULL, 4), 0xdeadbeef);
	put32(icmp + 4, mtu);
	memcpy(icmp + 8, quote.b, quoted);
	icmp6_fix(f->b + 14, icmp, 8u + quoted);
	return icmp;
}

static void errors_go_up_in_the_terms_of_ipv4(void **state)
{
	(void)state;
	const struct {
		uint8_t type, code, as_type, as_code;
		uint32_t mtu;
		uint16_t as_mtu;
	} e[] = {{1, 0, 3, 0, 0, 0},       {1, 1, 3, 13, 0, 0},
		 {1, 3, 3, 1, 0, 0},       {1, 4, 3, 3, 0, 0},
		 {1, 77, 3, 1, 0, 0},      {2, 0, 3, 4, 1280, 1280},
		 {2, 0, 3, 4, 1400, 1400}, {2, 0, 3, 4, 1u << 20, 0xffff},
		 {3, 0, 11, 0, 0, 0},      {4, 1, 3, 2, 0, 0},
		 {4, 0, 12, 0, 0, 0}};
	struct frame f;

	for (unsigned i = 0; i < sizeof(e) / sizeof(e[0]); i++) {
		error_frame(&f, e[i].type, e[i].code, e[i].mtu, 48);
		receive(&f);
		assert_int_equal(seen.unreachables, i + 1);
		assert_int_equal(seen.unreachable.type, e[i].as_type);
		assert_int_equal(seen.unreachable.code, e[i].as_code);
		assert_int_equal(seen.unreachable.mtu, e[i].as_mtu);
		assert_true(addr_eq(seen.unreachable.local, ip(OURS)));
		assert_true(addr_eq(seen.unreachable.remote, ip(PEER)));
		assert_int_equal(seen.unreachable.local_port, 40000);
		assert_int_equal(seen.unreachable.remote_port, 80);
		assert_int_equal(seen.unreachable.seq, 0xdeadbeef);
	}
}

static void errors_that_quote_nothing_of_ours_are_counted(void **state)
{
	(void)state;
	struct frame f;
	unsigned expected = 0;

	for (uint16_t quoted = 0; quoted < 48; quoted++) {
		error_frame(&f, ICMP6_UNREACHABLE, 0, 0, quoted);
		receive(&f);
		assert_int_equal(count(CTR_icmp_bad), ++expected);
	}
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *icmp = error_frame(&f, ICMP6_TOO_BIG, 0, i == 2 ? 1279 : 1400, 48); // RFC 8201 4

		if (i == 0)
			icmp[8] = 0x40;
		if (i == 1)
			icmp[8 + 8 + 15] ^= 1; // somebody else's
		icmp6_fix(f.b + 14, icmp, 56);
		receive(&f);
		assert_int_equal(count(CTR_icmp_bad), ++expected);
	}
	error_frame(&f, ICMP6_UNREACHABLE, 0, 0, 48)[14] = IPPROTO_UDP;
	icmp6_fix(f.b + 14, f.b + 54, 56);
	receive(&f);
	assert_int_equal(count(CTR_icmp_ignored), 1);
	assert_int_equal(seen.unreachables, 0);
}

// RFC 4443 2.4 (e): none about errors, redirects, groups; but about a group's unknown option that asks for it.
static void errors_are_not_sent_where_they_must_not_be(void **state)
{
	(void)state;
	static const uint8_t silent[] = {ICMP6_UNREACHABLE, ICMP6_TOO_BIG, 127, NDP_REDIRECT};
	struct frame f;
	uint8_t *h;

	peer_known();
	for (unsigned i = 0; i < 7; i++) {
		bool group = i >= 5;

		f = (struct frame){0};
		add_ethernet(&f, group ? our_group_mac : our_mac, peer_mac, TYPE_IPV6);
		h = add_ipv6(&f, PEER, group ? "ff02::1:ff00:1" : OURS, IPPROTO_DSTOPTS, 64, 16);
		(void)h;
		add(&f, (const uint8_t[]){58, 0, i == 5 ? 0xc0 : 0x80, 4, 0, 0, 0, 0}, 8);
		add(&f, NULL, 8)[0] = i < 4 ? silent[i] : ICMP6_ECHO;
		receive(&f);
		assert_int_equal(net.tx[0].n, i == 4 || i == 6);
		tx_clear();
	}
	assert_int_equal(count(CTR_ip_bad_extension), 7);
}

static void other_protocols_are_refused_with_an_error_that_quotes_them(void **state)
{
	(void)state;
	struct frame f = {0};
	const uint8_t *r;

	peer_known();
	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV6);
	add_ipv6(&f, PEER, OURS, IPPROTO_UDP, 64, 1400);
	add(&f, NULL, 1400);
	receive(&f);
	r = told(ICMP6_UNREACHABLE, UNREACHABLE_PORT);
	assert_int_equal(get16(r + 18), IPV6_MTU_MIN - IPV6_HEADER); // RFC 4443 3.1
	tx_clear();
	f.b[20] = 132;
	receive(&f);
	r = told(ICMP6_PARAMETER, PROBLEM_NEXT_HEADER);
	assert_int_equal(get32(r + 58), 6);
	tx_clear();
	f.b[20] = IPPROTO_UDP;
	for (unsigned i = 0; i < 150; i++) {
		receive(&f);
		tx_clear();
	}
	assert_int_equal(count(CTR_icmp_limited), 52); // a limit that both versions share
}

static void what_is_sent_has_its_checksum(void **state)
{
	(void)state;
	struct net_path path;

	peer_known();
	path = path6(PEER);
	for (uint32_t payload = 0; payload < 70; payload++) {
		struct pkt *p = frame_pkt(
			"\x12\x34\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x10\x10\x00\x00\x00\x00", 20);
		const uint8_t *f;

		memset(pkt_append(p, payload), (int)payload + 200, payload);
		if (payload > 30) // in two buffers, the second beginning at an even or odd offset
			pkt_chain(p, frame_pkt("xyz", 3));
		net_output(&net, &path, p, IPPROTO_TCP, 0x2b);
		p = pkt_copy(net.tx[0].v[0], pool);
		tx_clear();
		if (!p)
			abort();
		f = (const uint8_t *)pkt_data(p);
		assert_memory_equal(f, peer_mac, 6);
		assert_int_equal(get32(f + 14), 0x62b00000);
		assert_int_equal(get16(f + 18), pkt_len(p) - 54);
		assert_int_equal(f[20], IPPROTO_TCP);
		assert_int_equal(f[21], 64);
		assert_int_equal(sum6(f + 14, f + 54, pkt_len(p) - 54, IPPROTO_TCP), 0);
		pkt_free(p);
	}
	net_path_release(&net, &path);
}

static void a_device_that_computes_checksums_gets_the_sum_of_the_pseudo_header(void **state)
{
	(void)state;
	struct net_path path;
	struct pkt *p;
	uint8_t *f;
	uint16_t field, want;

	net.port[0].tx_ip_csum = net.port[0].tx_tcp_csum = true;
	peer_known();
	path = path6(PEER);
	output6(&path, 'x');
	p = net.tx[0].v[0];
	f = (uint8_t *)pkt_data(p);
	assert_int_equal(pkt_mbuf(p)->ol_flags, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(pkt_mbuf(p)->l2_len, 14);
	assert_int_equal(pkt_mbuf(p)->l3_len, 40);
	memcpy(&field, f + 54 + 16, 2);
	want = (uint16_t)~checksum_fold(checksum_add(checksum_add(0, f + 22, 32), "\0\0\0\x15\0\0\0\x06", 8));
	assert_int_equal(field, want);
	net_path_release(&net, &path);
	tx_clear();
}

static void what_exceeds_the_mtu_is_not_sent(void **state)
{
	(void)state;
	struct net_path path;

	peer_known();
	path = path6(PEER);
	for (uint32_t n = 1460; n <= 1461; n++) {
		struct pkt *p = frame_pkt("", 0);

		memset(pkt_append(p, n), 0, n);
		net_output(&net, &path, p, IPPROTO_TCP, 0);
	}
	assert_int_equal(net.tx[0].n, 1);
	assert_int_equal(count(CTR_ip_too_big), 1);
	net_path_release(&net, &path);
	tx_clear();
}

static void paths_go_over_the_gateway_from_the_address_of_the_right_scope(void **state)
{
	(void)state;
	struct net_path path;

	path = path6("2001:db8::5");
	assert_true(addr_eq(path.local, ip(OURS)));
	assert_true(addr_eq(net.neigh[path.neigh].addr, ip("fd00:c6:12::fe")));
	net_path_release(&net, &path);
	// A gateway's link-local address asks for no source of that kind towards hosts beyond it.
	snap6.route[0].gateway = ip("fe80::fe");
	path = path6("2001:db8::5");
	assert_true(addr_eq(path.local, ip(OURS)));
	assert_true(addr_eq(net.neigh[path.neigh].addr, ip("fe80::fe")));
	net_path_release(&net, &path);
	assert_int_equal(net_path_init(&net, &path, 0, (struct addr){0}, ip("ff02::1"), 0), -ENETUNREACH);
	assert_int_equal(net_path_init(&net, &path, 0, (struct addr){0}, ip("::1"), 0), -ENETUNREACH);
	assert_int_equal(net_path_init(&net, &path, 0, (struct addr){0}, ip(OURS), 0), -ENETUNREACH);
	tx_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET6_TEST(what_goes_up_carries_the_facts_of_the_header),
		NET6_TEST(malformed_headers_are_counted),
		NET6_TEST(destinations_that_are_not_ours_are_refused),
		NET6_TEST(impossible_sources_are_refused),
		NET6_TEST(a_port_without_an_ipv6_address_ignores_ipv6),
		NET6_TEST(known_extension_headers_are_skipped),
		NET6_TEST(what_cannot_be_processed_is_told_with_a_pointer),
		NET6_TEST(what_its_sender_wants_no_answer_to_is_dropped_in_silence),
		NET6_TEST(an_echo_request_is_answered_byte_by_byte),
		NET6_TEST(malformed_and_unused_messages_are_counted),
		NET6_TEST(errors_go_up_in_the_terms_of_ipv4),
		NET6_TEST(errors_that_quote_nothing_of_ours_are_counted),
		NET6_TEST(errors_are_not_sent_where_they_must_not_be),
		NET6_TEST(other_protocols_are_refused_with_an_error_that_quotes_them),
		NET6_TEST(what_is_sent_has_its_checksum),
		NET6_TEST(a_device_that_computes_checksums_gets_the_sum_of_the_pseudo_header),
		NET6_TEST(what_exceeds_the_mtu_is_not_sent),
		NET6_TEST(paths_go_over_the_gateway_from_the_address_of_the_right_scope),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
