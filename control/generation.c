#include "generation.h"
#include "policy/stage.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int generation_map(struct generation *g, int fd, size_t size, char *why, size_t why_size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		snprintf(why, why_size, "snapshot: %s", strerror(errno));
		return -1;
	}
	*g = (struct generation){fd, p, size};
	return 0;
}

int generation_seal(struct generation *g, const struct blob *b, char *why, size_t why_size)
{
	int fd = memfd_create("churchgate-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	*g = GENERATION_NONE;
	while (fd >= 0 && at < b->n) {
		ssize_t n = write(fd, b->p + at, b->n - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (fd < 0 || at < b->n || fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		snprintf(why, why_size, "snapshot: %s", strerror(errno));
		goto failed;
	}
	if (generation_map(g, fd, b->n, why, why_size) == 0)
		return 0;
failed:
	if (fd >= 0)
		close(fd);
	return -1;
}

int generation_adopt(struct generation *g, int fd, char *why, size_t why_size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	*g = GENERATION_NONE;
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    st.st_size < (off_t)sizeof(struct snapshot)) {
		snprintf(why, why_size, "snapshot: not a sealed memory file");
		close(fd);
		return -1;
	}
	if (generation_map(g, fd, (size_t)st.st_size, why, why_size) < 0) {
		close(fd);
		return -1;
	}
	if (!snapshot_verify(g->snapshot, g->size, why, why_size) ||
	    !policy_verify(g->snapshot, why, why_size)) {
		generation_drop(g);
		return -1;
	}
	return 0;
}

void generation_drop(struct generation *g)
{
	if (g->snapshot)
		munmap((void *)(uintptr_t)g->snapshot, g->size);
	if (g->fd >= 0)
		close(g->fd);
	*g = GENERATION_NONE;
}
