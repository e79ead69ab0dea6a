// A simulated world: virtual time, a wire that loses, duplicates and reorders frames, and hosts made of the
// real network and TCP layers. All of it follows from one seed.
#pragma once
#include "base/arena.h"
#include "base/random.h"
#include "base/wheel.h"
#include "contract/stats.h"
#include "net/net.h"
#include "tcp/tcp.h"

#define FRAMES_MAX 16384 // under way at once; more are lost, as in any queue

struct frame {
	uint64_t at, order; // ns; of equal times the first sent comes first
	struct pkt *pkt;
	uint32_t to; // whose wire end
};

struct wire {
	struct random random;
	struct frame *heap;
	uint32_t n;
	uint64_t order;
	uint64_t delay;              // ns, one way
	uint32_t loss, dup, reorder; // each out of 10 000 frames
	uint64_t frames, lost, duplicated, reordered;
	struct pkt_pool *pool;
};

void wire_init(struct wire *w, struct pkt_pool *pool, uint64_t seed);
void wire_fini(struct wire *w); // frees what is under way
// Takes the packet over; the receiver gets a copy of its own, as over a real wire.
void wire_send(struct wire *w, uint64_t now, uint32_t to, struct pkt *p);
// The next frame due at `now`, or false.
bool wire_next(struct wire *w, uint64_t now, struct frame *out);
uint64_t wire_time(const struct wire *w); // of the next frame, UINT64_MAX: none

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

// rcv_buf: bytes it offers as window; 0: the stack's default.
void host_init(struct host *h, struct pkt_pool *pool, const char *address, unsigned prefix, const char *gateway,
	       uint8_t mac, uint32_t rcv_buf, tcp_listen_fn *listen, void *ctx, uint64_t seed);
void host_fini(struct host *h);
void host_receive(struct host *h, uint64_t now, struct pkt *p);
void host_advance(struct host *h, uint64_t now);

// EAL without hugepages, devices or files; once in a process.
void world_eal(const char *name);
