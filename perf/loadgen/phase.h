// A phase of a run, as a line says it: "name=flood rate=50000 syn=1e6 settle=1 seconds=5". What it does not say
// is as below.
#pragma once
#include "flood.h"
#include "hostile.h"
#include <stddef.h>

#define PHASE_NAME       32
#define PHASE_RUNS_MAX   100
#define PHASE_QUIET_OPEN 0.004 // of which half are ticks and interrupts; P99 leaves 0.01 out

struct phase {
	char name[PHASE_NAME];  // "main"
	double rate;            // requests a second in open loop; "closed" (default): 0; "none": -1
	double think;           // ms from an answer to the connection's next request, in closed loop: 0
	uint32_t open, active;  // connections opened by now; and in use, in closed loop: 0, all
	uint32_t syn_patience;  // ms without an answer, from which on a SYN is given up: 0, it is sent again
	uint32_t send_patience; // ms in which a request must be sent in open loop: 0, the clients' patience
	double settle, seconds; // 1 s that does not count, then 2 s that do
	uint32_t numbers;       // requests that have a number have one below it: 1
	bool each;              // in turn; else at random
	unsigned runs;          // and these so many times: 1
	// Others may have so much of either CPU in a round that counts: 0.004, or 0.02 where no latencies in
	// open loop are measured. any: each round counts.
	double quiet;
	bool any;
	bool hold;            // waits for a line before its first round, and behind its last one
	bool lossy;           // what a full ring does not take is lost, as on a wire
	bool aim;             // the floods' sources are those of the good clients
	double flood[FLOODS]; // packets a second
	enum hostile_kind hostile;
	unsigned hostiles; // connections: 10000
	double acts;       // of all of them together, a second: as many as connections
};

// false: why says what is wrong.
bool phase_read(struct phase *p, const char *line, char *why, size_t size);
