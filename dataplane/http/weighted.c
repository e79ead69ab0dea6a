#include "http/weighted.h"

static struct slice trimmed(struct slice s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static struct slice cut(struct slice *rest, char separator)
{
	const char *at = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
	struct slice head = slice_of(rest->p, at ? (size_t)(at - rest->p) : rest->n);

	*rest = at ? slice_of(at + 1, rest->n - head.n - 1) : slice_of(rest->p + rest->n, 0);
	return trimmed(head);
}

// weight = "q=" qvalue (RFC 9110 12.4.2), in thousandths; -1: it is none.
static int weight(struct slice v)
{
	int q, unit = 100;

	if (v.n == 0 || v.n > 5 || (v.p[0] != '0' && v.p[0] != '1') || (v.n > 1 && v.p[1] != '.'))
		return -1;
	q = v.p[0] == '1' ? 1000 : 0;
	for (size_t i = 2; i < v.n; i++, unit /= 10) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return -1;
		q += (v.p[i] - '0') * unit;
	}
	return q > 1000 ? -1 : q;
}

bool http_weighted_next(struct slice *list, struct http_weighted *out)
{
	struct slice element;

	while (http_list_next(list, &element)) {
		int q = HTTP_WEIGHT_FULL;

		out->name = cut(&element, ';');
		out->parameters = false;
		while (element.n && q >= 0) {
			struct slice p = cut(&element, ';');

			if (p.n >= 2 && (p.p[0] == 'q' || p.p[0] == 'Q') && p.p[1] == '=')
				q = weight(slice_of(p.p + 2, p.n - 2));
			else if (p.n)
				out->parameters = true;
		}
		out->q = (uint32_t)q;
		if (q >= 0 && out->name.n)
			return true;
	}
	return false;
}
