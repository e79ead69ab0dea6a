#include "hostile.h"
#include "message.h"
#include <errno.h>
#include <rte_byteorder.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <string.h>

#define BATCH     64     // acts in one turn
#define FLUSHES   100000 // of a link that takes nothing
#define SLOTS     HOSTILES_MAX
#define PORTS     32768u // of each address, from 1024 on
#define AGAIN_MS  1000   // until a SYN is sent again
#define SPLIT_MSS 128u
#define ISN_STEP  65536u
#define HOLES_MAX 16000u // bytes before and behind which another one is missing

enum { FREE, SYN_SENT, OPEN };

struct hostile_conn {
	struct flow f;
	uint32_t tuple; // slot in the low bits
	uint32_t start; // seq of the first byte sent
	uint32_t edge;  // up to which the peer may send
	uint32_t high;  // behind the last byte that it has sent
	uint32_t steps, touched;
	uint8_t state;
};

static const char *const names[HOSTILE_KINDS] = {
	[HOSTILE_NONE] = "none",   [SLOW_READ] = "slow_read",   [ZERO_WINDOW] = "zero_window",
	[ONE_BYTE] = "one_byte",   [SACK_SPLIT] = "sack_split", [OUT_OF_ORDER] = "out_of_order",
	[SLOW_HEAD] = "slow_head", [SLOW_BODY] = "slow_body"};

enum hostile_kind hostile_kind(const char *name)
{
	for (unsigned i = 1; i < HOSTILE_KINDS; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum hostile_kind)i;
	return HOSTILE_NONE;
}

int hostile_init(struct hostile *h, const struct hostile_conf *conf, struct link *l)
{
	*h = (struct hostile){.conf = *conf, .link = l};
	h->conn = rte_zmalloc("hostile", SLOTS * sizeof(h->conn[0]), 64);
	if (!h->conn)
		return -ENOMEM;
	for (uint32_t i = 0; i < SLOTS; i++)
		h->conn[i].tuple = i;
	return 0;
}

void hostile_start(struct hostile *h, uint64_t now, enum hostile_kind kind, unsigned n, double acts)
{
	static const char get[] = "GET %s HTTP/1.1\r\nHost: perf.test\r\n\r\n";

	h->kind = kind;
	h->n = n;
	schedule_start(&h->due, now, h->conf.hz, kind == HOSTILE_NONE ? 0 : acts);
	if (kind == SLOW_HEAD)
		snprintf(h->text, sizeof(h->text), "GET %s HTTP/1.1\r\nHost: perf.test\r\n", h->conf.large);
	else if (kind == SLOW_BODY)
		snprintf(h->text, sizeof(h->text),
			 "POST %s HTTP/1.1\r\nHost: perf.test\r\nContent-Length: 1000000\r\n\r\n",
			 h->conf.sink);
	else
		snprintf(h->text, sizeof(h->text), get, kind == ONE_BYTE ? h->conf.path : h->conf.large);
	h->text_n = (uint32_t)strlen(h->text);
}

void hostile_stop(struct hostile *h)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct hostile_conn *k = &h->conn[i];

		if (k->state == FREE)
			continue;
		link_send(h->link, &k->f, TCP_RST | TCP_ACK, k->f.snd_nxt, NULL, 0, 0);
		k->state = FREE;
		for (unsigned n = 0; n < FLUSHES && h->link->n_tx >= LINK_FULL; n++)
			link_flush(h->link);
	}
	h->open = 0;
	h->kind = HOSTILE_NONE;
	h->due.step = 0;
}

static uint16_t window(const struct hostile *h, const struct hostile_conn *k)
{
	uint32_t room = k->edge - k->f.rcv_nxt;

	if (h->kind != SLOW_READ && h->kind != ZERO_WINDOW)
		return UINT16_MAX;
	return (uint16_t)((int32_t)room < 0 ? 0 : room > UINT16_MAX ? UINT16_MAX : room);
}

static void ack(struct hostile *h, struct hostile_conn *k)
{
	link_send_options(h->link, &k->f, TCP_ACK, k->f.snd_nxt, window(h, k), NULL, 0, NULL, 0);
}

static void say(struct hostile *h, struct hostile_conn *k, uint32_t seq, const char *data, uint32_t n)
{
	link_send_options(h->link, &k->f, TCP_ACK | TCP_PSH, seq, window(h, k), NULL, 0, data, n);
}

static void conn_open(struct hostile *h, struct hostile_conn *k)
{
	uint8_t options[8] = {2, 4, LINK_MSS >> 8, LINK_MSS & 255, 4, 2, 1, 1}; // MSS, SACK permitted
	uint16_t wnd = h->kind == SLOW_READ || h->kind == ZERO_WINDOW ? LINK_MSS : UINT16_MAX;

	if (h->kind == SACK_SPLIT) {
		options[2] = SPLIT_MSS >> 8;
		options[3] = SPLIT_MSS & 255;
	}
	if (k->state == FREE) { // from a port that was not used for long
		k->tuple += SLOTS;
		if (k->tuple >= PORTS * HOSTILE_ADDRESSES)
			k->tuple &= SLOTS - 1;
		h->opened++;
		h->isn += ISN_STEP;
	}
	k->f = (struct flow){
		.local = rte_cpu_to_be_32(h->conf.base + k->tuple % HOSTILE_ADDRESSES),
		.local_port = rte_cpu_to_be_16((uint16_t)(1024 + k->tuple / HOSTILE_ADDRESSES)),
		.remote = h->conf.server,
		.remote_port = rte_cpu_to_be_16(h->conf.port),
		.snd_una = h->isn,
		.snd_nxt = h->isn + 1,
	};
	k->start = k->f.snd_nxt;
	k->steps = 0;
	k->touched = h->now_ms;
	k->state = SYN_SENT;
	link_send_options(h->link, &k->f, TCP_SYN, k->f.snd_una, wnd, options, sizeof(options), NULL, 0);
}

static void established(struct hostile *h, struct hostile_conn *k, const struct segment *s)
{
	k->state = OPEN;
	k->f.rcv_nxt = k->high = s->seq + 1;
	k->edge = k->f.rcv_nxt + LINK_MSS;
	k->f.snd_una = s->ack;
	h->established++;
	h->open++;
	if (h->kind == ONE_BYTE || h->kind == OUT_OF_ORDER) {
		ack(h, k);
		return;
	}
	say(h, k, k->f.snd_nxt, h->text, h->text_n);
	k->f.snd_nxt += h->text_n;
}

// Ranges of one byte and of one segment in turn, with gaps between them, so that the peer's queue is cut up.
// Now and then a little is acknowledged, which keeps the peer sending.
static void split(struct hostile *h, struct hostile_conn *k)
{
	uint8_t options[28] = {1, 1, 5, 26};
	uint32_t have = k->high - k->f.rcv_nxt, step = k->steps++, n = step & 1 ? 1 : SPLIT_MSS - 1;

	if (have < 8 * SPLIT_MSS) {
		ack(h, k);
		return;
	}
	if (step % 16 == 15)
		k->f.rcv_nxt += SPLIT_MSS;
	for (unsigned i = 0; i < 3; i++) {
		uint32_t at = 1 + (step * 3 + i) * 2 * SPLIT_MSS % (have - 2 * SPLIT_MSS);
		uint32_t lo = rte_cpu_to_be_32(k->f.rcv_nxt + at), hi = rte_cpu_to_be_32(k->f.rcv_nxt + at + n);

		memcpy(options + 4 + 8 * i, &lo, 4);
		memcpy(options + 8 + 8 * i, &hi, 4);
	}
	link_send_options(h->link, &k->f, TCP_ACK, k->f.snd_nxt, UINT16_MAX, options, sizeof(options), NULL, 0);
}

static void act(struct hostile *h, struct hostile_conn *k)
{
	static const char field[] = "X-Slow: 1\r\n";
	char of_body;

	h->acted++;
	switch (h->kind) {
	case SLOW_READ:
		if ((int32_t)(k->edge - k->f.rcv_nxt) < (int32_t)LINK_MSS)
			k->edge = k->f.rcv_nxt + LINK_MSS;
		ack(h, k);
		break;
	case ONE_BYTE:
		if (k->f.snd_nxt - k->f.snd_una > 2 * h->text_n) // lost
			k->f.snd_nxt = k->f.snd_una;
		say(h, k, k->f.snd_nxt, h->text + (k->f.snd_nxt - k->start) % h->text_n, 1);
		k->f.snd_nxt++;
		break;
	case SACK_SPLIT:
		split(h, k);
		break;
	case OUT_OF_ORDER:
		say(h, k, k->f.snd_nxt + 1 + 2 * (k->steps++ % HOLES_MAX), "x", 1);
		break;
	case SLOW_HEAD:
		say(h, k, k->f.snd_nxt++, &field[k->steps++ % (sizeof(field) - 1)], 1);
		break;
	case SLOW_BODY:
		of_body = message_byte(k->f.snd_nxt - k->start - h->text_n); // backends look at it
		say(h, k, k->f.snd_nxt++, &of_body, 1);
		break;
	default:
		break;
	}
}

bool hostile_turn(struct hostile *h, uint64_t now, uint32_t ms)
{
	unsigned n = 0;

	h->now_ms = ms;
	for (; n < BATCH && link_room(h->link) && schedule_due(&h->due, now); n++) {
		struct hostile_conn *k = &h->conn[h->cursor];

		h->cursor = h->cursor + 1 < h->n ? h->cursor + 1 : 0;
		(void)schedule_take(&h->due);
		if (k->state == OPEN)
			act(h, k);
		else if (k->state == FREE || ms - k->touched > AGAIN_MS)
			conn_open(h, k);
	}
	return n;
}

static void over(struct hostile *h, struct hostile_conn *k, uint64_t *counter)
{
	(*counter)++;
	h->open -= k->state == OPEN;
	k->state = FREE;
}

static void data_input(struct hostile *h, struct hostile_conn *k, const struct segment *s)
{
	if ((int32_t)(s->seq + s->len - k->high) > 0)
		k->high = s->seq + s->len;
	if (h->kind == SACK_SPLIT) { // acknowledged when its turn comes
		bool first = k->steps == 0 && s->seq == k->f.rcv_nxt;

		h->answers += first && s->len > 12 && memcmp(s->data, "HTTP/1.1 200", 12) == 0;
		k->steps += first;
		return;
	}
	if (s->seq == k->f.rcv_nxt && (int32_t)(s->seq + s->len - k->edge) <= 0) {
		k->f.rcv_nxt += s->len;
		h->bytes += s->len;
		h->answers += s->len > 12 && memcmp(s->data, "HTTP/1.1 200", 12) == 0;
	}
	if (h->kind != SLOW_READ && h->kind != ZERO_WINDOW)
		k->edge = k->f.rcv_nxt + UINT16_MAX;
	ack(h, k);
}

void hostile_input(struct hostile *h, const struct segment *s)
{
	uint32_t port = (uint32_t)rte_be_to_cpu_16(s->dport) - 1024;
	uint32_t tuple = port * HOSTILE_ADDRESSES + (rte_be_to_cpu_32(s->dst) - h->conf.base);
	struct hostile_conn *k = &h->conn[tuple & (SLOTS - 1)];

	if (k->state == FREE || k->f.local != s->dst || k->f.local_port != s->dport) {
		// All but the acknowledgement of a FIN: what it did not know to be over is over now.
		if (s->len || s->flags & (TCP_SYN | TCP_FIN) || s->ack != k->f.snd_nxt + 1)
			link_refuse(h->link, s);
		return;
	}
	if (s->flags & TCP_RST) {
		over(h, k, &h->reset);
		return;
	}
	if (k->state == SYN_SENT) {
		if ((s->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) && s->ack == k->f.snd_nxt)
			established(h, k, s);
		return;
	}
	if ((int32_t)(s->ack - k->f.snd_una) > 0 && (int32_t)(s->ack - k->f.snd_nxt) <= 0)
		k->f.snd_una = s->ack;
	if (s->len)
		data_input(h, k, s);
	else if (s->flags & TCP_SYN || (int32_t)(s->seq - k->f.rcv_nxt) < 0) // a SYN-ACK again, or a probe
		ack(h, k);
	if (s->flags & TCP_FIN && s->seq + s->len == k->f.rcv_nxt) {
		k->f.rcv_nxt++;
		link_send(h->link, &k->f, TCP_FIN | TCP_ACK, k->f.snd_nxt, NULL, 0, 0);
		over(h, k, &h->ended);
	}
}
