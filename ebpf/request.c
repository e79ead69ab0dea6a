#include "ebpf/request.h"

// RFC 9110 5.6.2
static bool is_token(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool all_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token(s.p[i]))
			return false;
	return s.n > 0;
}

static struct slice trimmed(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

// Takes the text before c off s; the whole of it where there is no c.
static struct slice cut(struct slice *s, char c)
{
	const char *at = s->n ? memchr(s->p, c, s->n) : NULL;
	struct slice head = {s->p, at ? (size_t)(at - s->p) : s->n};
	size_t skip = head.n + (at ? 1 : 0);

	s->p += skip;
	s->n -= skip;
	return head;
}

static enum request_fault request_line(struct slice line, struct request *r, bool *http10)
{
	struct slice target;

	r->method = cut(&line, ' ');
	target = cut(&line, ' ');
	if (!all_token(r->method) || target.n == 0 || target.p[0] != '/')
		return REQUEST_BAD;
	for (size_t i = 0; i < target.n; i++)
		if ((unsigned char)target.p[i] <= ' ' || (unsigned char)target.p[i] >= 0x7f)
			return REQUEST_BAD;
	r->path = cut(&target, '?');
	if (line.n != 8 || memcmp(line.p, "HTTP/", 5) != 0 || line.p[6] != '.' || line.p[7] < '0' ||
	    line.p[7] > '9')
		return REQUEST_BAD;
	if (line.p[5] != '1')
		return REQUEST_VERSION;
	*http10 = line.p[7] == '0';
	return REQUEST_OK;
}

// RFC 9112 9.3. A body is not read: the connection ends after the answer to a request that brings one.
static bool field_keeps(struct slice name, struct slice value, bool *keep)
{
	if (slice_ieq(name, SLICE("transfer-encoding")))
		return false;
	if (slice_ieq(name, SLICE("content-length")))
		return slice_eq(value, SLICE("0"));
	if (!slice_ieq(name, SLICE("connection")))
		return true;
	while (value.n) {
		struct slice option = trimmed(cut(&value, ','));

		if (slice_ieq(option, SLICE("close")))
			return false;
		if (slice_ieq(option, SLICE("keep-alive")))
			*keep = true;
	}
	return true;
}

int request_parse(struct slice s, struct request *r, enum request_fault *fault)
{
	struct slice rest = slice_of(s.p, s.n < REQUEST_HEAD_MAX ? s.n : REQUEST_HEAD_MAX);
	bool first = true, http10 = false, never = false, keep = false;

	*r = (struct request){0};
	*fault = REQUEST_OK;
	while (rest.n && memchr(rest.p, '\n', rest.n)) {
		struct slice line = cut(&rest, '\n'), name;

		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (first && line.n == 0)
			continue; // RFC 9112 2.2: an empty line before the request line is skipped
		if (first) {
			*fault = request_line(line, r, &http10);
			if (*fault != REQUEST_OK)
				return -1;
			first = false;
			continue;
		}
		if (line.n == 0) {
			r->keep = !never && (keep || !http10);
			return (int)(rest.p - s.p);
		}
		name = memchr(line.p, ':', line.n) ? cut(&line, ':') : slice_of(NULL, 0);
		if (!all_token(name) || memchr(line.p, '\0', line.n)) {
			*fault = REQUEST_BAD;
			return -1;
		}
		if (!field_keeps(name, trimmed(line), &keep))
			never = true;
	}
	if (s.n >= REQUEST_HEAD_MAX) {
		*fault = REQUEST_TOO_LARGE;
		return -1;
	}
	return 0;
}
