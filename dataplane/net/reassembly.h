// Datagrams that arrive in fragments (RFC 791 3.2, RFC 815; RFC 8200 4.5), of either version. Within net/ only.
//
// What a fragment carries is copied to its place in fresh buffers, and a bit for each eight bytes says what has
// come. So many small fragments cost no more than few large ones, and an overlap shows at once: it ends the
// whole datagram, with every fragment that is still to come (RFC 5722); a mere repetition is dropped.
//
// Bounded in number, for each source, in buffers and in time; who comes last takes the place of who has waited
// longest, so that a flood of fragments that never make a whole shortens the time they may wait, and costs no
// more. There is nothing to configure: honest peers of a TCP service do not fragment, so these are the bounds
// under which a large echo or a peer behind a strange tunnel works.
#pragma once
#include "net/net.h"

#define REASSEMBLY_MAX     128 // datagrams under way
#define REASSEMBLY_SOURCE  16  // of one source: an IPv4 address, 64 bits of an IPv6 one
#define REASSEMBLY_BUFFERS 512 // buffers in all, if that is not more than a sixteenth of the pool
#define REASSEMBLY_BYTES   (PKT_CHAIN_MAX * PKT_ROOM) // of payload of one datagram

struct fragment {
	struct addr src, dst;
	uint32_t id;
	uint8_t proto; // IPv4: identifies together with id. IPv6: 0
	uint8_t ecn;
	bool more;
	bool tell;       // the sender may be told if the rest does not come
	uint32_t head;   // bytes of headers in front of the payload (IPv6: with the fragment header)
	uint32_t offset; // of the payload in the datagram's
	uint32_t len;    // of the payload, behind which the packet ends
};

int reassembly_init(struct net *n, struct arena *a);
void reassembly_fini(struct net *n);
// Consumes p, a packet from its IP header on. NULL, or the whole datagram behind the first fragment's headers
// as they were, still to be made those of a whole: the checksums of neither layer are known to be right.
// first_head: their length; ecn: the datagram's congestion mark (RFC 3168 5.3).
struct pkt *reassembly_input(struct net *n, uint16_t port, struct pkt *p, const struct fragment *f,
			     uint32_t *first_head, uint8_t *ecn);
bool reassembly_owns_timer(const struct net *n, const struct timer *t);
void reassembly_timer(struct net *n, struct timer *t);
