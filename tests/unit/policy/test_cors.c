// The cors stage, through the generated run and verify: its record, and what it answers.
#include "http/parse.h"
#include "policy/cors/cors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define RECORD                                                                                                 \
	struct cors_conf conf;                                                                                 \
	struct snap_ref origin[CORS_ORIGINS_MAX + 1]
#include "laid.h"

static struct http_head head;
static char request[1024], scratch[CORS_FIELDS_MAX];

static int lay_down(void **state)
{
	(void)state;
	lay_route(STAGE_cors, &t.conf, sizeof(t.conf));
	t.conf.origins = REF(t.origin, 2);
	t.origin[0] = put_text("https://a.test");
	t.origin[1] = put_text("https://b.test");
	t.conf.methods = put_text("GET, PUT");
	t.conf.max_age = put_text("600");
	return 0;
}

static void read_request(const char *line, const char *fields)
{
	int n = snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: h\r\n%s\r\n", line, fields);

	assert_int_equal(http_parse_request(request, (size_t)n, sizeof(request), &head), n);
}

static enum verdict run(enum stage_hook hook, struct stage_ctx *ctx, uint8_t origin)
{
	enum stage at;

	*ctx = (struct stage_ctx){.snapshot = &t.s,
				  .head = &head,
				  .cors = origin,
				  .scratch = scratch,
				  .scratch_room = sizeof(scratch)};
	return policy_run(hook, t.route.stages, t.route.stage_conf, ctx, 0, &at);
}

static void lines_are(struct slice got, const char *expected)
{
	assert_int_equal(got.n, strlen(expected));
	assert_memory_equal(got.p, expected, got.n);
}

static void a_sound_record_is_taken_and_a_damaged_one_is_not(void **state)
{
	(void)state;
	assert_true(verified());
#define DAMAGED(statement)                                                                                     \
	lay_down(NULL);                                                                                        \
	statement;                                                                                             \
	assert_false(verified());
	DAMAGED(t.conf.origins.n = 0)
	DAMAGED(t.conf.origins.n = CORS_ORIGINS_MAX + 1)
	DAMAGED(t.conf.origins.off += 4)
	DAMAGED(t.conf.origins.off = (uint32_t)sizeof(t))
	DAMAGED(t.origin[1].n = 0)
	DAMAGED(t.origin[1].off = (uint32_t)sizeof(t))
	DAMAGED(t.conf.methods.n = 0)
	DAMAGED(t.conf.methods.n = CORS_LIST_MAX + 1)
	DAMAGED(t.conf.max_age.n = 0)
	DAMAGED(t.conf.credentials = 2)
	DAMAGED(t.conf.pad = 1)
	DAMAGED(t.route.stage_conf[STAGE_cors].n -= 8)
	DAMAGED(t.text[2] = '\n')
	DAMAGED((t.origin[0] = put_text("*"), t.conf.credentials = 1))
#undef DAMAGED
}

static void an_origin_is_one_of_the_list_byte_by_byte(void **state)
{
	(void)state;
	read_request("GET /", "Origin: https://b.test\r\n");
	assert_int_equal(cors_origin(&t.s, &t.conf, &head), 2);
	read_request("GET /", "Origin: https://b.tes\r\n");
	assert_int_equal(cors_origin(&t.s, &t.conf, &head), 0);
	read_request("GET /", "Origin: HTTPS://b.test\r\n");
	assert_int_equal(cors_origin(&t.s, &t.conf, &head), 0);
	read_request("GET /", "");
	assert_int_equal(cors_origin(&t.s, &t.conf, &head), 0);
	t.origin[0] = put_text("*");
	read_request("GET /", "Origin: null\r\n");
	assert_int_equal(cors_origin(&t.s, &t.conf, &head), 1);
}

static void a_preflight_is_options_with_an_origin_and_a_method(void **state)
{
	struct stage_ctx ctx;

	(void)state;
	read_request("OPTIONS /", "Origin: https://a.test\r\nAccess-Control-Request-Method: PUT\r\n");
	assert_int_equal(run(HOOK_HEAD, &ctx, 1), VERDICT_REPLY);
	assert_int_equal(ctx.status, 204);
	lines_are(ctx.fields,
		  "Access-Control-Allow-Origin: https://a.test\r\n"
		  "Access-Control-Allow-Methods: GET, PUT\r\n"
		  "Access-Control-Max-Age: 600\r\n"
		  "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n");
	assert_int_equal(run(HOOK_HEAD, &ctx, 0), VERDICT_REPLY);
	assert_int_equal(ctx.status, 403);
	read_request("OPTIONS /", "Origin: https://a.test\r\n");
	assert_int_equal(run(HOOK_HEAD, &ctx, 1), VERDICT_PASS);
	read_request("OPTIONS /", "Access-Control-Request-Method: PUT\r\n");
	assert_int_equal(run(HOOK_HEAD, &ctx, 0), VERDICT_PASS);
	read_request("PUT /", "Origin: https://a.test\r\nAccess-Control-Request-Method: PUT\r\n");
	assert_int_equal(run(HOOK_HEAD, &ctx, 1), VERDICT_PASS);
}

static void what_the_upstream_says_of_it_is_replaced(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n"
				     "Access-Control-Allow-Credentials: true\r\nContent-Length: 0\r\n\r\n";
	struct stage_ctx ctx;

	(void)state;
	t.conf.expose = put_text("X-A, X-B");
	assert_true(http_parse_response(answer, sizeof(answer) - 1, sizeof(answer), &head) > 0);
	assert_int_equal(run(HOOK_RESPONSE, &ctx, 2), VERDICT_PASS);
	lines_are(http_find(&head, SLICE("access-control-allow-origin"))->value, "https://b.test");
	lines_are(http_find(&head, SLICE("access-control-expose-headers"))->value, "X-A, X-B");
	lines_are(http_find(&head, SLICE("vary"))->value, "Origin");
	assert_null(http_find(&head, SLICE("access-control-allow-credentials")));
	assert_true(http_parse_response(answer, sizeof(answer) - 1, sizeof(answer), &head) > 0);
	assert_int_equal(run(HOOK_RESPONSE, &ctx, 0), VERDICT_PASS);
	assert_null(http_find(&head, SLICE("access-control-allow-origin")));
	lines_are(http_find(&head, SLICE("vary"))->value, "Origin");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_sound_record_is_taken_and_a_damaged_one_is_not, lay_down),
		cmocka_unit_test_setup(an_origin_is_one_of_the_list_byte_by_byte, lay_down),
		cmocka_unit_test_setup(a_preflight_is_options_with_an_origin_and_a_method, lay_down),
		cmocka_unit_test_setup(what_the_upstream_says_of_it_is_replaced, lay_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
