// The chain of IPv6 extension headers (RFC 8200 4). Within net/ only.
#pragma once
#include "net/net.h"

// A chain that goes further than these is nobody's honest packet (RFC 8504 5.3).
#define EXTENSION_HEADERS 8
#define EXTENSION_OPTIONS 32
// The word of a fragment header that says where its payload belongs (RFC 8200 4.5).
enum { FRAGMENT_OFFSET = 0xfff8, FRAGMENT_MORE = 1 };

struct ipv6_walk {
	uint32_t header;    // where the upper layer begins, from the IP header on
	uint8_t proto;      // the upper layer; IPPROTO_NONE where there is none to be read
	bool fragmented;    // there is a fragment header
	uint32_t fragment;  // where it stands, if the packet is indeed not whole (RFC 6946); else 0
	uint32_t named;     // and where its kind is named
	enum counter fault; // the first one, or CTR_COUNT
	uint32_t pointer;   // ICMPv6 parameter problem: where the fault is
	uint8_t code;       // and its code
	bool answer;        // whether the sender may be told at all
	bool answer_groups; // and if it wrote to a group, too
};

// ip: n bytes of a packet (a single buffer) from its IPv6 header on, n >= 40. Goes on behind a fault that is
// answered, so that errors about errors are not sent.
void ipv6_walk(struct ipv6_walk *w, const uint8_t *ip, uint32_t n);
