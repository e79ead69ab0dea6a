// The forms of the parser: the same results on every processor.
#include "base/random.h"
#include "http/forms.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct http_head got[FORM_COUNT];
static int result[FORM_COUNT];

static void same_slice(struct slice a, struct slice b)
{
	assert_ptr_equal(a.p, b.p);
	assert_int_equal(a.n, b.n);
}

static void same_head(const struct http_head *a, const struct http_head *b, bool request)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->minor, b->minor);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->framing, b->framing);
	assert_int_equal(a->keep_alive, b->keep_alive);
	assert_int_equal(a->upgrade, b->upgrade);
	assert_int_equal(a->length, b->length);
	if (request) {
		assert_int_equal(a->method, b->method);
		assert_int_equal(a->expect_continue, b->expect_continue);
		same_slice(a->method_text, b->method_text);
		same_slice(a->target, b->target);
		same_slice(a->host, b->host);
		same_slice(a->authority, b->authority);
		assert_int_equal(a->path.n, b->path.n); // "/" and "*" may be each form's own
		assert_memory_equal(a->path.p, b->path.p, a->path.n);
		same_slice(a->query, b->query);
	} else {
		same_slice(a->reason, b->reason);
	}
	for (unsigned i = 0; i < a->n; i++) {
		same_slice(a->field[i].name, b->field[i].name);
		same_slice(a->field[i].value, b->field[i].value);
		assert_int_equal(a->field[i].id, b->field[i].id);
	}
}

// In memory of its exact size, so that a sanitizer sees a read beyond it.
static void all_read(const char *text, size_t n, const struct http_limits *limits, bool request)
{
	char *p = malloc(n ? n : 1);

	memcpy(p, text, n);
	for (unsigned i = 0; i < FORM_COUNT; i++) {
		if (!http_form_runs(i))
			continue;
		result[i] = (request ? http_forms[i].request : http_forms[i].response)(p, n, limits, &got[i]);
		assert_int_equal(result[i], result[FORM_PORTABLE]);
		if (result[i] > 0)
			same_head(&got[i], &got[FORM_PORTABLE], request);
	}
	free(p);
}

static const char *const request[] = {
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a.b/c/.d?e=/.f&%41 HTTP/1.1\r\nHost: [::1]:80\r\nAccept: */*\r\n\r\n",
	"POST http://a.example:80/x%2e/y HTTP/1.1\r\nHost: a.example\r\nContent-Length: 12\r\nX:  y \t\r\n\r\n",
	"\r\nOPTIONS * HTTP/1.0\r\nConnection: keep-alive, x-y\r\nTransfer-Encoding: chunked\r\n\r\n",
	"PUT /0123456789012345678901234567890123456789012345678901234567890123456789 HTTP/1.1\r\n"
	"Host: 0123456789012345678901234567890123456789012345678901234567890123.example:8080\r\n"
	"X-0123456789012345678901234567890123456789012345678901234567890123456789: 1\r\n"
	"Cookie: 0123456789012345678901234567890123456789012345678901234567890123456789\xe4; b=\"c\"\r\n"
	"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
};
static const char *const response[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.0 301 Moved far, far, far, far, far, far, far, far, far, far away\r\nLocation: "
	"http://a.example/0123456789012345678901234567890123456789\r\nConnection: close\r\n\r\n",
	"HTTP/1.1 204\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nUpgrade: websocket\r\n\r\n",
};

static const struct http_limits limits = {16384,      8192, 8000, HTTP_FIELDS_MAX, false, false,
					  UINT64_MAX, NULL, 0};

static void every_form_reads_a_head_cut_at_any_byte_alike(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(request) / sizeof(request[0]); i++)
		for (size_t n = 0; n <= strlen(request[i]); n++)
			all_read(request[i], n, &limits, true);
	for (unsigned i = 0; i < sizeof(response) / sizeof(response[0]); i++)
		for (size_t n = 0; n <= strlen(response[i]); n++)
			all_read(response[i], n, &limits, false);
}

static void every_form_judges_each_byte_at_each_place_alike(void **state)
{
	char text[600];

	(void)state;
	for (unsigned i = 0; i < sizeof(request) / sizeof(request[0]); i++) {
		size_t n = strlen(request[i]);

		for (size_t at = 0; at < n; at++) {
			for (unsigned c = 0; c < 256; c++) {
				memcpy(text, request[i], n);
				text[at] = (char)c;
				all_read(text, n, &limits, true);
			}
		}
	}
}

static void every_form_reads_mutated_heads_alike_within_any_limits(void **state)
{
	static const char *const piece[] = {"\r\n", "\n",  "\r", ":",           " ", "\t",
					    "/.",   "%2e", "?",  "Host: b\r\n", ",", "\x7f"};
	struct random rnd;
	char text[1200];

	(void)state;
	random_seed(&rnd, 1);
	for (unsigned run = 0; run < 60000; run++) {
		bool is_request = run % 4 != 0;
		const char *from =
			is_request ? request[random_below(&rnd, 5)] : response[random_below(&rnd, 3)];
		size_t n = strlen(from);
		struct http_limits l = limits;

		memcpy(text, from, n);
		for (unsigned k = random_below(&rnd, 4); k; k--) {
			const char *s = piece[random_below(&rnd, sizeof(piece) / sizeof(piece[0]))];
			size_t at = random_below(&rnd, (uint32_t)n), len = strlen(s);

			memmove(text + at + len, text + at, n - at);
			memcpy(text + at, s, len);
			n += len;
		}
		l.lenient_lf = random_below(&rnd, 2);
		if (random_below(&rnd, 4) == 0)
			l = (struct http_limits){20 + random_below(&rnd, 400),
						 1 + random_below(&rnd, 100),
						 1 + random_below(&rnd, 90),
						 (uint16_t)random_below(&rnd, 5),
						 l.lenient_lf,
						 false,
						 100,
						 NULL,
						 0};
		all_read(text, random_below(&rnd, 3) ? n : random_below(&rnd, (uint32_t)n), &l, is_request);
	}
}

static void the_best_form_that_runs_is_chosen(void **state)
{
	(void)state;
	assert_true(http_form_runs(FORM_PORTABLE));
	assert_true(http_form_runs(http_form_best()));
	for (unsigned i = http_form_best() + 1; i < FORM_COUNT; i++)
		assert_false(http_form_runs(i));
}

static void every_name_of_ours_is_found_in_any_case(void **state)
{
	static const char *const name[] = {
#define HEADER(id, text) [HDR_##id] = text,
#include "http/headers.def"
#undef HEADER
	};
	char upper[64];

	(void)state;
	for (unsigned i = 1; i < HDR_misspelt; i++) {
		size_t n = strlen(name[i]);

		for (size_t k = 0; k < n; k++)
			upper[k] =
				(char)(name[i][k] >= 'a' && name[i][k] <= 'z' ? name[i][k] - 32 : name[i][k]);
		assert_int_equal(http_header_of(slice_of(name[i], n)), i);
		assert_int_equal(http_header_of(slice_of(upper, n)), i);
		for (size_t k = 0; k < n; k++) {
			upper[k] ^= 1;
			assert_int_not_equal(http_header_of(slice_of(upper, n)), i);
			upper[k] ^= 1;
			if (upper[k] == '-') { // RFC 3875 4.1.18: to some the same name
				upper[k] = '_';
				assert_int_equal(http_header_of(slice_of(upper, n)), HDR_misspelt);
				upper[k] = '-';
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_reads_a_head_cut_at_any_byte_alike),
		cmocka_unit_test(every_form_judges_each_byte_at_each_place_alike),
		cmocka_unit_test(every_form_reads_mutated_heads_alike_within_any_limits),
		cmocka_unit_test(the_best_form_that_runs_is_chosen),
		cmocka_unit_test(every_name_of_ours_is_found_in_any_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
