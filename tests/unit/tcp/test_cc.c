// The congestion window: RFC 9438, RFC 5681.
#include "tests/unit/tcp/bed.h"

#define MSS 1000

static struct tcp_conn *conn_with(struct bed *b, uint32_t cwnd, uint32_t ssthresh)
{
	struct tcp_conn *c = bed_accept(b);

	c->cwnd = cwnd;
	c->ssthresh = ssthresh;
	c->srtt = 50000;
	return c;
}

// The window is used fully for so many ms, with a round trip of 50 ms.
static void use(struct bed *b, struct tcp_conn *c, uint32_t ms)
{
	for (uint32_t i = 0; i < ms / 50; i++) {
		uint32_t round = c->cwnd, una = c->snd_una;
		b->tcp->now += 50 * MS;
		for (uint32_t done = 0; done < round; done += 2 * MSS) {
			c->snd_una = una + i * round + done;
			conn_cc(c)->acked(c, 2 * MSS, c->cwnd, b->tcp->now);
		}
		c->snd_una = una;
	}
	b->now = b->tcp->now;
}

static void lose(struct tcp_conn *c)
{
	c->ssthresh = conn_cc(c)->lost(c, c->cwnd, false);
	c->cwnd = c->ssthresh;
}

static void cubic_is_the_default_and_newreno_can_be_chosen(void **state)
{
	struct tcp_info info;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct bed *b = bed_make((struct tcp_config){.cc = i ? TCP_CC_NEWRENO : TCP_CC_DEFAULT});
		tcp_get_info(bed_accept(b), &info);
		assert_string_equal(info.cc, i ? "newreno" : "cubic");
		bed_free(b);
	}
}

static void a_listener_and_a_connect_choose_for_themselves(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.cc = TCP_CC_CUBIC});
	struct tcp_info info;

	(void)state;
	b->cc = TCP_CC_NEWRENO; // the listener's
	tcp_get_info(bed_accept(b), &info);
	assert_string_equal(info.cc, "newreno");
	struct tcp_conn *c = bed_connect(b);
	tcp_get_info(c, &info);
	assert_string_equal(info.cc, "cubic");
	tcp_set_cc(c, TCP_CC_NEWRENO);
	tcp_get_info(c, &info);
	assert_string_equal(info.cc, "newreno");
	bed_free(b);
}

static void rfc9438_4_6_a_loss_leaves_seven_tenths(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 100 * MSS, 50 * MSS);

	(void)state;
	lose(c);
	assert_int_equal(c->cwnd, 70 * MSS);
	c->cwnd = MSS;
	lose(c);
	assert_int_equal(c->cwnd, 2 * MSS);
	bed_free(b);
}

// What has arrived behind a loss is not acknowledged yet, and new data follows it: after one recovery, more
// than a window is between snd_una and snd_max. A loss found then must not raise the window.
static void rfc5681_3_1_a_loss_leaves_less_than_the_window_however_much_is_unacknowledged(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct bed *b = bed_make((struct tcp_config){.cc = i ? TCP_CC_NEWRENO : TCP_CC_CUBIC});
		struct tcp_conn *c = conn_with(b, 100 * MSS, 50 * MSS);
		assert_int_equal(conn_cc(c)->lost(c, 170 * MSS, false), i ? 50 * MSS : 70 * MSS);
		bed_free(b);
	}
}

static void rfc9438_4_2_the_window_is_back_after_k_and_rests_there(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 1000 * MSS, 500 * MSS);

	(void)state;
	lose(c); // K = cbrt(300 / 0.4) = 9.09 s
	use(b, c, 4500);
	assert_in_range(c->cwnd, 955 * MSS, 970 * MSS); // 1000 - 0.4 * 4.55^3 = 962
	use(b, c, 4600);
	assert_in_range(c->cwnd, 995 * MSS, 1003 * MSS);
	use(b, c, 1000); // flat around its middle
	assert_in_range(c->cwnd, 995 * MSS, 1010 * MSS);
	use(b, c, 5000); // and then beyond: 1000 + 0.4 * 6.06^3 = 1089
	assert_in_range(c->cwnd, 1070 * MSS, 1110 * MSS);
	bed_free(b);
}

static void rfc9438_4_3_a_small_window_grows_no_slower_than_renos(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 10 * MSS, 5 * MSS);

	(void)state;
	lose(c);
	use(b, c, 1000); // 20 round trips at 0.53 segments, at least
	assert_true(c->cwnd >= 7 * MSS + 10 * MSS);
	bed_free(b);
}

// An ACK of a window of thousands of segments is worth less than a byte.
static void rfc9438_4_3_a_large_window_grows_no_faster_than_renos_either(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 2000 * MSS, 2000 * MSS);

	(void)state;
	use(b, c, 2000); // 40 round trips at 0.53 segments: 2021; the curve would be at 2003
	assert_in_range(c->cwnd, 2018 * MSS, 2025 * MSS);
	bed_free(b);
}

static void rfc9438_4_7_a_second_loss_below_the_old_window_makes_room(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 100 * MSS, 50 * MSS);

	(void)state;
	lose(c);
	assert_int_equal(c->w_max, 100 * MSS);
	lose(c);
	assert_int_equal(c->w_max, 59500); // 70 * (1 + 0.7) / 2
	bed_free(b);
}

// K is 0 and W_max the window at which slow start ended, so that the curve is convex from there.
static void rfc9438_4_8_after_a_timeout_the_curve_begins_where_slow_start_ended(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 1000 * MSS, 500 * MSS);

	(void)state;
	c->ssthresh = conn_cc(c)->lost(c, c->cwnd, true);
	assert_int_equal(c->ssthresh, 700 * MSS);
	c->cwnd = c->ssthresh;
	use(b, c, 4000); // 700 + 0.4 * 4^3 = 726; back towards 1000 it were 945
	assert_in_range(c->cwnd, 715 * MSS, 750 * MSS);
	bed_free(b);
}

static void rfc9438_5_8_a_window_that_is_not_used_does_not_grow(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 100 * MSS, 50 * MSS);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		b->tcp->now += 50 * MS;
		conn_cc(c)->acked(c, MSS, MSS, b->tcp->now);
	}
	assert_int_equal(c->cwnd, 100 * MSS);
	bed_free(b);
}

static void any_state_gives_a_window_within_bounds(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = conn_with(b, 10 * MSS, 5 * MSS);
	struct random r;

	(void)state;
	random_seed(&r, 3);
	for (int i = 0; i < 100000; i++) {
		b->tcp->now += random_next(&r) % (1ull << random_below(&r, 42));
		if (random_below(&r, 50) == 0)
			lose(c);
		else if (random_below(&r, 50) == 0)
			conn_cc(c)->idle(c);
		else
			conn_cc(c)->acked(c, 1 + random_below(&r, 3) * MSS, c->cwnd, b->tcp->now);
		assert_in_range(c->cwnd, MSS, 1u << 30);
	}
	b->tcp->now = b->now;
	bed_free(b);
}

static void rfc5681_4_1_after_idling_for_an_rto_it_begins_with_the_initial_window(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct bed *b = bed_make((struct tcp_config){.cc = i ? TCP_CC_NEWRENO : TCP_CC_CUBIC});
		struct tcp_conn *c = conn_with(b, 40 * MSS, 30 * MSS);
		bed_sleep(b, 2 * SEC);
		bed_send(b, c, 45 * MSS);
		assert_int_equal(b->n_out, 10);
		bed_free(b);
	}
}

static const struct CMUnitTest tests[] = {
	BED_TEST(cubic_is_the_default_and_newreno_can_be_chosen),
	BED_TEST(a_listener_and_a_connect_choose_for_themselves),
	BED_TEST(rfc9438_4_6_a_loss_leaves_seven_tenths),
	BED_TEST(rfc5681_3_1_a_loss_leaves_less_than_the_window_however_much_is_unacknowledged),
	BED_TEST(rfc9438_4_2_the_window_is_back_after_k_and_rests_there),
	BED_TEST(rfc9438_4_3_a_small_window_grows_no_slower_than_renos),
	BED_TEST(rfc9438_4_3_a_large_window_grows_no_faster_than_renos_either),
	BED_TEST(rfc9438_4_7_a_second_loss_below_the_old_window_makes_room),
	BED_TEST(rfc9438_4_8_after_a_timeout_the_curve_begins_where_slow_start_ended),
	BED_TEST(rfc9438_5_8_a_window_that_is_not_used_does_not_grow),
	BED_TEST(any_state_gives_a_window_within_bounds),
	BED_TEST(rfc5681_4_1_after_idling_for_an_rto_it_begins_with_the_initial_window),
};
BED_MAIN(tests)
