#include "frame.h"
#include "port/screen.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct addr source;

static bool is(const char *text)
{
	struct addr a;

	return addr_parse(text, strlen(text), &a) == 0 && addr_eq(a, source);
}

static void the_sender_of_a_syn_is_found_in_both_versions_with_and_without_a_tag(void **state)
{
	(void)state;
	assert_true(screen_syn(frame, frame4(SYN, 0, 0), &source) && is("198.18.7.9"));
	assert_true(screen_syn(frame, frame4(SYN, 1, 0), &source) && is("198.18.7.9"));
	assert_true(screen_syn(frame, frame4(SYN, 0, 8), &source) && is("198.18.7.9"));
	assert_true(screen_syn(frame, frame6(SYN), &source) && is("2001:db8::7"));
}

static void what_is_no_syn_goes_its_usual_way(void **state)
{
	(void)state;
	assert_false(screen_syn(frame, frame4(ACK, 0, 0), &source));
	assert_false(screen_syn(frame, frame4(SYN | ACK, 0, 0), &source));
	assert_false(screen_syn(frame, frame6(SYN | ACK), &source));
	assert_false(screen_syn(frame, frame6(0), &source));
	uint32_t n = frame4(SYN, 0, 0);

	frame[14 + 9] = 17; // UDP
	assert_false(screen_syn(frame, n, &source));
	n = frame4(SYN, 0, 0);
	frame[14 + 6] = 0x20; // the first fragment
	assert_false(screen_syn(frame, n, &source));
	n = frame6(SYN);
	frame[14 + 6] = 0; // hop-by-hop options
	assert_false(screen_syn(frame, n, &source));
	n = frame4(SYN, 0, 0);
	frame[12] = 9; // another EtherType
	assert_false(screen_syn(frame, n, &source));
}

static void nothing_is_read_behind_the_end_of_a_frame(void **state)
{
	(void)state;
	// The flags stand behind these ends; a frame of less than an IPv4 header is none at all.
	for (uint32_t n = 0; n <= 14 + 20 + 13; n++) {
		frame4(SYN, 0, 0);
		assert_false(screen_syn(frame, n, &source));
	}
	for (uint32_t n = 0; n <= 14 + 40 + 13; n++) {
		frame6(SYN);
		assert_false(screen_syn(frame, n, &source));
	}
	for (uint32_t n = 0; n <= 18 + 20 + 13; n++) {
		frame4(SYN, 1, 0);
		assert_false(screen_syn(frame, n, &source));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sender_of_a_syn_is_found_in_both_versions_with_and_without_a_tag),
		cmocka_unit_test(what_is_no_syn_goes_its_usual_way),
		cmocka_unit_test(nothing_is_read_behind_the_end_of_a_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
