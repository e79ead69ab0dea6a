// Routes (our server side) and upstreams (our client side): cells summed over the workers.
#include "base/hash.h"
#include "ebpf/metrics.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MAX (sizeof(struct upstream_stats) / sizeof(uint64_t))
_Static_assert(sizeof(struct route_stats) <= sizeof(struct upstream_stats), "a row takes either");
#define CELL(type, member) (offsetof(struct type, member) / sizeof(uint64_t))

struct row {
	uint64_t hash; // of the name
	char name[REGION_NAME];
	uint64_t cell[CELLS_MAX]; // laid out as the struct of the array
};

struct rows {
	unsigned n;
	struct row *v;
};

static const char *const class_name[STATUS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

// Two long names may be cut to the same text, and a route may be called as slot 0 is: they share a row,
// because no series may appear twice.
static struct row *row_of(struct rows *rows, const char *name)
{
	uint64_t hash = hash64(name, strlen(name));
	struct row *r;

	for (unsigned i = 0; i < rows->n; i++)
		if (rows->v[i].hash == hash && strcmp(rows->v[i].name, name) == 0)
			return &rows->v[i];
	r = &rows->v[rows->n++];
	r->hash = hash;
	memcpy(r->name, name, REGION_NAME);
	return r;
}

static bool rows_read(struct rows *rows, const struct region_name *names, unsigned slots, const void *array,
		      size_t entry, unsigned workers)
{
	*rows = (struct rows){.v = calloc(slots, sizeof(struct row))};
	if (!rows->v)
		return false;
	for (unsigned s = 0; s < slots; s++) {
		char name[REGION_NAME];
		struct row *r;

		if (!metrics_slot_name(&names[s], name))
			continue;
		r = row_of(rows, name);
		for (unsigned w = 0; w < workers; w++) {
			const stat_cell *c =
				(const stat_cell *)((const char *)array + entry * ((size_t)w * slots + s));

			for (size_t i = 0; i < entry / sizeof(uint64_t); i++)
				r->cell[i] += stat_get(&c[i]);
		}
	}
	return true;
}

// What the workers count elsewhere of the same routes.
static void at_once_add(struct rows *rows, const struct region_name *names, const struct stats *stats)
{
	for (unsigned s = 0; s < STATS_ROUTES; s++) {
		char name[REGION_NAME];
		struct row *r;

		if (!metrics_slot_name(&names[s], name))
			continue;
		r = row_of(rows, name);
		for (unsigned w = 0; w < stats->workers; w++)
			for (unsigned c = 0; c < STATUS_CLASSES; c++) {
				uint64_t n = stat_get(&stats->worker[w].at_once[c][s]);

				r->cell[CELL(route_stats, requests) + c] += n;
				r->cell[CELL(route_stats, duration)] += n;
			}
	}
}

// The cells are read one after the other, while they move: a difference may seem to be below zero.
static uint64_t difference(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) > 0 ? a - b : 0;
}

static void classes(struct text *t, const struct rows *rows, const char *label, size_t cell, const char *name,
		    const char *help)
{
	text_family(t, name, "counter", help);
	for (unsigned i = 0; i < rows->n; i++)
		for (unsigned c = 0; c < STATUS_CLASSES; c++) {
			const struct label l[] = {{label, rows->v[i].name}, {"class", class_name[c]}};

			text_sample(t, name, l, 2, rows->v[i].cell[cell + c]);
		}
}

static void durations(struct text *t, const struct rows *rows, const char *label, size_t sum, size_t buckets,
		      const char *name, const char *help)
{
	text_family(t, name, "histogram", help);
	for (unsigned i = 0; i < rows->n; i++) {
		const struct label l = {label, rows->v[i].name};

		text_histogram(t, name, &l, 1, &rows->v[i].cell[buckets], rows->v[i].cell[sum]);
	}
}

void metrics_routes(struct text *t, const struct metrics_source *m)
{
	struct rows rows;

	if (!rows_read(&rows, region_routes(m->region), STATS_ROUTES, m->stats->route,
		       sizeof(struct route_stats), m->stats->workers)) {
		t->failed = true;
		return;
	}
	at_once_add(&rows, region_routes(m->region), m->stats);
	durations(t, &rows, "route", CELL(route_stats, duration_sum_ns), CELL(route_stats, duration),
		  "http_server_request_duration_seconds",
		  "From the first byte of the request head to the last byte of the answer, by route.");
	classes(t, &rows, "route", CELL(route_stats, requests), "churchgate_http_requests_total",
		"Requests finished, by route and class of the answer's status; none: the client went before "
		"it.");
	text_family(t, "http_server_active_requests", "gauge", "Requests in flight, by route.");
	for (unsigned i = 0; i < rows.n; i++) {
		const uint64_t *c = rows.v[i].cell;
		const struct label l = {"route", rows.v[i].name};

		text_sample(t, "http_server_active_requests", &l, 1,
			    difference(c[CELL(route_stats, started)], c[CELL(route_stats, finished)]));
	}
	free(rows.v);
}

static const struct {
	const char *name, *type, *help;
	size_t cell;
} upstream_family[] = {
	{"http_client_attempts_total", "counter", "Attempts of requests, by upstream.",
	 CELL(upstream_stats, attempts)},
	{"http_client_connects_total", "counter", "Connections opened, by upstream.",
	 CELL(upstream_stats, connects)},
	{"http_client_connect_failures_total", "counter", "Connections that could not be opened, by upstream.",
	 CELL(upstream_stats, connect_failures)},
	{"http_client_timeouts_total", "counter", "Attempts that ran out of time, by upstream.",
	 CELL(upstream_stats, timeouts)},
	{"http_client_resets_total", "counter", "Attempts whose connection was lost, by upstream.",
	 CELL(upstream_stats, resets)},
	{"http_client_retries_total", "counter", "Attempts after the first one of a request, by upstream.",
	 CELL(upstream_stats, retries)},
	{"http_client_pending_overflow_total", "counter",
	 "Requests refused because too many waited for a connection, by upstream.",
	 CELL(upstream_stats, pending_overflow)},
	{"http_client_active_requests", "gauge", "Attempts in flight, by upstream.",
	 CELL(upstream_stats, active)},
	{"http_client_pending_requests", "gauge", "Requests that wait for a connection, by upstream.",
	 CELL(upstream_stats, pending)},
};

void metrics_upstreams(struct text *t, const struct metrics_source *m)
{
	static const char connections[] = "http_client_open_connections";
	struct rows rows;

	if (!rows_read(&rows, region_upstreams(m->region), STATS_UPSTREAMS, m->stats->upstream,
		       sizeof(struct upstream_stats), m->stats->workers)) {
		t->failed = true;
		return;
	}
	durations(t, &rows, "upstream", CELL(upstream_stats, duration_sum_ns), CELL(upstream_stats, duration),
		  "http_client_request_duration_seconds",
		  "From the start of an attempt to the end of its response, by upstream.");
	classes(t, &rows, "upstream", CELL(upstream_stats, responses), "http_client_responses_total",
		"Attempts finished, by upstream and class of its status; none: it failed without an answer.");
	for (size_t f = 0; f < sizeof(upstream_family) / sizeof(upstream_family[0]); f++) {
		text_family(t, upstream_family[f].name, upstream_family[f].type, upstream_family[f].help);
		for (unsigned i = 0; i < rows.n; i++) {
			const struct label l = {"upstream", rows.v[i].name};

			text_sample(t, upstream_family[f].name, &l, 1,
				    difference(rows.v[i].cell[upstream_family[f].cell], 0));
		}
	}
	text_family(t, connections, "gauge", "Connections open, by upstream and state (active, idle).");
	for (unsigned i = 0; i < rows.n; i++) {
		const uint64_t *c = rows.v[i].cell;
		uint64_t idle = difference(c[CELL(upstream_stats, idle)], 0);
		const struct label a[] = {{"upstream", rows.v[i].name}, {"state", "active"}};
		const struct label b[] = {{"upstream", rows.v[i].name}, {"state", "idle"}};

		text_sample(t, connections, a, 2, difference(c[CELL(upstream_stats, connections)], idle));
		text_sample(t, connections, b, 2, idle);
	}
	free(rows.v);
}
