// One HTTP/1.1 request head, as far as a server of two pages needs it. A pure function over bytes.
#pragma once
#include "base/slice.h"
#include <stdbool.h>

#define REQUEST_HEAD_MAX 8192

enum request_fault { REQUEST_OK, REQUEST_BAD, REQUEST_VERSION, REQUEST_TOO_LARGE };

struct request {
	struct slice method;
	struct slice path; // without the query
	bool keep;         // the connection may carry another request
};

// Bytes of the complete head at s (its empty line included); 0 when more are needed; -1 when it is refused,
// with the reason in *fault.
int request_parse(struct slice s, struct request *r, enum request_fault *fault);
