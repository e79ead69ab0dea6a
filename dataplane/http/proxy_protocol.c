#include "http/proxy_protocol.h"
#include <stdio.h>
#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

#define V2_HEAD    16
#define V2_INET    12 // bytes of two addresses and two ports
#define V2_INET6   36
#define V2_UNIX    216
#define TLV_CRC32C 3
#define TLV_HEAD   3
#define FIELDS_V1  4
#define FIELD_V1   40 // an IPv6 address in text has 39 at most

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static uint16_t be16(const char *p)
{
	return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

// As far as both go.
static bool begins(const char *p, size_t n, const char *with, size_t with_n)
{
	return memcmp(p, with, n < with_n ? n : with_n) == 0;
}

static bool port_of(const char *s, size_t n, uint16_t *port)
{
	uint32_t v = 0;

	if (n == 0 || n > 5 || (n > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(s[i] - '0');
	}
	*port = (uint16_t)v;
	return v <= 65535;
}

static bool address_of(const char *s, size_t n, bool v4, struct addr *a)
{
	return (memchr(s, ':', n) == NULL) == v4 && addr_parse(s, n, a) == 0;
}

// "TCP4" or "TCP6", then addresses and ports with a space in front of each.
static int v1_fields(const char *p, const char *end, struct proxy_header *out)
{
	bool v4 = end - p >= 4 && p[3] == '4';
	const char *field[FIELDS_V1 + 1];

	if (end - p < 5 || memcmp(p, "TCP", 3) != 0 || (!v4 && p[3] != '6') || p[4] != ' ')
		return -PROXY_BAD;
	field[0] = p + 5;
	for (unsigned i = 1; i <= FIELDS_V1; i++) {
		const char *space = memchr(field[i - 1], ' ', (size_t)(end - field[i - 1]));

		if ((space == NULL) != (i == FIELDS_V1))
			return -PROXY_BAD;
		field[i] = space ? space + 1 : end + 1;
	}
	if (!address_of(field[0], (size_t)(field[1] - field[0] - 1), v4, &out->src) ||
	    !address_of(field[1], (size_t)(field[2] - field[1] - 1), v4, &out->dst) ||
	    !port_of(field[2], (size_t)(field[3] - field[2] - 1), &out->src_port) ||
	    !port_of(field[3], (size_t)(field[4] - field[3] - 1), &out->dst_port))
		return -PROXY_BAD;
	out->known = true;
	return PROXY_OK;
}

static int v1_parse(const char *p, size_t n, struct proxy_header *out)
{
	const char *end = memchr(p, '\r', n < PROXY_V1_MAX - 1 ? n : PROXY_V1_MAX - 1);
	int fault;

	if (!end) {
		out->need = n + 1;
		return n < PROXY_V1_MAX - 1 ? 0 : -PROXY_BAD;
	}
	if (end + 1 == p + n) {
		out->need = n + 1;
		return 0;
	}
	if (end[1] != '\n')
		return -PROXY_BAD;
	p += 6;
	// What follows UNKNOWN is to be ignored.
	if (end - p >= 7 && memcmp(p, "UNKNOWN", 7) == 0 && (end - p == 7 || p[7] == ' '))
		return (int)(end + 2 - (p - 6));
	fault = v1_fields(p, end, out);
	return fault ? fault : (int)(end + 2 - (p - 6));
}

static uint32_t crc32c(uint32_t crc, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
#ifdef __SSE4_2__
		crc = _mm_crc32_u8(crc, (uint8_t)p[i]);
#else
		crc ^= (uint8_t)p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
#endif
	}
	return crc;
}

// The checksum of the whole header, its own four bytes counted as zeroes.
static bool checksum_holds(const char *p, size_t n, size_t at)
{
	static const char zero[4];
	uint32_t crc = crc32c(~0u, p, at);

	crc = crc32c(crc, zero, 4);
	crc = ~crc32c(crc, p + at + 4, n - at - 4);
	return crc == ((uint32_t)be16(p + at) << 16 | be16(p + at + 2));
}

static int tlvs_check(const char *p, size_t n, size_t at)
{
	while (at < n) {
		size_t length;

		if (n - at < TLV_HEAD)
			return -PROXY_BAD;
		length = be16(p + at + 1);
		if (length > n - at - TLV_HEAD)
			return -PROXY_BAD;
		if (p[at] == TLV_CRC32C) {
			if (length != 4)
				return -PROXY_BAD;
			if (!checksum_holds(p, n, at + TLV_HEAD))
				return -PROXY_CHECKSUM;
		}
		at += TLV_HEAD + length;
	}
	return PROXY_OK;
}

static struct addr v4_at(const char *p)
{
	uint32_t v4;

	memcpy(&v4, p, 4);
	return addr_from_v4(v4);
}

// Bytes of the addresses of a family and protocol; -1: there is no such pair.
static int addresses_size(uint8_t family)
{
	switch (family) {
	case 0x00:
		return 0;
	case 0x11:
	case 0x12:
		return V2_INET;
	case 0x21:
	case 0x22:
		return V2_INET6;
	case 0x31:
	case 0x32:
		return V2_UNIX;
	default:
		return -1;
	}
}

static int v2_parse(const char *p, size_t n, struct proxy_header *out)
{
	const char *at = p + V2_HEAD;
	int size, fault;

	out->need = V2_HEAD;
	if (n < V2_HEAD)
		return 0;
	size = addresses_size((uint8_t)p[13]);
	if ((p[12] != 0x20 && p[12] != 0x21) || size < 0 || be16(p + 14) < size)
		return -PROXY_BAD;
	out->need = V2_HEAD + (size_t)be16(p + 14);
	if (out->need > PROXY_MAX)
		return -PROXY_BAD;
	if (n < out->need)
		return 0;
	fault = tlvs_check(p, out->need, V2_HEAD + (size_t)size);
	if (fault)
		return fault;
	if (p[12] == 0x21 && p[13] == 0x11) {
		*out = (struct proxy_header){true,         v4_at(at),     v4_at(at + 4),
					     be16(at + 8), be16(at + 10), out->need};
	} else if (p[12] == 0x21 && p[13] == 0x21) {
		memcpy(out->src.b, at, 16);
		memcpy(out->dst.b, at + 16, 16);
		out->src_port = be16(at + 32);
		out->dst_port = be16(at + 34);
		out->known = true;
	}
	return (int)out->need;
}

int proxy_parse(const char *p, size_t n, struct proxy_header *out)
{
	*out = (struct proxy_header){.need = n + 1};
	if (n == 0)
		return 0;
	if (begins(p, n, signature, sizeof(signature)))
		return v2_parse(p, n, out);
	if (!begins(p, n, "PROXY ", 6))
		return -PROXY_MISSING;
	return n < 6 ? 0 : v1_parse(p, n, out);
}

static const char *mapped_text(struct addr a, bool v4, char buf[static ADDR_TEXT_MAX + 8])
{
	char text[ADDR_TEXT_MAX];

	snprintf(buf, ADDR_TEXT_MAX + 8, "%s%s", addr_is_v4(a) && !v4 ? "::ffff:" : "", addr_text(a, text));
	return buf;
}

size_t proxy_write(char dst[static PROXY_OUT_MAX], unsigned version, const struct proxy_header *h)
{
	bool v4 = addr_is_v4(h->src) && addr_is_v4(h->dst);
	unsigned size = v4 ? 4 : 16;
	char src_text[ADDR_TEXT_MAX + 8], dst_text[ADDR_TEXT_MAX + 8], *p = dst;

	if (version == 1)
		return (size_t)snprintf(dst, PROXY_OUT_MAX, "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6',
					mapped_text(h->src, v4, src_text), mapped_text(h->dst, v4, dst_text),
					h->src_port, h->dst_port);
	memcpy(p, signature, sizeof(signature));
	p[12] = 0x21;
	p[13] = v4 ? 0x11 : 0x21;
	p[14] = 0;
	p[15] = v4 ? V2_INET : V2_INET6;
	p += V2_HEAD;
	memcpy(p, h->src.b + 16 - size, size);
	memcpy(p + size, h->dst.b + 16 - size, size);
	p += 2 * size;
	*p++ = (char)(h->src_port >> 8);
	*p++ = (char)h->src_port;
	*p++ = (char)(h->dst_port >> 8);
	*p++ = (char)h->dst_port;
	return (size_t)(p - dst);
}
