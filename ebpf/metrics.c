#include "ebpf/metrics.h"
#include <string.h>

bool metrics_slot_name(const struct region_name *slot, char name[static REGION_NAME])
{
	// The key appears after the text (see region_name_slot).
	if (__atomic_load_n(&slot->key, __ATOMIC_ACQUIRE) == 0)
		return false;
	memcpy(name, slot->text, REGION_NAME);
	name[REGION_NAME - 1] = '\0';
	return name[0] != '\0';
}

static void one(struct text *t, const char *name, const char *type, const char *help, uint64_t value)
{
	text_family(t, name, type, help);
	text_sample(t, name, NULL, 0, value);
}

void metrics_write(struct text *t, const struct metrics_source *m)
{
	one(t, "churchgate_up", "gauge", "1 while the statistics of an instance can be read.",
	    m->region != NULL);
	one(t, "churchgate_bpf_available", "gauge", "1 while BPF programs of the exporter run.", m->bpf);
	one(t, "churchgate_exporter_scrapes_total", "counter", "Pages of metrics written.", m->scrapes);
	one(t, "churchgate_exporter_attachments_total", "counter", "Instances attached to.", m->attachments);
	if (!m->region)
		return;
	one(t, "churchgate_workers", "gauge", "Workers of the data plane.", m->stats->workers);
	one(t, "churchgate_control_starts_total", "counter", "Starts of the control process in this instance.",
	    atomic_load_explicit(&m->region->control_epoch, memory_order_relaxed));
	one(t, "churchgate_dataplane_starts_total", "counter", "Starts of the data plane in this instance.",
	    atomic_load_explicit(&m->region->dataplane_epoch, memory_order_relaxed));
	one(t, "churchgate_draining", "gauge", "1 while the instance drains before its end.",
	    atomic_load_explicit(&m->region->draining, memory_order_relaxed) != 0);
	metrics_routes(t, m);
	metrics_upstreams(t, m);
	metrics_endpoints(t, m);
	metrics_limits(t, m);
	metrics_workers(t, m);
	metrics_ports(t, m);
	metrics_counters(t, m);
}
