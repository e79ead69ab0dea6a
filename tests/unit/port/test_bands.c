#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frame.h"
#include "port/bands.h"

static struct pkt_pool *pool;
static struct bands *q;

static int begin(void **state)
{
	(void)state;
	pool = pkt_pool_create("bands", 16u << 20, -1);
	q = calloc(1, sizeof(*q));
	if (!pool || !q)
		return -1;
	q->max_syn = 100;
	return 0;
}

static int end(void **state)
{
	int used;

	(void)state;
	bands_clear(q);
	used = (int)pkt_pool_used(pool);
	free(q);
	pkt_pool_free(pool);
	return used;
}

// n frames with these flags come in; their numbers go on from first.
static unsigned come(uint8_t flags, unsigned n, unsigned first, bool sort)
{
	struct pkt *v[BANDS_REST];
	uint32_t len = frame4(flags, 0, 0);

	for (unsigned i = 0; i < n; i++) {
		unsigned number = first + i;

		v[i] = pkt_alloc(pool);
		if (!v[i])
			abort();
		memcpy(pkt_append(v[i], len), frame, len);
		memcpy(pkt_priv(v[i]), &number, sizeof(number));
	}
	return bands_put(q, v, n, sort);
}

// A burst of at most n is taken: so many SYNs, so many others, and the number of the first of each.
struct taken {
	unsigned syns, others, syn, other;
};
static struct taken take(unsigned n)
{
	struct pkt *v[64];
	struct taken t = {0};

	n = bands_take(q, v, n);
	for (unsigned i = 0; i < n; i++) {
		unsigned number;

		memcpy(&number, pkt_priv(v[i]), sizeof(number));
		if (frame_is_syn(pkt_data(v[i]), pkt_len(v[i]))) {
			if (t.syns++ == 0)
				t.syn = number;
		} else {
			if (t.others++ == 0)
				t.other = number;
			assert_int_equal(number, t.other + t.others - 1); // in order
		}
		pkt_free(v[i]);
	}
	return t;
}

static void frames_of_connections_go_before_syns_that_came_earlier(void **state)
{
	struct taken t;

	(void)state;
	come(SYN, 90, 0, true);
	come(ACK, 10, 0, true);
	t = take(32);
	assert_int_equal(t.others, 10);
	assert_int_equal(t.syns, 22);
}

static void syns_get_a_quarter_of_each_burst_however_much_else_there_is(void **state)
{
	(void)state;
	come(SYN, 64, 0, true);
	come(ACK, 500, 0, true);
	for (unsigned i = 0; i < 8; i++) {
		struct taken t = take(32);

		assert_int_equal(t.syns, 8);
		assert_int_equal(t.others, 24);
	}
	assert_int_equal(take(32).others, 32); // none is left of them
}

static void as_many_syns_wait_as_there_is_room_for_and_the_rest_are_dropped(void **state)
{
	(void)state;
	assert_int_equal(come(SYN, 100, 0, true), 0);
	assert_int_equal(come(SYN, 60, 100, true), 60);
	assert_int_equal(come(ACK, 60, 0, true), 0);
	assert_int_equal(pkt_pool_used(pool), 160);
}

// What waits for long is what nobody waits for any more, and no more in the cache.
static void where_many_syns_wait_the_newest_go_first_and_in_order_where_few_do(void **state)
{
	(void)state;
	come(SYN, 60, 0, true);
	come(SYN, 40, 60, true);
	assert_int_equal(take(32).syn, 99);
	assert_int_equal(come(SYN, 32, 200, true), 0);
	assert_int_equal(take(32).syn, 231);
	assert_int_equal(take(32).syn, 67);
	assert_int_equal(take(11).syn, 35);
	assert_int_equal(take(5).syn, 0);
	assert_int_equal(take(5).syn, 5);
	come(SYN, 5, 300, true);
	assert_int_equal(take(15).syn, 10);
	assert_int_equal(take(15).syn, 300);
	assert_true(bands_empty(q));
}

static void few_frames_go_in_order_whatever_they_are(void **state)
{
	struct pkt *v[32];

	(void)state;
	come(ACK, 5, 0, false);
	come(SYN, 5, 5, false);
	come(ACK, 5, 10, false);
	assert_int_equal(bands_take(q, v, 32), 15);
	for (unsigned i = 0; i < 15; i++) {
		assert_int_equal(frame_is_syn(pkt_data(v[i]), pkt_len(v[i])), i >= 5 && i < 10);
		pkt_free(v[i]);
	}
	assert_true(bands_empty(q));
}

static void the_bands_are_used_over_and_over(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		assert_int_equal(come(ACK, 24, 24 * i, true), 0);
		assert_int_equal(come(SYN, 8, 8 * i, true), 0);
		assert_int_equal(bands_room(q), BANDS_REST - 24);
		struct taken t = take(32);
		assert_int_equal(t.others, 24);
		assert_int_equal(t.other, 24 * i);
		assert_int_equal(t.syns, 8);
	}
	assert_true(bands_empty(q));
}

static void nothing_but_a_syn_is_one(void **state)
{
	static const uint8_t flags[] = {ACK, SYN | ACK, 1 | ACK, 4, 4 | ACK, 8 | ACK, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(flags); i++) {
		uint32_t n = frame4(flags[i], 0, 0);
		assert_false(frame_is_syn(frame, n));
		n = frame4(flags[i], 1, 12);
		assert_false(frame_is_syn(frame, n));
		n = frame6(flags[i]);
		assert_false(frame_is_syn(frame, n));
	}
}

static void syns_are_known_over_both_versions_of_ip_with_tags_and_options(void **state)
{
	uint32_t n;

	(void)state;
	n = frame4(SYN, 0, 0);
	assert_true(frame_is_syn(frame, n));
	n = frame4(SYN | 0xc0, 1, 8); // ECN (RFC 3168 6.1.1)
	assert_true(frame_is_syn(frame, n));
	n = frame6(SYN);
	assert_true(frame_is_syn(frame, n));
}

static void what_is_cut_off_or_no_tcp_is_left_alone(void **state)
{
	uint32_t n;

	(void)state;
	frame4(SYN, 0, 40);
	frame[14] = 0x4f;
	for (uint32_t i = 0; i <= 14 + 60 + 13; i++)
		assert_false(frame_is_syn(frame, i));
	n = frame4(SYN, 0, 12);
	frame[14 + 9] = 17;
	assert_false(frame_is_syn(frame, n));
	n = frame4(SYN, 0, 12);
	frame[14 + 7] = 5; // a fragment
	assert_false(frame_is_syn(frame, n));
	frame[12] = 0x06;
	assert_false(frame_is_syn(frame, n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_of_connections_go_before_syns_that_came_earlier, begin,
						end),
		cmocka_unit_test_setup_teardown(syns_get_a_quarter_of_each_burst_however_much_else_there_is,
						begin, end),
		cmocka_unit_test_setup_teardown(as_many_syns_wait_as_there_is_room_for_and_the_rest_are_dropped,
						begin, end),
		cmocka_unit_test_setup_teardown(
			where_many_syns_wait_the_newest_go_first_and_in_order_where_few_do, begin, end),
		cmocka_unit_test_setup_teardown(few_frames_go_in_order_whatever_they_are, begin, end),
		cmocka_unit_test_setup_teardown(the_bands_are_used_over_and_over, begin, end),
		cmocka_unit_test(nothing_but_a_syn_is_one),
		cmocka_unit_test(syns_are_known_over_both_versions_of_ip_with_tags_and_options),
		cmocka_unit_test(what_is_cut_off_or_no_tcp_is_left_alone),
	};
	if (!pkt_start(64))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rte_eal_cleanup();
	return failed;
}
