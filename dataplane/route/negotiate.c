#include "route/negotiate.h"
#include "http/weighted.h"

// How specific a range is that takes the thing; 0: it does not.
typedef uint32_t specific_fn(const struct http_weighted *r, struct slice what);

static uint32_t type_specific(const struct http_weighted *r, struct slice type)
{
	const char *slash = memchr(r->name.p, '/', r->name.n);
	size_t major = slash ? (size_t)(slash - r->name.p) : 0;

	if (!slash || r->parameters)
		return 0;
	if (slice_ieq(r->name, SLICE("*/*")))
		return 1;
	if (slice_ieq(slice_of(slash, r->name.n - major), SLICE("/*")))
		return type.n > major && slice_ieq(slice_of(type.p, major + 1), slice_of(r->name.p, major + 1))
			       ? 2
			       : 0;
	return slice_ieq(r->name, type) ? 3 : 0;
}

static bool tag_below(struct slice tag, struct slice range)
{
	return tag.n >= range.n && slice_ieq(slice_of(tag.p, range.n), range) &&
	       (tag.n == range.n || tag.p[range.n] == '-');
}

static uint32_t language_specific(const struct http_weighted *r, struct slice tag)
{
	if (slice_eq(r->name, SLICE("*")))
		return 1;
	if (tag_below(tag, r->name))
		return 3 + (uint32_t)r->name.n;
	return tag_below(r->name, tag) ? 2 : 0;
}

// What the fields of this name say of one thing; all of it where there is none.
static uint32_t quality(const struct http_head *h, struct slice field, specific_fn *specific, struct slice what)
{
	uint32_t best = 0, q = 0;
	bool seen = false;

	for (unsigned i = 0; h && i < h->n; i++) {
		struct slice list = h->field[i].value;
		struct http_weighted r;

		if (h->field[i].dropped || !slice_ieq(h->field[i].name, field))
			continue;
		seen = true;
		while (http_weighted_next(&list, &r)) {
			uint32_t k = specific(&r, what);

			if (k > best || (k && k == best && r.q > q)) {
				best = k;
				q = r.q;
			}
		}
	}
	return seen ? q : HTTP_WEIGHT_FULL;
}

static uint32_t best_of(const struct snapshot *s, const struct snap_condition *c, const struct route_query *q)
{
	const struct snap_ref *v = snap_at(s, c->value);
	bool language = c->kind == CONDITION_LANGUAGE;
	uint32_t best = 0;

	for (uint32_t i = 0; i < c->value.n; i++) {
		uint32_t k = quality(q->head, language ? SLICE("accept-language") : SLICE("accept"),
				     language ? language_specific : type_specific, snap_text(s, v[i]));

		best = k > best ? k : best;
	}
	return best;
}

struct slice negotiate_version(const struct snapshot *s, const struct snap_api *api,
			       const struct route_query *q)
{
	struct slice header = snap_text(s, api->header), prefix = snap_text(s, api->media_prefix);
	struct slice suffix = snap_text(s, api->media_suffix), found = snap_text(s, api->otherwise);
	uint32_t best = 0;

	for (unsigned i = 0; header.n && q->head && i < q->head->n; i++)
		if (!q->head->field[i].dropped && slice_ieq(q->head->field[i].name, header))
			return q->head->field[i].value;
	for (unsigned i = 0; prefix.n && q->head && i < q->head->n; i++) {
		struct slice list = q->head->field[i].value;
		struct http_weighted r;

		if (q->head->field[i].dropped || !slice_ieq(q->head->field[i].name, SLICE("accept")))
			continue;
		while (http_weighted_next(&list, &r)) {
			struct slice t = r.name;

			if (r.q <= best || t.n <= prefix.n + suffix.n ||
			    !slice_ieq(slice_of(t.p, prefix.n), prefix) ||
			    !slice_ieq(slice_of(t.p + t.n - suffix.n, suffix.n), suffix))
				continue;
			found = slice_of(t.p + prefix.n, t.n - prefix.n - suffix.n);
			best = r.q;
		}
	}
	return found;
}

static bool version_is(const struct snapshot *s, const struct snap_condition *c, const struct route_query *q)
{
	const struct snap_api *api = (const struct snap_api *)snap_at(s, s->apis) + c->number;
	const struct snap_ref *v = snap_at(s, c->value);
	struct slice asked = negotiate_version(s, api, q);

	for (uint32_t i = 0; i < c->value.n; i++)
		if (slice_ieq(snap_text(s, v[i]), asked))
			return true;
	return false;
}

uint32_t negotiate_quality(const struct snapshot *s, const struct snap_route *r, const struct route_query *q)
{
	const struct snap_condition *c = snap_at(s, r->conditions);
	uint32_t type = HTTP_WEIGHT_FULL, language = HTTP_WEIGHT_FULL;

	for (uint32_t i = 0; i < r->conditions.n; i++) {
		uint32_t *k = c[i].kind == CONDITION_ACCEPT ? &type : &language, v;

		if (c[i].kind < CONDITION_NEGOTIATED)
			continue;
		if (c[i].kind == CONDITION_VERSION) {
			if (!version_is(s, &c[i], q))
				return 0;
			continue;
		}
		v = best_of(s, &c[i], q);
		*k = v < *k ? v : *k;
	}
	return type * language;
}

bool negotiate_is_variant(const struct snapshot *s, const struct snap_route *r)
{
	const struct snap_condition *c = snap_at(s, r->conditions);

	return r->conditions.n && c[r->conditions.n - 1].kind >= CONDITION_NEGOTIATED;
}
