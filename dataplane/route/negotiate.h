// Content negotiation and versions. A route that says what it serves (accept, language, version) is a variant
// of its resource; the variants of a resource are the routes of one host, path pattern and kind of path. Of
// those whose other conditions and method fit, the one that the client likes best is the only one that matches;
// of equals the first in the file.
//
//   Accept           RFC 9110 12.5.1: the most specific range that takes the type gives its weight; a range
//   with
//                    parameters takes no type of ours, which have none
//   Accept-Language  RFC 9110 12.5.4 with RFC 4647: a range takes a language of its own and what is below it
//                    ("en" takes "en-GB"); failing that "en-GB" takes "en" (lookup); failing that "*"
//   version          what the API's header field names, or else the best of the API's own media types in
//   Accept,
//                    or else the API's default
#pragma once
#include "route/route.h"

// 0: not acceptable; at most 1000000.
uint32_t negotiate_quality(const struct snapshot *s, const struct snap_route *r, const struct route_query *q);
bool negotiate_is_variant(const struct snapshot *s, const struct snap_route *r);
// The version of an API that a request asks for.
struct slice negotiate_version(const struct snapshot *s, const struct snap_api *api,
			       const struct route_query *q);
