// The field section (RFC 9112 5), and what its fields say about the message. Part of each form (form.h).
#include "http/fields.h"
#include "contract/routekey.h"
#include "http/names.h"

static inline bool blank(char c)
{
	return c == ' ' || c == '\t';
}

// CR LF at l->p (or LF, where that is allowed); bad: what to call another byte than these.
static int line_end_parse(struct lex *l, enum http_fault bad)
{
	if (l->p == l->end)
		return STEP_MORE;
	if (*l->p == '\n' && l->lenient_lf) {
		l->p++;
		return STEP_DONE;
	}
	if (*l->p != '\r')
		return *l->p == '\n' ? -FAULT_bad_line_end : -(int)bad;
	if (l->end - l->p < 2)
		return STEP_MORE;
	if (l->p[1] != '\n')
		return -FAULT_bad_line_end;
	l->p += 2;
	return STEP_DONE;
}

// "HTTP/1.x" at l->p. bad: the fault for what is no version at all.
static int version_parse(struct lex *l, struct http_head *h, enum http_fault bad)
{
	static const char name[] = "HTTP/";
	const char *p = l->p;

	if (l->end - p >= 8 && memcmp(p, "HTTP/1.1", 8) == 0) {
		h->minor = 1;
		l->p = p + 8;
		return STEP_DONE;
	}
	for (unsigned i = 0; i < 5; i++, p++) {
		if (p == l->end)
			return STEP_MORE;
		if (*p != name[i])
			return -(int)bad;
	}
	if (p == l->end)
		return STEP_MORE;
	if (!(scan_class[(uint8_t)*p] & SCAN_DIGIT))
		return -(int)bad;
	if (*p != '1')
		return -FAULT_bad_version;
	if (++p == l->end)
		return STEP_MORE;
	if (*p != '.')
		return -(int)bad;
	if (++p == l->end)
		return STEP_MORE;
	if (!(scan_class[(uint8_t)*p] & SCAN_DIGIT))
		return -(int)bad;
	// A higher minor version is read as the highest that we know (RFC 9110 2.5).
	h->minor = *p != '0';
	l->p = p + 1;
	return STEP_DONE;
}

// One or more digits, nothing else (RFC 9110 8.6); what does not fit 63 bits is refused.
static enum http_fault length_parse(struct slice v, uint64_t *length)
{
	uint64_t sum = 0;

	if (v.n == 0)
		return FAULT_bad_length;
	for (size_t i = 0; i < v.n; i++) {
		if (!(scan_class[(uint8_t)v.p[i]] & SCAN_DIGIT) || sum > (INT64_MAX - 9) / 10)
			return FAULT_bad_length;
		sum = sum * 10 + (uint64_t)(v.p[i] - '0');
	}
	*length = sum;
	return FAULT_NONE;
}

// A comma-separated list; blanks and empty elements are skipped (RFC 9110 5.6.1.2).
static enum http_fault connection_parse(struct slice v, struct fields_seen *seen)
{
	struct slice option;

	// What most say, alone.
	if (!seen->options && (FOLDED(v, "keep-alive") || FOLDED(v, "close"))) {
		seen->options = 1;
		seen->keep_alive = v.n > 5;
		seen->close = v.n == 5;
		return FAULT_NONE;
	}
	while (http_list_next(&v, &option)) {
		if (++seen->options > CONNECTION_OPTIONS_MAX)
			return FAULT_too_many_fields;
		if (FOLDED(option, "close"))
			seen->close = true;
		else if (FOLDED(option, "keep-alive"))
			seen->keep_alive = true;
		else if (FOLDED(option, "upgrade"))
			seen->upgrade_option = true;
	}
	return FAULT_NONE;
}

// Of codings we know chunked alone, which must be the last one, once (RFC 9112 6.1 and 7).
static enum http_fault transfer_encoding_parse(struct slice v, struct fields_seen *seen)
{
	enum http_fault fault = FAULT_NONE;
	struct slice coding;

	if (FOLDED(v, "chunked") && !seen->chunked) {
		seen->chunked = true;
		return FAULT_NONE;
	}
	if (v.n == 0 || seen->chunked)
		return FAULT_chunked_not_last;
	while (http_list_next(&v, &coding)) {
		if (seen->chunked)
			return FAULT_chunked_not_last;
		if (FOLDED(coding, "chunked"))
			seen->chunked = true;
		else
			fault = FAULT_bad_transfer_encoding;
	}
	// "chunked," is one coding in a list that is not as it should be.
	return fault ? fault : FAULT_chunked_not_last;
}

static enum http_fault field_note(struct http_head *h, struct fields_seen *seen, const struct http_field *f,
				  bool request)
{
	switch ((enum http_header)f->id) {
	case HDR_content_length:
		// A repeated length is refused even where the values agree (RFC 9110 8.6 lets us).
		if (seen->length)
			return FAULT_several_lengths;
		seen->length = true;
		return length_parse(f->value, &h->length);
	case HDR_transfer_encoding:
		return transfer_encoding_parse(f->value, seen);
	case HDR_connection:
		return connection_parse(f->value, seen);
	case HDR_upgrade:
		// h2c is never switched to (RFC 9113 3.1), but asked for with every request by some clients.
		seen->upgrade = seen->upgrade || !FOLDED(f->value, "h2c");
		return FAULT_NONE;
	case HDR_host:
		return request ? FAULT_several_hosts : FAULT_NONE; // the first is noted by fields_parse
	case HDR_expect:
		if (!request)
			return FAULT_NONE;
		if (!FOLDED(f->value, "100-continue"))
			return FAULT_bad_expect;
		h->expect_continue = true;
		return FAULT_NONE;
	default:
		return FAULT_NONE;
	}
}

// What follows from all fields together.
static enum http_fault fields_conclude(struct http_head *h, const struct fields_seen *seen, uint64_t body)
{
	// RFC 9112 6.1 and 6.3: both at once is how requests are smuggled; 1.0 knows no transfer coding.
	if (seen->length && seen->chunked)
		return FAULT_length_and_chunked;
	if (seen->chunked && h->minor == 0)
		return FAULT_chunked_in_1_0;
	h->framing = seen->chunked ? FRAMING_CHUNKED : seen->length ? FRAMING_LENGTH : FRAMING_NONE;
	// RFC 9112 9.3
	h->keep_alive = !seen->close && (h->minor >= 1 || seen->keep_alive);
	// RFC 9110 7.8 and 10.1.1: a 1.0 client is not held to either.
	h->upgrade = seen->upgrade && seen->upgrade_option && h->minor >= 1;
	h->expect_continue = h->expect_continue && h->minor >= 1;
	if (h->framing == FRAMING_LENGTH && h->length > body)
		return FAULT_body_too_large;
	return FAULT_NONE;
}

// A line without a name in front of a colon, and the empty line. The head has n fields.
static COLD int name_missing(struct lex *l, const char *colon, unsigned n, unsigned max)
{
	const char *name = l->p;

	if (name == l->end)
		return STEP_MORE;
	if (*name == '\r' || *name == '\n')
		return line_end_parse(l, FAULT_bad_line_end);
	if (colon == l->end)
		return n < max ? STEP_MORE : -FAULT_too_many_fields;
	if (blank(*name)) // RFC 9112 5.2
		return -FAULT_obs_fold;
	return n < max ? -FAULT_bad_field_name : -FAULT_too_many_fields;
}

// A value that ends at l->p in anything but CR LF.
static COLD int value_ended(struct lex *l)
{
	const char *end = l->p;

	if (end == l->end || (*end == '\r' && l->end - end < 2))
		return STEP_MORE;
	if (*end != '\r' && *end != '\n')
		return -FAULT_bad_field_value;
	if (*end == '\r' || !l->lenient_lf)
		return -FAULT_bad_line_end;
	l->p++;
	return STEP_DONE;
}

static inline bool line_ends(const char *p, const char *end)
{
	return end - p >= 2 && memcmp(p, "\r\n", 2) == 0;
}

// What a line is that is not as most are.
struct odd_line {
	int step;          // STEP_DONE: it is a field, or the empty line
	const char *next;  // behind the line
	const char *value; // of a field, NULL: the empty line
	const char *value_end;
	bool crlf; // ended by CR LF
};

// The line at name, its bounds as the scanner tells them, and the fields before it counted.
static COLD struct odd_line odd_line_parse(const struct lex *l, const char *name, const char *colon,
					   const char *end, unsigned n, unsigned max)
{
	struct lex rest = {l->begin, name, l->end, l->lenient_lf};
	struct odd_line odd = {.step = STEP_DONE};
	const char *value;

	if (colon == name || colon == l->end || *colon != ':') {
		if (line_ends(name, l->end))
			rest.p += 2;
		else
			odd.step = name_missing(&rest, colon, n, max);
		odd.next = rest.p;
		return odd;
	}
	if (n == max) {
		odd.step = -FAULT_too_many_fields;
		return odd;
	}
	odd.crlf = line_ends(end, l->end);
	rest.p = odd.crlf ? end + 2 : end;
	if (!odd.crlf && (odd.step = value_ended(&rest)) != STEP_DONE)
		return odd;
	odd.next = rest.p;
	// Behind the value is a line end, which is no blank; in front of it the colon.
	for (value = colon + 1; blank(*value);)
		value++;
	while (blank(end[-1]) && end > value)
		end--;
	odd.value = value;
	odd.value_end = end;
	return odd;
}

// Fields that decide how the message goes on.
#define TELLING                                                                                                \
	(1u << HDR_connection | 1u << HDR_content_length | 1u << HDR_transfer_encoding | 1u << HDR_upgrade |   \
	 1u << HDR_expect)

// No name of a host is longer.
#define HOST_MAX 255

static __attribute__((noinline)) void host_ask(struct fields_seen *seen, const struct http_limits *limits)
{
	if (!limits->hosts || seen->host_value.n > HOST_MAX)
		return;
	seen->host_hash = routekey_host(seen->host_value);
	__builtin_prefetch(limits->hosts + ((uint32_t)seen->host_hash & limits->hosts_mask) * 64ul);
}

// All fields from l->p, behind the first line, through the empty line, behind which l->p is then; fills
// h->field, length, framing, keep_alive, expect_continue, upgrade.
static INLINE int fields_parse(struct lex *l, struct http_head *h, struct fields_seen *seen, bool request,
			       const struct http_limits *limits)
{
	// Of their own, so that they are kept in registers: what is passed to a function by address is not.
	const char *const begin = l->begin, *const limit = l->end, *const last = limit - 2;
	const char *p = l->p;
	struct http_field *f = h->field, *const full = h->field + limits->fields;
	uint32_t have = 1u << HDR_OTHER;
	struct scanner s;
	int step;

	h->odd_lines = false;
	scanner_init(&s, begin, p, limit);
	for (;; f++) {
		const char *name = p, *colon, *value, *end;
		enum http_header id;

		scanner_line(&s, name, &colon, &end);
		// Where a line end is there to be read, so is all in front of it.
		if (__builtin_expect(end <= last && memcmp(end, "\r\n", 2) == 0 &&
					     memcmp(colon, ": ", 2) == 0 && colon != name &&
					     (uint8_t)colon[2] > ' ' && (uint8_t)end[-1] > ' ' && f != full,
				     1)) {
			value = colon + 2;
			p = end + 2;
			f->line = (uint32_t)(p - name);
		} else if (colon == name && end <= last && memcmp(name, "\r\n", 2) == 0) {
			p += 2;
			step = STEP_DONE;
			break;
		} else {
			struct lex here = {begin, p, limit, l->lenient_lf};
			struct odd_line odd = odd_line_parse(&here, name, colon, end, (unsigned)(f - h->field),
							     limits->fields);

			step = odd.step;
			p = odd.next;
			if (step != STEP_DONE || !odd.value)
				break;
			value = odd.value;
			end = odd.value_end;
			f->line = odd.crlf ? (uint32_t)(p - name) : 0;
			h->odd_lines = true;
		}
		f->name = slice_of(name, (size_t)(colon - name));
		f->value = slice_of(value, (size_t)(end - value));
		id = name_find_within(name, (size_t)(colon - name));
		f->id = (uint8_t)id;
		f->dropped = false;
		if (id == HDR_OTHER)
			continue;
		have |= 1u << id;
		if (request && id == HDR_host && !seen->host) {
			seen->host = true;
			seen->host_value = slice_of(value, (size_t)(end - value));
			host_ask(seen, limits);
			continue;
		}
		step = -(int)field_note(h, seen, f, request);
		if (step)
			break;
	}
	h->n = (uint16_t)(f - h->field);
	h->have = have;
	l->p = p;
	if (step != STEP_DONE)
		return step;
	if (have & TELLING)
		return -(int)fields_conclude(h, seen, limits->body) ?: STEP_DONE;
	h->framing = FRAMING_NONE;
	h->keep_alive = h->minor >= 1;
	h->upgrade = false;
	return STEP_DONE;
}
