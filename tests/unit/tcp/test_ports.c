// Local ports towards upstreams: RFC 6056 3.3.4 (double hash), within what steers to this worker.
#include "tests/unit/tcp/bed.h"

#define EPHEMERAL (65536 - STEER_EPHEMERAL)

static uint16_t choose(struct bed *b, uint32_t remote)
{
	return ports_choose(b->tcp, 0, b->local, addr_from_v4(htonl(remote)), 8080, &(uint32_t){0});
}

static void rfc6056_3_3_4_a_stranger_cannot_tell_the_next_port_from_those_he_sees(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	static bool seen[65536];
	unsigned distinct = 0, near = 0;
	uint16_t last = 0;

	(void)state;
	for (uint32_t i = 0; i < 500; i++) { // each destination begins elsewhere
		uint16_t port = choose(b, 0xc6120100 + i);

		assert_true(port >= STEER_EPHEMERAL);
		distinct += !seen[port];
		seen[port] = true;
		near += abs(port - last) < 500;
		last = port;
	}
	assert_true(distinct > 480);
	assert_true(near < 30); // 1 in 50 by chance
	// And under another secret everything is different.
	unsigned same = 0;
	for (uint32_t i = 0; i < 500; i++) {
		uint16_t port = choose(b, 0xc6120400 + i);
		b->tcp->secret.k0++;
		same += abs(choose(b, 0xc6120400 + i) - port) < 3;
		b->tcp->secret.k0--;
	}
	assert_true(same < 5);
	bed_free(b);
}

// The peer that closed first is in TIME_WAIT, of which we know nothing: a port comes again as late as possible.
static void rfc6056_2_3_a_port_comes_again_when_all_others_had_their_turn(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	static bool used[65536];

	(void)state;
	for (uint32_t i = 0; i < EPHEMERAL; i++) {
		uint16_t port = choose(b, 0xc6120102);

		assert_false(used[port]);
		used[port] = true;
	}
	assert_true(used[choose(b, 0xc6120102)]);
	bed_free(b);
}

static void ports_of_workers_are_apart_and_each_has_its_share(void **state)
{
	static struct steer steer = {.kind = STEER_PORTBITS, .workers = 4};
	static uint8_t owner[65536];

	(void)state;
	for (unsigned worker = 0; worker < 4; worker++) {
		struct bed *b = bed_make((struct tcp_config){.worker = worker, .steer = {&steer}});

		for (uint32_t i = 0; i < EPHEMERAL / 4; i++) {
			uint16_t port = choose(b, 0xc6120102);

			assert_int_equal(owner[port], 0);
			owner[port] = (uint8_t)(worker + 1);
			assert_int_equal(
				steer_flow(&steer, addr_from_v4(htonl(0xc6120102)), b->local, 8080, port),
				worker);
		}
		bed_free(b);
	}
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc6056_3_3_4_a_stranger_cannot_tell_the_next_port_from_those_he_sees),
	BED_TEST(rfc6056_2_3_a_port_comes_again_when_all_others_had_their_turn),
	BED_TEST(ports_of_workers_are_apart_and_each_has_its_share),
};
BED_MAIN(tests)
