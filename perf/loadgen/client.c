#include "client.h"
#include <errno.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <string.h>

#define OPEN_BATCH  32  // connections opened in one turn at the start
#define DUE_BATCH   128 // requests sent in one turn
#define LOST_MS     300 // without an answer to a segment
#define SWEEP_TURNS 16  // looks until all connections were looked after,
#define SWEEP_MOST  256 // but no more than these in one
#define ISN_STEP    512 // so that a port used again begins ahead of where it ended, and not by half the space

enum { FREE, SYN_SENT, IDLE, WAITING, ENDING };

struct client_conn {
	struct flow f;
	uint32_t tuple;  // slot in the low bits: which connection a segment belongs to follows from it
	uint32_t number; // in its request
	uint64_t intended;
	union {
		struct {
			uint32_t start; // seq of the request's first byte
			uint32_t left;  // bytes of the answer's body
		};
		struct {
			uint32_t older, newer; // slots of those whose SYN is out, too; itself: there is none
		};
	};
	uint32_t touched;
	uint16_t wnd; // of the peer
	uint8_t state;
	bool in_body : 1, close : 1, ack_due : 1;   // good: what came of the answer so far is as it should be
	bool idle : 1, want : 1, good : 1, fin : 1; // fin: ours was sent
	bool held : 1;   // more of a request is to be sent than the link had room for
	uint8_t work;    // which kind of request it has, or had last
	uint8_t pending; // answers that are still to come
};
_Static_assert(sizeof(struct client_conn) <= 64, "a connection fits a cache line");

// What came of an answer's head when the segment ended.
struct client_carry {
	uint32_t n;
	char bytes[1020];
};

const char *const client_fault_name[CLIENT_FAULTS] = {"status", "length", "body",    "head",
						      "short",  "reset",  "timeout", "unsent"};
const char *const client_refusal_name[CLIENT_REFUSALS] = {"syn", "reset", "status"};

int client_init(struct client *c, const struct client_conf *conf, struct link *l, struct client_work *work,
		unsigned n)
{
	*c = (struct client){.conf = *conf, .link = l, .work = work, .n_work = n, .slots = CLIENT_ADDRESSES};
	for (unsigned i = 0; i < n; i++)
		c->shares += work[i].share;
	while (c->slots < conf->conns)
		c->slots *= 2;
	if (c->slots > CLIENT_PORTS * CLIENT_ADDRESSES)
		return -E2BIG;
	c->base = rte_be_to_cpu_32(l->address);
	c->ns_per_tick = 1e9 / conf->hz;
	client_patience(c, 0, 0);
	c->random = 0x2545f4914f6cdd1dull;
	c->conn = rte_zmalloc("conns", (size_t)c->slots * sizeof(c->conn[0]), 64);
	c->idle = rte_zmalloc("idle", (size_t)c->slots * sizeof(c->idle[0]), 64);
	c->held = rte_zmalloc("held", (size_t)c->slots * sizeof(c->held[0]), 64);
	c->ack = rte_zmalloc("ack", LINK_BURST * sizeof(struct client_conn *), 64);
	if (conf->pipeline > 1)
		c->carry = rte_zmalloc("carry", (size_t)c->slots * sizeof(c->carry[0]), 64);
	if (!c->conn || !c->idle || !c->held || !c->ack || (conf->pipeline > 1 && !c->carry)) {
		client_fini(c);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->slots; i++)
		c->conn[i].tuple = i;
	return 0;
}

void client_fini(struct client *c)
{
	rte_free(c->conn);
	rte_free(c->carry);
	rte_free(c->idle);
	rte_free(c->held);
	rte_free(c->ack);
}

void client_set_now(struct client *c, uint64_t tick, uint32_t ms)
{
	c->now = tick;
	c->now_ms = ms;
}

static void idle_push(struct client *c, struct client_conn *k)
{
	if (k->idle)
		return;
	k->idle = true;
	k->intended = c->now + c->think;
	c->idle[c->idle_tail++ & (c->slots - 1)] = (uint32_t)(k - c->conn);
}

static uint64_t random_next(struct client *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random;
}

void client_numbers(struct client *c, uint32_t n, bool each)
{
	uint32_t a, b, r;

	c->numbers = n;
	c->number = c->number_step = 0;
	if (!each)
		return;
	// About the golden section of n, and without a common divisor with it: it comes to all of them.
	for (c->number_step = (uint32_t)(n * 0.6180339887) | 1;; c->number_step += 2) {
		for (a = n, b = c->number_step; b; a = b, b = r)
			r = a % b;
		if (a == 1)
			break;
	}
}

static uint32_t number_choose(struct client *c)
{
	if (c->numbers <= 1)
		return 0;
	if (!c->number_step)
		return (uint32_t)((random_next(c) >> 32) * c->numbers >> 32);
	c->number = (uint32_t)(((uint64_t)c->number + c->number_step) % c->numbers);
	return c->number;
}

// By the shares of the kinds.
static uint8_t work_choose(struct client *c)
{
	uint32_t at, i = 0;

	if (c->n_work == 1)
		return 0;
	for (at = (uint32_t)(random_next(c) >> 32) % c->shares; at >= c->work[i].share; i++)
		at -= c->work[i].share;
	return (uint8_t)i;
}

// What of the request the window and the link have room for. false: the link has less.
static bool request_go_on(struct client *c, struct client_conn *k)
{
	struct message *request = &c->work[k->work].request;
	uint32_t edge = k->f.snd_una + k->wnd, end = k->start + request->n;

	message_number(request, k->number);
	k->f.snd_nxt = message_send(request, c->link, &k->f, k->start, k->f.snd_nxt, edge);
	return k->f.snd_nxt == end || (int32_t)(edge - k->f.snd_nxt) <= 0;
}

// Who cannot go on waits behind those who already do.
static void request_push(struct client *c, struct client_conn *k)
{
	if (k->held || (c->held_head == c->held_tail && request_go_on(c, k)))
		return;
	k->held = true;
	c->held[c->held_tail++ & (c->slots - 1)] = (uint32_t)(k - c->conn);
}

static bool request_is_out(const struct client *c, const struct client_conn *k)
{
	return k->f.snd_nxt == k->start + c->work[k->work].request.n;
}

static void request_send(struct client *c, struct client_conn *k)
{
	k->state = WAITING;
	k->in_body = false;
	k->ack_due = false;
	k->touched = c->now_ms;
	k->fin = false;
	k->start = k->f.snd_nxt;
	request_push(c, k);
	c->waiting += k->pending;
	if (c->carry)
		c->carry[k - c->conn].n = 0;
}

// The list of those whose SYN is out: they leave it answered, at some place, or too late, at its beginning.
static void syn_append(struct client *c, struct client_conn *k)
{
	uint32_t slot = (uint32_t)(k - c->conn);

	k->older = c->syn_last ? (uint32_t)(c->syn_last - c->conn) : slot;
	k->newer = slot;
	if (c->syn_last)
		c->syn_last->newer = slot;
	else
		c->syn_first = k;
	c->syn_last = k;
}

static void syn_remove(struct client *c, struct client_conn *k)
{
	struct client_conn *older = &c->conn[k->older], *newer = &c->conn[k->newer];

	if (older == k)
		c->syn_first = newer == k ? NULL : newer;
	else
		older->newer = newer == k ? k->older : k->newer;
	if (newer == k)
		c->syn_last = older == k ? NULL : older;
	else
		newer->older = older == k ? k->newer : k->older;
}

static void conn_open(struct client *c, struct client_conn *k)
{
	uint32_t tuple = k->tuple + c->slots;

	if (tuple >= CLIENT_PORTS * CLIENT_ADDRESSES)
		tuple &= c->slots - 1;
	k->tuple = tuple;
	k->f = (struct flow){
		.local = rte_cpu_to_be_32(c->base + tuple % CLIENT_ADDRESSES),
		.local_port = rte_cpu_to_be_16((uint16_t)(CLIENT_PORT_FIRST + tuple / CLIENT_ADDRESSES)),
		.remote = c->conf.server,
		.remote_port = rte_cpu_to_be_16(c->conf.port),
		.snd_una = c->isn,
		.snd_nxt = c->isn + 1,
	};
	c->isn += ISN_STEP;
	k->state = SYN_SENT;
	k->touched = c->now_ms;
	k->close = false;
	c->opened++;
	syn_append(c, k);
	link_send_syn(c->link, &k->f, TCP_SYN, k->f.snd_una);
}

// The next request of this connection, or the next ones of its pipeline, due at the tick `intended`.
static void request_start(struct client *c, struct client_conn *k, uint64_t intended)
{
	k->intended = intended;
	k->work = work_choose(c);
	k->number = number_choose(c);
	k->want = true;
	k->pending = (uint8_t)c->conf.pipeline;
	c->active += k->pending;
	c->started += c->conf.pipeline;
	if (c->measuring && intended >= c->measured_from)
		histogram_add(&c->lag, (uint64_t)((double)(c->now - intended) * c->ns_per_tick));
	if (k->state == FREE)
		conn_open(c, k);
	else
		request_send(c, k);
}

static void request_end(struct client *c, struct client_conn *k)
{
	c->active -= k->want ? k->pending : 0;
	k->want = false;
}

// In closed loop: whether one more connection may have requests.
static bool room(const struct client *c)
{
	return c->active < (uint64_t)c->active_max * c->conf.pipeline;
}

static void next(struct client *c, struct client_conn *k)
{
	// New connections come from all ports in turn, in whichever loop.
	bool ports_turn = c->conf.close != CLOSE_NEVER && c->active_max != UINT32_MAX;

	if (c->closed_loop && !c->think && !ports_turn && room(c))
		request_start(c, k, c->now);
	else
		idle_push(c, k);
}

static void conn_free(struct client *c, struct client_conn *k)
{
	if (k->state == SYN_SENT)
		syn_remove(c, k);
	else
		c->open--;
	k->state = FREE;
	k->ack_due = false;
	k->fin = false;
}

// Its connection does not come about. Nothing is said to the peer, which has not answered or does not want it.
static void refuse(struct client *c, struct client_conn *k, enum client_refusal why)
{
	if (k->want)
		c->refused[why] += k->pending;
	request_end(c, k);
	conn_free(c, k);
	idle_push(c, k); // not at once again, not even in closed loop
}

static void fail(struct client *c, struct client_conn *k, enum client_fault fault)
{
	if (k->want)
		c->fault[fault] += k->pending;
	else
		c->ended++;
	c->waiting -= k->state == WAITING ? k->pending : 0;
	c->syn_expired += k->state == SYN_SENT;
	if (fault != FAULT_RESET)
		link_send(c->link, &k->f, TCP_RST | TCP_ACK, k->f.snd_nxt, NULL, 0, 0);
	conn_free(c, k);
	request_end(c, k);
	next(c, k);
}

// The answer is whole.
static void answered(struct client *c, struct client_conn *k)
{
	c->waiting--;
	c->active--;
	k->pending--;
	k->in_body = false;
	c->done += k->good;
	if (c->measuring && k->good && k->intended >= c->measured_from)
		histogram_add(&c->latency, (uint64_t)((double)(c->now - k->intended) * c->ns_per_tick));
	if (k->pending) {
		if (k->close)
			fail(c, k, FAULT_SHORT);
		return;
	}
	if (!request_is_out(c, k)) { // answered before all of it was there: it cannot go on from here
		fail(c, k, FAULT_SHORT);
		return;
	}
	request_end(c, k);
	if (k->close || c->conf.close != CLOSE_NEVER) {
		k->state = ENDING;
		if (!k->close && c->conf.close == CLOSE_CLIENT) {
			k->fin = true;
			k->ack_due = false;
			link_send(c->link, &k->f, TCP_FIN | TCP_ACK, k->f.snd_nxt++, NULL, 0, 0);
		}
		return;
	}
	k->state = IDLE;
	next(c, k);
}

static bool looks_alike(const struct likeness *like, const char *data, uint32_t n)
{
	return like->head && n >= like->head && memcmp(data, "HTTP/1.1 ", 9) == 0 &&
	       memcmp(data + like->head - 4, "\r\n\r\n", 4) == 0 &&
	       memcmp(data + like->length_at, like->length, like->length_n) == 0;
}

// Reads the head that k's answer begins with. Returns its bytes in data; 0: there is none, or not yet (of a
// pipeline, whose heads may begin in one segment and end in the next).
static uint32_t head_find(struct client *c, struct client_conn *k, const char *data, uint32_t n, struct head *h)
{
	struct client_carry *carry = c->carry ? &c->carry[k - c->conn] : NULL;
	uint32_t before = carry ? carry->n : 0;
	struct likeness *like = &c->work[k->work].like;

	if (!before && looks_alike(like, data, n)) {
		*h = (struct head){.n = like->head,
				   .body = like->body,
				   .status = (unsigned)(data[9] - '0') * 100 + (unsigned)(data[10] - '0') * 10 +
					     (unsigned)(data[11] - '0')};
		return h->n;
	}
	if (!before && head_read(data, n, h, like))
		return h->status ? h->n : 0;
	if (!carry)
		return 0;
	n = RTE_MIN(n, (uint32_t)sizeof(carry->bytes) - before);
	memcpy(carry->bytes + before, data, n);
	carry->n += n;
	if (!head_read(carry->bytes, carry->n, h, NULL) || h->status == 0)
		return 0;
	carry->n = 0;
	return h->n - before;
}

static void head_input(struct client *c, struct client_conn *k, const struct head *h)
{
	const struct client_work *work = &c->work[k->work];

	k->close |= h->close;
	k->good = false;
	if (h->status == work->status) {
		k->good = h->body == work->body;
		if (!k->good)
			c->fault[FAULT_LENGTH]++;
	} else if (h->status == 503 || h->status == 429) {
		c->refused[REFUSED_STATUS]++;
	} else {
		c->fault[FAULT_STATUS]++;
	}
	k->in_body = true;
	k->left = h->body < UINT32_MAX ? (uint32_t)h->body : UINT32_MAX;
}

// Some bytes of a good answer's body, beside those of the first one of its kind.
static void body_look(struct client *c, struct client_conn *k, const char *data, uint32_t n)
{
	struct client_work *w = &c->work[k->work];
	uint64_t at = w->body - k->left;

	n = RTE_MIN(n, CLIENT_SAMPLE);
	if (at == 0 && w->sample_n == 0 && (!w->patterned || message_is(data, n, 0))) {
		memcpy(w->sample, data, n);
		w->sample_n = n;
		w->patterned = message_is(data, n, 0);
	} else if ((at == 0 && memcmp(data, w->sample, RTE_MIN(n, w->sample_n)) != 0) ||
		   (w->patterned && !message_is(data, n, at))) {
		c->fault[FAULT_BODY]++;
		k->good = false;
	}
}

static void data_input(struct client *c, struct client_conn *k, const char *data, uint32_t n)
{
	bool more = true;

	if (k->state != WAITING) {
		c->fault[FAULT_LENGTH] += !k->want; // bytes that nobody asked for
		fail(c, k, FAULT_LENGTH);
		return;
	}
	while (more) {
		uint32_t of_it;

		if (!k->in_body) {
			struct head h;

			of_it = head_find(c, k, data, n, &h);
			if (!of_it && c->carry && c->carry[k - c->conn].n < sizeof(c->carry[0].bytes))
				return;
			if (!of_it) {
				fail(c, k, FAULT_HEAD);
				return;
			}
			head_input(c, k, &h);
			data += of_it;
			n -= of_it;
		}
		if (n > k->left && k->pending == 1) {
			fail(c, k, FAULT_LENGTH);
			return;
		}
		of_it = RTE_MIN(n, k->left);
		if (c->verify && k->good && of_it)
			body_look(c, k, data, of_it);
		k->left -= of_it;
		data += of_it;
		n -= of_it;
		more = n > 0;
		if (k->left == 0)
			answered(c, k);
		more &= k->state == WAITING;
	}
}

static void end_input(struct client *c, struct client_conn *k)
{
	k->f.rcv_nxt++;
	if (k->state == WAITING) {
		fail(c, k, FAULT_SHORT);
		return;
	}
	c->ended += k->state == IDLE;
	link_send(c->link, &k->f, k->fin ? TCP_ACK : TCP_FIN | TCP_ACK, k->f.snd_nxt, NULL, 0, 0);
	conn_free(c, k);
	next(c, k);
}

static void ack_later(struct client *c, struct client_conn *k)
{
	if (k->ack_due)
		return;
	k->ack_due = true;
	c->ack[c->n_ack++] = k;
}

static void conn_input(struct client *c, struct client_conn *k, const struct segment *s)
{
	if (s->flags & TCP_RST) {
		if (k->state == SYN_SENT && !(s->flags & TCP_ACK && s->ack == k->f.snd_nxt))
			return;
		if (k->state == SYN_SENT) {
			c->syn_reset++;
			refuse(c, k, REFUSED_RESET);
			return;
		}
		if (k->state == ENDING) { // all that was wanted is there
			conn_free(c, k);
			next(c, k);
			return;
		}
		fail(c, k, FAULT_RESET);
		return;
	}
	if (k->state == SYN_SENT) {
		if (s->flags & TCP_ACK && s->ack != k->f.snd_nxt) { // RFC 9293 3.10.7.3
			*(s->flags & TCP_SYN ? &c->syn_late : &c->syn_challenged) += 1;
			link_refuse(c->link, s);
			return;
		}
		if ((s->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK))
			return;
		c->syn_answered++;
		syn_remove(c, k);
		k->f.rcv_nxt = s->seq + 1;
		k->f.snd_una = s->ack;
		k->wnd = s->wnd;
		k->state = IDLE;
		c->open++;
		if (k->want) {
			request_send(c, k);
		} else {
			ack_later(c, k);
			next(c, k);
		}
		return;
	}
	if ((int32_t)(s->ack - k->f.snd_una) > 0 && (int32_t)(s->ack - k->f.snd_nxt) <= 0) {
		k->f.snd_una = s->ack;
		k->touched = c->now_ms;
	}
	k->wnd = s->wnd;
	if (k->state == WAITING && !request_is_out(c, k))
		request_push(c, k);
	if (s->seq != k->f.rcv_nxt) {
		if (s->len || s->flags & (TCP_FIN | TCP_SYN)) {
			c->out_of_order++;
			ack_later(c, k);
		}
		return;
	}
	if (s->len) {
		k->touched = c->now_ms;
		k->f.rcv_nxt += s->len;
		ack_later(c, k);
		data_input(c, k, s->data, s->len);
	}
	if (s->flags & TCP_FIN && k->state > SYN_SENT)
		end_input(c, k);
}

void client_input(struct client *c, struct segment *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct segment *s = &v[i];
		uint32_t port = (uint32_t)rte_be_to_cpu_16(s->dport) - CLIENT_PORT_FIRST;
		uint32_t tuple = port * CLIENT_ADDRESSES + (rte_be_to_cpu_32(s->dst) - c->base);

		s->conn = &c->conn[tuple & (c->slots - 1)];
		s->ack = s->flags & TCP_ACK ? s->ack : 0;
		rte_prefetch0(s->conn);
	}
	for (unsigned i = 0; i < n; i++) {
		struct segment *s = &v[i];
		struct client_conn *k = s->conn;

		if (k->state != FREE && k->f.local == s->dst && k->f.local_port == s->dport &&
		    k->f.remote_port == s->sport) {
			conn_input(c, k, s);
		} else if (s->len || s->flags & (TCP_SYN | TCP_FIN) || c->over) {
			bool late = (s->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);

			*(late ? &c->syn_late : &c->stray) += 1;
			link_refuse(c->link, s);
		}
	}
	for (uint32_t i = 0; i < c->n_ack; i++)
		if (c->ack[i]->ack_due && c->ack[i]->state != FREE) {
			c->ack[i]->ack_due = false;
			link_send(c->link, &c->ack[i]->f, TCP_ACK, c->ack[i]->f.snd_nxt, NULL, 0, 0);
		}
	c->n_ack = 0;
}

static void look_after(struct client *c, struct client_conn *k)
{
	uint64_t patience = (uint64_t)(c->conf.patience * 1e-3 * c->conf.hz);

	if (k->state == FREE || k->state == IDLE)
		return;
	if (k->want && c->now - k->intended > patience) {
		c->missed_at[c->n_missed++ % CLIENT_MISSES] = k->intended;
		fail(c, k, FAULT_TIMEOUT);
		return;
	}
	if (k->f.snd_una == k->f.snd_nxt || c->now_ms - k->touched < LOST_MS ||
	    (k->state == SYN_SENT && c->syn_patience))
		return;
	k->touched = c->now_ms;
	c->retransmits++;
	if (k->state == SYN_SENT) {
		c->syn_again++;
		link_send_syn(c->link, &k->f, TCP_SYN, k->f.snd_una);
	} else if (k->fin) {
		link_send(c->link, &k->f, TCP_FIN | TCP_ACK, k->f.snd_nxt - 1, NULL, 0, 0);
	} else {
		message_number(&c->work[k->work].request, k->number);
		message_send(&c->work[k->work].request, c->link, &k->f, k->start, k->f.snd_una, k->f.snd_nxt);
	}
}

void client_rate(struct client *c, double rate, double think)
{
	uint32_t n = c->idle_tail - c->idle_head;

	c->closed_loop = rate == 0;
	c->think = c->closed_loop ? (uint64_t)(think * 1e-3 * c->conf.hz) : 0;
	for (uint32_t i = 0; i < n; i++)
		c->conn[c->idle[(c->idle_head + i) & (c->slots - 1)]].intended = c->now + c->think * i / n;
	schedule_start(&c->due, c->now, c->conf.hz, rate / c->conf.pipeline);
}

void client_limit(struct client *c, uint32_t open, uint32_t active)
{
	c->open_max = open && open < c->conf.conns ? open : c->conf.conns;
	c->active_max = active ? active : UINT32_MAX;
	schedule_start(&c->opening, c->now, c->conf.hz, c->conf.open_rate);
}

void client_patience(struct client *c, uint32_t syn_ms, uint32_t send_ms)
{
	c->syn_patience = syn_ms;
	c->gives_up = send_ms > 0;
	c->send_patience = send_ms ? send_ms : c->conf.patience;
}

static unsigned syns_expire(struct client *c)
{
	unsigned n = 0;

	for (; n < DUE_BATCH && c->syn_patience && c->syn_first &&
	       c->now_ms - c->syn_first->touched >= c->syn_patience;
	     n++) {
		c->syn_expired++;
		refuse(c, c->syn_first, REFUSED_SYN);
	}
	return n;
}

// Takes a connection without a request.
static struct client_conn *idle_pop(struct client *c)
{
	uint32_t mask = c->slots - 1, *first = &c->idle[c->idle_head & mask], *other, i;
	struct client_conn *k;

	if (c->conf.random && !c->closed_loop) {
		other = &c->idle[(c->idle_head + (uint32_t)random_next(c) % (c->idle_tail - c->idle_head)) &
				 mask];
		i = *other;
		*other = *first;
		*first = i;
	}
	k = &c->conn[*first];
	c->idle_head++;
	k->idle = false;
	return k;
}

// In closed loop: whether a connection is to send its next request.
static bool thought(const struct client *c)
{
	return c->idle_head != c->idle_tail && room(c) &&
	       (!c->think || c->conn[c->idle[c->idle_head & (c->slots - 1)]].intended <= c->now);
}

// In open loop: whether the request that is next has been due for longer than it is worth to be sent.
static bool too_late(const struct client *c)
{
	return ((double)c->now - c->due.next) * 1e3 >= c->send_patience * c->conf.hz;
}

bool client_turn(struct client *c)
{
	unsigned sent = 0, n = 0, expired = syns_expire(c);

	for (; c->held_head != c->held_tail && link_room(c->link); c->held_head++, sent++) {
		struct client_conn *k = &c->conn[c->held[c->held_head & (c->slots - 1)]];

		if (k->state == WAITING && !request_is_out(c, k) && !request_go_on(c, k))
			return true;
		k->held = false;
	}
	for (; c->opened_first < c->open_max && sent < OPEN_BATCH && schedule_due(&c->opening, c->now);
	     c->opened_first++, sent++) {
		struct client_conn *k = &c->conn[c->opened_first];

		(void)schedule_take(&c->opening);
		if (c->conf.close != CLOSE_NEVER)
			next(c, k);
		else
			conn_open(c, k);
	}
	if (c->closed_loop)
		for (; n < DUE_BATCH && link_room(c->link) && thought(c); n++) {
			struct client_conn *k = idle_pop(c);

			request_start(c, k, c->think ? k->intended : c->now);
		}
	for (; n < DUE_BATCH && link_room(c->link) && schedule_due(&c->due, c->now); n++) {
		bool idle = c->idle_head != c->idle_tail;

		if (idle && !(c->gives_up && too_late(c))) {
			request_start(c, idle_pop(c), schedule_take(&c->due));
			continue;
		}
		if (!too_late(c))
			break;
		c->missed_at[c->n_missed++ % CLIENT_MISSES] = schedule_take(&c->due);
		c->started += c->conf.pipeline;
		c->fault[FAULT_UNSENT] += c->conf.pipeline;
	}
	return sent + n + expired;
}

void client_sweep(struct client *c)
{
	uint32_t n = c->slots / SWEEP_TURNS + 1;

	for (uint32_t i = 0; i < n && i < SWEEP_MOST; i++)
		look_after(c, &c->conn[c->sweep++ & (c->slots - 1)]);
}

void client_abort(struct client *c)
{
	for (uint32_t i = 0; i < c->slots; i++) {
		struct client_conn *k = &c->conn[i];

		if (k->state == FREE)
			continue;
		link_send(c->link, &k->f, TCP_RST | TCP_ACK, k->f.snd_nxt, NULL, 0, 0);
		k->state = FREE;
		if (c->link->n_tx >= LINK_BURST)
			link_flush(c->link);
	}
	c->syn_first = c->syn_last = NULL;
	c->open = c->waiting = 0;
	c->active = 0;
	c->over = true;
}
