// Routers that advertise themselves (RFC 4861 6.3), on ports that are configured to hear them. Of an
// advertisement we take the default route for its lifetime and the link's MTU; addresses are configured (no RFC
// 4862 5.5). Within net/ only.
#pragma once
#include "net/ipv6.h"

// Consumes an advertisement, whose data begins at the ICMPv6 header.
void router_input(struct net *n, struct net_seg *seg, const struct ipv6_facts *facts);
// Asks for advertisements, unless there is a router already; false: there is.
bool router_solicit(struct net *n, uint16_t port);
// The router that a packet off this link goes to; false: there is none. One that does not answer is passed over
// if there is another.
bool router_default(const struct net *n, uint16_t port, struct addr *hop);
