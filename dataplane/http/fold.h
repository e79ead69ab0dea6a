// Comparing with a literal of lower-case letters, digits and hyphens, in any case, a word at a time.
#pragma once
#include "base/slice.h"

// Setting bit 5 makes letters lower-case and leaves digits and hyphens. The one other byte that becomes one of
// them is CR (a hyphen then), so s must be free of CR, as all that was parsed is.
static inline __attribute__((always_inline)) bool folded_eq(const char *s, const char *literal, size_t n)
{
	uint64_t a, b, differ = 0;
	uint32_t c, d;
	size_t i = 0;

	if (n >= 4 && n < 8) {
		memcpy(&c, s, 4);
		memcpy(&d, literal, 4);
		differ = (c | 0x20202020u) ^ d;
		memcpy(&c, s + n - 4, 4);
		memcpy(&d, literal + n - 4, 4);
		return (differ | ((c | 0x20202020u) ^ d)) == 0;
	}
	if (n < 4) {
		for (; i < n; i++)
			differ |= (uint64_t)((s[i] | 0x20) ^ literal[i]);
		return differ == 0;
	}
	for (; i + 8 <= n; i += 8) {
		memcpy(&a, s + i, 8);
		memcpy(&b, literal + i, 8);
		differ |= (a | 0x2020202020202020ull) ^ b;
	}
	memcpy(&a, s + n - 8, 8);
	memcpy(&b, literal + n - 8, 8);
	return (differ | ((a | 0x2020202020202020ull) ^ b)) == 0;
}

#define FOLDED(slice, literal)                                                                                 \
	((slice).n == sizeof(literal) - 1 && folded_eq((slice).p, literal, sizeof(literal) - 1))
