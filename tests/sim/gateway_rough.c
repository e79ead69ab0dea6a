// A gateway among peers that behave badly, in simulation: one worker of the real pipeline between a host of
// clients and a host of backends (the real TCP, virtual time, everything follows from one seed).
//
// Clients abort, half-close, stall, trickle, do not read, send garbage. Backends refuse, reset, end early,
// answer early, answer with garbage or with more than was asked for, speak unasked, stall. Meanwhile
// configurations are replaced, endpoints drained, packet buffers taken away, and at last the gateway drains.
//
// Checked: each client gets the right answer (every byte names the request it belongs to), a well-formed error,
// or a visibly cut connection; well-behaved requests to well-behaved backends get the right answer and nothing
// else; no POST reaches a backend twice; nobody is left hanging; at the end no connection, exchange, attempt,
// pin or packet buffer is left and all gauges are back at 0.
#include "contract/credits.h"
#include "control/blob.h"
#include "control/routetable.h"
#include "gateway/exchange.h"
#include "sim/rough.h"
#include "worker.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the gateway's configuration ---- */

static struct addr address(const char *text)
{
	struct addr a;

	addr_parse(text, strlen(text), &a);
	return a;
}

static struct snap_endpoint endpoint(const char *addr, uint16_t port, uint32_t slot)
{
	return (struct snap_endpoint){
		.addr = address(addr), .tcp_port = port, .weight = 1 + slot % 2, .slot = slot, .epoch = 1};
}

// Endpoints of the rough upstream: some of them, in slots that are theirs.
static uint32_t rough_endpoints(struct sim *s, struct snap_endpoint *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ROUGH_PORTS; i++)
		if (random_below(&s->random, 3))
			e[n++] = endpoint("198.19.0.11", (uint16_t)(8080 + i), i + 1);
	if (random_below(&s->random, 6) == 0) // nobody is there
		e[n++] = endpoint("198.19.0.99", 8080, ROUGH_PORTS + 1);
	if (n == 0)
		e[n++] = endpoint("198.19.0.11", 8080, 1);
	return n;
}

static struct snapshot *snapshot_make(struct sim *s, uint64_t generation)
{
	static const struct route_pattern pattern[] = {
		{.host = {"", 0}, .path = {"/sane", 5}, .prefix = true},
		{.host = {"", 0}, .path = {"/rough", 6}, .prefix = true},
	};
	static const uint32_t max_connections[] = {0, 1, 2, 5}, max_pending[] = {0, 2, 64},
			      receive_buffer[] = {0, 0, 4096, 16384};
	struct random *r = &s->random;
	struct snapshot h = {.magic = SNAPSHOT_MAGIC,
			     .version = SNAPSHOT_VERSION,
			     .header_size = sizeof(h),
			     .generation = generation,
			     .system = {.workers = 1,
					.max_connections = s->scarce ? 48 : 512,
					.tcp.receive_buffer = receive_buffer[random_below(r, 4)]}};
	// Where frames are lost, longer than a few losses in a row cost.
	uint64_t patience = (s->link.impair.loss ? 20 : 5) * SEC;
	struct blob b = {0};
	struct snap_address wan = {.addr = address("198.18.0.1"), .prefix = 120};
	struct snap_address lan = {.addr = address("198.19.0.1"), .prefix = 120};
	struct snap_port port[2] = {{.mtu = 1500}, {.mtu = 1500}};
	struct snap_listener listener = {.tcp_port = 80,
					 .head_timeout = s->link.impair.loss ? patience : 3 * SEC,
					 .idle_timeout = patience,
					 .body_timeout = patience,
					 .response_idle = patience,
					 .rate_grace = patience,
					 .max_head = ROUGH_HEAD,
					 .max_line = ROUGH_HEAD,
					 .max_uri = ROUGH_HEAD,
					 .max_fields = 100,
					 .max_requests = random_below(r, 4) ? 0 : 3};
	struct snap_endpoint e[2][ROUGH_PORTS + 1] = {
		{endpoint("198.19.0.11", 9000, 11), endpoint("198.19.0.11", 9001, 12)}};
	struct snap_upstream u[2] = {{.max_connections = random_below(r, 2) ? 8 : 0,
				      .max_pending = 1000,
				      .connect_timeout = 60 * SEC},
				     {.max_connections = max_connections[random_below(r, 4)],
				      .max_pending = max_pending[random_below(r, 3)],
				      .connect_timeout = SEC,
				      .down_after = random_below(r, 4),
				      .down_for = SEC / 2}};
	struct snap_target t[2] = {{.upstream = 0, .weight = 1}, {.upstream = 1, .weight = 1}};
	struct snap_route route[2];

	blob_add(&b, &h, 1, sizeof(h));
	port[0].addresses = blob_add(&b, &wan, 1, sizeof(wan));
	port[1].addresses = blob_add(&b, &lan, 1, sizeof(lan));
	h.ports = blob_add(&b, port, 2, sizeof(port[0]));
	listener.name = blob_text(&b, "http", 4);
	h.listeners = blob_add(&b, &listener, 1, sizeof(listener));
	for (uint32_t i = 0; i < 2; i++) {
		u[i].stat_slot = i + 1;
		u[i].port = 1;
		u[i].balance = random_below(r, 2) ? BALANCE_LEAST_REQUEST : BALANCE_ROUND_ROBIN;
		u[i].idle_timeout = SEC + random_below(r, 4) * SEC;
		u[i].pool_probe = u[i].idle_timeout / 4;
		u[i].endpoints = blob_add(&b, e[i], i ? rough_endpoints(s, e[1]) : 2, sizeof(e[i][0]));
	}
	h.upstreams = blob_add(&b, u, 2, sizeof(u[0]));
	for (uint32_t i = 0; i < 2; i++)
		route[i] = (struct snap_route){.action = ACTION_TO,
					       .stat_slot = i + 1,
					       .attempts = (uint8_t)(1 + random_below(r, 3)),
					       .per_try = i ? 2 * SEC : 60 * SEC,
					       .timeout = i && random_below(r, 2) ? 8 * SEC : 0,
					       .credits = i ? ROUGH_CREDITS | SNAP_LIMITED : 0,
					       .max_in_flight = i ? 1000 : 0,
					       .targets = blob_add(&b, &t[i], 1, sizeof(t[i]))};
	h.routes = blob_add(&b, route, 2, sizeof(route[0]));
	if (!routetable_build(&b, pattern, 2, &h) || !routetable_prompts(&b, route, 2, &h))
		abort();
	h.size = b.n;
	memcpy(b.p, &h, sizeof(h));
	free(b.texts); // the bytes are the caller's
	return (struct snapshot *)(void *)b.p;
}

// What no worker reads any more is taken away at once, so that a late reader is found.
static void snapshots_reap(struct sim *s)
{
	uint64_t oldest = 0;
	unsigned n = 0;

	for (uint64_t g = s->generation - 1; g > 0; g--) {
		if (s->snapshot[g] && worker_reads(&s->worker, g)) {
			oldest = g;
			n++;
		} else if (s->snapshot[g]) {
			memset(s->snapshot[g], 0xa5, s->snapshot[g]->size);
			free(s->snapshot[g]);
			s->snapshot[g] = NULL;
		}
	}
	if (n > 2 && (s->scarce || s->short_of_buffers)) // where errors are nothing strange
		atomic_store(&s->worker.give_up, oldest + 1);
}

/* ---- what happens meanwhile ---- */

static void hog(struct sim *s)
{
	if (s->n_hogged) {
		while (s->n_hogged)
			pkt_free(s->hogged[--s->n_hogged]);
		return;
	}
	for (uint32_t want = random_below(&s->random, HOG_MAX); s->n_hogged < want;) {
		struct pkt *p = pkt_alloc(s->gateway_pool);

		if (!p)
			return;
		s->hogged[s->n_hogged++] = p;
	}
}

static void meddle(struct sim *s)
{
	struct random *r = &s->random;
	uint32_t slot = 1 + random_below(r, ROUGH_PORTS);

	switch (random_below(r, 7)) {
	case 0:
	case 1:
		if (s->generation + 1 < SNAPSHOTS) {
			s->generation++;
			s->snapshot[s->generation] = snapshot_make(s, s->generation);
			atomic_store(&s->worker.next_snapshot, s->snapshot[s->generation]);
		}
		break;
	case 2:
		atomic_store(&region_endpoints(s->region)[slot].admin, random_below(r, 3)   ? ADMIN_READY
								       : random_below(r, 2) ? ADMIN_DRAIN
											    : ADMIN_MAINT);
		break;
	case 3:
		atomic_store(&region_endpoints(s->region)[slot].weight, (int32_t)random_below(r, 4) - 1);
		break;
	case 4:
		if (s->short_of_buffers)
			hog(s);
		break;
	case 5:
		// Among more than all ask for, a few and none.
		credits_limit(s->region, ROUGH_CREDITS, random_below(r, 2) ? 1000 : random_below(r, 6));
		break;
	default:
		break;
	}
	s->meddle_at = s->now + MS + random_below(r, 1000) * MS;
}

/* ---- one schedule ---- */

static void *cells(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) & ~(size_t)63);

	memset(p, 0, n);
	return p;
}

static void sim_init(struct sim *s, uint64_t seed, uint64_t plan, struct pkt_pool *pool,
		     struct pkt_pool *gateway_pool)
{
	static const uint32_t window[] = {0, 0, 8192, 2048};
	const struct steer one = {.kind = STEER_ONE, .workers = 1};
	struct random stop;
	struct net_port ports[2] = {{.mac = {2, 0, 0, 0, 1, 0}, .mtu = 1500},
				    {.mac = {2, 0, 0, 0, 1, 1}, .mtu = 1500}};

	*s = (struct sim){
		.now = SEC, .generation = 1, .plan = plan, .gateway_pool = gateway_pool, .steer = one};
	random_seed(&s->random, seed);
	for (uint64_t i = plan % PLAN_SHIFTS; i; i--)
		random_next(&s->random);
	s->scarce = random_below(&s->random, 5) == 0;
	s->short_of_buffers = random_below(&s->random, 5) == 0;
	s->drain_at = random_below(&s->random, 4) ? UINT64_MAX : SEC + random_below(&s->random, 6000) * MS;
	wire_init(&s->wire, random_next(&s->random));
	// A whole number of timer ticks, so that what peers do at the same time arrives in one burst.
	s->link.impair.delay = s->link.impair.late = (1 + random_below(&s->random, 4)) << 20;
	s->link.impair.reorder_max = 8 * s->link.impair.delay;
	if (random_below(&s->random, 2)) {
		s->link.impair.loss = random_below(&s->random, plan & PLAN_LOSSES ? 600 : 300);
		s->link.impair.duplicate = random_below(&s->random, 200);
		s->link.impair.reorder = random_below(&s->random, plan & PLAN_LOSSES ? 3000 : 500);
	}
	s->calm.impair.delay = s->link.impair.delay;
	s->region = calloc(1, region_size(1));
	region_create(s->region, 1);
	credits_limit(s->region, ROUGH_CREDITS,
		      random_below(&s->random, 2) ? 1000 : 1 + random_below(&s->random, 5));
	s->stats = (struct stats){.worker = cells(sizeof(struct worker_stats)),
				  .port = cells(STATS_PORTS * sizeof(struct port_stats)),
				  .route = cells(STATS_ROUTES * sizeof(struct route_stats)),
				  .upstream = cells(STATS_UPSTREAMS * sizeof(struct upstream_stats)),
				  .workers = 1};
	s->snapshot[1] = snapshot_make(s, 1);
	struct worker_config conf = {.n_workers = 1,
				     .snapshot = s->snapshot[1],
				     .stats = &s->stats,
				     .region = s->region,
				     .pool = gateway_pool,
				     .steer = {&s->steer, &s->steer},
				     .ports = ports,
				     .n_ports = 2,
				     .seed = random_next(&s->random),
				     .now = s->now};
	conf.bursts = conf.seed & 1;
	if (worker_init(&s->worker, &conf) != 0)
		abort();
	host_init(&s->clients, pool, "198.18.0.2", 24, "198.18.0.1", 2, window[random_below(&s->random, 4)],
		  NULL, NULL, random_next(&s->random));
	host_init(&s->backends, pool, "198.19.0.11", 24, "198.19.0.1", 3, window[random_below(&s->random, 4)],
		  backend_listen, s, random_next(&s->random));
	for (unsigned i = 0; i < BACKENDS_MAX; i++) {
		s->backend[i].next = s->free_backend;
		s->free_backend = &s->backend[i];
	}
	s->refusing = random_below(&s->random, 3) ? 0 : 1u << random_below(&s->random, ROUGH_PORTS);
	s->meddle_at = s->now + random_below(&s->random, 1000) * MS;
	clients_plan(s);
	// In some, the gateway is stopped in the middle of it all.
	random_seed(&stop, ~seed);
	s->stop_at = random_below(&stop, 8) ? UINT64_MAX : s->now + random_below(&stop, 4000) * MS;
}

static unsigned sim_fini(struct sim *s)
{
	unsigned left = worker_fini(&s->worker);

	host_fini(&s->clients);
	host_fini(&s->backends);
	wire_fini(&s->wire);
	while (s->n_hogged)
		pkt_free(s->hogged[--s->n_hogged]);
	free(s->region);
	free(s->stats.worker);
	free(s->stats.port);
	free(s->stats.route);
	free(s->stats.upstream);
	for (unsigned i = 0; i < SNAPSHOTS; i++)
		free(s->snapshot[i]);
	return left;
}

// One line for each segment as it is sent.
static void trace(const struct sim *s, uint32_t to, const struct pkt *p, enum wire_fate fate)
{
	static const char *const ends[] = {"gateway", "gateway", "client", "backend"};
	const unsigned char *t = (const unsigned char *)pkt_data(p) + 34;
	uint32_t n = 0, number[2];
	uint16_t port[2];

	for (const struct pkt *q = p; q; q = pkt_next(q))
		n += pkt_len(q);
	if (pkt_len(p) < 54 || t[-11] != 6) // IPv4 without options, TCP
		return;
	memcpy(port, t, sizeof(port));
	memcpy(number, t + 4, sizeof(number));
	printf("  %10.3f ms to %s %5u > %5u %s%s%s%s%s seq %u ack %u window %u, %u bytes%s\n",
	       (double)s->now / 1e6, ends[to], ntohs(port[0]), ntohs(port[1]), t[13] & 2 ? "S" : "",
	       t[13] & 1 ? "F" : "", t[13] & 4 ? "R" : "", t[13] & 8 ? "P" : "", t[13] & 16 ? "." : "",
	       ntohl(number[0]), ntohl(number[1]), t[14] << 8 | t[15], n - 34 - (t[12] >> 4 << 2),
	       fate == WIRE_SENT ? "" : ", lost");
}

static void transmit(struct sim *s, struct net_txq *q, uint32_t to)
{
	for (uint32_t i = 0; i < q->n; i++) {
		bool arp = pkt_len(q->v[i]) < 54;
		enum wire_fate fate = wire_send(&s->wire, arp ? &s->calm : &s->link, s->now, to, q->v[i]);

		if (s->trace)
			trace(s, to, q->v[i], fate);
		pkt_free_chain(q->v[i]);
	}
	q->n = 0;
}

// Frames of one port that are due at the same time are one burst.
static void turn(struct sim *s)
{
	struct pkt *burst[2][NET_BURST];
	unsigned n[2] = {0, 0};
	struct pkt *p;
	uint32_t to;

	host_advance(&s->clients, s->now); // timers of this very time first: what follows is one burst
	host_advance(&s->backends, s->now);
	transmit(s, &s->clients.net.tx[0], END_WAN);
	transmit(s, &s->backends.net.tx[0], END_LAN);
	while ((p = wire_packet(&s->wire, s->now, s->clients.net.pool, &to))) {
		if (to == END_CLIENTS) {
			host_receive(&s->clients, s->now, p);
		} else if (to == END_BACKENDS) {
			host_receive(&s->backends, s->now, p);
		} else {
			burst[to][n[to]++] = p;
			if (n[to] == NET_BURST) {
				worker_receive(&s->worker, s->now, (uint16_t)to, burst[to], NET_BURST);
				n[to] = 0;
			}
		}
	}
	for (uint16_t port = 0; port < 2; port++)
		if (n[port])
			worker_receive(&s->worker, s->now, port, burst[port], n[port]);
	worker_advance(&s->worker, s->now);
	transmit(s, &s->worker.net.tx[0], END_CLIENTS);
	transmit(s, &s->worker.net.tx[1], END_BACKENDS);
	host_advance(&s->clients, s->now);
	transmit(s, &s->clients.net.tx[0], END_WAN);
	host_advance(&s->backends, s->now);
	transmit(s, &s->backends.net.tx[0], END_LAN);
}

static uint64_t next_time(const struct sim *s)
{
	uint64_t at = earlier(wire_time(&s->wire), worker_next_timer(&s->worker));

	at = earlier(at, wheel_next(&s->clients.wheel));
	at = earlier(at, wheel_next(&s->backends.wheel));
	at = earlier(at, clients_next(s));
	if (s->running)
		at = earlier(at, s->meddle_at);
	at = earlier(at, s->now + 50 * MS); // the worker looks around now and then
	return at > s->now ? at : s->now + 1000;
}

static void look(struct sim *s)
{
	struct gateway *g = s->worker.gateway;
	uint32_t in_flight = 0;
	struct exchange *x;

	for (uint32_t at = 0; (x = gateway_live(g, &at));)
		if (s->now - x->started > 60 * SEC)
			violate(s, "an exchange hangs");
		else
			in_flight += x->credit[1] != 0;
	if (in_flight != credits_used(s->region, ROUGH_CREDITS))
		violate(s, "credits are in use that no exchange has");
	for (uint32_t slot = 1; slot < SLOTS; slot++) {
		const struct upstream_endpoint *e = &g->upstreams.endpoint[slot];

		if (e->active > e->connections)
			violate(s, "an endpoint has more attempts than connections");
	}
}

// Everything that was counted up has been counted down.
static void settled(struct sim *s)
{
	struct gateway *g = s->worker.gateway;
	uint32_t pins = 0;

	if (s->worker.stats->conns_used)
		violate(s, "connections are left");
	if (g->exchanges.used)
		violate(s, "exchanges are left");
	if (credits_used(s->region, ROUGH_CREDITS))
		violate(s, "credits are left in use");
	if (g->attempts.used)
		violate(s, "attempts are left");
	if (g->upstreams.conns.used)
		violate(s, "upstream connections are left");
	for (unsigned i = 0; i < GENERATIONS; i++)
		pins += g->generation[i].pins;
	if (pins)
		violate(s, "pins are left");
	for (uint64_t k = 1; k < atomic_load(&s->worker.running_generation); k++)
		if (worker_reads(&s->worker, k))
			violate(s, "an old generation is kept");
	for (uint32_t slot = 1; slot < SLOTS; slot++)
		if (g->upstreams.endpoint[slot].active || g->upstreams.endpoint[slot].connections ||
		    g->upstreams.endpoint[slot].idle)
			violate(s, "an endpoint's counts have drifted");
	for (unsigned i = 0; i < 3; i++) {
		const struct upstream_stats *u = &s->stats.upstream[i];
		const struct route_stats *r = &s->stats.route[i];

		if (stat_get(&u->active) || stat_get(&u->pending) || stat_get(&u->connections) ||
		    stat_get(&u->idle) || g->pending[i].n || g->pending[i].first)
			violate(s, "an upstream's gauges have drifted");
		if (stat_get(&r->started) != stat_get(&r->finished))
			violate(s, "a route's gauges have drifted");
	}
}

static void explain(const struct sim *s)
{
	printf("  delay %llu us, loss %u dup %u reorder %u of 10000%s%s, virtual time %llu ms, %u clients "
	       "left, "
	       "generation %llu\n",
	       (unsigned long long)s->link.impair.delay / 1000, s->link.impair.loss, s->link.impair.duplicate,
	       s->link.impair.reorder, s->scarce ? ", few connections" : "",
	       s->short_of_buffers ? ", few buffers" : "", (unsigned long long)s->now / 1000000, s->running,
	       (unsigned long long)s->generation);
	clients_explain(s);
	for (unsigned c = 0; c < CTR_COUNT; c++)
		if (stat_get(&s->worker.stats->c[c]))
			printf("  %-24s %llu\n", counter_info[c].name,
			       (unsigned long long)stat_get(&s->worker.stats->c[c]));
}

struct options {
	uint64_t plan;
	bool trace;
};

static const char *schedule(uint64_t seed, const struct options *o, struct pkt_pool *pool,
			    struct pkt_pool *gateway_pool, struct tally *tally)
{
	struct sim *s = calloc(1, sizeof(*s));
	const char *violation;
	uint64_t limit;

	sim_init(s, seed, o->plan, pool, gateway_pool);
	s->trace = o->trace;
	limit = s->now + 400 * SEC;
	while (s->running && !s->violation && s->now < s->stop_at) {
		clients_begin(s);
		if (s->now >= s->meddle_at)
			meddle(s);
		if (s->now >= s->drain_at)
			atomic_store(&s->region->draining, 1);
		turn(s);
		snapshots_reap(s);
		look(s);
		if (s->now > limit)
			violate(s, "a client is left hanging");
		s->now = next_time(s);
	}
	// What is left ends by itself: lingering, pooled and orphaned connections.
	if (s->n_hogged)
		hog(s);
	limit = s->now + 1200 * SEC;
	while (!s->violation && s->stop_at == UINT64_MAX && s->now < limit &&
	       (s->now < limit - 1190 * SEC || s->worker.stats->conns_used)) {
		turn(s);
		snapshots_reap(s);
		s->now = next_time(s);
	}
	if (!s->violation && s->stop_at == UINT64_MAX)
		settled(s);
	for (unsigned i = 0; i < TALLIES; i++)
		tally->n[i] += s->tally.n[i];
	for (unsigned c = 0; c < CTR_COUNT; c++)
		tally->counted[c] += stat_get(&s->worker.stats->c[c]);
	violation = s->violation;
	if (violation)
		explain(s);
	if (sim_fini(s) && !violation)
		violation = "the gateway has leaked connections or exchanges";
	if (!violation && (pkt_pool_used(pool) || pkt_pool_used(gateway_pool)))
		violation = "packet buffers are left";
	free(s);
	return violation;
}

int main(int argc, char **argv)
{
	uint64_t runs = 200, seed = 1, violations = 0;
	struct options o = {0};
	bool verbose = false;
	struct tally tally = {0};
	struct pkt_pool *pool, *gateway_pool;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--runs") == 0)
			runs = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--plan") == 0)
			o.plan = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--trace") == 0)
			o.trace = strtoul(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--counters") == 0)
			verbose = strtoul(argv[i + 1], NULL, 0);
	}
	world_start(argv[0]);
	pool = pkt_pool_create("sim", 96u << 20, 0);
	gateway_pool = pkt_pool_create("gateway", 24u << 20, 0);
	if (!pool || !gateway_pool) {
		fprintf(stderr, "no packet pool\n");
		return 2;
	}
	for (uint64_t i = 0; i < runs; i++) {
		const char *violation = schedule(seed + i, &o, pool, gateway_pool, &tally);

		if (violation) {
			printf("seed %llu: %s\n", (unsigned long long)(seed + i), violation);
			violations++;
			if (pkt_pool_used(pool) || pkt_pool_used(gateway_pool))
				break; // what leaked would show in every schedule behind
		}
	}
	for (unsigned c = 0; verbose && c < CTR_COUNT; c++)
		printf("  %-24s %llu\n", counter_info[c].name, (unsigned long long)tally.counted[c]);
	printf("rough: %llu requests begun, %llu answered, %llu errors of the gateway, %llu cut, %llu sent "
	       "again\n",
	       (unsigned long long)tally.n[TALLY_ASKED], (unsigned long long)tally.n[TALLY_RIGHT],
	       (unsigned long long)tally.n[TALLY_ERROR], (unsigned long long)tally.n[TALLY_CUT],
	       (unsigned long long)tally.counted[CTR_up_replayed]);
	printf("sim: %llu schedules, %llu violations\n", (unsigned long long)runs,
	       (unsigned long long)violations);
	return violations != 0;
}
