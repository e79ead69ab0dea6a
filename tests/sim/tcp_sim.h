// Two complete stacks joined by a simulated wire under virtual time.
//
//	application ─ tcp ─ net ──┐                      ┌── net ─ tcp ─ application
//	            host 0        └─ loss, delay, ... ───┘       host 1
//
// Everything follows from one seed: a schedule that fails can be run again alone.
#pragma once
#include "base/random.h"
#include "base/wheel.h"
#include "net/net.h"
#include "tcp/tcp.h"

#define SIM_CONNS 6
#define MS        1000000ull
#define SEC       (1000 * MS)

struct sim;

struct host {
	struct sim *sim;
	unsigned id;
	struct arena arena;
	struct wheel wheel;
	struct net net;
	struct tcp *tcp;
	struct pkt_pool *pool;
	struct worker_stats *stats;
	struct port_stats port_stats[1];
	struct snap_address address;
	struct pkt **hog; // buffers taken away, so that the pool is short
	uint32_t n_hog;
	bool no_sack;
	uint64_t hog_until;
	struct held { // as by a driver that is slow to give back what it sent
		struct pkt *pkt;
		uint64_t digest; // nobody may change it meanwhile
	} held[64];
	unsigned n_held;
};

struct impair {
	double loss, duplicate, reorder, corrupt, chain;
	double ack_loss; // of segments without payload, beside loss
	double burst;    // that with a packet a time begins in which all is lost
	uint64_t burst_until;
	bool gentle;            // nothing is lost, and reordering stays within a quarter of min_rtt
	uint64_t delay, jitter; // ns
	uint64_t reorder_max;   // ns later, at most
	uint64_t rate;          // bits/s, 0: unlimited
	uint64_t queue;         // ns of backlog before frames are dropped
	uint64_t dark_from, dark_until;
	bool hold; // the driver holds sent buffers for a while
	bool busy; // it takes only some of what is queued at a time
};

struct frame {
	uint64_t at, order;
	unsigned to;
	uint32_t n;
	unsigned char data[2048];
};

struct wire {
	struct frame **heap;
	unsigned n, room;
	uint64_t order;
	uint64_t busy_until[2];
	struct frame *free;
};

// What one end does. Bytes are a function of key and offset, so the other end can tell right from wrong.
struct end {
	struct sim *sim;
	struct tcp_conn *c;
	unsigned host;
	uint64_t to_send, to_receive; // to_receive: what the peer means to send
	uint64_t sent, received;
	uint64_t out_key, in_key;
	uint64_t abort_at, close_at; // received bytes at which it aborts or closes early; UINT64_MAX: never
	bool echo;                   // sends back what it gets, in the same buffers
	bool shut, eof, done, pausing, failed;
	uint64_t last;
};

struct pair {
	struct end end[2]; // 0 connects
	uint64_t start;
	bool begun, lossless; // lossless: neither end gives up before all is through
	uint16_t port;
};

struct sim {
	struct host host[2];
	struct wire wire;
	struct impair impair;
	struct random r;
	uint64_t now;
	struct pair pair[SIM_CONNS];
	unsigned n_pairs;
	bool dead; // the wire goes dark for ever: both ends must give up
	bool ipv6; // the schedules take turns
	bool trace;
	uint64_t violations;
	uint64_t seed;
	unsigned schedule;
	struct totals {
		uint64_t packets, lost, duplicated, reordered, corrupted, bytes, no_buffer, pairs;
		uint64_t counters[CTR_COUNT];
	} total;
};

double sim_unit(struct sim *s); // 0..1
void sim_violation(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// tcp_host.c
int host_pools(struct sim *s);
void host_start(struct host *h);
void host_receive(struct host *h, struct pkt **v, unsigned n);
void host_advance(struct host *h);
void host_check(struct host *h);
void host_stop(struct host *h);
uint64_t host_next(const struct host *h);
bool host_idle(const struct host *h);

// The far end of a connection, if it lives: for checks only.
struct tcp_conn *host_peer(struct host *h, struct addr local, struct addr remote, uint16_t local_port,
			   uint16_t remote_port);

// tcp_wire.c
void wire_send(struct sim *s, struct host *from, struct pkt *p);
void wire_deliver(struct sim *s, uint64_t now);
uint64_t wire_next(const struct sim *s);
void wire_clear(struct sim *s);

// tcp_app.c
void app_plan(struct sim *s);
void app_begin(struct sim *s); // connections whose time has come
uint64_t app_next(const struct sim *s);
bool app_done(const struct sim *s);
bool app_listen(void *ctx, uint16_t port, struct addr local, uint16_t local_port, struct tcp_accept *out);
void app_verify(struct sim *s);
