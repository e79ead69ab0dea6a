// Neighbour Discovery for IPv6 (RFC 4861): the part of a host; see router.h for routers. Within net/ only.
#pragma once
#include "net/ipv6.h"

// Consumes the packet, one buffer whose data begins at the ICMPv6 header; the checksum has been verified.
// The options that matter, of ndp[at] to ndp[n]; false: there is one that has no length, or too much of it.
struct ndp_options {
	const uint8_t *source, *target; // hardware addresses, or NULL
	uint32_t mtu;                   // or 0
};
bool ndp_options(const uint8_t *ndp, uint32_t at, uint32_t n, struct ndp_options *o);
void ndp_input(struct net *n, struct net_seg *seg, const struct ipv6_facts *facts);
// Asks for target's hardware address: its solicited-node group, or mac alone. source: one of our addresses.
void ndp_solicit(struct net *n, uint16_t port, struct addr source, struct addr target, const uint8_t *mac);
// Asks whether anybody has target, before it becomes ours (RFC 4862 5.4.2); false: no buffer.
bool ndp_probe(struct net *n, uint16_t port, struct addr target);
// Tells everyone that target is ours (RFC 4861 7.2.6).
void ndp_announce(struct net *n, uint16_t port, struct addr target);
