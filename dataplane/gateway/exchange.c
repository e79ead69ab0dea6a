// The life of an exchange: deadlines, ends, accounting.
#include "gateway/exchange.h"
#include "contract/record.h"
#include "gateway/encode.h"
#include "gateway/tunnel.h"

void exchange_unpin(struct exchange *x)
{
	struct generation *n = &x->g->generation[x->generation];

	if (!x->snapshot)
		return;
	if (x->deadline && x->route && !x->route->timeout) // what was left to bound is over
		x->deadline = 0;
	x->snapshot = NULL;
	x->route = NULL;
	x->target = NULL;
	x->listener = NULL;
	if (--n->pins == 0 && x->generation != x->g->current)
		n->snapshot = NULL;
}

void exchange_arm(struct exchange *x)
{
	uint64_t at = x->deadline ? x->deadline : UINT64_MAX;

	if (x->parked && x->parked < at)
		at = x->parked;
	if (x->attempt && x->attempt->deadline && x->attempt->deadline < at)
		at = x->attempt->deadline;
	if (x->retry && x->g->now + RETRY_TIME < at)
		at = x->g->now + RETRY_TIME;
	if (x->tunnel && tunnel_due(x) < at)
		at = tunnel_due(x);
	if (x->encoding && x->encoding->flush_at > x->g->now && x->encoding->flush_at < at)
		at = x->encoding->flush_at;
	if (at != UINT64_MAX && (!timer_armed(&x->timer->timer) || at < x->timer->timer.at))
		timer_arm(x->g->conf.wheel, &x->timer->timer, at);
}

static void access_log(struct exchange *x)
{
	struct gateway *g = x->g;
	struct rec_access r = {.realtime_ns = g->now + g->conf.realtime_offset,
			       .client = x->remote,
			       .client_port = client_port(x),
			       .status = x->status,
			       .route_slot = x->route_slot,
			       .upstream_slot = x->upstream_slot,
			       .duration_us = (uint32_t)((g->now - x->started) / 1000),
			       .bytes_in = x->bytes_in,
			       .bytes_out = x->bytes_out,
			       .method_n = x->method_n,
			       .path_n = x->path_n};
	struct rec_ring *ring = region_ring(g->conf.region, g->conf.worker, RING_LOG);

	memcpy(r.request_id, x->request_id, sizeof(r.request_id));
	memcpy(r.text, x->text, (size_t)x->method_n + x->path_n);
	if (!rec_ring_put(ring, region_ring_size(RING_LOG), REC_ACCESS, &r, sizeof(r)))
		count(g, CTR_log_lost);
}

// What few exchanges have.
static __attribute__((noinline)) void rest_free(struct exchange *x)
{
	if (x->tunnel)
		tunnel_free(x);
	if (x->encoding)
		encode_end(x->encoding);
	if (x->kept)
		pkt_free_chain(x->kept);
	if (x->withheld)
		pkt_free_chain(x->withheld);
}

// Accounts and frees; the client's connection is left as it is.
static void exchange_end(struct exchange *x)
{
	struct gateway *g = x->g;
	struct route_stats *rs = &g->conf.route_stats[x->route_slot];
	uint64_t took = tunnel_is_open(x) ? x->tunnel->took : g->now - x->started;

	stat_add(&rs->requests[x->status / 100 < STATUS_CLASSES ? x->status / 100 : 0], 1);
	stat_add(&rs->finished, 1);
	stat_add(&rs->duration_sum_ns, took);
	stat_add(&rs->duration[hist_bucket(took)], 1);
	if (x->method_n)
		access_log(x);
	x->timer->x = NULL;
	if (x->credit[0] | x->credit[1])
		in_flight_end(x);
	exchange_unpin(x);
	if (head_kept(x))
		tcp_kept_end(&x->sent);
	if (x->head)
		pkt_free_chain(x->head);
	if ((uintptr_t)x->tunnel | (uintptr_t)x->encoding | (uintptr_t)x->kept | (uintptr_t)x->withheld)
		rest_free(x);
	slab_put(&g->exchanges, x);
}

void exchange_finish(struct exchange *x)
{
	struct gateway *g = x->g;
	struct tcp_conn *c = x->client;
	uint32_t served = x->served + 1;
	bool keep_alive = x->keep_alive && http_body_done(&x->request) && !g->draining, proxied = x->proxied;

	exchange_end(x);
	client_continue(g, c, served, proxied, keep_alive);
}

void exchange_abort(struct exchange *x)
{
	struct tcp_conn *c = x->client;

	if (x->attempt)
		attempt_cancel(x->attempt);
	if (!x->response_started)
		x->status = 0;
	exchange_end(x);
	tcp_abort(c);
}

void exchange_cut(struct exchange *x)
{
	struct gateway *g = x->g;
	struct tcp_conn *c = x->client;

	// A body without a length ends where the connection does: only a reset shows that it is not whole.
	if (x->response_started && x->out_framing == FRAMING_CLOSE) {
		exchange_abort(x);
		return;
	}
	if (x->attempt)
		attempt_cancel(x->attempt);
	if (!x->response_started)
		x->status = 0;
	exchange_end(x);
	client_end(g, c);
}

void exchange_fail(struct exchange *x, uint16_t status, const char *message)
{
	if (x->attempt)
		attempt_cancel(x->attempt);
	if (x->tunnel)
		tunnel_decline(x);
	if (x->response_started)
		exchange_cut(x); // a body cut short must look cut short
	else
		reply_error(x, status, message, 0);
}

void exchange_give_up(struct exchange *x)
{
	const struct attempt *a = x->attempt;
	bool sent = a && a->state == ATTEMPT_WAITING && x->request_relayed;

	count(x->g, CTR_http_given_up);
	x->keep_alive = false; // the head of one that is parked stands in the queue still
	exchange_fail(x, sent ? 504 : 503, "the configuration has changed too often since the request began");
}

void exchange_timer(struct exchange *x)
{
	struct gateway *g = x->g;

	if (tunnel_is_open(x)) {
		tunnel_timer(x);
		return;
	}
	if (x->deadline && g->now >= x->deadline) {
		count(g, CTR_http_request_timeout);
		if (x->attempt)
			stat_add(&g->conf.upstream_stats[x->attempt->stat_slot].timeouts, 1);
		exchange_fail(x, 504, "the upstream did not answer in time");
		return;
	}
	if (x->parked && g->now >= x->parked) {
		client_resume(x);
		return;
	}
	if (x->attempt && x->attempt->deadline && g->now >= x->attempt->deadline) {
		attempt_timeout(x->attempt);
		return;
	}
	if (x->encoding && x->encoding->flush_at && g->now >= x->encoding->flush_at)
		encode_wake(x->encoding);
	if (x->retry) {
		x->retry = false;
		if (!relay_request(x) || (x->attempt && !attempt_pump(x->attempt)))
			return;
	}
	exchange_arm(x);
}
