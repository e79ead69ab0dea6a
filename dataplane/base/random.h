// xoshiro256**: one worker's source of numbers that need not resist an attacker (balance, jitter, ids).
// What must resist one (initial sequence numbers, cookies, hashes) is keyed with hash.h instead.
#pragma once
#include <stdint.h>

struct random {
	uint64_t s[4];
};

void random_seed(struct random *r, uint64_t seed);

static inline uint64_t random_next(struct random *r)
{
#define ROTL(x, k) (((x) << (k)) | ((x) >> (64 - (k))))
	uint64_t *s = r->s, result = ROTL(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = ROTL(s[3], 45);
	return result;
#undef ROTL
}

// Uniform in 0..bound-1 (bound > 0), by multiplication; bias below 2^-32.
static inline uint32_t random_below(struct random *r, uint32_t bound)
{
	return (uint32_t)(((random_next(r) >> 32) * bound) >> 32);
}
