// The status line (RFC 9112 4), and how a response's body is framed (RFC 9112 6.3).
// Part of each form (form.h).
#include "http/fields.h"

// "HTTP/1.1 200 reason". The space behind the status is due even when the reason is empty, but often missing.
static COLD int status_line_parse(struct lex *l, struct http_head *h)
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
		l->p = scan_bytes(p, l->end, SCAN_VALUE);
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

// What most have, at once: "HTTP/1.1 " and three digits from 200 to 599, a reason in whole and the line end.
// false: to be read byte by byte.
static INLINE bool status_line_take(struct lex *l, struct http_head *h)
{
	const char *p = l->p, *end;
	unsigned hundreds, tens, ones;

	if (l->end - p < 15 || memcmp(p, "HTTP/1.1 ", 9) != 0 || p[12] != ' ')
		return false;
	hundreds = (unsigned)p[9] - '0';
	tens = (unsigned)p[10] - '0';
	ones = (unsigned)p[11] - '0';
	if (hundreds - 2 > 3 || tens > 9 || ones > 9)
		return false;
	end = l->end - p >= 17 && memcmp(p + 13, "OK\r\n", 4) == 0 ? p + 15
								   : scan_bytes(p + 13, l->end, SCAN_VALUE);
	if (!line_ends(end, l->end))
		return false;
	h->minor = 1;
	h->status = (uint16_t)(hundreds * 100 + tens * 10 + ones);
	h->reason = slice_of(p + 13, (size_t)(end - p) - 13);
	l->p = end + 2;
	return true;
}

int FORM_NAME(http_parse_response)(const char *p, size_t n, const struct http_limits *limits,
				   struct http_head *h)
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
	h->method_text = slice_of(p, 0);
	h->target = slice_of(p, 0);
	h->host = slice_of(p, 0);
	h->authority = slice_of(p, 0);
	h->path = slice_of(p, 0);
	h->query = slice_of(p, 0);
	if (!status_line_take(&l, h)) {
		struct lex rest = l;

		step = status_line_parse(&rest, h);
		l.p = rest.p;
		if (step != STEP_DONE)
			return step == STEP_MORE && n >= max ? -FAULT_head_too_large : step;
	}
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
