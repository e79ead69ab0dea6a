// The gateway's life: memory, generations, listeners, timers.
#include "gateway/encode.h"
#include "gateway/tunnel.h"
#include "policy/ratelimit/ratelimit.h"
#include "route/regex.h"
#include <errno.h>

static uint32_t exchanges_for(uint32_t max_connections)
{
	return max_connections / 2 + 64;
}

size_t gateway_memory(uint32_t max_connections, uint32_t encoders)
{
	size_t n = exchanges_for(max_connections);

	return sizeof(struct gateway) +
	       n * (sizeof(struct exchange) + sizeof(struct exchange_timer) + sizeof(struct attempt) +
		    sizeof(struct tunnel) + 128) +
	       STATS_UPSTREAMS * sizeof(struct pending) + NOTED_MAX * sizeof(struct noted) +
	       upstream_memory(max_connections) + max_connections * sizeof(struct proxy_header) +
	       ratelimit_memory() + encoders_memory(encoders) + encoders * (sizeof(struct encoding) + 64) +
	       regex_matcher_memory() + 65536;
}

struct gateway *gateway_create(struct arena *a, const struct gateway_config *conf)
{
	struct gateway *g = arena_alloc(a, sizeof(*g), 64);

	if (!g)
		return NULL;
	g->conf = *conf;
	g->date_second = UINT64_MAX;
	random_seed(&g->random, conf->seed);
	g->pending = arena_alloc(a, STATS_UPSTREAMS * sizeof(*g->pending), 64);
	g->ratelimit = ratelimit_create(a, &(struct ratelimit_config){.worker = conf->worker,
								      .region = conf->region,
								      .table = conf->limits});
	g->matcher = regex_matcher_create(a, &conf->stats->c[CTR_http_regex_beyond]);
	g->encoders = encoders_create(a, conf->encoders);
	g->encode_last = &g->encode_first;
	g->noted = arena_alloc(a, NOTED_MAX * sizeof(*g->noted), 64);
	g->found = ROUTE_UNKNOWN;
	if (!g->pending || !g->ratelimit || !g->matcher || !g->encoders || !g->noted)
		return NULL;
	if (conf->stopwatch)
		encoders_clock(g->encoders, conf->stopwatch, conf->stopwatch_of);
	g->due = UINT32_MAX;
	for (uint32_t i = 0; i < STATS_UPSTREAMS; i++)
		g->pending[i].last = &g->pending[i].first;
	return g;
}

// The statistics outlive a data plane: what it was doing when it died is neither under way any more nor open.
static void gauges_reset(struct gateway *g)
{
	for (unsigned i = 0; i < STATS_ROUTES; i++) {
		struct route_stats *r = &g->conf.route_stats[i];

		atomic_store_explicit(&r->finished, stat_get(&r->started), memory_order_relaxed);
	}
	for (unsigned i = 0; i < STATS_UPSTREAMS; i++) {
		struct upstream_stats *u = &g->conf.upstream_stats[i];

		atomic_store_explicit(&u->active, 0, memory_order_relaxed);
		atomic_store_explicit(&u->connections, 0, memory_order_relaxed);
		atomic_store_explicit(&u->idle, 0, memory_order_relaxed);
		atomic_store_explicit(&u->pending, 0, memory_order_relaxed);
	}
}

int gateway_start(struct gateway *g, struct arena *a, struct tcp *tcp)
{
	uint32_t n = exchanges_for(g->conf.max_connections);
	int err;

	g->tcp = tcp;
	gauges_reset(g);
	err = slab_init(&g->exchanges, a, n, sizeof(struct exchange), 64);
	g->timers = arena_alloc(a, n * sizeof(*g->timers), 64);
	if (!err && !g->timers)
		err = -ENOMEM;
	if (!err)
		err = slab_init(&g->attempts, a, n, sizeof(struct attempt), 64);
	if (!err)
		err = slab_init(&g->tunnels, a, n, sizeof(struct tunnel), 8);
	if (!err && g->conf.encoders)
		err = slab_init(&g->encodings, a, g->conf.encoders, sizeof(struct encoding), 64);
	if (!err)
		err = upstream_init(&g->upstreams, a, g->conf.max_connections, tcp, g->conf.region,
				    g->conf.worker, g->conf.stats, g->conf.upstream_stats, &g->random);
	g->proxied = arena_alloc(a, (size_t)g->conf.max_connections * sizeof(*g->proxied), 64);
	return err || g->proxied ? err : -ENOMEM;
}

unsigned gateway_stop(struct gateway *g)
{
	uint64_t cursor = 0;
	struct tcp_conn *c;

	g->draining = true;
	g->waking = true; // what one frees begins nothing new
	while ((c = tcp_next(g->tcp, &cursor, client_event)))
		client_cut(g, c);
	cursor = 0;
	while ((c = tcp_next(g->tcp, &cursor, upstream_event)))
		upstream_close(&g->upstreams, tcp_user(c), true);
	return g->exchanges.used + g->attempts.used + g->tunnels.used + g->encodings.used +
	       g->upstreams.conns.used;
}

void gateway_prepare(struct gateway *g, const struct snapshot *s)
{
	const struct snap_route *r = snap_at(s, s->routes);
	uint32_t i = 0;

	if (g->encoders_ready)
		return;
	while (i < s->routes.n && !(r[i].stages & 1u << STAGE_compress))
		i++;
	if (i == s->routes.n)
		return;
	encoders_touch(g->encoders);
	g->encoders_ready = true;
}

void gateway_set_now(struct gateway *g, uint64_t now)
{
	g->now = now;
}

// A connection remembers its listener by name, since indexes change from one generation to the next.
static uint32_t listener_tag(const struct snapshot *s, const struct snap_listener *l)
{
	return (uint32_t)hash64(snap_at(s, l->name), l->name.n);
}

// Where a snapshot has none.
static const struct snap_listener last = {.head_timeout = 1000000000ull,
					  .idle_timeout = 1000000000ull,
					  .body_timeout = 1000000000ull,
					  .response_idle = 1000000000ull,
					  .max_head = SNAP_HEAD_MAX,
					  .max_line = SNAP_HEAD_MAX,
					  .max_uri = SNAP_HEAD_MAX,
					  .max_fields = SNAP_FIELDS_MAX,
					  .max_requests = 1};

static struct listener_rules rules_make(const struct snapshot *s, const struct snap_listener *l)
{
	return (struct listener_rules){.listener = l,
				       .limits = {.head = l->max_head,
						  .line = l->max_line,
						  .uri = l->max_uri,
						  .fields = l->max_fields,
						  .lenient_lf = l->lenient_lf,
						  .dot_segments = l->path.dot_segments,
						  .body = l->max_body ? l->max_body : UINT64_MAX,
						  .hosts = snap_any_alone(s) ? NULL : snap_at(s, s->hosts),
						  .hosts_mask = s->hosts.n - 1},
				       .plain = !l->trusted.n && !l->limits.n && !l->path.slashes &&
						!l->path.dot_segments};
}

const struct snap_listener *gateway_listener(const struct gateway *g, uint32_t tag)
{
	return listener_rules(g, tag)->listener;
}

_Static_assert((int)SYN_COOKIES_PRESSURE == TCP_COOKIES_PRESSURE &&
		       (int)SYN_COOKIES_ALWAYS == TCP_COOKIES_ALWAYS &&
		       (int)SYN_COOKIES_NEVER == TCP_COOKIES_NEVER,
	       "the same order");

// What is for all workers together is shared evenly: flows are spread by hash, and a worker asks no other.
// Never more than the whole, as long as there is one for each.
static uint32_t share(const struct snapshot *s, uint32_t all)
{
	uint32_t part = all / s->system.workers;

	return all && !part ? 1 : part;
}

bool gateway_listen(void *gateway, uint16_t port, struct addr local, uint16_t local_port,
		    struct tcp_accept *out)
{
	struct gateway *g = gateway;
	const struct snapshot *s = gateway_snapshot(g);
	const struct snap_listener *l;

	if (!s || g->draining)
		return false;
	l = snap_at(s, s->listeners);
	for (uint32_t i = 0; i < s->listeners.n; i++, l++)
		if (l->tcp_port == local_port && l->port == port &&
		    (addr_is_any(l->addr) || addr_eq(l->addr, local))) {
			*out = (struct tcp_accept){
				.on_event = client_event,
				.ctx = g,
				.tag = i < g->n_listener_tags ? g->listener_tag[i] : listener_tag(s, l),
				.cc = (enum tcp_cc)l->congestion,
				.ecn = (enum tcp_ecn)l->ecn,
				.cookies = (enum tcp_cookies)l->syn_cookies,
				.max_per_address = share(s, l->max_per_address),
				.prefix6 = l->client_prefix6,
				.refuse_reset = l->refuse == REFUSE_RESET,
				.rate = l->accept_rate && i < LISTENERS_MAX ? &g->accept_rate[i] : NULL,
			};
			return true;
		}
	return false;
}

// A listener's rate goes on where it was the same before; tags and rates are still the old ones'.
static void rates_configure(struct gateway *g, const struct snapshot *s)
{
	const struct snap_listener *l = snap_at(s, s->listeners);
	uint32_t n = s->listeners.n < LISTENERS_MAX ? s->listeners.n : LISTENERS_MAX;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t rate = share(s, l[i].accept_rate), burst = share(s, l[i].accept_burst);
		bool same = i < g->n_listener_tags && g->listener_tag[i] == listener_tag(s, &l[i]) &&
			    g->accept_rate[i].rate == rate && g->accept_rate[i].burst == burst;

		if (!same)
			g->accept_rate[i] = (struct tcp_rate){
				.rate = rate, .burst = burst, .tokens = burst, .refilled = g->now};
	}
}

bool gateway_configure(struct gateway *g, const struct snapshot *s, const struct regex_set *regexes)
{
	for (uint32_t i = 0; i < GENERATIONS; i++) {
		struct generation *n = &g->generation[i], *old = &g->generation[g->current];

		if (n->snapshot)
			continue;
		*n = (struct generation){.snapshot = s, .regexes = regexes, .number = s->generation};
		if (old != n && old->pins == 0)
			old->snapshot = NULL;
		g->current = i;
		rates_configure(g, s);
		g->n_listener_tags = s->listeners.n < LISTENERS_MAX ? s->listeners.n : LISTENERS_MAX;
		for (uint32_t k = 0; k < g->n_listener_tags; k++)
			g->listener_tag[k] =
				listener_tag(s, (const struct snap_listener *)snap_at(s, s->listeners) + k);
		g->rules[0] = rules_make(s, &last);
		for (uint32_t k = 0; k < g->n_listener_tags; k++)
			g->rules[k] = rules_make(s, (const struct snap_listener *)snap_at(s, s->listeners) + k);
		upstream_configure(&g->upstreams, s);
		burst_configure(g, s);
		return true;
	}
	return false;
}

void gateway_generations(const struct gateway *g, uint64_t held[static SNAP_GENERATIONS])
{
	for (uint32_t i = 0; i < GENERATIONS; i++)
		held[i] = g->generation[i].snapshot ? g->generation[i].number : 0;
}

void gateway_give_up(struct gateway *g, uint64_t before)
{
	struct exchange *x;

	if (g->given_up.before != before) {
		g->given_up.before = before;
		g->given_up.at = 0;
	}
	// Those that begin meanwhile, in places behind us, run under the newest.
	for (unsigned i = 0; i < GIVE_UP_SLICE && (x = gateway_live(g, &g->given_up.at)); i++)
		if (x->snapshot && g->generation[x->generation].number < before)
			exchange_give_up(x);
}

bool gateway_owns_timer(const struct gateway *g, const struct timer *t)
{
	return (const char *)t >= (const char *)g->timers &&
	       (const char *)t < (const char *)(g->timers + g->exchanges.capacity);
}

void gateway_timer(struct gateway *g, struct timer *t)
{
	struct exchange *x = ((struct exchange_timer *)t)->x;

	(void)g;
	if (x)
		exchange_timer(x);
}

struct addr gateway_client(const struct gateway *g, const struct tcp_info *info)
{
	return info->on_event == client_event ? client_named(g, info) : (struct addr){.w = {0}};
}

bool gateway_tunnels(const struct tcp_info *info)
{
	const struct upstream_conn *conn = info->user;
	const struct attempt *a;

	if (info->on_event == client_event)
		return client_tunnels(info->user);
	a = info->on_event == upstream_event && conn ? conn->owner : NULL;
	return a && tunnel_is_open(a->x);
}

void gateway_drain(struct gateway *g, enum drain to)
{
	uint64_t cursor = 0;
	struct tcp_conn *c;
	bool on = to != DRAIN_OFF;

	if (to == DRAIN_END)
		tunnels_end(g);
	if (g->draining == on)
		return;
	g->draining = on;
	while (on && (c = tcp_next(g->tcp, &cursor, client_event)))
		client_drain(g, c);
}

void gateway_denied(struct gateway *g)
{
	const struct address_list *l = g->conf.addresses;
	uint64_t version;
	struct tcp_conn *c;

	if (!l)
		return;
	version = atomic_load_explicit(&l->head->version_denied, memory_order_acquire);
	if (!g->denied.walking) {
		if (g->denied.version == version)
			return;
		g->denied.version = version;
		g->denied.walking = true;
		g->denied.cursor = 0;
	}
	for (unsigned i = 0; i < DENIED_SLICE; i++) {
		c = tcp_next(g->tcp, &g->denied.cursor, client_event);
		if (!c) {
			g->denied.walking = false; // entries that came meanwhile begin another walk
			return;
		}
		if (!address_list_denied(l, tcp_remote(c), g->now))
			continue;
		count(g, CTR_tcp_denied_ended);
		client_cut(g, c);
	}
}

void gateway_gauges(struct gateway *g)
{
	struct worker_stats *st = g->conf.stats;

	atomic_store_explicit(&st->exchanges_used, g->exchanges.used, memory_order_relaxed);
	atomic_store_explicit(&st->exchanges_high, g->exchanges.high, memory_order_relaxed);
	atomic_store_explicit(&st->exchanges_size, g->exchanges.capacity, memory_order_relaxed);
}
