// The walk: (exact host, each suffix of the host, any) x a trie of path segments.
//
// Work is bounded. A path's tries are trees, and a node is reached by one way only, so a request visits each
// node at most once; it visits two children of a node only where the configuration has both a literal and a
// "{name}" there. With d segments that is at most min(2^d, nodes of the table), decided by the configuration
// and never by the request; d is bounded by SEGMENTS_MAX, which is also the most that a pattern may have
// (control/routetable.h), so that longer paths can match nothing but prefixes on the way. Subtrees whose best
// route comes after the one already found are not entered. A host has at most LABELS_MAX suffixes looked up.
//
// Of a burst all that follows from the requests alone is asked for first: their hosts, and the nodes of the
// first segments. Then each request walks alone: the walks of neighbours do not depend on each other, so that
// the processor has several of them under way.
#include "route/route.h"
#include "base/hash.h"
#include "route/condition.h"
#include "route/negotiate.h"
#include <stdatomic.h>

#define SEGMENTS_MAX SNAP_SEGMENTS_MAX
#define LABELS_MAX   16
#define HOST_MAX     255
#define AHEAD        2 // segments of a path whose nodes are asked for before the walk

// A request's host, before its walk.
struct host_key {
	struct slice host; // without a trailing dot
	uint64_t hash;
};

struct walk {
	const struct snapshot *s;
	const struct snap_node *nodes;
	const struct snap_route *routes;
	const struct route_query *q;
	const struct host_key *key;
	const struct snap_host *host; // whose trie it is in
	const char *end;              // of the path
	uint32_t method_bit;
	uint32_t best;  // lowest route found so far
	uint32_t limit; // rank in this host from which on routes come after that
	uint32_t allow;
	uint32_t depth, n_params;
	struct slice param[ROUTE_PARAMS];
	struct route_match *m;
};

// The child that a segment leads to; 0: none.
static uint32_t child_find(const struct walk *w, uint32_t parent, struct slice text, const struct routekey *key)
{
	uint32_t mask = w->s->edges.n - 1, first = w->s->nodes.n - w->s->edges.n;
	uint64_t hash = routekey_edge(key->hash, w->nodes[parent].hash);

	for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
		const struct snap_node *v = &w->nodes[first + i];

		if (v->hash == 0)
			return 0;
		if (v->hash != hash || v->parent != parent || v->n != text.n)
			continue;
		if (text.n <= ROUTEKEY_INLINE ? v->w[0] == key->w[0] && v->w[1] == key->w[1]
					      : slice_eq(snap_node_text(w->s, v), text))
			return first + i;
	}
}

// Up to the next slash, and what follows it: NULL where the path ends.
static struct slice segment_cut(const char *p, const char *end, const char **next)
{
	const char *slash = p < end ? memchr(p, '/', (size_t)(end - p)) : NULL;

	*next = slash ? slash + 1 : NULL;
	return slice_of(p, (size_t)((slash ? slash : end) - p));
}

static uint32_t route_of(const struct walk *w, const struct snap_take *t)
{
	return snap_host_route(w->s, w->host, t->rank);
}

static void take(struct walk *w, uint32_t rank, uint32_t route, bool rest, struct slice left)
{
	w->best = route;
	w->limit = rank;
	w->m->n_params = w->n_params;
	w->m->rest = rest ? slice_of("", 0) : left;
	for (uint32_t i = 0; i < w->n_params; i++)
		w->m->param[i] = w->param[i];
	if (rest && w->n_params < ROUTE_PARAMS)
		w->m->param[w->m->n_params++] = left;
}

// As if it were not in the file.
__attribute__((noinline, cold)) static bool disabled(const struct walk *w, const struct snap_route *r)
{
	uint64_t key = hash64(snap_at(w->s, r->name), r->name.n);

	for (uint32_t i = 0; i < w->q->n_off; i++)
		if (atomic_load_explicit(&w->q->off[i], memory_order_relaxed) == key)
			return true;
	return false;
}

static bool fits(const struct walk *w, const struct snap_take *t, const struct snap_route *r)
{
	uint32_t methods = t->methods & ~SNAP_TAKE_FLAGS;

	return (!methods || (methods & w->method_bit)) && conditions_hold(w->s, r, w->q);
}

// Of the variants from t[i] on, the one that the client likes best; UINT32_MAX: none.
static uint32_t variant_best(const struct walk *w, const struct snap_take *t, uint32_t i, uint32_t n)
{
	uint32_t best = UINT32_MAX, most = 0;

	for (; i < n; i++) {
		uint32_t route = route_of(w, &t[i]), quality;
		const struct snap_route *r = &w->routes[route];

		if (!(t[i].methods & SNAP_TAKE_CONDITIONS) || !negotiate_is_variant(w->s, r) ||
		    !fits(w, &t[i], r) || (w->q->n_off && disabled(w, r)))
			continue;
		quality = negotiate_quality(w->s, r, w->q);
		if (quality > most) {
			most = quality;
			best = route;
		}
	}
	return best;
}

// The routes that match here, in the order of the file, as far as they come before what was found.
static void routes_take(struct walk *w, const union snap_takes *list, bool rest, struct slice left)
{
	uint32_t variant = 0, n;
	const struct snap_take *t = snap_takes(w->s, list, &n);
	bool chosen = false;

	for (uint32_t i = 0; i < n && t[i].rank < w->limit; i++) {
		uint32_t methods = t[i].methods & ~SNAP_TAKE_FLAGS, route = route_of(w, &t[i]);
		const struct snap_route *r = &w->routes[route];
		bool conditions = t[i].methods & SNAP_TAKE_CONDITIONS;

		if (w->q->n_off && disabled(w, r))
			continue;
		if (conditions && !conditions_hold(w->s, r, w->q))
			continue;
		if (methods && !(methods & w->method_bit)) {
			w->allow |= methods;
			continue;
		}
		if (conditions && negotiate_is_variant(w->s, r)) {
			if (!chosen)
				variant = variant_best(w, t, i, n);
			chosen = true;
			if (variant != route) {
				if (variant == UINT32_MAX && w->m->n_offers < ROUTE_OFFERS)
					w->m->offer[w->m->n_offers++] = route;
				continue;
			}
		}
		take(w, t[i].rank, route, rest, left);
		return;
	}
}

// The segment at p, which ends at the next slash or with the path, and its key. Short ones are found in the
// word that is their key.
static struct slice segment_take(const char *p, const char *end, const char **next, struct routekey *key)
{
	size_t left = (size_t)(end - p), n;
	uint64_t v = routekey_word(p, left), slashes = routekey_slashes(v);
	struct slice s;

	if (slashes) {
		n = (unsigned)__builtin_ctzll(slashes) / 8;
		*next = p + n + 1;
		key->w[0] = v & ((1ull << 8 * n) - 1);
	} else if (left <= 8) {
		n = left;
		*next = NULL;
		key->w[0] = v;
	} else {
		s = segment_cut(p, end, next);
		*key = routekey_segment(s);
		return s;
	}
	key->w[1] = 0;
	key->hash = hash_mix(key->w[0] ^ n, 0);
	return slice_of(p, n);
}

// p: behind the slash that ended the way to this node; NULL: the path ended here.
static void node_visit(struct walk *w, uint32_t index, const char *p)
{
	const uint32_t depth = w->depth, n_params = w->n_params;

	for (;;) {
		const struct snap_node *node = &w->nodes[index];
		struct slice segment;
		struct routekey key;
		const char *next;
		uint32_t child;

		if (node->best >= w->limit)
			break;
		if (node->prefix.list.n)
			routes_take(w, &node->prefix, false,
				    p ? slice_of(p - 1, (size_t)(w->end - p) + 1) : slice_of("", 0));
		if (!p) {
			if (node->exact.list.n)
				routes_take(w, &node->exact, false, slice_of("", 0));
			break;
		}
		if (node->rest.list.n && p < w->end)
			routes_take(w, &node->rest, true, slice_of(p, (size_t)(w->end - p)));
		if (w->depth == SEGMENTS_MAX)
			break;
		segment = segment_take(p, w->end, &next, &key);
		child = child_find(w, index, segment, &key);
		w->depth++;
		p = next;
		if (node->param && segment.n) {
			if (child)
				node_visit(w, child, next);
			if (w->n_params < ROUTE_PARAMS)
				w->param[w->n_params++] = segment;
			child = node->param;
		}
		if (!child)
			break;
		index = child;
	}
	w->depth = depth;
	w->n_params = n_params;
}

static const struct snap_host *host_find(const struct snapshot *s, struct slice key, uint64_t hash)
{
	const struct snap_host *hosts = snap_at(s, s->hosts);
	uint32_t mask = s->hosts.n - 1;

	for (uint32_t i = (uint32_t)hash & mask; hosts[i].used; i = (i + 1) & mask)
		if (hosts[i].hash == hash && routekey_host_eq(snap_host_text(s, &hosts[i]), key))
			return &hosts[i];
	return NULL;
}

// How many of a host's routes come before one.
static uint32_t routes_before(const struct snapshot *s, const struct snap_host *h, uint32_t route)
{
	uint32_t low = 0, high = h->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (snap_host_route(s, h, middle) < route)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void host_visit(struct walk *w, struct slice key, uint64_t hash, const char *p)
{
	const struct snap_host *h = host_find(w->s, key, hash);

	if (!h)
		return;
	w->host = h;
	snap_prompt_ask(w->s, h);
	w->limit = w->best == UINT32_MAX ? UINT32_MAX : routes_before(w->s, h, w->best);
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

// Without a trailing dot; empty where it can be no host of ours.
static struct slice host_plain(struct slice host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	return host.n > HOST_MAX ? slice_of(host.p, 0) : host;
}

static void hosts_visit(struct walk *w, const char *p)
{
	struct slice host = w->key->host;

	// A host that begins with a dot is none, and must not meet the key of a suffix.
	if (host.n && host.p[0] != '.')
		host_visit(w, host, w->key->hash, p);
	if (host.n && w->s->host_suffixes) {
		for (size_t i = suffixes_begin(host); i < host.n; i++)
			if (host.p[i] == '.' && i > 0) {
				struct slice key = slice_of(host.p + i, host.n - i);

				host_visit(w, key, routekey_host(key), p);
			}
	}
	if (w->s->host_any)
		host_visit(w, slice_of("", 0), routekey_host(slice_of("", 0)), p);
}

static struct host_key host_key(const struct route_query *q)
{
	struct slice host = host_plain(q->host);

	return (struct host_key){host, routekey_host(host)};
}

static enum route_result find(const struct snapshot *s, const struct route_query *q, const struct host_key *key,
			      struct route_match *m)
{
	struct walk w;

	w.s = s;
	w.q = q;
	w.key = key;
	w.nodes = snap_at(s, s->nodes);
	w.routes = snap_at(s, s->routes);
	w.method_bit = 1u << q->method;
	w.best = UINT32_MAX;
	w.allow = w.depth = w.n_params = 0;
	w.m = m;
	m->route = NULL;
	m->index = m->allow = m->n_params = m->n_offers = 0;
	if (q->path.n == 0 || s->nodes.n == 0)
		return ROUTE_NOT_FOUND;
	w.end = q->path.p + q->path.n;
	// "*" (of OPTIONS) has no segments: only a prefix that takes all takes it.
	if (q->path.p[0] != '/' && !(q->path.n == 1 && q->path.p[0] == '*'))
		return ROUTE_NOT_FOUND;
	hosts_visit(&w, q->path.p[0] == '/' ? q->path.p + 1 : NULL);
	if (w.best != UINT32_MAX) {
		m->route = &w.routes[w.best];
		m->index = w.best;
		return ROUTE_FOUND;
	}
	if (m->n_offers)
		return ROUTE_NOT_ACCEPTABLE;
	m->allow = w.allow;
	return w.allow ? ROUTE_NO_METHOD : ROUTE_NOT_FOUND;
}

enum route_result route_find(const struct snapshot *s, const struct route_query *q, struct route_match *m)
{
	struct host_key key = host_key(q);

	return find(s, q, &key, m);
}

// Asks for what a walk will touch as far as its way is known beforehand: as if its path were of literal
// segments, and the one behind those that are asked for, a "{name}". Where there are no exact hosts it begins
// at "any".
static void walk_ask(const struct snapshot *s, const struct route_query *q, const struct host_key *key)
{
	const struct snap_host *hosts = snap_at(s, s->hosts);
	const struct snap_node *nodes = snap_at(s, s->nodes), *table = snap_at(s, s->edges);
	uint32_t home = (uint32_t)key->hash & (s->hosts.n - 1), mask = s->edges.n - 1;
	const char *p = q->path.p + 1, *end = q->path.p + q->path.n;
	uint64_t hash = s->hosts.n == 2 && s->host_any ? routekey_host(slice_of("", 0)) : key->hash;

	if (s->nodes.n == 0 || q->path.n == 0)
		return;
	__builtin_prefetch(&hosts[home]);
	__builtin_prefetch(&nodes[home]);
	for (unsigned i = 0; i < AHEAD && p && p <= end; i++) {
		struct routekey segment;

		segment_take(p, end, &p, &segment);
		hash = routekey_edge(segment.hash, hash);
		__builtin_prefetch(&table[(uint32_t)hash & mask]);
	}
	if (p)
		__builtin_prefetch(&table[(uint32_t)routekey_param(hash) & mask]);
}

void route_find_burst(const struct snapshot *s, const struct route_query *const *q,
		      struct route_match *const *m, enum route_result *result, unsigned n)
{
	struct host_key key[ROUTE_BURST];

	for (unsigned i = 0; i < n; i++) {
		key[i] = host_key(q[i]);
		walk_ask(s, q[i], &key[i]);
	}
	for (unsigned i = 0; i < n; i++)
		result[i] = find(s, q[i], &key[i], m[i]);
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
