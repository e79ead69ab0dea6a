// Default routes from routers' advertisements: RFC 4861 6.1.2, 6.3.4 to 6.3.7.
#include "net/router.h"
#include "tests/unit/net/fixture6.h"

#define ROUTER  "fe80::aa"
#define ROUTER2 "fe80::bb"
#define FAR     "2001:db8::1"

static struct {
	struct addr addr;
	uint64_t until;
	uint16_t mtu;
	unsigned n;
} told;

static void on_router(void *ctx, uint16_t port, struct addr addr, uint64_t until, uint16_t mtu)
{
	(void)ctx;
	assert_int_equal(port, 0);
	told.addr = addr;
	told.until = until;
	told.mtu = mtu;
	told.n++;
}

// A port that hears routers, and has no configured route.
static int open_hearing(void **state)
{
	if (net6_open(state))
		return -1;
	memset(&told, 0, sizeof(told));
	net.ops.router = on_router;
	snap6.port[0].routes.n = 0;
	snap6.port[0].routers = ROUTERS_ADVERTISED;
	net_configure(&net, &snap6.s);
	return 0;
}

static struct frame advertisement(const char *src, uint16_t lifetime, uint32_t mtu)
{
	struct frame f = {0};
	const uint8_t all[6] = {0x33, 0x33, 0, 0, 0, 1};
	uint16_t n = mtu ? 32 : 24;
	uint8_t *h, *m;

	add_ethernet(&f, all, peer_mac, TYPE_IPV6);
	h = add_ipv6(&f, src, "ff02::1", IPPROTO_ICMPV6, 255, n);
	m = add(&f, NULL, n);
	m[0] = NDP_ROUTER_ADVERTISEMENT;
	put16(m + 6, lifetime);
	m[16] = 1; // its hardware address
	m[17] = 1;
	memcpy(m + 18, peer_mac, 6);
	if (mtu) {
		m[24] = 5;
		m[25] = 1;
		put32(m + 28, mtu);
	}
	icmp6_fix(h, m, n);
	return f;
}

static void advertise(const char *src, uint16_t lifetime, uint32_t mtu)
{
	struct frame f = advertisement(src, lifetime, mtu);

	receive(&f);
}

static bool reached_through(const char *router)
{
	struct net_path p;
	bool through;

	if (net_path_init(&net, &p, UINT16_MAX, (struct addr){0}, ip(FAR), 0) != 0)
		return false;
	through = addr_eq(net.neigh[p.neigh].addr, ip(router));
	net_path_release(&net, &p);
	return through;
}

static void an_advertisement_gives_a_default_route_for_its_lifetime(void **state)
{
	(void)state;
	struct net_path p;

	assert_false(reached_through(ROUTER));
	advertise(ROUTER, 100, 1400);
	tx_clear();
	p = path6(FAR);
	assert_true(addr_eq(p.local, ip(OURS)));
	assert_int_equal(p.mtu, 1400);
	output6(&p, 'x');
	assert_memory_equal(pkt_data(net.tx[0].v[net.tx[0].n - 1]), peer_mac, 6); // known at once
	net_path_release(&net, &p);
	p = path6(PEER); // the link is as it was, but for its MTU
	assert_true(addr_eq(net.neigh[p.neigh].addr, ip(PEER)));
	assert_int_equal(p.mtu, 1400);
	net_path_release(&net, &p);
	run_until(net.now + 99 * SECOND);
	assert_true(reached_through(ROUTER));
	run_until(net.now + 2 * SECOND);
	assert_false(reached_through(ROUTER));
	tx_clear();
}

static void a_lifetime_of_zero_takes_the_route_away(void **state)
{
	(void)state;
	advertise(ROUTER, 1800, 0);
	assert_true(reached_through(ROUTER));
	advertise(ROUTER, 0, 0);
	assert_false(reached_through(ROUTER));
	tx_clear();
}

static void what_is_not_from_a_router_of_this_link_is_refused(void **state)
{
	(void)state;
	struct frame f;
	unsigned bad = 0;

	for (unsigned i = 0; i < 6; i++) {
		f = advertisement(i == 0 ? PEER : ROUTER, 1800, 0);
		switch (i) {
		case 1:
			f.b[21] = 254; // over a router
			break;
		case 2:
			f.b[55] = 1; // code
			break;
		case 3:
			f.b[54 + 17] = 0; // an option without length
			break;
		case 4:
			f.b[54 + 17] = 2; // beyond the end
			break;
		case 5:
			put16(f.b + 18, 12); // too short
			f.n = 54 + 12;
			break;
		default:
			break;
		}
		icmp6_fix(f.b + 14, f.b + 54, f.n - 54);
		receive(&f);
		assert_int_equal(count(CTR_ndp_bad), ++bad);
		assert_false(reached_through(ROUTER));
	}
	f = advertisement("::1", 1800, 0);
	receive(&f);
	assert_false(reached_through(ROUTER));
	tx_clear();
}

// RFC 4861 6.3.4, RFC 8200 5.
static void an_mtu_that_cannot_be_is_ignored(void **state)
{
	(void)state;
	const uint32_t mtu[] = {0, 1, 1279, 1501, 9000, 0xffffffff};

	for (unsigned i = 0; i < 6; i++) {
		struct net_path p;

		advertise(ROUTER, 1800, mtu[i]);
		p = path6(FAR);
		assert_int_equal(p.mtu, 1500);
		net_path_release(&net, &p);
	}
	tx_clear();
}

static void ports_that_are_not_to_hear_routers_do_not(void **state)
{
	(void)state;
	snap6.port[0].routers = ROUTERS_CONFIGURED;
	net_configure(&net, &snap6.s);
	advertise(ROUTER, 1800, 1400);
	assert_int_equal(count(CTR_ndp_ignored), 1);
	assert_false(reached_through(ROUTER));
	tx_clear();
}

static void a_configuration_without_them_forgets_routers(void **state)
{
	(void)state;
	struct net_path p;

	advertise(ROUTER, 1800, 1400);
	snap6.port[0].routers = ROUTERS_CONFIGURED;
	net_configure(&net, &snap6.s);
	assert_false(reached_through(ROUTER));
	p = path6(PEER);
	assert_int_equal(p.mtu, 1500);
	net_path_release(&net, &p);
	tx_clear();
}

// A flood of routers puts out none that is good.
static void two_routers_are_kept_and_one_that_is_silent_is_passed_over(void **state)
{
	(void)state;
	struct net_path p;

	advertise(ROUTER, 1800, 0);
	advertise(ROUTER2, 1800, 0);
	for (unsigned i = 0; i < 100; i++) {
		char src[20];

		snprintf(src, sizeof(src), "fe80::1:%x", i);
		advertise(src, 1800, 0);
	}
	tx_clear();
	assert_true(reached_through(ROUTER));
	p = path6(FAR);
	for (unsigned i = 0; i < 10; i++) { // it does not answer any more
		output6(&p, 'x');
		run_until(net.now + SECOND);
	}
	assert_true(neigh_silent(&net, 0, ip(ROUTER)));
	assert_true(reached_through(ROUTER2));
	net_path_release(&net, &p);
	tx_clear();
}

static void other_workers_are_told_once(void **state)
{
	(void)state;
	advertise(ROUTER, 1800, 1400);
	assert_int_equal(told.n, 1);
	assert_true(addr_eq(told.addr, ip(ROUTER)));
	assert_int_equal(told.until, net.now + 1800 * SECOND);
	assert_int_equal(told.mtu, 1400);
	advertise(ROUTER, 1800, 1400);
	assert_int_equal(told.n, 1);
	advertise(ROUTER, 0, 0);
	assert_int_equal(told.n, 2);
	assert_true(net_router(&net, 0, ip(ROUTER2), net.now + SECOND, 0)); // and as they hear it
	assert_true(reached_through(ROUTER2));
	tx_clear();
}

// RFC 4861 6.3.7: three times, four seconds apart, until there is one.
static void routers_are_asked_for(void **state)
{
	(void)state;
	unsigned asked = 0;

	for (unsigned second = 0; second < 20; second++) {
		run_until(net.now + SECOND);
		for (unsigned i = 0; i < net.tx[0].n; i++) {
			const uint8_t *f = (const uint8_t *)pkt_data(net.tx[0].v[i]);

			if (f[54] != NDP_ROUTER_SOLICITATION)
				continue;
			asked++;
			assert_true(has_addr(f + 22, LOCAL) && has_addr(f + 38, "ff02::2"));
			assert_int_equal(f[21], 255);
			assert_memory_equal(f + 64, our_mac, 6);
			assert_int_equal(sum6(f + 14, f + 54, get16(f + 18), IPPROTO_ICMPV6), 0);
		}
		tx_clear();
	}
	assert_int_equal(asked, 3);
}

static int open_hearing_anew(void **state)
{
	if (net_open(state))
		return -1;
	snap6_make();
	snap6.port[0].routers = ROUTERS_ADVERTISED;
	net_configure(&net, &snap6.s);
	tx_clear();
	return 0;
}

#define HEARING(f) cmocka_unit_test_setup_teardown(f, open_hearing, net_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEARING(an_advertisement_gives_a_default_route_for_its_lifetime),
		HEARING(a_lifetime_of_zero_takes_the_route_away),
		HEARING(what_is_not_from_a_router_of_this_link_is_refused),
		HEARING(an_mtu_that_cannot_be_is_ignored),
		HEARING(ports_that_are_not_to_hear_routers_do_not),
		HEARING(a_configuration_without_them_forgets_routers),
		HEARING(two_routers_are_kept_and_one_that_is_silent_is_passed_over),
		HEARING(other_workers_are_told_once),
		cmocka_unit_test_setup_teardown(routers_are_asked_for, open_hearing_anew, net_close),
	};

	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
