// What a match costs: perf/micro/route [ROUTES] [HOSTS]. One thread; tables as control builds them; requests
// drawn at random before the clock runs, each with its own copy of host and path, as a request's buffer has
// them. Matched alone (each by route_find) and in bursts of 32 (route_find_burst); the clock runs over 32
// requests whose bytes have just been read, as a parser has, and the median of all such runs is shown. Without
// arguments: 10 routes over one host beside 10 000 over 1 000.
#include "route/route.h"
#include "base/random.h"
#include "control/routetable.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REQUESTS (1u << 16)

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

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double median(uint64_t *took, uint32_t n)
{
	qsort(took, n, sizeof(*took), by_time);
	return (double)took[n / 2] / ROUTE_BURST;
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
	static uint64_t alone[REQUESTS / ROUTE_BURST], burst[REQUESTS / ROUTE_BURST];
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
		begun = clock_ns();
		for (uint32_t k = 0; k < ROUTE_BURST; k++)
			found += route_find(s, &q[i + k], &m[0]) == ROUTE_FOUND;
		alone[i / ROUTE_BURST] = clock_ns() - begun;
	}
	for (uint32_t i = 0; i < REQUESTS; i += ROUTE_BURST) {
		sum += bytes_read(&q[i]);
		for (uint32_t k = 0; k < ROUTE_BURST; k++) {
			qs[k] = &q[i + k];
			ms[k] = &m[k];
		}
		begun = clock_ns();
		route_find_burst(s, qs, ms, result, ROUTE_BURST);
		burst[i / ROUTE_BURST] = clock_ns() - begun;
		for (uint32_t k = 0; k < ROUTE_BURST; k++)
			found += result[k] == ROUTE_FOUND;
	}
	printf("%6u routes over %4u hosts, %5zu KiB: alone %5.1f ns, in a burst of %d %5.1f ns%s\n", routes,
	       hosts, b.n / 1024, median(alone, REQUESTS / ROUTE_BURST), ROUTE_BURST,
	       median(burst, REQUESTS / ROUTE_BURST),
	       found == 2ull * REQUESTS && sum ? "" : " (NOT ALL FOUND)");
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
