// Network addresses: always 128 bits. IPv4 is carried IPv4-mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2),
// so that one flow key, one neighbour table and one listener lookup serve both families.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct addr {
	union {
		uint8_t b[16];
		uint64_t w[2];
	};
};

#define ADDR_TEXT_MAX 48

static inline bool addr_eq(struct addr a, struct addr b)
{
	return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

static inline bool addr_is_any(struct addr a)
{
	return a.w[0] == 0 &&
	       (a.w[1] == 0 || (a.b[10] == 0xff && a.b[11] == 0xff && a.b[12] == 0 && a.b[13] == 0 &&
				a.b[14] == 0 && a.b[15] == 0 && a.b[8] == 0 && a.b[9] == 0));
}

static inline bool addr_is_v4(struct addr a)
{
	return a.w[0] == 0 && a.b[8] == 0 && a.b[9] == 0 && a.b[10] == 0xff && a.b[11] == 0xff;
}

// v4 is in network byte order, as it stands in the packet.
static inline struct addr addr_from_v4(uint32_t v4)
{
	struct addr a = {.b = {[10] = 0xff, [11] = 0xff}};
	memcpy(&a.b[12], &v4, 4);
	return a;
}

static inline uint32_t addr_v4(struct addr a)
{
	uint32_t v;
	memcpy(&v, &a.b[12], 4);
	return v;
}

// prefix: 0..128; an IPv4 prefix of n bits is 96 + n.
static inline bool addr_in_prefix(struct addr a, struct addr net, unsigned prefix)
{
	unsigned bytes = prefix / 8, bits = prefix % 8;

	if (memcmp(a.b, net.b, bytes) != 0)
		return false;
	return bits == 0 || ((a.b[bytes] ^ net.b[bytes]) >> (8 - bits)) == 0;
}

// Text as in RFC 5952 (IPv6) or dotted quad; returns buf.
const char *addr_text(struct addr a, char buf[static ADDR_TEXT_MAX]);

// An IPv4 address as dotted quad; returns what is behind it. Up to 16 bytes are written.
char *addr_v4_put(char *to, struct addr a);

// Parses one IPv4 or IPv6 address of n bytes; 0, or -1 where it is none.
int addr_parse(const char *s, unsigned long n, struct addr *out);
