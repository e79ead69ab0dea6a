// Packets by hand, from the RFCs alone: a second opinion on what the stack reads and writes.
#include "scripts/peer.h"
#include <string.h>

#define ETHERNET 14
#define TCP      6
#define ICMP     1
#define ICMP6    58

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}
static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}
static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

// RFC 1071.
static uint32_t sum(uint32_t before, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		before += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return before;
}
static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

static uint32_t header_length(const struct wire *w)
{
	return w->v6 ? 40 : 20;
}

// Of the pseudo header (RFC 9293 3.1, RFC 8200 8.1).
static uint32_t pseudo(const struct wire *w, const uint8_t *ip, uint32_t proto, uint32_t n)
{
	return (w->v6 ? sum(0, ip + 8, 32) : sum(0, ip + 12, 8)) + proto + n;
}

// Ethernet and IP in front of n bytes; ours: as the stack would send it.
static uint8_t *ip_put(const struct wire *w, uint8_t *ip, bool from_us, uint32_t proto, uint32_t tos,
		       uint32_t n)
{
	const struct addr *src = from_us ? &w->ours : &w->theirs, *dst = from_us ? &w->theirs : &w->ours;

	memset(ip, 0, header_length(w));
	if (w->v6) {
		put32(ip, 6u << 28 | tos << 20);
		put16(ip + 4, n);
		ip[6] = (uint8_t)proto;
		ip[7] = 64;
		memcpy(ip + 8, src->b, 16);
		memcpy(ip + 24, dst->b, 16);
		return ip + 40;
	}
	ip[0] = 0x45;
	ip[1] = (uint8_t)tos;
	put16(ip + 2, 20 + n);
	put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = (uint8_t)proto;
	memcpy(ip + 12, src->b + 12, 4);
	memcpy(ip + 16, dst->b + 12, 4);
	put16(ip + 10, fold(sum(0, ip, 20)));
	return ip + 20;
}

static uint8_t *ethernet_put(const struct wire *w, uint8_t *frame, uint32_t type)
{
	memcpy(frame, w->our_mac, 6);
	memcpy(frame + 6, w->their_mac, 6);
	put16(frame + 12, type);
	return frame + ETHERNET;
}

static uint32_t options_put(const struct segment *s, const struct spec *spec, const struct conn *c, uint8_t *o)
{
	uint32_t n = 0;

	if (s->has & HAS(F_MSS)) {
		memcpy(o + n, (uint8_t[]){2, 4}, 2);
		put16(o + n + 2, s->v[F_MSS]);
		n += 4;
	}
	if (s->has & HAS(F_WSCALE)) {
		memcpy(o + n, (uint8_t[]){1, 3, 3, (uint8_t)s->v[F_WSCALE]}, 4);
		n += 4;
	}
	if (s->has & HAS(F_SACKOK)) {
		memcpy(o + n, (uint8_t[]){1, 1, 4, 2}, 4);
		n += 4;
	}
	if (s->has & HAS(F_TS)) {
		memcpy(o + n, (uint8_t[]){1, 1, 8, 10}, 4);
		put32(o + n + 4, s->v[F_TSVAL]);
		put32(o + n + 8, s->v[F_TSECR]);
		n += 12;
	}
	if (s->n_sack) {
		memcpy(o + n, (uint8_t[]){1, 1, 5, (uint8_t)(2 + 8 * s->n_sack)}, 4);
		n += 4;
		for (unsigned i = 0; i < s->n_sack && n <= OPTION_BYTES - 8; i++, n += 8) {
			put32(o + n, c->iss + s->sack[i][0]);
			put32(o + n + 4, c->iss + s->sack[i][1]);
		}
	}
	for (unsigned i = 0; i < spec->n_raw && n < OPTION_BYTES; i++)
		o[n++] = spec->raw[i];
	while (n % 4)
		o[n++] = 0;
	return n;
}

uint32_t peer_segment(const struct wire *w, const struct conn *c, const struct segment *s,
		      const struct spec *spec, uint8_t *frame)
{
	uint8_t options[OPTION_BYTES + 4], *ip = ethernet_put(w, frame, w->v6 ? 0x86dd : 0x0800);
	uint32_t n = options_put(s, spec, c, options), data = s->v[F_END] - s->v[F_SEQ];
	uint8_t *tcp = ip_put(w, ip, false, TCP, s->v[F_ECN], 20 + n + data);

	put16(tcp, c->peer_port);
	put16(tcp + 2, c->our_port);
	put32(tcp + 4, c->isn + s->v[F_SEQ]);
	put32(tcp + 8, s->flags & ACK ? c->iss + s->v[F_ACK] : 0);
	tcp[12] = (uint8_t)((spec->header ? spec->header : 20 + n) / 4 << 4);
	tcp[13] = s->flags;
	put16(tcp + 14, s->v[F_WIN]);
	put16(tcp + 16, 0);
	put16(tcp + 18, s->v[F_URG]);
	memcpy(tcp + 20, options, n);
	for (uint32_t i = 0; i < data; i++)
		tcp[20 + n + i] = stream_byte(s->v[F_SEQ] + i);
	put16(tcp + 16,
	      fold(sum(pseudo(w, ip, TCP, 20 + n + data), tcp, 20 + n + data)) ^ (spec->bad_sum ? 0x55 : 0));
	return ETHERNET + header_length(w) + 20 + n + data;
}

uint32_t peer_icmp(const struct wire *w, const struct conn *c, uint32_t about, const struct icmp_kind *kind,
		   uint32_t mtu, uint8_t *frame)
{
	uint32_t quoted = header_length(w) + 8, n = 8 + quoted;
	uint8_t *ip = ethernet_put(w, frame, w->v6 ? 0x86dd : 0x0800);
	uint8_t *icmp = ip_put(w, ip, false, w->v6 ? ICMP6 : ICMP, 0, n), *tcp;

	memset(icmp, 0, 8);
	icmp[0] = w->v6 ? kind->type6 : kind->type4;
	icmp[1] = w->v6 ? kind->code6 : kind->code4;
	put32(icmp + 4, w->v6 ? mtu : mtu & 0xffff);
	tcp = ip_put(w, icmp + 8, true, TCP, 0, 1020);
	put16(tcp, c->our_port);
	put16(tcp + 2, c->peer_port);
	put32(tcp + 4, c->iss + about);
	put16(icmp + 2, fold(sum(w->v6 ? pseudo(w, ip, ICMP6, n) : 0, icmp, n)));
	return ETHERNET + header_length(w) + n;
}

static uint32_t arp_answer(const struct wire *w, const uint8_t *in, uint8_t *frame)
{
	const uint8_t *ask = in + ETHERNET;
	uint8_t *arp;

	if (get16(ask + 6) != 1 || memcmp(ask + 24, w->theirs.b + 12, 4) != 0)
		return 0;
	arp = ethernet_put(w, frame, 0x0806);
	memcpy(arp, ask, 6);
	put16(arp + 6, 2);
	memcpy(arp + 8, w->their_mac, 6);
	memcpy(arp + 14, w->theirs.b + 12, 4);
	memcpy(arp + 18, w->our_mac, 6);
	memcpy(arp + 24, w->ours.b + 12, 4);
	return ETHERNET + 28;
}

static uint32_t neighbour_answer(const struct wire *w, const uint8_t *in, uint8_t *frame)
{
	const uint8_t *ask = in + ETHERNET + 40;
	uint8_t *ip, *na;

	if (in[ETHERNET + 6] != ICMP6 || ask[0] != 135 || memcmp(ask + 8, w->theirs.b, 16) != 0)
		return 0;
	ip = ethernet_put(w, frame, 0x86dd);
	na = ip_put(w, ip, false, ICMP6, 0, 32);
	ip[7] = 255;
	memcpy(ip + 24, in + ETHERNET + 8, 16);
	memset(na, 0, 32);
	na[0] = 136;
	na[4] = 0x60; // solicited, override
	memcpy(na + 8, w->theirs.b, 16);
	na[24] = 2;
	na[25] = 1;
	memcpy(na + 26, w->their_mac, 6);
	put16(na + 2, fold(sum(pseudo(w, ip, ICMP6, 32), na, 32)));
	return ETHERNET + 40 + 32;
}

uint32_t peer_resolve(const struct wire *w, const uint8_t *in, uint32_t n, uint8_t *frame)
{
	if (n >= ETHERNET + 28 && get16(in + 12) == 0x0806)
		return arp_answer(w, in, frame);
	if (w->v6 && n >= ETHERNET + 40 + 24 && get16(in + 12) == 0x86dd)
		return neighbour_answer(w, in, frame);
	return 0;
}

// False: malformed.
static bool options_read(const uint8_t *o, uint32_t n, struct segment *s)
{
	for (uint32_t len; n > 0 && o[0] != 0; o += len, n -= len) {
		len = 1;
		if (o[0] == 1)
			continue;
		if (n < 2 || o[1] < 2 || o[1] > n)
			return false;
		len = o[1];
		if (o[0] == 2 && len == 4) {
			s->has |= HAS(F_MSS);
			s->v[F_MSS] = get16(o + 2);
		} else if (o[0] == 3 && len == 3) {
			s->has |= HAS(F_WSCALE);
			s->v[F_WSCALE] = o[2];
		} else if (o[0] == 4 && len == 2) {
			s->has |= HAS(F_SACKOK);
		} else if (o[0] == 8 && len == 10) {
			s->has |= HAS(F_TS) | HAS(F_TSVAL) | HAS(F_TSECR);
			s->v[F_TSVAL] = get32(o + 2);
			s->v[F_TSECR] = get32(o + 6);
		} else if (o[0] == 5 && len >= 10 && (len - 2) % 8 == 0) {
			for (uint32_t i = 2; i < len && s->n_sack < SACK_BLOCKS; i += 8, s->n_sack++) {
				s->sack[s->n_sack][0] = get32(o + i);
				s->sack[s->n_sack][1] = get32(o + i + 4);
			}
		} else {
			return false;
		}
	}
	return true;
}

static struct conn *conn_of(struct conn *conns, unsigned n, const uint8_t *tcp)
{
	struct conn *unknown = NULL;

	for (unsigned i = 0; i < n; i++) {
		struct conn *c = &conns[i];
		if (c->peer_port != get16(tcp + 2))
			continue;
		if (c->our_port == get16(tcp))
			return c;
		if (c->our_port == 0)
			unknown = c;
	}
	if (unknown)
		unknown->our_port = (uint16_t)get16(tcp);
	return unknown;
}

static void relative(struct conn *c, struct segment *s)
{
	if ((s->flags & SYN) && !c->iss_known) {
		c->iss_known = true;
		c->iss = s->v[F_SEQ];
		if (c->reopened && (int32_t)(c->iss - c->old_end) <= 0)
			s->wrong = "its ISN (not above the connection before)";
	}
	s->v[F_SEQ] -= c->iss;
	s->v[F_ACK] -= c->isn;
	if (s->has & HAS(F_TSVAL)) {
		if (!c->ts_known)
			c->ts_zero = s->v[F_TSVAL];
		c->ts_known = true;
		c->ts_last = s->v[F_TSVAL];
		s->v[F_TSVAL] -= c->ts_zero;
	}
	for (unsigned i = 0; i < s->n_sack; i++) {
		s->sack[i][0] -= c->isn;
		s->sack[i][1] -= c->isn;
	}
}

bool peer_read(const struct wire *w, struct conn *conns, unsigned n_conns, const uint8_t *frame, uint32_t n,
	       struct segment *out)
{
	const uint8_t *ip = frame + ETHERNET, *tcp = ip + header_length(w);
	uint32_t total, header;
	struct conn *c;

	*out = (struct segment){0};
	if (n < ETHERNET + header_length(w) || get16(frame + 12) != (w->v6 ? 0x86dd : 0x0800))
		return false;
	total = w->v6 ? 40 + get16(ip + 4) : get16(ip + 2);
	if (w->v6 && ip[6] == 0) // MLD comes behind a hop-by-hop header
		return false;
	if (w->v6 && ip[6] == ICMP6 && tcp[0] >= 130)
		return false;
	if ((w->v6 ? ip[6] : ip[9]) != TCP) {
		out->icmp = true;
		return true;
	}
	if (total > n - ETHERNET || total < header_length(w) + 20) {
		out->wrong = "its IP length";
		return true;
	}
	if (!w->v6 && fold(sum(0, ip, 20)) != 0)
		out->wrong = "its IP checksum";
	total -= header_length(w);
	header = tcp[12] >> 4 << 2;
	if (fold(sum(pseudo(w, ip, TCP, total), tcp, total)) != 0)
		out->wrong = "its checksum";
	if (header < 20 || header > total || !options_read(tcp + 20, header - 20, out)) {
		out->wrong = "its header";
		return true;
	}
	out->flags = tcp[13];
	out->has |= HAS(F_SEQ) | HAS(F_END) | HAS(F_WIN) | HAS(F_ECN) | (out->flags & ACK ? HAS(F_ACK) : 0);
	out->v[F_SEQ] = get32(tcp + 4);
	out->v[F_ACK] = get32(tcp + 8);
	out->v[F_WIN] = get16(tcp + 14);
	out->v[F_URG] = get16(tcp + 18);
	out->v[F_ECN] = (w->v6 ? get32(ip) >> 20 : ip[1]) & 3;
	c = conn_of(conns, n_conns, tcp);
	if (c) {
		out->conn = c->name;
		relative(c, out);
	}
	out->v[F_END] = out->v[F_SEQ] + total - header;
	for (uint32_t i = 0; c && i < total - header; i++)
		if (tcp[header + i] != stream_byte(out->v[F_SEQ] + i))
			out->wrong = "its payload";
	return true;
}
