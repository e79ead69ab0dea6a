// The Internet checksum (RFC 1071), with its incremental update (RFC 1624).
#pragma once
#include <stddef.h>
#include <stdint.h>

// One's-complement sum of n bytes added to sum, not yet folded. Any alignment; an odd n pads with zero, so
// only the last piece of a sum may be odd.
uint64_t checksum_add(uint64_t sum, const void *p, size_t n);
// What the last len bytes of something sum up to, folded; len 0: it is not known. Where they begin at an odd
// offset of it, they count with their bytes swapped (RFC 1071 2(B)).
struct checksum_tail {
	uint16_t sum, len;
};
// Of all of something, with the sum `whole`, what is left behind its first n bytes, which are at p (n <= len).
struct checksum_tail checksum_without(struct checksum_tail whole, const void *p, size_t n);
// All of something as the end of something longer, n bytes behind whose begin.
static inline struct checksum_tail checksum_behind(struct checksum_tail whole, size_t n)
{
	if (n & 1)
		whole.sum = __builtin_bswap16(whole.sum);
	return whole;
}
// Folded and complemented, in network byte order as it is stored.
static inline uint16_t checksum_fold(uint64_t sum)
{
	// Both halves added to both: the upper one then has the carry of the lower one.
	sum += sum >> 32 | sum << 32;
	uint32_t half = (uint32_t)(sum >> 32);
	half += half >> 16 | half << 16;
	return (uint16_t) ~(half >> 16);
}
