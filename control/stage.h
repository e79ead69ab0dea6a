// What a policy stage gives to control, in its compile.c: the keys it adds to a route, and how they become the
// stage's record in the snapshot. The list follows from stages.def.
#pragma once
#include "blob.h"
#include "config.h"
#include "contract/stages.h"

// Where the keys stand; what they name elsewhere in the file is found from here.
struct stage_place {
	const struct conf_root *root;
	const struct conf_route *route;
};

struct stage_compiler {
	// Is the stage configured in this route?
	bool (*present)(const void *conf, const struct stage_place *place);
	void (*check)(struct diag *d, const void *conf, const struct stage_place *place);
	// Adds the record to the blob; its reference counts bytes. The check has found nothing.
	struct snap_ref (*compile)(struct blob *b, const void *conf, const struct stage_place *place);
};

// <stage>_keys: their struct begins with struct object_head.
#define STAGE(name, hooks, help)                                                                               \
	extern const struct object name##_keys;                                                                \
	extern const struct stage_compiler name##_compiler;
#include "contract/stages.def"
#undef STAGE

extern const struct stage_compiler *const stage_compilers[STAGE_COUNT];
extern const char *const stage_names[STAGE_COUNT];
