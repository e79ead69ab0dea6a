// Rate limits of requests, as one worker applies them: the limits of the listener and of the route together,
// each under a key of its own, all of them or none.
//
// A request is looked at under every limit first and charged only where all let it pass. Where another worker's
// request came between and one limit refuses after all, what the others were charged is given back.
#pragma once
#include "base/arena.h"
#include "contract/limit_table.h"
#include "contract/region.h"
#include "policy/stage.h"

struct ratelimit_config {
	unsigned worker;
	struct region *region;
	const struct limit_table *table; // copied; NULL: none, every key finds no place
};

size_t ratelimit_memory(void); // arena bytes, at most
// NULL: no memory.
struct ratelimit *ratelimit_create(struct arena *a, const struct ratelimit_config *conf);

// So that the checks of a burst overlap: for each request ratelimit_prepare(), which makes its keys; then for
// each ratelimit_prefetch(), which asks for the lines of the table, with nothing else in between; then for each
// ratelimit_decide(). ratelimit_run() is all of them, one after the other, or the last alone where the first
// were done before.
#define RATELIMIT_CHECKS_MAX (2 * SNAP_LIMIT_USES_MAX)
struct ratelimit_check {
	const struct snap_limit *limit;
	const struct snap_limit_use *use;
	struct limit_table_key key, blocked, strikes; // the latter two only where the limit blocks
	uint64_t cost, tolerance, interval, tat;
};
struct ratelimit_checks {
	unsigned n;
	bool fragile; // a key is of a field that what comes before this stage may add or drop without being
		      // asked
	struct ratelimit_check v[RATELIMIT_CHECKS_MAX];
};
void ratelimit_prepare(const struct stage_ctx *ctx, struct ratelimit_checks *checks);
void ratelimit_prefetch(const struct stage_ctx *ctx, const struct ratelimit_checks *checks);
enum verdict ratelimit_decide(struct stage_ctx *ctx, struct ratelimit_checks *checks);
