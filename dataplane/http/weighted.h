// Lists whose elements have weights, as Accept, Accept-Language and Accept-Encoding have (RFC 9110 12.4.2).
#pragma once
#include "http/head.h"

#define HTTP_WEIGHT_FULL 1000u

struct http_weighted {
	struct slice name;
	bool parameters; // beside q
	uint32_t q;      // thousandths, 0..HTTP_WEIGHT_FULL
};

// Takes the next well-formed element off the list's front; one whose weight is none is skipped. false at the
// end.
bool http_weighted_next(struct slice *list, struct http_weighted *out);
