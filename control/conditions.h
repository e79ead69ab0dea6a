// What a route's `match` asks beside host, path and method (contract/snapshot.h, snap_condition).
#pragma once
#include "blob.h"
#include "config.h"

void check_conditions(struct config *c, const struct conf_match *m);
// Regular expressions met so far, none twice.
struct expressions {
	const struct text *v[SNAP_REGEXES_MAX];
	uint32_t n;
	bool full; // another one was met
};
// The records, by kind; n = 0: none. The check has found nothing.
struct snap_ref conditions_add(struct blob *b, const struct conf_root *root, const struct conf_match *m,
			       struct expressions *e);
struct snap_ref expressions_add(struct blob *b, const struct expressions *e);
bool conditions_any(const struct conf_match *m);
// Whether whatever fulfils b's fulfils a's, as far as that is easily said.
bool conditions_cover(const struct conf_match *a, const struct conf_match *b);

void check_apis(struct config *c);
struct snap_ref apis_add(struct blob *b, const struct conf_root *root);
// "api/version"; UINT32_MAX in *api: no such API. The version is NULL where the API has none of that name.
const struct conf_version *version_find(const struct conf_root *root, const struct text *name, uint32_t *api);
