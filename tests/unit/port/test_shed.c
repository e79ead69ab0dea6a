#include "port/shed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 512
#define SYN  2
#define ACK  16

static char frame[128];

// An IPv4 frame whose TCP header begins behind `options` bytes of IP options.
static uint32_t frame4(uint8_t flags, unsigned vlan, unsigned options)
{
	uint8_t *p = (uint8_t *)frame;

	memset(frame, 0, sizeof(frame));
	if (vlan) {
		p[12] = 0x81;
		p += 4;
	}
	p[12] = 0x08;
	p[14] = (uint8_t)(0x40 | (20 + options) / 4);
	p[14 + 9] = 6;
	p[14 + 20 + options + 13] = flags;
	return 14 + (vlan ? 4 : 0) + 20 + options + 20;
}
static uint32_t frame6(uint8_t flags)
{
	uint8_t *p = (uint8_t *)frame;

	memset(frame, 0, sizeof(frame));
	p[12] = 0x86;
	p[13] = 0xdd;
	p[14] = 0x60;
	p[14 + 6] = 6;
	p[14 + 40 + 13] = flags;
	return 14 + 40 + 20;
}

static unsigned dropped(struct shed *s, uint32_t n, unsigned of)
{
	unsigned count = 0;

	for (unsigned i = 0; i < of; i++)
		count += shed_frame(s, frame, n);
	return count;
}

#define US 1000ull
#define MS 1000000ull

// Looks at a queue of n frames every 100 us for so many ms.
static uint64_t looks(struct shed *s, uint64_t now, unsigned n, unsigned ms)
{
	for (uint64_t end = now + ms * MS; now < end; now += 100 * US)
		shed_observe(s, n, MOST, now);
	return now;
}

static struct shed behind(void)
{
	struct shed s = {0};

	looks(&s, MS, MOST, 15);
	return s;
}

static void a_queue_that_is_long_for_less_than_ten_milliseconds_is_no_reason(void **state)
{
	struct shed s = {0};
	uint64_t now = MS;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		now = looks(&s, now, MOST, 10);
		assert_int_equal(s.level, 0);
		now = looks(&s, now, MOST / 2, 1);
	}
}

static void the_longer_the_queue_the_more_syns_go_but_never_all(void **state)
{
	struct shed s = behind();
	uint32_t n = frame4(SYN, 0, 0);
	unsigned before = 0;

	(void)state;
	assert_int_equal(dropped(&s, n, 3200), 3100);
	for (unsigned queue = MOST / 16 * 9; queue < MOST; queue += 32) {
		shed_observe(&s, queue, MOST, 17 * MS);
		if (queue == MOST / 16 * 9) {
			assert_int_equal(dropped(&s, n, 4096), 0);
			continue;
		}
		unsigned now = dropped(&s, n, 4096);
		assert_true(now > before);
		before = now;
	}
}

// So that what was long alternates with what was short, as it does when enough is dropped, and each time at
// once.
static void once_begun_it_goes_on_until_no_queue_was_long_for_ten_milliseconds(void **state)
{
	struct shed s = behind();
	uint64_t now = 17 * MS;

	(void)state;
	now = looks(&s, now, 1, 8);
	assert_int_equal(s.level, 0);
	shed_observe(&s, MOST, MOST, now);
	assert_true(s.level > 0);
	now = looks(&s, now, 1, 12);
	shed_observe(&s, MOST, MOST, now);
	assert_int_equal(s.level, 0);
}

static void only_syns_are_dropped(void **state)
{
	static const uint8_t flags[] = {ACK, SYN | ACK, 1 | ACK, 4, 4 | ACK, 8 | ACK, 0};
	struct shed s = behind();

	(void)state;
	for (size_t i = 0; i < sizeof(flags); i++) {
		assert_int_equal(dropped(&s, frame4(flags[i], 0, 0), 100), 0);
		assert_int_equal(dropped(&s, frame4(flags[i], 1, 12), 100), 0);
		assert_int_equal(dropped(&s, frame6(flags[i]), 100), 0);
	}
}

static void syns_are_known_over_both_versions_of_ip_with_tags_and_options(void **state)
{
	struct shed s = behind();
	uint32_t n;

	(void)state;
	n = frame4(SYN, 0, 0);
	assert_true(dropped(&s, n, 16) >= 14);
	n = frame4(SYN | 0xc0, 1, 8); // ECN (RFC 3168 6.1.1)
	assert_true(dropped(&s, n, 16) >= 14);
	n = frame6(SYN);
	assert_true(dropped(&s, n, 16) >= 14);
}

static void what_is_cut_off_or_no_tcp_is_left_alone(void **state)
{
	struct shed s = behind();
	uint32_t n = frame4(SYN, 0, 40);

	(void)state;
	frame[14] = 0x4f;
	for (uint32_t i = 0; i <= 14 + 60 + 13; i++)
		assert_int_equal(dropped(&s, i, 16), 0);
	n = frame4(SYN, 0, 12);
	frame[14 + 9] = 17;
	assert_int_equal(dropped(&s, n, 16), 0);
	n = frame4(SYN, 0, 12);
	frame[14 + 7] = 5; // a fragment
	assert_int_equal(dropped(&s, n, 16), 0);
	frame[12] = 0x06;
	assert_int_equal(dropped(&s, n, 16), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_that_is_long_for_less_than_ten_milliseconds_is_no_reason),
		cmocka_unit_test(the_longer_the_queue_the_more_syns_go_but_never_all),
		cmocka_unit_test(once_begun_it_goes_on_until_no_queue_was_long_for_ten_milliseconds),
		cmocka_unit_test(only_syns_are_dropped),
		cmocka_unit_test(syns_are_known_over_both_versions_of_ip_with_tags_and_options),
		cmocka_unit_test(what_is_cut_off_or_no_tcp_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
