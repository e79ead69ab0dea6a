// What it costs to ask whether an address is denied: perf/micro/deny [HOSTS] [PREFIXES] [MIB]. With HUGE=1 in
// the environment the list lies in huge pages, as it does where the configuration and the machine have them.
//
// One thread, a list as the data plane maps it: HOSTS hosts (a million), every other one of IPv6, and PREFIXES
// networks (10 000) of 16 to 28 bits, or of 32 to 64. What is asked is drawn before the clock runs: hosts on
// the list, addresses in denied networks, and addresses that are on no list, from neighbourhoods of those that
// are. Each case goes in bursts of 32, as a worker asks of the SYNs it received, and alone (each after the one
// before). Beside each: bare loads of as many lines of the same list, one for each address.
#include "base/random.h"
#include "contract/address_list.h"
#include "perf/micro/cycles.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BURST   32u
#define DRAWN   (1u << 19)
#define WINDOW  4096u
#define WINDOWS (DRAWN / WINDOW)

struct bench {
	struct address_list l;
	struct addr *host, *net;
	unsigned *len;
	uint32_t hosts, nets, denied, sum;
	uint64_t now;
	struct addr *asked; // [DRAWN]
	struct random r;
};

static struct addr some_address(struct random *r, bool v6)
{
	struct addr a;

	if (!v6)
		return addr_from_v4((uint32_t)random_next(r));
	a.w[0] = random_next(r);
	a.w[1] = random_next(r);
	a.b[0] = 0x20;
	a.b[1] = 1;
	a.b[2] &= 3; // registries give out few of the first bits
	return a;
}

static void fill(struct bench *b)
{
	for (uint32_t i = 0; i < b->nets; i++) {
		bool v6 = i & 1;
		struct addr a = some_address(&b->r, v6);

		b->len[i] = v6 ? 32 + (unsigned)random_below(&b->r, 33)
			       : 96 + 16 + (unsigned)random_below(&b->r, 13);
		b->net[i] = address_prefix_of(a, b->len[i]);
		if (address_list_add(&b->l, ADDRESS_DENY, b->net[i], b->len[i], 0, ADDRESS_FILE) < 0)
			abort();
	}
	for (uint32_t i = 0; i < b->hosts; i++) {
		b->host[i] = some_address(&b->r, i & 1);
		if (address_list_add(&b->l, ADDRESS_DENY, b->host[i], 128, 0, ADDRESS_FILE) < 0)
			abort();
	}
}

// Beyond its first `len` bits other ones.
static struct addr within(struct bench *b, struct addr net, unsigned len)
{
	struct addr any = {.w = {random_next(&b->r), random_next(&b->r)}}, part = address_prefix_of(any, len);

	any.w[0] ^= part.w[0] ^ net.w[0];
	any.w[1] ^= part.w[1] ^ net.w[1];
	return any;
}

enum draw { DRAW_HOST, DRAW_NET, DRAW_NONE, DRAWS };
static const char *const draw_name[DRAWS] = {"host", "network", "none"};

static void draw(struct bench *b, enum draw what, bool v6)
{
	for (uint32_t i = 0; i < DRAWN; i++) {
		uint32_t h = (uint32_t)random_below(&b->r, b->hosts / 2) * 2 + v6;
		uint32_t n = b->nets ? (uint32_t)random_below(&b->r, b->nets / 2) * 2 + v6 : 0;

		if (what == DRAW_HOST)
			b->asked[i] = b->host[h];
		else if (what == DRAW_NET)
			b->asked[i] = within(b, b->net[n], b->len[n]);
		else
			b->asked[i] = within(b, b->host[h], v6 ? 64 : 96 + 20);
	}
}

static uint64_t in_bursts(struct bench *b, const struct addr *a)
{
	uint64_t began = __rdtsc();

	for (uint32_t i = 0; i < WINDOW; i += BURST)
		b->denied +=
			(unsigned)__builtin_popcountll(address_list_denied_burst(&b->l, a + i, BURST, b->now));
	return __rdtsc() - began;
}

// As far from each other as the hash would put them.
static const union address_cell *line_of(const struct bench *b, const struct addr *a)
{
	uint64_t mixed = (a->w[0] + a->w[1] * 3) * 0x9e3779b97f4a7c15ull;

	mixed = (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9ull;
	return b->l.line[(uint64_t)((__uint128_t)mixed * b->l.lines >> 64)].cell;
}

static uint64_t loads(struct bench *b, const struct addr *a)
{
	uint64_t began = __rdtsc();

	for (uint32_t i = 0; i < WINDOW; i += BURST) {
		const union address_cell *at[BURST];

		for (unsigned k = 0; k < BURST; k++)
			at[k] = line_of(b, &a[i + k]);
		for (unsigned k = 0; k < BURST; k++)
			__builtin_prefetch(at[k]);
		for (unsigned k = 0; k < BURST; k++)
			b->sum += (uint32_t)at[k]->meta;
	}
	return __rdtsc() - began;
}

static uint64_t alone(struct bench *b, const struct addr *a)
{
	uint64_t began = __rdtsc();

	for (uint32_t i = 0; i < WINDOW; i++) {
		__asm__ volatile("lfence" ::: "memory");
		b->denied += address_list_denied(&b->l, a[i], b->now);
	}
	return __rdtsc() - began;
}

static uint64_t loads_alone(struct bench *b, const struct addr *a)
{
	uint64_t began = __rdtsc();

	for (uint32_t i = 0; i < WINDOW; i++) {
		__asm__ volatile("lfence" ::: "memory");
		b->sum += (uint32_t)line_of(b, &a[i])->meta;
	}
	return __rdtsc() - began;
}

#define CASES 4

// Short windows of each case in turn, each with draws of its own.
static void run(struct bench *b, enum draw what, bool v6)
{
	static uint64_t (*const cases[CASES])(struct bench *, const struct addr *) = {in_bursts, loads, alone,
										      loads_alone};
	struct cycles c[CASES];
	double m[CASES];
	uint32_t before = b->denied;

	draw(b, what, v6);
	for (unsigned i = 0; i < CASES; i++)
		c[i] = cycles_start(WINDOWS / CASES);
	for (unsigned i = 0; i < WINDOWS; i++)
		cycles_add(&c[i % CASES], cases[i % CASES](b, b->asked + i * WINDOW));
	for (unsigned i = 0; i < CASES; i++)
		m[i] = cycles_median(&c[i], WINDOW);
	printf("deny %s %-7s: %4.0f cycles in a burst of %u (%.1f ns; a bare load %.1f), alone %4.0f (%.1f ns; "
	       "%.1f); %.0f%% denied\n",
	       v6 ? "IPv6" : "IPv4", draw_name[what], m[0], BURST, cycles_ns(m[0]), cycles_ns(m[1]), m[2],
	       cycles_ns(m[2]), cycles_ns(m[3]), 100.0 * (b->denied - before) / (WINDOWS / 2 * WINDOW));
}

int main(int argc, char **argv)
{
	struct bench b = {.hosts = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000,
			  .nets = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 10000};
	uint64_t size = (argc > 3 ? strtoull(argv[3], NULL, 10) : 64) << 20;
	int fd = memfd_create("addresses", getenv("HUGE") ? MFD_HUGETLB : 0);
	char why[200];
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return 1;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED) { // no huge pages: as control does, ordinary ones
		fd = memfd_create("addresses", 0);
		if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
			return 1;
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	}
	b.host = calloc(b.hosts + 1, sizeof(*b.host));
	b.net = calloc(b.nets + 1, sizeof(*b.net));
	b.len = calloc(b.nets + 1, sizeof(*b.len));
	b.asked = calloc(DRAWN, sizeof(*b.asked));
	if (p == MAP_FAILED || !b.host || !b.net || !b.len || !b.asked)
		return 1;
	random_seed(&b.r, 42);
	address_list_create(p, size, (struct hash_key){random_next(&b.r), random_next(&b.r)});
	if (!address_list_attach(&b.l, p, size, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	fill(&b);
	address_list_sweep(&b.l, b.now);
	for (unsigned i = 0; i < 2 * DRAWS; i++)
		if (i / 2 != DRAW_NET || b.nets)
			run(&b, (enum draw)(i / 2), i & 1);
	return b.sum == 1; // so that the loads are not left out
}
