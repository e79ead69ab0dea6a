// One generation: a sealed memfd with a verified snapshot, mapped read-only.
#pragma once
#include "blob.h"
#include <stddef.h>

struct generation {
	int fd; // -1: none
	const struct snapshot *snapshot;
	size_t size;
};

#define GENERATION_NONE ((struct generation){.fd = -1})

// A sealed copy of the blob. 0, or -1 with a sentence in why.
int generation_seal(struct generation *g, const struct blob *b, char *why, size_t why_size);
// Takes over a descriptor that came from elsewhere: checks its seals and verifies the snapshot. The descriptor
// is closed on failure.
int generation_adopt(struct generation *g, int fd, char *why, size_t why_size);
void generation_drop(struct generation *g);
