// The receive queues: payload in order, waiting for the owner, and out of order, waiting for what is missing.
// Both hold single buffers whose data is payload.
//
// What limits them is buffer memory, not payload: a segment of one byte pins a whole buffer. So small payload
// is copied behind the last buffer, the window shrinks when more than twice rcv_buf is held, and beyond four
// times payload is refused. When packet memory is short for all, a connection's part of it counts instead.
#include "tcp/conn.h"

struct recvq_item {
	struct pkt *next;
	uint32_t seq;   // of the first byte; only kept for those out of order
	uint32_t stamp; // when it came, as a number that counts up; likewise
};
_Static_assert(sizeof(struct recvq_item) <= PKT_PRIV, "private room");

#define COLLAPSE_MAX 512         // bytes; larger payload is worth its buffer
#define HELD_SHORT   (32u << 10) // buffer bytes that a connection may hold while they are short
#define SMALL_MAX    8           // such pieces kept out of order, with holes between them

// A connection that holds nothing may always offer a little, lest its peer wait for a window that nobody will
// announce, and what has come to it may take a buffer or two.
#define OFFER_FLOOR 16384u // buffer bytes
#define HOLD_FLOOR  4096u

static struct recvq_item *item(const struct pkt *p)
{
	return pkt_priv(p);
}

static void hold(struct tcp_conn *c, const struct pkt *p)
{
	c->rcv_held += pkt_truesize(p);
	c->tcp->held += pkt_truesize(p);
}

static void let_go(struct tcp_conn *c, const struct pkt *p)
{
	c->rcv_held -= pkt_truesize(p);
	c->tcp->held -= pkt_truesize(p);
}

static void in_order(struct tcp_conn *c, struct pkt *p)
{
	uint32_t n = pkt_len(p);
	struct pkt *tail = c->rcv_tail;

	c->rcv_nxt += n;
	c->rcv_len += n;
	c->count_in += n;
	if (tail && n <= pkt_tailroom(tail) && pkt_exclusive(tail) &&
	    (n <= COLLAPSE_MAX || c->rcv_held > 2 * c->rcv_buf)) {
		memcpy(pkt_append(tail, n), pkt_data(p), n);
		pkt_free(p);
		return;
	}
	item(p)->next = NULL;
	if (tail)
		item(tail)->next = p;
	else
		c->rcv_head = p;
	c->rcv_tail = p;
	hold(c, p);
}

static void ooo_unlink(struct tcp_conn *c, struct pkt **at)
{
	struct pkt *p = *at;

	*at = item(p)->next;
	c->ooo_count--;
	let_go(c, p);
}

static void ooo_drop_last(struct tcp_conn *c, struct pkt **from)
{
	while (item(*from)->next)
		from = &item(*from)->next;
	struct pkt *far = *from;
	ooo_unlink(c, from);
	pkt_free(far);
}

// Nothing more is taken: this connection holds too much, or all do.
static bool full(const struct tcp_conn *c)
{
	return c->rcv_held > 4 * c->rcv_buf ||
	       (c->tcp->held >= c->tcp->conf.buffer_memory && c->rcv_held >= HOLD_FLOOR);
}

// What is out of order must not keep out what comes next. False: that was not the reason.
static bool ooo_prune(struct tcp_conn *c)
{
	while (c->ooo_head && full(c))
		ooo_drop_last(c, &c->ooo_head);
	return !full(c);
}

// Small payload is copied behind what it continues. False: it cannot be.
static bool ooo_merge(struct tcp *t, struct pkt *before, struct pkt *p, uint32_t seq)
{
	uint32_t n = pkt_len(p);

	if (!before || n > COLLAPSE_MAX || item(before)->seq + pkt_len(before) != seq ||
	    n > pkt_tailroom(before) || !pkt_exclusive(before))
		return false;
	memcpy(pkt_append(before, n), pkt_data(p), n);
	item(before)->stamp = ++t->ooo_stamp;
	pkt_free(p);
	return true;
}

// A peer that sends every other byte would have a buffer held for each.
static bool ooo_crumbs(const struct tcp_conn *c, const struct pkt *p)
{
	unsigned small = 0;

	if (c->ooo_count < SMALL_MAX || pkt_len(p) > COLLAPSE_MAX)
		return false;
	for (const struct pkt *k = c->ooo_head; k; k = item(k)->next)
		small += pkt_len(k) <= COLLAPSE_MAX;
	return small >= SMALL_MAX;
}

// The queue is sorted by seq; neighbours may overlap, but none lies within another.
static void out_of_order(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq)
{
	uint32_t end = seq + pkt_len(p);
	struct pkt **at = &c->ooo_head, *before = NULL;

	for (; *at && seq_le(item(*at)->seq, seq); before = *at, at = &item(*at)->next) {
		if (seq_ge(item(*at)->seq + pkt_len(*at), end)) {
			item(*at)->stamp = ++t->ooo_stamp;
			recvq_duplicate(c, seq, end);
			tcp_count(t, CTR_tcp_duplicate);
			pkt_free(p);
			return;
		}
		if (item(*at)->seq == seq)
			break;
	}
	while (*at && seq_le(item(*at)->seq + pkt_len(*at), end)) {
		struct pkt *covered = *at;
		recvq_duplicate(c, item(covered)->seq, item(covered)->seq + pkt_len(covered));
		ooo_unlink(c, at);
		pkt_free(covered);
	}
	if (ooo_merge(t, before, p, seq)) {
		tcp_count(t, CTR_tcp_ooo);
		return;
	}
	if (ooo_crumbs(c, p) || tcp_short(t)) {
		tcp_count(t, tcp_short(t) ? CTR_tcp_ooo_no_buffer : CTR_tcp_ooo_crumbs);
		pkt_free(p);
		return;
	}
	if (c->ooo_count >= t->conf.ooo_max) {
		// What is nearer to rcv_nxt is worth more.
		tcp_count(t, CTR_tcp_ooo_full);
		if (!*at) {
			pkt_free(p);
			return;
		}
		ooo_drop_last(c, at);
	}
	item(p)->seq = seq;
	item(p)->stamp = ++t->ooo_stamp;
	item(p)->next = *at;
	*at = p;
	c->ooo_count++;
	hold(c, p);
	tcp_count(t, CTR_tcp_ooo);
}

// One buffer. Trims it to the window.
static void recvq_add_one(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq)
{
	uint32_t end = seq + pkt_len(p);

	if (seq_le(end, c->rcv_nxt)) {
		if (pkt_len(p)) {
			tcp_count(t, CTR_tcp_duplicate);
			recvq_duplicate(c, seq, end);
		}
		pkt_free(p);
		return;
	}
	if (seq_ge(seq, c->rcv_adv)) {
		tcp_count(t, CTR_tcp_out_of_window);
		pkt_free(p);
		return;
	}
	if (full(c) && !(seq_le(seq, c->rcv_nxt) && ooo_prune(c))) {
		tcp_count(t, c->rcv_held > 4 * c->rcv_buf ? CTR_tcp_rcv_full : CTR_tcp_memory_full);
		pkt_free(p);
		return;
	}
	// What is left of the buffers is for those who hold little, and for acknowledgements to come in.
	if (c->rcv_held > HELD_SHORT && tcp_short(t)) {
		tcp_count(t, CTR_tcp_rcv_no_buffer);
		pkt_free(p);
		return;
	}
	if (seq_gt(end, c->rcv_adv))
		pkt_trim(p, end - c->rcv_adv);
	if (seq_lt(seq, c->rcv_nxt)) {
		recvq_duplicate(c, seq, c->rcv_nxt);
		pkt_adj(p, c->rcv_nxt - seq);
		seq = c->rcv_nxt;
	}
	if (seq == c->rcv_nxt)
		in_order(c, p);
	else
		out_of_order(t, c, p, seq);
}

bool recvq_add(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq)
{
	uint32_t before = c->rcv_nxt;

	while (p) {
		struct pkt *rest = pkt_unchain(p);
		uint32_t n = pkt_len(p);
		recvq_add_one(t, c, p, seq);
		seq += n;
		p = rest;
	}
	while ((p = c->ooo_head) && seq_le(item(p)->seq, c->rcv_nxt)) {
		ooo_unlink(c, &c->ooo_head);
		uint32_t old = c->rcv_nxt - item(p)->seq;
		if (old >= pkt_len(p)) {
			pkt_free(p);
			continue;
		}
		pkt_adj(p, old);
		in_order(c, p);
	}
	return c->rcv_nxt != before;
}

void recvq_duplicate(struct tcp_conn *c, uint32_t lo, uint32_t hi)
{
	// One range for each ACK (RFC 2883 4); what is older than any window can be is no retransmission.
	if ((c->flags & CONN_SACK) && c->dsack.lo == c->dsack.hi && seq_ge(lo, c->rcv_nxt - c->rcv_buf))
		c->dsack = (struct sack_block){lo, hi};
}

// One pass over what is out of order, which is bounded (ooo_max), keeping the most recent runs.
unsigned recvq_sack(struct tcp_conn *c, struct sack_block *v, unsigned max)
{
	uint32_t stamp[SACK_MAX];
	unsigned n = 0, first = 0;
	struct pkt *p = c->ooo_head;

	if (c->dsack.lo != c->dsack.hi) {
		v[n++] = c->dsack;
		first = 1;
	}
	while (p) {
		struct sack_block run = {item(p)->seq, item(p)->seq + pkt_len(p)};
		uint32_t newest = item(p)->stamp;
		unsigned i;

		for (p = item(p)->next; p && seq_le(item(p)->seq, run.hi); p = item(p)->next) {
			run.hi = seq_max(run.hi, item(p)->seq + pkt_len(p));
			newest = seq_max(newest, item(p)->stamp);
		}
		if (n < max)
			n++;
		else if (n == first || seq_lt(newest, stamp[n - 1]))
			continue;
		for (i = n - 1; i > first && seq_gt(newest, stamp[i - 1]); i--) {
			v[i] = v[i - 1];
			stamp[i] = stamp[i - 1];
		}
		v[i] = run;
		stamp[i] = newest;
	}
	return n;
}

void recvq_prune(struct tcp_conn *c)
{
	struct pkt *p;

	while ((p = c->ooo_head)) {
		ooo_unlink(c, &c->ooo_head);
		pkt_free(p);
	}
	c->flags &= ~CONN_FIN_AHEAD;
}

void recvq_clear(struct tcp_conn *c)
{
	struct pkt *p;

	while ((p = c->rcv_head)) {
		c->rcv_head = item(p)->next;
		pkt_free(p);
	}
	while ((p = c->ooo_head)) {
		c->ooo_head = item(p)->next;
		pkt_free(p);
	}
	c->rcv_tail = NULL;
	c->tcp->held -= c->rcv_held;
	c->rcv_len = c->rcv_held = 0;
	c->ooo_count = 0;
}

// RFC 9293 3.8.6.2 leaves the buffer's size to us: half of what it holds within two round trips means that the
// window may be what limits the peer. An owner that does not read is no reason for a larger one.
void window_tune(struct tcp_conn *c)
{
	uint16_t now = (uint16_t)(c->tcp->now >> 16), took = (uint16_t)(now - c->round_at);
	uint32_t field = (uint32_t)UINT16_MAX << c->rcv_wscale;
	uint32_t max = c->tcp->conf.rcv_buf < field ? c->tcp->conf.rcv_buf : field;

	if (c->flags & CONN_FIN_AHEAD)
		return;
	if (took <= 2ull * c->srtt * 1000 >> 16 && c->rcv_len <= c->rcv_buf / 2 && c->rcv_buf < max &&
	    !(c->more & MORE_RCV_FIXED))
		c->rcv_buf = 2 * c->rcv_buf < max ? 2 * c->rcv_buf : max;
	c->round_at = now;
	c->rcv_mark = c->rcv_nxt + c->rcv_buf / 2;
}

// Buffer bytes that may be held.
static uint32_t recvq_limit(const struct tcp_conn *c)
{
	uint32_t share = tcp_share(c->tcp);

	share = share > OFFER_FLOOR ? share : OFFER_FLOOR;
	return 2 * c->rcv_buf < share ? 2 * c->rcv_buf : share;
}

// Room for payload, as far as payload and memory allow.
static uint32_t recvq_room(const struct tcp_conn *c)
{
	uint32_t room = c->rcv_len < c->rcv_buf ? c->rcv_buf - c->rcv_len : 0, limit = recvq_limit(c);
	uint32_t memory = c->rcv_held < limit ? (limit - c->rcv_held) / 2 : 0;

	return room < memory ? room : memory;
}

uint32_t recvq_window(const struct tcp_conn *c)
{
	uint32_t offered = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
	uint32_t room = recvq_room(c), half = recvq_limit(c) / 4, step = half < c->mss ? half : c->mss;

	return room >= offered + step ? room : offered;
}

uint32_t tcp_recv_len(const struct tcp_conn *c)
{
	return c->rcv_len;
}

struct pkt *tcp_recv_peek(const struct tcp_conn *c)
{
	return c->rcv_head;
}

struct pkt *tcp_recv_peek_next(const struct pkt *p)
{
	return item(p)->next;
}

// The owner has made room: does the peer need to know?
static void recvq_read(struct tcp_conn *c)
{
	uint32_t offered = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
	// What the window field can tell: without scaling that may be a part of the buffer only.
	uint32_t field = (uint32_t)UINT16_MAX << c->rcv_wscale, size = recvq_limit(c) / 2;
	uint32_t most = size < field ? size : field;
	uint32_t step = most / 2 < 2u * c->mss ? most / 2 : 2u * c->mss;

	if (c->state == TCP_CLOSED || (c->flags & CONN_FIN_SEEN) || recvq_room(c) < offered + step)
		return;
	// A window that is still wide can wait for the next segment to tell of it.
	if (offered > most / 2)
		return;
	c->flags |= CONN_ACK_NOW;
	conn_dirty(c);
}

struct pkt *tcp_recv_take(struct tcp_conn *c)
{
	struct pkt *p = c->rcv_head;

	if (!p)
		return NULL;
	c->rcv_head = item(p)->next;
	if (!c->rcv_head)
		c->rcv_tail = NULL;
	c->rcv_len -= pkt_len(p);
	let_go(c, p);
	recvq_read(c);
	return p;
}

void tcp_recv_skip(struct tcp_conn *c, uint32_t n)
{
	struct pkt *p;

	while (n && (p = c->rcv_head)) {
		if (n < pkt_len(p)) {
			pkt_adj(p, n);
			c->rcv_len -= n;
			break;
		}
		n -= pkt_len(p);
		c->rcv_head = item(p)->next;
		if (!c->rcv_head)
			c->rcv_tail = NULL;
		c->rcv_len -= pkt_len(p);
		let_go(c, p);
		pkt_free(p);
	}
	recvq_read(c);
}

bool tcp_recv_eof(const struct tcp_conn *c)
{
	return (c->flags & CONN_FIN_SEEN) && c->rcv_len == 0;
}
