// A growing run of bytes in which control builds a snapshot. Offsets count from its first byte; the caller
// reserves struct snapshot at the start. One failure (no memory, more than 4 GiB) sticks in `failed`: build
// all, then look once. p moves as the blob grows: keep references, not pointers.
#pragma once
#include "contract/snapshot.h"

#define CACHE_LINE_BYTES 64

struct blob {
	char *p;
	size_t n, cap;
	bool failed;
	struct snap_ref *texts; // those that are in it: open addressing, n = 0 is empty
	uint32_t n_texts, text_slots;
};

// count records of size_each bytes, zero-padded in front to a multiple of 8. records = NULL: zeroes. The
// reference's n is count; {0, 0} for none and after a failure.
struct snap_ref blob_add(struct blob *b, const void *records, size_t count, size_t size_each);
// n bytes, not aligned, not terminated. Equal ones stand there once: a thousand routes that answer the same
// share the answer, and with it its lines in the workers' caches.
struct snap_ref blob_text(struct blob *b, const char *s, size_t n);
// Zeroes up to a multiple of align (a power of two) bytes, so that what follows begins there. The snapshot's
// first byte is at the start of a page.
void blob_pad(struct blob *b, size_t align);
void blob_free(struct blob *b);
