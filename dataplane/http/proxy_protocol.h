// The PROXY protocol, versions 1 and 2 (its specification is HAProxy's proxy-protocol.txt): what stands in
// front of a connection's first byte and says whose connection it is. Pure functions over bytes.
#pragma once
#include "base/addr.h"
#include <stddef.h>

#define PROXY_V1_MAX  107  // bytes of a header of version 1, at most
#define PROXY_MAX     4096 // of one of version 2 that we take; its extensions (TLVs) seldom fill a tenth
#define PROXY_OUT_MAX PROXY_V1_MAX

enum proxy_fault {
	PROXY_OK,
	PROXY_MISSING,  // the bytes begin otherwise
	PROXY_BAD,      // malformed, or of a kind that the specification tells us to refuse
	PROXY_CHECKSUM, // its CRC32c is wrong
};

struct proxy_header {
	bool known; // false: LOCAL, UNKNOWN, or of a family that says nothing of TCP: the connection's own ends
		    // hold
	struct addr src, dst;
	uint16_t src_port, dst_port;
	size_t need; // where more is needed: bytes of the whole, as far as is known
};

// A header at the front of p. > 0: its bytes. 0: more are needed. < 0: -(enum proxy_fault).
int proxy_parse(const char *p, size_t n, struct proxy_header *out);
// Writes one of version 1 or 2 for src to dst; returns its bytes. Of two families both are written as IPv6.
size_t proxy_write(char dst[static PROXY_OUT_MAX], unsigned version, const struct proxy_header *h);
