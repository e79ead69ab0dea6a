// The stack and its sockets, as the files of this folder share them.
#pragma once
#include "base/slab.h"
#include "base/wheel.h"
#include "stack/stack.h"

struct cg_listener {
	struct cg_stack *stack;
	struct cg_listener *next;
	struct addr local; // all zero: any
	uint16_t port;
	uint32_t tag; // never used twice: a late connection meets no other listener
	struct cg_options opt;
	struct cg_sock *first, *last; // not yet accepted
};

struct cg_sock {
	struct cg_stack *stack;
	struct cg_sock *next; // in its listener's queue
	struct tcp_conn *c;
	void *user;
	int error;
	bool open, shut;
};

// A snapshot of one port, as net takes it.
struct image {
	struct snapshot head;
	struct snap_port port;
	struct snap_address address[CG_ADDRESSES];
	struct snap_netroute route[2];
};

struct cg_stack {
	struct cg_config conf;
	struct arena arena;
	struct wheel wheel;
	struct net net;
	struct tcp *tcp;
	struct worker_stats *stats;
	struct port_stats *port_stats;
	struct image image;
	struct slab socks;
	struct cg_listener *listeners;
	uint32_t next_tag;
	uint64_t now;
};

bool listen_find(void *ctx, uint16_t port, struct addr local, uint16_t local_port, struct tcp_accept *out);
void listen_end(struct cg_stack *s);
// As tcp_event_fn; ctx is the stack.
void sock_event(void *ctx, struct tcp_conn *c, void *user, unsigned events);
// A connection was accepted: whose listener's it is. NULL: that has gone.
struct cg_listener *listen_of(struct cg_stack *s, uint32_t tag);
