#include "tests/unit/net/fixture.h"

static uint8_t *echo_frame(struct frame *f, uint32_t payload)
{
	uint8_t *icmp;

	*f = (struct frame){0};
	add_ethernet(f, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(f, "198.18.0.9", "198.18.0.1", IPPROTO_ICMP, (uint16_t)(8 + payload));
	icmp = add(f, NULL, 8 + payload);
	icmp[0] = ICMP_ECHO;
	for (uint32_t i = 4; i < 8 + payload; i++)
		icmp[i] = (uint8_t)(i * 7);
	icmp_fix(icmp, 8 + payload);
	return icmp;
}

static void an_echo_request_is_answered_byte_by_byte(void **state)
{
	(void)state;
	struct frame f;
	const uint8_t *r;
	uint32_t n;

	mac_known("198.18.0.9", peer_mac);
	for (uint32_t payload = 0; payload <= 1472; payload += 91) {
		echo_frame(&f, payload);
		f.b[15] = 0x10;
		ip_fix(f.b + 14);
		receive(&f);
		r = sent_on(0, &n);
		assert_int_equal(n, f.n);
		assert_memory_equal(r, peer_mac, 6);
		assert_int_equal(r[15], 0x10);
		assert_memory_equal(r + 26, &ip("198.18.0.1").b[12], 4);
		assert_memory_equal(r + 30, &ip("198.18.0.9").b[12], 4);
		assert_int_equal(checksum_fold(checksum_add(0, r + 14, 20)), 0);
		assert_int_equal(r[34], ICMP_ECHO_REPLY);
		assert_int_equal(checksum_fold(checksum_add(0, r + 34, n - 34)), 0);
		assert_memory_equal(r + 38, f.b + 38, n - 38);
		tx_clear();
	}
	assert_int_equal(count(CTR_icmp_echo), 17);
}

static void an_echo_in_a_chain_or_in_a_shared_buffer_is_answered(void **state)
{
	(void)state;
	struct frame f;
	struct pkt *p;
	uint32_t n;

	mac_known("198.18.0.9", peer_mac);
	echo_frame(&f, 1000);
	receive_chained(&f, (const uint32_t[]){201, 333, 0});
	assert_memory_equal(sent_on(0, &n) + 38, f.b + 38, 1004);
	tx_clear();
	p = frame_pkt(f.b, f.n);
	pkt_ref(p);
	net_input(&net, 0, &p, 1);
	assert_int_equal(net.tx[0].n, 1);
	assert_true(net.tx[0].v[0] != p);
	tx_clear();
	pkt_free(p);
}

static void an_echo_of_a_stranger_waits_for_its_neighbour(void **state)
{
	(void)state;
	struct frame f;
	uint32_t n;

	echo_frame(&f, 56);
	receive(&f);
	assert_int_equal(get16(sent_on(0, &n) + 12), TYPE_ARP);
	tx_clear();
	mac_known("198.18.0.9", peer_mac);
	assert_int_equal(sent_on(0, &n)[34], ICMP_ECHO_REPLY);
	tx_clear();
}

static void an_echo_that_no_route_leads_back_to_is_dropped(void **state)
{
	(void)state;
	struct frame f;

	echo_frame(&f, 56);
	put_v4(f.b + 26, ip("203.0.113.9"));
	ip_fix(f.b + 14);
	receive(&f);
	assert_int_equal(count(CTR_ip_no_route), 1);
	assert_int_equal(net.tx[0].n, 0);
}

static void malformed_messages_are_counted(void **state)
{
	(void)state;
	struct frame f;
	unsigned expected = 0;

	echo_frame(&f, 32);
	f.b[40] ^= 1;
	receive(&f);
	assert_int_equal(count(CTR_icmp_bad), ++expected);
	for (uint16_t n = 0; n < 8; n++) {
		f = (struct frame){0};
		add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
		add_ipv4(&f, "198.18.0.9", "198.18.0.1", IPPROTO_ICMP, n);
		if (n >= 4)
			icmp_fix(add(&f, NULL, n), n);
		else
			add(&f, "\xff\xff\xff", n);
		receive(&f);
		assert_int_equal(count(CTR_icmp_bad), ++expected);
	}
	assert_int_equal(net.tx[0].n, 0);
}

static void types_that_are_not_used_are_ignored(void **state)
{
	(void)state;
	const uint8_t type[] = {0, 4, 5, 9, 10, 13, 14, 15, 17, 30, 42, 255};
	struct frame f;
	uint8_t *icmp;

	for (unsigned i = 0; i < sizeof(type); i++) {
		icmp = echo_frame(&f, 32);
		icmp[0] = type[i];
		icmp_fix(icmp, 40);
		receive(&f);
		assert_int_equal(count(CTR_icmp_ignored), i + 1);
	}
	assert_int_equal(net.tx[0].n, 0);
}

static void answers_are_limited_and_the_limit_recovers(void **state)
{
	(void)state;
	struct frame f;
	uint64_t answered;

	mac_known("198.18.0.9", peer_mac);
	echo_frame(&f, 0);
	for (unsigned i = 0; i < 1500; i++) {
		receive(&f);
		tx_clear();
	}
	answered = count(CTR_icmp_echo);
	assert_int_equal(answered, 1000);
	assert_int_equal(count(CTR_icmp_limited), 500);
	for (unsigned ms = 0; ms < 50; ms++) { // 20 in each millisecond: half of them pass
		net.now += 1000000;
		for (unsigned i = 0; i < 20; i++) {
			receive(&f);
			tx_clear();
		}
	}
	assert_int_equal(count(CTR_icmp_echo), answered + 500);
}

// An error from a router about a packet of ours to 198.18.0.9:80.
static uint8_t *error_frame(struct frame *f, uint8_t type, uint8_t code, uint16_t quoted)
{
	uint8_t *icmp, *h;

	*f = (struct frame){0};
	add_ethernet(f, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(f, "198.18.0.254", "198.18.0.1", IPPROTO_ICMP, (uint16_t)(8 + quoted));
	icmp = add(f, NULL, 8);
	icmp[0] = type;
	icmp[1] = code;
	put16(icmp + 6, 1280);
	h = add_ipv4(f, "198.18.0.1", "198.18.0.9", IPPROTO_TCP, 20);
	put16(add(f, NULL, 2), 40000);
	put16(add(f, NULL, 2), 80);
	put32(add(f, NULL, 4), 0xdeadbeef);
	(void)h;
	f->n = 42u + quoted;
	icmp_fix(icmp, 8u + quoted);
	return icmp;
}

static void errors_about_our_segments_go_up(void **state)
{
	(void)state;
	const uint8_t type[] = {3, 3, 3, 11, 12}, code[] = {1, 3, 4, 0, 0};
	struct frame f;

	for (unsigned i = 0; i < 5; i++) {
		error_frame(&f, type[i], code[i], 28);
		receive(&f);
		assert_int_equal(seen.unreachables, i + 1);
		assert_int_equal(seen.unreachable.type, type[i]);
		assert_int_equal(seen.unreachable.code, code[i]);
		assert_int_equal(seen.unreachable.mtu, code[i] == 4 ? 1280 : 0);
		assert_true(addr_eq(seen.unreachable.local, ip("198.18.0.1")));
		assert_true(addr_eq(seen.unreachable.remote, ip("198.18.0.9")));
		assert_int_equal(seen.unreachable.local_port, 40000);
		assert_int_equal(seen.unreachable.remote_port, 80);
		assert_int_equal(seen.unreachable.seq, 0xdeadbeef);
	}
	assert_int_equal(count(CTR_icmp_error_rx), 5);
}

static void errors_that_quote_nothing_of_ours_are_counted(void **state)
{
	(void)state;
	struct frame f;
	uint8_t *icmp;
	unsigned expected = 0;

	for (uint16_t quoted = 0; quoted < 28; quoted++) { // cut short
		error_frame(&f, 3, 1, quoted);
		receive(&f);
		assert_int_equal(count(CTR_icmp_bad), ++expected);
	}
	for (unsigned i = 0; i < 5; i++) {
		icmp = error_frame(&f, 3, 1, 28);
		if (i == 0)
			icmp[8] = 0x65; // not IPv4
		if (i == 1)
			icmp[8] = 0x44; // header too short
		if (i == 2)
			icmp[8] = 0x46; // and beyond the quote
		if (i == 3)
			put16(icmp + 14, 3); // a later fragment
		if (i == 4)
			put_v4(icmp + 20, ip("198.18.0.77")); // somebody else's
		icmp_fix(icmp, 36);
		receive(&f);
		assert_int_equal(count(CTR_icmp_bad), ++expected);
	}
	icmp = error_frame(&f, 3, 3, 28);
	icmp[17] = IPPROTO_UDP;
	icmp_fix(icmp, 36);
	receive(&f);
	assert_int_equal(count(CTR_icmp_ignored), 1);
	assert_int_equal(seen.unreachables, 0);
}

// RFC 1122 3.2.2: with whatever options the quoted header has; and never more is read than was quoted.
static void the_options_of_a_quoted_header_are_skipped(void **state)
{
	(void)state;
	struct frame f, g;
	uint8_t *icmp;

	for (uint16_t options = 4; options <= 40; options += 4) {
		uint16_t full = 20 + options + 8;

		for (uint16_t n = 0; n <= full; n++) {
			error_frame(&f, 3, 4, 28);
			g = f;
			g.n = 34 + 8;
			add(&g, f.b + 42, 20)[0] = (uint8_t)(0x40 | (20 + options) / 4);
			memset(add(&g, NULL, options), 1, options);
			add(&g, f.b + 62, 8);
			g.n = 42u + n;
			put16(g.b + 16, 28u + n);
			ip_fix(g.b + 14);
			icmp = g.b + 34;
			icmp_fix(icmp, 8u + n);
			receive(&g);
			assert_int_equal(seen.unreachables, n == full);
		}
		assert_int_equal(seen.unreachable.local_port, 40000);
		assert_int_equal(seen.unreachable.seq, 0xdeadbeef);
		seen.unreachables = 0;
	}
}

// RFC 1122 3.2.2.6, RFC 2644: to a broadcast address, whichever way it came.
static void an_echo_to_everybody_is_not_answered(void **state)
{
	(void)state;
	const char *dst[] = {"198.18.0.255", "255.255.255.255", "198.18.0.0", "224.0.0.1", "198.18.0.1"};
	struct frame f;

	for (unsigned i = 0; i < 5; i++) {
		echo_frame(&f, 32);
		put_v4(f.b + 30, ip(dst[i]));
		ip_fix(f.b + 14);
		if (i < 4)
			receive(&f);
		memset(f.b, 0xff, 6);
		receive(&f);
	}
	assert_int_equal(count(CTR_ip_not_for_us), 9);
	assert_int_equal(net.tx[0].n, 0);
}

static bool to_another(void *ctx, uint16_t port, struct pkt *frame)
{
	(void)ctx;
	(void)port;
	assert_int_equal(pkt_data(frame)[34], 3);
	pkt_free_chain(frame);
	seen.bursts++;
	return true;
}

static void an_error_about_another_workers_connection_is_its_business(void **state)
{
	(void)state;
	struct frame f;

	net.ops.elsewhere = to_another;
	error_frame(&f, 3, 4, 28);
	receive(&f);
	assert_int_equal(seen.bursts, 1);
	assert_int_equal(seen.unreachables, 0);
}

static void datagrams(uint8_t proto, unsigned n)
{
	struct frame f = {0};

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	add_ipv4(&f, "198.18.0.9", "198.18.0.1", proto, 700);
	for (unsigned i = 0; i < 700; i++)
		f.b[f.n++] = (uint8_t)i;
	for (unsigned i = 0; i < n; i++)
		receive(&f);
}

static void other_protocols_are_refused_with_an_error_that_quotes_them(void **state)
{
	(void)state;
	const uint8_t *r;
	uint32_t n;

	mac_known("198.18.0.9", peer_mac);
	for (unsigned i = 0; i < 2; i++) {
		datagrams(i ? 132 : IPPROTO_UDP, 1);
		assert_int_equal(count(CTR_ip_unknown_protocol), i + 1);
		r = sent_on(0, &n);
		assert_int_equal(n, 14 + 576); // RFC 1812 4.3.2.3
		assert_int_equal(r[34], ICMP_UNREACHABLE);
		assert_int_equal(r[35], i ? ICMP_PROTOCOL_UNREACHABLE : ICMP_PORT_UNREACHABLE);
		assert_int_equal(checksum_fold(checksum_add(0, r + 34, n - 34)), 0);
		assert_memory_equal(r + 42 + 12, &ip("198.18.0.9").b[12], 4);
		assert_int_equal(r[42 + 20 + 100], 100);
		tx_clear();
	}
}

static void errors_are_limited_harder_than_echoes(void **state)
{
	(void)state;
	mac_known("198.18.0.9", peer_mac);
	datagrams(IPPROTO_UDP, 150);
	assert_int_equal(net.tx[0].n, 100);
	assert_int_equal(count(CTR_icmp_limited), 50);
	assert_int_equal(count(CTR_ip_unknown_protocol), 150);
	tx_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(an_echo_request_is_answered_byte_by_byte),
		NET_TEST(an_echo_in_a_chain_or_in_a_shared_buffer_is_answered),
		NET_TEST(an_echo_of_a_stranger_waits_for_its_neighbour),
		NET_TEST(an_echo_that_no_route_leads_back_to_is_dropped),
		NET_TEST(malformed_messages_are_counted),
		NET_TEST(types_that_are_not_used_are_ignored),
		NET_TEST(answers_are_limited_and_the_limit_recovers),
		NET_TEST(errors_about_our_segments_go_up),
		NET_TEST(errors_that_quote_nothing_of_ours_are_counted),
		NET_TEST(the_options_of_a_quoted_header_are_skipped),
		NET_TEST(an_echo_to_everybody_is_not_answered),
		NET_TEST(an_error_about_another_workers_connection_is_its_business),
		NET_TEST(other_protocols_are_refused_with_an_error_that_quotes_them),
		NET_TEST(errors_are_limited_harder_than_echoes),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
