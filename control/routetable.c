#include "routetable.h"
#include "base/hash.h"
#include "route/route.h"
#include <stdlib.h>

#define NONE UINT32_MAX

// A node while it is built: its routes hang in lists by index (each route stands in one list only).
struct node {
	uint64_t hash;     // routekey_edge() of its way
	struct slice text; // its segment
	uint32_t parent;   // NONE: it is a root
	uint32_t place;    // in the snapshot
	uint32_t param;
	uint32_t best;
	uint32_t exact, exact_last;
	uint32_t prefix, prefix_last;
	uint32_t rest, rest_last;
};

struct host {
	char key[ROUTE_HOST_MAX];
	uint32_t n;
	uint32_t root;        // node; NONE: it is `same`'s
	uint32_t same;        // the first host whose routes ask for the same; itself
	uint32_t place;       // in the snapshot
	uint32_t first, last; // of its routes
	uint32_t count;       // of them
	uint64_t hash;
	uint64_t asks; // hash of what its routes ask for
};

struct builder {
	struct node *nodes;
	uint32_t n_nodes;
	uint32_t n_edges;     // nodes that are no roots
	uint32_t *edge_index; // those that segments lead to, open addressing, 1 + index; 0 is empty
	uint32_t edge_mask;
	struct host *hosts;
	uint32_t n_hosts;
	uint32_t *host_index;
	uint32_t host_mask;
	uint32_t *next;    // of each route in its node's list
	uint32_t *of_host; // of each route: its host's next one
	uint32_t *rank;    // of each route among its host's
	uint32_t *same;    // hosts that are their own `same`, by what they ask for; 1 + index, 0 is empty
};

static uint32_t power_of_two_for(uint64_t entries)
{
	uint32_t n = 1;

	while (n < 2 * entries)
		n *= 2;
	return n;
}

static bool segment_is_rest(struct slice s)
{
	return s.n >= 5 && s.p[0] == '{' && memcmp(s.p + s.n - 4, "...}", 4) == 0;
}

static bool segment_is_param(struct slice s)
{
	return s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}';
}

// The path's segments in turn, *left being what follows the slash before the segment.
static struct slice segment_next(struct slice *left, bool *last)
{
	const char *slash = left->n ? memchr(left->p, '/', left->n) : NULL;
	struct slice s = {left->p, slash ? (size_t)(slash - left->p) : left->n};

	*last = !slash;
	if (slash)
		*left = (struct slice){slash + 1, left->n - s.n - 1};
	return s;
}

// A prefix's trailing slash does not count; false when no segment is left (prefix "/").
static bool path_segments(const struct route_pattern *p, struct slice *left)
{
	*left = (struct slice){p->path.p + 1, p->path.n - 1};
	if (!p->prefix)
		return true;
	if (left->n == 0)
		return false;
	if (left->p[left->n - 1] == '/')
		left->n--;
	return true;
}

// Lower-case, without a trailing dot; "*.x" becomes ".x", "*" the empty key.
static size_t host_key(struct slice host, char key[static ROUTE_HOST_MAX])
{
	if (host.n && host.p[0] == '*')
		host = (struct slice){host.p + 1, host.n - 1};
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	for (size_t i = 0; i < host.n; i++)
		key[i] = ascii_lower(host.p[i]);
	return host.n;
}

const char *routetable_check(const struct route_pattern *p)
{
	struct slice left;
	unsigned segments = 0, params = 0, labels = 0;
	bool last = false;

	if (p->host.n > ROUTE_HOST_MAX)
		return "host is longer than 255 bytes";
	for (size_t i = 0; i < p->host.n; i++) {
		char c = p->host.p[i];

		if (c == '*' && (i != 0 || (p->host.n > 1 && p->host.p[1] != '.')))
			return "'*' stands only for the first labels of a host, as in \"*.example.com\"";
		if (c <= ' ' || c == 0x7f || c == '/')
			return "host has a byte that no host has";
		if (c == '.')
			labels++;
	}
	if (p->host.n && p->host.p[0] == '.')
		return "host begins with a dot; a suffix is written \"*.example.com\"";
	if (p->host.n >= 2 && p->host.p[0] == '*' && (p->host.n == 2 || p->host.p[2] == '.'))
		return "nothing follows \"*.\"";
	if (p->host.n && p->host.p[0] == '*' && labels > ROUTE_LABELS_MAX)
		return "host suffix has more than 16 labels";
	if (p->path.n == 0 || p->path.p[0] != '/')
		return "path does not begin with '/'";
	if (memchr(p->path.p, '?', p->path.n) || memchr(p->path.p, '#', p->path.n))
		return "path has a query or a fragment; only the path is matched";
	for (size_t i = 0; i < p->path.n; i++)
		if ((unsigned char)p->path.p[i] <= ' ' || (unsigned char)p->path.p[i] >= 0x7f)
			return "path has a byte that must be percent-encoded";
	if (!path_segments(p, &left))
		return NULL;
	while (!last) {
		struct slice s = segment_next(&left, &last);

		if (++segments > ROUTE_SEGMENTS_MAX)
			return "path has more than 64 segments";
		if (segment_is_param(s) && ++params > ROUTE_PARAMS)
			return "path has more than 16 parameters";
		if (segment_is_rest(s) && (!last || p->prefix))
			return "{name...} stands only at the end of a path";
	}
	return NULL;
}

static uint32_t node_new(struct builder *b, uint32_t parent, struct slice text, uint64_t hash)
{
	b->nodes[b->n_nodes] = (struct node){.hash = hash,
					     .text = text,
					     .parent = parent,
					     .best = NONE,
					     .exact = NONE,
					     .exact_last = NONE,
					     .prefix = NONE,
					     .prefix_last = NONE,
					     .rest = NONE,
					     .rest_last = NONE};
	b->n_edges += parent != NONE;
	return b->n_nodes++;
}

static struct host *host_take(struct builder *b, struct slice text)
{
	struct host *h = &b->hosts[b->n_hosts];
	uint32_t slot;

	h->n = (uint32_t)host_key(text, h->key);
	h->hash = routekey_host(slice_of(h->key, h->n));
	for (slot = (uint32_t)h->hash & b->host_mask; b->host_index[slot]; slot = (slot + 1) & b->host_mask) {
		struct host *o = &b->hosts[b->host_index[slot] - 1];

		if (o->hash == h->hash && slice_eq(slice_of(o->key, o->n), slice_of(h->key, h->n)))
			return o;
	}
	b->host_index[slot] = ++b->n_hosts;
	h->root = h->first = h->last = NONE;
	return h;
}

static uint64_t pattern_asks(const struct route_pattern *p)
{
	return hash_mix(hash64(p->path.p, p->path.n) ^ p->methods, (uint64_t)p->prefix << 1 | p->conditions);
}

// Each route to its host, in the order of the file.
static void routes_spread(struct builder *b, const struct route_pattern *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct host *h = host_take(b, p[i].host);

		if (h->first == NONE)
			h->first = i;
		else
			b->of_host[h->last] = i;
		h->last = i;
		b->of_host[i] = NONE;
		b->rank[i] = h->count++;
		h->asks = hash_mix(h->asks + 1, pattern_asks(&p[i]));
	}
}

static bool host_asks_same(const struct builder *b, const struct route_pattern *p, const struct host *x,
			   const struct host *y)
{
	uint32_t i = x->first, k = y->first;

	if (x->count != y->count)
		return false;
	for (; i != NONE; i = b->of_host[i], k = b->of_host[k])
		if (p[i].prefix != p[k].prefix || p[i].conditions != p[k].conditions ||
		    p[i].methods != p[k].methods || !slice_eq(p[i].path, p[k].path))
			return false;
	return true;
}

// Hosts whose routes ask for the same have one trie.
static void hosts_pair(struct builder *b, const struct route_pattern *p)
{
	for (uint32_t i = 0; i < b->n_hosts; i++) {
		struct host *h = &b->hosts[i];
		uint32_t slot = (uint32_t)h->asks & b->host_mask;

		while (b->same[slot] && !(b->hosts[b->same[slot] - 1].asks == h->asks &&
					  host_asks_same(b, p, &b->hosts[b->same[slot] - 1], h)))
			slot = (slot + 1) & b->host_mask;
		if (!b->same[slot]) {
			b->same[slot] = 1 + i;
			h->root = node_new(b, NONE, slice_of("", 0), h->hash);
		}
		h->same = b->same[slot] - 1;
	}
}

static uint32_t node_child(struct builder *b, uint32_t parent, struct slice text)
{
	uint64_t hash;
	uint32_t slot;

	if (segment_is_param(text)) {
		if (!b->nodes[parent].param) {
			uint32_t child = node_new(b, parent, slice_of(NULL, SNAP_PARAM),
						  routekey_param(b->nodes[parent].hash));

			b->nodes[parent].param = child;
		}
		return b->nodes[parent].param;
	}
	hash = routekey_edge(routekey_segment(text).hash, b->nodes[parent].hash);
	for (slot = (uint32_t)hash & b->edge_mask; b->edge_index[slot]; slot = (slot + 1) & b->edge_mask) {
		const struct node *v = &b->nodes[b->edge_index[slot] - 1];

		if (v->hash == hash && v->parent == parent && slice_eq(v->text, text))
			return b->edge_index[slot] - 1;
	}
	b->edge_index[slot] = 1 + node_new(b, parent, text, hash);
	return b->edge_index[slot] - 1;
}

// Routes come in rising order, so that lists are ascending and the first one seen is a subtree's best.
static void node_reach(struct builder *b, uint32_t node, uint32_t route)
{
	if (b->nodes[node].best == NONE)
		b->nodes[node].best = b->rank[route];
}

static void route_insert(struct builder *b, const struct route_pattern *p, uint32_t root, uint32_t route)
{
	uint32_t node = root, *first, *end;
	struct slice left;
	bool last = !path_segments(p, &left), rest = false;

	node_reach(b, node, route);
	while (!last) {
		struct slice s = segment_next(&left, &last);

		rest = segment_is_rest(s);
		if (rest)
			break;
		node = node_child(b, node, s);
		node_reach(b, node, route);
	}
	first = rest ? &b->nodes[node].rest : p->prefix ? &b->nodes[node].prefix : &b->nodes[node].exact;
	end = rest        ? &b->nodes[node].rest_last
	      : p->prefix ? &b->nodes[node].prefix_last
			  : &b->nodes[node].exact_last;
	if (*first == NONE)
		*first = route;
	else
		b->next[*end] = route;
	*end = route;
	b->next[route] = NONE;
}

// Where its routes stand, in `order` unless they do so in a row.
static void host_order(const struct builder *b, const struct host *h, struct snap_host *out, uint32_t *order,
		       uint32_t *n)
{
	out->count = h->count;
	out->first = h->first;
	out->used = HOST_IN_A_ROW;
	if (h->last - h->first == h->count - 1)
		return;
	out->first = *n;
	out->used = HOST_IN_ORDER;
	for (uint32_t i = h->first; i != NONE; i = b->of_host[i])
		order[(*n)++] = i;
}

static bool hosts_write(struct blob *blob, struct builder *b, uint32_t n_routes, struct snapshot *header)
{
	uint32_t n = power_of_two_for(b->n_hosts), n_order = 0;
	struct snap_host *out = calloc(n, sizeof(*out));
	uint32_t *order = calloc((size_t)n_routes + 1, sizeof(*order));

	if (!out || !order) {
		free(out);
		free(order);
		return false;
	}
	header->host_any = header->host_suffixes = 0;
	for (uint32_t i = 0; i < b->n_hosts; i++) {
		struct host *h = &b->hosts[i];
		uint32_t slot = (uint32_t)h->hash & (n - 1);

		while (out[slot].used)
			slot = (slot + 1) & (n - 1);
		out[slot] = (struct snap_host){.hash = h->hash, .n = (uint16_t)h->n};
		h->place = slot;
		out[slot].root = b->hosts[h->same].place; // which comes before, or is this one
		host_order(b, h, &out[slot], order, &n_order);
		if (h->n > sizeof(out->text))
			out[slot].off = blob_text(blob, h->key, h->n).off;
		else
			memcpy(out[slot].text, h->key, h->n);
		if (h->n == 0)
			header->host_any = 1;
		else if (h->key[0] == '.')
			header->host_suffixes = 1;
	}
	blob_pad(blob, CACHE_LINE_BYTES);
	header->hosts = blob_add(blob, out, n, sizeof(*out));
	header->order = blob_add(blob, order, n_order, sizeof(*order));
	header->touched += b->n_hosts * sizeof(*out) + n_order * sizeof(*order);
	free(out);
	free(order);
	return true;
}

static union snap_takes list_write(struct blob *blob, const struct builder *b, uint32_t first,
				   const struct route_pattern *p, struct snap_take *scratch)
{
	union snap_takes t = {.list = {0, 0}};
	uint32_t n = 0;

	for (uint32_t r = first; r != NONE; r = b->next[r])
		scratch[n++] = (struct snap_take){b->rank[r],
						  p[r].methods | (p[r].conditions ? SNAP_TAKE_CONDITIONS : 0)};
	if (n == 1) {
		t.one = scratch[0];
		t.one.methods |= SNAP_TAKE_ONE;
	} else {
		t.list = blob_add(blob, scratch, n, sizeof(*scratch));
	}
	return t;
}

// Gives each node its place: roots where their hosts stand, the others in the table behind them.
static void nodes_place(struct builder *b, uint32_t n_roots, uint32_t n_table, unsigned char *taken)
{
	for (uint32_t i = 0; i < b->n_hosts; i++)
		if (b->hosts[i].root != NONE)
			b->nodes[b->hosts[i].root].place = b->hosts[i].place;
	for (uint32_t i = 0; i < b->n_nodes; i++) {
		uint32_t slot = (uint32_t)b->nodes[i].hash & (n_table - 1);

		if (b->nodes[i].parent == NONE)
			continue;
		while (taken[slot])
			slot = (slot + 1) & (n_table - 1);
		taken[slot] = 1;
		b->nodes[i].place = n_roots + slot;
	}
}

static struct snap_node node_out(struct blob *blob, const struct builder *b, const struct node *v,
				 const struct route_pattern *p, struct snap_take *scratch)
{
	struct snap_node out = {.hash = v->hash,
				.parent = v->parent == NONE ? 0 : b->nodes[v->parent].place,
				.n = (uint32_t)v->text.n,
				.param = v->param ? b->nodes[v->param].place : 0,
				.best = v->best,
				.exact = list_write(blob, b, v->exact, p, scratch),
				.prefix = list_write(blob, b, v->prefix, p, scratch),
				.rest = list_write(blob, b, v->rest, p, scratch)};

	if (out.n == SNAP_PARAM)
		return out;
	if (v->text.n > sizeof(out.w))
		out.off = blob_text(blob, v->text.p, v->text.n).off;
	else
		memcpy(out.w, v->text.p, v->text.n);
	return out;
}

static bool nodes_write(struct blob *blob, struct builder *b, const struct route_pattern *p, uint32_t n_routes,
			struct snapshot *header)
{
	const uint32_t n_roots = power_of_two_for(b->n_hosts), n_table = power_of_two_for(b->n_edges);
	struct snap_node *out = calloc((size_t)n_roots + n_table, sizeof(*out));
	struct snap_take *scratch = calloc((size_t)n_routes + 1, sizeof(*scratch));
	unsigned char *taken = calloc(n_table, 1);
	bool ok = out && scratch && taken;

	if (ok) {
		nodes_place(b, n_roots, n_table, taken);
		for (uint32_t i = 0; i < b->n_nodes; i++)
			out[b->nodes[i].place] = node_out(blob, b, &b->nodes[i], p, scratch);
		header->touched += b->n_nodes * sizeof(*out);
		blob_pad(blob, CACHE_LINE_BYTES);
		header->nodes = blob_add(blob, out, n_roots + n_table, sizeof(*out));
		header->edges =
			(struct snap_ref){header->nodes.off + n_roots * (uint32_t)sizeof(*out), n_table};
	}
	free(out);
	free(scratch);
	free(taken);
	return ok;
}

bool routetable_build(struct blob *blob, const struct route_pattern *p, uint32_t n, struct snapshot *header)
{
	struct builder b = {0};
	uint64_t segments = 0;
	bool ok = false;

	for (uint32_t i = 0; i < n; i++) {
		if (routetable_check(&p[i]))
			return false;
		for (size_t k = 0; k < p[i].path.n; k++)
			segments += p[i].path.p[k] == '/';
	}
	if (n + segments >= UINT32_MAX / 4)
		return false;
	// The most there may be: a root for each route and a node for each segment.
	b.nodes = calloc(n + segments + 1, sizeof(*b.nodes));
	b.edge_mask = power_of_two_for(segments + 1) - 1;
	b.edge_index = calloc((size_t)b.edge_mask + 1, sizeof(*b.edge_index));
	b.hosts = calloc((size_t)n + 1, sizeof(*b.hosts));
	b.host_mask = power_of_two_for((uint64_t)n + 1) - 1;
	b.host_index = calloc((size_t)b.host_mask + 1, sizeof(*b.host_index));
	b.same = calloc((size_t)b.host_mask + 1, sizeof(*b.same));
	b.next = calloc((size_t)n + 1, sizeof(*b.next));
	b.of_host = calloc((size_t)n + 1, sizeof(*b.of_host));
	b.rank = calloc((size_t)n + 1, sizeof(*b.rank));
	if (!b.nodes || !b.edge_index || !b.hosts || !b.host_index || !b.same || !b.next || !b.of_host ||
	    !b.rank)
		goto out;
	routes_spread(&b, p, n);
	hosts_pair(&b, p);
	for (uint32_t i = 0; i < b.n_hosts; i++)
		for (uint32_t k = b.hosts[i].first; b.hosts[i].root != NONE && k != NONE; k = b.of_host[k])
			route_insert(&b, &p[k], b.hosts[i].root, k);
	header->touched = 0;
	ok = hosts_write(blob, &b, n, header) && nodes_write(blob, &b, p, n, header) && !blob->failed;
out:
	free(b.nodes);
	free(b.edge_index);
	free(b.hosts);
	free(b.host_index);
	free(b.same);
	free(b.next);
	free(b.of_host);
	free(b.rank);
	return ok;
}

static bool answer_eq(const struct snap_answer *a, const struct snap_answer *b)
{
	return a->text.off == b->text.off && a->text.n == b->text.n && a->head == b->head &&
	       a->date == b->date && a->id == b->id && a->status == b->status;
}

// Whether the route has an answer that nothing can stand before.
static bool answers_at_once(const struct snap_route *r)
{
	return r->action == ACTION_RESPOND && r->answer.n && !r->stages && !r->path.slashes &&
	       !r->path.dot_segments && !(r->credits & SNAP_LIMITED);
}

bool routetable_prompts(struct blob *blob, const struct snap_route *r, uint32_t n, struct snapshot *header)
{
	const uint32_t slots = power_of_two_for((uint64_t)n + 1);
	struct snap_prompt *out = calloc((size_t)n + 1, sizeof(*out));
	struct snap_answer *answer = calloc((size_t)n + 1, sizeof(*answer));
	uint16_t *index = calloc(slots, sizeof(*index));
	uint32_t n_answers = 0;
	bool ok = out && answer && index;

	for (uint32_t i = 0; ok && i < n; i++) {
		struct snap_answer a = {r[i].answer, r[i].answer_head, r[i].answer_date, r[i].answer_id,
					r[i].status};
		uint32_t slot = (uint32_t)hash_mix(a.text.off, a.text.n) & (slots - 1);

		out[i].stat_slot = (uint16_t)r[i].stat_slot;
		header->touched += sizeof(*out);
		if (!answers_at_once(&r[i])) {
			header->touched += sizeof(*r);
			continue;
		}
		while (index[slot] && !answer_eq(&answer[index[slot] - 1], &a))
			slot = (slot + 1) & (slots - 1);
		if (!index[slot] && n_answers < UINT16_MAX) {
			answer[n_answers] = a;
			index[slot] = (uint16_t)++n_answers;
			header->touched += sizeof(a) + a.text.n;
		}
		out[i].answer = index[slot];
	}
	if (ok) {
		header->prompts = blob_add(blob, out, n, sizeof(*out));
		header->answers = blob_add(blob, answer, n_answers, sizeof(*answer));
	}
	free(out);
	free(answer);
	free(index);
	return ok && !blob->failed;
}
