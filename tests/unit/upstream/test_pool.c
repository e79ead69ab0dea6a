// Pooled connections that nobody uses: they are asked for a sign of life, and end when none comes.
#include "tests/unit/tcp/bed.h"
#include "upstream/upstream.h"

#define IDLE  (60 * SEC)
#define PROBE (8 * SEC)

struct world {
	struct bed *b;
	struct {
		struct snapshot s;
		struct snap_upstream u;
		struct snap_endpoint e;
	} snap;
	struct upstream_pool pool;
	struct arena arena;
	struct random random;
	struct upstream_stats *up_stats;
	struct region *region;
	struct upstream_conn *c;
	bool closed; // by its timer
	int owner;
};

// What the gateway does for connections of its pool.
static void event(void *ctx, struct tcp_conn *t, void *user, unsigned events)
{
	struct world *w = ctx;
	struct upstream_conn *c = user;

	(void)t;
	if (events & EV_OPEN)
		upstream_opened(&w->pool, c);
	if (!c->owner && (events & EV_TIMER))
		w->closed = upstream_idle_timer(&w->pool, c, w->b->now);
}

// One connection, idle in the pool.
static struct world *make(uint64_t idle, uint64_t probe)
{
	struct world *w = calloc(1, sizeof(*w));
	int err = 0;

	w->b = bed_make((struct tcp_config){0});
	w->region = calloc(1, region_size(1));
	region_create(w->region, 1);
	w->up_stats = aligned_alloc(64, STATS_UPSTREAMS * sizeof(*w->up_stats));
	memset(w->up_stats, 0, STATS_UPSTREAMS * sizeof(*w->up_stats));
	assert_int_equal(arena_init(&w->arena, upstream_memory(4) + 65536), 0);
	random_seed(&w->random, 1);
	assert_int_equal(upstream_init(&w->pool, &w->arena, 4, w->b->tcp, w->region, 0, w->b->stats,
				       w->up_stats, &w->random),
			 0);
	w->snap.s.generation = 1;
	w->snap.s.upstreams = (struct snap_ref){(uint32_t)((char *)&w->snap.u - (char *)&w->snap.s), 1};
	w->snap.u.endpoints = (struct snap_ref){(uint32_t)((char *)&w->snap.e - (char *)&w->snap.s), 1};
	w->snap.u.stat_slot = 1;
	w->snap.e = (struct snap_endpoint){
		.addr = w->b->remote, .tcp_port = SRV, .slot = 1, .epoch = 1, .weight = 1};
	upstream_configure(&w->pool, &w->snap.s);
	w->c = upstream_open(&w->pool, &w->snap.u, &w->snap.e, event, w, &w->owner, &err);
	assert_non_null(w->c);
	bed_run(w->b);
	const struct out *o = bed_out(w->b);
	w->b->peer_port = SRV;
	w->b->our_port = o->src;
	w->b->ack = o->seq + 1;
	bed_in(w->b, (struct in){.seq = w->b->seq++, .ack = w->b->ack, .flags = TCP_SYN | TCP_ACK, .wnd = WND});
	bed_run(w->b);
	bed_drain(w->b);
	upstream_release(&w->pool, w->c, w->b->now, idle, probe);
	return w;
}

static void drop(struct world *w)
{
	bed_free(w->b);
	arena_fini(&w->arena);
	free(w->region);
	free(w->up_stats);
	free(w);
}

static void is_probe(const struct world *w, const struct out *o, uint64_t after)
{
	assert_int_equal(o->flags, TCP_ACK);
	assert_int_equal(o->len, 0);
	assert_int_equal(o->seq, w->b->ack - 1);
	assert_in_range(o->at, 1000 * SEC + after, 1000 * SEC + after + 40 * MS);
}

static void rfc9293_3_8_4_an_idle_connection_is_probed_and_ended_when_nothing_answers(void **state)
{
	struct world *w = make(IDLE, PROBE);

	(void)state;
	bed_sleep(w->b, PROBE + 3 * PROBE / 4 + 20 * MS);
	for (unsigned i = 0; i < 3; i++)
		is_probe(w, bed_out(w->b), PROBE + i * PROBE / 4);
	assert_true(bed_out(w->b)->flags & TCP_RST);
	assert_true(w->closed);
	assert_int_equal(bed_count(w->b, CTR_up_pool_dead), 1);
	assert_int_equal(w->pool.conns.used, 0);
	assert_int_equal(stat_get(&w->up_stats[1].connections), 0);
	drop(w);
}

static void one_whose_host_answers_stays_until_its_time_is_over(void **state)
{
	struct world *w = make(IDLE, PROBE);
	unsigned probes = 0;

	(void)state;
	while (!w->closed && w->b->now < 1100 * SEC) {
		bed_sleep(w->b, SEC / 2);
		for (; w->b->seen < w->b->n_out; probes += !w->closed) {
			const struct out *o = bed_out(w->b);
			if (!w->closed) {
				is_probe(w, o, (1 + probes) * PROBE);
				bed_ack(w->b, w->b->ack, WND);
			} else {
				assert_true(o->flags & TCP_FIN); // it is there: it is told
			}
		}
	}
	assert_int_equal(probes, 7);
	assert_in_range(w->b->now, 1000 * SEC + IDLE, 1000 * SEC + IDLE + SEC);
	assert_int_equal(bed_count(w->b, CTR_up_pool_dead), 0);
	drop(w);
}

static void a_request_is_not_given_to_one_that_left_two_probes_unanswered(void **state)
{
	struct world *w = make(IDLE, PROBE);

	(void)state;
	bed_sleep(w->b, PROBE + PROBE / 4 + 20 * MS);
	assert_false(w->closed);
	assert_null(upstream_reuse(&w->pool, &w->snap.e, &w->owner));
	assert_int_equal(bed_count(w->b, CTR_up_pool_dead), 1);
	assert_int_equal(w->pool.conns.used, 0);
	drop(w);
}

// What was begun before its host took no more connections, a tunnel say, may go on for hours.
static void an_endpoint_that_was_down_is_tried_again_while_an_old_connection_of_it_is_in_use(void **state)
{
	struct world *w = make(IDLE, 0);
	struct upstream_conn *trial;
	bool full;
	int err;

	(void)state;
	atomic_store(&region_endpoints(w->region)[1].weight, -1);
	w->snap.u.down_after = 1;
	w->snap.u.down_for = SEC;
	assert_ptr_equal(upstream_reuse(&w->pool, &w->snap.e, &w->owner), w->c);
	upstream_failed(&w->pool, &w->snap.u, &w->snap.e, w->b->now);
	assert_null(upstream_pick(&w->pool, &w->snap.s, &w->snap.u, 0, w->b->now, &full));
	assert_ptr_equal(upstream_pick(&w->pool, &w->snap.s, &w->snap.u, 0, w->b->now + SEC, &full),
			 &w->snap.e);
	// Nothing else is sent there until its outcome is known.
	trial = upstream_open(&w->pool, &w->snap.u, &w->snap.e, event, w, &w->owner, &err);
	assert_null(upstream_pick(&w->pool, &w->snap.s, &w->snap.u, 0, w->b->now + SEC, &full));
	upstream_close(&w->pool, trial, true);
	assert_non_null(upstream_pick(&w->pool, &w->snap.s, &w->snap.u, 0, w->b->now + SEC, &full));
	upstream_close(&w->pool, w->c, true);
	drop(w);
}

static void a_request_is_given_to_one_whose_first_probe_may_be_on_its_way(void **state)
{
	struct world *w = make(IDLE, PROBE);

	(void)state;
	bed_sleep(w->b, PROBE + 20 * MS);
	assert_int_equal(w->b->n_out, 1);
	assert_ptr_equal(upstream_reuse(&w->pool, &w->snap.e, &w->owner), w->c);
	bed_drain(w->b);
	bed_sleep(w->b, 2 * IDLE);
	bed_silent(w->b); // in use: the request's own times count
	upstream_close(&w->pool, w->c, true);
	drop(w);
}

static void without_a_time_for_probes_none_is_sent(void **state)
{
	struct world *w = make(IDLE, 0);

	(void)state;
	bed_sleep(w->b, IDLE - SEC);
	bed_silent(w->b);
	bed_sleep(w->b, 2 * SEC);
	assert_true(w->closed);
	assert_true(bed_out(w->b)->flags & TCP_FIN);
	drop(w);
}

static void one_whose_time_ends_while_a_probe_is_unanswered_is_reset(void **state)
{
	struct world *w = make(PROBE + SEC, PROBE);

	(void)state;
	bed_sleep(w->b, PROBE + 2 * SEC);
	is_probe(w, bed_out(w->b), PROBE);
	assert_true(bed_out(w->b)->flags & TCP_RST); // a FIN would be sent again for minutes
	assert_true(w->closed);
	drop(w);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(rfc9293_3_8_4_an_idle_connection_is_probed_and_ended_when_nothing_answers),
	BED_TEST(one_whose_host_answers_stays_until_its_time_is_over),
	BED_TEST(a_request_is_not_given_to_one_that_left_two_probes_unanswered),
	BED_TEST(a_request_is_given_to_one_whose_first_probe_may_be_on_its_way),
	BED_TEST(an_endpoint_that_was_down_is_tried_again_while_an_old_connection_of_it_is_in_use),
	BED_TEST(without_a_time_for_probes_none_is_sent),
	BED_TEST(one_whose_time_ends_while_a_probe_is_unanswered_is_reset),
};
BED_MAIN(tests)
