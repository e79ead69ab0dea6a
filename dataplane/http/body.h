// The body of a message as a stream: takes the framing off (RFC 9112 6 and 7). A state machine over bytes,
// resumable at any of them; no allocation.
#pragma once
#include "http/head.h"
#include "http/parse.h"

struct http_body {
	uint8_t framing; // enum http_framing
	uint8_t state;
	uint16_t line;   // bytes seen of a chunk-size line, for the limits
	uint8_t fault;   // enum http_fault: what was wrong stays wrong, nothing behind it is read
	uint16_t excess; // bytes of extensions beyond what their chunks make up for
	uint64_t
		left; // of the body or of the chunk; at trailers: who reads them may keep a number here, from 0
	uint64_t room; // bytes that chunks may still have
};

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length);
// A chunked body may have max bytes; the chunk that would be too much is refused at its size line.
void http_body_limit(struct http_body *b, uint64_t max);
// No byte of it is missing: FRAMING_NONE, length used up, or last chunk and trailers seen.
bool http_body_done(const struct http_body *b);
// All of its payload is there, and what stands next is a trailer section (http/trailer.h), which the caller
// reads and then says so with http_body_end(). A body without trailers never stands here.
bool http_body_trailers(const struct http_body *b);
void http_body_end(struct http_body *b);
// Looks at the n bytes at p, which follow what was looked at before: the first *skip bytes are framing to be
// dropped, the next *run bytes are payload; what is behind them is looked at by the next call. *skip + *run is
// 0 only when the body is done, stands at trailers, or n is 0. FAULT_NONE, or what is wrong.
enum http_fault http_body_next(struct http_body *b, const char *p, size_t n, size_t *skip, size_t *run);
