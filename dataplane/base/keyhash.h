// A keyed hash for what is looked up in large tables on the request path, where an outsider chooses what is
// hashed and must not find bytes that meet in one place. 64 bits, of which all are good.
//
// Each block of 16 bytes goes into the state through four rounds of AES, as in Pelican (Daemen and Rijmen), but
// with round keys that are secret; the number of bytes and `seed` are the first block. Two inputs that differ
// come out alike with a chance of 2^-64 for whoever does not know the key, and nobody sees the hash itself. A
// processor without AES instructions, or another one than x86's, takes SipHash-1-3: both processes run on one
// machine, and agree.
#pragma once
#include "base/hash.h"

#define KEYHASH_ROUNDS 5

struct keyhash {
	_Alignas(16) unsigned char round[KEYHASH_ROUNDS][16];
	struct hash_key key;
	bool aes;
};

void keyhash_init(struct keyhash *h, struct hash_key key);
uint64_t keyhash(const struct keyhash *h, uint32_t seed, const void *data, size_t n);
