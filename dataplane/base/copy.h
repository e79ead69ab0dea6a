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
	} else {
		for (size_t i = 0; i < n; i++)
			to[i] = from[i];
	}
}
