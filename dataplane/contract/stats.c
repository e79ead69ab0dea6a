#include "contract/stats.h"
#include "contract/snapshot.h"
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(STATS_PORTS == SNAP_PORTS_MAX, "each port has its slot");

const struct counter_info counter_info[CTR_COUNT] = {
#define COUNTER(group, name, kind, help) [CTR_##name] = {#name, help, GROUP_##group, KIND_##kind},
#include "contract/counters.def"
#undef COUNTER
};

const char *const counter_group_name[] = {
	[GROUP_rx] = "rx",     [GROUP_net] = "net",           [GROUP_tcp] = "tcp",
	[GROUP_http] = "http", [GROUP_upstream] = "upstream", [GROUP_worker] = "worker",
};

const char *const stats_array_name[STATS_ARRAYS] = {
	[STATS_WORKER] = "stats_worker",
	[STATS_PORT] = "stats_port",
	[STATS_ROUTE] = "stats_route",
	[STATS_UPSTREAM] = "stats_upstream",
};

// In quarters of a microsecond a bucket is the number's top three bits: position of the first one, and the two
// behind it.
unsigned hist_bucket(uint64_t ns)
{
	uint64_t q = ns / (1000 / HIST_SUB);
	unsigned e;

	if (q < HIST_SUB)
		return 0;
	e = 61u - (unsigned)__builtin_clzll(q);
	if (e >= 26)
		return HIST_BUCKETS - 1;
	return 1 + e * HIST_SUB + (unsigned)((q >> e) & (HIST_SUB - 1));
}

uint64_t hist_bound(unsigned bucket)
{
	unsigned e, sub;

	if (bucket == 0)
		return 1000;
	if (bucket >= HIST_BUCKETS - 1)
		return UINT64_MAX;
	e = (bucket - 1) / HIST_SUB;
	sub = (bucket - 1) % HIST_SUB;
	return ((uint64_t)(HIST_SUB + sub + 1) << e) * (1000 / HIST_SUB);
}

uint32_t stats_entry_size(enum stats_array a)
{
	static const uint32_t size[STATS_ARRAYS] = {
		[STATS_WORKER] = sizeof(struct worker_stats),
		[STATS_PORT] = sizeof(struct port_stats),
		[STATS_ROUTE] = sizeof(struct route_stats),
		[STATS_UPSTREAM] = sizeof(struct upstream_stats),
	};

	return size[a];
}

uint32_t stats_entries(enum stats_array a, uint32_t workers)
{
	static const uint32_t slots[STATS_ARRAYS] = {
		[STATS_WORKER] = 1,
		[STATS_PORT] = STATS_PORTS,
		[STATS_ROUTE] = STATS_ROUTES,
		[STATS_UPSTREAM] = STATS_UPSTREAMS,
	};

	return slots[a] * workers;
}

static size_t array_bytes(enum stats_array a, uint32_t workers)
{
	return (size_t)stats_entry_size(a) * stats_entries(a, workers);
}

static int array_map(void **at, int fd, size_t size, int writable)
{
	struct stat sb;

	// Plain memory that is too short would fault later; a BPF map (whose descriptor is no file) refuses to
	// be mapped beyond its end by itself.
	if (fstat(fd, &sb) < 0)
		return -errno;
	if (S_ISREG(sb.st_mode) && (uint64_t)sb.st_size < size)
		return -EINVAL;
	*at = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	return *at == MAP_FAILED ? -errno : 0;
}

int stats_map(struct stats *st, const int fd[STATS_ARRAYS], uint32_t workers, int writable)
{
	void *at[STATS_ARRAYS];

	if (workers == 0 || workers > SNAP_WORKERS_MAX)
		return -EINVAL;
	for (enum stats_array a = 0; a < STATS_ARRAYS; a++) {
		int err = array_map(&at[a], fd[a], array_bytes(a, workers), writable);

		if (err) {
			while (a-- > 0)
				munmap(at[a], array_bytes(a, workers));
			return err;
		}
	}
	*st = (struct stats){.worker = at[STATS_WORKER],
			     .port = at[STATS_PORT],
			     .route = at[STATS_ROUTE],
			     .upstream = at[STATS_UPSTREAM],
			     .workers = workers};
	return 0;
}

void stats_unmap(struct stats *st)
{
	if (!st->workers)
		return;
	munmap(st->worker, array_bytes(STATS_WORKER, st->workers));
	munmap(st->port, array_bytes(STATS_PORT, st->workers));
	munmap(st->route, array_bytes(STATS_ROUTE, st->workers));
	munmap(st->upstream, array_bytes(STATS_UPSTREAM, st->workers));
	*st = (struct stats){0};
}
