// A second reading of HTTP/1.1, written from the grammar of RFC 9110, 9112 and 3986 and nothing of the data
// plane's: slow, with offsets instead of pointers, one function for each rule. It says what is a whole message
// head or chunked body at the front of the input, and what is in it; the fuzzers hold the parser to it.
//
// Where RFCs leave a choice, or a gateway has to be stricter than a grammar, it takes what the gateway
// promises: a target may have [ ] { } | ^ ` unencoded, and a backslash in its query; no "." and ".." as
// segments of a path, encoded or not; the host is a name of letters, digits and -._~ or an IPv6 address, and
// not empty; at most 100 fields and 32 connection options; one Content-Length, of at most 9223372036854775799;
// of codings chunked alone; no expectation but 100-continue; no body of what asks for an upgrade; at most two
// empty lines before a request.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REF_FIELDS  100
#define REF_OPTIONS 32

struct ref_span {
	size_t at, n;
};
enum ref_framing { REF_NO_BODY, REF_LENGTH, REF_CHUNKED };

struct ref_head {
	size_t n; // bytes of the head; 0: the input begins with none that is whole and right
	unsigned minor, status, fields;
	struct ref_span method, target, path, query, host, reason; // host: as it is named, without port
	bool path_implied, has_query;
	struct ref_span name[REF_FIELDS], value[REF_FIELDS];
	enum ref_framing framing;
	uint64_t length;
	bool keep_alive, expect_continue, upgrade;
};

void ref_request(const char *text, size_t n, struct ref_head *h);
void ref_response(const char *text, size_t n, struct ref_head *h);
// The payload of a chunked body goes to payload, which has room for n bytes. Bytes of the body; 0: none that is
// whole and right.
// trailers: their fields, at most 100 in at most 4096 bytes with the empty line; nothing else is filled.
size_t ref_chunked(const char *text, size_t n, char *payload, size_t *payload_n, struct ref_head *trailers);
