// The tables and the walk over them, against a matcher that tries each pattern in turn.
#include "base/random.h"
#include "route/route.h"
#include "routetable.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct table {
	struct blob blob;
	struct snapshot *s;
};

// What control's publishing does, as far as the walk sees it: header, routes, tables.
static void table_build(struct table *t, const struct route_pattern *p, const uint32_t *methods, uint32_t n)
{
	struct snapshot header = {0};
	struct snap_route *routes = calloc(n + 1, sizeof(*routes));
	struct route_pattern *own = calloc(n + 1, sizeof(*own));

	assert_non_null(routes);
	assert_non_null(own);
	t->blob = (struct blob){0};
	blob_add(&t->blob, NULL, 1, sizeof(struct snapshot));
	for (uint32_t i = 0; i < n; i++)
		routes[i].methods = methods ? methods[i] : 0;
	for (uint32_t i = 0; i < n; i++) {
		own[i] = p[i];
		own[i].methods = routes[i].methods;
	}
	header.routes = blob_add(&t->blob, routes, n, sizeof(*routes));
	assert_true(routetable_build(&t->blob, own, n, &header));
	memcpy(t->blob.p, &header, sizeof(header));
	t->s = (struct snapshot *)(void *)t->blob.p;
	free(routes);
	free(own);
}

static struct slice text(const char *s)
{
	return slice_of(s, strlen(s));
}

// The index of the route found, -1: none, -2: none for the method.
static int find(const struct table *t, const char *host, const char *path, enum http_method method,
		struct route_match *m)
{
	struct route_query q = {.host = text(host), .path = text(path), .method = method};

	switch (route_find(t->s, &q, m)) {
	case ROUTE_FOUND:
		assert_ptr_equal(m->route, (const struct snap_route *)snap_at(t->s, t->s->routes) + m->index);
		return (int)m->index;
	case ROUTE_NO_METHOD:
		return -2;
	default:
		return -1;
	}
}

#define P(h, p)                                                                                                \
	{                                                                                                      \
		.host = SLICE(h), .path = SLICE(p)                                                             \
	}
#define PP(h, p)                                                                                               \
	{                                                                                                      \
		.host = SLICE(h), .path = SLICE(p), .prefix = true                                             \
	}
#define COUNT(a) (uint32_t)(sizeof(a) / sizeof((a)[0]))

static void each_kind_of_pattern_matches_what_it_says(void **state)
{
	static const struct {
		struct route_pattern p;
		const char *host, *path;
		bool match;
	} rows[] = {
		{P("", "/"), "a", "/", true},
		{P("", "/"), "a", "/a", false},
		{P("", "/"), "a", "//", false},
		{P("", "/a"), "a", "/a", true},
		{P("", "/a"), "a", "/a/", false},
		{P("", "/a"), "a", "/A", false},
		{P("", "/a"), "a", "/ab", false},
		{P("", "/a/"), "a", "/a/", true},
		{P("", "/a/"), "a", "/a", false},
		{P("", "/a/b"), "a", "/a/b", true},
		{P("", "/a/b"), "a", "/a//b", false},
		{PP("", "/"), "a", "/", true},
		{PP("", "/"), "a", "/x/y/z", true},
		{PP("", "/"), "a", "*", true},
		{P("", "/"), "a", "*", false},
		{PP("", "/a"), "a", "/a", true},
		{PP("", "/a"), "a", "/a/", true},
		{PP("", "/a"), "a", "/a/b", true},
		{PP("", "/a"), "a", "/ab", false},
		{PP("", "/a/"), "a", "/a", true},
		{PP("", "/a/"), "a", "/a/b", true},
		{PP("", "/a/b"), "a", "/a", false},
		{P("", "/{x}"), "a", "/b", true},
		{P("", "/{x}"), "a", "/", false},
		{P("", "/{x}"), "a", "/b/", false},
		{P("", "/{x}/c"), "a", "/b/c", true},
		{P("", "/{x}/c"), "a", "//c", false},
		{P("", "/{x}/{y}"), "a", "/b/c", true},
		{PP("", "/{x}"), "a", "/b/c/d", true},
		{PP("", "/{x}"), "a", "/", false},
		{P("", "/{rest...}"), "a", "/b", true},
		{P("", "/{rest...}"), "a", "/b/c/", true},
		{P("", "/{rest...}"), "a", "/", false},
		{P("", "/{rest...}"), "a", "*", false},
		{P("", "/a/{rest...}"), "a", "/a/b/c", true},
		{P("", "/a/{rest...}"), "a", "/a//", true},
		{P("", "/a/{rest...}"), "a", "/a/", false},
		{P("", "/a/{rest...}"), "a", "/a", false},
		{P("", "/a/{rest...}"), "a", "/ab/c", false},
		{P("", "/{x}/{rest...}"), "a", "/b/c/d", true},
		{P("", "/a{x}"), "a", "/a{x}", true},
		{P("", "/a{x}"), "a", "/ab", false},
		{P("api.example", "/"), "api.example", "/", true},
		{P("api.example", "/"), "API.Example", "/", true},
		{P("API.Example", "/"), "api.example", "/", true},
		{P("api.example", "/"), "api.example.", "/", true},
		{P("api.example.", "/"), "api.example", "/", true},
		{P("api.example", "/"), "x.api.example", "/", false},
		{P("api.example", "/"), "", "/", false},
		{P("*.example", "/"), "a.example", "/", true},
		{P("*.example", "/"), "a.b.example", "/", true},
		{P("*.example", "/"), "A.EXAMPLE.", "/", true},
		{P("*.example", "/"), "example", "/", false},
		{P("*.example", "/"), ".example", "/", false},
		{P("*.example", "/"), "aexample", "/", false},
		{P("*.example", "/"), "a.example.com", "/", false},
		{P("", "/"), "", "/", true},
		{P("*", "/"), "anything", "/", true},
		{P("", "/"), "[fd00:c6:12::1]", "/", true},
		{P("[fd00:c6:12::1]", "/"), "[fd00:c6:12::1]", "/", true},
	};
	struct route_match m;

	(void)state;
	for (uint32_t i = 0; i < COUNT(rows); i++) {
		struct table t;

		table_build(&t, &rows[i].p, NULL, 1);
		if (find(&t, rows[i].host, rows[i].path, METHOD_GET, &m) != (rows[i].match ? 0 : -1))
			fail_msg("row %u: %s %s", i, rows[i].host, rows[i].path);
		blob_free(&t.blob);
	}
}

static void the_first_route_of_the_file_wins_whatever_its_kind(void **state)
{
	static const struct route_pattern p[] = {
		P("", "/a/{x}"), P("h", "/a/b"), PP("*.t", "/"), P("u.t", "/a"), PP("", "/a"), P("", "/a/b"),
	};
	struct table t;
	struct route_match m;

	(void)state;
	table_build(&t, p, NULL, COUNT(p));
	assert_int_equal(find(&t, "h", "/a/b", METHOD_GET, &m), 0);
	assert_int_equal(find(&t, "u.t", "/a", METHOD_GET, &m), 2);
	assert_int_equal(find(&t, "h", "/a", METHOD_GET, &m), 4);
	assert_int_equal(find(&t, "h", "/a/b/c", METHOD_GET, &m), 4);
	assert_int_equal(find(&t, "h", "/", METHOD_GET, &m), -1);
	blob_free(&t.blob);
}

static void another_method_leads_to_a_later_route_or_to_the_methods_allowed(void **state)
{
	static const struct route_pattern p[] = {P("", "/a"), PP("", "/a"), P("", "/{x}"), P("", "/b")};
	static const uint32_t methods[] = {1u << METHOD_GET | 1u << METHOD_HEAD, 1u << METHOD_PUT,
					   1u << METHOD_DELETE, 0};
	struct table t;
	struct route_match m;

	(void)state;
	table_build(&t, p, methods, COUNT(p));
	assert_int_equal(find(&t, "", "/a", METHOD_GET, &m), 0);
	assert_int_equal(find(&t, "", "/a", METHOD_PUT, &m), 1);
	assert_int_equal(find(&t, "", "/a", METHOD_DELETE, &m), 2);
	assert_int_equal(find(&t, "", "/a", METHOD_POST, &m), -2);
	assert_int_equal(m.allow,
			 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_PUT | 1u << METHOD_DELETE);
	assert_int_equal(find(&t, "", "/a/b", METHOD_GET, &m), -2);
	assert_int_equal(m.allow, 1u << METHOD_PUT);
	assert_int_equal(find(&t, "", "/b", METHOD_OTHER, &m), 3);
	assert_int_equal(find(&t, "", "/b", METHOD_DELETE, &m), 2);
	assert_int_equal(find(&t, "", "/", METHOD_GET, &m), -1);
	blob_free(&t.blob);
}

static void parameters_are_captured_in_the_order_of_the_pattern(void **state)
{
	static const struct route_pattern p[] = {P("", "/{a}/x/{b}"), PP("", "/v/{id}"),
						 P("", "/{a}/{b}/{c}/{d}")};
	struct table t;
	struct route_match m;

	(void)state;
	table_build(&t, p, NULL, COUNT(p));
	assert_int_equal(find(&t, "", "/v/x/7", METHOD_GET, &m), 0);
	assert_int_equal(m.n_params, 2);
	assert_true(slice_eq(m.param[0], SLICE("v")) && slice_eq(m.param[1], SLICE("7")));
	assert_int_equal(find(&t, "", "/v/42/edit", METHOD_GET, &m), 1);
	assert_int_equal(m.n_params, 1);
	assert_true(slice_eq(m.param[0], SLICE("42")));
	assert_int_equal(find(&t, "", "/w/x/y/z", METHOD_GET, &m), 2);
	assert_int_equal(m.n_params, 4);
	assert_true(slice_eq(m.param[3], SLICE("z")));
	blob_free(&t.blob);
}

static void no_routes_match_nothing(void **state)
{
	struct table t;
	struct route_match m;

	(void)state;
	table_build(&t, NULL, NULL, 0);
	assert_int_equal(find(&t, "a", "/", METHOD_GET, &m), -1);
	blob_free(&t.blob);
}

static void patterns_beyond_the_limits_are_refused_with_a_reason(void **state)
{
	static char deep[2 * 65 + 1], params[4 * 17 + 1], host[257], labels[40];
	struct route_pattern rows[] = {
		P("", ""),
		P("", "a"),
		P("", "/a?b"),
		P("", "/a#b"),
		P("", "/a b"),
		P("*a", "/"),
		P("a.*.b", "/"),
		P("*.", "/"),
		P("*..a", "/"),
		P(".a", "/"),
		P("a b", "/"),
		P("a/b", "/"),
		P("", "/\x7f"),
		{.host = {"", 0}, .path = {deep, sizeof(deep) - 1}},
		{.host = {"", 0}, .path = {params, sizeof(params) - 1}},
		{.host = {host, sizeof(host) - 1}, .path = {"/", 1}},
		P("", "/{rest...}/a"),
		PP("", "/{rest...}"),
		{.host = {labels, 2 + 2 * 17 - 1}, .path = {"/", 1}},
	};
	struct blob b = {0};
	struct snapshot header = {0};

	(void)state;
	for (int i = 0; i < 65; i++)
		memcpy(deep + 2 * i, "/a", 2);
	for (int i = 0; i < 17; i++)
		memcpy(params + 4 * i, "/{a}", 4);
	memset(host, 'a', sizeof(host) - 1);
	memcpy(labels, "*.", 2);
	for (int i = 0; i < 17; i++)
		memcpy(labels + 2 + 2 * i, "a.", 2);
	for (uint32_t i = 0; i < COUNT(rows); i++) {
		if (!routetable_check(&rows[i]))
			fail_msg("row %u was taken", i);
		assert_false(routetable_build(&b, &rows[i], 1, &header));
	}
	rows[13].path.n -= 2; // 64 segments
	rows[14].path.n -= 4; // 16 parameters
	rows[15].host.n -= 1; // 255 bytes
	rows[18].host.n -= 2; // 16 labels
	for (uint32_t i = 13; i < COUNT(rows); i++)
		if (i != 16 && i != 17)
			assert_null(routetable_check(&rows[i]));
	blob_free(&b);
}

// Every node has a literal and a parameter, and every route but the last is for another method: all of the
// trie is walked, once, and not more for a path that goes on for long.
static void the_walk_of_a_hostile_path_is_bounded(void **state)
{
	enum { DEPTH = 10, ROUTES = 1 << DEPTH };
	static char patterns[ROUTES][4 * DEPTH + 1];
	static struct route_pattern p[ROUTES];
	static uint32_t methods[ROUTES];
	static char path[16384];
	struct table t;
	struct route_match m;

	(void)state;
	for (uint32_t i = 0; i < ROUTES; i++) {
		for (uint32_t d = 0; d < DEPTH; d++)
			strcat(patterns[i], i >> d & 1 ? "/{x}" : "/a");
		p[i] = (struct route_pattern){.host = {"", 0}, .path = text(patterns[i]), .prefix = true};
		methods[i] = 1u << METHOD_PUT;
	}
	table_build(&t, p, methods, ROUTES);
	for (size_t i = 0; i + 1 < sizeof(path) - 1; i += 2)
		memcpy(path + i, "/a", 2);
	assert_int_equal(find(&t, "a.a.a.a", path, METHOD_GET, &m), -2);
	assert_int_equal(m.allow, 1u << METHOD_PUT);
	assert_int_equal(find(&t, "a.a.a.a", path, METHOD_PUT, &m), 0);
	blob_free(&t.blob);
}

// --- the naive matcher

static bool naive_host(struct slice pattern, struct slice host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (pattern.n == 0)
		return true;
	if (pattern.p[0] != '*')
		return host.n && host.p[0] != '.' && slice_ieq(pattern, host);
	pattern = slice_of(pattern.p + 1, pattern.n - 1);
	return host.n > pattern.n && slice_ieq(pattern, slice_of(host.p + host.n - pattern.n, pattern.n));
}

static uint32_t split(struct slice path, struct slice *out)
{
	uint32_t n = 0;
	const char *from = path.p + 1;

	for (const char *q = from;; q++) {
		if (q < path.p + path.n && *q != '/')
			continue;
		out[n++] = slice_of(from, (size_t)(q - from));
		from = q + 1;
		if (q == path.p + path.n)
			return n;
	}
}

static bool naive_path(const struct route_pattern *p, struct slice path)
{
	struct slice a[80], b[80];
	uint32_t n_a = split(p->path, a), n_b = split(path, b);

	if (p->prefix && a[n_a - 1].n == 0)
		n_a--;
	if (p->prefix ? n_a > n_b : n_a != n_b)
		return false;
	for (uint32_t i = 0; i < n_a; i++) {
		if (a[i].n >= 2 && a[i].p[0] == '{') {
			if (b[i].n == 0)
				return false;
		} else if (!slice_eq(a[i], b[i])) {
			return false;
		}
	}
	return true;
}

static int naive_find(const struct route_pattern *p, const uint32_t *methods, uint32_t n, const char *host,
		      const char *path, enum http_method method, uint32_t *allow)
{
	*allow = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!naive_host(p[i].host, text(host)) || !naive_path(&p[i], text(path)))
			continue;
		if (!methods[i] || methods[i] & 1u << method)
			return (int)i;
		*allow |= methods[i];
	}
	return *allow ? -2 : -1;
}

static const char *pick(struct random *r, const char *const *v, uint32_t n)
{
	return v[random_below(r, n)];
}

static void random_path(struct random *r, char *out, bool pattern)
{
	static const char *const segment[] = {"a", "b", "aa", "", "c", "{x}", "{y}", "{z}"};
	uint32_t n = 1 + random_below(r, 5);

	*out = '\0';
	while (n--) {
		strcat(out, "/");
		strcat(out, pick(r, segment, pattern ? 8 : 5));
	}
}

static void random_overlapping_patterns_match_as_a_naive_matcher_says(void **state)
{
	enum { TABLES = 400, ROUTES = 40, REQUESTS = 300 };
	static const char *const pattern_host[] = {"", "a.t", "b.t", "*.t", "*.a.t", "t", "*.b.a.t", "A.T"};
	static const char *const host[] = {"",      "a.t",     "b.t",  "t", "x.t", "x.a.t",
					   "b.a.t", "c.b.a.t", "A.T.", "u", ".t",  "x.b.a.t."};
	static char paths[ROUTES][64];
	static struct route_pattern p[ROUTES];
	uint32_t methods[ROUTES], found = 0, refused = 0;
	struct random r;

	(void)state;
	random_seed(&r, 20250101);
	for (int k = 0; k < TABLES; k++) {
		uint32_t n = 1 + random_below(&r, ROUTES);
		struct table t;

		for (uint32_t i = 0; i < n; i++) {
			random_path(&r, paths[i], true);
			p[i] = (struct route_pattern){.host = text(pick(&r, pattern_host, COUNT(pattern_host))),
						      .path = text(paths[i]),
						      .prefix = random_below(&r, 4) == 0};
			methods[i] = random_below(&r, 2) ? random_below(&r, 8) : 0;
		}
		table_build(&t, p, methods, n);
		for (int q = 0; q < REQUESTS; q++) {
			char path[64];
			const char *h = pick(&r, host, COUNT(host));
			enum http_method method = random_below(&r, 4);
			struct route_match m;
			uint32_t allow;
			int expect, got;

			random_path(&r, path, false);
			expect = naive_find(p, methods, n, h, path, method, &allow);
			got = find(&t, h, path, method, &m);
			if (got != expect)
				fail_msg("table %d, %s %s: %d and not %d", k, h, path, got, expect);
			if (got == -2)
				assert_int_equal(m.allow, allow);
			found += got >= 0;
			refused += got == -2;
		}
		blob_free(&t.blob);
	}
	// The rows are worth something only where all outcomes come up.
	assert_true(found > 10000 && refused > 1000);
	assert_true(found + refused < TABLES * REQUESTS - 10000);
}

// Names of 1 to 30 bytes, many more than stand in a row.
static void wide_path(struct random *r, char *out, bool pattern)
{
	uint32_t n = 1 + random_below(r, 3);

	*out = '\0';
	while (n--) {
		uint32_t name = random_below(r, 60);

		if (pattern && name % 20 == 0)
			strcat(out, "/{x}");
		else
			sprintf(out + strlen(out), "/%.*s%u", (int)(name / 2),
				"abcdefghijklmnopqrstuvwxyzabcdef", name);
	}
}

static void tables_of_many_segments_match_as_a_naive_matcher_says(void **state)
{
	enum { TABLES = 30, ROUTES = 200, REQUESTS = 1000 };
	static const char *const host[] = {"", "a.t", "b.t"};
	static char paths[ROUTES][128];
	static struct route_pattern p[ROUTES];
	uint32_t methods[ROUTES], found = 0;
	struct random r;

	(void)state;
	random_seed(&r, 20250102);
	for (int k = 0; k < TABLES; k++) {
		struct table t;

		for (uint32_t i = 0; i < ROUTES; i++) {
			wide_path(&r, paths[i], true);
			p[i] = (struct route_pattern){.host = text(pick(&r, host, COUNT(host))),
						      .path = text(paths[i]),
						      .prefix = random_below(&r, 4) == 0};
			methods[i] = random_below(&r, 2) ? random_below(&r, 8) : 0;
		}
		table_build(&t, p, methods, ROUTES);
		for (int q = 0; q < REQUESTS; q++) {
			const char *h = pick(&r, host, COUNT(host));
			enum http_method method = random_below(&r, 4);
			struct route_match m;
			char path[128];
			uint32_t allow;
			int expect;

			wide_path(&r, path, false);
			expect = naive_find(p, methods, ROUTES, h, path, method, &allow);
			assert_int_equal(find(&t, h, path, method, &m), expect);
			found += expect >= 0;
		}
		blob_free(&t.blob);
	}
	assert_in_range(found, 5000, TABLES * REQUESTS - 5000);
}

static const struct snap_host *host_of(const struct table *t, const char *key)
{
	const struct snap_host *h = snap_at(t->s, t->s->hosts);

	for (uint32_t i = 0; i < t->s->hosts.n; i++)
		if (h[i].used && slice_eq(snap_host_text(t->s, &h[i]), text(key)))
			return &h[i];
	fail();
	return NULL;
}

static void hosts_whose_routes_ask_for_the_same_share_a_trie_and_keep_their_routes(void **state)
{
	static const struct route_pattern p[] = {P("a.t", "/x"),   P("b.t", "/x"), P("a.t", "/{n}"),
						 P("b.t", "/{n}"), P("c.t", "/x"), P("c.t", "/{n}"),
						 P("*.t", "/x"),   P("", "/{n}"),  P("d.t", "/{n}"),
						 P("d.t", "/x"),   P("e.t", "/x"), PP("e.t", "/{n}")};
	struct route_match m;
	struct table t;

	(void)state;
	table_build(&t, p, NULL, COUNT(p));
	assert_int_equal(host_of(&t, "a.t")->used, HOST_IN_ORDER);
	assert_int_equal(host_of(&t, "c.t")->used, HOST_IN_A_ROW);
	assert_int_equal(host_of(&t, "a.t")->root, host_of(&t, "b.t")->root);
	assert_int_equal(host_of(&t, "a.t")->root, host_of(&t, "c.t")->root);
	assert_int_not_equal(host_of(&t, "a.t")->root, host_of(&t, "d.t")->root); // the order is another one
	assert_int_not_equal(host_of(&t, "a.t")->root, host_of(&t, "e.t")->root); // one is a prefix
	assert_int_equal(find(&t, "a.t", "/x", METHOD_GET, &m), 0);
	assert_int_equal(find(&t, "b.t", "/x", METHOD_GET, &m), 1);
	assert_int_equal(find(&t, "c.t", "/x", METHOD_GET, &m), 4);
	assert_int_equal(find(&t, "f.t", "/x", METHOD_GET, &m), 6);
	assert_int_equal(find(&t, "a.t", "/y", METHOD_GET, &m), 2);
	assert_int_equal(find(&t, "b.t", "/y", METHOD_GET, &m), 3);
	assert_true(slice_eq(m.param[0], SLICE("y")));
	assert_int_equal(find(&t, "c.t", "/y", METHOD_GET, &m), 5);
	assert_int_equal(find(&t, "f.t", "/y", METHOD_GET, &m), 7);
	assert_int_equal(find(&t, "d.t", "/x", METHOD_GET, &m), 6); // of the suffix, and before its own
	assert_int_equal(find(&t, "e.t", "/x", METHOD_GET, &m), 6);
	blob_free(&t.blob);
}

// What follows segments that differ stands once, whatever its routes' places among their host's.
static void ways_that_go_on_alike_are_one_from_there_on(void **state)
{
	static const struct route_pattern p[] = {
		P("a.t", "/a/x/{n}"), P("a.t", "/a/y"), P("a.t", "/b/x/{n}"), P("a.t", "/b/y"),
		P("b.t", "/first"),   P("b.t", "/c"),   P("b.t", "/d/x/{n}"), P("b.t", "/d/y"),
	};
	const struct snap_node *a, *b, *nodes;
	struct route_match m;
	struct table t;

	(void)state;
	table_build(&t, p, NULL, COUNT(p));
	nodes = snap_at(t.s, t.s->nodes);
	a = &nodes[host_of(&t, "a.t")->root];
	b = &nodes[host_of(&t, "b.t")->root];
	assert_int_equal(a->slots, 2);
	assert_int_equal(b->slots, 3);
	assert_int_equal(snap_edges(a)[0].node, snap_edges(a)[1].node);
	assert_int_equal(snap_edges(a)[0].node, snap_edges(b)[2].node);
	assert_int_equal(snap_edges(a)[1].rank, 2);
	assert_int_equal(find(&t, "a.t", "/a/x/1", METHOD_GET, &m), 0);
	assert_int_equal(find(&t, "a.t", "/b/x/1", METHOD_GET, &m), 2);
	assert_int_equal(find(&t, "a.t", "/b/y", METHOD_GET, &m), 3);
	assert_int_equal(find(&t, "b.t", "/d/x/1", METHOD_GET, &m), 6);
	assert_int_equal(find(&t, "b.t", "/d/y", METHOD_GET, &m), 7);
	assert_int_equal(find(&t, "b.t", "/c/y", METHOD_GET, &m), -1);
	blob_free(&t.blob);
}

static void a_host_of_any_length_is_found_in_any_case_and_no_other_in_its_place(void **state)
{
	char key[40] = "", asked[40];
	struct route_match m;

	(void)state;
	for (unsigned n = 1; n < 36; n++) {
		struct route_pattern p[2] = {P("", "/x"), P("other", "/x")};
		struct table t;

		key[n - 1] = (char)('a' + n % 26);
		p[0].host = text(key);
		table_build(&t, p, NULL, 2);
		for (unsigned i = 0; i < n; i++) {
			strcpy(asked, key);
			asked[i] = (char)(key[i] - 'a' + 'A');
			assert_int_equal(find(&t, asked, "/x", METHOD_GET, &m), 0);
			asked[i] = (char)(key[i] == 'z' ? 'y' : key[i] + 1);
			assert_int_equal(find(&t, asked, "/x", METHOD_GET, &m), -1);
			asked[i] = (char)(key[i] ^ 0x60); // has the bit that letters' cases differ in
			assert_int_equal(find(&t, asked, "/x", METHOD_GET, &m), -1);
		}
		blob_free(&t.blob);
	}
}

static void other_methods_or_conditions_need_another_trie(void **state)
{
	static const struct route_pattern p[] = {
		P("a.t", "/x"),
		P("b.t", "/x"),
		{.host = SLICE("c.t"), .path = SLICE("/x"), .conditions = true}};
	static const uint32_t methods[] = {1u << METHOD_GET, 1u << METHOD_PUT, 1u << METHOD_GET};
	struct route_match m;
	struct table t;

	(void)state;
	table_build(&t, p, methods, COUNT(p));
	assert_int_not_equal(host_of(&t, "a.t")->root, host_of(&t, "b.t")->root);
	assert_int_not_equal(host_of(&t, "a.t")->root, host_of(&t, "c.t")->root);
	assert_int_equal(find(&t, "a.t", "/x", METHOD_PUT, &m), -2);
	assert_int_equal(find(&t, "b.t", "/x", METHOD_PUT, &m), 1);
	blob_free(&t.blob);
}

// What the record says, in a few bytes: just where nothing can stand before the answer.
static void routes_with_the_same_answer_share_it_and_others_have_none(void **state)
{
	struct snapshot header = {0};
	struct blob b = {0};
	struct snap_route r[8];
	const struct snap_prompt *p;

	(void)state;
	blob_add(&b, NULL, 1, sizeof(header));
	for (unsigned i = 0; i < 8; i++)
		r[i] = (struct snap_route){.action = ACTION_RESPOND,
					   .stat_slot = 10 + i,
					   .status = 200,
					   .answer = {4096, 100},
					   .answer_head = 90};
	r[1].answer.off = 8192;
	r[3].stages = 1;
	r[4].path.slashes = PATH_REJECT;
	r[5].credits = SNAP_LIMITED | 1;
	r[6].action = ACTION_TO;
	r[7].answer.n = 0;
	assert_true(routetable_prompts(&b, r, 8, &header));
	p = (const struct snap_prompt *)(const void *)(b.p + header.prompts.off);
	assert_int_equal(header.prompts.n, 8);
	assert_int_equal(header.answers.n, 2);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(p[i].stat_slot, 10 + i);
		assert_int_equal(p[i].answer, i == 0 || i == 2 ? 1 : i == 1 ? 2 : 0);
	}
	blob_free(&b);
}

static void ten_thousand_routes_are_each_found(void **state)
{
	enum { ROUTES = 10000 };
	struct route_pattern *p = calloc(ROUTES, sizeof(*p));
	char(*paths)[48] = calloc(ROUTES, sizeof(*paths));
	struct table t;
	struct route_match m;

	(void)state;
	assert_non_null(p);
	assert_non_null(paths);
	for (uint32_t i = 0; i < ROUTES; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/v%u/service-%u/{id}", i % 3, i);
		p[i] = (struct route_pattern){.host = i % 2 ? SLICE("a.example") : SLICE("*.example"),
					      .path = text(paths[i]),
					      .prefix = true};
	}
	table_build(&t, p, NULL, ROUTES);
	for (uint32_t i = 0; i < ROUTES; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/v%u/service-%u/17/x", i % 3, i);
		assert_int_equal(find(&t, "a.example", path, METHOD_GET, &m), i);
		assert_int_equal(find(&t, "b.example", path, METHOD_GET, &m), i % 2 ? -1 : (int)i);
	}
	blob_free(&t.blob);
	free(p);
	free(paths);
}

static void records_stand_on_multiples_of_eight_and_failure_sticks(void **state)
{
	static const uint32_t numbers[] = {1, 2, 3};
	struct blob b = {0};
	struct snap_ref r;

	(void)state;
	r = blob_text(&b, "abc", 3);
	assert_int_equal(r.off, 0);
	r = blob_add(&b, numbers, 3, sizeof(numbers[0]));
	assert_int_equal(r.off, 8);
	assert_int_equal(r.n, 3);
	assert_memory_equal(b.p + r.off, numbers, sizeof(numbers));
	assert_memory_equal(b.p + 3, "\0\0\0\0\0", 5);
	r = blob_add(&b, NULL, 10000, 8);
	assert_int_equal(r.off % 8, 0);
	assert_int_equal(b.p[r.off + 79999], 0);
	assert_memory_equal(b.p, "abc", 3);
	r = blob_text(&b, "", 0);
	assert_int_equal(r.n, 0);
	assert_false(b.failed);
	r = blob_add(&b, numbers, UINT32_MAX, 8);
	assert_true(b.failed);
	assert_int_equal(r.n, 0);
	assert_int_equal(blob_text(&b, "x", 1).n, 0);
	blob_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_pattern_matches_what_it_says),
		cmocka_unit_test(the_first_route_of_the_file_wins_whatever_its_kind),
		cmocka_unit_test(another_method_leads_to_a_later_route_or_to_the_methods_allowed),
		cmocka_unit_test(parameters_are_captured_in_the_order_of_the_pattern),
		cmocka_unit_test(no_routes_match_nothing),
		cmocka_unit_test(patterns_beyond_the_limits_are_refused_with_a_reason),
		cmocka_unit_test(the_walk_of_a_hostile_path_is_bounded),
		cmocka_unit_test(random_overlapping_patterns_match_as_a_naive_matcher_says),
		cmocka_unit_test(hosts_whose_routes_ask_for_the_same_share_a_trie_and_keep_their_routes),
		cmocka_unit_test(tables_of_many_segments_match_as_a_naive_matcher_says),
		cmocka_unit_test(ways_that_go_on_alike_are_one_from_there_on),
		cmocka_unit_test(a_host_of_any_length_is_found_in_any_case_and_no_other_in_its_place),
		cmocka_unit_test(other_methods_or_conditions_need_another_trie),
		cmocka_unit_test(routes_with_the_same_answer_share_it_and_others_have_none),
		cmocka_unit_test(ten_thousand_routes_are_each_found),
		cmocka_unit_test(records_stand_on_multiples_of_eight_and_failure_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
