// Route tables and the walk. Each line of the input is a pattern, "host path" or "host path*" (a prefix); the
// last line is the request. Holds: what is refused is refused by check and build alike; a match names a route
// that is there, and captures lie in the path.
#include "control/routetable.h"
#include "fuzz_head.h"
#include "route/route.h"

#define ROUTES 64

struct line {
	struct slice host, path;
};

static struct line line_take(const char **p, const char *end)
{
	const char *from = *p, *nl = memchr(from, '\n', (size_t)(end - from)), *stop = nl ? nl : end;
	const char *space = memchr(from, ' ', (size_t)(stop - from));

	*p = nl ? nl + 1 : end;
	if (!space)
		return (struct line){slice_of(from, 0), slice_of(from, (size_t)(stop - from))};
	return (struct line){slice_of(from, (size_t)(space - from)),
			     slice_of(space + 1, (size_t)(stop - space) - 1)};
}

// A burst finds what a request alone finds.
static void burst_agrees(const struct snapshot *s, const struct route_query *q, enum route_result alone,
			 const struct route_match *m)
{
	const struct route_query *qs[2] = {q, q};
	struct route_match in[2], *ms[2] = {&in[0], &in[1]};
	enum route_result r[2];

	route_find_burst(s, qs, ms, r, 2);
	for (unsigned i = 0; i < 2; i++)
		CHECK(r[i] == alone && in[i].index == m->index && in[i].n_params == m->n_params);
}

static void find(const struct blob *b, struct line request, uint32_t n)
{
	const struct snapshot *s = (const struct snapshot *)(const void *)b->p;
	struct route_match m;

	for (enum http_method method = METHOD_GET; method <= METHOD_POST; method++) {
		struct route_query q = {.host = request.host, .path = request.path, .method = method};
		enum route_result r = route_find(s, &q, &m);

		CHECK((r == ROUTE_FOUND) == (m.route != NULL));
		CHECK(r != ROUTE_FOUND || m.index < n);
		CHECK(r != ROUTE_NO_METHOD || m.allow);
		for (uint32_t i = 0; i < m.n_params; i++)
			CHECK(inside(request.path.p, request.path.n, m.param[i]) && m.param[i].n > 0);
		burst_agrees(s, &q, r, &m);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data, *end = p + n;
	struct route_pattern pattern[ROUTES];
	struct snap_route routes[ROUTES] = {0};
	struct snapshot header = {0};
	struct blob b = {0};
	struct line l = {{p, 0}, {p, 0}};
	uint32_t count = 0;

	while (p < end) {
		bool prefix;

		l = line_take(&p, end);
		if (p == end || count == ROUTES)
			break;
		prefix = l.path.n && l.path.p[l.path.n - 1] == '*';
		pattern[count] = (struct route_pattern){.host = l.host,
							.path = slice_of(l.path.p, l.path.n - prefix),
							.prefix = prefix,
							.methods = count % 3}; // any, GET, HEAD
		if (routetable_check(&pattern[count])) {
			CHECK(!routetable_build(&b, &pattern[count], 1, &header));
			continue;
		}
		routes[count].methods = count % 3;
		count++;
	}
	blob_add(&b, NULL, 1, sizeof(struct snapshot));
	header.routes = blob_add(&b, routes, count, sizeof(routes[0]));
	CHECK(routetable_build(&b, pattern, count, &header));
	memcpy(b.p, &header, sizeof(header));
	find(&b, l, count);
	blob_free(&b);
	return 0;
}
