// Which route takes a request: a walk over the snapshot's tables; pure, no state (safe on any thread).
// The first matching route in the order of the file wins, whatever its kind of match.
#pragma once
#include "contract/snapshot.h"
#include "http/head.h"

enum route_result { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_NO_METHOD };

#define ROUTE_PARAMS 16

struct route_match {
	const struct snap_route *route; // ROUTE_FOUND
	uint32_t index;
	uint32_t allow; // ROUTE_NO_METHOD: methods that routes of this host and path take, bits of enum
			// http_method
	uint32_t n_params;
	struct slice param[ROUTE_PARAMS]; // captures, in the order of the pattern
};

// listener: index, for routes bound to one (all are bound to every listener now). host may be empty; a
// trailing dot is ignored and case does not matter. path begins with '/'.
enum route_result route_find(const struct snapshot *s, uint32_t listener, struct slice host, struct slice path,
			     enum http_method method, struct route_match *m);
// The Allow field's value for a set of methods; returns its length.
int route_allow(char *dst, size_t room, uint32_t methods);
