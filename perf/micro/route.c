// What a match costs: perf/micro/route [ROUTES] [HOSTS]. One thread; tables as control builds them; requests
// drawn at random before the clock runs, each with its own copy of host and path, as a request's buffer has
// them. Matched alone (each by route_find) and in bursts of 32 (route_find_burst); the clock runs over 32
// requests whose bytes have just been read, as a parser has, and the median of all such runs is shown. Without
// arguments: 10 routes over one host beside 10 000 over 1 000.
#include "route/route.h"
#include "base/random.h"
#include "control/routetable.h"
#include "perf/micro/cycles.h"
#include <stdio.h>
#include <stdlib.h>

#define REQUESTS (1u << 16)

struct request {
	char host[32], path[64];
};

static const struct snapshot *tables(struct blob *b, uint32_t routes, uint32_t hosts)
{
	static const char *const shape[] = {"/v2/orders-%u/{id}", "/v2/users-%u/{id}/cart", "/static/%u",
					    "/v1/search-%u", "/api/items-%u/{item}/parts/{part}"};
	struct route_pattern *p = calloc(routes, sizeof(*p));
	struct snap_route *r = calloc(routes, sizeof(*r));
	struct request *text = calloc(routes, sizeof(*text));
	struct snapshot head = {0};

	for (uint32_t i = 0; i < routes; i++) {
		snprintf(text[i].host, sizeof(text[i].host), "service-%u.example.com", i % hosts);
		snprintf(text[i].path, sizeof(text[i].path), shape[i % 5], i / hosts);
		p[i] = (struct route_pattern){.host = slice_of(text[i].host, strlen(text[i].host)),
					      .path = slice_of(text[i].path, strlen(text[i].path)),
					      .prefix = i % 5 == 2};
	}
	blob_add(b, NULL, 1, sizeof(head));
	head.routes = blob_add(b, r, routes, sizeof(*r));
	if (!routetable_build(b, p, routes, &head))
		exit(1);
	memcpy(b->p, &head, sizeof(head));
	free(p);
	free(r);
	free(text);
	return (const struct snapshot *)(const void *)b->p;
}

static void requests(struct request *v, struct route_query *q, struct random *rnd, uint32_t routes,
		     uint32_t hosts)
{
	static const char *const shape[] = {"/v2/orders-%u/77812", "/v2/users-%u/4711/cart",
					    "/static/%u/app.js", "/v1/search-%u",
					    "/api/items-%u/9001/parts/12"};

	for (uint32_t i = 0; i < REQUESTS; i++) {
		uint32_t k = random_below(rnd, routes);

		snprintf(v[i].host, sizeof(v[i].host), "service-%u.example.com", k % hosts);
		snprintf(v[i].path, sizeof(v[i].path), shape[k % 5], k / hosts);
		q[i] = (struct route_query){.host = slice_of(v[i].host, strlen(v[i].host)),
					    .path = slice_of(v[i].path, strlen(v[i].path))};
	}
}

// As if a parser had just been there.
static uint64_t bytes_read(const struct route_query *q)
{
	uint64_t sum = 0;

	for (uint32_t k = 0; k < ROUTE_BURST; k++) {
		for (size_t i = 0; i < q[k].host.n; i++)
			sum += (uint8_t)q[k].host.p[i];
		for (size_t i = 0; i < q[k].path.n; i++)
			sum += (uint8_t)q[k].path.p[i];
	}
	return sum;
}

static void row(uint32_t routes, uint32_t hosts)
{
	struct request *v = calloc(REQUESTS, sizeof(*v));
	struct route_query *q = calloc(REQUESTS, sizeof(*q));
	static struct route_match m[ROUTE_BURST];
	struct cycles alone = cycles_start(REQUESTS / ROUTE_BURST),
		      burst = cycles_start(REQUESTS / ROUTE_BURST);
	double by_itself, in_burst;
	const struct route_query *qs[ROUTE_BURST];
	struct route_match *ms[ROUTE_BURST];
	enum route_result result[ROUTE_BURST];
	uint64_t found = 0, sum = 0, begun;
	struct random rnd;
	struct blob b = {0};
	const struct snapshot *s = tables(&b, routes, hosts);

	random_seed(&rnd, 1);
	requests(v, q, &rnd, routes, hosts);
	for (uint32_t i = 0; i < REQUESTS; i += ROUTE_BURST) {
		sum += bytes_read(&q[i]);
		begun = __rdtsc();
		for (uint32_t k = 0; k < ROUTE_BURST; k++)
			found += route_find(s, &q[i + k], &m[0]) == ROUTE_FOUND;
		cycles_add(&alone, __rdtsc() - begun);
	}
	for (uint32_t i = 0; i < REQUESTS; i += ROUTE_BURST) {
		sum += bytes_read(&q[i]);
		for (uint32_t k = 0; k < ROUTE_BURST; k++) {
			qs[k] = &q[i + k];
			ms[k] = &m[k];
		}
		begun = __rdtsc();
		route_find_burst(s, qs, ms, result, ROUTE_BURST);
		cycles_add(&burst, __rdtsc() - begun);
		for (uint32_t k = 0; k < ROUTE_BURST; k++)
			found += result[k] == ROUTE_FOUND;
	}
	by_itself = cycles_median(&alone, ROUTE_BURST);
	in_burst = cycles_median(&burst, ROUTE_BURST);
	printf("route     %8u routes over %u hosts, %zu KiB: %4.0f cycles in a burst of %d (%.1f ns), alone "
	       "%4.0f "
	       "(%.1f ns)%s\n",
	       routes, hosts, b.n / 1024, in_burst, ROUTE_BURST, cycles_ns(in_burst), by_itself,
	       cycles_ns(by_itself), found == 2ull * REQUESTS && sum ? "" : " (NOT ALL FOUND)");
	blob_free(&b);
	free(v);
	free(q);
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		row((uint32_t)atoi(argv[1]), (uint32_t)atoi(argv[2]));
		return 0;
	}
	row(10, 1);
	row(10000, 1000);
	return 0;
}
