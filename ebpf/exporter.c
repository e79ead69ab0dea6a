#include "ebpf/exporter.h"
#include "ebpf/metrics.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

void exporter_init(struct exporter *x, const char *dir, const char *host_bpf, struct sched *sched)
{
	*x = (struct exporter){.sched = sched};
	instance_init(&x->instance, dir, host_bpf);
}

void exporter_fini(struct exporter *x)
{
	instance_detach(&x->instance);
	sched_close(x->sched);
	x->sched = NULL;
}

static void follow_threads(struct exporter *x)
{
	uint32_t tid[SNAP_WORKERS_MAX] = {0};
	unsigned workers = x->instance.attached ? x->instance.stats.workers : 0;

	if (!x->sched)
		return;
	for (unsigned w = 0; w < workers; w++)
		tid[w] = (uint32_t)stat_get(&x->instance.stats.worker[w].tid);
	sched_follow(x->sched, tid, workers);
}

// Looks for the instance, and says once what has become of it.
static bool exporter_refresh(struct exporter *x)
{
	bool before = x->instance.attached;
	bool now = instance_refresh(&x->instance);

	if (now && x->seen != x->instance.attachments) {
		x->seen = x->instance.attachments;
		for (unsigned w = 0; w < SNAP_WORKERS_MAX; w++) {
			x->busy_ns[w] = UINT64_MAX;
			x->busy_ratio[w] = -1;
		}
		fprintf(stderr, "churchgate-exporter: reads %s, %u workers\n", x->instance.dir,
			x->instance.stats.workers);
		x->reported = false;
	} else if (!now && (before || !x->reported)) {
		fprintf(stderr, "churchgate-exporter: no instance: %s\n", x->instance.why);
		x->reported = true;
	}
	follow_threads(x);
	return now;
}

void exporter_second(struct exporter *x)
{
	if (!exporter_refresh(x))
		return;
	for (unsigned w = 0; w < x->instance.stats.workers; w++) {
		uint64_t busy = stat_get(&x->instance.stats.worker[w].busy_ns);
		uint64_t idle = stat_get(&x->instance.stats.worker[w].idle_ns);
		uint64_t db = busy - x->busy_ns[w], di = idle - x->idle_ns[w];
		bool known = x->busy_ns[w] != UINT64_MAX && busy >= x->busy_ns[w] && idle >= x->idle_ns[w];

		x->busy_ratio[w] = known && db + di ? (double)db / (double)(db + di) : -1;
		x->busy_ns[w] = busy;
		x->idle_ns[w] = idle;
	}
}

static uint64_t clock_monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void exporter_metrics(void *exporter, struct text *t)
{
	struct exporter *x = exporter;
	uint64_t switches[SNAP_WORKERS_MAX] = {0};
	struct metrics_source m = {.bpf = x->sched != NULL, .switches = switches, .busy_ratio = x->busy_ratio};

	if (exporter_refresh(x)) {
		m.region = x->instance.region;
		m.stats = &x->instance.stats;
	}
	for (unsigned w = 0; x->sched && w < SNAP_WORKERS_MAX; w++)
		switches[w] = sched_switches(x->sched, w);
	m.scrapes = ++x->scrapes;
	m.attachments = x->instance.attachments;
	m.now = clock_monotonic();
	metrics_write(t, &m);
}

void exporter_health(void *exporter, struct text *t)
{
	struct exporter *x = exporter;

	text_addf(t, "{\"status\":\"ok\",\"instance\":%s,\"bpf\":%s}\n", exporter_refresh(x) ? "true" : "false",
		  x->sched ? "true" : "false");
}
