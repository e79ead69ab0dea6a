// The clients: connections that send one request at a time, as fast as answers come (closed loop) or at a fixed
// rate (open loop; latencies then count from the time at which a request was due). Every answer's status and
// length are checked.
#pragma once
#include "histogram.h"
#include "message.h"

#define CLIENT_PORTS     32768u // of each client address, from 32768 on
#define CLIENT_ADDRESSES 32u

enum client_fault {
	FAULT_STATUS, // another one than wanted
	FAULT_LENGTH, // more or fewer bytes than wanted
	FAULT_HEAD,   // not understood, or not in one segment
	FAULT_SHORT,  // closed before the answer was whole
	FAULT_RESET,
	FAULT_TIMEOUT,
	CLIENT_FAULTS
};
extern const char *const client_fault_name[CLIENT_FAULTS];

struct client_conf {
	uint32_t server;  // network order
	uint16_t port;    // host order
	uint32_t conns;   // connections
	bool per_request; // a connection for each request
	double rate;      // requests a second; 0: closed loop
	unsigned status;  // that every answer must have
	uint64_t body;    // and its bytes
	double hz;        // ticks a second
};

struct client_conn;
struct client {
	struct client_conf conf;
	struct link *link;
	const struct message *request;
	struct client_conn *conn;
	uint32_t slots, base; // base: first client's address, host order
	uint32_t *idle;       // ring of connections without a request (open loop)
	uint32_t idle_head, idle_tail;
	struct client_conn **ack;
	uint32_t n_ack;
	uint32_t isn, opened_first, sweep;
	struct likeness like;
	double due; // tick at which the next request is due (open loop)
	double ns_per_tick;
	uint64_t now;
	uint32_t now_ms;
	bool measuring, stopping;
	struct histogram latency;
	uint64_t done, refused, fault[CLIENT_FAULTS]; // refused: 503 and 429
	uint64_t opened, retransmits, out_of_order, stray, started, waiting;
};

int client_init(struct client *c, const struct client_conf *conf, struct link *l,
		const struct message *request);
void client_fini(struct client *c);
void client_set_now(struct client *c, uint64_t tick, uint32_t ms);
void client_input(struct client *c, struct segment *s, unsigned n);
// Opens, and sends what is due. Whether there was anything to do.
bool client_turn(struct client *c);
// Looks after some of the connections, whether a segment of theirs got lost: to be called about once in a
// millisecond for as many connections as there are.
void client_sweep(struct client *c, unsigned n);
void client_abort(struct client *c); // RST to all
