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

// What a message may have at most. No byte behind a limit is looked at.
struct http_limits {
	size_t head;       // bytes of a head, through its empty line
	uint32_t line;     // bytes of a request line, with its line end
	uint32_t uri;      // bytes of a request target
	uint16_t fields;   // field lines, up to HTTP_FIELDS_MAX
	bool lenient_lf;   // a lone LF ends a line of a request's head (RFC 9112 2.2); never one of its body
	bool dot_segments; // are left in the path, for path.h
	uint64_t body;     // bytes of a request's body that Content-Length states
	// What a host will be looked up in: slots of a cache line each, a power of two, by routekey_host(). The
	// one of a request's host is asked for as soon as its field is read, and comes while the others are.
	// NULL: none.
	const char *hosts;
	uint32_t hosts_mask; // slots - 1
};

#define HTTP_MORE 0

// Parses a whole head at the front of p.
// > 0: bytes of the head, through its empty line. HTTP_MORE: it is not complete (and not yet wrong).
// < 0: -(enum http_fault). Leading empty lines before a request line (at most two) are skipped and counted in.
int http_parse_request_within(const char *p, size_t n, const struct http_limits *limits, struct http_head *out);
int http_parse_response_within(const char *p, size_t n, const struct http_limits *limits,
			       struct http_head *out);

// The same where only the head's bytes are bounded.
static inline struct http_limits http_limits_of(size_t head)
{
	return (struct http_limits){head,       UINT32_MAX, UINT32_MAX, HTTP_FIELDS_MAX, false, false,
				    UINT64_MAX, NULL,       0};
}
static inline int http_parse_request(const char *p, size_t n, size_t max, struct http_head *out)
{
	struct http_limits limits = http_limits_of(max);

	return http_parse_request_within(p, n, &limits, out);
}
static inline int http_parse_response(const char *p, size_t n, size_t max, struct http_head *out)
{
	struct http_limits limits = http_limits_of(max);

	return http_parse_response_within(p, n, &limits, out);
}
