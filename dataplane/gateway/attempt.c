// Attempts: one request on one upstream connection, from the choice of the endpoint to the end of the response.
#include "gateway/sticky.h"
#include "gateway/tunnel.h"
#include <errno.h>

static struct upstream_stats *stats_of(const struct attempt *a)
{
	return &a->x->g->conf.upstream_stats[a->stat_slot];
}

static void pending_unlink(struct gateway *g, struct attempt *a)
{
	struct pending *q = &g->pending[a->stat_slot];

	*a->pprev = a->next;
	if (a->next)
		a->next->pprev = a->pprev;
	else
		q->last = a->pprev;
	a->pprev = NULL;
	q->n--;
	stat_add(&g->conf.upstream_stats[a->stat_slot].pending, (uint64_t)-1);
}

static void pending_push(struct gateway *g, struct attempt *a)
{
	struct pending *q = &g->pending[a->stat_slot];

	a->next = NULL;
	a->pprev = q->last;
	*q->last = a;
	q->last = &a->next;
	q->n++;
	a->state = ATTEMPT_PENDING;
	stat_add(&g->conf.upstream_stats[a->stat_slot].pending, 1);
}

static void attempt_free(struct attempt *a)
{
	struct exchange *x = a->x;

	stat_add(&stats_of(a)->active, (uint64_t)-1);
	x->attempt = NULL;
	slab_put(&x->g->attempts, a);
}

// By weight among the route's targets; a weight set by hand wins.
const struct snap_upstream *attempt_upstream(struct exchange *x)
{
	struct gateway *g = x->g;
	const struct snapshot *s = x->snapshot;
	const struct snap_target *t = snap_at(s, x->route->targets);
	const struct region_target *by_hand = region_targets(g->conf.region);
	uint32_t n = x->route->targets.n, i = 0, total = 0, w[64], pick;
	int sticks;

	if (n > 64)
		n = 64;
	if (n > 1) {
		for (i = 0; i < n; i++) {
			int32_t hand = atomic_load_explicit(&by_hand[t[i].slot].weight, memory_order_relaxed);

			w[i] = t[i].slot && hand >= 0 ? (uint32_t)hand : t[i].weight;
			total += w[i];
		}
		if (total == 0)
			return NULL;
		sticks = x->route->sticky ? sticky_target(x, w, n) : -1;
		pick = sticks < 0 ? random_below(&g->random, total) : 0;
		for (i = 0; sticks < 0 && pick >= w[i]; i++)
			pick -= w[i];
		i = sticks < 0 ? i : (uint32_t)sticks;
	}
	x->target = &t[i];
	return (const struct snap_upstream *)snap_at(s, s->upstreams) + t[i].upstream;
}

static bool endpoint_index(const struct attempt *a, uint32_t *i)
{
	const struct snap_endpoint *e = snap_at(a->x->snapshot, a->upstream->endpoints);

	*i = (uint32_t)(a->endpoint - e);
	return *i < 64;
}

void attempt_relayed(struct attempt *a)
{
	struct exchange *x = a->x;

	x->request_relayed = true;
	if (a->state == ATTEMPT_WAITING && x->route->per_try)
		a->deadline = x->g->now + x->route->per_try;
	exchange_arm(x);
}

// The same bytes in other buffers. NULL: there are not so many.
static struct pkt *chain_copy(struct gateway *g, const struct pkt *chain)
{
	struct pkt *first = NULL;

	for (; chain; chain = pkt_next(chain)) {
		struct pkt *p = pkt_alloc(g->conf.pool);

		if (!p) {
			pkt_free_chain(first);
			return NULL;
		}
		memcpy(pkt_append(p, pkt_len(chain)), pkt_data(chain), pkt_len(chain));
		if (first)
			pkt_chain(first, p);
		else
			first = p;
	}
	return first;
}

// May another endpoint be asked, should this one fail?
static bool another_is_left(const struct attempt *a)
{
	return a->x->attempts < a->x->route->attempts && a->upstream->endpoints.n > 1;
}

// The head goes out; the body follows as it comes. False when the exchange has ended over it.
static bool attempt_send(struct attempt *a)
{
	struct exchange *x = a->x;
	bool again = a->reused || (x->route->per_try && another_is_left(a));
	bool keep = again && http_body_done(&x->request);
	struct pkt *p;

	head_done(x); // of an attempt before
	p = x->head;
	if (!p) { // it was sent, and there was no buffer to keep it
		count(x->g, CTR_http_overload);
		exchange_fail(x, 502, "the request cannot be sent again");
		return false;
	}
	a->state = ATTEMPT_WAITING;
	a->deadline = 0;
	a->mark = tcp_send_mark(a->conn->tcp);
	// Kept, in case the pooled connection turns out to be closed, or no answer comes in time.
	x->head = keep && pkt_next(p) ? chain_copy(x->g, p) : NULL;
	if (keep && !pkt_next(p))
		tcp_send_kept(a->conn->tcp, p, &x->sent);
	else if (keep || !relay_whole_request(x, a->conn->tcp, p))
		send_chain(a->conn->tcp, p);
	if (http_body_done(&x->request))
		attempt_relayed(a);
	else
		exchange_arm(x);
	return relay_request(x);
}

static inline void attempt_place(struct attempt *a);

static inline __attribute__((always_inline)) bool attempt_pick(struct attempt *a)
{
	struct gateway *g = a->x->g;
	bool full;

	if (a->x->stick.token | a->x->stick.hash)
		a->endpoint = upstream_pick_sticky(&g->upstreams, a->x->snapshot, a->upstream, &a->x->stick,
						   a->x->avoid, g->now, &full);
	else
		a->endpoint =
			upstream_pick(&g->upstreams, a->x->snapshot, a->upstream, a->x->avoid, g->now, &full);
	return a->endpoint || !full;
}

// Finds the attempt a connection.
static void attempt_connect(struct attempt *a)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;

	if (!attempt_pick(a)) {
		if (g->pending[a->stat_slot].n >= upstream_share(&g->upstreams, a->upstream->max_pending)) {
			count(g, CTR_up_pending_full);
			stat_add(&stats_of(a)->pending_overflow, 1);
			exchange_fail(x, 503, "too many requests wait for the upstream");
			return;
		}
		pending_push(g, a);
		a->deadline = g->now + a->upstream->connect_timeout;
		exchange_arm(x);
		return;
	}
	attempt_place(a);
}

// With the endpoint that was picked, if there is one.
static inline __attribute__((always_inline)) void attempt_place(struct attempt *a)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;
	int err = 0;

	if (!a->endpoint) {
		count(g, CTR_up_no_endpoint);
		if (x->attempts > 1)
			exchange_fail(x, 502, "no endpoint of the upstream could be reached");
		else
			exchange_fail(x, 503, "no endpoint of the upstream is available");
		return;
	}
	if (x->tunnel && x->tunnel->kind == TUNNEL_CONNECT)
		a->fresh = true; // what a pooled one has carried is nobody's
	a->conn = a->fresh || a->own ? NULL : upstream_reuse(&g->upstreams, a->endpoint, a);
	if (a->conn) {
		a->reused = true;
		attempt_send(a);
		return;
	}
	a->reused = false;
	a->conn = upstream_open(&g->upstreams, a->upstream, a->endpoint, upstream_event, g, a, &err);
	if (!a->conn) {
		count(g, err == -ENOMEM ? CTR_http_overload : CTR_up_connect_failed);
		exchange_fail(x, 503, err == -ENOMEM ? "the gateway is overloaded" : "no way to the upstream");
		return;
	}
	a->state = ATTEMPT_CONNECTING;
	a->deadline = g->now + a->upstream->connect_timeout;
	exchange_arm(x);
}

void attempt_start(struct exchange *x, const struct snap_upstream *u)
{
	struct gateway *g = x->g;
	struct attempt *a;

	if (!u)
		u = attempt_upstream(x);
	if (!u) {
		count(g, CTR_up_no_endpoint);
		exchange_fail(x, 503, "every upstream of the route has weight 0");
		return;
	}
	a = slab_get(&g->attempts);
	if (!a) {
		count(g, CTR_http_overload);
		exchange_fail(x, 503, "the gateway is overloaded");
		return;
	}
	*a = (struct attempt){.x = x,
			      .upstream = u,
			      .started = g->now,
			      .pool_idle = u->idle_timeout,
			      .pool_probe = u->pool_probe,
			      .stat_slot = u->stat_slot,
			      .own = u->proxy_protocol != 0,
			      .state = ATTEMPT_PENDING};
	x->attempt = a;
	x->attempts++;
	x->upstream_slot = u->stat_slot;
	stat_add(&stats_of(a)->attempts, 1);
	stat_add(&stats_of(a)->active, 1);
	attempt_connect(a);
}

// Those that wait longest go on, as far as there are connections. Upstreams that found no statistics slot share
// a queue: there one that is full does not hold up the others.
static void pending_serve(struct gateway *g, uint32_t stat_slot)
{
	struct attempt *a, *next;

	for (a = g->pending[stat_slot].first; a; a = next) {
		next = a->next; // serving one ends no other, it may only add some behind
		if (attempt_pick(a)) {
			pending_unlink(g, a);
			attempt_place(a);
		} else if (stat_slot) {
			break;
		}
	}
}

// Connections, or room for them, have come free. What this starts may end at once and free more, of any
// upstream: that is noted, and looked at by the outermost call.
static void pending_wake(struct gateway *g, uint32_t stat_slot)
{
	struct pending *q = &g->pending[stat_slot];

	if (q->first && !q->due) {
		q->due = true;
		q->next_due = g->due;
		g->due = stat_slot;
	}
	if (g->waking)
		return;
	g->waking = true;
	while (g->due != UINT32_MAX) {
		uint32_t slot = g->due;

		g->due = g->pending[slot].next_due;
		g->pending[slot].due = false;
		pending_serve(g, slot);
	}
	g->waking = false;
}

// Account for a finished attempt; status 0: no response.
static void attempt_account(struct attempt *a, uint16_t status)
{
	struct upstream_stats *us = stats_of(a);
	uint64_t took = tunnel_is_open(a->x) ? a->x->tunnel->took : a->x->g->now - a->started;

	stat_add(&us->responses[status / 100 < STATUS_CLASSES ? status / 100 : 0], 1);
	stat_add(&us->duration_sum_ns, took);
	stat_add(&us->duration[hist_bucket(took)], 1);
}

void attempt_cancel(struct attempt *a)
{
	struct gateway *g = a->x->g;
	uint32_t slot = a->stat_slot;

	attempt_account(a, a->state == ATTEMPT_RESPONDING ? a->x->status : 0);
	if (a->pprev)
		pending_unlink(g, a);
	if (a->conn)
		upstream_close(&g->upstreams, a->conn, true);
	attempt_free(a);
	pending_wake(g, slot);
}

static void try_elsewhere(struct attempt *a, uint16_t status, const char *message)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;
	const struct snap_upstream *u = a->upstream;
	uint32_t i, slot = a->stat_slot;

	if (endpoint_index(a, &i))
		x->avoid |= 1ull << i;
	attempt_account(a, 0);
	upstream_close(&g->upstreams, a->conn, true);
	a->conn = NULL;
	if (another_is_left(a)) {
		stat_add(&stats_of(a)->retries, 1);
		attempt_free(a);
		attempt_start(x, u);
	} else {
		attempt_free(a);
		exchange_fail(x, status, message);
	}
	pending_wake(g, slot);
}

// Connecting failed: nothing was sent, so another endpoint may be tried whatever the method.
static void connect_failed(struct attempt *a, uint16_t status, const char *message)
{
	upstream_failed(&a->x->g->upstreams, a->upstream, a->endpoint, a->x->g->now);
	try_elsewhere(a, status, message);
}

// Sent, but its method may be repeated (RFC 9110 9.2.2), and no byte of an answer has come.
static bool may_be_repeated(const struct attempt *a)
{
	const struct exchange *x = a->x;

	return (x->head || head_kept(x)) && !x->body_sent && a->scanned == 0 &&
	       tcp_recv_len(a->conn->tcp) == 0 &&
	       (x->method == METHOD_GET || x->method == METHOD_HEAD || x->method == METHOD_PUT ||
		x->method == METHOD_DELETE || x->method == METHOD_OPTIONS || x->method == METHOD_TRACE);
}

// Nothing of it has left, whatever its method: it is taken back, with what was queued of its body.
static bool was_not_sent(struct attempt *a)
{
	struct exchange *x = a->x;
	struct pkt *p = tcp_send_withdraw(a->conn->tcp, a->mark);

	if (!p)
		return false;
	pkt_free_chain(x->head);
	x->head = p;
	return true;
}

// No answer came in time, and another endpoint can do it. A host that has not even acknowledged the request may
// have vanished; one that has is slow with this one, which is nothing to the others.
static bool try_timed_out(struct attempt *a)
{
	bool heard = tcp_send_queued(a->conn->tcp) == 0;

	if (!another_is_left(a) || !(may_be_repeated(a) || was_not_sent(a)))
		return false;
	a->eof = a->dead = false;
	if (heard)
		try_elsewhere(a, 504, "the upstream did not answer in time");
	else
		connect_failed(a, 504, "the upstream did not answer in time");
	return true;
}

void attempt_timeout(struct attempt *a)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;

	stat_add(&stats_of(a)->timeouts, 1);
	switch (a->state) {
	case ATTEMPT_PENDING:
		count(g, CTR_up_pending_full);
		exchange_fail(x, 503, "no connection to the upstream came free in time");
		break;
	case ATTEMPT_CONNECTING:
		count(g, CTR_up_connect_timeout);
		connect_failed(a, 504, "the upstream could not be reached in time");
		break;
	default:
		count(g, CTR_up_per_try_timeout);
		if (try_timed_out(a))
			return;
		exchange_fail(x, 504, "the upstream did not answer in time");
	}
}

void attempt_complete(struct attempt *a)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;
	struct tcp_conn *t = a->conn->tcp;
	uint32_t slot = a->stat_slot;

	attempt_account(a, x->status);
	// Only a connection on which both messages have ended exactly may carry another request.
	if (a->reusable && !a->eof && !a->dead && x->request_relayed && tcp_recv_len(t) == 0 &&
	    !tcp_recv_eof(t) && !g->draining)
		upstream_release(&g->upstreams, a->conn, g->now, a->pool_idle, a->pool_probe);
	else
		upstream_close(&g->upstreams, a->conn, !x->request_relayed);
	attempt_free(a);
	exchange_finish(x);
	pending_wake(g, slot);
}

// The connection was lost without a response.
static void attempt_lost(struct attempt *a)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;

	stat_add(&stats_of(a)->resets, 1);
	// A pooled connection that the upstream closed meanwhile: the request goes out again, once, on a fresh
	// one.
	if (a->reused && (may_be_repeated(a) || was_not_sent(a))) {
		uint32_t slot = a->stat_slot;

		upstream_close(&g->upstreams, a->conn, true);
		a->conn = NULL;
		a->state = ATTEMPT_PENDING;
		a->scanned = 0;
		a->eof = a->dead = false;
		count(g, CTR_up_replayed);
		a->fresh = true; // also where it has to wait for a place
		attempt_connect(a);
		pending_wake(g, slot); // it may have gone to another endpoint
		return;
	}
	count(g, CTR_up_reset);
	if (!a->reused && was_not_sent(a)) // as good as refused
		connect_failed(a, 502, "the upstream closed the connection without an answer");
	else
		exchange_fail(x, 502, "the upstream closed the connection without an answer");
}

// WHOLE: all of the response is with the client's TCP. UNASKED: it answers nothing that was said. OVER: the
// exchange has ended.
enum head { HEAD_DONE, HEAD_WHOLE, HEAD_MORE, HEAD_BLOCKED, HEAD_UNASKED, HEAD_TUNNEL, HEAD_OVER };

// A 101, to a request that asked for it: it is passed on, and all behind it is a tunnel's.
static enum head switch_protocols(struct attempt *a, uint32_t n)
{
	struct exchange *x = a->x;

	switch (tunnel_switch(a)) {
	case 0:
		tcp_recv_skip(a->conn->tcp, n);
		return HEAD_TUNNEL;
	case -EBADMSG:
		count(x->g, CTR_up_bad_response);
		exchange_fail(x, 502, "the upstream's handshake is not what was asked for");
		return HEAD_OVER;
	default:
		count(x->g, CTR_http_overload);
		exchange_fail(x, 502, "the upstream's answer cannot be forwarded");
		return HEAD_OVER;
	}
}

// Takes interim and final heads from the upstream.
static enum head response_head(struct attempt *a)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;
	struct tcp_conn *t = a->conn->tcp;
	struct http_head *h = &g->head;
	enum http_framing in, out;
	uint64_t length;
	int n;

	for (;;) {
		if (tcp_recv_len(t) == 0)
			return HEAD_MORE;
		if (a->reused && !tcp_send_began(t, a->mark))
			return HEAD_UNASKED;
		if (tcp_send_full(x->client))
			return HEAD_BLOCKED;
		n = response_head_parse(g, t, &a->scanned);
		if (n == HTTP_MORE)
			return HEAD_MORE;
		if (n > 0 && h->status == 101 && x->tunnel)
			return switch_protocols(a, (uint32_t)n);
		if (n < 0 || h->status == 101) { // we asked for no upgrade
			count(g, CTR_up_bad_response);
			if (n < 0)
				count(g, fault_counter((enum http_fault) - n));
			exchange_fail(x, 502, "the upstream's answer is malformed");
			return HEAD_OVER;
		}
		if (h->status >= 200)
			break;
		if (a->interims++ == INTERIMS_MAX) {
			count(g, CTR_up_interims);
			exchange_fail(x, 502, "the upstream's answer does not begin");
			return HEAD_OVER;
		}
		if (h->status == 100)
			x->body_from = g->now; // it was waited for
		if (x->minor >= 1)
			forward_interim(x); // without a buffer it is lost, which an interim answer may be
		head_done(x);               // the upstream works on it: not to be sent again
		pkt_free_chain(x->head);
		x->head = NULL;
		tcp_recv_skip(t, (uint32_t)n);
		a->scanned = 0;
	}
	in = http_response_framing(h, x->method);
	length = h->length;
	a->reusable = h->keep_alive && in != FRAMING_CLOSE && !a->own;
	http_body_init(&x->response, in, length);
	out = in;
	if (in == FRAMING_CLOSE || in == FRAMING_CHUNKED)
		out = x->minor >= 1 ? FRAMING_CHUNKED : FRAMING_CLOSE;
	if (out == FRAMING_CLOSE || !http_body_done(&x->request))
		x->keep_alive = false; // an answer before the request's end: the rest may never come
	if (x->tunnel)
		tunnel_decline(x);
	x->out_framing = (uint8_t)out;
	x->status = h->status;
	head_done(x);
	if (forward_response(x, out, length) != 0) {
		x->status = 0;
		count(g, CTR_http_overload);
		exchange_fail(x, 502, "the upstream's answer cannot be forwarded");
		return HEAD_OVER;
	}
	x->response_started = true;
	a->state = ATTEMPT_RESPONDING;
	a->deadline = 0;
	exchange_unpin(x);
	if (relay_whole(x, t, (uint32_t)n, in == FRAMING_LENGTH ? length : 0))
		return HEAD_WHOLE;
	tcp_recv_skip(t, (uint32_t)n);
	return HEAD_DONE;
}

bool attempt_pump(struct attempt *a)
{
	struct exchange *x = a->x;

	if (tunnel_is_open(x))
		return tunnel_pump(x);
	if (a->state == ATTEMPT_WAITING) {
		switch (response_head(a)) {
		case HEAD_OVER:
			return false;
		case HEAD_BLOCKED:
			return true;
		case HEAD_TUNNEL:
			return tunnel_pump(x);
		case HEAD_MORE:
			if (!a->eof && !a->dead)
				return true;
			attempt_lost(a);
			return false;
		case HEAD_UNASKED:
			attempt_lost(a);
			return false;
		case HEAD_WHOLE:
			attempt_complete(a);
			return false;
		case HEAD_DONE:
			break;
		}
	}
	if (a->state != ATTEMPT_RESPONDING)
		return true;
	if (!relay_response(x))
		return false;
	if (a->dead && !x->encoding && tcp_recv_len(a->conn->tcp) == 0) {
		count(x->g, CTR_up_truncated);
		exchange_cut(x); // what came before the loss is passed on; the end shows as cut short
		return false;
	}
	return true;
}

void upstream_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct gateway *g = ctx;
	struct upstream_conn *conn = user;
	struct attempt *a = conn->owner;

	if (!a) {
		// Idle in the pool: its time is up, it is to be probed, or the upstream closed it or speaks
		// unasked. An event may also be of what the attempt before has dealt with already.
		uint32_t slot = conn->stat_slot;

		bool closed = false;

		if ((events & (EV_EOF | EV_ERROR)) || tcp_recv_len(c)) {
			upstream_close(&g->upstreams, conn, false);
			closed = true;
		} else if (events & EV_TIMER)
			closed = upstream_idle_timer(&g->upstreams, conn, g->now);
		if (closed)
			pending_wake(g, slot);
		return;
	}
	if (events & EV_EOF)
		a->eof = true;
	if (events & EV_ERROR)
		a->dead = true;
	if (a->state == ATTEMPT_CONNECTING) {
		if (a->dead) {
			count(g, CTR_up_connect_failed);
			connect_failed(a, 502, "the upstream refused the connection");
			return;
		}
		if (!(events & EV_OPEN))
			return;
		upstream_opened(&g->upstreams, conn);
		if (a->own && preface_send(a) != 0) {
			count(g, CTR_http_overload);
			exchange_fail(a->x, 503, "the gateway is overloaded");
			return;
		}
		if (a->x->tunnel && a->x->tunnel->kind == TUNNEL_CONNECT) {
			tunnel_connected(a);
			return;
		}
		if (!attempt_send(a))
			return;
	}
	if (tunnel_is_open(a->x)) {
		tunnel_pump(a->x);
		return;
	}
	if ((events & (EV_READABLE | EV_EOF | EV_ERROR)) && !attempt_pump(a))
		return;
	if (events & EV_WRITABLE)
		relay_request(a->x);
}
