// Hashes. siphash: keyed, for all that an outsider can choose (RFC 6528 names its kind for sequence numbers).
// hash64: unkeyed FNV-1a finished by a mixer, for names from the configuration; it is part of the contract
// (slots in the region are found by it), so it never changes.
#pragma once
#include "base/slice.h"
#include <stdint.h>

struct hash_key {
	uint64_t k0, k1;
};

uint64_t siphash(struct hash_key key, const void *data, size_t n); // SipHash-1-3
uint64_t hash64(const void *data, size_t n);                       // never 0
// The same over ASCII-lowered bytes.
uint64_t hash64_lower(const void *data, size_t n);

// Mixes two words under a key: for flow lookups (16-byte addresses are folded first).
static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xc2b2ae3d27d4eb4full);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}
