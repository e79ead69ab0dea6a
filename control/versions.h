// Versions of APIs: what an answer says of the version that gave it, and the document that lists them.
#pragma once
#include "blob.h"
#include "config.h"

struct version_fields {
	char deprecation[32]; // RFC 9745: "@" and seconds; empty: none
	char sunset[32];      // RFC 8594: an IMF-fixdate; empty: none
	char link[1100];      // RFC 8288; empty: none
};

// The version whose answers the route gives (api_version, or else match.version); NULL: none.
const struct conf_version *version_of(const struct conf_root *root, const struct conf_route *r);
void version_fields(const struct conf_version *v, struct version_fields *f);
// "2026-01-31" in seconds since 1970; false where it is no day after that.
bool version_day(const struct text *t, uint64_t *seconds);
void check_versions(struct config *c, const struct conf_route *r);
// JSON.
struct snap_ref versions_document(struct blob *b, const struct conf_root *root, const struct text *api);
