#include "watch.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 20000000ull // ns without a tick: the thread does not run

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

// clock_getcpuclockid(3): what all threads of a process have run.
static uint64_t process_ns(int pid)
{
	return pid ? clock_ns((clockid_t)(~(unsigned)pid << 3 | 2)) : 0;
}

static bool text_read(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

static void files_close(struct watch *w)
{
	if (w->stat >= 0)
		close(w->stat);
	if (w->status >= 0)
		close(w->status);
	*w = (struct watch){.stat = -1, .status = -1};
}

int watch_open(struct watch *w, int tid, int process, int other, unsigned cpu)
{
	char path[64];
	int err;

	*w = (struct watch){.stat = -1, .status = -1};
	if (!tid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/schedstat", tid);
	w->stat = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	w->status = open(path, O_RDONLY | O_CLOEXEC);
	err = w->stat < 0 || w->status < 0 ? -errno : placement_open(&w->placement, cpu);
	if (err) {
		files_close(w);
		return err;
	}
	w->process = process;
	w->other = other;
	return 0;
}

void watch_close(struct watch *w)
{
	if (w->stat >= 0)
		placement_close(&w->placement);
	files_close(w);
}

static uint64_t sleeps(const struct watch *w)
{
	static const char key[] = "\nvoluntary_ctxt_switches:";
	char text[4096];
	const char *at = text_read(w->status, text, sizeof(text)) ? strstr(text, key) : NULL;

	return at ? strtoull(at + sizeof(key) - 1, NULL, 10) : 0;
}

bool watch_mark(struct watch *w, struct watch_mark *m, bool first)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), ran = 0, waited = 0;
	char text[128];

	if (w->stat < 0) {
		*m = (struct watch_mark){.wall = now, .self = clock_ns(CLOCK_THREAD_CPUTIME_ID)};
		return true;
	}
	if (text_read(w->stat, text, sizeof(text)))
		(void)sscanf(text, "%lu %lu", &ran, &waited);
	if (first) {
		*m = (struct watch_mark){.wall = now, .ran = ran, .sleeps = sleeps(w)};
		return false;
	}
	if (ran == m->ran && now - m->wall < PATIENCE)
		return false;
	m->wall = now;
	m->self = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	m->ran = ran;
	m->waited = waited;
	m->others = process_ns(w->process) - ran + process_ns(w->other) + placement_ran(&w->placement);
	// Behind the account: what it costs the watched thread is our doing, and in the next one.
	m->placed = placement_find(&w->placement);
	m->share = placement_share(&w->placement);
	return true;
}

double watch_away(const struct watch_mark *begin, const struct watch_mark *end)
{
	double wall = (double)(end->wall - begin->wall), self, it, others;

	if (!(wall > 0))
		return 1;
	self = wall - (double)(end->self - begin->self);
	if (self < (double)(end->stalled - begin->stalled))
		self = (double)(end->stalled - begin->stalled);
	it = end->ran ? wall - (double)(end->ran - begin->ran) : 0;
	if (end->sleeps != begin->sleeps)
		it = (double)(end->waited - begin->waited);
	// What it keeps itself from running is its own.
	others = (double)(int64_t)(end->others - begin->others);
	it -= others > 0 ? others : 0;
	return (self > it ? self : it) / wall;
}

bool watch_clear(const struct watch_mark *m)
{
	return m->placed == PLACEMENT_NEAR && m->share >= WATCH_SHARE;
}

enum round_kind watch_round(const struct watch_mark *begin, const struct watch_mark *end, double quiet)
{
	if (watch_away(begin, end) > quiet)
		return ROUND_DISTURBED;
	return begin->placed == PLACEMENT_NEAR && watch_clear(end) ? ROUND_CLEAR : ROUND_HAMPERED;
}

void watch_again(const struct watch *w, unsigned us)
{
	if (w->process)
		kill(w->process, SIGSTOP);
	usleep(us);
	if (w->process)
		kill(w->process, SIGCONT);
}
