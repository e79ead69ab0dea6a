#include "tests/unit/tcp/bed.h"

#define N 30000

static struct flow_table make(struct arena *a, uint32_t entries)
{
	struct flow_table f;

	assert_int_equal(arena_init(a, flow_memory(entries) + 4096), 0);
	assert_int_equal(flow_init(&f, a, entries, (struct hash_key){7, 8}), 0);
	return f;
}

static uint64_t hash_of(const struct flow_table *f, uint32_t i)
{
	return flow_hash(f, addr_from_v4(1), addr_from_v4(htonl(i >> 8)), 80, (uint16_t)(i & 255));
}

static bool present(const struct flow_table *f, uint64_t hash, uint32_t index)
{
	uint16_t tag = flow_tag(hash);
	uint32_t n = flow_first(f, hash);

	for (int turn = 0; turn < 2; turn++, n = flow_other(f, n, tag))
		for (unsigned bits = flow_match(&f->bucket[n], tag); bits; bits &= bits - 1)
			if (f->bucket[n].index[__builtin_ctz(bits)] == index)
				return true;
	return false;
}

static void a_bucket_is_one_cache_line(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct flow_bucket), 64);
}

static void the_other_bucket_leads_back_to_the_first(void **state)
{
	struct arena a;
	struct flow_table f = make(&a, N);

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		uint64_t h = hash_of(&f, i);
		uint32_t first = flow_first(&f, h), other = flow_other(&f, first, flow_tag(h));
		assert_int_not_equal(first, other);
		assert_int_equal(flow_other(&f, other, flow_tag(h)), first);
	}
	arena_fini(&a);
}

static void all_that_it_was_sized_for_fits_and_is_found(void **state)
{
	struct arena a;
	struct flow_table f = make(&a, N);

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		assert_true(flow_insert(&f, hash_of(&f, i), i));
	for (uint32_t i = 0; i < N; i++)
		assert_true(present(&f, hash_of(&f, i), i));
	assert_int_equal(f.used, N);
	for (uint32_t i = 0; i < N; i += 2)
		flow_remove(&f, hash_of(&f, i), i);
	for (uint32_t i = 0; i < N; i++)
		assert_true(present(&f, hash_of(&f, i), i) == (i % 2 == 1));
	assert_int_equal(f.used, N / 2);
	arena_fini(&a);
}

static void a_flow_that_is_replaced_is_found_as_what_took_its_place(void **state)
{
	struct arena a;
	struct flow_table f = make(&a, 2 * N);

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		assert_true(flow_insert(&f, hash_of(&f, i), i));
	for (uint32_t i = 0; i < N; i += 2) {
		uint32_t changes = f.changes;

		flow_replace(&f, hash_of(&f, i), i, N + i);
		assert_int_not_equal(f.changes, changes); // what was found before is none any more
	}
	for (uint32_t i = 0; i < N; i++) {
		assert_true(present(&f, hash_of(&f, i), i) == (i % 2 == 1));
		assert_true(present(&f, hash_of(&f, i), N + i) == (i % 2 == 0));
	}
	assert_int_equal(f.used, N);
	arena_fini(&a);
}

static void entries_move_rather_than_refuse_a_new_one(void **state)
{
	struct arena a;
	struct flow_table f = make(&a, 600); // 128 buckets, 1280 ways
	uint32_t n = 0;

	(void)state;
	while (flow_insert(&f, hash_of(&f, n), n))
		n++;
	assert_in_range(n, 1280 * 9 / 10, 1280);
	for (uint32_t i = 0; i < n; i++)
		assert_true(present(&f, hash_of(&f, i), i));
	assert_false(present(&f, hash_of(&f, n), n));
	arena_fini(&a);
}

static void another_key_puts_flows_elsewhere(void **state)
{
	struct flow_table f = {.mask = 1023, .key = {1, 2}}, g = {.mask = 1023, .key = {1, 3}};
	unsigned same = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		same += flow_first(&f, hash_of(&f, i)) == flow_first(&g, hash_of(&g, i));
	assert_in_range(same, 0, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_is_one_cache_line),
		cmocka_unit_test(the_other_bucket_leads_back_to_the_first),
		cmocka_unit_test(all_that_it_was_sized_for_fits_and_is_found),
		cmocka_unit_test(a_flow_that_is_replaced_is_found_as_what_took_its_place),
		cmocka_unit_test(entries_move_rather_than_refuse_a_new_one),
		cmocka_unit_test(another_key_puts_flows_elsewhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
