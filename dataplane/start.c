// Ordered start, reverse unwind: EAL, pool, ports, workers, sandbox, loops.
#include "log.h"
#include "process.h"
#include "sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int region_map(struct dataplane *d, int fd, char *why, size_t why_size)
{
	struct stat sb;
	void *at;

	if (fstat(fd, &sb) < 0 || sb.st_size <= 0) {
		snprintf(why, why_size, "region: empty");
		return -EINVAL;
	}
	at = mmap(NULL, (size_t)sb.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		int err = errno;

		snprintf(why, why_size, "region: cannot be mapped: %m");
		return -err;
	}
	if (!region_verify(at, (uint64_t)sb.st_size, why, why_size)) {
		munmap(at, (size_t)sb.st_size);
		return -EINVAL;
	}
	d->region = at;
	d->region_size = (size_t)sb.st_size;
	return 0;
}

// What control passed, if it is as large as the snapshot says and cannot shrink; all pages at once, so that no
// worker meets a fault. NULL with a sentence in why.
static void *shared_map(int fd, uint64_t size, const char *what, char *why, size_t why_size)
{
	int seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
	struct stat sb;
	void *at;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &sb) < 0 || (uint64_t)sb.st_size < size) {
		snprintf(why, why_size, "%s: %llu bytes that cannot shrink are needed", what,
			 (unsigned long long)size);
		return NULL;
	}
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED) {
		snprintf(why, why_size, "%s: cannot be mapped: %m", what);
		return NULL;
	}
	return at;
}

static int limits_map(struct dataplane *d, char *why, size_t why_size)
{
	uint64_t size = d->running->snapshot->system.limit_memory;
	void *at = size ? shared_map(d->limits_fd, size, "table of rate limits", why, why_size) : NULL;

	if (!at)
		return size ? -EINVAL : 0;
	if (!limit_table_attach(&d->limits, at, size, (uint16_t)(atomic_load(&d->region->dataplane_epoch) + 1),
				why, why_size)) {
		munmap(at, size);
		return -EINVAL;
	}
	d->limits_size = size;
	return 0;
}

static int addresses_map(struct dataplane *d, char *why, size_t why_size)
{
	uint64_t size = d->running->snapshot->system.address_memory;
	void *at = size ? shared_map(d->addresses_fd, size, "list of addresses", why, why_size) : NULL;

	if (!at)
		return size ? -EINVAL : 0;
	if (!address_list_attach(&d->addresses, at, size, why, why_size)) {
		munmap(at, size);
		return -EINVAL;
	}
	d->addresses_size = size;
	return 0;
}

int dataplane_attach(struct dataplane *d, const int fds[CHANNEL_FDS_MAX], char *why, size_t why_size)
{
	struct generation *g = &d->generation[0];
	uint32_t workers;
	int err = generation_open(g, fds[5], why, why_size);

	if (err)
		goto out;
	workers = g->snapshot->system.workers;
	err = region_map(d, fds[0], why, why_size);
	if (err)
		goto out;
	if (d->region->workers < workers) {
		snprintf(why, why_size, "region: made for %u workers, but the snapshot wants %u",
			 d->region->workers, workers);
		err = -EINVAL;
		goto out;
	}
	err = stats_map(&d->stats, fds + 1, workers, 1);
	if (err) {
		snprintf(why, why_size, "statistics: cannot be mapped for %u workers: %s", workers,
			 strerror(-err));
		goto out;
	}
	d->running = g;
	d->n_workers = workers;
	err = limits_map(d, why, why_size);
	if (!err)
		err = addresses_map(d, why, why_size);
out:
	channel_close_fds(fds, 5);
	if (err)
		dataplane_detach(d);
	return err;
}

void dataplane_detach(struct dataplane *d)
{
	stats_unmap(&d->stats);
	if (d->region)
		munmap(d->region, d->region_size);
	d->region = NULL;
	if (d->limits.head)
		munmap(d->limits.head, d->limits_size);
	d->limits = (struct limit_table){.head = NULL};
	if (d->addresses.head)
		munmap(d->addresses.head, d->addresses_size);
	d->addresses = (struct address_list){.head = NULL};
	for (unsigned i = 0; i < GENERATIONS; i++)
		generation_close(&d->generation[i]);
	d->running = NULL;
	d->n_workers = 0;
}

static int ports_start(struct dataplane *d, char *why, size_t why_size)
{
	const struct snapshot *s = d->running->snapshot;
	const struct snap_port *conf = snap_at(s, s->ports);

	for (uint32_t i = 0; i < s->ports.n; i++) {
		int err = port_start(&d->port[i], s, &conf[i], d->n_workers, d->pool, why, why_size);

		if (err) {
			const char *text = eal_error();
			size_t n = strlen(why);

			if (text[0] && n < why_size)
				snprintf(why + n, why_size - n, "; %s", text);
			return err;
		}
		d->n_ports++;
		log_print(LOG_INFO, "port %s: %s, %u receive and %u transmit queues", d->port[i].name,
			  d->port[i].device, d->port[i].caps.rx_queues, d->port[i].caps.tx_queues);
	}
	return 0;
}

static uint64_t realtime_offset(void)
{
	struct timespec real, mono;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return (uint64_t)(real.tv_sec - mono.tv_sec) * 1000000000u + (uint64_t)real.tv_nsec -
	       (uint64_t)mono.tv_nsec;
}

static uint64_t stopwatch(const void *clock)
{
	return clock_read(clock, 0);
}

static int worker_make(struct dataplane *d, unsigned id, const struct net_port *facts)
{
	struct worker_config conf = {.id = id,
				     .n_workers = d->n_workers,
				     .snapshot = d->running->snapshot,
				     .regexes = d->running->regexes,
				     .stats = &d->stats,
				     .region = d->region,
				     .limits = d->limits.head ? &d->limits : NULL,
				     .addresses = d->addresses.head ? &d->addresses : NULL,
				     .pool = d->pool,
				     .small = d->small,
				     .ports = facts,
				     .n_ports = d->n_ports,
				     .realtime_offset = realtime_offset(),
				     .stopwatch = stopwatch,
				     .stopwatch_of = &d->clock,
				     .now = clock_read(&d->clock, 0)};
	struct worker *w = aligned_alloc(CACHE_LINE, (sizeof *w + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	int err;

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof *w);
	if (getrandom(&conf.seed, sizeof conf.seed, 0) != sizeof conf.seed) {
		free(w);
		return -EIO;
	}
	for (unsigned i = 0; i < d->n_ports; i++)
		conf.steer[i] = &d->port[i].steer;
	err = worker_init(w, &conf);
	if (err) {
		free(w);
		return err;
	}
	d->worker[id] = w;
	return 0;
}

// Hand-over rings between all, then the loops with their transmit rings.
static int workers_connect(struct dataplane *d)
{
	const struct snapshot *s = d->running->snapshot;
	int err = 0;

	for (unsigned i = 0; i < d->n_workers; i++)
		for (unsigned k = 0; k < d->n_workers; k++)
			if (i != k && !err)
				err = worker_join(d->worker[i], d->worker[k]);
	if (!err)
		err = arena_init(&d->arena, d->n_workers * sizeof *d->loop + CACHE_LINE +
						    loop_memory(d->n_workers, d->n_ports));
	if (err)
		return err;
	d->loop = arena_alloc(&d->arena, d->n_workers * sizeof *d->loop, CACHE_LINE);
	if (!d->loop)
		return -ENOMEM;
	for (unsigned i = 0; i < d->n_workers; i++)
		loop_init(&d->loop[i], &(struct loop_config){
					       .worker = d->worker[i],
					       .clock = &d->clock,
					       .pool = d->pool,
					       .ports = d->port,
					       .n_ports = d->n_ports,
					       .adaptive = s->system.idle == IDLE_ADAPTIVE,
					       .crowded = eal_cpus() <= d->n_workers + 1,
				       });
	return loop_connect(d->loop, d->n_workers, &d->arena);
}

static int workers_start(struct dataplane *d, char *why, size_t why_size)
{
	struct net_port facts[SNAP_PORTS_MAX] = {0};
	int err = 0;

	for (unsigned i = 0; i < d->n_ports; i++) {
		const struct port_caps *c = &d->port[i].caps;

		memcpy(facts[i].mac, c->mac, sizeof facts[i].mac);
		facts[i].mtu = c->mtu;
		facts[i].tx_ip_csum = c->tx_ip_csum;
		facts[i].tx_tcp_csum = c->tx_tcp_csum;
		facts[i].tso = c->tso;
		facts[i].rx_ip_csum = c->rx_ip_csum;
		facts[i].rx_tcp_csum = c->rx_tcp_csum;
	}
	for (unsigned i = 0; i < d->n_workers && !err; i++)
		err = worker_make(d, i, facts);
	if (!err)
		err = workers_connect(d);
	if (err)
		snprintf(why, why_size, "workers: %s (%u workers of %u connections each)", strerror(-err),
			 d->n_workers, d->running->snapshot->system.max_connections);
	return err;
}

static int loops_launch(struct dataplane *d, char *why, size_t why_size)
{
	for (unsigned i = 0; i < d->n_workers; i++) {
		int err = rte_eal_remote_launch(loop_run, &d->loop[i], eal_lcore(i));

		if (err) {
			snprintf(why, why_size, "worker %u: its core does not run: %s", i, strerror(-err));
			return err;
		}
		d->launched = true;
	}
	return 0;
}

static int pool_make(struct dataplane *d, char *why, size_t why_size)
{
	uint64_t memory = d->running->snapshot->system.packet_memory;
	const char *text;
	int err = 0;

	if (eal_memory_is_ours()) {
		err = packets_wait(&d->packets);
		if (!err)
			d->pool = pkt_pool_create_at("packets", memory, d->packets.at, d->packets.size);
	} else {
		d->pool = pkt_pool_create("packets", memory, SOCKET_ID_ANY);
	}
	if (d->pool)
		d->small = pkt_pool_create_small("small", memory / EAL_SMALL_PART, SOCKET_ID_ANY);
	if (d->small)
		return 0;
	text = eal_error();
	snprintf(why, why_size, "packet memory: %llu MiB cannot be had: %s%s%s",
		 (unsigned long long)(memory >> 20), strerror(err ? -err : rte_errno), text[0] ? "; " : "",
		 text);
	return -ENOMEM;
}

// EAL, and meanwhile the packet buffers' pages.
static int ground(struct dataplane *d, char *why, size_t why_size)
{
	const struct snapshot *s = d->running->snapshot;
	int err = eal_plan(s, why, why_size);

	if (!err && eal_memory_is_ours()) {
		err = packets_map(&d->packets, d->memory_fd, pkt_pool_bytes(s->system.packet_memory));
		d->memory_fd = -1;
		if (err)
			snprintf(why, why_size, "packet memory: %llu MiB cannot be had: %s",
				 (unsigned long long)(s->system.packet_memory >> 20), strerror(-err));
	}
	if (!err)
		err = eal_start(s, d->dir, why, why_size);
	if (err)
		packets_unmap(&d->packets);
	return err;
}

static double seconds_since(uint64_t *since)
{
	uint64_t now = clock_kernel(), passed = now - *since;

	*since = now;
	return (double)passed / 1e9;
}

int dataplane_start(struct dataplane *d, char *why, size_t why_size)
{
	uint64_t since = clock_kernel();
	double took[4];
	int err = ground(d, why, why_size);

	if (err)
		return err;
	took[0] = seconds_since(&since);
	err = pool_make(d, why, why_size);
	took[1] = seconds_since(&since);
	if (!err)
		err = ports_start(d, why, why_size);
	if (err)
		goto fail;
	took[2] = seconds_since(&since);
	clock_start(&d->clock);
	atomic_store(&d->region->draining, 0);
	atomic_fetch_add(&d->region->dataplane_epoch, 1);
	err = workers_start(d, why, why_size);
	if (!err)
		err = sandbox_enter(why, why_size);
	if (!err)
		err = loops_launch(d, why, why_size);
	if (err)
		goto fail;
	took[3] = seconds_since(&since);
	log_print(LOG_INFO, "started: DPDK %.3f s, %s packet memory %.3f s, ports %.3f s, workers %.3f s",
		  took[0], d->packets.reused ? "kept" : "new", took[1], took[2], took[3]);
	return 0;
fail:
	dataplane_stop(d);
	return err;
}

static unsigned workers_stop(struct dataplane *d)
{
	unsigned left = 0;

	for (unsigned i = 0; i < d->n_workers && d->launched; i++)
		loop_stop(&d->loop[i]);
	for (unsigned i = 0; i < d->n_workers && d->launched; i++)
		rte_eal_wait_lcore(eal_lcore(i));
	d->launched = false;
	for (unsigned i = 0; i < d->n_workers && d->loop; i++)
		if (d->loop[i].worker)
			loop_fini(&d->loop[i]);
	for (unsigned i = 0; i < d->n_workers; i++) {
		if (!d->worker[i])
			continue;
		left += worker_fini(d->worker[i]);
		free(d->worker[i]);
		d->worker[i] = NULL;
	}
	d->loop = NULL;
	arena_fini(&d->arena);
	return left;
}

// Returns how many of its buffers are still in use.
static unsigned pool_end(struct pkt_pool **pool, const char *what)
{
	unsigned used;

	if (!*pool)
		return 0;
	used = pkt_pool_used(*pool);
	if (used)
		log_print(LOG_ERROR, "leak: %u %s", used, what);
	pkt_pool_free(*pool);
	*pool = NULL;
	return used;
}

unsigned dataplane_stop(struct dataplane *d)
{
	unsigned left = workers_stop(d);

	if (left)
		log_print(LOG_ERROR, "leak: %u connections or exchanges", left);
	for (unsigned i = 0; i < d->n_ports; i++)
		port_drain(&d->port[i]);
	while (d->n_ports)
		port_stop(&d->port[--d->n_ports]);
	left += pool_end(&d->pool, "packet buffers");
	left += pool_end(&d->small, "small packet buffers");
	packets_unmap(&d->packets);
	eal_stop();
	return left;
}
