// Which endpoint the next attempt gets.
#include "base/hash.h"
#include "upstream/upstream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define ENDPOINTS 4
#define MANY      40

struct world {
	struct {
		struct snapshot s;
		struct snap_endpoint e[MANY]; // ENDPOINTS of them are in use at first
		struct snap_upstream u;
	} snap;
	struct upstream_pool pool;
	struct arena arena;
	struct random random;
	struct worker_stats *stats;
	struct upstream_stats *up_stats;
	struct region *region;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->region = calloc(1, region_size(1));
	region_create(w->region, 1);
	w->stats = aligned_alloc(64, sizeof(*w->stats));
	w->up_stats = aligned_alloc(64, STATS_UPSTREAMS * sizeof(*w->up_stats));
	assert_int_equal(arena_init(&w->arena, upstream_memory(16) + 65536), 0);
	random_seed(&w->random, 1);
	assert_int_equal(
		upstream_init(&w->pool, &w->arena, 16, NULL, w->region, 0, w->stats, w->up_stats, &w->random),
		0);
	w->snap.s.generation = 1;
	w->snap.s.upstreams = (struct snap_ref){offsetof(struct world, snap.u), 1};
	w->snap.u.endpoints = (struct snap_ref){(uint32_t)((char *)w->snap.e - (char *)&w->snap.s), ENDPOINTS};
	w->snap.s.upstreams.off = (uint32_t)((char *)&w->snap.u - (char *)&w->snap.s);
	w->snap.u.down_after = 2;
	w->snap.u.down_for = 1000;
	w->snap.u.stat_slot = 1;
	for (uint32_t i = 0; i < MANY; i++) {
		w->snap.e[i].slot = i + 1;
		w->snap.e[i].epoch = 1;
		w->snap.e[i].weight = 1;
		atomic_store(&region_endpoints(w->region)[i + 1].weight, -1);
	}
	upstream_configure(&w->pool, &w->snap.s);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	arena_fini(&w->arena);
	free(w->region);
	free(w->stats);
	free(w->up_stats);
	free(w);
	return 0;
}

static int pick_at(struct world *w, uint64_t avoid, uint64_t now)
{
	bool full;
	const struct snap_endpoint *e = upstream_pick(&w->pool, &w->snap.s, &w->snap.u, avoid, now, &full);

	return e ? (int)(e - w->snap.e) : -1;
}

static int pick(struct world *w)
{
	return pick_at(w, 0, 0);
}

static void round_robin_takes_each_endpoint_in_turn(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 3 * ENDPOINTS; i++)
		assert_int_equal(pick(w), i % ENDPOINTS);
}

static void weights_are_kept_exactly_over_a_round(void **state)
{
	struct world *w = *state;
	int got[ENDPOINTS] = {0};

	w->snap.e[0].weight = 5;
	w->snap.e[1].weight = 3;
	for (int i = 0; i < 100; i++)
		got[pick(w)]++;
	assert_int_equal(got[0], 50);
	assert_int_equal(got[1], 30);
	assert_int_equal(got[2], 10);
	assert_int_equal(got[3], 10);
}

static void a_weight_set_by_hand_wins_over_the_configured_one(void **state)
{
	struct world *w = *state;

	atomic_store(&region_endpoints(w->region)[2].weight, 0);
	for (int i = 0; i < 100; i++)
		assert_int_not_equal(pick(w), 1);
}

static void an_endpoint_drained_or_in_maintenance_gets_nothing(void **state)
{
	struct world *w = *state;

	atomic_store(&region_endpoints(w->region)[1].admin, ADMIN_DRAIN);
	atomic_store(&region_endpoints(w->region)[3].admin, ADMIN_MAINT);
	for (int i = 0; i < 20; i++)
		assert_int_equal(pick(w) % 2, 1);
}

static void an_endpoint_that_failed_this_request_is_avoided(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 20; i++)
		assert_int_equal(pick_at(w, 0x7, 0), 3);
	assert_int_equal(pick_at(w, 0xf, 0), -1);
}

static void failures_in_a_row_mark_it_down_until_a_trial_is_due(void **state)
{
	struct world *w = *state;
	bool seen = false;

	upstream_failed(&w->pool, &w->snap.u, &w->snap.e[0], 0);
	assert_int_equal(w->pool.endpoint[1].health, HEALTH_UP);
	upstream_failed(&w->pool, &w->snap.u, &w->snap.e[0], 0);
	assert_int_equal(w->pool.endpoint[1].health, HEALTH_DOWN);
	assert_int_equal(atomic_load(&region_health(w->region, 0)[1]), HEALTH_DOWN);
	for (int i = 0; i < 20; i++)
		assert_int_not_equal(pick_at(w, 0, 999), 0);
	for (int i = 0; i < ENDPOINTS; i++)
		seen |= pick_at(w, 0, 1000) == 0;
	assert_true(seen);
	// While the trial runs, nothing else is sent there.
	w->pool.endpoint[1].tried = true;
	for (int i = 0; i < 20; i++)
		assert_int_not_equal(pick_at(w, 0, 1000), 0);
}

static void full_endpoints_are_told_apart_from_missing_ones(void **state)
{
	struct world *w = *state;
	bool full;

	w->snap.u.max_connections = 1;
	for (uint32_t i = 1; i <= ENDPOINTS; i++)
		w->pool.endpoint[i].connections = 1;
	assert_null(upstream_pick(&w->pool, &w->snap.s, &w->snap.u, 0, 0, &full));
	assert_true(full);
	w->snap.u.endpoints.n = 0;
	assert_null(upstream_pick(&w->pool, &w->snap.s, &w->snap.u, 0, 0, &full));
	assert_false(full);
}

static void least_request_takes_the_idlest_for_its_weight(void **state)
{
	struct world *w = *state;

	w->snap.u.balance = BALANCE_LEAST_REQUEST;
	w->pool.endpoint[1].active = 4;
	w->pool.endpoint[2].active = 3;
	w->pool.endpoint[3].active = 2;
	w->pool.endpoint[4].active = 3;
	for (int i = 0; i < 20; i++)
		assert_int_equal(pick(w), 2);
	w->snap.e[0].weight = 4; // 4 in flight at weight 4 is less than 2 at weight 1
	for (int i = 0; i < 20; i++)
		assert_int_equal(pick(w), 0);
}

static void a_weight_of_0_takes_even_the_only_endpoint_out(void **state)
{
	struct world *w = *state;

	w->snap.u.endpoints.n = 1;
	atomic_store(&region_endpoints(w->region)[1].weight, 0);
	assert_int_equal(pick(w), -1);
	w->snap.u.balance = BALANCE_LEAST_REQUEST;
	assert_int_equal(pick(w), -1);
}

static void the_only_usable_one_of_many_is_found(void **state)
{
	struct world *w = *state;

	w->snap.u.balance = BALANCE_LEAST_REQUEST;
	w->snap.u.endpoints.n = MANY;
	for (uint32_t i = 1; i <= MANY; i++)
		atomic_store(&region_endpoints(w->region)[i].admin, i == 30 ? ADMIN_READY : ADMIN_MAINT);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pick(w), 29);
}

static void what_is_known_of_a_slot_is_not_said_of_who_had_it_before(void **state)
{
	struct world *w = *state;
	struct snap_endpoint before = w->snap.e[0];

	w->snap.e[0].epoch = 2;
	upstream_configure(&w->pool, &w->snap.s);
	w->pool.endpoint[1].idle = (struct upstream_conn *)(void *)w; // must not be touched
	assert_null(upstream_reuse(&w->pool, &before, NULL));
	w->pool.endpoint[1].idle = NULL;
}

static void another_owner_of_a_slot_starts_afresh(void **state)
{
	struct world *w = *state;

	upstream_failed(&w->pool, &w->snap.u, &w->snap.e[0], 0);
	upstream_failed(&w->pool, &w->snap.u, &w->snap.e[0], 0);
	w->snap.e[0].epoch = 2;
	upstream_configure(&w->pool, &w->snap.s);
	assert_int_equal(w->pool.endpoint[1].health, HEALTH_UP);
	assert_int_equal(w->pool.endpoint[1].failures, 0);
}

#define KEYS 10000

static int stick(struct world *w, uint64_t token, uint64_t key, uint64_t avoid)
{
	struct upstream_stick st = {token, key ? hash64(&key, sizeof(key)) : 0};
	bool full;
	const struct snap_endpoint *e =
		upstream_pick_sticky(&w->pool, &w->snap.s, &w->snap.u, &st, avoid, 0, &full);

	return e ? (int)(e - w->snap.e) : -1;
}

static void addresses(struct world *w)
{
	for (uint32_t i = 0; i < MANY; i++) {
		w->snap.e[i].addr = addr_from_v4((uint32_t)(0x0b0013c6 + (i << 24)));
		w->snap.e[i].tcp_port = 8080;
		w->snap.e[i].token = 1000 + i;
	}
}

static void a_key_goes_to_the_same_endpoint_and_keys_spread_by_weight(void **state)
{
	struct world *w = *state;
	int got[ENDPOINTS] = {0};

	addresses(w);
	w->snap.e[2].weight = 2;
	for (uint64_t k = 1; k <= KEYS; k++) {
		int e = stick(w, 0, k, 0);

		assert_int_equal(stick(w, 0, k, 0), e);
		got[e]++;
	}
	for (int i = 0; i < ENDPOINTS; i++) // of five parts the third has two
		assert_true(abs(got[i] - KEYS * (i == 2 ? 2 : 1) / 5) < KEYS / 50);
}

static void
where_endpoints_stand_in_the_list_does_not_matter_and_only_keys_of_one_that_is_gone_move(void **state)
{
	struct world *w = *state;
	struct snap_endpoint first, last;
	int before[KEYS + 1];

	addresses(w);
	for (uint64_t k = 1; k <= KEYS; k++)
		before[k] = stick(w, 0, k, 0);
	first = w->snap.e[0];
	last = w->snap.e[ENDPOINTS - 1];
	w->snap.e[0] = last;
	w->snap.u.endpoints.n--;
	for (uint64_t k = 1; k <= KEYS; k++) {
		int e = stick(w, 0, k, 0);

		if (before[k] == ENDPOINTS - 1)
			assert_int_equal(e, 0);
		else if (before[k] != 0)
			assert_int_equal(e, before[k]);
	}
	w->snap.e[0] = first;
	w->snap.u.endpoints.n++;
	// One that is out of service counts as gone.
	atomic_store(&region_endpoints(w->region)[2].admin, ADMIN_MAINT);
	for (uint64_t k = 1; k <= KEYS; k++) {
		int e = stick(w, 0, k, 0);

		assert_true(before[k] == 1 ? e != 1 : e == before[k]);
	}
}

// All of them weighed, in the plainest way.
static int stick_plain(const struct world *w, uint64_t key, uint64_t avoid)
{
	double least = 0;
	int best = -1;

	for (uint32_t i = 0; i < w->snap.u.endpoints.n; i++) {
		const struct snap_endpoint *e = &w->snap.e[i];
		double cost;

		if (e->weight == 0 || (avoid >> i & 1) ||
		    atomic_load(&region_endpoints(w->region)[e->slot].admin) != ADMIN_READY)
			continue;
		cost = upstream_rendezvous(hash64(&key, sizeof(key)),
					   hash_mix(e->addr.w[0] ^ e->tcp_port, e->addr.w[1]), e->weight);
		if (best < 0 || cost < least) {
			best = (int)i;
			least = cost;
		}
	}
	return best;
}

static void a_key_goes_to_the_nearest_of_the_usable_whatever_their_weights(void **state)
{
	static const uint32_t weights[] = {1, 1, 1, 2, 50, 0};
	struct world *w = *state;
	unsigned first = 0;

	addresses(w);
	w->snap.u.endpoints.n = MANY;
	for (unsigned round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < MANY; i++) {
			w->snap.e[i].weight = round < 10 ? 7 : weights[random_below(&w->random, 6)];
			atomic_store(&region_endpoints(w->region)[i + 1].admin,
				     random_below(&w->random, 4) ? ADMIN_READY : ADMIN_DRAIN);
		}
		for (uint64_t k = 1; k <= 200; k++) {
			uint64_t avoid = random_next(&w->random) & random_next(&w->random);
			int plain = stick_plain(w, k, avoid);

			if (plain >= 0)
				assert_int_equal(stick(w, 0, k, avoid), plain);
			first += plain == 0;
		}
	}
	assert_in_range(first, 50, 1000);
}

static void a_token_names_its_endpoint_until_that_is_not_usable(void **state)
{
	struct world *w = *state;

	addresses(w);
	for (int i = 0; i < 10; i++)
		assert_int_equal(stick(w, 1002, 0, 0), 2);
	assert_int_not_equal(stick(w, 1002, 0, 1u << 2), 2);
	atomic_store(&region_endpoints(w->region)[3].admin, ADMIN_DRAIN);
	assert_int_not_equal(stick(w, 1002, 0, 0), 2);
	assert_true(stick(w, 77, 0, 0) >= 0); // nobody's
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(round_robin_takes_each_endpoint_in_turn),
		T(weights_are_kept_exactly_over_a_round),
		T(a_weight_set_by_hand_wins_over_the_configured_one),
		T(an_endpoint_drained_or_in_maintenance_gets_nothing),
		T(an_endpoint_that_failed_this_request_is_avoided),
		T(failures_in_a_row_mark_it_down_until_a_trial_is_due),
		T(full_endpoints_are_told_apart_from_missing_ones),
		T(least_request_takes_the_idlest_for_its_weight),
		T(another_owner_of_a_slot_starts_afresh),
		T(a_weight_of_0_takes_even_the_only_endpoint_out),
		T(the_only_usable_one_of_many_is_found),
		T(what_is_known_of_a_slot_is_not_said_of_who_had_it_before),
		cmocka_unit_test_setup_teardown(a_key_goes_to_the_same_endpoint_and_keys_spread_by_weight,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			where_endpoints_stand_in_the_list_does_not_matter_and_only_keys_of_one_that_is_gone_move,
			setup, teardown),
		T(a_key_goes_to_the_nearest_of_the_usable_whatever_their_weights),
		cmocka_unit_test_setup_teardown(a_token_names_its_endpoint_until_that_is_not_usable, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
