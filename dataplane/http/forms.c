#include "http/forms.h"

const struct http_form http_forms[FORM_COUNT] = {
	[FORM_PORTABLE] = {"portable", http_parse_request_portable, http_parse_response_portable},
	[FORM_SSE42] = {"sse4.2", http_parse_request_sse42, http_parse_response_sse42},
	[FORM_AVX2] = {"avx2", http_parse_request_avx2, http_parse_response_avx2},
	[FORM_AVX512] = {"avx512", http_parse_request_avx512, http_parse_response_avx512},
};

// The resolvers below run before anything else, and before the sanitizers are ready.
#ifdef __clang__
#define EARLY __attribute__((no_sanitize("address", "undefined", "coverage"), unused))
#else
#define EARLY __attribute__((no_sanitize("address", "undefined"), no_stack_protector))
#endif

// What the operating system does not save is not counted as there.
EARLY bool http_form_runs(unsigned form)
{
	__builtin_cpu_init();
	switch (form) {
	case FORM_AVX512:
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512vl") && http_form_runs(FORM_AVX2);
	case FORM_AVX2:
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
		       __builtin_cpu_supports("bmi2") && http_form_runs(FORM_SSE42);
	case FORM_SSE42:
		return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
	default:
		return true;
	}
}

EARLY unsigned http_form_best(void)
{
	unsigned form = FORM_COUNT - 1;

	while (!http_form_runs(form))
		form--;
	return form;
}

EARLY static http_parse *request_resolve(void)
{
	switch (http_form_best()) {
	case FORM_AVX512:
		return http_parse_request_avx512;
	case FORM_AVX2:
		return http_parse_request_avx2;
	case FORM_SSE42:
		return http_parse_request_sse42;
	default:
		return http_parse_request_portable;
	}
}

EARLY static http_parse *response_resolve(void)
{
	switch (http_form_best()) {
	case FORM_AVX512:
		return http_parse_response_avx512;
	case FORM_AVX2:
		return http_parse_response_avx2;
	case FORM_SSE42:
		return http_parse_response_sse42;
	default:
		return http_parse_response_portable;
	}
}

int http_parse_request_within(const char *p, size_t n, const struct http_limits *limits, struct http_head *out)
	__attribute__((ifunc("request_resolve")));
int http_parse_response_within(const char *p, size_t n, const struct http_limits *limits, struct http_head *out)
	__attribute__((ifunc("response_resolve")));
