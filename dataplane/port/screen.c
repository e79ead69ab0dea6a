#include "port/screen.h"
#include "port/bands.h"

#define ETH_HEADER 14u
#define VLAN_TAG   4u

bool screen_syn(const char *frame, uint32_t n, struct addr *source)
{
	const uint8_t *p = (const uint8_t *)frame;
	uint32_t at = ETH_HEADER, v4;

	if (!frame_is_syn(frame, n)) // its headers are there, and of a version that we know
		return false;
	if (p[12] == 0x81 && p[13] == 0)
		at += VLAN_TAG;
	if (p[at - 2] == 0x08) {
		memcpy(&v4, p + at + 12, sizeof(v4));
		*source = addr_from_v4(v4);
	} else {
		memcpy(source->b, p + at + 8, sizeof(source->b));
	}
	return true;
}
