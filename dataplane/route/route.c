// The walk: (exact host, each suffix of the host, any) x a trie of path segments.
//
// Work is bounded. What a host's routes say is a tree, though parts of it that are equal stand once, and a
// place in it is reached by one way only: a request visits each at most once, and two children of one only
// where the configuration has both a literal and a "{name}" there. With d segments that is at most min(2^d,
// segments of the host's routes), decided by the configuration and never by the request; d is bounded by
// SEGMENTS_MAX, which is also the most that a pattern may have (control/routetable.h), so that longer paths can
// match nothing but prefixes on the way. Subtrees whose best route comes after the one already found are not
// entered. A host has at most LABELS_MAX suffixes looked up.
//
// Of a burst all that follows from the requests alone is asked for first: their hosts, then the roots and
// prompts of those. Then each request walks alone: the walks of neighbours do not depend on each other, so that
// the processor has several of them under way.
#include "route/route.h"
#include "base/hash.h"
#include "route/condition.h"
#include "route/negotiate.h"
#include <emmintrin.h>
#include <stdatomic.h>

#define SEGMENTS_MAX SNAP_SEGMENTS_MAX
#define LABELS_MAX   16
#define HOST_MAX     255

// A request's host, before its walk.
struct host_key {
	struct slice host; // without a trailing dot
	uint64_t hash;
};

struct walk {
	const struct snapshot *s;
	const struct snap_node *nodes;
	const struct snap_ends *ends;
	const struct snap_route *routes;
	const struct route_query *q;
	const struct host_key *key;
	const struct snap_host *host; // whose trie it is in
	const char *end;              // of the path
	uint32_t method_bit;
	uint32_t best;   // lowest route found so far
	uint32_t beyond; // likewise of those of which it is not known whether they match
	uint32_t limit;  // rank in this host from which on routes come after that
	uint32_t allow;
	uint32_t depth, n_params;
	struct slice param[ROUTE_PARAMS];
	struct route_match *m;
};

static bool edge_is(const struct walk *w, const struct snap_edge *e, struct slice text,
		    const struct routekey *key)
{
	if (e->n != text.n)
		return false;
	return text.n <= ROUTEKEY_INLINE ? e->w[0] == key->w[0] && e->w[1] == key->w[1]
					 : slice_eq(snap_edge_text(w->s, e), text);
}

// The edge of a node that a segment has; NULL: none.
static const struct snap_edge *edge_find(const struct walk *w, const struct snap_node *v, struct slice text,
					 const struct routekey *key)
{
	const struct snap_edge *e = snap_edges(v);
	const uint32_t hash = routekey_edge(key->hash);

	if (v->slots <= SNAP_TAGS) {
		__m128i tags = _mm_loadu_si128((const __m128i *)(const void *)v->tag);
		unsigned hits = (unsigned)_mm_movemask_epi8(
			_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)routekey_tag(hash))));

		for (hits &= (1u << v->slots) - 1; hits; hits &= hits - 1)
			if (edge_is(w, &e[__builtin_ctz(hits)], text, key))
				return &e[__builtin_ctz(hits)];
		return NULL;
	}
	for (uint32_t i = routekey_slot(hash, v->slots); e[i].hash; i = (i + 1) & (v->slots - 1))
		if (e[i].hash == hash && edge_is(w, &e[i], text, key))
			return &e[i];
	return NULL;
}

// Up to the next slash, and what follows it: NULL where the path ends.
static struct slice segment_cut(const char *p, const char *end, const char **next)
{
	const char *slash = p < end ? memchr(p, '/', (size_t)(end - p)) : NULL;

	*next = slash ? slash + 1 : NULL;
	return slice_of(p, (size_t)((slash ? slash : end) - p));
}

static uint32_t route_of(const struct walk *w, const struct snap_take *t, uint32_t base)
{
	return snap_host_route(w->s, w->host, base + t->rank);
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

	return (!methods || (methods & w->method_bit)) && conditions_hold(w->s, r, w->q) == HOLDS;
}

// Of the variants from t[i] on, the one that the client likes best; UINT32_MAX: none.
static uint32_t variant_best(const struct walk *w, const struct snap_take *t, uint32_t base, uint32_t i,
			     uint32_t n)
{
	uint32_t best = UINT32_MAX, most = 0;

	for (; i < n; i++) {
		uint32_t route = route_of(w, &t[i], base), quality;
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

// The routes that match here, in the order of the file, as far as they come before what was found. base: what
// their ranks count from.
static void routes_take(struct walk *w, const union snap_takes *list, uint32_t base, bool rest,
			struct slice left)
{
	uint32_t variant = 0, n;
	const struct snap_take *t = snap_takes(w->s, list, &n);
	bool chosen = false;

	for (uint32_t i = 0; i < n && base + t[i].rank < w->limit; i++) {
		uint32_t methods = t[i].methods & ~SNAP_TAKE_FLAGS, route = route_of(w, &t[i], base);
		const struct snap_route *r = &w->routes[route];
		bool conditions = t[i].methods & SNAP_TAKE_CONDITIONS;

		if (w->q->n_off && disabled(w, r))
			continue;
		if (conditions) {
			enum holds holds = conditions_hold(w->s, r, w->q);

			if (holds == HOLDS_UNKNOWN && route < w->beyond &&
			    (!methods || (methods & w->method_bit)))
				w->beyond = route;
			if (holds != HOLDS)
				continue;
		}
		if (methods && !(methods & w->method_bit)) {
			w->allow |= methods;
			continue;
		}
		if (conditions && negotiate_is_variant(w->s, r)) {
			if (!chosen)
				variant = variant_best(w, t, base, i, n);
			chosen = true;
			if (variant != route) {
				if (variant == UINT32_MAX && w->m->n_offers < ROUTE_OFFERS)
					w->m->offer[w->m->n_offers++] = route;
				continue;
			}
		}
		take(w, base + t[i].rank, route, rest, left);
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

// The routes of a node.
static void ends_take(struct walk *w, const struct snap_node *node, uint32_t base, const char *p)
{
	const struct snap_ends *ends = &w->ends[node->ends - 1];

	if (ends->prefix.list.n)
		routes_take(w, &ends->prefix, base, false,
			    p ? slice_of(p - 1, (size_t)(w->end - p) + 1) : slice_of("", 0));
	if (!p && ends->exact.list.n)
		routes_take(w, &ends->exact, base, false, slice_of("", 0));
	if (p && p < w->end && ends->rest.list.n)
		routes_take(w, &ends->rest, base, true, slice_of(p, (size_t)(w->end - p)));
}

// base: what ranks count from here. p: behind the slash that ended the way to this node; NULL: the path ended
// here.
static void node_visit(struct walk *w, uint32_t index, uint32_t base, const char *p)
{
	const uint32_t depth = w->depth, n_params = w->n_params;

	while (base < w->limit) {
		const struct snap_node *node = &w->nodes[index];
		const struct snap_edge *edge;
		struct slice segment;
		struct routekey key;

		if (node->ends)
			ends_take(w, node, base, p);
		if (!p || w->depth == SEGMENTS_MAX)
			break;
		segment = segment_take(p, w->end, &p, &key);
		edge = edge_find(w, node, segment, &key);
		w->depth++;
		if (node->param && segment.n) {
			if (edge)
				node_visit(w, edge->node, base + edge->rank, p);
			if (w->n_params < ROUTE_PARAMS)
				w->param[w->n_params++] = segment;
			index = node->param - 1;
			base += node->param_rank;
		} else if (edge) {
			index = edge->node;
			base += edge->rank;
		} else {
			break;
		}
	}
	w->depth = depth;
	w->n_params = n_params;
}

static inline __attribute__((always_inline)) const struct snap_host *host_find(const struct snapshot *s,
									       struct slice key, uint64_t hash)
{
	const struct snap_host *hosts = snap_at(s, s->hosts);
	uint32_t mask = s->hosts.n - 1;

	for (uint32_t i = (uint32_t)hash & mask; hosts[i].used; i = (i + 1) & mask)
		if (hosts[i].hash == hash && routekey_host_is(key, snap_host_text(s, &hosts[i])))
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
	node_visit(w, h->root, 0, p);
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
	if (host.n && host.p[0] != '.' && !snap_any_alone(w->s))
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

static inline __attribute__((always_inline)) struct host_key host_key(const struct snapshot *s,
								      const struct route_query *q)
{
	struct slice host = host_plain(q->host);
	const struct http_head *h = q->head;

	if (snap_any_alone(s))
		return (struct host_key){host, 0};
	if (h && h->host_hash && h->host.p == host.p && h->host.n == host.n)
		return (struct host_key){host, h->host_hash};
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
	w.ends = snap_at(s, s->ends);
	w.routes = snap_at(s, s->routes);
	w.method_bit = 1u << q->method;
	w.best = w.beyond = UINT32_MAX;
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
	if (__builtin_expect(w.beyond < w.best, 0))
		return ROUTE_BEYOND;
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
	struct host_key key = host_key(s, q);

	return find(s, q, &key, m);
}

void route_find_burst(const struct snapshot *s, const struct route_query *const *q,
		      struct route_match *const *m, enum route_result *result, unsigned n)
{
	const struct snap_host *hosts = snap_at(s, s->hosts);
	const uint32_t mask = s->hosts.n - 1;
	struct host_key key[ROUTE_BURST];

	for (unsigned i = 0; i < n; i++) {
		key[i] = host_key(s, q[i]);
		__builtin_prefetch(&hosts[(uint32_t)key[i].hash & mask]);
	}
	for (unsigned i = 0; i < n; i++) {
		const struct snap_host *h = &hosts[(uint32_t)key[i].hash & mask];

		snap_prompt_ask(s, h);
		__builtin_prefetch((const struct snap_node *)snap_at(s, s->nodes) + h->root);
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
