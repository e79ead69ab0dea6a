// Response heads; what holds is said in fuzz_request.c.
#include "fuzz_head.h"
#include "http/write.h"

static struct http_head head, again;

static void reads_back(void)
{
	static char out[1 << 20];
	enum http_framing framing = head.framing;
	int written;

	if (head.n > HTTP_FIELDS_MAX - 4) // what is added would be too much for a reader with our limits
		return;
	http_drop_hop_by_hop(&head);
	written = http_write_response(out, sizeof(out), &head, framing, head.length, false, SLICE("close"));
	CHECK(written > 0);
	CHECK(http_parse_response(out, (size_t)written, sizeof(out), &again) == written);
	CHECK(again.status == head.status && again.framing == framing && !again.keep_alive);
	CHECK(slice_eq(again.reason, head.reason));
}

static void as_the_reference(const char *p, size_t n, int whole)
{
	static struct ref_head ref;
	bool none;

	ref_response(p, n, &ref);
	CHECK((whole > 0 ? (size_t)whole : 0) == ref.n);
	if (whole < 0)
		stays_wrong(p, n, ref_response);
	if (whole <= 0)
		return;
	reference_check(p, &head, &ref);
	CHECK(head.status == ref.status);
	span_check(p, head.reason, ref.reason);
	none = ref.status < 200 || ref.status == 204 || ref.status == 304;
	CHECK(head.framing == (none                         ? FRAMING_NONE
			       : ref.framing == REF_NO_BODY ? FRAMING_CLOSE
							    : (enum http_framing)ref.framing));
	CHECK(head.length == ref.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	int whole = http_parse_response(p, n, FUZZ_MAX, &head);

	as_the_reference(p, n, whole);
	head_check(p, n, whole, http_parse_response);
	if (whole <= 0)
		return 0;
	head_slices_check(p, (size_t)whole, &head);
	CHECK(inside(p, (size_t)whole, head.reason));
	CHECK(head.status >= 100 && head.status <= 599);
	reads_back();
	return 0;
}
