// The tables of hosts and paths: every walk ends, and meets what it was made for.
#include "base/hash.h"
#include "contract/routekey.h"
#include "contract/snapshot_check.h"
#include <stdlib.h>

// Of an open-addressed table with linear probing, scanned from an empty slot on around: an entry is found when
// no empty slot lies between its home and itself.
struct probing {
	uint32_t n, begin, since; // since: how many used slots stand before the one looked at
};

static bool probing_reaches(const struct probing *p, uint32_t at, uint64_t hash)
{
	uint32_t home = (uint32_t)hash & (p->n - 1);

	return ((at - home) & (p->n - 1)) <= p->since;
}

static bool probing_table(struct check *c, struct snap_ref r, uint64_t size, const char *what)
{
	if (!check_records(c, r, size, what))
		return false;
	if (r.n == 0 || (r.n & (r.n - 1)) != 0)
		return check_fail(c, "%s: a table of %u slots, which is not a power of two", what, r.n);
	return true;
}

static bool host_key(struct check *c, const struct snap_host *h, uint32_t at)
{
	struct slice key = snap_host_text(c->s, h);

	for (size_t k = 0; k < key.n; k++)
		if (key.p[k] != ascii_lower(key.p[k]))
			return check_fail(c, "host %u: key is not in lower case", at);
	if (h->hash != routekey_host(key))
		return check_fail(c, "host %u: hash wrong", at);
	return true;
}

// A text that stands in a table where there is room for it, and outside where there is not.
static bool key_text(struct check *c, uint32_t off, uint32_t n, const char *own, size_t room, const char *what)
{
	if (n > room)
		return check_text(c, (struct snap_ref){off, n}, 0, SNAP_TEXT_MAX, what);
	for (size_t i = 0; i < room; i++)
		if (i < n ? (unsigned char)own[i] < 0x20 || own[i] == 0x7f : own[i] != 0)
			return check_fail(c, "%s: byte 0x%02x in a text", what, (unsigned char)own[i]);
	return true;
}

bool check_hosts(struct check *c)
{
	const struct snap_node *nodes = snap_at(c->s, c->s->nodes);
	const uint32_t roots = c->s->nodes.n - c->s->edges.n;
	const struct snap_host *h;
	uint32_t any = 0, suffixes = 0;
	struct probing p = {.n = c->s->hosts.n};

	if (!probing_table(c, c->s->hosts, sizeof *h, "hosts"))
		return false;
	h = snap_at(c->s, c->s->hosts);
	while (p.begin < p.n && h[p.begin].used)
		p.begin++;
	if (p.begin == p.n)
		return check_fail(c, "hosts: no slot of the table is empty");
	for (uint32_t i = 0; i < p.n; i++) {
		uint32_t at = (p.begin + i) & (p.n - 1);

		if (!h[at].used) {
			p.since = 0;
			continue;
		}
		if (h[at].used > HOST_IN_ORDER || h[at].root >= roots || nodes[h[at].root].hash == 0)
			return check_fail(c, "host %u: root %u is none", at, h[at].root);
		if (!key_text(c, h[at].off, h[at].n, h[at].text, sizeof(h[at].text), "host") ||
		    !host_key(c, &h[at], at))
			return false;
		if (!probing_reaches(&p, at, h[at].hash))
			return check_fail(c, "host %u: stands where it is not found", at);
		p.since++;
		any |= h[at].n == 0;
		suffixes |= h[at].n > 0 && snap_host_text(c->s, &h[at]).p[0] == '.';
	}
	if (c->s->host_any != any || c->s->host_suffixes != suffixes)
		return check_fail(c, "hosts: the table and its summary disagree");
	return true;
}

// What tries say of routes by their rank, in the place of each route that they are for.
struct trie {
	uint32_t begin; // of its ranks in `methods`
	uint32_t count; // of them
};

struct tries {
	uint32_t *best;      // lowest rank of each node and its children
	uint32_t *root;      // of each node
	struct trie *trie;   // of each root
	uint32_t *methods;   // of each rank; UINT32_MAX: not met
	unsigned char *host; // of each route: whether one has it
};

// Ranks of a list, and to begin with just how many there are.
static bool node_takes(struct check *c, const union snap_takes *t, uint32_t at, struct trie *trie,
		       uint32_t *best)
{
	const struct snap_take *v;
	uint32_t n;

	if (!(t->one.methods & SNAP_TAKE_ONE) && !check_records(c, t->list, sizeof *v, "node routes"))
		return false;
	v = snap_takes(c->s, t, &n);
	for (uint32_t k = 0; k < n; k++)
		if ((k && v[k].rank <= v[k - 1].rank) || (v != &t->one && v[k].methods & SNAP_TAKE_ONE))
			return check_fail(c, "node %u: route %u of its host is out of order", at, v[k].rank);
	if (n && v[0].rank < *best)
		*best = v[0].rank;
	trie->count += n;
	return true;
}

static bool node_methods(struct check *c, const union snap_takes *t, uint32_t at, struct trie *trie,
			 uint32_t *methods)
{
	const struct snap_take *v;
	uint32_t n;

	v = snap_takes(c->s, t, &n);
	for (uint32_t k = 0; k < n; k++) {
		if (v[k].rank >= trie->count || methods[trie->begin + v[k].rank] != UINT32_MAX)
			return check_fail(c, "node %u: route %u of its host stands there twice, or is none", at,
					  v[k].rank);
		methods[trie->begin + v[k].rank] = v[k].methods & ~SNAP_TAKE_ONE;
	}
	return true;
}

// A node of the table: how it hangs on its parent.
static bool node_way(struct check *c, const struct snap_node *nodes, uint32_t i)
{
	const struct snap_node *v = &nodes[i], *parent = &nodes[v->parent];
	uint64_t hash;

	if (v->parent >= c->s->nodes.n || parent->hash == 0)
		return check_fail(c, "node %u: parent %u is none", i, v->parent);
	if (v->n == SNAP_PARAM) {
		if (parent->param != i || v->w[0] || v->w[1])
			return check_fail(c, "node %u: node %u has another child for any segment", i,
					  v->parent);
		hash = routekey_param(parent->hash);
	} else {
		if (!key_text(c, v->off, v->n, (const char *)v->w, sizeof(v->w), "node"))
			return false;
		hash = routekey_edge(routekey_segment(snap_node_text(c->s, v)).hash, parent->hash);
	}
	return v->hash == hash || check_fail(c, "node %u: hash wrong", i);
}

static bool table(struct check *c, const struct snap_node *nodes)
{
	const uint32_t first = c->s->nodes.n - c->s->edges.n;
	struct probing p = {.n = c->s->edges.n};

	while (p.begin < p.n && nodes[first + p.begin].hash)
		p.begin++;
	if (p.begin == p.n)
		return check_fail(c, "nodes: no slot of the table is empty");
	for (uint32_t i = 0; i < p.n; i++) {
		uint32_t at = (p.begin + i) & (p.n - 1);

		if (!nodes[first + at].hash) {
			p.since = 0;
			continue;
		}
		if (!node_way(c, nodes, first + at))
			return false;
		if (!probing_reaches(&p, at, nodes[first + at].hash))
			return check_fail(c, "node %u: stands where it is not found", first + at);
		p.since++;
	}
	return true;
}

// Each node's root: none is deeper than a path may be.
static bool roots(struct check *c, uint32_t *root)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);
	const uint32_t first = c->s->nodes.n - c->s->edges.n;

	for (uint32_t i = 0; i < c->s->nodes.n; i++) {
		uint32_t at = i, depth = 0;

		if (n[i].hash == 0)
			continue;
		while (at >= first && depth++ <= SNAP_SEGMENTS_MAX)
			at = n[at].parent;
		if (at >= first)
			return check_fail(c, "node %u: deeper than a path may be", i);
		root[i] = at;
	}
	return true;
}

static bool trie_methods(struct check *c, struct tries *t)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);
	uint32_t begin = 0;

	for (uint32_t i = 0; i < c->s->nodes.n - c->s->edges.n; i++) {
		t->trie[i].begin = begin;
		begin += t->trie[i].count;
	}
	// So many records were counted as such that they fit into the snapshot, but for those in nodes.
	t->methods = malloc(((size_t)begin + 1) * sizeof(*t->methods));
	if (!t->methods)
		return check_fail(c, "snapshot: no memory to check it");
	memset(t->methods, 0xff, begin * sizeof(*t->methods));
	for (uint32_t i = 0; i < c->s->nodes.n; i++) {
		struct trie *trie = &t->trie[t->root[i]];

		if (n[i].hash && (!node_methods(c, &n[i].exact, i, trie, t->methods) ||
				  !node_methods(c, &n[i].prefix, i, trie, t->methods) ||
				  !node_methods(c, &n[i].rest, i, trie, t->methods)))
			return false;
	}
	return true;
}

// A host's routes are what its trie says of them, and no other's. As each route is one host's, this is linear.
static bool host_routes(struct check *c, struct tries *t, const struct snap_host *h, uint32_t at)
{
	const struct snap_route *routes = snap_at(c->s, c->s->routes);
	const uint32_t all = h->used == HOST_IN_A_ROW ? c->s->routes.n : c->s->order.n;
	const struct trie *trie = &t->trie[h->root];
	uint32_t before = 0;

	if (h->count != trie->count || h->count > all || h->first > all - h->count)
		return check_fail(c, "host %u: %u routes from %u on, but its trie is of %u", at, h->count,
				  h->first, trie->count);
	for (uint32_t k = 0; k < h->count; k++) {
		uint32_t route = snap_host_route(c->s, h, k);

		if (route >= c->s->routes.n || (k && route <= before) || t->host[route]++)
			return check_fail(c, "host %u: route %u is out of range, out of order, or another's",
					  at, route);
		if (t->methods[trie->begin + k] !=
		    (routes[route].methods | (routes[route].conditions.n ? SNAP_TAKE_CONDITIONS : 0)))
			return check_fail(c, "host %u: route %u has other methods or conditions", at, route);
		before = route;
	}
	return true;
}

static bool hosts_routes(struct check *c, struct tries *t)
{
	const struct snap_host *h = snap_at(c->s, c->s->hosts);

	if (!check_records(c, c->s->order, sizeof(uint32_t), "order of routes"))
		return false;
	for (uint32_t i = 0; i < c->s->hosts.n; i++)
		if (h[i].used && !host_routes(c, t, &h[i], i))
			return false;
	return true;
}

static bool tries(struct check *c, struct tries *t)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);
	const uint32_t count = c->s->nodes.n, first = count - c->s->edges.n;
	uint32_t *best = t->best;

	if (!table(c, n) || !roots(c, t->root))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct trie *trie = &t->trie[t->root[i]];

		best[i] = UINT32_MAX;
		if (n[i].hash == 0)
			continue;
		if (i < first && (n[i].parent || n[i].n || n[i].w[0] || n[i].w[1]))
			return check_fail(c, "node %u: a root with a parent or a segment", i);
		if (n[i].param && (n[i].param < first || n[i].param >= count || n[n[i].param].n != SNAP_PARAM ||
				   n[n[i].param].parent != i || n[n[i].param].hash == 0))
			return check_fail(c, "node %u: child %u is none of its", i, n[i].param);
		if (!node_takes(c, &n[i].exact, i, trie, &best[i]) ||
		    !node_takes(c, &n[i].prefix, i, trie, &best[i]) ||
		    !node_takes(c, &n[i].rest, i, trie, &best[i]))
			return false;
	}
	for (uint32_t i = first; i < count; i++)
		if (n[i].hash && n[i].best < best[n[i].parent])
			best[n[i].parent] = n[i].best;
	for (uint32_t i = 0; i < count; i++)
		if (n[i].hash && n[i].best != best[i])
			return check_fail(c, "node %u: its lowest route is said to be %u, but is %u", i,
					  n[i].best, best[i]);
	return trie_methods(c, t) && hosts_routes(c, t);
}

bool check_nodes(struct check *c)
{
	const struct snap_ref all = c->s->nodes, table = c->s->edges;

	if (!check_records(c, all, sizeof(struct snap_node), "nodes"))
		return false;
	if (table.n == 0 || (table.n & (table.n - 1)) != 0 || table.n > all.n)
		return check_fail(c, "nodes: a table of %u slots, which is not a power of two", table.n);
	if (table.off != all.off + (uint64_t)(all.n - table.n) * sizeof(struct snap_node))
		return check_fail(c, "nodes: the table is not the last of them");
	return true;
}

bool check_tries(struct check *c)
{
	const size_t n = (size_t)c->s->nodes.n + 1;
	struct tries t = {.best = calloc(n, sizeof(*t.best)),
			  .root = calloc(n, sizeof(*t.root)),
			  .trie = calloc(n, sizeof(*t.trie)),
			  .host = calloc((size_t)c->s->routes.n + 1, 1)};
	bool ok = t.best && t.root && t.trie && t.host ? tries(c, &t)
						       : check_fail(c, "snapshot: no memory to check it");

	free(t.best);
	free(t.root);
	free(t.trie);
	free(t.methods);
	free(t.host);
	return ok;
}

static bool answers(struct check *c)
{
	const struct snap_answer *a = snap_at(c->s, c->s->answers);

	if (c->s->answers.n > UINT16_MAX)
		return check_fail(c, "%u answers", c->s->answers.n);
	if (!check_records(c, c->s->answers, sizeof(*a), "answers"))
		return false;
	for (uint32_t i = 0; i < c->s->answers.n; i++) {
		if (a[i].status < 200 || a[i].status > 599 || a[i].head > a[i].text.n || a[i].head < 2 ||
		    a[i].date + SNAP_DATE > a[i].head || a[i].id + SNAP_ID > a[i].head)
			return check_fail(c, "answer %u: status %u, or its date or id lies outside of the head",
					  i, a[i].status);
		if (!check_bytes(c, a[i].text, SNAP_ANSWER_MAX, "answer"))
			return false;
	}
	return true;
}

// Nothing stands between such a route and its answer, which is the one that its record has.
static bool prompt_fits(const struct snap_route *r, const struct snap_answer *a)
{
	return r->action == ACTION_RESPOND && !r->stages && !r->path.slashes && !r->path.dot_segments &&
	       !(r->credits & SNAP_LIMITED) && r->answer.off == a->text.off && r->answer.n == a->text.n &&
	       r->answer_head == a->head && r->answer_date == a->date && r->answer_id == a->id &&
	       r->status == a->status;
}

bool check_prompts(struct check *c)
{
	const struct snap_prompt *p = snap_at(c->s, c->s->prompts);
	const struct snap_answer *a = snap_at(c->s, c->s->answers);
	const struct snap_route *r = snap_at(c->s, c->s->routes);

	if (!answers(c) || !check_records(c, c->s->prompts, sizeof(*p), "prompts"))
		return false;
	if (c->s->prompts.n && c->s->prompts.n != c->s->routes.n)
		return check_fail(c, "%u prompts of %u routes", c->s->prompts.n, c->s->routes.n);
	for (uint32_t i = 0; i < c->s->prompts.n; i++)
		if (p[i].stat_slot != r[i].stat_slot || p[i].answer > c->s->answers.n ||
		    (p[i].answer && !prompt_fits(&r[i], &a[p[i].answer - 1])))
			return check_fail(c, "route %u: its prompt is not what its record says", i);
	return true;
}
