#include "null.h"
#include "histogram.h"
#include "phase.h"
#include "schedule.h"
#include "watch.h"
#include <errno.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE 20.0 // seconds until the first frame comes back
#define LOST     2e-3 // seconds without any: those under way were lost
// Rounds, as with a gateway (main.c, phase.c).
#define SETTLE      0.3   // seconds
#define REST        0.002 // seconds between rounds
#define REST_LONG   0.02  // and behind a disturbed one
#define MOST        4     // rounds played for each one asked for
#define STALL       1e-3  // seconds of a turn
#define MOVE        20000 // us
#define MOVE_MOST   1e6   // us
#define CLEAR_LEAST 5

#define STAMP_AT 40 // in a frame: when it was due
#define BATCH    128

struct null {
	const struct null_conf *conf;
	struct link *l;
	struct watch watch;
	struct schedule due;
	uint64_t last;             // when something came back
	uint64_t stalled;          // ticks of long turns
	struct histogram *latency; // NULL: not now
	double moving;             // us
};

struct round {
	double pps, p50, p99, p999;
};

static char *frame(const struct null *g)
{
	char *at = link_frame(g->l, g->conf->bytes);

	if (at) {
		memset(at, 0, g->conf->bytes);
		memcpy(at, g->l->frame, 34);
	}
	return at;
}

static void frames_due(struct null *g, uint64_t now)
{
	char *at;

	for (unsigned n = 0; n < BATCH && schedule_due(&g->due, now) && (at = frame(g)); n++) {
		uint64_t stamp = schedule_take(&g->due);

		memcpy(at + STAMP_AT, &stamp, sizeof(stamp));
	}
}

static uint64_t turn(struct null *g, uint64_t before)
{
	struct link *l = g->l;
	uint64_t now = rte_rdtsc(), stamp;
	unsigned n = rte_eth_rx_burst(l->port, 0, (struct rte_mbuf **)l->rx, LINK_BURST);

	if ((double)(now - before) > STALL * g->conf->hz)
		g->stalled += now - before;
	for (unsigned i = 0; i < n && g->latency && g->conf->rate > 0; i++) {
		memcpy(&stamp, pkt_data(l->rx[i]) + STAMP_AT, sizeof(stamp));
		histogram_add(g->latency, (uint64_t)((double)(now - stamp) * 1e9 / g->conf->hz));
	}
	l->n_rx = n;
	l->received += n;
	link_release(l);
	if (n)
		g->last = now;
	if (g->conf->rate > 0) {
		frames_due(g, now);
	} else {
		if ((double)(now - g->last) > LOST * g->conf->hz) {
			n = g->conf->flight;
			g->last = now;
		}
		while (n-- > 0 && frame(g))
			;
	}
	link_flush(l);
	return now;
}

static uint64_t run_for(struct null *g, uint64_t now, double seconds)
{
	for (uint64_t end = now + (uint64_t)(seconds * g->conf->hz); now < end;)
		now = turn(g, now);
	return now;
}

static uint64_t mark(struct null *g, uint64_t now, struct watch_mark *m)
{
	for (bool first = true; !watch_mark(&g->watch, m, first); first = false)
		now = turn(g, now);
	m->stalled = (uint64_t)((double)g->stalled / g->conf->hz * 1e9);
	return now;
}

// As in main.c; what was due meanwhile is no part of it.
static uint64_t place(struct null *g, uint64_t now, struct watch_mark *m)
{
	for (; !watch_clear(m) && g->moving < MOVE_MOST; g->moving += MOVE) {
		watch_again(&g->watch, MOVE);
		now = rte_rdtsc();
		schedule_start(&g->due, now, g->conf->hz, g->conf->rate);
		now = mark(g, run_for(g, now, REST), m);
	}
	return now;
}

static uint64_t round_play(struct null *g, uint64_t now, struct histogram *latency, struct round *r)
{
	uint64_t received = g->l->received, begin = now;

	memset(latency, 0, sizeof(*latency));
	g->latency = latency;
	now = run_for(g, now, g->conf->seconds);
	g->latency = NULL;
	*r = (struct round){.pps = (double)(g->l->received - received) / ((double)(now - begin) / g->conf->hz),
			    .p50 = (double)histogram_at(latency, 0.5) / 1e3,
			    .p99 = (double)histogram_at(latency, 0.99) / 1e3,
			    .p999 = (double)histogram_at(latency, 0.999) / 1e3};
	return now;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *of, unsigned n)
{
	double v[PHASE_RUNS_MAX];

	for (unsigned i = 0; i < n; i++)
		v[i] = of[i * (sizeof(struct round) / sizeof(double))];
	qsort(v, n, sizeof(v[0]), ascending);
	return n ? v[n / 2] : 0;
}

static void rounds_play(struct null *g)
{
	static struct rounds {
		struct round round[PHASE_RUNS_MAX];
		struct histogram latency;
		unsigned n;
	} rounds[ROUND_CLEAR + 1]; // by enum round_kind
	static struct histogram latency;
	struct watch_mark begin = {0}, end = {0};
	const struct null_conf *conf = g->conf;
	const struct rounds *r = &rounds[ROUND_CLEAR];
	uint64_t now = rte_rdtsc(), lost;
	unsigned played = 0;

	schedule_start(&g->due, now, conf->hz, conf->rate);
	now = mark(g, run_for(g, now, SETTLE), &begin);
	lost = g->l->lost;
	for (enum round_kind kind = ROUND_CLEAR; r->n < conf->runs && played < MOST * conf->runs; played++) {
		struct rounds *to;
		struct round round;

		now = run_for(g, place(g, now, &begin), kind != ROUND_DISTURBED ? REST : REST_LONG);
		now = mark(g, round_play(g, now, &latency, &round), &end);
		kind = watch_round(&begin, &end, PHASE_QUIET_OPEN);
		begin = end;
		to = &rounds[kind];
		if (kind == ROUND_DISTURBED || to->n == PHASE_RUNS_MAX)
			continue;
		to->round[to->n++] = round;
		histogram_merge(&to->latency, &latency);
	}
	if (r->n < CLEAR_LEAST && r->n < rounds[ROUND_HAMPERED].n)
		r = &rounds[ROUND_HAMPERED];
	printf("{\"null\": %u, \"rate\": %.0f, \"counted\": %u, \"played\": %u, \"clear\": %s, \"lost\": %lu"
	       ", \"pps\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"p99_all_us\": "
	       "%.1f}\n",
	       conf->bytes, conf->rate, r->n, played, r == &rounds[ROUND_CLEAR] ? "true" : "false",
	       g->l->lost - lost, median(&r->round->pps, r->n), median(&r->round->p50, r->n),
	       median(&r->round->p99, r->n), median(&r->round->p999, r->n),
	       (double)histogram_at(&r->latency, 0.99) / 1e3);
	fflush(stdout);
}

static int watch_read(struct null *g)
{
	char line[128];
	int tid, process;
	unsigned cpu;

	fprintf(stderr, "loadgen: ready\n");
	if (!fgets(line, sizeof(line), stdin) || sscanf(line, "watch %d %d %u", &tid, &process, &cpu) != 3)
		return -EINVAL;
	return watch_open(&g->watch, tid, process, 0, cpu);
}

int null_play(const struct null_conf *conf, struct link *l)
{
	static struct null g;
	struct null_conf first = *conf;
	uint64_t now = rte_rdtsc(), begin = now;
	int err;

	g = (struct null){.conf = &first, .l = l};
	first.rate = 0;
	l->lossy = true;
	memset(l->frame, 2, 6); // to whom does not matter
	while (!l->received) {
		now = run_for(&g, now, 0.01);
		if ((double)(now - begin) > PATIENCE * conf->hz)
			return -ENODEV;
	}
	g.conf = conf;
	err = watch_read(&g);
	if (err)
		return err;
	rounds_play(&g);
	watch_close(&g.watch);
	return 0;
}
