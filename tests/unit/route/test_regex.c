// Regular expressions in conditions: what they match, and what bounds them whoever wrote them and whatever they
// are held against.
#include "route/regex.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static _Alignas(8) struct {
	struct snapshot s;
	struct snap_ref list[4];
	char text[4][SNAP_REGEX_MAX];
} t;

static struct arena arena;
static struct regex_matcher *matcher;
static stat_cell beyond;
static char why[200];

static int start(void **state)
{
	(void)state;
	if (arena_init(&arena, regex_matcher_memory()))
		return -1;
	matcher = regex_matcher_create(&arena, &beyond);
	return matcher ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static struct regex_set *set_of(const char *a, const char *b)
{
	const char *text[2] = {a, b};

	t.s.regexes = (struct snap_ref){(uint32_t)((char *)t.list - (char *)&t), b ? 2 : 1};
	for (unsigned i = 0; i < t.s.regexes.n; i++) {
		t.list[i] = (struct snap_ref){(uint32_t)(t.text[i] - (char *)&t), (uint32_t)strlen(text[i])};
		memcpy(t.text[i], text[i], t.list[i].n);
	}
	return regex_set_create(&t.s, why, sizeof(why));
}

static enum regex_result match(const char *expression, struct slice subject)
{
	struct regex_set *set = set_of(expression, NULL);
	enum regex_result r;

	if (!set)
		fail_msg("%s: %s", expression, why);
	r = regex_match(set, 0, matcher, subject);
	regex_set_free(set);
	return r;
}

static void an_expression_matches_anywhere_unless_it_is_anchored(void **state)
{
	(void)state;
	assert_int_equal(match("b+", SLICE("abbc")), REGEX_MATCHES);
	assert_int_equal(match("^b+", SLICE("abbc")), REGEX_DIFFERS);
	assert_int_equal(match("^ab+c$", SLICE("abbc")), REGEX_MATCHES);
	assert_int_equal(match("^$", slice_of(NULL, 0)), REGEX_MATCHES);
	assert_int_equal(match("(?i)ABC", SLICE("xabcx")), REGEX_MATCHES);
	assert_int_equal(match("^(?!internal-)", SLICE("internal-1")), REGEX_DIFFERS);
	assert_int_equal(match("^(..)\\1$", SLICE("abab")), REGEX_MATCHES);
}

static void a_dollar_is_the_very_end_and_bytes_are_bytes(void **state)
{
	(void)state;
	assert_int_equal(match("^a$", SLICE("a\n")), REGEX_DIFFERS);
	assert_int_equal(match("^.$", SLICE("\xff")), REGEX_MATCHES);
	assert_int_equal(match("^..$", SLICE("\xc3\xa4")), REGEX_MATCHES);
	assert_int_equal(match("a", slice_of("\0a", 2)), REGEX_MATCHES);
}

static void each_expression_of_a_set_is_its_own(void **state)
{
	struct regex_set *set = set_of("^a", "b$");

	(void)state;
	assert_ptr_equal(regex_set_snapshot(set), &t.s);
	assert_int_equal(regex_match(set, 0, matcher, SLICE("ab")), REGEX_MATCHES);
	assert_int_equal(regex_match(set, 0, matcher, SLICE("bb")), REGEX_DIFFERS);
	assert_int_equal(regex_match(set, 1, matcher, SLICE("bb")), REGEX_MATCHES);
	assert_int_equal(regex_match(set, 2, matcher, SLICE("bb")), REGEX_BEYOND);
	regex_set_free(set);
}

static void a_query_parameter_is_decoded_first(void **state)
{
	struct regex_set *set = set_of("^a b/c%$", NULL);

	(void)state;
	assert_int_equal(regex_match_decoded(set, 0, matcher, SLICE("a+b%2fc%25")), REGEX_MATCHES);
	assert_int_equal(regex_match_decoded(set, 0, matcher, SLICE("a%20b/c%")), REGEX_MATCHES);
	assert_int_equal(regex_match(set, 0, matcher, SLICE("a+b%2fc%25")), REGEX_DIFFERS);
	regex_set_free(set);
}

// What takes a backtracking matcher exponential, cubic and quadratic time ends at the bound, and is counted.
static void a_match_ends_at_its_bound_of_steps(void **state)
{
	static const char *const hard[] = {"(a+)+$",           "^(a|a)*$",        "(a*)*[bc]",
					   "a*a*a*a*a*a*[bc]", "(.*).*.*.*[xy]$", "^(([a-z])+.)+[A-Z]([a-z])+$",
					   "(a?){30}a{30}[bc]"};
	static char subject[2001];
	uint64_t before = stat_get(&beyond), n = 0;

	(void)state;
	memset(subject, 'a', sizeof(subject));
	subject[2000] = '!';
	for (unsigned i = 0; i < sizeof(hard) / sizeof(hard[0]); i++, n++)
		if (match(hard[i], slice_of(subject, sizeof(subject))) != REGEX_BEYOND)
			fail_msg("%s", hard[i]);
	assert_int_equal(stat_get(&beyond) - before, n);
}

static void a_match_ends_at_its_bound_of_memory_and_the_next_one_works(void **state)
{
	static char subject[REGEX_SUBJECT];

	(void)state;
	memset(subject, 'a', sizeof(subject));
	for (unsigned i = 0; i < 100; i++) {
		// Each round of the group is remembered.
		assert_int_equal(match("^(?:(a)|(b)|(c)|(d))*$", slice_of(subject, sizeof(subject))),
				 REGEX_BEYOND);
		assert_int_equal(match("^(?:a|b)*$", slice_of(subject, 100)), REGEX_MATCHES);
	}
}

static void a_subject_that_is_too_long_does_not_match(void **state)
{
	static char subject[REGEX_SUBJECT + 1];
	struct regex_set *set;

	(void)state;
	memset(subject, 'a', sizeof(subject));
	assert_int_equal(match("a", slice_of(subject, REGEX_SUBJECT)), REGEX_MATCHES);
	assert_int_equal(match("a", slice_of(subject, sizeof(subject))), REGEX_BEYOND);
	set = set_of("a", NULL);
	assert_int_equal(regex_match_decoded(set, 0, matcher, slice_of(subject, sizeof(subject))),
			 REGEX_BEYOND);
	regex_set_free(set);
}

static void refused(const char *expression, size_t where)
{
	struct regex_set *set;
	size_t at = 0;

	why[0] = '\0';
	if (regex_check(slice_of(expression, strlen(expression)), why, sizeof(why), &at))
		fail_msg("accepted: %s", expression);
	assert_true(why[0]);
	if (at != where)
		fail_msg("%s: fault at %zu, not %zu (%s)", expression, at, where, why);
	set = set_of(expression, NULL);
	assert_null(set);
}

static void what_cannot_be_compiled_is_refused_with_its_place(void **state)
{
	char nested[300], large[64];
	size_t at;

	(void)state;
	refused("a(b", 3);
	refused("ab[c", 4);
	refused("ab(?", 4);
	refused("(*UTF)a", 6);
	refused("a\\Cb", 3);
	memset(nested, '(', 60);
	memset(nested + 60, ')', 60);
	nested[120] = '\0';
	assert_false(regex_check(slice_of(nested, 120), why, sizeof(why), &at));
	snprintf(large, sizeof(large), "((((((((a{100}){100}){100}))))))");
	assert_false(regex_check(slice_of(large, strlen(large)), why, sizeof(why), &at));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_expression_matches_anywhere_unless_it_is_anchored),
		cmocka_unit_test(a_dollar_is_the_very_end_and_bytes_are_bytes),
		cmocka_unit_test(each_expression_of_a_set_is_its_own),
		cmocka_unit_test(a_query_parameter_is_decoded_first),
		cmocka_unit_test(a_match_ends_at_its_bound_of_steps),
		cmocka_unit_test(a_match_ends_at_its_bound_of_memory_and_the_next_one_works),
		cmocka_unit_test(a_subject_that_is_too_long_does_not_match),
		cmocka_unit_test(what_cannot_be_compiled_is_refused_with_its_place),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
