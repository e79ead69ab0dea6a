// Regular expressions of conditions. The input's first line is an expression, the rest what it is held against.
// Holds: a set can be made just of what the check accepts; a match ends, gives the same answer again, and a
// bound that one meets leaves the matcher as it was.
#include "fuzz_head.h"
#include "route/regex.h"

static struct regex_matcher *matcher(void)
{
	static struct regex_matcher *m;
	static struct arena a;

	if (!m) {
		CHECK(arena_init(&a, regex_matcher_memory()) == 0);
		m = regex_matcher_create(&a, NULL);
		CHECK(m);
	}
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static _Alignas(8) struct {
		struct snapshot s;
		struct snap_ref list[2];
		char text[SNAP_REGEX_MAX];
	} t;
	const char *p = (const char *)data, *nl = n ? memchr(p, '\n', n) : NULL;
	struct slice expression = slice_of(p, nl ? (size_t)(nl - p) : n), subject;
	uint32_t at = (uint32_t)((char *)t.text - (char *)&t);
	struct regex_set *set;
	char why[200];
	size_t where;
	bool ok;

	if (expression.n == 0 || expression.n > SNAP_REGEX_MAX)
		return 0;
	subject = slice_of(p + expression.n, n - expression.n);
	memcpy(t.text, expression.p, expression.n);
	t.s.regexes = (struct snap_ref){(uint32_t)((char *)t.list - (char *)&t), 2};
	t.list[0] = t.list[1] = (struct snap_ref){at, (uint32_t)expression.n};
	ok = regex_check(expression, why, sizeof(why), &where);
	CHECK(ok || where <= expression.n);
	set = regex_set_create(&t.s, why, sizeof(why));
	CHECK(ok == (set != NULL));
	if (!set)
		return 0;
	CHECK(regex_match(set, 0, matcher(), subject) == regex_match(set, 1, matcher(), subject));
	regex_match_decoded(set, 0, matcher(), subject);
	regex_set_free(set);
	return 0;
}
