// Request heads. Holds: no more is consumed than is there; a head cut anywhere is HTTP_MORE or says what the
// whole says; every slice lies in the input; what is written from the view reads back as the same request; it
// is taken if and only if the reference takes it, and read alike.
#include "fuzz_head.h"
#include "http/write.h"

static struct http_head head, again;

static void reads_back(size_t n)
{
	static char out[1 << 20];
	enum http_framing framing = head.framing;
	int written, got;

	if (head.n > HTTP_FIELDS_MAX - 4) // what is added would be too much for a reader with our limits
		return;
	if (head.host.n == 0 || head.method == METHOD_CONNECT)
		return; // 1.0 without Host, and authority-form, are not forwarded as they are
	http_drop_hop_by_hop(&head);
	written = http_write_request(out, sizeof(out), &head, head.path, framing, head.length);
	CHECK(written > 0 && (size_t)written <= 2 * n + 256);
	got = http_parse_request(out, (size_t)written, sizeof(out), &again);
	CHECK(got == written);
	CHECK(slice_eq(again.method_text, head.method_text));
	CHECK(slice_eq(again.path, head.path) && slice_eq(again.host, head.host));
	CHECK(again.framing == framing && again.length == head.length);
	CHECK(again.n <= head.n + 2);
}

static void as_the_reference(const char *p, size_t n, int whole)
{
	static struct ref_head ref;

	ref_request(p, n, &ref);
	CHECK((whole > 0 ? (size_t)whole : 0) == ref.n);
	if (whole < 0)
		stays_wrong(p, n, ref_request);
	if (whole <= 0)
		return;
	reference_check(p, &head, &ref);
	span_check(p, head.method_text, ref.method);
	span_check(p, head.target, ref.target);
	span_check(p, head.host, ref.host);
	CHECK(!!head.query.p == ref.has_query);
	if (ref.has_query)
		span_check(p, head.query, ref.query);
	if (ref.path_implied)
		CHECK(slice_eq(head.path,
			       head.method == METHOD_OPTIONS && !ref.has_query ? SLICE("*") : SLICE("/")));
	else
		span_check(p, head.path, ref.path);
	CHECK((int)head.framing == (int)ref.framing && head.length == ref.length);
	CHECK(head.expect_continue == ref.expect_continue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	int whole = http_parse_request(p, n, FUZZ_MAX, &head);

	as_the_reference(p, n, whole);
	head_check(p, n, whole, http_parse_request);
	if (whole <= 0)
		return 0;
	head_slices_check(p, (size_t)whole, &head);
	CHECK(inside(p, (size_t)whole, head.method_text) && inside(p, (size_t)whole, head.target));
	CHECK(inside(p, (size_t)whole, head.host) && inside(p, (size_t)whole, head.authority));
	CHECK(head.path.n == 1 || inside(p, (size_t)whole, head.path)); // "/" and "*" may be ours
	CHECK(!head.query.p || (inside(p, (size_t)whole, head.query) && head.query.p[-1] == '?'));
	CHECK(head.minor == 0 || head.host.n > 0);
	reads_back((size_t)whole);
	return 0;
}
