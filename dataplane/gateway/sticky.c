#include "gateway/sticky.h"
#include "base/hash.h"

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Sixteen hexadecimal digits; 0: it is none of ours.
static uint64_t token_parse(struct slice v)
{
	uint64_t token = 0;

	for (size_t i = 0; i < v.n; i++) {
		if (v.n != 16 || hex(v.p[i]) < 0)
			return 0;
		token = token << 4 | (uint64_t)hex(v.p[i]);
	}
	return token;
}

// The next pair of a Cookie field's value (RFC 6265 4.2.1), off its front.
static struct slice pair_next(struct slice *list)
{
	const char *stop = memchr(list->p, ';', list->n);
	size_t n = stop ? (size_t)(stop - list->p) : list->n, blank = 0;
	struct slice pair;

	while (blank < n && list->p[blank] == ' ')
		blank++;
	pair = slice_of(list->p + blank, n - blank);
	*list = slice_of(list->p + n + (stop != NULL), list->n - n - (stop != NULL));
	return pair;
}

static bool pair_named(struct slice pair, struct slice name)
{
	return pair.n > name.n && slice_eq(slice_of(pair.p, name.n), name) && pair.p[name.n] == '=';
}

static uint64_t pair_token(struct slice pair, struct slice name)
{
	return pair_named(pair, name) ? token_parse(slice_of(pair.p + name.n + 1, pair.n - name.n - 1)) : 0;
}

// A Cookie field without our tokens; dropped where nothing else is in it, as it was where there is no room.
static void tokens_strip(struct gateway *g, struct http_field *f, struct slice name)
{
	struct slice list = f->value, pair;
	char *from = g->text + g->text_used, *at = from;

	if (list.n + 2 > sizeof(g->text) - g->text_used)
		return;
	while (list.n) {
		pair = pair_next(&list);
		if (!pair.n || pair_token(pair, name))
			continue;
		if (at != from)
			at = mempcpy(at, "; ", 2);
		at = mempcpy(at, pair.p, pair.n);
	}
	f->value = slice_of(from, (size_t)(at - from));
	f->dropped = at == from;
	g->text_used += (uint32_t)(at - from);
}

// The last cookie of the name that is a token. It is between the client and us: the upstream does not see it.
static uint64_t token_take(struct gateway *g, struct http_head *h, struct slice name)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < h->n; i++) {
		struct slice list = h->field[i].value, pair;
		bool any = false;

		if (h->field[i].dropped || !slice_ieq(h->field[i].name, SLICE("cookie")))
			continue;
		while (list.n) {
			pair = pair_next(&list);
			if (!pair_named(pair, name))
				continue;
			last = pair_token(pair, name);
			any = any || last;
		}
		if (any)
			tokens_strip(g, &h->field[i], name);
	}
	return last;
}

// Clients of IPv6 change addresses within their network.
static uint64_t client_hash(struct addr a)
{
	return hash_mix(a.w[0], addr_is_v4(a) ? a.w[1] : 0) | 1;
}

void sticky_ask(struct exchange *x)
{
	struct http_head *h = &x->g->head;
	struct slice name = snap_text(x->snapshot, x->route->sticky_name);
	struct http_field *f;

	x->stick = (struct upstream_stick){0, 0};
	switch ((enum snap_sticky)x->route->sticky) {
	case STICKY_COOKIE:
		x->stick.token = token_take(x->g, h, name);
		return;
	case STICKY_HEADER:
		f = http_find(h, name);
		if (f)
			x->stick.hash = hash64(f->value.p, f->value.n);
		return;
	case STICKY_CLIENT:
		x->stick.hash = client_hash(x->remote);
		return;
	case STICKY_NONE:
	case STICKIES:
		break;
	}
}

static bool has_token(const struct snapshot *s, const struct snap_upstream *u, uint64_t token)
{
	const struct snap_endpoint *e = snap_at(s, u->endpoints);

	for (uint32_t i = 0; i < u->endpoints.n; i++)
		if (e[i].token == token)
			return true;
	return false;
}

int sticky_target(const struct exchange *x, const uint32_t *w, uint32_t n)
{
	const struct snapshot *s = x->snapshot;
	const struct snap_target *t = snap_at(s, x->route->targets);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	double least = 0;
	int best = -1;

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_ref name = u[t[i].upstream].name;
		double cost;

		if (w[i] == 0)
			continue;
		if (x->stick.token) {
			if (has_token(s, &u[t[i].upstream], x->stick.token))
				return (int)i;
			continue;
		}
		if (!x->stick.hash)
			return -1;
		cost = upstream_rendezvous(x->stick.hash, hash64(snap_at(s, name), name.n), w[i]);
		if (best < 0 || cost < least) {
			best = (int)i;
			least = cost;
		}
	}
	return best;
}

// RFC 6265 4.1. Readable by no script, and not sent along where another site links to.
bool sticky_answer(struct exchange *x, struct http_head *h)
{
	const struct snap_route *r = x->route;
	struct slice name = snap_text(x->snapshot, r->sticky_name), v;
	uint64_t token = x->attempt && x->attempt->endpoint ? x->attempt->endpoint->token : 0;
	const char *secure = r->sticky_secure ? "; Secure" : "";

	if (!token || token == x->stick.token)
		return true;
	if (r->sticky_age)
		v = text_printf(x->g, "%.*s=%016llx; Path=/; Max-Age=%u; HttpOnly; SameSite=Lax%s", (int)name.n,
				name.p, (unsigned long long)token, r->sticky_age, secure);
	else
		v = text_printf(x->g, "%.*s=%016llx; Path=/; HttpOnly; SameSite=Lax%s", (int)name.n, name.p,
				(unsigned long long)token, secure);
	return v.p && http_add(h, SLICE("Set-Cookie"), v);
}
