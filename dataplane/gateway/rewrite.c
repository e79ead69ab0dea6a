// What a route makes of a request's path and host, where it redirects to, and what its fields are told of the
// request (http/template.h).
#include "gateway/rewrite.h"
#include "http/parse.h"

void rewrite_values(struct exchange *x, struct rewrite_values *r)
{
	struct gateway *g = x->g;

	addr_text(x->remote, r->client);
	r->values = (struct template_values){.snapshot = x->snapshot,
					     .head = &g->head,
					     .client = slice_of(r->client, strlen(r->client)),
					     .request_id = slice_of(x->request_id, sizeof(x->request_id)),
					     .listener = snap_text(x->snapshot, x->listener->name),
					     .capture = g->match.param,
					     .n_captures = g->match.n_params,
					     .rest = g->match.rest};
}

static struct slice expand(struct gateway *g, const struct rewrite_values *r, struct snap_ref pieces)
{
	char *at = g->text + g->text_used;
	int n = template_expand(&r->values, pieces, at, sizeof(g->text) - g->text_used);

	if (n < 0)
		return slice_of(NULL, 0);
	g->text_used += (uint32_t)n;
	return slice_of(at, (size_t)n);
}

uint16_t rewrite_request(struct exchange *x)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	struct rewrite_values r;
	struct slice path = h->path, query = h->query, host = h->authority;
	const char *mark;

	rewrite_values(x, &r);
	if (x->route->rewrite_path.n) {
		path = expand(g, &r, x->route->rewrite_path);
		if (!path.p)
			return 414;
		mark = path.n ? memchr(path.p, '?', path.n) : NULL;
		if (mark) {
			query = slice_of(mark + 1, (size_t)(path.p + path.n - mark - 1));
			path.n = (size_t)(mark - path.p);
		}
		if (path.n == 0) // a prefix was all of it
			path = SLICE("/");
		if (!http_path_ok(path))
			return 400;
	}
	if (x->route->rewrite_host.n) {
		host = expand(g, &r, x->route->rewrite_host);
		if (!host.p || !http_authority_ok(host))
			return 400;
	}
	h->path = path;
	h->query = query;
	h->authority = host;
	return 0;
}

struct slice rewrite_location(struct exchange *x)
{
	struct gateway *g = x->g;
	const struct snap_piece *first = snap_at(x->snapshot, x->route->location_pieces);
	struct rewrite_values r;
	struct slice to;

	if (!x->route->location_pieces.n)
		return snap_text(x->snapshot, x->route->location);
	rewrite_values(x, &r);
	to = expand(g, &r, x->route->location_pieces);
	// "//name" is another host's (RFC 3986 4.2): not because a client asked for a path that begins so.
	if (first->kind != PIECE_LITERAL || !slice_starts(snap_text(x->snapshot, first->text), SLICE("//")))
		while (to.n > 1 && to.p[0] == '/' && to.p[1] == '/')
			to = slice_of(to.p + 1, to.n - 1);
	return to;
}

bool rewrite_keep(struct exchange *x, struct slice values)
{
	if (values.n == 0)
		return true;
	x->kept = pkts_from(x->g, values.p, values.n);
	return x->kept != NULL;
}

_Static_assert(STAGE_KEPT_MAX <= PKT_ROOM, "what is kept stands in one buffer");

struct slice rewrite_kept(const struct exchange *x)
{
	return x->kept ? pkt_slice(x->kept) : slice_of("", 0);
}
