// Internet Protocol, version 6 (RFC 8200, RFC 4291). Within net/ only.
#pragma once
#include "net/ethernet.h"

#define IPV6_HEADER    40
#define IPV6_HOPS      64
#define IPV6_HOPS_LINK 255 // of what must not have crossed a router
#define IPV6_MTU_MIN   1280

// Addresses with a meaning of their own (RFC 4291 2.5, 2.7).
extern const struct addr ipv6_all_nodes, ipv6_all_mld_routers;
static inline bool ipv6_is_multicast(struct addr a)
{
	return a.b[0] == 0xff;
}
static inline bool ipv6_is_link_local(struct addr a)
{
	return a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80;
}
struct addr ipv6_solicited_node(struct addr a);
// The interface identifier is made of the hardware address (RFC 2464 4).
struct addr ipv6_link_local_of(const uint8_t mac[MAC_LEN]);

// What an ICMPv6 message needs to know of the packet that brought it, beside its net_seg.
struct ipv6_facts {
	bool multicast;  // the destination is a group of ours
	bool fragmented; // there was a fragment header, though the packet was whole (RFC 6946)
};

// p's data begins at the IP header. multicast: the frame went to more than us. true: *seg holds a TCP segment
// for the layer above. Otherwise p is consumed.
bool ipv6_input(struct net *n, uint16_t port, struct pkt *p, bool multicast, struct net_seg *seg);
// As net_output(), for a path of this version; fills in the checksum of TCP and of ICMPv6.
void ipv6_output(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto, uint8_t tos,
		 struct checksum_tail tail);
void ipv6_output_tso(struct net *n, const struct net_path *path, struct pkt *p, uint8_t tos, unsigned header,
		     unsigned segment); // as net_output_tso()
// Sends an ICMPv6 message (p's data; checksum field zero) on this link, to a group or to a station whose
// hardware address is known (NULL: dst is a group). alert: with the router alert option (RFC 2711). Consumes p.
void ipv6_send(struct net *n, uint16_t port, struct addr src, struct addr dst, const uint8_t *mac, uint8_t hops,
	       bool alert, struct pkt *p);
// The sum of the pseudo header (RFC 8200 8.1), not complemented.
uint64_t ipv6_pseudo_sum(struct addr src, struct addr dst, uint8_t proto, uint32_t len);
// The next hop of a packet of ours (from the IP header on) does not answer: tells its transport. p stays the
// caller's.
void ipv6_unresolved(struct net *n, const struct pkt *p);
