// The headers stage, through the generated run and verify.
#include "http/parse.h"
#include "http/write.h"
#include "policy/headers/conf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define RECORD                                                                                                 \
	struct headers_conf conf;                                                                              \
	struct headers_edit request[HEADERS_EDITS_MAX + 1], response[HEADERS_EDITS_MAX + 1];                   \
	struct snap_piece piece[4]
#include "laid.h"

static struct http_head head;
static struct stage_ctx ctx;

static int lay_down(void **state)
{
	(void)state;
	lay_route(STAGE_headers, &t.conf, sizeof(t.conf));
	t.conf.request = REF(t.request, 0);
	t.conf.response = REF(t.response, 0);
	ctx = (struct stage_ctx){.snapshot = &t.s, .head = &head};
	return 0;
}

static void edit(bool request, enum headers_op op, const char *name, const char *value)
{
	struct snap_ref *list = request ? &t.conf.request : &t.conf.response;
	struct headers_edit *e = request ? t.request : t.response;

	e[list->n++] = (struct headers_edit){.name = put_text(name), .value = put_text(value), .op = op};
}

static enum verdict run(enum stage_hook hook)
{
	enum stage at = STAGE_COUNT;

	return policy_run(hook, t.route.stages, t.route.stage_conf, &ctx, 0, &at);
}

static void request(const char *text)
{
	assert_true(http_parse_request(text, strlen(text), 8192, &head) > 0);
}

static void request_is(const char *expect)
{
	char out[1024];
	int n = http_write_request(out, sizeof(out), &head, head.path, FRAMING_NONE, 0);

	assert_int_equal(n, strlen(expect));
	assert_memory_equal(out, expect, n);
}

static void request_fields_are_removed_set_and_added_in_any_case(void **state)
{
	(void)state;
	edit(true, HEADERS_REMOVE, "x-secret", "");
	edit(true, HEADERS_REMOVE, "X-Absent", "");
	edit(true, HEADERS_SET, "x-set", "new");
	edit(true, HEADERS_SET, "X-Fresh", "");
	edit(true, HEADERS_ADD, "x-add", "2");
	edit(false, HEADERS_REMOVE, "X-Keep", "");
	assert_true(verified());
	request("GET / HTTP/1.1\r\nHost: h\r\nX-SECRET: 1\r\nX-Set: old\r\nX-Keep: k\r\nX-Add: 1\r\n"
		"X-SET: older\r\nX-Secret: 2\r\n\r\n");
	assert_int_equal(run(HOOK_HEAD), VERDICT_PASS);
	request_is("GET / HTTP/1.1\r\nHost: h\r\nX-Set: new\r\nX-Keep: k\r\nX-Add: 1\r\nX-Fresh: \r\nx-add: "
		   "2\r\n\r\n");
}

static void response_fields_are_edited_by_their_own_list(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nServer: x\r\nA: 1\r\n\r\n";

	(void)state;
	edit(true, HEADERS_REMOVE, "A", "");
	edit(false, HEADERS_REMOVE, "Server", "");
	edit(false, HEADERS_SET, "Strict-Transport-Security", "max-age=1");
	assert_true(verified());
	assert_true(http_parse_response(text, sizeof(text) - 1, 8192, &head) > 0);
	assert_int_equal(run(HOOK_RESPONSE), VERDICT_PASS);
	assert_null(http_find(&head, SLICE("server")));
	assert_non_null(http_find(&head, SLICE("a")));
	assert_true(slice_eq(http_find(&head, SLICE("strict-transport-security"))->value, SLICE("max-age=1")));
}

static void host_is_set_through_the_authority(void **state)
{
	(void)state;
	edit(true, HEADERS_SET, "Host", "b.example:81");
	assert_true(verified());
	request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(run(HOOK_HEAD), VERDICT_PASS);
	request_is("GET / HTTP/1.1\r\nHost: b.example:81\r\n\r\n");
}

static void a_route_without_the_stage_and_a_later_start_run_nothing(void **state)
{
	enum stage at = STAGE_COUNT;

	(void)state;
	edit(true, HEADERS_ADD, "A", "b");
	request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(policy_run(HOOK_HEAD, 0, t.route.stage_conf, &ctx, 0, &at), VERDICT_PASS);
	assert_int_equal(
		policy_run(HOOK_HEAD, t.route.stages, t.route.stage_conf, &ctx, STAGE_headers + 1, &at),
		VERDICT_PASS);
	request_is("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void no_room_for_a_field_answers_the_client(void **state)
{
	enum stage at = STAGE_COUNT;

	(void)state;
	edit(true, HEADERS_ADD, "A", "b");
	edit(false, HEADERS_SET, "A", "b");
	request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	while (http_add(&head, SLICE("B"), SLICE("c")))
		;
	assert_int_equal(policy_run(HOOK_HEAD, t.route.stages, t.route.stage_conf, &ctx, 0, &at),
			 VERDICT_REPLY);
	assert_int_equal(at, STAGE_headers);
	assert_int_equal(ctx.status, 431);
	assert_non_null(ctx.message);
	assert_int_equal(run(HOOK_RESPONSE), VERDICT_REPLY);
	assert_int_equal(ctx.status, 502);
}

static void names_of_framing_and_persistence_are_refused(void **state)
{
	static const char *const names[] = {
		"Connection",
		"content-length",
		"Transfer-Encoding",
		"Keep-Alive",
		"Proxy-Connection",
		"TE",
		"Trailer",
		"Upgrade",
		"Expect",
		"",
		"a b",
		"a:",
		"a\r\nb",
		"a\x80",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (int op = HEADERS_REMOVE; op <= HEADERS_ADD; op++) {
			lay_down(state);
			edit(i % 2, op, names[i], "x");
			if (verified())
				fail_msg("'%s' was taken", names[i]);
		}
	}
}

static void values_with_control_bytes_and_bad_hosts_are_refused(void **state)
{
	static const char *const values[] = {"a\r\nb: c", "a\n", "\x01", "a\x7f"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		lay_down(state);
		edit(true, HEADERS_SET, "A", values[i]);
		assert_false(verified());
	}
	lay_down(state);
	edit(true, HEADERS_SET, "Host", "a b");
	assert_false(verified());
	lay_down(state);
	edit(true, HEADERS_REMOVE, "Host", "");
	assert_false(verified());
	lay_down(state);
	edit(false, HEADERS_SET, "Host", "a");
	assert_false(verified());
}

static void records_that_reach_outside_are_refused(void **state)
{
	struct snap_ref wrong[] = {
		{UINT32_MAX - 7, 1}, {8, 1}, {sizeof(t) - 8, 2}, {REF(t.request, 1).off + 4, 1}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		lay_down(state);
		edit(true, HEADERS_SET, "A", "b");
		assert_true(verified());
		t.conf.request = wrong[i];
		assert_false(verified());
		if (i == 3) // text is not aligned
			continue;
		lay_down(state);
		edit(true, HEADERS_SET, "A", "b");
		t.request[0].value = (struct snap_ref){wrong[i].off, 9};
		assert_false(verified());
	}
	lay_down(state);
	t.route.stage_conf[STAGE_headers].n--;
	assert_false(verified());
	lay_down(state);
	t.route.stage_conf[STAGE_headers].off = sizeof(t) - 8;
	assert_false(verified());
	lay_down(state);
	t.route.stages = 1u << STAGE_COUNT;
	assert_false(verified());
	// A listener's limits have a route looked at for its own, which may have none.
	lay_down(state);
	t.route.stage_conf[STAGE_ratelimit] = (struct snap_ref){sizeof(t) - 8, 4096};
	assert_false(verified());
}

static void edits_are_bounded_ordered_and_of_a_known_kind(void **state)
{
	(void)state;
	for (int i = 0; i < HEADERS_EDITS_MAX; i++)
		edit(true, HEADERS_ADD, "A", "b");
	assert_true(verified());
	edit(true, HEADERS_ADD, "A", "b");
	assert_false(verified());
	lay_down(state);
	edit(true, HEADERS_ADD, "A", "b");
	edit(true, HEADERS_SET, "A", "b");
	assert_false(verified());
	lay_down(state);
	edit(true, HEADERS_ADD, "A", "b");
	t.request[0].op = 3;
	assert_false(verified());
}

// "${header.X-User}!" in place of the value of the last edit.
static void with_pieces(bool request_edits)
{
	struct snap_piece *p = t.piece;
	struct snap_ref list = request_edits ? t.conf.request : t.conf.response;
	struct headers_edit *e = (request_edits ? t.request : t.response) + list.n - 1;

	p[0] = (struct snap_piece){.kind = PIECE_HEADER, .text = put_text("X-User")};
	p[1] = (struct snap_piece){.kind = PIECE_LITERAL, .text = put_text("!")};
	e->value = (struct snap_ref){0, 0};
	e->pieces = REF(t.piece, 2);
}

static char scratch[256], kept[STAGE_KEPT_MAX];

static void fill_from_request(void)
{
	static struct template_values values;

	values = (struct template_values){.snapshot = &t.s, .head = &head};
	ctx.values = &values;
	ctx.text = scratch;
	ctx.text_room = sizeof(scratch);
	ctx.kept = kept;
}

static void a_value_with_variables_is_filled_from_the_request(void **state)
{
	(void)state;
	edit(true, HEADERS_SET, "X-From", "");
	with_pieces(true);
	assert_true(verified());
	request("GET / HTTP/1.1\r\nHost: a\r\nX-User: ada\r\n\r\n");
	fill_from_request();
	assert_int_equal(run(HOOK_HEAD), VERDICT_PASS);
	request_is("GET / HTTP/1.1\r\nHost: a\r\nX-User: ada\r\nX-From: ada!\r\n\r\n");
	ctx.text_room = 3; // one byte less than it takes
	assert_int_equal(run(HOOK_HEAD), VERDICT_REPLY);
	assert_int_equal(ctx.status, 431);
}

static void a_value_of_the_response_is_kept_from_the_request(void **state)
{
	(void)state;
	edit(false, HEADERS_SET, "X-For", "");
	with_pieces(false);
	edit(false, HEADERS_ADD, "X-Plain", "p");
	assert_true(verified());
	request("GET / HTTP/1.1\r\nHost: a\r\nX-User: ada\r\n\r\n");
	fill_from_request();
	assert_int_equal(run(HOOK_HEAD), VERDICT_PASS);
	assert_int_equal(ctx.kept_n, 6);
	ctx.was_kept = slice_of(kept, ctx.kept_n);
	head.n = 0;
	assert_int_equal(run(HOOK_RESPONSE), VERDICT_PASS);
	assert_int_equal(head.n, 2);
	assert_true(slice_eq(head.field[0].value, SLICE("ada!")));
	assert_true(slice_eq(head.field[1].value, SLICE("p")));
	// What is not all there is not believed.
	ctx.was_kept = slice_of(kept, 5);
	assert_int_equal(run(HOOK_RESPONSE), VERDICT_REPLY);
}

static void pieces_are_checked_with_the_record(void **state)
{
	(void)state;
	edit(true, HEADERS_SET, "X-From", "");
	with_pieces(true);
	assert_true(verified());
	t.piece[1].kind = PIECES;
	assert_false(verified());
	t.piece[1].kind = PIECE_LITERAL;
	t.request[0].value = put_text("both");
	assert_false(verified());
	t.request[0].value.n = 0;
	t.request[0].name = put_text("Host");
	assert_false(verified());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(request_fields_are_removed_set_and_added_in_any_case, lay_down),
		cmocka_unit_test_setup(response_fields_are_edited_by_their_own_list, lay_down),
		cmocka_unit_test_setup(host_is_set_through_the_authority, lay_down),
		cmocka_unit_test_setup(a_route_without_the_stage_and_a_later_start_run_nothing, lay_down),
		cmocka_unit_test_setup(no_room_for_a_field_answers_the_client, lay_down),
		cmocka_unit_test_setup(names_of_framing_and_persistence_are_refused, lay_down),
		cmocka_unit_test_setup(values_with_control_bytes_and_bad_hosts_are_refused, lay_down),
		cmocka_unit_test_setup(records_that_reach_outside_are_refused, lay_down),
		cmocka_unit_test_setup(edits_are_bounded_ordered_and_of_a_known_kind, lay_down),
		cmocka_unit_test_setup(a_value_with_variables_is_filled_from_the_request, lay_down),
		cmocka_unit_test_setup(a_value_of_the_response_is_kept_from_the_request, lay_down),
		cmocka_unit_test_setup(pieces_are_checked_with_the_record, lay_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
