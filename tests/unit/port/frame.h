// TCP segments in a frame, as far as what looks at frames before TCP does: from 198.18.7.9 and 2001:db8::7.
#pragma once
#include <stdint.h>
#include <string.h>

#define SYN 2
#define ACK 16

static char frame[128];

// IPv4, with that many bytes of IP options.
static inline uint32_t frame4(uint8_t flags, unsigned vlan, unsigned options)
{
	uint8_t *p = (uint8_t *)frame;

	memset(frame, 0, sizeof(frame));
	if (vlan) {
		p[12] = 0x81;
		p += 4;
	}
	p[12] = 0x08;
	p[14] = (uint8_t)(0x40 | (20 + options) / 4);
	p[14 + 9] = 6;
	memcpy(p + 14 + 12, "\xc6\x12\x07\x09", 4);
	p[14 + 20 + options + 13] = flags;
	return 14 + (vlan ? 4 : 0) + 20 + options + 20;
}

static inline uint32_t frame6(uint8_t flags)
{
	uint8_t *p = (uint8_t *)frame;

	memset(frame, 0, sizeof(frame));
	p[12] = 0x86;
	p[13] = 0xdd;
	p[14] = 0x60;
	p[14 + 6] = 6;
	memcpy(p + 14 + 8, "\x20\x01\x0d\xb8", 4);
	p[14 + 23] = 7;
	p[14 + 40 + 13] = flags;
	return 14 + 40 + 20;
}
