// What requests and responses share: the walk of a parser over a head, and the field section.
#pragma once
#include "http/parse.h"

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
};

// Connection's options are looked up among the fields one by one, so their number is bounded.
#define CONNECTION_OPTIONS_MAX 32

// "HTTP/1.x" at l->p. bad: the fault for what is no version at all.
int version_parse(struct lex *l, struct http_head *h, enum http_fault bad);
// CR LF at l->p (or LF, where that is allowed); bad: what to call another byte than these.
int line_end_parse(struct lex *l, enum http_fault bad);
// All fields through the empty line; fills h->field, length, framing, keep_alive, expect_continue, upgrade.
int fields_parse(struct lex *l, struct http_head *h, struct fields_seen *seen, bool request,
		 const struct http_limits *limits);

struct authority {
	struct slice host; // without port; "[...]" for IPv6
	int32_t port;      // -1: none
};
// host [":" port]; false when it is none. begin: where readable bytes begin, at or before the text.
bool authority_parse(const char *begin, struct slice text, struct authority *a);
// The same host and port, default_port standing for a port not given.
bool authority_agree(const struct authority *a, const struct authority *b, int32_t default_port);
