// Addresses that are denied, and those that are allowed whatever else denies them: hosts and prefixes of IPv4
// and IPv6. In memory that control makes, the only writer; workers read it without locks; it outlives both.
//
// Of all entries that hold an address, one that allows wins, however short its prefix, so that neither a list
// from elsewhere nor an escalation can lock out who is allowed.
//
// All entries stand in one hash table, under the first `len` bits, their number, and the kind. A cell of 16
// bytes is an entry's identity (64 bits of a keyed hash) and what it says; it is written and read at once, so
// that nobody sees a half. Beside the cells, for listings alone, stand the addresses. For each 4096th of the
// address space there is a set of the lengths that occur in it: a look-up goes through those alone, so that it
// takes one cache line for a host and one more for each length that its neighbourhood has. IPv4 addresses are
// mapped, and their lengths are 96 more; an IPv6 prefix never holds an IPv4 address.
//
// 36 bytes a cell; at most three of four cells are used: 47 MiB for a million entries.
#pragma once
#include "base/addr.h"
#include "base/keyhash.h"
#include <stdatomic.h>
#include <stddef.h>

#define ADDRESS_LIST_MAGIC   0x6c64646147434843ull // "CHCGaddl"
#define ADDRESS_LIST_VERSION 2u
#define ADDRESS_LIST_MIN     (512u << 10) // bytes
#define ADDRESS_LIST_CELL    36u          // bytes for each cell, all told
#define ADDRESS_LIST_SLOTS   4096u        // of the lengths that occur, for each family
#define ADDRESS_LIST_BURST   64u          // addresses asked for at once

enum address_kind { ADDRESS_DENY, ADDRESS_ALLOW, ADDRESS_KINDS };
enum address_source { ADDRESS_FILE = 1, ADDRESS_HAND = 2, ADDRESS_LIMIT = 4 }; // an entry may have several

struct address_list_head {
	uint64_t magic;
	uint32_t version, pad;
	uint64_t size, cells;                           // bytes of the whole; a power of two or not
	struct hash_key secret;                         // against chosen collisions
	_Alignas(64) _Atomic uint64_t n[ADDRESS_KINDS]; // entries
	// Rises with each entry that denies: connections are looked at again.
	_Atomic uint64_t version_denied;
	_Atomic uint64_t filter_mask; // bits of the filter that are in use, less one
	uint64_t file_round;          // of the last reading of files
};

union address_cell {
	struct {
		uint64_t id;   // 0: never used; 1: used before
		uint64_t meta; // see address_list.c
	};
	__uint128_t both;
};
struct address_line {
	_Alignas(64) union address_cell cell[4];
};
struct address_lengths { // bit len - 1
	_Atomic uint64_t of[ADDRESS_KINDS][2];
};

// A mapped list as one process sees it.
struct address_list {
	struct address_list_head *head;
	struct address_lengths *lengths; // IPv4's, then IPv6's
	_Atomic uint64_t *filter;        // of prefixes
	struct address_line *line;
	struct addr *addr;      // [cells]
	_Atomic uint32_t *hits; // [cells], by workers
	uint64_t lines;
	struct keyhash hash;
	uint64_t mix[3]; // the filter's hash
	uint64_t now;    // ns; set by control before it adds: what has ended counts as gone
};

// Formats zeroed memory of at least ADDRESS_LIST_MIN bytes.
void address_list_create(void *memory, uint64_t size, struct hash_key secret);
// Checks a mapping of size bytes and fills *l. false with a sentence in why.
bool address_list_attach(struct address_list *l, void *memory, uint64_t size, char *why, size_t why_size);
// How many entries find place in a list of so many bytes.
uint64_t address_list_room(uint64_t size);

// Workers. now: CLOCK_MONOTONIC ns.
static inline bool address_list_denies(const struct address_list *l) // any at all
{
	return l->head && atomic_load_explicit(&l->head->n[ADDRESS_DENY], memory_order_relaxed) != 0;
}
bool address_list_denied(const struct address_list *l, struct addr a, uint64_t now);
// The same of n of them at once, at most ADDRESS_LIST_BURST, so that their lines come at the same time. Bit i:
// v[i] is denied.
uint64_t address_list_denied_burst(const struct address_list *l, const struct addr *v, unsigned n,
				   uint64_t now);

// Control. len: 1..128; of an IPv4 address 96..128. until: ns, 0: for good. An entry that is there gets the
// source added, and the later end. 0, 1 where it was there, -ENOSPC.
int address_list_add(struct address_list *l, enum address_kind kind, struct addr a, unsigned len,
		     uint64_t until, unsigned source);
// false: it was not there. source: those that no longer say so; what another says stays.
bool address_list_remove(struct address_list *l, enum address_kind kind, struct addr a, unsigned len,
			 unsigned source);
// Between these, entries from files are added again; those that were not are gone then.
void address_list_files_begin(struct address_list *l);
void address_list_files_end(struct address_list *l);
// Takes away what has ended; the sets of lengths are made anew.
void address_list_sweep(struct address_list *l, uint64_t now);

struct address_entry {
	struct addr addr;
	unsigned len, source;
	enum address_kind kind;
	uint64_t until, hits;
};
// Calls fn for the entries of lines [from, from + n). Returns the line to go on with, 0 at the end.
typedef void address_visit_fn(void *ctx, const struct address_entry *e);
uint64_t address_list_visit(const struct address_list *l, uint64_t from, uint64_t n, address_visit_fn *fn,
			    void *ctx);
// The first `len` bits.
struct addr address_prefix_of(struct addr a, unsigned len);
