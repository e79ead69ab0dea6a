#include "net/route.h"
#include "net/ethernet.h"
#include "net/ipv6.h"
#include "net/neigh.h"
#include "net/own.h"
#include "net/router.h"
#include <errno.h>

// An IPv6 prefix shorter than 96 bits never means an IPv4-mapped address.
static bool covers(struct addr net, uint32_t prefix, struct addr addr)
{
	return addr_is_v4(net) == addr_is_v4(addr) && addr_in_prefix(addr, net, prefix);
}

bool net_is_local(const struct net *n, uint16_t port, struct addr addr)
{
	uint32_t from = port == UINT16_MAX ? 0 : port, to = port == UINT16_MAX ? n->n_ports : port + 1u;

	for (uint32_t p = from; p < to; p++) {
		const struct net_port *np = &n->port[p];
		bool own = addr_eq(np->link_local.addr, addr) && !addr_is_any(addr);

		for (uint32_t i = 0; i < np->n_addresses && !own; i++)
			own = addr_eq(np->addresses[i].addr, addr);
		if (own)
			return n->own_unusable == 0 || own_state(n, (uint16_t)p, addr) != OWN_DUPLICATE;
	}
	return false;
}

// The prefix of this port that covers addr, the longest; NULL: it is not on this link.
static const struct snap_address *on_link(const struct net_port *np, struct addr addr)
{
	const struct snap_address *best = NULL;

	for (uint32_t i = 0; i < np->n_addresses; i++) {
		const struct snap_address *a = &np->addresses[i];

		if (covers(a->addr, a->prefix, addr) && (!best || a->prefix > best->prefix))
			best = a;
	}
	if (!best && !addr_is_any(np->link_local.addr) && covers(np->link_local.addr, 64, addr))
		best = &np->link_local;
	return best;
}

bool route_is_broadcast(const struct net *n, uint16_t port, struct addr addr)
{
	const struct net_port *np = &n->port[port];

	for (uint32_t i = 0; i < np->n_addresses; i++) {
		const struct snap_address *a = &np->addresses[i];
		uint32_t host, v;

		// A prefix of 31 bits has no broadcast address (RFC 3021), one of 32 no room for it.
		if (!addr_is_v4(addr) || !addr_is_v4(a->addr) || a->prefix > 96 + 30 ||
		    !addr_in_prefix(addr, a->addr, a->prefix))
			continue;
		host = UINT32_MAX >> (a->prefix - 96);
		v = __builtin_bswap32(addr_v4(addr)) & host;
		if (v == host || v == 0)
			return true;
	}
	return false;
}

bool route_is_host(struct addr addr)
{
	if (addr_is_v4(addr))
		return route_is_host_v4(addr_v4(addr));
	return addr.b[0] != 0xff && !addr_is_any(addr) &&
	       !(addr.w[0] == 0 && addr.w[1] == __builtin_bswap64(1));
}

enum counter route_source_fault(struct addr src, struct addr dst)
{
	if (!route_is_host(src))
		return CTR_ip_martian;
	return addr_eq(src, dst) ? CTR_ip_land : CTR_ip_bad_source;
}

bool route_is_neighbour(const struct net *n, uint16_t port, struct addr addr)
{
	return route_is_host(addr) && on_link(&n->port[port], addr) && !net_is_local(n, port, addr) &&
	       !route_is_broadcast(n, port, addr);
}

static unsigned common_bits(struct addr a, struct addr b)
{
	for (unsigned i = 0; i < 2; i++)
		if (a.w[i] != b.w[i])
			return 64 * i + (unsigned)__builtin_clzll(__builtin_bswap64(a.w[i] ^ b.w[i]));
	return 128;
}

// RFC 6724 5: the remote's scope, then what may be used at once, then the longest prefix in common.
static bool source6(const struct net *n, uint16_t port, struct addr remote, struct addr *out)
{
	const struct net_port *np = &n->port[port];
	unsigned best = 0, score;

	if (ipv6_is_link_local(remote)) {
		*out = np->link_local.addr;
		return !addr_is_any(*out) && own_state(n, port, *out) != OWN_DUPLICATE;
	}
	for (uint32_t i = 0; i < np->n_addresses; i++) {
		struct addr a = np->addresses[i].addr;

		if (addr_is_v4(a) || own_state(n, port, a) == OWN_DUPLICATE)
			continue;
		score = 1 + common_bits(a, remote) + (own_usable(n, port, a) ? 256 : 0);
		if (score > best) {
			best = score;
			*out = a;
		}
	}
	return best > 0;
}

bool route_source(const struct net *n, uint16_t port, struct addr neighbour, struct addr *out)
{
	const struct net_port *np = &n->port[port];
	const struct snap_address *a;

	if (!addr_is_v4(neighbour))
		return source6(n, port, neighbour, out);
	a = on_link(np, neighbour);

	for (uint32_t i = 0; !a && i < np->n_addresses; i++)
		if (addr_is_v4(np->addresses[i].addr) == addr_is_v4(neighbour))
			a = &np->addresses[i];
	if (a)
		*out = a->addr;
	return a != NULL;
}

// The length of the longest prefix through which this port reaches remote, and the next hop on it; -1: none.
static int next_hop(const struct net *n, uint16_t port, struct addr remote, struct addr *hop)
{
	const struct net_port *np = &n->port[port];
	const struct snap_address *a = on_link(np, remote);
	int best = a ? (int)a->prefix : -1;

	*hop = remote;
	for (uint32_t i = 0; i < np->n_routes; i++) {
		const struct snap_netroute *r = &np->routes[i];

		if ((int)r->prefix > best && covers(r->dst, r->prefix, remote)) {
			best = (int)r->prefix;
			*hop = r->gateway;
		}
	}
	if (best < 0 && !addr_is_v4(remote) && router_default(n, port, hop))
		return 0;
	return best;
}

// Neither ours nor a broadcast address.
static bool is_elsewhere(const struct net *n, uint16_t port, struct addr addr)
{
	if (addr_is_v4(addr) && n->special_known && !special_has(n, addr_v4(addr)))
		return true;
	return !route_is_broadcast(n, port, addr) && !net_is_local(n, UINT16_MAX, addr);
}

int net_path_init(struct net *n, struct net_path *p, uint16_t port, struct addr local, struct addr remote,
		  uint16_t hint)
{
	uint32_t from = port == UINT16_MAX ? 0 : port, to = port == UINT16_MAX ? n->n_ports : port + 1u;
	struct addr hop = remote, h;
	bool answer = !addr_is_any(local);
	int best = -1, len;

	for (uint32_t i = from; i < to && i < n->n_ports; i++) {
		len = next_hop(n, (uint16_t)i, remote, &h);
		if (len > best) {
			best = len;
			hop = h;
			port = (uint16_t)i;
		}
	}
	if (best < 0 || !route_is_host(remote) || !is_elsewhere(n, port, remote) ||
	    (addr_is_any(local) && !route_source(n, port, addr_is_v4(hop) ? hop : remote, &local))) {
		net_count(n, CTR_ip_no_route);
		return -ENETUNREACH;
	}
	*p = (struct net_path){.local = local, .remote = remote, .port = port, .mtu = n->port[port].mtu};
	if (!addr_is_v4(remote) && n->port[port].advertised_mtu)
		p->mtu = n->port[port].advertised_mtu;
	if (hint > 0 && hint < n->n_neigh && n->neigh[hint].state != NEIGH_FREE &&
	    n->neigh[hint].port == port && addr_eq(n->neigh[hint].addr, hop)) {
		neigh_ref(n, hint);
		p->neigh = hint;
		return 0;
	}
	p->neigh = neigh_get(n, port, hop, answer);
	if (p->neigh == 0) {
		net_count(n, CTR_neigh_table_full);
		return -ENOBUFS;
	}
	return 0;
}

void net_path_release(struct net *n, struct net_path *p)
{
	if (p->neigh != 0)
		neigh_put(n, p->neigh);
	p->neigh = 0;
}
