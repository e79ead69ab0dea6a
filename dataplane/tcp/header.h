// The TCP header on the wire (RFC 9293 3.1), and a received segment as it was parsed.
#pragma once
#include "net/net.h"
#include <stdint.h>

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_ECE 0x40 // RFC 3168
#define TCP_CWR 0x80

#define TCP_HEADER     20
#define TCP_HEADER_MAX 60

struct tcp_header {
	uint16_t src, dst;
	uint32_t seq, ack;
	uint8_t off; // header length in words, in the high four bits
	uint8_t flags;
	uint16_t wnd, sum, urg;
} __attribute__((packed));

// A range of sequence numbers: lo inclusive, hi exclusive.
struct sack_block {
	uint32_t lo, hi;
};

#define SACK_MAX 4 // what an option list of 40 bytes has room for; 3 beside timestamps

// Options of a segment. Those of later extensions (fast open) get their members here.
struct tcp_options {
	uint16_t mss; // 0: absent
	bool has_wscale, has_ts, sack_ok;
	uint8_t wscale; // 0..14
	uint8_t n_sack;
	uint32_t tsval, tsecr;
	struct sack_block sack[SACK_MAX]; // n_sack of them, as they came: nothing about them is checked
};

#define OPT_TS_LEN  12 // with its padding
#define OPT_SYN_MAX 24 // MSS, window scale, timestamps, SACK permitted
#define OPT_MAX     40

// All options of the n bytes at p. Malformed ones end the list: what stood before them counts
// (RFC 9293 3.1 asks to survive them).
void options_parse(struct tcp_options *o, const uint8_t *p, uint32_t n);
// Write an option and return its length.
uint32_t options_put_mss(uint8_t *p, uint16_t mss);
uint32_t options_put_wscale(uint8_t *p, uint8_t shift);
uint32_t options_put_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr);
// The same into words of a header that is composed as such.
static inline void options_words_ts(uint32_t *w, uint32_t tsval, uint32_t tsecr)
{
	w[0] = 0x0a080101; // no operation twice, kind 8, length 10
	w[1] = __builtin_bswap32(tsval);
	w[2] = __builtin_bswap32(tsecr);
}
uint32_t options_put_sack_ok(uint8_t *p);
uint32_t options_put_sack(uint8_t *p, const struct sack_block *v, unsigned n); // n: 1..SACK_MAX

// A segment on its way in. Numbers in host order.
struct segment {
	struct net_seg *net;
	struct pkt *pkt; // its data begins at the TCP header until segment_strip()
	uint64_t hash;   // of its flow
	uint32_t seq, ack;
	uint32_t len; // payload bytes
	uint16_t src_port, dst_port;
	uint16_t wnd;
	uint8_t flags, header;
	struct tcp_options opt;
	struct checksum_tail payload; // its sum, where it was found out on the way and is worth keeping
};

// Sequence numbers taken up: payload, SYN and FIN.
static inline uint32_t segment_span(const struct segment *s)
{
	return s->len + ((s->flags & TCP_SYN) != 0) + ((s->flags & TCP_FIN) != 0);
}
