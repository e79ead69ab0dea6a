// Scanning: the first byte of a run that does not belong to a class. With AVX2 32 bytes at a time, and never a
// byte outside of [begin, end): the tail is looked at through the last 32 bytes that are there.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

// Classes of bytes, as bits in scan_class[].
enum {
	SCAN_TCHAR = 1,  // RFC 9110 5.6.2
	SCAN_VALUE = 2,  // field-vchar, SP, HTAB, obs-text (RFC 9110 5.5)
	SCAN_TARGET = 4, // plain bytes of a request target, see request.c
	SCAN_HOST = 8,   // see authority.c
	SCAN_DIGIT = 16,
};
extern const uint8_t scan_class[256];

static inline const char *scan_bytes(const char *p, const char *end, uint8_t cls)
{
	while (p < end && scan_class[(uint8_t)*p] & cls)
		p++;
	return p;
}

#ifdef __AVX2__
// A class of ASCII bytes as nibbles: bit (byte >> 4) of set[byte & 15]. Bytes from 0x80 are in no such class.
struct scan_set {
	uint8_t low[16];
};
extern const struct scan_set scan_tchar_set, scan_target_set, scan_host_set;

static inline uint32_t scan_outside_set(const char *p, const struct scan_set *set)
{
	const __m256i bit = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
	__m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)set->low));
	__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
	__m256i in = _mm256_and_si256(_mm256_shuffle_epi8(low, _mm256_and_si256(v, _mm256_set1_epi8(15))),
				      _mm256_shuffle_epi8(bit, high));

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

static inline uint32_t scan_outside_value(const char *p, const struct scan_set *set)
{
	__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
	__m256i tab = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\t'));
	__m256i del = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f));

	(void)set;
	return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_andnot_si256(tab, low), del));
}

static inline __attribute__((always_inline)) const char *
scan_blocks(const char *begin, const char *p, const char *end, uint8_t cls, const struct scan_set *set,
	    uint32_t (*outside)(const char *, const struct scan_set *))
{
	for (; end - p >= 32; p += 32) {
		uint32_t hit = outside(p, set);

		if (hit)
			return p + __builtin_ctz(hit);
	}
	if (p == end)
		return end;
	if (end - begin >= 32) {
		uint32_t hit = outside(end - 32, set) >> (32 - (end - p));

		return hit ? p + __builtin_ctz(hit) : end;
	}
	return scan_bytes(p, end, cls);
}
#define SCAN(begin, p, end, cls, set, outside) scan_blocks(begin, p, end, cls, set, outside)
#else
#define SCAN(begin, p, end, cls, set, outside) ((void)(begin), scan_bytes(p, end, cls))
#endif

// begin: where readable bytes begin, at or before p. They return end when all bytes belong.
static inline const char *scan_token(const char *begin, const char *p, const char *end)
{
	return SCAN(begin, p, end, SCAN_TCHAR, &scan_tchar_set, scan_outside_set);
}
static inline const char *scan_target(const char *begin, const char *p, const char *end)
{
	return SCAN(begin, p, end, SCAN_TARGET, &scan_target_set, scan_outside_set);
}
static inline const char *scan_host(const char *begin, const char *p, const char *end)
{
	return SCAN(begin, p, end, SCAN_HOST, &scan_host_set, scan_outside_set);
}
static inline const char *scan_value(const char *begin, const char *p, const char *end)
{
	return SCAN(begin, p, end, SCAN_VALUE, NULL, scan_outside_value);
}
