// The neighbours of one worker: next hops with their hardware addresses, for either family (RFC 1122 2.3.2;
// the states are those of RFC 4861 7.3.2, which serve ARP as well). Within net/ only.
//
// Entries are found by (port, address) when a path is made, and by index from then on, so that a changed
// hardware address holds for every path at once. Those that no path refers to are taken for new ones when the
// table is full, the longest unused first.
#pragma once
#include "net/ethernet.h"

// Packets that wait for one neighbour: a burst of connections to a backend that was not yet talked to. For all
// neighbours together there is a bound too, so that asking for many that are not there does not use up buffers.
#define NEIGH_QUEUE   64
#define NEIGH_WAITING 1024

enum neigh_state {
	NEIGH_FREE,
	NEIGH_INCOMPLETE, // asked by broadcast (IPv6: by multicast), packets wait
	NEIGH_REACHABLE,  // confirmed not long ago
	NEIGH_STALE,      // not confirmed lately, and not used since
	NEIGH_PROBE,      // used, and asked by unicast to confirm; packets go out
	NEIGH_FAILED,     // did not answer; packets are dropped until the hold-down ends or it is heard of
};

struct net_neigh {
	// What each packet sent reads.
	_Alignas(64) uint8_t mac[MAC_LEN];
	uint8_t state, tries;
	uint16_t port;
	uint16_t next;         // in its hash chain, or in the free list
	uint16_t older, newer; // among the unreferenced
	struct addr addr;
	uint64_t used, confirmed; // ns
	uint32_t refs;
	uint32_t queued;
	// What happens while it is resolved.
	_Alignas(64) struct timer timer;
	struct pkt *queue[NEIGH_QUEUE]; // from the IP header on, oldest first
};

int neigh_init(struct net *n, struct arena *a, uint32_t entries);
void neigh_fini(struct net *n);

// Finds or makes the entry and takes a reference; resolution begins with a new one. 0: no entry left, or, for
// the answer to somebody, none but those that are kept.
uint16_t neigh_get(struct net *n, uint16_t port, struct addr addr, bool answer);
void neigh_ref(struct net *n, uint16_t index);
void neigh_put(struct net *n, uint16_t index);

// Puts the Ethernet header in front and sends, or lets p (an IP packet) wait, or drops it. Consumes p.
void neigh_output(struct net *n, uint16_t index, struct pkt *p, uint16_t type);

// A station told its hardware address. create: make an entry if there is none. answer: other workers should
// hear of it even if nothing changed here, since it may be to a question of theirs.
void neigh_heard(struct net *n, uint16_t port, struct addr addr, const uint8_t mac[MAC_LEN], bool create,
		 bool answer);
// The same of IPv6. A solicitation says where its sender is, but not that it hears us (RFC 4861 7.2.3).
void neigh_solicited(struct net *n, uint16_t port, struct addr addr, const uint8_t mac[MAC_LEN]);
// An advertisement does, if it is an answer (RFC 4861 7.2.5). mac: NULL if it does not say it.
void neigh_advertised(struct net *n, uint16_t port, struct addr addr, const uint8_t *mac, bool solicited,
		      bool override);
// Whether it was asked and has not answered (RFC 4861 6.3.6: no router to be preferred).
bool neigh_silent(const struct net *n, uint16_t port, struct addr addr);
static inline bool neigh_has_mac(const struct net_neigh *e)
{
	return e->state == NEIGH_REACHABLE || e->state == NEIGH_STALE || e->state == NEIGH_PROBE;
}
