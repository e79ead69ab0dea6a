// What the send queue keeps in each buffer's private room: where its payload lies, and the scoreboard of what
// was sent of it (RFC 2018 8, RFC 8985 5.1). Only for the files that work on the queue.
#pragma once
#include "tcp/conn.h"

#define PART_SACKED  1 // the peer has it
#define PART_LOST    2 // taken for lost, not yet sent again
#define PART_RETRANS 4 // was sent more than once

// A stretch of payload that went out together. It ends `end` bytes into the buffer's payload and begins where
// the one before ends.
struct sendq_part {
	uint16_t end;
	uint8_t flags;
	uint8_t pad;
	uint32_t sent_at; // us, of the last time
};

// With the peer's MSS at 512 or more a buffer goes out in four parts; of smaller segments the last part takes
// what is left, so that no peer decides how much is kept about it.
#define PARTS_MAX 5

struct sendq_item {
	struct pkt *next;
	uint32_t seq;
	uint16_t off; // of the payload, from the buffer's begin
	uint16_t len;
	uint8_t n_parts;
	bool kept;                // its owner wants it back: its note is a struct tcp_kept
	struct checksum_tail sum; // of the payload
	union {
		struct sendq_part part[PARTS_MAX];
		struct {
			struct sendq_part whole[PARTS_MAX - 1];
			struct pkt *skip; // of a buffer that the peer has, as one part: a later one; all
					  // between are such
		};
	};
};
_Static_assert(sizeof(struct sendq_item) <= PKT_PRIV, "private room");

static inline struct sendq_item *sendq_item(const struct pkt *p)
{
	return pkt_priv(p);
}

// A place on the scoreboard; [lo, hi) is what of the part is not acknowledged.
struct board_pos {
	struct pkt *pkt;
	unsigned i;
	struct sendq_part *part;
	uint32_t lo, hi;
};
// The first part that reaches beyond snd_una, the next one. False: no more, part is NULL.
bool board_first(const struct tcp_conn *c, struct board_pos *b);
bool board_next(const struct tcp_conn *c, struct board_pos *b);
// The same, but for whole buffers that the peer has: a stretch of them costs one step.
bool board_first_open(const struct tcp_conn *c, struct board_pos *b);
bool board_next_open(const struct tcp_conn *c, struct board_pos *b);
// Payload from lo to hi went out, for the first time or again.
void board_sent(struct tcp_conn *c, uint32_t lo, uint32_t hi, uint32_t at);
void board_lost(struct tcp_conn *c, const struct board_pos *b);
void board_sacked(struct tcp_conn *c, const struct board_pos *b);
// All that the peer has not is to be sent again; with `renege` also what it said it had (RFC 2018 8).
void board_lose_all(struct tcp_conn *c, bool renege);
