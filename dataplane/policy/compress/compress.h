// What the stage decides, apart from how it is asked.
#pragma once
#include "http/head.h"
#include "policy/compress/conf.h"

extern const char *const coding_name[CODINGS]; // as Content-Encoding says it

// The coding of a request's answers (RFC 9110 12.5.3): what Accept-Encoding likes best of those on offer.
// CODING_NONE: nothing, or the answer as it is is liked better.
enum coding compress_accept(const struct http_head *h, const struct compress_conf *conf);

// What becomes of a response whose head is h.
enum compress_verdict {
	COMPRESS_NOT,    // nothing; it is the same to every client
	COMPRESS_VARIES, // nothing of its body; but what it is depends on Accept-Encoding
	COMPRESS_BODY,   // its body is compressed where the client wants that
};
enum compress_verdict compress_judge(const struct snapshot *s, const struct compress_conf *conf,
				     const struct http_head *h);
