// How long we wait for a peer: keep-alive (RFC 9293 3.8.4), the user timeout (RFC 5482), shut windows (RFC
// 6429).
#include "tests/unit/tcp/bed.h"

static void rfc9293_3_8_4_keep_alive_is_off_unless_it_is_asked_for(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	bed_accept(b);
	bed_sleep(b, 4000 * SEC);
	bed_silent(b);
	bed_free(b);
}

static void rfc9293_3_8_4_an_idle_peer_is_probed_and_may_go_on_idling(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.keep_idle = 60 * SEC, .keep_interval = 10 * SEC});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_sleep(b, 59 * SEC);
	bed_silent(b);
	for (int i = 0; i < 3; i++) {
		bed_sleep(b, 2 * SEC);
		const struct out *o = bed_out(b);
		assert_int_equal(o->flags, TCP_ACK);
		assert_int_equal(o->len, 0);
		assert_int_equal(o->seq, b->ack - 1);
		bed_silent(b);
		bed_ack(b, b->ack, WND);
		bed_sleep(b, 59 * SEC);
		bed_silent(b);
	}
	assert_int_equal(bed_count(b, CTR_tcp_keepalive), 3);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_free(b);
}

static void rfc9293_3_8_4_one_probe_without_an_answer_proves_nothing(void **state)
{
	struct bed *b = bed_make(
		(struct tcp_config){.keep_idle = 60 * SEC, .keep_interval = 10 * SEC, .keep_probes = 4});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_sleep(b, 99 * SEC);
	assert_int_equal(bed_count(b, CTR_tcp_keepalive), 4);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	bed_sleep(b, 2 * SEC);
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ETIMEDOUT);
	tcp_close(c);
	bed_free(b);
}

static void keep_alive_waits_while_data_is_under_way(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.keep_idle = 1 * SEC, .keep_interval = 1 * SEC});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 100);
	bed_sleep(b, 5 * SEC);
	assert_int_equal(bed_count(b, CTR_tcp_keepalive), 0);
	bed_ack(b, b->ack + 100, WND);
	bed_sleep(b, 30 * SEC);
	assert_in_range(bed_count(b, CTR_tcp_keepalive), 1, 9);
	tcp_close(c);
	bed_free(b);
}

static void rfc5482_data_that_nobody_acknowledges_ends_the_connection(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.user_timeout = 7 * SEC});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_sleep(b, 100 * SEC); // idling is not waiting
	bed_send(b, c, 100);
	bed_sleep(b, 6500 * MS);
	assert_int_equal(b->all, 0);
	bed_sleep(b, 900 * MS);
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ETIMEDOUT);
	assert_int_equal(b->out[b->n_out - 1].flags & TCP_RST, TCP_RST);
	tcp_close(c);
	bed_free(b);
}

static void rfc5482_each_acknowledgement_begins_it_anew(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.user_timeout = 5 * SEC});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 5000);
	for (int i = 0; i < 4; i++) {
		bed_sleep(b, 4 * SEC);
		bed_ack(b, b->ack + 1000, WND);
	}
	assert_int_equal(b->all, 0);
	bed_free(b);
}

static void rfc6429_a_window_that_stays_shut_ends_the_connection(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.user_timeout = 20 * SEC});
	struct tcp_conn *c = bed_accept(b);
	int i;

	(void)state;
	bed_send(b, c, 1000);
	bed_ack(b, b->ack + 1000, 0);
	bed_send(b, c, 1000);
	for (i = 0; i < 40 && b->all == 0; i++) { // it answers every probe
		bed_sleep(b, 1 * SEC);
		if (b->all == 0)
			bed_ack(b, b->ack, 0);
	}
	assert_in_range(i, 20, 22);
	assert_int_equal(tcp_error(c), ETIMEDOUT);
	tcp_close(c);
	bed_free(b);
}

static void rfc6429_a_window_that_opens_in_time_does_not(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.user_timeout = 20 * SEC});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	bed_send(b, c, 1000);
	bed_ack(b, b->ack + 1000, 0);
	for (int i = 0; i < 4; i++) {
		bed_send(b, c, 1000);
		bed_sleep(b, 15 * SEC);
		bed_ack(b, b->ack, WND);
		bed_ack(b, b->ack + 1000, 0);
	}
	assert_int_equal(b->all & EV_ERROR, 0);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc9293_3_8_4_keep_alive_is_off_unless_it_is_asked_for),
	BED_TEST(rfc9293_3_8_4_an_idle_peer_is_probed_and_may_go_on_idling),
	BED_TEST(rfc9293_3_8_4_one_probe_without_an_answer_proves_nothing),
	BED_TEST(keep_alive_waits_while_data_is_under_way),
	BED_TEST(rfc5482_data_that_nobody_acknowledges_ends_the_connection),
	BED_TEST(rfc5482_each_acknowledgement_begins_it_anew),
	BED_TEST(rfc6429_a_window_that_stays_shut_ends_the_connection),
	BED_TEST(rfc6429_a_window_that_opens_in_time_does_not),
};
BED_MAIN(tests)
