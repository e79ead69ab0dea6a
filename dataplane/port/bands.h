// What came out of a receive queue and was not yet worked on, in two bands (priority queueing): SYNs, which ask
// for something new, and all else, most of which belongs to connections that are there.
//
// While a burst or two come at a time, everything goes the straight way. When more has come the worker empties
// the device's queue each turn, so that frames of its connections never stand there behind the SYNs of a flood,
// nor are lost with them. SYNs get what the others leave of a burst, a quarter at least: in order while few
// wait; but the newest first where many do, as these are still in the cache, and the likeliest that somebody
// waits for. When their band is full, further ones are dropped before anything is done for them (their senders
// try again): it is the length of the queue that decides, not how long it was so, and a worker that only was
// held up for some milliseconds still takes all that came meanwhile.
//
// One for each receive queue; its worker's alone.
#pragma once
#include "port/pkt.h"

#define BANDS_REST 1024u // powers of two
#define BANDS_SYN  4096u

struct bands {
	uint32_t head, tail; // of rest: the oldest, and behind the newest; masked when used
	uint32_t syn_head, syn_tail;
	uint32_t max_syn; // so many may wait; at most BANDS_SYN
	struct pkt *rest[BANDS_REST], *syn[BANDS_SYN];
};

static inline uint32_t bands_rest(const struct bands *q)
{
	return q->tail - q->head;
}
static inline uint32_t bands_syns(const struct bands *q)
{
	return q->syn_tail - q->syn_head;
}
// How many bands_put() takes now.
static inline uint32_t bands_room(const struct bands *q)
{
	return BANDS_REST - bands_rest(q);
}
static inline bool bands_empty(const struct bands *q)
{
	return q->head == q->tail && q->syn_head == q->syn_tail;
}
// n: at most bands_room(). sort: false where they are few and no SYN waits. Returns how many were dropped.
unsigned bands_put(struct bands *q, struct pkt **v, unsigned n, bool sort);
// The next burst: at most n into v.
unsigned bands_take(struct bands *q, struct pkt **v, unsigned n);
void bands_clear(struct bands *q); // frees what waits
// A SYN without ACK, over either version of IP, with a VLAN tag or without. What is cut off, fragmented or has
// IPv6 extensions is not recognised.
bool frame_is_syn(const char *frame, uint32_t n);
