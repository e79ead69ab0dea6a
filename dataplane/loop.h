// A worker's loop on its core: moves packets between the ports' queues and the worker, reads the clock once a
// turn, sleeps when there is nothing to do and it may.
//
// A port may have fewer transmit queues than there are workers: then those without one hand what they send to
// the queue's owner, through a ring.
//
// Set up and torn down on the main thread; loop_run() runs on the worker's core; loop_stop() from any thread.
#pragma once
#include "base/arena.h"
#include "clock.h"
#include "port/bands.h"
#include "port/port.h"
#include "worker.h"

#define LOOP_AHEAD 512u // frames taken from a receive queue in a turn, when there are as many

struct loop_port {
	const struct port *port;
	uint16_t rx_queue, tx_queue;
	bool rx, tx;                           // has a queue of its own
	struct ptr_ring *out;                  // !tx: to the owner of the queue
	struct ptr_ring *in[SNAP_WORKERS_MAX]; // tx: from those that have none
	unsigned n_in;
	uint64_t moved;      // when the transmit queue last took something, ns
	struct bands *bands; // rx: received, and not yet worked on
};

struct loop {
	struct worker *worker;
	const struct clock *clock;
	struct pkt_pool *pool;
	unsigned n_ports;
	struct loop_port port[SNAP_PORTS_MAX];
	bool adaptive;
	uint64_t awake; // ns of empty turns before it sleeps
	// Of the running loop:
	uint64_t now, empty_since, sleep;
	unsigned empty, frames; // frames: received in this turn
};

struct loop_config {
	struct worker *worker;
	const struct clock *clock;
	struct pkt_pool *pool;
	const struct port *ports;
	unsigned n_ports;
	bool adaptive;
	bool crowded; // others need this core too: sleep sooner
};

size_t loop_memory(unsigned workers, unsigned ports); // arena bytes for all loops, at most
void loop_init(struct loop *l, const struct loop_config *conf);
// Makes the transmit rings between all loops, once each is initialised. 0 or -ENOMEM.
int loop_connect(struct loop *loops, unsigned n, struct arena *a);
// rte_eal_remote_launch's function; returns 0 once loop_stop() was called.
int loop_run(void *loop);
// One turn at l->now, which loop_run() sets: whether there was anything to do in it.
bool loop_turn(struct loop *l);
void loop_stop(struct loop *l);
// Frees packets left in its rings, after all loops have returned.
void loop_fini(struct loop *l);
