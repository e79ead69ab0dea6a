#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha1.h"

static void digest_is(struct slice text, const char *hex)
{
	uint8_t digest[20];
	char got[41];

	sha1(text, digest);
	for (unsigned i = 0; i < 20; i++)
		snprintf(got + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(got, hex);
}

// RFC 3174 7.3
static void published_vectors_agree(void **state)
{
	char *million = malloc(1000000);

	(void)state;
	digest_is(SLICE("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
	digest_is(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
		  "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
	digest_is(SLICE(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
	memset(million, 'a', 1000000);
	digest_is(slice_of(million, 1000000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
	free(million);
}

// As computed by CPython's hashlib: at each side of what one more block is needed for.
static void lengths_around_a_block_agree(void **state)
{
	char text[65];

	(void)state;
	memset(text, 'x', sizeof(text));
	digest_is(slice_of(text, 55), "cef734ba81a024479e09eb5a75b6ddae62e6abf1");
	digest_is(slice_of(text, 56), "901305367c259952f4e7af8323f480d59f81335b");
	digest_is(slice_of(text, 63), "0ddc4e0cccd9a12850deb5abb0853a4425559fec");
	digest_is(slice_of(text, 64), "bb2fa3ee7afb9f54c6dfb5d021f14b1ffe40c163");
	digest_is(slice_of(text, 65), "78c741ddc482e4cdf8c474a0876347a0905b6233");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_agree),
		cmocka_unit_test(lengths_around_a_block_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
