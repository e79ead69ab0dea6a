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

static bool probing_reaches(const struct probing *p, uint32_t at, uint32_t home)
{
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
		if (h[at].used > HOST_IN_ORDER)
			return check_fail(c, "host %u: used in a way that is none", at);
		if (!key_text(c, h[at].off, h[at].n, h[at].text, sizeof(h[at].text), "host") ||
		    !host_key(c, &h[at], at))
			return false;
		if (!probing_reaches(&p, at, (uint32_t)h[at].hash & (p.n - 1)))
			return check_fail(c, "host %u: stands where it is not found", at);
		p.since++;
		any |= h[at].n == 0;
		suffixes |= h[at].n > 0 && snap_host_text(c->s, &h[at]).p[0] == '.';
	}
	if (c->s->host_any != any || c->s->host_suffixes != suffixes)
		return check_fail(c, "hosts: the table and its summary disagree");
	return true;
}

// What is known of a node and all below it.
struct subtree {
	uint32_t count; // of routes; 0: this is no node that anything leads to
	uint32_t depth; // of edges, one after the other
};

struct tries {
	uint32_t *ends;          // how many routes each has
	struct subtree *subtree; // of each node
	uint32_t *methods;       // of each rank of the host in hand; UINT32_MAX: not met
	unsigned char *host;     // of each route: whether one has it
};

static bool takes(struct check *c, const union snap_takes *t, uint32_t at, uint64_t *count)
{
	const struct snap_take *v;
	uint32_t n;

	if (!(t->one.methods & SNAP_TAKE_ONE) && !check_records(c, t->list, sizeof *v, "node routes"))
		return false;
	v = snap_takes(c->s, t, &n);
	for (uint32_t k = 0; k < n; k++)
		if ((k && v[k].rank <= v[k - 1].rank) || (v != &t->one && v[k].methods & SNAP_TAKE_ONE))
			return check_fail(c, "ends %u: route %u is out of order", at, v[k].rank);
	*count += n;
	return true;
}

static bool ends(struct check *c, struct tries *t)
{
	const struct snap_ends *e = snap_at(c->s, c->s->ends);

	for (uint32_t i = 0; i < c->s->ends.n; i++) {
		uint64_t count = 0;

		if (!takes(c, &e[i].exact, i, &count) || !takes(c, &e[i].prefix, i, &count) ||
		    !takes(c, &e[i].rest, i, &count))
			return false;
		if (count > c->s->routes.n)
			return check_fail(c, "ends %u: more routes than there are", i);
		t->ends[i] = (uint32_t)count;
	}
	return true;
}

// What a node leads to comes before it, so that nothing goes in circles.
static bool child(struct check *c, const struct tries *t, uint32_t at, uint32_t to, struct subtree *sum)
{
	const struct subtree *below;

	if (to >= at || !t->subtree[to].count)
		return check_fail(c, "node %u: child %u is none", at, to);
	below = &t->subtree[to];
	// One child's routes are no more than there are, and the sum is looked at each time.
	if (below->count > c->s->routes.n - sum->count)
		return check_fail(c, "node %u: more routes than there are", at);
	sum->count += below->count;
	if (sum->depth <= below->depth)
		sum->depth = below->depth + 1;
	return sum->depth <= SNAP_SEGMENTS_MAX || check_fail(c, "node %u: deeper than a path may be", at);
}

static bool edge(struct check *c, const struct tries *t, uint32_t at, const struct snap_edge *e,
		 struct subtree *sum)
{
	if (!key_text(c, e->off, e->n, (const char *)e->w, sizeof(e->w), "edge"))
		return false;
	if (e->hash != routekey_edge(routekey_segment(snap_edge_text(c->s, e)).hash))
		return check_fail(c, "node %u: hash of an edge wrong", at);
	return child(c, t, at, e->node, sum);
}

static bool row(struct check *c, const struct tries *t, uint32_t at, struct subtree *sum)
{
	const struct snap_node *v = (const struct snap_node *)snap_at(c->s, c->s->nodes) + at;
	const struct snap_edge *e = snap_edges(v);

	for (uint32_t i = 0; i < SNAP_TAGS; i++)
		if (v->tag[i] != (i < v->slots ? routekey_tag(e[i].hash) : 0))
			return check_fail(c, "node %u: tag %u is not its edge's", at, i);
	for (uint32_t i = 0; i < v->slots; i++)
		if (!edge(c, t, at, &e[i], sum))
			return false;
	return true;
}

// It is not much larger than what it has, so that looking at all of it is no work.
static bool table(struct check *c, const struct tries *t, uint32_t at, struct subtree *sum)
{
	const struct snap_node *v = (const struct snap_node *)snap_at(c->s, c->s->nodes) + at;
	const struct snap_edge *e = snap_edges(v);
	struct probing p = {.n = v->slots};
	uint32_t used = 0;

	if ((p.n & (p.n - 1)) != 0)
		return check_fail(c, "node %u: a table of %u slots, which is not a power of two", at, p.n);
	while (p.begin < p.n && e[p.begin].hash)
		p.begin++;
	if (p.begin == p.n)
		return check_fail(c, "node %u: no slot of its table is empty", at);
	for (uint32_t i = 0; i < p.n; i++) {
		uint32_t slot = (p.begin + i) & (p.n - 1);

		if (!e[slot].hash) {
			p.since = 0;
			continue;
		}
		if (!edge(c, t, at, &e[slot], sum))
			return false;
		if (!probing_reaches(&p, slot, routekey_slot(e[slot].hash, p.n)))
			return check_fail(c, "node %u: edge %u stands where it is not found", at, slot);
		p.since++;
		used++;
	}
	return used >= p.n / 4 || check_fail(c, "node %u: %u edges in %u slots", at, used, p.n);
}

static bool node(struct check *c, const struct tries *t, uint32_t at, struct subtree *sum)
{
	const struct snap_node *v = (const struct snap_node *)snap_at(c->s, c->s->nodes) + at;

	if (v->ends > c->s->ends.n)
		return check_fail(c, "node %u: its routes are out of range", at);
	sum->count = v->ends ? t->ends[v->ends - 1] : 0;
	if (v->param ? !child(c, t, at, v->param - 1, sum) : v->param_rank != 0)
		return v->param ? false : check_fail(c, "node %u: a rank without a child", at);
	return v->slots <= SNAP_TAGS ? row(c, t, at, sum) : table(c, t, at, sum);
}

static bool nodes(struct check *c, struct tries *t)
{
	const struct snap_node *v = snap_at(c->s, c->s->nodes);
	const uint32_t n = c->s->nodes.n;

	for (uint32_t i = 0; i < n; i += 1 + v[i].slots) {
		struct subtree sum = {0, 0};

		if (v[i].slots > n - i - 1)
			return check_fail(c, "node %u: more edges than there are", i);
		if (!node(c, t, i, &sum))
			return false;
		t->subtree[i] = sum;
	}
	return true;
}

static bool ranks_meet(struct check *c, struct tries *t, uint32_t count, const union snap_takes *list,
		       uint64_t base)
{
	const struct snap_take *v;
	uint32_t n;

	v = snap_takes(c->s, list, &n);
	for (uint32_t k = 0; k < n; k++) {
		if (base + v[k].rank >= count || t->methods[base + v[k].rank] != UINT32_MAX)
			return check_fail(c, "route %lu of a host: stands there twice, or is none",
					  base + v[k].rank);
		t->methods[base + v[k].rank] = v[k].methods & ~SNAP_TAKE_ONE;
	}
	return true;
}

// All of a host's tree, in which each node has a route at least, and none is deeper than a path may be.
static bool tree_ranks(struct check *c, struct tries *t, uint32_t count, uint32_t at, uint64_t base)
{
	const struct snap_node *v = (const struct snap_node *)snap_at(c->s, c->s->nodes) + at;
	const struct snap_ends *e = (const struct snap_ends *)snap_at(c->s, c->s->ends) + v->ends - 1;
	const struct snap_edge *edges = snap_edges(v);

	if (v->ends && (!ranks_meet(c, t, count, &e->exact, base) ||
			!ranks_meet(c, t, count, &e->prefix, base) || !ranks_meet(c, t, count, &e->rest, base)))
		return false;
	if (v->param && !tree_ranks(c, t, count, v->param - 1, base + v->param_rank))
		return false;
	for (uint32_t i = 0; i < v->slots; i++)
		if (edges[i].hash && !tree_ranks(c, t, count, edges[i].node, base + edges[i].rank))
			return false;
	return true;
}

// A host's routes are what its trie says of them, and no other's. As each route is one host's, and a trie is
// walked that has as many as the host, this is linear.
static bool host_routes(struct check *c, struct tries *t, const struct snap_host *h, uint32_t at)
{
	const struct snap_route *routes = snap_at(c->s, c->s->routes);
	const uint32_t all = h->used == HOST_IN_A_ROW ? c->s->routes.n : c->s->order.n;

	if (h->root >= c->s->nodes.n || t->subtree[h->root].count == 0)
		return check_fail(c, "host %u: root %u is none", at, h->root);
	if (h->count != t->subtree[h->root].count || h->count > all || h->first > all - h->count)
		return check_fail(c, "host %u: %u routes from %u on, but its trie is of %u", at, h->count,
				  h->first, t->subtree[h->root].count);
	for (uint32_t k = 0; k < h->count; k++) {
		uint32_t route = snap_host_route(c->s, h, k);

		if (route >= c->s->routes.n || (k && route <= snap_host_route(c->s, h, k - 1)) ||
		    t->host[route]++)
			return check_fail(c, "host %u: route %u is out of range, out of order, or another's",
					  at, route);
	}
	memset(t->methods, 0xff, h->count * sizeof(*t->methods));
	if (!tree_ranks(c, t, h->count, h->root, 0))
		return false;
	for (uint32_t k = 0; k < h->count; k++) {
		uint32_t route = snap_host_route(c->s, h, k);

		if (t->methods[k] !=
		    (routes[route].methods | (routes[route].conditions.n ? SNAP_TAKE_CONDITIONS : 0)))
			return check_fail(c, "host %u: route %u has other methods or conditions", at, route);
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

bool check_nodes(struct check *c)
{
	return check_records(c, c->s->nodes, sizeof(struct snap_node), "nodes") &&
	       check_records(c, c->s->ends, sizeof(struct snap_ends), "ends");
}

bool check_tries(struct check *c)
{
	struct tries t = {.ends = calloc((size_t)c->s->ends.n + 1, sizeof(*t.ends)),
			  .subtree = calloc((size_t)c->s->nodes.n + 1, sizeof(*t.subtree)),
			  .methods = calloc((size_t)c->s->routes.n + 1, sizeof(*t.methods)),
			  .host = calloc((size_t)c->s->routes.n + 1, 1)};
	bool ok = t.ends && t.subtree && t.methods && t.host
			  ? ends(c, &t) && nodes(c, &t) && hosts_routes(c, &t)
			  : check_fail(c, "snapshot: no memory to check it");

	free(t.ends);
	free(t.subtree);
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
