#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/keyhash.h"

static uint64_t sip0(const char *s)
{
	return siphash((struct hash_key){0, 0}, s, strlen(s));
}

// As computed by CPython 3.11, whose hash() is SipHash-1-3, with a key of zeros.
static void siphash_agrees_with_another_implementation(void **state)
{
	(void)state;
	assert_true(sip0("a") == 0x407448d2b89b1813);
	assert_true(sip0("abcdefg") == 0x6db12aae9070f506);
	assert_true(sip0("abcdefgh") == 0x3f7b849c0b8e35ea);
	assert_true(sip0("churchgate data plane") == 0xe239d6298c4de624);
}

// The first vector of the SipHash-1-3 set: key 00 01 .. 0f, no input.
static void siphash_of_nothing_under_the_reference_key(void **state)
{
	(void)state;
	struct hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

	assert_true(siphash(key, "", 0) == 0xabac0158050fc4dc);
	assert_true(siphash(key, "a", 1) != siphash((struct hash_key){key.k0, key.k1 ^ 1}, "a", 1));
	assert_true(siphash(key, "a", 1) != siphash((struct hash_key){key.k0 ^ 1, key.k1}, "a", 1));
}

// Slots in the region are found by these values: they may never change.
static void hash64_is_fixed_for_ever(void **state)
{
	(void)state;
	assert_true(hash64("", 0) == 0xefd01f60ba992926);
	assert_true(hash64("orders-v1", 9) == 0x63c0cdf5523088f6);
}

static void hash64_lower_ignores_ascii_case_alone(void **state)
{
	(void)state;
	assert_true(hash64_lower("API.Example.COM", 15) == hash64("api.example.com", 15));
	assert_true(hash64("API", 3) != hash64("api", 3));
	assert_true(hash64_lower("\xc4", 1) == hash64("\xc4", 1));
	assert_true(hash64_lower("[", 1) != hash64_lower("{", 1));
}

static void low_bits_of_short_names_spread(void **state)
{
	(void)state;
	unsigned seen[256] = {0}, most = 0;

	for (unsigned i = 0; i < 65536; i++) {
		uint16_t name = (uint16_t)i;
		unsigned slot = hash64(&name, 2) & 255;

		if (++seen[slot] > most)
			most = seen[slot];
	}
	assert_in_range(most, 256, 340);
}

static void keyhash_depends_on_every_byte_the_length_the_seed_and_the_key(void **state)
{
	struct keyhash h, other;
	char a[80], b[80];

	(void)state;
	keyhash_init(&h, (struct hash_key){1, 2});
	keyhash_init(&other, (struct hash_key){1, 3});
	for (unsigned i = 0; i < sizeof(a); i++)
		a[i] = (char)(i * 37);
	for (size_t n = 0; n <= sizeof(a); n++) {
		uint64_t hash = keyhash(&h, 7, a, n);

		assert_true(keyhash(&other, 7, a, n) != hash);
		assert_true(keyhash(&h, 8, a, n) != hash);
		for (size_t i = 0; i < n; i++) {
			memcpy(b, a, n);
			assert_true(keyhash(&h, 7, b, n) == hash);
			b[i] ^= 0x10;
			assert_true(keyhash(&h, 7, b, n) != hash);
		}
		// Zeroes behind the last byte are no part of it, and make another length where they are.
		memcpy(b, a, n);
		memset(b + n, 0, sizeof(b) - n);
		if (n < sizeof(b))
			assert_true(keyhash(&h, 7, b, n + 1) != hash);
	}
}

static void keyhash_lets_no_byte_of_the_data_stand_for_the_seed_or_the_length(void **state)
{
	struct keyhash h;

	(void)state;
	keyhash_init(&h, (struct hash_key){1, 2});
	for (int without = 0; without <= 1; without++) {
		h.aes = h.aes && !without;
		for (unsigned bit = 0; bit < 32; bit++)
			for (unsigned other = 0; other < 128; other++) {
				uint64_t a[2] = {0x1234, 0}, b[2] = {a[0], a[1]};

				b[other / 64] ^= 1ull << other % 64;
				assert_true(keyhash(&h, 1u << bit, b, 16) != keyhash(&h, 0, a, 16));
			}
		for (size_t n = 1; n < 16; n++)
			for (unsigned other = 0; other < 16; other++) {
				char a[16] = {0}, b[16] = {0};

				b[other] ^= (char)(n ^ 16);
				assert_true(keyhash(&h, 0, a, n) != keyhash(&h, 0, b, 16));
			}
	}
}

// Of all bits of the hash, whichever bit of the input changes, each changes in half of the cases.
static void keyhash_spreads_a_change_of_one_bit_evenly(void **state)
{
	static unsigned flips[64];
	const unsigned rounds = 400;
	struct keyhash h;

	(void)state;
	keyhash_init(&h, (struct hash_key){11, 12});
	for (int without = 0; without <= 1; without++) {
		h.aes = h.aes && !without;
		memset(flips, 0, sizeof(flips));
		for (uint64_t i = 0; i < rounds; i++)
			for (unsigned bit = 0; bit < 128; bit++) {
				uint64_t a[2] = {i, 0x20010db8}, b[2] = {a[0], a[1]};

				b[bit / 64] ^= 1ull << bit % 64;
				uint64_t d = keyhash(&h, 1, a, sizeof(a)) ^ keyhash(&h, 1, b, sizeof(b));

				for (unsigned k = 0; k < 64; k++)
					flips[k] += (unsigned)(d >> k & 1);
			}
		for (unsigned k = 0; k < 64; k++)
			assert_in_range(flips[k], rounds * 128 * 49 / 100, rounds * 128 * 51 / 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_agrees_with_another_implementation),
		cmocka_unit_test(siphash_of_nothing_under_the_reference_key),
		cmocka_unit_test(hash64_is_fixed_for_ever),
		cmocka_unit_test(hash64_lower_ignores_ascii_case_alone),
		cmocka_unit_test(low_bits_of_short_names_spread),
		cmocka_unit_test(keyhash_depends_on_every_byte_the_length_the_seed_and_the_key),
		cmocka_unit_test(keyhash_lets_no_byte_of_the_data_stand_for_the_seed_or_the_length),
		cmocka_unit_test(keyhash_spreads_a_change_of_one_bit_evenly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
