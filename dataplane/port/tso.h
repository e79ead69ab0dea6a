// Segmentation by the device (TSO): one packet of several segments' payload, which it cuts, each with the
// headers of the whole. What a device can take of it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct tso {
	uint32_t max;             // bytes of an IP packet that is cut; 0: the device does not
	uint16_t segments;        // that it may become
	uint16_t buffers;         // that it may lie in
	uint16_t segment_buffers; // and each of its segments, with its headers
	uint16_t less;            // bytes by which segments are smaller than the path allows
	bool ipv6;                // not only IPv4
	bool even; // a segment must not go on in another buffer behind an odd number of its bytes
};
