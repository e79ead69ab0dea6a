// IPv6 for the network layer of fixture.h: port 0 has fd00:c6:12::1/64 too, and a gateway fd00:c6:12::fe to
// everything else. Port 1 has no IPv6.
#pragma once
#include "net/extension.h"
#include "net/icmp6.h"
#include "net/ipv6.h"
#include "net/mld.h"
#include "net/ndp.h"
#include "net/own.h"
#include "tests/unit/net/fixture.h"
#include <errno.h>

#define OURS  "fd00:c6:12::1"
#define PEER  "fd00:c6:12::9"
#define LOCAL "fe80::ff:fe00:1" // of our_mac

static const uint8_t our_group_mac[MAC_LEN] = {0x33, 0x33, 0xff, 0, 0, 1};

static struct {
	struct snapshot s;
	struct snap_port port[2];
	struct snap_address address[4];
	struct snap_netroute route[2];
} snap6;

static inline void snap6_make(void)
{
	memset(&snap6, 0, sizeof(snap6));
	snap6.address[0] = (struct snap_address){.addr = ip("198.18.0.1"), .prefix = 96 + 24};
	snap6.address[1] = (struct snap_address){.addr = ip(OURS), .prefix = 64};
	snap6.address[2] = (struct snap_address){.addr = ip("fd00:c6:12:1::1"), .prefix = 64};
	snap6.address[3] = (struct snap_address){.addr = ip("198.18.1.1"), .prefix = 96 + 24};
	snap6.route[0] = (struct snap_netroute){.gateway = ip("fd00:c6:12::fe")};
	snap6.s.ports = (struct snap_ref){offsetof(__typeof__(snap6), port), 2};
	snap6.port[0].mtu = snap6.port[1].mtu = 1500;
	snap6.port[0].addresses = (struct snap_ref){offsetof(__typeof__(snap6), address[0]), 2};
	snap6.port[0].routes = (struct snap_ref){offsetof(__typeof__(snap6), route), 1};
	snap6.port[1].addresses = (struct snap_ref){offsetof(__typeof__(snap6), address[3]), 1};
}

// The addresses are tentative, what was sent for them is in the queue.
static int net6_open_tentative(void **state)
{
	if (net_open(state))
		return -1;
	snap6_make();
	net_configure(&net, &snap6.s);
	return 0;
}

static inline int net6_open(void **state)
{
	if (net6_open_tentative(state))
		return -1;
	run_until(net.now + SECOND * 3 / 2);
	tx_clear();
	memset(stats, 0, sizeof(*stats));
	return 0;
}

static inline uint8_t *add_ipv6(struct frame *f, const char *src, const char *dst, uint8_t next, uint8_t hops,
				uint16_t payload)
{
	uint8_t *h = add(f, NULL, 40);

	h[0] = 0x60;
	put16(h + 4, payload);
	h[6] = next;
	h[7] = hops;
	memcpy(h + 8, ip(src).b, 16);
	memcpy(h + 24, ip(dst).b, 16);
	return h;
}

static inline uint16_t sum6(const uint8_t *h, const uint8_t *l4, uint32_t n, uint8_t proto)
{
	uint8_t tail[8] = {
		(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 0, 0, 0, proto};

	return checksum_fold(checksum_add(checksum_add(checksum_add(0, h + 8, 32), tail, sizeof(tail)), l4, n));
}

// Sets the checksum of an ICMPv6 message of n bytes behind the header h.
static inline void icmp6_fix(const uint8_t *h, uint8_t *icmp, uint32_t n)
{
	uint16_t sum;

	memset(icmp + 2, 0, 2);
	sum = sum6(h, icmp, n, IPPROTO_ICMPV6);
	memcpy(icmp + 2, &sum, 2);
}

// A neighbour discovery message from src to dst about target; option 0: none.
static inline struct frame ndp_frame(uint8_t type, const char *src, const char *dst, const char *target,
				     uint8_t flags, uint8_t option, const uint8_t *mac)
{
	struct frame f = {0};
	struct addr to = ip(dst);
	uint8_t group[6] = {0x33, 0x33, to.b[12], to.b[13], to.b[14], to.b[15]}, *h, *m;
	uint16_t n = option ? 32 : 24;

	add_ethernet(&f, to.b[0] == 0xff ? group : our_mac, mac, TYPE_IPV6);
	h = add_ipv6(&f, src, dst, IPPROTO_ICMPV6, 255, n);
	m = add(&f, NULL, n);
	m[0] = type;
	m[4] = flags;
	memcpy(m + 8, ip(target).b, 16);
	if (option) {
		m[24] = option;
		m[25] = 1;
		memcpy(m + 26, mac, 6);
	}
	icmp6_fix(h, m, n);
	return f;
}

static inline void ndp(uint8_t type, const char *src, const char *dst, const char *target, uint8_t flags,
		       uint8_t option, const uint8_t *mac)
{
	struct frame f = ndp_frame(type, src, dst, target, flags, option, mac);

	receive(&f);
}

#define NS 135
#define NA 136
#define R  0x80
#define S  0x40
#define O  0x20

// The last message sent on port 0, if it is of this type; every checksum and hop limit is verified.
static inline const uint8_t *last_ndp(uint8_t type)
{
	const struct net_txq *q = &net.tx[0];
	const uint8_t *f;

	if (q->n == 0)
		return NULL;
	f = (const uint8_t *)pkt_data(q->v[q->n - 1]);
	if (get16(f + 12) != TYPE_IPV6 || f[20] != IPPROTO_ICMPV6 || f[54] != type)
		return NULL;
	assert_int_equal(f[21], 255);
	assert_int_equal(pkt_len(q->v[q->n - 1]), 54u + get16(f + 18));
	assert_int_equal(sum6(f + 14, f + 54, get16(f + 18), IPPROTO_ICMPV6), 0);
	return f;
}

static inline bool has_addr(const uint8_t *at, const char *a)
{
	return memcmp(at, ip(a).b, 16) == 0;
}

static inline struct net_path path6(const char *remote)
{
	struct net_path p;

	assert_int_equal(net_path_init(&net, &p, UINT16_MAX, (struct addr){0}, ip(remote), 0), 0);
	return p;
}

static inline void output6(const struct net_path *path, char c)
{
	char tcp[20] = {0x12, 0x34, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50};
	struct pkt *p = frame_pkt(tcp, 20);

	memset(pkt_append(p, 1), c, 1);
	net_output(&net, path, p, IPPROTO_TCP, 0);
}

#define NET6_TEST(f)      cmocka_unit_test_setup_teardown(f, net6_open, net_close)
#define NET6_TENTATIVE(f) cmocka_unit_test_setup_teardown(f, net6_open_tentative, net_close)
