// The region: its check, the slots that keep their owners, the rings in it.
#include "contract/region.h"
#include "contract/stats.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka needs the headers above first
#include <cmocka.h>

static struct region *region_new(uint32_t workers)
{
	struct region *r = aligned_alloc(4096, region_size(workers));

	memset(r, 0, region_size(workers));
	region_create(r, workers);
	return r;
}

static void a_fresh_region_passes_its_check(void **state)
{
	char why[128];

	(void)state;
	for (uint32_t workers = 1; workers <= SNAP_WORKERS_MAX; workers *= 4) {
		struct region *r = region_new(workers);

		assert_true(region_verify(r, region_size(workers), why, sizeof why));
		free(r);
	}
}

static void every_changed_bit_of_its_fixed_header_is_refused(void **state)
{
	struct region *r = region_new(2);
	char why[128];

	(void)state;
	for (size_t i = 0; i < offsetof(struct region, log_level) * 8; i++) {
		unsigned char *byte = (unsigned char *)r + i / 8;

		*byte ^= (unsigned char)(1u << i % 8);
		assert_false(region_verify(r, region_size(2), why, sizeof why));
		*byte ^= (unsigned char)(1u << i % 8);
	}
	free(r);
}

static void a_region_that_is_too_short_is_refused(void **state)
{
	struct region *r = region_new(1);
	char why[128];

	(void)state;
	assert_false(region_verify(r, region_size(1) - 1, why, sizeof why));
	assert_false(region_verify(r, sizeof *r - 1, why, sizeof why));
	assert_false(region_verify(r, 0, why, sizeof why));
	free(r);
}

static void a_name_keeps_its_slot(void **state)
{
	struct region *r = region_new(1);
	uint32_t a = region_endpoint_slot(r, "orders/198.18.0.10:80"),
		 b = region_endpoint_slot(r, "orders/198.18.0.11:80"), route = 0;

	(void)state;
	assert_true(a > 0 && b > 0 && a != b);
	assert_int_equal(region_endpoint_slot(r, "orders/198.18.0.10:80"), a);
	assert_int_equal(region_endpoints(r)[a].epoch, 1);
	assert_int_equal(region_target_slot(r, "x/orders"), region_target_slot(r, "x/orders"));
	route = region_name_slot(region_routes(r), STATS_ROUTES, "x");
	assert_int_equal(region_name_slot(region_routes(r), STATS_ROUTES, "x"), route);
	assert_string_equal(region_routes(r)[route].text, "x");
	assert_string_equal(region_routes(r)[0].text, "other");
	free(r);
}

static void a_new_slot_has_nothing_set_by_hand(void **state)
{
	struct region *r = region_new(1);
	uint32_t e = region_endpoint_slot(r, "a/b"), t = region_target_slot(r, "c/d");

	(void)state;
	assert_int_equal(region_endpoints(r)[e].weight, -1);
	assert_int_equal(region_endpoints(r)[e].admin, ADMIN_READY);
	assert_int_equal(region_targets(r)[t].weight, -1);
	free(r);
}

static void
a_released_slot_goes_to_another_owner_under_another_epoch_without_losing_those_behind_it(void **state)
{
	struct region *r = region_new(1);
	static uint32_t slot[REGION_ENDPOINTS];
	char key[32];
	uint32_t again;

	(void)state;
	for (uint32_t i = 1; i < REGION_ENDPOINTS; i++) {
		snprintf(key, sizeof key, "u/%u", i);
		slot[i] = region_endpoint_slot(r, key);
		assert_true(slot[i] > 0 && slot[i] < REGION_ENDPOINTS);
	}
	assert_int_equal(region_endpoint_slot(r, "u/one too many"), 0);
	atomic_store(&region_endpoints(r)[slot[7]].admin, ADMIN_MAINT);
	region_endpoint_release(r, slot[7]);
	for (uint32_t i = 1; i < REGION_ENDPOINTS; i += 100) {
		snprintf(key, sizeof key, "u/%u", i);
		if (i != 7)
			assert_int_equal(region_endpoint_slot(r, key), slot[i]);
	}
	again = region_endpoint_slot(r, "u/another");
	assert_int_equal(again, slot[7]);
	assert_int_equal(region_endpoints(r)[again].epoch, 2);
	assert_int_equal(region_endpoints(r)[again].admin, ADMIN_READY);
	free(r);
}

static void names_beyond_the_table_go_to_other(void **state)
{
	struct region *r = region_new(1);
	char name[32];

	(void)state;
	for (uint32_t i = 1; i < STATS_ROUTES; i++) {
		snprintf(name, sizeof name, "route %u", i);
		assert_int_not_equal(region_name_slot(region_routes(r), STATS_ROUTES, name), 0);
	}
	assert_int_equal(region_name_slot(region_routes(r), STATS_ROUTES, "late"), 0);
	free(r);
}

static void every_worker_has_three_rings_that_do_not_touch(void **state)
{
	struct region *r = region_new(3);
	static char in[REC_MAX], out[REC_MAX];

	(void)state;
	for (uint32_t w = 0; w < 3; w++)
		for (enum ring_id id = 0; id < RING_IDS; id++) {
			memset(in, (int)(1 + w * RING_IDS + id), sizeof in);
			while (rec_ring_put(region_ring(r, w, id), region_ring_size(id), 7, in, sizeof in))
				;
		}
	for (uint32_t w = 0; w < 3; w++)
		for (enum ring_id id = 0; id < RING_IDS; id++) {
			struct rec_ring *ring = region_ring(r, w, id);
			uint16_t type = 0;
			unsigned n = 0;

			memset(in, (int)(1 + w * RING_IDS + id), sizeof in);
			while (rec_ring_get(ring, region_ring_size(id), &type, out) > 0) {
				assert_int_equal(type, 7);
				assert_memory_equal(in, out, sizeof in);
				n++;
			}
			assert_true(n > 0 && n >= region_ring_size(id) / sizeof in - n / 8 - 1);
		}
	assert_true((char *)region_ring(r, 2, RING_LOG)->data + region_ring_size(RING_LOG) <=
		    (char *)r + region_size(3));
	free(r);
}

static void a_damaged_header_leads_nobody_out_of_the_region(void **state)
{
	struct region *r = region_new(2);
	char *const from = (char *)r, *const to = from + region_size(2);

	(void)state;
	memset(r, 0xff, sizeof *r);
	assert_int_equal(region_workers(r), 0);
	assert_true((char *)(region_endpoints(r) + REGION_ENDPOINTS) <= to);
	assert_true((char *)(region_targets(r) + REGION_TARGETS) <= to);
	assert_true((char *)(region_routes(r) + STATS_ROUTES) <= to);
	assert_true((char *)(region_upstreams(r) + STATS_UPSTREAMS) <= to);
	assert_true((char *)(region_ports(r) + STATS_PORTS) <= to);
	assert_true((char *)(region_endpoint_names(r) + REGION_ENDPOINTS) <= to);
	assert_true((char *)(region_health(r, 1) + REGION_ENDPOINTS) <= to);
	assert_true((char *)(region_active(r, 1) + REGION_ENDPOINTS) <= to);
	assert_true((char *)region_ring(r, 1, RING_LOG)->data + REGION_LOG_RING <= to);
	assert_int_not_equal(region_endpoint_slot(r, "a/198.18.0.1:80"), 0);
	free(from);
}

static void a_route_stays_disabled_until_it_is_enabled(void **state)
{
	struct region *r = region_new(1);
	char name[16];

	(void)state;
	assert_false(region_route_is_off(r, SLICE("a")));
	for (unsigned i = 0; i < REGION_ROUTES_OFF; i++) {
		snprintf(name, sizeof name, "r%u", i);
		assert_true(region_route_switch(r, slice_of(name, strlen(name)), true));
		assert_true(region_route_switch(r, slice_of(name, strlen(name)), true));
	}
	assert_int_equal(atomic_load(&r->n_routes_off), REGION_ROUTES_OFF);
	assert_false(region_route_switch(r, SLICE("a"), true)); // no more can be
	assert_true(region_route_switch(r, SLICE("r3"), false));
	assert_true(region_route_switch(r, SLICE("absent"), false));
	assert_false(region_route_is_off(r, SLICE("r3")));
	assert_true(region_route_is_off(r, SLICE("r2")));
	assert_true(region_route_is_off(r, SLICE("r255")));
	assert_true(region_route_switch(r, SLICE("a"), true));
	assert_true(region_route_is_off(r, SLICE("a")));
	r->n_routes_off = UINT32_MAX; // damaged
	assert_true(region_route_is_off(r, SLICE("a")));
	assert_false(region_route_is_off(r, SLICE("b")));
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_region_passes_its_check),
		cmocka_unit_test(every_changed_bit_of_its_fixed_header_is_refused),
		cmocka_unit_test(a_region_that_is_too_short_is_refused),
		cmocka_unit_test(a_name_keeps_its_slot),
		cmocka_unit_test(a_new_slot_has_nothing_set_by_hand),
		cmocka_unit_test(
			a_released_slot_goes_to_another_owner_under_another_epoch_without_losing_those_behind_it),
		cmocka_unit_test(names_beyond_the_table_go_to_other),
		cmocka_unit_test(every_worker_has_three_rings_that_do_not_touch),
		cmocka_unit_test(a_route_stays_disabled_until_it_is_enabled),
		cmocka_unit_test(a_damaged_header_leads_nobody_out_of_the_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
