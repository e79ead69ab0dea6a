// Hosts joined by a simulated wire under virtual time. Each is the stack as a library (stack/stack.h): one or
// more workers that share addresses, between which frames are steered as a data plane does.
//
//	applications ─ worker 0..2 ──┐                          ┌── worker 0..2 ─ applications
//	              side 0         └─ two links, one each way ┘          side 1
//
// Everything follows from one number, the schedule's seed: one that fails can be run again alone.
#pragma once
#include "port/steer.h"
#include "stack/stack.h"
#include "tests/nic/nic.h"
#include "tests/sim/wire.h"

#define SIM_PAIRS   6
#define SIM_WORKERS 3
#define LISTEN_PORT 80
#define OPEN_PORT   20000 // of connections that both sides open at once, and up
#define US          1000ull
#define MS          1000000ull
#define SEC         (1000 * MS)
#define IDLE_LIMIT  (900 * SEC) // an application whose peer is gone without a word gives up after this

struct sim;

// One worker of a side.
struct cpu {
	struct cg_stack *stack;
	struct cg_listener *listener;
	struct pkt *handed[256]; // frames that came to another worker's queue
	unsigned n_handed;
	uint64_t asleep_until;
	uint64_t storm_from; // since then it woke `wakes` times for nothing
	unsigned wakes;
};

struct held { // as by a driver that is slow to give back what it sent
	struct pkt *pkt;
	uint64_t digest; // nobody may change it meanwhile
};

struct side {
	struct sim *sim;
	unsigned id, n_cpus;
	struct addr addr;
	struct cg_config conf; // of each worker, but for its number
	struct steer steer;
	struct cpu cpu[SIM_WORKERS];
	bool up;
	uint64_t muted; // when a packet last waited for its next hop, 0: never
	struct pkt_pool *pool;
	struct nic nic;   // cuts segments, or sends what it gets
	struct pkt **hog; // buffers taken away, so that the pool is short
	uint32_t n_hog;
	struct held held[64];
	unsigned n_held;
};

// What befalls one side.
struct fate {
	uint64_t short_until;  // few buffers until then
	uint32_t short_leave;  // so many
	uint32_t starve;       // chance out of 10 000 that a turn has starve_leave buffers only
	uint32_t starve_leave; // 0..3: the next allocation of the turn fails
	bool few_conns;        // its pool of connections is too small for all
	uint64_t down_at;      // forgets everything; UINT64_MAX: never
	uint64_t up_at;        // and is back; UINT64_MAX: never
	uint32_t forge;        // chance out of 10 000 that a turn brings a segment that a stranger made up
	uint32_t lag;          // chance out of 10 000 that a worker comes late to its turn
	bool hold, busy;       // its driver holds what it sent for a while; takes only some of what is queued
	uint32_t chain;        // chance out of 10 000 that a frame arrives scattered over several buffers
	bool icmp;             // a router tells what does not fit
};

// What one end does. Bytes are a function of key and offset, so the other end can tell right from wrong.
struct end {
	struct cg_sock *k;
	unsigned side, cpu;
	uint64_t to_send, to_receive; // to_receive: what the peer means to send
	uint64_t sent, received;
	uint64_t out_key, in_key;
	uint64_t abort_at, close_at; // received bytes at which it aborts or closes early; UINT64_MAX: never
	uint64_t stall_at;           // received bytes at which it stops reading, for stall_for
	uint64_t stall_for;          // ns
	bool echo;                   // sends back what it gets, in the same buffers
	bool leaves; // closes when all is sent and received, and does not wait for the peer's end
	bool eager;  // writes, and closes, before it is open
	bool shut, eof, done, failed;
	int error;
	uint64_t done_at;
	uint64_t wake;  // pauses until then
	uint64_t last;  // when something moved
	struct sample { // of the turn before (tcp_law.c)
		bool set;
		struct tcp_info info;
		uint64_t acked, timeout_acked, sent_at, unacked_since, shut_since, stuck_since, received,
			raised;
	} sample;
};

struct pair {
	struct end end[2]; // 0 connects
	uint64_t start;
	uint16_t port[2]; // of either end, once known
	bool begun;
	bool both;     // both connect, at the same time
	bool lossless; // neither end gives up before all is through
};

// What one has seen of a flow on the wire (tcp_watch.c). Members of `dir` are about what that side sent.
struct dir {
	bool syn, has_wscale, fin, acks;
	bool owes;   // an acknowledgement, as payload has arrived
	bool forged; // it got a segment from a forger, and may answer it
	uint8_t wscale;
	uint16_t mss;
	uint32_t isn, max, fin_at, ack, edge, tsval;
	uint64_t again_at, again_gap;
	unsigned again;
	uint64_t told_at; // that it does not fit
	unsigned too_big; // sent all the same
	// The last segment that was larger than the others (RFC 4821): where it ends, its payload, and whether
	// it got lost.
	uint32_t large_end, large_len;
	bool large, large_lost;
};
struct flow {
	uint16_t port[2];
	struct dir dir[2];
	uint64_t quiet_from, turns_from; // since then only bare acknowledgements, which take turns
	unsigned bare, turns;
	uint8_t bare_side;
};

struct sim {
	struct side side[2];
	struct fate fate[2];
	struct wire wire;
	struct link link[2]; // from either side
	struct random r;
	uint64_t now, seed;
	struct pair pair[SIM_PAIRS];
	unsigned n_pairs;
	struct flow flow[64];
	unsigned next_flow;
	bool ipv6, no_sack, user_timeout;
	bool perfect; // the wire does nothing but delay
	bool gentle;  // nothing is lost, and reordering stays within a quarter of min_rtt
	bool doomed;  // not everything can go through
	bool trace;
	bool no_tso;          // whatever the plan says
	uint64_t heard_at[2]; // by either side: the last frame without TCP in it, perhaps from its next hop
	bool long_way;        // of the stacks: no short cut for the common case
	uint64_t digest;      // of all that the sides have sent
	uint64_t violations, begun_with;
	struct totals {
		uint64_t schedules, pairs, bytes, packets, lost, reordered, duplicated, corrupted, too_big,
			no_buffer;
		uint64_t handed, starved, reboots, failed, forged, large, cut;
		uint64_t state[TCP_STATES][TCP_STATES];
		uint64_t counters[CTR_COUNT];
	} total;
	uint64_t last[CTR_COUNT]; // of the last schedule
};

void sim_violation(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool sim_chance(struct sim *s, uint32_t out_of_10000)
{
	return out_of_10000 && random_below(&s->r, 10000) < out_of_10000;
}
static inline bool sim_one_in(struct sim *s, uint32_t n)
{
	return random_below(&s->r, n) == 0;
}
static inline uint64_t sim_within(struct sim *s, uint64_t max)
{
	return max ? random_next(&s->r) % max : 0;
}

// tcp_plan.c: what this schedule is to be.
void plan(struct sim *s);

// tcp_side.c
bool side_pools(struct sim *s); // once
void side_start(struct side *h);
void side_arrive(struct side *h, const struct frame *f);
void side_turn(struct side *h);
uint64_t side_next(const struct side *h);
bool side_idle(const struct side *h);
bool side_mute(const struct side *h); // something it sent did not get out: its next hop was not known
void side_stop(struct side *h);       // for ever
void side_down(struct side *h);       // without a word

// tcp_app.c
unsigned char app_byte(uint64_t key, uint64_t offset);
void app_begin(struct sim *s); // connections whose time has come
void app_turn(struct side *h, unsigned cpu);
void app_lost(struct side *h); // its sockets are gone
uint64_t app_next(const struct sim *s);
bool app_done(const struct sim *s);
void app_verify(struct sim *s);

// tcp_watch.c: what goes over the wire.
void watch_sent(struct sim *s, unsigned side, const struct pkt *p, enum wire_fate fate);
void watch_arrived(struct sim *s, unsigned side, const struct frame *f);
const struct dir *watch_find(const struct sim *s, const struct pair *p, unsigned side);

// tcp_forge.c: segments of a stranger who sees the wire, but is not to break what he does not end.
void forge(struct side *h);

// tcp_law.c: the congestion window, acknowledgements and windows, of each connection after each turn.
void law_turn(struct sim *s, struct end *e);
