#include "reference.h"
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

struct input {
	const char *text;
	size_t n;
};

static int at(const struct input *in, size_t i)
{
	return i < in->n ? (unsigned char)in->text[i] : -1;
}

/* ---- RFC 5234 B.1, RFC 9110 5.6 ---- */

static bool is_alpha(int c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}
static bool is_hex(int c)
{
	return is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}
static bool is_one_of(int c, const char *set)
{
	return c > 0 && strchr(set, c);
}
static bool is_tchar(int c)
{
	return is_alpha(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
}
static bool is_blank(int c)
{
	return c == ' ' || c == '\t';
}
// field-vchar (VCHAR, obs-text), SP and HTAB
static bool is_text(int c)
{
	return (c >= 0x21 && c <= 0x7e) || (c >= 0x80 && c <= 0xff) || is_blank(c);
}

static bool crlf(const struct input *in, size_t *i)
{
	if (at(in, *i) != '\r' || at(in, *i + 1) != '\n')
		return false;
	*i += 2;
	return true;
}

static bool literal(const struct input *in, size_t *i, const char *word)
{
	size_t n = strlen(word);

	if (in->n - *i < n || memcmp(in->text + *i, word, n) != 0)
		return false;
	*i += n;
	return true;
}

static bool span_is(const struct input *in, struct ref_span s, const char *word)
{
	return s.n == strlen(word) && strncasecmp(in->text + s.at, word, s.n) == 0;
}

/* ---- RFC 9112 5: field lines ---- */

// field-line = field-name ":" OWS field-value OWS
static bool field_line(const struct input *in, size_t *i, struct ref_span *name, struct ref_span *value)
{
	size_t p = *i, end;

	while (is_tchar(at(in, p)))
		p++;
	if (p == *i || at(in, p) != ':')
		return false;
	*name = (struct ref_span){*i, p - *i};
	p++;
	for (end = p; is_text(at(in, end)); end++)
		;
	*i = end;
	while (p < end && is_blank(at(in, p)))
		p++;
	while (end > p && is_blank(at(in, end - 1)))
		end--;
	*value = (struct ref_span){p, end - p};
	return crlf(in, i);
}

static bool fields_and_end(const struct input *in, size_t *i, struct ref_head *h)
{
	while (!crlf(in, i)) {
		if (h->fields == REF_FIELDS || !field_line(in, i, &h->name[h->fields], &h->value[h->fields]))
			return false;
		h->fields++;
	}
	h->n = *i;
	return true;
}

static unsigned count_of(const struct input *in, const struct ref_head *h, const char *name,
			 struct ref_span *last)
{
	unsigned n = 0;

	for (unsigned k = 0; k < h->fields; k++) {
		if (span_is(in, h->name[k], name)) {
			*last = h->value[k];
			n++;
		}
	}
	return n;
}

// connection-option = token, in lists (RFC 9110 7.6.1). How many there are in all; has: one of them is this.
static unsigned options_of(const struct input *in, const struct ref_head *h, const char *want, bool *has)
{
	unsigned n = 0;

	for (unsigned k = 0; k < h->fields; k++) {
		size_t end = h->value[k].at + h->value[k].n;

		if (!span_is(in, h->name[k], "connection"))
			continue;
		for (size_t p = h->value[k].at; p <= end;) {
			size_t from = p, to;

			while (p < end && at(in, p) != ',')
				p++;
			to = p++;
			while (from < to && is_blank(at(in, from)))
				from++;
			while (to > from && is_blank(at(in, to - 1)))
				to--;
			if (to == from)
				continue;
			n++;
			if (span_is(in, (struct ref_span){from, to - from}, want))
				*has = true;
		}
	}
	return n;
}

/* ---- RFC 9112 6: framing, and what else the fields say ---- */

static bool length_value(const struct input *in, struct ref_span s, uint64_t *length)
{
	unsigned __int128 sum = 0;

	if (s.n == 0)
		return false;
	for (size_t k = 0; k < s.n; k++) {
		if (!is_digit(at(in, s.at + k)))
			return false;
		sum = sum * 10 + (unsigned)(at(in, s.at + k) - '0');
		if (sum > 9223372036854775799u)
			return false;
	}
	*length = (uint64_t)sum;
	return true;
}

static bool framing_and_persistence(const struct input *in, struct ref_head *h)
{
	struct ref_span length = {0, 0}, coding = {0, 0}, ignored;
	unsigned lengths = count_of(in, h, "content-length", &length);
	unsigned codings = count_of(in, h, "transfer-encoding", &coding);
	bool close = false, keep = false, upgrade = false, asked = false;

	if (lengths > 1 || codings > 1 || (lengths && codings))
		return false;
	if (codings && (h->minor == 0 || !span_is(in, coding, "chunked")))
		return false;
	if (lengths && !length_value(in, length, &h->length))
		return false;
	h->framing = codings ? REF_CHUNKED : lengths ? REF_LENGTH : REF_NO_BODY;
	options_of(in, h, "close", &close);
	options_of(in, h, "upgrade", &upgrade);
	if (options_of(in, h, "keep-alive", &keep) > REF_OPTIONS)
		return false;
	h->keep_alive = !close && (h->minor == 1 || keep);
	for (unsigned k = 0; k < h->fields; k++)
		if (span_is(in, h->name[k], "upgrade") && !span_is(in, h->value[k], "h2c"))
			asked = true;
	(void)ignored;
	h->upgrade = asked && upgrade && h->minor == 1;
	return true;
}

/* ---- RFC 3986 3.2, RFC 9110 7.2: host and port ---- */

struct authority {
	struct ref_span host;
	long port; // -1: none
};

static bool authority(const struct input *in, struct ref_span s, struct authority *a)
{
	size_t p = s.at, end = s.at + s.n;

	a->port = -1;
	if (at(in, p) == '[' && s.n) {
		char text[64] = {0};
		struct in6_addr ignored;
		size_t n;

		while (p < end && at(in, p) != ']')
			p++;
		n = p - s.at - 1;
		if (p == end || n >= sizeof(text))
			return false;
		memcpy(text, in->text + s.at + 1, n);
		if (strlen(text) != n || inet_pton(AF_INET6, text, &ignored) != 1)
			return false;
		p++;
	} else {
		while (p < end && (is_alpha(at(in, p)) || is_digit(at(in, p)) || is_one_of(at(in, p), "-._~")))
			p++;
		if (p == s.at)
			return false;
	}
	a->host = (struct ref_span){s.at, p - s.at};
	if (p == end)
		return true;
	if (at(in, p++) != ':')
		return false;
	for (long port = 0; p < end; p++) {
		if (!is_digit(at(in, p)))
			return false;
		port = port * 10 + (at(in, p) - '0');
		if (port > 65535)
			return false;
		a->port = port;
	}
	return true;
}

static bool same_authority(const struct input *in, const struct authority *a, const struct authority *b,
			   long port)
{
	return a->host.n == b->host.n &&
	       strncasecmp(in->text + a->host.at, in->text + b->host.at, a->host.n) == 0 &&
	       (a->port < 0 ? port : a->port) == (b->port < 0 ? port : b->port);
}

/* ---- RFC 9112 3: request line ---- */

static bool target_bytes(const struct input *in, struct ref_span s)
{
	bool query = false;

	for (size_t p = s.at; p < s.at + s.n; p++) {
		int c = at(in, p);

		if (c == '%') {
			if (p + 2 >= s.at + s.n || !is_hex(at(in, p + 1)) || !is_hex(at(in, p + 2)))
				return false;
			p += 2;
		} else if (c == '?') {
			query = true;
		} else if (c == '\\') {
			if (!query)
				return false;
		} else if (!is_alpha(c) && !is_digit(c) && !is_one_of(c, "-._~!$&'()*+,;=:@/[]{}|^`")) {
			return false;
		}
	}
	return true;
}

// A slash, or "%2F" or "%5C", which some servers decode before they cut the path into segments: its bytes; 0:
// none.
static size_t slash(const struct input *in, size_t p)
{
	if (at(in, p) == '/')
		return 1;
	return at(in, p) == '%' && ((at(in, p + 1) == '2' && (at(in, p + 2) | 0x20) == 'f') ||
				    (at(in, p + 1) == '5' && (at(in, p + 2) | 0x20) == 'c'))
		       ? 3
		       : 0;
}

// A segment's bytes up to a ';', as some servers cut it, with its dots decoded.
static bool dots_only(const struct input *in, size_t p, size_t end)
{
	unsigned dots = 0;

	while (p < end && at(in, p) != ';') {
		if (at(in, p) == '.') {
			p++;
		} else if (at(in, p) == '%' && at(in, p + 1) == '2' && (at(in, p + 2) | 0x20) == 'e') {
			p += 3;
		} else {
			return false;
		}
		dots++;
	}
	return dots == 1 || dots == 2;
}

static bool path_and_query(const struct input *in, struct ref_span s, struct ref_head *h)
{
	size_t p = s.at, end = s.at + s.n, from;

	while (p < end && at(in, p) != '?')
		p++;
	h->path = (struct ref_span){s.at, p - s.at};
	h->has_query = p < end;
	if (h->has_query)
		h->query = (struct ref_span){p + 1, end - p - 1};
	for (from = s.at; from < p;) {
		size_t to = from += slash(in, from);

		while (to < p && !slash(in, to))
			to++;
		if (dots_only(in, from, to))
			return false;
		from = to;
	}
	return true;
}

static bool absolute_form(const struct input *in, struct ref_span t, struct ref_head *h,
			  struct authority *named, long *port)
{
	size_t scheme = t.n >= 7 && strncasecmp(in->text + t.at, "http://", 7) == 0    ? 7
			: t.n >= 8 && strncasecmp(in->text + t.at, "https://", 8) == 0 ? 8
										       : 0;
	size_t p = t.at + scheme, end = t.at + t.n;

	if (!scheme)
		return false;
	*port = scheme == 7 ? 80 : 443;
	while (p < end && !is_one_of(at(in, p), "/?"))
		p++;
	if (!authority(in, (struct ref_span){t.at + scheme, p - t.at - scheme}, named))
		return false;
	h->path_implied = p == end || at(in, p) == '?';
	return path_and_query(in, (struct ref_span){p, end - p}, h);
}

// named: what the target names, if *port is not negative.
static bool target(const struct input *in, struct ref_head *h, struct authority *named, long *port)
{
	struct ref_span t = h->target;

	*port = -1;
	if (t.n == 0 || !target_bytes(in, t))
		return false;
	if (h->method.n == 7 && memcmp(in->text + h->method.at, "CONNECT", 7) == 0) {
		if (!authority(in, t, named) || named->port < 0)
			return false;
		*port = named->port;
		return true;
	}
	if (at(in, t.at) == '/')
		return path_and_query(in, t, h);
	if (t.n == 1 && at(in, t.at) == '*') {
		h->path = t;
		return h->method.n == 7 && memcmp(in->text + h->method.at, "OPTIONS", 7) == 0;
	}
	return absolute_form(in, t, h, named, port);
}

// HTTP-version = "HTTP/1." DIGIT; higher minor versions are read as 1.1.
static bool version(const struct input *in, size_t *i, unsigned *minor)
{
	if (!literal(in, i, "HTTP/1.") || !is_digit(at(in, *i)))
		return false;
	*minor = at(in, (*i)++) != '0';
	return true;
}

static bool request_line(const struct input *in, size_t *i, struct ref_head *h)
{
	size_t from;

	for (unsigned k = 0; k < 2 && crlf(in, i); k++)
		;
	for (from = *i; is_tchar(at(in, *i)); (*i)++)
		;
	h->method = (struct ref_span){from, *i - from};
	if (*i == from || at(in, (*i)++) != ' ')
		return false;
	for (from = *i; at(in, *i) > ' '; (*i)++)
		;
	h->target = (struct ref_span){from, *i - from};
	return at(in, (*i)++) == ' ' && version(in, i, &h->minor) && crlf(in, i);
}

static bool host_rules(const struct input *in, struct ref_head *h, const struct authority *named, long port)
{
	struct ref_span value = {0, 0};
	unsigned n = count_of(in, h, "host", &value);
	struct authority host;

	if (n > 1 || (n == 0 && h->minor == 1))
		return false;
	if (n && !authority(in, value, &host))
		return false;
	if (n && port >= 0 && !same_authority(in, &host, named, port))
		return false;
	if (port >= 0)
		h->host = named->host;
	else if (n)
		h->host = host.host;
	return true;
}

static bool request(const struct input *in, struct ref_head *h)
{
	struct authority named = {{0, 0}, -1};
	long port;
	size_t i = 0;

	if (!request_line(in, &i, h) || !fields_and_end(in, &i, h) || !target(in, h, &named, &port) ||
	    !host_rules(in, h, &named, port) || !framing_and_persistence(in, h))
		return false;
	for (unsigned k = 0; k < h->fields; k++) {
		if (!span_is(in, h->name[k], "expect"))
			continue;
		if (!span_is(in, h->value[k], "100-continue"))
			return false;
		h->expect_continue = h->minor == 1;
	}
	return !(h->upgrade && (h->framing == REF_CHUNKED || h->length));
}

void ref_request(const char *text, size_t n, struct ref_head *h)
{
	struct input in = {text, n};

	memset(h, 0, sizeof(*h));
	if (!request(&in, h))
		h->n = 0;
}

/* ---- RFC 9112 4: status line ---- */

// The space behind the status is missing from many that have no reason.
static bool status_line(const struct input *in, size_t *i, struct ref_head *h)
{
	if (!version(in, i, &h->minor) || at(in, (*i)++) != ' ')
		return false;
	for (unsigned k = 0; k < 3; k++) {
		if (!is_digit(at(in, *i)))
			return false;
		h->status = h->status * 10 + (unsigned)(at(in, (*i)++) - '0');
	}
	if (h->status < 100 || h->status > 599)
		return false;
	if (at(in, *i) == ' ') {
		size_t from = ++*i;

		while (is_text(at(in, *i)))
			(*i)++;
		h->reason = (struct ref_span){from, *i - from};
	}
	return crlf(in, i);
}

void ref_response(const char *text, size_t n, struct ref_head *h)
{
	struct input in = {text, n};
	size_t i = 0;

	memset(h, 0, sizeof(*h));
	if (!status_line(&in, &i, h) || !fields_and_end(&in, &i, h) || !framing_and_persistence(&in, h)) {
		h->n = 0;
		return;
	}
	// RFC 9110 8.6, RFC 9112 6.1: neither has a body, whatever is said.
	if (h->framing == REF_CHUNKED || h->length) {
		if (h->status < 200)
			h->n = 0;
		if (h->status == 204)
			h->keep_alive = false;
	}
}

/* ---- RFC 9112 7.1: chunked ---- */

static size_t blanks(const struct input *in, size_t p)
{
	while (is_blank(at(in, p)))
		p++;
	return p;
}

static size_t token(const struct input *in, size_t p)
{
	while (is_tchar(at(in, p)))
		p++;
	return p;
}

// quoted-string (RFC 9110 5.6.4); 0: none
static size_t quoted(const struct input *in, size_t p)
{
	if (at(in, p++) != '"')
		return 0;
	for (; at(in, p) != '"'; p++) {
		if (at(in, p) == '\\')
			p++;
		if (!is_text(at(in, p)))
			return 0;
	}
	return p + 1;
}

// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
static bool chunk_ext(const struct input *in, size_t *i)
{
	size_t p, from;

	while (at(in, p = blanks(in, *i)) == ';') {
		from = blanks(in, p + 1);
		*i = token(in, from);
		if (*i == from)
			return false;
		p = blanks(in, *i);
		if (at(in, p) != '=')
			continue;
		from = blanks(in, p + 1);
		*i = at(in, from) == '"' ? quoted(in, from) : token(in, from);
		if (*i <= from)
			return false;
	}
	return true;
}

// chunk-size [ chunk-ext ] CRLF; 256 bytes of extensions at most.
static bool chunk_size(const struct input *in, size_t *i, uint64_t *size)
{
	size_t from = *i, digits_end;

	*size = 0;
	for (; is_hex(at(in, *i)); (*i)++) {
		int c = at(in, *i);

		if (*i - from == 16 || *size >> 59)
			return false;
		*size = *size * 16 + (uint64_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	if (*i == from)
		return false;
	digits_end = *i;
	if (!chunk_ext(in, i))
		return false;
	// The first byte stands for the extensions' begin.
	if (*i > digits_end && *i - digits_end - 1 > 256)
		return false;
	return crlf(in, i);
}

size_t ref_chunked(const char *text, size_t n, char *payload, size_t *payload_n, struct ref_head *trailers)
{
	struct input in = {text, n};
	size_t i = 0, from;
	uint64_t size;

	*payload_n = 0;
	for (;;) {
		if (!chunk_size(&in, &i, &size))
			return 0;
		if (size == 0)
			break;
		if (size > n - i)
			return 0;
		memcpy(payload + *payload_n, text + i, size);
		*payload_n += size;
		i += size;
		if (!crlf(&in, &i))
			return 0;
	}
	for (from = i, trailers->fields = 0; !crlf(&in, &i); trailers->fields++)
		if (trailers->fields == REF_FIELDS ||
		    !field_line(&in, &i, &trailers->name[trailers->fields], &trailers->value[trailers->fields]))
			return 0;
	return i - from <= 4096 ? i : 0;
}
