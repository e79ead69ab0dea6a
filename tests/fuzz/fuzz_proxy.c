// Headers of the PROXY protocol. Holds: no more is consumed than is there; a header cut anywhere needs more, or
// says what the whole says; what was taken is written and read back as the same ends.
#include "http/proxy_protocol.h"
#include <stdlib.h>

#define CHECK(truth)                                                                                           \
	do                                                                                                     \
		if (!(truth))                                                                                  \
			abort();                                                                               \
	while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_header whole, part, back;
	int result = proxy_parse((const char *)data, n, &whole);
	size_t known = result > 0 ? (size_t)result : n;
	char text[PROXY_OUT_MAX];

	CHECK(result <= (int)n && result <= PROXY_MAX && result >= -PROXY_CHECKSUM);
	for (size_t cut = 0; cut < known; cut++) {
		int early = proxy_parse((const char *)data, cut, &part);

		CHECK(early == 0 || (early < 0 && early == result));
		CHECK(early != 0 || part.need > cut);
	}
	if (result <= 0 || !whole.known)
		return 0;
	for (unsigned version = 1; version <= 2; version++) {
		size_t written = proxy_write(text, version, &whole);

		CHECK(proxy_parse(text, written, &back) == (int)written && back.known);
		CHECK(addr_eq(back.src, whole.src) && addr_eq(back.dst, whole.dst));
		CHECK(back.src_port == whole.src_port && back.dst_port == whole.dst_port);
	}
	return 0;
}
