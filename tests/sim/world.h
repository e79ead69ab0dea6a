// Hosts beside a gateway in simulation, made of the real network and TCP layers under virtual time. All of it
// follows from one seed.
#pragma once
#include "base/arena.h"
#include "base/wheel.h"
#include "contract/stats.h"
#include "net/net.h"
#include "tcp/tcp.h"
#include "tests/sim/wire.h"

// A host with one port and one address.
struct host {
	struct arena arena;
	struct wheel wheel;
	struct net net;
	struct tcp *tcp;
	struct worker_stats *stats;
	struct port_stats *port_stats;
	struct snapshot *config;
	struct steer steer;
	uint32_t wire_end; // frames of its port go to the other one's
};

// rcv_buf: bytes it offers as window; 0: the stack's default. After 30 s of silence it asks whether its peer
// lives: one that only reads would else never learn of a reset that was lost.
void host_init(struct host *h, struct pkt_pool *pool, const char *address, unsigned prefix, const char *gateway,
	       uint8_t mac, uint32_t rcv_buf, tcp_listen_fn *listen, void *ctx, uint64_t seed);
void host_fini(struct host *h);
void host_receive(struct host *h, uint64_t now, struct pkt *p);
void host_advance(struct host *h, uint64_t now);

// EAL without hugepages, devices or files; once in a process.
void world_start(const char *name);
