// Writes heads. All return the number of bytes written, or -1 when dst has no room for them.
#pragma once
#include "http/head.h"

// "METHOD target HTTP/1.1", Host from h->authority, then all fields that are not dropped (Host, Content-Length
// and Transfer-Encoding excepted: framing and length say them anew), then the empty line.
int http_write_request(char *dst, size_t room, const struct http_head *h, struct slice target,
		       enum http_framing framing, uint64_t length);
// "HTTP/1.1 status reason" and fields likewise. FRAMING_NONE writes neither length nor coding (HEAD and 304
// keep the Content-Length that the upstream stated: pass keep_length). connection: "" writes none, "close",
// "keep-alive".
int http_write_response(char *dst, size_t room, const struct http_head *h, enum http_framing framing,
			uint64_t length, bool keep_length, struct slice connection);
const char *http_reason(uint16_t status); // of RFC 9110, "" for others
// IMF-fixdate (RFC 9110 5.6.7), 29 bytes, from seconds since 1970.
void http_date(char out[static 29], uint64_t seconds);
// One chunk's size line, "1a4\r\n"; returns its length (at most 18).
int http_write_chunk_size(char *dst, uint64_t n);
