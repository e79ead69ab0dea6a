// The stages' records, which snapshot_verify() takes for opaque bytes.
#include "policy/stage.h"
#include <stdio.h>

static bool record_inside(const struct snapshot *s, struct snap_ref r)
{
	return r.off % 8 == 0 && r.off >= sizeof(*s) && r.off <= s->size && r.n <= s->size - r.off;
}

static bool stage_verify(const struct snapshot *s, enum stage stage, struct snap_ref r)
{
	if (!record_inside(s, r))
		return false;
	switch (stage) {
#define STAGE(name, hooks, help)                                                                               \
	case STAGE_##name:                                                                                     \
		return name##_verify(s, snap_at(s, r), r.n);
#include "contract/stages.def"
#undef STAGE
	case STAGE_COUNT:
		break;
	}
	return false;
}

static const char *stage_name(enum stage stage)
{
	switch (stage) {
#define STAGE(name, hooks, help)                                                                               \
	case STAGE_##name:                                                                                     \
		return #name;
#include "contract/stages.def"
#undef STAGE
	case STAGE_COUNT:
		break;
	}
	return "unknown";
}

bool policy_verify(const struct snapshot *s, char *why, size_t why_size)
{
	const struct snap_route *routes = snap_at(s, s->routes);

	if (!ratelimit_limits_verify(s)) {
		snprintf(why, why_size, "a limit whose name or header field cannot be sent");
		return false;
	}
	for (uint32_t i = 0; i < s->routes.n; i++) {
		if (routes[i].stages >> STAGE_COUNT) {
			snprintf(why, why_size, "route %u: a stage that does not exist", i);
			return false;
		}
		for (enum stage k = 0; k < STAGE_COUNT; k++) {
			// A listener's limits have the record looked at where the route has none, too.
			if (routes[i].stages & 1u << k ? stage_verify(s, k, routes[i].stage_conf[k])
						       : routes[i].stage_conf[k].n == 0)
				continue;
			snprintf(why, why_size, "route %u: bad record of stage %s", i, stage_name(k));
			return false;
		}
	}
	return true;
}
