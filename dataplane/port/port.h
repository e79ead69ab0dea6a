// Ports: DPDK devices with their queues and offloads, and the steering of flows to workers.
// Start and stop on the main thread; port_rx()/port_tx() on the worker that owns the queue.
#pragma once
#include "contract/snapshot.h"
#include "contract/stats.h"
#include "port/pkt.h"
#include "port/steer.h"
#include "port/tso.h"
#include <rte_ethdev.h>

#define PORT_BURST 32

struct port_caps {
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t rx_queues, tx_queues;
	bool tx_ip_csum, tx_tcp_csum; // the driver fills them in when asked
	bool rx_ip_csum, rx_tcp_csum; // the driver has looked at them
	bool tx_chains;               // it can send chained buffers
	bool tx_shared;               // and buffers that somebody else still holds
	bool tx_plain;                // and needs nothing else of us: not even to be asked whether it can
	struct tso tso;
	bool removable; // it may go away by itself (USB-like or vdev peers)
};

struct port {
	uint16_t id;   // DPDK's
	char name[32]; // the configuration's
	char device[128];
	struct port_caps caps;
	struct steer steer;
	bool started, vdev;
	struct pkt_pool *pool;
	uint32_t held;     // buffers the driver took for receiving when it was started
	uint32_t held_max; // and those that it may take from then on
};

// Attaches (vdev strings are created) and starts the device with up to `workers` queues. 0 or -errno, with a
// sentence in why.
int port_start(struct port *p, const struct snapshot *s, const struct snap_port *conf, unsigned workers,
	       struct pkt_pool *pool, char *why, size_t why_size);
// After the workers have stopped, and have freed what they held: frees what has come and waits until what was
// sent has been read. All ports of a pool before the first of them is stopped: what a zero-copy driver holds
// for receiving is looked for in the whole pool then, and must not come to be received afterwards.
void port_drain(struct port *p);
void port_stop(struct port *p);

static inline unsigned port_rx(const struct port *p, uint16_t queue, struct pkt **v, unsigned n)
{
	unsigned got = rte_eth_rx_burst(p->id, queue, (struct rte_mbuf **)v, (uint16_t)n);
#if defined(__SANITIZE_ADDRESS__)
	for (unsigned i = 0; i < got; i++)
		for (struct rte_mbuf *m = pkt_mbuf(v[i]); m; m = m->next)
			pkt_poison_range(m);
#endif
	return got;
}
// How many were taken; the rest stay the caller's, in order, from v[taken] on. Chains are linearised first
// where the driver cannot send them (those that cannot be are freed and counted as taken; *failed rises).
unsigned port_tx(const struct port *p, uint16_t queue, struct pkt **v, unsigned n, struct pkt_pool *pool,
		 unsigned *failed);
bool port_link_up(const struct port *p);
uint32_t port_offloads(const struct port *p); // those in use, enum port_offload
