// How long a client may take over its request's body and over reading its answer (the head's time is
// client.c's).
//
// The connection's timer is armed once, for the first moment at which something may be due, and left alone
// while bytes move: what moves notes the time, and the timer looks whether it came too early.
#include "gateway/exchange.h"

#define SECOND    1000000000ull
#define SLOW_READ 4096u // bytes that a client must take meanwhile, so that it counts as reading

static const struct snap_listener *listener_of(const struct exchange *x)
{
	return gateway_listener(x->g, tcp_conn_tag(x->client));
}

// When the body will be behind its least rate, if no more of it comes: each byte buys its time.
static uint64_t rate_due(const struct exchange *x, const struct snap_listener *l)
{
	uint64_t rate = l->min_body_rate, bytes = x->bytes_in;

	if (!rate || bytes / rate > 1000000)
		return UINT64_MAX;
	return x->body_from + l->rate_grace + bytes / rate * SECOND + bytes % rate * SECOND / rate;
}

static bool awaits_body(const struct exchange *x)
{
	return !http_body_done(&x->request);
}

static uint64_t due(const struct exchange *x, const struct snap_listener *l)
{
	uint64_t at = UINT64_MAX, rate;

	if (awaits_body(x)) {
		at = x->moved + l->body_timeout;
		rate = rate_due(x, l);
		if (rate < at)
			at = rate;
	}
	if (x->response_started) {
		if (x->moved + l->response_idle < at)
			at = x->moved + l->response_idle;
		if (l->min_read_rate && x->marked + l->rate_grace < at)
			at = x->marked + l->rate_grace;
	}
	return at;
}

static void mark(struct exchange *x)
{
	x->marked = x->g->now;
	x->marked_out = x->bytes_out;
	x->queued = tcp_send_queued(x->client);
}

static void watch(struct exchange *x, const struct snap_listener *l)
{
	uint64_t at = due(x, l), soon = x->g->now + SECOND / 1000;

	tcp_set_timer(x->client, at == UINT64_MAX ? 0 : at < soon ? soon : at);
}

void client_watch(struct exchange *x)
{
	if (x->watched == WATCHED_NOT)
		x->body_from = x->g->now;
	x->watched = x->response_started ? WATCHED_BOTH : WATCHED_BODY;
	x->moved = x->g->now;
	mark(x);
	watch(x, listener_of(x));
}

// What the client took since it was marked, in bytes.
static uint64_t taken(const struct exchange *x)
{
	uint64_t in = x->queued + (x->bytes_out - x->marked_out), left = tcp_send_queued(x->client);

	return in > left ? in - left : 0;
}

// The upstream takes nothing of what is there; trailers stay there until they are whole.
static bool untaken(const struct exchange *x)
{
	return tcp_recv_len(x->client) && !http_body_trailers(&x->request);
}

// The upstream, not the client, holds the body up: it takes nothing, or has no connection yet.
static bool body_held_up(const struct exchange *x)
{
	return untaken(x) || !x->attempt || x->attempt->state < ATTEMPT_WAITING;
}

// The body does not come, or comes slower than it must. False: the exchange has ended.
static bool body_look(struct exchange *x, const struct snap_listener *l)
{
	struct gateway *g = x->g;

	if (g->now >= rate_due(x, l)) {
		if (!body_held_up(x)) {
			count(g, CTR_http_body_slow);
			exchange_fail(x, 408, "the request body comes too slowly");
			return false;
		}
		x->body_from += g->now - rate_due(x, l) + SECOND;
	}
	if (g->now < x->moved + l->body_timeout)
		return true;
	if (x->response_started)
		return true; // then it is looked at as the answer is
	if (untaken(x)) {
		count(g, CTR_up_body_stalled);
		exchange_fail(x, 504, "the upstream did not take the request body in time");
	} else {
		count(g, CTR_http_body_timeout);
		exchange_fail(x, 408, "the request body did not come in time");
	}
	return false;
}

static bool response_look(struct exchange *x, const struct snap_listener *l)
{
	struct gateway *g = x->g;
	uint64_t took = taken(x);

	if (l->min_read_rate && g->now >= x->marked + l->rate_grace) {
		uint64_t least = (uint64_t)l->min_read_rate * (g->now - x->marked) / SECOND;

		if (took < least && took < x->queued) { // less than it could have
			count(g, CTR_http_read_slow);
			exchange_abort(x);
			return false;
		}
		if (took && x->queued)
			x->moved = g->now;
		mark(x);
	}
	if (g->now < x->moved + l->response_idle)
		return true;
	if (took >= SLOW_READ && x->queued) {
		x->moved = g->now;
		mark(x);
		return true;
	}
	if (tcp_send_queued(x->client)) {
		count(g, CTR_http_read_timeout);
		exchange_abort(x);
	} else if (awaits_body(x) && !untaken(x)) {
		count(g, CTR_http_body_timeout);
		exchange_cut(x);
	} else {
		count(g, CTR_up_response_idle);
		exchange_cut(x);
	}
	return false;
}

void client_look(struct exchange *x)
{
	const struct snap_listener *l = listener_of(x);

	if (awaits_body(x) && !body_look(x, l))
		return;
	if (x->response_started && !response_look(x, l))
		return;
	watch(x, l);
}
