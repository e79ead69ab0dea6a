// Ethernet II frames and VLAN tags (IEEE 802.3, 802.1Q). Within net/ only.
#pragma once
#include "net/net.h"

#define ETHERNET_HEADER 14
#define ETHERNET_VLAN   4
#define MAC_LEN         6

enum ethertype { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_VLAN = 0x8100, TYPE_IPV6 = 0x86dd };

extern const uint8_t mac_broadcast[MAC_LEN];

// Unicast and not all zero: what a station may have for an address.
static inline bool mac_is_station(const uint8_t mac[MAC_LEN])
{
	return (mac[0] & 1) == 0 && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}

static inline bool mac_eq(const uint8_t a[MAC_LEN], const uint8_t b[MAC_LEN])
{
	uint32_t a4, b4;
	uint16_t a2, b2;

	memcpy(&a4, a, 4);
	memcpy(&b4, b, 4);
	memcpy(&a2, a + 4, 2);
	memcpy(&b2, b + 4, 2);
	return ((a4 ^ b4) | (uint32_t)(a2 ^ b2)) == 0;
}

static inline void net_count(struct net *n, enum counter c)
{
	stat_add(&n->stats->c[c], 1);
}
// Frees the packet and says why.
static inline void net_drop(struct net *n, struct pkt *p, enum counter why)
{
	net_count(n, why);
	pkt_free_chain(p);
}

// Bytes in front of the payload of frames on this port.
static inline unsigned ethernet_header(const struct net_port *port)
{
	return port->vlan ? ETHERNET_HEADER + ETHERNET_VLAN : ETHERNET_HEADER;
}
// Whether another worker was to have a packet (its data begins at the IP header), and has it now.
bool ethernet_elsewhere(struct net *n, uint16_t port, struct pkt *p, uint16_t type);
// Puts the header in front and queues the frame for sending. Consumes p.
void ethernet_output(struct net *n, uint16_t port, struct pkt *p, const uint8_t mac[MAC_LEN], uint16_t type);
