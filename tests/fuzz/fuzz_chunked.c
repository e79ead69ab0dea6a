// Chunked bodies. Holds: the same payload, verdict and end in one piece, in single bytes, and in pieces of a
// size that the input chooses; and what the reference reads.
#include "fuzz_head.h"
#include "http/body.h"

struct outcome {
	char *payload;
	size_t n, used;
	enum http_fault fault;
	bool done;
};

static struct outcome body_read(const char *p, size_t n, size_t piece)
{
	struct outcome o = {.payload = malloc(n + 1)};
	struct http_body b;

	CHECK(o.payload);
	http_body_init(&b, FRAMING_CHUNKED, 0);
	while (o.used < n && !o.fault && !http_body_done(&b)) {
		size_t take = n - o.used < piece ? n - o.used : piece, at = 0, skip, run;
		char *copy = malloc(take);

		CHECK(copy);
		memcpy(copy, p + o.used, take);
		while (at < take && !http_body_done(&b) && !o.fault) {
			o.fault = http_body_next(&b, copy + at, take - at, &skip, &run);
			CHECK(o.fault ? skip + run == 0 : skip + run > 0 && skip + run <= take - at);
			memcpy(o.payload + o.n, copy + at + skip, run);
			o.n += run;
			at += skip + run;
		}
		o.used += at;
		free(copy);
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
	size_t payload_n, used;

	CHECK(payload);
	used = ref_chunked(p, n, payload, &payload_n);
	CHECK(whole->done == (used > 0));
	if (used) {
		CHECK(whole->used == used && whole->n == payload_n);
		CHECK(memcmp(whole->payload, payload, payload_n) == 0);
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
