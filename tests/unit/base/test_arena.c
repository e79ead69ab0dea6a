#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/random.h"
#include <cmocka.h>
#include <errno.h>

static void memory_is_zeroed_and_aligned(void **state)
{
	struct arena a;

	(void)state;
	assert_int_equal(arena_init(&a, 100000), 0);
	assert_true(a.size >= 100000);
	for (size_t align = 1; align <= 4096; align *= 2) {
		char *p = arena_alloc(&a, 7, align);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % align, 0);
		for (int i = 0; i < 7; i++)
			assert_int_equal(p[i], 0);
	}
	arena_fini(&a);
	assert_null(a.base);
}

static void a_used_up_arena_gives_null_and_keeps_what_it_has(void **state)
{
	struct arena a;

	(void)state;
	assert_int_equal(arena_init(&a, 4096), 0);
	size_t size = a.size;
	assert_non_null(arena_alloc(&a, size - 8, 8));
	assert_null(arena_alloc(&a, 16, 8));
	assert_null(arena_alloc(&a, SIZE_MAX, 8));
	assert_non_null(arena_alloc(&a, 8, 8));
	assert_null(arena_alloc(&a, 1, 1));
	arena_fini(&a);
}

static void a_table_stands_at_the_beginning_of_a_large_page(void **state)
{
	const size_t n = 2 * ARENA_LARGE_PAGE;
	struct arena a;
	char *table;

	(void)state;
	assert_int_equal(arena_init(&a, 4096 + arena_table_memory(n)), 0);
	assert_non_null(arena_alloc(&a, 100, 1));
	table = arena_alloc_table(&a, n);
	assert_non_null(table);
	assert_int_equal((uintptr_t)table % ARENA_LARGE_PAGE, 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(table[i], 0);
	assert_null(arena_alloc_table(&a, n));
	assert_non_null(arena_alloc_table(&a, 64)); // a small one needs none
	arena_fini(&a);
}

static void impossible_sizes_are_refused(void **state)
{
	struct arena a;

	(void)state;
	assert_int_equal(arena_init(&a, 0), -EINVAL);
	assert_int_equal(arena_init(&a, SIZE_MAX), -EINVAL);
	arena_fini(&a);
}

static void random_numbers_repeat_with_the_seed_and_keep_their_bound(void **state)
{
	struct random a, b, c;
	unsigned differ = 0, seen = 0;

	(void)state;
	random_seed(&a, 0);
	random_seed(&b, 0);
	random_seed(&c, 1);
	for (int i = 0; i < 1000; i++) {
		uint64_t x = random_next(&a);
		assert_int_equal(x, random_next(&b));
		differ += x != random_next(&c);
		uint32_t n = random_below(&a, 10);
		assert_in_range(n, 0, 9);
		seen |= 1u << n;
		assert_int_equal(n, random_below(&b, 10));
	}
	assert_int_equal(differ, 1000);
	assert_int_equal(seen, 0x3ff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_and_aligned),
		cmocka_unit_test(a_used_up_arena_gives_null_and_keeps_what_it_has),
		cmocka_unit_test(a_table_stands_at_the_beginning_of_a_large_page),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test(random_numbers_repeat_with_the_seed_and_keep_their_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
