// What the targets for heads share.
#pragma once
#include "http/parse.h"
#include "reference.h"
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_MAX 4096

#define CHECK(x)                                                                                               \
	do {                                                                                                   \
		if (!(x)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
			abort();                                                                               \
		}                                                                                              \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef int head_parser(const char *p, size_t n, size_t max, struct http_head *out);

static inline bool inside(const char *p, size_t n, struct slice s)
{
	return s.p >= p && s.p <= p + n && s.n <= (size_t)(p + n - s.p);
}

static inline void head_slices_check(const char *p, size_t n, const struct http_head *h)
{
	CHECK(h->n <= HTTP_FIELDS_MAX);
	for (unsigned i = 0; i < h->n; i++) {
		CHECK(inside(p, n, h->field[i].name) && inside(p, n, h->field[i].value));
		CHECK(h->field[i].name.n > 0);
		CHECK(!memchr(h->field[i].value.p, '\n', h->field[i].value.n));
	}
}

// Every cut of short inputs, some of long ones; each in memory of its exact size.
static inline void head_check(const char *p, size_t n, int whole, head_parser *parse)
{
	static struct http_head h;

	CHECK(whole <= (int)n && whole <= FUZZ_MAX && whole > -FAULT_COUNT);
	for (size_t cut = 0; cut < n; cut += 1 + n / 128) {
		char *copy = malloc(cut ? cut : 1);
		int got;

		CHECK(copy);
		memcpy(copy, p, cut);
		got = parse(copy, cut, FUZZ_MAX, &h);
		free(copy);
		CHECK(got == whole || got == HTTP_MORE);
		if (whole > 0)
			CHECK(got == (cut < (size_t)whole ? HTTP_MORE : whole));
	}
}

static inline void span_check(const char *p, struct slice s, struct ref_span span)
{
	CHECK(s.n == span.n && (s.n == 0 || s.p == p + span.at));
}

// What both read is the same.
static inline void reference_check(const char *p, const struct http_head *h, const struct ref_head *ref)
{
	CHECK(h->minor == ref->minor && h->n == ref->fields && h->keep_alive == ref->keep_alive);
	CHECK(h->upgrade == ref->upgrade);
	for (unsigned i = 0; i < h->n; i++) {
		span_check(p, h->field[i].name, ref->name[i]);
		span_check(p, h->field[i].value, ref->value[i]);
	}
}

// What is wrong stays wrong, however it goes on.
static inline void stays_wrong(const char *p, size_t n,
			       void (*reference)(const char *, size_t, struct ref_head *))
{
	static const char *const more[] = {"\r\n\r\n", "\n\r\n\r\n", ": x\r\n\r\n", "\r\nHost: a\r\n\r\n",
					   " HTTP/1.1\r\nHost: a\r\n\r\n"};
	static struct ref_head ref;
	char *copy = malloc(n + 64);

	CHECK(copy);
	memcpy(copy, p, n);
	for (unsigned i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		memcpy(copy + n, more[i], strlen(more[i]));
		reference(copy, n + strlen(more[i]), &ref);
		CHECK(ref.n == 0);
	}
	free(copy);
}
