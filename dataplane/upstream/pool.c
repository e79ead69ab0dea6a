// Connections to endpoints: opening, reuse (most recently used first, so that what is not needed grows old and
// goes), release.
#include "upstream/upstream.h"
#include <errno.h>

// Probes without an answer: after so many a request is not given to the connection any more, and after so many
// it is ended. The first may be on its way still, so one says nothing.
#define PROBES_DOUBT 2
#define PROBES_END   3
#define PROBE_PARTS  4 // of the time until the first, between one and the next

size_t upstream_memory(uint32_t max_conns)
{
	return (size_t)max_conns * sizeof(struct upstream_conn) +
	       REGION_ENDPOINTS * sizeof(struct upstream_endpoint) +
	       STATS_UPSTREAMS * sizeof(struct upstream_rotation) + 4096;
}

int upstream_init(struct upstream_pool *p, struct arena *a, uint32_t max_conns, struct tcp *tcp,
		  struct region *region, unsigned worker, struct worker_stats *stats,
		  struct upstream_stats *up_stats, struct random *random)
{
	*p = (struct upstream_pool){.tcp = tcp,
				    .region = region,
				    .stats = stats,
				    .up_stats = up_stats,
				    .random = random,
				    .worker = worker,
				    .workers = region_workers(region)};
	p->active = region_active(region, worker);
	for (uint32_t slot = 0; slot < REGION_ENDPOINTS; slot++) // what it was before we began
		atomic_store_explicit(&p->active[slot], 0, memory_order_relaxed);
	p->health = region_health(region, worker);
	p->endpoint = arena_alloc(a, REGION_ENDPOINTS * sizeof(*p->endpoint), 64);
	p->rotation = arena_alloc(a, STATS_UPSTREAMS * sizeof(*p->rotation), 64);
	if (!p->endpoint || !p->rotation)
		return -ENOMEM;
	return slab_init(&p->conns, a, max_conns, sizeof(struct upstream_conn), 8);
}

uint32_t upstream_share(const struct upstream_pool *p, uint32_t limit)
{
	uint32_t share;

	if (p->workers == 1)
		return limit;
	share = limit / p->workers + (p->worker < limit % p->workers);

	return share || !limit ? share : 1;
}

// The cell is for the other workers to see.
static void active_add(struct upstream_pool *p, struct upstream_endpoint *rt, int n)
{
	rt->active += (uint32_t)n;
	atomic_store_explicit(&p->active[rt - p->endpoint], rt->active, memory_order_relaxed);
}

static void idle_unlink(struct upstream_conn *c)
{
	*c->pprev = c->next;
	if (c->next)
		c->next->pprev = c->pprev;
	c->pprev = NULL;
}

static void trial_over(struct upstream_endpoint *rt, struct upstream_conn *c)
{
	if (c->trial)
		rt->tried = c->trial = false;
}

// The endpoint state that the connection counts in; NULL where the slot has meanwhile another owner.
static struct upstream_endpoint *endpoint_of(struct upstream_pool *p, const struct upstream_conn *c)
{
	struct upstream_endpoint *e = &p->endpoint[c->slot];

	return e->epoch == c->epoch ? e : NULL;
}

static void set_health(struct upstream_pool *p, uint32_t slot, enum endpoint_health h)
{
	p->endpoint[slot].health = (uint8_t)h;
	atomic_store_explicit(&p->health[slot], (uint8_t)h, memory_order_relaxed);
}

static void close_idle(struct upstream_pool *p, uint32_t slot)
{
	while (p->endpoint[slot].idle)
		upstream_close(p, p->endpoint[slot].idle, false);
}

void upstream_configure(struct upstream_pool *p, const struct snapshot *s)
{
	const struct snap_upstream *u = snap_at(s, s->upstreams);

	for (uint32_t i = 0; i < s->upstreams.n; i++) {
		const struct snap_endpoint *e = snap_at(s, u[i].endpoints);

		for (uint32_t j = 0; j < u[i].endpoints.n; j++) {
			struct upstream_endpoint *rt = &p->endpoint[e[j].slot];

			if (rt->epoch != e[j].epoch) {
				close_idle(p, e[j].slot);
				*rt = (struct upstream_endpoint){.epoch = e[j].epoch};
				active_add(p, rt, 0);
				set_health(p, e[j].slot, HEALTH_UP);
			}
			rt->generation = s->generation;
		}
	}
	for (uint32_t slot = 1; slot < REGION_ENDPOINTS; slot++)
		if (p->endpoint[slot].idle && p->endpoint[slot].generation != s->generation)
			close_idle(p, slot);
	p->snapshot = s;
}

// May a pooled connection carry a request? What came over it since its last answer was not asked for, and would
// be taken for the next one; its owner is told of that, and of its end, only later in this burst. Nor behind a
// window that its peer has shut, or what it has not taken of the request before, which it answered early.
static bool reusable(const struct tcp_conn *c)
{
	return tcp_recv_len(c) == 0 && !tcp_recv_eof(c) && !tcp_send_waits(c);
}

// Its host is gone, as far as one can tell: nothing is left to be said to it.
static void close_dead(struct upstream_pool *p, struct upstream_conn *c)
{
	stat_add(&p->stats->c[CTR_up_pool_dead], 1);
	upstream_close(p, c, true);
}

struct upstream_conn *upstream_reuse(struct upstream_pool *p, const struct snap_endpoint *e, void *owner)
{
	struct upstream_endpoint *rt = &p->endpoint[e->slot];
	struct upstream_conn *c;

	// The trial of an endpoint that is down is a connection of its own: an old one proves nothing.
	if (rt->epoch != e->epoch || rt->health == HEALTH_DOWN)
		return NULL;
	while ((c = rt->idle)) {
		if (tcp_unanswered(c->tcp) >= PROBES_DOUBT)
			close_dead(p, c);
		else if (!reusable(c->tcp))
			upstream_close(p, c, false);
		else
			break;
	}
	if (!c)
		return NULL;
	idle_unlink(c);
	c->owner = owner;
	c->state = UPSTREAM_BUSY;
	tcp_set_timer(c->tcp, 0);
	active_add(p, rt, 1);
	stat_add(&p->up_stats[c->stat_slot].idle, (uint64_t)-1);
	stat_add(&p->stats->c[CTR_up_pool_reuse], 1);
	return c;
}

struct upstream_conn *upstream_open(struct upstream_pool *p, const struct snap_upstream *u,
				    const struct snap_endpoint *e, tcp_event_fn *fn, void *ctx, void *owner,
				    int *err)
{
	struct upstream_endpoint *rt = p->endpoint[e->slot].epoch == e->epoch ? &p->endpoint[e->slot] : NULL;
	struct upstream_conn *c;

	// A fresh one where only pooled ones are left takes the place of one of these.
	if (rt && rt->idle && u->max_connections && rt->connections >= upstream_share(p, u->max_connections))
		upstream_close(p, rt->idle, false);
	c = slab_get(&p->conns);
	if (!c) {
		*err = -ENOMEM;
		return NULL;
	}
	*c = (struct upstream_conn){.owner = owner,
				    .slot = e->slot,
				    .epoch = e->epoch,
				    .stat_slot = u->stat_slot,
				    .state = UPSTREAM_CONNECTING};
	c->tcp = tcp_connect(p->tcp, u->port, e->addr, e->tcp_port, fn, ctx, c, err);
	if (!c->tcp) {
		slab_put(&p->conns, c);
		return NULL;
	}
	tcp_set_cc(c->tcp, (enum tcp_cc)u->congestion);
	tcp_set_ecn(c->tcp, (enum tcp_ecn)u->ecn);
	if (rt) {
		active_add(p, rt, 1);
		rt->connections++;
		c->trial = rt->health == HEALTH_DOWN && !rt->tried;
		rt->tried |= c->trial;
	}
	stat_add(&p->up_stats[u->stat_slot].connects, 1);
	stat_add(&p->up_stats[u->stat_slot].connections, 1);
	return c;
}

void upstream_opened(struct upstream_pool *p, struct upstream_conn *c)
{
	struct upstream_endpoint *rt = endpoint_of(p, c);

	c->state = UPSTREAM_BUSY;
	if (!rt)
		return;
	rt->failures = 0;
	trial_over(rt, c);
	if (rt->health != HEALTH_UP)
		set_health(p, c->slot, HEALTH_UP);
}

static void idle_timer_set(struct upstream_conn *c, uint64_t at)
{
	tcp_set_timer(c->tcp, at < c->idle_until ? at : c->idle_until);
}

bool upstream_idle_timer(struct upstream_pool *p, struct upstream_conn *c, uint64_t now)
{
	uint64_t probe = c->probe * 1000000ull, part = probe / PROBE_PARTS;
	unsigned unanswered = tcp_unanswered(c->tcp);

	if (unanswered >= PROBES_END) {
		close_dead(p, c);
		return true;
	}
	if (now >= c->idle_until) {
		upstream_close(p, c, unanswered != 0);
		return true;
	}
	// It was asked a part of the time ago, and has answered.
	if (c->probed && unanswered == 0) {
		c->probed = false;
		idle_timer_set(c, now + probe - part);
		return false;
	}
	c->probed = true;
	tcp_probe(c->tcp);
	idle_timer_set(c, now + part);
	return false;
}

void upstream_release(struct upstream_pool *p, struct upstream_conn *c, uint64_t now, uint64_t idle,
		      uint64_t probe)
{
	struct upstream_endpoint *rt = endpoint_of(p, c);

	if (!rt || rt->generation != p->snapshot->generation ||
	    atomic_load_explicit(&region_endpoints(p->region)[c->slot].admin, memory_order_relaxed) !=
		    ADMIN_READY) {
		upstream_close(p, c, false);
		return;
	}
	active_add(p, rt, -1);
	c->owner = NULL;
	c->state = UPSTREAM_IDLE;
	c->served++;
	c->next = rt->idle;
	c->pprev = &rt->idle;
	if (c->next)
		c->next->pprev = &c->next;
	rt->idle = c;
	c->idle_until = now + idle;
	c->probe = (uint32_t)((probe + 999999) / 1000000);
	c->probed = false;
	tcp_set_timer(c->tcp, now + (probe && probe < idle ? probe : idle));
	stat_add(&p->up_stats[c->stat_slot].idle, 1);
}

void upstream_close(struct upstream_pool *p, struct upstream_conn *c, bool abort)
{
	struct upstream_endpoint *rt = endpoint_of(p, c);

	if (c->state == UPSTREAM_IDLE) {
		idle_unlink(c);
		stat_add(&p->up_stats[c->stat_slot].idle, (uint64_t)-1);
	} else if (rt)
		active_add(p, rt, -1);
	if (rt) {
		rt->connections--;
		trial_over(rt, c);
	}
	stat_add(&p->up_stats[c->stat_slot].connections, (uint64_t)-1);
	if (abort)
		tcp_abort(c->tcp);
	else
		tcp_close(c->tcp);
	slab_put(&p->conns, c);
}

void upstream_failed(struct upstream_pool *p, const struct snap_upstream *u, const struct snap_endpoint *e,
		     uint64_t now)
{
	struct upstream_endpoint *rt = &p->endpoint[e->slot];

	if (rt->epoch != e->epoch)
		return;
	stat_add(&p->up_stats[u->stat_slot].connect_failures, 1);
	rt->failures++;
	if (u->down_after == 0 || rt->failures < u->down_after)
		return;
	if (rt->health == HEALTH_UP) {
		set_health(p, e->slot, HEALTH_DOWN);
		stat_add(&p->stats->c[CTR_up_marked_down], 1);
	}
	rt->down_until = now + u->down_for;
}
