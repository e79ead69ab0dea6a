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
		if (h[at].used != 1 || h[at].root >= c->s->nodes.n - c->s->edges.n ||
		    nodes[h[at].root].hash != h[at].hash)
			return check_fail(c, "host %u: root %u is none, or another's", at, h[at].root);
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

static bool node_takes(struct check *c, const union snap_takes *t, uint32_t at, uint32_t *best)
{
	const struct snap_route *routes = snap_at(c->s, c->s->routes);
	const struct snap_take *v;
	uint32_t n;

	if (!(t->one.methods & SNAP_TAKE_ONE) && !check_records(c, t->list, sizeof *v, "node routes"))
		return false;
	v = snap_takes(c->s, t, &n);
	for (uint32_t k = 0; k < n; k++) {
		const struct snap_route *route = &routes[v[k].route];
		uint32_t one = t->one.methods & SNAP_TAKE_ONE;

		if (v[k].route >= c->s->routes.n || (k && v[k].route <= v[k - 1].route))
			return check_fail(c, "node %u: route %u is out of range or out of order", at,
					  v[k].route);
		if (v[k].methods != (route->methods | (route->conditions.n ? SNAP_TAKE_CONDITIONS : 0) | one))
			return check_fail(c, "node %u: route %u has other methods or conditions", at,
					  v[k].route);
	}
	if (n && v[0].route < *best)
		*best = v[0].route;
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

// best: room for the lowest route of each node and its children.
static bool tries(struct check *c, uint32_t *best)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);
	const uint32_t count = c->s->nodes.n, first = count - c->s->edges.n;

	if (!table(c, n))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		best[i] = UINT32_MAX;
		if (n[i].hash == 0)
			continue;
		if (i < first && (n[i].parent || n[i].n || n[i].w[0] || n[i].w[1]))
			return check_fail(c, "node %u: a root with a parent or a segment", i);
		if (n[i].param && (n[i].param < first || n[i].param >= count || n[n[i].param].n != SNAP_PARAM ||
				   n[n[i].param].parent != i || n[n[i].param].hash == 0))
			return check_fail(c, "node %u: child %u is none of its", i, n[i].param);
		if (!node_takes(c, &n[i].exact, i, &best[i]) || !node_takes(c, &n[i].prefix, i, &best[i]) ||
		    !node_takes(c, &n[i].rest, i, &best[i]))
			return false;
	}
	for (uint32_t i = first; i < count; i++)
		if (n[i].hash && n[i].best < best[n[i].parent])
			best[n[i].parent] = n[i].best;
	for (uint32_t i = 0; i < count; i++)
		if (n[i].hash && n[i].best != best[i])
			return check_fail(c, "node %u: its lowest route is said to be %u, but is %u", i,
					  n[i].best, best[i]);
	return true;
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
	uint32_t *best = calloc((size_t)c->s->nodes.n + 1, sizeof(*best));
	bool ok = best ? tries(c, best) : check_fail(c, "snapshot: no memory to check it");

	free(best);
	return ok;
}
