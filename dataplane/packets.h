// The memory of the packet buffers where it is ordinary memory (no hugepages, virtual devices only): a memfd
// that control keeps while one data plane ends and the next one starts. To clear and map 1 GiB of fresh pages
// takes over a second, to map those that are there a third of one; a restart has no second to lose.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define PACKETS_THREADS 4

struct packets_part {
	pthread_t thread;
	char *at;
	size_t size;
	int advice, err;
};

struct packets {
	int fd; // -1: none
	void *at;
	size_t size;
	bool reused;
	struct packets_part part[PACKETS_THREADS];
	unsigned n_parts; // threads that bring in pages
};

// Maps size bytes and begins to bring in their pages, on threads of their own, while DPDK starts. Takes over
// fd, the memory of an earlier data plane, or -1; makes new memory where that is none or does not fit. 0 or
// -errno.
int packets_map(struct packets *p, int fd, size_t size);
// Waits for the pages. 0 or -ENOMEM.
int packets_wait(struct packets *p);
void packets_unmap(struct packets *p);
