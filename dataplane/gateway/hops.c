// Max-Forwards on OPTIONS and TRACE (RFC 9110 7.6.2): how many proxies a request may still pass.
#include "gateway/exchange.h"
#include <stdio.h>

#define HOPS_LARGEST 1000000000u // what is beyond it goes on as this

// What a TRACE must not show to scripts that its user does not know of (RFC 9110 9.3.8).
static bool secret(const struct http_field *f)
{
	return f->dropped || slice_ieq(f->name, SLICE("cookie")) ||
	       slice_ieq(f->name, SLICE("authorization")) || slice_ieq(f->name, SLICE("proxy-authorization"));
}

static bool put(struct gateway *g, size_t *n, struct slice s)
{
	if (s.n > sizeof(g->path_next) - *n)
		return false;
	memcpy(g->path_next + *n, s.p, s.n);
	*n += s.n;
	return true;
}

// The request as it came, as message/http. What finds no room is left out.
static struct slice reflected(struct gateway *g)
{
	const struct http_head *h = &g->head;
	size_t n = 0;

	put(g, &n, h->method_text);
	put(g, &n, SLICE(" "));
	put(g, &n, h->target);
	put(g, &n, h->minor ? SLICE(" HTTP/1.1\r\n") : SLICE(" HTTP/1.0\r\n"));
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->field[i];
		size_t before = n;

		if (!secret(f) && !(put(g, &n, f->name) && put(g, &n, SLICE(": ")) &&
				    (f->value.n == 0 || put(g, &n, f->value)) && put(g, &n, SLICE("\r\n"))))
			n = before;
	}
	put(g, &n, SLICE("\r\n"));
	return slice_of(g->path_next, n);
}

enum hops hops_count(struct exchange *x)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	struct http_field *f = http_find_id(h, HDR_max_forwards);
	uint32_t left = 0;

	if (!f)
		return HOPS_MORE;
	for (struct http_field *other = f + 1; other < h->field + h->n; other++)
		if (other->id == HDR_max_forwards)
			return HOPS_BAD;
	if (f->value.n == 0)
		return HOPS_BAD;
	for (size_t i = 0; i < f->value.n; i++) {
		if (f->value.p[i] < '0' || f->value.p[i] > '9')
			return HOPS_BAD;
		left = left < HOPS_LARGEST / 10 ? left * 10 + (uint32_t)(f->value.p[i] - '0') : HOPS_LARGEST;
	}
	if (left == 0) {
		g->reflected = h->method == METHOD_TRACE ? reflected(g) : SLICE("");
		return HOPS_NONE;
	}
	f->value = slice_of(g->hops, (size_t)snprintf(g->hops, sizeof(g->hops), "%u", left - 1));
	return HOPS_MORE;
}
