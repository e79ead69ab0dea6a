#include "backend.h"
#include <errno.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <string.h>

#define GATEWAY_PORTS 65536u
#define LOST_MS       300 // doubled each time (RFC 6298 5.5)
#define BACKOFF_MAX   6
#define VERIFY_MASK   15 // of so many bursts, the bodies in one are looked at,
#define SAMPLE        64 // so many bytes of each segment

enum { FREE, OPEN, CLOSED };

struct backend_conn {
	struct flow f;
	uint32_t start;               // seq of the response's first byte
	uint32_t end;                 // and behind its last one
	uint32_t wnd, touched, where; // where: place in the list of active ones
	uint32_t irs;
	uint32_t body, left; // bytes of the request's body, and those of them to come
	uint8_t state;
	bool ack_due;
	bool held; // for the link's sake
	uint8_t backoff;
	uint32_t recover; // what was sent when something got lost
};
_Static_assert(sizeof(struct backend_conn) <= 64, "a connection fits a cache line");

int backend_init(struct backend *b, uint32_t backends, uint16_t port, struct link *l,
		 const struct message *response)
{
	*b = (struct backend){.link = l, .response = response, .n = backends, .port = rte_cpu_to_be_16(port)};
	b->base = rte_be_to_cpu_32(l->address);
	b->conn = rte_zmalloc("conns", (size_t)backends * GATEWAY_PORTS * sizeof(b->conn[0]), 64);
	b->active = rte_zmalloc("active", (size_t)backends * GATEWAY_PORTS * sizeof(b->active[0]), 64);
	b->held_mask = rte_align32pow2(backends) * GATEWAY_PORTS - 1;
	b->held = rte_zmalloc("held", ((size_t)b->held_mask + 1) * sizeof(b->held[0]), 64);
	b->ack = rte_zmalloc("ack", LINK_BURST * sizeof(struct backend_conn *), 64);
	if (!b->conn || !b->active || !b->held || !b->ack) {
		backend_fini(b);
		return -ENOMEM;
	}
	return 0;
}

void backend_fini(struct backend *b)
{
	rte_free(b->conn);
	rte_free(b->active);
	rte_free(b->held);
	rte_free(b->ack);
}

static void ack_later(struct backend *b, struct backend_conn *k)
{
	if (k->ack_due)
		return;
	k->ack_due = true;
	b->ack[b->n_ack++] = k;
}

static void conn_drop(struct backend *b, struct backend_conn *k)
{
	uint32_t last = b->active[--b->n_active];

	b->active[k->where] = last;
	b->conn[last].where = k->where;
	k->state = FREE;
	k->ack_due = false;
}

static void conn_accept(struct backend *b, struct backend_conn *k, const struct segment *s)
{
	bool again = k->state == OPEN && k->irs == s->seq;

	if (!again) {
		uint32_t isn = k->f.snd_nxt + 0x10000;

		if (k->state == FREE) {
			k->where = b->n_active;
			b->active[b->n_active++] = (uint32_t)(k - b->conn);
		}
		*k = (struct backend_conn){
			.where = k->where, .irs = s->seq, .state = OPEN, .touched = b->now_ms, .held = k->held};
		k->f = (struct flow){.local = s->dst,
				     .remote = s->src,
				     .local_port = s->dport,
				     .remote_port = s->sport,
				     .rcv_nxt = s->seq + 1,
				     .snd_una = isn,
				     .snd_nxt = isn + 1};
		k->wnd = s->wnd;
		k->start = k->end = k->recover = isn + 1;
		b->accepted++;
	}
	link_send_syn(b->link, &k->f, TCP_SYN | TCP_ACK, k->f.snd_nxt - 1);
}

// The first segment that is not acknowledged.
static void again(struct backend *b, struct backend_conn *k)
{
	uint32_t n = k->f.snd_nxt - k->f.snd_una;

	b->retransmits++;
	k->touched = b->now_ms;
	message_send(b->response, b->link, &k->f, k->start, k->f.snd_una,
		     k->f.snd_una + (n < LINK_MSS ? n : LINK_MSS));
}

// false: the link has no room for all that the window allows.
static bool response_go_on(struct backend *b, struct backend_conn *k)
{
	uint32_t before = k->f.snd_nxt, edge = k->f.snd_una + k->wnd;

	if (before == k->end)
		return true;
	k->f.snd_nxt = message_send(b->response, b->link, &k->f, k->start, before, edge);
	if (k->f.snd_nxt != before) {
		k->ack_due = false;
		k->touched = b->now_ms;
	}
	return k->f.snd_nxt == k->end || (int32_t)(edge - k->f.snd_nxt) <= 0;
}

// Who cannot go on waits behind those who already do, so that what a connection sends stays together.
static void response_push(struct backend *b, struct backend_conn *k)
{
	if (k->held || (b->held_head == b->held_tail && response_go_on(b, k)))
		return;
	k->held = true;
	b->held[b->held_tail++ & b->held_mask] = (uint32_t)(k - b->conn);
}

bool backend_turn(struct backend *b)
{
	uint32_t head = b->held_head;

	while (b->held_head != b->held_tail && link_room(b->link)) {
		struct backend_conn *k = &b->conn[b->held[b->held_head & b->held_mask]];

		if (k->state == OPEN && !response_go_on(b, k))
			return true;
		k->held = false;
		b->held_head++;
	}
	return b->held_head != head;
}

static void request_end(struct backend *b, struct backend_conn *k)
{
	if (k->f.snd_nxt != k->end) { // pipelined behind an answer that is not out yet
		b->bad_requests++;
		return;
	}
	b->requests++;
	k->start = k->end;
	k->end = k->start + b->response->n;
	response_push(b, k);
}

static bool is_whole_get(const char *data, uint32_t n)
{
	return n > 8 && memcmp(data, "GET ", 4) == 0 && memcmp(data + n - 4, "\r\n\r\n", 4) == 0;
}

// Bodies are those of message_make(), whoever sends them.
static bool is_sound(const struct backend *b, const struct backend_conn *k, const char *data, uint32_t n)
{
	return (b->bursts & VERIFY_MASK) || message_is(data, RTE_MIN(n, SAMPLE), k->body - k->left);
}

static void data_input(struct backend *b, struct backend_conn *k, const char *data, uint32_t n)
{
	while (n) {
		uint32_t take;

		if (k->left == 0) {
			// A head comes whole, and usually it is all.
			struct head h = {.n = n};

			if ((!is_whole_get(data, n) && !head_read(data, n, &h, NULL)) || h.body > UINT32_MAX) {
				b->bad_requests++;
				return;
			}
			data += h.n;
			n -= h.n;
			k->body = k->left = (uint32_t)h.body;
		}
		take = RTE_MIN(n, k->left);
		b->bad_requests += !is_sound(b, k, data, take);
		k->left -= take;
		data += take;
		n -= take;
		if (k->left == 0)
			request_end(b, k);
	}
}

static void conn_input(struct backend *b, struct backend_conn *k, const struct segment *s)
{
	if (s->flags & TCP_RST) {
		b->resets++;
		conn_drop(b, k);
		return;
	}
	k->wnd = s->wnd;
	if ((int32_t)(s->ack - k->f.snd_una) > 0 && (int32_t)(s->ack - k->f.snd_nxt) <= 0) {
		k->f.snd_una = s->ack;
		k->touched = b->now_ms;
		k->backoff = 0;
		if ((int32_t)(k->f.snd_una - k->recover) < 0) // the next one is missing, too (RFC 6582)
			again(b, k);
		else
			response_push(b, k);
	} else if ((int32_t)(k->f.snd_una - k->recover) >= 0) {
		response_push(b, k); // nothing new is acknowledged, but the window may be wider
	}
	if (k->state == CLOSED && s->ack == k->f.snd_nxt && !(s->flags & TCP_FIN)) {
		conn_drop(b, k);
		return;
	}
	if (s->seq != k->f.rcv_nxt) {
		if (s->len || s->flags & TCP_FIN) {
			b->out_of_order++;
			ack_later(b, k);
		}
		return;
	}
	if (s->len) {
		k->f.rcv_nxt += s->len;
		ack_later(b, k);
		data_input(b, k, s->data, s->len);
	}
	if (s->flags & TCP_FIN) {
		k->f.rcv_nxt++;
		k->ack_due = false;
		k->state = CLOSED;
		link_send(b->link, &k->f, TCP_FIN | TCP_ACK, k->f.snd_nxt++, NULL, 0, 0);
	}
}

void backend_input(struct backend *b, struct segment *s, unsigned n, uint32_t ms)
{
	b->now_ms = ms;
	b->bursts++;
	for (unsigned i = 0; i < n; i++) {
		uint32_t which = rte_be_to_cpu_32(s[i].dst) - b->base;

		s[i].conn = which < b->n && s[i].dport == b->port
				    ? &b->conn[which * GATEWAY_PORTS + rte_be_to_cpu_16(s[i].sport)]
				    : NULL;
		rte_prefetch0(s[i].conn);
	}
	for (unsigned i = 0; i < n; i++) {
		struct backend_conn *k = s[i].conn;

		if (k && (s[i].flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			conn_accept(b, k, &s[i]);
		else if (k && k->state != FREE)
			conn_input(b, k, &s[i]);
		else
			link_refuse(b->link, &s[i]);
	}
	for (uint32_t i = 0; i < b->n_ack; i++)
		if (b->ack[i]->ack_due) {
			b->ack[i]->ack_due = false;
			link_send(b->link, &b->ack[i]->f, TCP_ACK, b->ack[i]->f.snd_nxt, NULL, 0, 0);
		}
	b->n_ack = 0;
}

// What was not acknowledged for long is sent again, a segment at a time.
void backend_sweep(struct backend *b, unsigned n)
{
	for (unsigned i = 0; i < n && b->n_active; i++) {
		struct backend_conn *k = &b->conn[b->active[b->sweep++ % b->n_active]];

		if (k->state != OPEN || k->f.snd_una == k->f.snd_nxt ||
		    b->now_ms - k->touched < (uint32_t)LOST_MS << k->backoff)
			continue;
		if (k->backoff < BACKOFF_MAX)
			k->backoff++;
		if ((int32_t)(k->f.snd_una - k->start) < 0) {
			b->retransmits++;
			k->touched = b->now_ms;
			link_send_syn(b->link, &k->f, TCP_SYN | TCP_ACK, k->f.snd_una);
		} else {
			k->recover = k->f.snd_nxt;
			again(b, k);
		}
	}
}
