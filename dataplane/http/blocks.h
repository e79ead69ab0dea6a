// Scanning with vector instructions, for the form of the parser that is being compiled (form.h): FORM_BITS is
// 512, 256, 128, or 0 for the portable form. Never a byte outside of [begin, end) is read: what is shorter than
// a vector is read with a mask, or through the last bytes that are there, or from a copy.
#pragma once
#include "http/scan.h"
#include <stdbool.h>
#include <string.h>
#if FORM_BITS
#include <immintrin.h>
#endif

// Which of 64 bytes end a name (are no tchar), and which end a value. The first is bit 0.
struct bounds {
	uint64_t name, value;
};

#if FORM_BITS
// Classes of ASCII bytes by nibbles: bit (byte >> 4) of row[byte & 15]; bytes from 0x80 are in no class, as a
// shuffle gives 0 for them. Tokens have no byte below 0x20, so that these two bits can say which control bytes
// end a value. Rows are as wide as a vector.
#define VECTOR (FORM_BITS / 8)
#if FORM_BITS == 512
#define ROW(...)                                                                                               \
	{                                                                                                      \
		__VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__                                             \
	}
#elif FORM_BITS == 256
#define ROW(...)                                                                                               \
	{                                                                                                      \
		__VA_ARGS__, __VA_ARGS__                                                                       \
	}
#else
#define ROW(...)                                                                                               \
	{                                                                                                      \
		__VA_ARGS__                                                                                    \
	}
#endif
#define ROW_OF(b) ROW(b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b)
static const struct sets {
	uint8_t name[VECTOR], target[VECTOR], host[VECTOR];
	uint8_t nibble[VECTOR]; // bit of each high nibble
	uint8_t low[VECTOR];
	uint8_t token[VECTOR]; // of name: the byte is a tchar
	uint8_t stop[VECTOR];  // of name: it ends a value; 0x7f does, too
	uint8_t del[VECTOR], dot[VECTOR], slash[VECTOR];
} sets_of_bytes __attribute__((aligned(VECTOR))) = {
	.name = ROW(0xeb, 0xff, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfb, 0xfa, 0xf7, 0x57, 0xd3, 0x57, 0xf7,
		    0x73),
	.target = ROW(0xf8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xd4, 0xfc, 0xf4,
		      0x74),
	.host = ROW(0xa8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf0, 0x50, 0x50, 0x54, 0xd4,
		    0x70),
	.nibble = ROW(1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0),
	.low = ROW_OF(0x0f),
	.token = ROW_OF(0xfc),
	.stop = ROW_OF(0x03),
	.del = ROW_OF(0x7f),
	.dot = ROW_OF('.'),
	.slash = ROW_OF('/'),
};
#undef ROW_OF
#undef ROW

// The compiler is not told what they are: it would put each together from pieces at each use.
static inline __attribute__((always_inline)) const struct sets *sets(void)
{
	const struct sets *s = &sets_of_bytes;

	__asm__("" : "+r"(s));
	return s;
}
#endif

#if FORM_BITS == 512
typedef uint64_t vector_mask;

static inline __m512i vector_at(const char *p)
{
	__m512i v = _mm512_loadu_si512(p);

	__asm__("" : "+v"(v)); // the compiler would keep a copy on the stack
	return v;
}
static inline __m512i row(const uint8_t *t)
{
	return _mm512_load_si512(t);
}
static inline __m512i high_bit(__m512i v)
{
	return _mm512_shuffle_epi8(row(sets()->nibble),
				   _mm512_and_si512(_mm512_srli_epi16(v, 4), row(sets()->low)));
}
static inline struct bounds bounds_of(__m512i v)
{
	__m512i in = _mm512_and_si512(_mm512_shuffle_epi8(row(sets()->name), v), high_bit(v));

	return (struct bounds){_mm512_testn_epi8_mask(in, row(sets()->token)),
			       _mm512_test_epi8_mask(in, row(sets()->stop)) |
				       _mm512_cmpeq_epi8_mask(v, row(sets()->del))};
}
static inline struct bounds bounds_whole(const char *p)
{
	return bounds_of(vector_at(p));
}
static inline __attribute__((always_inline)) struct bounds bounds_rest(const char *begin, const char *p,
								       size_t n)
{
	(void)begin; // bytes that are not there read as NUL, which ends all
	return bounds_of(_mm512_maskz_loadu_epi8(n ? ~0ull >> (64 - n) : 0, p));
}
static inline vector_mask outside(__m512i v, const uint8_t *set)
{
	return _mm512_testn_epi8_mask(_mm512_shuffle_epi8(row(set), v), high_bit(v));
}
static inline vector_mask dot_behind_slash(const char *p)
{
	return _mm512_mask_cmpeq_epi8_mask(_mm512_cmpeq_epi8_mask(vector_at(p), row(sets()->dot)),
					   vector_at(p - 1), row(sets()->slash));
}
#elif FORM_BITS == 256
typedef uint32_t vector_mask;

static inline __m256i row(const uint8_t *t)
{
	return _mm256_load_si256((const __m256i *)(const void *)t);
}
static inline __m256i in_set(__m256i v, const uint8_t *set)
{
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), row(sets()->low));

	return _mm256_and_si256(_mm256_shuffle_epi8(row(set), v),
				_mm256_shuffle_epi8(row(sets()->nibble), high));
}
static inline __m256i vector_at(const char *p)
{
	__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);

	__asm__("" : "+x"(v)); // the compiler would keep a copy on the stack
	return v;
}
static inline vector_mask outside(__m256i v, const uint8_t *set)
{
	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in_set(v, set), _mm256_setzero_si256()));
}
static inline vector_mask dot_behind_slash(const char *p)
{
	__m256i dot = _mm256_cmpeq_epi8(vector_at(p), row(sets()->dot));

	return (uint32_t)_mm256_movemask_epi8(
		_mm256_and_si256(dot, _mm256_cmpeq_epi8(vector_at(p - 1), row(sets()->slash))));
}
static inline uint32_t half_bounds(__m256i v, uint32_t *value)
{
	__m256i in = in_set(v, sets()->name);
	__m256i name = _mm256_cmpeq_epi8(_mm256_and_si256(in, row(sets()->token)), _mm256_setzero_si256());
	__m256i stop = _mm256_cmpgt_epi8(_mm256_and_si256(in, row(sets()->stop)), _mm256_setzero_si256());

	stop = _mm256_or_si256(stop, _mm256_cmpeq_epi8(v, row(sets()->del)));
	*value = (uint32_t)_mm256_movemask_epi8(stop);
	return (uint32_t)_mm256_movemask_epi8(name);
}
static inline struct bounds bounds_whole(const char *p)
{
	uint32_t stop[2], low = half_bounds(vector_at(p), &stop[0]),
			  high = half_bounds(vector_at(p + 32), &stop[1]);

	return (struct bounds){low | (uint64_t)high << 32, stop[0] | (uint64_t)stop[1] << 32};
}
#elif FORM_BITS == 128
typedef uint32_t vector_mask;

static inline __m128i row(const uint8_t *t)
{
	return _mm_load_si128((const __m128i *)(const void *)t);
}
static inline __m128i in_set(__m128i v, const uint8_t *set)
{
	__m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), row(sets()->low));

	return _mm_and_si128(_mm_shuffle_epi8(row(set), v), _mm_shuffle_epi8(row(sets()->nibble), high));
}
static inline __m128i vector_at(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);

	__asm__("" : "+x"(v)); // the compiler would keep a copy on the stack
	return v;
}
static inline vector_mask outside(__m128i v, const uint8_t *set)
{
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(in_set(v, set), _mm_setzero_si128()));
}
static inline vector_mask dot_behind_slash(const char *p)
{
	__m128i dot = _mm_cmpeq_epi8(vector_at(p), row(sets()->dot));

	return (uint32_t)_mm_movemask_epi8(
		_mm_and_si128(dot, _mm_cmpeq_epi8(vector_at(p - 1), row(sets()->slash))));
}
static inline struct bounds bounds_whole(const char *p)
{
	struct bounds b = {0, 0};

	for (unsigned i = 0; i < 64; i += 16) {
		__m128i v = vector_at(p + i), in = in_set(v, sets()->name);
		__m128i name = _mm_cmpeq_epi8(_mm_and_si128(in, row(sets()->token)), _mm_setzero_si128());
		__m128i stop = _mm_cmpgt_epi8(_mm_and_si128(in, row(sets()->stop)), _mm_setzero_si128());

		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, row(sets()->del)));
		b.name |= (uint64_t)(uint32_t)_mm_movemask_epi8(name) << i;
		b.value |= (uint64_t)(uint32_t)_mm_movemask_epi8(stop) << i;
	}
	return b;
}
#endif

#if FORM_BITS == 256 || FORM_BITS == 128
static __attribute__((noinline)) struct bounds bounds_few(const char *p, size_t n)
{
	char copy[64] = {0};

	memcpy(copy, p, n);
	return bounds_whole(copy);
}

// n < 64 bytes. Bytes that are not there end all.
static inline __attribute__((always_inline)) struct bounds bounds_rest(const char *begin, const char *p,
								       size_t n)
{
	struct bounds b;

	if (__builtin_expect(p + n - begin >= 64, 1)) {
		b = bounds_whole(p + n - 64);
		b.name >>= (64 - n) & 63; // none of n = 0 is kept
		b.value >>= (64 - n) & 63;
	} else {
		b = bounds_few(p, n);
	}
	b.name |= ~0ull << n;
	b.value |= ~0ull << n;
	return b;
}
#endif

#if FORM_BITS
// A head in blocks of 64 bytes from its begin on, so that a block is looked at before it is known which of its
// bytes matter.
struct scanner {
	const char *begin, *end; // what may be read
	const char *block;
	struct bounds bounds;
};

static inline __attribute__((always_inline)) struct bounds bounds_at(const char *begin, const char *p,
								     const char *end)
{
	return end - p >= 64 ? bounds_whole(p) : bounds_rest(begin, p, (size_t)(end - p));
}

// To begin with the line at p.
static inline __attribute__((always_inline)) void scanner_init(struct scanner *s, const char *begin,
							       const char *p, const char *end)
{
	const char *block = begin;

	while (p - block >= 64)
		block += 64;
	*s = (struct scanner){begin, end, block, bounds_at(begin, block, end)};
}

static inline __attribute__((always_inline)) void scanner_next(struct scanner *s)
{
	s->block += 64;
	s->bounds = bounds_at(s->begin, s->block, s->end);
}

// Of the line at p: the first byte that is none of a name, and from there the first that is none of a value;
// the end when there is none.
static inline __attribute__((always_inline)) void scanner_line(struct scanner *s, const char *p,
							       const char **name_end, const char **value_end)
{
	size_t at = (size_t)(p - s->block); // a line may begin one byte into the next block
	uint64_t from = ~0ull << (at & 63), names = 0, values;
	const char *name;

	if (__builtin_expect(at < 64, 1)) {
		names = s->bounds.name & from;
		values = s->bounds.value & from;
		if (__builtin_expect(values != 0, 1)) { // then there is one of names, too
			*name_end = s->block + __builtin_ctzll(names);
			*value_end = s->block + __builtin_ctzll(values);
			return;
		}
		from = ~0ull;
	}
	name = names ? s->block + __builtin_ctzll(names) : NULL;
	do {
		scanner_next(s);
		names = s->bounds.name & from;
		values = s->bounds.value & from;
		from = ~0ull;
		if (!name && names)
			name = s->block + __builtin_ctzll(names);
	} while (!values);
	*name_end = name;
	*value_end = s->block + __builtin_ctzll(values);
}

// The odd bytes of a target, one after the other; the end stands for one.
struct odd_bytes {
	const char *begin, *end, *at; // at: where the mask's first bit is
	vector_mask mask;
	vector_mask dots; // not 0: perhaps a segment that begins with a dot
};

static inline __attribute__((always_inline)) void odd_bytes_look(struct odd_bytes *o)
{
	size_t left = (size_t)(o->end - o->at), spare;

	if (left >= VECTOR) {
		o->mask = outside(vector_at(o->at), sets()->target);
		o->dots |= dot_behind_slash(o->at);
		return;
	}
	o->mask = (vector_mask)~0ull << left;
	if (left == 0)
		return;
	spare = VECTOR - left;
	if (o->end - o->begin > VECTOR) { // one more: dots are looked for behind slashes
		const char *last = o->end - VECTOR;

		o->mask |= outside(vector_at(last), sets()->target) >> spare;
		o->dots |= dot_behind_slash(last);
	} else {
		for (size_t i = 0; i < left; i++)
			if (!(scan_class[(uint8_t)o->at[i]] & SCAN_TARGET))
				o->mask |= (vector_mask)1 << i;
		o->dots = 1;
	}
}

static inline __attribute__((always_inline)) void odd_bytes_init(struct odd_bytes *o, const char *begin,
								 const char *p, const char *end)
{
	*o = (struct odd_bytes){.begin = begin, .end = end, .at = p};
	odd_bytes_look(o);
}

static inline __attribute__((always_inline)) const char *odd_bytes_next(struct odd_bytes *o)
{
	const char *p;

	while (__builtin_expect(!o->mask, 0)) {
		o->at += VECTOR;
		odd_bytes_look(o);
	}
	p = o->at + __builtin_ctzll(o->mask);
	o->mask &= o->mask - 1;
	return p;
}

static inline const char *scan_host(const char *begin, const char *p, const char *end)
{
	for (; end - p >= VECTOR; p += VECTOR) {
		vector_mask hit = outside(vector_at(p), sets()->host);

		if (hit)
			return p + __builtin_ctzll(hit);
	}
	if (p < end && end - begin >= VECTOR) {
		vector_mask hit = outside(vector_at(end - VECTOR), sets()->host) >> (p - (end - VECTOR));

		return hit ? p + __builtin_ctzll(hit) : end;
	}
	return scan_bytes(p, end, SCAN_HOST);
}

// All of these n bytes are a host's. readable: where readable bytes end, at or behind them.
static inline __attribute__((always_inline)) bool host_only(const char *begin, const char *p, size_t n,
							    const char *readable)
{
	if (__builtin_expect(n > 0 && n <= VECTOR && (FORM_BITS == 512 || readable - p >= VECTOR), 1)) {
		vector_mask which = (vector_mask)~0ull >> (VECTOR - n);

#if FORM_BITS == 512
		return !(outside(_mm512_maskz_loadu_epi8(which, p), sets()->host) & which);
#else
		return !(outside(vector_at(p), sets()->host) & which);
#endif
	}
	return n > 0 && scan_host(begin, p, p + n) == p + n;
}
#else
struct scanner {
	const char *end;
};

static inline void scanner_init(struct scanner *s, const char *begin, const char *p, const char *end)
{
	(void)begin;
	(void)p;
	s->end = end;
}

static inline void scanner_line(struct scanner *s, const char *p, const char **name_end, const char **value_end)
{
	*name_end = scan_bytes(p, s->end, SCAN_TCHAR);
	*value_end = scan_bytes(*name_end, s->end, SCAN_VALUE);
}

typedef uint32_t vector_mask;
struct odd_bytes {
	const char *end, *p;
	vector_mask dots;
};

static inline void odd_bytes_init(struct odd_bytes *o, const char *begin, const char *p, const char *end)
{
	(void)begin;
	*o = (struct odd_bytes){end, p, 1};
}

static inline const char *odd_bytes_next(struct odd_bytes *o)
{
	const char *p = scan_bytes(o->p, o->end, SCAN_TARGET);

	o->p = p < o->end ? p + 1 : p;
	return p;
}

static inline const char *scan_host(const char *begin, const char *p, const char *end)
{
	(void)begin;
	return scan_bytes(p, end, SCAN_HOST);
}

static inline bool host_only(const char *begin, const char *p, size_t n, const char *readable)
{
	(void)readable;
	return n > 0 && scan_host(begin, p, p + n) == p + n;
}
#endif
