// A buffer that is sent and comes back to its owner when the queue has done with it.
#include "tests/unit/tcp/bed.h"

static void what_is_kept_comes_back_as_it_was_once_all_of_it_is_acknowledged(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct pkt *p = bed_filled('a', 700);
	struct tcp_kept kept;

	(void)state;
	tcp_send_kept(c, p, &kept);
	assert_ptr_equal(kept.queued, p);
	bed_run(b);
	bed_drain(b);
	bed_ack(b, b->ack + 300, WND);
	assert_ptr_equal(kept.queued, p);
	assert_null(kept.back);
	bed_ack(b, b->ack + 400, WND);
	assert_null(kept.queued);
	assert_ptr_equal(kept.back, p);
	bed_holds(p, 'a', 700);
	// It can be sent again, and once more.
	kept.back = NULL;
	tcp_send_kept(c, p, &kept);
	bed_run(b);
	assert_int_equal(bed_out(b)->len, 700);
	bed_ack(b, b->ack + 700, WND);
	bed_holds(kept.back, 'a', 700);
	tcp_kept_end(&kept);
	tcp_abort(c);
	bed_free(b);
}

static void it_comes_back_when_its_connection_ends(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_kept kept;

	(void)state;
	tcp_send_kept(c, bed_filled('a', 700), &kept);
	bed_run(b);
	bed_in(b, (struct in){.seq = b->seq, .flags = TCP_RST});
	tcp_dispatch(b->tcp);
	assert_int_equal(b->events, EV_ERROR);
	tcp_abort(c);
	assert_null(kept.queued);
	bed_holds(kept.back, 'a', 700);
	tcp_kept_end(&kept);
	bed_free(b);
}

static void what_a_driver_still_holds_comes_back_as_a_copy_and_is_left_as_it_is(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct pkt *p = bed_filled('a', 700);
	struct tcp_kept kept;

	(void)state;
	tcp_send_kept(c, p, &kept);
	bed_run(b);
	pkt_ref(p);
	uint32_t frame = pkt_len(p);
	bed_ack(b, b->ack + 700, WND);
	assert_ptr_not_equal(kept.back, p);
	bed_holds(kept.back, 'a', 700);
	assert_int_equal(pkt_len(p), frame);
	pkt_free(p);
	tcp_kept_end(&kept);
	tcp_abort(c);
	bed_free(b);
}

static void what_is_not_wanted_any_more_is_freed_with_the_queue(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_kept kept;

	(void)state;
	tcp_send_kept(c, bed_filled('a', 700), &kept);
	bed_run(b);
	tcp_kept_end(&kept);
	bed_ack(b, b->ack + 700, WND);
	assert_null(kept.back);
	assert_int_equal(tcp_send_queued(c), 0);
	tcp_abort(c);
	bed_free(b);
}

static void nothing_is_put_behind_it_into_its_buffer(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_kept kept, after;
	struct pkt *p = bed_filled('b', 20);

	(void)state;
	tcp_send_kept(c, bed_filled('a', 100), &kept);
	assert_int_equal(tcp_send_copy(c, "more", 4), 0);
	tcp_send_kept(c, p, &after); // a copy of it stands behind that
	assert_ptr_equal(after.back, p);
	bed_run(b);
	bed_ack(b, b->ack + 124, WND);
	bed_holds(kept.back, 'a', 100);
	bed_holds(after.back, 'b', 20);
	tcp_kept_end(&kept);
	tcp_kept_end(&after);
	tcp_abort(c);
	bed_free(b);
}

static void where_nothing_can_be_sent_it_is_the_owners_at_once(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct pkt *p = bed_filled('a', 100);
	struct tcp_kept kept;

	(void)state;
	tcp_shutdown(c);
	tcp_send_kept(c, p, &kept);
	assert_null(kept.queued);
	bed_holds(kept.back, 'a', 100);
	assert_ptr_equal(kept.back, p);
	tcp_kept_end(&kept);
	tcp_abort(c);
	bed_free(b);
}

static void what_is_withdrawn_is_not_queued_any_more(void **state)
{
	struct bed *b = bed_make((struct tcp_config){0});
	struct tcp_conn *c = bed_accept(b);
	struct tcp_kept kept;
	struct pkt *p;

	(void)state;
	uint32_t mark = tcp_send_mark(c);
	tcp_send_kept(c, bed_filled('a', 700), &kept);
	p = tcp_send_withdraw(c, mark);
	bed_holds(p, 'a', 700);
	assert_null(kept.queued);
	assert_null(kept.back);
	pkt_free(p);
	tcp_kept_end(&kept);
	tcp_abort(c);
	bed_free(b);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(what_is_kept_comes_back_as_it_was_once_all_of_it_is_acknowledged),
	BED_TEST(it_comes_back_when_its_connection_ends),
	BED_TEST(what_a_driver_still_holds_comes_back_as_a_copy_and_is_left_as_it_is),
	BED_TEST(what_is_not_wanted_any_more_is_freed_with_the_queue),
	BED_TEST(nothing_is_put_behind_it_into_its_buffer),
	BED_TEST(where_nothing_can_be_sent_it_is_the_owners_at_once),
	BED_TEST(what_is_withdrawn_is_not_queued_any_more),
};
BED_MAIN(tests)
