#include "stage.h"

const struct stage_compiler *const stage_compilers[STAGE_COUNT] = {
#define STAGE(name, hooks, help) &name##_compiler,
#include "contract/stages.def"
#undef STAGE
};

const char *const stage_names[STAGE_COUNT] = {
#define STAGE(name, hooks, help) #name,
#include "contract/stages.def"
#undef STAGE
};
