// Texts with variables: what a request fills them with, and what is percent-encoded on the way.
#include "http/parse.h"
#include "http/template.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static _Alignas(8) struct {
	struct snapshot s;
	struct snap_piece piece[SNAP_PIECES_MAX];
	char text[1024];
} t;
static uint32_t n_pieces, text_used;
static struct http_head head;
static struct slice capture[2];
static struct template_values values;
static char out[1024];

static int begin(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	n_pieces = text_used = 0;
	t.s.size = sizeof(t);
	values = (struct template_values){.snapshot = &t.s,
					  .head = &head,
					  .client = SLICE("198.18.0.7"),
					  .request_id = SLICE("0123"),
					  .listener = SLICE("http"),
					  .capture = capture,
					  .n_captures = 2};
	return 0;
}

static void request(const char *text)
{
	assert_int_equal(http_parse_request(text, strlen(text), 8192, &head), strlen(text));
}

static void piece(enum snap_piece_kind kind, enum snap_escape escape, const char *text, unsigned number)
{
	uint32_t n = text ? (uint32_t)strlen(text) : 0;

	t.piece[n_pieces++] = (struct snap_piece){.kind = (uint8_t)kind,
						  .escape = (uint8_t)escape,
						  .number = (uint16_t)number,
						  .text = {(uint32_t)(t.text - (char *)&t) + text_used, n}};
	if (n)
		memcpy(t.text + text_used, text, n);
	text_used += n;
}

static struct snap_ref pieces(void)
{
	return (struct snap_ref){(uint32_t)((char *)t.piece - (char *)&t), n_pieces};
}

static void is(const char *expect)
{
	int n = (int)strlen(expect);

	assert_true(snapshot_pieces_ok(&t.s, pieces()));
	assert_int_equal(template_expand(&values, pieces(), out, sizeof(out)), n);
	out[n] = '\0';
	assert_string_equal(out, expect);
	// Every room that is too small is noticed, and not a byte is written behind it.
	for (int room = 0; room < n; room++) {
		memset(out, '#', sizeof(out));
		assert_int_equal(template_expand(&values, pieces(), out, (size_t)room), -1);
		assert_int_equal(out[room], '#');
	}
	n_pieces = 0;
}

static void one(enum snap_piece_kind kind, enum snap_escape escape, const char *text, const char *expect)
{
	piece(kind, escape, text, 0);
	is(expect);
}

static void each_variable_is_what_the_request_says(void **state)
{
	(void)state;
	request("PUT /a/b%20c?x=1&y=a+b HTTP/1.1\r\nHost: shop.test:8080\r\nX-User: ada\r\n"
		"Cookie: a=1; sid=42\r\nCookie: last=z\r\n\r\n");
	values.rest = SLICE("/b%20c");
	one(PIECE_LITERAL, ESCAPE_FIELD, "as it is", "as it is");
	one(PIECE_CLIENT_IP, ESCAPE_FIELD, NULL, "198.18.0.7");
	one(PIECE_REQUEST_ID, ESCAPE_FIELD, NULL, "0123");
	one(PIECE_LISTENER, ESCAPE_FIELD, NULL, "http");
	one(PIECE_METHOD, ESCAPE_FIELD, NULL, "PUT");
	one(PIECE_SCHEME, ESCAPE_FIELD, NULL, "http");
	one(PIECE_HOST, ESCAPE_FIELD, NULL, "shop.test");
	one(PIECE_AUTHORITY, ESCAPE_FIELD, NULL, "shop.test:8080");
	one(PIECE_PATH, ESCAPE_FIELD, NULL, "/a/b%20c");
	one(PIECE_QUERY, ESCAPE_FIELD, NULL, "x=1&y=a+b");
	one(PIECE_REST, ESCAPE_FIELD, NULL, "/b%20c");
	one(PIECE_HEADER, ESCAPE_FIELD, "x-user", "ada");
	one(PIECE_COOKIE, ESCAPE_FIELD, "sid", "42");
	one(PIECE_COOKIE, ESCAPE_FIELD, "last", "z");
	one(PIECE_PARAMETER, ESCAPE_FIELD, "y", "a+b");
	capture[1] = SLICE("b%20c");
	piece(PIECE_LITERAL, ESCAPE_FIELD, "<", 0);
	piece(PIECE_CAPTURE, ESCAPE_FIELD, NULL, 1);
	piece(PIECE_LITERAL, ESCAPE_FIELD, ">", 0);
	is("<b%20c>");
}

static void what_is_not_there_is_empty(void **state)
{
	(void)state;
	request("GET / HTTP/1.1\r\nHost: a\r\nCookie: sidx=1\r\n\r\n");
	one(PIECE_HEADER, ESCAPE_FIELD, "x-user", "");
	one(PIECE_COOKIE, ESCAPE_PATH, "sid", "");
	one(PIECE_PARAMETER, ESCAPE_QUERY, "y", "");
	one(PIECE_QUERY, ESCAPE_QUERY, NULL, "");
	values.n_captures = 0;
	one(PIECE_CAPTURE, ESCAPE_PATH, NULL, "");
}

static void a_field_gets_no_control_character(void **state)
{
	(void)state;
	request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	capture[0] = slice_of("a\r\nX: y\0\x7f\t\xe4", 11);
	one(PIECE_CAPTURE, ESCAPE_FIELD, NULL, "a__X: y__\t\xe4");
}

// RFC 3986 3.3: what is no pchar, and a slash, a percent and a plus where they would mean something else.
static void a_path_gets_what_means_something_in_paths_encoded(void **state)
{
	(void)state;
	request("GET /a%2fb/{x} HTTP/1.1\r\nHost: [::1]:80\r\nX-A: a/b?c#d%41 \xe4\"+;\r\n\r\n");
	one(PIECE_HEADER, ESCAPE_PATH, "X-A", "a%2Fb%3Fc%23d%2541%20%E4%22%2B;");
	one(PIECE_PATH, ESCAPE_PATH, NULL, "/a%2fb/%7Bx%7D");
	one(PIECE_HOST, ESCAPE_PATH, NULL, "[::1]");
	capture[0] = SLICE("a/b+c%2Fd%");
	one(PIECE_CAPTURE, ESCAPE_PATH, NULL, "a/b+c%2Fd%25");
}

static void a_query_gets_what_means_something_in_queries_encoded(void **state)
{
	(void)state;
	request("GET /p?q=a+b%2F/c?d&r=%41 HTTP/1.1\r\nHost: a\r\nX-A: a&b=c+d%41?e\r\n\r\n");
	one(PIECE_HEADER, ESCAPE_QUERY, "X-A", "a%26b%3Dc%2Bd%2541?e");
	one(PIECE_PARAMETER, ESCAPE_QUERY, "q", "a+b%2F/c?d");
	one(PIECE_PARAMETER, ESCAPE_PATH, "q", "a%20b%2F%2Fc%3Fd");
	one(PIECE_QUERY, ESCAPE_QUERY, NULL, "q=a+b%2F/c?d&r=%41");
	capture[0] = SLICE("a&b=c+d");
	one(PIECE_CAPTURE, ESCAPE_QUERY, NULL, "a%26b%3Dc%2Bd");
}

static void pieces_that_are_not_sound_are_refused(void **state)
{
	struct snap_ref list;

	(void)state;
#define REFUSED(damage)                                                                                        \
	do {                                                                                                   \
		begin(NULL);                                                                                   \
		piece(PIECE_HEADER, ESCAPE_FIELD, "X-A", 0);                                                   \
		list = pieces();                                                                               \
		assert_true(snapshot_pieces_ok(&t.s, list));                                                   \
		damage;                                                                                        \
		if (snapshot_pieces_ok(&t.s, list))                                                            \
			fail_msg("accepted: %s", #damage);                                                     \
	} while (0)
	REFUSED(t.piece[0].kind = PIECES);
	REFUSED(t.piece[0].escape = ESCAPES);
	REFUSED(t.piece[0].number = SNAP_CAPTURES_MAX);
	REFUSED(t.piece[0].pad = 1);
	REFUSED(t.piece[0].text.n = 0);
	REFUSED(t.piece[0].text.n = SNAP_NAME_MAX + 1);
	REFUSED(t.piece[0].text.off = UINT32_MAX);
	REFUSED(t.piece[0].kind = PIECE_HOST);
	REFUSED(t.text[1] = '\n');
	REFUSED(list.off += 4);
	REFUSED(list.off = 0);
	REFUSED(list.off = UINT32_MAX & ~7u);
	REFUSED(list.n = SNAP_PIECES_MAX + 1);
	REFUSED(t.s.size = sizeof(t.s));
}

static void a_path_is_sound_or_is_not(void **state)
{
	static const char *const good[] = {"/", "/a", "//", "/a/..b/.c", "/%41", "/a;b", "/...", "/{x}"};
	static const char *const bad[] = {"",    "a",    "/..",  "/a/./b", "/%2e%2E/x", "/a?b", "/a b",
					  "/%4", "/%zz", "/a#b", "/\\",    "/a/.;x",    "/\x01"};

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!http_path_ok(slice_of(good[i], strlen(good[i]))))
			fail_msg("refused: %s", good[i]);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (http_path_ok(slice_of(bad[i], strlen(bad[i]))))
			fail_msg("accepted: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_variable_is_what_the_request_says, begin),
		cmocka_unit_test_setup(what_is_not_there_is_empty, begin),
		cmocka_unit_test_setup(a_field_gets_no_control_character, begin),
		cmocka_unit_test_setup(a_path_gets_what_means_something_in_paths_encoded, begin),
		cmocka_unit_test_setup(a_query_gets_what_means_something_in_queries_encoded, begin),
		cmocka_unit_test_setup(pieces_that_are_not_sound_are_refused, begin),
		cmocka_unit_test(a_path_is_sound_or_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
