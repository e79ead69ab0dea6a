// The clients: connections that send one request at a time (or so many at once as asked for), as fast as
// answers come (closed loop), with time to think in between if asked for, or at a fixed rate (open loop).
// Latencies count from the time at which a request was due. Every answer's status and length are checked.
#pragma once
#include "histogram.h"
#include "message.h"
#include "schedule.h"

#define CLIENT_PORT_FIRST 32768u
#define CLIENT_PORTS      32768u // of each client address
#define CLIENT_ADDRESSES  64u

// Why a request that was due has no good answer.
enum client_fault {
	FAULT_STATUS,  // another one than wanted
	FAULT_LENGTH,  // more or fewer bytes than wanted
	FAULT_BODY,    // other bytes than those of other answers (looked at now and then)
	FAULT_HEAD,    // not understood, or not in one segment
	FAULT_SHORT,   // closed before the answer was whole
	FAULT_RESET,   // and with RST
	FAULT_TIMEOUT, // none came in time
	FAULT_UNSENT,  // no connection was free in time (open loop)
	CLIENT_FAULTS
};
extern const char *const client_fault_name[CLIENT_FAULTS];

// How a request was refused.
enum client_refusal {
	REFUSED_SYN,    // its connection's SYN was not answered within syn_patience
	REFUSED_RESET,  // or with RST
	REFUSED_STATUS, // 503 or 429
	CLIENT_REFUSALS
};
extern const char *const client_refusal_name[CLIENT_REFUSALS];

#define CLIENT_PIPELINE 64u
#define CLIENT_MISSES   4096u

enum client_close {
	CLOSE_NEVER,  // connections serve one request after the other
	CLOSE_SERVER, // a connection for each request, whose end the server begins (the request asks for it)
	CLOSE_CLIENT, // whose end we begin
};

struct client_conf {
	uint32_t server;  // network order
	uint16_t port;    // host order
	uint32_t conns;   // connections
	double open_rate; // at which they are opened at first, a second
	enum client_close close;
	bool random;       // which of the free ones is next (open loop)
	uint32_t patience; // ms from the time a request was due
	uint32_t pipeline; // requests sent at once: 1 to CLIENT_PIPELINE
	double hz;         // ticks a second
};

// One kind of request, and what its answers must be.
#define CLIENT_SAMPLE 64u
struct client_work {
	struct message request; // all that are sent at once
	unsigned status;
	uint64_t body;  // bytes
	uint32_t share; // of all requests, in relation to that of the other kinds
	struct likeness like;
	// How the bodies of its answers begin, as the first one did; and whether they are those of our
	// backends, which is known before, or else taken from the first one.
	char sample[CLIENT_SAMPLE];
	uint32_t sample_n;
	bool patterned;
};
#define CLIENT_WORKS 32u

struct client_conn;
struct client {
	struct client_conf conf;
	struct link *link;
	struct client_work *work; // n_work of them
	uint32_t n_work, shares;  // shares: their sum
	struct client_conn *conn;
	struct client_carry *carry; // of each connection, with a pipeline: the beginning of a head
	uint32_t slots, base;       // base: first client's address, host order
	uint32_t *idle; // ring of connections without a request; who thinks, in the order of their next one
	uint32_t idle_head, idle_tail;
	struct client_conn *syn_first, *syn_last; // list of those whose SYN is out, the oldest first
	uint32_t *held, held_head, held_tail;     // ring of those whose request the link had no room for
	struct client_conn **ack;
	uint32_t n_ack;
	uint32_t isn, opened_first, sweep;
	bool closed_loop; // set by client_rate()
	uint64_t think;   // ticks
	uint32_t open_max, active_max;
	uint32_t syn_patience;  // ms; 0: a SYN is sent again, like all else
	uint32_t send_patience; // ms
	bool gives_up;          // what was due for so long is not sent, even where a connection is free
	// Requests with a number in them: below `numbers`; a step to the next one in turn, 0: at random.
	uint32_t numbers, number, number_step;
	struct schedule due, opening;
	double ns_per_tick;
	uint64_t now, random;
	uint32_t now_ms;
	bool measuring;
	uint64_t measured_from; // tick from which on a request must have been due for its latency to count
	bool verify;            // the bodies of this burst are looked at
	bool over;              // nothing of it is wanted any more: what still speaks to it is refused
	uint32_t open, waiting; // connections established, requests under way: now
	uint64_t active;        // requests started and not ended, under way or not yet sent
	struct histogram latency, lag; // lag: from when a request was due to when it was sent
	uint64_t missed_at[CLIENT_MISSES],
		n_missed; // when those were due that were not answered in time: the last ones
	uint64_t done, refused[CLIENT_REFUSALS], fault[CLIENT_FAULTS];
	// What came of SYNs: a SYN-ACK; RST; none in time. SYN-ACKs that came later, and ACKs in a connection
	// that had the port before; SYNs sent more than once.
	uint64_t syn_answered, syn_reset, syn_expired, syn_late, syn_challenged, syn_again;
	uint64_t opened, retransmits, out_of_order, stray, started;
	uint64_t ended; // connections that the server ended without being asked, between requests
};

// work stays the caller's; n: 1 to CLIENT_WORKS.
int client_init(struct client *c, const struct client_conf *conf, struct link *l, struct client_work *work,
		unsigned n);
void client_fini(struct client *c);
void client_set_now(struct client *c, uint64_t tick, uint32_t ms);
// Requests a second from now on; 0: closed loop, in which think (ms) go by before a connection's next request,
// the first ones spread over that time; less: none.
void client_rate(struct client *c, double rate, double think);
// From now on a SYN that is not answered within syn_ms is given up, without another one (0: sent again), and a
// request of the open loop that could not be sent within send_ms (0: for which no connection was free within
// conf.patience).
void client_patience(struct client *c, uint32_t syn_ms, uint32_t send_ms);
// Connections that are opened, and that are in use at once in closed loop, from now on; 0: all.
void client_limit(struct client *c, uint32_t open, uint32_t active);
// Of requests that have a number (message.h): below n from now on, each in its turn (in a scattered order) or
// drawn at random.
void client_numbers(struct client *c, uint32_t n, bool each);
// For how long (ticks) the request that is next has been due by now, in open loop; 0: none is.
static inline uint64_t client_behind(const struct client *c)
{
	return schedule_due(&c->due, c->now) ? c->now - (uint64_t)c->due.next : 0;
}
void client_input(struct client *c, struct segment *s, unsigned n);
// Opens, and sends what is due. Whether there was anything to do.
bool client_turn(struct client *c);
// Looks after some of the connections, whether a segment of theirs got lost: to be called about once in a
// millisecond.
void client_sweep(struct client *c);
void client_abort(struct client *c); // RST to all
