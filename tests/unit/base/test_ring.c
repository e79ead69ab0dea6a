#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/ring.h"
#include <pthread.h>
#include <sched.h>

#define SIZE 4096u

static struct rec_ring *ring_new(void)
{
	size_t n = (sizeof(struct rec_ring) + SIZE + 63) & ~(size_t)63;
	struct rec_ring *r = aligned_alloc(64, n);

	assert_non_null(r);
	memset(r, 0, n);
	rec_ring_create(r, SIZE);
	return r;
}

static void pointers_come_out_in_order_and_a_full_ring_takes_no_more(void **state)
{
	(void)state;
	struct arena a;
	struct ptr_ring r;
	int x[8];
	void *in[8], *out[8];

	assert_int_equal(arena_init(&a, 65536), 0);
	assert_int_equal(ptr_ring_init(&r, &a, 4), 0);
	for (int i = 0; i < 8; i++)
		in[i] = &x[i];
	for (int round = 0; round < 5; round++) {
		assert_true(ptr_ring_empty(&r));
		assert_int_equal(ptr_ring_push(&r, in, 3), 3);
		assert_int_equal(ptr_ring_push(&r, in + 3, 5), 1);
		assert_int_equal(ptr_ring_push(&r, in, 1), 0);
		assert_int_equal(ptr_ring_pop(&r, out, 8), 4);
		for (int i = 0; i < 4; i++)
			assert_ptr_equal(out[i], &x[i]);
		assert_int_equal(ptr_ring_pop(&r, out, 8), 0);
	}
	arena_fini(&a);
}

struct crossing {
	struct ptr_ring ptr;
	struct rec_ring *rec;
	uintptr_t count;
};

static void *produce(void *arg)
{
	struct crossing *c = arg;
	unsigned char rec[REC_MAX];

	for (uintptr_t i = 1; i <= c->count;) {
		void *v[3] = {(void *)i, (void *)(i + 1), (void *)(i + 2)};
		unsigned took = ptr_ring_push(&c->ptr, v, 3);

		i += took;
		if (took == 0)
			sched_yield();
	}
	for (uint32_t i = 1; i <= c->count;) {
		uint32_t n = 4 + i * 31 % 600;

		memset(rec, (int)(i & 0xff), n);
		memcpy(rec, &i, 4);
		if (rec_ring_put(c->rec, SIZE, (uint16_t)i, rec, n))
			i++;
		else
			sched_yield();
	}
	return NULL;
}

static void two_threads_see_every_item_once_and_in_order(void **state)
{
	(void)state;
	struct crossing c = {.rec = ring_new(), .count = 100000};
	struct arena a;
	pthread_t t;
	unsigned char buf[REC_MAX];
	uint16_t type;

	assert_int_equal(arena_init(&a, 65536), 0);
	assert_int_equal(ptr_ring_init(&c.ptr, &a, 64), 0);
	assert_int_equal(pthread_create(&t, NULL, produce, &c), 0);
	for (uintptr_t want = 1; want <= c.count;) {
		void *v[7];
		unsigned n = ptr_ring_pop(&c.ptr, v, 7);

		for (unsigned i = 0; i < n; i++, want++)
			if (v[i] != (void *)want)
				fail_msg("out of order at %lu", (unsigned long)want);
		if (n == 0)
			sched_yield();
	}
	// The pushes of three overrun the count by up to two.
	for (uint32_t want = 1; want <= c.count;) {
		int n = rec_ring_get(c.rec, SIZE, &type, buf);
		uint32_t got;

		if (n == 0) {
			sched_yield();
			continue;
		}
		memcpy(&got, buf, 4);
		if (n != (int)(4 + want * 31 % 600) || got != want || type != (uint16_t)want)
			fail_msg("record %u damaged", want);
		for (int i = 4; i < n; i++)
			if (buf[i] != (want & 0xff))
				fail_msg("record %u damaged at %d", want, i);
		want++;
	}
	pthread_join(t, NULL);
	free(c.rec);
	arena_fini(&a);
}

static void a_record_without_room_is_counted_as_lost(void **state)
{
	(void)state;
	struct rec_ring *r = ring_new();
	unsigned char rec[REC_MAX + 1] = {7}, buf[REC_MAX];
	uint16_t type;

	assert_false(rec_ring_put(r, SIZE, 1, rec, REC_MAX + 1));
	assert_false(rec_ring_put(r, SIZE, 1, rec, 0));
	assert_int_equal(r->lost, 2);
	assert_true(rec_ring_put(r, SIZE, 1, rec, 2040));
	assert_true(rec_ring_put(r, SIZE, 2, rec, 2040));
	assert_false(rec_ring_put(r, SIZE, 3, rec, 1));
	assert_int_equal(r->lost, 3);
	assert_int_equal(rec_ring_get(r, SIZE, &type, buf), 2040);
	assert_int_equal(type, 1);
	assert_true(rec_ring_put(r, SIZE, 4, rec, 1));
	assert_int_equal(rec_ring_get(r, SIZE, &type, buf), 2040);
	assert_int_equal(rec_ring_get(r, SIZE, &type, buf), 1);
	assert_int_equal(type, 4);
	assert_int_equal(rec_ring_get(r, SIZE, &type, buf), 0);
	free(r);
}

static void damaged_indices_read_as_corrupt_once_and_the_ring_works_again(void **state)
{
	(void)state;
	const uint64_t damage[] = {1,    7,          8,          4096,       4097,
				   4104, UINT32_MAX, UINT64_MAX, 1ull << 63, 0x123456789abcull};
	unsigned char buf[REC_MAX];
	uint16_t type;

	for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++)
		for (int which = 0; which < 2; which++) {
			struct rec_ring *r = ring_new();
			int got, rounds = 0;

			assert_true(rec_ring_put(r, SIZE, 1, "abc", 3));
			if (which)
				atomic_store(&r->head, damage[i]);
			else
				atomic_store(&r->tail, damage[i]);
			// Whatever the damage: no byte outside is touched, and it ends in an empty ring.
			(void)rec_ring_put(r, SIZE, 2, "def", 3);
			do
				got = rec_ring_get(r, SIZE, &type, buf);
			while (got != 0 && ++rounds < 1000);
			assert_int_equal(got, 0);
			assert_true(rec_ring_put(r, SIZE, 3, "ghij", 4));
			assert_int_equal(rec_ring_get(r, SIZE, &type, buf), 4);
			assert_memory_equal(buf, "ghij", 4);
			assert_int_equal(type, 3);
			free(r);
		}
}

static void damaged_records_reset_the_ring(void **state)
{
	(void)state;
	const uint32_t length[] = {0, 4, 16, REC_MAX + 1, SIZE, UINT32_MAX, UINT32_MAX - 7};
	unsigned char buf[REC_MAX];
	uint16_t type;

	for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
		struct rec_ring *r = ring_new();

		assert_true(rec_ring_put(r, SIZE, 1, "abc", 3));
		memcpy(r->data, &length[i], 4);
		// 4 bytes pass: the record is as long in the ring.
		assert_int_equal(rec_ring_get(r, SIZE, &type, buf), length[i] == 4 ? 4 : -1);
		assert_int_equal(rec_ring_get(r, SIZE, &type, buf), 0);
		assert_true(rec_ring_put(r, SIZE, 9, "xy", 2));
		assert_int_equal(rec_ring_get(r, SIZE, &type, buf), 2);
		free(r);
	}
}

static void the_epoch_rises_with_each_creation(void **state)
{
	(void)state;
	struct rec_ring *r = ring_new();
	uint32_t epoch = r->epoch;

	rec_ring_create(r, SIZE);
	assert_int_equal(r->epoch, epoch + 1);
	assert_int_equal(r->size, SIZE);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pointers_come_out_in_order_and_a_full_ring_takes_no_more),
		cmocka_unit_test(two_threads_see_every_item_once_and_in_order),
		cmocka_unit_test(a_record_without_room_is_counted_as_lost),
		cmocka_unit_test(damaged_indices_read_as_corrupt_once_and_the_ring_works_again),
		cmocka_unit_test(damaged_records_reset_the_ring),
		cmocka_unit_test(the_epoch_rises_with_each_creation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
