// What the gateway asks of the stage beside its hooks.
#pragma once
#include "http/head.h"
#include "policy/cors/conf.h"

#define CORS_FIELDS_MAX (4 * CORS_LIST_MAX)

// The request's Origin among those allowed, from 1 on; 0: it names none, or another.
uint8_t cors_origin(const struct snapshot *s, const struct cors_conf *conf, const struct http_head *h);
// Field lines for an answer of the gateway's own to that origin; returns their bytes, at most CORS_FIELDS_MAX.
size_t cors_fields(const struct snapshot *s, const struct cors_conf *conf, uint8_t origin,
		   char dst[static CORS_FIELDS_MAX]);
// A question whether a request may be made (CORS-preflight request).
bool cors_preflight(const struct http_head *h);
