// The backends: they take connections from the gateway and answer each request with the same response. In every
// sixteenth burst the bodies of requests are looked at.
#pragma once
#include "message.h"

struct backend_conn;
struct backend {
	struct link *link;
	const struct message *response;
	struct backend_conn *conn;  // [backends * 65536], by address and the gateway's port
	uint32_t *active;           // those that are open
	uint32_t n_active, base, n; // base: first address, host order
	uint16_t port;
	struct backend_conn **ack;
	uint32_t *held, held_head, held_tail,
		held_mask; // ring of those that have more to send than the link had room for
	uint32_t n_ack, sweep, now_ms;
	uint64_t bursts, accepted, requests, retransmits, out_of_order, bad_requests, resets;
};

int backend_init(struct backend *b, uint32_t backends, uint16_t port, struct link *l,
		 const struct message *response);
void backend_fini(struct backend *b);
void backend_input(struct backend *b, struct segment *s, unsigned n, uint32_t ms);
// Goes on with what the link had no room for. Whether there was any.
bool backend_turn(struct backend *b);
void backend_sweep(struct backend *b, unsigned n);
