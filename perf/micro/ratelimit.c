// What one check of a rate limit costs: perf/micro/ratelimit [KEYS] [MIB]. With HUGE=1 in the
// environment the table lies in huge pages, as it does where the configuration and the machine have them.
//
// One thread, a table as the data plane maps it, KEYS different addresses (10 million) that are all in
// the table when the clock runs. Keys are drawn evenly or by Zipf's law (exponent 0.99), before the clock runs.
// Each case runs in bursts of 32 (the keys of a burst are hashed and prefetched first, as a burst of requests
// is) and alone (each check depends on the one before). Beside each: a bare atomic addition to the same lines,
// so that the machine's part can be seen.
#include "base/random.h"
#include "contract/limit_key.h"
#include "perf/micro/cycles.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BURST  32
#define CHECKS (5u << 20)
#define WINDOW 8192
#define CASES  5

struct bench {
	struct limit_table t;
	struct limit_table_claims claims;
	uint32_t *draw; // [CHECKS]
	uint64_t keys, now, allowed, over, full, sum;
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

// As of requests of IPv6 clients, by their /64.
static struct limit_table_key key_of(const struct bench *b, uint64_t n)
{
	static const struct snap_limit_part part = {.kind = LIMIT_PART_CLIENT_IP, .prefix4 = 32, .prefix6 = 64};
	static struct limit_key key;
	struct addr client;

	memcpy(client.b, &(const uint64_t[2]){n, 1}, sizeof(client.b));
	limit_key_start(&key);
	limit_key_address(&key, &part, client);
	return limit_table_key(&b->t, 1, key.b, key.n);
}

#define COST      600000000ull // 100/min
#define TOLERANCE (100 * COST)

static uint64_t check(struct bench *b, const struct limit_table_key *k)
{
	uint64_t tat;

	switch (limit_table_charge(&b->t, &b->claims, k, b->now, COST, TOLERANCE, &tat)) {
	case LIMIT_TABLE_ALLOWED:
		b->allowed++;
		break;
	case LIMIT_TABLE_OVER:
		b->over++;
		break;
	case LIMIT_TABLE_FULL:
		b->full++;
		break;
	}
	return tat;
}

static uint64_t add(struct bench *b, const struct limit_table_key *k)
{
	// A cell's identity is not touched; its time is changed by nothing, atomically.
	(void)b;
	return __atomic_fetch_add(&k->line->cell[0].tat, 0, __ATOMIC_SEQ_CST);
}

static uint64_t nothing(struct bench *b, const struct limit_table_key *k)
{
	(void)b;
	return k->id;
}

typedef uint64_t what_fn(struct bench *, const struct limit_table_key *);

static double in_bursts(struct bench *b, what_fn *fn, const uint32_t *draw)
{
	uint64_t began = __rdtsc();

	for (uint32_t i = 0; i < WINDOW; i += BURST) {
		struct limit_table_key k[BURST];

		for (unsigned j = 0; j < BURST; j++)
			k[j] = key_of(b, draw[i + j]);
		for (unsigned j = 0; j < BURST && fn != nothing; j++)
			limit_table_prefetch(&k[j]);
		for (unsigned j = 0; j < BURST; j++)
			b->sum += fn(b, &k[j]);
		b->now += 1000;
	}
	return (double)(__rdtsc() - began) / WINDOW;
}

static double alone(struct bench *b, what_fn *fn, const uint32_t *draw)
{
	uint64_t began = __rdtsc(), before = 0;

	for (uint32_t i = 0; i < WINDOW; i++) {
		struct limit_table_key k = key_of(b, draw[i] ^ (before & 0)); // waits for the one before
		__asm__ volatile("lfence" ::: "memory");
		before = fn(b, &k);
		b->now += 30;
	}
	b->sum += before;
	return (double)(__rdtsc() - began) / WINDOW;
}

static void draw_evenly(struct bench *b, struct random *r)
{
	for (uint32_t i = 0; i < CHECKS; i++)
		b->draw[i] = (uint32_t)random_below(r, (uint32_t)b->keys);
}

// Rejection-free approximation by the inverse of the continuous law; ranks are scattered over the keys.
static void draw_zipf(struct bench *b, struct random *r)
{
	const double s = 0.99;
	double span = pow((double)b->keys, 1 - s) - 1;

	for (uint32_t i = 0; i < CHECKS; i++) {
		double u = (double)(random_next(r) >> 11) * 0x1p-53;
		uint64_t rank = (uint64_t)pow(u * span + 1, 1 / (1 - s));

		b->draw[i] = (uint32_t)(rank * 2654435761u % b->keys);
	}
}

static int by_size(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return a < b ? -1 : a > b;
}

// Short windows of each case in turn, each with draws of its own: what else the machine does meets all alike,
// and the median leaves out the windows in which it did much.
static void run(struct bench *b, const char *name)
{
	static const struct {
		double (*how)(struct bench *, what_fn *, const uint32_t *);
		what_fn *fn;
	} cases[CASES] = {
		{in_bursts, check}, {in_bursts, add}, {in_bursts, nothing}, {alone, check}, {alone, add}};
	static double seen[CASES][CHECKS / WINDOW / CASES];
	const unsigned n = CHECKS / WINDOW / CASES;

	for (unsigned i = 0; i < n * CASES; i++)
		seen[i % CASES][i / CASES] = cases[i % CASES].how(b, cases[i % CASES].fn, b->draw + i * WINDOW);
	for (unsigned c = 0; c < CASES; c++)
		qsort(seen[c], n, sizeof(seen[c][0]), by_size);
	printf("ratelimit %8s: %4.0f cycles in a burst of %d (%.1f ns; bare atomic addition %.1f, hash of both "
	       "%.1f), "
	       "alone %4.0f (%.1f ns; %.1f)\n",
	       name, seen[0][n / 2], BURST, cycles_ns(seen[0][n / 2]), cycles_ns(seen[1][n / 2]),
	       cycles_ns(seen[2][n / 2]), seen[3][n / 2], cycles_ns(seen[3][n / 2]), cycles_ns(seen[4][n / 2]));
}

int main(int argc, char **argv)
{
	struct bench b = {.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000};
	uint64_t size = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) << 20, began;
	struct random r;
	char why[200];
	int fd = memfd_create("limits", 0);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return 1;
	if (getenv("HUGE")) {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		madvise(p, size, MADV_HUGEPAGE);
	} else {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	}
	b.draw = malloc(CHECKS * sizeof(*b.draw));
	if (p == MAP_FAILED || !b.draw)
		return 1;
	random_seed(&r, 42);
	limit_table_create(p, size, (struct hash_key){random_next(&r), random_next(&r)});
	if (!limit_table_attach(&b.t, p, size, 1, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	limit_table_claims_init(&b.claims, &b.t, 0);
	b.now = clock_ns();
	began = clock_ns();
	for (uint64_t i = 0; i < b.keys; i += BURST) {
		struct limit_table_key k[BURST];

		for (unsigned j = 0; j < BURST; j++)
			k[j] = key_of(&b, i + j);
		for (unsigned j = 0; j < BURST; j++)
			limit_table_prefetch(&k[j]);
		for (unsigned j = 0; j < BURST && i + j < b.keys; j++)
			b.sum += check(&b, &k[j]);
	}
	printf("%llu keys in %llu MiB (%.1f%% of %llu cells): %5.1f ns each to enter, %llu without a place\n",
	       (unsigned long long)b.keys, (unsigned long long)(size >> 20),
	       100 * (double)b.keys / (double)limit_table_cells(&b.t),
	       (unsigned long long)limit_table_cells(&b.t), (double)(clock_ns() - began) / (double)b.keys,
	       (unsigned long long)b.full);
	draw_evenly(&b, &r);
	run(&b, "uniform");
	draw_zipf(&b, &r);
	run(&b, "Zipf");
	printf("allowed %llu, over the limit %llu, no place %llu (%llu)\n", (unsigned long long)b.allowed,
	       (unsigned long long)b.over, (unsigned long long)b.full, (unsigned long long)(b.sum & 1));
	return 0;
}
