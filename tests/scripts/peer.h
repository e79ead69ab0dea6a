// The peer's end of the wire: frames made from segments, and segments read from frames.
#pragma once
#include "scripts/script.h"

#define FRAME_MAX 2200

// A connection as its peer knows it. Numbers are relative, as scripts write them.
struct conn {
	char name;
	bool iss_known, ts_known;
	bool ts_in, ts_out;           // the option was in the SYN that came, that went
	uint16_t peer_port, our_port; // our_port 0: not yet known
	uint32_t isn, iss;            // the peer's, the stack's
	bool reopened;
	uint32_t old_end; // where the numbers of the connection before ended
	uint32_t ts_zero; // the stack's first timestamp
	uint32_t ts_last; // and its last, as it came
	// Where a script's numbers stand when it does not say them.
	uint32_t in_next, in_ack, in_win; // the peer's next segment
	uint32_t out_next, out_ack;       // the stack's
	uint32_t una;
	struct cg_sock *sock;
	bool closed;
	uint32_t read_at, write_at;
};

struct wire {
	bool v6;
	struct addr ours, theirs;
	uint8_t our_mac[6], their_mac[6];
};

// Byte of a stream at a sequence number.
static inline uint8_t stream_byte(uint32_t seq)
{
	return (uint8_t)(seq * 7 + (seq >> 8) * 13 + 1);
}

// The frame of a segment that comes in, of which `s` says the numbers and `spec` what is odd about it.
uint32_t peer_segment(const struct wire *w, const struct conn *c, const struct segment *s,
		      const struct spec *spec, uint8_t *frame);
// An ICMP error that quotes the segment of ours with this number.
uint32_t peer_icmp(const struct wire *w, const struct conn *c, uint32_t about, const struct icmp_kind *kind,
		   uint32_t mtu, uint8_t *frame);
// The answer to a frame that asks for our address (ARP, RFC 4861); 0: it does not ask.
uint32_t peer_resolve(const struct wire *w, const uint8_t *in, uint32_t n, uint8_t *frame);
// What was sent. False: nothing that a script speaks of (ARP, NDP, MLD).
bool peer_read(const struct wire *w, struct conn *conns, unsigned n_conns, const uint8_t *frame, uint32_t n,
	       struct segment *out);
