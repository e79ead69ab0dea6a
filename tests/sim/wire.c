#include "tests/sim/wire.h"
#include "base/checksum.h"
#include <stdlib.h>
#include <string.h>

#define TCP 6

static bool chance(struct wire *w, uint32_t out_of_10000)
{
	return out_of_10000 && random_below(&w->random, 10000) < out_of_10000;
}

static uint64_t within(struct wire *w, uint64_t max)
{
	return max ? random_next(&w->random) % max : 0;
}

void wire_init(struct wire *w, uint64_t seed)
{
	*w = (struct wire){.room = 256};
	random_seed(&w->random, seed);
	w->heap = malloc(w->room * sizeof(*w->heap));
}

void wire_fini(struct wire *w)
{
	while (w->n)
		free(w->heap[--w->n]);
	while (w->n_spare)
		free(w->spare[--w->n_spare]);
	free(w->heap);
}

static struct frame *frame_new(struct wire *w)
{
	return w->n_spare ? w->spare[--w->n_spare] : malloc(sizeof(struct frame));
}

void wire_done(struct wire *w, struct frame *f)
{
	if (w->n_spare < sizeof(w->spare) / sizeof(*w->spare))
		w->spare[w->n_spare++] = f;
	else
		free(f);
}

static bool before(const struct frame *a, const struct frame *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct wire *w, struct frame *f)
{
	uint32_t i;

	if (w->n == WIRE_MAX) {
		f->link->lost++;
		wire_done(w, f);
		return;
	}
	if (w->n == w->room) {
		w->room *= 2;
		w->heap = realloc(w->heap, w->room * sizeof(*w->heap));
	}
	for (i = w->n++; i > 0 && before(f, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = f;
}

uint64_t wire_time(const struct wire *w)
{
	return w->n ? w->heap[0]->at : UINT64_MAX;
}

struct frame *wire_next(struct wire *w, uint64_t now)
{
	struct frame *top, *last;
	uint32_t i = 0, child;

	if (!w->n || w->heap[0]->at > now)
		return NULL;
	top = w->heap[0];
	last = w->heap[--w->n];
	while ((child = 2 * i + 1) < w->n) {
		if (child + 1 < w->n && before(w->heap[child + 1], w->heap[child]))
			child++;
		if (!before(w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	if (top->order < top->link->newest)
		top->link->reordered++;
	else
		top->link->newest = top->order;
	return top;
}

struct pkt *wire_packet(struct wire *w, uint64_t now, struct pkt_pool *pool, uint32_t *to)
{
	struct frame *f;
	struct pkt *p;

	while ((f = wire_next(w, now))) {
		*to = f->to;
		p = pkt_alloc(pool);
		if (p)
			memcpy(pkt_append(p, f->n), f->data, f->n);
		else
			f->link->lost++;
		wire_done(w, f);
		if (p)
			return p;
	}
	return NULL;
}

static uint32_t copy_out(unsigned char *to, const struct pkt *p)
{
	uint32_t n = 0;

	for (; p; n += pkt_len(p), p = pkt_next(p)) {
		if (n + pkt_len(p) > WIRE_FRAME)
			abort();
		memcpy(to + n, pkt_data(p), pkt_len(p));
	}
	return n;
}

// Payload length and flags of a TCP segment; false: it is none.
static bool segment(const unsigned char *d, uint32_t n, uint32_t *len, uint8_t *flags)
{
	uint32_t at = d[12] == 0x86 ? 54 : 34;

	if (n < at + 20 || d[at == 54 ? 20 : 23] != TCP)
		return false;
	*len = n - at - (uint32_t)(d[at + 12] >> 4 << 2);
	*flags = d[at + 13];
	return true;
}

// At any time within the period: nobody's timer keeps step with it.
static bool flapped(const struct impair *m, uint64_t now)
{
	uint64_t begin;

	if (!m->flap_period)
		return false;
	begin = now / m->flap_period * 0x9e3779b97f4a7c15ull % (m->flap_period - m->flap_down);
	return now % m->flap_period - begin < m->flap_down;
}

static bool loses(struct wire *w, struct link *l, uint64_t now, const struct frame *f)
{
	const struct impair *m = &l->impair;
	uint32_t len;
	uint8_t flags;

	if (now >= l->burst_until && chance(w, m->burst))
		l->burst_until = now + within(w, m->burst_max);
	if (now < l->burst_until || (now >= m->dark_from && now < m->dark_until) || flapped(m, now) ||
	    chance(w, m->loss))
		return true;
	if (!(m->ack_loss | m->tail_loss) || !segment(f->data, f->n, &len, &flags))
		return false;
	if (len == 0 && chance(w, m->ack_loss))
		return true;
	return (flags & 9) && chance(w, m->tail_loss);
}

static bool is_ip(const struct frame *f)
{
	return f->n > 14 && ((f->data[12] == 8 && f->data[13] == 0) || f->data[12] == 0x86);
}

// Of an ECN-capable packet; its IPv4 header is summed again.
static bool mark(struct frame *f)
{
	unsigned char *ip = f->data + 14;

	if (f->data[12] == 0x86) {
		if (!(ip[1] & 0x30))
			return false;
		ip[1] |= 0x30;
		return true;
	}
	if (!(ip[1] & 3))
		return false;
	ip[1] |= 3;
	ip[10] = ip[11] = 0;
	uint16_t sum = checksum_fold(checksum_add(0, ip, (ip[0] & 15u) * 4));
	memcpy(ip + 10, &sum, 2);
	return true;
}

enum wire_fate wire_send(struct wire *w, struct link *l, uint64_t now, uint32_t to, const struct pkt *p)
{
	const struct impair *m = &l->impair;
	uint64_t begin = now > l->busy_until ? now : l->busy_until;
	struct frame *f = frame_new(w);

	l->frames++;
	f->n = copy_out(f->data, p);
	if (now >= m->narrow_from && now < m->narrow_until && is_ip(f) && f->n - 14 > m->narrow_mtu) {
		l->too_big++;
		wire_done(w, f);
		return WIRE_TOO_BIG;
	}
	if (loses(w, l, now, f) || (m->rate && begin - now > m->queue)) {
		l->lost++;
		wire_done(w, f);
		return WIRE_LOST;
	}
	if (m->rate)
		l->busy_until = begin = begin + (uint64_t)f->n * 8 * 1000000000 / m->rate;
	if (is_ip(f) && chance(w, m->mark) && mark(f))
		l->marked++;
	f->at = begin + m->delay + within(w, m->jitter);
	if (chance(w, m->reorder))
		f->at += within(w, m->reorder_max);
	f->order = ++w->order;
	f->link = l;
	f->to = to;
	if (chance(w, m->duplicate)) {
		struct frame *twin = frame_new(w);

		memcpy(twin, f, offsetof(struct frame, data) + f->n);
		twin->at += within(w, m->late);
		l->duplicated++;
		push(w, twin);
	}
	// After the twin was made: one of them is whole. Two wrong bits may well agree with the checksum.
	if (is_ip(f) && chance(w, m->corrupt)) {
		f->data[14 + random_below(&w->random, f->n - 14)] ^=
			(unsigned char)(1u << random_below(&w->random, 8));
		l->corrupted++;
	}
	push(w, f);
	return WIRE_SENT;
}

void wire_put(struct wire *w, struct link *l, uint64_t now, uint32_t to, const void *data, uint32_t n)
{
	struct frame *f = frame_new(w);

	f->at = now + l->impair.delay;
	f->order = ++w->order;
	f->link = l;
	f->to = to;
	f->n = n;
	memcpy(f->data, data, n);
	push(w, f);
}
