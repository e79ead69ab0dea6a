// Record of the `ratelimit` stage in a route: an array of struct snap_limit_use (contract/snapshot.h), at most
// SNAP_LIMIT_USES_MAX. Listeners have the same records, outside of stages.
//   rate_limit: [per_client, {limit: orders, cost: 5}]
#pragma once
#include "contract/snapshot.h"
