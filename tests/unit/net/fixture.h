// A worker's network layer on its own, with what goes up and what goes out caught here.
//
// Port 0: 198.18.0.1/24, gateway 198.18.0.254 to 198.19.0.0/16.  Port 1: VLAN 100, 198.18.1.1/24.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "net/arp.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/ipv4.h"
#include "net/neigh.h"
#include "net/net.h"
#include "net/route.h"
#include "net/wire.h"
#include <netinet/in.h>

#define SECOND     1000000000ull
#define NEIGHBOURS 8

static struct pkt_pool *pool;
static struct arena arena;
static struct wheel wheel;
static struct net net;
static struct worker_stats *stats;
static struct port_stats *port_stats;

static struct {
	struct net_seg seg[64];
	unsigned segs, bursts;
	struct {
		struct addr local, remote;
		uint16_t local_port, remote_port, mtu;
		uint32_t seq;
		uint8_t type, code;
	} unreachable;
	unsigned unreachables;
	struct addr learned;
	uint16_t learned_port;
	uint8_t learned_mac[MAC_LEN];
	unsigned learns;
} seen;

static const uint8_t our_mac[MAC_LEN] = {2, 0, 0, 0, 0, 1};
static const uint8_t our_mac1[MAC_LEN] = {2, 0, 0, 0, 1, 1};
static const uint8_t peer_mac[MAC_LEN] = {2, 0, 0, 0, 0, 9};
static const uint8_t other_mac[MAC_LEN] = {2, 0, 0, 0, 0, 10};

static struct {
	struct snapshot s;
	struct snap_port port[2];
	struct snap_address address[3];
	struct snap_netroute route[1];
} snap;

static inline struct addr ip(const char *s)
{
	struct addr a;

	assert_int_equal(addr_parse(s, strlen(s), &a), 0);
	return a;
}

static void on_tcp(void *ctx, struct net_seg *v, unsigned n)
{
	(void)ctx;
	seen.bursts++;
	for (unsigned i = 0; i < n; i++)
		seen.seg[seen.segs++] = v[i];
}

static void on_unreachable(void *ctx, struct addr local, struct addr remote, uint16_t local_port,
			   uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code, uint16_t mtu)
{
	(void)ctx;
	seen.unreachables++;
	seen.unreachable.local = local;
	seen.unreachable.remote = remote;
	seen.unreachable.local_port = local_port;
	seen.unreachable.remote_port = remote_port;
	seen.unreachable.seq = seq;
	seen.unreachable.type = type;
	seen.unreachable.code = code;
	seen.unreachable.mtu = mtu;
}

static void on_learned(void *ctx, uint16_t port, struct addr addr, const uint8_t mac[6])
{
	(void)ctx;
	seen.learns++;
	seen.learned = addr;
	seen.learned_port = port;
	memcpy(seen.learned_mac, mac, 6);
}

static void on_timer(void *ctx, struct timer *t)
{
	(void)ctx;
	assert_true(net_owns_timer(&net, t));
	net_timer(&net, t);
}

static inline void tx_clear(void)
{
	for (unsigned p = 0; p < SNAP_PORTS_MAX; p++)
		while (net.tx[p].n)
			pkt_free_chain(net.tx[p].v[--net.tx[p].n]);
}

static inline void snap_make(void)
{
	memset(&snap, 0, sizeof(snap));
	snap.address[0] = (struct snap_address){.addr = ip("198.18.0.1"), .prefix = 96 + 24};
	snap.address[1] = (struct snap_address){.addr = ip("198.18.1.1"), .prefix = 96 + 24};
	snap.address[2] = (struct snap_address){.addr = ip("198.18.1.2"), .prefix = 96 + 24};
	snap.route[0] = (struct snap_netroute){
		.dst = ip("198.19.0.0"), .gateway = ip("198.18.0.254"), .prefix = 96 + 16};
	snap.s.ports = (struct snap_ref){offsetof(__typeof__(snap), port), 2};
	snap.port[0].mtu = snap.port[1].mtu = 1500;
	snap.port[0].addresses = (struct snap_ref){offsetof(__typeof__(snap), address[0]), 1};
	snap.port[0].routes = (struct snap_ref){offsetof(__typeof__(snap), route), 1};
	snap.port[1].addresses = (struct snap_ref){offsetof(__typeof__(snap), address[1]), 1};
	snap.port[1].vlan = 100;
}

static int net_open(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	if (arena_init(&arena, 1 << 20))
		return -1;
	stats = arena_alloc(&arena, sizeof(*stats), 64);
	port_stats = arena_alloc(&arena, 2 * sizeof(*port_stats), 64);
	wheel_init(&wheel, SECOND, on_timer, NULL);
	if (net_init(&net, &arena, pool, stats, port_stats, &wheel, (struct hash_key){1, 2}, NEIGHBOURS))
		return -1;
	net.now = SECOND;
	net.ops = (struct net_ops){.tcp = on_tcp, .unreachable = on_unreachable, .learned = on_learned};
	memcpy(net.port[0].mac, our_mac, MAC_LEN);
	memcpy(net.port[1].mac, our_mac1, MAC_LEN);
	snap_make();
	net_configure(&net, &snap.s);
	tx_clear();
	memset(stats, 0, sizeof(*stats));
	return 0;
}

// Whatever a test did: no buffer may be missing afterwards.
static int net_close(void **state)
{
	(void)state;
	for (unsigned i = 0; i < seen.segs; i++)
		pkt_free_chain(seen.seg[i].pkt);
	net_fini(&net);
	int left = wheel.armed != 0 || pkt_pool_used(pool) != 0;
	arena_fini(&arena);
	return left;
}

static inline void run_until(uint64_t now)
{
	while (net.now < now) {
		net.now += SECOND / 10;
		wheel_run(&wheel, net.now, 0);
	}
}

static inline uint64_t count(enum counter c)
{
	return stat_get(&stats->c[c]);
}

// Frames under construction.
struct frame {
	uint32_t n;
	uint8_t b[4096];
};

static inline uint8_t *add(struct frame *f, const void *p, uint32_t n)
{
	uint8_t *at = f->b + f->n;

	if (p)
		memcpy(at, p, n);
	else
		memset(at, 0, n);
	f->n += n;
	return at;
}

static inline void add_ethernet(struct frame *f, const uint8_t *dst, const uint8_t *src, uint16_t type)
{
	add(f, dst, 6);
	add(f, src, 6);
	put16(add(f, NULL, 2), type);
}

static inline void put_v4(uint8_t *p, struct addr a)
{
	memcpy(p, &a.b[12], 4);
}

static inline void ip_fix(uint8_t *h)
{
	uint16_t sum;

	memset(h + 10, 0, 2);
	sum = checksum_fold(checksum_add(0, h, (h[0] & 15u) * 4));
	memcpy(h + 10, &sum, 2);
}

static inline uint8_t *add_ipv4(struct frame *f, const char *src, const char *dst, uint8_t proto,
				uint16_t payload)
{
	uint8_t *h = add(f, NULL, 20);

	h[0] = 0x45;
	put16(h + 2, 20u + payload);
	h[8] = 64;
	h[9] = proto;
	put_v4(h + 12, ip(src));
	put_v4(h + 16, ip(dst));
	ip_fix(h);
	return h;
}

static inline void icmp_fix(uint8_t *h, uint32_t n)
{
	uint16_t sum;

	memset(h + 2, 0, 2);
	sum = checksum_fold(checksum_add(0, h, n));
	memcpy(h + 2, &sum, 2);
}

static inline uint8_t *add_arp(struct frame *f, unsigned op, const uint8_t *sha, const char *spa,
			       const char *tpa)
{
	static const uint8_t fixed[6] = {0, 1, 8, 0, 6, 4};
	uint8_t *a = add(f, fixed, 6);

	put16(add(f, NULL, 2), op);
	add(f, sha, 6);
	put_v4(add(f, NULL, 4), ip(spa));
	add(f, NULL, 6);
	put_v4(add(f, NULL, 4), ip(tpa));
	return a;
}

static inline struct pkt *frame_pkt(const void *b, uint32_t n)
{
	struct pkt *p = pkt_alloc(pool);

	if (!p)
		abort();
	if (n)
		memcpy(pkt_append(p, n), b, n);
	return p;
}

static inline void receive_on(uint16_t port, const struct frame *f)
{
	struct pkt *p = frame_pkt(f->b, f->n);

	net_input(&net, port, &p, 1);
}

static inline void receive(const struct frame *f)
{
	receive_on(0, f);
}

// In pieces of the sizes given (ended by 0), the last takes the rest.
static inline void receive_chained(const struct frame *f, const uint32_t *sizes)
{
	struct pkt *head = frame_pkt(f->b, sizes[0]);
	uint32_t at = sizes[0];

	for (unsigned i = 1; at < f->n; i++) {
		uint32_t n = sizes[i] && sizes[i] < f->n - at ? sizes[i] : f->n - at;

		pkt_chain(head, frame_pkt(f->b + at, n));
		at += n;
	}
	net_input(&net, 0, &head, 1);
}

// The one frame that was to be sent on port, in one buffer; it stays in the queue's hands until tx_clear().
static inline const uint8_t *sent_on(uint16_t port, uint32_t *n)
{
	assert_int_equal(net.tx[port].n, 1);
	if (pkt_next(net.tx[port].v[0])) {
		struct pkt *chain = net.tx[port].v[0];

		net.tx[port].v[0] = pkt_copy(chain, pool);
		assert_non_null(net.tx[port].v[0]);
		pkt_free_chain(chain);
	}
	*n = pkt_len(net.tx[port].v[0]);
	return (const uint8_t *)pkt_data(net.tx[port].v[0]);
}

static inline void mac_known(const char *addr, const uint8_t *mac)
{
	net_learn(&net, 0, ip(addr), mac);
}

static inline int net_tests(const struct CMUnitTest *tests, size_t n)
{
	int failed;

	if (!pkt_start(64) || !(pool = pkt_pool_create("test", 2u << 20, -1)))
		return 1;
	failed = _cmocka_run_group_tests("net", tests, n, NULL, NULL);
	pkt_pool_free(pool);
	rte_eal_cleanup();
	return failed;
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_open, net_close)
