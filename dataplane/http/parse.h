// The parser of heads: pure functions over bytes, no state, no allocation (RFC 9112 2 to 5).
#pragma once
#include "http/head.h"

enum http_fault {
	FAULT_NONE,
#define FAULT(id, status, text) FAULT_##id,
#include "http/faults.def"
#undef FAULT
	FAULT_COUNT
};
struct http_fault_info {
	uint16_t status; // of our answer to a request; a response with a fault is a 502
	const char *text;
};
extern const struct http_fault_info http_fault_info[FAULT_COUNT];

#define HTTP_MORE 0

// Parses a whole head at the front of p. max: bytes a head may have.
// > 0: bytes of the head, through its empty line. HTTP_MORE: it is not complete (and not yet wrong).
// < 0: -(enum http_fault). Leading empty lines before a request line (at most two) are skipped and counted in.
int http_parse_request(const char *p, size_t n, size_t max, struct http_head *out);
int http_parse_response(const char *p, size_t n, size_t max, struct http_head *out);
