#include "base/keyhash.h"
#include <immintrin.h>

void keyhash_init(struct keyhash *h, struct hash_key key)
{
	h->key = key;
	h->aes = __builtin_cpu_supports("aes");
	for (uint64_t i = 0; i < KEYHASH_ROUNDS; i++)
		for (uint64_t half = 0; half < 2; half++) {
			uint64_t label = i << 1 | half, word = siphash(key, &label, sizeof(label));

			memcpy(h->round[i] + 8 * half, &word, sizeof(word));
		}
}

__attribute__((target("aes"))) static inline __m128i mixed(const __m128i *round, __m128i state, __m128i block)
{
	state = _mm_xor_si128(state, block);
	for (unsigned i = 1; i < KEYHASH_ROUNDS; i++)
		state = _mm_aesenc_si128(state, round[i]);
	return state;
}

// Apart, so that whole blocks need no room on the stack.
static __attribute__((noinline)) __m128i last_block(const char *p, size_t n)
{
	_Alignas(16) char last[16] = {0};

	memcpy(last, p, n);
	return _mm_load_si128((const __m128i *)(const void *)last);
}

__attribute__((target("aes"))) static inline uint64_t by_aes(const struct keyhash *h, uint32_t seed,
							     const char *p, size_t n)
{
	const __m128i *round = (const __m128i *)(const void *)h->round;
	// In a block of their own: no byte of the data stands against them.
	__m128i state = mixed(round, round[0], _mm_set_epi64x((long long)n, seed));

	for (; n >= 16; n -= 16, p += 16)
		state = mixed(round, state, _mm_loadu_si128((const __m128i *)(const void *)p));
	if (n)
		state = mixed(round, state, last_block(p, n));
	return (uint64_t)_mm_cvtsi128_si64(state);
}

uint64_t keyhash(const struct keyhash *h, uint32_t seed, const void *data, size_t n)
{
	if (__builtin_expect(h->aes, 1))
		return by_aes(h, seed, data, n);
	return siphash((struct hash_key){h->key.k0 ^ seed, h->key.k1}, data, n);
}
