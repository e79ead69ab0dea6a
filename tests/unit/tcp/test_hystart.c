// HyStart++: how the first slow start ends (RFC 9406).
#include "tests/unit/tcp/bed.h"

#define MSS            1000
#define CWND(segments) ((segments)*MSS)

static struct tcp_conn *conn_in_slow_start(struct bed *b)
{
	struct tcp_conn *c = bed_accept(b);

	c->cwnd = CWND(10);
	c->ssthresh = CWND_MAX;
	return c;
}

// A window's worth of segments is acknowledged by so many ACKs, each after ms; what they let out follows.
static void round_of(struct tcp_conn *c, uint32_t ms, uint32_t acks)
{
	uint32_t una = c->snd_una, max = c->snd_max, each = c->cwnd / acks;

	for (uint32_t i = 0; i < acks; i++) {
		c->snd_max = c->snd_una + c->cwnd;
		c->snd_una += each;
		c->rack_rtt = ms * 1000;
		conn_cc(c)->acked(c, each, c->cwnd, c->tcp->now);
	}
	// All numbers are as far on.
	c->hystart.round_end -= c->snd_una - una;
	c->snd_una = una;
	c->snd_max = max;
}

static void round_trip(struct tcp_conn *c, uint32_t ms)
{
	round_of(c, ms, c->cwnd / MSS);
}

static void rfc9406_4_2_round_trips_that_stay_as_they_are_double_the_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_in_slow_start(b);

	(void)state;
	for (int i = 0; i < 5; i++)
		round_trip(c, 50 + i);
	assert_int_equal(c->cwnd, CWND(320));
	assert_int_equal(c->ssthresh, CWND_MAX);
	bed_free(b);
}

static void rfc9406_4_2_longer_ones_slow_it_to_a_quarter_and_end_it_after_five(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_in_slow_start(b);

	(void)state;
	round_trip(c, 50);
	assert_int_equal(c->cwnd, CWND(20));
	round_trip(c, 60); // known by its eighth segment: 7 whole and 13 quarters
	assert_in_range(c->cwnd, CWND(30), CWND(31));
	for (int i = 0; i < 4; i++) {
		uint32_t before = c->cwnd;
		round_trip(c, 60 + i);
		assert_in_range(c->cwnd, before + before / 4 - MSS, before + before / 4);
		assert_int_equal(c->ssthresh, CWND_MAX);
	}
	uint32_t end = c->cwnd;
	round_trip(c, 60);
	assert_int_equal(c->ssthresh, end);
	assert_in_range(c->cwnd, end, end + MSS);
	assert_int_equal(bed_count(b, CTR_tcp_hystart), 1);
	bed_free(b);
}

static void rfc9406_4_2_shorter_ones_let_it_go_on(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_in_slow_start(b);

	(void)state;
	round_trip(c, 50);
	round_trip(c, 60);
	round_trip(c, 60);
	uint32_t before = c->cwnd;
	round_trip(c, 59); // below what made it slow
	assert_in_range(c->cwnd, before + before / 2, 2 * before);
	before = c->cwnd;
	round_trip(c, 59);
	assert_in_range(c->cwnd, 2 * before - 2 * MSS, 2 * before);
	bed_free(b);
}

static void rfc9406_4_2_fewer_than_eight_samples_of_a_round_say_nothing(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_in_slow_start(b);

	(void)state;
	round_of(c, 50, 5);
	round_of(c, 100, 5);
	round_of(c, 200, 5);
	assert_int_equal(c->cwnd, CWND(80));
	bed_free(b);
}

static void rfc9406_4_2_longer_means_by_an_eighth_but_by_4_to_16_ms(void **state)
{
	static const struct {
		uint32_t first, second;
		bool slow;
	} v[] = {{10, 13, false}, {10, 14, true},    {80, 89, false},
		 {80, 90, true},  {400, 415, false}, {400, 416, true}};

	(void)state;
	for (unsigned i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct bed *b = bed_make((struct tcp_config){0});
		struct tcp_conn *c = conn_in_slow_start(b);
		round_trip(c, v[i].first);
		round_trip(c, v[i].second);
		assert_int_equal(c->cwnd < CWND(40), v[i].slow);
		bed_free(b);
	}
}

static void rfc9406_4_3_a_slow_start_after_a_loss_ends_at_its_threshold_alone(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_in_slow_start(b);

	(void)state;
	c->ssthresh = CWND(100);
	round_trip(c, 50);
	round_trip(c, 100);
	assert_int_equal(c->cwnd, CWND(40));
	bed_free(b);
}

// What HyStart++ has noted is not taken for CUBIC's.
static void rfc9438_4_7_a_loss_in_a_slow_round_is_the_first(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_in_slow_start(b);

	(void)state;
	round_trip(c, 50);
	round_trip(c, 6000);
	uint32_t before = c->cwnd;
	c->ssthresh = conn_cc(c)->lost(c, c->cwnd, false);
	assert_int_equal(c->w_max, before);
	assert_int_equal(c->cubic.epoch, 0);
	bed_free(b);
}

static void rfc5681_4_1_after_idling_it_begins_anew(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_in_slow_start(b);

	(void)state;
	round_trip(c, 50);
	round_trip(c, 60);
	conn_cc(c)->idle(c);
	assert_int_equal(c->cwnd, CWND(10));
	round_trip(c, 70);
	round_trip(c, 70);
	assert_int_equal(c->cwnd, CWND(40));
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc9406_4_2_round_trips_that_stay_as_they_are_double_the_window),
	BED_TEST(rfc9406_4_2_longer_ones_slow_it_to_a_quarter_and_end_it_after_five),
	BED_TEST(rfc9406_4_2_shorter_ones_let_it_go_on),
	BED_TEST(rfc9406_4_2_fewer_than_eight_samples_of_a_round_say_nothing),
	BED_TEST(rfc9406_4_2_longer_means_by_an_eighth_but_by_4_to_16_ms),
	BED_TEST(rfc9406_4_3_a_slow_start_after_a_loss_ends_at_its_threshold_alone),
	BED_TEST(rfc9438_4_7_a_loss_in_a_slow_round_is_the_first),
	BED_TEST(rfc5681_4_1_after_idling_it_begins_anew),
};
BED_MAIN(tests)
