// What a match costs: perf/micro/route [ROUTES] [HOSTS]. One thread; tables as control builds them; requests drawn
// at random before the clock runs, each with its own copy of host and path, as a request's buffer has them.
// Matched alone (each by route_find) and in bursts of 32 (route_find_burst). Without arguments: 10 routes over one
// host beside 10 000 over 1 000.
#include "base/random.h"
#include "control/routetable.h"
#include "route/route.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REQUESTS (1u << 16)
#define ROUNDS   16

struct request {
	char host[32], path[64];
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

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

static void requests(struct request *v, struct route_query *q, struct random *rnd, uint32_t routes, uint32_t hosts)
{
	static const char *const shape[] = {"/v2/orders-%u/77812", "/v2/users-%u/4711/cart", "/static/%u/app.js",
					    "/v1/search-%u", "/api/items-%u/9001/parts/12"};

	for (uint32_t i = 0; i < REQUESTS; i++) {
		uint32_t k = random_below(rnd, routes);

		snprintf(v[i].host, sizeof(v[i].host), "service-%u.example.com", k % hosts);
		snprintf(v[i].path, sizeof(v[i].path), shape[k % 5], k / hosts);
		q[i] = (struct route_query){.host = slice_of(v[i].host, strlen(v[i].host)),
					    .path = slice_of(v[i].path, strlen(v[i].path))};
	}
}

static void row(uint32_t routes, uint32_t hosts)
{
	struct request *v = calloc(REQUESTS, sizeof(*v));
	struct route_query *q = calloc(REQUESTS, sizeof(*q));
	static struct route_match m[ROUTE_BURST];
	const struct route_query *qs[ROUTE_BURST];
	struct route_match *ms[ROUTE_BURST];
	enum route_result result[ROUTE_BURST];
	uint64_t begun, alone = UINT64_MAX, burst = UINT64_MAX, took, found = 0;
	struct random rnd;
	struct blob b = {0};
	const struct snapshot *s = tables(&b, routes, hosts);

	random_seed(&rnd, 1);
	requests(v, q, &rnd, routes, hosts);
	for (unsigned round = 0; round < ROUNDS; round++) {
		begun = clock_ns();
		for (uint32_t i = 0; i < REQUESTS; i++)
			found += route_find(s, &q[i], &m[0]) == ROUTE_FOUND;
		took = clock_ns() - begun;
		alone = took < alone ? took : alone;
		begun = clock_ns();
		for (uint32_t i = 0; i < REQUESTS; i += ROUTE_BURST) {
			for (uint32_t k = 0; k < ROUTE_BURST; k++) {
				qs[k] = &q[i + k];
				ms[k] = &m[k];
			}
			route_find_burst(s, qs, ms, result, ROUTE_BURST);
			for (uint32_t k = 0; k < ROUTE_BURST; k++)
				found += result[k] == ROUTE_FOUND;
		}
		took = clock_ns() - begun;
		burst = took < burst ? took : burst;
	}
	printf("%6u routes over %4u hosts, %5zu KiB: alone %5.1f ns, in a burst of %d %5.1f ns%s\n", routes, hosts,
	       b.n / 1024, (double)alone / REQUESTS, ROUTE_BURST, (double)burst / REQUESTS,
	       found == 2ull * ROUNDS * REQUESTS ? "" : " (NOT ALL FOUND)");
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
