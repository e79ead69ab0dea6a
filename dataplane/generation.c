#include "generation.h"
#include "policy/stage.h"
#include "route/regex.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

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
	if (!snapshot_verify(at, (size_t)sb.st_size, why, why_size) || !policy_verify(at, why, why_size)) {
		munmap(at, (size_t)sb.st_size);
		return -EINVAL;
	}
	*g = (struct generation){.snapshot = at, .fd = fd};
	if (g->snapshot->regexes.n == 0)
		return 0;
	g->regexes = regex_set_create(at, why, why_size);
	if (g->regexes)
		return 0;
	munmap(at, (size_t)sb.st_size);
	*g = (struct generation){.fd = -1};
	return -EINVAL;
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
	munmap((void *)(uintptr_t)g->snapshot, g->snapshot->size);
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
