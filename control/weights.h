// Weights of routes' targets that were set by hand, over a reload.
#pragma once
#include "contract/region.h"
#include "contract/snapshot.h"
#include <stddef.h>

// A weight of 0 that was taken back.
struct weight_taken {
	uint32_t slot;          // of its target
	uint32_t route, target; // in the new snapshot
};

// Takes back weights of 0 set by hand that would leave a route of `next` with nothing to go to though it is
// configured to go somewhere, and went somewhere until now. Those that were, in an array to be freed by the
// caller; NULL: none, or no memory.
struct weight_taken *weights_take(struct region *r, const struct snapshot *now, const struct snapshot *next,
				  size_t *n);
// They hold again, as `next` is not taken.
void weights_give_back(struct region *r, const struct weight_taken *taken, size_t n);
