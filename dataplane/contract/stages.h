// The list of policy stages, generated from stages.def; see policy/stage.h for how they run.
#pragma once
#include "base/slice.h"

enum stage {
#define STAGE(name, hooks, help) STAGE_##name,
#include "contract/stages.def"
#undef STAGE
	STAGE_COUNT
};
_Static_assert(STAGE_COUNT <= 8, "snap_route.stage_conf has room for 8 stages");

enum stage_hook { HOOK_HEAD = 1, HOOK_RESPONSE = 2 };
