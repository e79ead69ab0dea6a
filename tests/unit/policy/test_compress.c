// The compress stage: which coding a request wants, which responses are compressed, and what their heads say
// then.
#include "http/parse.h"
#include "policy/compress/compress.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define RECORD                                                                                                 \
	struct compress_conf conf;                                                                             \
	struct snap_ref type[COMPRESS_TYPES_MAX + 1]
#include "laid.h"

static struct http_head head;
static char message[4096], room[1024];

static int lay_down(void **state)
{
	(void)state;
	lay_route(STAGE_compress, &t.conf, sizeof(t.conf));
	t.conf = (struct compress_conf){.types = REF(t.type, 2),
					.min_size = 100,
					.level = 2,
					.n_codings = 2,
					.coding = {CODING_GZIP, CODING_BR}};
	t.type[0] = put_text("text/*");
	t.type[1] = put_text("application/json");
	return 0;
}

static void read_request(const char *version, const char *fields)
{
	int n = snprintf(message, sizeof(message), "GET / HTTP/%s\r\nHost: h\r\n%s\r\n", version, fields);

	assert_int_equal(http_parse_request(message, (size_t)n, sizeof(message), &head), n);
}

static void read_response(int status, const char *fields)
{
	int n = snprintf(message, sizeof(message), "HTTP/1.1 %d X\r\n%s\r\n", status, fields);

	assert_int_equal(http_parse_response(message, (size_t)n, sizeof(message), &head), n);
}

static enum verdict run(enum stage_hook hook, struct stage_ctx *ctx, enum coding coding, bool encoder_free)
{
	enum stage at;

	*ctx = (struct stage_ctx){.snapshot = &t.s,
				  .head = &head,
				  .coding = (uint8_t)coding,
				  .encoder_free = encoder_free,
				  .text = room,
				  .text_room = sizeof(room)};
	return policy_run(hook, t.route.stages, t.route.stage_conf, ctx, 0, &at);
}

static void field_is(const char *name, const char *value)
{
	const struct http_field *f = http_find(&head, slice_of(name, strlen(name)));

	if (!value) {
		assert_null(f);
		return;
	}
	assert_non_null(f);
	assert_int_equal(f->value.n, strlen(value));
	assert_memory_equal(f->value.p, value, f->value.n);
}

static void a_sound_record_is_taken_and_a_damaged_one_is_not(void **state)
{
	(void)state;
	assert_true(verified());
#define DAMAGED(statement)                                                                                     \
	lay_down(NULL);                                                                                        \
	statement;                                                                                             \
	assert_false(verified());
	DAMAGED(t.conf.types.n = 0)
	DAMAGED(t.conf.types.n = COMPRESS_TYPES_MAX + 1)
	DAMAGED(t.conf.types.off += 4)
	DAMAGED(t.conf.types.off = (uint32_t)sizeof(t))
	DAMAGED(t.type[1].off = (uint32_t)sizeof(t))
	DAMAGED(t.type[1].n = 2)
	DAMAGED(t.type[1].n = 12)
	DAMAGED(t.text[4] = 'x')
	DAMAGED(t.conf.min_size = 0)
	DAMAGED(t.conf.level = 0)
	DAMAGED(t.conf.level = COMPRESS_LEVELS + 1)
	DAMAGED(t.conf.n_codings = 0)
	DAMAGED(t.conf.n_codings = CODINGS)
	DAMAGED(t.conf.coding[1] = CODING_NONE)
	DAMAGED(t.conf.coding[1] = CODING_GZIP)
	DAMAGED(t.conf.coding[0] = CODINGS)
	DAMAGED(t.route.stage_conf[STAGE_compress].n -= 1)
#undef DAMAGED
}

static void the_coding_is_what_accept_encoding_likes_best(void **state) // RFC 9110 12.5.3
{
	static const struct {
		const char *fields;
		enum coding coding; // where gzip stands before br
		enum coding other;  // where br does
	} table[] = {
		{"", CODING_NONE, CODING_NONE},
		{"Accept-Encoding:\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: gzip\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: br\r\n", CODING_BR, CODING_BR},
		{"accept-encoding: gzip, deflate, br, zstd\r\n", CODING_GZIP, CODING_BR},
		{"Accept-Encoding: br, gzip\r\n", CODING_GZIP, CODING_BR},
		{"Accept-Encoding: X-GZIP\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: gzipped, brotli\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: deflate, compress, zstd\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: gzip;q=0.5, br;q=0.8\r\n", CODING_BR, CODING_BR},
		{"Accept-Encoding: gzip;q=0.801, br;q=0.8\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: gzip ; Q=0.5 ,br;q=0.4\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: gzip;q=0\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: gzip;q=0.000, br\r\n", CODING_BR, CODING_BR},
		{"Accept-Encoding: *\r\n", CODING_GZIP, CODING_BR},
		{"Accept-Encoding: *;q=0\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: gzip;q=0, *\r\n", CODING_BR, CODING_BR},
		{"Accept-Encoding: br;q=0.1, *;q=0.5\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: identity\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: identity, gzip\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: gzip;q=0.5, identity\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: gzip;q=0.5, identity;q=0.5\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: identity;q=0, br\r\n", CODING_BR, CODING_BR},
		{"Accept-Encoding: identity;q=0, *;q=0.1\r\n", CODING_GZIP, CODING_BR},
		{"Accept-Encoding: identity;q=0\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: gzip;q=1.1, br;q=0.2\r\n", CODING_BR, CODING_BR},
		{"Accept-Encoding: gzip;q=x\r\n", CODING_NONE, CODING_NONE},
		{"Accept-Encoding: gzip;q=0.5\r\nAccept-Encoding: br\r\n", CODING_BR, CODING_BR},
		{"Accept-Encoding: ,, ,gzip,\r\n", CODING_GZIP, CODING_GZIP},
		{"Accept-Encoding: gzip\r\nCache-Control: max-age=0, no-transform\r\n", CODING_NONE,
		 CODING_NONE},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct stage_ctx ctx;

		lay_down(NULL);
		read_request("1.1", table[i].fields);
		assert_int_equal(run(HOOK_HEAD, &ctx, CODING_NONE, false), VERDICT_PASS);
		if (ctx.coding != table[i].coding)
			fail_msg("%s: %s", table[i].fields, coding_name[ctx.coding]);
		t.conf.coding[0] = CODING_BR;
		t.conf.coding[1] = CODING_GZIP;
		run(HOOK_HEAD, &ctx, CODING_NONE, false);
		if (ctx.coding != table[i].other)
			fail_msg("br first: %s: %s", table[i].fields, coding_name[ctx.coding]);
	}
}

static void what_is_not_on_offer_or_over_http_1_0_is_not_used(void **state)
{
	struct stage_ctx ctx;

	(void)state;
	t.conf.n_codings = 1;
	read_request("1.1", "Accept-Encoding: br, gzip;q=0.1\r\n");
	run(HOOK_HEAD, &ctx, CODING_NONE, false);
	assert_int_equal(ctx.coding, CODING_GZIP);
	read_request("1.0", "Accept-Encoding: br, gzip;q=0.1\r\n");
	run(HOOK_HEAD, &ctx, CODING_NONE, false);
	assert_int_equal(ctx.coding, CODING_NONE);
}

static void responses_are_judged_by_status_type_size_and_what_binds_their_bytes(void **state)
{
#define HTML "Content-Type: text/html\r\n"
	static const struct {
		int status;
		const char *fields;
		enum compress_verdict verdict;
	} table[] = {
		{200, HTML, COMPRESS_BODY},
		{200, HTML "Content-Length: 100\r\n", COMPRESS_BODY},
		{200, HTML "Content-Length: 99\r\n", COMPRESS_NOT},
		{200, HTML "Transfer-Encoding: chunked\r\n", COMPRESS_BODY},
		{200, "Content-Type: TEXT/Plain ; charset=utf-8\r\n", COMPRESS_BODY},
		{200, "Content-Type: application/json\r\n", COMPRESS_BODY},
		{200, "Content-Type: application/json;x\r\n", COMPRESS_BODY},
		{200, "Content-Type: application/json5\r\n", COMPRESS_NOT},
		{200, "Content-Type: application/jso\r\n", COMPRESS_NOT},
		{200, "Content-Type: textual/html\r\n", COMPRESS_NOT},
		{200, "Content-Type: image/png\r\n", COMPRESS_NOT},
		{200, "Content-Type:\r\n", COMPRESS_NOT},
		{200, "", COMPRESS_NOT},
		{200, HTML HTML, COMPRESS_NOT},
		{201, HTML, COMPRESS_BODY},
		{404, HTML, COMPRESS_BODY},
		{503, HTML, COMPRESS_BODY},
		{204, HTML, COMPRESS_NOT},
		{205, HTML, COMPRESS_NOT},
		{206, HTML "Content-Range: bytes 0-1/2\r\n", COMPRESS_NOT},
		{226, HTML, COMPRESS_NOT},
		{200, HTML "Content-Range: bytes 0-1/2\r\n", COMPRESS_NOT},
		{200, HTML "Content-Encoding: gzip\r\n", COMPRESS_NOT},
		{200, HTML "Content-Encoding: identity\r\n", COMPRESS_NOT},
		{200, HTML "Content-MD5: x\r\n", COMPRESS_NOT},
		{200, HTML "Repr-Digest: sha-256=:x:\r\n", COMPRESS_NOT},
		{200, HTML "Cache-Control: public,No-Transform\r\n", COMPRESS_NOT},
		{200, HTML "Cache-Control: no-transforming\r\n", COMPRESS_BODY},
		{304, "", COMPRESS_VARIES},
		{304, HTML, COMPRESS_VARIES},
		{304, "Content-Type: image/png\r\n", COMPRESS_NOT},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		read_response(table[i].status, table[i].fields);
		if (compress_judge(&t.s, &t.conf, &head) != table[i].verdict)
			fail_msg("%d %s", table[i].status, table[i].fields);
	}
}

static void a_compressed_response_says_so_and_has_no_strong_tag(void **state) // RFC 9110 8.8.3.3
{
	struct stage_ctx ctx;

	(void)state;
	read_response(200, HTML "ETag: \"v\"\r\nAccept-Ranges: bytes\r\n");
	assert_int_equal(run(HOOK_RESPONSE, &ctx, CODING_BR, true), VERDICT_PASS);
	assert_int_equal(ctx.coding, CODING_BR);
	assert_int_equal(ctx.level, 2);
	assert_false(ctx.encoder_missed);
	field_is("content-encoding", "br");
	field_is("etag", "W/\"v\"");
	field_is("vary", "Accept-Encoding");
	field_is("accept-ranges", NULL);

	read_response(200, HTML "ETag: W/\"v\"\r\nVary: origin, ACCEPT-encoding\r\n");
	run(HOOK_RESPONSE, &ctx, CODING_GZIP, true);
	field_is("etag", "W/\"v\"");
	field_is("vary", "origin, ACCEPT-encoding");
	field_is("content-encoding", "gzip");
}

static void one_that_is_not_compressed_for_this_client_says_that_it_may_be_for_another(void **state)
{
	struct stage_ctx ctx;

	(void)state;
	read_response(200, HTML "ETag: \"v\"\r\nAccept-Ranges: bytes\r\n");
	assert_int_equal(run(HOOK_RESPONSE, &ctx, CODING_NONE, true), VERDICT_PASS);
	assert_int_equal(ctx.coding, CODING_NONE);
	assert_false(ctx.encoder_missed);
	field_is("etag", "\"v\"");
	field_is("vary", "Accept-Encoding");
	field_is("accept-ranges", "bytes");
	field_is("content-encoding", NULL);

	read_response(200, HTML "ETag: \"v\"\r\n"); // no encoder is free
	run(HOOK_RESPONSE, &ctx, CODING_GZIP, false);
	assert_int_equal(ctx.coding, CODING_NONE);
	assert_true(ctx.encoder_missed);
	field_is("etag", "\"v\"");
	field_is("vary", "Accept-Encoding");

	read_response(200, "Content-Type: image/png\r\nETag: \"v\"\r\n"); // the same to all
	run(HOOK_RESPONSE, &ctx, CODING_GZIP, true);
	assert_int_equal(ctx.coding, CODING_NONE);
	field_is("vary", NULL);
}

static void a_304_has_the_tag_that_the_200_had(void **state) // RFC 9110 15.4.5
{
	struct stage_ctx ctx;

	(void)state;
	read_response(304, "ETag: \"v\"\r\n");
	run(HOOK_RESPONSE, &ctx, CODING_GZIP, false);
	assert_int_equal(ctx.coding, CODING_NONE);
	assert_false(ctx.encoder_missed);
	field_is("etag", "W/\"v\"");
	field_is("vary", "Accept-Encoding");
	field_is("content-encoding", NULL);
	read_response(304, "ETag: \"v\"\r\n");
	run(HOOK_RESPONSE, &ctx, CODING_NONE, true);
	field_is("etag", "\"v\"");
	field_is("vary", "Accept-Encoding");
}

#define TEST(f) cmocka_unit_test_setup(f, lay_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sound_record_is_taken_and_a_damaged_one_is_not),
		TEST(the_coding_is_what_accept_encoding_likes_best),
		TEST(what_is_not_on_offer_or_over_http_1_0_is_not_used),
		TEST(responses_are_judged_by_status_type_size_and_what_binds_their_bytes),
		TEST(a_compressed_response_says_so_and_has_no_strong_tag),
		TEST(one_that_is_not_compressed_for_this_client_says_that_it_may_be_for_another),
		TEST(a_304_has_the_tag_that_the_200_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
