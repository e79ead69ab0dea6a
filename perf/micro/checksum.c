// What the Internet checksum costs: perf/micro/checksum. One thread, bytes in the first cache: a header of
// IPv4, the bytes of a small answer's segment, a full segment of 1460; from an even and from an odd place.
#include "base/checksum.h"
#include "perf/micro/cycles.h"
#include <stdio.h>

#define EACH    64
#define WINDOWS 20000

static double took(const unsigned char *p, size_t n, uint64_t *sum)
{
	struct cycles c = cycles_start(WINDOWS);

	for (unsigned w = 0; w < WINDOWS; w++) {
		uint64_t begun = __rdtsc();

		for (unsigned k = 0; k < EACH; k++) {
			*sum += checksum_fold(checksum_add(k, p, n));
			__asm__ volatile("" : : "r"(p) : "memory");
		}
		cycles_add(&c, __rdtsc() - begun);
	}
	return cycles_median(&c, EACH);
}

int main(void)
{
	static const size_t sizes[] = {20, 128, 1460};
	static unsigned char bytes[2048];
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		double even = took(bytes, sizes[i], &sum), odd = took(bytes + 1, sizes[i], &sum);

		printf("checksum  %8zu bytes: %4.0f cycles (%.1f ns), %.1f bytes a cycle, from an odd place "
		       "%4.0f%s\n",
		       sizes[i], even, cycles_ns(even), (double)sizes[i] / even, odd, sum ? "" : " (NO SUM)");
	}
	return 0;
}
