#include "client.h"
#include <errno.h>
#include <rte_byteorder.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <string.h>

#define OPEN_BATCH 32    // connections opened in one turn at the start
#define DUE_BATCH  64    // requests sent in one turn (open loop)
#define LOST_MS    300   // without an answer to a segment
#define WAIT_MS    10000 // for an answer
#define ISN_STEP   1024

enum { FREE, SYN_SENT, IDLE, WAITING, ENDING };

struct client_conn {
	struct flow f;
	uint32_t tuple; // slot in the low bits: which connection a segment belongs to follows from it
	uint32_t start; // seq of the request's first byte
	uint64_t intended, left;
	uint32_t touched;
	uint8_t state;
	bool in_body, close, ack_due; // good: what came of the answer so far is as it should be
	bool idle, want, good;
};
_Static_assert(sizeof(struct client_conn) <= 64, "a connection fits a cache line");

const char *const client_fault_name[CLIENT_FAULTS] = {"status", "length", "head", "short", "reset", "timeout"};

int client_init(struct client *c, const struct client_conf *conf, struct link *l, const struct message *request)
{
	*c = (struct client){.conf = *conf, .link = l, .request = request, .slots = 1};
	while (c->slots < conf->conns)
		c->slots *= 2;
	if (c->slots > CLIENT_PORTS * CLIENT_ADDRESSES)
		return -E2BIG;
	c->base = rte_be_to_cpu_32(l->address);
	c->ns_per_tick = 1e9 / conf->hz;
	c->conn = rte_zmalloc("conns", (size_t)c->slots * sizeof(c->conn[0]), 64);
	c->idle = rte_zmalloc("idle", (size_t)c->slots * sizeof(c->idle[0]), 64);
	c->ack = rte_zmalloc("ack", LINK_BURST * sizeof(struct client_conn *), 64);
	if (!c->conn || !c->idle || !c->ack) {
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
	rte_free(c->idle);
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
	c->idle[c->idle_tail++ & (c->slots - 1)] = (uint32_t)(k - c->conn);
}

static void request_send(struct client *c, struct client_conn *k)
{
	k->state = WAITING;
	k->in_body = false;
	k->ack_due = false;
	k->touched = c->now_ms;
	k->start = k->f.snd_nxt;
	k->f.snd_nxt = message_send(c->request, c->link, &k->f, k->start, k->start, k->start + c->request->n);
	c->waiting++;
}

static void conn_open(struct client *c, struct client_conn *k)
{
	uint32_t tuple = k->tuple + c->slots;

	if (tuple >= CLIENT_PORTS * CLIENT_ADDRESSES)
		tuple &= c->slots - 1;
	k->tuple = tuple;
	k->f = (struct flow){
		.local = rte_cpu_to_be_32(c->base + tuple / CLIENT_PORTS),
		.local_port = rte_cpu_to_be_16((uint16_t)(CLIENT_PORTS + tuple % CLIENT_PORTS)),
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
	link_send_syn(c->link, &k->f, TCP_SYN, k->f.snd_una);
}

// The next request of this connection, due at the tick `intended`.
static void request_start(struct client *c, struct client_conn *k, uint64_t intended)
{
	k->intended = intended;
	k->want = true;
	c->started++;
	if (k->state == FREE)
		conn_open(c, k);
	else
		request_send(c, k);
}

static void next(struct client *c, struct client_conn *k)
{
	if (c->conf.rate > 0)
		idle_push(c, k);
	else if (!c->stopping)
		request_start(c, k, c->now);
}

static void fail(struct client *c, struct client_conn *k, enum client_fault fault)
{
	c->fault[fault]++;
	if (k->state == WAITING)
		c->waiting--;
	if (fault != FAULT_RESET)
		link_send(c->link, &k->f, TCP_RST | TCP_ACK, k->f.snd_nxt, NULL, 0, 0);
	k->state = FREE;
	k->ack_due = false;
	k->want = false;
	next(c, k);
}

// The answer is whole.
static void answered(struct client *c, struct client_conn *k)
{
	c->waiting--;
	k->want = false;
	c->done += k->good;
	if (c->measuring && k->good)
		histogram_add(&c->latency, (uint64_t)((double)(c->now - k->intended) * c->ns_per_tick));
	if (k->close || c->conf.per_request) {
		k->state = ENDING;
		return;
	}
	k->state = IDLE;
	next(c, k);
}

static bool looks_alike(const struct likeness *like, const char *data, uint32_t n)
{
	return like->head && n >= like->head && memcmp(data + like->head - 4, "\r\n\r\n", 4) == 0 &&
	       memcmp(data + like->length_at, like->length, like->length_n) == 0;
}

static void data_input(struct client *c, struct client_conn *k, const char *data, uint32_t n)
{
	if (k->state != WAITING) {
		fail(c, k, FAULT_LENGTH);
		return;
	}
	if (!k->in_body) {
		struct head h;

		if (looks_alike(&c->like, data, n))
			h = (struct head){.n = c->like.head,
					  .body = c->like.body,
					  .status = (unsigned)(data[9] - '0') * 100 +
						    (unsigned)(data[10] - '0') * 10 +
						    (unsigned)(data[11] - '0'),
					  .close = false};
		else if (!head_read(data, n, &h, &c->like) || h.status == 0) {
			fail(c, k, FAULT_HEAD);
			return;
		}
		k->close |= h.close;
		k->good = false;
		if (h.status == c->conf.status) {
			k->good = h.body == c->conf.body;
			if (!k->good)
				c->fault[FAULT_LENGTH]++;
		} else if (h.status == 503 || h.status == 429) {
			c->refused++;
		} else {
			c->fault[FAULT_STATUS]++;
		}
		k->in_body = true;
		k->left = h.body;
		data += h.n;
		n -= h.n;
	}
	if (n > k->left) {
		fail(c, k, FAULT_LENGTH);
		return;
	}
	k->left -= n;
	if (k->left == 0)
		answered(c, k);
}

static void end_input(struct client *c, struct client_conn *k)
{
	k->f.rcv_nxt++;
	if (k->state == WAITING) {
		fail(c, k, FAULT_SHORT);
		return;
	}
	link_send(c->link, &k->f, TCP_FIN | TCP_ACK, k->f.snd_nxt, NULL, 0, 0);
	k->state = FREE;
	k->ack_due = false;
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
		fail(c, k, FAULT_RESET);
		return;
	}
	if (k->state == SYN_SENT) {
		if ((s->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK) || s->ack != k->f.snd_nxt)
			return;
		k->f.rcv_nxt = s->seq + 1;
		k->f.snd_una = s->ack;
		k->state = IDLE;
		if (k->want) {
			request_send(c, k);
		} else {
			ack_later(c, k);
			next(c, k);
		}
		return;
	}
	if ((int32_t)(s->ack - k->f.snd_una) > 0 && (int32_t)(s->ack - k->f.snd_nxt) <= 0)
		k->f.snd_una = s->ack;
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

void client_input(struct client *c, struct segment *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t tuple = (rte_be_to_cpu_32(s[i].dst) - c->base) * CLIENT_PORTS +
				 (rte_be_to_cpu_16(s[i].dport) & (CLIENT_PORTS - 1));

		s[i].conn = &c->conn[tuple & (c->slots - 1)];
		s[i].ack = s[i].flags & TCP_ACK ? s[i].ack : 0;
		rte_prefetch0(s[i].conn);
	}
	for (unsigned i = 0; i < n; i++) {
		struct client_conn *k = s[i].conn;

		if (k->state != FREE && k->f.local == s[i].dst && k->f.local_port == s[i].dport &&
		    k->f.remote_port == s[i].sport) {
			conn_input(c, k, &s[i]);
		} else if (s[i].len || s[i].flags & (TCP_SYN | TCP_FIN)) {
			c->stray++;
			link_refuse(c->link, &s[i]);
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
	uint32_t age = c->now_ms - k->touched;

	if (k->state == FREE || k->state == IDLE || age < LOST_MS)
		return;
	if (age > WAIT_MS) {
		fail(c, k, FAULT_TIMEOUT);
		return;
	}
	if (k->f.snd_una == k->f.snd_nxt || age % LOST_MS > 20)
		return;
	c->retransmits++;
	if (k->state == SYN_SENT)
		link_send_syn(c->link, &k->f, TCP_SYN, k->f.snd_una);
	else
		message_send(c->request, c->link, &k->f, k->start, k->f.snd_una, k->f.snd_nxt);
}

bool client_turn(struct client *c)
{
	unsigned sent = 0;

	for (; c->opened_first < c->conf.conns && sent < OPEN_BATCH && !c->stopping;
	     c->opened_first++, sent++) {
		struct client_conn *k = &c->conn[c->opened_first];

		if (c->conf.rate > 0 && c->conf.per_request)
			idle_push(c, k);
		else if (c->conf.rate > 0)
			conn_open(c, k);
		else
			request_start(c, k, c->now);
	}
	if (c->conf.rate > 0 && !c->stopping) {
		if (c->due == 0)
			c->due = (double)c->now;
		while (c->due <= (double)c->now && sent < DUE_BATCH && c->idle_head != c->idle_tail) {
			struct client_conn *k = &c->conn[c->idle[c->idle_head++ & (c->slots - 1)]];

			k->idle = false;
			request_start(c, k, (uint64_t)c->due);
			c->due += c->conf.hz / c->conf.rate;
			sent++;
		}
	}
	return sent;
}

void client_sweep(struct client *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
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
}
