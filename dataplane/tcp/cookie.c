#include "tcp/cookie.h"

#define HASH_BITS 26
#define HASH_MASK ((1u << HASH_BITS) - 1)

// The stamp's low bits.
#define STAMP_BITS 6
#define STAMP_MASK ((1u << STAMP_BITS) - 1)
#define NO_WSCALE  15u // RFC 7323 2.3 allows up to 14
#define STAMP_SACK (1u << 4)
#define STAMP_ECN  (1u << 5)

#define ECN_SETUP (TCP_ECE | TCP_CWR) // RFC 3168 6.1.1

// What most paths have: the largest that is not above the peer's is taken. The first is below every floor
// (tcp_config.min_mss).
static const uint16_t mss_of[8] = {48, 536, 1220, 1360, 1400, 1440, 1460, 8940};

static unsigned mss_index(const struct segment *syn)
{
	uint16_t mss = syn->opt.mss ? syn->opt.mss : addr_is_v4(syn->net->src) ? 536 : 1220;
	unsigned i = 7;

	while (i && mss_of[i] > mss)
		i--;
	return i;
}

static uint32_t hash_of(const struct tcp *t, const struct segment *s, uint32_t irs, uint32_t period,
			unsigned mss)
{
	struct {
		struct addr local, remote;
		uint16_t local_port, remote_port;
		uint32_t irs, period, purpose;
	} in = {s->net->dst, s->net->src, s->dst_port, s->src_port, irs, period, mss << 8 | 4};

	return (uint32_t)siphash(t->secret, &in, sizeof(in)) & HASH_MASK;
}

static uint32_t stamp_offset(const struct tcp *t, const struct segment *s)
{
	return conn_ts_offset(t, &(struct flow_ends){.local = s->net->dst,
						     .remote = s->net->src,
						     .local_port = s->dst_port,
						     .remote_port = s->src_port});
}

uint32_t cookie_number(const struct tcp *t, const struct segment *syn)
{
	uint32_t period = (uint32_t)(t->now >> COOKIE_SHIFT);
	unsigned mss = mss_index(syn);

	return (period & 7) << 29 | mss << HASH_BITS | hash_of(t, syn, syn->seq, period, mss);
}

uint32_t cookie_stamp(uint32_t tsval, const struct tcp_options *opt, bool ecn)
{
	uint32_t bits = (opt->has_wscale ? opt->wscale : NO_WSCALE) | (opt->sack_ok ? STAMP_SACK : 0) |
			(ecn ? STAMP_ECN : 0);
	uint32_t stamp = (tsval & ~STAMP_MASK) | bits;

	return seq_gt(stamp, tsval) ? stamp - STAMP_MASK - 1 : stamp;
}

void cookie_send(struct tcp *t, struct segment *syn, uint32_t rcv_buf, bool ecn)
{
	uint32_t room = t->net->port[syn->net->port].mtu - (addr_is_v4(syn->net->src) ? 40u : 60u), n;
	struct tcp_options opt = syn->opt;
	uint8_t options[OPT_SYN_MAX];

	opt.sack_ok = opt.sack_ok && !t->conf.no_sack;
	ecn = ecn && opt.has_ts && (syn->flags & ECN_SETUP) == ECN_SETUP;
	n = options_put_mss(options, (uint16_t)room);
	if (opt.has_ts) {
		if (opt.has_wscale)
			n += options_put_wscale(options + n, conn_wscale(rcv_buf));
		n += options_put_ts(options + n, cookie_stamp(conn_tsval(t, stamp_offset(t, syn)), &opt, ecn),
				    opt.tsval);
		if (opt.sack_ok)
			n += options_put_sack_ok(options + n);
	}
	t->cookie_sent = t->now;
	tcp_count(t, CTR_tcp_cookie_sent);
	reply_send(t, syn, cookie_number(t, syn), syn->seq + 1,
		   (uint8_t)(TCP_SYN | TCP_ACK | (ecn ? TCP_ECE : 0)),
		   (uint16_t)(rcv_buf < UINT16_MAX ? rcv_buf : UINT16_MAX), options, n);
}

enum cookie_verdict cookie_check(const struct tcp *t, const struct segment *s, struct segment *syn)
{
	uint32_t number = s->ack - 1, irs = s->seq - 1, now = (uint32_t)(t->now >> COOKIE_SHIFT);
	uint32_t age = (now - (number >> 29)) & 7;
	unsigned mss = number >> HASH_BITS & 7;

	if ((number & HASH_MASK) != hash_of(t, s, irs, now - age, mss))
		return COOKIE_WRONG;
	if (age >= COOKIE_PERIODS)
		return COOKIE_OLD;
	*syn = (struct segment){.net = s->net,
				.seq = irs,
				.wnd = s->wnd,
				.src_port = s->src_port,
				.dst_port = s->dst_port,
				.flags = TCP_SYN,
				.hash = s->hash,
				.opt = {.mss = mss_of[mss]}};
	if (!s->opt.has_ts)
		return COOKIE_RIGHT;
	uint32_t stamp = s->opt.tsecr, old = conn_tsval(t, stamp_offset(t, s)) - stamp;

	if (old > (COOKIE_LIFE >> TICK_SHIFT) + STAMP_MASK)
		return COOKIE_WRONG;
	syn->opt.has_ts = true;
	syn->opt.tsval = s->opt.tsval;
	syn->opt.wscale = stamp & 15;
	syn->opt.has_wscale = syn->opt.wscale != NO_WSCALE;
	syn->opt.sack_ok = (stamp & STAMP_SACK) != 0;
	if (stamp & STAMP_ECN)
		syn->flags |= ECN_SETUP;
	return COOKIE_RIGHT;
}
