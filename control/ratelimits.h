// Rate limits in the configuration: their keys, their rates, and where listeners and routes use them.
#pragma once
#include "blob.h"
#include "config.h"

// The limits themselves; before any use of them.
void check_limits(struct diag *d, const struct conf_root *root);
// Their use in a listener (path NULL) or a route, whose path has the captures that keys may name.
void check_limit_uses(struct diag *d, const struct conf_root *root, const struct list *uses,
		      const struct text *path);
// The records of uses that have passed the check.
struct snap_ref limit_uses_add(struct blob *b, const struct conf_root *root, const struct list *uses,
			       const struct text *path);
// One part of a key: its kind (enum snap_limit_part_kind) and the name behind the colon. false, with a reason.
bool limit_part_parse(const struct text *t, uint32_t *kind, struct text *name, const char **why);
// The word of a kind of part.
const char *limit_part_name(uint32_t kind);
