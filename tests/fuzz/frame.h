// Frames as the peer of the packet fuzzer sends them: built, mended, taken apart.
#pragma once
#include "base/addr.h"
#include "base/checksum.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FRAME_MAX 2048
#define ETHER     14u

struct frame {
	uint32_t n;
	uint8_t d[FRAME_MAX];
};

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}
static inline uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}
static inline uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static inline bool frame_v6(const struct frame *f)
{
	return f->n >= ETHER && get16(f->d + 12) == 0x86dd;
}
static inline uint32_t frame_l4(const struct frame *f) // where the transport header begins without options
{
	return ETHER + (frame_v6(f) ? 40 : 20);
}

static inline void frame_begin(struct frame *f, const uint8_t to[6], const uint8_t from[6], bool v6,
			       struct addr src, struct addr dst, uint8_t proto)
{
	memcpy(f->d, to, 6);
	memcpy(f->d + 6, from, 6);
	put16(f->d + 12, v6 ? 0x86dd : 0x0800);
	uint8_t *ip = f->d + ETHER;
	if (v6) {
		memset(ip, 0, 40);
		ip[0] = 0x60;
		ip[6] = proto;
		ip[7] = 255;
		memcpy(ip + 8, src.b, 16);
		memcpy(ip + 24, dst.b, 16);
		f->n = ETHER + 40;
		return;
	}
	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, src.b + 12, 4);
	memcpy(ip + 16, dst.b + 12, 4);
	f->n = ETHER + 20;
}

static inline uint16_t frame_sum(const struct frame *f, uint32_t at, uint32_t end, uint8_t proto)
{
	bool v6 = frame_v6(f);
	uint8_t tail[8] = {0};
	uint64_t sum = checksum_add(0, f->d + ETHER + (v6 ? 8 : 12), v6 ? 32 : 8);

	put32(tail, end - at);
	tail[7] = proto;
	return checksum_fold(checksum_add(checksum_add(sum, tail, 8), f->d + at, end - at));
}

// Lengths and checksums as they should be, for what the headers say is there.
static inline void frame_mend(struct frame *f, bool lengths, bool sums)
{
	bool v6 = frame_v6(f);
	uint8_t *ip = f->d + ETHER, proto;
	uint32_t at, end = f->n;

	if ((!v6 && (f->n < ETHER + 20 || get16(f->d + 12) != 0x0800)) || (v6 && f->n < ETHER + 40))
		return;
	if (lengths)
		put16(ip + (v6 ? 4 : 2), v6 ? f->n - ETHER - 40 : f->n - ETHER);
	if (!sums)
		return;
	if (v6) {
		proto = ip[6];
		at = ETHER + 40;
		while ((proto == 0 || proto == 43 || proto == 60) &&
		       at + 8 <= end) { // extensions that have a length
			proto = f->d[at];
			at += 8 + f->d[at + 1] * 8u;
		}
	} else {
		at = ETHER + (ip[0] & 15u) * 4;
		proto = ip[9];
		if (at > end)
			return;
		put16(ip + 10, 0);
		uint16_t sum = checksum_fold(checksum_add(0, ip, at - ETHER));
		memcpy(ip + 10, &sum, 2);
	}
	uint32_t field = at + (proto == IPPROTO_TCP ? 16 : 2);
	bool icmp = proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
	if ((proto != IPPROTO_TCP && !icmp) || field + 2 > end)
		return;
	put16(f->d + field, 0);
	uint16_t sum = proto == IPPROTO_ICMP ? checksum_fold(checksum_add(0, f->d + at, end - at))
					     : frame_sum(f, at, end, proto);
	memcpy(f->d + field, &sum, 2);
}

// What we send must be right: lengths, checksums. False: it is not.
static inline bool frame_right(const struct frame *f)
{
	const uint8_t *ip = f->d + ETHER;
	bool v6 = frame_v6(f);

	if (f->n < ETHER)
		return false;
	if (v6) {
		if (f->n < ETHER + 40 || get16(ip + 4) + ETHER + 40 != f->n)
			return false;
		return (ip[6] != IPPROTO_TCP && ip[6] != IPPROTO_ICMPV6) ||
		       frame_sum(f, ETHER + 40, f->n, ip[6]) == 0;
	}
	if (get16(f->d + 12) != 0x0800)
		return true;
	if (f->n < ETHER + 20 || get16(ip + 2) + ETHER != f->n || ip[0] != 0x45 ||
	    checksum_fold(checksum_add(0, ip, 20)) != 0)
		return false;
	return ip[9] == IPPROTO_TCP ? frame_sum(f, ETHER + 20, f->n, IPPROTO_TCP) == 0
				    : checksum_fold(checksum_add(0, ip + 20, f->n - ETHER - 20)) == 0;
}
