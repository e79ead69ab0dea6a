// route test: which route takes a request, and why not those before it.
//
// The answer comes from the running snapshot by the function that workers use. For the explanation each route's
// own pattern is compiled alone and asked by the same function: once with any path, once with any host.
#include "command.h"
#include "route/route.h"
#include "routetable.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 200 // routes explained

struct target {
	struct slice host, path;
};

// "http://host:port/path?query", "host/path" or "/path".
static bool url_parse(const char *url, struct target *t)
{
	const char *scheme = strstr(url, "://"), *p = scheme ? scheme + 3 : url;
	size_t n = strcspn(p, "/?#");
	const char *path = p + n;

	t->host = slice_of(p, n);
	if (n && p[0] == '[') { // an IPv6 literal keeps its brackets
		const char *end = memchr(p, ']', n);

		if (!end)
			return false;
		t->host.n = (size_t)(end - p) + 1;
	} else {
		const char *colon = memchr(p, ':', n);

		if (colon)
			t->host.n = (size_t)(colon - p);
	}
	t->path = slice_of(path, strcspn(path, "?#"));
	if (t->path.n == 0)
		t->path = SLICE("/");
	return t->path.p[0] == '/';
}

static bool pattern_takes(struct route_pattern pattern, const struct target *t)
{
	struct snapshot head = {0};
	struct snap_route route = {0};
	struct route_match m;
	struct blob b = {0};
	bool takes = false;

	blob_add(&b, NULL, 1, sizeof(head));
	if (routetable_build(&b, &pattern, 1, &head)) {
		head.routes = blob_add(&b, &route, 1, sizeof(route));
		if (!b.failed) {
			memcpy(b.p, &head, sizeof(head));
			takes = route_find((const struct snapshot *)(const void *)b.p, 0, t->host, t->path,
					   METHOD_GET, &m) == ROUTE_FOUND;
		}
	}
	blob_free(&b);
	return takes;
}

static json_t *candidate(const struct snapshot *s, const struct snap_route *r, const struct target *t,
			 enum http_method method, bool *all)
{
	struct slice host = snap_text(s, r->host_text), path = snap_text(s, r->path_text);
	bool prefix = path.n && path.p[path.n - 1] == '*';
	bool host_ok, path_ok, method_ok = !r->methods || (r->methods >> method & 1);

	if (prefix)
		path.n--; // as control's compile wrote it
	host_ok = pattern_takes((struct route_pattern){host, SLICE("/"), true}, t);
	path_ok = pattern_takes((struct route_pattern){SLICE(""), path, prefix}, t);
	*all = host_ok && path_ok && method_ok;
	return json_pack("{s:s%, s:b, s:b, s:b}", "name", (const char *)s + r->name.off, (size_t)r->name.n,
			 "host", host_ok, "path", path_ok, "method", method_ok);
}

static json_t *slice_json(struct slice v)
{
	json_t *j = json_stringn(v.p, v.n);

	return j ? j : json_string("(not UTF-8)");
}

static void explain_action(json_t *j, const struct snapshot *s, const struct snap_route *r,
			   struct region *region)
{
	const struct snap_target *t = snap_at(s, r->targets);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	json_t *to;

	switch (r->action) {
	case ACTION_RESPOND:
		json_object_set_new(j, "respond", json_integer(r->status));
		return;
	case ACTION_REDIRECT:
		json_object_set_new(j, "redirect", json_integer(r->status));
		json_object_set_new(j, "location", slice_json(snap_text(s, r->location)));
		return;
	default:
		break;
	}
	to = json_array();
	for (uint32_t i = 0; i < r->targets.n; i++) {
		int32_t hand = region_targets(region)[t[i].slot].weight;

		json_array_append_new(to, json_pack("{s:o, s:I}", "upstream",
						    slice_json(snap_text(s, u[t[i].upstream].name)), "weight",
						    (json_int_t)(hand >= 0 ? (uint32_t)hand : t[i].weight)));
	}
	json_object_set_new(j, "to", to);
}

void command_route_test(struct request *rq)
{
	static const char *const results[] = {"found", "404: no route matches",
					      "405: a route matches but for its method"};
	const struct snapshot *s = rq->control->dataplane.running.snapshot;
	const struct snap_route *r = snap_at(s, s->routes);
	struct route_match m = {0};
	struct target t;
	enum http_method method;
	enum route_result result;
	json_t *j, *tried = json_array();

	if (rq->argc != 2 || !url_parse(rq->argv[1], &t)) {
		json_decref(tried);
		request_error(
			rq, "route test METHOD URL, for example: route test GET http://api.example.com/orders");
		return;
	}
	method = http_method_of(slice_of(rq->argv[0], strlen(rq->argv[0])));
	result = route_find(s, 0, t.host, t.path, method, &m);
	j = json_pack("{s:s, s:o, s:o, s:s}", "method", rq->argv[0], "host", slice_json(t.host), "path",
		      slice_json(t.path), "result", results[result]);
	if (result == ROUTE_FOUND) {
		json_object_set_new(j, "route", slice_json(snap_text(s, m.route->name)));
		explain_action(j, s, m.route, rq->control->instance.region);
		json_t *params = json_array();

		for (uint32_t i = 0; i < m.n_params && i < ROUTE_PARAMS; i++)
			json_array_append_new(params, slice_json(m.param[i]));
		json_object_set_new(j, "captures", params);
	} else if (result == ROUTE_NO_METHOD) {
		char allow[256];
		int n = route_allow(allow, sizeof(allow), m.allow);

		json_object_set_new(j, "allow", slice_json(slice_of(allow, n > 0 ? (size_t)n : 0)));
	}
	for (uint32_t i = 0; i < s->routes.n && i < CANDIDATES_MAX; i++) {
		bool all;

		json_array_append_new(tried, candidate(s, &r[i], &t, method, &all));
		if (all)
			break; // the first one that matches takes it
	}
	json_object_set_new(j, "tried", tried);
	request_answer(rq, j);
}
