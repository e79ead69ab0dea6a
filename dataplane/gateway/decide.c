// What becomes of a request: its route, what stands in its way (limits, lists, other stages), and who answers.
#include "gateway/rewrite.h"
#include "gateway/sticky.h"
#include "gateway/tunnel.h"

// The head stays in the receive queue until its time comes, and is parsed anew then: until that, nothing is
// kept of the request but what stands in x.
static void exchange_park(struct exchange *x, const struct stage_ctx *ctx, enum stage at)
{
	x->parked = ctx->resume_at;
	x->parked_at = (uint8_t)at;
	x->parked_with = ctx->parked_with;
	tcp_set_timer(x->client, 0);
	exchange_arm(x);
}

// What policy says of the request; true where it may go on.
static bool exchange_stages(struct exchange *x, uint32_t stages, uint32_t head_length,
			    struct ratelimit_checks *prepared)
{
	static const struct snap_ref none[8];
	struct gateway *g = x->g;
	struct stage_ctx ctx = {.snapshot = x->snapshot,
				.now = g->now,
				.head = &g->head,
				.client = x->remote,
				.route = x->route,
				.listener = x->listener,
				.capture = g->match.param,
				.n_captures = g->match.n_params,
				.ratelimit = g->ratelimit,
				.prepared = prepared,
				.cors = x->cors,
				.scratch = g->path_next,
				.scratch_room = sizeof(g->path_next),
				.parked_with = x->parked_with,
				.resumed = x->parked != 0};
	enum stage at, from = x->parked ? (enum stage)x->parked_at : 0;
	enum verdict verdict;
	struct rewrite_values values;
	char kept[STAGE_KEPT_MAX];

	x->parked = 0;
	if (stages & 1u << STAGE_headers) {
		rewrite_values(x, &values);
		ctx.values = &values.values;
		ctx.text = g->text + g->text_used;
		ctx.text_room = (uint32_t)sizeof(g->text) - g->text_used;
		ctx.kept = kept;
	}
	verdict = policy_run(HOOK_HEAD, stages, x->route ? x->route->stage_conf : none, &ctx, from, &at);
	if (ctx.text)
		g->text_used = (uint32_t)(ctx.text - g->text);
	if (verdict == VERDICT_PASS && ctx.kept_n && !rewrite_keep(x, slice_of(kept, ctx.kept_n))) {
		tcp_recv_skip(x->client, head_length);
		count(g, CTR_http_overload);
		reply_error(x, 503, "the gateway is overloaded", 0);
		return false;
	}
	x->coding = ctx.coding;
	switch (verdict) {
	case VERDICT_PASS:
		return true;
	case VERDICT_REPLY:
		tcp_recv_skip(x->client, head_length);
		if (ctx.fields.n)
			reply_refusal(x, ctx.status, ctx.message, ctx.fields);
		else
			reply_error(x, ctx.status, ctx.message, 0);
		return false;
	case VERDICT_PARK:
		exchange_park(x, &ctx, at);
		return false;
	case VERDICT_DROP:
		break;
	}
	exchange_abort(x);
	return false;
}

static uint32_t routes_off(const struct region *r)
{
	uint32_t n = atomic_load_explicit(&r->n_routes_off, memory_order_acquire);

	return n <= REGION_ROUTES_OFF ? n : REGION_ROUTES_OFF;
}

struct route_query client_asks(const struct gateway *g, uint32_t generation, const struct snap_listener *l,
			       struct addr client, const struct http_head *h)
{
	const struct generation *n = &g->generation[generation];
	const struct snap_listener *first = snap_at(n->snapshot, n->snapshot->listeners);

	return (struct route_query){.host = h->host,
				    .path = h->method == METHOD_CONNECT ? SLICE("/")
									: h->path, // all it may ask for
				    .query = h->query,
				    .method = h->method,
				    .listener = (uint32_t)(l - first),
				    .client = client,
				    .head = h,
				    .regexes = n->regexes,
				    .matcher = g->matcher,
				    .off = g->conf.region->route_off,
				    .n_off = routes_off(g->conf.region)};
}

struct route_query client_query(const struct exchange *x, const struct http_head *h)
{
	return client_asks(x->g, x->generation, x->listener, x->remote, h);
}

void exchange_forward(struct exchange *x, uint32_t in_queue)
{
	if (in_queue)
		tcp_recv_skip(x->client, in_queue);
	// Where there is none, what is armed next makes the other one count.
	x->deadline = x->started + (x->route->timeout ? x->route->timeout : PIN_MAX);
	if (x->route->timeout)
		exchange_arm(x);
	attempt_start(x, NULL);
}

void exchange_route(struct exchange *x, uint32_t head_length)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	enum route_result found = g->found;
	struct ratelimit_checks *prepared = g->prepared;
	bool connect = h->method == METHOD_CONNECT;

	g->found = ROUTE_UNKNOWN;
	g->prepared = NULL;
	g->peer_trusted = x->listener->trusted.n && forwarded_client(x);

	struct route_query query;
	bool known =
		found != ROUTE_UNKNOWN; // as it is known, its query is needed for a path in another form alone
	// The listener's limits hold for what no route takes, too.
	uint32_t stages = x->listener->limits.n ? 1u << STAGE_ratelimit : 0;
	enum hops hops = HOPS_MORE;
	uint16_t status;

	if (in_flight_limited(x, x->listener->credits) && !in_flight_through(x, head_length))
		return;
	if (http_path_due(&x->listener->path, h)) {
		if (!path_apply(g, &x->listener->path)) {
			path_refuse(x, head_length);
			return;
		}
	}
	if (!known) {
		query = client_query(x, h);
		found = h->method == METHOD_OPTIONS && preflight_route(x, &query)
				? ROUTE_FOUND
				: route_find(x->snapshot, &query, &g->match);
	}
	if (found == ROUTE_FOUND && http_path_due(&g->match.route->path, h)) {
		if (known)
			query = client_query(x, h);
		if (!path_of_route(x, &query)) {
			path_refuse(x, head_length);
			return;
		}
	}
	if (connect) {
		x->keep_alive = false; // what comes behind it is meant for a tunnel, be there one or none
		if (found == ROUTE_FOUND && !g->match.route->connect)
			found = ROUTE_NOT_FOUND;
	}
	if (found == ROUTE_FOUND) {
		x->route = g->match.route;
		x->route_slot = x->route->stat_slot;
		stages |= x->route->stages;
		if (stages & 1u << STAGE_cors)
			cors_begin(x);
	}
	if (!x->parked)
		stat_add(&g->conf.route_stats[x->route_slot].started, 1);
	if (x->route && in_flight_limited(x, x->route->credits) && !in_flight_on(x, head_length))
		return;
	if (x->route && x->route->action == ACTION_TO &&
	    (h->method == METHOD_OPTIONS || h->method == METHOD_TRACE)) {
		hops = hops_count(x);
		if (hops == HOPS_BAD) {
			tcp_recv_skip(x->client, head_length);
			count(g, fault_counter(FAULT_bad_field_value));
			reply_error(x, 400, "malformed Max-Forwards", 0);
			return;
		}
	}
	if (x->route && x->route->action == ACTION_TO && !stages && !connect && hops == HOPS_MORE &&
	    !h->upgrade && plain_request(x, &head_length)) {
		exchange_forward(x, head_length);
		return;
	}
	// Before policy, so that a client cannot name a field in Connection that a stage is about to set.
	http_drop_hop_by_hop(h);
	g->text_used = 0;
	if (x->route && x->route->action == ACTION_TO && !forwarded_fields(x)) {
		tcp_recv_skip(x->client, head_length);
		reply_error(x, 431, "the request cannot be forwarded", 0);
		return;
	}
	if (stages && !exchange_stages(x, stages, head_length, prepared))
		return;
	if (found != ROUTE_FOUND) {
		tcp_recv_skip(x->client, head_length);
		count(g, found == ROUTE_NO_METHOD        ? CTR_http_no_method
			 : found == ROUTE_NOT_ACCEPTABLE ? CTR_http_not_acceptable
			 : found == ROUTE_BEYOND         ? CTR_http_regex_refused
							 : CTR_http_no_route);
		if (found == ROUTE_NO_METHOD)
			reply_error(x, 405, "the resource does not take this method", g->match.allow);
		else if (found == ROUTE_NOT_ACCEPTABLE)
			reply_offers(x);
		else if (found == ROUTE_BEYOND)
			reply_error(x, 400, "the request takes too long to match", 0);
		else
			reply_error(x, 404, "no route matches", 0);
		return;
	}
	if (x->route->action != ACTION_TO) {
		struct slice to = x->route->action == ACTION_REDIRECT ? rewrite_location(x) : slice_of("", 0);

		if (x->route->action == ACTION_REDIRECT && !to.n) {
			tcp_recv_skip(x->client, head_length);
			reply_error(x, 414, "there is no room for where it redirects to", 0);
			return;
		}
		reply_route(x, head_take(x->client, head_length), to);
		return;
	}
	if (x->route->sticky)
		sticky_ask(x);
	if (connect || (h->upgrade && x->route->upgrade)) {
		if (!tunnel_ask(x))
			return;
		if (connect) {
			tunnel_connect(x, head_length);
			return;
		}
	}
	if (hops == HOPS_NONE) {
		tcp_recv_skip(x->client, head_length);
		reply_last_hop(x);
		return;
	}
	status = forward_request(x);
	if (status) {
		tcp_recv_skip(x->client, head_length);
		reply_error(x, status, "the request cannot be forwarded", 0);
		return;
	}
	exchange_forward(x, head_length);
}
