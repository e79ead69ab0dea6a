// Credits: how many requests a route or a listener may have in flight, over all workers.
//
// There are as many credits as the limit allows. Each is either idle, in the cell of one worker or at home (a
// cell that all share), or in use by one request. A worker takes from its own cell and gives back to it, so
// that what it usually needs lies there after a while and no other worker's line is touched; where its cell is
// empty it takes one from home, or from another worker. Every step moves one credit by one compare-and-swap, so
// none is ever in two places or in none: the limit is never exceeded, whatever the interleaving, and nobody is
// refused while a credit is idle. Refused is who saw every cell empty twice, with no change between: at that
// moment all were in use.
//
// A limit is lowered at once, while more requests may be in flight than it allows then: home goes below zero,
// and as long as it is there what is given back, or lies idle, goes home and nothing is taken. (A credit on its
// way home is nowhere for some ns: just after a limit was lowered a refusal due to that is possible.)
//
// Any thread may take and give for the worker that it is; control alone changes limits. Nothing blocks.
#pragma once
#include "contract/region.h"

#define CREDITS_MAX 1000000u // of one limit

enum credit {
	CREDIT_TAKEN,    // one request more: it must give it back
	CREDIT_NO_LIMIT, // nothing to give back
	CREDIT_REFUSED,
};

enum credit credits_take(struct region *r, uint32_t worker, uint32_t slot);
void credits_give(struct region *r, uint32_t worker, uint32_t slot);
// In use now; while it changes, about.
uint32_t credits_used(struct region *r, uint32_t slot);

// Control's. In force from now on for every request that begins; 0: no limit. Requests that began while there
// was none are not counted.
void credits_limit(struct region *r, uint32_t slot, uint32_t limit);
uint32_t credits_limit_now(const struct region *r, uint32_t slot); // 0: none
// Nobody uses any: a data plane has died, and the next one does not run yet.
void credits_restart(struct region *r);
