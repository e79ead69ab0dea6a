// The stages of contract/stages.def one after the other, as straight-line code: a stage costs a test of the
// route's mask where it is not configured, and a direct call where it is.
#include "policy/stage.h"

#define STAGE(name, hooks, help) [STAGE_##name] = (hooks),
const uint8_t stage_hooks[STAGE_COUNT] = {
#include "contract/stages.def"
};
#undef STAGE

enum verdict policy_run(enum stage_hook hook, uint32_t mask, const struct snap_ref *confs,
			struct stage_ctx *ctx, enum stage from, enum stage *at)
{
	enum verdict v;

	mask &= UINT32_MAX << from;
#define STAGE(name, hooks, help)                                                                               \
	if (((hooks)&hook) && (mask & 1u << STAGE_##name)) {                                                   \
		ctx->conf = snap_at(ctx->snapshot, confs[STAGE_##name]);                                       \
		ctx->conf_size = confs[STAGE_##name].n;                                                        \
		v = name##_run(hook, ctx);                                                                     \
		if (v != VERDICT_PASS) {                                                                       \
			*at = STAGE_##name;                                                                    \
			return v;                                                                              \
		}                                                                                              \
		ctx->resumed = false;                                                                          \
	}
#include "contract/stages.def"
#undef STAGE
	return VERDICT_PASS;
}
