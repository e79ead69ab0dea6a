// The receive queues: payload in order, waiting for the owner, and out of order, waiting for what is missing.
// Both hold single buffers whose data is payload.
//
// What limits them is buffer memory, not payload: a segment of one byte pins a whole buffer. So small payload
// is copied behind the last buffer, the window shrinks when more than twice rcv_buf is held, and beyond four
// times payload is refused. When packet memory is short for all, a connection's part of it counts instead.
#include "tcp/recvq.h"

#define SHRINK_MAX  1024u       // bytes of payload; more is worth its buffers
#define SKIP_SUMMED 512u        // bytes that are taken off a sum; of more it is made anew, if at all
#define HELD_SHORT  (32u << 10) // buffer bytes that a connection may hold while they are short

// A connection that holds nothing may always offer a little, lest its peer wait for a window that nobody will
// announce.
#define OFFER_FLOOR 16384u // buffer bytes

static struct recvq_item *item(const struct pkt *p)
{
	return recvq_item(p);
}

void recvq_in_order(struct tcp_conn *c, struct pkt *p, struct checksum_tail sum)
{
	uint32_t n = pkt_len(p);
	struct pkt *tail = c->rcv_tail;

	c->rcv_nxt += n;
	c->rcv_len += n;
	c->count_in += n;
	if (tail && recvq_fits(c, tail, n)) {
		memcpy(pkt_append(tail, n), pkt_data(p), n);
		item(tail)->sum.len = 0;
		pkt_free(p);
		return;
	}
	item(p)->next = NULL;
	item(p)->sum = sum;
	if (tail)
		item(tail)->next = p;
	else
		c->rcv_head = p;
	c->rcv_tail = p;
	recvq_hold(c, p);
}

// Nothing more is taken: this connection holds too much, or all do.
static bool full(const struct tcp_conn *c)
{
	return c->rcv_held > 4 * c->rcv_buf ||
	       (c->rcv_held && c->tcp->held >= c->tcp->conf.buffer_memory && c->rcv_held >= tcp_floor(c->tcp));
}

bool recvq_ample(const struct tcp_conn *c)
{
	return c->rcv_held <= HELD_SHORT && c->rcv_held <= 4 * c->rcv_buf &&
	       c->tcp->held < c->tcp->conf.buffer_memory;
}

// What is out of order must not keep out what comes next. False: that was not the reason.
static bool ooo_prune(struct tcp_conn *c)
{
	while (c->ooo && full(c))
		ooo_drop(c);
	return !full(c);
}

// One buffer. Trims it to the window.
static void recvq_add_one(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq,
			  struct checksum_tail sum)
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
	if (c->rcv_held > HELD_SHORT && tcp_tight(t)) {
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
	if (sum.len != pkt_len(p)) // it was trimmed
		sum.len = 0;
	if (seq == c->rcv_nxt)
		recvq_in_order(c, p, sum);
	else
		ooo_add(t, c, p, seq);
}

// A run that is out of order no more.
static void run_in_order(struct tcp_conn *c, struct pkt *p)
{
	uint32_t old = c->rcv_nxt - item(p)->seq;

	while (p) {
		struct pkt *next = item(p)->next;
		uint32_t skip = old < pkt_len(p) ? old : pkt_len(p);
		old -= skip;
		pkt_adj(p, skip);
		if (pkt_len(p))
			recvq_in_order(c, p, (struct checksum_tail){0});
		else
			pkt_free(p);
		p = next;
	}
}

bool recvq_add(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq, struct checksum_tail sum)
{
	uint32_t before = c->rcv_nxt;

	while (p) {
		struct pkt *rest = pkt_unchain(p);
		uint32_t n = pkt_len(p);
		recvq_add_one(t, c, p, seq, sum); // known of single buffers alone
		seq += n;
		p = rest;
	}
	while (c->rcv_nxt != before && c->ooo && (p = ooo_take(c, before)))
		run_in_order(c, p);
	return c->rcv_nxt != before;
}

void recvq_duplicate(struct tcp_conn *c, uint32_t lo, uint32_t hi)
{
	// One range for each ACK (RFC 2883 4); what is older than any window can be is no retransmission.
	if ((c->flags & CONN_SACK) && c->dsack.lo == c->dsack.hi && seq_ge(lo, c->rcv_nxt - c->rcv_buf))
		c->dsack = (struct sack_block){lo, hi};
}

void recvq_prune(struct tcp_conn *c)
{
	ooo_clear(c);
	c->flags &= ~CONN_FIN_AHEAD;
}

void recvq_clear(struct tcp_conn *c)
{
	struct pkt *p;

	while ((p = c->rcv_head)) {
		c->rcv_head = item(p)->next;
		pkt_free(p);
	}
	ooo_clear(c);
	c->rcv_tail = NULL;
	c->tcp->held -= c->rcv_held;
	c->rcv_len = c->rcv_held = 0;
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

	// Less than a segment was taken of it: there cannot be a step more. (A step is a quarter of the limit,
	// if that is less than a segment.)
	if (c->mss <= OFFER_FLOOR / 4 && c->rcv_buf >= 2u * c->mss && c->rcv_buf < offered + c->mss)
		return offered;
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
	uint32_t field = (uint32_t)UINT16_MAX << c->rcv_wscale;

	// A window that is still wide can wait for the next segment to tell of it. Mostly it is, even against
	// all that could ever be offered.
	if (offered > (c->rcv_buf < field ? c->rcv_buf : field) / 2)
		return;

	uint32_t size = recvq_limit(c) / 2, most = size < field ? size : field;
	uint32_t step = most / 2 < 2u * c->mss ? most / 2 : 2u * c->mss;

	if (c->state == TCP_CLOSED || (c->flags & CONN_FIN_SEEN) || recvq_room(c) < offered + step)
		return;
	if (offered > most / 2)
		return;
	c->flags |= CONN_ACK_NOW;
	conn_dirty(c);
}

struct checksum_tail tcp_recv_sum(const struct pkt *p)
{
	return item(p)->sum;
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
	recvq_let_go(c, p);
	recvq_read(c);
	return p;
}

void tcp_recv_skip(struct tcp_conn *c, uint32_t n)
{
	struct pkt *p;

	while (n && (p = c->rcv_head)) {
		if (n < pkt_len(p)) {
			if (n <= SKIP_SUMMED && item(p)->sum.len)
				item(p)->sum = checksum_without(item(p)->sum, pkt_data(p), n);
			else
				item(p)->sum.len = 0;
			pkt_adj(p, n);
			c->rcv_len -= n;
			break;
		}
		n -= pkt_len(p);
		c->rcv_head = item(p)->next;
		if (!c->rcv_head)
			c->rcv_tail = NULL;
		c->rcv_len -= pkt_len(p);
		recvq_let_go(c, p);
		pkt_free(p);
	}
	recvq_read(c);
}

// As many small buffers as c's payload needs; NULL: there are not so many.
static struct pkt *smaller(const struct tcp_conn *c, struct pkt_pool *small)
{
	struct pkt *first = NULL, *last = NULL, *old = c->rcv_head;
	uint32_t at = 0;

	while (old) {
		uint32_t n = pkt_len(old) - at;

		if (!last || !pkt_tailroom(last)) {
			struct pkt *p = pkt_alloc(small);

			if (!p)
				break;
			item(p)->next = NULL;
			if (last)
				item(last)->next = p;
			else
				first = p;
			last = p;
		}
		n = n < pkt_tailroom(last) ? n : pkt_tailroom(last);
		memcpy(pkt_append(last, n), pkt_data(old) + at, n);
		at += n;
		if (at == pkt_len(old)) {
			old = item(old)->next;
			at = 0;
		}
	}
	while (old && first) {
		struct pkt *next = item(first)->next;

		pkt_free(first);
		first = next;
	}
	return first;
}

void tcp_recv_shrink(struct tcp_conn *c, struct pkt_pool *small)
{
	uint32_t need = (c->rcv_len + PKT_SMALL - 1) / PKT_SMALL, before = c->rcv_held;
	struct pkt *p, *next;

	// What is out of order is held, too; a queue that would be no smaller is left as it is.
	if (!small || !c->rcv_head || (uint64_t)need * pkt_pool_buffer(small) >= c->rcv_held ||
	    c->rcv_len > SHRINK_MAX || (c->rcv_head == c->rcv_tail && pkt_small(c->rcv_head)))
		return;
	p = smaller(c, small);
	if (!p) {
		tcp_count(c->tcp, CTR_tcp_small_none);
		return;
	}
	for (struct pkt *old = c->rcv_head; old; old = next) {
		next = item(old)->next;
		recvq_let_go(c, old);
		pkt_free(old);
	}
	c->rcv_head = p;
	for (; p; p = item(p)->next) {
		c->rcv_tail = p;
		recvq_hold(c, p);
	}
	if (c->rcv_held < before)
		tcp_count(c->tcp, CTR_tcp_shrunk);
}

// What fits behind what came before it is moved there.
static void pack(struct tcp_conn *c)
{
	struct pkt *next;

	for (struct pkt *p = c->rcv_head; p; p = item(p)->next) {
		while ((next = item(p)->next) && pkt_exclusive(p) && pkt_len(next) <= pkt_tailroom(p)) {
			memcpy(pkt_append(p, pkt_len(next)), pkt_data(next), pkt_len(next));
			item(p)->sum.len = 0;
			item(p)->next = item(next)->next;
			if (c->rcv_tail == next)
				c->rcv_tail = p;
			recvq_let_go(c, next);
			pkt_free(next);
		}
	}
}

void tcp_recv_await(struct tcp_conn *c, uint32_t n)
{
	uint32_t offered = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
	uint32_t need = n + 4u * c->mss; // so that the last of it is offered as a window worth a segment

	if (c->rcv_len >= n || offered >= 2u * c->mss)
		return;
	c->more |= MORE_RCV_AWAITED;
	pack(c);
	if (c->rcv_buf < need)
		c->rcv_buf = need;
	recvq_read(c);
}

bool tcp_recv_eof(const struct tcp_conn *c)
{
	return (c->flags & CONN_FIN_SEEN) && c->rcv_len == 0;
}
