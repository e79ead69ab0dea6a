// What goes over the wire, seen by one who knows the protocol but no stack: sequence-space invariants after
// every packet.
#include "tcp/header.h"
#include "tcp/seq.h"
#include "tests/sim/tcp_sim.h"
#include <stdio.h>

#define TOO_BIG_MAX 4
#define BARE_MAX    100 // bare acknowledgements in BARE_TIME while nothing else is said
#define BARE_TIME   (10 * SEC)
#define TURNS_MAX   12 // of them in TURNS_TIME that come from the other side than the one before
#define TURNS_TIME  (2 * SEC)

struct seen {
	uint16_t src_port, dst_port, wnd;
	uint32_t seq, ack, len, end; // end: behind payload, SYN and FIN
	uint8_t flags;
	const unsigned char *payload;
	struct tcp_options opt;
};

static uint32_t get32(const unsigned char *d)
{
	return (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
}

// Of an unfragmented segment in one piece.
static bool parse(struct seen *t, const unsigned char *d, uint32_t n)
{
	uint32_t at = d[12] == 0x86 ? 54 : 34, header;

	if (n < at + 20 || !((d[12] == 8 && d[13] == 0) || d[12] == 0x86) || d[at == 54 ? 20 : 23] != 6)
		return false;
	d += at;
	header = (uint32_t)(d[12] >> 4 << 2);
	if (header < 20 || n < at + header)
		return false;
	*t = (struct seen){
		.src_port = (uint16_t)(d[0] << 8 | d[1]),
		.dst_port = (uint16_t)(d[2] << 8 | d[3]),
		.seq = get32(d + 4),
		.ack = get32(d + 8),
		.flags = d[13],
		.wnd = (uint16_t)(d[14] << 8 | d[15]),
		.len = n - at - header,
		.payload = d + header,
	};
	t->end = t->seq + t->len + ((t->flags & TCP_SYN) != 0) + ((t->flags & TCP_FIN) != 0);
	options_parse(&t->opt, d + 20, header - 20);
	return true;
}

static struct flow *flow_of(struct sim *s, unsigned side, const struct seen *t, bool make)
{
	uint16_t port[2];
	unsigned n = sizeof(s->flow) / sizeof(*s->flow);

	port[side] = t->src_port;
	port[1 - side] = t->dst_port;
	for (unsigned i = 0; i < n; i++)
		if (s->flow[i].port[0] == port[0] && s->flow[i].port[1] == port[1])
			return &s->flow[i];
	if (!make)
		return NULL;
	struct flow *f = &s->flow[s->next_flow++ % n];
	*f = (struct flow){.port = {port[0], port[1]}, .quiet_from = s->now};
	return f;
}

const struct dir *watch_find(const struct sim *s, const struct pair *p, unsigned side)
{
	unsigned k = p->end[0].side == side ? 0 : 1;

	for (unsigned i = 0; i < sizeof(s->flow) / sizeof(*s->flow); i++)
		if (s->flow[i].port[side] == p->port[k] && s->flow[i].port[1 - side] == p->port[1 - k])
			return &s->flow[i].dir[side];
	return NULL;
}

static void tell(const struct sim *s, unsigned side, const struct seen *t, const char *fate)
{
	printf("%14.6f side %u %5u > %5u %s%s%s%s%s seq %u ack %u wnd %u len %u", (double)s->now / 1e9, side,
	       t->src_port, t->dst_port, t->flags & TCP_SYN ? "S" : "", t->flags & TCP_FIN ? "F" : "",
	       t->flags & TCP_RST ? "R" : "", t->flags & TCP_PSH ? "P" : "", t->flags & TCP_ACK ? "." : "",
	       t->seq, t->ack, t->wnd, t->len);
	for (unsigned i = 0; i < t->opt.n_sack; i++)
		printf(" sack %u-%u", t->opt.sack[i].lo, t->opt.sack[i].hi);
	printf("%s\n", fate);
}

static unsigned scale(const struct flow *f, unsigned side, const struct seen *t)
{
	bool both = f->dir[0].has_wscale && f->dir[1].has_wscale;

	return both && !(t->flags & TCP_SYN) ? f->dir[side].wscale : 0;
}

static void syn(struct flow *f, unsigned side, const struct seen *t)
{
	struct dir *d = &f->dir[side];

	if (d->syn && d->isn == t->seq)
		return;
	if (d->syn) { // another incarnation; what an old SYN calls forth meets the end of the one before
		f->dir[0] = f->dir[1] = (struct dir){0};
		if (t->flags & TCP_ACK)
			return;
	}
	*d = (struct dir){.syn = true,
			  .isn = t->seq,
			  .max = t->seq,
			  .edge = 0,
			  .has_wscale = t->opt.has_wscale,
			  .wscale = t->opt.wscale,
			  .mss = t->opt.mss,
			  .tsval = t->opt.tsval};
}

// RFC 9293 3.4 and 3.8.6: numbers only go up, what is acknowledged was sent, a window once offered stays.
static void ack_check(struct sim *s, struct flow *f, unsigned side, const struct seen *t)
{
	struct dir *d = &f->dir[side], *peer = &f->dir[1 - side];
	unsigned shift = scale(f, side, t);
	uint32_t edge = t->ack + ((uint32_t)t->wnd << shift);

	if (!peer->syn)
		return;
	if (seq_gt(t->ack, peer->max))
		sim_violation(s, "side %u acknowledges %u bytes that were never sent", side,
			      t->ack - peer->max);
	if (d->acks && seq_lt(t->ack, d->ack))
		sim_violation(s, "side %u takes back an acknowledgement of %u bytes", side, d->ack - t->ack);
	if (d->acks && seq_lt(edge + (1u << shift) - 1, d->edge) &&
	    !(peer->fin && t->ack == peer->fin_at + 1) && !(t->flags & TCP_SYN))
		sim_violation(s, "side %u takes back %u bytes of window", side, d->edge - edge);
	d->edge = d->acks ? seq_max(d->edge, edge) : edge;
	d->ack = t->ack;
	d->acks = true;
}

// RFC 2018 4: blocks tell of what was sent and is not acknowledged, do not touch each other, and the first one
// may be of what came twice (RFC 2883).
static void sack_check(struct sim *s, struct flow *f, unsigned side, const struct seen *t)
{
	const struct dir *peer = &f->dir[1 - side];

	for (unsigned i = 0; i < t->opt.n_sack; i++) {
		struct sack_block k = t->opt.sack[i];
		if (!seq_lt(k.lo, k.hi) || (i && seq_le(k.lo, t->ack)))
			sim_violation(s, "side %u: SACK block %u is empty or acknowledged", side, i);
		for (unsigned j = 1; j < i; j++)
			if (seq_le(k.lo, t->opt.sack[j].hi) && seq_ge(k.hi, t->opt.sack[j].lo))
				sim_violation(s, "side %u: SACK blocks %u and %u touch", side, j, i);
		if (peer->syn && seq_gt(k.hi, peer->max))
			sim_violation(s, "side %u: SACK of what was never sent", side);
	}
}

// The same bytes whenever they are sent.
static void payload_check(struct sim *s, const struct flow *f, unsigned side, const struct seen *t)
{
	for (unsigned i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pair[i];
		unsigned k = p->end[0].side == side ? 0 : 1;

		if (!p->begun || p->port[k] != t->src_port || p->port[1 - k] != t->dst_port)
			continue;
		uint32_t at = t->seq - f->dir[side].isn - 1;
		for (uint32_t j = 0; j < t->len; j++)
			if (t->payload[j] != app_byte(p->end[k].out_key, at + j)) {
				sim_violation(s, "side %u sends a wrong byte at %u", side, at + j);
				return;
			}
		if ((t->flags & TCP_FIN) && p->end[k].shut && at + t->len != p->end[k].sent)
			sim_violation(s, "side %u: FIN at %u, but %llu bytes were written", side, at + t->len,
				      (unsigned long long)p->end[k].sent);
	}
}

static void data_check(struct sim *s, struct flow *f, unsigned side, const struct seen *t)
{
	struct dir *d = &f->dir[side], *peer = &f->dir[1 - side];
	uint32_t mss = peer->mss ? peer->mss : s->ipv6 ? 1220 : 536;

	// RFC 9293 3.8.6: nothing beyond the window but the one byte of a probe.
	if (peer->acks && t->len > 1 && seq_gt(t->seq + t->len, peer->edge))
		sim_violation(s, "side %u: %u bytes sent beyond the peer's window", side,
			      t->seq + t->len - peer->edge);
	if (peer->syn && t->len > mss)
		sim_violation(s, "side %u: a segment of %u bytes to a peer that takes %u", side, t->len, mss);
	if (d->fin && (seq_gt(t->seq + t->len, d->fin_at) || ((t->flags & TCP_FIN) && t->end - 1 != d->fin_at)))
		sim_violation(s, "side %u sends beyond its FIN", side);
	if (t->flags & TCP_FIN) {
		d->fin = true;
		d->fin_at = t->end - 1;
	}
	payload_check(s, f, side, t);
}

// RFC 6298 5.5: as long as nothing is heard, what is sent again waits longer each time.
static void backoff_check(struct sim *s, struct dir *d, unsigned side, const struct seen *t)
{
	const struct fate *fate = &s->fate[side];
	uint64_t gap = s->now - d->again_at;
	// A SYN may have waited for its next hop.
	bool again = t->end != t->seq && seq_lt(t->seq, d->max) && !(t->flags & (TCP_RST | TCP_SYN));

	if (!again || (d->again && gap < MS))
		return;
	if (d->again++ >= 3 && gap < d->again_gap + d->again_gap / 8 && d->again_gap < 40 * SEC &&
	    !s->user_timeout && !fate->busy && !fate->starve && !fate->short_leave && !fate->lag &&
	    !side_mute(&s->side[side]))
		sim_violation(s, "side %u: sent again after %llu ms, and before after %llu ms", side,
			      (unsigned long long)(gap / MS), (unsigned long long)(d->again_gap / MS));
	d->again_gap = gap;
	d->again_at = s->now;
}

// Two ends must not answer each other for ever, with acknowledgements or resets. It shows in their number or,
// as a lossy wire ends what it began, in how often they take turns.
static void bare_check(struct sim *s, struct flow *f, unsigned side, const struct seen *t)
{
	bool owes = f->dir[side].owes;

	f->dir[side].owes = false;
	if (t->end != t->seq || s->now - f->quiet_from > BARE_TIME) {
		f->quiet_from = f->turns_from = s->now;
		f->bare = f->turns = 0;
		return;
	}
	if (f->dir[side].forged) { // what a forger wants answered is not the peer's
		f->dir[side].forged = false;
		return;
	}
	if (++f->bare == BARE_MAX)
		sim_violation(s, "%u acknowledgements within %llu s, and nothing else", BARE_MAX,
			      BARE_TIME / SEC);
	if (s->now - f->turns_from > TURNS_TIME) {
		f->turns_from = s->now;
		f->turns = 0;
	}
	if (t->flags & TCP_RST) // each segment under way to a connection that is gone gets one
		return;
	if (owes) // over a slow path, what both have sent arrives for long
		return;
	f->turns += side != f->bare_side;
	f->bare_side = (uint8_t)side;
	if (f->turns == TURNS_MAX)
		sim_violation(s, "%u acknowledgements in turn within %llu s, and nothing else", TURNS_MAX,
			      TURNS_TIME / SEC);
}

// RFC 7323 3.2 and 4.1: timestamps do not go back, and echo what was sent.
static void timestamp_check(struct sim *s, struct flow *f, unsigned side, const struct seen *t)
{
	struct dir *d = &f->dir[side], *peer = &f->dir[1 - side];

	if (!t->opt.has_ts)
		return;
	// That of a SYN cookie carries options in its low bits.
	if (seq_lt(t->opt.tsval, d->tsval) && !(t->flags & TCP_SYN))
		sim_violation(s, "side %u: a timestamp goes back", side);
	d->tsval = seq_max(d->tsval, t->opt.tsval);
	if ((t->flags & TCP_ACK) && peer->syn && seq_gt(t->opt.tsecr, peer->tsval))
		sim_violation(s, "side %u echoes a timestamp that was never sent", side);
}

// RFC 1191: who is told sends less.
static void too_big_check(struct sim *s, struct dir *d, unsigned side)
{
	const struct fate *fate = &s->fate[side];

	d->again = 0; // it will be told, and sends at once
	if (s->now <= d->told_at)
		return;
	d->told_at = s->now + s->link[1 - side].impair.delay + 10 * MS;
	if (++d->too_big > TOO_BIG_MAX && !fate->starve && !fate->short_leave)
		sim_violation(s, "side %u sends what does not fit again and again", side);
}

// RFC 4821 7: what is larger than the path is known to carry is new data, and goes alone.
static void large_check(struct sim *s, struct flow *f, unsigned side, const struct seen *t, enum wire_fate fate)
{
	struct dir *d = &f->dir[side], *peer = &f->dir[1 - side];
	struct tcp_info info;

	// What has waited for its next hop, and goes out now, was cut long ago.
	if (s->heard_at[side] == s->now)
		return;
	for (unsigned i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pair[i];
		unsigned k = p->end[0].side == side ? 0 : 1;

		if (!p->begun || !p->end[k].k || p->port[k] != t->src_port || p->port[1 - k] != t->dst_port)
			continue;
		cg_info(p->end[k].k, &info);
		if (t->len <= info.mss)
			continue;
		if (seq_lt(t->seq, d->max))
			sim_violation(s, "side %u sends %u bytes again in a segment larger than others", side,
				      t->len);
		if (d->large && peer->acks && seq_lt(peer->ack, d->large_end))
			sim_violation(s, "side %u: a large segment beside another one", side);
		d->large = true;
		d->large_end = t->seq + t->len;
		d->large_len = t->len;
		d->large_lost = fate != WIRE_SENT;
	}
}

void watch_sent(struct sim *s, unsigned side, const struct pkt *p, enum wire_fate fate)
{
	unsigned char whole[WIRE_FRAME];
	uint32_t n = 0;
	struct seen t;

	for (; p; n += pkt_len(p), p = pkt_next(p))
		memcpy(whole + n, pkt_data(p), pkt_len(p));
	if (!parse(&t, whole, n))
		return;
	if (s->trace)
		tell(s, side, &t, fate == WIRE_SENT ? "" : fate == WIRE_LOST ? " lost" : " too big");
	struct flow *f = flow_of(s, side, &t, t.flags & TCP_SYN);
	if (!f)
		return;
	bare_check(s, f, side, &t);
	if (t.flags & TCP_SYN)
		syn(f, side, &t);
	struct dir *d = &f->dir[side];
	if ((t.flags & TCP_RST) || !d->syn)
		return;
	timestamp_check(s, f, side, &t);
	if (t.flags & TCP_ACK)
		ack_check(s, f, side, &t);
	sack_check(s, f, side, &t);
	backoff_check(s, d, side, &t);
	if (t.len || (t.flags & TCP_FIN))
		data_check(s, f, side, &t);
	if (t.len)
		large_check(s, f, side, &t, fate);
	d->max = seq_max(d->max, t.end);
	if (fate == WIRE_TOO_BIG && s->fate[side].icmp)
		too_big_check(s, d, side);
}

void watch_arrived(struct sim *s, unsigned side, const struct frame *frame)
{
	struct seen t;
	struct flow *f;

	if (!parse(&t, frame->data, frame->n)) {
		s->heard_at[side] = s->now;
		return;
	}
	f = flow_of(s, 1 - side, &t, false);
	if (!f)
		return;
	f->dir[side].again = 0;
	if (t.end != t.seq) {
		f->bare = 0;
		f->dir[side].owes = true;
	}
}
