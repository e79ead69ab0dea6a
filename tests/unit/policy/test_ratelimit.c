// The rate limit stage under virtual time: several workers' stages over one table, as requests meet them.
#include "base/random.h"
#include "contract/limit_key.h"
#include "policy/ratelimit/ratelimit.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND      1000000000ull
#define WORKERS     4
#define CONNECTIONS 64
#define SLOT        9

static _Alignas(8) struct {
	struct snapshot s;
	struct snap_limit limit;
	struct snap_limit_part part;
	struct snap_limit_use use;
	char name[8];
} t;
static struct region *region;
static void *memory;
static struct limit_table table;
static struct arena arena;
static struct ratelimit *stage[WORKERS];

#define REF(member, count) ((struct snap_ref){(uint32_t)((char *)(member) - (char *)&t), count})

static void lay_down(uint32_t rate, uint64_t burst, uint32_t cost, size_t bytes)
{
	char why[100];

	memset(&t, 0, sizeof(t));
	memcpy(t.name, "a-limit", 8);
	t.s.size = sizeof(t);
	t.s.limits = REF(&t.limit, 1);
	t.limit = (struct snap_limit){.name = REF(t.name, 7),
				      .parts = REF(&t.part, 1),
				      .slot = SLOT,
				      .rate = rate,
				      .period = 60 * SECOND,
				      .interval = (60 * SECOND + rate - 1) / rate,
				      .burst = burst};
	t.part = (struct snap_limit_part){.kind = LIMIT_PART_CLIENT_IP, .prefix4 = 32, .prefix6 = 64};
	t.use.cost = cost;
	region = aligned_alloc(4096, region_size(WORKERS));
	memset(region, 0, region_size(WORKERS));
	region_create(region, WORKERS);
	memory = aligned_alloc(4096, bytes);
	memset(memory, 0, bytes);
	limit_table_create(memory, bytes, (struct hash_key){5, 6});
	assert_true(limit_table_attach(&table, memory, bytes, 1, why, sizeof(why)));
	assert_int_equal(arena_init(&arena, WORKERS * ratelimit_memory() + 4096), 0);
	for (unsigned w = 0; w < WORKERS; w++)
		stage[w] = ratelimit_create(
			&arena, &(struct ratelimit_config){.worker = w, .region = region, .table = &table});
}

static void take_away(void)
{
	arena_fini(&arena);
	free(memory);
	free(region);
}

// The stage's verdict on a request of this client; *retry: what Retry-After says, 0: it is not there.
static bool passes(unsigned worker, uint64_t now, uint32_t client, uint64_t *retry)
{
	struct http_head head = {0};
	struct stage_ctx ctx = {.snapshot = &t.s,
				.now = now,
				.head = &head,
				.client = addr_from_v4(client),
				.conf = &t.use,
				.conf_size = sizeof(t.use),
				.ratelimit = stage[worker]};
	enum verdict v = ratelimit_run(0, &ctx);
	char fields[512];
	const char *at;

	*retry = 0;
	if (v == VERDICT_PASS)
		return true;
	assert_int_equal(v, VERDICT_REPLY);
	assert_int_equal(ctx.status, 429);
	snprintf(fields, sizeof(fields), "%.*s", (int)ctx.fields.n, ctx.fields.p);
	at = strstr(fields, "Retry-After: ");
	assert_non_null(at);
	*retry = strtoull(at + 13, NULL, 10);
	return false;
}

static uint64_t counted(enum limit_decision d)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < WORKERS; w++)
		n += stat_get(&region_limit_stats(region, w)[SLOT].n[d]);
	return n;
}

struct plain { // GCRA, written down a second time
	uint64_t tat;
};

static bool plain_passes(struct plain *p, uint64_t now, uint64_t *retry)
{
	uint64_t cost = t.use.cost * t.limit.interval, tolerance = t.limit.burst * t.limit.interval;
	uint64_t from = p->tat > now ? p->tat : now;

	if (from + cost <= now + tolerance) {
		p->tat = from + cost;
		return true;
	}
	*retry = (from + cost - now - tolerance + SECOND - 1) / SECOND;
	return false;
}

static void
ten_times_the_rate_from_64_connections_over_every_worker_for_three_minutes_gets_what_gcra_allows(void **state)
{
	uint64_t first = 1000 * SECOND, last = 0, retry, right = 0, passed = 0, asked = 0;
	struct plain plain = {0};
	struct random r;

	(void)state;
	random_seed(&r, 3);
	lay_down(100, 100, 1, 1u << 20);
	for (uint64_t now = first; now < first + 180 * SECOND; now += 1 + random_below(&r, 120000000)) {
		unsigned connection = random_below(&r, CONNECTIONS);
		bool pass = passes(connection % WORKERS, now, 0xc6120002, &retry);

		assert_int_equal(pass, plain_passes(&plain, now, &right));
		if (!pass)
			assert_int_equal(retry, right);
		passed += pass;
		asked++;
		last = now; // and the next 60 ms later on average
	}
	assert_true(asked > 2900 && asked < 3100);
	// 100 at once, and one each 600 ms.
	assert_int_equal(passed, 100 + (last - first) / t.limit.interval);
	assert_int_equal(counted(LIMIT_PASSED), passed);
	assert_int_equal(counted(LIMIT_REFUSED), asked - passed);
	take_away();
}

static void who_waits_as_long_as_retry_after_says_is_never_refused_and_no_second_less_would_do(void **state)
{
	static const struct {
		uint32_t rate, cost;
		uint64_t burst;
	} of[] = {{100, 1, 100}, {100, 7, 20}, {7, 1, 3}, {7, 3, 3}, {1, 2, 4}};

	(void)state;
	for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		uint64_t now = 1000 * SECOND, retry, again;
		struct random r;

		random_seed(&r, i + 1);
		lay_down(of[i].rate, of[i].burst, of[i].cost, 1u << 20);
		for (unsigned round = 0; round < 500; round++) {
			while (passes(random_below(&r, WORKERS), now, 7, &retry))
				now += random_below(&r, 300000000);
			assert_true(retry >= 1);
			if (retry > 1)
				assert_false(passes(random_below(&r, WORKERS), now + (retry - 1) * SECOND, 7,
						    &again));
			now += retry * SECOND;
			assert_true(passes(random_below(&r, WORKERS), now, 7, &again));
		}
		take_away();
	}
}

// More clients than the table has cells, each beyond its limit.
static void with_a_full_table(bool full_passes)
{
	uint64_t now = 1000 * SECOND, retry, stored = 0, without = 0;
	static bool has[2000];

	lay_down(1, 1, 1, LIMIT_TABLE_MIN);
	t.limit.full_passes = full_passes;
	for (uint32_t i = 0; i < 2000; i++) {
		uint64_t before = counted(LIMIT_NO_PLACE);
		bool pass = passes(i % WORKERS, now, i, &retry);

		has[i] = counted(LIMIT_NO_PLACE) == before;
		stored += has[i];
		without += !has[i];
		assert_int_equal(pass, has[i] || full_passes);
	}
	assert_true(stored > 200 && stored <= limit_table_cells(&table));
	assert_int_equal(counted(LIMIT_NO_PLACE), without);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(passes(i % WORKERS, now + 1, i, &retry), !has[i] && full_passes);
	take_away();
}

static void new_keys_that_find_no_place_are_refused_where_the_limit_says_so_and_counted(void **state)
{
	(void)state;
	with_a_full_table(false);
}

static void or_pass_where_it_says_that_and_those_with_a_place_are_refused_all_the_same(void **state)
{
	(void)state;
	with_a_full_table(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			ten_times_the_rate_from_64_connections_over_every_worker_for_three_minutes_gets_what_gcra_allows),
		cmocka_unit_test(
			who_waits_as_long_as_retry_after_says_is_never_refused_and_no_second_less_would_do),
		cmocka_unit_test(new_keys_that_find_no_place_are_refused_where_the_limit_says_so_and_counted),
		cmocka_unit_test(or_pass_where_it_says_that_and_those_with_a_place_are_refused_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
