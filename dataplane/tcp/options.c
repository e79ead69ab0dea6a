#include "tcp/header.h"
#include <stddef.h>
#include <string.h>

#define OPT_END    0
#define OPT_NOP    1
#define OPT_MSS    2
#define OPT_WSCALE 3
#define OPT_SACKOK 4
#define OPT_SACK   5
#define OPT_TS     8

#define WSCALE_MAX 14 // RFC 7323 2.3

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void option_parse(struct tcp_options *o, const uint8_t *p, uint32_t n)
{
	switch (p[0]) {
	case OPT_MSS:
		if (n == 4)
			o->mss = (uint16_t)(p[2] << 8 | p[3]);
		break;
	case OPT_WSCALE:
		if (n == 3) {
			o->has_wscale = true;
			o->wscale = p[2] > WSCALE_MAX ? WSCALE_MAX : p[2];
		}
		break;
	case OPT_TS:
		if (n == 10) {
			o->has_ts = true;
			o->tsval = get32(p + 2);
			o->tsecr = get32(p + 6);
		}
		break;
	case OPT_SACKOK:
		o->sack_ok = n == 2;
		break;
	case OPT_SACK:
		if (n < 10 || (n - 2) % 8 != 0 || o->n_sack)
			break;
		for (uint32_t i = 2; i < n && o->n_sack < SACK_MAX; i += 8)
			o->sack[o->n_sack++] = (struct sack_block){get32(p + i), get32(p + i + 4)};
		break;
	default: // unknown: ignored (RFC 9293 3.1, MUST-6)
		break;
	}
}

void options_parse(struct tcp_options *o, const uint8_t *p, uint32_t n)
{
	memset(o, 0, offsetof(struct tcp_options, sack));
	if (n == 0)
		return;
	// Nearly every segment of an established connection looks like this (RFC 7323 appendix A).
	if (n == OPT_TS_LEN && p[0] == OPT_NOP && p[1] == OPT_NOP && p[2] == OPT_TS && p[3] == 10) {
		o->has_ts = true;
		o->tsval = get32(p + 4);
		o->tsecr = get32(p + 8);
		return;
	}
	while (n > 0 && p[0] != OPT_END) {
		uint32_t len = 1;
		if (p[0] != OPT_NOP) {
			if (n < 2 || p[1] < 2 || p[1] > n)
				return;
			len = p[1];
			option_parse(o, p, len);
		}
		p += len;
		n -= len;
	}
}

uint32_t options_put_mss(uint8_t *p, uint16_t mss)
{
	p[0] = OPT_MSS;
	p[1] = 4;
	p[2] = (uint8_t)(mss >> 8);
	p[3] = (uint8_t)mss;
	return 4;
}

uint32_t options_put_wscale(uint8_t *p, uint8_t shift)
{
	p[0] = OPT_NOP;
	p[1] = OPT_WSCALE;
	p[2] = 3;
	p[3] = shift;
	return 4;
}

uint32_t options_put_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr)
{
	p[0] = OPT_NOP;
	p[1] = OPT_NOP;
	p[2] = OPT_TS;
	p[3] = 10;
	put32(p + 4, tsval);
	put32(p + 8, tsecr);
	return OPT_TS_LEN;
}

uint32_t options_put_sack_ok(uint8_t *p)
{
	p[0] = OPT_NOP;
	p[1] = OPT_NOP;
	p[2] = OPT_SACKOK;
	p[3] = 2;
	return 4;
}

uint32_t options_put_sack(uint8_t *p, const struct sack_block *v, unsigned n)
{
	p[0] = OPT_NOP;
	p[1] = OPT_NOP;
	p[2] = OPT_SACK;
	p[3] = (uint8_t)(2 + 8 * n);
	for (unsigned i = 0; i < n; i++) {
		put32(p + 4 + 8 * i, v[i].lo);
		put32(p + 8 + 8 * i, v[i].hi);
	}
	return 4 + 8 * n;
}
