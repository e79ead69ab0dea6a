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
	char name[8], key[4];
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

// The status of a request of this client, 0 where it passes; *retry: what Retry-After says, 0: it is not there.
static unsigned status_of(unsigned worker, uint64_t now, uint32_t client, uint64_t *retry)
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
		return 0;
	assert_int_equal(v, VERDICT_REPLY);
	snprintf(fields, sizeof(fields), "%.*s", (int)ctx.fields.n, ctx.fields.p);
	at = strstr(fields, "Retry-After: ");
	assert_non_null(at);
	*retry = strtoull(at + 13, NULL, 10);
	return ctx.status;
}

static bool passes(unsigned worker, uint64_t now, uint32_t client, uint64_t *retry)
{
	unsigned status = status_of(worker, now, client, retry);

	assert_true(status == 0 || status == 429);
	return status == 0;
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

static void a_burst_set_by_hand_below_what_a_request_costs_is_its_cost(void **state)
{
	uint64_t now = 1000 * SECOND, retry, again;

	(void)state;
	lay_down(60, 10, 4, 1u << 20);
	region_limits(region)[SLOT].burst = 2;
	for (unsigned round = 0; round < 20; round++) {
		assert_true(passes(round % WORKERS, now, 7, &retry));
		assert_false(passes(round % WORKERS, now, 7, &retry));
		assert_int_equal(retry, 2);
		assert_false(passes(round % WORKERS, now + SECOND, 7, &again));
		now += retry * SECOND;
	}
	take_away();
}

static uint64_t n_listed;

static void list_one(void *ctx, uint64_t id, uint64_t tat)
{
	(void)ctx;
	(void)tat;
	n_listed += limit_table_slot(id) == SLOT && !(id & LIMIT_TABLE_ASIDE);
}

static uint64_t listed(void)
{
	n_listed = 0;
	for (uint64_t line = 0; (line = limit_table_visit(&table, line, 100, list_one, NULL));)
		;
	return n_listed;
}

// Refusals at random times, from some a minute to none for long: who was refused `strikes` times within
// `strikes_in` is blocked with the last of them, and nobody is before.
static void so_many_refusals_within_the_time_block_and_one_fewer_or_later_does_not(void **state)
{
	static const uint32_t after[] = {1, 2, 3, 10, LIMIT_KEY_STRIKES_EXACT};
	const uint64_t within = 60 * SECOND, block = 300 * SECOND;

	(void)state;
	for (unsigned i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		uint64_t at[LIMIT_KEY_STRIKES_EXACT] = {0}, now = 1000 * SECOND, retry, n = 0, blocks = 0;
		struct random r;

		random_seed(&r, i + 1);
		lay_down(1, 1, 1, 1u << 20);
		t.limit.interval = SNAP_LIMIT_TIME_MAX; // one passes, and no other
		t.limit.block = block;
		t.limit.strikes = after[i];
		t.limit.strikes_in = within;
		assert_int_equal(status_of(0, now, 7, &retry), 0);
		for (unsigned step = 0; step < 3000; step++) {
			uint64_t first;

			now += 1 + random_below(&r, (uint32_t)(2 * within / after[i] / 1000)) * 1000ull;
			assert_int_equal(status_of(step % WORKERS, now, 7, &retry), 429);
			first = n + 1 >= after[i] ? at[(n + 1 - after[i]) % LIMIT_KEY_STRIKES_EXACT] : 0;
			if (after[i] == 1)
				first = now;
			at[n++ % LIMIT_KEY_STRIKES_EXACT] = now;
			if (!first || now - first >= within)
				continue;
			blocks++;
			assert_int_equal(status_of(step % WORKERS, now + 1, 7, &retry), 403);
			assert_int_equal(retry, 300);
			assert_int_equal(status_of(step % WORKERS, now + block - 1, 7, &retry), 403);
			now += block;
			n = 0;
		}
		assert_true(blocks > 10 && counted(LIMIT_BLOCKED) == 2 * blocks);
		assert_int_equal(listed(), 1); // what is kept beside it is no key of its own
		take_away();
	}
}

// As many as may be, of the longest names, the largest rates and the longest periods: whole field lines.
static void a_request_that_all_of_the_most_limits_refuse_is_told_so_of_each(void **state)
{
	enum { MOST = RATELIMIT_CHECKS_MAX };
	static _Alignas(8) struct {
		struct snapshot s;
		struct snap_listener listener;
		struct snap_limit limit[MOST];
		struct snap_limit_part part;
		struct snap_limit_use use[MOST];
		char name[MOST][SNAP_NAME_MAX];
	} many;
	struct http_head head = {0};
	struct stage_ctx ctx = {.snapshot = &many.s,
				.now = 1000 * SECOND,
				.head = &head,
				.client = addr_from_v4(7),
				.conf = many.use + MOST / 2,
				.conf_size = sizeof(many.use) / 2,
				.listener = &many.listener};
	unsigned quotes = 0, lines = 0;

#define AT(member, count) ((struct snap_ref){(uint32_t)((char *)(member) - (char *)&many), count})
	(void)state;
	lay_down(1, 1, 1, 1u << 20);
	ctx.ratelimit = stage[0];
	many.s.size = sizeof(many);
	many.s.limits = AT(many.limit, MOST);
	many.listener.limits = AT(many.use, MOST / 2);
	many.part = (struct snap_limit_part){.kind = LIMIT_PART_CONSTANT};
	for (uint32_t i = 0; i < MOST; i++) {
		memset(many.name[i], 'a' + (int)i, SNAP_NAME_MAX);
		many.use[i] = (struct snap_limit_use){.limit = i, .cost = 1};
		many.limit[i] = (struct snap_limit){.name = AT(many.name[i], SNAP_NAME_MAX),
						    .parts = AT(&many.part, 1),
						    .slot = i + 1,
						    .rate = UINT32_MAX,
						    .period = SNAP_LIMIT_TIME_MAX,
						    .interval = SNAP_LIMIT_TIME_MAX,
						    .burst = 1};
	}
	assert_int_equal(ratelimit_run(0, &ctx), VERDICT_PASS);
	assert_int_equal(ratelimit_run(0, &ctx), VERDICT_REPLY);
	assert_int_equal(ctx.status, 429);
	for (size_t i = 0; i < ctx.fields.n; i++) {
		quotes += ctx.fields.p[i] == '"';
		lines += ctx.fields.p[i] == '\n';
	}
	assert_int_equal(quotes, 4 * MOST);
	assert_int_equal(lines, 3);
	assert_memory_equal(ctx.fields.p + ctx.fields.n - 2, "\r\n", 2);
	assert_non_null(memmem(ctx.fields.p, ctx.fields.n, "Retry-After: ", 13));
	take_away();
}

static unsigned fields_named(const struct http_head *h, struct slice name, struct slice *value)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->n; i++)
		if (!h->field[i].dropped && slice_ieq(h->field[i].name, name)) {
			*value = h->field[i].value;
			n++;
		}
	return n;
}

static void a_client_cannot_say_in_its_own_words_what_a_tag_says(void **state)
{
	struct http_head head;
	struct stage_ctx ctx = {.snapshot = &t.s,
				.now = 1000 * SECOND,
				.head = &head,
				.client = addr_from_v4(7),
				.conf = &t.use,
				.conf_size = sizeof(t.use)};
	struct slice value;

	(void)state;
	lay_down(1, 1, 1, 1u << 20);
	ctx.ratelimit = stage[0];
	t.limit.action = LIMIT_TAG;
	t.limit.header = REF(t.name, 7);   // "a-limit: a-limit"
	for (unsigned i = 0; i < 2; i++) { // within the limit, and beyond it
		head = (struct http_head){0};
		http_add(&head, SLICE("A-Limit"), SLICE("none"));
		assert_int_equal(ratelimit_run(0, &ctx), VERDICT_PASS);
		assert_int_equal(fields_named(&head, SLICE("a-limit"), &value), i);
	}
	assert_true(slice_eq(value, SLICE("a-limit")));
	// Likewise when it has waited for another limit, and is read anew.
	head = (struct http_head){0};
	http_add(&head, SLICE("A-Limit"), SLICE("none"));
	ctx.resumed = true;
	assert_int_equal(ratelimit_run(0, &ctx), VERDICT_PASS);
	assert_int_equal(fields_named(&head, SLICE("a-limit"), &value), 1);
	assert_true(slice_eq(value, SLICE("a-limit")));
	take_away();
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

// Of a request with these two values, where they are none: without.
static bool passes_as(enum snap_limit_part_kind kind, const char *one, const char *other)
{
	struct http_head head = {0};
	struct stage_ctx ctx = {.snapshot = &t.s,
				.now = 1000 * SECOND,
				.head = &head,
				.conf = &t.use,
				.conf_size = sizeof(t.use),
				.ratelimit = stage[0]};
	const char *value[2] = {one, other};
	char text[2][400], query[800];

	for (unsigned i = 0; i < 2 && value[i]; i++) {
		snprintf(text[i], sizeof(text[i]), "a=b; key=%s", value[i]);
		if (kind == LIMIT_PART_HEADER)
			http_add(&head, SLICE("Key"), slice_of(value[i], strlen(value[i])));
		else if (kind == LIMIT_PART_COOKIE)
			http_add(&head, SLICE("Cookie"), slice_of(text[i], strlen(text[i])));
	}
	if (kind == LIMIT_PART_QUERY && one) {
		snprintf(query, sizeof(query), other ? "a=b&key=%s&%%6bey=%s" : "a=b&key=%s", one, other);
		head.query = slice_of(query, strlen(query));
	}
	return ratelimit_run(0, &ctx) == VERDICT_PASS;
}

// Else it would choose its limit anew with each request, by a value that nobody else looks at.
static void a_request_that_names_several_keys_counts_with_those_that_name_none(void **state)
{
	static const enum snap_limit_part_kind kind[] = {LIMIT_PART_HEADER, LIMIT_PART_COOKIE,
							 LIMIT_PART_QUERY};

	(void)state;
	for (unsigned i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
		lay_down(1, 1, 1, 1 << 20);
		memcpy(t.key, "key", 4);
		t.part = (struct snap_limit_part){.kind = kind[i], .name = REF(t.key, 3)};
		assert_true(passes_as(kind[i], NULL, NULL));
		assert_false(passes_as(kind[i], "x", "y"));
		assert_false(passes_as(kind[i], "z", "y"));
		assert_false(passes_as(kind[i], "", "y"));
		assert_true(passes_as(kind[i], "y", NULL));
		assert_true(passes_as(kind[i], "z", "z")); // said twice, but one
		assert_false(passes_as(kind[i], "z", NULL));
		take_away();
	}
}

// RFC 3986 6.2.2: the same value, however it is written, and however long that makes it.
static void a_value_is_one_key_in_all_its_spellings(void **state)
{
	char plain[101], escaped[301], half[301];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		plain[i] = (char)('a' + i % 26);
		snprintf(escaped + 3 * i, 4, "%%%02x", (unsigned char)plain[i]);
	}
	plain[100] = '\0';
	snprintf(half, sizeof(half), "%c%s", plain[0], escaped + 3);
	lay_down(1, 1, 1, 1 << 20);
	memcpy(t.key, "key", 4);
	t.part = (struct snap_limit_part){.kind = LIMIT_PART_QUERY, .name = REF(t.key, 3)};
	assert_true(passes_as(LIMIT_PART_QUERY, plain, NULL));
	assert_false(passes_as(LIMIT_PART_QUERY, escaped, NULL));
	assert_false(passes_as(LIMIT_PART_QUERY, half, NULL));
	take_away();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			ten_times_the_rate_from_64_connections_over_every_worker_for_three_minutes_gets_what_gcra_allows),
		cmocka_unit_test(
			who_waits_as_long_as_retry_after_says_is_never_refused_and_no_second_less_would_do),
		cmocka_unit_test(a_burst_set_by_hand_below_what_a_request_costs_is_its_cost),
		cmocka_unit_test(so_many_refusals_within_the_time_block_and_one_fewer_or_later_does_not),
		cmocka_unit_test(a_request_that_all_of_the_most_limits_refuse_is_told_so_of_each),
		cmocka_unit_test(a_client_cannot_say_in_its_own_words_what_a_tag_says),
		cmocka_unit_test(new_keys_that_find_no_place_are_refused_where_the_limit_says_so_and_counted),
		cmocka_unit_test(or_pass_where_it_says_that_and_those_with_a_place_are_refused_all_the_same),
		cmocka_unit_test(a_request_that_names_several_keys_counts_with_those_that_name_none),
		cmocka_unit_test(a_value_is_one_key_in_all_its_spellings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
