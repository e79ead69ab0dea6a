#include "weights.h"
#include <stdlib.h>

static int32_t by_hand(struct region *r, const struct snap_target *t)
{
	return t->slot ? atomic_load(&region_targets(r)[t->slot].weight) : -1;
}

// All weights of a route's targets together, as they hold.
static uint64_t total(struct region *r, const struct snapshot *s, const struct snap_route *route)
{
	const struct snap_target *t = snap_at(s, route->targets);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < route->targets.n; i++) {
		int32_t hand = by_hand(r, &t[i]);

		sum += hand >= 0 ? (uint32_t)hand : t[i].weight;
	}
	return sum;
}

// It has nothing to go to now either, and that is by hand as well.
static bool was_stopped(struct region *r, const struct snapshot *now, struct slice name)
{
	const struct snap_route *route = snap_at(now, now->routes);

	for (uint32_t i = 0; i < now->routes.n; i++)
		if (slice_eq(snap_text(now, route[i].name), name))
			return route[i].targets.n > 1 && total(r, now, &route[i]) == 0;
	return false;
}

struct weight_taken *weights_take(struct region *r, const struct snapshot *now, const struct snapshot *next,
				  size_t *n)
{
	const struct snap_route *route = snap_at(next, next->routes);
	struct weight_taken *taken = NULL, *more;

	*n = 0;
	for (uint32_t i = 0; i < next->routes.n; i++) {
		const struct snap_target *t = snap_at(next, route[i].targets);

		if (!route[i].targets.n || total(r, next, &route[i]) ||
		    was_stopped(r, now, snap_text(next, route[i].name)))
			continue;
		for (uint32_t k = 0; k < route[i].targets.n; k++) {
			if (by_hand(r, &t[k]) != 0 || !t[k].weight)
				continue;
			more = realloc(taken, (*n + 1) * sizeof(*taken));
			if (!more)
				return taken;
			taken = more;
			taken[(*n)++] = (struct weight_taken){.slot = t[k].slot, .route = i, .target = k};
			atomic_store(&region_targets(r)[t[k].slot].weight, -1);
		}
	}
	return taken;
}

void weights_give_back(struct region *r, const struct weight_taken *taken, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_store(&region_targets(r)[taken[i].slot].weight, 0);
}
