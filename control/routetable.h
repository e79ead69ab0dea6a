// Compiles the routes' patterns into the snapshot's route tables (contract/snapshot.h); route/route.h says how
// they are read. Hosts: "api.example.com", "*.example.com" (one or more labels in front), "" or "*" for any.
// Paths are split at '/': "/" is [""], "/a" is ["a"], "/a/" is ["a", ""]. "{name}" stands for one segment that
// is not empty, "{name...}" at the end for all that follows, at least one byte. A prefix matches on segment
// borders, and its own trailing slash does not count: "/a" and "/a/" both take "/a", "/a/" and "/a/b"; "/"
// takes all.
#pragma once
#include "blob.h"

struct route_pattern {
	struct slice host, path;
	bool prefix;
	bool conditions;  // the route has some
	uint32_t methods; // of the route
};

// What the data plane's walk is bounded by. A pattern beyond it, or a path that does not begin with '/', is
// refused; routetable_check() says which, for messages.
#define ROUTE_SEGMENTS_MAX 64  // of a pattern's path
#define ROUTE_LABELS_MAX   16  // of a "*." host
#define ROUTE_HOST_MAX     255 // bytes

// NULL, or what is wrong with the pattern.
const char *routetable_check(const struct route_pattern *p);
// Pattern i is route i. Sets hosts, order, nodes, ends, host_any, host_suffixes and touched of the header,
// which lives outside of the blob. false: a pattern that routetable_check() refuses, or the blob has failed.
bool routetable_build(struct blob *b, const struct route_pattern *p, uint32_t n, struct snapshot *header);
// Then, of the routes' records: sets prompts and answers, adds to touched. false: no memory.
bool routetable_prompts(struct blob *b, const struct snap_route *routes, uint32_t n, struct snapshot *header);
