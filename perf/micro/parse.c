// What a request's head costs the parser: build/release/perf/micro/parse. One thread, each request again and
// again; the median of 2000 runs of 100, in cycles of the time-stamp counter.
#include "http/forms.h"
#include "perf/micro/cycles.h"
#include "perf/micro/requests.h"
#include <stdio.h>

#define RUNS 2000
#define EACH 100

static void row(const struct http_form *form, const char *what, const char *p, size_t n)
{
	struct cycles took = cycles_start(RUNS);
	double cycles;
	static struct http_head h;
	struct http_limits limits = {
		.head = 16384, .line = 8192, .uri = 8000, .fields = 100, .body = UINT64_MAX};

	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t begun = __rdtsc();

		for (unsigned k = 0; k < EACH; k++) {
			if (form->request(p, n, &limits, &h) != (int)n)
				abort();
			__asm__ volatile("" : : "r"(&h) : "memory");
		}
		cycles_add(&took, __rdtsc() - begun);
	}
	cycles = cycles_median(&took, EACH);
	printf("parse     %8s, %s request of %zu bytes: %4.0f cycles (%.1f ns), %.2f bytes a cycle\n",
	       form->name, what, n, cycles, cycles_ns(cycles), (double)n / cycles);
}

int main(void)
{
	for (unsigned i = 0; i < FORM_COUNT; i++) {
		if (!http_form_runs(i))
			continue;
		row(&http_forms[i], "short", request_short, sizeof(request_short) - 1);
		row(&http_forms[i], "browser", request_browser, sizeof(request_browser) - 1);
	}
	printf("parse     chosen here: %s\n", http_forms[http_form_best()].name);
	return 0;
}
