#include "conformance/pooled.h"
#include <stdio.h>
#include <stdlib.h>

// What is sent on the pooled connection, and how it is told.
static const char *const requests[] = {
	"POST /order HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\norder=1",
	"PATCH /order HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
	"chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
	"GET /order HTTP/1.1\r\nHost: a\r\n\r\n",
};
#define FULL_SPARE 64 // packets that TCP leaves room for when a device's queue is full
#define REQUESTS   (sizeof(requests) / sizeof(requests[0]))

enum how { ENDS_RESET, ENDS_CLOSED, ENDS_ANSWERED, HOWS };
static const char *const how_name[HOWS] = {"reset", "closed", "answered unasked"};

static void end(struct bed *b, struct peer *p, enum how how)
{
	if (how == ENDS_ANSWERED) {
		bed_say(b, p, SLICE("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"));
		return;
	}
	if (how == ENDS_RESET)
		tcp_abort(p->c);
	else
		tcp_shutdown(p->c);
	if (how == ENDS_RESET)
		p->c = NULL;
}

static unsigned times(const struct bed *b, const char *what)
{
	unsigned n = 0;

	for (const struct peer *p = b->peer; p < b->peer + PEERS_MAX; p++)
		for (const char *at = p->bytes, *stop = at + (p->used ? p->n : 0);
		     (at = memmem(at, (size_t)(stop - at), what, strlen(what))); at++)
			n++;
	return n;
}

// The client's last answer is the backend's to /order, which it saw once.
static const char *served(const struct bed *b, uint32_t from)
{
	struct message m;
	const char *why;
	int n = message_take(slice_of(b->client.bytes + from, b->client.n - from), false, BODY_AS_STATED, &m,
			     &why);

	if (n <= 0 || !m.whole || m.body.n != 2 || memcmp(m.body.p, "ok", 2) != 0)
		return "the client has no answer of the backend's";
	return times(b, "/order HTTP") == 1 ? NULL : "the backend did not see it once";
}

// A backend that answers a body before it has taken it: its window is shut, and most of the body waits here.
// What is asked next does not stand behind that.
static const char *behind_a_shut_window(struct bed *b, const char *request)
{
	char warm[12000];
	int n = snprintf(warm, sizeof(warm), "POST /warm HTTP/1.1\r\nHost: a\r\nContent-Length: 11000\r\n\r\n");
	uint32_t answered;
	const char *what;

	memset(warm + n, 'b', 11000);
	bed_case(b);
	b->deaf = true;
	if (!bed_connect(b, LISTENER_STRICT))
		return "no connection";
	bed_say(b, &b->client, slice_of(warm, (size_t)n + 11000));
	bed_settle(b);
	b->deaf = false;
	if (!b->peer[0].used)
		return "the backend has no connection";
	bed_say(b, &b->peer[0], SLICE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	bed_settle(b);
	answered = b->client.n;
	if (answered < 40)
		return "the first request has no answer";
	bed_say(b, &b->client, slice_of(request, strlen(request)));
	bed_settle(b);
	what = b->violation;
	what = what ? what : served(b, answered);
	bed_hang_up(b);
	return what;
}

// The device's queue is full.
static void fill(struct bed *b)
{
	struct net_txq *q = &b->worker.net.tx[1];

	while (q->n < NET_TXQ - FULL_SPARE) {
		q->v[q->n] = pkt_alloc(b->pool);
		memset(pkt_append(q->v[q->n++], 60), 0, 60);
	}
}

// The device takes nothing while the request is begun, and then the connection ends.
static const char *behind_a_full_device(struct bed *b, const char *request, enum how how)
{
	uint64_t replayed = stat_get(&b->worker.stats->c[CTR_up_replayed]);
	const char *what;
	uint32_t answered;

	bed_case(b);
	if (!bed_connect(b, LISTENER_STRICT))
		return "no connection";
	bed_say(b, &b->client, SLICE("GET /warm HTTP/1.1\r\nHost: a\r\n\r\n"));
	bed_settle(b);
	answered = b->client.n;
	if (!answered || !b->peer[0].used)
		return "the first request has no answer";
	bed_say(b, &b->client, slice_of(request, strlen(request)));
	bed_turn(b); // the request is on its way; what the backend has to say comes a turn behind it
	b->now += 1000;
	end(b, &b->peer[0], how);
	bed_turn(b);
	b->now = wire_time(&b->wire);
	fill(b);
	bed_turn(b);
	bed_settle(b);
	what = b->violation;
	what = what ? what : served(b, answered);
	replayed = stat_get(&b->worker.stats->c[CTR_up_replayed]) - replayed;
	bed_hang_up(b);
	return what || replayed == 1 ? what : "it was not counted";
}

// The device takes nothing but what opens a fresh connection, which then ends: another endpoint is asked.
static const char *fresh_behind_a_full_device(struct bed *b, const char *request, enum how how)
{
	const char *what, *path = strchr(request, '/');
	char pair[256];
	bool ended = false;

	bed_case(b);
	if (!bed_connect(b, LISTENER_STRICT))
		return "no connection";
	snprintf(pair, sizeof(pair), "%.*s/pair%s", (int)(path - request), request, path);
	bed_say(b, &b->client, slice_of(pair, strlen(pair)));
	bed_turn(b);
	for (unsigned i = 0; i < 8 && wire_time(&b->wire) != UINT64_MAX; i++) {
		b->now = wire_time(&b->wire);
		if (i)
			fill(b); // but for what asks for the connection
		bed_turn(b);
		if (b->peer[0].used && !ended) {
			end(b, &b->peer[0], how);
			ended = true;
		}
	}
	bed_settle(b);
	what = b->violation;
	what = what ? what : ended ? served(b, 0) : "there was no connection to end";
	bed_hang_up(b);
	return what;
}

// How many buffers are held while a request's answer is awaited.
static int held(struct bed *b, const char *request)
{
	struct testcase never = {0};
	unsigned before;
	int n;

	bed_case(b);
	b->answer = &never;
	if (!bed_connect(b, LISTENER_STRICT))
		return -1;
	before = pkt_pool_used(b->pool);
	bed_say(b, &b->client, slice_of(request, strlen(request)));
	bed_settle(b);
	n = b->answering && !b->client.n ? (int)(pkt_pool_used(b->pool) - before) : -1;
	bed_hang_up(b);
	return n;
}

const char *pooled_run(struct bed *b)
{
	static char text[512];
	const char *what;
	int n;

	for (unsigned i = 0; i < REQUESTS; i++) {
		what = behind_a_shut_window(b, requests[i]);
		if (what) {
			snprintf(text, sizeof(text), "%s: request %u behind a shut window", what, i);
			return text;
		}
		for (unsigned how = 0; how < HOWS; how++) {
			what = behind_a_full_device(b, requests[i], (enum how)how);
			if (what) {
				snprintf(text, sizeof(text), "%s: request %u on a connection that is %s", what,
					 i, how_name[how]);
				return text;
			}
		}
		for (unsigned how = 0; how < ENDS_ANSWERED; how++) {
			what = fresh_behind_a_full_device(b, requests[i], (enum how)how);
			if (what) {
				snprintf(text, sizeof(text), "%s: request %u on a fresh connection that is %s",
					 what, i, how_name[how]);
				return text;
			}
		}
	}
	n = held(b, "GET /once HTTP/1.1\r\nHost: a\r\n\r\n");
	if (n < 0 || n != held(b, "GET /patient HTTP/1.1\r\nHost: a\r\n\r\n"))
		return "a head is kept where no other endpoint could be asked";
	return NULL;
}
