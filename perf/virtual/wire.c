// The gateway's worker with its loop in the generator's thread, joined by rings of a memif's size, under
// virtual time. Time passes only while the worker is at work: a turn takes as long as the thread's own CPU time
// says, so that whoever else uses the machine has no part in the figures, but for what he does to the caches.
// The generator takes no time at all; an empty turn takes IDLE.
#include "perf/loadgen/wire.h"
#include "contract/region.h"
#include "contract/stats.h"
#include "loop.h"
#include <errno.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING  1024
#define IDLE  500u // ns
#define SIDES 2
#define TICKS 65536u // turns by their length, each of these 100 ns

const char *const wire_device[SIDES] = {"net_ring_wan", "net_ring_lan"};

static struct {
	const struct options *o;
	struct pkt_pool *pool;
	struct snapshot *snapshot;
	struct stats stats;
	struct region *region;
	struct worker worker;
	struct steer steer;
	struct port port[SIDES];
	struct arena arena;
	struct loop loop;
	uint64_t overhead; // of reading the thread's CPU time
	uint64_t busy, idle, longest;
	unsigned longest_frames;
	uint64_t turns[TICKS], n_turns;
	uint64_t counted[CTR_COUNT];
	bool running;
} w;

static uint64_t cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "loadgen: virtual: %s\n", what);
	exit(1);
}

static void *cells(size_t n)
{
	void *p = aligned_alloc(4096, (n + 4095) & ~4095ul);

	if (!p)
		fail("no memory");
	return memset(p, 0, n);
}

int wire_eal(const struct options *o)
{
	char memory[16], cpu[32];
	const char *huge[] = {"loadgen", "--no-pci",   "--no-telemetry", "--log-level=warning",
			      cpu,       "--in-memory"};
	const char *none[] = {"loadgen", "--no-pci",  "--no-telemetry", "--log-level=warning",
			      cpu,       "--no-huge", "--no-shconf",    "-m",
			      memory};

	w.o = o;
	snprintf(cpu, sizeof(cpu), "--lcores=0@%u", o->cpu);
	snprintf(memory, sizeof(memory), "%u", o->memory * 2 + 512);
	return o->hugepages ? rte_eal_init(sizeof(huge) / sizeof(huge[0]), (char **)(uintptr_t)huge)
			    : rte_eal_init(sizeof(none) / sizeof(none[0]), (char **)(uintptr_t)none);
}

static void ring_make(unsigned i)
{
	static const char *const name[SIDES] = {"wan", "lan"};
	struct rte_ring *to, *from;
	char text[32];
	int generator, gateway;

	snprintf(text, sizeof(text), "%s_to", name[i]);
	to = rte_ring_create(text, RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(text, sizeof(text), "%s_from", name[i]);
	from = rte_ring_create(text, RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	generator = to && from ? rte_eth_from_rings(name[i], &from, 1, &to, 1, 0) : -1;
	snprintf(text, sizeof(text), "gw_%s", name[i]);
	gateway = generator < 0 ? -1 : rte_eth_from_rings(text, &to, 1, &from, 1, 0);
	if (gateway < 0)
		fail("no wire");
	w.port[i] = (struct port){.id = (uint16_t)gateway,
				  .pool = w.pool,
				  .caps = {.mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)},
					   .mtu = 1500,
					   .rx_queues = 1,
					   .tx_queues = 1,
					   .tx_chains = true,
					   .tx_shared = true,
					   .tx_plain = true}};
}

struct pkt_pool *wire_pool(const struct options *o)
{
	w.pool = pkt_pool_create("packets", (uint64_t)o->memory << 20, SOCKET_ID_ANY);
	for (unsigned i = 0; w.pool && i < SIDES; i++)
		ring_make(i);
	return w.pool;
}

static struct snapshot *snapshot_read(const char *path)
{
	static char why[200];
	FILE *f = path ? fopen(path, "rb") : NULL;
	long n;
	void *p;

	if (!f || fseek(f, 0, SEEK_END) || (n = ftell(f)) <= 0 || fseek(f, 0, SEEK_SET))
		fail("the snapshot cannot be read");
	p = cells((size_t)n);
	if (fread(p, 1, (size_t)n, f) != (size_t)n || !snapshot_verify(p, (size_t)n, why, sizeof(why)))
		fail("not a snapshot");
	fclose(f);
	return p;
}

static void worker_make(uint64_t now)
{
	struct net_port port[SIDES];
	struct worker_config conf = {.n_workers = 1,
				     .snapshot = w.snapshot,
				     .stats = &w.stats,
				     .pool = w.pool,
				     .steer = {&w.steer, &w.steer},
				     .ports = port,
				     .n_ports = SIDES,
				     .seed = 1,
				     .realtime_offset = 1700000000000000000ull,
				     .now = now};

	for (unsigned i = 0; i < SIDES; i++) {
		port[i] = (struct net_port){.mtu = 1500};
		memcpy(port[i].mac, w.port[i].caps.mac, 6);
	}
	w.steer = (struct steer){.kind = STEER_ONE, .workers = 1};
	w.region = cells(region_size(1));
	region_create(w.region, 1);
	conf.region = w.region;
	w.stats = (struct stats){.worker = cells(sizeof(struct worker_stats)),
				 .port = cells(STATS_PORTS * sizeof(struct port_stats)),
				 .route = cells(STATS_ROUTES * sizeof(struct route_stats)),
				 .upstream = cells(STATS_UPSTREAMS * sizeof(struct upstream_stats)),
				 .workers = 1};
	if (worker_init(&w.worker, &conf))
		fail("the worker does not start");
}

int wire_connected(void)
{
	struct loop_config conf = {.worker = &w.worker, .pool = w.pool, .ports = w.port, .n_ports = SIDES};
	const struct rte_eth_conf device = {0};
	uint64_t begin;

	for (unsigned i = 0; i < SIDES; i++) {
		uint16_t id = w.port[i].id;

		if (rte_eth_dev_configure(id, 1, 1, &device) ||
		    rte_eth_rx_queue_setup(id, 0, RING, SOCKET_ID_ANY, NULL, pkt_pool_mempool(w.pool)) ||
		    rte_eth_tx_queue_setup(id, 0, RING, SOCKET_ID_ANY, NULL) || rte_eth_dev_start(id))
			return -EIO;
	}
	w.loop.now = 1000000000;
	w.snapshot = snapshot_read(w.o->snapshot);
	worker_make(w.loop.now);
	loop_init(&w.loop, &conf);
	if (arena_init(&w.arena, loop_memory(1, SIDES)) || loop_connect(&w.loop, 1, &w.arena))
		return -ENOMEM;
	begin = cpu_time();
	for (unsigned i = 0; i < 1000; i++)
		(void)cpu_time();
	w.overhead = (cpu_time() - begin) / 1001;
	w.running = true;
	return 0;
}

uint64_t wire_now(void)
{
	uint64_t begin, took;

	if (!w.running)
		return w.loop.now;
	begin = cpu_time();
	if (!loop_turn(&w.loop)) {
		w.idle += IDLE;
		return w.loop.now += IDLE;
	}
	took = cpu_time() - begin;
	took = took > w.overhead ? took - w.overhead : 1;
	w.busy += took;
	w.turns[took / 100 < TICKS ? took / 100 : TICKS - 1]++;
	w.n_turns++;
	if (took > w.longest) {
		w.longest = took;
		w.longest_frames = w.loop.frames;
	}
	return w.loop.now += took;
}

double wire_hz(void)
{
	return 1e9;
}

void wire_wait(unsigned us)
{
	w.loop.now += us * 1000ull;
}

void wire_mark(void)
{
	w.busy = w.idle = w.longest = w.n_turns = 0;
	memset(w.turns, 0, sizeof(w.turns));
}

void wire_begin(void)
{
	for (unsigned i = 0; i < CTR_COUNT; i++)
		w.counted[i] = stat_get(&w.worker.stats->c[i]);
}

static double turn_at(double share)
{
	uint64_t seen = 0;
	unsigned i = 0;

	for (; i < TICKS; i++)
		if ((seen += w.turns[i]) >= (uint64_t)(share * (double)w.n_turns))
			break;
	return i / 10.0;
}

void wire_report(FILE *file)
{
	bool first = true;

	fprintf(file,
		", \"gateway_busy\": %.4f, \"turn_us\": [%.1f, %.1f, %.1f, %.1f], \"longest_frames\": %u"
		", \"connections\": %lu, \"exchanges\": %lu, \"packet_buffers\": %u, \"counts\": {",
		(double)w.busy / (double)(w.busy + w.idle + 1), turn_at(0.5), turn_at(0.99), turn_at(0.999),
		(double)w.longest / 1e3, w.longest_frames, (unsigned long)stat_get(&w.worker.stats->conns_used),
		(unsigned long)stat_get(&w.worker.stats->exchanges_used), pkt_pool_used(w.pool));
	for (unsigned i = 0; i < CTR_COUNT; i++) {
		uint64_t n = stat_get(&w.worker.stats->c[i]) - w.counted[i];

		if (n)
			fprintf(file, "%s\"%s\": %lu", first ? "" : ", ", counter_info[i].name,
				(unsigned long)n);
		first &= n == 0;
	}
	fprintf(file, "}");
}
