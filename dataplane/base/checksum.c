#include "base/checksum.h"
#include <string.h>

// The sum is kept modulo 2^64 - 1, of which 2^16 - 1 is a divisor: a carry out of the top goes back in at the
// bottom, and words of any width may be added (RFC 1071 2(C)). Words are taken as they lie in memory, so that
// no byte is swapped and the folded result is stored as it is (2(B)).
static inline uint64_t add_carry(uint64_t sum, uint64_t w)
{
	sum += w;
	return sum + (sum < w);
}

typedef uint64_t lanes __attribute__((vector_size(32)));

// From place n on: 32 - n bytes of zeros, n of ones.
static const unsigned char last_of[62] = {
	[32 ... 61] = 0xff,
};

uint64_t checksum_add(uint64_t sum, const void *data, size_t n)
{
	const unsigned char *p = data;

	if (n >= 32) {
		// Words of 64 bits summed modulo 2^64, and their upper halves, which cannot overflow below
		// 2^36 bytes: from both follows the sum of the lower halves, without a mask for each word.
		lanes all[2] = {{0}, {0}}, upper[2] = {{0}, {0}}, x, y;

#pragma GCC unroll 2
		for (; n >= 64; n -= 64, p += 64) {
			memcpy(&x, p, 32);
			memcpy(&y, p + 32, 32);
			all[0] += x;
			all[1] += y;
			upper[0] += x >> 32;
			upper[1] += y >> 32;
		}
		if (n >= 32) {
			memcpy(&x, p, 32);
			all[0] += x;
			upper[0] += x >> 32;
			n -= 32;
			p += 32;
		}
		// What is left, but for an odd byte: the last 32 bytes without those that are in already.
		memcpy(&x, p + (n & 30) - 32, 32);
		memcpy(&y, &last_of[n & 30], 32);
		x &= y;
		upper[1] += x >> 32;
		lanes b = upper[0] + upper[1], a = all[0] + all[1] + x - (b << 32) + b;
		sum = add_carry(sum, a[0] + a[1] + a[2] + a[3]);
		return n & 1 ? add_carry(sum, p[n - 1]) : sum;
	}
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		sum = add_carry(sum, w);
	}
	if (n & 4) {
		uint32_t w;

		memcpy(&w, p, 4);
		sum = add_carry(sum, w);
		p += 4;
	}
	if (n & 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		sum = add_carry(sum, w);
		p += 2;
	}
	if (n & 1)
		sum = add_carry(sum, *p); // in the first byte of its word, as memory has it
	return sum;
}

// Taking away is adding what is complemented.
struct checksum_tail checksum_without(struct checksum_tail whole, const void *p, size_t n)
{
	uint16_t taken = checksum_fold(checksum_add(0, p, n));
	struct checksum_tail rest = {(uint16_t)~checksum_fold((uint64_t)whole.sum + taken),
				     (uint16_t)(whole.len - n)};

	return checksum_behind(rest, n);
}
