// A network card with offloads, as far as packets show: it cuts large ones into TCP segments (TSO) and fills in
// checksums. It has the limits that it says (port/tso.h), and does not forgive what exceeds them.
#pragma once
#include "port/pkt.h"
#include "port/tso.h"

#define NIC_FRAMES 64
#define NIC_MEMORY (512u << 10) // of its pool

struct nic {
	struct pkt_pool *pool; // what goes out is allocated here; at least NIC_FRAMES buffers
	struct tso tso;
	uint32_t mtu;
	uint64_t large, cut; // packets that were cut, into so many segments
};

// The frames that p becomes, which are the caller's to free; p stays the caller's, too. Returns how many, 0:
// *why says what the card cannot send. Without any offload asked for it is 0 with *why NULL: p goes out as it
// is.
unsigned nic_send(struct nic *nic, const struct pkt *p, struct pkt *out[NIC_FRAMES], const char **why);
