#include "conformance/reader.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char body[1 << 17];

static bool name_is(struct slice s, const char *name)
{
	return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

const struct slice *message_field(const struct message *m, const char *name)
{
	for (unsigned i = 0; i < m->n; i++)
		if (name_is(m->name[i], name))
			return &m->value[i];
	return NULL;
}

// A line through CR LF, which it is without. -1: a byte that no line has; 0: not complete.
static int line_take(struct slice s, struct slice *line)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\r') {
			if (i + 1 == s.n)
				return 0;
			*line = slice_of(s.p, i);
			return s.p[i + 1] == '\n' ? (int)i + 2 : -1;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return -1;
	}
	return 0;
}

// Adds what a line has to the n names and values.
static bool field_take(struct slice line, struct slice *names, struct slice *values, unsigned *n)
{
	size_t colon = 0;

	while (colon < line.n && line.p[colon] != ':') {
		if (!strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
			    line.p[colon]) ||
		    !line.p[colon])
			return false;
		colon++;
	}
	if (colon == 0 || colon == line.n || *n == READER_FIELDS)
		return false;
	names[*n] = slice_of(line.p, colon);
	colon++;
	while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t'))
		colon++;
	while (line.n > colon && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	values[(*n)++] = slice_of(line.p + colon, line.n - colon);
	return true;
}

static bool number(struct slice s, const char *digits, unsigned base, uint64_t *v)
{
	*v = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		const char *at = s.p[i] ? strchr(digits, s.p[i]) : NULL;

		if (!at || *v > (UINT64_MAX - 15) / base)
			return false;
		*v = *v * base + (uint64_t)(at - digits);
	}
	return true;
}

// Field lines through an empty one. A trailer that would change what the message is has no place there.
static int trailers_take(struct slice s, struct message *m)
{
	static const char *const never[] = {"content-length", "transfer-encoding", "host",   "connection",
					    "trailer",        "content-type",      "cookie", "authorization"};
	size_t at = 0;

	for (;;) {
		struct slice line;
		int used = line_take(slice_of(s.p + at, s.n - at), &line);

		if (used <= 0)
			return used;
		at += (size_t)used;
		if (line.n == 0)
			return (int)at;
		if (!field_take(line, m->trailer_name, m->trailer_value, &m->n_trailers))
			return -1;
		for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			if (name_is(m->trailer_name[m->n_trailers - 1], never[i]))
				return -1;
	}
}

// Chunks without extensions, as the gateway is to write them. Bytes used, 0: not complete, -1.
static int chunks_take(struct slice s, size_t *n, struct message *m)
{
	size_t at = 0;

	for (;;) {
		struct slice line;
		uint64_t size;
		int used = line_take(slice_of(s.p + at, s.n - at), &line);

		if (used <= 0)
			return used;
		if (!number(line, "0123456789abcdef", 16, &size))
			return -1;
		at += (size_t)used;
		if (size > s.n - at) {
			memcpy(body + *n, s.p + at, s.n - at);
			*n += s.n - at;
			return 0;
		}
		memcpy(body + *n, s.p + at, size);
		*n += size;
		at += size;
		if (size == 0) {
			used = trailers_take(slice_of(s.p + at, s.n - at), m);
			return used > 0 ? (int)at + used : used;
		}
		if (s.n - at < 2)
			return 0;
		if (memcmp(s.p + at, "\r\n", 2) != 0)
			return -1;
		at += 2;
	}
}

static int body_take(struct slice s, enum body_rule rule, uint64_t length, struct message *m)
{
	size_t n = 0;
	int used = 0;

	m->whole = true;
	if (rule == BODY_NONE) {
		;
	} else if (m->chunked) {
		used = chunks_take(s, &n, m);
		if (used < 0)
			return -1;
		m->whole = used > 0;
		if (!m->whole)
			used = (int)s.n;
	} else if (m->length || rule == BODY_UNTIL_CLOSE) {
		n = m->length && length < s.n ? (size_t)length : s.n;
		memcpy(body, s.p, n);
		used = (int)n;
		m->whole = !m->length || n == length;
	}
	m->body = slice_of(body, n);
	return used;
}

int message_take(struct slice s, bool request, enum body_rule rule, struct message *m, const char **why)
{
	uint64_t length = 0;
	size_t at = 0;
	unsigned hosts = 0, blanks = 0;
	int used;

	*m = (struct message){0};
	*why = NULL;
	if (s.n > sizeof(body)) {
		*why = "more bytes than are looked at";
		return -1;
	}
	for (;;) {
		struct slice line;

		used = line_take(slice_of(s.p + at, s.n - at), &line);
		if (used <= 0) {
			*why = used ? "a control character, or a lone CR or LF" : NULL;
			return used;
		}
		if (at == 0)
			m->start = line;
		else if (line.n && !field_take(line, m->name, m->value, &m->n)) {
			*why = "no field line";
			return -1;
		}
		at += (size_t)used;
		if (line.n == 0)
			break;
	}
	for (unsigned i = 0; i < m->n; i++) {
		if (name_is(m->name[i], "content-length")) {
			if (m->length || !number(m->value[i], "0123456789", 10, &length))
				*why = "Content-Length";
			m->length = true;
		} else if (name_is(m->name[i], "transfer-encoding")) {
			if (m->chunked || !name_is(m->value[i], "chunked"))
				*why = "Transfer-Encoding";
			m->chunked = true;
		} else if (name_is(m->name[i], "host")) {
			hosts++;
		}
	}
	if (m->length && m->chunked)
		*why = "two framings";
	for (size_t i = 0; i < m->start.n; i++)
		blanks += m->start.p[i] == ' ' || m->start.p[i] == '\t';
	if (request && (hosts != 1 || blanks != 2 || m->start.n < 12 ||
			memcmp(m->start.p + m->start.n - 9, " HTTP/1.1", 9) != 0))
		*why = "no Host, several, or no request line";
	if (!request && (m->start.n < 13 || memcmp(m->start.p, "HTTP/1.1 ", 9) != 0))
		*why = "no status line";
	if (*why)
		return -1;
	used = body_take(slice_of(s.p + at, s.n - at), rule, length, m);
	if (used < 0)
		*why = "no chunk";
	return used < 0 ? -1 : (int)at + used;
}
