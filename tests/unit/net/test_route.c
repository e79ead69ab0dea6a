#include "tests/unit/net/fixture.h"
#include <errno.h>

static const struct addr any;

// The protocol address that a new path asks for.
static struct addr next_hop(uint16_t port)
{
	uint32_t n, v4;
	unsigned header = port == 1 ? 18 : 14;

	memcpy(&v4, sent_on(port, &n) + header + 24, 4);
	tx_clear();
	return addr_from_v4(v4);
}

static struct net_path made(uint16_t port, const char *remote)
{
	struct net_path p;

	assert_int_equal(net_path_init(&net, &p, port, any, ip(remote), 0), 0);
	return p;
}

static void on_link_hosts_are_reached_directly_from_the_address_of_their_prefix(void **state)
{
	(void)state;
	struct net_path p = made(UINT16_MAX, "198.18.1.77");

	assert_int_equal(p.port, 1);
	assert_true(addr_eq(p.local, ip("198.18.1.1")));
	assert_true(addr_eq(p.remote, ip("198.18.1.77")));
	assert_int_equal(p.mtu, 1500);
	assert_true(addr_eq(next_hop(1), ip("198.18.1.77")));
	net_path_release(&net, &p);
}

static void others_are_reached_through_the_gateway(void **state)
{
	(void)state;
	struct net_path p = made(UINT16_MAX, "198.19.5.5");

	assert_int_equal(p.port, 0);
	assert_true(addr_eq(p.local, ip("198.18.0.1")));
	assert_true(addr_eq(next_hop(0), ip("198.18.0.254")));
	net_path_release(&net, &p);
}

static void the_longest_prefix_wins(void **state)
{
	(void)state;
	static struct snap_netroute routes[3];
	struct net_path p;

	routes[0] = (struct snap_netroute){.dst = ip("0.0.0.0"), .gateway = ip("198.18.0.200"), .prefix = 96};
	routes[1] = (struct snap_netroute){
		.dst = ip("198.19.7.0"), .gateway = ip("198.18.0.201"), .prefix = 96 + 24};
	routes[2] = (struct snap_netroute){
		.dst = ip("198.19.0.0"), .gateway = ip("198.18.0.202"), .prefix = 96 + 16};
	net.port[0].routes = routes;
	net.port[0].n_routes = 3;
	p = made(UINT16_MAX, "198.19.7.1");
	assert_true(addr_eq(next_hop(0), ip("198.18.0.201")));
	net_path_release(&net, &p);
	p = made(UINT16_MAX, "198.19.8.1");
	assert_true(addr_eq(next_hop(0), ip("198.18.0.202")));
	net_path_release(&net, &p);
	p = made(UINT16_MAX, "198.17.0.1");
	assert_true(addr_eq(next_hop(0), ip("198.18.0.200")));
	net_path_release(&net, &p);
	p = made(UINT16_MAX, "198.18.0.9"); // on-link is longer than the default route
	assert_true(addr_eq(next_hop(0), ip("198.18.0.9")));
	net_path_release(&net, &p);
}

static void the_port_may_be_given(void **state)
{
	(void)state;
	struct net_path p;

	assert_int_equal(net_path_init(&net, &p, 1, any, ip("198.18.0.9"), 0), -ENETUNREACH);
	assert_int_equal(net_path_init(&net, &p, 9, any, ip("198.18.0.9"), 0), -ENETUNREACH);
	p = made(0, "198.18.0.9");
	net_path_release(&net, &p);
	tx_clear();
}

static void what_no_route_covers_is_unreachable(void **state)
{
	(void)state;
	const char *remote[] = {"203.0.113.1", "0.0.0.0",    "127.0.0.1",     "224.0.0.1",       "198.18.0.255",
				"198.18.0.1",  "198.18.1.1", "fd00:c6:12::1", "255.255.255.255", "::"};
	struct net_path p;

	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(net_path_init(&net, &p, UINT16_MAX, any, ip(remote[i]), 0), -ENETUNREACH);
		assert_int_equal(count(CTR_ip_no_route), i + 1);
	}
	assert_int_equal(net.tx[0].n + net.tx[1].n, 0);
}

static void the_local_address_may_be_given(void **state)
{
	(void)state;
	struct net_path p;

	assert_int_equal(net_path_init(&net, &p, 1, ip("198.18.1.2"), ip("198.18.1.9"), 0), 0);
	assert_true(addr_eq(p.local, ip("198.18.1.2")));
	net_path_release(&net, &p);
	tx_clear();
}

static void a_hint_is_used_only_where_it_is_right(void **state)
{
	(void)state;
	struct net_path a = made(0, "198.18.0.9"), b = made(0, "198.18.0.10"), c;

	assert_int_equal(net_path_init(&net, &c, 0, any, ip("198.18.0.9"), a.neigh), 0);
	assert_int_equal(c.neigh, a.neigh);
	net_path_release(&net, &c);
	assert_int_equal(net_path_init(&net, &c, 0, any, ip("198.18.0.9"), b.neigh), 0);
	assert_int_equal(c.neigh, a.neigh);
	net_path_release(&net, &c);
	assert_int_equal(net_path_init(&net, &c, 0, any, ip("198.18.0.9"), 60000), 0);
	assert_int_equal(c.neigh, a.neigh);
	net_path_release(&net, &c);
	net_path_release(&net, &c); // a second time is harmless
	net_path_release(&net, &a);
	net_path_release(&net, &b);
	tx_clear();
}

static void local_addresses_are_those_of_the_port(void **state)
{
	(void)state;
	assert_true(net_is_local(&net, 0, ip("198.18.0.1")));
	assert_false(net_is_local(&net, 0, ip("198.18.1.1")));
	assert_true(net_is_local(&net, UINT16_MAX, ip("198.18.1.1")));
	assert_false(net_is_local(&net, UINT16_MAX, ip("198.18.1.3")));
}

static void a_point_to_point_prefix_has_no_broadcast_address(void **state)
{
	(void)state;
	struct net_path p;

	snap.address[0].prefix = 96 + 31; // RFC 3021
	assert_int_equal(net_path_init(&net, &p, 0, any, ip("198.18.0.0"), 0), 0);
	net_path_release(&net, &p);
	tx_clear();
}

static void only_timers_of_the_table_are_ours(void **state)
{
	(void)state;
	struct timer t = {0};

	assert_false(net_owns_timer(&net, &t));
	assert_true(net_owns_timer(&net, &net.neigh[1].timer));
	assert_true(net_owns_timer(&net, &net.neigh[NEIGHBOURS - 1].timer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(on_link_hosts_are_reached_directly_from_the_address_of_their_prefix),
		NET_TEST(others_are_reached_through_the_gateway),
		NET_TEST(the_longest_prefix_wins),
		NET_TEST(the_port_may_be_given),
		NET_TEST(what_no_route_covers_is_unreachable),
		NET_TEST(the_local_address_may_be_given),
		NET_TEST(a_hint_is_used_only_where_it_is_right),
		NET_TEST(local_addresses_are_those_of_the_port),
		NET_TEST(a_point_to_point_prefix_has_no_broadcast_address),
		NET_TEST(only_timers_of_the_table_are_ours),
	};
	return net_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
