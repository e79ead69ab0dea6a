// Scanning: the first byte of a run that does not belong to a class, a byte at a time. blocks.h does it faster.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Classes of bytes, as bits in scan_class[].
enum {
	SCAN_TCHAR = 1,  // RFC 9110 5.6.2
	SCAN_VALUE = 2,  // field-vchar, SP, HTAB, obs-text (RFC 9110 5.5)
	SCAN_TARGET = 4, // plain bytes of a request target, see request.c
	SCAN_HOST = 8,   // see authority.c
	SCAN_DIGIT = 16,
};
extern const uint8_t scan_class[256];

static inline const char *scan_bytes(const char *p, const char *end, uint8_t cls)
{
	while (p < end && scan_class[(uint8_t)*p] & cls)
		p++;
	return p;
}
