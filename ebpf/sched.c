#include "ebpf/sched.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.skel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sched {
	struct sched_bpf *bpf;
	unsigned workers;
	uint32_t tid[SNAP_WORKERS_MAX]; // in the map; 0: none
};

_Static_assert(sizeof(((struct sched_bpf__bss *)NULL)->switches) == SNAP_WORKERS_MAX * sizeof(uint64_t),
	       "one cell for each worker");

// One of the two programs: with BTF no tracefs is needed, otherwise the classic tracepoint.
static struct sched_bpf *program_load(bool btf, int *err)
{
	struct sched_bpf *bpf = sched_bpf__open();

	if (!bpf) {
		*err = -errno;
		return NULL;
	}
	bpf_program__set_autoload(bpf->progs.sched_switch_btf, btf);
	bpf_program__set_autoload(bpf->progs.sched_switch_tracepoint, !btf);
	*err = sched_bpf__load(bpf);
	if (*err == 0)
		*err = sched_bpf__attach(bpf);
	if (*err == 0)
		return bpf;
	sched_bpf__destroy(bpf);
	return NULL;
}

// The library's own words are many lines for each of two tries; ours is one.
static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

struct sched *sched_open(char *why, size_t why_size)
{
	struct sched *s = calloc(1, sizeof(*s));
	int err, first;

	if (!s) {
		snprintf(why, why_size, "no memory");
		return NULL;
	}
	libbpf_set_print(silent);
	s->bpf = program_load(true, &first);
	if (!s->bpf)
		s->bpf = program_load(false, &err);
	if (!s->bpf) {
		snprintf(why, why_size, "with BTF: %s; as a tracepoint: %s", strerror(-first), strerror(-err));
		free(s);
		return NULL;
	}
	return s;
}

void sched_close(struct sched *s)
{
	if (!s)
		return;
	sched_bpf__destroy(s->bpf);
	free(s);
}

void sched_follow(struct sched *s, const uint32_t tid[], unsigned workers)
{
	int fd = bpf_map__fd(s->bpf->maps.workers);

	if (workers > SNAP_WORKERS_MAX)
		workers = SNAP_WORKERS_MAX;
	if (workers == s->workers && memcmp(tid, s->tid, workers * sizeof(tid[0])) == 0)
		return;
	// First out, then in: a thread id may have wandered to another worker.
	for (unsigned w = 0; w < s->workers; w++)
		if (s->tid[w] && (w >= workers || s->tid[w] != tid[w])) {
			bpf_map_delete_elem(fd, &s->tid[w]);
			s->tid[w] = 0;
		}
	for (uint32_t w = 0; w < workers; w++)
		if (tid[w] && s->tid[w] != tid[w] && bpf_map_update_elem(fd, &tid[w], &w, BPF_ANY) == 0)
			s->tid[w] = tid[w];
	s->workers = workers;
}

uint64_t sched_switches(const struct sched *s, unsigned w)
{
	return w < SNAP_WORKERS_MAX ? __atomic_load_n(&s->bpf->bss->switches[w], __ATOMIC_RELAXED) : 0;
}
