// A script while it is played. Only for the files that play it.
#pragma once
#include "nic/nic.h"
#include "scripts/peer.h"

#define CONNS     26
#define QUEUE_MAX 2048
#define TOLD_MAX  24

struct play {
	struct script *s;
	struct variant variant;
	struct cg_config conf;
	struct cg_options options; // of the listener and of connections
	struct cg_stack *stack;
	struct nic nic; // through which it sends
	struct cg_listener *listener;
	struct wire wire;
	uint64_t now, begun, base; // base: when the last step was done
	uint32_t isn;              // of peers
	bool iss_wanted, iss_seen;
	uint32_t iss_want, iss_first; // of the stack's first connection
	uint64_t iss_at;
	struct conn conn[CONNS];
	unsigned n_conns;
	// What was sent and not yet looked at.
	struct segment queue[QUEUE_MAX];
	unsigned head, tail;
	struct pkt *taken; // buffers that are kept from the stack, linked through their private room
	unsigned n_taken;
	// What a failure is reported with: the last things that happened.
	char told[TOLD_MAX][160];
	unsigned n_told;
	char *report;
};

extern struct pkt_pool *out_pool, *in_pool; // what the stack sends from; what comes in
extern struct pkt_pool *nic_pool;           // what a card makes of it

// All return false where the script has failed; the report then says why.
bool play_fail(struct play *p, const struct step *step, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void play_tell(struct play *p, uint64_t at, const char *way, const char *text);
struct conn *play_conn(struct play *p, char name);
// Lets the stack work at this moment, and takes what it sends.
bool play_flush(struct play *p, const struct step *step);
bool play_advance(struct play *p, const struct step *step, uint64_t to, bool until_sent);

// segments.c
bool play_in(struct play *p, const struct step *step);
bool play_out(struct play *p, const struct step *step);
// calls.c
bool play_set(struct play *p, const struct step *step);
bool play_call(struct play *p, const struct step *step);
