// Record of the `compress` stage in a route.
//   compress: {types: [text/*, application/json], algorithms: [gzip, br], level: 3, min_size: 1KiB}
#pragma once
#include "contract/snapshot.h"

// Content codings that bodies are given (RFC 9110 8.4.1).
enum coding { CODING_NONE, CODING_GZIP, CODING_BR, CODINGS };

struct compress_conf {
	struct snap_ref types; // struct snap_ref of text, 1..COMPRESS_TYPES_MAX: "type/subtype", "type/*"
	uint32_t min_size;     // bytes: bodies known to be smaller go as they are; at least 1
	uint8_t level;         // 1..COMPRESS_LEVELS (encoder.h)
	uint8_t n_codings;     // 1..CODINGS - 1
	uint8_t coding[CODINGS -
		       1]; // enum coding, none twice: of those that a client likes alike the first is used
};

#define COMPRESS_LEVELS    4
#define COMPRESS_TYPES_MAX 64
#define COMPRESS_TYPE_MAX  127 // bytes of one
