// What a route's edits say of a field's name, for those who pass on fields that the stage never sees.
#pragma once
#include "base/slice.h"
#include "policy/headers/conf.h"

// The edits of the requests or responses of a route; n = 0: none.
struct snap_ref headers_edits(const struct snapshot *s, const struct snap_route *r, bool request);
static inline struct slice headers_edit_name(const struct snapshot *s, struct snap_ref edits, uint32_t i)
{
	return snap_text(s, ((const struct headers_edit *)snap_at(s, edits))[i].name);
}
