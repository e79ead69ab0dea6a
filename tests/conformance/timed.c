#include "conformance/timed.h"

#define SEC     1000000000ull
#define TIMEOUT (600 * SEC) // of a listener's body, and between requests (bed.c)

// Time goes by, and with it what TCP asks of its peers.
static void wait_until(struct bed *b, uint64_t at)
{
	while (b->now < at) {
		b->now = at - b->now > SEC ? b->now + SEC : at;
		bed_turn(b);
		bed_settle(b);
	}
}

// The frame that says s, or the end where it is empty, and the time at `at` meet in one turn.
static void say_at(struct bed *b, struct slice s, uint64_t at)
{
	wait_until(b, at - SEC / 1000);
	if (s.n)
		bed_say(b, &b->client, s);
	else
		tcp_shutdown(b->client.c);
	host_advance(&b->clients, b->now);
	bed_turn(b); // it leaves
	b->now = at + SEC / 1000;
	bed_turn(b);
	bed_settle(b);
}

static bool client_has(const struct bed *b, const char *what)
{
	return memmem(b->client.bytes, b->client.n, what, strlen(what)) != NULL;
}

// A body's timer was set before some of it moved: it looks too early, as what is last said comes. False: there
// is no connection.
static bool body_begins(struct bed *b, struct slice last)
{
	uint64_t begun;

	if (!bed_connect(b, LISTENER_STRICT))
		return false;
	begun = b->now;
	bed_say(b, &b->client, SLICE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"));
	bed_settle(b);
	wait_until(b, begun + TIMEOUT / 2);
	bed_say(b, &b->client, SLICE("b"));
	bed_settle(b);
	say_at(b, last, begun + TIMEOUT);
	return true;
}

// The body's end comes.
static const char *body_ends(struct bed *b)
{
	if (!body_begins(b, SLICE("c")))
		return "no connection";
	return client_has(b, "200 OK") ? NULL : "the end of a body was forgotten over its timer";
}

// The client ends instead.
static const char *client_ends(struct bed *b)
{
	uint64_t gone = stat_get(&b->worker.stats->c[CTR_http_client_gone]);

	if (!body_begins(b, SLICE("")))
		return "no connection";
	return stat_get(&b->worker.stats->c[CTR_http_client_gone]) == gone + 1
		       ? NULL
		       : "the end of a client was forgotten over its timer";
}

// A connection is about to end, as nobody asked for so long: then somebody does.
static const char *request_comes(struct bed *b)
{
	uint64_t begun;

	if (!bed_connect(b, LISTENER_STRICT))
		return "no connection";
	begun = b->now;
	bed_say(b, &b->client, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	bed_settle(b);
	b->client.n = 0;
	say_at(b, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), begun + TIMEOUT);
	return client_has(b, "200 OK") ? NULL : "a whole request was refused for the time before it";
}

const char *timed_run(struct bed *b)
{
	static const char *(*const runs[])(struct bed *) = {body_ends, client_ends, request_comes};
	const char *what = NULL;

	for (unsigned i = 0; i < sizeof(runs) / sizeof(runs[0]) && !what; i++) {
		bed_case(b);
		what = runs[i](b);
		what = what ? what : b->violation;
		bed_hang_up(b);
	}
	return what;
}
