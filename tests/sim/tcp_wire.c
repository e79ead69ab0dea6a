// The wire: frames in a heap by time of arrival.
#include "tcp/conn.h"
#include "tests/sim/tcp_sim.h"
#include <stdio.h>
#include <stdlib.h>

static bool before(const struct frame *a, const struct frame *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_push(struct wire *w, struct frame *f)
{
	unsigned i;

	if (w->n == w->room) {
		w->room = w->room ? 2 * w->room : 256;
		w->heap = realloc(w->heap, w->room * sizeof(*w->heap));
	}
	for (i = w->n++; i > 0 && before(f, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = f;
}

static struct frame *heap_pop(struct wire *w)
{
	struct frame *top = w->heap[0], *last = w->heap[--w->n];
	unsigned i = 0, child;

	while ((child = 2 * i + 1) < w->n) {
		if (child + 1 < w->n && before(w->heap[child + 1], w->heap[child]))
			child++;
		if (!before(w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return top;
}

static bool chance(struct sim *s, double p)
{
	return p > 0 && sim_unit(s) < p;
}

static void frame_copy(struct frame *f, const struct pkt *p)
{
	f->n = 0;
	for (; p; p = pkt_next(p)) {
		if (f->n + pkt_len(p) > sizeof(f->data))
			abort();
		memcpy(f->data + f->n, pkt_data(p), pkt_len(p));
		f->n += pkt_len(p);
	}
}

static void launch(struct sim *s, struct host *from, const struct pkt *p)
{
	const struct impair *m = &s->impair;
	struct wire *w = &s->wire;
	unsigned way = from->id;
	uint64_t begin = s->now > w->busy_until[way] ? s->now : w->busy_until[way];

	if (m->rate) {
		if (begin - s->now > m->queue) {
			s->total.lost++;
			return;
		}
		w->busy_until[way] = begin + pkt_chain_len(p) * 8 * SEC / m->rate;
	}
	struct frame *f = malloc(sizeof(*f));
	frame_copy(f, p);
	f->at = begin + m->delay;
	if (chance(s, m->reorder)) {
		f->at += random_next(&s->r) % m->reorder_max;
		s->total.reordered++;
	}
	if (m->jitter)
		f->at += random_next(&s->r) % m->jitter;
	// One bit, and not in the Ethernet header: a real one is guarded by its frame check sequence, and two
	// wrong bits may well agree with the checksum.
	if (f->n > 14 && (f->data[12] == 8 ? f->data[13] == 0 : f->data[12] == 0x86) && chance(s, m->corrupt)) {
		f->data[14 + random_below(&s->r, f->n - 14)] ^= (unsigned char)(1u << random_below(&s->r, 8));
		s->total.corrupted++;
	}
	f->to = 1 - way;
	f->order = w->order++;
	heap_push(w, f);
}

struct sent {
	struct addr src, dst;
	uint16_t src_port, dst_port, wnd;
	uint32_t seq, ack, len;
	uint8_t flags;
	struct tcp_options opt;
};

static bool sent_parse(struct sent *t, const struct pkt *p)
{
	const unsigned char *d = (const unsigned char *)pkt_data(p);
	uint32_t n = pkt_chain_len(p), v4;

	if (n >= 74 && d[12] == 0x86 && d[20] == 6) {
		memcpy(t->src.b, d + 22, 16);
		memcpy(t->dst.b, d + 38, 16);
		d += 20; // so much longer is the header
		n -= 20;
	} else if (n < 54 || d[12] != 8 || d[13] != 0 || d[23] != 6) {
		return false;
	} else {
		memcpy(&v4, d + 26, 4);
		t->src = addr_from_v4(v4);
		memcpy(&v4, d + 30, 4);
		t->dst = addr_from_v4(v4);
	}
	t->src_port = (uint16_t)(d[34] << 8 | d[35]);
	t->dst_port = (uint16_t)(d[36] << 8 | d[37]);
	memcpy(&t->seq, d + 38, 4);
	memcpy(&t->ack, d + 42, 4);
	t->seq = __builtin_bswap32(t->seq);
	t->ack = __builtin_bswap32(t->ack);
	t->len = n - 34u - (unsigned)(d[46] >> 4 << 2);
	t->flags = d[47];
	t->wnd = (uint16_t)(d[48] << 8 | d[49]);
	options_parse(&t->opt, d + 54, (d[46] >> 4 << 2) - 20u);
	return true;
}

// One line for each segment, for looking at a schedule that failed.
static void trace(const struct sim *s, const struct host *from, const struct pkt *p, const char *fate)
{
	struct sent t;

	if (!sent_parse(&t, p))
		return;
	printf("%14.6f host %u %5u > %5u %s%s%s%s%s seq %u ack %u wnd %u len %u%s\n", (double)s->now / 1e9,
	       from->id, t.src_port, t.dst_port, t.flags & TCP_SYN ? "S" : "", t.flags & TCP_FIN ? "F" : "",
	       t.flags & TCP_RST ? "R" : "", t.flags & TCP_PSH ? "P" : "", t.flags & TCP_ACK ? "." : "", t.seq,
	       t.ack, t.wnd, t.len, fate);
}

// Nothing may be sent beyond the window that the other end has ever offered, but for the one byte of a probe.
static void window_check(struct sim *s, struct host *from, const struct pkt *p)
{
	struct sent t;
	struct tcp_conn *c;

	if (!sent_parse(&t, p) || t.len <= 1)
		return;
	c = host_peer(&s->host[1 - from->id], t.dst, t.src, t.dst_port, t.src_port);
	if (c && c->state >= TCP_ESTABLISHED && seq_gt(t.seq + t.len, c->rcv_adv))
		sim_violation(s, "host %u: %u bytes sent beyond the peer's window", from->id,
			      t.seq + t.len - c->rcv_adv);
}

// RFC 2018 4: blocks tell of what was sent and is not acknowledged, do not touch each other, and the first one
// may be of what came twice (RFC 2883).
static void sack_check(struct sim *s, struct host *from, const struct pkt *p)
{
	struct tcp_conn *c;
	struct sent t;

	if (!sent_parse(&t, p) || t.opt.n_sack == 0)
		return;
	c = host_peer(&s->host[1 - from->id], t.dst, t.src, t.dst_port, t.src_port);
	for (unsigned i = 0; i < t.opt.n_sack; i++) {
		struct sack_block k = t.opt.sack[i];
		if (!seq_lt(k.lo, k.hi) || (i && seq_le(k.lo, t.ack)))
			sim_violation(s, "host %u: SACK block %u is empty or acknowledged", from->id, i);
		for (unsigned j = 1; j < i; j++)
			if (seq_le(k.lo, t.opt.sack[j].hi) && seq_ge(k.hi, t.opt.sack[j].lo))
				sim_violation(s, "host %u: SACK blocks %u and %u touch", from->id, j, i);
		if (c && c->state >= TCP_ESTABLISHED && seq_gt(k.hi, c->snd_max))
			sim_violation(s, "host %u: SACK of what was never sent", from->id);
	}
}

// Is it lost?
static bool wire_loses(struct sim *s, const struct pkt *p)
{
	struct impair *m = &s->impair;
	struct sent t;

	if (s->now >= m->burst_until && chance(s, m->burst))
		m->burst_until = s->now + random_below(&s->r, 100) * MS;
	if (s->now < m->burst_until || chance(s, m->loss) || (s->now >= m->dark_from && s->now < m->dark_until))
		return true;
	return m->ack_loss > 0 && sent_parse(&t, p) && t.len == 0 && chance(s, m->ack_loss);
}

void wire_send(struct sim *s, struct host *from, struct pkt *p)
{
	const struct impair *m = &s->impair;

	s->total.packets++;
	window_check(s, from, p);
	sack_check(s, from, p);
	if (wire_loses(s, p)) {
		s->total.lost++;
		if (s->trace)
			trace(s, from, p, " lost");
		return;
	}
	if (s->trace)
		trace(s, from, p, "");
	launch(s, from, p);
	if (chance(s, m->duplicate)) {
		s->total.duplicated++;
		launch(s, from, p);
	}
}

// As a driver would receive it: in one buffer, or scattered over several.
static struct pkt *frame_receive(struct sim *s, struct host *h, const struct frame *f)
{
	struct pkt *head = NULL;
	bool scatter = chance(s, s->impair.chain);
	uint32_t at = 0;

	while (at < f->n) {
		uint32_t n = f->n - at;
		if (scatter && n > 60)
			n = at == 0 ? 54 + random_below(&s->r, n - 54) : 1 + random_below(&s->r, n);
		struct pkt *p = pkt_alloc(h->pool);
		if (!p) {
			pkt_free_chain(head);
			s->total.no_buffer++;
			return NULL;
		}
		memcpy(pkt_append(p, n), f->data + at, n);
		at += n;
		if (head)
			pkt_chain(head, p);
		else
			head = p;
	}
	return head;
}

void wire_deliver(struct sim *s, uint64_t now)
{
	struct wire *w = &s->wire;

	while (w->n && w->heap[0]->at <= now) {
		struct pkt *burst[NET_BURST];
		unsigned n = 0, to = w->heap[0]->to;

		while (w->n && w->heap[0]->at <= now && w->heap[0]->to == to && n < NET_BURST) {
			struct frame *f = heap_pop(w);
			struct pkt *p = frame_receive(s, &s->host[to], f);
			if (p)
				burst[n++] = p;
			free(f);
		}
		if (n)
			host_receive(&s->host[to], burst, n);
	}
}

uint64_t wire_next(const struct sim *s)
{
	return s->wire.n ? s->wire.heap[0]->at : UINT64_MAX;
}

void wire_clear(struct sim *s)
{
	while (s->wire.n)
		free(s->wire.heap[--s->wire.n]);
	free(s->wire.heap);
	s->wire = (struct wire){0};
}
