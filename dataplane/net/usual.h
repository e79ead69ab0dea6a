// What nearly every frame looks like, known by two comparisons: one buffer, untagged, to our address, from a
// station; IPv4 without options, no fragment, TCP, to the address of ours that the last one was for. Within
// net/ only.
#pragma once
#include "base/checksum.h"
#include "net/ipv4.h"
#include "net/route.h"
#include "net/wire.h"
#include <netinet/in.h>

// Where in a frame.
enum {
	USUAL_FIRST = 0, // both addresses and the type; version and header length
	USUAL_SOURCE = 6,
	USUAL_IP = 14,
	USUAL_SECOND = 18, // identification, fragment, time to live, protocol, checksum, both addresses
	USUAL_FROM = 26
};

typedef uint64_t usual_row __attribute__((vector_size(16)));

// Bits that are asked for, and what they are to be; of one port, for one burst.
struct usual {
	union {
		uint8_t b[2][16];
		usual_row v[2];
	} is, mask;
	struct addr here;
	uint64_t mac;
	bool any, checked;
};

static inline void usual_make(const struct net *n, uint16_t port, struct usual *u)
{
	const struct net_port *np = &n->port[port];

	*u = (struct usual){.any = np->vlan == 0 && np->here && n->special_known,
			    .checked = np->rx_ip_csum,
			    .here = addr_from_v4(np->here)};
	memcpy(u->is.b[0], np->mac, MAC_LEN);
	memset(u->mask.b[0], 0xff, MAC_LEN);
	put16(&u->is.b[0][12], TYPE_IPV4);
	u->is.b[0][14] = 0x45;
	memset(&u->mask.b[0][12], 0xff, 3);
	put16(&u->mask.b[1][2], 0x3fff); // more fragments, and the offset
	u->is.b[1][5] = IPPROTO_TCP;
	u->mask.b[1][5] = 0xff;
	memcpy(&u->is.b[1][12], &np->here, 4);
	memset(&u->mask.b[1][12], 0xff, 4);
	memcpy(&u->mac, np->mac, MAC_LEN);
}

// True: *seg is what the long way would make of it. False: nothing was done.
static inline bool usual_input(const struct net *n, uint16_t port, const struct usual *u, struct pkt *p,
			       struct net_seg *seg)
{
	const char *frame = pkt_data(p), *ip = frame + USUAL_IP;
	uint32_t len = pkt_len(p), from, total;
	uint64_t mac, w[2];
	usual_row a, b;

	if (!u->any || len < ETHERNET_HEADER + IPV4_HEADER || pkt_chained(p))
		return false;
	memcpy(&a, frame + USUAL_FIRST, sizeof(a));
	memcpy(&b, frame + USUAL_SECOND, sizeof(b));
	a = ((a ^ u->is.v[0]) & u->mask.v[0]) | ((b ^ u->is.v[1]) & u->mask.v[1]);
	memcpy(&mac, frame + USUAL_SOURCE, sizeof(mac));
	memcpy(&from, frame + USUAL_FROM, sizeof(from));
	total = get16(ip + 2);
	// A source that cannot be, or that is one of ours, is for the long way to tell.
	if ((a[0] | a[1]) != 0 || (mac & 1) || mac << 16 == 0 || (mac ^ u->mac) << 16 == 0 ||
	    total < IPV4_HEADER || total > len - ETHERNET_HEADER || special_has(n, from) ||
	    !route_is_host_v4(from))
		return false;
	memcpy(w, ip, sizeof(w));
	if (!(u->checked && pkt_ip_checked(p)) &&
	    checksum_fold((w[0] & UINT32_MAX) + (w[0] >> 32) + (w[1] & UINT32_MAX) + (w[1] >> 32) +
			  addr_v4(u->here)) != 0)
		return false;
	*seg = (struct net_seg){
		.pkt = p,
		.src = addr_from_v4(from),
		.dst = u->here,
		.port = port,
		.tos = (uint8_t)ip[1],
		.ttl = (uint8_t)ip[8],
		.checked = n->port[port].rx_tcp_csum && pkt_l4_checked(p),
	};
	pkt_set_view(p, (uint16_t)(pkt_headroom(p) + ETHERNET_HEADER + IPV4_HEADER),
		     (uint16_t)(total - IPV4_HEADER));
	return true;
}
