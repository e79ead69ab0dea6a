#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "port/pkt.h"
#include <rte_errno.h>
#include <stdlib.h>

#define MEMORY (2u << 20)

static struct pkt_pool *pool;

static int pool_open(void **state)
{
	(void)state;
	pool = pkt_pool_create("test", MEMORY, -1);
	return pool ? 0 : -1;
}

// Every test gives back what it took.
static int pool_close(void **state)
{
	(void)state;
	int used = (int)pkt_pool_used(pool);

	pkt_pool_free(pool);
	return used;
}

static struct pkt *fresh(void)
{
	struct pkt *p = pkt_alloc(pool);

	if (!p)
		abort();
	return p;
}

static struct pkt *filled(char c, uint32_t n)
{
	struct pkt *p = fresh();

	memset(pkt_append(p, n), c, n);
	return p;
}

static void the_pool_holds_at_least_the_memory_asked_for(void **state)
{
	(void)state;
	struct pkt *p = fresh();

	assert_true((uint64_t)pkt_pool_size(pool) * pkt_truesize(p) >= MEMORY);
	assert_int_equal(pkt_pool_used(pool), 1);
	pkt_free(p);
	assert_int_equal(pkt_pool_used(pool), 0);
	assert_null(pkt_pool_create("none", 0, -1));
	assert_int_equal(rte_errno, EINVAL);
}

static void buffers_known_to_be_lost_are_not_counted(void **state)
{
	(void)state;
	struct pkt *p = fresh();

	pkt_pool_forget(pool, 1);
	assert_int_equal(pkt_pool_used(pool), 0);
	(void)p;
}

static void an_empty_pool_gives_null_and_recovers(void **state)
{
	(void)state;
	struct pkt *first = NULL, *p;
	uint32_t n = 0;

	while ((p = pkt_alloc(pool))) {
		*(struct pkt **)pkt_priv(p) = first;
		first = p;
		n++;
	}
	assert_int_equal(n, pkt_pool_size(pool));
	assert_int_equal(pkt_pool_used(pool), n);
	for (; first; first = p) {
		p = *(struct pkt **)pkt_priv(first);
		pkt_free(first);
	}
	assert_int_equal(pkt_pool_used(pool), 0);
}

static void a_fresh_buffer_has_its_headroom_and_room(void **state)
{
	(void)state;
	struct pkt *p = fresh();

	assert_int_equal(pkt_len(p), 0);
	assert_int_equal(pkt_headroom(p), PKT_HEADROOM);
	assert_int_equal(pkt_tailroom(p), PKT_ROOM);
	assert_true(pkt_exclusive(p));
	memset(pkt_priv(p), 1, PKT_PRIV);
	memset(pkt_append(p, PKT_ROOM), 'd', PKT_ROOM);
	memset(pkt_prepend(p, PKT_HEADROOM), 'h', PKT_HEADROOM);
	pkt_adj(p, 1);
	pkt_trim(p, 2);
	assert_int_equal(pkt_len(p), PKT_HEADROOM + PKT_ROOM - 3);
	assert_int_equal(pkt_data(p)[0], 'h');
	pkt_free(p);
}

static void a_reference_keeps_the_buffer(void **state)
{
	(void)state;
	struct pkt *p = filled('x', 10);

	pkt_ref(p);
	assert_false(pkt_exclusive(p));
	pkt_free(p);
	assert_int_equal(pkt_pool_used(pool), 1);
	assert_true(pkt_exclusive(p));
	assert_int_equal(pkt_data(p)[9], 'x');
	pkt_free(p);
}

static void chains_are_joined_and_taken_apart(void **state)
{
	(void)state;
	struct pkt *a = filled('a', 10), *rest;

	pkt_set_port(a, 3);
	pkt_chain(a, filled('b', 20));
	struct pkt *tail = filled('c', 30);
	pkt_chain(tail, filled('d', 40));
	pkt_chain(a, tail);
	assert_int_equal(pkt_chain_len(a), 100);
	assert_int_equal(pkt_len(a), 10);
	assert_int_equal(pkt_mbuf(a)->nb_segs, 4);

	rest = pkt_unchain(a);
	if (!rest)
		abort();
	assert_int_equal(pkt_chain_len(a), 10);
	assert_null(pkt_next(a));
	pkt_free(a);
	assert_int_equal(pkt_chain_len(rest), 90);
	assert_int_equal(pkt_port(rest), 3);
	assert_int_equal(pkt_mbuf(rest)->nb_segs, 3);
	a = rest;
	rest = pkt_unchain(a);
	if (!rest)
		abort();
	pkt_free(a);
	assert_int_equal(pkt_data(rest)[0], 'c');
	pkt_free_chain(rest);
	pkt_free_chain(NULL);
}

static void a_copy_is_one_buffer_with_every_byte(void **state)
{
	(void)state;
	struct pkt *a = filled('a', 1000), *copy;

	pkt_chain(a, filled('b', 1048));
	pkt_set_port(a, 2);
	copy = pkt_copy(a, pool);
	if (!copy)
		abort();
	assert_null(pkt_next(copy));
	assert_int_equal(pkt_len(copy), 2048);
	assert_int_equal(pkt_chain_len(copy), 2048);
	assert_int_equal(pkt_port(copy), 2);
	assert_int_equal(pkt_data(copy)[999], 'a');
	assert_int_equal(pkt_data(copy)[1000], 'b');
	pkt_free(copy);
	pkt_chain(a, filled('c', 1));
	assert_null(pkt_copy(a, pool)); // one byte too many
	pkt_free_chain(a);
}

// What a driver has put up for receiving and keeps is told from what somebody has lost.
static void only_buffers_that_hold_nothing_are_forgotten_as_a_drivers(void **state)
{
	(void)state;
	struct pkt *used[3], *lost = filled('a', 10), *came = fresh(), *before = filled('b', 20);
	uint32_t size = pkt_pool_size(pool);

	pkt_set_port(came, 1);
	for (unsigned i = 0; i < 3; i++)
		used[i] = fresh();
	pkt_free(before); // what a free one held last does not matter
	assert_int_equal(pkt_pool_forget_blank(pool, 2), 2);
	assert_int_equal(pkt_pool_used(pool), 3);
	assert_int_equal(pkt_pool_forget_blank(pool, size), 1);
	assert_int_equal(pkt_pool_forget_blank(pool, size), 0);
	assert_int_equal(pkt_pool_used(pool), 2); // lost and came
	assert_memory_equal(pkt_data(lost), "aaaaaaaaaa", 10);
	pkt_free(lost);
	pkt_free(came);
	assert_int_equal(pkt_pool_used(pool), 0);
	while (pkt_alloc(pool))
		size--;
	assert_int_equal(size, 3); // none of the free ones was lost over it
	(void)used;
	pkt_pool_forget(pool, pkt_pool_used(pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_pool_holds_at_least_the_memory_asked_for, pool_open,
						pool_close),
		cmocka_unit_test_setup_teardown(buffers_known_to_be_lost_are_not_counted, pool_open,
						pool_close),
		cmocka_unit_test_setup_teardown(only_buffers_that_hold_nothing_are_forgotten_as_a_drivers,
						pool_open, pool_close),
		cmocka_unit_test_setup_teardown(an_empty_pool_gives_null_and_recovers, pool_open, pool_close),
		cmocka_unit_test_setup_teardown(a_fresh_buffer_has_its_headroom_and_room, pool_open,
						pool_close),
		cmocka_unit_test_setup_teardown(a_reference_keeps_the_buffer, pool_open, pool_close),
		cmocka_unit_test_setup_teardown(chains_are_joined_and_taken_apart, pool_open, pool_close),
		cmocka_unit_test_setup_teardown(a_copy_is_one_buffer_with_every_byte, pool_open, pool_close),
	};
	if (!pkt_start(64))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rte_eal_cleanup();
	return failed;
}
