// Copying of what is mostly short: words that overlap cost less than a call of memcpy().
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline __attribute__((always_inline)) void copy_short(char *to, const char *from, size_t n)
{
	struct {
		uint64_t w[2];
	} a, b;
	uint32_t c[2];

	if (__builtin_constant_p(n) || n > 32) {
		memcpy(to, from, n);
	} else if (n >= 16) {
		memcpy(&a, from, 16);
		memcpy(&b, from + n - 16, 16);
		memcpy(to, &a, 16);
		memcpy(to + n - 16, &b, 16);
	} else if (n >= 8) {
		memcpy(a.w, from, 8);
		memcpy(b.w, from + n - 8, 8);
		memcpy(to, a.w, 8);
		memcpy(to + n - 8, b.w, 8);
	} else if (n >= 4) {
		memcpy(c, from, 4);
		memcpy(c + 1, from + n - 4, 4);
		memcpy(to, c, 4);
		memcpy(to + n - 4, c + 1, 4);
	} else if (n) {
		char first = from[0], middle = from[n / 2], last = from[n - 1];

		to[0] = first;
		to[n / 2] = middle;
		to[n - 1] = last;
	}
}
