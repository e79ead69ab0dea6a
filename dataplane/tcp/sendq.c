// The send queue: payload in the packet buffers it came in, until it is acknowledged.
//
// Each buffer's own idea of its data changes when headers are put in front of it for sending in place, so the
// queue keeps the place of the payload for itself. While a driver still holds the buffer (not exclusive) its
// bytes stay as they are: what must be sent again then is copied.
#include "tcp/sendq.h"
#include <errno.h>

// Buffer bytes: what a queue may hold before the window has shown what the path carries.
#define SEND_BEGIN 262144u

#define SEND_SMALL 256 // bytes; up to this a copy costs less than a buffer of its own

// Buffer bytes that may be held: two windows, as buffers take nearly twice their payload; less where the window
// is filled by waiting on the way rather than by the way. More would only push what is to be sent out of the
// cache.
static uint32_t send_limit(const struct tcp_conn *c)
{
	uint32_t max = c->tcp->conf.snd_buf, share = tcp_share(c->tcp);
	uint64_t size = 4ull * c->cwnd;

	if (size > SEND_BEGIN && c->min_rtt && c->srtt > 2 * c->min_rtt)
		size = size * 2 * c->min_rtt / c->srtt;
	size = size > SEND_BEGIN ? size : SEND_BEGIN;
	size = size < max ? size : max;
	if (share < TCP_FLOOR && share < tcp_floor(c->tcp))
		share = tcp_floor(c->tcp);
	return size < share ? (uint32_t)size : share;
}

// Whether it holds as much as it may; mostly that is known before the limit is.
static inline bool reached(const struct tcp_conn *c)
{
	uint32_t held = c->snd_held;

	if (held == 0 || (held < TCP_FLOOR && !tcp_tight(c->tcp)) ||
	    (held < SEND_BEGIN && held < c->tcp->conf.snd_buf && held < tcp_share(c->tcp)))
		return false;
	return held >= send_limit(c);
}

struct pkt *sendq_find(struct tcp_conn *c, uint32_t seq)
{
	struct pkt *p = c->snd_cur && seq_le(sendq_item(c->snd_cur)->seq, seq) ? c->snd_cur : c->snd_head;

	while (p && seq_le(sendq_item(p)->seq + sendq_item(p)->len, seq))
		p = sendq_item(p)->next;
	if (p)
		c->snd_cur = p;
	return p;
}

uint32_t sendq_segment(struct tcp_conn *c, uint32_t seq, uint32_t max)
{
	struct pkt *p = sendq_find(c, seq);

	if (!p || max == 0)
		return 0;
	uint32_t off = seq - sendq_item(p)->seq, n = sendq_item(p)->len - off;
	if (n >= max)
		return max;
	// A whole buffer of good size goes alone, in place; small ones and rests share a segment.
	if (off == 0 && n >= c->mss / 2u)
		return n;
	while ((p = sendq_item(p)->next) && n + sendq_item(p)->len <= max)
		n += sendq_item(p)->len;
	return n;
}

static struct pkt *packet_in_place(struct pkt *p, uint32_t headers)
{
	if (sendq_item(p)->off < headers || !pkt_exclusive(p))
		return NULL;
	pkt_set_view(p, sendq_item(p)->off, sendq_item(p)->len);
	pkt_ref(p);
	return p;
}

struct pkt *sendq_packet(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t len, uint32_t headers,
			 struct checksum_tail *sum)
{
	struct pkt *p = sendq_find(c, seq), *copy;

	if (p && sendq_item(p)->seq == seq && sendq_item(p)->len == len &&
	    (copy = packet_in_place(p, headers))) {
		tcp_count(t, CTR_tcp_in_place);
		*sum = sendq_item(p)->sum;
		return copy;
	}
	copy = pkt_alloc(t->net->pool);
	if (!copy)
		return NULL;
	if (len)
		tcp_count(t, CTR_tcp_copied);
	while (len) {
		uint32_t off = seq - sendq_item(p)->seq, n = sendq_item(p)->len - off;
		if (n > len)
			n = len;
		memcpy(pkt_append(copy, n), pkt_at(p, sendq_item(p)->off + off), n);
		seq += n;
		len -= n;
		p = sendq_item(p)->next;
	}
	return copy;
}

// How far a packet goes that begins with n bytes of p: behind so many bytes, in all.
static uint32_t large_reach(const struct tso *tso, const struct pkt *p, uint32_t n, uint32_t max,
			    uint32_t segment)
{
	// Of the segment that is not yet full: its bytes, and its buffers with that of the headers.
	uint32_t total = n, in = n, pieces = 2, buffers = 1;

	for (;;) {
		if (in >= segment) {
			while (in >= segment)
				in -= segment;
			pieces = in ? 2 : 1;
		}
		p = sendq_item(p)->next;
		if (!p || total + sendq_item(p)->len > max || !pkt_exclusive(p) || buffers == tso->buffers ||
		    pieces == tso->segment_buffers || (tso->even && (in & 1)))
			return total;
		total += sendq_item(p)->len;
		in += sendq_item(p)->len;
		pieces++;
		buffers++;
	}
}

// The packet's first buffer, which has room for headers in front.
static struct pkt *large_begin(struct tcp *t, struct pkt *p, uint32_t off, uint32_t n, uint32_t headers)
{
	struct pkt *first = off ? NULL : packet_in_place(p, headers);

	if (first) {
		pkt_unlink(first);
		tcp_count(t, CTR_tcp_in_place);
		return first;
	}
	if (n > PKT_ROOM || !(first = pkt_alloc(t->net->pool)))
		return NULL;
	memcpy(pkt_append(first, n), pkt_at(p, sendq_item(p)->off + off), n);
	tcp_count(t, CTR_tcp_copied);
	return first;
}

uint32_t sendq_large(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t max, uint32_t segment,
		     uint32_t headers, struct pkt **out)
{
	const struct tso *tso = &t->net->port[c->path.port].tso;
	struct pkt *p = sendq_find(c, seq), *first, *last;

	if (!p)
		return 0;
	uint32_t off = seq - sendq_item(p)->seq, n = sendq_item(p)->len - off;
	if (n > max)
		return 0;
	uint32_t total = large_reach(tso, p, n, max, segment);
	if (total <= c->mss || !(first = large_begin(t, p, off, n, headers)))
		return 0;
	last = first;
	for (uint32_t at = n; at < total; at += sendq_item(p)->len) {
		p = sendq_item(p)->next;
		pkt_set_view(p, sendq_item(p)->off, sendq_item(p)->len);
		pkt_unlink(p);
		pkt_ref(p);
		pkt_link(first, last, p);
		last = p;
	}
	*out = first;
	return total;
}

void sendq_unlink(struct tcp_conn *c, uint32_t seq, uint32_t len)
{
	for (struct pkt *p = sendq_find(c, seq); p && seq_lt(sendq_item(p)->seq, seq + len);
	     p = sendq_item(p)->next)
		if (pkt_exclusive(p))
			pkt_unlink(p);
}

// To the owner, as it came; while a driver still has to do with it, a copy.
static __attribute__((noinline)) void give_back(struct tcp_conn *c, struct pkt *p)
{
	const struct sendq_item *it = sendq_item(p);
	struct tcp_kept *kept = pkt_note(p);

	kept->queued = NULL;
	if (pkt_exclusive(p)) {
		pkt_unlink(p);
		pkt_set_view(p, it->off, it->len);
		kept->back = p;
		return;
	}
	kept->back = pkt_alloc(c->tcp->net->pool);
	if (kept->back)
		memcpy(pkt_append(kept->back, it->len), pkt_at(p, it->off), it->len);
	pkt_free(p);
}

static inline __attribute__((always_inline)) void sendq_pop(struct tcp_conn *c)
{
	struct pkt *p = c->snd_head;

	c->snd_head = sendq_item(p)->next;
	if (!c->snd_head)
		c->snd_tail = NULL;
	if (c->snd_cur == p)
		c->snd_cur = NULL;
	c->snd_held -= pkt_truesize(p);
	c->tcp->held -= pkt_truesize(p);
	c->tcp->held_out -= pkt_truesize(p);
	if (sendq_item(p)->kept)
		give_back(c, p);
	else
		pkt_free(p);
}

void sendq_acked(struct tcp_conn *c, uint32_t una)
{
	while (c->snd_head && seq_le(sendq_item(c->snd_head)->seq + sendq_item(c->snd_head)->len, una))
		sendq_pop(c);
	if ((c->flags & CONN_SND_FULL) && c->snd_held <= send_limit(c) / 2) {
		c->flags &= ~CONN_SND_FULL;
		conn_notify(c, EV_WRITABLE);
	}
}

void sendq_clear(struct tcp_conn *c)
{
	while (c->snd_head)
		sendq_pop(c);
	c->flags &= ~CONN_SND_FULL;
	c->sacked = c->lost = 0;
}

static void sendq_push(struct tcp_conn *c, struct pkt *p, struct checksum_tail sum)
{
	*sendq_item(p) = (struct sendq_item){
		.seq = c->snd_end, .off = (uint16_t)pkt_headroom(p), .len = (uint16_t)pkt_len(p), .sum = sum};
	if (c->snd_tail)
		sendq_item(c->snd_tail)->next = p;
	else
		c->snd_head = p;
	c->snd_tail = p;
	c->snd_end += pkt_len(p);
	c->snd_held += pkt_truesize(p);
	c->tcp->held += pkt_truesize(p);
	c->tcp->held_out += pkt_truesize(p);
}

// What is copied into one buffer: no more than one segment takes, so that the buffer can go out in place.
static uint32_t fill_limit(const struct tcp_conn *c)
{
	return c->flags & CONN_OPENED ? c->mss : PKT_ROOM;
}

// How many bytes can be copied behind the last buffer, which must not have been sent, not even in part.
static uint32_t tail_room(const struct tcp_conn *c)
{
	struct pkt *p = c->snd_tail;

	if (!p || seq_lt(sendq_item(p)->seq, c->snd_max) || !pkt_exclusive(p) || sendq_item(p)->kept)
		return 0;
	uint32_t room = pkt_tailroom(p), limit = fill_limit(c);
	if (sendq_item(p)->len >= limit)
		return 0;
	limit -= sendq_item(p)->len;
	return room < limit ? room : limit;
}

static void tail_append(struct tcp_conn *c, const void *data, uint32_t n)
{
	memcpy(pkt_append(c->snd_tail, n), data, n);
	sendq_item(c->snd_tail)->len = (uint16_t)(sendq_item(c->snd_tail)->len + n);
	sendq_item(c->snd_tail)->sum.len = 0;
	c->snd_end += n;
}

static bool may_send(const struct tcp_conn *c)
{
	return c->state != TCP_CLOSED && !(c->flags & (CONN_FIN_QUEUED | CONN_DEAD));
}

static void sent(struct tcp_conn *c)
{
	if (reached(c))
		c->flags |= CONN_SND_FULL;
	if (c->flags & CONN_OPENED)
		conn_dirty(c);
}

void tcp_send(struct tcp_conn *c, struct pkt *p)
{
	tcp_forward(c, p, (struct checksum_tail){0});
}

void tcp_forward(struct tcp_conn *c, struct pkt *p, struct checksum_tail sum)
{
	uint32_t n = pkt_len(p);

	if (n == 0 || !may_send(c)) {
		pkt_free(p);
		return;
	}
	if (n <= SEND_SMALL && n <= tail_room(c)) {
		tail_append(c, pkt_data(p), n);
		pkt_free(p);
	} else if (!pkt_shared(p)) {
		sendq_push(c, p, sum);
	} else {
		// Its other holder may send it elsewhere, but the private room can be in one queue only.
		struct pkt *copy = pkt_copy(p, c->tcp->net->pool);
		pkt_free(p);
		if (!copy) {
			conn_fail(c, ENOBUFS);
			return;
		}
		sendq_push(c, copy, sum);
	}
	sent(c);
}

void tcp_send_kept(struct tcp_conn *c, struct pkt *p, struct tcp_kept *kept)
{
	uint32_t n = pkt_len(p);
	struct pkt *copy;

	*kept = (struct tcp_kept){.back = p};
	if (n == 0 || !may_send(c))
		return;
	if (n <= SEND_SMALL && n <= tail_room(c)) {
		tail_append(c, pkt_data(p), n);
	} else if (!pkt_shared(p)) {
		*kept = (struct tcp_kept){.queued = p};
		sendq_push(c, p, (struct checksum_tail){0});
		sendq_item(p)->kept = true;
		pkt_set_note(p, kept);
	} else {
		copy = pkt_copy(p, c->tcp->net->pool);
		if (!copy) {
			conn_fail(c, ENOBUFS);
			return;
		}
		sendq_push(c, copy, (struct checksum_tail){0});
	}
	sent(c);
}

void tcp_kept_end(struct tcp_kept *kept)
{
	if (kept->queued)
		sendq_item(kept->queued)->kept = false;
	if (kept->back)
		pkt_free(kept->back);
	*kept = (struct tcp_kept){0};
}

int tcp_send_copy(struct tcp_conn *c, const void *data, uint32_t n)
{
	struct pkt *first = NULL, *last = NULL, *p;
	uint32_t here = tail_room(c), done;

	if (!may_send(c) || n == 0)
		return 0;
	if (here > n)
		here = n;
	// All buffers first, so that nothing was taken when one is missing.
	for (done = here; done < n;) {
		uint32_t part;
		p = pkt_alloc(c->tcp->net->pool);
		if (!p)
			goto no_buffer;
		part = fill_limit(c) < pkt_tailroom(p) ? fill_limit(c) : pkt_tailroom(p);
		part = n - done < part ? n - done : part;
		memcpy(pkt_append(p, part), (const char *)data + done, part);
		sendq_item(p)->next = NULL;
		if (last)
			sendq_item(last)->next = p;
		else
			first = p;
		last = p;
		done += part;
	}
	if (here)
		tail_append(c, data, here);
	while ((p = first)) {
		first = sendq_item(p)->next;
		sendq_push(c, p, (struct checksum_tail){0});
	}
	sent(c);
	return 0;
no_buffer:
	while ((p = first)) {
		first = sendq_item(p)->next;
		pkt_free(p);
	}
	return -ENOBUFS;
}

uint32_t tcp_send_space(struct tcp_conn *c)
{
	uint32_t size = send_limit(c);

	if (!may_send(c))
		return 0;
	if (c->snd_held < size)
		return size - c->snd_held;
	c->flags |= CONN_SND_FULL; // the limit may have fallen since
	return 0;
}

bool tcp_send_full(struct tcp_conn *c)
{
	return !(may_send(c) && !reached(c)) && tcp_send_space(c) == 0;
}

uint32_t tcp_send_mark(const struct tcp_conn *c)
{
	return c->snd_end;
}

bool tcp_send_began(const struct tcp_conn *c, uint32_t mark)
{
	return seq_gt(c->snd_max, mark);
}

// Ends the queue at mark, where a buffer begins or in the midst of the last but those behind it: what stood
// before the mark in that buffer was never sent either, so the part behind it is copied.
struct pkt *tcp_send_withdraw(struct tcp_conn *c, uint32_t mark)
{
	struct pkt **at = &c->snd_head, *last = NULL, *first = NULL, *p;

	if (tcp_send_began(c, mark))
		return NULL;
	while ((p = *at) && seq_lt(sendq_item(p)->seq, mark)) {
		last = p;
		at = &sendq_item(p)->next;
	}
	if (last && seq_gt(sendq_item(last)->seq + sendq_item(last)->len, mark)) {
		uint32_t before = mark - sendq_item(last)->seq, n = sendq_item(last)->len - before;

		first = pkt_alloc(c->tcp->net->pool);
		if (!first)
			return NULL;
		memcpy(pkt_append(first, n), pkt_at(last, sendq_item(last)->off + before), n);
		sendq_item(last)->len = (uint16_t)before; // not summed: it was appended to
	}
	*at = NULL;
	c->snd_tail = last;
	c->snd_cur = NULL;
	c->snd_end = mark;
	while (p) {
		struct pkt *next = sendq_item(p)->next;

		c->snd_held -= pkt_truesize(p);
		c->tcp->held -= pkt_truesize(p);
		c->tcp->held_out -= pkt_truesize(p);
		if (sendq_item(p)->kept)
			((struct tcp_kept *)pkt_note(p))->queued = NULL;
		pkt_set_view(p, sendq_item(p)->off, sendq_item(p)->len);
		if (first)
			pkt_chain(first, p);
		else
			first = p;
		p = next;
	}
	return first;
}

uint32_t tcp_send_queued(const struct tcp_conn *c)
{
	uint32_t una = c->snd_una + (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED);

	return c->state != TCP_CLOSED && seq_lt(una, c->snd_end) ? c->snd_end - una : 0;
}
