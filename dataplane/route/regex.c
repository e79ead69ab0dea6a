#define PCRE2_CODE_UNIT_WIDTH 8
#include "route/regex.h"
#include "route/condition.h"
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#define CODE_MAX (64u << 10) // bytes of a compiled expression
#define NEST_MAX 50          // parentheses in parentheses

struct regex_set {
	const struct snapshot *s;
	uint32_t n;
	pcre2_code *code[];
};

// PCRE2 keeps backtracking points in one block that it gives back as soon as it has a larger one: two blocks of
// the greatest size are all that it can ever want. What it takes at start comes from the arena for good.
struct regex_matcher {
	struct arena *starting; // NULL: started
	pcre2_match_data *data;
	pcre2_match_context *context;
	bool taken[2];
	stat_cell *beyond;
	_Alignas(64) unsigned char block[2][REGEX_HEAP];
	char decoded[REGEX_SUBJECT];
};

static void *memory_take(PCRE2_SIZE n, void *matcher)
{
	struct regex_matcher *m = matcher;

	if (m->starting)
		return arena_alloc(m->starting, n, 64);
	for (unsigned i = 0; i < 2 && n <= REGEX_HEAP; i++)
		if (!m->taken[i]) {
			m->taken[i] = true;
			return m->block[i];
		}
	return NULL;
}

static void memory_give(void *p, void *matcher)
{
	struct regex_matcher *m = matcher;

	for (unsigned i = 0; i < 2; i++)
		if (p == m->block[i])
			m->taken[i] = false;
}

struct steps {
	uint32_t left;
	size_t at; // in the subject
};

// Called before each item of the expression.
static int step(pcre2_callout_block *b, void *steps)
{
	struct steps *s = steps;
	size_t moved = b->current_position > s->at ? b->current_position - s->at : s->at - b->current_position;
	uint32_t cost = 1 + (uint32_t)(moved / 16);

	s->at = b->current_position;
	if (cost > s->left)
		return PCRE2_ERROR_CALLOUT;
	s->left -= cost;
	return 0;
}

size_t regex_matcher_memory(void)
{
	return sizeof(struct regex_matcher) + 4096;
}

struct regex_matcher *regex_matcher_create(struct arena *a, stat_cell *beyond)
{
	struct regex_matcher *m = arena_alloc(a, sizeof(*m), 64);
	pcre2_general_context *general;

	if (!m)
		return NULL;
	m->beyond = beyond;
	m->starting = a;
	general = pcre2_general_context_create(memory_take, memory_give, m);
	m->context = general ? pcre2_match_context_create(general) : NULL;
	m->data = general ? pcre2_match_data_create(1, general) : NULL;
	m->starting = NULL;
	if (!m->context || !m->data)
		return NULL;
	pcre2_set_match_limit(m->context, REGEX_STEPS);
	pcre2_set_depth_limit(m->context, REGEX_STEPS);
	pcre2_set_heap_limit(m->context, REGEX_HEAP >> 10);
	return m;
}

static pcre2_code *compile(pcre2_compile_context *c, struct slice text, int *error, size_t *at)
{
	const uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |
				 PCRE2_DOLLAR_ENDONLY | PCRE2_AUTO_CALLOUT;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)text.p, text.n, options, error, at, c);
	size_t size = 0;

	if (code)
		pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
	if (code && size > CODE_MAX) {
		pcre2_code_free(code);
		*error = PCRE2_ERROR_NOMEMORY;
		*at = text.n;
		return NULL;
	}
	return code;
}

static pcre2_compile_context *rules(void)
{
	pcre2_compile_context *c = pcre2_compile_context_create(NULL);

	if (c)
		pcre2_set_parens_nest_limit(c, NEST_MAX);
	return c;
}

static void explain(int error, char *why, size_t why_size)
{
	if (pcre2_get_error_message(error, (PCRE2_UCHAR *)why, why_size) < 0 && why_size)
		why[why_size - 1] = '\0';
}

bool regex_check(struct slice text, char *why, size_t why_size, size_t *at)
{
	pcre2_compile_context *c = rules();
	int error = PCRE2_ERROR_NOMEMORY;
	pcre2_code *code = c ? compile(c, text, &error, at) : NULL;

	if (!code)
		explain(error, why, why_size);
	pcre2_code_free(code);
	pcre2_compile_context_free(c);
	return code != NULL;
}

struct regex_set *regex_set_create(const struct snapshot *s, char *why, size_t why_size)
{
	const struct snap_ref *text = snap_at(s, s->regexes);
	struct regex_set *set = calloc(1, sizeof(*set) + s->regexes.n * sizeof(set->code[0]));
	pcre2_compile_context *c = rules();
	bool ok = set && c;

	if (!ok)
		snprintf(why, why_size, "no memory left for regular expressions");
	for (uint32_t i = 0; ok && i < s->regexes.n; i++) {
		char message[160];
		size_t at;
		int error;

		set->code[set->n] = compile(c, snap_text(s, text[i]), &error, &at);
		if (!set->code[set->n]) {
			explain(error, message, sizeof(message));
			snprintf(why, why_size, "regular expression %u: %s", i, message);
			ok = false;
			break;
		}
		set->n++;
	}
	pcre2_compile_context_free(c);
	if (!ok) {
		regex_set_free(set);
		return NULL;
	}
	set->s = s;
	return set;
}

void regex_set_free(struct regex_set *set)
{
	for (uint32_t i = 0; set && i < set->n; i++)
		pcre2_code_free(set->code[i]);
	free(set);
}

const struct snapshot *regex_set_snapshot(const struct regex_set *set)
{
	return set->s;
}

static enum regex_result beyond(struct regex_matcher *m)
{
	if (m->beyond)
		stat_add(m->beyond, 1);
	return REGEX_BEYOND;
}

enum regex_result regex_match(const struct regex_set *set, uint32_t i, struct regex_matcher *m,
			      struct slice subject)
{
	struct steps steps = {.left = REGEX_STEPS};
	int n;

	if (i >= set->n || subject.n > REGEX_SUBJECT)
		return beyond(m);
	pcre2_set_callout(m->context, step, &steps);
	n = pcre2_match(set->code[i], (PCRE2_SPTR)(subject.n ? subject.p : ""), subject.n, 0, 0, m->data,
			m->context);
	return n >= 0 ? REGEX_MATCHES : n == PCRE2_ERROR_NOMATCH ? REGEX_DIFFERS : beyond(m);
}

enum regex_result regex_match_decoded(const struct regex_set *set, uint32_t i, struct regex_matcher *m,
				      struct slice value)
{
	size_t n = 0;

	while (value.n && n < sizeof(m->decoded))
		m->decoded[n++] = (char)query_byte_take(&value);
	return value.n ? beyond(m) : regex_match(set, i, m, slice_of(m->decoded, n));
}
