// Internet Control Message Protocol (RFC 792, RFC 1122 3.2.2). Within net/ only.
#pragma once
#include "net/net.h"

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER = 12
};
enum icmp_unreachable_code {
	ICMP_HOST_UNREACHABLE = 1,
	ICMP_PROTOCOL_UNREACHABLE = 2,
	ICMP_PORT_UNREACHABLE = 3,
	ICMP_FRAGMENTATION_NEEDED = 4,
};
enum { ICMP_REASSEMBLY = 1 }; // code of ICMP_TIME_EXCEEDED, and of that of IPv6

// Answers to either version share one limit (RFC 1812 4.3.2.8, RFC 4443 2.4 (f)); false, counted: not now.
#define ICMP_ECHO_COST  1
#define ICMP_ERROR_COST 10
bool icmp_allowed(struct net *n, uint32_t cost);

// Consumes the packet, whose data begins at the ICMP header.
void icmp_input(struct net *n, struct net_seg *seg);
// Answers a valid echo request of either version from `local` (all zero: from where we speak to its sender).
// reply: the type of the answer, in a packet of protocol proto. Consumes the packet.
void icmp_echo(struct net *n, struct net_seg *seg, struct addr local, uint8_t reply, uint8_t proto);
// Sends an error about p (a valid unicast IPv4 packet, from its IP header on, but no later fragment and no
// ICMP error) to its sender. p stays the caller's.
void icmp_error(struct net *n, uint16_t port, const struct pkt *p, enum icmp_type type, uint8_t code);
