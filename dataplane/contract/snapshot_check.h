// What the parts of snapshot_verify() share. Each part says what is wrong with check_fail() and returns false.
#pragma once
#include "contract/region.h"
#include "contract/snapshot.h"

struct check {
	const struct snapshot *s;
	uint64_t size;
	uint64_t records; // bytes of records referred to so far
	uint64_t text;    // bytes of text looked at so far
	uint64_t slots[REGION_ENDPOINTS / 64];
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) bool check_fail(struct check *c, const char *fmt, ...);
// The bytes of r.n records of `size` each lie inside, aligned, and overlap no others.
bool check_records(struct check *c, struct snap_ref r, uint64_t size, const char *what);
bool check_bytes(struct check *c, struct snap_ref r, uint32_t max, const char *what);
bool check_text(struct check *c, struct snap_ref r, uint32_t min, uint32_t max, const char *what);
bool check_name(struct check *c, struct snap_ref r, const char *what);

// snapshot_tables.c
bool check_nodes(struct check *c); // where they are; check_tries() relies on it
bool check_hosts(struct check *c);
bool check_tries(struct check *c);
bool check_prompts(struct check *c); // of routes that are checked
