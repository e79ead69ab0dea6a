#include "contract/limit_key.h"
#include "contract/record.h"
#include "policy/ratelimit/conf.h"
#include "policy/ratelimit/ratelimit.h"
#include <stdarg.h>
#include <stdio.h>

#define SECOND 1000000000ull
// Of a refusal: two lists with as many elements as there are limits, each of a name in quotes and two numbers.
#define FIELDS (2 * RATELIMIT_CHECKS_MAX * (SNAP_NAME_MAX + 48) + 128)

struct ratelimit {
	struct limit_table table;
	bool has_table;
	struct limit_table_claims claims;
	struct region_limit *by_hand;
	struct region_limit_stats *stats;
	struct region_limit_key *keys;
	struct rec_ring *blocks;   // to control
	struct limit_key key;      // scratch
	bool fragile;              // see struct ratelimit_checks
	char value[SNAP_HEAD_MAX]; // no head has a longer one
	char fields[FIELDS];
};

size_t ratelimit_memory(void)
{
	return sizeof(struct ratelimit) + 64;
}

struct ratelimit *ratelimit_create(struct arena *a, const struct ratelimit_config *conf)
{
	struct ratelimit *r = arena_alloc(a, sizeof(*r), 64);

	if (!r)
		return NULL;
	r->by_hand = region_limits(conf->region);
	r->stats = region_limit_stats(conf->region, conf->worker);
	r->blocks = region_ring(conf->region, conf->worker, RING_BLOCK);
	r->keys = region_limit_keys(conf->region, conf->worker);
	r->has_table = conf->table != NULL;
	if (r->has_table) {
		r->table = *conf->table;
		limit_table_claims_init(&r->claims, &r->table, conf->worker);
	}
	return r;
}

static void count(struct ratelimit *r, const struct snap_limit *l, enum limit_decision d)
{
	stat_add(&r->stats[l->slot].n[d], 1);
}

// What a request says for a part of a key. Who says several things of it is counted as one who says nothing:
// else a client would choose its limit anew with each request, by a value that it puts beside the one that is
// looked at behind us.
struct said {
	struct slice value;
	bool any, several;
};

static void said_add(struct said *s, struct slice value)
{
	s->several = s->any && !slice_eq(s->value, value);
	s->value = value;
	s->any = true;
}

static struct slice said_value(const struct said *s)
{
	return s->any && !s->several ? s->value : slice_of("", 0);
}

// The values of `name` in a list of name=value between separators.
static void pairs_said(struct ratelimit *r, struct slice list, char separator, struct slice name, bool decode,
		       struct said *said)
{
	while (list.n && !said->several) {
		const char *end = memchr(list.p, separator, list.n), *eq;
		struct slice item = {list.p, end ? (size_t)(end - list.p) : list.n}, key;

		list = end ? slice_of(end + 1, list.n - item.n - 1) : slice_of(list.p, 0);
		while (item.n && (*item.p == ' ' || *item.p == '\t'))
			item = slice_of(item.p + 1, item.n - 1);
		eq = item.n ? memchr(item.p, '=', item.n) : NULL;
		key = slice_of(item.p, eq ? (size_t)(eq - item.p) : item.n);
		if (decode)
			key = slice_of(r->value, limit_key_decode(key, true, r->value, sizeof(r->value)));
		if (slice_eq(key, name))
			said_add(said,
				 eq ? slice_of(eq + 1, (size_t)(item.p + item.n - eq - 1)) : slice_of("", 0));
	}
}

static struct slice cookie(struct ratelimit *r, const struct http_head *h, struct slice name)
{
	struct said said = {0};

	for (unsigned i = 0; i < h->n && !said.several; i++)
		if (!h->field[i].dropped && slice_ieq(h->field[i].name, SLICE("Cookie")))
			pairs_said(r, h->field[i].value, ';', name, false, &said);
	return said_value(&said);
}

static struct slice header(struct ratelimit *r, const struct http_head *h, struct slice name)
{
	struct said said = {0};
	bool other = false; // a field that nothing but policy looks at

	for (unsigned i = 0; i < h->n && !said.several; i++) {
		const struct http_field *f = &h->field[i];

		if (f->dropped || !slice_ieq(f->name, name))
			continue;
		said_add(&said, f->value);
		other = f->id == HDR_OTHER;
	}
	r->fragile |= !other;
	return said_value(&said);
}

static struct slice query(struct ratelimit *r, struct slice list, struct slice name)
{
	struct said said = {0};

	if (list.p)
		pairs_said(r, list, '&', name, true, &said);
	return said_value(&said);
}

static struct slice decoded(struct ratelimit *r, struct slice v, bool plus)
{
	return slice_of(r->value, limit_key_decode(v, plus, r->value, sizeof(r->value)));
}

static struct slice part_value(struct ratelimit *r, const struct stage_ctx *ctx,
			       const struct snap_limit_part *p, uint32_t capture)
{
	struct slice name = snap_text(ctx->snapshot, p->name);

	switch ((enum snap_limit_part_kind)p->kind) {
	case LIMIT_PART_HEADER:
		return header(r, ctx->head, name);
	case LIMIT_PART_COOKIE:
		return cookie(r, ctx->head, name);
	case LIMIT_PART_QUERY:
		return decoded(r, query(r, ctx->head->query, name), true);
	case LIMIT_PART_PATH:
		return capture < ctx->n_captures ? decoded(r, ctx->capture[capture], false) : slice_of("", 0);
	case LIMIT_PART_ROUTE:
		return ctx->route ? snap_text(ctx->snapshot, ctx->route->name) : slice_of("", 0);
	case LIMIT_PART_LISTENER:
		return ctx->listener ? snap_text(ctx->snapshot, ctx->listener->name) : slice_of("", 0);
	case LIMIT_PART_CLIENT_IP:
	case LIMIT_PART_CONSTANT:
	case LIMIT_PARTS:
		break;
	}
	return slice_of("", 0);
}

static void prepare_one(const struct stage_ctx *ctx, const struct snap_limit_use *use,
			struct ratelimit_check *c)
{
	struct ratelimit *r = ctx->ratelimit;
	const struct snap_limit *l =
		(const struct snap_limit *)snap_at(ctx->snapshot, ctx->snapshot->limits) + use->limit;
	const struct snap_limit_part *p = snap_at(ctx->snapshot, l->parts);
	const struct region_limit *hand = &r->by_hand[l->slot];
	uint64_t interval = atomic_load_explicit(&hand->interval, memory_order_relaxed);
	uint64_t burst = atomic_load_explicit(&hand->burst, memory_order_relaxed);

	c->limit = l;
	c->use = use;
	// Whoever writes nonsense into the region gets a limit that is wrong, but no sum that wraps.
	c->interval = interval && interval <= SNAP_LIMIT_TIME_MAX ? interval : l->interval;
	burst = burst ? burst : l->burst;
	if (burst > SNAP_LIMIT_TIME_MAX / c->interval)
		burst = SNAP_LIMIT_TIME_MAX / c->interval;
	c->tolerance = burst * c->interval;
	// At most the burst as configured. Where a smaller one was set by hand, all of it: else such a request
	// would never pass, whatever Retry-After says.
	c->cost = use->cost * c->interval;
	if (c->cost > c->tolerance)
		c->cost = c->tolerance;
	if (!r->has_table)
		return;
	limit_key_start(&r->key);
	for (uint32_t i = 0; i < l->parts.n; i++)
		if (p[i].kind == LIMIT_PART_CLIENT_IP)
			limit_key_address(&r->key, &p[i], ctx->client);
		else
			limit_key_value(&r->key, &r->table, p[i].kind,
					part_value(r, ctx, &p[i], use->capture[i]));
	c->key = limit_table_key(&r->table, l->slot, r->key.b, r->key.n);
	if (l->block) {
		uint32_t size = r->key.n;

		c->blocked = limit_key_aspect(&r->key, &r->table, l->slot, LIMIT_KEY_BLOCKED, size);
		c->strikes = limit_key_aspect(&r->key, &r->table, l->slot, LIMIT_KEY_STRIKES, size);
	}
}

void ratelimit_prepare(const struct stage_ctx *ctx, struct ratelimit_checks *checks)
{
	const struct snap_limit_use *use;
	uint32_t n;

	checks->n = 0;
	ctx->ratelimit->fragile = false;
	if (ctx->listener) {
		use = snap_at(ctx->snapshot, ctx->listener->limits);
		for (uint32_t i = 0; i < ctx->listener->limits.n; i++)
			prepare_one(ctx, &use[i], &checks->v[checks->n++]);
	}
	use = ctx->conf;
	n = ctx->conf_size / (uint32_t)sizeof(*use);
	for (uint32_t i = 0; i < n; i++)
		prepare_one(ctx, &use[i], &checks->v[checks->n++]);
	checks->fragile = ctx->ratelimit->fragile;
}

void ratelimit_prefetch(const struct stage_ctx *ctx, const struct ratelimit_checks *checks)
{
	for (unsigned i = 0; i < checks->n && ctx->ratelimit->has_table; i++) {
		limit_table_prefetch(&checks->v[i].key);
		if (checks->v[i].limit->block)
			limit_table_prefetch(&checks->v[i].blocked);
	}
}

static bool enforces(const struct ratelimit_check *c)
{
	return c->limit->action == LIMIT_REJECT || c->limit->action == LIMIT_DELAY;
}

static uint64_t allowance(const struct ratelimit_check *c)
{
	return c->limit->action == LIMIT_DELAY ? c->tolerance + c->limit->delay : c->tolerance;
}

// ns until the request would pass.
static uint64_t wait_of(const struct ratelimit_check *c, uint64_t now)
{
	uint64_t at = (c->tat > now ? c->tat : now) + c->cost, until = now + allowance(c);

	return at > until ? at - until : 0;
}

// The key in words, for operators: where it is near its limit or beyond.
static void key_note(const struct stage_ctx *ctx, const struct ratelimit_check *c)
{
	struct ratelimit *r = ctx->ratelimit;
	struct region_limit_key *k = &r->keys[c->key.id % REGION_LIMIT_KEYS];
	const struct snap_limit_part *p = snap_at(ctx->snapshot, c->limit->parts);
	size_t n = 0;

	if (atomic_load_explicit(&k->id, memory_order_relaxed) == c->key.id)
		return;
	atomic_store_explicit(&k->id, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (uint32_t i = 0; i < c->limit->parts.n && n + 1 < sizeof(k->text); i++) {
		char text[ADDR_TEXT_MAX];
		struct slice v;

		if (p[i].kind == LIMIT_PART_CLIENT_IP) {
			addr_text(limit_key_network(&p[i], ctx->client), text);
			v = slice_of(text, strlen(text));
		} else {
			v = part_value(r, ctx, &p[i], c->use->capture[i]);
		}
		n += (size_t)snprintf(k->text + n, sizeof(k->text) - n, "%s%.*s", i ? " " : "",
				      (int)(v.n < sizeof(k->text) ? v.n : sizeof(k->text)), v.p);
	}
	k->text[sizeof(k->text) - 1] = '\0';
	atomic_store_explicit(&k->id, c->key.id, memory_order_release);
}

static void put(struct ratelimit *r, size_t *n, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void put(struct ratelimit *r, size_t *n, const char *format, ...)
{
	va_list args;
	int k;

	va_start(args, format);
	k = vsnprintf(r->fields + *n, sizeof(r->fields) - *n, format, args);
	va_end(args);
	*n = k > 0 && (size_t)k < sizeof(r->fields) - *n ? *n + (size_t)k : sizeof(r->fields) - 1;
}

static uint64_t seconds_up(uint64_t ns)
{
	return (ns + SECOND - 1) / SECOND;
}

// Retry-After (RFC 9110 10.2.3): the first whole second at which all limits would let it pass, if nobody else
// comes. RateLimit and RateLimit-Policy as in draft-ietf-httpapi-ratelimit-headers-10, for the limits that
// refused.
static enum verdict refuse(struct stage_ctx *ctx, const struct ratelimit_checks *checks, uint32_t refused)
{
	struct ratelimit *r = ctx->ratelimit;
	uint64_t wait = 0;
	bool first = true;
	size_t n = 0;

	put(r, &n, "RateLimit-Policy: ");
	for (unsigned i = 0; i < checks->n; i++) {
		const struct ratelimit_check *c = &checks->v[i];
		const struct region_limit *hand = &r->by_hand[c->limit->slot];
		struct slice name = snap_text(ctx->snapshot, c->limit->name);
		bool set = c->interval != c->limit->interval;

		if (!(refused & 1u << i))
			continue;
		put(r, &n, "%s\"%.*s\";q=%llu;w=%llu", first ? "" : ", ", (int)name.n, name.p,
		    (unsigned long long)(set ? hand->rate : c->limit->rate),
		    (unsigned long long)seconds_up(set ? hand->period : c->limit->period));
		first = false;
	}
	put(r, &n, "\r\nRateLimit: ");
	first = true;
	for (unsigned i = 0; i < checks->n; i++) {
		const struct ratelimit_check *c = &checks->v[i];
		struct slice name = snap_text(ctx->snapshot, c->limit->name);
		uint64_t own = wait_of(c, ctx->now), used = c->tat > ctx->now ? c->tat - ctx->now : 0;

		if (!(refused & 1u << i))
			continue;
		wait = own > wait ? own : wait;
		put(r, &n, "%s\"%.*s\";r=%llu;t=%llu", first ? "" : ", ", (int)name.n, name.p,
		    (unsigned long long)(used < c->tolerance ? (c->tolerance - used) / c->interval : 0),
		    (unsigned long long)seconds_up(own));
		first = false;
	}
	wait = seconds_up(wait);
	put(r, &n, "\r\nRetry-After: %llu\r\n", (unsigned long long)(wait ? wait : 1));
	ctx->status = 429;
	ctx->message = "too many requests";
	ctx->fields = slice_of(r->fields, n);
	return VERDICT_REPLY;
}

static enum limit_table_result charge(struct stage_ctx *ctx, struct ratelimit_check *c)
{
	struct ratelimit *r = ctx->ratelimit;

	if (!r->has_table)
		return LIMIT_TABLE_FULL;
	return limit_table_charge(&r->table, &r->claims, &c->key, ctx->now, c->cost, allowance(c), &c->tat);
}

static enum limit_table_result peek(const struct stage_ctx *ctx, struct ratelimit_check *c)
{
	if (!ctx->ratelimit->has_table)
		return LIMIT_TABLE_FULL;
	return limit_table_peek(&ctx->ratelimit->table, &c->key, ctx->now, c->cost, allowance(c), &c->tat);
}

// Onto the deny list, which control keeps; a ring that is full leaves it at 403, until it is refused so often
// again.
static void deny(const struct stage_ctx *ctx, const struct snap_limit *l)
{
	const struct snap_limit_part *p = snap_at(ctx->snapshot, l->parts);
	struct slice name = snap_text(ctx->snapshot, l->name);
	struct rec_block b = {.addr = limit_key_network(p, ctx->client),
			      .until = ctx->now + l->block,
			      .len = addr_is_v4(ctx->client) ? 96u + p->prefix4 : p->prefix6};

	memcpy(b.limit, name.p, name.n < sizeof(b.limit) ? name.n : sizeof(b.limit) - 1);
	rec_ring_put(ctx->ratelimit->blocks, region_ring_size(RING_BLOCK), REC_BLOCK, &b, sizeof(b));
}

// Notes a refusal of this key. True: it is one of `strikes` within `strikes_in`.
static bool struck_too_often(struct stage_ctx *ctx, const struct ratelimit_check *c)
{
	struct ratelimit *r = ctx->ratelimit;
	const struct snap_limit *l = c->limit;
	uint64_t one = l->strikes_in / l->strikes, tat;

	if (l->strikes > LIMIT_KEY_STRIKES_EXACT)
		return limit_table_charge(&r->table, &r->claims, &c->strikes, ctx->now, one,
					  one * (l->strikes - 1), &tat) == LIMIT_TABLE_OVER;
	// One cell for each that may be: where all but the last are taken for the time being, this is the last.
	for (uint32_t i = 0; i + 1 < l->strikes; i++) {
		struct limit_table_key k = limit_key_strike(&r->table, &c->strikes, i);

		if (limit_table_charge(&r->table, &r->claims, &k, ctx->now, l->strikes_in, l->strikes_in,
				       &tat) != LIMIT_TABLE_OVER)
			return false;
	}
	return true;
}

// A refusal more of this key: too many of them, and it is blocked.
static void strike(struct stage_ctx *ctx, const struct ratelimit_check *c)
{
	struct ratelimit *r = ctx->ratelimit;
	const struct snap_limit *l = c->limit;

	if (!l->block || !r->has_table || !struck_too_often(ctx, c))
		return;
	if (limit_table_set(&r->table, &r->claims, &c->blocked, ctx->now, l->block) == LIMIT_TABLE_FULL)
		count(r, l, LIMIT_NO_PLACE);
	if (l->drop)
		deny(ctx, l);
}

// ns for which a key of this request is still blocked; 0: none is.
static uint64_t blocked(struct stage_ctx *ctx, const struct ratelimit_checks *checks)
{
	const struct ratelimit *r = ctx->ratelimit;

	for (unsigned i = 0; i < checks->n && r->has_table; i++) {
		const struct snap_limit *l = checks->v[i].limit;
		uint64_t tat;

		if (!l->block || limit_table_peek(&r->table, &checks->v[i].blocked, ctx->now, l->block,
						  l->block, &tat) != LIMIT_TABLE_OVER)
			continue;
		count(ctx->ratelimit, l, LIMIT_BLOCKED);
		return tat > ctx->now ? tat - ctx->now : 1;
	}
	return 0;
}

// false: refused. *charged and *refused: bits of the checks.
static bool stands(struct stage_ctx *ctx, struct ratelimit_check *c, enum limit_table_result result, unsigned i,
		   uint32_t *charged, uint32_t *refused)
{
	if (result == LIMIT_TABLE_ALLOWED) {
		*charged |= 1u << i;
		return true;
	}
	if (result == LIMIT_TABLE_FULL) {
		count(ctx->ratelimit, c->limit, LIMIT_NO_PLACE);
		c->tat = 0;
		if (c->limit->full_passes)
			return true;
	} else {
		count(ctx->ratelimit, c->limit, LIMIT_REFUSED);
		key_note(ctx, c);
		strike(ctx, c);
	}
	*refused |= 1u << i;
	return false;
}

// The limits that refuse: first only looked at, so that a refusal changes nothing, then charged.
static uint32_t enforce(struct stage_ctx *ctx, struct ratelimit_checks *checks, uint32_t *charged)
{
	uint32_t refused = 0, would = 0;
	unsigned enforcing = 0;

	for (unsigned i = 0; i < checks->n; i++)
		enforcing += enforces(&checks->v[i]);
	for (unsigned i = 0; i < checks->n && enforcing > 1; i++) {
		struct ratelimit_check *c = &checks->v[i];
		enum limit_table_result result = enforces(c) ? peek(ctx, c) : LIMIT_TABLE_ALLOWED;

		if (result == LIMIT_TABLE_OVER || (result == LIMIT_TABLE_FULL && !c->limit->full_passes))
			stands(ctx, c, result, i, &would, &refused);
	}
	for (unsigned i = 0; i < checks->n && !refused; i++) {
		struct ratelimit_check *c = &checks->v[i];

		if (enforces(c))
			stands(ctx, c, charge(ctx, c), i, charged, &refused);
	}
	for (unsigned i = 0; i < checks->n && refused; i++)
		if (*charged & 1u << i) {
			limit_table_return(&ctx->ratelimit->table, &checks->v[i].key, checks->v[i].tat,
					   checks->v[i].cost);
			count(ctx->ratelimit, checks->v[i].limit, LIMIT_GIVEN_BACK);
		}
	return refused;
}

// false: no room for the field.
static bool tag(struct stage_ctx *ctx, const struct snap_limit *l)
{
	return http_add(ctx->head, snap_text(ctx->snapshot, l->header), snap_text(ctx->snapshot, l->name));
}

static enum verdict too_many_fields(struct stage_ctx *ctx)
{
	ctx->status = 431;
	ctx->message = "too many header fields";
	return VERDICT_REPLY;
}

static void tag_drop(struct stage_ctx *ctx, const struct snap_limit *l)
{
	if (l->action == LIMIT_TAG)
		http_drop(ctx->head, snap_text(ctx->snapshot, l->header));
}

// The limits that only watch.
static bool watch(struct stage_ctx *ctx, struct ratelimit_checks *checks)
{
	for (unsigned i = 0; i < checks->n; i++) // what a tag says, the client cannot
		tag_drop(ctx, checks->v[i].limit);
	for (unsigned i = 0; i < checks->n; i++) {
		struct ratelimit_check *c = &checks->v[i];
		bool tags = c->limit->action == LIMIT_TAG;

		if (enforces(c))
			continue;
		switch (charge(ctx, c)) {
		case LIMIT_TABLE_ALLOWED:
			count(ctx->ratelimit, c->limit, LIMIT_PASSED);
			continue;
		case LIMIT_TABLE_FULL:
			count(ctx->ratelimit, c->limit, LIMIT_NO_PLACE);
			continue;
		case LIMIT_TABLE_OVER:
			break;
		}
		key_note(ctx, c);
		count(ctx->ratelimit, c->limit, tags ? LIMIT_TAGGED : LIMIT_SHADOWED);
		if (!tags)
			continue;
		ctx->parked_with |= 1u << i;
		if (!tag(ctx, c->limit))
			return false;
	}
	return true;
}

enum verdict ratelimit_decide(struct stage_ctx *ctx, struct ratelimit_checks *checks)
{
	uint64_t wait = blocked(ctx, checks);
	uint32_t charged = 0, refused;

	if (wait) {
		size_t n = 0;

		put(ctx->ratelimit, &n, "Retry-After: %llu\r\n", (unsigned long long)seconds_up(wait));
		ctx->status = 403;
		ctx->message = "blocked for a time, after too many requests";
		ctx->fields = slice_of(ctx->ratelimit->fields, n);
		return VERDICT_REPLY;
	}
	refused = enforce(ctx, checks, &charged);
	if (refused)
		return refuse(ctx, checks, refused);
	for (unsigned i = 0; i < checks->n; i++) {
		struct ratelimit_check *c = &checks->v[i];
		uint64_t due, used;

		if (!(charged & 1u << i))
			continue;
		// Charged beyond what may pass at once: until the rest of it has passed.
		due = c->tat > ctx->now + c->tolerance ? c->tat - ctx->now - c->tolerance : 0;
		wait = due > wait ? due : wait;
		count(ctx->ratelimit, c->limit, due ? LIMIT_DELAYED : LIMIT_PASSED);
		used = c->tat > ctx->now ? c->tat - ctx->now : 0;
		if (used > c->tolerance / 2)
			key_note(ctx, c);
	}
	ctx->parked_with = 0;
	if (!watch(ctx, checks))
		return too_many_fields(ctx);
	if (!wait)
		return VERDICT_PASS;
	ctx->resume_at = ctx->now + wait;
	return VERDICT_PARK;
}

// The head was parsed anew while the request waited: its tags are put on again.
static enum verdict resume(struct stage_ctx *ctx)
{
	const struct snap_limit *limit = snap_at(ctx->snapshot, ctx->snapshot->limits);
	const struct snap_limit_use *use[2] = {
		ctx->listener ? snap_at(ctx->snapshot, ctx->listener->limits) : NULL, ctx->conf};
	const uint32_t n[2] = {ctx->listener ? ctx->listener->limits.n : 0,
			       ctx->conf_size / (uint32_t)sizeof(struct snap_limit_use)};

	for (unsigned k = 0; k < 2; k++)
		for (uint32_t i = 0; i < n[k]; i++)
			tag_drop(ctx, &limit[use[k][i].limit]);
	for (unsigned k = 0, bit = 0; k < 2; k++)
		for (uint32_t i = 0; i < n[k]; i++, bit++)
			if ((ctx->parked_with & 1u << bit) && !tag(ctx, &limit[use[k][i].limit]))
				return too_many_fields(ctx);
	return VERDICT_PASS;
}

enum verdict ratelimit_run(enum stage_hook hook, struct stage_ctx *ctx)
{
	struct ratelimit_checks checks;

	(void)hook;
	if (ctx->resumed)
		return resume(ctx);
	if (ctx->prepared)
		return ratelimit_decide(ctx, ctx->prepared);
	ratelimit_prepare(ctx, &checks);
	if (checks.n > 1) // one alone is waited for anyway
		ratelimit_prefetch(ctx, &checks);
	return ratelimit_decide(ctx, &checks);
}
