// Requests whose route follows from their head, and from who holds the connection: nobody is trusted, nothing
// is limited, no path is to be brought into another form. They need no exchange where there is no body, and
// their route has an answer that control has prepared; and little more than one where they pass to an upstream
// as they came. All that sets others apart is asked for here, once; what does not fit goes the usual way, and
// nothing but time depends on which way it went.
#include "gateway/exchange.h"

#define USUAL_METHODS (1u << METHOD_CONNECT | 1u << METHOD_OPTIONS | 1u << METHOD_TRACE)

static inline bool plain(const struct gateway *g, const struct listener_rules *rules, const struct http_head *h)
{
	return rules->plain && !(USUAL_METHODS >> h->method & 1) && h->minor >= 1 && !h->path_encoded &&
	       !in_flight_maybe(g, rules->listener->credits);
}

static inline bool passes(const struct gateway *g, const struct snap_route *r)
{
	return r->action == ACTION_TO && !r->stages && !r->path.slashes && !r->path.dot_segments &&
	       !in_flight_maybe(g, r->credits);
}

// Whether this request of a route that has an answer gets it at once.
static inline bool answers_at_once(const struct gateway *g, const struct http_head *h)
{
	return h->framing == FRAMING_NONE && (h->method == METHOD_GET || h->method == METHOD_HEAD) &&
	       !logs_requests(g) && !in_flight_by_hand(g);
}

// The head's buffer to write to, or a fresh one where that holds more or is somebody else's. The head is
// dropped from the queue; NULL: it is not, as there is no buffer.
static inline struct pkt *buffer_take(struct gateway *g, struct tcp_conn *c, uint32_t n)
{
	struct pkt *p = tcp_recv_peek(c);

	if (__builtin_expect(pkt_len(p) == n && pkt_exclusive(p) && !pkt_small(p), 1))
		return tcp_recv_take(c);
	p = pkt_alloc(g->conf.pool);
	if (p)
		tcp_recv_skip(c, n);
	return p;
}

enum prompt prompt_reply(struct gateway *g, struct tcp_conn *c, const struct listener_rules *rules,
			 uint32_t head_length, uint32_t served)
{
	const struct snap_listener *l = rules->listener;
	struct http_head *h = &g->head;
	const struct snapshot *s = gateway_snapshot(g);
	const struct snap_answer *answer;
	struct snap_prompt prompt;
	struct pkt *p;
	char id[32];
	bool keep_alive;

	if (!plain(g, rules, h))
		return PROMPT_NOT;
	if (g->found == ROUTE_UNKNOWN) {
		struct route_query query = client_asks(g, g->current, l, tcp_remote(c), h);

		g->found = route_find(s, &query, &g->match);
	}
	if (g->found != ROUTE_FOUND)
		return PROMPT_NOT;
	prompt = snap_prompt(s, g->match.index);
	if (!prompt.answer)
		return passes(g, g->match.route) ? PROMPT_PASS : PROMPT_NOT;
	if (!answers_at_once(g, h))
		return PROMPT_NOT;
	answer = (const struct snap_answer *)snap_at(s, s->answers) + (prompt.answer - 1);
	p = buffer_take(g, c, head_length);
	if (!p)
		return PROMPT_NOT;
	g->found = ROUTE_UNKNOWN;
	g->prepared = NULL;
	keep_alive = h->keep_alive && !g->draining && (l->max_requests == 0 || served + 1 < l->max_requests);
	request_id_make(g, id);
	prepared_put(g, s, answer, id, h->method == METHOD_HEAD, keep_alive, p);
	tcp_send(c, p);
	count(g, CTR_http_requests);
	stat_add(&g->conf.stats->at_once[answer->status / 100][prompt.stat_slot], 1);
	return keep_alive ? PROMPT_OPEN : PROMPT_CLOSE;
}

void exchange_pass(struct exchange *x, uint32_t head_length)
{
	struct gateway *g = x->g;

	x->route = g->match.route;
	g->peer_trusted = false;
	if (!plain_request(x, &head_length)) {
		exchange_route(x, head_length);
		return;
	}
	g->found = ROUTE_UNKNOWN;
	g->prepared = NULL;
	x->route_slot = x->route->stat_slot;
	stat_add(&g->conf.route_stats[x->route_slot].started, 1);
	exchange_forward(x, head_length);
}
