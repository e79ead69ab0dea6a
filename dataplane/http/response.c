// The status line (RFC 9112 4), and how a response's body is framed (RFC 9112 6.3).
#include "http/fields.h"
#include "http/scan.h"

// "HTTP/1.1 200 reason". The space behind the status is due even when the reason is empty, but often missing.
static int status_line_parse(struct lex *l, struct http_head *h)
{
	unsigned status = 0;
	const char *p;
	int step;

	step = version_parse(l, h, FAULT_bad_status_line);
	if (step != STEP_DONE)
		return step;
	p = l->p;
	for (unsigned i = 0; i < 4; i++, p++) {
		if (p == l->end)
			return STEP_MORE;
		if (i == 0 ? *p != ' ' : !(scan_class[(uint8_t)*p] & SCAN_DIGIT))
			return -FAULT_bad_status_line;
		if (i == 1 && (*p < '1' || *p > '5')) // RFC 9110 15: others are invalid
			return -FAULT_bad_status_line;
		if (i > 0)
			status = status * 10 + (unsigned)(*p - '0');
	}
	h->status = (uint16_t)status;
	l->p = p;
	if (p == l->end)
		return STEP_MORE;
	if (*p == ' ') {
		p++;
		l->p = scan_value(l->begin, p, l->end);
		h->reason = slice_of(p, (size_t)(l->p - p));
	} else {
		h->reason = slice_of(p, 0);
	}
	return line_end_parse(l, FAULT_bad_status_line);
}

// RFC 9110 8.6, RFC 9112 6.1: no interim answer has a body. One that says it has is read in two ways.
static bool body_on_interim(const struct http_head *h)
{
	return h->status < 200 &&
	       (h->framing == FRAMING_CHUNKED || (h->framing == FRAMING_LENGTH && h->length));
}

int http_parse_response_within(const char *p, size_t n, const struct http_limits *limits, struct http_head *h)
{
	size_t max = limits->head;
	struct lex l = {p, p, p + (n < max ? n : max), false};
	struct fields_seen seen = {0};
	int step;

	h->n = 0;
	h->have = 0;
	h->method = METHOD_GET;
	h->expect_continue = false;
	h->length = 0;
	h->method_text = h->target = h->host = h->authority = h->path = h->query = slice_of(p, 0);
	step = status_line_parse(&l, h);
	if (step == STEP_DONE)
		step = fields_parse(&l, h, &seen, false, limits);
	if (step == STEP_MORE && n >= max)
		return -FAULT_head_too_large;
	if (step != STEP_DONE)
		return step;
	if (body_on_interim(h))
		return -FAULT_body_on_interim;
	// The same of 204, which has none: what follows may be one all the same, so no other answer may.
	if (h->status == 204 && (h->framing == FRAMING_CHUNKED || h->length))
		h->keep_alive = false;
	if (h->framing == FRAMING_NONE)
		h->framing = FRAMING_CLOSE;
	h->framing = (uint8_t)http_response_framing(h, METHOD_GET);
	return (int)(l.p - p);
}

enum http_framing http_response_framing(const struct http_head *h, enum http_method request)
{
	if (request == METHOD_HEAD || h->status < 200 || h->status == 204 || h->status == 304)
		return FRAMING_NONE;
	if (request == METHOD_CONNECT && h->status < 300)
		return FRAMING_NONE;
	return (enum http_framing)h->framing;
}
