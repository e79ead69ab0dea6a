// Internet Protocol, version 4 (RFC 791, RFC 1122 3.2). Within net/ only.
#pragma once
#include "net/ethernet.h"

#define IPV4_HEADER 20
#define IPV4_TTL    64

// p's data begins at the IP header. true: *seg holds a TCP segment for the layer above. Otherwise p is
// consumed.
bool ipv4_input(struct net *n, uint16_t port, struct pkt *p, struct net_seg *seg);
// As net_output(), for a path of this version.
void ipv4_output(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto, uint8_t tos,
		 struct checksum_tail tail);
void ipv4_output_tso(struct net *n, const struct net_path *path, struct pkt *p, uint8_t tos, unsigned header,
		     unsigned segment); // as net_output_tso()
// The next hop of a packet of ours (from the IP header on) does not answer: tells its transport. p stays the
// caller's.
void ipv4_unresolved(struct net *n, const struct pkt *p);
