// What requests and responses share: the walk of a parser over a head, and the field section.
#pragma once
#include "http/blocks.h"
#include "http/parse.h"

// What most heads need is one function, in whose registers the walk stays: so what is passed to the others by
// address is a copy.
#define INLINE inline __attribute__((always_inline))
#define COLD   __attribute__((noinline))

// Results of the steps: STEP_DONE, STEP_MORE (the bytes ran out), or -(enum http_fault).
enum { STEP_DONE = 1, STEP_MORE = 0 };

struct lex {
	const char *begin, *p, *end;
	bool lenient_lf;
};

struct fields_seen {
	bool host, length, chunked, close, keep_alive, upgrade_option, upgrade;
	uint8_t options; // of Connection, all together
	struct slice host_value;
	uint64_t host_hash; // of that; 0: not made
};

// Connection's options are looked up among the fields one by one, so their number is bounded.
#define CONNECTION_OPTIONS_MAX 32
