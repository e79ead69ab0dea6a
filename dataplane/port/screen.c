#include "port/screen.h"

#define ETH_HEADER 14u
#define VLAN_TAG   4u
#define IP4_HEADER 20u
#define IP6_HEADER 40u
#define TCP_FLAGS  13u // offset in a TCP header
#define TCP        6
#define SYN        0x02u
#define ACK        0x10u

bool screen_syn(const char *frame, uint32_t n, struct addr *source)
{
	const uint8_t *p = (const uint8_t *)frame;
	uint32_t at = ETH_HEADER;

	if (n < ETH_HEADER + VLAN_TAG + IP4_HEADER)
		return false;
	if (p[12] == 0x81 && p[13] == 0)
		at += VLAN_TAG;
	if (p[at - 2] == 0x08 && p[at - 1] == 0x00) {
		uint32_t ip = at, v4;

		if (p[ip + 9] != TCP || (p[ip + 6] & 0x3f) != 0 || p[ip + 7] != 0)
			return false;
		at += (p[ip] & 15u) * 4;
		if (at + TCP_FLAGS >= n || (p[at + TCP_FLAGS] & (SYN | ACK)) != SYN)
			return false;
		memcpy(&v4, p + ip + 12, sizeof(v4));
		*source = addr_from_v4(v4);
		return true;
	}
	if (p[at - 2] != 0x86 || p[at - 1] != 0xdd || p[at + 6] != TCP || at + IP6_HEADER + TCP_FLAGS >= n ||
	    (p[at + IP6_HEADER + TCP_FLAGS] & (SYN | ACK)) != SYN)
		return false;
	memcpy(source->b, p + at + 8, sizeof(source->b));
	return true;
}
