// The search for larger packets where they became smaller (RFC 4821, packetization-layer path-MTU discovery).
// After full segments got lost without a word it begins at once, as it may have been an outage or one narrow
// way of several; after a router's word, when that is ten minutes old.
//
// A probe is one segment of new data that is larger than the others, sent where enough follows it to show its
// loss. Once it is acknowledged all segments may be as large. A loss of the probe alone says nothing about
// congestion (RFC 4821 7.6.2): its data goes out again in segments that fit, and the window stays. The largest
// size is tried first, then halves of what is left. Only where SACK is agreed, which tells the one from the
// other; few connections search at a time.
#include "tcp/sendq.h"

#define GRAIN     8 // bytes; what is left to be gained is not worth a probe
#define FOLLOWERS 3 // segments behind a probe (RFC 4821 7.4)

static struct mtu_search *search_of(struct tcp *t, const struct tcp_conn *c)
{
	return &t->mtu_search[conn_index(t, c) % MTU_SEARCHES];
}

static uint32_t headers(const struct tcp_conn *c)
{
	return (addr_is_v4(c->path.remote) ? 40u : 60u) + (c->flags & CONN_TS ? OPT_TS_LEN : 0);
}

// The largest packet that makes a difference: what the port, the peer and a buffer take.
static uint32_t largest(const struct tcp *t, const struct tcp_conn *c)
{
	uint32_t fixed = addr_is_v4(c->path.remote) ? 40u : 60u, port = t->net->port[c->path.port].mtu;
	uint32_t peer = c->path.own < PKT_ROOM ? c->path.own : PKT_ROOM;

	return peer + fixed < port ? peer + fixed : port;
}

bool mtu_search_begin(struct tcp *t, struct tcp_conn *c)
{
	struct mtu_search *m = search_of(t, c);

	if (!(c->flags & CONN_SACK) || (m->owner && m->owner != conn_index(t, c) + 1))
		return false;
	*m = (struct mtu_search){.owner = conn_index(t, c) + 1, .high = (uint16_t)largest(t, c)};
	c->more |= MORE_SEARCH;
	return true;
}

void mtu_search_end(struct tcp *t, struct tcp_conn *c)
{
	if (c->more & MORE_SEARCH)
		search_of(t, c)->owner = 0;
	c->more &= (uint16_t)~MORE_SEARCH;
}

// What is known now is as good as it gets, for the next ten minutes or for good.
static bool finished(struct tcp *t, struct tcp_conn *c, const struct mtu_search *m)
{
	uint32_t mtu = c->path.mtu, most = largest(t, c);

	if (mtu < most && m->high > mtu && (m->told || m->high == most || m->high - mtu >= GRAIN))
		return false;
	c->mtu_at = mtu < most ? pathmtu_now(t) : 0;
	mtu_search_end(t, c);
	return true;
}

uint32_t mtu_search_due(struct tcp *t, struct tcp_conn *c, uint32_t unsent, uint32_t room)
{
	struct mtu_search *m = search_of(t, c);
	bool calm = !(c->flags & (CONN_RECOVERY | CONN_PERSIST | CONN_TLP)) && c->lost == 0 && c->sacked == 0 &&
		    c->retries == 0 && seq_ge(c->snd_una, c->recover) && c->snd_nxt == c->snd_max;

	if (m->len || !calm || (m->at && (int16_t)(pathmtu_now(t) - m->at) < 0) || finished(t, c, m))
		return 0;
	uint32_t size = m->told || m->high == largest(t, c) ? m->high : (c->path.mtu + m->high + 1u) / 2;
	uint32_t len = size - headers(c), behind = FOLLOWERS * (uint32_t)c->mss;
	if (len <= c->mss || unsent < len + behind || room < len + behind)
		return 0;
	m->size = (uint16_t)size;
	return len;
}

void mtu_search_sent(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t len)
{
	struct mtu_search *m = search_of(t, c);

	m->lo = seq;
	m->len = (uint16_t)len;
	m->failed = false;
	tcp_count(t, CTR_tcp_mtu_probe);
}

// Its size does not pass, as far as one can tell.
static void failed(struct tcp *t, struct mtu_search *m)
{
	if (m->size <= m->high)
		m->high = (uint16_t)(m->size - 1);
	m->failed = true;
	m->told = false;
	m->at = (uint16_t)(pathmtu_now(t) + 1); // some seconds: not one loss behind the other
	if (m->at == 0)
		m->at = 1;
}

void mtu_search_resent(struct tcp *t, struct tcp_conn *c, uint32_t lo, uint32_t hi)
{
	struct mtu_search *m = search_of(t, c);

	// What is sent twice proves nothing.
	if (m->len && seq_lt(lo, m->lo + m->len) && seq_gt(hi, m->lo))
		m->len = 0;
}

void mtu_search_acked(struct tcp *t, struct tcp_conn *c)
{
	struct mtu_search *m = search_of(t, c);

	if (m->len == 0 || seq_lt(c->snd_una, m->lo + m->len))
		return;
	m->len = 0;
	if (m->failed || m->size <= c->path.mtu)
		return;
	pathmtu_raise(t, c, m->size);
	m->at = 0;
	if (!finished(t, c, m))
		conn_dirty(c);
}

bool mtu_search_lost(struct tcp *t, struct tcp_conn *c)
{
	struct mtu_search *m = search_of(t, c);
	uint32_t hi = m->lo + m->len, sum = 0;
	struct board_pos b;

	if (m->len == 0)
		return false;
	for (bool more = board_first_open(c, &b); more && sum < c->lost && seq_lt(b.lo, hi);
	     more = board_next_open(c, &b))
		if (b.part->flags & PART_LOST) {
			if (seq_lt(b.lo, m->lo) || seq_gt(b.hi, hi))
				return false;
			sum += b.hi - b.lo;
		}
	if (sum != c->lost)
		return false;
	if (!m->failed) {
		failed(t, m);
		tcp_count(t, CTR_tcp_mtu_probe_lost);
	}
	return true;
}

void mtu_search_timeout(struct tcp *t, struct tcp_conn *c)
{
	struct mtu_search *m = search_of(t, c);

	if (m->len && c->snd_una == m->lo)
		failed(t, m);
	m->len = 0;
}

bool mtu_search_too_big(struct tcp *t, struct tcp_conn *c, uint16_t mtu)
{
	struct mtu_search *m = search_of(t, c);

	if (m->len == 0 || (mtu && (mtu < c->path.mtu || mtu >= m->size)))
		return false;
	failed(t, m);
	if (mtu && mtu < m->high) {
		m->high = mtu;
		m->told = true;
	}
	return true;
}
