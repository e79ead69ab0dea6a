// Upstreams as one worker sees them: which endpoint takes the next request, its connections, its health.
//
// Runtime state is found by the slots that control has chosen by stable names (snapshot.h), so it survives a
// new generation. Single-threaded. The pool knows TCP connections only; what is said over them is the
// gateway's.
#pragma once
#include "base/random.h"
#include "base/slab.h"
#include "contract/region.h"
#include "contract/snapshot.h"
#include "contract/stats.h"
#include "tcp/tcp.h"

struct upstream_conn;

// One endpoint, by its region slot.
struct upstream_endpoint {
	uint32_t epoch;             // of the slot; another one: another endpoint
	uint32_t active;            // attempts that hold one of its connections
	uint32_t others;            // the same of the other workers, as of others_at
	uint64_t others_at;         // ns
	uint32_t connections;       // open or opening
	uint32_t failures;          // connect failures in a row
	uint64_t down_until;        // ns; HEALTH_DOWN until then, then one attempt may try
	uint64_t generation;        // the last one that named it
	struct upstream_conn *idle; // most recently used first
	int32_t current;            // smooth weighted round robin
	uint8_t health;             // enum endpoint_health
	bool tried;                 // it was down, and the outcome of a connection is awaited
};

// Where round robin stands in an upstream.
struct upstream_rotation {
	const struct snap_upstream *upstream; // whose endpoints were found to have equal weights
	uint32_t weight; // this one, which each proves again when its turn comes; 0: they have not
	uint32_t turn;
};

enum upstream_conn_state { UPSTREAM_CONNECTING, UPSTREAM_BUSY, UPSTREAM_IDLE };

// A connection to an endpoint; a slab object.
struct upstream_conn {
	struct upstream_conn *next, **pprev; // idle list of its endpoint
	struct tcp_conn *tcp;
	void *owner;          // the attempt that uses it; NULL when idle
	uint32_t slot, epoch; // endpoint
	uint32_t stat_slot;   // upstream
	uint32_t served;      // requests answered on it
	uint32_t probe;       // ms without a word, while it is idle, until it is probed; 0: it is not
	uint64_t idle_until;  // ns
	uint8_t state;        // enum upstream_conn_state
	bool probed;          // a part of that time ago
	bool trial;           // the one that its endpoint is tried by
};

struct upstream_pool {
	struct tcp *tcp;
	struct region *region;
	struct worker_stats *stats;
	struct upstream_stats *up_stats;    // [STATS_UPSTREAMS] of this worker
	_Atomic uint8_t *health;            // [REGION_ENDPOINTS] of this worker
	_Atomic uint32_t *active;           // likewise
	struct upstream_endpoint *endpoint; // [REGION_ENDPOINTS]
	struct upstream_rotation *rotation; // [STATS_UPSTREAMS]
	struct slab conns;
	struct random *random;
	const struct snapshot *snapshot;
	uint32_t worker, workers;
};

// This worker's part of a limit that is set for all workers together: an even share, at least 1 of a limit that
// is not 0 (so that with more workers than the limit allows it is exceeded rather than a worker locked out).
// Workers share nothing here, so the limit as a whole holds without a word between them.
uint32_t upstream_share(const struct upstream_pool *p, uint32_t limit);

int upstream_init(struct upstream_pool *p, struct arena *a, uint32_t max_conns, struct tcp *tcp,
		  struct region *region, unsigned worker, struct worker_stats *stats,
		  struct upstream_stats *up_stats, struct random *random);
size_t upstream_memory(uint32_t max_conns);
// A new generation: forgets endpoints that were replaced, closes idle connections of those that are gone.
void upstream_configure(struct upstream_pool *p, const struct snapshot *s);

// The endpoint for the next attempt of an upstream: by its balance among those that are ready, up (or due for a
// trial) and not in `avoid` (bit i: i-th endpoint, first 64). NULL: none. *full: some would do, but all of them
// have max_connections.
const struct snap_endpoint *upstream_pick(struct upstream_pool *p, const struct snapshot *s,
					  const struct snap_upstream *u, uint64_t avoid, uint64_t now,
					  bool *full);
// What a request sticks to: the endpoint of this token; else, where hash is not 0, the endpoint that comes out
// of it (rendezvous by weight: the same one as long as it is there, and of those of another just their share
// moves). Where it is not usable: the next one by hash, or as the balance says.
struct upstream_stick {
	uint64_t token, hash; // 0: none
};
const struct snap_endpoint *upstream_pick_sticky(struct upstream_pool *p, const struct snapshot *s,
						 const struct snap_upstream *u,
						 const struct upstream_stick *stick, uint64_t avoid,
						 uint64_t now, bool *full);
// How well a candidate does for a key: less is better. name: a hash of what it is called; weight: not 0.
double upstream_rendezvous(uint64_t key, uint64_t name, uint32_t weight);
// A pooled connection, or NULL.
struct upstream_conn *upstream_reuse(struct upstream_pool *p, const struct snap_endpoint *e, void *owner);
// A new one, connecting; NULL with *err as tcp_connect().
struct upstream_conn *upstream_open(struct upstream_pool *p, const struct snap_upstream *u,
				    const struct snap_endpoint *e, tcp_event_fn *fn, void *ctx, void *owner,
				    int *err);
void upstream_opened(struct upstream_pool *p, struct upstream_conn *c); // EV_OPEN came
// The attempt is over: pools the connection for `idle` ns, probing it after `probe` ns (0: never) without a
// use; or closes (abort: resets) it.
void upstream_release(struct upstream_pool *p, struct upstream_conn *c, uint64_t now, uint64_t idle,
		      uint64_t probe);
// The timer of an idle connection ran out: it is probed, or closed, as its time is over or its host seems gone.
// True: it was closed.
bool upstream_idle_timer(struct upstream_pool *p, struct upstream_conn *c, uint64_t now);
void upstream_close(struct upstream_pool *p, struct upstream_conn *c, bool abort);
// A connect failed (or succeeded): health by the upstream's down_after and down_for.
void upstream_failed(struct upstream_pool *p, const struct snap_upstream *u, const struct snap_endpoint *e,
		     uint64_t now);
