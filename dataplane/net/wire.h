// Numbers as they stand in packets, at any alignment.
#pragma once
#include <stdint.h>
#include <string.h>

static inline uint16_t get16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return __builtin_bswap16(v);
}
static inline uint32_t get32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}
static inline void put16(void *p, unsigned v)
{
	uint16_t be = __builtin_bswap16((uint16_t)v);
	memcpy(p, &be, 2);
}
static inline void put32(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}
