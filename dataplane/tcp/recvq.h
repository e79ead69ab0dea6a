// What the receive queues keep in each buffer's private room. Only for recvq.c and ooo.c.
#pragma once
#include "tcp/conn.h"

// Out of order, what follows without a hole is a run. Its first buffer speaks for it.
struct recvq_item {
	struct pkt *next; // in order, or of the same run
	union {
		struct pkt *prev; // in buffers of a run that are not its first
		struct pkt *left; // the runs before and behind: a splay tree
	};
	union {
		struct pkt *right;
		struct checksum_tail sum; // in order: of all that the buffer has
	};
	uint32_t seq, end;
	struct pkt *last;          // of the run
	struct pkt *newer, *older; // runs by when they last grew
	struct pkt *root;          // in the newest run: the tree's root
};
_Static_assert(sizeof(struct recvq_item) <= PKT_PRIV, "private room");

#define COLLAPSE_MAX 512 // bytes; larger payload is worth its buffer

static inline struct recvq_item *recvq_item(const struct pkt *p)
{
	return pkt_priv(p);
}

static inline void recvq_hold(struct tcp_conn *c, const struct pkt *p)
{
	c->rcv_held += pkt_truesize(p);
	c->tcp->held += pkt_truesize(p);
}

static inline void recvq_let_go(struct tcp_conn *c, const struct pkt *p)
{
	c->rcv_held -= pkt_truesize(p);
	c->tcp->held -= pkt_truesize(p);
}

// May n bytes be copied behind those in p, to save their buffer?
static inline bool recvq_fits(const struct tcp_conn *c, const struct pkt *p, uint32_t n)
{
	return (n <= COLLAPSE_MAX || c->rcv_held > 2 * c->rcv_buf || (c->more & MORE_RCV_AWAITED)) &&
	       n <= pkt_tailroom(p) && pkt_exclusive(p);
}

// ooo.c. One buffer (now the queue's) whose payload begins at seq, beyond rcv_nxt.
void ooo_add(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq);
// Takes out the first run (its buffers, linked by next), where it begins at or before rcv_nxt; NULL: it does
// not, or there is none. from: a number before it.
struct pkt *ooo_take(struct tcp_conn *c, uint32_t from);
// Gives up the last buffer, of which there must be one.
void ooo_drop(struct tcp_conn *c);
void ooo_clear(struct tcp_conn *c);
