// What CORS (policy/cors) needs of an exchange beside the stage's hooks.
#include "policy/cors/cors.h"
#include "gateway/exchange.h"

static const struct cors_conf *conf_of(const struct exchange *x, const struct snap_route *route)
{
	return snap_at(x->snapshot, route->stage_conf[STAGE_cors]);
}

bool preflight_route(struct exchange *x, struct route_query *query)
{
	struct gateway *g = x->g;
	bool found;

	if (!cors_preflight(&g->head))
		return false;
	query->method = http_method_of(http_find(&g->head, SLICE("access-control-request-method"))->value);
	found = query->method != METHOD_CONNECT && route_find(x->snapshot, query, &g->match) == ROUTE_FOUND &&
		g->match.route->stages & 1u << STAGE_cors;
	if (!found)
		query->method = METHOD_OPTIONS;
	return found;
}

void cors_begin(struct exchange *x)
{
	x->cors = cors_origin(x->snapshot, conf_of(x, x->route), &x->g->head);
}

struct slice cors_lines(struct exchange *x)
{
	struct gateway *g = x->g;

	if (!x->route || !(x->route->stages & 1u << STAGE_cors))
		return SLICE("");
	return slice_of(g->path_next, cors_fields(x->snapshot, conf_of(x, x->route), x->cors, g->path_next));
}
