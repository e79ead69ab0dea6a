// The table of rate limits against a plain GCRA, with one caller and with many threads.
#include "base/random.h"
#include "contract/limit_table.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE   (1u << 20)
#define SECOND 1000000000ull

static void *memory;
static struct limit_table t;

static int make(void **state)
{
	char why[100];

	(void)state;
	memory = aligned_alloc(4096, SIZE);
	memset(memory, 0, SIZE);
	limit_table_create(memory, SIZE, (struct hash_key){3, 4});
	return !limit_table_attach(&t, memory, SIZE, 1, why, sizeof(why));
}

static int unmake(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

static void a_million_random_requests_fare_as_under_a_plain_gcra(void **state)
{
	enum { KEYS = 500 };
	static uint64_t plain[KEYS];
	struct limit_table_claims claims;
	struct random r;
	uint64_t now = 1000 * SECOND;

	(void)state;
	memset(plain, 0, sizeof(plain));
	random_seed(&r, 7);
	limit_table_claims_init(&claims, &t, 0);
	for (unsigned i = 0; i < 1000000; i++) {
		uint32_t n = random_below(&r, KEYS);
		// Each key has a rate, a burst and costs of its own.
		uint64_t interval = 1000000 * (1 + n % 97), tolerance = interval * (1 + n % 31);
		uint64_t cost = interval * (1 + random_below(&r, 1 + n % 31)), tat;
		struct limit_table_key k = limit_table_key(&t, 1 + n % 3, &n, sizeof(n));
		uint64_t base = plain[n] > now ? plain[n] : now;
		bool fits = base + cost <= now + tolerance;
		enum limit_table_result peeked = limit_table_peek(&t, &k, now, cost, tolerance, &tat);

		assert_int_equal(peeked, fits ? LIMIT_TABLE_ALLOWED : LIMIT_TABLE_OVER);
		assert_int_equal(limit_table_charge(&t, &claims, &k, now, cost, tolerance, &tat), peeked);
		if (fits) {
			plain[n] = base + cost;
			assert_int_equal(tat, plain[n]);
			if (random_below(&r, 10) == 0) {
				limit_table_return(&t, &k, tat, cost);
				plain[n] -= cost;
			}
		}
		now += random_below(&r, 200000);
	}
}

static void a_live_key_is_never_pushed_out_and_a_new_one_without_a_place_is_told_so(void **state)
{
	struct limit_table_claims claims;
	uint64_t now = 1000 * SECOND, tat, full = 0;
	uint32_t n, stored = 0;
	static uint8_t has[80000];

	(void)state;
	limit_table_claims_init(&claims, &t, 0);
	memset(has, 0, sizeof(has));
	for (n = 0; n < 80000; n++) { // more than there are cells
		struct limit_table_key k = limit_table_key(&t, 1, &n, sizeof(n));
		enum limit_table_result got = limit_table_charge(&t, &claims, &k, now, SECOND, SECOND, &tat);

		assert_true(got == LIMIT_TABLE_ALLOWED || got == LIMIT_TABLE_FULL);
		has[n] = got == LIMIT_TABLE_ALLOWED;
		stored += has[n];
		full += got == LIMIT_TABLE_FULL;
	}
	assert_true(full > 0 && stored <= limit_table_cells(&t) && stored > limit_table_cells(&t) * 9 / 10);
	for (n = 0; n < 80000; n++) { // each that was stored is at its limit, and none of the others is known
		struct limit_table_key k = limit_table_key(&t, 1, &n, sizeof(n));
		enum limit_table_result got = limit_table_peek(&t, &k, now, SECOND, SECOND, &tat);

		assert_true(has[n] ? got == LIMIT_TABLE_OVER : got != LIMIT_TABLE_OVER);
	}
	// Once their time has passed, all that stood there makes room.
	now += 2 * SECOND;
	n = 90000;
	struct limit_table_key k = limit_table_key(&t, 1, &n, sizeof(n));

	assert_int_equal(limit_table_charge(&t, &claims, &k, now, SECOND, SECOND, &tat), LIMIT_TABLE_ALLOWED);
}

static void a_faster_rate_frees_a_key_that_a_slow_one_had_used_up(void **state)
{
	struct limit_table_claims claims;
	uint64_t now = 1000 * SECOND, tat;
	uint32_t n = 1;
	struct limit_table_key k = limit_table_key(&t, 1, &n, sizeof(n));

	(void)state;
	limit_table_claims_init(&claims, &t, 0);
	limit_table_charge(&t, &claims, &k, now, 86400 * SECOND, 86400 * SECOND, &tat);
	assert_int_equal(limit_table_charge(&t, &claims, &k, now, SECOND, 10 * SECOND, &tat), LIMIT_TABLE_OVER);
	now += SECOND + LIMIT_TABLE_LAG;
	assert_int_equal(limit_table_charge(&t, &claims, &k, now, SECOND, 10 * SECOND, &tat),
			 LIMIT_TABLE_ALLOWED);
	assert_int_equal(limit_table_charge(&t, &claims, &k, now, SECOND, 10 * SECOND, &tat), LIMIT_TABLE_OVER);
}

static void a_cleared_key_is_as_new(void **state)
{
	struct limit_table_claims claims;
	uint64_t now = 1000 * SECOND, tat;
	uint32_t n = 1;
	struct limit_table_key k = limit_table_key(&t, 1, &n, sizeof(n));

	(void)state;
	limit_table_claims_init(&claims, &t, 0);
	assert_int_equal(limit_table_charge(&t, &claims, &k, now, SECOND, SECOND, &tat), LIMIT_TABLE_ALLOWED);
	assert_int_equal(limit_table_charge(&t, &claims, &k, now, SECOND, SECOND, &tat), LIMIT_TABLE_OVER);
	limit_table_set(&t, &claims, &k, now, 0);
	assert_int_equal(limit_table_charge(&t, &claims, &k, now, SECOND, SECOND, &tat), LIMIT_TABLE_ALLOWED);
}

static void memory_of_another_shape_is_not_taken(void **state)
{
	struct limit_table_head *h = memory;
	struct limit_table other;
	char why[200] = "";

	(void)state;
	assert_false(limit_table_attach(&other, memory, SIZE - 4096, 1, why, sizeof(why)));
	assert_true(why[0]);
	h->version++;
	assert_false(limit_table_attach(&other, memory, SIZE, 1, why, sizeof(why)));
}

#define THREADS 4
#define ROUNDS  60000
#define KEYS    64

struct hammer {
	pthread_t thread;
	unsigned self;
	uint64_t allowed[KEYS], full;
};
static pthread_barrier_t together;
static unsigned keys_of_hammer;

// The clock stands still, so that what is allowed is known: each key's burst, by however many, and no more.
// Every third charge is given back where there is room for it to be made again.
static void *hammer(void *arg)
{
	struct hammer *h = arg;
	struct limit_table_claims claims;
	struct random r;

	random_seed(&r, h->self + 1);
	limit_table_claims_init(&claims, &t, h->self);
	pthread_barrier_wait(&together);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t n = random_below(&r, keys_of_hammer);
		struct limit_table_key k = limit_table_key(&t, 1, &n, sizeof(n));
		uint64_t tat;

		switch (limit_table_charge(&t, &claims, &k, 1000 * SECOND - h->self % 2, SECOND,
					   100 * SECOND + 1, &tat)) {
		case LIMIT_TABLE_ALLOWED:
			h->allowed[n]++;
			break;
		case LIMIT_TABLE_FULL:
			h->full++;
			break;
		case LIMIT_TABLE_OVER:
			break;
		}
	}
	return NULL;
}

static void threads_get_exactly_what_is_allowed(unsigned keys)
{
	static struct hammer h[THREADS];

	memset(h, 0, sizeof(h));
	keys_of_hammer = keys;
	pthread_barrier_init(&together, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		h[i].self = i;
		pthread_create(&h[i].thread, NULL, hammer, &h[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(h[i].thread, NULL);
	pthread_barrier_destroy(&together);
	for (unsigned n = 0; n < keys; n++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < THREADS; i++)
			sum += h[i].allowed[n];
		assert_int_equal(sum, 100);
	}
}

static void many_threads_on_one_key_get_exactly_its_burst(void **state)
{
	(void)state;
	threads_get_exactly_what_is_allowed(1);
}

static void many_threads_on_many_new_keys_get_exactly_the_burst_of_each(void **state)
{
	(void)state;
	threads_get_exactly_what_is_allowed(KEYS);
}

// Two limits with one burst between them: what one refuses is given back to the other, so in the end both have
// been charged the same.
static uint64_t both[THREADS];

static void *pair(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;
	struct limit_table_claims claims;
	uint32_t n = 1;
	struct limit_table_key a = limit_table_key(&t, 1, &n, sizeof(n)),
			       b = limit_table_key(&t, 2, &n, sizeof(n));

	limit_table_claims_init(&claims, &t, self);
	pthread_barrier_wait(&together);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t tat, ignored;

		if (limit_table_charge(&t, &claims, &a, 1000 * SECOND, SECOND, 1000 * SECOND, &tat) !=
		    LIMIT_TABLE_ALLOWED)
			continue;
		if (limit_table_charge(&t, &claims, &b, 1000 * SECOND, SECOND, 500 * SECOND, &ignored) ==
		    LIMIT_TABLE_ALLOWED)
			both[self]++;
		else
			limit_table_return(&t, &a, tat, SECOND);
	}
	return NULL;
}

static void what_one_limit_refuses_is_given_back_to_the_other_by_many_threads(void **state)
{
	pthread_t thread[THREADS];
	struct limit_table_claims claims;
	uint32_t n = 1;
	struct limit_table_key a = limit_table_key(&t, 1, &n, sizeof(n));
	uint64_t sum = 0, tat;

	(void)state;
	memset(both, 0, sizeof(both));
	pthread_barrier_init(&together, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, pair, (void *)i);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		sum += both[i];
	}
	pthread_barrier_destroy(&together);
	assert_int_equal(sum, 500);
	limit_table_claims_init(&claims, &t, 9);
	limit_table_peek(&t, &a, 1000 * SECOND, 1, 2000 * SECOND, &tat);
	assert_int_equal(tat, 1500 * SECOND + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_million_random_requests_fare_as_under_a_plain_gcra),
		TEST(a_live_key_is_never_pushed_out_and_a_new_one_without_a_place_is_told_so),
		TEST(a_faster_rate_frees_a_key_that_a_slow_one_had_used_up),
		TEST(a_cleared_key_is_as_new),
		TEST(memory_of_another_shape_is_not_taken),
		TEST(many_threads_on_one_key_get_exactly_its_burst),
		TEST(many_threads_on_many_new_keys_get_exactly_the_burst_of_each),
		TEST(what_one_limit_refuses_is_given_back_to_the_other_by_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
