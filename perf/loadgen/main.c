// A load generator for the gateway: clients and backends in one thread that polls two memif ports. Its TCP
// knows no more than a wire without loss needs, and sends again what got lost all the same.
#include "backend.h"
#include "client.h"
#include "options.h"
#include <errno.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE    20.0 // seconds until the gateway must be there
#define DRAIN       1.0  // seconds for answers under way at the end
#define QUIET       0.3  // seconds in which nothing may be under way any more before we stop polling
#define RUNS_MAX    100
#define VERIFY_MASK 15 // of so many bursts, one segment's checksums are looked at

struct generator {
	struct options o;
	struct link wan, lan;
	struct client client;
	struct backend backend;
	struct message request, response;
	double hz;
	uint64_t turns, turns_worked, busy, idle; // ticks
	uint64_t bursts, burst_segments;          // of answers
	uint64_t last_sweep;
	bool started; // the clients may begin
	bool worked;  // in the last turn
	double rps[RUNS_MAX];
};

// One turn; the tick at its beginning.
static uint64_t turn(struct generator *g, uint64_t before)
{
	struct segment seg[LINK_BURST];
	uint64_t now = rte_rdtsc(), received = g->wan.received + g->lan.received;
	uint32_t ms = (uint32_t)((double)now * 1e3 / g->hz);
	bool verify = (g->turns & VERIFY_MASK) == 0, worked;
	unsigned n;

	client_set_now(&g->client, now, ms);
	n = link_receive(&g->wan, seg, verify);
	if (n) {
		client_input(&g->client, seg, n);
		g->bursts++;
		g->burst_segments += n;
	}
	link_release(&g->wan);
	if (g->o.lan) {
		n = link_receive(&g->lan, seg, verify);
		if (n)
			backend_input(&g->backend, seg, n, ms);
		link_release(&g->lan);
	}
	worked = g->wan.received + g->lan.received != received;
	if (g->started)
		worked |= client_turn(&g->client);
	if (now - g->last_sweep > (uint64_t)(g->hz / 1000)) {
		g->last_sweep = now;
		client_sweep(&g->client, g->client.slots / 16 + 1);
		if (g->o.lan)
			backend_sweep(&g->backend, g->backend.n_active / 16 + 1);
	}
	link_flush(&g->wan);
	if (g->o.lan)
		link_flush(&g->lan);
	g->turns++;
	g->turns_worked += worked;
	// What a turn took is known when the next one begins.
	*(g->worked ? &g->busy : &g->idle) += now - before;
	g->worked = worked;
	return now;
}

static uint64_t run_for(struct generator *g, uint64_t now, double seconds)
{
	uint64_t end = now + (uint64_t)(seconds * g->hz);

	while (now < end)
		now = turn(g, now);
	return now;
}

static bool linked(const struct link *l)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(l->port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

// A gateway that has to ask for each of our addresses first would drop what comes from them meanwhile.
static void introduce(struct generator *g)
{
	for (uint32_t i = 0; i < CLIENT_ADDRESSES; i++)
		link_ask(&g->wan, i);
	for (uint32_t i = 0; g->o.lan && i < g->o.backends; i++)
		link_ask(&g->lan, i);
}

// Until the gateway's addresses are known. 0: it is not there.
static uint64_t find_gateway(struct generator *g, uint64_t now)
{
	uint64_t end = now + (uint64_t)(PATIENCE * g->hz);

	while (now < end) {
		if (g->wan.resolved && (!g->o.lan || g->lan.resolved)) {
			introduce(g);
			return run_for(g, now, 0.05);
		}
		if (!g->wan.resolved && linked(&g->wan) && !g->wan.n_tx)
			link_ask(&g->wan, 0);
		if (g->o.lan && !g->lan.resolved && linked(&g->lan) && !g->lan.n_tx)
			link_ask(&g->lan, 0);
		for (unsigned i = 0; i < 50; i++, now = turn(g, now))
			rte_delay_us_sleep(1000); // the gateway starts on this CPU, too
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(struct generator *g, double offered)
{
	const struct client *c = &g->client;
	const struct backend *b = &g->backend;
	double sorted[RUNS_MAX];
	unsigned n = g->o.runs;

	memcpy(sorted, g->rps, sizeof(sorted));
	qsort(sorted, n, sizeof(sorted[0]), compare);
	printf("{\"rps\": %.0f, \"rps_min\": %.0f, \"rps_max\": %.0f, \"runs\": [",
	       n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2, sorted[0], sorted[n - 1]);
	for (unsigned i = 0; i < n; i++)
		printf("%s%.0f", i ? ", " : "", g->rps[i]);
	printf("], \"offered\": %.0f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
	       "\"max_us\": %.1f",
	       offered, (double)histogram_at(&c->latency, 0.5) / 1e3,
	       (double)histogram_at(&c->latency, 0.9) / 1e3, (double)histogram_at(&c->latency, 0.99) / 1e3,
	       (double)histogram_at(&c->latency, 0.999) / 1e3, (double)c->latency.max / 1e3);
	printf(", \"generator_busy\": %.3f, \"turns_with_work\": %.3f, \"answers_per_burst\": %.1f",
	       (double)g->busy / (double)(g->busy + g->idle), (double)g->turns_worked / (double)g->turns,
	       g->bursts ? (double)g->burst_segments / (double)g->bursts : 0);
	printf(", \"done\": %lu, \"refused\": %lu, \"opened\": %lu, \"errors\": {", c->done, c->refused,
	       c->opened);
	for (unsigned i = 0; i < CLIENT_FAULTS; i++)
		printf("\"%s\": %lu, ", client_fault_name[i], c->fault[i]);
	printf("\"bad_requests\": %lu, \"bad_frames\": %lu}", b->bad_requests, g->wan.bad + g->lan.bad);
	printf(", \"retransmits\": %lu, \"out_of_order\": %lu, \"stray\": %lu, \"dropped\": %lu"
	       ", \"wan_in\": %lu, \"wan_out\": %lu, \"lan_in\": %lu, \"lan_out\": %lu",
	       c->retransmits + b->retransmits, c->out_of_order + b->out_of_order, c->stray,
	       g->wan.tx_full + g->lan.tx_full + g->wan.no_buffer + g->lan.no_buffer, g->wan.received,
	       g->wan.sent, g->lan.received, g->lan.sent);
	printf(", \"backend\": {\"accepted\": %lu, \"requests\": %lu, \"resets\": %lu}}\n", b->accepted,
	       b->requests, b->resets);
	fflush(stdout);
}

static void measure(struct generator *g, uint64_t now)
{
	uint64_t begin, started;

	g->started = true;
	now = run_for(g, now, g->o.warmup);
	fprintf(stderr, "loadgen: measuring\n");
	g->turns = g->turns_worked = g->busy = g->idle = g->bursts = g->burst_segments = 0;
	g->client.measuring = true;
	begin = now;
	started = g->client.started;
	for (unsigned i = 0; i < g->o.runs; i++) {
		uint64_t done = g->client.done, from = now;

		now = run_for(g, now, g->o.seconds);
		g->rps[i] = (double)(g->client.done - done) / ((double)(now - from) / g->hz);
	}
	g->client.measuring = false;
	report(g, (double)(g->client.started - started) / ((double)(now - begin) / g->hz));
	// Nothing may be under way when one side goes.
	g->client.stopping = true;
	for (begin = now; g->client.waiting && (double)(now - begin) < DRAIN * g->hz;)
		now = turn(g, now);
	client_abort(&g->client);
	run_for(g, now, QUIET);
}

__attribute__((format(printf, 2, 3))) static void arg(char **v, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(v, format, ap) < 0)
		abort();
	va_end(ap);
}

static int eal(const struct options *o)
{
	char *v[16];
	int n = 0;

	arg(&v[n++], "loadgen");
	arg(&v[n++], "--lcores=0@%u", o->cpu);
	arg(&v[n++], "--no-pci");
	arg(&v[n++], "--no-telemetry");
	arg(&v[n++], "--log-level=warning");
	if (o->hugepages) {
		arg(&v[n++], "--in-memory");
		arg(&v[n++], "--single-file-segments");
	} else {
		arg(&v[n++], "--no-huge");
		arg(&v[n++], "--no-shconf");
		arg(&v[n++], "-m");
		arg(&v[n++], "%u", o->memory * 3 + 256);
	}
	arg(&v[n++], "--vdev=net_memif0,role=server,id=0,socket-abstract=no,socket=%s", o->wan);
	if (o->lan)
		arg(&v[n++], "--vdev=net_memif1,role=server,id=0,socket-abstract=no,socket=%s", o->lan);
	return rte_eal_init(n, v);
}

static int messages(struct generator *g)
{
	const struct options *o = &g->o;
	char head[2048], length[64] = "";
	int n, err;

	if (o->send)
		snprintf(length, sizeof(length), "Content-Length: %u\r\n", o->send);
	n = snprintf(head, sizeof(head),
		     "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: loadgen\r\nAccept: */*\r\n%s%s\r\n", o->method,
		     o->path, o->host, length, o->per_request ? "Connection: close\r\n" : "");
	if (n >= LINK_MSS)
		return -E2BIG;
	err = message_make(&g->request, head, o->send);
	if (err)
		return err;
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %u\r\n\r\n",
		 o->respond);
	return message_make(&g->response, head, o->respond);
}

int main(int argc, char **argv)
{
	static struct generator g;
	struct client_conf conf;
	struct pkt_pool *pool;
	uint64_t now;
	char end;
	int err;

	options_read(&g.o, argc, argv);
	if (eal(&g.o) < 0) {
		fprintf(stderr, "loadgen: DPDK does not start: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	g.hz = (double)rte_get_tsc_hz();
	pool = pkt_pool_create("loadgen", (uint64_t)g.o.memory << 20, SOCKET_ID_ANY);
	err = pool ? messages(&g) : -ENOMEM;
	if (!err)
		err = link_start(&g.wan, "net_memif0", g.o.client, g.o.gateway, pool);
	if (!err && g.o.lan)
		err = link_start(&g.lan, "net_memif1", g.o.backend, g.o.lan_gateway, pool);
	conf = (struct client_conf){.server = g.o.gateway,
				    .port = (uint16_t)g.o.port,
				    .conns = g.o.connections,
				    .per_request = g.o.per_request,
				    .rate = g.o.rate,
				    .status = g.o.status,
				    .body = g.o.expect,
				    .hz = g.hz};
	if (!err)
		err = client_init(&g.client, &conf, &g.wan, &g.request);
	if (!err && g.o.lan)
		err = backend_init(&g.backend, g.o.backends, (uint16_t)g.o.backend_port, &g.lan, &g.response);
	if (err) {
		fprintf(stderr, "loadgen: does not start: %s\n", rte_strerror(-err));
		return 1;
	}
	fprintf(stderr, "loadgen: waiting for the gateway\n");
	now = find_gateway(&g, rte_rdtsc());
	if (!now) {
		fprintf(stderr, "loadgen: the gateway is not there\n");
		return 1;
	}
	measure(&g, now);
	fprintf(stderr, "loadgen: quiet\n");
	while (read(STDIN_FILENO, &end, 1) > 0)
		;
	link_stop(&g.wan);
	if (g.o.lan)
		link_stop(&g.lan);
	return 0;
}
