// The forms of the parser against the portable one: the same verdict and the same view of every input, whole
// and at every cut, for requests and responses, with limits that the first byte chooses.
#include "fuzz_head.h"
#include "http/forms.h"

static struct http_head head[FORM_COUNT];

static bool same(struct slice a, struct slice b)
{
	return a.p == b.p && a.n == b.n;
}

static void same_view(const struct http_head *a, const struct http_head *b, bool request)
{
	CHECK(a->n == b->n && a->minor == b->minor && a->status == b->status && a->method == b->method);
	CHECK(a->framing == b->framing && a->length == b->length && a->have == b->have);
	CHECK(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
	CHECK(a->upgrade == b->upgrade && a->path_encoded == b->path_encoded);
	CHECK(same(a->method_text, b->method_text) && same(a->target, b->target));
	CHECK(same(a->host, b->host) && same(a->authority, b->authority) && same(a->query, b->query));
	CHECK(request ? slice_eq(a->path, b->path) : same(a->path, b->path)); // "/" and "*" are each form's own
	CHECK(same(a->reason, b->reason));
	for (unsigned i = 0; i < a->n; i++) {
		CHECK(same(a->field[i].name, b->field[i].name) && same(a->field[i].value, b->field[i].value));
		CHECK(a->field[i].id == b->field[i].id && a->field[i].line == b->field[i].line);
	}
}

static void forms_check(const char *p, size_t n, const struct http_limits *limits, bool request)
{
	int want = 0;

	for (unsigned i = 0; i < FORM_COUNT; i++) {
		const struct http_form *f = &http_forms[i];
		int got;

		if (!http_form_runs(i))
			continue;
		got = (request ? f->request : f->response)(p, n, limits, &head[i]);
		if (i == FORM_PORTABLE)
			want = got;
		if (got != want)
			fprintf(stderr, "%s: %d, portable: %d\n", f->name, got, want);
		CHECK(got == want);
		if (got > 0)
			same_view(&head[i], &head[FORM_PORTABLE], request);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_limits limits = http_limits_of(FUZZ_MAX);

	if (n < 2)
		return 0;
	limits.lenient_lf = data[0] & 4;
	if (data[0] & 8)
		limits = (struct http_limits){.head = 16 + data[0],
					      .line = 8 + data[0] / 4u,
					      .uri = data[0] / 4u,
					      .fields = data[0] / 32,
					      .lenient_lf = data[0] & 4,
					      .body = 64};
	limits.dot_segments = data[0] & 16;
	for (size_t cut = 0; cut < n; cut += cut + 65 < n && n > 256 ? 1 + n / 128 : 1) {
		char *copy = malloc(cut ? cut : 1);

		CHECK(copy);
		memcpy(copy, data + 1, cut);
		forms_check(copy, cut, &limits, !(data[0] & 1));
		free(copy);
	}
	return 0;
}
