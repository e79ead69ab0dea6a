// Workers, their pools and ports, and everything of counters.def.
#include "ebpf/metrics.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum unit { UNIT_COUNT, UNIT_SECONDS };

static const struct {
	const char *name, *type, *help;
	size_t offset;
	enum unit unit;
} worker_family[] = {
	{"churchgate_worker_busy_seconds_total", "counter", "Time with work to do, by worker.",
	 offsetof(struct worker_stats, busy_ns), UNIT_SECONDS},
	{"churchgate_worker_idle_seconds_total", "counter", "Time without work, polling or asleep, by worker.",
	 offsetof(struct worker_stats, idle_ns), UNIT_SECONDS},
	{"churchgate_worker_loops_total", "counter", "Turns of the loop, by worker.",
	 offsetof(struct worker_stats, loops), UNIT_COUNT},
	{"churchgate_worker_sleeps_total", "counter", "Times it went to sleep for want of work, by worker.",
	 offsetof(struct worker_stats, sleeps), UNIT_COUNT},
	{"churchgate_worker_long_turns_total", "counter",
	 "Turns of the loop of 1 ms and more, by worker: somebody else had its core.",
	 offsetof(struct worker_stats, long_turns), UNIT_COUNT},
	{"churchgate_worker_long_turn_seconds_total", "counter", "Time in turns of 1 ms and more, by worker.",
	 offsetof(struct worker_stats, long_turn_ns), UNIT_SECONDS},
	{"churchgate_worker_longest_turn_seconds", "gauge",
	 "The longest turn of the loop since it began, by worker.", offsetof(struct worker_stats, turn_max_ns),
	 UNIT_SECONDS},
	{"churchgate_worker_generation", "gauge", "Generation of the configuration that it runs, by worker.",
	 offsetof(struct worker_stats, generation), UNIT_COUNT},
};

#define NONE ((size_t)-1)
static const struct {
	const char *pool;
	size_t used, high, size;
	bool shared; // by all workers; worker 0 writes it
} pools[] = {
	{"packet_buffers", offsetof(struct worker_stats, pool_used), NONE,
	 offsetof(struct worker_stats, pool_size), true},
	{"connections", offsetof(struct worker_stats, conns_used), offsetof(struct worker_stats, conns_high),
	 offsetof(struct worker_stats, conns_size), false},
	{"exchanges", offsetof(struct worker_stats, exchanges_used),
	 offsetof(struct worker_stats, exchanges_high), offsetof(struct worker_stats, exchanges_size), false},
};

static const struct {
	const char *name, *help;
	size_t offset;
} memory_family[] = {
	{"churchgate_packet_memory_receive_queues_bytes",
	 "Packet memory that the receive queues of connections hold, by worker.",
	 offsetof(struct worker_stats, queued_in)},
	{"churchgate_packet_memory_send_queues_bytes",
	 "Packet memory that the send queues of connections hold, by worker.",
	 offsetof(struct worker_stats, queued_out)},
	{"churchgate_packet_memory_queue_limit_bytes",
	 "Packet memory that the queues of a worker's connections may hold together, by worker.",
	 offsetof(struct worker_stats, queue_limit)},
	{"churchgate_packet_memory_cached_bytes",
	 "Packet memory that is free in a worker's own cache, by worker.",
	 offsetof(struct worker_stats, packet_cached)},
};

static uint64_t cell_at(const void *entry, size_t offset)
{
	return stat_get((const stat_cell *)((const char *)entry + offset));
}

static struct label worker_label(char text[static 12], unsigned w)
{
	snprintf(text, 12, "%u", w);
	return (struct label){"worker", text};
}

static void pool_family(struct text *t, const struct stats *st, const char *name, const char *help,
			unsigned which)
{
	char text[12];

	text_family(t, name, "gauge", help);
	for (size_t p = 0; p < sizeof(pools) / sizeof(pools[0]); p++) {
		size_t offset = which == 0 ? pools[p].used : which == 1 ? pools[p].high : pools[p].size;

		if (offset == NONE)
			continue;
		for (unsigned w = 0; w < (pools[p].shared ? 1 : st->workers); w++) {
			struct label l[] = {{"pool", pools[p].pool}, worker_label(text, w)};

			if (pools[p].shared)
				l[1].value = "all";
			text_sample(t, name, l, 2, cell_at(&st->worker[w], offset));
		}
	}
}

// Bytes of whole buffers, as limits count them.
static void memory_families(struct text *t, const struct stats *st)
{
	const struct worker_stats *v = &st->worker[0];
	uint64_t size = stat_get(&v->pool_size), all = stat_get(&v->packet_memory);
	uint64_t used = size ? all / size * stat_get(&v->pool_used) : 0;
	char text[12];

	text_family(t, "churchgate_packet_memory_used_bytes", "gauge", "Packet memory in use.");
	text_sample(t, "churchgate_packet_memory_used_bytes", NULL, 0, used);
	text_family(t, "churchgate_packet_memory_free_bytes", "gauge", "Packet memory that is free.");
	text_sample(t, "churchgate_packet_memory_free_bytes", NULL, 0, all > used ? all - used : 0);
	for (size_t f = 0; f < sizeof(memory_family) / sizeof(memory_family[0]); f++) {
		text_family(t, memory_family[f].name, "gauge", memory_family[f].help);
		for (unsigned w = 0; w < st->workers; w++) {
			struct label l = worker_label(text, w);

			text_sample(t, memory_family[f].name, &l, 1,
				    cell_at(&st->worker[w], memory_family[f].offset));
		}
	}
}

static void alive_family(struct text *t, const struct metrics_source *m)
{
	static const char name[] = "churchgate_worker_alive_age_seconds";
	char text[12];

	text_family(t, name, "gauge", "Time since the last turn of the loop, by worker that has run.");
	for (unsigned w = 0; w < m->stats->workers; w++) {
		uint64_t alive = stat_get(&m->stats->worker[w].alive_ns);
		struct label l = worker_label(text, w);

		if (alive)
			text_sample_seconds(t, name, &l, 1, m->now > alive ? m->now - alive : 0);
	}
}

void metrics_workers(struct text *t, const struct metrics_source *m)
{
	const struct stats *st = m->stats;
	char text[12];

	for (size_t f = 0; f < sizeof(worker_family) / sizeof(worker_family[0]); f++) {
		const char *name = worker_family[f].name;

		text_family(t, name, worker_family[f].type, worker_family[f].help);
		for (unsigned w = 0; w < st->workers; w++) {
			struct label l = worker_label(text, w);
			uint64_t v = cell_at(&st->worker[w], worker_family[f].offset);

			if (worker_family[f].unit == UNIT_SECONDS)
				text_sample_seconds(t, name, &l, 1, v);
			else
				text_sample(t, name, &l, 1, v);
		}
	}
	text_family(t, "churchgate_worker_busy_ratio", "gauge", "Busy share of the last second, by worker.");
	for (unsigned w = 0; w < st->workers; w++) {
		struct label l = worker_label(text, w);

		if (m->busy_ratio[w] >= 0)
			text_sample_ratio(t, "churchgate_worker_busy_ratio", &l, 1, m->busy_ratio[w]);
	}
	alive_family(t, m);
	if (m->bpf) {
		static const char name[] = "churchgate_worker_involuntary_switches_total";

		text_family(t, name, "counter",
			    "Times the kernel took the CPU from the worker, counted while the exporter runs.");
		for (unsigned w = 0; w < st->workers; w++) {
			struct label l = worker_label(text, w);

			text_sample(t, name, &l, 1, m->switches[w]);
		}
	}
	pool_family(t, st, "churchgate_pool_used", "Entries in use, by pool and worker.", 0);
	pool_family(t, st, "churchgate_pool_used_high", "Most entries ever in use, by pool and worker.", 1);
	pool_family(t, st, "churchgate_pool_size", "Entries there are, by pool and worker.", 2);
	memory_families(t, st);
}

static const struct {
	const char *name, *help;
	size_t offset;
} port_family[] = {
	{"churchgate_port_rx_packets_total", "Packets received, by port and worker.",
	 offsetof(struct port_stats, rx_packets)},
	{"churchgate_port_rx_bytes_total", "Bytes received, by port and worker.",
	 offsetof(struct port_stats, rx_bytes)},
	{"churchgate_port_tx_packets_total", "Packets sent, by port and worker.",
	 offsetof(struct port_stats, tx_packets)},
	{"churchgate_port_tx_bytes_total", "Bytes sent, by port and worker.",
	 offsetof(struct port_stats, tx_bytes)},
	{"churchgate_port_tx_dropped_total", "Packets dropped on sending, by port and worker.",
	 offsetof(struct port_stats, tx_dropped)},
};

void metrics_ports(struct text *t, const struct metrics_source *m)
{
	const struct stats *st = m->stats;
	char name[STATS_PORTS][REGION_NAME], text[12];
	bool named[STATS_PORTS];

	for (unsigned p = 0; p < STATS_PORTS; p++)
		named[p] = metrics_slot_name(&region_ports(m->region)[p], name[p]);
	for (size_t f = 0; f < sizeof(port_family) / sizeof(port_family[0]); f++) {
		text_family(t, port_family[f].name, "counter", port_family[f].help);
		for (unsigned p = 0; p < STATS_PORTS; p++)
			for (unsigned w = 0; named[p] && w < st->workers; w++) {
				const struct label l[] = {{"port", name[p]}, worker_label(text, w)};

				text_sample(t, port_family[f].name, l, 2,
					    cell_at(&st->port[w * STATS_PORTS + p], port_family[f].offset));
			}
	}
	text_family(t, "churchgate_packet_memory_receiving_bytes", "gauge",
		    "Packet memory that the port's driver keeps for receiving.");
	for (unsigned p = 0; p < STATS_PORTS; p++) {
		const struct label l = {"port", name[p]};

		if (named[p])
			text_sample(t, "churchgate_packet_memory_receiving_bytes", &l, 1,
				    cell_at(&st->port[p], offsetof(struct port_stats, rx_memory)));
	}
	text_family(t, "churchgate_port_link_up", "gauge", "1 while the port's link is up.");
	for (unsigned p = 0; p < STATS_PORTS; p++) {
		const struct label l = {"port", name[p]};
		uint64_t up = 0;

		for (unsigned w = 0; w < st->workers; w++) // whichever of them has the task to watch
			up |= stat_get(&st->port[w * STATS_PORTS + p].link_up);
		if (named[p])
			text_sample(t, "churchgate_port_link_up", &l, 1, up != 0);
	}
}

void metrics_counter_name(enum counter c, char name[static METRIC_NAME_MAX])
{
	const struct counter_info *info = &counter_info[c];
	const char *group = counter_group_name[info->group], *noun = info->name;
	const char *prefix = info->group == GROUP_upstream ? "up" : group;
	size_t n = strlen(prefix);

	if (strncmp(noun, prefix, n) == 0 && noun[n] == '_')
		noun += n + 1;
	if (c == CTR_http_requests) // the plain name is taken by the count by route and class
		noun = "requests_begun";
	snprintf(name, METRIC_NAME_MAX, "churchgate_%s_%s%s", group, noun,
		 info->kind == KIND_gauge ? "" : "_total");
}

static uint64_t counter_sum(const struct stats *st, enum counter c)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < st->workers; w++)
		sum += stat_get(&st->worker[w].c[c]);
	return sum;
}

void metrics_counters(struct text *t, const struct metrics_source *m)
{
	char name[METRIC_NAME_MAX], help[256];

	text_family(t, "churchgate_drops_total", "counter", "Packets and requests given up, by reason.");
	for (enum counter c = 0; c < CTR_COUNT; c++) {
		const struct label l[] = {{"group", counter_group_name[counter_info[c].group]},
					  {"reason", counter_info[c].name}};

		if (counter_info[c].kind == KIND_drop)
			text_sample(t, "churchgate_drops_total", l, 2, counter_sum(m->stats, c));
	}
	for (enum counter c = 0; c < CTR_COUNT; c++) {
		if (counter_info[c].kind == KIND_drop)
			continue;
		metrics_counter_name(c, name);
		snprintf(help, sizeof(help), "%s.", counter_info[c].help);
		text_family(t, name, counter_info[c].kind == KIND_gauge ? "gauge" : "counter", help);
		text_sample(t, name, NULL, 0, counter_sum(m->stats, c));
	}
}
