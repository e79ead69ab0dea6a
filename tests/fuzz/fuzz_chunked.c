// Chunked bodies. Holds: the same payload, verdict and end in one piece, in single bytes, and in pieces of a
// size that the input chooses; and what the reference reads.
#include "fuzz_head.h"
#include "http/body.h"
#include "http/trailer.h"

struct outcome {
	char *payload;
	size_t n, used;
	enum http_fault fault;
	bool done;
	struct http_head trailers;
};

// A trailer section is read once it is whole; cut anywhere it is not wrong before, or the same.
static void trailers_read(struct outcome *o, struct http_body *b, const char *p, size_t n, size_t piece)
{
	const struct http_limits limits = http_limits_of(FUZZ_MAX);
	int whole = http_parse_trailers(p, n, &limits, &o->trailers), used = HTTP_MORE;

	for (size_t have = 0; used == HTTP_MORE && have < n;) {
		static struct http_head h;
		char *copy;

		have = n - have < piece ? n : have + piece;
		copy = malloc(have);
		CHECK(copy);
		memcpy(copy, p, have);
		used = http_parse_trailers(copy, have, &limits, &h);
		free(copy);
	}
	CHECK(used == whole);
	if (whole < 0)
		o->fault = (enum http_fault) - whole;
	if (whole > 0) {
		head_slices_check(p, n, &o->trailers);
		o->used += (size_t)whole;
		http_body_end(b);
	}
}

static struct outcome body_read(const char *p, size_t n, size_t piece)
{
	struct outcome o = {.payload = malloc(n + 1), .trailers.n = 0};
	struct http_body b;

	CHECK(o.payload);
	http_body_init(&b, FRAMING_CHUNKED, 0);
	while (o.used < n && !o.fault && !http_body_done(&b)) {
		size_t take = n - o.used < piece ? n - o.used : piece, at = 0, skip, run;
		char *copy = malloc(take);

		CHECK(copy);
		memcpy(copy, p + o.used, take);
		while (at < take && !http_body_done(&b) && !http_body_trailers(&b) && !o.fault) {
			o.fault = http_body_next(&b, copy + at, take - at, &skip, &run);
			CHECK(o.fault ? skip + run == 0
				      : (skip + run > 0 || http_body_trailers(&b)) && skip + run <= take - at);
			memcpy(o.payload + o.n, copy + at + skip, run);
			o.n += run;
			at += skip + run;
		}
		o.used += at;
		free(copy);
		if (http_body_trailers(&b)) {
			trailers_read(&o, &b, p + o.used, n - o.used, piece);
			break;
		}
	}
	o.done = http_body_done(&b);
	return o;
}

static void same(const struct outcome *a, struct outcome b)
{
	CHECK(a->fault == b.fault && a->done == b.done);
	CHECK(a->fault || (a->n == b.n && a->used == b.used && memcmp(a->payload, b.payload, a->n) == 0));
	free(b.payload);
}

static void as_the_reference(const char *p, size_t n, const struct outcome *whole)
{
	char *payload = malloc(n ? n : 1);
	static struct ref_head trailers;
	size_t payload_n, used;

	CHECK(payload);
	used = ref_chunked(p, n, payload, &payload_n, &trailers);
	CHECK(whole->done == (used > 0));
	if (used) {
		CHECK(whole->used == used && whole->n == payload_n);
		CHECK(memcmp(whole->payload, payload, payload_n) == 0);
		CHECK(whole->trailers.n == trailers.fields);
		for (unsigned i = 0; i < trailers.fields; i++) {
			span_check(p, whole->trailers.field[i].name, trailers.name[i]);
			span_check(p, whole->trailers.field[i].value, trailers.value[i]);
		}
	}
	free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct outcome whole;

	if (n < 2)
		return 0;
	whole = body_read(p + 1, n - 1, n);
	as_the_reference(p + 1, n - 1, &whole);
	same(&whole, body_read(p + 1, n - 1, 1));
	same(&whole, body_read(p + 1, n - 1, 1 + data[0] % 64));
	free(whole.payload);
	return 0;
}
