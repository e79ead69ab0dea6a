#include "net/ethernet.h"
#include "net/arp.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/usual.h"
#include "net/wire.h"

const uint8_t mac_broadcast[MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

// Room for every header up to the end of TCP's options: with so much in the first buffer of a chain, no layer
// needs to look into the second one for a header.
#define HEADERS_MAX (ETHERNET_HEADER + ETHERNET_VLAN + 60 + 60)

// A chain whose headers are scattered, or that has too many buffers, becomes one buffer. NULL: it was dropped.
static struct pkt *gathered(struct net *n, struct pkt *p)
{
	struct pkt *copy;

	if (pkt_len(p) >= HEADERS_MAX && pkt_mbuf(p)->nb_segs <= PKT_CHAIN_MAX)
		return p;
	copy = pkt_copy(p, n->pool);
	if (copy)
		pkt_free_chain(p);
	else
		net_drop(n, p, CTR_rx_no_buffer);
	return copy;
}

// One frame; a TCP segment in it is put to *seg and true returned, anything else is consumed.
static bool input_one(struct net *n, uint16_t port, struct pkt *p, struct net_seg *seg)
{
	const struct net_port *np = &n->port[port];
	unsigned header = ETHERNET_HEADER, vlan = 0;
	const uint8_t *frame;
	uint16_t type;
	bool multicast;

	if (pkt_next(p) && !(p = gathered(n, p)))
		return false;
	frame = (const uint8_t *)pkt_data(p);
	if (pkt_len(p) < ETHERNET_HEADER || !mac_is_station(frame + 6) || mac_eq(frame + 6, np->mac)) {
		net_drop(n, p, CTR_rx_bad_ethernet);
		return false;
	}
	multicast = frame[0] & 1;
	if (!multicast && !mac_eq(frame, np->mac)) {
		net_drop(n, p, CTR_rx_not_for_us_mac);
		return false;
	}
	type = get16(frame + 12);
	if (type == TYPE_VLAN) {
		if (pkt_len(p) < ETHERNET_HEADER + ETHERNET_VLAN) {
			net_drop(n, p, CTR_rx_bad_ethernet);
			return false;
		}
		vlan = get16(frame + 14) & 0xfff; // 0 is a priority tag: the frame counts as untagged
		type = get16(frame + 16);
		header += ETHERNET_VLAN;
	}
	if (vlan != np->vlan) {
		net_drop(n, p, CTR_rx_wrong_vlan);
		return false;
	}
	pkt_adj(p, header);
	switch (type) {
	case TYPE_IPV4:
		// A unicast datagram in a broadcast frame must not be answered (RFC 1122 3.3.6), and we take
		// no broadcast or multicast datagrams.
		if (multicast) {
			net_drop(n, p, CTR_ip_not_for_us);
			return false;
		}
		return ipv4_input(n, port, p, seg);
	case TYPE_ARP:
		arp_input(n, port, p);
		return false;
	case TYPE_IPV6:
		return ipv6_input(n, port, p, multicast, seg);
	default:
		net_drop(n, p, CTR_rx_unknown_ethertype);
		return false;
	}
}

void net_input(struct net *n, uint16_t port, struct pkt **v, unsigned count)
{
	struct net_seg seg[NET_BURST];
	struct usual usual;
	unsigned segs = 0;

	usual_make(n, port, &usual);

	for (unsigned i = 0; i < count; i++)
		__builtin_prefetch(pkt_data(v[i]));
	for (unsigned i = 0; i < count; i++)
		if (usual_input(n, port, &usual, v[i], &seg[segs]) || input_one(n, port, v[i], &seg[segs]))
			segs++;
	if (segs > 0)
		n->ops.tcp(n->ops.ctx, seg, segs);
}

static inline void put_header(const struct net_port *np, struct pkt *p, const uint8_t *to, const uint8_t *from,
			      uint16_t type)
{
	char *frame = pkt_prepend(p, ethernet_header(np));

	memcpy(frame, to, MAC_LEN);
	memcpy(frame + 6, from, MAC_LEN);
	if (np->vlan) {
		put16(frame + 12, TYPE_VLAN);
		put16(frame + 14, np->vlan);
		put16(frame + 16, type);
	} else {
		put16(frame + 12, type);
	}
}

static void restore(const struct net_port *port, struct pkt *p, uint16_t type)
{
	static const uint8_t somebody[MAC_LEN] = {2, 0, 0, 0, 0, 0xfe}; // who it was is of no further interest

	put_header(port, p, port->mac, somebody, type);
}

bool ethernet_elsewhere(struct net *n, uint16_t port, struct pkt *p, uint16_t type)
{
	const struct net_port *np = &n->port[port];

	if (!n->ops.elsewhere)
		return false;
	restore(np, p, type);
	if (n->ops.elsewhere(n->ops.ctx, port, p))
		return true;
	pkt_adj(p, ethernet_header(np));
	return false;
}

void ethernet_output(struct net *n, uint16_t port, struct pkt *p, const uint8_t mac[MAC_LEN], uint16_t type)
{
	const struct net_port *np = &n->port[port];
	struct net_txq *q = &n->tx[port];

	if (q->n == NET_TXQ) {
		stat_add(&n->port_stats[port].tx_dropped, 1);
		net_drop(n, p, CTR_tx_full);
		return;
	}
	put_header(np, p, mac, np->mac, type);
	pkt_set_port(p, port);
	q->v[q->n++] = p;
}
