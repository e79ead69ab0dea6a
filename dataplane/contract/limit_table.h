// The table of rate limits: who has used how much, shared by all workers and kept over reloads and restarts of
// the data plane. A pure structure over memory that somebody else maps; no clock, no system call.
//
// A cell has 16 bytes: a key's identity and its theoretical arrival time (TAT) of the generic cell rate
// algorithm (ITU-T I.371, "virtual scheduling"), CLOCK_MONOTONIC ns. Both change together in one 16-byte
// compare-and-swap. A request that costs `cost` ns is allowed where max(TAT, now) + cost <= now + tolerance,
// and this sum is the new TAT. Four cells are a cache line; a key has three lines, all in one page of 4 KiB,
// and takes the first that has room: a key that is there costs one line.
//
// A cell is free once its TAT has passed, for a key that is idle is as good as a new one. Workers' clocks
// differ (each is read once a burst), so "passed" goes by a time that all share: `reached` in the table's head.
// It never moves back, no worker works at a time more than LIMIT_TABLE_LAG ahead of it, and whoever makes a
// cell for a new key begins at it. So a key that was there and went cannot have had more time than it waited.
//
// A key never has two cells. Whoever finds none claims a free cell (its TAT is then a mark of its own, that
// counts for nothing), looks at all cells again, and makes the cell real only if the claim still stands. Claims
// are taken away by whoever meets them on the way to the same key; one of two claims always gives way, so that
// somebody always gets on. What a data plane claimed when it died is free for the next one.
//
// Any thread may call anything here; a struct limit_table_claims belongs to one thread.
#pragma once
#include "base/keyhash.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMIT_TABLE_MAGIC   0x6c62617447434843ull // "CHCGtabl"
#define LIMIT_TABLE_VERSION 3u
#define LIMIT_TABLE_PAGE    4096u
#define LIMIT_TABLE_MIN     (2u * LIMIT_TABLE_PAGE)
#define LIMIT_TABLE_LAG     4000000ull // ns
#ifndef LIMIT_TABLE_WAYS
#define LIMIT_TABLE_WAYS 4 // cells of a line; a test that walks through all interleavings has smaller ones
#endif
#ifndef LIMIT_TABLE_LINES
#define LIMIT_TABLE_LINES 3 // where a key may be
#endif
#define LIMIT_TABLE_SLOT_BITS 10 // of an identity: the limit it belongs to
#define LIMIT_TABLE_SLOTS     (1u << LIMIT_TABLE_SLOT_BITS)
// Of an identity: what is kept beside a key (that it is blocked, say), and is none of what its limit counts.
#define LIMIT_TABLE_ASIDE    (1ull << (63 - LIMIT_TABLE_SLOT_BITS))
#define LIMIT_TABLE_TIME_MAX (1ull << 61) // of cost and tolerance, ns

struct limit_table_head {
	uint64_t magic;
	uint32_t version, ways;
	uint64_t size;          // bytes of the whole, this page included
	struct hash_key secret; // against chosen collisions
	_Alignas(64) _Atomic uint64_t reached;
};

union limit_table_cell {
	struct {
		uint64_t id;  // 0: never used
		uint64_t tat; // ns; highest bit: a claim
	};
	__uint128_t both;
};

struct limit_table_line {
	_Alignas(LIMIT_TABLE_WAYS * 16) union limit_table_cell cell[LIMIT_TABLE_WAYS];
};

// A mapped table as one process sees it.
struct limit_table {
	struct limit_table_head *head;
	struct limit_table_line *line;
	uint64_t pages;      // of lines
	struct keyhash hash; // by the secret
	uint16_t epoch;      // of this data plane's life: claims of another are free
};

struct limit_table_claims {
	uint64_t next;
};

struct limit_table_key {
	uint64_t id;                   // from which follow the others of its lines
	struct limit_table_line *line; // the first
};

enum limit_table_result {
	LIMIT_TABLE_ALLOWED,
	LIMIT_TABLE_OVER, // beyond the limit; nothing was changed
	LIMIT_TABLE_FULL, // a new key, and only live cells where it could be
};

// Formats zeroed memory.
void limit_table_create(void *memory, uint64_t size, struct hash_key secret);
// Checks a mapping of size bytes and fills *t. false with a sentence in why.
bool limit_table_attach(struct limit_table *t, void *memory, uint64_t size, uint16_t epoch, char *why,
			size_t why_size);
static inline uint64_t limit_table_cells(const struct limit_table *t)
{
	return t->pages * (LIMIT_TABLE_PAGE / sizeof(struct limit_table_line)) * LIMIT_TABLE_WAYS;
}
// worker: below 256, another for each thread.
void limit_table_claims_init(struct limit_table_claims *c, const struct limit_table *t, unsigned worker);

// The key of n bytes under a limit (slot 1..LIMIT_TABLE_SLOTS - 1).
struct limit_table_key limit_table_key(const struct limit_table *t, uint32_t slot, const void *key, size_t n);
static inline uint32_t limit_table_slot(uint64_t id)
{
	return (uint32_t)(id >> (64 - LIMIT_TABLE_SLOT_BITS));
}
static inline struct limit_table_key limit_table_aside(struct limit_table_key k)
{
	k.id |= LIMIT_TABLE_ASIDE;
	return k;
}
// For all keys of a burst, one right after the other, when all of them are made and before the first is
// charged: then their lines come at the same time. With other work in between a processor holds few of them.
static inline void limit_table_prefetch(const struct limit_table_key *k)
{
	__builtin_prefetch(k->line, 1); // nearly all keys are there
}

// Charges cost if it fits within tolerance (ns; cost and tolerance at most LIMIT_TABLE_TIME_MAX). *tat: the
// key's TAT afterwards; with LIMIT_TABLE_OVER the one that stands against it (0: none, the cost alone is too
// much).
enum limit_table_result limit_table_charge(const struct limit_table *t, struct limit_table_claims *c,
					   const struct limit_table_key *k, uint64_t now, uint64_t cost,
					   uint64_t tolerance, uint64_t *tat);
// The same without a charge: what it would be now.
enum limit_table_result limit_table_peek(const struct limit_table *t, const struct limit_table_key *k,
					 uint64_t now, uint64_t cost, uint64_t tolerance, uint64_t *tat);
// Gives back a charge that limit_table_charge() made, `tat` being what it left. Nothing is given back that has
// lapsed, or may have: a limit never allows more for it.
void limit_table_return(const struct limit_table *t, const struct limit_table_key *k, uint64_t tat,
			uint64_t cost);
// The key's TAT is set, from where it would be used up for `ahead` ns: 0 forgets it. Operators' and deny
// lists'.
enum limit_table_result limit_table_set(const struct limit_table *t, struct limit_table_claims *c,
					const struct limit_table_key *k, uint64_t now, uint64_t ahead);

// Calls fn for each live cell of lines [from, from + n): listings, in slices. Returns the line to go on with, 0
// at the end.
typedef void limit_table_visit_fn(void *ctx, uint64_t id, uint64_t tat);
uint64_t limit_table_visit(const struct limit_table *t, uint64_t from, uint64_t n, limit_table_visit_fn *fn,
			   void *ctx);
