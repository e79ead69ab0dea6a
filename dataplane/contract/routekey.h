// Keys of the route tables: how hosts and path segments are hashed, eight bytes at a time, by those who build
// the tables and those who read them. Unkeyed: what is in the tables comes from the configuration alone, and a
// request can choose what it looks up, but not how long a search is.
#pragma once
#include "base/hash.h"

#define ROUTEKEY_INLINE 16 // bytes of a segment that the key holds as they are

struct routekey {
	uint64_t w[2]; // the first ROUTEKEY_INLINE bytes, zeroes behind a shorter one
	uint64_t hash;
};

// 0 to 8 bytes at p, in a word, zeroes behind them; reads nothing else.
static inline uint64_t routekey_word(const char *p, size_t n)
{
	uint64_t v = 0;
	uint32_t a, b;

	if (n >= 8) {
		memcpy(&v, p, 8);
	} else if (n >= 4) {
		memcpy(&a, p, 4);
		memcpy(&b, p + n - 4, 4);
		v = a | (uint64_t)b << (8 * (n - 4));
	} else if (n) {
		v = (uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << (8 * (n / 2)) |
		    (uint64_t)(uint8_t)p[n - 1] << (8 * (n - 1));
	}
	return v;
}

// The upper bit of each byte that is a slash.
static inline uint64_t routekey_slashes(uint64_t v)
{
	const uint64_t low = 0x7f7f7f7f7f7f7f7full;

	v ^= 0x2f2f2f2f2f2f2f2full;
	return ~(((v & low) + low) | v | low);
}

static inline struct routekey routekey_segment(struct slice s)
{
	struct routekey k;

	k.w[0] = routekey_word(s.p, s.n);
	k.w[1] = s.n > 8 ? routekey_word(s.p + 8, s.n - 8) : 0;
	k.hash = hash_mix(k.w[0] ^ s.n, k.w[1]);
	for (size_t i = ROUTEKEY_INLINE; i < s.n; i += 8)
		k.hash = hash_mix(k.hash, routekey_word(s.p + i, s.n - i));
	return k;
}

// What an edge knows of its segment's hash: the upper eight bits tell it from its neighbours, the lower ones
// are its place in a table. Never 0.
static inline uint32_t routekey_edge(uint64_t segment_hash)
{
	return (uint32_t)(segment_hash >> 32) | 1;
}
static inline uint8_t routekey_tag(uint32_t edge)
{
	return (uint8_t)(edge >> 24);
}
static inline uint32_t routekey_slot(uint32_t edge, uint32_t slots)
{
	return edge >> 1 & (slots - 1);
}

// Eight bytes in ASCII lower case.
static inline uint64_t routekey_lower(uint64_t v)
{
	uint64_t low = v & 0x7f7f7f7f7f7f7f7full;
	uint64_t letter =
		((low + 0x3f3f3f3f3f3f3f3full) & ~(low + 0x2525252525252525ull) & ~v) & 0x8080808080808080ull;

	return v | letter >> 2;
}

// In any case: the bit that tells letters' cases apart is set in all bytes. The last word may have bytes of the
// one before it.
static inline uint64_t routekey_host(struct slice host)
{
	const uint64_t folded = 0x2020202020202020ull;
	uint64_t hash = host.n + 1;

	if (host.n <= 8)
		return hash_mix(hash, routekey_word(host.p, host.n) | folded);
	for (size_t i = 0; i < host.n - 8; i += 8)
		hash = hash_mix(hash, routekey_word(host.p + i, 8) | folded);
	return hash_mix(hash, routekey_word(host.p + host.n - 8, 8) | folded);
}

// Whether a host is that of a key, which is in lower case, in any case.
static inline bool routekey_host_is(struct slice host, struct slice key)
{
	if (host.n != key.n)
		return false;
	if (host.n <= 8)
		return routekey_lower(routekey_word(host.p, host.n)) == routekey_word(key.p, key.n);
	for (size_t i = 0; i < host.n - 8; i += 8)
		if (routekey_lower(routekey_word(host.p + i, 8)) != routekey_word(key.p + i, 8))
			return false;
	return routekey_lower(routekey_word(host.p + host.n - 8, 8)) == routekey_word(key.p + key.n - 8, 8);
}
