#include "route/condition.h"
#include "route/regex.h"

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static unsigned char byte_take(struct slice *s, bool decode)
{
	char c = *s->p;
	size_t n = 1;

	if (decode && c == '+') {
		c = ' ';
	} else if (decode && c == '%' && s->n >= 3 && hex(s->p[1]) >= 0 && hex(s->p[2]) >= 0) {
		c = (char)(hex(s->p[1]) << 4 | hex(s->p[2]));
		n = 3;
	}
	*s = slice_of(s->p + n, s->n - n);
	return (unsigned char)c;
}

unsigned char query_byte_take(struct slice *s)
{
	return byte_take(s, true);
}

static bool value_is(struct slice value, struct slice text, bool decode, bool prefix)
{
	for (; text.n; text = slice_of(text.p + 1, text.n - 1))
		if (value.n == 0 || byte_take(&value, decode) != (unsigned char)*text.p)
			return false;
	return prefix || value.n == 0;
}

static enum holds expression_matches(const struct snap_condition *c, const struct route_query *q,
				     struct slice value, bool decode)
{
	if (!q->regexes || !q->matcher)
		return HOLDS_NOT;
	switch ((decode ? regex_match_decoded : regex_match)(q->regexes, c->number, q->matcher, value)) {
	case REGEX_MATCHES:
		return HOLDS;
	case REGEX_BEYOND:
		return HOLDS_UNKNOWN;
	case REGEX_DIFFERS:
		break;
	}
	return HOLDS_NOT;
}

// Of several values one that passes is enough; else one of which nobody knows leaves it open.
static enum holds either(enum holds a, enum holds b)
{
	return a == HOLDS || b == HOLDS ? HOLDS : a | b;
}

static enum holds value_passes(const struct snapshot *s, const struct snap_condition *c,
			       const struct route_query *q, struct slice value, bool decode)
{
	switch ((enum snap_condition_test)c->test) {
	case TEST_EQUAL:
	case TEST_PREFIX:
		return value_is(value, snap_text(s, c->value), decode, c->test == TEST_PREFIX) ? HOLDS
											       : HOLDS_NOT;
	case TEST_REGEX:
		return expression_matches(c, q, value, decode);
	case TEST_PRESENT:
	case TEST_ABSENT:
	case TESTS:
		break;
	}
	return HOLDS;
}

static enum holds absent(bool seen)
{
	return seen ? HOLDS_NOT : HOLDS;
}

static enum holds header_holds(const struct snapshot *s, const struct snap_condition *c,
			       const struct route_query *q)
{
	struct slice name = snap_text(s, c->name);
	enum holds found = HOLDS_NOT;
	bool seen = false;

	for (unsigned i = 0; q->head && i < q->head->n && found != HOLDS; i++) {
		const struct http_field *f = &q->head->field[i];

		if (f->dropped || !slice_ieq(f->name, name))
			continue;
		seen = true;
		found = either(found, value_passes(s, c, q, f->value, false));
	}
	return c->test == TEST_ABSENT ? absent(seen) : found;
}

// name=value pairs; blanks before a name do not count.
static enum holds pairs_hold(const struct snapshot *s, const struct snap_condition *c,
			     const struct route_query *q, struct slice list, char separator, bool decode,
			     bool *seen)
{
	const char *p = list.p, *end = list.p + list.n;
	enum holds found = HOLDS_NOT;

	while (p < end && found != HOLDS) {
		const char *stop = memchr(p, separator, (size_t)(end - p)), *eq;
		struct slice name, value;

		stop = stop ? stop : end;
		while (p < stop && *p == ' ' && !decode)
			p++;
		eq = p < stop ? memchr(p, '=', (size_t)(stop - p)) : NULL;
		name = slice_of(p, (size_t)((eq ? eq : stop) - p));
		value = eq ? slice_of(eq + 1, (size_t)(stop - eq - 1)) : slice_of(stop, 0);
		p = stop < end ? stop + 1 : end;
		if (!value_is(name, snap_text(s, c->name), decode, false))
			continue;
		*seen = true;
		found = either(found, value_passes(s, c, q, value, decode));
	}
	return found;
}

static enum holds query_holds(const struct snapshot *s, const struct snap_condition *c,
			      const struct route_query *q)
{
	bool seen = false;
	enum holds found = q->query.n ? pairs_hold(s, c, q, q->query, '&', true, &seen) : HOLDS_NOT;

	return c->test == TEST_ABSENT ? absent(seen) : found;
}

static enum holds cookie_holds(const struct snapshot *s, const struct snap_condition *c,
			       const struct route_query *q)
{
	enum holds found = HOLDS_NOT;
	bool seen = false;

	for (unsigned i = 0; q->head && i < q->head->n && found != HOLDS; i++) {
		const struct http_field *f = &q->head->field[i];

		if (!f->dropped && slice_ieq(f->name, SLICE("cookie")))
			found = either(found, pairs_hold(s, c, q, f->value, ';', false, &seen));
	}
	return c->test == TEST_ABSENT ? absent(seen) : found;
}

static bool client_holds(const struct snapshot *s, const struct snap_condition *c, const struct route_query *q)
{
	const struct snap_address *a = snap_at(s, c->value);

	for (uint32_t i = 0; i < c->value.n; i++)
		if (addr_is_v4(a[i].addr) == addr_is_v4(q->client) &&
		    addr_in_prefix(q->client, a[i].addr, a[i].prefix))
			return true;
	return false;
}

static bool listener_holds(const struct snapshot *s, const struct snap_condition *c,
			   const struct route_query *q)
{
	const uint32_t *v = snap_at(s, c->value);

	for (uint32_t i = 0; i < c->value.n; i++)
		if (v[i] == q->listener)
			return true;
	return false;
}

enum holds condition_holds(const struct snapshot *s, const struct snap_condition *c,
			   const struct route_query *q)
{
	switch ((enum snap_condition_kind)c->kind) {
	case CONDITION_LISTENER:
		return listener_holds(s, c, q) ? HOLDS : HOLDS_NOT;
	case CONDITION_CLIENT:
		return client_holds(s, c, q) ? HOLDS : HOLDS_NOT;
	case CONDITION_HEADER:
		return header_holds(s, c, q);
	case CONDITION_QUERY:
		return query_holds(s, c, q);
	case CONDITION_COOKIE:
		return cookie_holds(s, c, q);
	case CONDITION_VERSION:
	case CONDITION_ACCEPT:
	case CONDITION_LANGUAGE:
	case CONDITION_KINDS:
		break;
	}
	return HOLDS;
}

enum holds conditions_hold(const struct snapshot *s, const struct snap_route *r, const struct route_query *q)
{
	const struct snap_condition *c = snap_at(s, r->conditions);
	enum holds all = HOLDS;

	for (uint32_t i = 0; i < r->conditions.n && c[i].kind < CONDITION_NEGOTIATED; i++) {
		enum holds one = condition_holds(s, &c[i], q);

		if (one == HOLDS_NOT)
			return HOLDS_NOT;
		all = one == HOLDS ? all : one;
	}
	return all;
}
