// The opening handshake (RFC 6455 4).
#include "http/parse.h"
#include "http/websocket.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
// cmocka needs the headers above first
#include <cmocka.h>

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define UP  "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"

static enum websocket_request asked(const char *method, const char *fields, char *accept)
{
	static struct http_head h;
	static char text[1024];
	int n = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

	assert_int_equal(http_parse_request(text, (size_t)n, 4096, &h), n);
	http_drop_hop_by_hop(&h);
	return websocket_request(&h, accept);
}

static bool agreed(const char *fields, const char *accept)
{
	struct http_head h;
	char text[1024];
	int n = snprintf(text, sizeof(text), "HTTP/1.1 101 Switching Protocols\r\n%s\r\n", fields);

	assert_int_equal(http_parse_response(text, (size_t)n, 4096, &h), n);
	return websocket_response(&h, accept);
}

// RFC 6455 1.3
static void accept_of_the_sample_nonce_is_the_samples(void **state)
{
	char accept[WEBSOCKET_ACCEPT];

	(void)state;
	assert_int_equal(asked("GET", UP KEY V13, accept), WEBSOCKET_OK);
	assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WEBSOCKET_ACCEPT);
}

static void what_asks_for_no_websocket_is_told_from_what_does_it_wrongly(void **state)
{
	static const struct {
		const char *method, *fields;
		enum websocket_request is;
	} cases[] = {
		{"GET", KEY V13, WEBSOCKET_NONE},
		{"GET", "Upgrade: websocket\r\n" KEY V13, WEBSOCKET_NONE}, // Connection does not name it
		{"GET", "Connection: upgrade\r\nUpgrade: irc/6.9\r\n" KEY V13, WEBSOCKET_NONE},
		{"GET", "Connection: upgrade\r\nUpgrade: irc/6.9, WebSocket\r\n" KEY V13, WEBSOCKET_OK},
		{"POST", UP KEY V13, WEBSOCKET_BAD_METHOD},
		{"GET", UP KEY, WEBSOCKET_BAD_VERSION},
		{"GET", UP KEY "Sec-WebSocket-Version: 8\r\n", WEBSOCKET_BAD_VERSION},
		{"GET", UP KEY "Sec-WebSocket-Version: 13, 8\r\n", WEBSOCKET_BAD_VERSION},
		{"GET", UP KEY V13 V13, WEBSOCKET_BAD_VERSION},
		{"GET", UP V13, WEBSOCKET_BAD_KEY},
		{"GET", UP KEY KEY V13, WEBSOCKET_BAD_KEY},
		{"GET", UP V13 "Sec-WebSocket-Key:\r\n", WEBSOCKET_BAD_KEY},
		{"GET", UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", WEBSOCKET_BAD_KEY},
		{"GET", UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==A\r\n", WEBSOCKET_BAD_KEY},
		{"GET", UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n",
		 WEBSOCKET_BAD_KEY}, // bits beyond
		{"GET", UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n", WEBSOCKET_BAD_KEY},
		{"GET", "Connection: Upgrade, Sec-WebSocket-Key\r\nUpgrade: websocket\r\n" KEY V13,
		 WEBSOCKET_BAD_KEY},
	};
	char accept[WEBSOCKET_ACCEPT];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (asked(cases[i].method, cases[i].fields, accept) != cases[i].is)
			fail_msg("case %zu", i);
}

static void a_101_must_agree_in_all_three_fields(void **state)
{
	static const char accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

	(void)state;
	assert_true(agreed("connection: upgrade\r\nupgrade: WebSocket\r\n" ACCEPT, accept));
	assert_false(agreed("upgrade: websocket\r\n" ACCEPT, accept));
	assert_false(agreed("connection: upgrade\r\n" ACCEPT, accept));
	assert_false(agreed("connection: upgrade\r\nupgrade: irc\r\n" ACCEPT, accept));
	assert_false(agreed("connection: upgrade\r\nupgrade: websocket\r\n", accept));
	assert_false(agreed("connection: upgrade\r\nupgrade: websocket\r\n" ACCEPT ACCEPT, accept));
	assert_false(agreed("connection: upgrade\r\nupgrade: websocket\r\n"
			    "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
			    accept));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accept_of_the_sample_nonce_is_the_samples),
		cmocka_unit_test(what_asks_for_no_websocket_is_told_from_what_does_it_wrongly),
		cmocka_unit_test(a_101_must_agree_in_all_three_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
