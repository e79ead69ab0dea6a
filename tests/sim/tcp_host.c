// One host: what worker.c does with one port, on simulated time.
#include "tcp/conn.h"
#include "tests/sim/tcp_sim.h"
#include <stdlib.h>

#define POOL_MEMORY (8u << 20)
#define ARENA       (1u << 20)

int host_pools(struct sim *s)
{
	for (unsigned i = 0; i < 2; i++) {
		struct host *h = &s->host[i];
		h->pool = pkt_pool_create(i ? "one" : "zero", POOL_MEMORY, -1);
		if (!h->pool)
			return -1;
		h->hog = calloc(pkt_pool_size(h->pool), sizeof(*h->hog));
		h->stats = aligned_alloc(64, sizeof(*h->stats));
	}
	return 0;
}

static void fire(void *ctx, struct timer *t)
{
	struct host *h = ctx;

	if (tcp_owns_timer(h->tcp, t))
		tcp_timer(h->tcp, t);
	else if (net_owns_timer(&h->net, t))
		net_timer(&h->net, t);
	else
		sim_violation(h->sim, "host %u: a timer that nobody owns", h->id);
}

static void take_buffers(struct host *h)
{
	struct sim *s = h->sim;

	h->n_hog = 0;
	h->hog_until = 0;
	if (random_below(&s->r, 20) != 0 || s->impair.gentle)
		return;
	uint32_t leave = 4 + random_below(&s->r, 60), size = pkt_pool_size(h->pool);
	while (h->n_hog + leave < size) {
		struct pkt *p = pkt_alloc(h->pool);
		if (!p)
			break;
		h->hog[h->n_hog++] = p;
	}
	h->hog_until = s->now + (1 + random_below(&s->r, 20)) * SEC;
}

static void give_buffers(struct host *h)
{
	while (h->n_hog)
		pkt_free(h->hog[--h->n_hog]);
}

void host_start(struct host *h)
{
	struct sim *s = h->sim;
	struct hash_key key = {random_next(&s->r), random_next(&s->r)};
	static const uint32_t buffers[] = {2048, 4096, 16384, 65536, 262144};
	struct tcp_config conf = {
		.max_conns = 64,
		.max_time_wait = 1 + random_below(&s->r, 8),
		.rcv_buf = buffers[random_below(&s->r, 5)],
		.snd_buf = buffers[random_below(&s->r, 5)],
		.ooo_max = 1 + random_below(&s->r, 100),
		.msl = SEC << random_below(&s->r, 6),
		// Enough that no connection is given up for bad luck.
		.syn_retries = s->dead ? 3 : 30,
		.data_retries = s->dead ? 4 : 60,
		.keep_idle = random_below(&s->r, 3) ? 0 : (1 + random_below(&s->r, 20)) * SEC,
		.keep_interval = 2 * SEC,
		.keep_probes = s->dead ? 3 : 60,
		.user_timeout = s->dead && random_below(&s->r, 2) ? 20 * SEC : 0,
		.cc = random_below(&s->r, TCP_CC_KINDS),
		.no_sack = random_below(&s->r, 4) == 0,
		.listen = app_listen,
		.listen_ctx = h,
		.secret = {random_next(&s->r), random_next(&s->r)},
	};

	h->no_sack = conf.no_sack;
	memset(h->stats, 0, sizeof(*h->stats));
	memset(h->port_stats, 0, sizeof(h->port_stats));
	if (arena_init(&h->arena, tcp_memory(&conf) + ARENA))
		abort();
	wheel_init(&h->wheel, s->now, fire, h);
	if (net_init(&h->net, &h->arena, h->pool, h->stats, h->port_stats, &h->wheel, key, 16))
		abort();
	h->address = (struct snap_address){
		.addr = addr_from_v4(h->id ? 0x020012c6 : 0x010012c6), // 198.18.0.1 and .2
		.prefix = 96 + 24,
	};
	if (s->ipv6)
		h->address = (struct snap_address){
			.addr = {.b = {0xfd, 0, 0, 0xc6, 0, 0x12, [15] = (uint8_t)(h->id + 1)}}, .prefix = 64};
	h->net.n_ports = 1;
	h->net.port[0] = (struct net_port){
		.mac = {2, 0, 0, 0, 0, (uint8_t)(h->id + 1)},
		.mtu = (uint16_t)(random_below(&s->r, 2) ? 1500 : 576 + random_below(&s->r, 900)),
		.addresses = &h->address,
		.n_addresses = 1,
	};
	if (s->ipv6) {
		if (h->net.port[0].mtu < 1280)
			h->net.port[0].mtu = 1280;
		h->net.port[0].link_local = (struct snap_address){
			.addr = {.b = {0xfe, 0x80, [15] = (uint8_t)(h->id + 1)}}, .prefix = 64};
	}
	h->tcp = tcp_create(&h->arena, &conf, &h->net, &h->wheel, h->stats);
	if (!h->tcp)
		abort();
	h->net.ops = (struct net_ops){.tcp = tcp_input, .unreachable = tcp_unreachable, .ctx = h->tcp};
	h->net.now = s->now;
	tcp_set_now(h->tcp, s->now);
	h->n_held = 0;
	take_buffers(h);
}

static uint64_t digest(const struct pkt *p)
{
	uint64_t h = 1;

	for (; p; p = pkt_next(p))
		h = hash_mix(h, hash64(pkt_data(p), pkt_len(p)) ^ pkt_headroom(p));
	return h;
}

static void give_back(struct host *h, unsigned i)
{
	struct held *held = &h->held[i];

	if (digest(held->pkt) != held->digest)
		sim_violation(h->sim, "host %u: a buffer changed while the driver had it", h->id);
	pkt_free_chain(held->pkt);
	*held = h->held[--h->n_held];
}

static void transmit(struct host *h)
{
	struct net_txq *q = &h->net.tx[0];
	uint32_t n = q->n;

	if (h->sim->impair.busy && n)
		n = random_below(&h->sim->r, n < 8 ? n + 1 : 8);
	for (uint32_t i = 0; i < n; i++) {
		struct pkt *p = q->v[i];
		wire_send(h->sim, h, p);
		if (!h->sim->impair.hold || random_below(&h->sim->r, 3) || h->n_held == 64)
			pkt_free_chain(p);
		else
			h->held[h->n_held++] = (struct held){p, digest(p)};
	}
	q->n -= n;
	memmove(q->v, q->v + n, q->n * sizeof(q->v[0]));
	while (h->n_held && (random_below(&h->sim->r, 4) == 0 || !h->sim->impair.hold))
		give_back(h, random_below(&h->sim->r, h->n_held));
}

struct tcp_conn *host_peer(struct host *h, struct addr local, struct addr remote, uint16_t local_port,
			   uint16_t remote_port)
{
	uint64_t hash = flow_hash(&h->tcp->flows, local, remote, local_port, remote_port);
	uint32_t index = flow_find(h->tcp, hash, local, remote, local_port, remote_port);

	return index < h->tcp->conns.capacity ? conn_at(h->tcp, index) : NULL;
}

static void clock_set(struct host *h)
{
	h->net.now = h->sim->now;
	tcp_set_now(h->tcp, h->sim->now);
}

void host_receive(struct host *h, struct pkt **v, unsigned n)
{
	clock_set(h);
	net_input(&h->net, 0, v, n);
	host_check(h);
}

void host_advance(struct host *h)
{
	clock_set(h);
	if (h->n_hog && h->sim->now >= h->hog_until)
		give_buffers(h);
	wheel_run(&h->wheel, h->sim->now, 0);
	tcp_dispatch(h->tcp);
	tcp_flush(h->tcp);
	transmit(h);
	host_check(h);
}

uint64_t host_next(const struct host *h)
{
	uint64_t next = wheel_next(&h->wheel);

	if (h->net.tx[0].n) // a worker goes on polling
		return h->sim->now + 20000;
	return h->n_hog && h->hog_until < next ? h->hog_until : next;
}

bool host_idle(const struct host *h)
{
	return h->tcp->conns.used == 0 && h->tcp->waits.used == 0;
}

void host_check(struct host *h)
{
	struct tcp *t = h->tcp;

	for (uint32_t i = 0; i < t->conns.capacity; i++) {
		if (!(t->conn_used[i / 64] >> (i % 64) & 1))
			continue;
		const char *why = conn_check(conn_at(t, i));
		if (why)
			sim_violation(h->sim, "host %u, connection %u (%s): %s", h->id, i,
				      tcp_state_name[conn_at(t, i)->state], why);
	}
}

void host_stop(struct host *h)
{
	struct sim *s = h->sim;

	for (unsigned i = 0; i < CTR_COUNT; i++)
		s->total.counters[i] += stat_get(&h->stats->c[i]);
	tcp_destroy(h->tcp);
	if (h->tcp->conns.used || h->tcp->waits.used || h->tcp->flows.used)
		sim_violation(s, "host %u: connections left in their pool at the end", h->id);
	while (h->n_held)
		give_back(h, 0);
	net_fini(&h->net);
	give_buffers(h);
	if (pkt_pool_used(h->pool))
		sim_violation(s, "host %u: %u packet buffers missing", h->id, pkt_pool_used(h->pool));
	if (h->wheel.armed)
		sim_violation(s, "host %u: %u timers left", h->id, h->wheel.armed);
	arena_fini(&h->arena);
}
