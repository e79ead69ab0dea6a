// One worker: the whole pipeline, run to completion on one core. A function of packets and time: below
// worker.c nothing calls a clock, a random source, a driver or the system.
//
// Owner: one thread (an EAL lcore), or the simulator. What other threads may touch is marked.
#pragma once
#include "base/ring.h"
#include "contract/address_list.h"
#include "contract/region.h"
#include "contract/stats.h"
#include "net/net.h"
#include "port/steer.h"

struct gateway;
struct regex_set;
struct tcp;

#define WORKER_HANDOVER 1024 // packets in each ring from worker to worker

struct worker {
	unsigned id, n_workers;
	uint64_t now;
	struct arena arena;
	struct wheel wheel;
	struct net net;
	struct tcp *tcp;
	struct gateway *gateway;
	struct worker_stats *stats;
	struct port_stats *port_stats; // [STATS_PORTS]
	struct region *region;
	const struct address_list *addresses; // NULL: none
	const struct steer *steer[SNAP_PORTS_MAX];
	struct ptr_ring *from[SNAP_WORKERS_MAX]; // handed over to us, by sender (self: NULL)
	struct ptr_ring *to[SNAP_WORKERS_MAX];
	uint64_t turns, housekept;
	bool busy; // a burst was full in this turn: more frames wait
	// Written by the housekeeping thread with release, read with acquire at the top of the loop.
	// The snapshot's regular expressions (NULL where it has none) are written before it.
	const struct regex_set *_Atomic next_regexes;
	const struct snapshot *_Atomic next_snapshot;
	_Atomic uint64_t give_up; // requests that began under generations before this one are to end
	// Written by the worker, read by the housekeeping thread.
	_Atomic uint64_t running_generation;
	_Atomic uint64_t held[SNAP_GENERATIONS]; // generations that requests still run under; 0: none
	_Atomic uint32_t draining;               // takes no connections, and its gauges are of since then
	_Atomic uint32_t stop;                   // set by the housekeeping thread
};

struct worker_config {
	unsigned id, n_workers;
	const struct snapshot *snapshot; // verified
	const struct regex_set *regexes; // of it; NULL: it has none
	struct stats *stats;
	struct region *region;
	const struct limit_table *limits;     // of requests, shared by all workers; NULL: none
	const struct address_list *addresses; // denied and allowed; NULL: none
	struct pkt_pool *pool;
	struct pkt_pool *small; // for what clients let us wait for; NULL: none
	const struct steer *steer[SNAP_PORTS_MAX];
	const struct net_port *ports; // [n_ports] device facts; addresses come from the snapshot
	uint32_t n_ports;
	uint64_t seed;            // of everything random
	uint64_t realtime_offset; // CLOCK_REALTIME - CLOCK_MONOTONIC, ns (for Date and log stamps)
	uint64_t now;
	// Real time in ns, by which what is done in pieces sees how long a piece took; the one thing that is
	// not a function of packets and time, and nothing but the size of pieces follows from it. NULL: they
	// are as long each time.
	uint64_t (*stopwatch)(const void *of);
	const void *stopwatch_of;
	bool bursts; // requests of a burst are decided together even where tables are small (gateway/burst.c)
};

int worker_init(struct worker *w, const struct worker_config *conf);
// Connects two workers' hand-over rings; each pair, both directions.
int worker_join(struct worker *from, struct worker *to);
// Ends all connections silently and frees all packets. Returns how many connections, exchanges and the like
// were nobody's: they have leaked.
unsigned worker_fini(struct worker *w);

// Backs what a snapshot needs with memory, before the worker is given it; by the housekeeping thread.
void worker_prepare(struct worker *w, const struct snapshot *s);

// Whether the worker may read that generation, now or later; by the housekeeping thread.
bool worker_reads(const struct worker *w, uint64_t generation);

// One turn: frames received on a port (may be none) go in; then worker_advance() runs what follows from all
// frames, hand-overs and timers up to `now`. What is to be sent stands in w->net.tx[port].
void worker_receive(struct worker *w, uint64_t now, uint16_t port, struct pkt **v, unsigned n);
void worker_advance(struct worker *w, uint64_t now);
// When worker_advance() must be called again at the latest (ns), if nothing comes in.
uint64_t worker_next_timer(const struct worker *w);
