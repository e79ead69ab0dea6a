#include "net/arp.h"
#include "net/neigh.h"
#include "net/route.h"
#include "net/wire.h"

// For Ethernet and IPv4: hardware type, protocol type, lengths, operation; sender's hardware and protocol
// address; target's.
enum { ARP_OP = 6, ARP_SHA = 8, ARP_SPA = 14, ARP_THA = 18, ARP_TPA = 24, ARP_LEN = 28 };
enum { OP_REQUEST = 1, OP_REPLY = 2 };

static const uint8_t arp_ethernet_ipv4[ARP_OP] = {0, 1, 0x08, 0x00, 6, 4};

static struct addr addr_at(const uint8_t *p)
{
	uint32_t v4;

	memcpy(&v4, p, 4);
	return addr_from_v4(v4);
}

static void put_addr(uint8_t *p, struct addr a)
{
	memcpy(p, &a.b[12], 4);
}

static bool well_formed(const struct net_port *np, const uint8_t *arp, uint32_t n)
{
	return n >= ARP_LEN && memcmp(arp, arp_ethernet_ipv4, sizeof(arp_ethernet_ipv4)) == 0 &&
	       (get16(arp + ARP_OP) == OP_REQUEST || get16(arp + ARP_OP) == OP_REPLY) &&
	       mac_is_station(arp + ARP_SHA) && !mac_eq(arp + ARP_SHA, np->mac);
}

// The request's buffer becomes the reply, so that an empty pool does not make us unreachable.
static void reply(struct net *n, uint16_t port, struct pkt *p)
{
	uint8_t *arp = (uint8_t *)pkt_data(p), asked[4], mac[MAC_LEN];

	pkt_trim_chain(p, ARP_LEN);
	memcpy(asked, arp + ARP_TPA, 4);
	memcpy(mac, arp + ARP_SHA, MAC_LEN);
	put16(arp + ARP_OP, OP_REPLY);
	memcpy(arp + ARP_THA, arp + ARP_SHA, MAC_LEN);
	memcpy(arp + ARP_TPA, arp + ARP_SPA, 4);
	memcpy(arp + ARP_SHA, n->port[port].mac, MAC_LEN);
	memcpy(arp + ARP_SPA, asked, 4);
	pkt_offload(p, false, false, 0, 0);
	net_count(n, CTR_arp_tx);
	ethernet_output(n, port, p, mac, TYPE_ARP);
}

void arp_input(struct net *n, uint16_t port, struct pkt *p)
{
	uint8_t *arp = (uint8_t *)pkt_data(p);
	struct addr sender, target;
	bool request, to_us;

	net_count(n, CTR_arp_rx);
	if (!well_formed(&n->port[port], arp, pkt_len(p))) {
		net_drop(n, p, CTR_arp_bad);
		return;
	}
	sender = addr_at(arp + ARP_SPA);
	target = addr_at(arp + ARP_TPA);
	request = get16(arp + ARP_OP) == OP_REQUEST;
	to_us = net_is_local(n, port, target);
	if (net_is_local(n, port, sender)) {
		net_drop(n, p, CTR_neigh_conflict);
		return;
	}
	// An unspecified sender probes before it takes an address (RFC 5227 2.1.1): answered, nothing learned.
	if (!addr_is_any(sender) && !route_is_host(sender)) {
		net_drop(n, p, CTR_arp_bad);
		return;
	}
	// RFC 826: what is known already is updated by anything heard; a new entry is made for somebody who
	// asks for us, but not for an answer that nobody here waits for, nor for an address that is not of this
	// link.
	if (route_is_neighbour(n, port, sender))
		neigh_heard(n, port, sender, arp + ARP_SHA, request && to_us, to_us);
	if (request && to_us)
		reply(n, port, p);
	else
		pkt_free_chain(p);
}

void arp_request(struct net *n, uint16_t port, struct addr source, struct addr target,
		 const uint8_t mac[MAC_LEN])
{
	struct pkt *p = pkt_alloc(n->pool);
	uint8_t *arp;

	if (!p) // asked again by the entry's timer
		return;
	arp = (uint8_t *)pkt_append(p, ARP_LEN);
	memcpy(arp, arp_ethernet_ipv4, sizeof(arp_ethernet_ipv4));
	put16(arp + ARP_OP, OP_REQUEST);
	memcpy(arp + ARP_SHA, n->port[port].mac, MAC_LEN);
	put_addr(arp + ARP_SPA, source);
	memset(arp + ARP_THA, 0, MAC_LEN);
	put_addr(arp + ARP_TPA, target);
	net_count(n, CTR_arp_tx);
	ethernet_output(n, port, p, mac, TYPE_ARP);
}

void arp_announce(struct net *n, uint16_t port, struct addr addr)
{
	arp_request(n, port, addr, addr, mac_broadcast);
}
