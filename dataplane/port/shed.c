#include "port/shed.h"

#define ENOUGH   10000000ull // ns: a whole ring that gathered while the worker was held up is worked off sooner
#define FORGIVEN 10000000ull // ns
#define LEVEL    248         // at most: one SYN in 32 gets through whatever happens

#define ETH_HEADER 14u
#define VLAN_TAG   4u
#define IP4_HEADER 20u
#define IP6_HEADER 40u
#define TCP        6
#define TCP_FLAGS  13u // offset in the header
#define SYN        2u
#define ACK        16u

void shed_observe(struct shed *s, unsigned n, unsigned most, uint64_t now)
{
	unsigned bound = most / 16 * 9, level;

	s->level = 0;
	if (n <= bound) {
		s->since = 0;
		if (s->on && now - s->last > FORGIVEN)
			s->on = false;
		return;
	}
	s->last = now;
	if (s->since == 0)
		s->since = now;
	if (now - s->since >= ENOUGH)
		s->on = true;
	level = (n - bound) * 256 / (most - bound);
	if (s->on)
		s->level = (uint8_t)(level < LEVEL ? level : LEVEL);
}

// What is cut off, fragmented or has extensions is not recognised, and goes the usual way.
static bool is_syn(const uint8_t *p, uint32_t n)
{
	uint32_t at = ETH_HEADER;

	if (n < ETH_HEADER + VLAN_TAG + IP4_HEADER)
		return false;
	if (p[12] == 0x81 && p[13] == 0)
		at += VLAN_TAG;
	if (p[at - 2] == 0x08 && p[at - 1] == 0x00) {
		if (p[at + 9] != TCP || (p[at + 6] & 0x3f) != 0 || p[at + 7] != 0)
			return false;
		at += (p[at] & 15u) * 4;
	} else if (p[at - 2] == 0x86 && p[at - 1] == 0xdd) {
		if (p[at + 6] != TCP)
			return false;
		at += IP6_HEADER;
	} else {
		return false;
	}
	return at + TCP_FLAGS < n && (p[at + TCP_FLAGS] & (SYN | ACK)) == SYN;
}

bool shed_frame(struct shed *s, const char *frame, uint32_t n)
{
	unsigned sum;

	if (!is_syn((const uint8_t *)frame, n))
		return false;
	sum = s->sum + s->level;
	s->sum = (uint8_t)sum;
	return sum > UINT8_MAX;
}
