// Where a packet goes: the addresses and routes of a port, read straight from the snapshot. Within net/ only.
#pragma once
#include "net/net.h"

// An address that a single host may have: not unspecified, multicast, broadcast, loopback or reserved.
bool route_is_host(struct addr addr);
// The same of an IPv4 address as it stands in the packet (RFC 1122 3.2.1.3, RFC 1112 4): none of 0/8, 127/8,
// 224/4 and 240/4.
static inline bool route_is_host_v4(uint32_t v4)
{
	uint8_t first = (uint8_t)v4;

	return first != 0 && first != 127 && first < 224;
}
// What to count a packet by whose source cannot be: a martian, a land attack, or another address of ours.
enum counter route_source_fault(struct addr src, struct addr dst);
// A unicast address of a prefix that this port is on, and not our own.
bool route_is_neighbour(const struct net *n, uint16_t port, struct addr addr);
// Our address to speak from to a neighbour (IPv6: to any remote address); false: the port has none of its
// family.
bool route_source(const struct net *n, uint16_t port, struct addr neighbour, struct addr *out);
// The all-ones (or all-zeros) host of an IPv4 prefix of this port (RFC 1122 3.2.1.3).
bool route_is_broadcast(const struct net *n, uint16_t port, struct addr addr);

// net->special; v4 as it stands in the packet.
static inline unsigned special_place(uint32_t v4)
{
	return v4 * 0x9e3779b1u >> 24;
}
static inline bool special_has(const struct net *n, uint32_t v4)
{
	unsigned i = special_place(v4);

	return n->special[i / 64] >> (i % 64) & 1;
}
static inline void special_set(struct net *n, uint32_t v4)
{
	unsigned i = special_place(v4);

	n->special[i / 64] |= 1ull << (i % 64);
}
