// How many connections each client has: one count for each address (of IPv6: prefix) and listener that has any.
//
// A table of fixed size for one worker. Buckets are one cache line of five counts; a key, which is a keyed hash
// that nobody outside can aim, stands in one of two. At most 60 % are ever in use, as many as there may be
// connections, so that practically always one is free; where not, the connection is not counted.
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/hash.h"
#include <stdint.h>

#define SOURCE_WAYS 5

struct source_bucket {
	uint64_t key[SOURCE_WAYS]; // 0: free
	uint32_t count[SOURCE_WAYS];
	uint32_t pad;
};

struct sources {
	struct source_bucket *bucket;
	uint32_t mask, used; // used: connections counted
};

// entries: connections at most. 0 or -ENOMEM. Pages are touched with the first connection that is counted.
int sources_init(struct sources *s, struct arena *a, uint32_t entries);
size_t sources_memory(uint32_t entries);
// prefix6: bits of an IPv6 address that tell clients apart, 1..128. tag: of the listener. Never 0.
uint64_t source_key(struct hash_key secret, struct addr client, unsigned prefix6, uint32_t tag);
uint32_t source_count(const struct sources *s, uint64_t key);
// One more. The place to be given to source_drop() later; 0: none is free.
uint32_t source_add(struct sources *s, uint64_t key);
void source_drop(struct sources *s, uint32_t place);
