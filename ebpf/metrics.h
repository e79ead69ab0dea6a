// The page of metrics, a pure function of what the instance shows at the time.
//
// Names follow OpenTelemetry where it has them, otherwise churchgate_<subsystem>_<noun>_<unit>_total. Labels
// are bounded: names of the configuration, workers, status classes, reasons.
#pragma once
#include "contract/region.h"
#include "contract/stats.h"
#include "ebpf/text.h"
#include <stdbool.h>

#define METRIC_NAME_MAX 96

struct metrics_source {
	struct region *region; // only read; NULL: no instance, and stats is not looked at
	const struct stats *stats;
	uint64_t now;             // CLOCK_MONOTONIC, ns
	bool bpf;                 // switches are counted
	const uint64_t *switches; // [workers]
	const double *busy_ratio; // [workers], since the last second; below 0: not known yet
	uint64_t scrapes, attachments;
};

void metrics_write(struct text *t, const struct metrics_source *m);

// The families of one concern each, in files of their own.
void metrics_workers(struct text *t, const struct metrics_source *m);
void metrics_ports(struct text *t, const struct metrics_source *m);
void metrics_counters(struct text *t, const struct metrics_source *m);
void metrics_routes(struct text *t, const struct metrics_source *m);
void metrics_upstreams(struct text *t, const struct metrics_source *m);
void metrics_limits(struct text *t, const struct metrics_source *m);
void metrics_endpoints(struct text *t, const struct metrics_source *m);

// The name under which a counter of counters.def is published, where it has one of its own (drops share one).
void metrics_counter_name(enum counter c, char name[static METRIC_NAME_MAX]);
// A slot's name, at most REGION_NAME - 1 bytes; false where the slot has none.
bool metrics_slot_name(const struct region_name *slot, char name[static REGION_NAME]);
