// A wire between two devices, as bad as it is asked to be: wire LEFT RIGHT [--OPTION VALUE]...
//
//	stack ── veth LEFT ── this process ── veth RIGHT ── stack
//
// Each way a frame waits for the line (--rate), travels (--delay), and may be lost, come twice or be overtaken.
// Whether it is depends on the seed, the way it goes, and its number among those with payload or among those
// without: two TCPs compared with one seed lose the n-th segment alike, however fast they are. What is not TCP
// (ARP, neighbour discovery) is only delayed. SIGTERM ends it; then it prints what it did.
#include "base/hash.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 2048
#define FRAMES    16384
#define BATCH     64
#define SEC       1000000000ull

struct frame {
	uint64_t at, order; // ns when it arrives; ties in the order of departure
	uint32_t n;
	uint8_t data[FRAME_MAX];
};

struct way { // one direction
	int from, to;
	uint64_t line_free; // ns when the last frame has left
	uint64_t number[2]; // frames without and with payload so far
	struct frame *heap[FRAMES];
	unsigned n;
	uint64_t carried, lost, twice, overtaken, dropped;
};

static struct {
	uint64_t delay, rate, queue, late, seed; // ns, bit/s, ns, ns
	double loss, twice, reorder;
} conf = {.delay = 10000000, .queue = 100000000, .late = 2000000};

static struct way way[2];
static struct frame *pool[FRAMES];
static unsigned n_pool;
static uint64_t order;
static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

static bool before(const struct frame *a, const struct frame *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct way *w, struct frame *f)
{
	unsigned i;

	f->order = order++;
	for (i = w->n++; i > 0 && before(f, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = f;
}

static struct frame *pop(struct way *w)
{
	struct frame *top = w->heap[0], *last = w->heap[--w->n];
	unsigned i = 0, child;

	while ((child = 2 * i + 1) < w->n) {
		if (child + 1 < w->n && before(w->heap[child + 1], w->heap[child]))
			child++;
		if (!before(w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return top;
}

// TCP: 0 without payload, 1 with; else -1.
static int kind(const struct frame *f)
{
	unsigned type = f->data[12] << 8 | f->data[13];

	if (type == ETH_P_IP && f->n >= 54 && f->data[23] == IPPROTO_TCP)
		return (f->data[16] << 8 | f->data[17]) > 20 + (f->data[46] >> 4 << 2);
	if (type == ETH_P_IPV6 && f->n >= 74 && f->data[20] == IPPROTO_TCP)
		return (f->data[18] << 8 | f->data[19]) > f->data[66] >> 4 << 2;
	return -1;
}

// 0..1, the same for the same frame of the same seed.
static double dice(const struct way *w, int k, uint64_t number, unsigned what)
{
	uint64_t h = hash_mix(hash_mix(conf.seed, (uint64_t)(w - way) * 2 + k), number * 8 + what);

	return (double)(hash_mix(h, 1) >> 11) * 0x1p-53;
}

static void arrive(struct way *w, struct frame *f, uint64_t now)
{
	uint64_t begin = now > w->line_free ? now : w->line_free, number;
	struct frame *again;
	int k = kind(f);

	if (begin - now > conf.queue) {
		w->dropped++;
		goto gone;
	}
	if (conf.rate)
		w->line_free = begin + (f->n + 24ull) * 8 * SEC / conf.rate; // with preamble, FCS and gap
	f->at = (conf.rate ? w->line_free : begin) + conf.delay;
	if (k < 0) {
		push(w, f);
		return;
	}
	number = w->number[k]++;
	if (dice(w, k, number, 0) < conf.loss) {
		w->lost++;
		goto gone;
	}
	if (dice(w, k, number, 1) < conf.reorder) {
		f->at += (uint64_t)((double)conf.late * dice(w, k, number, 2));
		w->overtaken++;
	}
	if (n_pool && dice(w, k, number, 3) < conf.twice) {
		again = pool[--n_pool];
		again->n = f->n;
		memcpy(again->data, f->data, f->n);
		again->at = f->at + (uint64_t)((double)conf.late * dice(w, k, number, 4));
		push(w, again);
		w->twice++;
	}
	push(w, f);
	return;
gone:
	pool[n_pool++] = f;
}

static void receive(struct way *w)
{
	struct mmsghdr m[BATCH] = {0};
	struct iovec v[BATCH];
	struct frame *f[BATCH];
	unsigned room = n_pool < BATCH ? n_pool : BATCH;
	int n;

	for (unsigned i = 0; i < room; i++) {
		f[i] = pool[n_pool - 1 - i];
		v[i] = (struct iovec){f[i]->data, FRAME_MAX};
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(w->from, m, room, MSG_DONTWAIT, NULL);
	if (n <= 0) {
		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
			die("recvmmsg");
		return;
	}
	n_pool -= (unsigned)n;
	uint64_t now = now_ns();
	for (int i = 0; i < n; i++) {
		f[i]->n = m[i].msg_len;
		if (f[i]->n < ETH_HLEN)
			pool[n_pool++] = f[i];
		else
			arrive(w, f[i], now);
	}
}

static void deliver(struct way *w, uint64_t now)
{
	while (w->n && w->heap[0]->at <= now) {
		struct mmsghdr m[BATCH] = {0};
		struct iovec v[BATCH];
		struct frame *f[BATCH];
		unsigned n = 0;
		int sent;

		while (n < BATCH && w->n && w->heap[0]->at <= now) {
			f[n] = pop(w);
			v[n] = (struct iovec){f[n]->data, f[n]->n};
			m[n].msg_hdr.msg_iov = &v[n];
			m[n++].msg_hdr.msg_iovlen = 1;
		}
		for (unsigned done = 0; done < n; done += (unsigned)sent) {
			sent = sendmmsg(w->to, m + done, n - done, 0);
			if (sent <= 0) { // that device's queue is full, or it is down: as on a wire, it is lost
				w->dropped++;
				sent = 1;
				continue;
			}
			w->carried += (unsigned)sent;
		}
		while (n)
			pool[n_pool++] = f[--n];
	}
}

static int attach(const char *dev)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, size = 32 << 20;

	at.sll_ifindex = (int)if_nametoindex(dev);
	if (fd < 0 || !at.sll_ifindex)
		die(dev);
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		die(dev);
	return fd;
}

static void run(void)
{
	struct pollfd p[2] = {{.fd = way[0].from, .events = POLLIN}, {.fd = way[1].from, .events = POLLIN}};

	while (!ended) {
		uint64_t now = now_ns(), next = now + SEC;

		for (unsigned i = 0; i < 2; i++) {
			receive(&way[i]);
			deliver(&way[i], now);
			if (way[i].n && way[i].heap[0]->at < next)
				next = way[i].heap[0]->at;
		}
		now = now_ns();
		next = next > now ? next - now : 0;
		struct timespec t = {.tv_sec = (time_t)(next / SEC), .tv_nsec = (long)(next % SEC)};
		if (ppoll(p, n_pool ? 2 : 0, &t, NULL) < 0 && errno != EINTR)
			die("ppoll");
	}
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {
		{"delay-us", 1, NULL, 'd'}, {"mbits", 1, NULL, 'm'}, {"queue-ms", 1, NULL, 'q'},
		{"loss", 1, NULL, 'l'},     {"twice", 1, NULL, 't'}, {"reorder", 1, NULL, 'r'},
		{"late-us", 1, NULL, 'L'},  {"seed", 1, NULL, 's'},  {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		double x = optarg ? strtod(optarg, NULL) : 0;
		switch (c) {
		case 'd':
			conf.delay = (uint64_t)(x * 1e3);
			break;
		case 'm':
			conf.rate = (uint64_t)(x * 1e6);
			break;
		case 'q':
			conf.queue = (uint64_t)(x * 1e6);
			break;
		case 'l':
			conf.loss = x;
			break;
		case 't':
			conf.twice = x;
			break;
		case 'r':
			conf.reorder = x;
			break;
		case 'L':
			conf.late = (uint64_t)(x * 1e3);
			break;
		case 's':
			conf.seed = strtoull(optarg, NULL, 0);
			break;
		default:
			exit(2);
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: wire LEFT RIGHT [--delay-us N] [--mbits N] [--queue-ms N] [--loss P] "
				"[--twice P] [--reorder P] [--late-us N] [--seed N]\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = end};
	struct frame *mem = mmap(NULL, FRAMES * sizeof(*mem), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	options(argc, argv);
	if (mem == MAP_FAILED)
		die("mmap");
	for (n_pool = 0; n_pool < FRAMES; n_pool++)
		pool[n_pool] = &mem[FRAMES - 1 - n_pool];
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_TIMERSLACK, 1000);
	// A wire does not wait for the processor.
	sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1});
	int left = attach(argv[optind]), right = attach(argv[optind + 1]);
	way[0].from = way[1].to = left;
	way[0].to = way[1].from = right;
	printf("wire: %s to %s\n", argv[optind], argv[optind + 1]);
	fflush(stdout);
	run();
	for (unsigned i = 0; i < 2; i++)
		printf("wire: %s to %s: %llu carried, %llu lost, %llu twice, %llu late, %llu without room\n",
		       argv[optind + i], argv[optind + 1 - i], (unsigned long long)way[i].carried,
		       (unsigned long long)way[i].lost, (unsigned long long)way[i].twice,
		       (unsigned long long)way[i].overtaken, (unsigned long long)way[i].dropped);
	return 0;
}
