// Who asked, as proxies before us say: X-Forwarded-For, and Forwarded (RFC 7239). Pure functions over a head;
// whom to believe is the caller's to know.
#pragma once
#include "base/addr.h"
#include "http/head.h"

#define FORWARDED_HOPS 32 // that are looked at, from the nearest one back

struct forwarded_hop {
	struct slice node;        // who asked this proxy: an address, perhaps with a port, "unknown", "_name"
	struct slice proto, host; // Forwarded: what was asked with; empty: not said
};

struct forwarded {
	uint32_t n; // hops that were named; the last FORWARDED_HOPS of them are kept
	struct forwarded_hop hop[FORWARDED_HOPS];
};

// All fields of this name (HDR_x_forwarded_for or HDR_forwarded) as one list. false: Forwarded is malformed.
bool forwarded_parse(const struct http_head *h, enum http_header id, struct forwarded *out);
// The i-th hop from the nearest (0) on; NULL: there is none, or it is not kept.
const struct forwarded_hop *forwarded_hop(const struct forwarded *f, uint32_t i);
// The address of a node (RFC 7239 6), with or without a port; false where it names none.
bool forwarded_node(struct slice node, struct addr *out);
