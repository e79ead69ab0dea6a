// The backends' host. What each request is answered with stands in its path: /<upstream>/<id>.
#include "sim/rough.h"
#include <stdio.h>
#include <stdlib.h>

#define LATER    300 // ms, at most, until an unasked answer comes
#define TICK(ns) ((ns) & ~((1ull << 20) - 1))

static const char poison[] = "HTTP/1.1 200 OK\r\nX-Id: 999999\r\nContent-Length: 6\r\n\r\npoison";

size_t rough_peek(struct tcp_conn *c, char *buf, size_t room)
{
	size_t n = 0;

	for (struct pkt *p = tcp_recv_peek(c); p && n < room; p = tcp_recv_peek_next(p)) {
		size_t part = pkt_len(p) < room - n ? pkt_len(p) : room - n;

		memcpy(buf + n, pkt_data(p), part);
		n += part;
	}
	return n;
}

bool rough_send(struct tcp_conn *c, uint32_t id, uint32_t *at, uint32_t to, bool chunked)
{
	while (*at < to) {
		char buf[1500];
		uint32_t n = 1 + (id * 7 + *at) % 1400;
		int k = 0;

		if (tcp_send_space(c) == 0)
			return false;
		n = n < to - *at ? n : to - *at;
		if (chunked)
			k = snprintf(buf, 16, "%x\r\n", n);
		for (uint32_t i = 0; i < n; i++)
			buf[k + (int)i] = (char)rough_byte(id, *at + i);
		k += (int)n;
		if (chunked) {
			memcpy(buf + k, "\r\n", 2);
			k += 2;
		}
		if (tcp_send_copy(c, buf, (uint32_t)k) != 0)
			abort(); // the pool of the hosts is sized so that this cannot be
		*at += n;
	}
	return true;
}

bool rough_take(struct tcp_conn *c, struct http_body *b, uint32_t id, uint32_t *got, uint32_t max)
{
	struct pkt *p;

	while (max && !http_body_done(b) && (p = tcp_recv_peek(c))) {
		size_t skip, run;

		if (http_body_next(b, pkt_data(p), pkt_len(p) < max ? pkt_len(p) : max, &skip, &run) !=
		    FAULT_NONE)
			return false;
		for (size_t i = 0; i < run; i++)
			if ((unsigned char)pkt_data(p)[skip + i] != rough_byte(id, (*got)++))
				return false;
		tcp_recv_skip(c, (uint32_t)(skip + run));
		max -= (uint32_t)run < max ? (uint32_t)run : max;
	}
	return true;
}

static void backend_gone(struct backend *b)
{
	b->c = NULL;
	b->next = b->sim->free_backend;
	b->sim->free_backend = b;
}

static void put(struct backend *b, const char *text, size_t n)
{
	if (tcp_send_copy(b->c, text, (uint32_t)n) != 0)
		abort();
}

static void put_text(struct backend *b, const char *text)
{
	put(b, text, strlen(text));
}

// False: the connection has ended.
static bool backend_head(struct backend *b, const struct ask *a)
{
	char text[9000];
	size_t n = 0;

	switch (a->mode) {
	case MODE_RESET:
		tcp_abort(b->c);
		backend_gone(b);
		return false;
	case MODE_END:
		tcp_close(b->c);
		backend_gone(b);
		return false;
	case MODE_STALL:
		b->stalled = true;
		return true;
	case MODE_GARBAGE:
		put_text(b, "SSH-2.0-what is this\r\n\r\n");
		b->stalled = true;
		return true;
	case MODE_LONG_HEAD:
		memset(text, 'a', sizeof(text));
		memcpy(text, "HTTP/1.1 200 OK\r\nX-Long: ", 25);
		put(b, text, sizeof(text));
		put(b, text + 25, sizeof(text) - 25);
		b->stalled = true;
		return true;
	case MODE_CUT_HEAD:
		put_text(b, "HTTP/1.1 200 OK\r\nContent-Le");
		tcp_close(b->c);
		backend_gone(b);
		return false;
	case MODE_SWITCH:
		put_text(b, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
		b->stalled = true;
		return true;
	case MODE_INTERIM:
		put_text(b, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
		break;
	default:
		break;
	}
	n = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nX-Id: %u\r\n",
			     a->mode == MODE_EMPTY       ? "204 No Content"
			     : a->mode == MODE_UNCHANGED ? "304 Not Modified"
							 : "200 OK",
			     b->id);
	if (a->mode == MODE_CHUNKED || a->mode == MODE_CUT_CHUNKED || a->mode == MODE_BAD_CHUNK)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Transfer-Encoding: chunked\r\n");
	else if (a->mode != MODE_EMPTY && a->mode != MODE_UNTIL_CLOSE)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Content-Length: %u\r\n", a->size);
	if (a->mode == MODE_LAST || a->mode == MODE_EARLY_LAST)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Connection: close\r\n");
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
	put(b, text, n);
	b->head_sent = true;
	return true;
}

// The answer is complete. False: the connection has ended.
static bool backend_answered(struct backend *b, const struct ask *a)
{
	struct sim *s = b->sim;

	b->answering = b->head_sent = false;
	switch (a->mode) {
	case MODE_UNTIL_CLOSE:
	case MODE_LAST:
	case MODE_LEAVES:
	case MODE_EARLY_LAST:
		tcp_close(b->c);
		backend_gone(b);
		return false;
	case MODE_EXTRA:
		put(b, poison, sizeof(poison) - 1);
		b->poisoned = s->now;
		break;
	case MODE_LATER:
		b->poison_at = s->now + (2 + random_below(&s->random, LATER)) * MS;
		break;
	default:
		if (random_below(&s->random, 5) == 0) // tired of waiting some time
			b->close_at = s->now + random_below(&s->random, 1500) * MS;
	}
	return true;
}

// False: the connection has ended.
static bool backend_answer(struct backend *b)
{
	const struct ask *a = &b->sim->ask[b->id];
	bool bodiless = a->method == METHOD_HEAD || a->mode == MODE_EMPTY || a->mode == MODE_UNCHANGED;
	bool chunked = a->mode == MODE_CHUNKED || a->mode == MODE_CUT_CHUNKED || a->mode == MODE_BAD_CHUNK;
	bool cut = a->mode == MODE_CUT || a->mode == MODE_CUT_RESET || a->mode == MODE_CUT_CHUNKED ||
		   a->mode == MODE_STALL_BODY || a->mode == MODE_BAD_CHUNK;
	uint32_t to = bodiless ? 0 : cut ? a->size / 2 : a->size;

	if (b->stalled)
		return true;
	if (!b->head_sent && !backend_head(b, a))
		return false;
	if (b->stalled)
		return true;
	if (a->mode == MODE_SLOW && b->at + 3000 < to)
		to = b->at + 1 + random_below(&b->sim->random, 3000);
	if (!rough_send(b->c, b->id, &b->at, to, chunked))
		return true;
	if (!bodiless && a->mode == MODE_SLOW && b->at < a->size)
		return true;
	if (bodiless || !cut) {
		if (chunked && !bodiless)
			put_text(b, "0\r\n\r\n");
		return backend_answered(b, a);
	}
	if (a->mode == MODE_STALL_BODY || a->mode == MODE_BAD_CHUNK) {
		if (a->mode == MODE_BAD_CHUNK)
			put_text(b, "zz\r\n");
		b->stalled = true;
		return true;
	}
	if (a->mode == MODE_CUT_RESET)
		tcp_abort(b->c);
	else
		tcp_close(b->c);
	backend_gone(b);
	return false;
}

// A request on a connection over which something was said unasked: had the gateway seen that when it sent the
// request?
static void backend_tainted(struct backend *b, struct ask *a)
{
	struct sim *s = b->sim;
	uint64_t delay = s->link.impair.delay;

	if (!b->poisoned)
		return;
	a->tainted = true;
	if (b->prompt && s->link.impair.loss + s->link.impair.duplicate + s->link.impair.reorder == 0 &&
	    !s->short_of_buffers && s->now >= b->poisoned + 2 * delay)
		violate(s, "a connection that spoke unasked carries another request");
	b->prompt = false; // from here on answers and requests have slipped
}

static bool backend_request(struct backend *b)
{
	struct sim *s = b->sim;
	struct http_head h = {0};
	size_t have = rough_peek(b->c, b->head, sizeof(b->head));
	int used = have ? http_parse_request(b->head, have, sizeof(b->head), &h) : HTTP_MORE;
	const char *slash;
	struct ask *a;

	if (used == HTTP_MORE) {
		tcp_recv_await(b->c, sizeof(b->head));
		return false;
	}
	slash = used < 0 ? NULL : memchr(h.path.p + 1, '/', h.path.n - 1);
	b->id = slash ? (uint32_t)strtoul(slash + 1, NULL, 10) : CLIENTS * ASKS_MAX;
	if (b->id >= CLIENTS * ASKS_MAX) {
		violate(s, "a backend got a malformed request");
		return false;
	}
	a = &s->ask[b->id];
	tcp_recv_skip(b->c, (uint32_t)used);
	http_body_init(&b->body, h.framing, h.length);
	b->minor = h.minor;
	b->got = b->at = 0;
	b->in_body = true;
	b->early = b->answering = a->mode == MODE_EARLY || a->mode == MODE_EARLY_LAST;
	b->head_sent = false;
	b->close_at = 0;
	if (h.method != a->method || (h.method == METHOD_POST && h.framing == FRAMING_NONE && a->body))
		violate(s, "a request has changed on its way");
	if (a->sane == b->rough)
		violate(s, "a request came to the wrong upstream");
	if (++a->arrived > 1 && a->method == METHOD_POST)
		violate(s, "a POST was sent twice");
	if (h.expect_continue)
		put_text(b, "HTTP/1.1 100 Continue\r\n\r\n");
	backend_tainted(b, a);
	return true;
}

static void backend_go(struct backend *b)
{
	while (b->c) {
		const struct ask *a;

		if (!b->in_body && !b->answering && !backend_request(b))
			return;
		a = &b->sim->ask[b->id];
		if (b->in_body) {
			if (b->answering && !backend_answer(b)) // early
				return;
			if (!rough_take(b->c, &b->body, b->id, &b->got,
					a->mode == MODE_SLOW ? 700 : UINT32_MAX)) {
				violate(b->sim, "a request body is wrong");
				return;
			}
			if (!http_body_done(&b->body))
				return;
			if (b->got != a->body)
				violate(b->sim, "a request body has the wrong length");
			b->in_body = false;
			if (b->early && !b->answering)
				continue;
			b->answering = true;
		}
		if (!backend_answer(b) || b->answering)
			return;
	}
}

static void backend_tick(struct backend *b)
{
	struct sim *s = b->sim;

	if (b->poison_at && (s->now >= b->poison_at || s->now == s->asked) && !b->in_body && !b->answering) {
		b->poison_at = 0;
		if (tcp_recv_len(b->c) == 0 && tcp_send_queued(b->c) == 0) {
			put(b, poison, sizeof(poison) - 1);
			b->prompt = !b->poisoned;
			b->poisoned = s->now;
		}
	}
	if (b->close_at && (s->now >= b->close_at || s->now == s->asked) && !b->in_body && !b->answering &&
	    tcp_send_queued(b->c) == 0) {
		if (random_below(&s->random, 2))
			tcp_close(b->c);
		else
			tcp_abort(b->c);
		backend_gone(b);
		return;
	}
	tcp_set_timer(b->c, TICK(s->now) + ((b->poison_at || b->close_at ? 1ull : 4ull) << 20));
}

static void backend_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct sim *s = ctx;
	struct backend *b = user;

	if (events & EV_OPEN) {
		struct tcp_info info;

		b = s->free_backend;
		if (!b) {
			violate(s, "more upstream connections than there may be");
			tcp_abort(c);
			return;
		}
		s->free_backend = b->next;
		*b = (struct backend){.sim = s, .c = c};
		tcp_get_info(c, &info);
		b->rough = info.local_port < 9000;
		tcp_set_user(c, b);
		tcp_set_timer(c, TICK(s->now) + (4ull << 20));
	}
	if (events & EV_ERROR) {
		tcp_close(c);
		backend_gone(b);
		return;
	}
	backend_go(b);
	if (b->c && tcp_recv_eof(c) && (!b->answering || b->stalled)) {
		tcp_close(c);
		backend_gone(b);
		return;
	}
	if (b->c && (events & EV_TIMER))
		backend_tick(b);
}

bool backend_listen(void *ctx, uint16_t port, struct addr local, uint16_t local_port, struct tcp_accept *out)
{
	const struct sim *s = ctx;
	(void)port;
	(void)local;

	*out = (struct tcp_accept){.on_event = backend_event, .ctx = ctx};
	if (local_port == 9000 || local_port == 9001)
		return true;
	return local_port >= 8080 && local_port < 8080 + ROUGH_PORTS &&
	       !(s->refusing >> (local_port - 8080) & 1);
}
