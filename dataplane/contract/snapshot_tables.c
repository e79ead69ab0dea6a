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
		if (h[at].used != 1 || h[at].root >= c->s->nodes.n)
			return check_fail(c, "host %u: root %u is out of range", at, h[at].root);
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

// What the tries' nodes are checked against.
struct trie {
	uint32_t *best;     // of each node: lowest route of itself and its children, as they say
	unsigned char *has; // a parent
};

static bool node_routes(struct check *c, struct snap_ref r, uint32_t at, uint32_t *best)
{
	const struct snap_route *routes = snap_at(c->s, c->s->routes);
	const struct snap_take *v;

	if (!check_records(c, r, sizeof *v, "node routes"))
		return false;
	v = snap_at(c->s, r);
	for (uint32_t k = 0; k < r.n; k++) {
		const struct snap_route *route = &routes[v[k].route];

		if (v[k].route >= c->s->routes.n || (k && v[k].route <= v[k - 1].route))
			return check_fail(c, "node %u: route %u is out of range or out of order", at,
					  v[k].route);
		if (v[k].methods != (route->methods | (route->conditions.n ? SNAP_TAKE_CONDITIONS : 0)))
			return check_fail(c, "node %u: route %u has other methods or conditions", at,
					  v[k].route);
	}
	if (r.n && v[0].route < *best)
		*best = v[0].route;
	return true;
}

static bool adopt(struct check *c, struct trie *t, uint32_t parent, uint32_t child)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);

	if (child >= c->s->nodes.n || parent >= c->s->nodes.n)
		return check_fail(c, "node %u: child %u is out of range", parent, child);
	if (t->has[child])
		return check_fail(c, "node %u has two parents", child);
	t->has[child] = 1;
	if (n[child].best < t->best[parent])
		t->best[parent] = n[child].best;
	return true;
}

static bool edge_text(struct check *c, const struct snap_edge *e)
{
	return key_text(c, e->off, e->n, (const char *)e->w, sizeof(e->w), "edge");
}

static bool edges(struct check *c, struct trie *t)
{
	const struct snap_edge *e;
	uint64_t hash;
	struct probing p = {.n = c->s->edges.n};

	if (!probing_table(c, c->s->edges, sizeof *e, "edges"))
		return false;
	e = snap_at(c->s, c->s->edges);
	while (p.begin < p.n && e[p.begin].child)
		p.begin++;
	if (p.begin == p.n)
		return check_fail(c, "edges: no slot of the table is empty");
	for (uint32_t i = 0; i < p.n; i++) {
		uint32_t at = (p.begin + i) & (p.n - 1);

		if (!e[at].child) {
			p.since = 0;
			continue;
		}
		if (!edge_text(c, &e[at]) || !adopt(c, t, e[at].parent, e[at].child))
			return false;
		hash = routekey_edge(routekey_segment(snap_edge_text(c->s, &e[at])).hash, e[at].parent);
		if (e[at].tag != hash >> 32)
			return check_fail(c, "edge %u: hash wrong", at);
		if (!probing_reaches(&p, at, hash))
			return check_fail(c, "edge %u: stands where it is not found", at);
		p.since++;
	}
	return true;
}

static bool nodes(struct check *c, struct trie *t)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);
	uint32_t count = c->s->nodes.n;

	for (uint32_t i = 0; i < count; i++) {
		t->best[i] = UINT32_MAX;
		if (!node_routes(c, n[i].exact, i, &t->best[i]) ||
		    !node_routes(c, n[i].prefix, i, &t->best[i]) || !node_routes(c, n[i].rest, i, &t->best[i]))
			return false;
	}
	for (uint32_t i = 0; i < count; i++)
		if (n[i].param && !adopt(c, t, i, n[i].param))
			return false;
	if (!edges(c, t))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (n[i].best != t->best[i])
			return check_fail(c, "node %u: its lowest route is said to be %u, but is %u", i,
					  n[i].best, t->best[i]);
	return true;
}

bool check_tries(struct check *c)
{
	struct trie t;
	bool ok;

	if (!check_records(c, c->s->nodes, sizeof(struct snap_node), "nodes"))
		return false;
	t.best = calloc((size_t)c->s->nodes.n + 1, sizeof *t.best);
	t.has = calloc((size_t)c->s->nodes.n + 1, 1);
	ok = t.best && t.has ? nodes(c, &t) : check_fail(c, "snapshot: no memory to check it");
	free(t.best);
	free(t.has);
	return ok;
}
