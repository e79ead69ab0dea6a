// Multicast Listener Discovery, version 2 (RFC 3810): switches that look on forward a group only to those who
// reported it, and neighbours ask for our addresses in groups. Within net/ only.
#pragma once
#include "net/net.h"

// Tells that we listen to the solicited-node group of addr.
void mld_report(struct net *n, uint16_t port, struct addr addr);
// A query. Consumes the packet, one buffer whose data begins at the ICMPv6 header.
void mld_input(struct net *n, struct net_seg *seg);
