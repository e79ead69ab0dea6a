#include "routetable.h"
#include "base/hash.h"
#include "route/route.h"
#include <stdlib.h>

#define NONE UINT32_MAX

// A place in a host's tree while it is built: its routes hang in lists by index (each route stands in one list
// only), its children in the order in which routes led to them.
struct node {
	struct slice text; // its segment
	uint32_t parent;   // itself: it is a root
	uint32_t child, child_last, sibling;
	uint32_t children; // without param
	uint32_t param;
	uint32_t best; // lowest rank in the subtree, which others in it count from
	uint32_t exact, exact_last;
	uint32_t prefix, prefix_last;
	uint32_t rest, rest_last;
	uint64_t asks;  // hash of what the subtree asks for
	uint32_t same;  // the node that is written for all that ask for the same; itself
	uint32_t place; // of that one, in the snapshot
};

struct host {
	char key[ROUTE_HOST_MAX];
	uint32_t n;
	uint32_t root;        // node
	uint32_t first, last; // of its routes
	uint32_t count;       // of them
	uint64_t hash;
};

struct builder {
	const struct route_pattern *p;
	struct node *nodes;
	uint32_t n_nodes;
	uint32_t *index; // first the nodes that segments lead to, then those written; open addressing, 1 + node
	uint32_t index_mask;
	struct host *hosts;
	uint32_t n_hosts;
	uint32_t *host_index;
	uint32_t host_mask;
	uint32_t *next;    // of each route in its node's list
	uint32_t *of_host; // of each route: its host's next one
	uint32_t *rank;    // of each route among its host's
	uint32_t n_out;    // nodes and edges of the snapshot
	uint32_t n_ends;
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

static uint32_t node_new(struct builder *b, uint32_t parent, struct slice text)
{
	b->nodes[b->n_nodes] = (struct node){.text = text,
					     .parent = parent,
					     .child = NONE,
					     .sibling = NONE,
					     .param = NONE,
					     .best = NONE,
					     .exact = NONE,
					     .prefix = NONE,
					     .rest = NONE};
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
	h->root = node_new(b, b->n_nodes, slice_of("", 0));
	h->first = h->last = NONE;
	return h;
}

// Each route to its host, in the order of the file.
static void routes_spread(struct builder *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct host *h = host_take(b, b->p[i].host);

		if (h->first == NONE)
			h->first = i;
		else
			b->of_host[h->last] = i;
		h->last = i;
		b->of_host[i] = NONE;
		b->rank[i] = h->count++;
	}
}

static uint32_t node_child(struct builder *b, uint32_t parent, struct slice text)
{
	struct node *above = &b->nodes[parent];
	uint32_t slot;

	if (segment_is_param(text)) {
		if (above->param == NONE)
			above->param = node_new(b, parent, slice_of("", 0));
		return above->param;
	}
	for (slot = (uint32_t)hash_mix(routekey_segment(text).hash, parent) & b->index_mask; b->index[slot];
	     slot = (slot + 1) & b->index_mask) {
		const struct node *v = &b->nodes[b->index[slot] - 1];

		if (v->parent == parent && slice_eq(v->text, text))
			return b->index[slot] - 1;
	}
	b->index[slot] = 1 + node_new(b, parent, text);
	if (above->children++)
		b->nodes[above->child_last].sibling = b->index[slot] - 1;
	else
		above->child = b->index[slot] - 1;
	above->child_last = b->index[slot] - 1;
	return above->child_last;
}

// Routes come in rising order, so that lists are ascending and the first one seen is a subtree's best.
static void node_reach(struct builder *b, uint32_t node, uint32_t route)
{
	if (b->nodes[node].best == NONE)
		b->nodes[node].best = b->rank[route];
}

static void route_insert(struct builder *b, uint32_t root, uint32_t route)
{
	const struct route_pattern *p = &b->p[route];
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

static bool hosts_write(struct blob *blob, const struct builder *b, uint32_t n_routes, struct snapshot *header)
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
		const struct host *h = &b->hosts[i];
		uint32_t slot = (uint32_t)h->hash & (n - 1);

		while (out[slot].used)
			slot = (slot + 1) & (n - 1);
		out[slot] = (struct snap_host){
			.hash = h->hash, .root = b->nodes[h->root].place, .n = (uint16_t)h->n};
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

static uint32_t take_methods(const struct builder *b, uint32_t route)
{
	return b->p[route].methods | (b->p[route].conditions ? SNAP_TAKE_CONDITIONS : 0);
}

static uint64_t list_asks(const struct builder *b, uint32_t first, uint32_t best)
{
	uint64_t asks = 1;

	for (uint32_t r = first; r != NONE; r = b->next[r])
		asks = hash_mix(asks, (uint64_t)(b->rank[r] - best) << 32 | take_methods(b, r));
	return asks;
}

static bool list_same(const struct builder *b, uint32_t x, uint32_t best_x, uint32_t y, uint32_t best_y)
{
	for (; x != NONE && y != NONE; x = b->next[x], y = b->next[y])
		if (b->rank[x] - best_x != b->rank[y] - best_y || take_methods(b, x) != take_methods(b, y))
			return false;
	return x == y;
}

// What is written of a subtree, its children being done: the place of each, and from where its ranks count.
static uint64_t node_asks(const struct builder *b, const struct node *v)
{
	uint64_t asks = hash_mix(list_asks(b, v->exact, v->best), list_asks(b, v->prefix, v->best));

	asks = hash_mix(asks, list_asks(b, v->rest, v->best));
	if (v->param != NONE)
		asks = hash_mix(asks,
				(uint64_t)b->nodes[v->param].same << 32 | (b->nodes[v->param].best - v->best));
	for (uint32_t i = v->child; i != NONE; i = b->nodes[i].sibling) {
		const struct node *k = &b->nodes[i];

		asks = hash_mix(asks + k->same, routekey_segment(k->text).hash + (k->best - v->best));
	}
	return asks;
}

static bool child_same(const struct builder *b, const struct node *x, uint32_t child_x, const struct node *y,
		       uint32_t child_y)
{
	const struct node *kx, *ky;

	if (child_x == NONE || child_y == NONE)
		return child_x == child_y;
	kx = &b->nodes[child_x];
	ky = &b->nodes[child_y];
	return kx->same == ky->same && kx->best - x->best == ky->best - y->best && slice_eq(kx->text, ky->text);
}

static bool node_same(const struct builder *b, const struct node *x, const struct node *y)
{
	uint32_t i = x->child, k = y->child;

	if (x->asks != y->asks || x->children != y->children || !child_same(b, x, x->param, y, y->param) ||
	    !list_same(b, x->exact, x->best, y->exact, y->best) ||
	    !list_same(b, x->prefix, x->best, y->prefix, y->best) ||
	    !list_same(b, x->rest, x->best, y->rest, y->best))
		return false;
	for (; i != NONE && child_same(b, x, i, y, k); i = b->nodes[i].sibling)
		k = b->nodes[k].sibling;
	return i == NONE;
}

static bool node_ends(const struct node *v)
{
	return v->exact != NONE || v->prefix != NONE || v->rest != NONE;
}

static uint32_t node_slots(const struct node *v)
{
	return v->children > SNAP_TAGS ? power_of_two_for(v->children) : v->children;
}

// Gives each node the place of the one that is written for it, children before parents. One that would fill
// its lines from their beginning on begins with a line.
static void nodes_place(struct builder *b)
{
	const uint32_t each = CACHE_LINE_BYTES / sizeof(struct snap_node);

	memset(b->index, 0, ((size_t)b->index_mask + 1) * sizeof(*b->index));
	for (uint32_t i = b->n_nodes; i-- > 0;) {
		struct node *v = &b->nodes[i];
		uint32_t slot;

		v->asks = node_asks(b, v);
		slot = (uint32_t)v->asks & b->index_mask;
		while (b->index[slot] && !node_same(b, &b->nodes[b->index[slot] - 1], v))
			slot = (slot + 1) & b->index_mask;
		if (!b->index[slot]) {
			b->index[slot] = 1 + i;
			if ((1 + node_slots(v)) % each == 0)
				b->n_out = (b->n_out + each - 1) / each * each;
			v->place = b->n_out;
			b->n_out += 1 + node_slots(v);
			b->n_ends += node_ends(v);
		}
		v->same = b->index[slot] - 1;
		v->place = b->nodes[v->same].place;
	}
}

static union snap_takes list_write(struct blob *blob, const struct builder *b, uint32_t first, uint32_t best,
				   struct snap_take *scratch)
{
	union snap_takes t = {.list = {0, 0}};
	uint32_t n = 0;

	for (uint32_t r = first; r != NONE; r = b->next[r])
		scratch[n++] = (struct snap_take){b->rank[r] - best, take_methods(b, r)};
	if (n == 1) {
		t.one = scratch[0];
		t.one.methods |= SNAP_TAKE_ONE;
	} else {
		t.list = blob_add(blob, scratch, n, sizeof(*scratch));
	}
	return t;
}

static struct snap_edge edge_out(struct blob *blob, const struct node *parent, const struct node *v)
{
	struct snap_edge e = {.n = (uint32_t)v->text.n,
			      .hash = routekey_edge(routekey_segment(v->text).hash),
			      .node = v->place,
			      .rank = v->best - parent->best};

	if (v->text.n > sizeof(e.w))
		e.off = blob_text(blob, v->text.p, v->text.n).off;
	else
		memcpy(e.w, v->text.p, v->text.n);
	return e;
}

static void node_write(struct blob *blob, const struct builder *b, const struct node *v, struct snap_node *out)
{
	const uint32_t slots = node_slots(v);
	struct snap_edge *edge = (struct snap_edge *)(void *)(out + 1);
	uint32_t n = 0;

	out->slots = slots;
	if (v->param != NONE) {
		out->param = 1 + b->nodes[v->param].place;
		out->param_rank = b->nodes[v->param].best - v->best;
	}
	for (uint32_t i = v->child; i != NONE; i = b->nodes[i].sibling, n++) {
		struct snap_edge e = edge_out(blob, v, &b->nodes[i]);
		uint32_t at = n;

		if (slots > SNAP_TAGS)
			for (at = routekey_slot(e.hash, slots); edge[at].hash;)
				at = (at + 1) & (slots - 1);
		else
			out->tag[n] = routekey_tag(e.hash);
		edge[at] = e;
	}
}

static bool nodes_write(struct blob *blob, const struct builder *b, uint32_t n_routes, struct snapshot *header)
{
	struct snap_node *out = calloc((size_t)b->n_out + 1, sizeof(*out));
	struct snap_ends *ends = calloc((size_t)b->n_ends + 1, sizeof(*ends));
	struct snap_take *scratch = calloc((size_t)n_routes + 1, sizeof(*scratch));
	uint32_t n = 0;
	bool ok = out && ends && scratch;

	for (uint32_t i = 0; ok && i < b->n_nodes; i++) {
		const struct node *v = &b->nodes[i];

		if (v->same != i)
			continue;
		node_write(blob, b, v, &out[v->place]);
		header->touched += (1 + v->children) * sizeof(*out);
		if (!node_ends(v))
			continue;
		ends[n] = (struct snap_ends){.exact = list_write(blob, b, v->exact, v->best, scratch),
					     .prefix = list_write(blob, b, v->prefix, v->best, scratch),
					     .rest = list_write(blob, b, v->rest, v->best, scratch)};
		out[v->place].ends = ++n;
		header->touched += sizeof(*ends);
	}
	if (ok) {
		blob_pad(blob, CACHE_LINE_BYTES);
		header->nodes = blob_add(blob, out, b->n_out, sizeof(*out));
		header->ends = blob_add(blob, ends, n, sizeof(*ends));
	}
	free(out);
	free(ends);
	free(scratch);
	return ok;
}

bool routetable_build(struct blob *blob, const struct route_pattern *p, uint32_t n, struct snapshot *header)
{
	struct builder b = {.p = p};
	uint64_t segments = 0;
	bool ok = false;

	for (uint32_t i = 0; i < n; i++) {
		if (routetable_check(&p[i]))
			return false;
		for (size_t k = 0; k < p[i].path.n; k++)
			segments += p[i].path.p[k] == '/';
	}
	if (n + segments >= UINT32_MAX / 8)
		return false;
	// The most there may be: a root for each route and a node for each segment.
	b.nodes = calloc(n + segments + 1, sizeof(*b.nodes));
	b.index_mask = power_of_two_for(n + segments + 1) - 1;
	b.index = calloc((size_t)b.index_mask + 1, sizeof(*b.index));
	b.hosts = calloc((size_t)n + 1, sizeof(*b.hosts));
	b.host_mask = power_of_two_for((uint64_t)n + 1) - 1;
	b.host_index = calloc((size_t)b.host_mask + 1, sizeof(*b.host_index));
	b.next = calloc((size_t)n + 1, sizeof(*b.next));
	b.of_host = calloc((size_t)n + 1, sizeof(*b.of_host));
	b.rank = calloc((size_t)n + 1, sizeof(*b.rank));
	if (!b.nodes || !b.index || !b.hosts || !b.host_index || !b.next || !b.of_host || !b.rank)
		goto out;
	routes_spread(&b, n);
	for (uint32_t i = 0; i < b.n_hosts; i++)
		for (uint32_t k = b.hosts[i].first; k != NONE; k = b.of_host[k])
			route_insert(&b, b.hosts[i].root, k);
	nodes_place(&b);
	header->touched = 0;
	ok = hosts_write(blob, &b, n, header) && nodes_write(blob, &b, n, header) && !blob->failed;
out:
	free(b.nodes);
	free(b.index);
	free(b.hosts);
	free(b.host_index);
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
