// Requests that became whole in one burst of packets, decided together: each is parsed and noted as its
// connection is told of it; then the routes of all are looked up side by side; then what the decisions will
// touch is asked for (the route's record, its statistics and its answer, cells of rate limits); then each goes
// its way, in the order in which they came. What one waits for comes while others are worked on. A connection
// has one request among the noted, which stays in its queue, and what it has sent behind it follows when that
// is decided.
//
// It pays where tables are larger than the processor's caches; elsewhere, and where a request is alone in its
// burst, each goes its way as soon as it is parsed. Nothing but time depends on it.
#include "gateway/exchange.h"

#define CACHED (512u << 10) // bytes of tables and records that are taken to stay in the cache

void burst_configure(struct gateway *g, const struct snapshot *s)
{
	g->bursts = g->conf.bursts || s->touched > CACHED ||
		    (s->limits.n && g->conf.limits && g->conf.limits->head->size > CACHED);
}

// The head in hand, as far as it is used.
static void head_copy(struct http_head *to, const struct http_head *from)
{
	memcpy(to, from, offsetof(struct http_head, field) + from->n * sizeof(from->field[0]));
}

bool burst_note(struct gateway *g, struct tcp_conn *c, const struct snap_listener *l, uint32_t head_length,
		uint32_t served, uint32_t flags)
{
	struct noted *n = &g->noted[g->n_noted];

	// One that came in several buffers was copied to where the next such one will be; what the PROXY
	// protocol said of a client is known to its exchange.
	if (flags || head_length > pkt_len(tcp_recv_peek(c))) {
		head_copy(&g->head, &n->head);
		return false;
	}
	n->c = c;
	n->listener = l;
	n->head_length = head_length;
	n->served = served;
	n->found = ROUTE_UNKNOWN;
	n->prepared = false;
	g->n_noted++;
	return true;
}

void burst_forget(struct gateway *g, const struct tcp_conn *c)
{
	for (unsigned i = 0; i < g->n_noted; i++)
		if (g->noted[i].c == c)
			g->noted[i].c = NULL;
}

// Whether the route follows from the head as it is: not from who the client is, nor from a path in another
// form.
static bool plain(const struct noted *d)
{
	const struct snap_listener *l = d->listener;

	return !l->trusted.n && d->head.method != METHOD_OPTIONS && !http_path_due(&l->path, &d->head);
}

static void routes_find(struct gateway *g)
{
	const struct route_query *q[NOTED_MAX];
	struct route_match *m[NOTED_MAX];
	enum route_result result[NOTED_MAX];
	struct route_query query[NOTED_MAX];
	struct noted *of[NOTED_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < g->n_noted; i++) {
		struct noted *d = &g->noted[i];

		if (!d->c || !plain(d))
			continue;
		query[n] = client_asks(g, g->current, d->listener, tcp_remote(d->c), &d->head);
		q[n] = &query[n];
		m[n] = &d->match;
		of[n++] = d;
	}
	if (!n)
		return;
	route_find_burst(gateway_snapshot(g), q, m, result, n);
	for (unsigned i = 0; i < n; i++)
		of[i]->found = result[i];
}

// Whether nothing that comes before the limits can change what they are under: the path is as it was matched,
// and no field that a key is of is dropped or added (exchange_route()).
static bool lasts(const struct noted *d, const struct snap_route *r)
{
	return !d->checks.fragile && !http_has(&d->head, HDR_connection) && d->head.method != METHOD_CONNECT &&
	       !(r && http_path_due(&r->path, &d->head));
}

// The cells of what the listener and the route limit: all keys first, then the cells one right after the other.
// Where a key may yet become another one it is made again when it is decided, and this is a guess.
static void limits_ask(struct gateway *g)
{
	for (unsigned i = 0; i < g->n_noted; i++) {
		struct noted *d = &g->noted[i];
		const struct snap_route *r = d->found == ROUTE_FOUND ? d->match.route : NULL;
		bool of_route = r && r->stages & 1u << STAGE_ratelimit;

		d->checks.n = 0;
		if (!d->c || d->found == ROUTE_UNKNOWN || !(of_route || d->listener->limits.n))
			continue;
		ratelimit_prepare(
			&(struct stage_ctx){
				.snapshot = gateway_snapshot(g),
				.head = &d->head,
				.client = tcp_remote(d->c),
				.conf = of_route ? snap_at(gateway_snapshot(g), r->stage_conf[STAGE_ratelimit])
						 : NULL,
				.conf_size = of_route ? r->stage_conf[STAGE_ratelimit].n : 0,
				.route = r,
				.listener = d->listener,
				.capture = d->match.param,
				.n_captures = d->match.n_params,
				.ratelimit = g->ratelimit},
			&d->checks);
		d->prepared = lasts(d, r);
	}
	for (unsigned i = 0; i < g->n_noted; i++)
		for (unsigned k = 0; k < g->noted[i].checks.n; k++)
			limit_table_prefetch(&g->noted[i].checks.v[k].key);
}

// The lines that every request reads, and that one which is forwarded or limited does.
static void route_ask(const struct snap_route *r)
{
	__builtin_prefetch(r);
	__builtin_prefetch(&r->timeout);
	__builtin_prefetch(r->stage_conf);
}

static void records_ask(struct gateway *g)
{
	const struct snapshot *s = gateway_snapshot(g);
	const struct snap_answer *answers = snap_at(s, s->answers);

	for (unsigned i = 0; i < g->n_noted; i++) {
		const struct noted *d = &g->noted[i];
		struct snap_prompt prompt;
		const char *stats, *text;

		if (!d->c || d->found != ROUTE_FOUND)
			continue;
		prompt = snap_prompt(s, d->match.index);
		if (!prompt.answer) {
			stats = (const char *)&g->conf.route_stats[prompt.stat_slot];
			__builtin_prefetch(stats, 1);
			__builtin_prefetch(stats + 64, 1);
			route_ask(d->match.route);
			continue;
		}
		text = snap_at(s, answers[prompt.answer - 1].text);
		for (unsigned k = 0; k < 256; k += 64)
			__builtin_prefetch(text + k);
	}
}

static void match_copy(struct route_match *to, const struct route_match *from)
{
	memcpy(to, from, offsetof(struct route_match, param) + from->n_params * sizeof(from->param[0]));
	to->n_offers = from->n_offers;
	if (to->n_offers)
		memcpy(to->offer, from->offer, to->n_offers * sizeof(to->offer[0]));
}

static void decide(struct gateway *g, struct noted *d)
{
	head_copy(&g->head, &d->head);
	g->found = d->found;
	if (g->found != ROUTE_UNKNOWN)
		match_copy(&g->match, &d->match);
	g->prepared = d->prepared ? &d->checks : NULL;
	client_decided(g, d->c, d->head_length, d->served);
}

void gateway_decide(struct gateway *g)
{
	if (!g->n_noted)
		return;
	g->deciding = true;
	routes_find(g);
	records_ask(g);
	if (g->conf.limits && gateway_snapshot(g)->limits.n)
		limits_ask(g);
	for (unsigned i = 0; i < g->n_noted; i++)
		if (g->noted[i].c)
			decide(g, &g->noted[i]);
	g->n_noted = 0;
	g->deciding = false;
}
