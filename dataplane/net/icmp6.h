// Internet Control Message Protocol for IPv6 (RFC 4443). Within net/ only.
#pragma once
#include "net/extension.h"
#include "net/ipv6.h"

#define ICMP6_HEADER 8

enum icmp6_type {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER = 4,
	ICMP6_ERRORS = 128, // every type below it is an error
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	MLD_QUERY = 130,
	NDP_ROUTER_SOLICITATION = 133,
	NDP_ROUTER_ADVERTISEMENT = 134,
	NDP_SOLICITATION = 135,
	NDP_ADVERTISEMENT = 136,
	NDP_REDIRECT = 137,
	MLD_REPORT = 143, // version 2
};
enum icmp6_unreachable_code { UNREACHABLE_ADDRESS = 3, UNREACHABLE_PORT = 4 };
enum icmp6_parameter_code { PROBLEM_FIELD = 0, PROBLEM_NEXT_HEADER = 1, PROBLEM_OPTION = 2, PROBLEM_FIRST = 3 };

// Consumes the packet, whose data begins at the ICMPv6 header.
void icmp6_input(struct net *n, struct net_seg *seg, const struct ipv6_facts *facts);
// Whether a packet (n bytes from its IP header on) is neighbour discovery, by its type.
bool icmp6_is_discovery(const uint8_t *ip, uint32_t n, const struct ipv6_walk *w);
// Sends an error about p (from its IP header on), to which one may be sent. p stays the caller's.
void icmp6_error(struct net *n, uint16_t port, const struct pkt *p, uint8_t type, uint8_t code,
		 uint32_t pointer);
// Tells the sender of p (from its IP header on; what the walk found there) that it was not taken, where the
// rules of RFC 4443 2.4 (e) let us. p stays the caller's.
void icmp6_refuse(struct net *n, uint16_t port, const struct pkt *p, const struct ipv6_walk *w);
