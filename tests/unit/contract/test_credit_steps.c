// Every interleaving of what workers do with credits, and of control changing the limit (interleave.h).
#include <stdbool.h>
#include <stdint.h>

static void step(const volatile void *where, bool writes);
static unsigned tries = 4; // fewer where control makes them fail, so that all walks end
#define CREDITS_STEP(where, writes) step(where, writes)
#define CREDITS_TRIES               tries
#define STEPS_MAX                   56
#define INTERLEAVE_WRITES           true
#include "contract/credits.c"
// the header follows what it stops
#include "interleave.h"

#define SLOT 5

static struct region *region;
static int32_t held;   // credits taken, and not yet wholly given back
static int32_t in_use; // requests in flight: from take's answer to the call of give
// What may be held at this moment, at most; and how many make a refusal right, which differ while a limit
// changes.
static int32_t at_most, full_at;
static bool on_their_way; // credits, while a limit is being lowered: a refusal due to that is allowed
static bool answered;     // control has said that the new limit is in force
static bool saw_full[CALLERS], began_after[CALLERS], asking[CALLERS];
static enum credit got[CALLERS];

static void now_held(int32_t change)
{
	held += change;
	for (unsigned i = 0; i < CALLERS; i++)
		saw_full[i] |= asking[i] && (held >= full_at || on_their_way);
}

static void take(unsigned self)
{
	asking[self] = true;
	began_after[self] = answered;
	saw_full[self] = false;
	now_held(0);
	got[self] = credits_take(region, self, SLOT);
	asking[self] = false;
	if (got[self] == CREDIT_TAKEN) {
		now_held(1);
		in_use++;
		if (!answered || began_after[self])
			assert_true(held <= at_most);
	}
	if (got[self] == CREDIT_REFUSED)
		assert_true(saw_full[self]);
}

static void give(unsigned self)
{
	in_use--;
	credits_give(region, self, SLOT);
	now_held(-1);
}

static void take_and_give(unsigned self)
{
	take(self);
	if (got[self] == CREDIT_TAKEN)
		give(self);
}

static void give_and_take(unsigned self)
{
	give(self);
	take(self);
}

static void take_twice(unsigned self)
{
	take(self);
	take(self);
}

static void give_take_and_give(unsigned self)
{
	give_and_take(self);
	if (got[self] == CREDIT_TAKEN)
		give(self);
}

static void take_give_and_take(unsigned self)
{
	take_and_give(self);
	take(self);
}

// workers' credits: idle[w] in the cell of worker w, used[w] in use; the rest at home.
static void fresh(uint32_t of, const uint32_t idle[CALLERS], const uint32_t used)
{
	uint32_t home = of - used;

	if (!region) {
		region = aligned_alloc(4096, region_size(CALLERS));
		memset(region, 0, region_size(CALLERS));
		region_create(region, CALLERS);
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		atomic_store(&region_credit_cells(region, i)[SLOT].idle, idle[i]);
		home -= idle[i];
		got[i] = CREDIT_NO_LIMIT;
		asking[i] = false;
	}
	atomic_store(&region_credits(region)[SLOT].home, home_make(0, of, (int32_t)home));
	at_most = full_at = (int32_t)of;
	held = in_use = (int32_t)used;
	answered = on_their_way = false;
}

static unsigned taken(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CALLERS; i++)
		n += got[i] == CREDIT_TAKEN;
	return n;
}

static void all_home(void)
{
	fresh(2, (uint32_t[CALLERS]){0}, 0);
}

static void exactly_two(void)
{
	assert_int_equal(taken(), 2);
	assert_int_equal(credits_used(region, SLOT), 2);
}

static void three_workers_get_exactly_two_credits_that_are_at_home(void **state)
{
	const struct scene s = {all_home, exactly_two, {take, take, take}};

	(void)state;
	explore(&s);
	assert_true(runs > 10 && cut == 0);
}

static void with_others(void)
{
	fresh(2, (uint32_t[CALLERS]){0, 2, 0}, 0);
}

static void credits_that_lie_idle_with_one_worker_go_to_whoever_needs_them(void **state)
{
	const struct scene s = {with_others, exactly_two, {take, take, take}};

	(void)state;
	explore(&s);
	assert_true(runs > 10 && cut == 0);
}

// The first and second have one each; what they give back, they and a third want.
static void both_used(void)
{
	fresh(2, (uint32_t[CALLERS]){0}, 2);
}

static void as_many_as_are_in_use(void)
{
	assert_int_equal(credits_used(region, SLOT), in_use);
	assert_int_equal(held, in_use);
	assert_true(in_use <= 2);
}

static void nobody_is_refused_unless_all_were_in_use_at_one_moment(void **state)
{
	const struct scene s = {both_used, as_many_as_are_in_use, {give, give_and_take, take}};

	(void)state;
	explore(&s);
	assert_true(runs > 10 && cut == 0);
}

static void one_idle(void)
{
	fresh(2, (uint32_t[CALLERS]){1, 0, 0}, 1);
}

static void credits_that_wander_between_workers_are_always_seen(void **state)
{
	const struct scene s = {one_idle, as_many_as_are_in_use, {take_and_give, give_and_take, take}};

	(void)state;
	explore(&s);
	assert_true(runs > 10 && cut == 0);
}

static void one_idle_with_the_second(void)
{
	fresh(2, (uint32_t[CALLERS]){0, 1, 0}, 1);
}

static void credits_that_wander_behind_a_look_are_seen_by_the_next(void **state)
{
	const struct scene s = {one_idle_with_the_second,
				as_many_as_are_in_use,
				{give_take_and_give, take_give_and_take, take}};

	(void)state;
	explore(&s);
	assert_true(runs > 10 && cut == 0);
}

// The third is control.
static void lower_to_one(unsigned self)
{
	(void)self;
	full_at = 1;
	on_their_way = true;
	now_held(0);
	credits_limit(region, SLOT, 1);
	step(&answered, true);
	on_their_way = false;
	at_most = 1;
	answered = true;
}

static void two_idle_with_workers(void)
{
	fresh(2, (uint32_t[CALLERS]){1, 1, 0}, 0);
}

static void no_more_than_the_new_limit_is_left(void)
{
	assert_int_equal(credits_limit_now(region, SLOT), 1);
	assert_int_equal(credits_used(region, SLOT), in_use);
	while (in_use > 0)
		give(0);
	for (unsigned i = 0; i < 3; i++) {
		got[i] = credits_take(region, i, SLOT);
		assert_int_equal(got[i], i ? CREDIT_REFUSED : CREDIT_TAKEN);
	}
}

static void a_limit_that_is_lowered_holds_for_all_that_begins_after_the_answer(void **state)
{
	const struct scene s = {
		two_idle_with_workers, no_more_than_the_new_limit_is_left, {take_twice, lower_to_one}};

	(void)state;
	explore(&s);
	assert_true(runs > 10 && cut == 0);
}

static void two_in_use(void)
{
	fresh(2, (uint32_t[CALLERS]){0}, 2);
}

static void what_is_given_back_while_a_limit_is_lowered_is_not_taken_again(void **state)
{
	const struct scene s = {
		two_in_use, no_more_than_the_new_limit_is_left, {give_and_take, give, lower_to_one}};

	(void)state;
	explore(&s);
	assert_true(runs > 10);
}

static void raise_to_three(unsigned self)
{
	(void)self;
	at_most = 3;
	credits_limit(region, SLOT, 3);
	full_at = 3;
}

static void three_there_are(void)
{
	while (in_use > 0)
		give(0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(credits_take(region, i, SLOT), CREDIT_TAKEN);
	assert_int_equal(credits_take(region, 0, SLOT), CREDIT_REFUSED);
}

static void may_be_refused(unsigned self)
{
	saw_full[self] = true;
	got[self] = credits_take(region, self, SLOT);
	in_use += got[self] == CREDIT_TAKEN;
	now_held(got[self] == CREDIT_TAKEN);
}

static void a_limit_that_is_raised_makes_the_credits_it_says(void **state)
{
	const struct scene s = {two_in_use, three_there_are, {give_and_take, may_be_refused, raise_to_three}};

	(void)state;
	explore(&s);
	assert_true(runs > 10);
}

static void lift(unsigned self)
{
	(void)self;
	credits_limit(region, SLOT, 0);
}

static void nobody_was_refused_after_it(void)
{
	for (unsigned i = 0; i < 2; i++)
		assert_int_not_equal(got[i], CREDIT_REFUSED);
	while (in_use > 0)
		give(0);
	assert_int_equal(credits_used(region, SLOT), 0);
	credits_limit(region, SLOT, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(credits_take(region, i, SLOT), i < 2 ? CREDIT_TAKEN : CREDIT_REFUSED);
}

static void take_any(unsigned self)
{
	began_after[self] = answered;
	got[self] = credits_take(region, self, SLOT);
	in_use += got[self] == CREDIT_TAKEN;
	now_held(got[self] == CREDIT_TAKEN);
}

static void a_limit_that_is_lifted_refuses_nobody_and_comes_back_with_all_its_credits(void **state)
{
	const struct scene s = {two_idle_with_workers, nobody_was_refused_after_it, {take_any, take_any, lift}};

	(void)state;
	tries = 2;
	explore(&s);
	tries = 4;
	assert_true(runs > 10 && cut == 0);
}

static void a_data_plane_that_died_has_nothing_in_flight(void **state)
{
	(void)state;
	exploring = false;
	fresh(3, (uint32_t[CALLERS]){1, 0, 0}, 2);
	region_credits(region)[SLOT].key = 77;
	assert_int_equal(credits_used(region, SLOT), 2);
	credits_restart(region);
	assert_int_equal(credits_used(region, SLOT), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(credits_take(region, 1, SLOT), i < 3 ? CREDIT_TAKEN : CREDIT_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_workers_get_exactly_two_credits_that_are_at_home),
		cmocka_unit_test(credits_that_lie_idle_with_one_worker_go_to_whoever_needs_them),
		cmocka_unit_test(nobody_is_refused_unless_all_were_in_use_at_one_moment),
		cmocka_unit_test(credits_that_wander_between_workers_are_always_seen),
		cmocka_unit_test(credits_that_wander_behind_a_look_are_seen_by_the_next),
		cmocka_unit_test(a_limit_that_is_lowered_holds_for_all_that_begins_after_the_answer),
		cmocka_unit_test(what_is_given_back_while_a_limit_is_lowered_is_not_taken_again),
		cmocka_unit_test(a_limit_that_is_raised_makes_the_credits_it_says),
		cmocka_unit_test(a_limit_that_is_lifted_refuses_nobody_and_comes_back_with_all_its_credits),
		cmocka_unit_test(a_data_plane_that_died_has_nothing_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
