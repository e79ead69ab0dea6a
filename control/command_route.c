// route test: which route takes a request, and why not those before it.
//
// The answer comes from the running snapshot by the function that workers use. For the explanation each route's
// own pattern is compiled alone and asked by the same function: once with any path, once with any host.
#include "command.h"
#include "contract/stages.h"
#include "http/path.h"
#include "http/template.h"
#include "route/condition.h"
#include "route/negotiate.h"
#include "route/regex.h"
#include "route/route.h"
#include "routetable.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 200 // routes explained

struct target {
	struct slice host, path, query;
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
	path += t->path.n;
	t->query = *path == '?' ? slice_of(path + 1, strcspn(path + 1, "#")) : slice_of(path, 0);
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
			takes = route_find((const struct snapshot *)(const void *)b.p,
					   &(struct route_query){.host = t->host, .path = t->path},
					   &m) == ROUTE_FOUND;
		}
	}
	blob_free(&b);
	return takes;
}

static json_t *conditions(const struct snapshot *s, const struct snap_route *r, const struct route_query *q,
			  bool *all)
{
	static const char *const kinds[CONDITION_KINDS] = {
		[CONDITION_LISTENER] = "listener", [CONDITION_CLIENT] = "client",
		[CONDITION_HEADER] = "header",     [CONDITION_QUERY] = "query",
		[CONDITION_COOKIE] = "cookie",     [CONDITION_VERSION] = "version",
		[CONDITION_ACCEPT] = "accept",     [CONDITION_LANGUAGE] = "language"};
	static const char *const tests[TESTS] = {"present", "absent", "equal", "prefix", "regex"};
	const struct snap_condition *c = snap_at(s, r->conditions);
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->conditions.n && c[i].kind < CONDITION_NEGOTIATED; i++) {
		bool holds = condition_holds(s, &c[i], q) == HOLDS, named = c[i].name.n > 0;

		*all = *all && holds;
		json_array_append_new(list,
				      json_pack("{s:o, s:b}", "condition",
						json_sprintf("%s%s%.*s%s%s", kinds[c[i].kind], named ? " " : "",
							     (int)c[i].name.n, (const char *)s + c[i].name.off,
							     named ? " " : "", named ? tests[c[i].test] : ""),
						"holds", holds));
	}
	if (negotiate_is_variant(s, r)) {
		uint32_t quality = negotiate_quality(s, r, q);

		*all = *all && quality;
		json_array_append_new(list, json_pack("{s:s, s:b, s:f}", "condition",
						      kinds[c[r->conditions.n - 1].kind], "holds", quality > 0,
						      "quality", quality / 1e6));
	}
	return list;
}

static json_t *candidate(const struct snapshot *s, const struct snap_route *r, const struct target *t,
			 const struct route_query *q, const struct region *region, bool *all)
{
	enum http_method method = q->method;
	json_t *j;
	struct slice host = snap_text(s, r->host_text), path = snap_text(s, r->path_text);
	bool prefix = path.n && path.p[path.n - 1] == '*';
	bool host_ok, path_ok, method_ok = !r->methods || (r->methods >> method & 1);

	if (prefix)
		path.n--; // as control's compile wrote it
	host_ok = pattern_takes((struct route_pattern){.host = host, .path = SLICE("/"), .prefix = true}, t);
	path_ok = pattern_takes((struct route_pattern){.host = SLICE(""), .path = path, .prefix = prefix}, t);
	*all = host_ok && path_ok && method_ok;
	j = json_pack("{s:s%, s:b, s:b, s:b}", "name", (const char *)s + r->name.off, (size_t)r->name.n, "host",
		      host_ok, "path", path_ok, "method", method_ok);
	if (region_route_is_off(region, snap_text(s, r->name))) {
		json_object_set_new(j, "state", json_string("disabled"));
		*all = false;
	}
	if (host_ok && path_ok && r->conditions.n)
		json_object_set_new(j, "conditions", conditions(s, r, q, all));
	return j;
}

static json_t *slice_json(struct slice v)
{
	json_t *j = json_stringn(v.p, v.n);

	return j ? j : json_string("(not UTF-8)");
}

// What comes out of a text with variables for this request.
static json_t *expanded(const struct snapshot *s, const struct route_query *q, const struct route_match *m,
			struct snap_ref pieces)
{
	static struct http_head head; // one command at a time
	const struct snap_listener *l = snap_at(s, s->listeners);
	char client[ADDR_TEXT_MAX], text[SNAP_HEAD_MAX];
	struct template_values v = {.snapshot = s,
				    .head = &head,
				    .request_id = SLICE("REQUEST-ID"),
				    .listener = s->listeners.n ? snap_text(s, l[q->listener].name) : SLICE(""),
				    .capture = m->param,
				    .n_captures = m->n_params,
				    .rest = m->rest};
	const char *method = http_method_name[q->method];
	int n;

	head = *q->head;
	head.method_text = slice_of(method, strlen(method));
	head.host = head.authority = q->host;
	head.path = q->path;
	head.query = q->query;
	addr_text(q->client, client);
	v.client = slice_of(client, strlen(client));
	n = template_expand(&v, pieces, text, sizeof(text));
	return n < 0 ? json_string("(too long)") : slice_json(slice_of(text, (size_t)n));
}

static void explain_action(json_t *j, const struct snapshot *s, const struct route_match *m,
			   const struct route_query *q, struct region *region)
{
	const struct snap_route *r = m->route;
	const struct snap_target *t = snap_at(s, r->targets);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	json_t *to;

	switch (r->action) {
	case ACTION_RESPOND:
		json_object_set_new(j, "respond", json_integer(r->status));
		return;
	case ACTION_REDIRECT:
		json_object_set_new(j, "redirect", json_integer(r->status));
		json_object_set_new(j, "location",
				    r->location_pieces.n ? expanded(s, q, m, r->location_pieces)
							 : slice_json(snap_text(s, r->location)));
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
	if (r->sticky) {
		static const char *const by[] = {"", "cookie", "header", "client_ip"};

		json_object_set_new(j, "sticky", json_string(by[r->sticky < STICKIES ? r->sticky : 0]));
	}
	if (r->rewrite_path.n)
		json_object_set_new(j, "path_sent", expanded(s, q, m, r->rewrite_path));
	if (r->rewrite_host.n)
		json_object_set_new(j, "host_sent", expanded(s, q, m, r->rewrite_host));
}

// "Name: value" of the command line; false where it is none.
static bool field_add(struct http_head *h, const char *arg)
{
	const char *colon = strchr(arg, ':'), *value = colon ? colon + 1 : NULL;

	if (!colon || colon == arg)
		return false;
	value += strspn(value, " ");
	return http_add(h, slice_of(arg, (size_t)(colon - arg)), slice_of(value, strlen(value)));
}

// Everything of the request but its target: method, fields, and with "listener=" and "client=" where it comes
// from.
static const char *query_parse(struct request *rq, const struct snapshot *s, struct http_head *h,
			       struct route_query *q)
{
	const struct snap_listener *l = snap_at(s, s->listeners);

	q->method = http_method_of(slice_of(rq->argv[0], strlen(rq->argv[0])));
	q->head = h;
	for (int i = 2; i < rq->argc; i++) {
		const char *arg = rq->argv[i];

		if (strncmp(arg, "client=", 7) == 0) {
			if (addr_parse(arg + 7, strlen(arg + 7), &q->client) != 0)
				return "client= is followed by an address";
		} else if (strncmp(arg, "listener=", 9) == 0) {
			uint32_t k = 0;

			while (k < s->listeners.n &&
			       !slice_eq(snap_text(s, l[k].name), slice_of(arg + 9, strlen(arg + 9))))
				k++;
			if (k == s->listeners.n)
				return "listener= is followed by the name of a listener";
			q->listener = k;
		} else if (!field_add(h, arg)) {
			return "a header is written \"Name: value\", in quotes";
		}
	}
	return NULL;
}

static json_t *offers(const struct snapshot *s, const struct route_match *m)
{
	const struct snap_route *r = snap_at(s, s->routes);
	json_t *list = json_array();

	for (uint32_t i = 0; i < m->n_offers; i++)
		json_array_append_new(list, slice_json(snap_text(s, r[m->offer[i]].name)));
	return list;
}

// The listener's path_policy, as a worker applies it.
static bool path_follows(const struct snapshot *s, const struct route_query *q, struct target *t)
{
	static char path[SNAP_HEAD_MAX]; // one command at a time
	const struct snap_listener *l = snap_at(s, s->listeners);
	size_t n;

	if (s->listeners.n == 0 || t->path.n == 0 || t->path.n > sizeof(path) || t->path.p[0] != '/')
		return true;
	switch (http_path_apply(&l[q->listener].path, t->path, path, &n)) {
	case HTTP_PATH_CHANGED:
		t->path = slice_of(path, n);
		return true;
	case HTTP_PATH_SAME:
		return true;
	case HTTP_PATH_REFUSED:
		break;
	}
	return false;
}

// A matcher of control's own, made once; commands run one at a time.
static struct regex_matcher *matcher(void)
{
	static struct regex_matcher *m;
	static struct arena a;

	if (!m && (a.base || arena_init(&a, regex_matcher_memory()) == 0))
		m = regex_matcher_create(&a, NULL);
	return m;
}

// The expressions of the running configuration, compiled when the first command asks for them. NULL with a
// sentence in why.
static const struct regex_set *compiled(const struct snapshot *s, char *why, size_t why_size)
{
	static struct regex_set *set;
	static uint64_t generation;

	if (set && generation == s->generation && regex_set_snapshot(set) == s)
		return set;
	regex_set_free(set);
	generation = s->generation;
	set = regex_set_create(s, why, why_size);
	return set;
}

static void limits_add(json_t *list, const struct snapshot *s, const struct snap_limit_use *use, uint32_t n)
{
	const struct snap_limit *l = snap_at(s, s->limits);

	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(list, slice_json(snap_text(s, l[use[i].limit].name)));
}

// Those of the listener, which hold whatever the route, and those of the route.
static json_t *limits(const struct snapshot *s, const struct route_query *q, const struct snap_route *r)
{
	const struct snap_listener *l = (const struct snap_listener *)snap_at(s, s->listeners) + q->listener;
	json_t *list = json_array();

	if (s->listeners.n)
		limits_add(list, s, snap_at(s, l->limits), l->limits.n);
	if (r && r->stages >> STAGE_ratelimit & 1)
		limits_add(list, s, snap_at(s, r->stage_conf[STAGE_ratelimit]),
			   r->stage_conf[STAGE_ratelimit].n / (uint32_t)sizeof(struct snap_limit_use));
	return list;
}

static json_t *explain(struct request *rq, const struct snapshot *s, const struct target *t,
		       const struct route_query *q)
{
	static const char *const results[] = {
		"found", "404: no route matches", "405: a route matches but for its method",
		"406: routes match but for what the client accepts", "400: a regular expression met its bound"};
	const struct snap_route *r = snap_at(s, s->routes);
	struct route_match m = {0};
	enum route_result result = route_find(s, q, &m);
	json_t *tried = json_array(), *j;

	j = json_pack("{s:s, s:o, s:o, s:s}", "method", rq->argv[0], "host", slice_json(t->host), "path",
		      slice_json(t->path), "result", results[result]);
	if (result == ROUTE_FOUND) {
		json_object_set_new(j, "route", slice_json(snap_text(s, m.route->name)));
		explain_action(j, s, &m, q, rq->control->instance.region);
		json_t *params = json_array();

		for (uint32_t i = 0; i < m.n_params && i < ROUTE_PARAMS; i++)
			json_array_append_new(params, slice_json(m.param[i]));
		json_object_set_new(j, "captures", params);
	} else if (result == ROUTE_NO_METHOD) {
		char allow[256];
		int n = route_allow(allow, sizeof(allow), m.allow);

		json_object_set_new(j, "allow", slice_json(slice_of(allow, n > 0 ? (size_t)n : 0)));
	} else if (result == ROUTE_NOT_ACCEPTABLE) {
		json_object_set_new(j, "on_offer", offers(s, &m));
	}
	for (uint32_t i = 0; i < s->routes.n && i < CANDIDATES_MAX; i++) {
		bool all;

		json_array_append_new(tried, candidate(s, &r[i], t, q, rq->control->instance.region, &all));
		if (result == ROUTE_FOUND && i == m.index)
			break; // the first one that matches takes it
	}
	json_object_set_new(j, "limits", limits(s, q, m.route));
	json_object_set_new(j, "tried", tried);
	return j;
}

void command_route_test(struct request *rq)
{
	const struct snapshot *s = rq->control->dataplane.running.snapshot;
	static struct http_head head; // one command at a time
	struct route_query q = {0};
	const struct regex_set *regexes;
	struct target t;
	const char *why;
	char message[240];

	if (rq->argc < 2 || !url_parse(rq->argv[1], &t)) {
		request_error(rq,
			      "route test METHOD URL [\"Name: value\"|client=ADDRESS|listener=NAME]..., for "
			      "example: route test GET http://api.example.com/orders");
		return;
	}
	head.n = 0;
	why = query_parse(rq, s, &head, &q);
	if (why) {
		request_error(rq, "%s", why);
		return;
	}
	regexes = compiled(s, message, sizeof(message));
	if (!regexes) {
		request_error(rq, "%s", message);
		return;
	}
	if (!path_follows(s, &q, &t)) {
		request_error(rq, "400: the path is refused by the listener's path_policy");
		return;
	}
	q.host = t.host;
	q.path = t.path;
	q.query = t.query;
	q.regexes = regexes;
	q.matcher = matcher();
	q.off = rq->control->instance.region->route_off;
	q.n_off = atomic_load(&rq->control->instance.region->n_routes_off);
	request_answer(rq, explain(rq, s, &t, &q));
}
