// What is limited for the first time gets its credits before the generation is published; what was limited
// before changes when all workers run it.
#include "in_flight.h"
#include "command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t wanted(struct region *r, uint32_t slot, uint32_t configured)
{
	uint32_t hand = atomic_load(&region_credits(r)[slot].hand);

	return hand ? hand - 1 : configured;
}

static void apply(struct region *r, uint16_t credits, uint32_t configured, bool if_none)
{
	uint32_t slot = credits & ~SNAP_LIMITED;

	if (slot && !(if_none && credits_limit_now(r, slot)))
		credits_limit(r, slot, wanted(r, slot, configured));
}

static void apply_all(struct region *r, const struct snapshot *s, bool if_none)
{
	const struct snap_listener *l = snap_at(s, s->listeners);
	const struct snap_route *route = snap_at(s, s->routes);

	for (uint32_t i = 0; i < s->listeners.n; i++)
		apply(r, l[i].credits, l[i].max_in_flight, if_none);
	for (uint32_t i = 0; i < s->routes.n; i++)
		apply(r, route[i].credits, route[i].max_in_flight, if_none);
}

void in_flight_apply(struct region *r, const struct snapshot *s)
{
	apply_all(r, s, false);
}

void in_flight_prepare(struct region *r, const struct snapshot *next)
{
	apply_all(r, next, true);
}

void command_in_flight_row(struct region *r, json_t *row, uint16_t credits)
{
	uint32_t slot = credits & ~SNAP_LIMITED;
	uint64_t refused = 0;

	for (uint32_t w = 0; slot && w < region_workers(r); w++)
		refused += stat_get(&region_credit_cells(r, w)[slot].refused);
	json_object_update_new(
		row, json_pack("{s:I, s:I, s:I, s:s}", "max_in_flight",
			       (json_int_t)(slot ? credits_limit_now(r, slot) : 0), "in_flight",
			       (json_int_t)(slot ? credits_used(r, slot) : 0), "in_flight_refused",
			       (json_int_t)refused, "max_in_flight_set_by",
			       slot && atomic_load(&region_credits(r)[slot].hand) ? "hand" : "configuration"));
}

void command_set_in_flight(struct request *rq, const char *kind, uint16_t credits, uint32_t configured)
{
	struct region *r = rq->control->instance.region;
	uint32_t slot = credits & ~SNAP_LIMITED, hand, before;
	const char *word = rq->argv[2];
	char *end;

	if (strcmp(word, "auto") == 0) {
		hand = 0;
	} else if (strcmp(word, "none") == 0) {
		hand = 1;
	} else {
		unsigned long v = strtoul(word, &end, 10);

		if (*end || end == word || *word == '-' || v == 0 || v > CREDITS_MAX) {
			request_error(rq, "\"%s\" is no number of requests: 1..%u, none or auto", word,
				      CREDITS_MAX);
			return;
		}
		hand = (uint32_t)v + 1;
	}
	if (!slot) {
		request_error(rq, "more than %d routes and listeners: this one can have no limit",
			      REGION_CREDITS - 1);
		return;
	}
	before = atomic_exchange(&region_credits(r)[slot].hand, hand);
	// The credits are there before a worker looks for them, and go when none does.
	if (hand)
		credits_limit(r, slot, hand - 1);
	if (hand && !before)
		atomic_fetch_add(&r->n_credits_by_hand, 1);
	else if (!hand && before)
		atomic_fetch_sub(&r->n_credits_by_hand, 1);
	if (!hand)
		credits_limit(r, slot, configured);
	request_log(rq, "%s %s: requests in flight set to %s", kind, rq->argv[0], word);

	json_t *row = json_pack("{s:s}", kind, rq->argv[0]);

	command_in_flight_row(r, row, credits);
	request_answer(rq, row);
}
