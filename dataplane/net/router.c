#include "net/router.h"
#include "net/icmp6.h"
#include "net/ndp.h"
#include "net/neigh.h"
#include "net/wire.h"

enum { AT_LIFETIME = 6, ADVERTISEMENT_LEN = 16, SOLICITATION_LEN = 8, OPTION_LEN = 8 };
#define SECOND 1000000000ull

static const struct addr all_routers = {.b = {0xff, 2, [15] = 2}};

bool router_default(const struct net *n, uint16_t port, struct addr *hop)
{
	const struct net_port *np = &n->port[port];
	bool found = false;

	for (unsigned i = 0; i < NET_ROUTERS && np->hear_routers; i++) {
		if (np->router[i].until <= n->now)
			continue;
		if (!found)
			*hop = np->router[i].addr;
		found = true;
		if (!neigh_silent(n, port, np->router[i].addr)) {
			*hop = np->router[i].addr;
			return true;
		}
	}
	return found;
}

bool net_router(struct net *n, uint16_t port, struct addr addr, uint64_t until, uint16_t mtu)
{
	struct net_port *np = &n->port[port];
	struct net_router *r = NULL;
	bool changed;

	if (port >= n->n_ports || !np->hear_routers)
		return false;
	changed = mtu != 0 && mtu != np->advertised_mtu;
	if (mtu != 0)
		np->advertised_mtu = mtu;
	for (unsigned i = 0; i < NET_ROUTERS; i++)
		if (addr_eq(np->router[i].addr, addr))
			r = &np->router[i];
	// Who is new takes the place of none that is still good: a flood of routers changes nothing.
	for (unsigned i = 0; i < NET_ROUTERS && !r; i++)
		if (np->router[i].until <= n->now)
			r = &np->router[i];
	if (!r)
		return changed;
	changed |= !addr_eq(r->addr, addr) || r->until > until || until - r->until > SECOND;
	*r = (struct net_router){.addr = addr, .until = until};
	return changed;
}

// RFC 4861 6.1.2.
void router_input(struct net *n, struct net_seg *seg, const struct ipv6_facts *facts)
{
	const uint8_t *ndp = (const uint8_t *)pkt_data(seg->pkt);
	uint32_t len = pkt_len(seg->pkt);
	struct net_port *np = &n->port[seg->port];
	struct ndp_options o;
	uint16_t lifetime, mtu = 0;
	uint64_t until;

	if (seg->ttl != IPV6_HOPS_LINK || facts->fragmented || !ipv6_is_link_local(seg->src) ||
	    len < ADVERTISEMENT_LEN || ndp[1] != 0 || !ndp_options(ndp, ADVERTISEMENT_LEN, len, &o) ||
	    (o.source && !mac_is_station(o.source))) {
		net_drop(n, seg->pkt, CTR_ndp_bad);
		return;
	}
	lifetime = get16(ndp + AT_LIFETIME);
	if (o.mtu >= IPV6_MTU_MIN && o.mtu <= np->mtu) // RFC 4861 6.3.4
		mtu = (uint16_t)o.mtu;
	until = lifetime ? n->now + lifetime * SECOND : 0;
	if (net_router(n, seg->port, seg->src, until, mtu) && n->ops.router)
		n->ops.router(n->ops.ctx, seg->port, seg->src, until, mtu);
	for (unsigned i = 0; i < NET_ROUTERS && o.source; i++)
		if (addr_eq(np->router[i].addr, seg->src)) // no others: they would put out neighbours
			neigh_solicited(n, seg->port, seg->src, o.source);
	pkt_free_chain(seg->pkt);
}

bool router_solicit(struct net *n, uint16_t port)
{
	const struct net_port *np = &n->port[port];
	struct addr hop;
	struct pkt *p;
	uint8_t *ndp;

	if (router_default(n, port, &hop))
		return false;
	p = pkt_alloc(n->pool);
	if (!p)
		return true;
	ndp = (uint8_t *)pkt_append(p, SOLICITATION_LEN + OPTION_LEN);
	memset(ndp, 0, SOLICITATION_LEN);
	ndp[0] = NDP_ROUTER_SOLICITATION;
	ndp[SOLICITATION_LEN] = 1;
	ndp[SOLICITATION_LEN + 1] = 1;
	memcpy(ndp + SOLICITATION_LEN + 2, np->mac, MAC_LEN);
	net_count(n, CTR_ndp_tx);
	ipv6_send(n, port, np->link_local.addr, all_routers, NULL, IPV6_HOPS_LINK, false, p);
	return true;
}
