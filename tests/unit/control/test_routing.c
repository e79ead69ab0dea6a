// Routing as a whole, from the configuration's text to the route: the table of cases (tests/routing/cases.txt),
// and random configurations and requests made to overlap, through the compiled snapshot (alone and in bursts)
// and through a matcher that is written down a second time. ROUTING_PAIRS in the environment says how many
// pairs.
#include "base/hash.h"
#include "base/random.h"
#include "compile.h"
#include "route/regex.h"
#include "routing/naive.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
// after what it needs
#include <cmocka.h>

#define TEXT_ROOM (64u << 10)

static const char preamble[] = "version: 1\n"
			       "system:\n"
			       "  ports: [{name: wan, device: d0, addresses: [198.18.0.1/24]}]\n"
			       "listeners: [{name: http, bind: \":80\"}, {name: inside, bind: \":8080\"}]\n";

struct world {
	struct region *region;
	struct config config;
	struct blob blob;
	const struct snapshot *s;
	struct regex_set *regexes;
	bool built;
	_Atomic uint64_t off[16]; // disabled routes
	char off_name[16][64];
	uint32_t n_off;
};

static void world_build(struct world *w, const char *text)
{
	char why[300];

	if (!w->region) {
		w->region = aligned_alloc(4096, region_size(1));
		memset(w->region, 0, region_size(1));
		region_create(w->region, 1);
	}
	if (!config_parse(&w->config, "routes.yaml", text, strlen(text))) {
		diag_print(&w->config.diag, stderr);
		fail_msg("%s", text);
	}
	if (compile_snapshot(&w->blob, &w->config, w->region, 1, why, sizeof(why)) < 0)
		fail_msg("%s: %s", why, text);
	w->s = (const void *)w->blob.p;
	w->regexes = regex_set_create(w->s, why, sizeof(why));
	if (!w->regexes)
		fail_msg("%s", why);
	w->built = true;
}

static void world_end(struct world *w)
{
	if (!w->built)
		return;
	regex_set_free(w->regexes);
	config_free(&w->config);
	blob_free(&w->blob);
	w->built = false;
	w->n_off = 0;
}

struct ask {
	struct http_head head;
	struct route_query q;
};

static struct regex_matcher *matcher(void)
{
	static struct regex_matcher *m;
	static struct arena a;

	if (!m && arena_init(&a, regex_matcher_memory()) == 0)
		m = regex_matcher_create(&a, NULL);
	assert_non_null(m);
	return m;
}

static void ask_field(struct ask *a, struct slice name, struct slice value)
{
	assert_true(http_add(&a->head, name, value));
}

static void world_disable(struct world *w, const char *name)
{
	assert_true(w->n_off < 16);
	snprintf(w->off_name[w->n_off], sizeof(w->off_name[0]), "%s", name);
	atomic_store(&w->off[w->n_off++], hash64(name, strlen(name)));
}

// Both matchers; fails where they differ. Returns what the naive one found.
static struct naive compare(const struct world *w, struct ask *a, const char *what)
{
	struct naive n = naive_find(&w->config.root, &a->q, w->off_name, w->n_off);
	const struct route_query *qs[3] = {&a->q, &a->q, &a->q};
	struct route_match m[4], *ms[3] = {&m[1], &m[2], &m[3]};
	enum route_result r[4], expect = n.route >= 0 ? ROUTE_FOUND
					 : n.offers   ? ROUTE_NOT_ACCEPTABLE
					 : n.allow    ? ROUTE_NO_METHOD
						      : ROUTE_NOT_FOUND;

	r[0] = route_find(w->s, &a->q, &m[0]);
	route_find_burst(w->s, qs, ms, r + 1, 3);
	for (unsigned i = 0; i < 4; i++) {
		bool same = r[i] == expect;

		same = same && (expect != ROUTE_FOUND || (int)m[i].index == n.route);
		same = same && (expect != ROUTE_NO_METHOD || m[i].allow == n.allow);
		for (uint32_t k = 0; same && expect == ROUTE_FOUND && k < n.n_params; k++)
			same = k < m[i].n_params && slice_eq(m[i].param[k], n.param[k]);
		if (!same)
			fail_msg("%s\n%s: result %d route %u, but naively %d route %d", w->config.text, what,
				 r[i], m[i].index, expect, n.route);
	}
	return n;
}

// --- the table

static struct slice part_next(char **p)
{
	char *bar = strstr(*p, " | "), *begin = *p;
	size_t n = bar ? (size_t)(bar - begin) : strlen(begin);

	*p = bar ? bar + 3 : begin + n;
	while (n && begin[n - 1] == ' ')
		n--;
	return slice_of(begin, n);
}

static void target_parse(struct slice url, struct route_query *q)
{
	const char *host = memmem(url.p, url.n, "://", 3), *path = url.p, *mark;
	size_t n = url.n;

	q->host = slice_of("", 0);
	if (host) {
		host += 3;
		path = memchr(host, '/', n - (size_t)(host - url.p));
		q->host = slice_of(host, (size_t)(path - host));
		mark = *host == '[' ? memchr(host, ']', q->host.n) : memchr(host, ':', q->host.n);
		if (mark)
			q->host.n = (size_t)(mark - host) + (*host == '[');
		n -= (size_t)(path - url.p);
	}
	mark = memchr(path, '?', n);
	q->path = slice_of(path, mark ? (size_t)(mark - path) : n);
	q->query = mark ? slice_of(mark + 1, n - q->path.n - 1) : slice_of(path + n, 0);
}

static void request_parse(const struct world *w, char *line, struct ask *a)
{
	char *space = strchr(line, ' ');
	struct slice part = slice_of(line, (size_t)(space - line));

	a->head.n = 0;
	a->q = (struct route_query){.method = http_method_of(part),
				    .head = &a->head,
				    .regexes = w->regexes,
				    .matcher = matcher(),
				    .off = w->off,
				    .n_off = w->n_off};
	addr_parse("198.18.0.100", 12, &a->q.client);
	line = space + 1;
	target_parse(part_next(&line), &a->q);
	while (*line) {
		const char *colon;

		part = part_next(&line);
		colon = memchr(part.p, ':', part.n);
		if (slice_starts(part, SLICE("client="))) {
			assert_int_equal(addr_parse(part.p + 7, part.n - 7, &a->q.client), 0);
		} else if (slice_starts(part, SLICE("listener="))) {
			a->q.listener = slice_eq(part, SLICE("listener=inside"));
		} else {
			struct slice value = slice_of(colon + 1, part.n - (size_t)(colon + 1 - part.p));

			if (value.n && *value.p == ' ')
				value = slice_of(value.p + 1, value.n - 1);
			ask_field(a, slice_of(part.p, (size_t)(colon - part.p)), value);
		}
	}
}

static void outcome(const struct world *w, const struct ask *a, char *out, size_t room)
{
	struct route_match m;
	size_t n;

	switch (route_find(w->s, &a->q, &m)) {
	case ROUTE_FOUND:
		n = (size_t)snprintf(out, room, "%.*s", (int)m.route->name.n,
				     (const char *)w->s + m.route->name.off);
		for (uint32_t i = 0; i < m.n_params; i++)
			n += (size_t)snprintf(out + n, room - n, " %.*s", (int)m.param[i].n, m.param[i].p);
		break;
	case ROUTE_NO_METHOD:
		n = (size_t)snprintf(out, room, "405 ");
		n += (size_t)route_allow(out + n, room - n, m.allow);
		out[n] = '\0';
		break;
	case ROUTE_NOT_ACCEPTABLE:
		snprintf(out, room, "406");
		break;
	case ROUTE_BEYOND:
		snprintf(out, room, "400");
		break;
	case ROUTE_NOT_FOUND:
		snprintf(out, room, "404");
	}
}

static void the_table_of_cases_holds(void **state)
{
	static char text[TEXT_ROOM], routes[TEXT_ROOM / 2], apis[TEXT_ROOM / 4], line[1024], was[1100];
	FILE *f = fopen("tests/routing/cases.txt", "r");
	struct world w = {0};
	unsigned cases = 0;
	struct ask a;

	(void)state;
	assert_non_null(f);
	for (unsigned number = 1; fgets(line, sizeof(line), f); number++) {
		char *arrow, got[1024], *brace;

		line[strcspn(line, "\n")] = '\0';
		if (*line == '#' || *line == '\0')
			continue;
		if (strncmp(line, "table ", 6) == 0) {
			world_end(&w);
			routes[0] = apis[0] = '\0';
		} else if (strncmp(line, "api ", 4) == 0) {
			snprintf(apis + strlen(apis), sizeof(apis) - strlen(apis), "  - %s\n", line + 4);
		} else if (strncmp(line, "disable ", 8) == 0) {
			world_disable(&w, line + 8);
		} else if (strncmp(line, "route ", 6) == 0) {
			brace = strchr(line, '{');
			snprintf(routes + strlen(routes), sizeof(routes) - strlen(routes),
				 "  - {name: %.*s, match: %s, respond: {status: 200}}\n",
				 (int)(brace - line - 7), line + 6, brace);
		} else {
			if (!w.built) {
				snprintf(text, sizeof(text), "%s%s%sroutes:\n%s", preamble,
					 *apis ? "apis:\n" : "", apis, routes);
				world_build(&w, text);
			}
			snprintf(was, sizeof(was), "cases.txt:%u: %s", number, line);
			arrow = strstr(line, " -> ");
			assert_non_null(arrow);
			*arrow = '\0';
			request_parse(&w, line, &a);
			outcome(&w, &a, got, sizeof(got));
			if (strcmp(got, arrow + 4) != 0)
				fail_msg("%s, but it is %s", was, got);
			// What is malformed is not for the naive matcher, and it knows no bound.
			if (!strstr(was, "q=1.5") && strcmp(got, "400") != 0)
				compare(&w, &a, was);
			cases++;
		}
	}
	fclose(f);
	world_end(&w);
	free(w.region);
	assert_true(cases >= 200);
}

// --- random pairs

#define PICK(r, list) ((list)[random_below(r, sizeof(list) / sizeof((list)[0]))])

static void random_path(struct random *r, char *out, bool pattern)
{
	static const char *const segment[] = {"a", "b", "aa", "", "a-long-segment-name", "{x}", "{y}"};
	uint32_t n = 1 + random_below(r, 4);

	*out = '\0';
	while (n--) {
		strcat(out, "/");
		strcat(out, segment[random_below(r, pattern ? 7 : 5)]);
	}
}

static const char *const hosts[] = {"", "a.t", "b.a.t", "x.a.t", "A.T.", "u", "c.b.a.t"};
static const char *const conditions[] = {
	"headers: X-A",
	"headers: {name: X-A, equal: \"1\"}",
	"headers: {name: X-A, is: absent}",
	"headers: [{name: X-A, prefix: \"1\"}, {name: X-B, is: absent}]",
	"query: {name: p, equal: \"1 2\"}",
	"query: {name: p, is: absent}",
	"query: p",
	"cookies: s",
	"cookies: {name: s, equal: \"1\"}",
	"cookies: {name: s, regex: \"^[12]$\"}",
	"headers: {name: X-A, regex: \"^1(2|3)?$\"}",
	"headers: [{name: X-B, regex: \"^$\"}, {name: X-A, regex: \"2\"}]",
	"query: {name: p, regex: \"^1 [0-9]+$\"}",
	"listeners: inside",
	"clients: 198.18.0.0/25",
	"clients: [198.18.0.128/25, \"fd00:c6:12::/48\"]",
	"accept: text/html",
	"accept: [text/plain, application/json]",
	"accept: text/html, language: en",
	"accept: application/json, language: [hi, en-GB]",
	"language: hi",
	"version: x/v1",
	"version: x/v2",
	"version: x/v2, accept: text/html",
};
static const char *const fields[][2] = {
	{"X-A", "1"},
	{"X-A", "12"},
	{"X-B", ""},
	{"Cookie", "a=1; s=1"},
	{"Cookie", "s=2"},
	{"Accept", "text/html;q=0.5, text/plain"},
	{"Accept", "application/json, */*;q=0.1"},
	{"Accept", "text/*;q=0.3, text/html;q=0"},
	{"Accept", "application/vnd.x.v2+json, text/html;q=0.4"},
	{"Accept-Language", "hi, en;q=0.5"},
	{"Accept-Language", "en-GB;q=0.5, *;q=0.2"},
	{"X-V", "v1"},
	{"X-V", "v2"},
};

// Sometimes every route is there for a second host, too, which then has the first one's trie.
static void random_config(struct random *r, char *text)
{
	static const char *const pattern_host[] = {"", "", "a.t", "b.a.t", "*.t", "*.a.t", "A.t"};
	static const char *const methods[] = {"GET", "[GET, POST]", "PUT", "[POST, DELETE]"};
	static const char *const twin[][2] = {{"a.t", "*.t"}, {"*.a.t", ""}, {"b.a.t", "*.t"}};
	const char *const *twins = random_below(r, 3) ? NULL : PICK(r, twin);
	uint32_t n = 4 + random_below(r, twins ? 10 : 24), named = 0;
	char path[128], match[256];
	size_t at;

	at = (size_t)snprintf(
		text, TEXT_ROOM,
		"%sapis:\n  - {name: x, header: X-V, media_type: \"application/vnd.x.{version}+json\", "
		"default: v1, versions: [v1, v2]}\nroutes:\n",
		preamble);
	for (uint32_t i = 0; i < n; i++) {
		const char *host = PICK(r, pattern_host);
		uint32_t kind = random_below(r, 8);
		size_t m;

		random_path(r, path, true);
		if (kind < 2)
			strcat(path, "/{rest...}");
		m = (size_t)snprintf(match, sizeof(match), "%s: \"%s\"", kind < 5 ? "path" : "prefix",
				     kind == 7 ? "/" : path);
		if (random_below(r, 3) == 0)
			m += (size_t)snprintf(match + m, sizeof(match) - m, ", methods: %s", PICK(r, methods));
		if (random_below(r, 5) < 2)
			m += (size_t)snprintf(match + m, sizeof(match) - m, ", %s", PICK(r, conditions));
		assert_true(m < sizeof(match));
		for (unsigned k = 0; k < (twins ? 2 : 1); k++) {
			const char *own = twins ? twins[k] : host;

			at += (size_t)snprintf(text + at, TEXT_ROOM - at, "  - {name: r%u, match: {%s", named++,
					       match);
			if (*own)
				at += (size_t)snprintf(text + at, TEXT_ROOM - at, ", host: \"%s\"", own);
			at += (size_t)snprintf(text + at, TEXT_ROOM - at, "}, respond: {status: 200}}\n");
		}
	}
}

static void random_ask(struct random *r, const struct world *w, struct ask *a, char *path)
{
	static const char *const queries[] = {"", "", "p=1+2", "p=1%202&q", "p", "q=1"};
	static const char *const clients[] = {"198.18.0.1", "198.18.0.200", "fd00:c6:12::7", "198.19.0.1"};
	static const enum http_method method[] = {METHOD_GET, METHOD_GET, METHOD_POST, METHOD_PUT,
						  METHOD_DELETE};
	const char *host = PICK(r, hosts), *query = PICK(r, queries), *client = PICK(r, clients);

	random_path(r, path, false);
	a->head.n = 0;
	a->q = (struct route_query){.host = slice_of(host, strlen(host)),
				    .path = slice_of(path, strlen(path)),
				    .query = slice_of(query, strlen(query)),
				    .method = PICK(r, method),
				    .listener = random_below(r, 2),
				    .head = &a->head,
				    .regexes = w->regexes,
				    .matcher = matcher(),
				    .off = w->off,
				    .n_off = w->n_off};
	addr_parse(client, strlen(client), &a->q.client);
	for (uint32_t n = random_below(r, 4); n; n--) {
		const char *const *f = PICK(r, fields);

		ask_field(a, slice_of(f[0], strlen(f[0])), slice_of(f[1], strlen(f[1])));
	}
}

static void random_pairs_that_overlap_are_matched_as_the_naive_matcher_says(void **state)
{
	static char text[TEXT_ROOM];
	const char *wanted = getenv("ROUTING_PAIRS");
	unsigned long pairs = wanted ? strtoul(wanted, NULL, 10) : 200000, done = 0, some = 0, several = 0;
	struct world w = {0};
	struct random r;
	struct ask a;

	(void)state;
	random_seed(&r, 20260731);
	while (done < pairs) {
		random_config(&r, text);
		world_build(&w, text);
		for (uint32_t n = random_below(&r, 3); n; n--) {
			char name[16];

			snprintf(name, sizeof(name), "r%u", random_below(&r, 24));
			world_disable(&w, name);
		}
		for (int i = 0; i < 400; i++, done++) {
			char path[128];
			struct naive n;

			random_ask(&r, &w, &a, path);
			n = compare(&w, &a, path);
			some += n.matching > 0;
			several += n.matching > 1;
		}
		world_end(&w);
	}
	free(w.region);
	printf("%lu pairs: %lu match something, %lu several\n", done, some, several);
	// Few configurations say little of the generator.
	assert_true(done < 100000 || (some * 2 >= done && several * 5 >= done));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_cases_holds),
		cmocka_unit_test(random_pairs_that_overlap_are_matched_as_the_naive_matcher_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
