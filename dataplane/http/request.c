// The request line and the target (RFC 9112 3).
//
// A strict left-to-right pass: whether a byte is refused depends on the bytes before it only, so a head cut
// anywhere gives HTTP_MORE, or the fault that the whole head gives.
// Part of each form (form.h).
#include "http/authority.h"
#include "http/fields.h"
#include "http/path.h"

enum target_seen {
	SEEN_ENCODED = 1, // "%" somewhere in the path
	SEEN_DOTS = 2,    // perhaps a segment that begins with a dot
};

struct target {
	struct slice text;
	const char *query;        // behind the first '?', NULL: none
	unsigned seen;            // of enum target_seen, in one word: asked for together
	bool dot_segments;        // may be in it
	struct authority written; // of absolute-form and authority-form
	int32_t default_port;     // of absolute-form's scheme, -1: the target names no authority
};

static bool hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

// "%" HEXDIG HEXDIG at p.
static int percent_parse(const char *p, const char *end, struct target *t)
{
	for (unsigned i = 1; i <= 2; i++) {
		if (p + i == end)
			return STEP_MORE;
		if (!hex_digit(p[i]))
			return -FAULT_bad_target;
	}
	if (!t->query)
		t->seen |= SEEN_ENCODED;
	return STEP_DONE;
}

// The target's bytes from p to a space, which is where *space is set to. Beyond RFC 3986's we take [ ] { } | ^
// ` anywhere and a backslash in the query, since browsers send them unencoded; a backslash in the path would be
// a slash to some servers. No fragment is ever sent (RFC 9112 3.2.1).
static INLINE int target_scan(const char *readable, const char *begin, const char *end, struct target *t,
			      const char **space)
{
	struct odd_bytes odd;
	int step;

	odd_bytes_init(&odd, readable, begin, end);
	for (;;) {
		const char *p = odd_bytes_next(&odd);

		if (p == end)
			return STEP_MORE;
		switch (*p) {
		case ' ':
			if (p == begin)
				return -FAULT_bad_request_line;
			t->seen |= odd.dots ? SEEN_DOTS : 0;
			*space = p;
			return STEP_DONE;
		case '%': // its digits are not odd
			step = percent_parse(p, end, t);
			if (step != STEP_DONE)
				return step;
			break;
		case '?':
			if (!t->query)
				t->query = p + 1;
			break;
		case '\\':
			if (!t->query)
				return -FAULT_bad_target;
			break;
		case '\r':
		case '\n': // HTTP/0.9, or cut short
			return -FAULT_bad_request_line;
		default:
			return -FAULT_bad_target;
		}
	}
}

// Sets path and query from what follows the authority, at p.
static INLINE enum http_fault path_split(struct http_head *h, const struct target *t, const char *p)
{
	const char *end = t->text.p + t->text.n, *path_end = t->query ? t->query - 1 : end;

	h->path = slice_of(p, (size_t)(path_end - p));
	if (t->query)
		h->query = slice_of(t->query, (size_t)(end - t->query));
	h->path_encoded = t->seen & SEEN_ENCODED;
	if (t->seen && !t->dot_segments && http_path_has_dot_segment(h->path))
		return FAULT_bad_target;
	return FAULT_NONE;
}

static bool scheme_take(struct slice text, struct slice scheme)
{
	return text.n >= scheme.n && slice_ieq(slice_of(text.p, scheme.n), scheme);
}

// http://authority/path?query (RFC 9112 3.2.2)
static enum http_fault absolute_form(struct http_head *h, struct target *t)
{
	const char *end = t->text.p + t->text.n, *authority, *p;

	if (scheme_take(t->text, SLICE("http://"))) {
		authority = t->text.p + 7;
		t->default_port = 80;
	} else if (scheme_take(t->text, SLICE("https://"))) {
		authority = t->text.p + 8;
		t->default_port = 443;
	} else {
		return FAULT_bad_target;
	}
	for (p = authority; p < end && *p != '/' && *p != '?';)
		p++;
	h->authority = slice_of(authority, (size_t)(p - authority));
	if (!authority_parse(t->text.p, h->authority,
			     &t->written)) // user information is refused here too (RFC 9110 4.2.4)
		return FAULT_bad_target;
	if (p < end && *p == '/')
		return path_split(h, t, p);
	// An empty path: "/", and "*" for OPTIONS (RFC 9112 3.2.4).
	h->path = h->method == METHOD_OPTIONS && !t->query ? SLICE("*") : SLICE("/");
	if (t->query)
		h->query = slice_of(t->query, (size_t)(end - t->query));
	return FAULT_NONE;
}

// host:port (RFC 9112 3.2.3); the port must be there.
static enum http_fault authority_form(struct http_head *h, struct target *t)
{
	h->authority = t->text;
	if (t->query || !authority_parse(t->text.p, t->text, &t->written) || t->written.port < 0)
		return FAULT_bad_target;
	t->default_port = t->written.port;
	h->path = slice_of(t->text.p + t->text.n, 0);
	return FAULT_NONE;
}

// Neither a path nor for CONNECT.
static COLD enum http_fault other_form(struct http_head *h, struct target *t)
{
	if (slice_eq(t->text, SLICE("*"))) { // RFC 9112 3.2.4
		h->path = t->text;
		return h->method == METHOD_OPTIONS ? FAULT_NONE : FAULT_bad_target;
	}
	return absolute_form(h, t);
}

static INLINE enum http_fault target_parse(struct http_head *h, struct target *t)
{
	const char *text = t->text.p;
	struct target other;
	enum http_fault fault;

	// Not from one to the other: a load of what was stored in two halves waits for both.
	h->target = slice_of(text, t->text.n);
	h->authority = slice_of(text, 0);
	h->host = slice_of(text, 0);
	h->query = slice_of(NULL, 0);
	if (*text == '/' && h->method != METHOD_CONNECT)
		return path_split(h, t, text);
	other = *t;
	fault = h->method == METHOD_CONNECT ? authority_form(h, &other) : other_form(h, &other);
	*t = other;
	return fault;
}

// RFC 9112 3.2: 1.1 wants exactly one Host. Where the target names an authority too, both must agree, as two
// servers on the way might each believe another one.
static COLD enum http_fault host_compare(struct http_head *h, struct slice value, bool has_host,
					 const struct target *t)
{
	struct authority host;

	if (!has_host && h->minor >= 1)
		return FAULT_no_host;
	if (has_host && !authority_parse(h->target.p, value, &host))
		return FAULT_bad_host;
	if (t->default_port >= 0) {
		if (has_host && !authority_agree(&host, &t->written, t->default_port))
			return FAULT_host_differs;
		h->host = slice_of(t->written.host.p, t->written.host.n);
	} else if (has_host) {
		h->host = slice_of(host.host.p, host.host.n);
		h->authority = slice_of(value.p, value.n);
	}
	return FAULT_NONE;
}

static INLINE enum http_fault host_conclude(const struct lex *l, struct http_head *h,
					    const struct fields_seen *seen, const struct target *t)
{
	struct slice value = slice_of(seen->host_value.p, seen->host_value.n);
	struct target copy;

	if (__builtin_expect(seen->host && t->default_port < 0 && host_only(l->begin, value.p, value.n, l->end),
			     1)) {
		h->host = slice_of(value.p, value.n);
		h->authority = slice_of(value.p, value.n);
		h->host_hash = seen->host_hash;
		return FAULT_NONE;
	}
	copy = *t;
	return host_compare(h, value, seen->host, &copy);
}

// Where a limit ends the bytes before they end themselves, nothing behind it is looked at, so that a head cut
// anywhere is judged as the whole one.
static INLINE int target_within(struct lex *l, struct target *t, uint32_t max)
{
	bool cut = (size_t)(l->end - l->p) > max;
	const char *space;
	int step;

	step = target_scan(l->begin, l->p, cut ? l->p + max + 1 : l->end, t, &space);
	if (step == STEP_DONE) {
		t->text = slice_of(l->p, (size_t)(space - l->p));
		l->p = space + 1;
	}
	return step == STEP_MORE && cut ? -FAULT_uri_too_long : step;
}

// Empty lines that a client left behind its last body (RFC 9112 2.2).
static COLD int empty_lines_skip(struct lex *l)
{
	for (unsigned i = 0; l->p < l->end && (*l->p == '\r' || *l->p == '\n'); i++) {
		int step = i < 2 ? line_end_parse(l, FAULT_bad_line_end) : -FAULT_bad_request_line;

		if (step != STEP_DONE)
			return step;
	}
	return STEP_DONE;
}

// The method and the space behind it.
static COLD int method_parse(struct lex *l, struct http_head *h)
{
	const char *p = scan_bytes(l->p, l->end, SCAN_TCHAR);

	if (p == l->end)
		return STEP_MORE;
	if (*p != ' ' || p == l->p)
		return -FAULT_bad_method;
	h->method_text = slice_of(l->p, (size_t)(p - l->p));
	h->method = (uint8_t)http_method_of(h->method_text);
	l->p = p + 1;
	return STEP_DONE;
}

static COLD int version_line_end_parse(struct lex *l, struct http_head *h)
{
	int step = version_parse(l, h, FAULT_bad_request_line);

	return step == STEP_DONE ? line_end_parse(l, FAULT_bad_request_line) : step;
}

// What most have is compared at once.
static INLINE bool starts(const struct lex *l, const char *literal, size_t n)
{
	return (size_t)(l->end - l->p) >= n && memcmp(l->p, literal, n) == 0;
}

// in_target: the bytes ran out there, which decides how a head beyond the limit is called.
static INLINE int request_line_parse(struct lex *l, struct http_head *h, struct target *t, bool *in_target,
				     uint32_t max_uri)
{
	struct lex rest;
	int step;

	if (starts(l, "GET ", 4)) {
		h->method_text = slice_of(l->p, 3);
		h->method = METHOD_GET;
		l->p += 4;
	} else if (starts(l, "POST ", 5)) {
		h->method_text = slice_of(l->p, 4);
		h->method = METHOD_POST;
		l->p += 5;
	} else {
		rest = *l;
		step = method_parse(&rest, h);
		l->p = rest.p;
		if (step != STEP_DONE)
			return step;
	}
	*in_target = true;
	step = target_within(l, t, max_uri);
	if (step != STEP_DONE)
		return step;
	*in_target = false;
	if (starts(l, "HTTP/1.1\r\n", 10)) {
		h->minor = 1;
		l->p += 10;
	} else {
		rest = *l;
		step = version_line_end_parse(&rest, h);
		l->p = rest.p;
		if (step != STEP_DONE)
			return step;
	}
	return -(int)target_parse(h, t) ?: STEP_DONE;
}

static INLINE int request_line_within(struct lex *l, struct http_head *h, struct target *t, bool *in_target,
				      const struct http_limits *limits)
{
	const char *end = l->end;
	bool cut;
	int step;

	if (l->p < end && (*l->p == '\r' || *l->p == '\n')) {
		struct lex rest = *l;

		step = empty_lines_skip(&rest);
		l->p = rest.p;
		if (step != STEP_DONE)
			return step;
	}
	cut = (size_t)(end - l->p) >= limits->line;
	if (cut)
		l->end = l->p + limits->line;
	step = request_line_parse(l, h, t, in_target, limits->uri);
	l->end = end;
	return step == STEP_MORE && cut ? -FAULT_line_too_long : step;
}

int FORM_NAME(http_parse_request)(const char *p, size_t n, const struct http_limits *limits,
				  struct http_head *h)
{
	size_t max = limits->head;
	struct lex l = {p, p, p + (n < max ? n : max), limits->lenient_lf};
	struct target t = {.default_port = -1, .dot_segments = limits->dot_segments};
	struct fields_seen seen = {0};
	bool in_target = false;
	enum http_fault fault;
	int step;

	h->n = h->status = 0;
	h->have = 0;
	h->method = METHOD_OTHER; // where the line is malformed
	h->expect_continue = h->path_encoded = false;
	h->length = h->host_hash = 0;
	h->reason = slice_of(p, 0);
	step = request_line_within(&l, h, &t, &in_target, limits);
	if (step == STEP_DONE)
		step = fields_parse(&l, h, &seen, true, limits);
	if (step == STEP_MORE && n >= max)
		return in_target ? -FAULT_uri_too_long : -FAULT_head_too_large;
	if (step != STEP_DONE)
		return step;
	// What comes behind it would be the other protocol's to one, a body to another (RFC 9110 7.8).
	if (h->upgrade && (h->framing == FRAMING_CHUNKED || h->length))
		return -FAULT_body_on_upgrade;
	fault = host_conclude(&l, h, &seen, &t);
	return fault ? -(int)fault : (int)(l.p - p);
}
