// How large packets may be on their way: what routers tell (RFC 1191, RFC 8201), kept for other connections to
// the same address, and what to do where they tell nothing and full segments vanish (RFC 2923 2.1). Of the
// latter nothing is kept: it may have been an outage.
#include "tcp/sendq.h"

#define MTU_MIN       576 // IPv4; less would be an attack rather than a network
#define MTU_MIN6      1280
#define AGE           140 // ticks of 2^32 ns: 10 minutes (RFC 8201 5.4)
#define LOST_IN_A_ROW 3   // timeouts, before anything else than congestion is thought of

static const uint16_t plateau[] = {1492, 1006, MTU_MIN}; // RFC 1191 7, as far as it goes
static const uint16_t step[] = {1260, 1064, MTU_MIN};    // payload of 1220, 1024 and 536

static struct path_mtu *place(struct tcp *t, struct addr remote)
{
	return &t->path_mtu[hash_mix(remote.w[0] ^ t->secret.k0, remote.w[1] ^ t->secret.k1) % PATH_MTUS];
}

static bool aged(const struct tcp *t, uint16_t at)
{
	return (uint16_t)(pathmtu_now(t) - at) >= AGE;
}

static void mtu_set(struct tcp_conn *c, uint16_t mtu)
{
	c->path.mtu = mtu;
	conn_set_mss(c, c->path.own);
	if (c->cwnd < c->mss)
		c->cwnd = c->mss;
}

void pathmtu_begin(struct tcp *t, struct tcp_conn *c)
{
	const struct path_mtu *m = place(t, c->path.remote);

	if (m->mtu && m->mtu < c->path.mtu && addr_eq(m->remote, c->path.remote) && !aged(t, m->at)) {
		c->path.mtu = m->mtu;
		c->mtu_at = m->at;
	}
}

void pathmtu_age(struct tcp *t, struct tcp_conn *c)
{
	if ((c->more & MORE_SEARCH) || !aged(t, c->mtu_at))
		return;
	if (c->flags & CONN_SACK) { // one segment tells, not a window of them
		mtu_search_begin(t, c);
		return;
	}
	c->mtu_at = 0;
	mtu_set(c, t->net->port[c->path.port].mtu);
}

// What is under way goes out again in smaller segments, and says nothing about congestion.
static void send_again(struct tcp_conn *c)
{
	if (c->flags & CONN_SACK) {
		board_lose_all(c, false);
		c->recover = c->snd_max;
		c->flags |= CONN_RESEND;
	} else {
		c->snd_nxt = c->snd_una;
	}
	c->flags &= ~CONN_RTT;
	conn_dirty(c);
}

void pathmtu_too_big(struct tcp *t, struct tcp_conn *c, uint16_t mtu)
{
	uint16_t min = addr_is_v4(c->path.remote) ? MTU_MIN : MTU_MIN6, before = c->mss;
	struct path_mtu *m = place(t, c->path.remote);

	if ((c->more & MORE_SEARCH) && mtu_search_too_big(t, c, mtu))
		return;
	for (unsigned i = 0; mtu == 0 && min == MTU_MIN && i < sizeof(plateau) / sizeof(*plateau); i++)
		if (plateau[i] < c->path.mtu)
			mtu = plateau[i];
	if (mtu < min || mtu >= c->path.mtu)
		return;
	mtu_search_end(t, c);
	*m = (struct path_mtu){.remote = c->path.remote, .mtu = mtu, .at = pathmtu_now(t)};
	c->mtu_at = pathmtu_now(t);
	mtu_set(c, mtu);
	tcp_count(t, CTR_tcp_path_mtu);
	if (c->mss < before)
		send_again(c);
}

void pathmtu_raise(struct tcp *t, struct tcp_conn *c, uint16_t mtu)
{
	struct path_mtu *m = place(t, c->path.remote);

	if (m->mtu < mtu && addr_eq(m->remote, c->path.remote))
		m->mtu = mtu < t->net->port[c->path.port].mtu ? mtu : 0;
	mtu_set(c, mtu);
	tcp_count(t, CTR_tcp_mtu_raised);
}

// The steps of one connection, down to what every path carries; after that it is no matter of size.
void pathmtu_timeout(struct tcp *t, struct tcp_conn *c)
{
	bool v4 = addr_is_v4(c->path.remote);
	uint32_t headers = (v4 ? 40u : 60u) + (c->flags & CONN_TS ? OPT_TS_LEN : 0);
	uint32_t under_way = c->snd_max - c->snd_una, segment = under_way < c->mss ? under_way : c->mss;

	if (c->more & MORE_SEARCH)
		mtu_search_timeout(t, c);
	if (c->retries < LOST_IN_A_ROW)
		return;
	for (unsigned i = 0; i < sizeof(step) / sizeof(*step); i++) {
		uint16_t mtu = v4 ? step[i] : MTU_MIN6;
		if (mtu >= c->path.mtu || segment + headers <= mtu)
			continue;
		c->mtu_at = pathmtu_now(t);
		mtu_set(c, mtu);
		mtu_search_begin(t, c);
		tcp_count(t, CTR_tcp_black_hole);
		return;
	}
	if (c->mtu_at && c->retries == LOST_IN_A_ROW + sizeof(step) / sizeof(*step)) {
		mtu_search_end(t, c);
		c->mtu_at = 0;
		c->path.mtu = t->net->port[c->path.port].mtu;
		pathmtu_begin(t, c);
		mtu_set(c, c->path.mtu);
	}
}
