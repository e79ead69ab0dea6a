// One generation of the configuration as this process holds it: the sealed descriptor and its mapping.
#pragma once
#include "contract/snapshot.h"

struct regex_set;

struct generation {
	const struct snapshot *snapshot; // NULL: free
	int fd;
	struct regex_set *regexes; // compiled from it; NULL: it has none
	void *map;                 // that it lies in
	size_t map_size;
	uint64_t replaced; // when, ns; by process.h's owner alone
};

// Takes over fd (closed on failure). Checks the seals, maps it read-only (a large one is copied to large pages,
// as far as the system gives them: a request touches a dozen places of it) and verifies all of it, the policy
// stages' records too, and compiles its regular expressions. 0, or -errno with a sentence in why.
int generation_open(struct generation *g, int fd, char *why, size_t why_size);
void generation_close(struct generation *g);
// Whether `next` may run in a data plane that was started under `running`: what is fixed for its life is the
// same. false with a sentence in why.
bool generation_fits(const struct snapshot *running, const struct snapshot *next, char *why, size_t why_size);
