// The worker and the load generator in one thread, joined by rings instead of a device, under virtual time:
// what a request costs the gateway, without what the machine's other users, the driver and the other CPU add to
// it.
//
//	instructions --snapshot FILE ...           cycles for each request, by the time-stamp counter
//	valgrind --tool=callgrind --toggle-collect=gateway_turn instructions ...   instructions, which repeat
//
// FILE comes from `churchgate-control --compile FILE CONFIG`; perf/instructions/run does all of it.
#include "contract/limit_table.h"
#include "contract/region.h"
#include "perf/loadgen/backend.h"
#include "perf/loadgen/client.h"
#include "worker.h"
#include <arpa/inet.h>
#include <getopt.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RING     4096
#define TURN     20000u // ns of virtual time from turn to turn
#define SIDES    2
#define BACKENDS 4
#define WINDOW   1024 // requests
#define HZ       1e9  // of virtual ticks

struct options {
	const char *snapshot, *method, *host, *field, *path[CLIENT_WORKS]; // as of the load generator's options
	unsigned n_paths, numbers, limits; // limits: MiB of the table of rate limits
	unsigned connections, send, respond, expect, requests, warmup;
	bool per_request;
};

struct bench {
	struct options o;
	struct worker worker;
	struct steer steer;
	struct snapshot *snapshot;
	struct stats stats;
	struct region *region;
	struct pkt_pool *pool;
	struct rte_ring *to[SIDES], *from[SIDES]; // the gateway, by port
	struct link link[SIDES];
	struct client client;
	struct backend backend;
	struct client_work work[CLIENT_WORKS];
	struct limit_table limits;
	struct message response;
	uint64_t now, cycles, turns;
	double median, least; // cycles for each request, of all windows: half of them, and a tenth, had less
	bool started;         // the clients may begin
};

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "instructions: %s\n", what);
	exit(1);
}

static void *cells(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) & ~63ul);

	if (!p)
		fail("no memory");
	return memset(p, 0, n);
}

// In large pages, as the data plane has it.
static struct snapshot *snapshot_read(const char *path)
{
	const size_t page = 2ul << 20;
	static char why[200];
	FILE *f = fopen(path, "rb");
	long n;
	void *p;

	if (!f || fseek(f, 0, SEEK_END) || (n = ftell(f)) <= 0 || fseek(f, 0, SEEK_SET))
		fail("the snapshot cannot be read");
	p = aligned_alloc(page, ((size_t)n + page - 1) / page * page);
	if (!p)
		fail("no memory");
	madvise(p, (size_t)n, MADV_HUGEPAGE);
	if (fread(p, 1, (size_t)n, f) != (size_t)n || !snapshot_verify(p, (size_t)n, why, sizeof(why)))
		fail("not a snapshot");
	fclose(f);
	return p;
}

static void limits_make(struct bench *b)
{
	size_t n = (size_t)b->o.limits << 20;
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char why[200];

	if (p == MAP_FAILED)
		fail("no memory");
	madvise(p, n, MADV_HUGEPAGE);
	limit_table_create(p, n, (struct hash_key){1, 2});
	if (!limit_table_attach(&b->limits, p, n, 1, why, sizeof(why)))
		fail(why);
}

static void worker_make(struct bench *b)
{
	struct net_port port[SIDES] = {{.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500},
				       {.mac = {2, 0, 0, 0, 0, 2}, .mtu = 1500}};
	struct worker_config conf = {.n_workers = 1,
				     .snapshot = b->snapshot,
				     .stats = &b->stats,
				     .pool = b->pool,
				     .steer = {&b->steer, &b->steer},
				     .ports = port,
				     .n_ports = SIDES,
				     .seed = 1,
				     .realtime_offset = 1700000000000000000ull,
				     .now = b->now};

	b->steer = (struct steer){.kind = STEER_ONE, .workers = 1};
	b->region = aligned_alloc(4096, region_size(1));
	if (!b->region)
		fail("no memory");
	memset(b->region, 0, region_size(1));
	region_create(b->region, 1);
	conf.region = b->region;
	b->stats = (struct stats){.worker = cells(sizeof(struct worker_stats)),
				  .port = cells(STATS_PORTS * sizeof(struct port_stats)),
				  .route = cells(STATS_ROUTES * sizeof(struct route_stats)),
				  .upstream = cells(STATS_UPSTREAMS * sizeof(struct upstream_stats)),
				  .workers = 1};
	if (b->o.limits) {
		limits_make(b);
		conf.limits = &b->limits;
	}
	if (worker_init(&b->worker, &conf))
		fail("the worker does not start");
}

static void wires_make(struct bench *b)
{
	static const char *const name[SIDES] = {"wan", "lan"}, *const device[SIDES] = {"net_ring_wan",
										       "net_ring_lan"};
	static const char *const ours[SIDES] = {"198.18.1.0", "198.19.0.11"}, *const its[SIDES] = {
										      "198.18.0.1",
										      "198.19.0.1"};

	for (unsigned i = 0; i < SIDES; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%s_to", name[i]);
		b->to[i] = rte_ring_create(text, RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(text, sizeof(text), "%s_from", name[i]);
		b->from[i] = rte_ring_create(text, RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!b->to[i] || !b->from[i] ||
		    rte_eth_from_rings(name[i], &b->from[i], 1, &b->to[i], 1, 0) < 0 ||
		    link_start(&b->link[i], device[i], inet_addr(ours[i]), inet_addr(its[i]), b->pool))
			fail("no wire");
		b->link[i].mac[5] = (uint8_t)(16 + i); // rings have none
		memcpy(b->link[i].frame + 6, b->link[i].mac, 6);
	}
}

// What is counted: bursts in, all that follows from them, bursts out.
__attribute__((noipa)) static void gateway_turn(struct bench *b)
{
	struct pkt *v[NET_BURST];
	uint64_t begin = rte_rdtsc();

	for (unsigned i = 0; i < SIDES; i++) {
		unsigned n = rte_ring_sc_dequeue_burst(b->to[i], (void **)v, NET_BURST, NULL);

		if (n)
			worker_receive(&b->worker, b->now, (uint16_t)i, v, n);
	}
	worker_advance(&b->worker, b->now);
	for (unsigned i = 0; i < SIDES; i++) {
		struct net_txq *q = &b->worker.net.tx[i];
		unsigned n = rte_ring_sp_enqueue_burst(b->from[i], (void **)q->v, q->n, NULL);

		q->n -= n;
		memmove(q->v, q->v + n, q->n * sizeof(q->v[0]));
	}
	b->cycles += rte_rdtsc() - begin;
}

static void generator_turn(struct bench *b)
{
	struct segment seg[LINK_BURST];
	uint32_t ms = (uint32_t)(b->now / 1000000);
	unsigned n;

	client_set_now(&b->client, b->now, ms);
	n = link_receive(&b->link[0], seg, false);
	if (n)
		client_input(&b->client, seg, n);
	link_release(&b->link[0]);
	n = link_receive(&b->link[1], seg, false);
	if (n)
		backend_input(&b->backend, seg, n, ms);
	link_release(&b->link[1]);
	(void)backend_turn(&b->backend);
	if (b->started)
		client_turn(&b->client);
	for (unsigned i = 0; i < SIDES; i++)
		link_flush(&b->link[i]);
}

static void turn(struct bench *b)
{
	b->now += TURN;
	b->turns++;
	generator_turn(b);
	gateway_turn(b);
}

static void generator_make(struct bench *b)
{
	const struct options *o = &b->o;
	struct client_conf conf = {.server = inet_addr("198.18.0.1"),
				   .port = 80,
				   .conns = o->connections,
				   .open_rate = HZ,
				   .close = o->per_request ? CLOSE_SERVER : CLOSE_NEVER,
				   .patience = 10000,
				   .pipeline = 1,
				   .hz = HZ};
	char head[1024], length[64] = "";

	if (o->send)
		snprintf(length, sizeof(length), "Content-Length: %u\r\n", o->send);
	for (unsigned i = 0; i < o->n_paths; i++) {
		snprintf(head, sizeof(head),
			 "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: loadgen\r\nAccept: */*\r\n%s%s%s%s\r\n",
			 o->method, o->path[i], o->host, o->field, *o->field ? "\r\n" : "", length,
			 o->per_request ? "Connection: close\r\n" : "");
		b->work[i] = (struct client_work){.status = 200, .body = o->expect, .share = 1};
		if (message_make(&b->work[i].request, head, o->send))
			fail("no memory");
	}
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %u\r\n\r\n",
		 o->respond);
	if (message_make(&b->response, head, o->respond) ||
	    client_init(&b->client, &conf, &b->link[0], b->work, o->n_paths) ||
	    backend_init(&b->backend, BACKENDS, 8080, &b->link[1], &b->response))
		fail("no memory");
}

static void until(struct bench *b, uint64_t done)
{
	uint64_t turns = b->turns;

	while (b->client.done < done) {
		turn(b);
		for (unsigned i = 0; i < CLIENT_FAULTS; i++)
			if (b->client.fault[i])
				fail("an answer was wrong");
		for (unsigned i = 0; i < CLIENT_REFUSALS; i++)
			if (b->client.refused[i])
				fail("a request was refused");
		if (b->backend.bad_requests)
			fail("a request was wrong where it was sent on");
		if (b->turns - turns > 100 * (uint64_t)b->o.requests + 100000)
			fail("no answers come");
	}
}

// ARP for every address, so that nothing waits for it later.
static void start(struct bench *b)
{
	for (unsigned i = 0; i < SIDES; i++)
		link_ask(&b->link[i], 0);
	for (unsigned i = 0; i < 4; i++)
		turn(b);
	for (uint32_t i = 0; i < CLIENT_ADDRESSES; i++)
		link_ask(&b->link[0], i);
	for (uint32_t i = 0; i < BACKENDS; i++)
		link_ask(&b->link[1], i);
	for (unsigned i = 0; i < 4; i++)
		turn(b);
	client_numbers(&b->client, b->o.numbers, false);
	client_limit(&b->client, 0, 0);
	client_rate(&b->client, 0, 0);
	b->started = true;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// In windows, whose median says more than their mean where others use the machine, too.
static void measure(struct bench *b)
{
	unsigned each = b->o.requests < WINDOW ? b->o.requests : WINDOW, n = b->o.requests / each;
	double *v = cells((n + 1) * sizeof(*v));

	for (unsigned i = 0; i < n; i++) {
		uint64_t done = b->client.done;

		b->cycles = 0;
		until(b, done + each);
		v[i] = (double)b->cycles / (double)(b->client.done - done);
	}
	qsort(v, n, sizeof(*v), compare);
	b->median = v[n / 2];
	b->least = v[n / 10];
	free(v);
}

int main(int argc, char **argv)
{
	static struct bench b = {.now = 1000000000};
	static const struct option options[] = {
		{"snapshot", 1, NULL, 's'},    {"method", 1, NULL, 'm'},   {"path", 1, NULL, 'p'},
		{"connections", 1, NULL, 'c'}, {"send", 1, NULL, 'b'},     {"respond", 1, NULL, 'r'},
		{"expect", 1, NULL, 'e'},      {"requests", 1, NULL, 'n'}, {"warmup", 1, NULL, 'w'},
		{"per-request", 0, NULL, 'k'}, {"host", 1, NULL, 'h'},     {"field", 1, NULL, 'f'},
		{"numbers", 1, NULL, 'N'},     {"limits", 1, NULL, 'l'},   {NULL, 0, NULL, 0}};
	const char *eal[] = {"instructions",   "--no-huge",   "-m",       "96", "--no-pci",
			     "--no-telemetry", "--no-shconf", "--lcores", "0",  "--log-level=3"};
	uint64_t done, tx;
	int opt;

	b.o = (struct options){.method = "GET",
			       .host = "bench",
			       .field = "",
			       .connections = 256,
			       .numbers = 1,
			       .requests = 200000,
			       .warmup = 20000};
	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (opt) {
		case 's':
			b.o.snapshot = optarg;
			break;
		case 'm':
			b.o.method = optarg;
			break;
		case 'p':
			if (b.o.n_paths == CLIENT_WORKS)
				return 2;
			b.o.path[b.o.n_paths++] = optarg;
			break;
		case 'h':
			b.o.host = optarg;
			break;
		case 'f':
			b.o.field = optarg;
			break;
		case 'N':
			b.o.numbers = (unsigned)atoi(optarg);
			break;
		case 'l':
			b.o.limits = (unsigned)atoi(optarg);
			break;
		case 'c':
			b.o.connections = (unsigned)atoi(optarg);
			break;
		case 'b':
			b.o.send = (unsigned)atoi(optarg);
			break;
		case 'r':
			b.o.respond = (unsigned)atoi(optarg);
			break;
		case 'e':
			b.o.expect = (unsigned)atoi(optarg);
			break;
		case 'n':
			b.o.requests = (unsigned)atoi(optarg);
			break;
		case 'w':
			b.o.warmup = (unsigned)atoi(optarg);
			break;
		case 'k':
			b.o.per_request = true;
			break;
		default:
			return 2;
		}
	if (!b.o.snapshot || !b.o.requests ||
	    rte_eal_init((int)(sizeof(eal) / sizeof(eal[0])), (char **)(uintptr_t)eal) < 0)
		fail("usage: instructions --snapshot FILE [--path PATH] [--requests N] ...");
	if (!b.o.n_paths)
		b.o.path[b.o.n_paths++] = "/";
	b.pool = pkt_pool_create("packets", 24ull << 20, SOCKET_ID_ANY);
	if (!b.pool)
		fail("no packets");
	b.snapshot = snapshot_read(b.o.snapshot);
	worker_make(&b);
	wires_make(&b);
	generator_make(&b);
	start(&b);
	until(&b, b.o.warmup);
	b.turns = 0;
	done = b.client.done;
	tx = stat_get(&b.worker.stats->c[CTR_tcp_tx]);
	measure(&b);
	done = b.client.done - done;
	printf("requests=%lu cycles=%.0f least=%.0f segments_sent=%.2f turns=%.3f\n", done, b.median, b.least,
	       (double)(stat_get(&b.worker.stats->c[CTR_tcp_tx]) - tx) / (double)done,
	       (double)b.turns / (double)done);
	return 0;
}
