// Requests in flight: an exchange has a credit of its listener and one of its route, where these have limits,
// from its head to its end, however it ends.
#include "contract/credits.h"
#include "gateway/exchange.h"

enum { OF_LISTENER, OF_ROUTE };

// credits: as a route or listener has it.
static bool enter(struct exchange *x, unsigned of, uint16_t credits)
{
	struct gateway *g = x->g;
	struct region *r = g->conf.region;
	uint16_t slot = (uint16_t)(credits & ~SNAP_LIMITED);
	struct region_credit_cell *cell;

	switch (credits_take(r, g->conf.worker, slot)) {
	case CREDIT_TAKEN:
		x->credit[of] = slot;
		return true;
	case CREDIT_NO_LIMIT:
		return true;
	case CREDIT_REFUSED:
		break;
	}
	cell = &region_credit_cells(r, g->conf.worker)[slot];
	stat_add(&cell->refused, 1);
	return false;
}

static bool refuse(struct exchange *x, enum counter counter, uint32_t head_length)
{
	tcp_recv_skip(x->client, head_length);
	count(x->g, counter);
	reply_error(x, 503, "too many requests are in flight", 0);
	return false;
}

bool in_flight_through(struct exchange *x, uint32_t head_length)
{
	uint16_t credits = x->listener->credits;

	if (enter(x, OF_LISTENER, credits))
		return true;
	stat_add(&x->g->conf.route_stats[x->route_slot].started, 1); // its end is counted
	return refuse(x, CTR_http_listener_full, head_length);
}

bool in_flight_on(struct exchange *x, uint32_t head_length)
{
	uint16_t credits = x->route->credits;

	return enter(x, OF_ROUTE, credits) || refuse(x, CTR_http_route_full, head_length);
}

void in_flight_end(struct exchange *x)
{
	for (unsigned of = OF_LISTENER; of <= OF_ROUTE; of++)
		if (x->credit[of])
			credits_give(x->g->conf.region, x->g->conf.worker, x->credit[of]);
}
