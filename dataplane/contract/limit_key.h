// The bytes under which a limit counts: its parts one after the other, each with its kind and length, so that
// no two different lists of values are the same bytes. Everything stands in whole blocks of 16 bytes, as they
// are hashed. Pure; what a request gives (run.c) and what an operator types (control) go through the same
// functions.
#pragma once
#include "base/addr.h"
#include "base/slice.h"
#include "contract/limit_table.h"
#include "contract/snapshot.h"

#define KEY_VALUE_MAX 256 // bytes of one value that stand in the key; of a longer one its keyed hash does

struct limit_key {
	uint32_t n;
	_Alignas(16) unsigned char b[(SNAP_LIMIT_PARTS_MAX + 1) * (KEY_VALUE_MAX + 16)];
};

// Beside what a key has used, there is whether it is blocked, and its last refusals, under the same bytes and
// one more part.
enum limit_key_aspect { LIMIT_KEY_BLOCKED = 0x200, LIMIT_KEY_STRIKES };
// n: bytes of the key itself, which stay.
struct limit_table_key limit_key_aspect(struct limit_key *k, const struct limit_table *t, uint32_t slot,
					enum limit_key_aspect aspect, uint32_t n);

// Refusals by the aspect LIMIT_KEY_STRIKES. Up to so many are kept one by one, each in a cell that lives for
// the time in which they count: too many in that time are told exactly. More of them go through one cell, as a
// rate.
#define LIMIT_KEY_STRIKES_EXACT 64u
struct limit_table_key limit_key_strike(const struct limit_table *t, const struct limit_table_key *strikes,
					uint32_t i);

void limit_key_start(struct limit_key *k);
void limit_key_value(struct limit_key *k, const struct limit_table *t, uint32_t kind, struct slice value);
// The client's address, cut to the part's prefix.
void limit_key_address(struct limit_key *k, const struct snap_limit_part *p, struct addr client);
struct addr limit_key_network(const struct snap_limit_part *p, struct addr client);
// %XX and, where `plus`, '+' are taken for what they mean, so that a client cannot have another key by writing
// the same value in another way. At most room bytes; the length.
size_t limit_key_decode(struct slice value, bool plus, char *dst, size_t room);
