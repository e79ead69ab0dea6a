#include "null.h"
#include "histogram.h"
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
// In open loop, as with a gateway (main.c, phase.c).
#define NULL_SETTLE    0.3   // seconds
#define NULL_REST      0.002 // seconds between rounds
#define NULL_REST_LONG 0.02  // and behind a disturbed one
#define NULL_MOST      4     // rounds played for each one asked for
#define NULL_QUIET     0.004 // share of a round for which others may have had a CPU

static void frames_send(const struct null_conf *conf, struct link *l, unsigned n)
{
	char *at;

	while (n-- > 0 && (at = link_frame(l, conf->bytes))) {
		memset(at, 0, conf->bytes);
		memcpy(at, l->frame, 34);
	}
}

// Ticks at its end; what came back is added to l->received.
static uint64_t circulate(const struct null_conf *conf, struct link *l, uint64_t now, double seconds)
{
	uint64_t end = now + (uint64_t)(seconds * conf->hz), last = now;

	for (; now < end; now = rte_rdtsc()) {
		unsigned n = rte_eth_rx_burst(l->port, 0, (struct rte_mbuf **)l->rx, LINK_BURST);

		if (n) {
			l->n_rx = n;
			l->received += n;
			link_release(l);
			last = now;
		} else if ((double)(now - last) > LOST * conf->hz) {
			n = conf->flight;
			last = now;
		}
		frames_send(conf, l, n);
		link_flush(l);
	}
	return now;
}

// In open loop: frames carry the time at which they were due.
struct open_loop {
	const struct null_conf *conf;
	struct link *l;
	struct schedule due;
	struct histogram *latency; // NULL: not now
	uint64_t stalled;          // ticks of turns of 1 ms and more
};

#define STAMP_AT 40
#define BATCH    128

static uint64_t open_turn(struct open_loop *o, uint64_t before)
{
	struct link *l = o->l;
	uint64_t now = rte_rdtsc(), stamp;
	unsigned n = rte_eth_rx_burst(l->port, 0, (struct rte_mbuf **)l->rx, LINK_BURST);
	char *at;

	if ((double)(now - before) > 1e-3 * o->conf->hz)
		o->stalled += now - before;
	for (unsigned i = 0; i < n && o->latency; i++) {
		memcpy(&stamp, pkt_data(l->rx[i]) + STAMP_AT, sizeof(stamp));
		histogram_add(o->latency, (uint64_t)((double)(now - stamp) * 1e9 / o->conf->hz));
	}
	l->n_rx = n;
	l->received += n;
	link_release(l);
	for (n = 0; n < BATCH && schedule_due(&o->due, now) && (at = link_frame(l, o->conf->bytes)); n++) {
		stamp = schedule_take(&o->due);
		memset(at, 0, o->conf->bytes);
		memcpy(at, l->frame, 34);
		memcpy(at + STAMP_AT, &stamp, sizeof(stamp));
	}
	link_flush(l);
	return now;
}

static uint64_t open_run(struct open_loop *o, uint64_t now, double seconds)
{
	for (uint64_t end = now + (uint64_t)(seconds * o->conf->hz); now < end;)
		now = open_turn(o, now);
	return now;
}

static uint64_t open_mark(struct open_loop *o, const struct watch *w, uint64_t now, struct watch_mark *m)
{
	for (bool first = true; !watch_mark(w, m, first); first = false)
		now = open_turn(o, now);
	m->stalled = (uint64_t)((double)o->stalled / o->conf->hz * 1e9);
	return now;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double middle(double *v, unsigned n)
{
	qsort(v, n, sizeof(v[0]), ascending);
	return n ? v[n / 2] : 0;
}

static int open_play(const struct null_conf *conf, struct link *l)
{
	static struct histogram round, all;
	static double p50[100], p99[100], p999[100];
	struct open_loop o = {.conf = conf, .l = l};
	struct watch_mark begin = {0}, end = {0};
	struct watch w;
	unsigned counted = 0, played = 0;
	uint64_t now, lost;
	char line[64];
	int tid, process, err;

	fprintf(stderr, "loadgen: ready\n");
	if (!fgets(line, sizeof(line), stdin) || sscanf(line, "watch %d %d", &tid, &process) != 2)
		return -EINVAL;
	err = watch_open(&w, tid, process, 0);
	if (err)
		return err;
	now = rte_rdtsc();
	schedule_start(&o.due, now, conf->hz, conf->rate);
	now = open_run(&o, now, NULL_SETTLE);
	now = open_mark(&o, &w, now, &begin);
	lost = l->lost;
	for (bool counts = true; counted < conf->runs && played < NULL_MOST * conf->runs; played++) {
		now = open_run(&o, now, counts ? NULL_REST : NULL_REST_LONG);
		memset(&round, 0, sizeof(round));
		o.latency = &round;
		now = open_run(&o, now, conf->seconds);
		o.latency = NULL;
		now = open_mark(&o, &w, now, &end);
		counts = watch_away(&begin, &end) <= NULL_QUIET;
		begin = end;
		if (!counts)
			continue;
		p50[counted] = (double)histogram_at(&round, 0.5) / 1e3;
		p99[counted] = (double)histogram_at(&round, 0.99) / 1e3;
		p999[counted++] = (double)histogram_at(&round, 0.999) / 1e3;
		histogram_merge(&all, &round);
	}
	watch_close(&w);
	printf("{\"null\": %u, \"rate\": %.0f, \"counted\": %u, \"played\": %u, \"lost\": %lu, \"p50_us\": %.1f"
	       ", \"p99_us\": %.1f, \"p999_us\": %.1f, \"p99_all_us\": %.1f}\n",
	       conf->bytes, conf->rate, counted, played, l->lost - lost, middle(p50, counted),
	       middle(p99, counted), middle(p999, counted), (double)histogram_at(&all, 0.99) / 1e3);
	fflush(stdout);
	return 0;
}

int null_play(const struct null_conf *conf, struct link *l)
{
	uint64_t now = rte_rdtsc(), begin = now, before;

	l->lossy = true;
	memset(l->frame, 2, 6); // to whom does not matter
	while (!l->received) {
		now = circulate(conf, l, now, 0.01);
		if ((double)(now - begin) > PATIENCE * conf->hz)
			return -ENODEV;
	}
	if (conf->rate > 0)
		return open_play(conf, l);
	now = circulate(conf, l, now, 1);
	printf("{\"null\": %u, \"runs\": [", conf->bytes);
	for (unsigned i = 0; i < conf->runs; i++) {
		before = l->received;
		begin = now;
		now = circulate(conf, l, now, conf->seconds);
		printf("%s%.0f", i ? ", " : "",
		       (double)(l->received - before) / ((double)(now - begin) / conf->hz));
	}
	printf("]}\n");
	fflush(stdout);
	return 0;
}
