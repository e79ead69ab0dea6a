// Datagrams in fragments, both ways: RFC 791 3.2, RFC 815, RFC 1858, RFC 3128, RFC 5722, RFC 8200 4.5, RFC
// 6946.
#include "net/fragment.h"
#include "net/reassembly.h"
#include "tests/unit/net/fixture6.h"

#define LEN 3000

static uint8_t body[70000];

// A piece of body as IPv4 carries it.
static void v4(const char *src, uint16_t id, uint8_t proto, uint32_t offset, uint32_t n, bool more)
{
	struct frame f = {0};
	uint8_t *h;

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	h = add_ipv4(&f, src, "198.18.0.1", proto, (uint16_t)n);
	put16(h + 4, id);
	put16(h + 6, offset / 8 | (more ? 0x2000u : 0));
	ip_fix(h);
	add(&f, body + offset, n);
	receive(&f);
}

static void tcp4(uint32_t offset, uint32_t n, bool more)
{
	v4("198.18.0.9", 7, IPPROTO_TCP, offset, n, more);
}

static void v6(const char *src, uint32_t id, uint8_t proto, uint32_t offset, uint32_t n, bool more)
{
	struct frame f = {0};
	uint8_t *h;

	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV6);
	add_ipv6(&f, src, OURS, IPPROTO_FRAGMENT, 64, (uint16_t)(8 + n));
	h = add(&f, NULL, 8);
	h[0] = proto;
	put16(h + 2, offset | more);
	put32(h + 4, id);
	add(&f, body + offset, n);
	receive(&f);
}

static void tcp6(uint32_t offset, uint32_t n, bool more)
{
	v6(PEER, 7, IPPROTO_TCP, offset, n, more);
}

static void fill(void)
{
	for (uint32_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 13 + i / 256);
}

// The one segment that went up is the first n bytes of body.
static void whole(uint32_t n)
{
	uint32_t at = 0;

	assert_int_equal(seen.segs, 1);
	assert_int_equal(pkt_chain_len(seen.seg[0].pkt), n);
	for (struct pkt *p = seen.seg[0].pkt; p; at += pkt_len(p), p = pkt_next(p))
		assert_memory_equal(pkt_data(p), body + at, pkt_len(p));
	assert_int_equal(at, n);
	assert_int_equal(count(CTR_ip_reassembled), 1);
	pkt_free_chain(seen.seg[0].pkt);
	seen.segs = 0;
	stats->c[CTR_ip_reassembled] = 0;
}

static void peer_known(void)
{
	struct net_path path = path6(PEER);

	ndp(NA, PEER, OURS, PEER, S, 2, peer_mac);
	net_path_release(&net, &path);
	tx_clear();
}

static void nothing_is_held(void)
{
	assert_int_equal(seen.segs + net.tx[0].n, 0);
	assert_int_equal(pkt_pool_used(pool), 0);
}

static void fragments_in_any_order_make_one_segment(void **state)
{
	(void)state;
	static const unsigned order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	static const uint32_t at[4] = {0, 1400, 2800, LEN};

	fill();
	for (unsigned i = 0; i < 12; i++) {
		for (unsigned k = 0; k < 3; k++) {
			unsigned c = order[i % 6][k];

			(i < 6 ? tcp4 : tcp6)(at[c], at[c + 1] - at[c], c < 2);
		}
		assert_true(addr_eq(seen.seg[0].src, ip(i < 6 ? "198.18.0.9" : PEER)));
		assert_false(seen.seg[0].checked);
		whole(LEN);
	}
	assert_int_equal(count(CTR_ip_fragment_rx), 36);
	nothing_is_held();
}

static void the_smallest_fragments_take_no_more_buffers_than_one_large(void **state)
{
	(void)state;
	fill();
	for (uint32_t at = LEN - 8; at >= 24; at -= 8) // from behind, eight bytes each
		tcp4(at, 8, at + 8 < LEN);
	assert_int_equal(pkt_pool_used(pool), 2);
	tcp4(0, 24, true);
	whole(LEN);
	nothing_is_held();
}

static void datagrams_of_every_size_up_to_the_limit_are_whole(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {33, 2047, 2048, 2049, 4096, 4097, 9000, 16383, REASSEMBLY_BYTES};

	fill();
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned version = 0; version < 2; version++) {
			for (uint32_t at = 0, n; at < sizes[i]; at += n) {
				n = sizes[i] - at > 1480         ? 1480
				    : at == 0 && sizes[i] < 1480 ? 24
								 : sizes[i] - at;
				(version ? tcp6 : tcp4)(at, n, at + n < sizes[i]);
			}
			whole(sizes[i]);
		}
	nothing_is_held();
}

// RFC 5722 4: the datagram, and every fragment of it that is still to come.
static void overlap_ends_the_datagram(void **state)
{
	(void)state;
	static const struct {
		uint32_t at, n;
		bool more;
	} bad[] = {
		{1392, 16, true},    // over the end of the first
		{0, 1408, true},     // longer than the first
		{24, 1400, true},    // in the first and beyond
		{1400, 1608, false}, // beyond the end
		{2800, 192, false},  // another end
		{2992, 16, true},    // goes on behind the end
		{2000, 808, true},   // into the last: the "teardrop", upside down
	};

	for (unsigned i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {
		void (*give)(uint32_t, uint32_t, bool) = i % 2 ? tcp6 : tcp4;

		fill();
		give(0, 1400, true);
		give(2800, 200, false);
		give(bad[i / 2].at, bad[i / 2].n, bad[i / 2].more);
		assert_int_equal(count(CTR_ip_fragment_overlap), i + 1);
		give(1400, 1400, true);
		give(0, 1400, true);
		assert_int_equal(count(CTR_ip_fragment_refused), 2 * i + 2);
		nothing_is_held();
		run_until(net.now + 61 * SECOND);
	}
	assert_int_equal(net.tx[0].n, 0); // nobody is told
}

static void the_same_place_with_other_bytes_is_an_overlap(void **state)
{
	(void)state;
	fill();
	tcp4(0, 1400, true);
	body[700] ^= 1;
	tcp4(0, 1400, true);
	assert_int_equal(count(CTR_ip_fragment_overlap), 1);
	nothing_is_held();
}

static void a_repetition_is_dropped_and_does_no_harm(void **state)
{
	(void)state;
	fill();
	for (unsigned i = 0; i < 3; i++)
		tcp4(1400, 1400, true);
	for (unsigned i = 0; i < 3; i++)
		tcp4(2800, 200, false);
	assert_int_equal(count(CTR_ip_fragment_duplicate), 4);
	tcp4(0, 1400, true);
	whole(LEN);
}

static void malformed_fragments_are_refused(void **state)
{
	(void)state;
	static const struct {
		uint32_t at, n;
		bool more;
	} bad[] = {
		{0, 1401, true},     // its end is between units
		{1400, 0, true},     // empty
		{1400, 0, false},    // the last one too
		{0, 16, true},       // a TCP header in two (RFC 1858)
		{8, 32, false},      // the rest of one (RFC 3128)
		{16, 32, false},     //
		{65528, 100, false}, // the "ping of death"
	};

	fill();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tcp4(bad[i].at, bad[i].n, bad[i].more);
		assert_int_equal(count(CTR_ip_fragment_bad), i + 1);
	}
	nothing_is_held();
	tcp4(16384, 8, true);
	assert_int_equal(count(CTR_ip_fragment_too_long), 1);
	tcp4(0, 1400, true);
	assert_int_equal(count(CTR_ip_fragment_refused), 1);
	nothing_is_held();
}

static void a_fragment_of_nothing_we_speak_is_refused_and_only_the_first_is_answered(void **state)
{
	(void)state;
	uint32_t n;

	fill();
	mac_known("198.18.0.9", peer_mac);
	v4("198.18.0.9", 1, IPPROTO_UDP, 1400, 100, false);
	assert_int_equal(net.tx[0].n, 0);
	v4("198.18.0.9", 1, IPPROTO_UDP, 0, 1400, true);
	assert_int_equal(sent_on(0, &n)[34], ICMP_UNREACHABLE);
	assert_int_equal(count(CTR_ip_unknown_protocol), 2);
	tx_clear();
}

// RFC 792, RFC 1122 3.3.2.
static void a_datagram_that_stays_incomplete_is_given_up_and_told(void **state)
{
	(void)state;
	const uint8_t *r;
	uint32_t n;

	fill();
	v4("198.18.0.9", 9, IPPROTO_TCP, 1400, 1400, true); // its first never comes
	tcp4(0, 1400, true);
	run_until(net.now + 29 * SECOND);
	assert_int_equal(net.tx[0].n, 0);
	mac_known("198.18.0.9", peer_mac);
	run_until(net.now + 2 * SECOND);
	assert_int_equal(count(CTR_ip_fragment_timeout), 2);
	r = sent_on(0, &n);
	assert_int_equal(r[34], ICMP_TIME_EXCEEDED);
	assert_int_equal(r[35], 1);
	assert_int_equal(checksum_fold(checksum_add(0, r + 34, n - 34)), 0);
	assert_int_equal(n, 14 + 576);
	assert_int_equal(get16(r + 42 + 6), 0x2000); // the fragment as it was
	assert_memory_equal(r + 62, body, n - 62);
	tx_clear();
	nothing_is_held();
}

// RFC 8200 4.5, RFC 4443 3.3.
static void an_ipv6_packet_that_stays_incomplete_is_given_up_and_told(void **state)
{
	(void)state;
	const uint8_t *r;
	uint32_t n;

	fill();
	tcp6(0, 1400, true);
	run_until(net.now + 59 * SECOND);
	assert_int_equal(count(CTR_ip_fragment_timeout), 0);
	peer_known();
	run_until(net.now + 2 * SECOND);
	r = sent_on(0, &n);
	assert_int_equal(r[54], ICMP6_TIME_EXCEEDED);
	assert_int_equal(r[55], 1);
	assert_int_equal(sum6(r + 14, r + 54, get16(r + 18), IPPROTO_ICMPV6), 0);
	assert_int_equal(n, 14 + 1280);
	assert_int_equal(r[62 + 6], IPPROTO_FRAGMENT);
	assert_int_equal(get32(r + 62 + 44), 7);
	assert_memory_equal(r + 62 + 48, body, n - 62 - 48);
	tx_clear();
}

static void an_icmp_error_in_fragments_is_never_told_of(void **state)
{
	(void)state;
	fill();
	mac_known("198.18.0.9", peer_mac);
	body[0] = ICMP_UNREACHABLE;
	v4("198.18.0.9", 1, IPPROTO_ICMP, 0, 64, true);
	run_until(net.now + 31 * SECOND);
	assert_int_equal(count(CTR_ip_fragment_timeout), 1);
	assert_int_equal(net.tx[0].n, 0);
}

static void one_source_takes_no_more_than_its_share(void **state)
{
	(void)state;
	fill();
	v4("198.18.0.8", 1, IPPROTO_TCP, 0, 1400, true);
	for (uint16_t id = 0; id < 500; id++)
		v4("198.18.0.9", id, IPPROTO_TCP, 0, 64, true);
	assert_int_equal(wheel.armed, 1 + REASSEMBLY_SOURCE);
	assert_int_equal(count(CTR_ip_fragment_full), 500 - REASSEMBLY_SOURCE);
	v4("198.18.0.8", 1, IPPROTO_TCP, 1400, 8, false); // the other one's still becomes whole
	whole(1408);
	v4("198.18.0.9", 499, IPPROTO_TCP, 64, 8, false); // and the flooder's latest
	whole(72);
}

// The addresses of one IPv6 link are one source.
static void an_ipv6_source_is_its_prefix(void **state)
{
	(void)state;
	fill();
	for (unsigned i = 0; i < 100; i++) {
		char src[40];

		snprintf(src, sizeof(src), "fd00:c6:12::1:%x", i);
		v6(src, 1, IPPROTO_TCP, 0, 64, true);
	}
	assert_int_equal(wheel.armed, REASSEMBLY_SOURCE);
}

static void many_sources_take_no_more_than_the_table_and_its_buffers(void **state)
{
	(void)state;
	char src[20];

	fill();
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(src, sizeof(src), "198.19.%u.%u", i / 200, 1 + i % 200);
		v4(src, 1, IPPROTO_TCP, 0, 64, true);
		assert_true(pkt_pool_used(pool) <= net.reassembly_buffers);
	}
	assert_true(wheel.armed <= REASSEMBLY_MAX);
	v4(src, 1, IPPROTO_TCP, 64, 8, false); // who came last is served
	whole(72);
	net.reassembly_buffers = 1; // one datagram of two buffers never fits
	tcp4(0, 1400, true);
	tcp4(1400, 1400, true);
	assert_true(pkt_pool_used(pool) <= 1);
	assert_true(count(CTR_ip_fragment_full) > 900);
}

static void an_empty_pool_loses_the_datagram_and_nothing_else(void **state)
{
	(void)state;
	static struct pkt *held[2000];
	unsigned n = 0;
	struct pkt *p = frame_pkt("", 0);
	struct frame f = {0};
	uint8_t *h;

	fill();
	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
	h = add_ipv4(&f, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 64);
	put16(h + 6, 0x2000);
	ip_fix(h);
	add(&f, body, 64);
	memcpy(pkt_append(p, f.n), f.b, f.n);
	while ((held[n] = pkt_alloc(pool)))
		n++;
	net_input(&net, 0, &p, 1);
	assert_int_equal(count(CTR_rx_no_buffer), 1);
	while (n > 0)
		pkt_free(held[--n]);
	nothing_is_held();
}

// RFC 3168 5.3.
static void congestion_marks_survive_and_nonsense_does_not(void **state)
{
	(void)state;
	static const uint8_t mark[][3] = {{0, 0, 0}, {2, 2, 2}, {2, 3, 3}, {1, 3, 3},
					  {3, 3, 3}, {0, 3, 9}, {3, 0, 9}};
	struct frame f;
	uint8_t *h;

	fill();
	for (unsigned i = 0; i < sizeof(mark) / sizeof(mark[0]); i++) {
		for (unsigned k = 0; k < 2; k++) {
			f = (struct frame){0};
			add_ethernet(&f, our_mac, peer_mac, TYPE_IPV4);
			h = add_ipv4(&f, "198.18.0.9", "198.18.0.1", IPPROTO_TCP, 64);
			h[1] = 0xb8 | mark[i][k];
			put16(h + 4, i);
			put16(h + 6, k ? 8 : 0x2000);
			ip_fix(h);
			add(&f, body + k * 64, 64);
			receive(&f);
		}
		if (mark[i][2] == 9) {
			assert_int_equal(seen.segs, 0);
			continue;
		}
		assert_int_equal(seen.seg[0].tos, 0xb8 | mark[i][2]);
		whole(128);
	}
	assert_int_equal(count(CTR_ip_fragment_bad), 2);
}

static void ports_ids_and_protocols_are_kept_apart(void **state)
{
	(void)state;
	fill();
	v4("198.18.0.9", 1, IPPROTO_TCP, 0, 64, true);
	v4("198.18.0.9", 2, IPPROTO_TCP, 64, 8, false);
	v4("198.18.0.8", 1, IPPROTO_TCP, 64, 8, false);
	v4("198.18.0.9", 1, IPPROTO_ICMP, 64, 8, false);
	assert_int_equal(seen.segs, 0);
	v4("198.18.0.9", 1, IPPROTO_TCP, 64, 8, false);
	whole(72);
}

// RFC 8200 4.5, RFC 7112 5.
static void faults_of_ipv6_fragments_are_told_with_a_pointer(void **state)
{
	(void)state;
	static const struct {
		uint32_t at, n;
		bool more;
		uint8_t next, code, pointer;
	} bad[] = {
		{0, 1001, true, IPPROTO_TCP, PROBLEM_FIELD, 4},
		{65528, 16, false, IPPROTO_TCP, PROBLEM_FIELD, 42},
		{0, 8, true, IPPROTO_TCP, PROBLEM_FIRST, 0},
		{0, 8, true, IPPROTO_DSTOPTS, PROBLEM_FIRST, 0},
	};
	const uint8_t *r;
	uint32_t n;

	peer_known();
	memset(body, 0, sizeof(body));
	body[1] = 3; // a header of 32 bytes
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		v6(PEER, 1, bad[i].next, bad[i].at, bad[i].n, bad[i].more);
		assert_int_equal(count(CTR_ip_fragment_bad), i + 1);
		r = sent_on(0, &n);
		assert_int_equal(r[54], ICMP6_PARAMETER);
		assert_int_equal(r[55], bad[i].code);
		assert_int_equal(get32(r + 58), bad[i].pointer);
		tx_clear();
	}
	nothing_is_held();
}

static void headers_before_and_behind_the_fragment_header_are_walked(void **state)
{
	(void)state;
	static const uint8_t before[8] = {IPPROTO_FRAGMENT, 0, 1, 4, 0, 0, 0, 0};
	static const uint8_t behind[8] = {IPPROTO_TCP, 0, 1, 4, 0, 0, 0, 0};

	fill();
	for (unsigned k = 0; k < 2; k++) {
		struct frame f = {0};
		uint8_t *h;

		add_ethernet(&f, our_mac, peer_mac, TYPE_IPV6);
		add_ipv6(&f, PEER, OURS, IPPROTO_DSTOPTS, 64, (uint16_t)(8 + 8 + (k ? 16 : 8 + 64)));
		add(&f, before, 8);
		h = add(&f, NULL, 8);
		h[0] = IPPROTO_DSTOPTS;
		put16(h + 2, k ? 72 : 1);
		if (k == 0)
			add(&f, behind, 8);
		add(&f, body + (k ? 64 : 0), k ? 16 : 64);
		receive(&f);
	}
	whole(80);
}

static void a_fragment_within_a_fragment_is_refused(void **state)
{
	(void)state;
	memset(body, 0, 64);
	body[0] = IPPROTO_TCP;
	v6(PEER, 1, IPPROTO_FRAGMENT, 0, 64, true);
	v6(PEER, 2, IPPROTO_FRAGMENT, 0, 64, false);
	assert_int_equal(count(CTR_ip_fragment_bad), 2);
	nothing_is_held();
}

// RFC 6980 5, and groups: a flood to one would be put together by everybody.
static void discovery_and_groups_take_no_fragments(void **state)
{
	(void)state;
	struct frame f = {0};

	memset(body, 0, 64);
	body[0] = NS;
	v6(PEER, 1, IPPROTO_ICMPV6, 0, 24, true);
	v6(PEER, 1, IPPROTO_ICMPV6, 24, 8, false);
	assert_int_equal(count(CTR_icmp_bad) + count(CTR_ndp_bad), 1);
	add_ethernet(&f, our_group_mac, peer_mac, TYPE_IPV6);
	add_ipv6(&f, PEER, "ff02::1:ff00:1", IPPROTO_FRAGMENT, 64, 8 + 64);
	put16(add(&f, NULL, 8) + 2, 1);
	f.b[54] = IPPROTO_ICMPV6;
	add(&f, NULL, 64);
	receive(&f);
	assert_int_equal(count(CTR_ip_not_for_us), 1);
	nothing_is_held();
}

static struct {
	struct pkt *frame;
	bool take;
} given;

static bool on_elsewhere(void *ctx, uint16_t port, struct pkt *frame)
{
	(void)ctx;
	assert_int_equal(port, 0);
	if (given.take)
		given.frame = frame;
	return given.take;
}

// The worker that put a segment together need not be its connection's.
static void a_whole_segment_is_handed_on_as_a_frame_of_its_own(void **state)
{
	(void)state;
	fill();
	net.ops.elsewhere = on_elsewhere;
	for (unsigned i = 0; i < 4; i++) {
		given.take = i < 2;
		given.frame = NULL;
		(i % 2 ? tcp6 : tcp4)(0, 1400, true);
		(i % 2 ? tcp6 : tcp4)(1400, 1600, false);
		if (given.take) {
			assert_non_null(given.frame);
			assert_int_equal(seen.segs, 0);
			net_input(&net, 0, &given.frame, 1); // there
		}
		whole(LEN);
	}
}

static void a_segment_behind_extension_headers_is_handed_on_without_them(void **state)
{
	(void)state;
	static const uint8_t options[16] = {IPPROTO_TCP, 1, 1, 12};
	struct frame f = {0};

	fill();
	net.ops.elsewhere = on_elsewhere;
	given.take = true;
	add_ethernet(&f, our_mac, peer_mac, TYPE_IPV6);
	add_ipv6(&f, PEER, OURS, IPPROTO_DSTOPTS, 64, 16 + 40);
	add(&f, options, 16);
	add(&f, body, 40);
	receive(&f);
	assert_int_equal(pkt_data(given.frame)[20], IPPROTO_TCP);
	assert_int_equal(pkt_len(given.frame), 14 + 40 + 40);
	net_input(&net, 0, &given.frame, 1);
	assert_int_equal(seen.segs, 1);
	assert_memory_equal(pkt_data(seen.seg[0].pkt), body, 40);
}

// Answers to large echo requests go out in fragments, which make the request again but for its type.
static void a_large_echo_is_answered_in_fragments(void **state)
{
	(void)state;
	static uint8_t got[REASSEMBLY_BYTES];
	static const uint32_t sizes[] = {1481, 4008, 9000, REASSEMBLY_BYTES};

	mac_known("198.18.0.9", peer_mac);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t n = sizes[i], id = 0, most = 0;

		fill();
		body[0] = ICMP_ECHO;
		body[1] = 0;
		icmp_fix(body, n);
		for (uint32_t at = 0; at < n; at += 1480)
			v4("198.18.0.9", (uint16_t)i, IPPROTO_ICMP, at, n - at < 1480 ? n - at : 1480,
			   at + 1480 < n);
		assert_int_equal(net.tx[0].n, (n + 1479) / 1480);
		for (unsigned k = 0; k < net.tx[0].n; k++) {
			const uint8_t *r = (const uint8_t *)pkt_data(net.tx[0].v[k]) + 14;
			uint32_t at = (get16(r + 6) & 0x1fffu) * 8, len = get16(r + 2) - 20u;

			assert_int_equal(checksum_fold(checksum_add(0, r, 20)), 0);
			assert_int_equal((get16(r + 6) & 0x2000) != 0, at + len < n);
			assert_false(get16(r + 6) & 0x4000);
			if (k == 0)
				id = get16(r + 4);
			assert_int_equal(get16(r + 4), id);
			memcpy(got + at, r + 20, len);
			most = most > at + len ? most : at + len;
		}
		assert_int_equal(most, n);
		assert_int_equal(got[0], ICMP_ECHO_REPLY);
		assert_int_equal(checksum_fold(checksum_add(0, got, n)), 0);
		assert_memory_equal(got + 4, body + 4, n - 4);
		tx_clear();
	}
	nothing_is_held();
}

// RFC 8200 5: of 1280 bytes, since nobody told us of a larger path.
static void a_large_ipv6_echo_is_answered_in_fragments(void **state)
{
	(void)state;
	static uint8_t got[REASSEMBLY_BYTES];
	struct frame h = {0};
	uint32_t n = 9001;

	peer_known();
	fill();
	add_ipv6(&h, PEER, OURS, IPPROTO_ICMPV6, 64, 0);
	body[0] = ICMP6_ECHO;
	body[1] = 0;
	icmp6_fix(h.b, body, n);
	for (uint32_t at = 0; at < n; at += 1440)
		v6(PEER, 1, IPPROTO_ICMPV6, at, n - at < 1440 ? n - at : 1440, at + 1440 < n);
	assert_int_equal(net.tx[0].n, 8);
	for (unsigned k = 0; k < net.tx[0].n; k++) {
		const uint8_t *r = (const uint8_t *)pkt_data(net.tx[0].v[k]) + 14;
		uint32_t at = get16(r + 42) & 0xfff8u, len = get16(r + 4) - 8u;

		assert_true(len + 48 <= 1280);
		assert_int_equal(r[6], IPPROTO_FRAGMENT);
		assert_int_equal(r[40], IPPROTO_ICMPV6);
		assert_int_equal(get16(r + 42) & 1, at + len < n);
		memcpy(got + at, r + 48, len);
	}
	assert_int_equal(got[0], ICMP6_ECHO_REPLY);
	assert_int_equal(sum6(h.b, got, n, IPPROTO_ICMPV6), 0);
	assert_memory_equal(got + 4, body + 4, n - 4);
	tx_clear();
}

static void a_large_echo_costs_as_much_of_the_limit_as_it_has_fragments(void **state)
{
	(void)state;
	unsigned answered = 0;

	mac_known("198.18.0.9", peer_mac);
	fill();
	body[0] = ICMP_ECHO;
	body[1] = 0;
	icmp_fix(body, 16000);
	for (uint16_t id = 0; id < 200; id++) {
		for (uint32_t at = 0; at < 16000; at += 1480)
			v4("198.18.0.9", id, IPPROTO_ICMP, at, 16000 - at < 1480 ? 16000 - at : 1480,
			   at + 1480 < 16000);
		answered += net.tx[0].n > 0;
		tx_clear();
	}
	assert_int_equal(answered, 1000 / 11);
	assert_int_equal(count(CTR_icmp_limited), 200 - 1000 / 11);
}

// Whatever comes, in whatever order: nothing is lost, and what becomes whole is right.
static void random_fragments_lose_nothing(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252ull;
	unsigned made = 0;

	fill();
	for (unsigned i = 0; i < 60000; i++) {
		uint32_t at, n, id;
		bool more;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at = (uint32_t)(x % 5) * 512;
		n = x >> 8 & 7 ? 512 : (uint32_t)(x >> 16) % 600;
		id = (uint32_t)(x >> 32) % 40;
		more = at < 2048;
		if (x >> 60 == 0)
			more = !more;
		if (x >> 50 & 1)
			tcp4(at, n, more);
		else
			v6(PEER, id, IPPROTO_TCP, at, n, more);
		for (; seen.segs > 0; made++) {
			struct pkt *p = seen.seg[--seen.segs].pkt;
			uint32_t off = 0;

			for (const struct pkt *q = p; q; off += pkt_len(q), q = pkt_next(q))
				assert_memory_equal(pkt_data(q), body + off, pkt_len(q));
			pkt_free_chain(p);
		}
		tx_clear();
		if (i % 50 == 0)
			run_until(net.now + 10 * SECOND);
		assert_true(pkt_pool_used(pool) <= net.reassembly_buffers);
	}
	assert_true(made > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET6_TEST(fragments_in_any_order_make_one_segment),
		NET6_TEST(the_smallest_fragments_take_no_more_buffers_than_one_large),
		NET6_TEST(datagrams_of_every_size_up_to_the_limit_are_whole),
		NET6_TEST(overlap_ends_the_datagram),
		NET6_TEST(the_same_place_with_other_bytes_is_an_overlap),
		NET6_TEST(a_repetition_is_dropped_and_does_no_harm),
		NET6_TEST(malformed_fragments_are_refused),
		NET6_TEST(a_fragment_of_nothing_we_speak_is_refused_and_only_the_first_is_answered),
		NET6_TEST(a_datagram_that_stays_incomplete_is_given_up_and_told),
		NET6_TEST(an_ipv6_packet_that_stays_incomplete_is_given_up_and_told),
		NET6_TEST(an_icmp_error_in_fragments_is_never_told_of),
		NET6_TEST(one_source_takes_no_more_than_its_share),
		NET6_TEST(an_ipv6_source_is_its_prefix),
		NET6_TEST(many_sources_take_no_more_than_the_table_and_its_buffers),
		NET6_TEST(an_empty_pool_loses_the_datagram_and_nothing_else),
		NET6_TEST(congestion_marks_survive_and_nonsense_does_not),
		NET6_TEST(ports_ids_and_protocols_are_kept_apart),
		NET6_TEST(faults_of_ipv6_fragments_are_told_with_a_pointer),
		NET6_TEST(headers_before_and_behind_the_fragment_header_are_walked),
		NET6_TEST(a_fragment_within_a_fragment_is_refused),
		NET6_TEST(discovery_and_groups_take_no_fragments),
		NET6_TEST(a_whole_segment_is_handed_on_as_a_frame_of_its_own),
		NET6_TEST(a_segment_behind_extension_headers_is_handed_on_without_them),
		NET6_TEST(a_large_echo_is_answered_in_fragments),
		NET6_TEST(a_large_ipv6_echo_is_answered_in_fragments),
		NET6_TEST(a_large_echo_costs_as_much_of_the_limit_as_it_has_fragments),
		NET6_TEST(random_fragments_lose_nothing),
	};

	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
