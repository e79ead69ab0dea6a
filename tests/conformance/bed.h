// One gateway between a client and a backend that keeps every byte it sees, in simulation: the real worker, TCP
// and network layers under virtual time. One client connection at a time.
#pragma once
#include "conformance/cases.h"
#include "conformance/reader.h"
#include "sim/world.h"
#include "worker.h"

#define PEERS_MAX 8
#define KEPT_MAX  (64u << 10)

// A connection as its far end sees it.
struct peer {
	struct tcp_conn *c; // NULL: it has gone
	bool used;          // this entry
	bool eof, reset;
	bool deaf;      // takes nothing of what it is sent
	uint32_t n;     // bytes that came in this case
	uint32_t taken; // of them, requests that were answered
	char bytes[KEPT_MAX];
};

struct bed {
	uint64_t now;
	struct pkt_pool *pool, *small;
	struct wire wire;
	struct link link;
	struct worker worker;
	struct steer steer;
	struct region *region;
	struct stats stats;
	struct snapshot *snapshot;
	struct host clients, backends;
	struct peer client, peer[PEERS_MAX];
	// What a backend answers the first request of a case with; NULL: 200 and "ok", as all others.
	const struct testcase *answer;
	struct peer *answering; // has taken that request
	bool deaf;              // connections that a backend accepts now are, with a small window
	const char *violation;
};

void bed_init(struct bed *b, struct pkt_pool *pool);
void bed_fini(struct bed *b);
void bed_case(struct bed *b);    // forgets what was seen
void bed_receive(struct bed *b); // frames that are due now: the first half of
void bed_turn(struct bed *b);    // what is due now
void bed_settle(struct bed *b);  // until nothing is under way and nobody has anything to say
bool bed_connect(struct bed *b, enum listener l);
bool bed_say(struct bed *b, struct peer *p, struct slice s);
void bed_hang_up(struct bed *b); // client and backends end all their connections
