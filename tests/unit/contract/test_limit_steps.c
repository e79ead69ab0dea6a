// Every interleaving of the table's steps (interleave.h). The table has one line of two cells, or two, so that
// callers meet.
#include <stdbool.h>
#include <stdint.h>

static void step(const volatile void *where, bool writes);
#define LIMIT_TABLE_STEP(where, writes) step(where, writes)
#define LIMIT_TABLE_WAYS                2
#define LIMIT_TABLE_LINES               1
#define LIMIT_TABLE_YIELDS              2
#include "contract/limit_table.c"
// the header follows what it stops
#include "interleave.h"

// The scene: one table of one page, whose lines are all the same to us: every key is put into its first.
static _Alignas(4096) char memory[LIMIT_TABLE_MIN];
static struct limit_table t;
static struct limit_table_key mine, other;
static struct limit_table_claims claims[CALLERS];
static enum limit_table_result got[CALLERS];
static uint64_t tat[CALLERS];

#define NOW  (1000ull * 1000000000)
#define COST 1000000000ull

static void fresh(void)
{
	char why[100];

	memset(memory, 0, sizeof(memory));
	limit_table_create(memory, sizeof(memory), (struct hash_key){1, 2});
	assert_true(limit_table_attach(&t, memory, sizeof(memory), 1, why, sizeof(why)));
	atomic_store(&t.head->reached, NOW);
	mine = (struct limit_table_key){.id = 1ull << ID_BITS | 7, .line = t.line};
	other = (struct limit_table_key){.id = 1ull << ID_BITS | 8, .line = t.line};
	for (unsigned i = 0; i < CALLERS; i++) {
		limit_table_claims_init(&claims[i], &t, i);
		got[i] = LIMIT_TABLE_FULL;
	}
}

static unsigned cells_of(const struct limit_table_key *k, uint64_t *last)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CELLS; i++)
		if (cell_at(k, i)->id == k->id) {
			n++;
			*last = cell_at(k, i)->tat;
		}
	return n;
}

static unsigned allowed(unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += got[i] == LIMIT_TABLE_ALLOWED;
	return sum;
}

// A limit of two at once.
static void ask(unsigned self)
{
	got[self] = limit_table_charge(&t, &claims[self], &mine, NOW, COST, 2 * COST, &tat[self]);
}

static void ask_other(unsigned self)
{
	got[self] = limit_table_charge(&t, &claims[self], &other, NOW, COST, 2 * COST, &tat[self]);
}

static void two_of_three(void)
{
	uint64_t last = 0;

	assert_int_equal(allowed(3), 2);
	assert_int_equal(cells_of(&mine, &last), 1);
	assert_int_equal(last, NOW + 2 * COST);
}

static void both_of_two(void)
{
	uint64_t last = 0;

	assert_int_equal(allowed(2), 2);
	assert_int_equal(cells_of(&mine, &last), 1);
	assert_int_equal(last, NOW + 2 * COST);
}

static void two_callers_make_one_cell_for_a_new_key(void **state)
{
	const struct scene s = {fresh, both_of_two, {ask, ask}};

	(void)state;
	explore(&s);
	assert_true(runs > 10);
}

static void known(void)
{
	fresh();
	cell_at(&mine, 1)->id = mine.id;
	cell_at(&mine, 1)->tat = NOW - COST;
}

static void three_callers_get_exactly_two_of_a_known_key(void **state)
{
	const struct scene s = {known, two_of_three, {ask, ask, ask}};

	(void)state;
	explore(&s);
	assert_true(runs > 10);
}

// The first cell is freed by time while callers look: some know already how late it is, some do not.
static void ask_with_a_little_more(unsigned self)
{
	got[self] = limit_table_charge(&t, &claims[self], &mine, NOW, COST, 2 * COST + 1, &tat[self]);
}

static void passing(void)
{
	fresh();
	atomic_store(&t.head->reached, NOW - LIMIT_TABLE_LAG);
	cell_at(&mine, 0)->id = other.id;
	cell_at(&mine, 0)->tat = NOW - 1;
}

static void ask_later(unsigned self)
{
	got[self] = limit_table_charge(&t, &claims[self], &mine, NOW + 1, COST, 2 * COST + 1, &tat[self]);
}

static void one_cell_and_no_more_than_two(void)
{
	uint64_t last = 0;

	assert_int_equal(allowed(2), 2);
	assert_int_equal(cells_of(&mine, &last), 1);
	assert_true(last >= NOW - LIMIT_TABLE_LAG + 2 * COST && last <= NOW + 1 + 2 * COST);
}

static void a_cell_that_becomes_free_meanwhile_is_no_second_place(void **state)
{
	const struct scene s = {passing, one_cell_and_no_more_than_two, {ask_with_a_little_more, ask_later}};

	(void)state;
	explore(&s);
	assert_true(runs > 10);
}

// A key whose time has passed: one caller comes for it, one takes its cell for another key, the line being
// full.
static void lapsed(void)
{
	fresh();
	cell_at(&mine, 0)->id = mine.id;
	cell_at(&mine, 0)->tat = NOW;
	cell_at(&mine, 1)->id = 1ull << ID_BITS | 9;
	cell_at(&mine, 1)->tat = NOW + 100 * COST;
}

static void one_of_them_has_the_cell(void)
{
	uint64_t last = 0;
	unsigned n = cells_of(&mine, &last), o = cells_of(&other, &last);

	assert_int_equal(n + o, 1);
	assert_int_equal(got[0] == LIMIT_TABLE_ALLOWED, n == 1);
	assert_int_equal(got[1] == LIMIT_TABLE_ALLOWED, o == 1);
	assert_int_equal(cell_at(&mine, 1)->tat, NOW + 100 * COST);
}

static void a_lapsed_cell_goes_to_one_key_and_a_live_one_to_none(void **state)
{
	const struct scene s = {lapsed, one_of_them_has_the_cell, {ask, ask_other}};

	(void)state;
	explore(&s);
}

// One charges and gives back, others ask meanwhile.
static void ask_and_return(unsigned self)
{
	ask(self);
	if (got[self] == LIMIT_TABLE_ALLOWED)
		limit_table_return(&t, &mine, tat[self], COST);
}

static void what_was_returned_is_gone_and_nothing_else(void)
{
	uint64_t last = 0, stand = (got[1] == LIMIT_TABLE_ALLOWED) + (got[2] == LIMIT_TABLE_ALLOWED);

	assert_int_equal(cells_of(&mine, &last), 1);
	assert_int_equal(last, NOW + stand * COST);
	// A refusal only where the charge on its way back stood against it.
	assert_true(stand == 2 || (stand == 1 && got[0] == LIMIT_TABLE_ALLOWED));
}

static void a_charge_given_back_takes_no_other_with_it(void **state)
{
	const struct scene s = {known, what_was_returned_is_gone_and_nothing_else, {ask_and_return, ask, ask}};

	(void)state;
	explore(&s);
}

// One gives back a charge that has lapsed by the time of another, who charged from its own time on.
static void ask_much_later(unsigned self)
{
	got[self] = limit_table_charge(&t, &claims[self], &mine, NOW + 10 * COST, COST, 2 * COST, &tat[self]);
}

static void the_later_charge_stands(void)
{
	uint64_t last = 0;

	assert_int_equal(got[1], LIMIT_TABLE_ALLOWED);
	cells_of(&mine, &last);
	assert_true(last >= NOW + 11 * COST);
}

static void a_lapsed_charge_is_not_given_back(void **state)
{
	const struct scene s = {known, the_later_charge_stands, {ask_and_return, ask_much_later}};

	(void)state;
	explore(&s);
}

// A caller whose clock is long behind comes for a key whose cell another, in its own time, takes away.
static void behind(void)
{
	fresh();
	atomic_store(&t.head->reached, NOW - 10 * COST);
	cell_at(&mine, 0)->id = mine.id;
	cell_at(&mine, 0)->tat = NOW - 5 * COST;
}

static void ask_behind(unsigned self)
{
	got[self] = limit_table_charge(&t, &claims[self], &mine, NOW - 10 * COST, COST, 20 * COST, &tat[self]);
}

static void the_key_has_not_earned_by_going(void)
{
	assert_int_equal(got[0], LIMIT_TABLE_ALLOWED);
	assert_true(tat[0] >= NOW - 4 * COST);
}

static void a_clock_that_is_behind_gains_nothing_by_it(void **state)
{
	const struct scene s = {behind, the_key_has_not_earned_by_going, {ask_behind, ask_other}};

	(void)state;
	explore(&s);
}

// What a data plane left claimed when it died.
static void left_behind(void)
{
	fresh();
	for (unsigned i = 0; i < CELLS; i++) {
		cell_at(&mine, i)->id = mine.id;
		cell_at(&mine, i)->tat = CLAIM | 77ull << 48 | i;
	}
}

static void claims_of_the_dead_are_free(void **state)
{
	const struct scene s = {left_behind, NULL, {ask, NULL}};
	uint64_t last = 0;

	(void)state;
	exploring = false;
	s.reset();
	ask(0);
	ask(1);
	assert_int_equal(allowed(2), 2);
	cells_of(&mine, &last);
	assert_int_equal(cell_at(&mine, 0)->tat, NOW + 2 * COST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_callers_make_one_cell_for_a_new_key),
		cmocka_unit_test(three_callers_get_exactly_two_of_a_known_key),
		cmocka_unit_test(a_cell_that_becomes_free_meanwhile_is_no_second_place),
		cmocka_unit_test(a_lapsed_cell_goes_to_one_key_and_a_live_one_to_none),
		cmocka_unit_test(a_charge_given_back_takes_no_other_with_it),
		cmocka_unit_test(a_lapsed_charge_is_not_given_back),
		cmocka_unit_test(a_clock_that_is_behind_gains_nothing_by_it),
		cmocka_unit_test(claims_of_the_dead_are_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
