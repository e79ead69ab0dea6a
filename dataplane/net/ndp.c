#include "net/ndp.h"
#include "net/icmp6.h"
#include "net/neigh.h"
#include "net/own.h"
#include "net/route.h"
#include "net/router.h"
#include "net/wire.h"

enum { AT_FLAGS = 4, AT_TARGET = 8, NDP_LEN = 24, OPTION_LEN = 8 };
enum { OPTION_SOURCE = 1, OPTION_TARGET = 2, OPTION_MTU = 5 };
#define FLAG_SOLICITED 0x40000000u
#define FLAG_OVERRIDE  0x20000000u

struct message {
	struct addr target;
	uint32_t flags;
	const uint8_t *mac; // of the option that belongs to the message; NULL: there is none
};

// RFC 4861 4.6. Others' options are skipped.
bool ndp_options(const uint8_t *ndp, uint32_t at, uint32_t n, struct ndp_options *o)
{
	*o = (struct ndp_options){0};
	while (at < n) {
		uint32_t len = n - at < 2 ? 0 : 8u * ndp[at + 1];

		if (len == 0 || len > n - at)
			return false;
		if (len == OPTION_LEN && ndp[at] == OPTION_SOURCE)
			o->source = ndp + at + 2;
		else if (len == OPTION_LEN && ndp[at] == OPTION_TARGET)
			o->target = ndp + at + 2;
		else if (len == OPTION_LEN && ndp[at] == OPTION_MTU)
			o->mtu = get32(ndp + at + 4);
		at += len;
	}
	return true;
}

// RFC 4861 7.1: everything that makes a message invalid.
static bool parse(const struct net_seg *seg, const struct ipv6_facts *facts, struct message *m)
{
	const uint8_t *ndp = (const uint8_t *)pkt_data(seg->pkt);
	uint32_t n = pkt_len(seg->pkt);
	bool solicitation = ndp[0] == NDP_SOLICITATION, from_nobody = addr_is_any(seg->src);
	struct ndp_options o;

	// RFC 6980 5: never in fragments.
	if (seg->ttl != IPV6_HOPS_LINK || facts->fragmented || ndp[1] != 0 || n < NDP_LEN)
		return false;
	*m = (struct message){.flags = get32(ndp + AT_FLAGS)};
	memcpy(m->target.b, ndp + AT_TARGET, 16);
	if (addr_is_v4(m->target) || !route_is_host(m->target))
		return false;
	if (!ndp_options(ndp, NDP_LEN, n, &o))
		return false;
	m->mac = solicitation ? o.source : o.target;
	if (m->mac && !mac_is_station(m->mac))
		return false;
	if (solicitation)
		return !from_nobody || (facts->multicast && !addr_eq(seg->dst, ipv6_all_nodes) && !m->mac);
	return !from_nobody && !(facts->multicast && (m->flags & FLAG_SOLICITED));
}

// A message with one option, or none where mac is NULL.
static struct pkt *build(struct net *n, uint8_t type, uint32_t flags, struct addr target, uint8_t option,
			 const uint8_t *mac)
{
	struct pkt *p = pkt_alloc(n->pool);
	uint8_t *ndp;

	if (!p)
		return NULL;
	ndp = (uint8_t *)pkt_append(p, NDP_LEN + (mac ? OPTION_LEN : 0));
	memset(ndp, 0, AT_FLAGS);
	ndp[0] = type;
	put32(ndp + AT_FLAGS, flags);
	memcpy(ndp + AT_TARGET, target.b, 16);
	if (mac) {
		ndp[NDP_LEN] = option;
		ndp[NDP_LEN + 1] = 1;
		memcpy(ndp + NDP_LEN + 2, mac, MAC_LEN);
	}
	net_count(n, CTR_ndp_tx);
	return p;
}

static void advertise(struct net *n, uint16_t port, struct addr target, struct addr to, const uint8_t *mac,
		      uint32_t flags)
{
	struct pkt *p = build(n, NDP_ADVERTISEMENT, flags, target, OPTION_TARGET, n->port[port].mac);

	if (p)
		ipv6_send(n, port, target, to, mac, IPV6_HOPS_LINK, false, p);
}

// The asker's own hardware address, where it did not say it, is resolved like anybody's.
static void answer(struct net *n, const struct net_seg *seg, const struct message *m)
{
	struct net_path path;

	if (addr_is_any(seg->src)) {
		// RFC 4861 7.2.4: somebody who has no address yet wants to know whether he may take ours.
		advertise(n, seg->port, m->target, ipv6_all_nodes, NULL, FLAG_OVERRIDE);
		return;
	}
	if (m->mac) {
		advertise(n, seg->port, m->target, seg->src, m->mac, FLAG_SOLICITED | FLAG_OVERRIDE);
		return;
	}
	if (net_path_init(n, &path, seg->port, m->target, seg->src, 0) != 0)
		return;
	const struct net_neigh *e = &n->neigh[path.neigh];
	if (neigh_has_mac(e))
		advertise(n, seg->port, m->target, seg->src, e->mac, FLAG_SOLICITED | FLAG_OVERRIDE);
	net_path_release(n, &path);
}

static void solicitation(struct net *n, const struct net_seg *seg, const struct message *m)
{
	uint16_t port = seg->port;

	if (net_is_local(n, port, seg->src)) {
		net_count(n, CTR_neigh_conflict);
		return;
	}
	if (!net_is_local(n, port, m->target)) {
		net_count(n, CTR_ndp_ignored);
		return;
	}
	if (!own_usable(n, port, m->target)) {
		// RFC 4862 5.4.3: another one asks for the same address at the same time.
		if (addr_is_any(seg->src))
			own_conflict(n, port, m->target, true);
		return;
	}
	if (m->mac && route_is_neighbour(n, port, seg->src))
		neigh_solicited(n, port, seg->src, m->mac);
	answer(n, seg, m);
}

static void advertisement(struct net *n, const struct net_seg *seg, const struct message *m)
{
	uint16_t port = seg->port;

	if (net_is_local(n, port, m->target)) {
		own_conflict(n, port, m->target, true);
		return;
	}
	if (route_is_neighbour(n, port, m->target))
		neigh_advertised(n, port, m->target, m->mac, m->flags & FLAG_SOLICITED,
				 m->flags & FLAG_OVERRIDE);
	else
		net_count(n, CTR_ndp_ignored);
}

void ndp_input(struct net *n, struct net_seg *seg, const struct ipv6_facts *facts)
{
	uint8_t type = (uint8_t)pkt_data(seg->pkt)[0];
	struct message m;

	net_count(n, CTR_ndp_rx);
	if (type == NDP_ROUTER_ADVERTISEMENT && n->port[seg->port].hear_routers) {
		router_input(n, seg, facts);
		return;
	}
	// Else routers and routes are configured: what routers say, and whoever pretends to be one, changes
	// nothing.
	if (type != NDP_SOLICITATION && type != NDP_ADVERTISEMENT) {
		net_drop(n, seg->pkt, CTR_ndp_ignored);
		return;
	}
	if (!parse(seg, facts, &m)) {
		net_drop(n, seg->pkt, CTR_ndp_bad);
		return;
	}
	if (type == NDP_SOLICITATION)
		solicitation(n, seg, &m);
	else
		advertisement(n, seg, &m);
	pkt_free_chain(seg->pkt);
}

void ndp_solicit(struct net *n, uint16_t port, struct addr source, struct addr target, const uint8_t *mac)
{
	struct pkt *p = build(n, NDP_SOLICITATION, 0, target, OPTION_SOURCE, n->port[port].mac);

	if (p) // else asked again by the entry's timer
		ipv6_send(n, port, source, mac ? target : ipv6_solicited_node(target), mac, IPV6_HOPS_LINK,
			  false, p);
}

bool ndp_probe(struct net *n, uint16_t port, struct addr target)
{
	struct pkt *p = build(n, NDP_SOLICITATION, 0, target, 0, NULL);

	if (p)
		ipv6_send(n, port, (struct addr){0}, ipv6_solicited_node(target), NULL, IPV6_HOPS_LINK, false,
			  p);
	return p != NULL;
}

void ndp_announce(struct net *n, uint16_t port, struct addr target)
{
	advertise(n, port, target, ipv6_all_nodes, NULL, FLAG_OVERRIDE);
}
