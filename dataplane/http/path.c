#include "http/path.h"
#include "http/scan.h"

struct out {
	const struct snap_path *policy;
	char *begin, *p;
};

static unsigned hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(ascii_lower(c) - 'a') + 10;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

static bool unreserved(unsigned c) // RFC 3986 2.3
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

// What is to become of an encoded byte; as what it is decoded.
static enum snap_path_action encoded(const struct snap_path *policy, unsigned c, char *as)
{
	*as = c == '\\' ? '/' : (char)c;
	if (unreserved(c))
		return (enum snap_path_action)policy->unreserved;
	if (c == '/')
		return (enum snap_path_action)policy->encoded_slash;
	if (c == '\\')
		return (enum snap_path_action)policy->encoded_backslash;
	return PATH_KEEP;
}

static bool slash_put(struct out *o)
{
	if (o->p > o->begin && o->p[-1] == '/' && o->policy->slashes != PATH_KEEP)
		return o->policy->slashes == PATH_NORMALISE;
	*o->p++ = '/';
	return true;
}

// Decodes, and deals with slashes. False: refused.
static bool decode(struct out *o, struct slice path)
{
	const char *p = path.p, *end = p + path.n;

	while (p < end) {
		enum snap_path_action action = PATH_NORMALISE;
		unsigned width = *p == '%' ? 3 : 1;
		char c = *p;

		if (width == 3 && (end - p < 3 || !is_hex(p[1]) || !is_hex(p[2])))
			return false;
		if (width == 3)
			action = encoded(o->policy, hex(p[1]) << 4 | hex(p[2]), &c);
		if (action == PATH_REJECT)
			return false;
		if (action == PATH_KEEP) {
			memcpy(o->p, p, width);
			o->p += width;
		} else if (c == '/') {
			if (!slash_put(o))
				return false;
		} else {
			*o->p++ = c;
		}
		p += width;
	}
	return true;
}

// Dots at p, plain or encoded; *next: behind them.
static unsigned dots(const char *p, const char *end, const char **next)
{
	unsigned n = 0;

	for (; p < end; n++) {
		if (*p == '.')
			p++;
		else if (end - p >= 3 && p[0] == '%' && p[1] == '2' && ascii_lower(p[2]) == 'e')
			p += 3;
		else
			break;
	}
	*next = p;
	return n;
}

// A slash that another server may see: "%2F", "%5C".
static bool hidden_slash(const char *p, const char *end)
{
	return end - p >= 3 && p[0] == '%' &&
	       ((p[1] == '2' && ascii_lower(p[2]) == 'f') || (p[1] == '5' && ascii_lower(p[2]) == 'c'));
}

// Walks over the segments from '/' to '/' and takes dot segments out (RFC 3986 5.2.4). False: refused.
static bool resolve(struct out *o)
{
	const char *p = o->begin, *end = o->p, *next;
	char *to = o->begin;

	while (p < end) {
		const char *from = p; // at its slash
		unsigned n = dots(p + 1, end, &next);

		p = memchr(p + 1, '/', (size_t)(end - p - 1));
		if (!p)
			p = end;
		for (const char *hidden = from; (hidden = memchr(hidden, '%', (size_t)(p - hidden)));
		     hidden++) {
			const char *behind;
			unsigned k;

			if (!hidden_slash(hidden, p))
				continue;
			k = dots(hidden + 3, p, &behind);
			if ((k == 1 || k == 2) && (behind == p || *behind == ';' || hidden_slash(behind, p)))
				return false;
		}
		if (n != 1 && n != 2) {
			memmove(to, from, (size_t)(p - from));
			to += p - from;
			continue;
		}
		if (next < p && *next != ';' && !hidden_slash(next, p)) { // a name that begins with dots
			memmove(to, from, (size_t)(p - from));
			to += p - from;
			continue;
		}
		if (o->policy->dot_segments != PATH_NORMALISE || next < p)
			return false;
		if (n == 2) {
			if (to == o->begin)
				return false; // above the root
			do
				to--;
			while (*to != '/');
		}
		if (p == end)
			*to++ = '/';
	}
	o->p = to;
	return true;
}

enum http_path_result http_path_apply(const struct snap_path *policy, struct slice path, char *out, size_t *n)
{
	struct out o = {policy, out, out};

	if (!decode(&o, path) || !resolve(&o))
		return HTTP_PATH_REFUSED;
	*n = (size_t)(o.p - out);
	return slice_eq(path, slice_of(out, *n)) ? HTTP_PATH_SAME : HTTP_PATH_CHANGED;
}

// A slash, or what a server may take for one that decodes before it looks: "%2F", "%5C". Its bytes; 0: none.
static unsigned separator(const char *p, const char *end)
{
	char last;

	if (*p == '/')
		return 1;
	if (*p != '%' || end - p < 3)
		return 0;
	last = ascii_lower(p[2]);
	return (p[1] == '2' && last == 'f') || (p[1] == '5' && last == 'c') ? 3 : 0;
}

bool http_path_has_dot_segment(struct slice path)
{
	const char *end = path.p + path.n;

	for (const char *p = path.p; p < end;) {
		unsigned dots = 0, width = separator(p, end);

		p += width ? width : 1;
		if (!width)
			continue;
		for (; p < end; dots++) {
			if (*p == '.')
				p++;
			else if (*p == '%' && p[1] == '2' && ascii_lower(p[2]) == 'e')
				p += 3;
			else
				break;
		}
		if ((dots == 1 || dots == 2) && (p == end || separator(p, end) || *p == ';'))
			return true;
	}
	return false;
}

bool http_path_ok(struct slice path)
{
	const char *end = path.p + path.n, *p = path.p;

	if (path.n == 0 || *p != '/')
		return false;
	while ((p = scan_bytes(p, end, SCAN_TARGET)) < end) {
		if (*p != '%' || end - p < 3 || !is_hex(p[1]) || !is_hex(p[2]))
			return false;
		p += 3;
	}
	return !http_path_has_dot_segment(path);
}
