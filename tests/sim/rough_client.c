// The clients' host: each connection asks a few times, in a manner of its own.
#include "sim/rough.h"
#include <stdio.h>
#include <stdlib.h>

static void client_over(struct client *k)
{
	k->c = NULL;
	k->done = true;
	k->sim->running--;
}

static struct ask *ask_of(const struct client *k, uint32_t i)
{
	return &k->sim->ask[k->first + i];
}

static void complain(const struct client *k, const char *what)
{
	if (k->sim->violation)
		return;
	violate(k->sim, what);
	struct tcp_info info = {0};

	tcp_get_info(k->c, &info);
	printf("  client %u from port %u, manner %d, at its ask %u: status %u, %.150s\n", k->first / ASKS_MAX,
	       info.local_port, k->manner, k->await, k->status, k->head);
	for (uint32_t i = 0; i < k->n; i++) {
		const struct ask *a = ask_of(k, i);

		printf("    %u: mode %d%s, method %d, size %u, body %u, arrived %u%s\n", k->first + i, a->mode,
		       a->sane ? ", sane" : "", a->method, a->size, a->body, a->arrived,
		       a->tainted ? ", tainted" : "");
	}
}

// Nothing but the right answer will do.
static bool strict(const struct client *k, const struct ask *a)
{
	const struct sim *s = k->sim;

	return k->manner < CIVIL && a->sane && a->method != METHOD_POST && !s->scarce && !s->short_of_buffers &&
	       s->now < s->drain_at;
}

// The connection has ended while answers were due.
static void client_cut(struct client *k)
{
	if (k->await >= k->sending || k->last_answer)
		return;
	k->sim->tally.n[TALLY_CUT]++;
	if (strict(k, ask_of(k, k->await)))
		complain(k, "a connection was cut without need");
}

static void head_make(struct client *k)
{
	struct sim *s = k->sim;
	const struct ask *a = ask_of(k, k->sending);
	uint32_t id = k->first + k->sending;
	char *at = k->out;
	size_t room = sizeof(k->out);
	size_t n;

	k->head_made = true;
	k->out_at = k->body_at = 0;
	k->continued = false;
	s->tally.n[TALLY_ASKED]++;
	if (k->manner == GARBAGE) {
		static const char *const wrong[] = {
			"GET /sane/1\r\n\r\n",
			"GET / HTTP/1.1\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: "
			"chunked\r\n\r\n0\r\n\r\n",
			"\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
			"GET /sane/1 HTTP/1.1\nHost: a\n\n",
		};
		uint32_t pick = random_below(&s->random, 7);

		if (pick < 6) {
			k->out_n = (uint32_t)snprintf(k->out, room, "%s", wrong[pick]);
		} else {
			memset(k->out, 'a', room);
			memcpy(k->out, "GET /", 5);
			k->out_n = (uint32_t)room;
		}
		return;
	}
	n = (size_t)snprintf(at, room, "%s /%s/%u HTTP/1.%u\r\nHost: sim\r\n",
			     a->method == METHOD_POST   ? "POST"
			     : a->method == METHOD_HEAD ? "HEAD"
							: "GET",
			     a->sane ? "sane" : "rough", id, k->minor);
	if (a->method == METHOD_POST)
		n += (size_t)(a->chunked ? snprintf(at + n, room - n, "Transfer-Encoding: chunked\r\n")
					 : snprintf(at + n, room - n, "Content-Length: %u\r\n", a->body));
	if (a->expect)
		n += (size_t)snprintf(at + n, room - n, "Expect: 100-continue\r\n");
	if (k->minor == 0 && k->keep_alive)
		n += (size_t)snprintf(at + n, room - n, "Connection: keep-alive\r\n");
	if (k->minor == 1 && k->sending + 1 == k->n && id % 3 == 0)
		n += (size_t)snprintf(at + n, room - n, "Connection: close\r\n");
	if (a->pad) {
		n += (size_t)snprintf(at + n, room - n, "X-Pad: ");
		memset(at + n, 'p', a->pad);
		n += a->pad;
		n += (size_t)snprintf(at + n, room - n, "\r\n");
	}
	n += (size_t)snprintf(at + n, room - n, "\r\n");
	k->out_n = (uint32_t)n;
}

// Sends what may be sent now.
static void client_push(struct client *k)
{
	struct sim *s = k->sim;
	uint32_t depth = k->manner == PIPELINE || k->manner == NO_READ ? ASKS_MAX : 1;

	while (!k->ended && k->sending < k->n && k->sending < k->await + depth) {
		const struct ask *a = ask_of(k, k->sending);
		uint32_t n, to = a->body;

		if (s->now < k->think_until || tcp_send_space(k->c) == 0)
			return;
		if (!k->head_made)
			head_make(k);
		n = k->out_n - k->out_at;
		if (n && k->manner == TRICKLE)
			n = 1;
		if (k->manner == STALL_HEAD && k->out_at + n >= k->out_n)
			n = k->out_at < k->out_n / 2 ? k->out_n / 2 - k->out_at : 0;
		if (n && tcp_send_copy(k->c, k->out + k->out_at, n) != 0)
			abort();
		k->out_at += n;
		if (k->out_at < k->out_n)
			return;
		if (n)
			s->asked = s->now;
		if (k->manner == GARBAGE)
			to = 0;
		if (a->expect && !k->continued && k->manner != GARBAGE)
			return;
		if (k->manner == STALL_BODY)
			to /= 2;
		if (k->manner == TRICKLE && to > k->body_at + 7)
			to = k->body_at + 1 + random_below(&s->random, 7);
		if (!rough_send(k->c, k->first + k->sending, &k->body_at, to, a->chunked) ||
		    (k->body_at < a->body && k->manner != GARBAGE))
			return;
		if (a->chunked && k->manner != GARBAGE && tcp_send_copy(k->c, "0\r\n\r\n", 5) != 0)
			abort();
		k->sending++;
		k->head_made = false;
		if (k->manner == HALF_CLOSE && k->sending == k->n) {
			k->ended = true;
			tcp_shutdown(k->c);
		}
	}
}

static void client_answered(struct client *k)
{
	struct sim *s = k->sim;
	const struct ask *a = ask_of(k, k->await);
	bool bodiless = a->method == METHOD_HEAD || a->mode == MODE_EMPTY || a->mode == MODE_UNCHANGED;

	k->in_body = false;
	if (k->ours) {
		s->tally.n[TALLY_ERROR]++;
		if (k->got && (strncmp(k->error, "{\"error\":\"", 10) != 0 || k->error[k->got - 1] != '\n'))
			complain(k, "an error is not as errors are");
	} else if (!a->tainted) {
		s->tally.n[TALLY_RIGHT]++;
		if (k->got != (bodiless ? 0 : a->size))
			complain(k, "an answer has the wrong length");
	}
	if (k->await == k->sending) { // answered before all of it was sent
		k->ended = true;
		k->head_made = false;
		k->sending++;
	}
	k->await++;
	k->think_until = s->now + (random_below(&s->random, 2) ? 0 : random_below(&s->random, 900) * MS);
}

// A head has come. False: it is none that we could have got.
static bool client_head(struct client *k, struct http_head *h)
{
	struct sim *s = k->sim;
	const struct ask *a = ask_of(k, k->await < k->n ? k->await : k->n - 1);
	struct http_field *f = http_find(h, SLICE("x-id"));
	uint32_t id;

	k->ours = !f;
	k->status = h->status;
	k->got = 0;
	if (!h->keep_alive)
		k->last_answer = true;
	if (k->ours) {
		struct http_field *server = http_find(h, SLICE("server"));

		if (h->status < 400 || !server || !slice_eq(server->value, SLICE("churchgate"))) {
			complain(k, "an answer that nobody gave");
			return false;
		}
		if (strict(k, a) && k->manner != GARBAGE) {
			complain(k, "an error where all was well");
			return false;
		}
		return true;
	}
	if (a->tainted)
		return true;
	id = (uint32_t)strtoul(f->value.p, NULL, 10);
	if (id < CLIENTS * ASKS_MAX ? s->ask[id].tainted
				    : s->link.impair.loss + s->link.impair.duplicate + s->link.impair.reorder >
					      0) { // and so is what comes behind it on that connection
		s->ask[k->first + k->await].tainted = true;
		return true;
	}
	if (k->manner == GARBAGE || id != k->first + k->await) {
		complain(k, "an answer to another request");
		return false;
	}
	if (h->status != (a->mode == MODE_EMPTY ? 204 : a->mode == MODE_UNCHANGED ? 304 : 200)) {
		complain(k, "an answer has the wrong status");
		return false;
	}
	return true;
}

// Takes body bytes, at most max. False: they are wrong.
static bool client_body(struct client *k, uint32_t max)
{
	const struct ask *a = ask_of(k, k->await < k->n ? k->await : k->n - 1);
	struct pkt *p;

	if (!k->ours && !a->tainted)
		return rough_take(k->c, &k->body, k->first + k->await, &k->got, max);
	while (!http_body_done(&k->body) && (p = tcp_recv_peek(k->c))) {
		size_t skip, run;

		if (http_body_next(&k->body, pkt_data(p), pkt_len(p), &skip, &run) != FAULT_NONE)
			return false;
		for (size_t i = 0; i < run; i++, k->got++)
			if (k->got < sizeof(k->error))
				k->error[k->got] = pkt_data(p)[skip + i];
		tcp_recv_skip(k->c, (uint32_t)(skip + run));
	}
	return !k->ours || k->got <= sizeof(k->error);
}

// What the gateway knows of the method: nothing, where the head is malformed or unfinished.
static enum http_method asked_method(const struct client *k)
{
	if (k->manner == GARBAGE || k->await >= k->n || k->status == 408 ||
	    (k->ours && k->await == k->sending && k->out_at < k->out_n))
		return METHOD_GET;
	return ask_of(k, k->await)->method;
}

static void client_read(struct client *k, uint32_t max)
{
	while (k->c) {
		if (!k->in_body) {
			struct http_head h = {0};
			size_t n = rough_peek(k->c, k->head, sizeof(k->head));
			int used = n ? http_parse_response(k->head, n, sizeof(k->head), &h) : HTTP_MORE;
			bool begun = k->await < k->sending || k->head_made || k->out_at;

			if (used == HTTP_MORE) {
				tcp_recv_await(k->c, sizeof(k->head));
				return;
			}
			if (used < 0 || !begun || k->last_answer) {
				complain(k, "a client got a malformed or unasked answer");
				return;
			}
			if (h.status < 200) {
				tcp_recv_skip(k->c, (uint32_t)used);
				k->continued |= h.status == 100;
				continue;
			}
			if (!client_head(k, &h))
				return;
			tcp_recv_skip(k->c, (uint32_t)used);
			http_body_init(&k->body, http_response_framing(&h, asked_method(k)), h.length);
			k->in_body = true;
		}
		if (!client_body(k, max)) {
			complain(k, "an answer has wrong bytes");
			return;
		}
		if (http_body_done(&k->body))
			client_answered(k);
		else if (k->body.framing == FRAMING_CLOSE && tcp_recv_eof(k->c))
			client_answered(k);
		else
			return;
		if (max != UINT32_MAX)
			return;
	}
}

static void client_leave(struct client *k, bool abrupt)
{
	if (abrupt)
		tcp_abort(k->c);
	else
		tcp_close(k->c);
	client_over(k);
}

static void client_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct client *k = user;
	struct sim *s = ctx;

	if (events & EV_ERROR) {
		client_cut(k);
		client_leave(k, false);
		return;
	}
	if (s->now >= k->give_up) {
		client_leave(k, k->manner != CLOSE);
		return;
	}
	client_push(k);
	if (k->manner == SLOW_READ) {
		if ((events & EV_TIMER) || tcp_recv_eof(c))
			client_read(k, 6000);
	} else if (k->manner != NO_READ) {
		client_read(k, UINT32_MAX);
	}
	if (s->violation)
		return;
	client_push(k);
	if (tcp_recv_eof(c)) {
		if (!k->in_body)
			client_cut(k);
		else if (k->body.framing != FRAMING_CLOSE)
			client_cut(k);
		client_leave(k, false);
		return;
	}
	if (k->await == k->n && !k->last_answer && k->manner != HALF_CLOSE && k->manner != GARBAGE) {
		client_leave(k, false);
		return;
	}
	if (events & (EV_OPEN | EV_TIMER))
		tcp_set_timer(c, (s->now & ~((1ull << 20) - 1)) + k->period);
}

/* ---- the plan of a schedule ---- */

static void ask_plan(struct sim *s, struct client *k, struct ask *a)
{
	struct random *r = &s->random;

	*a = (struct ask){.sane = random_below(r, 2), .method = METHOD_GET};
	a->mode = random_below(r, a->sane ? MODE_SLOW : MODES);
	if ((s->plan & PLAN_POSTS) && !a->sane && random_below(r, 2))
		a->mode = random_below(r, 2) ? MODE_EARLY : MODE_EARLY_LAST;
	a->size = random_below(r, 4) ? random_below(r, 4000) : random_below(r, 150000);
	if (k->manner == SLOW_READ)
		a->size %= 40000;
	if (s->plan & PLAN_SMALL)
		a->size %= 200;
	if (k->manner == NO_READ)
		a->size += 200000;
	switch ((s->plan & PLAN_POSTS) && random_below(r, 2) ? 1 : random_below(r, 4)) {
	case 0:
		a->method = METHOD_HEAD;
		break;
	case 1:
		a->method = METHOD_POST;
		a->body = random_below(r, 3) ? random_below(r, 3000) : random_below(r, 100000);
		if (k->manner == TRICKLE)
			a->body %= 500;
		a->chunked = k->minor && random_below(r, 2);
		a->expect = k->minor && random_below(r, 4) == 0 && a->body;
		break;
	default:
		break;
	}
	if (random_below(r, 16) == 0)
		a->pad = (uint16_t)random_below(r, k->manner == TRICKLE ? 300 : ROUGH_HEAD - 500);
	if (k->manner == STALL_BODY)
		*a = (struct ask){
			.sane = a->sane, .mode = a->mode, .method = METHOD_POST, .body = 2000, .size = a->size};
}

void clients_plan(struct sim *s)
{
	struct random *r = &s->random;

	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct client *k = &s->client[i];

		*k = (struct client){.sim = s,
				     .first = i * ASKS_MAX,
				     .n = 1 + random_below(r, ASKS_MAX),
				     .start = s->now + random_below(r, s->plan & PLAN_CROWD ? 400 : 4000) * MS,
				     .give_up = UINT64_MAX,
				     .minor = random_below(r, 5) != 0,
				     .keep_alive = random_below(r, 2)};
		k->manner = random_below(r, 3) ? random_below(r, CIVIL) : random_below(r, MANNERS);
		if ((s->plan & PLAN_PIPELINES) && random_below(r, 4))
			k->manner = random_below(r, 2) ? PIPELINE : HALF_CLOSE;
		if (k->minor == 0)
			k->n = k->keep_alive && k->manner != PIPELINE && k->manner != NO_READ ? k->n : 1;
		if (k->manner == GARBAGE)
			k->n = 1;
		k->period = (k->manner == TRICKLE || k->manner == SLOW_READ ? 5ull : 32ull) << 20;
		if (k->manner == ABORT || k->manner == CLOSE)
			k->give_up = k->start + random_below(r, 800) * MS;
		if (k->manner == NO_READ)
			k->give_up = k->start + 100 * SEC;
		for (uint32_t j = 0; j < k->n; j++)
			ask_plan(s, k, &s->ask[k->first + j]);
	}
	s->running = CLIENTS;
}

void clients_begin(struct sim *s)
{
	struct addr gateway;
	int err;

	addr_parse("198.18.0.1", 10, &gateway);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct client *k = &s->client[i];

		if (k->begun || k->start > s->now)
			continue;
		k->begun = true;
		host_advance(&s->clients, s->now);
		k->c = tcp_connect(s->clients.tcp, 0, gateway, 80, client_event, s, k, &err);
		if (!k->c)
			abort();
	}
}

uint64_t clients_next(const struct sim *s)
{
	uint64_t at = UINT64_MAX;

	for (uint32_t i = 0; i < CLIENTS; i++)
		if (!s->client[i].begun && s->client[i].start < at)
			at = s->client[i].start;
	return at;
}

void clients_explain(const struct sim *s)
{
	for (uint32_t i = 0; i < CLIENTS; i++) {
		const struct client *k = &s->client[i];
		const struct ask *a = ask_of(k, k->await < k->n ? k->await : k->n - 1);

		if (k->begun && !k->done) {
			struct tcp_info info;

			tcp_get_info(k->c, &info);
			printf("  client %u from port %u: manner %d, %u asks, sending %u, awaits %u (mode "
			       "%d%s, method %d, "
			       "size "
			       "%u, body %u, arrived %u%s), head %u of %u, body %u, got %u%s\n",
			       i, info.local_port, k->manner, k->n, k->sending, k->await, a->mode,
			       a->sane ? ", sane" : "", a->method, a->size, a->body, a->arrived,
			       a->tainted ? ", tainted" : "", k->out_at, k->out_n, k->body_at, k->got,
			       k->last_answer ? ", closing" : "");
		}
	}
}
