#include "base/hash.h"

static inline uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	sip_round(s);
	s->v0 ^= m;
}

uint64_t siphash(struct hash_key key, const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t last = (uint64_t)n << 56, m;
	struct sip s = {
		.v0 = key.k0 ^ 0x736f6d6570736575ull,
		.v1 = key.k1 ^ 0x646f72616e646f6dull,
		.v2 = key.k0 ^ 0x6c7967656e657261ull,
		.v3 = key.k1 ^ 0x7465646279746573ull,
	};

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&m, p, 8);
		sip_word(&s, m);
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)p[i] << (8 * i);
	sip_word(&s, last);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

// FNV-1a, byte by byte; names are short.
#define FNV_BASIS 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

// FNV alone leaves the low bits of short names weak, and tables index by low bits.
static uint64_t mixed(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdull;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ull;
	h ^= h >> 33;
	return h ? h : 1;
}

uint64_t hash64(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t h = FNV_BASIS;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * FNV_PRIME;
	return mixed(h);
}

uint64_t hash64_lower(const void *data, size_t n)
{
	const char *p = data;
	uint64_t h = FNV_BASIS;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)ascii_lower(p[i])) * FNV_PRIME;
	return mixed(h);
}
