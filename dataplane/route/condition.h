// A route's conditions on a request beside host, path and method: listener, client, header fields, query
// parameters, cookies. Several fields, parameters or cookies of one name: a condition holds where one of them
// fulfils it; "absent" where there is none. Values are compared byte by byte; those of query parameters (and
// their names) after percent-decoding, '+' being a blank. Where a regular expression
// meets a bound (regex.h) nobody knows.
#pragma once
#include "route/route.h"

enum holds { HOLDS_NOT, HOLDS, HOLDS_UNKNOWN };

// All those that are not negotiated (negotiate.h). UNKNOWN: one is, and all others hold.
enum holds conditions_hold(const struct snapshot *s, const struct snap_route *r, const struct route_query *q);
// Takes the next byte off a query's part as what it stands for. What is no escape stands for itself.
unsigned char query_byte_take(struct slice *s);
enum holds condition_holds(const struct snapshot *s, const struct snap_condition *c,
			   const struct route_query *q);
