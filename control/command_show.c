// What is configured and how it goes: read from the running snapshot, the region and the statistics.
#include "command.h"
#include "version.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct snapshot *running(const struct request *rq)
{
	return rq->control->dataplane.running.snapshot;
}

static json_t *text(const struct snapshot *s, struct snap_ref r)
{
	json_t *j = json_stringn((const char *)s + r.off, r.n);

	return j ? j : json_string("(not UTF-8)");
}

static json_t *number(uint64_t v)
{
	return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static json_t *duration(uint64_t ns)
{
	char buffer[32];

	unit_time_text(ns, buffer);
	return json_string(buffer);
}

static json_t *realtime(uint64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000u);
	struct tm tm;
	char buffer[40];

	if (!ns)
		return json_null();
	gmtime_r(&seconds, &tm);
	strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(buffer);
}

void command_show_info(struct request *rq)
{
	struct control *c = rq->control;
	const struct supervise *d = &c->dataplane;
	const struct snapshot *s = running(rq);
	uint64_t now = loop_now();
	json_t *dataplane = json_pack(
		"{s:s, s:i, s:I, s:I, s:I}", "state", dataplane_state_name[d->state], "pid", (int)d->pid,
		"uptime_s", (json_int_t)(d->pidfd >= 0 ? (now - d->started) / 1000000000u : 0), "restarts",
		(json_int_t)d->restarts, "workers", (json_int_t)s->system.workers);
	json_t *control = json_pack("{s:i, s:I}", "pid", (int)getpid(), "uptime_s",
				    (json_int_t)((now - c->started) / 1000000000u));
	json_t *j = json_pack("{s:s, s:o, s:o, s:b, s:o, s:o, s:s, s:s, s:o, s:o}", "version",
			      CHURCHGATE_VERSION, "generation", number(s->generation), "source",
			      text(s, s->source), "file_differs", c->differs, "loaded", realtime(s->created),
			      "reloaded", realtime(c->reloaded), "directory", c->instance.dir, "statistics",
			      c->instance.pins[0] ? c->instance.pins : "files", "control", control, "dataplane",
			      dataplane);

	request_answer(rq, j);
}

void command_show_workers(struct request *rq)
{
	struct control *c = rq->control;
	const struct snapshot *s = running(rq);
	json_t *rows = json_array();

	for (uint32_t w = 0; w < c->instance.stats.workers; w++) {
		const struct worker_stats *v = &c->instance.stats.worker[w];
		int cpu = w < SNAP_WORKERS_MAX ? s->system.cpu[w] : -1;

		json_array_append_new(
			rows,
			json_pack("{s:i, s:o, s:o, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o}",
				  "worker", (int)w, "cpu", cpu < 0 ? json_string("any") : json_integer(cpu),
				  "tid", number(stat_get(&v->tid)), "busy_percent", 100 * c->busy_share[w],
				  "busy_seconds", (double)stat_get(&v->busy_ns) / 1e9, "idle_seconds",
				  (double)stat_get(&v->idle_ns) / 1e9, "loops", number(stat_get(&v->loops)),
				  "sleeps", number(stat_get(&v->sleeps)), "connections",
				  number(stat_get(&v->conns_used)), "requests",
				  number(stat_get(&v->c[CTR_http_requests])), "generation",
				  number(stat_get(&v->generation)), "long_turns",
				  number(stat_get(&v->long_turns)), "long_turn_seconds",
				  (double)stat_get(&v->long_turn_ns) / 1e9, "longest_turn_seconds",
				  (double)stat_get(&v->turn_max_ns) / 1e9, "longest_turn_frames",
				  number(stat_get(&v->turn_max_frames))));
	}
	request_answer(rq, json_pack("{s:o}", "workers", rows));
}

static json_t *offloads(uint64_t bits)
{
	static const char *const name[] = {"tx_ip_checksum",
					   "tx_tcp_checksum",
					   "rx_ip_checksum",
					   "rx_tcp_checksum",
					   "tx_chains",
					   "rss",
					   "tso"};
	json_t *v = json_array();

	for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if (bits >> i & 1)
			json_array_append_new(v, json_string(name[i]));
	return v;
}

void command_show_ports(struct request *rq)
{
	const struct snapshot *s = running(rq);
	const struct snap_port *p = snap_at(s, s->ports);
	const struct stats *st = &rq->control->instance.stats;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < s->ports.n; i++) {
		const struct snap_address *a = snap_at(s, p[i].addresses);
		uint64_t sum[5] = {0}, up = 0, offload = 0;
		json_t *addresses = json_array();

		for (uint32_t k = 0; k < p[i].addresses.n; k++) {
			char addr[ADDR_TEXT_MAX], full[ADDR_TEXT_MAX + 8];

			snprintf(full, sizeof(full), "%s/%u", addr_text(a[k].addr, addr),
				 a[k].prefix - (addr_is_v4(a[k].addr) ? 96 : 0));
			json_array_append_new(addresses, json_string(full));
		}
		for (uint32_t w = 0; w < st->workers; w++) {
			const struct port_stats *v = &st->port[w * STATS_PORTS + i];

			sum[0] += stat_get(&v->rx_packets);
			sum[1] += stat_get(&v->rx_bytes);
			sum[2] += stat_get(&v->tx_packets);
			sum[3] += stat_get(&v->tx_bytes);
			sum[4] += stat_get(&v->tx_dropped);
			up |= stat_get(&v->link_up);
			offload |= stat_get(&v->offloads);
		}
		json_array_append_new(
			rows, json_pack("{s:o, s:o, s:o, s:b, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
					text(s, p[i].name), "device", text(s, p[i].device), "addresses",
					addresses, "link_up", up != 0, "vlan", (int)p[i].vlan, "mtu",
					(int)p[i].mtu, "rx_packets", number(sum[0]), "rx_bytes", number(sum[1]),
					"tx_packets", number(sum[2]), "tx_bytes", number(sum[3]), "tx_dropped",
					number(sum[4]), "offloads", offloads(offload)));
	}
	request_answer(rq, json_pack("{s:o}", "ports", rows));
}

static uint64_t counter_sum(const struct stats *st, unsigned counter)
{
	uint64_t sum = 0;

	for (uint32_t w = 0; w < st->workers; w++)
		sum += stat_get(&st->worker[w].c[counter]);
	return sum;
}

static json_t *counter_row(const struct stats *st, unsigned i)
{
	static const char *const kinds[] = {"count", "drop", "error", "gauge"};

	return json_pack("{s:s, s:s, s:s, s:o, s:s}", "name", counter_info[i].name, "group",
			 counter_group_name[counter_info[i].group], "kind", kinds[counter_info[i].kind & 3],
			 "count", number(counter_sum(st, i)), "help", counter_info[i].help);
}

void command_show_drops(struct request *rq)
{
	const struct stats *st = &rq->control->instance.stats;
	bool all = rq->argc == 1 && strcmp(rq->argv[0], "all") == 0;
	json_t *rows;

	if (rq->argc && !all) {
		request_error(rq, "show drops takes nothing, or \"all\"");
		return;
	}
	rows = json_array();
	for (unsigned i = 0; i < CTR_COUNT; i++) {
		bool lost = counter_info[i].kind == KIND_drop || counter_info[i].kind == KIND_error;

		if (lost && (all || counter_sum(st, i)))
			json_array_append_new(rows, counter_row(st, i));
	}
	request_answer(rq, json_pack("{s:o}", "drops", rows));
}

// All of two groups, drops or not.
static void show_groups(struct request *rq, const char *name, unsigned one, unsigned other)
{
	const struct stats *st = &rq->control->instance.stats;
	json_t *rows = json_array();

	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (counter_info[i].group == one || counter_info[i].group == other)
			json_array_append_new(rows, counter_row(st, i));
	request_answer(rq, json_pack("{s:o}", name, rows));
}

void command_show_tcp(struct request *rq)
{
	show_groups(rq, "tcp", GROUP_tcp, GROUP_tcp);
}

void command_show_http(struct request *rq)
{
	show_groups(rq, "http", GROUP_http, GROUP_upstream);
}

static void pool_row(json_t *rows, const char *what, int worker, json_t *used, json_t *high, json_t *size)
{
	char name[64];

	if (worker >= 0)
		snprintf(name, sizeof(name), "%s/%d", what, worker);
	else
		snprintf(name, sizeof(name), "%s", what);
	json_array_append_new(rows, json_pack("{s:s, s:o, s:o, s:o}", "name", name, "used", used, "high", high,
					      "size", size));
}

// Packet memory in bytes of whole buffers: all of it, and who has how much.
static json_t *packet_memory(const struct request *rq)
{
	const struct snapshot *s = running(rq);
	const struct snap_port *p = snap_at(s, s->ports);
	const struct stats *st = &rq->control->instance.stats;
	json_t *rows = json_array();
	char name[80];

	if (st->workers) {
		uint64_t size = stat_get(&st->worker[0].pool_size), used = stat_get(&st->worker[0].pool_used);
		uint64_t all = stat_get(&st->worker[0].packet_memory), bytes = size ? all / size * used : 0;

		json_array_append_new(rows,
				      json_pack("{s:s, s:o, s:o, s:o}", "held_by", "all", "used", number(bytes),
						"free", number(all - bytes), "limit", number(all)));
	}
	for (uint32_t i = 0; i < s->ports.n && st->workers; i++) {
		snprintf(name, sizeof(name), "receiving/%.*s", (int)p[i].name.n,
			 (const char *)s + p[i].name.off);
		json_array_append_new(rows, json_pack("{s:s, s:o, s:o, s:o}", "held_by", name, "used",
						      number(stat_get(&st->port[i].rx_memory)), "free",
						      json_null(), "limit", json_null()));
	}
	for (uint32_t w = 0; w < st->workers; w++) {
		const struct worker_stats *v = &st->worker[w];
		const struct {
			const char *name;
			json_t *used, *free, *limit;
		} part[] = {{"receive-queues", number(stat_get(&v->queued_in)), json_null(),
			     number(stat_get(&v->queue_limit))},
			    {"send-queues", number(stat_get(&v->queued_out)), json_null(),
			     number(stat_get(&v->queue_limit))},
			    {"cache", json_null(), number(stat_get(&v->packet_cached)), json_null()}};

		for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
			snprintf(name, sizeof(name), "%s/%u", part[i].name, w);
			json_array_append_new(rows, json_pack("{s:s, s:o, s:o, s:o}", "held_by", name, "used",
							      part[i].used, "free", part[i].free, "limit",
							      part[i].limit));
		}
	}
	return rows;
}

void command_show_pools(struct request *rq)
{
	const struct stats *st = &rq->control->instance.stats;
	json_t *rows = json_array();

	if (st->workers)
		pool_row(rows, "packet-buffers", -1, number(stat_get(&st->worker[0].pool_used)), json_null(),
			 number(stat_get(&st->worker[0].pool_size)));
	for (uint32_t w = 0; w < st->workers; w++) {
		const struct worker_stats *v = &st->worker[w];

		pool_row(rows, "connections", (int)w, number(stat_get(&v->conns_used)),
			 number(stat_get(&v->conns_high)), number(stat_get(&v->conns_size)));
		pool_row(rows, "exchanges", (int)w, number(stat_get(&v->exchanges_used)),
			 number(stat_get(&v->exchanges_high)), number(stat_get(&v->exchanges_size)));
	}
	request_answer(rq, json_pack("{s:o, s:o}", "pools", rows, "packet_memory", packet_memory(rq)));
}

void command_show_listeners(struct request *rq)
{
	static const char *const cookies[] = {[SYN_COOKIES_PRESSURE] = "pressure",
					      [SYN_COOKIES_ALWAYS] = "always",
					      [SYN_COOKIES_NEVER] = "never"};
	const struct snapshot *s = running(rq);
	const struct snap_listener *l = snap_at(s, s->listeners);
	const struct snap_port *p = snap_at(s, s->ports);
	json_t *rows = json_array();

	for (uint32_t i = 0; i < s->listeners.n; i++) {
		char addr[ADDR_TEXT_MAX], bind[ADDR_TEXT_MAX + 16];

		if (addr_is_any(l[i].addr))
			snprintf(bind, sizeof(bind), ":%u", l[i].tcp_port);
		else
			snprintf(bind, sizeof(bind), addr_is_v4(l[i].addr) ? "%s:%u" : "[%s]:%u",
				 addr_text(l[i].addr, addr), l[i].tcp_port);
		json_t *row = json_pack("{s:o, s:o, s:s, s:o, s:o, s:I, s:I}", "name", text(s, l[i].name),
					"port", text(s, p[l[i].port].name), "bind", bind, "head_timeout",
					duration(l[i].head_timeout), "idle_timeout",
					duration(l[i].idle_timeout), "max_head", (json_int_t)l[i].max_head,
					"max_requests", (json_int_t)l[i].max_requests);

		json_object_update_new(row, json_pack("{s:s, s:I, s:I, s:I, s:s}", "syn_cookies",
						      cookies[l[i].syn_cookies], "per_address",
						      (json_int_t)l[i].max_per_address, "accepts_per_second",
						      (json_int_t)l[i].accept_rate, "accept_burst",
						      (json_int_t)l[i].accept_burst, "refuse",
						      l[i].refuse == REFUSE_RESET ? "reset" : "drop"));
		json_object_update_new(
			row, json_pack("{s:I, s:I, s:I, s:I, s:b}", "max_request_line",
				       (json_int_t)l[i].max_line, "max_uri", (json_int_t)l[i].max_uri,
				       "max_fields", (json_int_t)l[i].max_fields, "max_body",
				       (json_int_t)l[i].max_body, "lenient_lf", (int)l[i].lenient_lf));
		json_object_update_new(row, json_pack("{s:o, s:o, s:I, s:I, s:o}", "body_timeout",
						      duration(l[i].body_timeout), "response_idle",
						      duration(l[i].response_idle), "min_body_rate",
						      (json_int_t)l[i].min_body_rate, "min_read_rate",
						      (json_int_t)l[i].min_read_rate, "rate_grace",
						      duration(l[i].rate_grace)));
		command_in_flight_row(rq->control->instance.region, row, l[i].credits);
		json_array_append_new(rows, row);
	}
	request_answer(rq, json_pack("{s:o}", "listeners", rows));
}

// Adds percentiles of a summed histogram, in milliseconds: the upper bound of the bucket they fall into.
static void percentiles(json_t *row, const uint64_t hist[HIST_BUCKETS])
{
	static const struct {
		const char *name;
		unsigned percent;
	} wanted[] = {{"p50_ms", 50}, {"p90_ms", 90}, {"p99_ms", 99}};
	uint64_t all = 0;

	for (unsigned b = 0; b < HIST_BUCKETS; b++)
		all += hist[b];
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint64_t rank = (all * wanted[i].percent + 99) / 100, seen = 0;
		unsigned b = 0;

		while (b < HIST_BUCKETS - 1 && (seen += hist[b]) < rank)
			b++;
		json_object_set_new(row, wanted[i].name,
				    all ? json_real(b == HIST_BUCKETS - 1 ? (double)hist_bound(b - 1) / 1e6
									  : (double)hist_bound(b) / 1e6)
					: json_null());
	}
}

static void classes(json_t *row, const uint64_t v[STATUS_CLASSES], const char *none)
{
	static const char *const names[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};

	for (unsigned i = 1; i < STATUS_CLASSES; i++)
		json_object_set_new(row, names[i], number(v[i]));
	json_object_set_new(row, none, number(v[0]));
}

static json_t *methods(uint32_t bits)
{
	json_t *list = json_array();

	for (unsigned m = 0; m < METHOD_COUNT; m++)
		if (bits >> m & 1)
			json_array_append_new(list, json_string(http_method_name[m]));
	if (!bits)
		json_array_append_new(list, json_string("any"));
	return list;
}

static const char *const action_name[] = {"to", "respond", "redirect"};

static json_t *targets(const struct snapshot *s, const struct snap_route *route, struct region *r)
{
	const struct snap_target *t = snap_at(s, route->targets);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	json_t *rows = json_array();

	for (uint32_t i = 0; i < route->targets.n; i++) {
		int32_t hand = region_targets(r)[t[i].slot].weight;

		json_array_append_new(rows, json_pack("{s:o, s:I, s:I, s:s}", "upstream",
						      text(s, u[t[i].upstream].name), "weight",
						      (json_int_t)(hand >= 0 ? (uint32_t)hand : t[i].weight),
						      "configured", (json_int_t)t[i].weight, "set_by",
						      hand >= 0 ? "hand" : "configuration"));
	}
	return rows;
}

void command_show_routes(struct request *rq)
{
	const struct snapshot *s = running(rq);
	const struct snap_route *r = snap_at(s, s->routes);
	const struct stats *st = &rq->control->instance.stats;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < s->routes.n; i++) {
		uint64_t class[STATUS_CLASSES] = {0}, hist[HIST_BUCKETS] = {0}, begun = 0, finished = 0;

		for (uint32_t w = 0; w < st->workers; w++) {
			const struct route_stats *v = &st->route[w * STATS_ROUTES + r[i].stat_slot];

			for (unsigned k = 0; k < STATUS_CLASSES; k++) {
				uint64_t at_once = stat_get(&st->worker[w].at_once[k][r[i].stat_slot]);

				class[k] += stat_get(&v->requests[k]) + at_once;
				hist[0] += at_once;
				finished += at_once;
				begun += at_once;
			}
			for (unsigned b = 0; b < HIST_BUCKETS; b++)
				hist[b] += stat_get(&v->duration[b]);
			// finished first: a request between the two reads is active, never -1.
			finished += stat_get(&v->finished);
			begun += stat_get(&v->started);
		}
		json_t *row = json_pack(
			"{s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "name", text(s, r[i].name), "host",
			r[i].host_text.n ? text(s, r[i].host_text) : json_string("any"), "path",
			text(s, r[i].path_text), "methods", methods(r[i].methods), "action",
			action_name[r[i].action <= ACTION_REDIRECT ? r[i].action : 0], "state",
			region_route_is_off(rq->control->instance.region, snap_text(s, r[i].name)) ? "disabled"
												   : "enabled",
			"requests", number(begun), "active", number(begun > finished ? begun - finished : 0));

		classes(row, class, "no_answer");
		percentiles(row, hist);
		command_in_flight_row(rq->control->instance.region, row, r[i].credits);
		if (r[i].targets.n)
			json_object_set_new(row, "targets", targets(s, &r[i], rq->control->instance.region));
		json_array_append_new(rows, row);
	}
	request_answer(rq, json_pack("{s:o}", "routes", rows));
}

static json_t *endpoint_row(const struct snapshot *s, const struct snap_endpoint *e, struct region *r)
{
	static const char *const admin_name[] = {"ready", "drain", "maint"};
	uint32_t admin = region_endpoints(r)[e->slot].admin, down = 0;
	int32_t hand = region_endpoints(r)[e->slot].weight;

	for (uint32_t w = 0; w < region_workers(r); w++)
		down += region_health(r, w)[e->slot] == HEALTH_DOWN;
	return json_pack("{s:o, s:s, s:s, s:I, s:I}", "endpoint", text(s, e->name), "state",
			 admin != ADMIN_READY ? admin_name[admin <= ADMIN_MAINT ? admin : 0]
			 : down               ? "down"
					      : "up",
			 "admin", admin_name[admin <= ADMIN_MAINT ? admin : 0], "workers_down",
			 (json_int_t)down, "weight", (json_int_t)(hand >= 0 ? (uint32_t)hand : e->weight));
}

void command_show_upstreams(struct request *rq)
{
	const struct snapshot *s = running(rq);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	const struct snap_port *p = snap_at(s, s->ports);
	const struct stats *st = &rq->control->instance.stats;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < s->upstreams.n; i++) {
		static const char *const names[] = {"attempts", "active",   "connections",      "idle",
						    "pending",  "connects", "connect_failures", "timeouts",
						    "resets",   "retries",  "pending_overflow"};
		uint64_t sum[11] = {0}, class[STATUS_CLASSES] = {0}, hist[HIST_BUCKETS] = {0};
		const struct snap_endpoint *e = snap_at(s, u[i].endpoints);
		json_t *row, *endpoints = json_array();

		for (uint32_t w = 0; w < st->workers; w++) {
			const struct upstream_stats *v = &st->upstream[w * STATS_UPSTREAMS + u[i].stat_slot];
			const stat_cell *cell[] = {
				&v->attempts, &v->active,   &v->connections,      &v->idle,
				&v->pending,  &v->connects, &v->connect_failures, &v->timeouts,
				&v->resets,   &v->retries,  &v->pending_overflow};

			for (unsigned k = 0; k < 11; k++)
				sum[k] += stat_get(cell[k]);
			for (unsigned k = 0; k < STATUS_CLASSES; k++)
				class[k] += stat_get(&v->responses[k]);
			for (unsigned b = 0; b < HIST_BUCKETS; b++)
				hist[b] += stat_get(&v->duration[b]);
		}
		row = json_pack("{s:o, s:o, s:s}", "name", text(s, u[i].name), "port",
				text(s, p[u[i].port].name), "balance",
				u[i].balance == BALANCE_LEAST_REQUEST ? "least_request" : "round_robin");
		for (unsigned k = 0; k < 11; k++)
			json_object_set_new(row, names[k], number(sum[k]));
		classes(row, class, "failed");
		percentiles(row, hist);
		for (uint32_t k = 0; k < u[i].endpoints.n; k++)
			json_array_append_new(endpoints, endpoint_row(s, &e[k], rq->control->instance.region));
		json_object_set_new(row, "endpoints", endpoints);
		json_array_append_new(rows, row);
	}
	request_answer(rq, json_pack("{s:o}", "upstreams", rows));
}

void command_show_config(struct request *rq)
{
	const struct snapshot *s = running(rq);
	json_t *config = text(s, s->text);

	rq->text_only = true;
	request_answer(rq, json_pack("{s:o}", "config", config));
}

void command_show_log(struct request *rq)
{
	const struct control *c = rq->control;
	uint32_t level = c->instance.region->log_level;

	request_answer(rq,
		       json_pack("{s:s, s:s}", "level", conf_log_levels[level <= LOG_DEBUG ? level : LOG_DEBUG],
				 "file", c->log.path ? c->log.path : "stderr"));
}
