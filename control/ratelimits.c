#include "ratelimits.h"
#include <string.h>

static const char *const part_names[LIMIT_PARTS] = {
	[LIMIT_PART_CLIENT_IP] = "client_ip", [LIMIT_PART_HEADER] = "header",
	[LIMIT_PART_COOKIE] = "cookie",       [LIMIT_PART_QUERY] = "query",
	[LIMIT_PART_PATH] = "path",           [LIMIT_PART_ROUTE] = "route",
	[LIMIT_PART_LISTENER] = "listener",   [LIMIT_PART_CONSTANT] = "constant",
};

const char *limit_part_name(uint32_t kind)
{
	return kind < LIMIT_PARTS ? part_names[kind] : "?";
}

bool limit_part_parse(const struct text *t, uint32_t *kind, struct text *name, const char **why)
{
	const char *colon = memchr(t->s, ':', t->n);
	size_t n = colon ? (size_t)(colon - t->s) : t->n;

	for (*kind = 0; *kind < LIMIT_PARTS; ++*kind)
		if (strlen(part_names[*kind]) == n && memcmp(part_names[*kind], t->s, n) == 0)
			break;
	*why = "is none of client_ip, header:NAME, cookie:NAME, query:NAME, path:CAPTURE, route, listener and "
	       "constant";
	if (n == 3 && memcmp(t->s, "jwt", 3) == 0)
		*why = "needs a route that verifies tokens, which no route can yet";
	if (*kind == LIMIT_PARTS)
		return false;
	*name = (struct text){0};
	if (*kind < LIMIT_PART_HEADER || *kind > LIMIT_PART_PATH) {
		*why = "takes no name behind a colon";
		return !colon;
	}
	*why = "needs a name of 1 to 63 bytes behind a colon";
	if (!colon || t->n - n - 1 == 0 || t->n - n - 1 > SNAP_NAME_MAX)
		return false;
	*name = (struct text){colon + 1, (uint32_t)(t->n - n - 1), t->mark};
	for (uint32_t i = 0; i < name->n; i++)
		if ((unsigned char)name->s[i] <= ' ' || (unsigned char)name->s[i] >= 0x7f) {
			*why = "has a name with a byte that no name has";
			return false;
		}
	return true;
}

// Which capture of a path has this name; -1: none.
static int capture_index(const struct text *path, const struct text *name)
{
	int index = 0;

	for (const char *p = path->s, *end = path->s + path->n; p < end;) {
		const char *slash = memchr(p, '/', (size_t)(end - p)), *stop = slash ? slash : end;
		size_t n = (size_t)(stop - p);

		if (n >= 2 && p[0] == '{' && p[n - 1] == '}') {
			size_t rest = n > 5 && memcmp(stop - 4, "...", 3) == 0 ? 3 : 0; // "{rest...}"

			if (n - 2 - rest == name->n && memcmp(p + 1, name->s, name->n) == 0)
				return index;
			index++;
		}
		p = stop + 1;
	}
	return -1;
}

static bool is_token(const struct text *t) // RFC 9110 5.6.2
{
	for (uint32_t i = 0; i < t->n; i++) {
		char ch = t->s[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
		      (ch && strchr("!#$%&'*+-.^_`|~", ch))))
			return false;
	}
	return t->n > 0;
}

static void check_limit(struct diag *d, struct conf_limit *l)
{
	const struct text *key = l->key.v;
	const char *why;

	for (uint32_t i = 0; i < l->key.n; i++) {
		struct text name;
		uint32_t kind;

		if (!key[i].s)
			continue;
		if (!limit_part_parse(&key[i], &kind, &name, &why))
			diag_error(d, key[i].mark, "key: \"%s\" %s", key[i].s, why);
		else if (kind == LIMIT_PART_HEADER && !is_token(&name))
			diag_error(d, key[i].mark, "key: \"%s\" is no name of a header field", name.s);
	}
	if (l->header.s && !is_token(&l->header))
		diag_error(d, l->header.mark, "header: \"%s\" is no name of a header field", l->header.s);
	if (l->delay.given && l->action.v != LIMIT_DELAY)
		diag_error(d, l->delay.mark, "delay: only with action: delay");
	if (l->escalate.head.given && l->action.v != LIMIT_REJECT && l->action.v != LIMIT_DELAY)
		diag_error(d, l->escalate.head.mark, "escalate: only with action: reject or delay");
	if (l->escalate.how.v && !(l->key.n == 1 && key[0].s && strcmp(key[0].s, "client_ip") == 0))
		diag_error(d, l->escalate.how.mark,
			   "how: drop needs client_ip as the limit's key, and nothing else");
	if (l->escalate.head.given && l->escalate.within.v < l->escalate.after.v)
		diag_error(d, l->escalate.head.mark, "escalate: more refusals than nanoseconds");
	if (!l->rate.s)
		return;
	if (!unit_rate(l->rate.s, &l->count, &l->period, &why)) {
		diag_error(d, l->rate.mark, "rate: \"%s\" %s", l->rate.s, why);
		return;
	}
	// Rounded up: rather a billionth too little than one request too many.
	l->interval = (l->period + l->count - 1) / l->count;
	l->most = l->burst.given ? l->burst.v : l->count;
	if (l->most > SNAP_LIMIT_TIME_MAX / l->interval)
		diag_error(d, l->burst.given ? l->burst.mark : l->rate.mark,
			   "burst: at this rate it takes more than 400 days to earn");
}

void check_limits(struct diag *d, const struct conf_root *root)
{
	struct conf_limit *l = root->rate_limits.v;

	for (uint32_t i = 0; i < root->rate_limits.n; i++)
		if (l[i].head.given)
			check_limit(d, &l[i]);
}

static void check_captures(struct diag *d, const struct conf_limit *l, const struct conf_limit_use *u,
			   const struct text *path)
{
	const struct text *key = l->key.v;

	for (uint32_t i = 0; i < l->key.n; i++) {
		struct text name;
		const char *why;
		uint32_t kind;

		if (!key[i].s || !limit_part_parse(&key[i], &kind, &name, &why) || kind != LIMIT_PART_PATH)
			continue;
		if (!path)
			diag_error(d, u->limit.mark,
				   "rate_limit: the key of \"%s\" has %s, which only routes have", u->limit.s,
				   key[i].s);
		else if (capture_index(path, &name) < 0)
			diag_error(d, u->limit.mark,
				   "rate_limit: the key of \"%s\" has %s, but \"%s\" has no {%s}", u->limit.s,
				   key[i].s, path->s, name.s);
	}
}

// Index of the limit that is used; the number of limits, reported, where there is none.
static uint32_t limit_find(struct diag *d, const struct conf_root *root, const struct text *name)
{
	const struct conf_limit *l = root->rate_limits.v;
	const char *words[SNAP_LIMITS_MAX], *near;
	uint32_t n = 0;

	for (uint32_t k = 0; k < root->rate_limits.n; k++) {
		if (!l[k].name.s)
			continue;
		if (strcmp(l[k].name.s, name->s) == 0)
			return k;
		if (n < SNAP_LIMITS_MAX)
			words[n++] = l[k].name.s;
	}
	near = diag_suggest(name->s, words, n);
	diag_error(d, name->mark, "rate limit \"%s\" is not defined%s%s%s", name->s,
		   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return root->rate_limits.n;
}

void check_limit_uses(struct diag *d, const struct conf_root *root, const struct list *uses,
		      const struct text *path)
{
	struct conf_limit_use *u = uses->v;

	for (uint32_t i = 0; i < uses->n; i++) {
		const struct conf_limit *l;

		if (!u[i].limit.s)
			continue;
		for (uint32_t k = 0; k < i; k++)
			if (u[k].limit.s && strcmp(u[k].limit.s, u[i].limit.s) == 0)
				diag_error(d, u[i].limit.mark, "rate_limit: \"%s\" a second time",
					   u[i].limit.s);
		u[i].limit_index = limit_find(d, root, &u[i].limit);
		if (u[i].limit_index == root->rate_limits.n)
			continue;
		l = (const struct conf_limit *)root->rate_limits.v + u[i].limit_index;
		if (l->most && u[i].cost.v > l->most)
			diag_error(d, u[i].cost.mark,
				   "cost: %llu is more than the burst of \"%s\", %llu: no request would pass",
				   (unsigned long long)u[i].cost.v, u[i].limit.s, (unsigned long long)l->most);
		check_captures(d, l, &u[i], path);
	}
}

struct snap_ref limit_uses_add(struct blob *b, const struct conf_root *root, const struct list *uses,
			       const struct text *path)
{
	struct snap_limit_use out[SNAP_LIMIT_USES_MAX] = {0};
	const struct conf_limit_use *u = uses->v;

	for (uint32_t i = 0; i < uses->n && i < SNAP_LIMIT_USES_MAX; i++) {
		const struct conf_limit *l = (const struct conf_limit *)root->rate_limits.v + u[i].limit_index;
		const struct text *key = l->key.v;

		out[i].limit = u[i].limit_index;
		out[i].cost = (uint32_t)u[i].cost.v;
		for (uint32_t k = 0; k < l->key.n && k < SNAP_LIMIT_PARTS_MAX; k++) {
			struct text name;
			const char *why;
			uint32_t kind;

			limit_part_parse(&key[k], &kind, &name, &why);
			if (kind == LIMIT_PART_PATH && path)
				out[i].capture[k] = (uint8_t)capture_index(path, &name);
		}
	}
	return blob_add(b, out, uses->n, sizeof(out[0]));
}
