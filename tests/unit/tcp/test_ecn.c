// Explicit Congestion Notification: RFC 3168 6.1.
#include "tests/unit/tcp/bed.h"

#define MSS   1000
#define SETUP (TCP_ECE | TCP_CWR)
#define ECT   2 // ECT(0)
#define CE    3

static struct tcp_conn *accept_ecn(struct bed *b, bool sack)
{
	struct tcp_conn *c = bed_accept_with(b, (struct in){.mss = MSS, .flags = SETUP, .sack_ok = sack});
	struct tcp_info info;

	tcp_get_info(c, &info);
	assert_true(info.ecn);
	return c;
}

// The peer acknowledges with these flags beside.
static void ack_with(struct bed *b, uint32_t ack, uint8_t flags)
{
	b->ack = ack;
	bed_in(b, (struct in){.seq = b->seq, .ack = ack, .flags = TCP_ACK | flags, .wnd = WND});
	bed_run(b);
}

static void data_with(struct bed *b, uint8_t tos, uint8_t flags)
{
	b->tos = tos;
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_ACK | flags, .wnd = WND, .len = 100});
	b->seq += 100;
	b->tos = 0;
	bed_run(b);
}

// Answers the connection's SYN.
static void answer(struct bed *b, uint8_t flags)
{
	const struct out *o = bed_out(b);

	b->ack = o->seq + 1;
	b->peer_port = SRV;
	b->our_port = o->src;
	bed_in(b,
	       (struct in){.seq = b->seq++, .ack = b->ack, .flags = TCP_SYN | flags, .wnd = WND, .mss = MSS});
	bed_run(b);
}

static bool agreed(const struct tcp_conn *c)
{
	struct tcp_info info;

	tcp_get_info(c, &info);
	return info.ecn;
}

static void rfc3168_6_1_1_an_offer_is_taken_unless_it_is_switched_off(void **state)
{
	(void)state;
	for (int i = 0; i < TCP_ECN_KINDS; i++) {
		struct bed *b = bed_make((struct tcp_config){.ecn = (enum tcp_ecn)i});
		bed_in(b, (struct in){.seq = b->seq, .flags = TCP_SYN | SETUP, .wnd = WND, .mss = MSS});
		bed_run(b);
		const struct out *o = bed_out(b);
		assert_int_equal(o->flags, TCP_SYN | TCP_ACK | (i == TCP_ECN_NEVER ? 0 : TCP_ECE));
		assert_int_equal(o->tos, 0);
		bed_free(b);
	}
}

static void rfc3168_6_1_1_a_syn_with_one_of_the_flags_is_no_offer(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct bed *b = bed_make((struct tcp_config){.ecn = TCP_ECN_ACTIVE});
		struct in syn = {.mss = MSS, .flags = i ? TCP_ECE : TCP_CWR};
		assert_false(agreed(bed_accept_with(b, syn)));
		bed_send(b, b->c, MSS);
		assert_int_equal(bed_out(b)->tos, 0);
		bed_free(b);
	}
}

static void rfc3168_6_1_1_only_where_it_is_on_do_we_offer_it(void **state)
{
	(void)state;
	for (int i = 0; i < TCP_ECN_KINDS; i++) {
		struct bed *b = bed_make((struct tcp_config){.ecn = (enum tcp_ecn)i});
		bed_connect(b);
		assert_int_equal(bed_out(b)->flags, TCP_SYN | (i == TCP_ECN_ACTIVE ? SETUP : 0));
		bed_free(b);
	}
}

static void a_connection_that_we_open_may_differ_from_the_stack(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.ecn = TCP_ECN_NEVER});
	int err;

	(void)state;
	tcp_set_ecn(tcp_connect(b->tcp, 0, b->remote, SRV, bed_event, b, NULL, &err), TCP_ECN_ACTIVE);
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_SYN | SETUP);
	bed_free(b);
}

static void rfc3168_6_1_1_the_answer_decides_and_one_that_reflects_both_flags_is_none(void **state)
{
	const uint8_t flags[] = {0, TCP_ECE, TCP_CWR, SETUP};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct bed *b = bed_make((struct tcp_config){.ecn = TCP_ECN_ACTIVE});
		struct tcp_conn *c = bed_connect(b);
		answer(b, TCP_ACK | flags[i]);
		assert_int_equal(bed_state(c), TCP_ESTABLISHED);
		assert_int_equal(agreed(c), flags[i] == TCP_ECE);
		assert_int_equal(bed_count(b, CTR_tcp_ecn), flags[i] == TCP_ECE);
		assert_int_equal(bed_out(b)->tos, 0);
		bed_send(b, c, MSS);
		assert_int_equal(bed_out(b)->tos, flags[i] == TCP_ECE ? ECT : 0);
		bed_free(b);
	}
}

static void rfc3168_6_1_1_1_a_syn_without_an_answer_is_sent_again_without_offer(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.ecn = TCP_ECN_ACTIVE});
	struct tcp_conn *c = bed_connect(b);

	(void)state;
	assert_int_equal(bed_out(b)->flags, TCP_SYN | SETUP);
	bed_sleep(b, 1100 * MS);
	assert_int_equal(b->out[b->seen].flags, TCP_SYN);
	assert_int_equal(bed_count(b, CTR_tcp_ecn_fallback), 1);
	answer(b, TCP_ACK | TCP_ECE); // to the first one, perhaps
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	assert_false(agreed(c));
	bed_free(b);
}

static void rfc3168_6_1_1_1_a_syn_that_is_refused_is_sent_again_without_offer(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.ecn = TCP_ECN_ACTIVE});
	struct tcp_conn *c = bed_connect(b);
	const struct out *o = bed_out(b);
	struct in rst = {.src = SRV, .dst = o->src, .ack = o->seq + 1, .flags = TCP_RST | TCP_ACK};

	(void)state;
	bed_in(b, rst);
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_SYN);
	assert_int_equal(bed_state(c), TCP_SYN_SENT);
	bed_in(b, rst); // now it is meant
	bed_run(b);
	assert_int_equal(b->all, EV_ERROR);
	assert_int_equal(tcp_error(c), ECONNREFUSED);
	tcp_close(c);
	bed_free(b);
}

static void rfc3168_6_1_1_a_peer_that_repeats_its_syn_without_offer_is_not_sent_ect(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct in syn = {.seq = b->seq, .flags = TCP_SYN | SETUP, .wnd = WND, .mss = MSS};

	(void)state;
	bed_in(b, syn);
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_SYN | TCP_ACK | TCP_ECE);
	syn.flags = TCP_SYN;
	bed_in(b, syn);
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_SYN | TCP_ACK);
	bed_free(b);
}

static void rfc3168_6_1_1_when_both_open_at_once_both_offers_count(void **state)
{
	struct bed *b = bed_make((struct tcp_config){.ecn = TCP_ECN_ACTIVE});
	struct tcp_conn *c = bed_connect(b);
	uint32_t iss = b->out[0].seq;

	(void)state;
	answer(b, SETUP); // a SYN without ACK
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_SYN | TCP_ACK | TCP_ECE);
	bed_in(b, (struct in){.seq = b->seq - 1,
			      .ack = iss + 1,
			      .flags = TCP_SYN | TCP_ACK | TCP_ECE,
			      .wnd = WND,
			      .mss = MSS});
	bed_run(b);
	assert_int_equal(bed_state(c), TCP_ESTABLISHED);
	assert_true(agreed(c));
	bed_free(b);
}

static void rfc3168_6_1_2_an_echo_reduces_the_window_once_and_new_data_tells_so(void **state)
{
	(void)state;
	for (int sack = 0; sack < 2; sack++) {
		struct bed *b = bed_make((struct tcp_config){0});
		struct tcp_conn *c = accept_ecn(b, sack);
		uint32_t iss = b->ack;

		bed_send(b, c, 30 * MSS);
		assert_int_equal(b->n_out, 10);
		for (int i = 0; i < 10; i++) {
			assert_int_equal(b->out[i].tos, ECT);
			assert_int_equal(b->out[i].flags & SETUP, 0);
		}
		bed_drain(b);
		ack_with(b, iss + 1 * MSS, TCP_ECE);
		assert_int_equal(c->cwnd, 7 * MSS);
		assert_int_equal(c->ssthresh, 7 * MSS);
		for (int i = 2; i <= 10; i++) // the same window of data
			ack_with(b, iss + i * MSS, TCP_ECE);
		assert_int_equal(c->cwnd, 7 * MSS);
		assert_int_equal(bed_count(b, CTR_tcp_ecn_reduced), 1);
		assert_int_equal(bed_out(b)->flags & SETUP, TCP_CWR);
		while (b->seen < b->n_out)
			assert_int_equal(bed_out(b)->flags & SETUP, 0);
		ack_with(b, iss + 11 * MSS, TCP_ECE); // a mark after CWR
		assert_int_equal(bed_count(b, CTR_tcp_ecn_reduced), 2);
		assert_in_range(c->cwnd, 4 * MSS, 5 * MSS);
		bed_free(b);
	}
}

// After a timeout it is smaller than the threshold, which is never below two segments.
static void rfc3168_6_1_2_an_echo_never_widens_the_window(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_ecn(b, true);

	(void)state;
	bed_send(b, c, MSS);
	while (bed_count(b, CTR_tcp_rto) == 0)
		bed_sleep(b, 10 * MS);
	assert_int_equal(c->cwnd, MSS);
	ack_with(b, b->ack + MSS, 0);
	c->cwnd = MSS; // as the timeout left it
	bed_send(b, c, 100);
	ack_with(b, b->ack + 100, TCP_ECE);
	assert_int_equal(bed_count(b, CTR_tcp_ecn_reduced), 1);
	assert_in_range(c->cwnd, MSS, MSS + 100);
	bed_free(b);
}

static void rfc3168_6_1_2_a_loss_in_the_same_window_does_not_reduce_it_again(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_ecn(b, true);
	uint32_t iss = b->ack;

	(void)state;
	bed_send(b, c, 30 * MSS);
	bed_sleep(b, 1 * MS);
	ack_with(b, iss + 1 * MSS, TCP_ECE);
	assert_int_equal(c->ssthresh, 7 * MSS);
	bed_drain(b);
	for (uint32_t i = 3; i <= 5; i++) {
		bed_in(b, (struct in){.seq = b->seq,
				      .ack = iss + MSS,
				      .flags = TCP_ACK | TCP_ECE,
				      .wnd = WND,
				      .n_sack = 1,
				      .sack = {{iss + 2 * MSS, iss + i * MSS}}});
		bed_run(b);
	}
	const struct out *o = bed_out(b);
	assert_int_equal(o->seq, iss + MSS);
	assert_int_equal(o->tos, 0); // RFC 3168 6.1.5: what is sent again is not marked
	assert_int_equal(o->flags & SETUP, 0);
	assert_int_equal(c->ssthresh, 7 * MSS);
	assert_int_equal(bed_count(b, CTR_tcp_ecn_reduced), 1);
	bed_free(b);
}

static void rfc3168_6_1_2_what_is_sent_first_after_a_loss_carries_cwr(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_ecn(b, false);
	uint32_t iss = b->ack;

	(void)state;
	bed_send(b, c, 40 * MSS);
	bed_drain(b);
	for (int i = 0; i < 3; i++)
		ack_with(b, iss, 0);
	while (b->seen < b->n_out) // limited transmit, then the first segment again
		assert_int_equal(bed_out(b)->flags & SETUP, 0);
	bed_drain(b);
	ack_with(b, iss + 12 * MSS, 0);
	assert_int_equal(bed_out(b)->flags & SETUP, TCP_CWR);
	bed_free(b);
}

static void rfc3168_6_1_3_a_mark_is_echoed_until_the_peer_has_reduced(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_ecn(b, false);

	(void)state;
	data_with(b, ECT, 0);
	bed_silent(b);
	data_with(b, CE, 0);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags, TCP_ACK | TCP_ECE);
	assert_int_equal(o->tos, 0); // RFC 3168 6.1.4: no acknowledgement alone is ECN-capable
	assert_int_equal(bed_count(b, CTR_tcp_ecn_marked), 1);
	data_with(b, ECT, 0);
	bed_send(b, c, 100);
	o = bed_out(b);
	assert_int_equal(o->len, 100);
	assert_int_equal(o->flags & SETUP, TCP_ECE);
	assert_int_equal(o->tos, ECT);
	data_with(b, ECT, TCP_CWR);
	data_with(b, ECT, 0);
	assert_int_equal(bed_out(b)->flags, TCP_ACK);
	data_with(b, CE, TCP_CWR); // marked on its way, too
	assert_int_equal(bed_out(b)->flags, TCP_ACK | TCP_ECE);
	bed_free(b);
}

static void rfc3168_6_1_5_a_mark_outside_of_the_window_does_not_count(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});

	(void)state;
	accept_ecn(b, false);
	data_with(b, 0, 0);
	b->tos = CE;
	bed_in(b, (struct in){.seq = b->seq + 1000000, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .len = 10});
	bed_run(b);
	assert_int_equal(bed_out(b)->flags, TCP_ACK);
	assert_int_equal(bed_count(b, CTR_tcp_ecn_marked), 0);
	bed_free(b);
}

static void rfc3168_6_1_6_a_window_probe_is_not_marked(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = accept_ecn(b, true);

	(void)state;
	bed_send(b, c, MSS);
	bed_ack(b, b->ack + MSS, 0);
	bed_drain(b);
	bed_send(b, c, MSS);
	bed_silent(b);
	bed_sleep(b, 1100 * MS);
	const struct out *o = bed_out(b);
	assert_int_equal(o->len, 1);
	assert_int_equal(o->tos, 0);
	bed_free(b);
}

static void without_agreement_nothing_is_marked_and_marks_say_nothing(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);

	(void)state;
	data_with(b, CE, 0);
	data_with(b, CE, 0);
	assert_int_equal(bed_out(b)->flags, TCP_ACK);
	bed_send(b, c, 5 * MSS);
	while (b->seen < b->n_out)
		assert_int_equal(bed_out(b)->tos, 0);
	ack_with(b, b->ack + MSS, TCP_ECE);
	assert_int_equal(c->cwnd, 11 * MSS);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc3168_6_1_1_an_offer_is_taken_unless_it_is_switched_off),
	BED_TEST(rfc3168_6_1_1_a_syn_with_one_of_the_flags_is_no_offer),
	BED_TEST(rfc3168_6_1_1_only_where_it_is_on_do_we_offer_it),
	BED_TEST(a_connection_that_we_open_may_differ_from_the_stack),
	BED_TEST(rfc3168_6_1_1_the_answer_decides_and_one_that_reflects_both_flags_is_none),
	BED_TEST(rfc3168_6_1_1_1_a_syn_without_an_answer_is_sent_again_without_offer),
	BED_TEST(rfc3168_6_1_1_1_a_syn_that_is_refused_is_sent_again_without_offer),
	BED_TEST(rfc3168_6_1_1_a_peer_that_repeats_its_syn_without_offer_is_not_sent_ect),
	BED_TEST(rfc3168_6_1_1_when_both_open_at_once_both_offers_count),
	BED_TEST(rfc3168_6_1_2_an_echo_reduces_the_window_once_and_new_data_tells_so),
	BED_TEST(rfc3168_6_1_2_an_echo_never_widens_the_window),
	BED_TEST(rfc3168_6_1_2_a_loss_in_the_same_window_does_not_reduce_it_again),
	BED_TEST(rfc3168_6_1_2_what_is_sent_first_after_a_loss_carries_cwr),
	BED_TEST(rfc3168_6_1_3_a_mark_is_echoed_until_the_peer_has_reduced),
	BED_TEST(rfc3168_6_1_5_a_mark_outside_of_the_window_does_not_count),
	BED_TEST(rfc3168_6_1_6_a_window_probe_is_not_marked),
	BED_TEST(without_agreement_nothing_is_marked_and_marks_say_nothing),
};
BED_MAIN(tests)
