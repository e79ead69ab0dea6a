// Host and port of a request (RFC 3986 3.2, RFC 9110 4.2.1 and 7.2).
#pragma once
#include "base/addr.h"
#include "base/slice.h"
#include "http/blocks.h"

struct authority {
	struct slice host; // without port; "[...]" for IPv6
	int32_t port;      // -1: none
};

static inline bool port_parse(struct slice text, int32_t *port)
{
	int32_t v = 0;

	if (text.n == 0) { // "host:" is allowed and says nothing (RFC 3986 3.2.3)
		*port = -1;
		return true;
	}
	for (size_t i = 0; i < text.n; i++) {
		if (!(scan_class[(uint8_t)text.p[i]] & SCAN_DIGIT))
			return false;
		v = v * 10 + (text.p[i] - '0');
		if (v > 65535)
			return false;
	}
	*port = v;
	return true;
}

// host [":" port]; false when it is none. begin: where readable bytes begin, at or before the text.
// A name takes letters, digits, and "-._~". The grammar's sub-delims and percent-encoding are refused: no host
// that resolves has them, and they are read differently by different servers.
static inline bool authority_parse(const char *begin, struct slice text, struct authority *a)
{
	const char *end = text.p + text.n, *p;
	struct addr ignored;

	a->port = -1;
	if (text.n == 0)
		return false;
	if (text.p[0] == '[') {
		p = memchr(text.p, ']', text.n);
		if (!p || !memchr(text.p, ':', (size_t)(p - text.p)) ||
		    addr_parse(text.p + 1, (size_t)(p - text.p) - 1, &ignored) != 0)
			return false;
		p++;
	} else {
		p = scan_host(begin, text.p, end);
		if (p == text.p)
			return false;
	}
	a->host = slice_of(text.p, (size_t)(p - text.p));
	if (p == end)
		return true;
	return *p == ':' && port_parse(slice_of(p + 1, (size_t)(end - p) - 1), &a->port);
}

// The same host and port, default_port standing for a port not given.
static inline bool authority_agree(const struct authority *a, const struct authority *b, int32_t default_port)
{
	int32_t pa = a->port < 0 ? default_port : a->port, pb = b->port < 0 ? default_port : b->port;

	return pa == pb && slice_ieq(a->host, b->host);
}
