// Address Resolution Protocol (RFC 826, 5227). Within net/ only.
#pragma once
#include "net/ethernet.h"

// p's data begins behind the Ethernet header. Consumes p.
void arp_input(struct net *n, uint16_t port, struct pkt *p);
// Asks for target's hardware address: broadcast, or mac alone. source: one of our addresses.
void arp_request(struct net *n, uint16_t port, struct addr source, struct addr target,
		 const uint8_t mac[MAC_LEN]);
// Tells everyone that addr is ours (RFC 5227 2.3).
void arp_announce(struct net *n, uint16_t port, struct addr addr);
