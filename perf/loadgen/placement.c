#include "placement.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define TRIPS      16       // of one sample
#define SAMPLES    8        // of which the least counts: an interrupt makes one longer
#define PATIENCE   1000000u // ns for the other side
#define EVERY      10000000 // ns between two looks at the core's speed
#define LEARN      300      // looks at first, a millisecond each
#define LOOKS      4        // behind a toss
#define ROUNDS     400      // of sixteen additions, of which a core does four to six at once
#define NEAR       250 // ns of a round trip. Seen: 50 to 60 and 95 to 140 within a cache, 490 to 560 beyond
#define PRIORITY   3   // above the pollers'
#define SPEED_ONE  1e4 // of a sum of speeds,
#define COUNT_BITS 20  // below which their number stands

const char *const placement_name[PLACEMENT_KINDS] = {"unknown", "near", "far"};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

// Until the line says n. false: it does not within PATIENCE.
static bool await(_Atomic uint32_t *line, uint32_t n)
{
	for (uint64_t begin = clock_ns(CLOCK_MONOTONIC); clock_ns(CLOCK_MONOTONIC) - begin < PATIENCE;)
		for (unsigned i = 0; i < 1000; i++)
			if (atomic_load_explicit(line, memory_order_acquire) == n)
				return true;
	return false;
}

// Additions in a tick, of which enough do not depend on each other. Seen: 4.9 alone, 2.65 beside a busy other
// thread.
static double core_speed(void)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, begin = __rdtsc();

	for (unsigned i = 0; i < ROUNDS; i++)
		__asm__ volatile(
			"add $1, %0; add $1, %1; add $1, %2; add $1, %3; add $1, %4; add $1, %5; add $1, %6;"
			"add $1, %7; add $1, %0; add $1, %1; add $1, %2; add $1, %3; add $1, %4; add $1, %5;"
			"add $1, %6; add $1, %7"
			: "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h));
	return ROUNDS * 16.0 / (double)(__rdtsc() - begin);
}

// The better one of two, as an interrupt makes one slower.
static void core_look(struct placement *p)
{
	double first = core_speed(), second = core_speed(), speed = first > second ? first : second;

	if (speed > atomic_load(&p->best))
		atomic_store(&p->best, speed);
	atomic_fetch_add(&p->looks, (uint64_t)(speed * SPEED_ONE) << COUNT_BITS | 1);
}

// Throws back what comes, from the one that it was woken for on; looks at its core meanwhile.
static void *partner(void *arg)
{
	const struct timespec every = {.tv_nsec = EVERY}, soon = {.tv_nsec = 1000000};
	struct placement *p = arg;
	unsigned looks = 0;
	uint32_t seen = 0;

	while (!atomic_load(&p->ended)) {
		uint32_t first = atomic_load(&p->asked);

		if (first == seen) {
			core_look(p);
			looks++;
			(void)syscall(SYS_futex, &p->asked, FUTEX_WAIT_PRIVATE, seen,
				      looks < LEARN ? &soon : &every, NULL, 0);
			continue;
		}
		seen = first;
		for (uint32_t i = 0; i <= TRIPS * SAMPLES && await(&p->there, first + i); i++)
			atomic_store_explicit(&p->back, first + i, memory_order_release);
		for (unsigned i = 0; i < LOOKS && looks >= LEARN; i++)
			core_look(p);
	}
	return NULL;
}

int placement_open(struct placement *p, unsigned cpu)
{
	struct sched_param first = {.sched_priority = PRIORITY};
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	*p = (struct placement){.asked = 0};
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!err)
		err = pthread_create(&p->thread, &attr, partner, p);
	pthread_attr_destroy(&attr);
	if (err)
		return -err;
	// Who may not come first finds out less often.
	(void)pthread_setschedparam(p->thread, SCHED_FIFO, &first);
	err = pthread_getcpuclockid(p->thread, &p->clock);
	if (err)
		placement_close(p);
	while (!err && atomic_load(&p->looks) % (1u << COUNT_BITS) < LEARN)
		usleep(1000);
	return -err;
}

static void wake(struct placement *p)
{
	(void)syscall(SYS_futex, &p->asked, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void placement_close(struct placement *p)
{
	atomic_store(&p->ended, 1);
	atomic_fetch_add(&p->asked, 1);
	wake(p);
	pthread_join(p->thread, NULL);
}

static bool toss(struct placement *p, uint32_t n)
{
	atomic_store_explicit(&p->there, n, memory_order_release);
	return await(&p->back, n);
}

enum placement_kind placement_find(struct placement *p)
{
	uint32_t n = atomic_load(&p->asked) + TRIPS * SAMPLES + 1;
	double least = 1e9;

	atomic_store(&p->asked, n);
	wake(p);
	if (!toss(p, n))
		return PLACEMENT_UNKNOWN;
	for (unsigned k = 0; k < SAMPLES; k++) {
		uint64_t begin = clock_ns(CLOCK_MONOTONIC);
		double took;

		for (unsigned i = 0; i < TRIPS; i++)
			if (!toss(p, ++n))
				return PLACEMENT_UNKNOWN;
		took = (double)(clock_ns(CLOCK_MONOTONIC) - begin) / TRIPS;
		least = took < least ? took : least;
	}
	return least < NEAR ? PLACEMENT_NEAR : PLACEMENT_FAR;
}

double placement_share(struct placement *p)
{
	uint64_t looks = atomic_exchange(&p->looks, 0), n = looks & ((1u << COUNT_BITS) - 1);

	return n ? (double)(looks >> COUNT_BITS) / SPEED_ONE / (double)n / atomic_load(&p->best) : 0;
}

uint64_t placement_ran(const struct placement *p)
{
	return clock_ns(p->clock);
}
