// Memory, decided before EAL begins, as it begins only once:
// - hugepages: --in-memory. Pages come from hugetlb memfds that have no name, so none is left behind however
// the
//   process ends. --single-file-segments, as memif's zero copy needs it.
// - else --no-huge: 4 KiB pages, touched as they are used. The packet buffers stand in memory of our own
//   (packets.h), but for physical devices, which reach EAL's memory only.
// Either way there is no shared configuration (no secondary process attaches), and DPDK's telemetry socket
// stands in the instance's directory.
#include "eal.h"
#include "base/hash.h"
#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HUGEPAGES "/sys/kernel/mm/hugepages"
#define ARGS_MAX  64
#define CPU_TEXT  8192

struct args {
	char *v[ARGS_MAX];
	int n;
};

static char first_error[160];
static cpu_set_t allowed;
static bool plan_huge, plan_ours;

static ssize_t log_write(void *cookie, const char *buf, size_t n)
{
	(void)cookie;
	// Only the thread that logs sees its message's level, and this stream is not buffered, so it is here.
	if (rte_log_cur_msg_loglevel() <= (int)RTE_LOG_ERR && !first_error[0] && n > 1)
		snprintf(first_error, sizeof first_error, "%.*s", (int)(buf[n - 1] == '\n' ? n - 1 : n), buf);
	fprintf(stderr, "churchgate-dataplane: dpdk: %.*s%s", (int)n, buf, n && buf[n - 1] == '\n' ? "" : "\n");
	return (ssize_t)n;
}

static void log_open(void)
{
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});

	if (!f)
		return;
	setvbuf(f, NULL, _IOLBF, 512);
	rte_openlog_stream(f);
}

const char *eal_error(void)
{
	static char taken[sizeof first_error];

	memcpy(taken, first_error, sizeof taken);
	first_error[0] = 0;
	return taken;
}

__attribute__((format(printf, 2, 3))) static void arg(struct args *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (a->n < ARGS_MAX - 1 && vasprintf(&a->v[a->n], fmt, ap) >= 0)
		a->n++;
	va_end(ap);
}

// Bytes that EAL will be asked for: for drivers and the pool's ring; and for the buffers, with their padding.
static uint64_t memory_for_drivers(const struct snapshot *s)
{
	// Small buffers are cells of a mempool on pages of their own.
	return s->system.packet_memory / 64 + s->system.packet_memory / EAL_SMALL_PART / 4 * 5 + (48ull << 20) +
	       s->ports.n * (16ull << 20);
}
static uint64_t memory_for_packets(const struct snapshot *s)
{
	return s->system.packet_memory + s->system.packet_memory / 10;
}

static uint64_t hugepages_free(void)
{
	DIR *d = opendir(HUGEPAGES);
	uint64_t total = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		char path[PATH_MAX];
		unsigned long kb, n;
		FILE *f;

		if (sscanf(e->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		snprintf(path, sizeof path, HUGEPAGES "/%s/free_hugepages", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%lu", &n) == 1)
			total += (uint64_t)n * kb * 1024;
		fclose(f);
	}
	closedir(d);
	return total;
}

static bool device_is_pci(struct slice d)
{
	char text[128];
	unsigned domain, bus, dev, fn;
	int end = 0;

	snprintf(text, sizeof text, "%.*s", (int)d.n, d.p);
	if (sscanf(text, "%x:%x:%x.%u%n", &domain, &bus, &dev, &fn, &end) == 4 && text[end] == 0)
		return true;
	return sscanf(text, "%x:%x.%u%n", &bus, &dev, &fn, &end) == 3 && text[end] == 0;
}

static bool any_pci(const struct snapshot *s)
{
	const struct snap_port *p = snap_at(s, s->ports);

	for (uint32_t i = 0; i < s->ports.n; i++)
		if (device_is_pci(snap_text(s, p[i].device)))
			return true;
	return false;
}

int eal_plan(const struct snapshot *s, char *why, size_t why_size)
{
	uint64_t need = memory_for_drivers(s) + memory_for_packets(s), have = hugepages_free();

	if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) {
		snprintf(why, why_size, "cannot see the CPUs of this process: %m");
		return -errno;
	}
	plan_huge = s->system.hugepages != HUGEPAGES_NEVER && have >= need;
	if (s->system.hugepages == HUGEPAGES_REQUIRE && !plan_huge) {
		snprintf(why, why_size,
			 "hugepages are required, but only %llu MiB of them are free and %llu MiB are needed",
			 (unsigned long long)(have >> 20), (unsigned long long)(need >> 20));
		return -ENOMEM;
	}
	plan_ours = !plan_huge && !any_pci(s);
	log_print(LOG_INFO, "memory: %s, %llu MiB", plan_huge ? "hugepages" : "ordinary pages",
		  (unsigned long long)(need >> 20));
	return 0;
}

static void memory_args(struct args *a, const struct snapshot *s)
{
	uint64_t need = memory_for_drivers(s);

	if (plan_huge) {
		arg(a, "--in-memory");
		arg(a, "--single-file-segments");
		return;
	}
	// EAL's own pools let no buffer cross a page, so that each takes one.
	if (!plan_ours)
		need += 2 * memory_for_packets(s);
	arg(a, "--no-huge");
	arg(a, "--no-shconf");
	arg(a, "-m");
	arg(a, "%llu", (unsigned long long)(need >> 20));
}

// "(0,2,5)"
static void cpus_text(const cpu_set_t *set, char *out, size_t size)
{
	size_t n = 0;

	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, set) && n + 8 < size)
			n += (size_t)snprintf(out + n, size - n, "%c%d", n ? ',' : '(', i);
	snprintf(out + n, size - n, ")");
}

// The main thread keeps off the CPUs that are workers' own, where others are left.
static int core_args(struct args *a, const struct snapshot *s, char *why, size_t why_size)
{
	char all[CPU_TEXT], lcores[2 * CPU_TEXT];
	cpu_set_t main_set = allowed;
	size_t n;

	for (uint32_t i = 0; i < s->system.workers; i++) {
		int cpu = s->system.cpu[i];

		if (cpu < 0)
			continue;
		if (!CPU_ISSET(cpu, &allowed)) {
			snprintf(why, why_size, "worker %u: there is no CPU %d for it here", i, cpu);
			return -EINVAL;
		}
		CPU_CLR(cpu, &main_set);
	}
	if (CPU_COUNT(&main_set) == 0)
		main_set = allowed;
	cpus_text(&main_set, all, sizeof all);
	n = (size_t)snprintf(lcores, sizeof lcores, "0@%s", all);
	cpus_text(&allowed, all, sizeof all);
	for (uint32_t i = 0; i < s->system.workers && n < sizeof lcores; i++) {
		if (s->system.cpu[i] < 0)
			n += (size_t)snprintf(lcores + n, sizeof lcores - n, ",%u@%s", eal_lcore(i), all);
		else
			n += (size_t)snprintf(lcores + n, sizeof lcores - n, ",%u@%d", eal_lcore(i),
					      s->system.cpu[i]);
	}
	if (n >= sizeof lcores) {
		snprintf(why, why_size, "too many CPUs to name");
		return -E2BIG;
	}
	arg(a, "--lcores=%s", lcores);
	arg(a, "--main-lcore=0");
	return 0;
}

// Of PCI devices, EAL probes those that are ports and leaves all others alone.
static void device_args(struct args *a, const struct snapshot *s)
{
	const struct snap_port *p = snap_at(s, s->ports);

	for (uint32_t i = 0; i < s->ports.n; i++) {
		struct slice d = snap_text(s, p[i].device);

		if (device_is_pci(d))
			arg(a, "--allow=%.*s", (int)d.n, d.p);
	}
	if (!any_pci(s))
		arg(a, "--no-pci");
}

static const char *log_level_arg(void)
{
	switch (log_get_level()) {
	case LOG_ERROR:
		return "error";
	case LOG_DEBUG:
		return "info";
	default:
		return "warning";
	}
}

unsigned eal_lcore(unsigned worker)
{
	return worker + 1;
}

unsigned eal_cpus(void)
{
	return (unsigned)CPU_COUNT(&allowed);
}

bool eal_memory_is_ours(void)
{
	return plan_ours;
}

int eal_start(const struct snapshot *s, const char *dir, char *why, size_t why_size)
{
	struct args a = {.n = 0};
	char *passed[ARGS_MAX];
	int err, r;

	if (s->system.workers + 1 > RTE_MAX_LCORE) {
		snprintf(why, why_size, "%u workers, but DPDK knows %u cores at most", s->system.workers,
			 RTE_MAX_LCORE);
		return -EINVAL;
	}
	arg(&a, "churchgate-dataplane");
	err = core_args(&a, s, why, why_size);
	if (err)
		goto out;
	memory_args(&a, s);
	device_args(&a, s);
	arg(&a, "--proc-type=primary");
	arg(&a, "--file-prefix=churchgate-%08x", (uint32_t)hash64(dir, strlen(dir)));
	arg(&a, "--log-level=%s", log_level_arg());
	arg(&a, "--log-level=lib.telemetry:error"); // it tells at each start that nobody uses its old form
	setenv("RUNTIME_DIRECTORY", dir, 1);
	log_open();

	memcpy(passed, a.v, sizeof passed); // EAL moves its arguments about
	r = rte_eal_init(a.n, passed);
	if (r < 0) {
		const char *text = eal_error();

		err = rte_errno ? -rte_errno : -EIO;
		snprintf(why, why_size, "DPDK does not start: %s%s%s", rte_strerror(rte_errno),
			 text[0] ? "; " : "", text);
	}
out:
	for (int i = 0; i < a.n; i++)
		free(a.v[i]);
	return err;
}

void eal_stop(void)
{
	char dir[PATH_MAX], telemetry[PATH_MAX + 32];

	// EAL leaves the directories to us, and its telemetry socket until the process ends.
	snprintf(dir, sizeof dir, "%s", rte_eal_get_runtime_dir());
	snprintf(telemetry, sizeof telemetry, "%s/dpdk_telemetry.v2", dir);
	rte_eal_cleanup();
	unlink(telemetry);
	if (rmdir(dir) == 0) {
		*strrchr(dir, '/') = 0;
		rmdir(dir);
	}
}
