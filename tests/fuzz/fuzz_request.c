// Request heads. Holds: no more is consumed than is there; a head cut anywhere is HTTP_MORE or says what the
// whole says; every slice lies in the input; what is written from the view reads back as the same request.
#include "fuzz_head.h"
#include "http/write.h"

static struct http_head head, again;

static void reads_back(size_t n)
{
	static char out[1 << 20];
	enum http_framing framing = head.framing;
	int written, got;

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	int whole = http_parse_request(p, n, FUZZ_MAX, &head);

	head_check(p, n, whole, http_parse_request);
	if (whole <= 0)
		return 0;
	whole = http_parse_request(p, n, FUZZ_MAX, &head);
	head_slices_check(p, (size_t)whole, &head);
	CHECK(inside(p, (size_t)whole, head.method_text) && inside(p, (size_t)whole, head.target));
	CHECK(inside(p, (size_t)whole, head.host) && inside(p, (size_t)whole, head.authority));
	CHECK(head.path.n == 1 || inside(p, (size_t)whole, head.path)); // "/" and "*" may be ours
	CHECK(!head.query.p || (inside(p, (size_t)whole, head.query) && head.query.p[-1] == '?'));
	CHECK(head.minor == 0 || head.host.n > 0);
	reads_back((size_t)whole);
	return 0;
}
