// Commands that change something: each change is logged with who made it.
#include "command.h"
#include "compile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool named(const struct snapshot *s, struct snap_ref r, const char *name, size_t n)
{
	return slice_eq(snap_text(s, r), slice_of(name, n));
}

// The closest of the names that records of `size` bytes have at `offset`.
static void suggest(const struct snapshot *s, struct snap_ref records, size_t size, size_t offset,
		    const char *written, char *dst, size_t room)
{
	const char **words = calloc(records.n + 1, sizeof(*words));
	const char *near;
	struct memory m = {0};

	dst[0] = '\0';
	if (!words)
		return;
	for (uint32_t i = 0; i < records.n; i++) {
		const struct snap_ref *name =
			(const void *)((const char *)snap_at(s, records) + i * size + offset);

		words[i] = memory_text(&m, (const char *)s + name->off, name->n);
	}
	near = diag_suggest(written, words, records.n);
	if (near)
		snprintf(dst, room, "; did you mean \"%s\"?", near);
	memory_free(&m);
	free(words);
}

#define SUGGEST(s, records, type, written, dst)                                                                \
	suggest(s, records, sizeof(struct type), offsetof(struct type, name), written, dst, sizeof(dst))

static const struct snap_upstream *upstream_find(const struct snapshot *s, const char *name, size_t n)
{
	const struct snap_upstream *u = snap_at(s, s->upstreams);

	for (uint32_t i = 0; i < s->upstreams.n; i++)
		if (named(s, u[i].name, name, n))
			return &u[i];
	return NULL;
}

void command_set_endpoint(struct request *rq)
{
	static const char *const states[] = {"ready", "drain", "maint"};
	const struct snapshot *s = rq->control->dataplane.running.snapshot;
	const char *slash = rq->argc == 2 ? strrchr(rq->argv[0], '/') : NULL;
	const struct snap_upstream *u;
	const struct snap_endpoint *e;
	char near[200];
	uint32_t state = 0, i = 0;

	if (!slash) {
		request_error(rq, "set endpoint UPSTREAM/ADDRESS:PORT ready|drain|maint");
		return;
	}
	while (state < 3 && strcmp(rq->argv[1], states[state]) != 0)
		state++;
	if (state == 3) {
		request_error(rq, "\"%s\" is not one of ready, drain and maint", rq->argv[1]);
		return;
	}
	u = upstream_find(s, rq->argv[0], (size_t)(slash - rq->argv[0]));
	if (!u) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)(slash - rq->argv[0]), rq->argv[0]);
		SUGGEST(s, s->upstreams, snap_upstream, name, near);
		request_error(rq, "no upstream \"%s\"%s", name, near);
		return;
	}
	e = snap_at(s, u->endpoints);
	while (i < u->endpoints.n && !named(s, e[i].name, slash + 1, strlen(slash + 1)))
		i++;
	if (i == u->endpoints.n) {
		SUGGEST(s, u->endpoints, snap_endpoint, slash + 1, near);
		request_error(rq, "the upstream has no endpoint \"%s\"%s", slash + 1, near);
		return;
	}
	atomic_store(&region_endpoints(rq->control->instance.region)[e[i].slot].admin, state);
	request_log(rq, "endpoint %s set to %s", rq->argv[0], states[state]);
	request_answer(rq, json_pack("{s:s, s:s}", "endpoint", rq->argv[0], "admin", states[state]));
}

void command_set_weight(struct request *rq)
{
	const struct snapshot *s = rq->control->dataplane.running.snapshot;
	const struct snap_route *r = snap_at(s, s->routes);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	const struct snap_target *t;
	char near[200], *end;
	int32_t weight = -1;
	uint32_t i = 0, k = 0;

	if (rq->argc != 3) {
		request_error(rq, "set weight ROUTE UPSTREAM WEIGHT|auto");
		return;
	}
	if (strcmp(rq->argv[2], "auto") != 0) {
		long v = strtol(rq->argv[2], &end, 10);

		if (*end || end == rq->argv[2] || v < 0 || v > 65535) {
			request_error(rq, "\"%s\" is not a weight: 0..65535, or auto", rq->argv[2]);
			return;
		}
		weight = (int32_t)v;
	}
	while (i < s->routes.n && !named(s, r[i].name, rq->argv[0], strlen(rq->argv[0])))
		i++;
	if (i == s->routes.n) {
		SUGGEST(s, s->routes, snap_route, rq->argv[0], near);
		request_error(rq, "no route \"%s\"%s", rq->argv[0], near);
		return;
	}
	t = snap_at(s, r[i].targets);
	while (k < r[i].targets.n && !named(s, u[t[k].upstream].name, rq->argv[1], strlen(rq->argv[1])))
		k++;
	if (k == r[i].targets.n) {
		request_error(rq, "route \"%s\" does not go to an upstream \"%s\"", rq->argv[0], rq->argv[1]);
		return;
	}
	if (weight == 0 && r[i].targets.n == 1) { // among one nothing is weighed
		request_error(rq, "\"%s\" is all that route \"%s\" goes to: set route %s disabled ends it",
			      rq->argv[1], rq->argv[0], rq->argv[0]);
		return;
	}
	atomic_store(&region_targets(rq->control->instance.region)[t[k].slot].weight, weight);
	request_log(rq, "weight of %s in route %s set to %s", rq->argv[1], rq->argv[0], rq->argv[2]);
	request_answer(rq, json_pack("{s:s, s:s, s:I, s:s}", "route", rq->argv[0], "upstream", rq->argv[1],
				     "weight", (json_int_t)(weight >= 0 ? (uint32_t)weight : t[k].weight),
				     "set_by", weight >= 0 ? "hand" : "configuration"));
}

void command_set_route(struct request *rq)
{
	const struct snapshot *s = rq->control->dataplane.running.snapshot;
	const struct snap_route *r = snap_at(s, s->routes);
	bool off = rq->argc == 2 && strcmp(rq->argv[1], "disabled") == 0;
	bool bound = rq->argc == 3 && strcmp(rq->argv[1], "max_in_flight") == 0;
	struct slice name;
	char near[200];
	uint32_t i = 0;

	if (!bound && (rq->argc != 2 || (!off && strcmp(rq->argv[1], "enabled") != 0))) {
		request_error(rq, "set route ROUTE enabled|disabled | max_in_flight N|none|auto");
		return;
	}
	name = slice_of(rq->argv[0], strlen(rq->argv[0]));
	while (i < s->routes.n && !named(s, r[i].name, name.p, name.n))
		i++;
	if (i == s->routes.n) {
		SUGGEST(s, s->routes, snap_route, rq->argv[0], near);
		request_error(rq, "no route \"%s\"%s", rq->argv[0], near);
		return;
	}
	if (bound) {
		command_set_in_flight(rq, "route", r[i].credits, r[i].max_in_flight);
		return;
	}
	if (!region_route_switch(rq->control->instance.region, name, off)) {
		request_error(rq, "%d routes are disabled, and no more can be", REGION_ROUTES_OFF);
		return;
	}
	request_log(rq, "route %s %s", rq->argv[0], rq->argv[1]);
	request_answer(rq, json_pack("{s:s, s:s}", "route", rq->argv[0], "state", rq->argv[1]));
}

void command_set_listener(struct request *rq)
{
	const struct snapshot *s = rq->control->dataplane.running.snapshot;
	const struct snap_listener *l = snap_at(s, s->listeners);
	char near[200];
	uint32_t i = 0;

	if (rq->argc != 3 || strcmp(rq->argv[1], "max_in_flight") != 0) {
		request_error(rq, "set listener LISTENER max_in_flight N|none|auto");
		return;
	}
	while (i < s->listeners.n && !named(s, l[i].name, rq->argv[0], strlen(rq->argv[0])))
		i++;
	if (i == s->listeners.n) {
		SUGGEST(s, s->listeners, snap_listener, rq->argv[0], near);
		request_error(rq, "no listener \"%s\"%s", rq->argv[0], near);
		return;
	}
	command_set_in_flight(rq, "listener", l[i].credits, l[i].max_in_flight);
}

void command_set_log(struct request *rq)
{
	uint32_t level = 0;

	while (rq->argc == 1 && level <= LOG_DEBUG && strcmp(rq->argv[0], conf_log_levels[level]) != 0)
		level++;
	if (rq->argc != 1 || level > LOG_DEBUG) {
		request_error(rq, "%s%s%sset log error|warning|info|debug", rq->argc ? "\"" : "",
			      rq->argc ? rq->argv[0] : "", rq->argc ? "\" is no level: " : "");
		return;
	}
	atomic_store(&rq->control->instance.region->log_level, level);
	request_log(rq, "log level set to %s", conf_log_levels[level]);
	request_answer(rq, json_pack("{s:s}", "level", conf_log_levels[level]));
}

static char *diag_text(struct diag *d)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	diag_print(d, f);
	fclose(f);
	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	return text;
}

void command_config_check(struct request *rq)
{
	struct config c;
	char why[400];
	char *text;

	if (rq->argc > 1) {
		request_error(rq, "config check [FILE]");
		return;
	}
	// Control may read what who asks may not, and says what in it is wrong.
	if (rq->argc && rq->level < LEVEL_ADMIN) {
		request_error(rq, "\"config check FILE\" needs level admin; this socket gives %s",
			      conf_levels[rq->level]);
		return;
	}
	const char *path = rq->argc ? rq->argv[0] : rq->control->path;
	bool good = config_load(&c, path);

	text = diag_text(&c.diag);
	if (!good) {
		request_error(rq, "%s", text ? text : "no memory left");
	} else if (compile_dry(&c, NULL, why, sizeof(why)) < 0) {
		request_error(rq, "%s: %s", path, why);
	} else {
		json_t *warnings = json_array();

		for (char *line = text, *next; line && *line; line = next) {
			size_t n = strcspn(line, "\n");

			next = line + n + (line[n] == '\n');
			json_array_append_new(warnings, json_pack("{s:s%}", "warning", line, n));
		}
		request_answer(rq, json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:o}", "file", path, "result",
					     "ok", "listeners", (int)c.root.listeners.n, "routes",
					     (int)c.root.routes.n, "upstreams", (int)c.root.upstreams.n,
					     "endpoints", (int)c.n_endpoints, "warnings", warnings));
	}
	free(text);
	config_free(&c);
}

static void reloaded(void *ctx, const char *error)
{
	struct request *rq = ctx;
	const struct snapshot *s = rq->control->dataplane.running.snapshot;

	if (error) {
		request_error(rq, "%s", error);
		return;
	}
	request_log(rq, "configuration reloaded, generation %llu", (unsigned long long)s->generation);
	request_answer(rq, json_pack("{s:s, s:I, s:i, s:i}", "result", "ok", "generation",
				     (json_int_t)s->generation, "routes", (int)s->routes.n, "upstreams",
				     (int)s->upstreams.n));
}

void command_config_reload(struct request *rq)
{
	if (rq->argc > 1)
		request_error(rq, "config reload [FILE]");
	else
		control_reload(rq->control, rq->argc ? rq->argv[0] : NULL, reloaded, rq);
}

void command_shutdown(struct request *rq)
{
	bool now = rq->argc == 1 && strcmp(rq->argv[0], "now") == 0;
	struct control *c = rq->control;

	if (rq->argc && !now) {
		request_error(rq, "shutdown [now]");
		return;
	}
	request_log(rq, now ? "shutdown now" : "shutdown");
	// The answer is on its way before anything is closed.
	request_answer(rq, json_pack("{s:s}", "result", now ? "stopping now" : "finishing requests in flight"));
	control_shutdown(c, now ? 0 : CONTROL_DRAIN);
}
