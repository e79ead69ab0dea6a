// The forms of the parser: the same source for different processors, with the same results. What parse.h
// declares goes to the best one that this processor can run, which is found out when the program is loaded; all
// are here for tests.
#pragma once
#include "http/parse.h"

typedef int http_parse(const char *p, size_t n, const struct http_limits *limits, struct http_head *out);

struct http_form {
	const char *name;
	http_parse *request, *response;
};

enum { FORM_PORTABLE, FORM_SSE42, FORM_AVX2, FORM_AVX512, FORM_COUNT };
extern const struct http_form http_forms[FORM_COUNT];
bool http_form_runs(unsigned form); // on this processor
unsigned http_form_best(void);

http_parse http_parse_request_portable, http_parse_response_portable;
http_parse http_parse_request_sse42, http_parse_response_sse42;
http_parse http_parse_request_avx2, http_parse_response_avx2;
http_parse http_parse_request_avx512, http_parse_response_avx512;
