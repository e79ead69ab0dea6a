// Bodies: each row is read in one piece and in pieces of every size; payload and verdict must be the same.
#include "http/body.h"
#include "http/trailer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct http_limits limits = {.head = 4096, .fields = HTTP_FIELDS_MAX};

struct outcome {
	char payload[8192];
	size_t n;    // of payload
	size_t used; // bytes looked at
	enum http_fault fault;
	bool done;
};

// The same for the trailers; they stay where they are until all are there. False: they are not complete.
static bool trailers_read(struct outcome *o, struct http_body *b, const char *text, size_t n, size_t piece)
{
	struct http_head fields;
	int used = HTTP_MORE;

	for (size_t have = 0; used == HTTP_MORE && have < n;) {
		have = n - have < piece ? n : have + piece;
		char *copy = malloc(have);

		assert_non_null(copy);
		memcpy(copy, text, have);
		used = http_parse_trailers(copy, have, &limits, &fields);
		free(copy);
	}
	if (used < 0)
		o->fault = (enum http_fault) - used;
	if (used <= 0)
		return false;
	o->used += (size_t)used;
	http_body_end(b);
	return true;
}

// Hands the text over in pieces of `piece` bytes, each in memory of its exact size.
static void body_read(struct outcome *o, enum http_framing framing, uint64_t length, const char *text, size_t n,
		      size_t piece)
{
	struct http_body b;

	http_body_init(&b, framing, length);
	o->n = o->used = 0;
	o->fault = FAULT_NONE;
	while (o->used < n && !o->fault && !http_body_done(&b)) {
		size_t take = n - o->used < piece ? n - o->used : piece, at = 0;
		char *copy = malloc(take);

		assert_non_null(copy);
		memcpy(copy, text + o->used, take);
		while (at < take && !http_body_done(&b) && !http_body_trailers(&b)) {
			size_t skip, run;

			o->fault = http_body_next(&b, copy + at, take - at, &skip, &run);
			if (o->fault)
				break;
			assert_true(skip + run > 0 || http_body_trailers(&b));
			assert_true(skip + run <= take - at);
			memcpy(o->payload + o->n, copy + at + skip, run);
			o->n += run;
			at += skip + run;
		}
		o->used += at;
		free(copy);
		if (http_body_trailers(&b) && !trailers_read(o, &b, text + o->used, n - o->used, piece))
			break;
	}
	o->done = http_body_done(&b);
}

static struct outcome whole, parts;

static void same_in_every_piece(enum http_framing framing, uint64_t length, const char *text, size_t n)
{
	body_read(&whole, framing, length, text, n, n ? n : 1);
	for (size_t piece = 1; piece < n; piece++) {
		body_read(&parts, framing, length, text, n, piece);
		if (parts.fault != whole.fault || parts.done != whole.done)
			fail_msg("pieces of %zu of %s: fault %d and not %d", piece, text, parts.fault,
				 whole.fault);
		if (whole.fault)
			continue;
		assert_int_equal(parts.n, whole.n);
		assert_memory_equal(parts.payload, whole.payload, whole.n);
		assert_int_equal(parts.used, whole.used);
	}
}

static const struct {
	const char *rfc, *text, *payload, *rest; // rest: what stands behind the body
} good[] = {
	{"9112 7.1", "5\r\nhello\r\n0\r\n\r\n", "hello", ""},
	{"9112 7.1", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", ""},
	{"9112 7.1", "0\r\n\r\n", "", ""},
	{"9112 7.1", "0\r\n\r\nGET / HTTP/1.1\r\n", "", "GET / HTTP/1.1\r\n"},
	{"9112 7.1", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""},
	{"9112 7.1", "00000005\r\nhello\r\n000\r\n\r\n", "hello", ""},
	{"9112 7.1", "0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "x", ""},
	{"9112 7.1", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", ""},
	{"9112 7.1.1", "5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", ""},
	{"9112 7.1.1", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n", "hello", ""},
	{"9112 7.1.1", "5 ; a = b\r\nhello\r\n0\t;x\r\n\r\n", "hello", ""},
	{"9112 7.1.1", "5; a = \"\\\"b\" ; c\r\nhello\r\n0\r\n\r\n", "hello", ""},
	{"9112 7.1.2", "1\r\nx\r\n0\r\nA: b\r\n\r\n", "x", ""},
	{"9112 7.1.2", "1\r\nx\r\n0\r\nA: b\r\nC:\r\nD: \xff\t.\r\n\r\nmore", "x", "more"},
};

static const struct {
	const char *rfc, *text;
	enum http_fault fault;
} bad[] = {
	{"9112 7.1", "\r\n", FAULT_bad_chunk},
	{"9112 7.1", "x\r\n", FAULT_bad_chunk},
	{"9112 7.1", " 5\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1", "+5\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1", "-5\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1", "0x5\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5g\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1", ";a\r\n", FAULT_bad_chunk},
	{"9112 7.1.1", "5;\r\n", FAULT_bad_chunk},
	{"9112 7.1.1", "5;a=\r\n", FAULT_bad_chunk},
	{"9112 7.1.1", "5;a=\"b\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5 \r\nhello\r\n0\r\n\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5 5\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5,\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5\nhello\r\n0\r\n\r\n", FAULT_bad_line_end},
	{"9112 7.1", "5\rhello\r\n0\r\n\r\n", FAULT_bad_line_end},
	{"9112 7.1", "5\r\nhello0\r\n\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5\r\nhello\n0\r\n\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5\r\nhello\r0\r\n\r\n", FAULT_bad_line_end},
	{"9112 7.1", "5\r\nhello!\r\n0\r\n\r\n", FAULT_bad_chunk},
	{"9112 7.1", "5\r\nhello\r\n\r\n", FAULT_bad_chunk},
	{"overflow", "10000000000000000\r\n", FAULT_bad_chunk},
	{"overflow", "ffffffffffffffff\r\n", FAULT_bad_chunk},
	{"overflow", "8000000000000000\r\n", FAULT_bad_chunk},
	{"overflow", "00000000000000005\r\n", FAULT_bad_chunk},
	{"9112 7.1.1", "5;a\nhello\r\n", FAULT_bad_line_end},
	{"9112 7.1.1", "5;a\rhello\r\n", FAULT_bad_line_end},
	{"9112 7.1.1", "5;a\x01\r\nhello\r\n", FAULT_bad_chunk},
	{"9112 7.1.2", "0\r\n A: b\r\n\r\n", FAULT_obs_fold},
	{"9112 7.1.2", "0\r\nA: b\r\n c\r\n\r\n", FAULT_obs_fold},
	{"9112 7.1.2", "0\r\nA\r\n\r\n", FAULT_bad_field_name},
	{"9112 7.1.2", "0\r\nA : b\r\n\r\n", FAULT_bad_field_name},
	{"9112 7.1.2", "0\r\n: b\r\n\r\n", FAULT_bad_field_name},
	{"9112 7.1.2", "0\r\nGET / HTTP/1.1\r\n\r\n", FAULT_bad_field_name},
	{"9112 7.1.2", "0\r\nA: \x01\r\n\r\n", FAULT_bad_field_value},
	{"9112 7.1.2", "0\r\nA: b\n\r\n", FAULT_bad_line_end},
	{"9112 7.1.2", "0\r\nA: b\rc\r\n", FAULT_bad_line_end},
	{"9112 7.1.2", "0\r\n\n", FAULT_bad_line_end},
	{"9112 7.1.2", "0\r\n\rx", FAULT_bad_line_end},
};

static void chunks_are_joined_however_they_arrive(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t n = strlen(good[i].text), rest = strlen(good[i].rest);

		same_in_every_piece(FRAMING_CHUNKED, 0, good[i].text, n);
		if (whole.fault || !whole.done)
			fail_msg("RFC %s: %s: fault %d", good[i].rfc, good[i].text, whole.fault);
		assert_int_equal(whole.n, strlen(good[i].payload));
		assert_memory_equal(whole.payload, good[i].payload, whole.n);
		assert_int_equal(whole.used, n - rest);
		for (size_t cut = 0; cut < n - rest; cut++) {
			body_read(&whole, FRAMING_CHUNKED, 0, good[i].text, cut, n);
			assert_int_equal(whole.fault, FAULT_NONE);
			assert_false(whole.done);
		}
	}
}

static void malformed_chunks_are_refused_however_they_arrive(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		same_in_every_piece(FRAMING_CHUNKED, 0, bad[i].text, strlen(bad[i].text));
		if (whole.fault != bad[i].fault)
			fail_msg("RFC %s: %s: %d and not %s", bad[i].rfc, bad[i].text, whole.fault,
				 http_fault_info[bad[i].fault].text);
	}
}

// A line of extensions costs the sender something; it must not cost us without bound.
static void extensions_are_bounded(void **state)
{
	char text[8192];
	int n;

	(void)state;
	n = snprintf(text, sizeof(text), "1;%0256d\r\nx\r\n0\r\n\r\n", 0);
	body_read(&whole, FRAMING_CHUNKED, 0, text, (size_t)n, (size_t)n);
	assert_true(whole.done);
	n = snprintf(text, sizeof(text), "1;%0257d\r\nx\r\n0\r\n\r\n", 0);
	body_read(&whole, FRAMING_CHUNKED, 0, text, (size_t)n, (size_t)n);
	assert_int_equal(whole.fault, FAULT_bad_chunk);
	n = snprintf(text, sizeof(text), "1%255s;x\r\nx\r\n0\r\n\r\n", "");
	body_read(&whole, FRAMING_CHUNKED, 0, text, (size_t)n, (size_t)n);
	assert_true(whole.done);
	n = snprintf(text, sizeof(text), "1%256s;x\r\nx\r\n0\r\n\r\n", "");
	body_read(&whole, FRAMING_CHUNKED, 0, text, (size_t)n, (size_t)n);
	assert_int_equal(whole.fault, FAULT_bad_chunk);
}

// Tiny chunks with long extensions: the work is for nothing. Large ones make up for theirs.
static void extensions_of_all_chunks_together_are_bounded(void **state)
{
	static char text[1 << 20];
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "1;%0200d\r\nx\r\n", 0);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "0\r\n\r\n");
	body_read(&whole, FRAMING_CHUNKED, 0, text, n, n);
	assert_int_equal(whole.fault, FAULT_chunk_overhead);
	assert_int_equal(whole.n, 16384 / (200 - 18));
	body_read(&parts, FRAMING_CHUNKED, 0, text, n, 7);
	assert_int_equal(parts.fault, FAULT_chunk_overhead);
	assert_int_equal(parts.n, whole.n);
	n = 0;
	for (unsigned i = 0; i < 80; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "64;%0250d\r\n%0100d\r\n", 0, 0);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "0\r\n\r\n");
	body_read(&whole, FRAMING_CHUNKED, 0, text, n, n);
	assert_true(whole.done);
}

static void the_largest_chunk_is_counted_down_in_64_bits(void **state)
{
	struct http_body b;
	size_t skip, run;
	char data[64] = "7fffffffffffffff\r\n";

	(void)state;
	http_body_init(&b, FRAMING_CHUNKED, 0);
	assert_int_equal(http_body_next(&b, data, sizeof(data), &skip, &run), FAULT_NONE);
	assert_int_equal(skip, 18);
	assert_int_equal(run, sizeof(data) - 18);
	assert_true(b.left == 0x7fffffffffffffffull - run);
}

static void a_length_ends_the_body(void **state)
{
	(void)state;
	same_in_every_piece(FRAMING_LENGTH, 5, "helloGET /", 10);
	assert_true(whole.done);
	assert_int_equal(whole.n, 5);
	assert_int_equal(whole.used, 5);
	same_in_every_piece(FRAMING_LENGTH, 11, "helloGET /", 10);
	assert_false(whole.done);
	assert_int_equal(whole.n, 10);
	same_in_every_piece(FRAMING_LENGTH, 0, "GET /", 5);
	assert_true(whole.done);
	assert_int_equal(whole.used, 0);
}

static void no_body_is_done_at_once_and_one_until_close_never(void **state)
{
	struct http_body b;
	size_t skip = 7, run = 7;

	(void)state;
	http_body_init(&b, FRAMING_NONE, 9);
	assert_true(http_body_done(&b));
	assert_int_equal(http_body_next(&b, "abc", 3, &skip, &run), FAULT_NONE);
	assert_int_equal(skip + run, 0);
	http_body_init(&b, FRAMING_CLOSE, 0);
	assert_int_equal(http_body_next(&b, "abc", 3, &skip, &run), FAULT_NONE);
	assert_int_equal(run, 3);
	assert_false(http_body_done(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_are_joined_however_they_arrive),
		cmocka_unit_test(malformed_chunks_are_refused_however_they_arrive),
		cmocka_unit_test(extensions_are_bounded),
		cmocka_unit_test(extensions_of_all_chunks_together_are_bounded),
		cmocka_unit_test(the_largest_chunk_is_counted_down_in_64_bits),
		cmocka_unit_test(a_length_ends_the_body),
		cmocka_unit_test(no_body_is_done_at_once_and_one_until_close_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
