// Limits on requests in flight: what the configuration, or an operator, wants goes into the region's credits.
#pragma once
#include "contract/credits.h"

// The limits of this generation, which all workers run.
void in_flight_apply(struct region *r, const struct snapshot *s);
// The limits that are new with a generation which workers are about to run: none of its requests may go
// uncounted.
void in_flight_prepare(struct region *r, const struct snapshot *next);
