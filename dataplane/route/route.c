// The walk: (exact host, each suffix of the host, any) x a trie of path segments.
//
// Work is bounded. A path's tries are trees, and a node is reached by one way only, so a request visits each
// node at most once; it visits two children of a node only where the configuration has both a literal and a
// "{name}" there. With d segments that is at most min(2^d, nodes of the table), decided by the configuration
// and never by the request; d is bounded by SEGMENTS_MAX, which is also the most that a pattern may have
// (control/routetable.h), so that longer paths can match nothing but prefixes on the way. Subtrees whose best
// route comes after the one already found are not entered. A host has at most LABELS_MAX suffixes looked up.
#include "route/route.h"
#include "base/hash.h"

#define SEGMENTS_MAX 64
#define LABELS_MAX   16
#define HOST_MAX     255

struct walk {
	const struct snapshot *s;
	const struct snap_node *nodes;
	const struct snap_edge *edges;
	const struct snap_route *routes;
	const char *end; // of the path
	uint32_t edge_mask;
	uint32_t method_bit;
	uint32_t best; // lowest route found so far
	uint32_t allow;
	uint32_t depth, n_params;
	struct slice param[ROUTE_PARAMS];
	struct route_match *m;
};

static uint32_t edge_find(const struct walk *w, uint32_t parent, struct slice text)
{
	uint64_t hash = snap_edge_hash(parent, text);

	for (uint32_t i = (uint32_t)hash & w->edge_mask;; i = (i + 1) & w->edge_mask) {
		const struct snap_edge *e = &w->edges[i];

		if (e->child == 0)
			return 0;
		if (e->hash == hash && e->parent == parent && slice_eq(snap_text(w->s, e->text), text))
			return e->child;
	}
}

// The routes that match here, in the order of the file, as far as they come before what was found.
static void routes_take(struct walk *w, struct snap_ref list)
{
	const uint32_t *index = snap_at(w->s, list);

	for (uint32_t i = 0; i < list.n && index[i] < w->best; i++) {
		uint32_t methods = w->routes[index[i]].methods;

		if (methods && !(methods & w->method_bit)) {
			w->allow |= methods;
			continue;
		}
		w->best = index[i];
		w->m->n_params = w->n_params;
		memcpy(w->m->param, w->param, w->n_params * sizeof(w->param[0]));
		return;
	}
}

// p: behind the slash that ended the way to this node; NULL: the path ended here.
static void node_visit(struct walk *w, uint32_t index, const char *p)
{
	const struct snap_node *node = &w->nodes[index];
	struct slice segment;
	const char *next;
	uint32_t child;

	if (node->best >= w->best)
		return;
	routes_take(w, node->prefix);
	if (!p) {
		routes_take(w, node->exact);
		return;
	}
	if (w->depth == SEGMENTS_MAX)
		return;
	next = p < w->end ? memchr(p, '/', (size_t)(w->end - p)) : NULL;
	segment = slice_of(p, (size_t)((next ? next : w->end) - p));
	next = next ? next + 1 : NULL;

	w->depth++;
	child = edge_find(w, index, segment);
	if (child)
		node_visit(w, child, next);
	if (node->param && segment.n) {
		bool room = w->n_params < ROUTE_PARAMS;

		if (room)
			w->param[w->n_params++] = segment;
		node_visit(w, node->param, next);
		w->n_params -= room;
	}
	w->depth--;
}

static const struct snap_host *host_find(const struct snapshot *s, struct slice key)
{
	const struct snap_host *hosts = snap_at(s, s->hosts);
	uint32_t mask = s->hosts.n - 1;
	uint64_t hash = hash64_lower(key.p, key.n);

	for (uint32_t i = (uint32_t)hash & mask; hosts[i].used; i = (i + 1) & mask)
		if (hosts[i].hash == hash && slice_ieq(snap_text(s, hosts[i].text), key))
			return &hosts[i];
	return NULL;
}

static void host_visit(struct walk *w, struct slice key, const char *p)
{
	const struct snap_host *h = host_find(w->s, key);

	if (h)
		node_visit(w, h->root, p);
}

// Where the last LABELS_MAX dots begin.
static size_t suffixes_begin(struct slice host)
{
	unsigned dots = 0;
	size_t i = host.n;

	while (i > 0 && dots < LABELS_MAX)
		dots += host.p[--i] == '.';
	return i;
}

static void hosts_visit(struct walk *w, struct slice host, const char *p)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n && host.n <= HOST_MAX) {
		// A host that begins with a dot is none, and must not meet the key of a suffix.
		if (host.p[0] != '.')
			host_visit(w, host, p);
		for (size_t i = suffixes_begin(host); w->s->host_suffixes && i < host.n; i++)
			if (host.p[i] == '.' && i > 0)
				host_visit(w, slice_of(host.p + i, host.n - i), p);
	}
	if (w->s->host_any)
		host_visit(w, slice_of("", 0), p);
}

enum route_result route_find(const struct snapshot *s, uint32_t listener, struct slice host, struct slice path,
			     enum http_method method, struct route_match *m)
{
	struct walk w;

	(void)listener;
	w.s = s;
	w.nodes = snap_at(s, s->nodes);
	w.edges = snap_at(s, s->edges);
	w.routes = snap_at(s, s->routes);
	w.edge_mask = s->edges.n - 1;
	w.method_bit = 1u << method;
	w.best = UINT32_MAX;
	w.allow = w.depth = w.n_params = 0;
	w.m = m;
	m->route = NULL;
	m->index = m->allow = m->n_params = 0;
	if (path.n == 0 || s->nodes.n == 0)
		return ROUTE_NOT_FOUND;
	w.end = path.p + path.n;
	// "*" (of OPTIONS) has no segments: only a prefix that takes all takes it.
	if (path.p[0] != '/' && !(path.n == 1 && path.p[0] == '*'))
		return ROUTE_NOT_FOUND;
	hosts_visit(&w, host, path.p[0] == '/' ? path.p + 1 : NULL);
	if (w.best != UINT32_MAX) {
		m->route = &w.routes[w.best];
		m->index = w.best;
		return ROUTE_FOUND;
	}
	m->allow = w.allow;
	return w.allow ? ROUTE_NO_METHOD : ROUTE_NOT_FOUND;
}

int route_allow(char *dst, size_t room, uint32_t methods)
{
	size_t n = 0;

	for (unsigned i = 0; i < METHOD_OTHER; i++) {
		size_t len = strlen(http_method_name[i]), comma = n ? 2 : 0;

		if (!(methods & 1u << i))
			continue;
		if (len + comma > room - n)
			break;
		memcpy(dst + n, ", ", comma);
		memcpy(dst + n + comma, http_method_name[i], len);
		n += len + comma;
	}
	return (int)n;
}
