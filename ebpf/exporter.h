// What the exporter knows between two scrapes: the instance, the BPF program, and last second's busy shares.
#pragma once
#include "ebpf/instance.h"
#include "ebpf/sched.h"
#include "ebpf/text.h"

struct exporter {
	struct instance instance;
	struct sched *sched; // NULL: not available
	uint64_t seen;       // attachment to which the samples below belong
	bool reported;       // the present state of the instance has been said
	uint64_t busy_ns[SNAP_WORKERS_MAX], idle_ns[SNAP_WORKERS_MAX];
	double busy_ratio[SNAP_WORKERS_MAX];
	uint64_t scrapes;
};

void exporter_init(struct exporter *x, const char *dir, const char *host_bpf, struct sched *sched);
void exporter_fini(struct exporter *x);
void exporter_second(struct exporter *x); // to be called once each second
void exporter_metrics(void *exporter, struct text *t);
void exporter_health(void *exporter, struct text *t);
