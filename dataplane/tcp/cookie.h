// SYN cookies (RFC 4987 3.6): what a SYN agreed on travels in the number and the timestamp of our answer and
// comes back with the peer's acknowledgement, so that nothing is kept for a connection until it is established.
//
// The sequence number holds the period in which it was sent (3 bits), the MSS (3 bits) and 26 bits of a keyed
// hash over the ends, the peer's number, the period and the MSS. The period being hashed, each of them has its
// own cookies, and one is good for COOKIE_PERIODS of them: 103 to 137 s. Where the peer uses timestamps, the
// low 6 bits of ours tell window scale, SACK and ECN, and the echo must be as young; else those are given up.
// Stamps are rounded down for it, never up, so that they still rise (RFC 7323 5.4).
//
// Keys are of one worker: steering brings the acknowledgement to where the SYN was (port/steer.h).
#pragma once
#include "tcp/conn.h"

#define COOKIE_SHIFT   35 // ns of a period: 34 s
#define COOKIE_PERIODS 4
#define COOKIE_LIFE    ((uint64_t)COOKIE_PERIODS << COOKIE_SHIFT)

enum cookie_verdict { COOKIE_RIGHT, COOKIE_WRONG, COOKIE_OLD };

// The number to answer a SYN with.
uint32_t cookie_number(const struct tcp *t, const struct segment *syn);
// The stamp, not above tsval, that tells the SYN's options.
uint32_t cookie_stamp(uint32_t tsval, const struct tcp_options *opt, bool ecn);
// Answers a SYN with a cookie. rcv_buf: what the connection will offer. ecn: it may agree to ECN.
void cookie_send(struct tcp *t, struct segment *syn, uint32_t rcv_buf, bool ecn);
// Does s acknowledge a cookie? If so fills *syn with the SYN as far as it is known: its number, options and
// the flags of ECN.
enum cookie_verdict cookie_check(const struct tcp *t, const struct segment *s, struct segment *syn);
// One was sent so lately that it may come back.
static inline bool cookie_expected(const struct tcp *t)
{
	return t->cookie_sent && t->now - t->cookie_sent < COOKIE_LIFE;
}
