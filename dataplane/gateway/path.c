// Paths in the form that a listener's and a route's policy want.
#include "gateway/exchange.h"

bool path_apply(struct gateway *g, const struct snap_path *policy)
{
	struct http_head *h = &g->head;
	size_t n;

	switch (http_path_apply(policy, h->path, g->path_next, &n)) {
	case HTTP_PATH_SAME:
		return true;
	case HTTP_PATH_REFUSED:
		return false;
	case HTTP_PATH_CHANGED:
		break;
	}
	// The query stays behind it, as they are forwarded in one piece. Both come from a target that is
	// shorter than either of the two buffers.
	if (h->query.p) {
		g->path_next[n] = '?';
		memcpy(g->path_next + n + 1, h->query.p, h->query.n);
		memcpy(g->path + n, g->path_next + n, h->query.n + 1);
		h->query.p = g->path + n + 1;
	}
	memcpy(g->path, g->path_next, n);
	h->path = slice_of(g->path, n);
	return true;
}

bool path_of_route(struct exchange *x, struct route_query *query)
{
	struct gateway *g = x->g;
	const struct snap_route *route = g->match.route;

	if (!path_apply(g, &route->path))
		return false;
	query->path = g->head.path;
	query->query = g->head.query;
	return route_find(x->snapshot, query, &g->match) == ROUTE_FOUND && g->match.route == route;
}

void path_refuse(struct exchange *x, uint32_t head_length)
{
	struct gateway *g = x->g;

	if (!x->parked)
		stat_add(&g->conf.route_stats[0].started, 1);
	tcp_recv_skip(x->client, head_length);
	count(g, CTR_http_path_refused);
	reply_error(x, 400, "the path is not in the form that is asked for", 0);
}
