// Trailer sections: the field lines behind a chunked body (RFC 9110 6.5, RFC 9112 7.1.2). Pure functions.
#pragma once
#include "http/parse.h"

// Parses a whole trailer section at the front of p, held to what fields of a head are held to; out's fields
// are filled and nothing else, as no trailer says anything about the message.
// > 0: bytes of it, through its empty line. HTTP_MORE: it is not complete (and not yet wrong).
// < 0: -(enum http_fault). Of the limits, head and fields count.
int http_parse_trailers(const char *p, size_t n, const struct http_limits *limits, struct http_head *out);
// May a field of this name stand in a trailer section? Not one that says how a message is framed, routed,
// authenticated, cached or read, or who sent it (RFC 9110 6.5.1): a recipient that puts trailers among the
// header fields would take it for what the gateway has checked. '_' counts as '-', as it does behind CGI.
bool http_trailer_allowed(struct slice name);
