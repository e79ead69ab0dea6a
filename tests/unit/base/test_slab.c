#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slab.h"
#include <cmocka.h>
#include <errno.h>
#include <string.h>

static void objects_are_distinct_aligned_and_limited(void **state)
{
	struct arena a;
	struct slab s;
	char *obj[10];

	(void)state;
	assert_int_equal(arena_init(&a, 65536), 0);
	assert_int_equal(slab_init(&s, &a, 10, 100, 64), 0);
	assert_int_equal(s.size, 128);
	for (uint32_t i = 0; i < 10; i++) {
		obj[i] = slab_get(&s);
		assert_non_null(obj[i]);
		assert_int_equal((uintptr_t)obj[i] % 64, 0);
		memset(obj[i], (int)i, 100);
		assert_ptr_equal(slab_at(&s, slab_index(&s, obj[i])), obj[i]);
	}
	assert_null(slab_get(&s));
	assert_int_equal(s.none_left, 1);
	assert_int_equal(s.used, 10);
	for (int i = 0; i < 10; i++)
		for (int j = 0; j < 100; j++)
			assert_int_equal(obj[i][j], i);
	arena_fini(&a);
}

static void what_was_put_back_is_handed_out_again(void **state)
{
	struct arena a;
	struct slab s;

	(void)state;
	assert_int_equal(arena_init(&a, 65536), 0);
	assert_int_equal(slab_init(&s, &a, 3, 24, 8), 0);
	void *x = slab_get(&s), *y = slab_get(&s);
	slab_put(&s, x);
	assert_int_equal(s.used, 1);
	void *z = slab_get(&s);
	assert_ptr_equal(z, x);
	slab_put(&s, y);
	slab_put(&s, z);
	assert_int_equal(s.used, 0);
	assert_int_equal(s.high, 2);
	void *p = slab_get(&s), *q = slab_get(&s), *r = slab_get(&s);
	assert_true(p && q && r && p != q && q != r && p != r);
	assert_null(slab_get(&s));
	assert_int_equal(s.high, 3);
	arena_fini(&a);
}

static void no_room_in_the_arena_is_an_error(void **state)
{
	struct arena a;
	struct slab s;

	(void)state;
	assert_int_equal(arena_init(&a, 4096), 0);
	assert_int_equal(slab_init(&s, &a, UINT32_MAX, UINT32_MAX - 64, 64), -ENOMEM);
	assert_int_equal(slab_init(&s, &a, 1, UINT32_MAX, 64), -ENOMEM);
	arena_fini(&a);
}

static void content_survives_while_free_but_for_the_first_bytes(void **state)
{
	struct arena a;
	struct slab s;

	(void)state;
	assert_int_equal(arena_init(&a, 4096), 0);
	assert_int_equal(slab_init(&s, &a, 2, 32, 8), 0);
	char *x = slab_get(&s);
	memset(x, 7, 32);
	slab_put(&s, x);
	x = slab_get(&s);
	for (int i = 8; i < 32; i++)
		assert_int_equal(x[i], 7);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_distinct_aligned_and_limited),
		cmocka_unit_test(what_was_put_back_is_handed_out_again),
		cmocka_unit_test(no_room_in_the_arena_is_an_error),
		cmocka_unit_test(content_survives_while_free_but_for_the_first_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
