// Which route takes a request: a walk over the snapshot's tables; pure, no state (safe on any thread).
// The first matching route in the order of the file wins, whatever its kind of match. Host and path are matched
// through tables; a route's further conditions (condition.h, negotiate.h) are looked at only where host, path
// and method fit.
#pragma once
#include "contract/snapshot.h"
#include "http/head.h"

// BEYOND: of a route before all that match nobody knows whether it does, as a regular expression met its bound.
enum route_result { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_NO_METHOD, ROUTE_NOT_ACCEPTABLE, ROUTE_BEYOND };

#define ROUTE_PARAMS 16
#define ROUTE_OFFERS 16
#define ROUTE_BURST  32

struct regex_set;
struct regex_matcher;

struct route_query {
	// host may be empty; a trailing dot is ignored and case does not matter. path begins with '/', or is
	// "*".
	struct slice host, path, query; // query: without '?'
	enum http_method method;
	uint32_t listener; // index
	struct addr client;
	const struct http_head *head; // fields; NULL: none
	// What expressions in conditions are matched with (route/regex.h); NULL: no such condition holds.
	const struct regex_set *regexes;
	struct regex_matcher *matcher;
	// Routes that take nothing for the time being: hash64 of their names.
	const _Atomic uint64_t *off;
	uint32_t n_off;
};

struct route_match {
	const struct snap_route *route; // ROUTE_FOUND
	uint32_t index;
	uint32_t allow; // ROUTE_NO_METHOD: methods that routes of this host and path take, bits of enum
			// http_method
	uint32_t n_params;
	struct slice rest; // of the path, from the slash on that ends the route's prefix; empty without one
	struct slice param[ROUTE_PARAMS]; // captures, in the order of the pattern; not decoded
	uint32_t n_offers;                // ROUTE_NOT_ACCEPTABLE: routes that another request would get
	uint32_t offer[ROUTE_OFFERS];
};

enum route_result route_find(const struct snapshot *s, const struct route_query *q, struct route_match *m);
// The same for up to ROUTE_BURST requests at once: the tables' lines that they need are fetched side by side.
void route_find_burst(const struct snapshot *s, const struct route_query *const *q,
		      struct route_match *const *m, enum route_result *result, unsigned n);

// The Allow field's value for a set of methods; returns its length.
int route_allow(char *dst, size_t room, uint32_t methods);
