#include "net/net.h"
#include "net/arp.h"
#include "net/neigh.h"
#include "net/own.h"
#include "net/reassembly.h"
#include "net/route.h"
#include "net/router.h"

int net_init(struct net *n, struct arena *a, struct pkt_pool *pool, struct worker_stats *stats,
	     struct port_stats *port_stats, struct wheel *wheel, struct hash_key key, uint32_t neighbours)
{
	*n = (struct net){
		.pool = pool,
		.stats = stats,
		.wheel = wheel,
		.port_stats = port_stats,
		.key = key,
	};
	int err = own_init(n, a);

	if (err == 0)
		err = reassembly_init(n, a);
	return err ? err : neigh_init(n, a, neighbours);
}

void net_fini(struct net *n)
{
	neigh_fini(n);
	own_fini(n);
	reassembly_fini(n);
	for (uint32_t p = 0; p < SNAP_PORTS_MAX; p++) {
		for (uint32_t i = 0; i < n->tx[p].n; i++)
			pkt_free_chain(n->tx[p].v[i]);
		n->tx[p].n = 0;
	}
}

static bool had(const struct snap_address *v, uint32_t count, struct addr addr)
{
	for (uint32_t i = 0; i < count; i++)
		if (addr_eq(v[i].addr, addr))
			return true;
	return false;
}

// Those of ours, and the broadcast addresses of their networks, with all ones or all zeros in their part of the
// host.
static void special_find(struct net *n)
{
	memset(n->special, 0, sizeof(n->special));
	for (uint32_t p = 0; p < n->n_ports; p++)
		for (uint32_t i = 0; i < n->port[p].n_addresses; i++) {
			const struct snap_address *a = &n->port[p].addresses[i];
			uint32_t v4 = addr_v4(a->addr), host;

			if (!addr_is_v4(a->addr))
				continue;
			host = a->prefix >= 96 && a->prefix < 128
				       ? __builtin_bswap32(UINT32_MAX >> (a->prefix - 96))
				       : 0;
			special_set(n, v4);
			special_set(n, v4 | host);
			special_set(n, v4 & ~host);
		}
	n->special_known = true;
}

void net_configure(struct net *n, const struct snapshot *s)
{
	const struct snap_port *conf = snap_at(s, s->ports);

	n->n_ports = s->ports.n < SNAP_PORTS_MAX ? s->ports.n : SNAP_PORTS_MAX;
	for (uint32_t p = 0; p < n->n_ports; p++) {
		struct net_port *np = &n->port[p], old = *np;

		np->here = 0;
		np->vlan = conf[p].vlan;
		if (np->mtu == 0)
			np->mtu = conf[p].mtu;
		np->addresses = snap_at(s, conf[p].addresses);
		np->n_addresses = conf[p].addresses.n;
		np->routes = snap_at(s, conf[p].routes);
		np->n_routes = conf[p].routes.n;
		for (uint32_t i = 0; i < np->n_addresses; i++)
			if (addr_is_v4(np->addresses[i].addr) &&
			    !had(old.addresses, old.n_addresses, np->addresses[i].addr))
				arp_announce(n, (uint16_t)p, np->addresses[i].addr);
		np->hear_routers = conf[p].routers == ROUTERS_ADVERTISED;
		if (!np->hear_routers) {
			memset(np->router, 0, sizeof(np->router));
			np->advertised_mtu = 0;
		}
		own_configure(n, (uint16_t)p);
		if (np->hear_routers && !old.hear_routers && own_usable(n, (uint16_t)p, np->link_local.addr))
			(void)router_solicit(n, (uint16_t)p);
	}
	special_find(n);
}
