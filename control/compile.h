// From a checked configuration to a snapshot.
#pragma once
#include "blob.h"
#include "config.h"
#include "contract/region.h"

// Builds the snapshot of c, with slots of the region for all that has a name (they are taken here and given
// back by compile_release()), and verifies it as the data plane will. 0, or -1 with a sentence in why; the blob
// is the caller's to free either way.
int compile_snapshot(struct blob *b, const struct config *c, struct region *r, uint64_t generation, char *why,
		     size_t why_size);
// The same with a region of its own that is thrown away: for --check.
int compile_dry(const struct config *c, const char *out, char *why, size_t why_size);
// Gives back the region's slots that no endpoint and no target of these (verified) snapshots has. Requests in
// flight may still run under the generation before (NULL: there is none).
void compile_release(struct region *r, const struct snapshot *running, const struct snapshot *before);
