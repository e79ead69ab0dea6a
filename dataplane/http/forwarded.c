#include "http/forwarded.h"
#include "http/fold.h"
#include "http/scan.h"

static void hop_add(struct forwarded *f, const struct forwarded_hop *hop)
{
	f->hop[f->n++ % FORWARDED_HOPS] = *hop;
}

const struct forwarded_hop *forwarded_hop(const struct forwarded *f, uint32_t i)
{
	if (i >= f->n || i >= FORWARDED_HOPS)
		return NULL;
	return &f->hop[(f->n - 1 - i) % FORWARDED_HOPS];
}

static const char *token_end(const char *p, const char *end)
{
	while (p < end && (scan_class[(uint8_t)*p] & SCAN_TCHAR))
		p++;
	return p;
}

static const char *blanks_end(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

// token / quoted-string. What is escaped in the latter stays so: no address and no name of ours has any. NULL:
// it is neither.
static const char *value_end(const char *p, const char *end, struct slice *value)
{
	const char *from = p;

	if (p == end || *p != '"') {
		p = token_end(p, end);
		*value = slice_of(from, (size_t)(p - from));
		return p > from ? p : NULL;
	}
	for (from = ++p; p < end && *p != '"'; p++)
		if (*p == '\\' && ++p == end)
			return NULL;
	*value = slice_of(from, (size_t)(p - from));
	return p < end ? p + 1 : NULL;
}

// One forwarded-element (RFC 7239 4) at p: pairs between semicolons. NULL: it is malformed.
static const char *element_end(const char *p, const char *end, struct forwarded_hop *hop)
{
	for (;;) {
		struct slice name, value, *into;
		const char *q;

		p = blanks_end(p, end);
		q = token_end(p, end);
		name = slice_of(p, (size_t)(q - p));
		if (name.n) {
			if (q == end || *q != '=')
				return NULL;
			p = value_end(q + 1, end, &value);
			if (!p)
				return NULL;
			into = FOLDED(name, "for")     ? &hop->node
			       : FOLDED(name, "proto") ? &hop->proto
			       : FOLDED(name, "host")  ? &hop->host
						       : NULL;
			if (into && into->p) // each once for each proxy
				return NULL;
			if (into)
				*into = value;
			p = blanks_end(p, end);
		}
		if (p == end || *p != ';')
			return p;
		p++;
	}
}

static bool element_list(struct slice list, struct forwarded *out)
{
	const char *p = list.p, *end = p + list.n;

	while (p < end) {
		struct forwarded_hop hop = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
		const char *q = element_end(p, end, &hop);

		if (!q || (q < end && *q != ','))
			return false;
		if (hop.node.p || hop.proto.p || hop.host.p)
			hop_add(out, &hop);
		p = q + 1;
	}
	return true;
}

bool forwarded_parse(const struct http_head *h, enum http_header id, struct forwarded *out)
{
	out->n = 0;
	for (unsigned i = 0; i < h->n; i++) {
		struct slice list = h->field[i].value;
		struct forwarded_hop hop = {{NULL, 0}, {NULL, 0}, {NULL, 0}};

		if (h->field[i].id != id || h->field[i].dropped)
			continue;
		if (id == HDR_forwarded) {
			if (!element_list(list, out))
				return false;
			continue;
		}
		while (http_list_next(&list, &hop.node))
			hop_add(out, &hop);
	}
	return true;
}

static bool port_ok(const char *p, const char *end)
{
	size_t n = (size_t)(end - p);

	for (; p < end; p++)
		if (!(scan_class[(uint8_t)*p] & SCAN_DIGIT))
			return false;
	return n >= 1 && n <= 5;
}

bool forwarded_node(struct slice node, struct addr *out)
{
	const char *p = node.p, *end = p + node.n, *colon;

	if (node.n == 0)
		return false;
	if (*p == '[') { // IPv6 with brackets, as RFC 7239 wants it
		const char *close = memchr(p, ']', node.n);

		if (!close || !memchr(p, ':', (size_t)(close - p)))
			return false;
		if (close + 1 < end && (close[1] != ':' || !port_ok(close + 2, end)))
			return false;
		return addr_parse(p + 1, (size_t)(close - p - 1), out) == 0;
	}
	colon = memchr(p, ':', node.n);
	if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1))) { // one alone: IPv4 and a port
		if (!port_ok(colon + 1, end))
			return false;
		end = colon;
	}
	return addr_parse(p, (size_t)(end - p), out) == 0;
}
