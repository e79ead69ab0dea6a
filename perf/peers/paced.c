// A client over the kernel that sends requests at fixed times, whether or not the server keeps up, and counts
// latency from the time at which each was due (no coordinated omission); or in closed loop, to find out what
// the server can do. It never sleeps, and counts rounds by the same rule as the load generator does
// (perf/loadgen/watch.h), turns that took longer than their work among them.
//
//	paced HOST PORT PATH CONNECTIONS RATE SECONDS ROUNDS TID CPU	RATE 0: closed loop; TID, CPU: the
// server's
//
// One line of JSON. Answers must be 200 with a Content-Length; anything else ends it with status 1.
#include "perf/loadgen/histogram.h"
#include "perf/loadgen/message.h"
#include "perf/loadgen/phase.h"
#include "perf/loadgen/schedule.h"
#include "perf/loadgen/watch.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS      256
#define ROUNDS_MAX  100
#define ROUNDS_MOST 4   // played for each one asked for
#define REST        2e6 // ns between rounds
#define REST_LONG   2e7 // behind a disturbed one, and until what was due meanwhile has been sent,
#define REST_MOST   5e8 // but no longer than that; the same before the first one
#define BEHIND      1e6
#define MOVE        20000 // us that both CPUs stand still, so that they may be placed elsewhere
#define MOVE_MOST   1e6   // us in all
#define CLEAR_LEAST 5u
#define STALL       1e6 // ns that a turn may take,
#define STALL_CALL  2e4 // and for each request or answer in it; beyond, the CPU was not ours

struct conn {
	int fd;
	uint64_t intended;
	uint32_t n; // bytes of the answer so far
	bool waiting;
	char answer[4096];
};

struct run {
	double rps, p50, p99, p999;
};

static struct paced {
	struct conn *conn;
	unsigned conns, *idle, n_idle;
	int epoll;
	char request[512];
	size_t request_n;
	bool closed, measuring;
	struct schedule due;
	uint64_t now, done, stalled; // stalled: ns of turns that took too long
	struct histogram latency;
	struct rounds {
		struct run run[ROUNDS_MAX];
		struct histogram latency;
		unsigned n;
	} rounds[ROUND_CLEAR + 1]; // by enum round_kind; of those that do not count the first ones
} g;

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "paced: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void start(struct conn *c, uint64_t intended)
{
	c->intended = intended;
	c->n = 0;
	c->waiting = true;
	if (send(c->fd, g.request, g.request_n, MSG_NOSIGNAL) != (ssize_t)g.request_n)
		fail("send");
}

static void answered(struct conn *c)
{
	c->waiting = false;
	g.done++;
	if (g.measuring)
		histogram_add(&g.latency, clock_ns() - c->intended);
	if (g.closed)
		start(c, clock_ns());
	else
		g.idle[g.n_idle++] = (unsigned)(c - g.conn);
}

static void input(struct conn *c)
{
	ssize_t n = recv(c->fd, c->answer + c->n, sizeof(c->answer) - c->n, 0);
	struct head h;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !c->waiting)
		fail("a connection has ended, or spoken without being asked");
	c->n += (uint32_t)n;
	if (!head_read(c->answer, c->n, &h, NULL)) {
		if (c->n == sizeof(c->answer))
			fail("an answer has no length");
		return;
	}
	if (h.status != 200 || h.n + h.body > sizeof(c->answer))
		fail("not the answer that was wanted");
	if (c->n >= h.n + h.body)
		answered(c);
}

static void turn(void)
{
	struct epoll_event event[EVENTS];
	uint64_t before = g.now;
	static unsigned calls; // since then
	int n = epoll_wait(g.epoll, event, EVENTS, 0);

	for (int i = 0; i < n; i++)
		input(event[i].data.ptr);
	g.now = clock_ns();
	calls += n > 0 ? (unsigned)n * (g.closed ? 2 : 1) : 0;
	if ((double)(g.now - before) > STALL + calls * STALL_CALL)
		g.stalled += g.now - before;
	for (calls = 0; g.n_idle && schedule_due(&g.due, g.now); calls++)
		start(&g.conn[g.idle[--g.n_idle]], schedule_take(&g.due));
}

static void run_for(double ns)
{
	uint64_t end = g.now + (uint64_t)ns;

	while (g.now < end)
		turn();
}

static void mark(struct watch *w, struct watch_mark *m)
{
	for (bool first = true; !watch_mark(w, m, first); first = false)
		turn();
	m->stalled = g.stalled;
}

// As in perf/loadgen/main.c. true: time has passed.
static bool place(struct watch *w, struct watch_mark *m, double *moving)
{
	bool moved = false;

	for (; !watch_clear(m) && *moving < MOVE_MOST; *moving += MOVE) {
		uint64_t before = clock_ns();

		watch_again(w, MOVE);
		g.now = clock_ns();
		g.due.next += (double)(g.now - before); // nobody was there meanwhile
		run_for(REST);
		mark(w, m);
		moved = true;
	}
	return moved;
}

// What somebody else has held up is no part of the next round.
static void rest(bool disturbed)
{
	uint64_t begin = g.now;

	run_for(disturbed ? REST_LONG : REST);
	while (disturbed && schedule_due(&g.due, g.now) && (double)g.now - g.due.next > BEHIND &&
	       (double)(g.now - begin) < REST_MOST)
		turn();
}

static struct run round_play(double seconds)
{
	uint64_t done = g.done, begin = g.now;
	double took;

	memset(&g.latency, 0, sizeof(g.latency));
	g.measuring = true;
	run_for(seconds * 1e9);
	g.measuring = false;
	took = (double)(g.now - begin) / 1e9;
	return (struct run){.rps = (double)(g.done - done) / took,
			    .p50 = (double)histogram_at(&g.latency, 0.5) / 1e3,
			    .p99 = (double)histogram_at(&g.latency, 0.99) / 1e3,
			    .p999 = (double)histogram_at(&g.latency, 0.999) / 1e3};
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *first, unsigned n)
{
	double sorted[ROUNDS_MAX];

	for (unsigned i = 0; i < n; i++)
		sorted[i] = first[i * (sizeof(struct run) / sizeof(double))];
	qsort(sorted, n, sizeof(sorted[0]), compare);
	return n ? sorted[n / 2] : 0;
}

static void conns_open(const char *host, const char *port, const char *path)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int one = 1;

	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		fail(host);
	g.request_n = (size_t)snprintf(
		g.request, sizeof(g.request),
		"GET %s HTTP/1.1\r\nHost: perf.test\r\nUser-Agent: paced\r\nAccept: */*\r\n\r\n", path);
	g.epoll = epoll_create1(EPOLL_CLOEXEC);
	g.conn = calloc(g.conns, sizeof(g.conn[0]));
	g.idle = calloc(g.conns, sizeof(g.idle[0]));
	if (g.epoll < 0 || !g.conn || !g.idle || g.request_n >= sizeof(g.request))
		fail("start");
	for (unsigned i = 0; i < g.conns; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &g.conn[i]};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		g.conn[i].fd = fd;
		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
		    fcntl(fd, F_SETFL, O_NONBLOCK) ||
		    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
		    epoll_ctl(g.epoll, EPOLL_CTL_ADD, fd, &event))
			fail("connect");
		g.idle[g.n_idle++] = i;
	}
}

int main(int argc, char **argv)
{
	struct watch watch;
	struct watch_mark begin = {0}, end = {0};
	unsigned counted = 0, played = 0, asked;
	double rate, seconds, moving = 0;
	struct rounds *r;
	struct run run;

	if (argc != 10) {
		fprintf(stderr, "usage: paced HOST PORT PATH CONNECTIONS RATE SECONDS ROUNDS TID CPU\n");
		return 2;
	}
	g.conns = (unsigned)atoi(argv[4]);
	rate = atof(argv[5]);
	seconds = atof(argv[6]);
	asked = (unsigned)atoi(argv[7]);
	if (asked < 1 || asked > ROUNDS_MAX || g.conns < 1 || !(seconds > 0) ||
	    watch_open(&watch, atoi(argv[8]), atoi(argv[8]), 0, (unsigned)atoi(argv[9])))
		fail("arguments");
	conns_open(argv[1], argv[2], argv[3]);
	g.closed = rate <= 0;
	g.now = clock_ns();
	schedule_start(&g.due, g.now, 1e9, rate);
	while (g.closed && g.n_idle)
		start(&g.conn[g.idle[--g.n_idle]], clock_ns());
	run_for(5e8);
	mark(&watch, &begin);
	for (enum round_kind kind = ROUND_DISTURBED;
	     g.rounds[ROUND_CLEAR].n < asked && played < ROUNDS_MOST * asked; played++) {
		bool moved = place(&watch, &begin, &moving);

		rest(moved || kind == ROUND_DISTURBED);
		run = round_play(seconds);
		mark(&watch, &end);
		kind = watch_round(&begin, &end, PHASE_QUIET_OPEN);
		begin = end;
		r = &g.rounds[kind];
		if (r->n < ROUNDS_MAX) {
			r->run[r->n++] = run;
			histogram_merge(&r->latency, &g.latency);
		}
	}
	r = &g.rounds[ROUND_CLEAR];
	if (r->n < CLEAR_LEAST && r->n < g.rounds[ROUND_HAMPERED].n)
		r = &g.rounds[ROUND_HAMPERED];
	counted = r->n;
	// Where none counts, the others tell at least what happened.
	if (!counted)
		r = &g.rounds[ROUND_DISTURBED];
	printf("{\"counted\": %u, \"played\": %u, \"clear\": %s, \"rps\": %.0f, \"p50_us\": %.1f, \"p99_us\": "
	       "%.1f"
	       ", \"p999_us\": %.1f, \"p99_all_us\": %.1f, \"p999_all_us\": %.1f}\n",
	       counted, played, r == &g.rounds[ROUND_CLEAR] ? "true" : "false", median(&r->run->rps, r->n),
	       median(&r->run->p50, r->n), median(&r->run->p99, r->n), median(&r->run->p999, r->n),
	       (double)histogram_at(&r->latency, 0.99) / 1e3, (double)histogram_at(&r->latency, 0.999) / 1e3);
	return 0;
}
