// The wire of every simulation: frames on their way, in the order of their arrival, and what befalls them. All
// of it follows from one seed.
#pragma once
#include "base/random.h"
#include "port/pkt.h"

#define WIRE_FRAME 2064  // bytes of the longest frame
#define WIRE_MAX   16384 // frames under way at once; more are lost, as in any queue

struct frame {
	uint64_t at, order; // ns; of equal times the first sent comes first
	struct link *link;
	uint32_t to; // whose wire end
	uint32_t n;
	unsigned char data[WIRE_FRAME];
};

// What a link does to frames. Chances are out of 10 000, times in ns.
struct impair {
	uint32_t loss, duplicate, reorder;
	uint32_t corrupt;   // one bit changes, beyond the Ethernet header, whose own check would tell
	uint32_t mark;      // ECN: congestion experienced, where the sender can take it (RFC 3168 5)
	uint32_t ack_loss;  // of TCP segments without payload, beside loss
	uint32_t tail_loss; // of those that end a flight (PSH or FIN), beside loss
	uint32_t burst;     // that with a frame a time begins, up to burst_max, in which all is lost
	uint64_t burst_max;
	uint64_t delay, jitter, reorder_max, late; // late: of duplicates, at most
	uint64_t rate, queue;                      // bits/s, 0: unlimited; backlog before frames are lost
	uint64_t flap_period, flap_down;           // down for so long, once in each period; 0: never
	uint64_t dark_from, dark_until;            // all is lost
	uint64_t narrow_from, narrow_until;        // IP packets beyond narrow_mtu do not fit
	uint32_t narrow_mtu;
};

// One direction.
struct link {
	struct impair impair;
	uint64_t busy_until, burst_until;
	uint64_t newest; // order of the latest frame that has arrived
	uint64_t frames, lost, duplicated, reordered, corrupted, too_big, marked;
};

struct wire {
	struct random random;
	struct frame **heap, *spare[64];
	uint32_t n, room, n_spare;
	uint64_t order;
};

enum wire_fate { WIRE_SENT, WIRE_LOST, WIRE_TOO_BIG };

void wire_init(struct wire *w, uint64_t seed);
void wire_fini(struct wire *w); // forgets what is under way
// p stays the caller's: what arrives is a copy, as over a real wire.
enum wire_fate wire_send(struct wire *w, struct link *l, uint64_t now, uint32_t to, const struct pkt *p);
// The same for a frame that is made outside of any stack; nothing but delay befalls it.
void wire_put(struct wire *w, struct link *l, uint64_t now, uint32_t to, const void *data, uint32_t n);
uint64_t wire_time(const struct wire *w); // of the next arrival, UINT64_MAX: none
// The next frame due at `now`, to be given to wire_done(); NULL: none.
struct frame *wire_next(struct wire *w, uint64_t now);
void wire_done(struct wire *w, struct frame *f);
// The same as a packet; *to: whose it is. NULL: none. What finds no buffer is lost (and the next one taken).
struct pkt *wire_packet(struct wire *w, uint64_t now, struct pkt_pool *pool, uint32_t *to);
