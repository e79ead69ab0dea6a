#include "packets.h"
#include "eal.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define PAGE  4096u
#define STEP  (4u << 20)

// Of the right size, and it stays so: memory that is cut off would fault.
static bool fits(int fd, size_t size)
{
	struct stat sb;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && !(seals & F_SEAL_WRITE) && fstat(fd, &sb) == 0 &&
	       (size_t)sb.st_size == size;
}

static int memory_new(size_t size)
{
	int fd = memfd_create("churchgate-packets", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

// In steps, as DPDK maps and unmaps meanwhile, and each step holds up such changes. A kernel before 5.14 does
// not know this; pages then come one by one as the pool is made.
static void *bring_in(void *arg)
{
	struct packets_part *part = arg;

	part->err = 0;
	for (size_t at = 0; at < part->size; at += STEP) {
		size_t n = part->size - at < STEP ? part->size - at : STEP;

		if (madvise(part->at + at, n, part->advice) == 0)
			continue;
		part->err = errno == ENOMEM ? -ENOMEM : 0;
		break;
	}
	return NULL;
}

// What a thread that cannot be made would have done is left to the pool's making.
static void bring_in_all(struct packets *p)
{
	unsigned threads = eal_cpus() < PACKETS_THREADS ? eal_cpus() : PACKETS_THREADS;
	size_t each = (p->size / threads + PAGE - 1) / PAGE * PAGE;

	for (size_t at = 0; at < p->size && p->n_parts < threads; at += each) {
		struct packets_part *part = &p->part[p->n_parts];

		part->at = (char *)p->at + at;
		// Pages that are there need only be mapped, and reading maps sixteen of them at a time.
		part->advice = p->reused ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
		part->size = p->size - at < each ? p->size - at : each;
		if (pthread_create(&part->thread, NULL, bring_in, part) != 0)
			return;
		p->n_parts++;
	}
}

int packets_map(struct packets *p, int fd, size_t size)
{
	p->reused = fd >= 0 && fits(fd, size);
	if (fd >= 0 && !p->reused)
		close(fd);
	if (!p->reused)
		fd = memory_new(size);
	if (fd < 0)
		return fd;
	p->at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p->at == MAP_FAILED) {
		int err = -errno;

		p->at = NULL;
		close(fd);
		return err;
	}
	p->fd = fd;
	p->size = size;
	bring_in_all(p);
	return 0;
}

int packets_wait(struct packets *p)
{
	int err = 0;

	while (p->n_parts) {
		struct packets_part *part = &p->part[--p->n_parts];

		pthread_join(part->thread, NULL);
		err = part->err ? part->err : err;
	}
	return err;
}

void packets_unmap(struct packets *p)
{
	packets_wait(p);
	if (p->at)
		munmap(p->at, p->size);
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct packets){.fd = -1};
}
