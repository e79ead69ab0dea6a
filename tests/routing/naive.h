// What README and the configuration's help say of routing, written down a second time and slowly: from the
// configuration as it was read, route by route, with nothing of the snapshot, its tables or its walk.
#pragma once
#include "conditions.h"
#include "config.h"
#include "route/route.h"
#include <regex.h>
#include <stdlib.h>

struct naive {
	int route;      // -1: none
	int matching;   // routes that would match, were they alone
	uint32_t allow; // methods
	bool offers;    // a variant was refused
	struct slice param[16];
	uint32_t n_params;
};

static struct slice naive_text(const struct text *t)
{
	return slice_of(t->s ? t->s : "", t->s ? t->n : 0);
}

static struct slice naive_path_of(const struct conf_match *m)
{
	return m->path.s ? naive_text(&m->path) : m->prefix.s ? naive_text(&m->prefix) : SLICE("/");
}

static bool naive_host(struct slice pattern, struct slice host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (pattern.n == 0 || slice_eq(pattern, SLICE("*")))
		return true;
	if (host.n == 0 || host.p[0] == '.')
		return false;
	if (pattern.p[0] != '*')
		return slice_ieq(pattern, host);
	pattern = slice_of(pattern.p + 1, pattern.n - 1);
	return host.n > pattern.n && slice_ieq(pattern, slice_of(host.p + host.n - pattern.n, pattern.n));
}

static uint32_t naive_split(struct slice path, struct slice *out)
{
	const char *from = path.p + 1, *end = path.p + path.n;
	uint32_t n = 0;

	for (const char *q = from;; q++) {
		if (q < end && *q != '/')
			continue;
		out[n++] = slice_of(from, (size_t)(q - from));
		from = q + 1;
		if (q == end)
			return n;
	}
}

static bool naive_path(const struct conf_match *m, struct slice path, struct naive *found)
{
	struct slice a[80], b[80], pattern = naive_path_of(m);
	bool prefix = !m->path.s;
	uint32_t n_a = naive_split(pattern, a), n_b = naive_split(path, b);

	found->n_params = 0;
	if (prefix && a[n_a - 1].n == 0)
		n_a--;
	for (uint32_t i = 0; i < n_a; i++) {
		bool braces = a[i].n >= 2 && a[i].p[0] == '{' && a[i].p[a[i].n - 1] == '}';

		if (i >= n_b)
			return false;
		if (braces && a[i].n >= 5 && memcmp(a[i].p + a[i].n - 4, "...", 3) == 0) {
			found->param[found->n_params++] = slice_of(b[i].p, (size_t)(path.p + path.n - b[i].p));
			return b[i].p < path.p + path.n;
		}
		if (braces ? b[i].n == 0 : !slice_eq(a[i], b[i]))
			return false;
		if (braces)
			found->param[found->n_params++] = b[i];
	}
	return prefix || n_a == n_b;
}

static uint32_t naive_methods(const struct conf_match *m)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < m->methods.n; i++) {
		const char *name = conf_methods[((const struct number *)m->methods.v)[i].v];

		bits |= 1u << http_method_of(slice_of(name, strlen(name)));
	}
	return bits & 1u << METHOD_GET ? bits | 1u << METHOD_HEAD : bits;
}

// Decodes into a buffer of its own, unlike the code under test.
static struct slice naive_decode(struct slice s, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char digits[3] = {0};
		char *end;
		long v;

		out[n] = s.p[i] == '+' ? ' ' : s.p[i];
		if (s.p[i] == '%' && i + 2 < s.n) {
			memcpy(digits, s.p + i + 1, 2);
			v = strtol(digits, &end, 16);
			if (!*end && strspn(digits, "0123456789abcdefABCDEF") == 2) {
				out[n] = (char)v;
				i += 2;
			}
		}
		n++;
	}
	return slice_of(out, n);
}

// By another machine than the code under test: expressions are such that both take them to mean the same.
static bool naive_expression(const struct text *t, struct slice v)
{
	char value[512];
	regex_t e;
	bool matches;

	snprintf(value, sizeof(value), "%.*s", (int)v.n, v.p);
	if (regcomp(&e, t->s, REG_EXTENDED | REG_NOSUB) != 0)
		abort();
	matches = regexec(&e, value, 0, NULL, 0) == 0;
	regfree(&e);
	return matches;
}

static bool naive_value(const struct conf_condition *c, struct slice v)
{
	if (c->regex.s)
		return naive_expression(&c->regex, v);
	if (c->equal.s)
		return slice_eq(naive_text(&c->equal), v);
	return !c->prefix.s || slice_starts(v, naive_text(&c->prefix));
}

// Of name=value pairs: how many of the name there are, and how many fulfil the test.
static void naive_pairs(const struct conf_condition *c, struct slice list, char separator, bool decode,
			unsigned *there, unsigned *good)
{
	char name[256], value[256];

	for (size_t from = 0, at = 0; at <= list.n; at++) {
		struct slice n, v;
		size_t eq = from;

		if (at < list.n && list.p[at] != separator)
			continue;
		while (!decode && from < at && list.p[from] == ' ')
			from++;
		for (eq = from; eq < at && list.p[eq] != '=';)
			eq++;
		n = slice_of(list.p + from, eq - from);
		v = eq < at ? slice_of(list.p + eq + 1, at - eq - 1) : slice_of("", 0);
		if (at > from && slice_eq(decode ? naive_decode(n, name) : n, naive_text(&c->name))) {
			++*there;
			*good += naive_value(c, decode ? naive_decode(v, value) : v);
		}
		from = at + 1;
	}
}

static bool naive_tests(const struct list *l, const struct route_query *q, char kind)
{
	const struct conf_condition *c = l->v;

	for (uint32_t i = 0; i < l->n; i++) {
		unsigned there = 0, good = 0;

		if (kind == 'q' && q->query.n)
			naive_pairs(&c[i], q->query, '&', true, &there, &good);
		for (unsigned k = 0; kind != 'q' && k < q->head->n; k++) {
			const struct http_field *f = &q->head->field[k];

			if (kind == 'c' && slice_ieq(f->name, SLICE("Cookie")))
				naive_pairs(&c[i], f->value, ';', false, &there, &good);
			if (kind == 'h' && slice_ieq(f->name, naive_text(&c[i].name))) {
				there++;
				good += naive_value(&c[i], f->value);
			}
		}
		if (c[i].is.v ? there > 0 : good == 0)
			return false;
	}
	return true;
}

static bool naive_conditions(const struct conf_root *root, const struct conf_match *m,
			     const struct route_query *q)
{
	const struct conf_listener *l = root->listeners.v;
	const struct text *name = m->listeners.v;
	const struct address *net = m->clients.v;
	bool ok = m->listeners.n == 0;

	for (uint32_t i = 0; i < m->listeners.n; i++)
		ok |= strcmp(name[i].s, l[q->listener].name.s) == 0;
	if (!ok)
		return false;
	ok = m->clients.n == 0;
	for (uint32_t i = 0; i < m->clients.n; i++) {
		bool all = addr_is_v4(net[i].addr) == addr_is_v4(q->client);

		for (uint32_t bit = 0; bit < net[i].prefix; bit++)
			all &= !((net[i].addr.b[bit / 8] ^ q->client.b[bit / 8]) & 0x80 >> bit % 8);
		ok |= all;
	}
	return ok && naive_tests(&m->headers, q, 'h') && naive_tests(&m->query, q, 'q') &&
	       naive_tests(&m->cookies, q, 'c');
}

// The weight that Accept or Accept-Language gives to one offer, in thousandths. Lists are of well-formed
// elements here; what is malformed is for the table of cases.
static uint32_t naive_weight(const struct route_query *q, const char *field, struct slice offer, bool language)
{
	uint32_t rank = 0, weight = 0;
	bool there = false;

	for (unsigned k = 0; k < q->head->n; k++) {
		char copy[512], *save, *e;

		if (!slice_ieq(q->head->field[k].name, slice_of(field, strlen(field))))
			continue;
		there = true;
		snprintf(copy, sizeof(copy), "%.*s", (int)q->head->field[k].value.n, q->head->field[k].value.p);
		for (e = strtok_r(copy, ",", &save); e; e = strtok_r(NULL, ",", &save)) {
			char range[128] = "", *semi = strchr(e, ';'), *qq = strstr(e, "q=");
			uint32_t w = qq ? (uint32_t)(strtod(qq + 2, NULL) * 1000 + 0.5) : 1000, r = 0;
			size_t n;

			e += strspn(e, " ");
			n = strcspn(e, "; ");
			snprintf(range, sizeof(range), "%.*s", (int)n, e);
			if (semi && semi + 1 + strspn(semi + 1, " ") != qq)
				continue; // parameters: none of ours
			if (!language && strcmp(range, "*/*") == 0)
				r = 1;
			else if (!language && n > 2 && strcmp(range + n - 2, "/*") == 0)
				r = offer.n >= n && strncasecmp(range, offer.p, n - 1) == 0 ? 2 : 0;
			else if (!language)
				r = offer.n == n && strncasecmp(range, offer.p, n) == 0 ? 3 : 0;
			else if (strcmp(range, "*") == 0)
				r = 1;
			else if (offer.n >= n && strncasecmp(range, offer.p, n) == 0 &&
				 (offer.n == n || offer.p[n] == '-'))
				r = 10 + (uint32_t)n;
			else if (n > offer.n && strncasecmp(range, offer.p, offer.n) == 0 &&
				 range[offer.n] == '-')
				r = 2;
			if (r > rank || (r && r == rank && w > weight)) {
				rank = r;
				weight = w;
			}
		}
	}
	return there ? weight : 1000;
}

static uint32_t naive_best(const struct route_query *q, const char *field, const struct list *l, bool language)
{
	uint32_t best = l->n ? 0 : 1000;

	for (uint32_t i = 0; i < l->n; i++) {
		uint32_t w = naive_weight(q, field, naive_text((const struct text *)l->v + i), language);

		best = w > best ? w : best;
	}
	return best;
}

static struct slice naive_asked(const struct conf_api *a, const struct route_query *q)
{
	struct slice asked = naive_text(&a->otherwise);
	uint32_t best = 0;

	for (unsigned k = 0; a->header.s && k < q->head->n; k++)
		if (slice_ieq(q->head->field[k].name, naive_text(&a->header)))
			return q->head->field[k].value;
	for (unsigned k = 0; a->media_type.s && k < q->head->n; k++) {
		struct slice list = q->head->field[k].value, e;
		size_t before = strcspn(a->media_type.s, "{"), after = a->media_type.n - before - 9;

		if (!slice_ieq(q->head->field[k].name, SLICE("Accept")))
			continue;
		while (http_list_next(&list, &e)) {
			const char *semi = memchr(e.p, ';', e.n);
			size_t n = semi ? (size_t)(semi - e.p) : e.n;
			uint32_t w = semi ? (uint32_t)(strtod(semi + 3, NULL) * 1000 + 0.5) : 1000;

			if (n <= before + after || strncasecmp(e.p, a->media_type.s, before) != 0 ||
			    strncasecmp(e.p + n - after, a->media_type.s + before + 9, after) != 0 || w <= best)
				continue;
			best = w;
			asked = slice_of(e.p + before, n - before - after);
		}
	}
	return asked;
}

static uint32_t naive_quality(const struct conf_root *root, const struct conf_match *m,
			      const struct route_query *q)
{
	const struct conf_api *a = root->apis.v;
	const char *slash = m->version.s ? strchr(m->version.s, '/') : NULL;

	for (uint32_t i = 0; slash && i < root->apis.n; i++)
		if (slice_eq(naive_text(&a[i].name), slice_of(m->version.s, (size_t)(slash - m->version.s))) &&
		    !slice_ieq(naive_asked(&a[i], q), slice_of(slash + 1, strlen(slash + 1))))
			return 0;
	return naive_best(q, "Accept", &m->accept, false) *
	       naive_best(q, "Accept-Language", &m->language, true);
}

static bool naive_variant(const struct conf_match *m)
{
	return m->accept.n || m->language.n || m->version.s;
}

// Host without case, path without the names of its captures and a prefix's last slash, and the kind of path.
static void naive_resource(const struct conf_match *m, char out[static 1024])
{
	struct slice part[80], host = naive_text(&m->host);
	uint32_t n = naive_split(naive_path_of(m), part);
	size_t at = 0;

	if (slice_eq(host, SLICE("*")))
		host.n = 0;
	for (size_t i = 0; i < host.n; i++)
		out[at++] = ascii_lower(host.p[i]);
	if (!m->path.s && part[n - 1].n == 0)
		n--;
	for (uint32_t i = 0; i < n; i++) {
		bool braces = part[i].n >= 2 && part[i].p[0] == '{' && part[i].p[part[i].n - 1] == '}';
		bool rest = braces && part[i].n >= 5 && part[i].p[part[i].n - 2] == '.';

		at += (size_t)snprintf(out + at, 1024 - at, "/%.*s", braces ? 2 : (int)part[i].n,
				       rest     ? "{~"
				       : braces ? "{}"
						: part[i].p);
	}
	snprintf(out + at, 1024 - at, m->path.s ? "" : "/*");
}

static bool naive_fits(const struct conf_root *root, const struct conf_match *m, const struct route_query *q)
{
	uint32_t methods = naive_methods(m);

	return (!methods || methods & 1u << q->method) && naive_conditions(root, m, q);
}

static bool naive_off(const struct conf_route *r, const char off[][64], uint32_t n_off)
{
	for (uint32_t i = 0; i < n_off; i++)
		if (strcmp(r->name.s, off[i]) == 0)
			return true;
	return false;
}

static bool naive_chosen(const struct conf_root *root, const struct conf_route *r, uint32_t i,
			 const struct route_query *q, const char off[][64], uint32_t n_off)
{
	char own[1024], other[1024];
	uint32_t quality = naive_quality(root, &r[i].match, q);

	naive_resource(&r[i].match, own);
	for (uint32_t k = 0; k < root->routes.n && quality; k++) {
		uint32_t rival;

		if (k == i || naive_off(&r[k], off, n_off) || !naive_variant(&r[k].match) ||
		    !naive_fits(root, &r[k].match, q))
			continue;
		naive_resource(&r[k].match, other);
		rival = strcmp(own, other) == 0 ? naive_quality(root, &r[k].match, q) : 0;
		if (rival > quality || (rival == quality && k < i))
			return false;
	}
	return quality > 0;
}

static struct naive naive_find(const struct conf_root *root, const struct route_query *q, const char off[][64],
			       uint32_t n_off)
{
	const struct conf_route *r = root->routes.v;
	struct naive found = {.route = -1}, one;

	for (uint32_t i = 0; i < root->routes.n; i++) {
		const struct conf_match *m = &r[i].match;
		uint32_t methods = naive_methods(m);

		if (naive_off(&r[i], off, n_off) || !naive_host(naive_text(&m->host), q->host) ||
		    !naive_path(m, q->path, &one) || !naive_conditions(root, m, q))
			continue;
		if (methods && !(methods & 1u << q->method)) {
			found.allow |= methods;
			continue;
		}
		if (naive_variant(m) && !naive_chosen(root, r, i, q, off, n_off)) {
			found.offers = true;
			continue;
		}
		if (found.matching++)
			continue;
		found.route = (int)i;
		found.n_params = one.n_params;
		memcpy(found.param, one.param, sizeof(one.param));
	}
	return found;
}
