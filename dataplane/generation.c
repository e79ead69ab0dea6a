#include "generation.h"
#include "base/arena.h"
#include "policy/stage.h"
#include "route/regex.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define LARGE (1u << 20) // bytes from which on large pages pay

// Its bytes in memory of our own that asks for large pages; what a memory file has are small ones. False: there
// is no memory.
static bool large_copy(struct generation *g, const void *at, size_t n)
{
	const size_t page = ARENA_LARGE_PAGE, size = (n + page - 1) / page * page;
	size_t map_size = size + page;
	char *map = mmap(NULL, map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *own;

	if (map == MAP_FAILED)
		return false;
	own = map + (page - (uintptr_t)map % page) % page;
	(void)madvise(own, size, MADV_HUGEPAGE);
	memcpy(own, at, n);
	if (mprotect(map, map_size, PROT_READ) < 0) {
		munmap(map, map_size);
		return false;
	}
	*g = (struct generation){
		.snapshot = (const struct snapshot *)(const void *)own, .map = map, .map_size = map_size};
	return true;
}

static int snapshot_fault(struct generation *g)
{
	munmap(g->map, g->map_size);
	*g = (struct generation){.fd = -1};
	return -EINVAL;
}

static int snapshot_map(struct generation *g, int fd, char *why, size_t why_size)
{
	struct stat sb;
	void *at;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS) {
		snprintf(why, why_size, "snapshot: not sealed, so that it could change after its check");
		return -EPERM;
	}
	if (fstat(fd, &sb) < 0 || sb.st_size <= 0) {
		snprintf(why, why_size, "snapshot: empty");
		return -EINVAL;
	}
	at = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		int err = errno;

		snprintf(why, why_size, "snapshot: cannot be mapped: %m");
		return -err;
	}
	*g = (struct generation){.snapshot = at, .map = at, .map_size = (size_t)sb.st_size};
	if (sb.st_size >= LARGE && large_copy(g, at, (size_t)sb.st_size))
		munmap(at, (size_t)sb.st_size);
	g->fd = fd;
	if (!snapshot_verify(g->snapshot, (size_t)sb.st_size, why, why_size) ||
	    !policy_verify(g->snapshot, why, why_size))
		return snapshot_fault(g);
	if (g->snapshot->regexes.n == 0)
		return 0;
	g->regexes = regex_set_create(g->snapshot, why, why_size);
	return g->regexes ? 0 : snapshot_fault(g);
}

int generation_open(struct generation *g, int fd, char *why, size_t why_size)
{
	int err = snapshot_map(g, fd, why, why_size);

	if (err)
		close(fd);
	return err;
}

void generation_close(struct generation *g)
{
	if (!g->snapshot)
		return;
	regex_set_free(g->regexes);
	munmap(g->map, g->map_size);
	close(g->fd);
	*g = (struct generation){.fd = -1};
}

bool generation_fits(const struct snapshot *running, const struct snapshot *next, char *why, size_t why_size)
{
	const struct snap_port *a = snap_at(running, running->ports), *b = snap_at(next, next->ports);

	if (memcmp(&running->system, &next->system, sizeof running->system) != 0) {
		snprintf(why, why_size, "needs a restart of the data plane: system settings changed");
		return false;
	}
	if (running->ports.n != next->ports.n) {
		snprintf(why, why_size, "needs a restart of the data plane: ports changed");
		return false;
	}
	for (uint32_t i = 0; i < next->ports.n; i++)
		if (!slice_eq(snap_text(running, a[i].device), snap_text(next, b[i].device)) ||
		    !slice_eq(snap_text(running, a[i].name), snap_text(next, b[i].name)) ||
		    a[i].mtu != b[i].mtu || a[i].queues != b[i].queues) {
			struct slice name = snap_text(next, b[i].name);

			snprintf(why, why_size, "needs a restart of the data plane: ports changed (%.*s)",
				 (int)name.n, name.p);
			return false;
		}
	return true;
}
