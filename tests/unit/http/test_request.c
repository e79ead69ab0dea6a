// Request heads. Each row is judged whole, and cut at every byte: a good head cut short is HTTP_MORE, a bad one
// is HTTP_MORE or the very fault of the whole. The bytes stand in memory of their exact size, so that the
// sanitizer build sees a read beyond them.
#include "contract/routekey.h"
#include "http/parse.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX 8192

static struct http_head head;

static int parse_copy(const char *p, size_t n, size_t max)
{
	char *copy = malloc(n ? n : 1);
	int got;

	assert_non_null(copy);
	memcpy(copy, p, n);
	got = http_parse_request(copy, n, max, &head);
	free(copy);
	return got;
}

struct good {
	const char *rfc, *text, *view; // view: see view_of()
};

#define H "Host: a.example\r\n"
#define E "\r\n"

static const struct good good[] = {
	// RFC 9112 3: request line, methods
	{"9112 3", "GET / HTTP/1.1\r\n" H E, "GET a.example / none keep"},
	{"9112 3", "HEAD /x HTTP/1.1\r\n" H E, "HEAD a.example /x none keep"},
	{"9110 9.3", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n" E, "POST a.example / length=3 keep"},
	{"9110 9.3", "PUT / HTTP/1.1\r\n" H "Content-Length: 0\r\n" E, "PUT a.example / length=0 keep"},
	{"9110 9.3", "DELETE /d HTTP/1.1\r\n" H E, "DELETE a.example /d none keep"},
	{"9110 9.3", "TRACE / HTTP/1.1\r\n" H E, "TRACE a.example / none keep"},
	{"5789", "PATCH / HTTP/1.1\r\n" H E, "PATCH a.example / none keep"},
	{"9110 9.1", "get / HTTP/1.1\r\n" H E, "OTHER a.example / none keep"},
	{"9110 9.1", "PROPFIND / HTTP/1.1\r\n" H E, "OTHER a.example / none keep"},
	{"9110 9.1", "M-SEARCH / HTTP/1.1\r\n" H E, "OTHER a.example / none keep"},
	{"9110 5.6.2", "!#$%&'*+-.^_`|~9aZ / HTTP/1.1\r\n" H E, "OTHER a.example / none keep"},
	{"9110 9.1", "GETX / HTTP/1.1\r\n" H E, "OTHER a.example / none keep"},
	{"9112 2.2", "\r\nGET / HTTP/1.1\r\n" H E, "GET a.example / none keep"},
	{"9112 2.2", "\r\n\r\nGET / HTTP/1.1\r\n" H E, "GET a.example / none keep"},
	// RFC 9112 2.3: versions
	{"9112 2.3", "GET / HTTP/1.0\r\n\r\n", "GET [] / none close 1.0"},
	{"9112 2.3", "GET / HTTP/1.0\r\n" H E, "GET a.example / none close 1.0"},
	{"9110 2.5", "GET / HTTP/1.2\r\n" H E, "GET a.example / none keep"},
	{"9110 2.5", "GET / HTTP/1.9\r\n" H E, "GET a.example / none keep"},
	// RFC 9112 3.2.1: origin-form
	{"9112 3.2.1", "GET /a/b/c HTTP/1.1\r\n" H E, "GET a.example /a/b/c none keep"},
	{"9112 3.2.1", "GET /a?q HTTP/1.1\r\n" H E, "GET a.example /a ?q none keep"},
	{"9112 3.2.1", "GET /a?q=1&r=2 HTTP/1.1\r\n" H E, "GET a.example /a ?q=1&r=2 none keep"},
	{"9112 3.2.1", "GET /a? HTTP/1.1\r\n" H E, "GET a.example /a none keep"},
	{"3986 3.4", "GET /a?x?y/z HTTP/1.1\r\n" H E, "GET a.example /a ?x?y/z none keep"},
	{"9112 3.2.1", "GET // HTTP/1.1\r\n" H E, "GET a.example // none keep"},
	{"9112 3.2.1", "GET //b.example/x HTTP/1.1\r\n" H E, "GET a.example //b.example/x none keep"},
	{"3986 2.1", "GET /%41%7e%2F?%20 HTTP/1.1\r\n" H E, "GET a.example /%41%7e%2F ?%20 none keep"},
	{"3986 3.3", "GET /a;b=1,2:@!$&'()*+=-_~ HTTP/1.1\r\n" H E,
	 "GET a.example /a;b=1,2:@!$&'()*+=-_~ none keep"},
	{"browsers", "GET /[a]|^`{} HTTP/1.1\r\n" H E, "GET a.example /[a]|^`{} none keep"},
	{"browsers", "GET /?a=\\d HTTP/1.1\r\n" H E, "GET a.example / ?a=\\d none keep"},
	{"3986 3.3", "GET /.well-known/x HTTP/1.1\r\n" H E, "GET a.example /.well-known/x none keep"},
	{"3986 3.3", "GET /a/...?.. HTTP/1.1\r\n" H E, "GET a.example /a/... ?.. none keep"},
	{"3986 3.3", "GET /..a/.b/c../d. HTTP/1.1\r\n" H E, "GET a.example /..a/.b/c../d. none keep"},
	{"3986 3.3", "GET /a%2ehtml HTTP/1.1\r\n" H E, "GET a.example /a%2ehtml none keep"},
	{"3986 3.3", "GET /?/../x HTTP/1.1\r\n" H E, "GET a.example / ?/../x none keep"},
	{"long",
	 "GET /0123456789012345678901234567890123456789012345678901234567890123456789%41 HTTP/1.1\r\n" H E,
	 "GET a.example /0123456789012345678901234567890123456789012345678901234567890123456789%41 none keep"},
	// RFC 9112 3.2.2: absolute-form
	{"9112 3.2.2", "GET http://a.example/x HTTP/1.1\r\n" H E, "GET a.example /x none keep"},
	{"9112 3.2.2", "GET HTTP://A.Example/x HTTP/1.1\r\n" H E, "GET A.Example /x none keep"},
	{"9112 3.2.2", "GET https://a.example/x HTTP/1.1\r\n" H E, "GET a.example /x none keep"},
	{"9112 3.2.2", "GET http://a.example HTTP/1.1\r\n" H E, "GET a.example / none keep"},
	{"9112 3.2.2", "GET http://a.example?q HTTP/1.1\r\n" H E, "GET a.example / ?q none keep"},
	{"9112 3.2.2", "GET http://a.example:80/ HTTP/1.1\r\n" H E, "GET a.example:80 / none keep"},
	{"9112 3.2.2", "GET https://a.example:443/ HTTP/1.1\r\n" H E, "GET a.example:443 / none keep"},
	{"9112 3.2.2", "GET http://a.example/ HTTP/1.1\r\nHost: a.example:80\r\n" E,
	 "GET a.example / none keep"},
	{"9112 3.2.2", "GET http://a.example:81/ HTTP/1.1\r\nHost: a.example:81\r\n" E,
	 "GET a.example:81 / none keep"},
	{"9112 3.2.2", "GET http://a.example/ HTTP/1.0\r\n" E, "GET a.example / none close 1.0"},
	{"9112 3.2.2", "GET http://[fd00:c6:12::1]:81/ HTTP/1.1\r\nHost: [fd00:c6:12::1]:81\r\n" E,
	 "GET [fd00:c6:12::1]:81 / none keep"},
	{"9112 3.2.4", "OPTIONS http://a.example HTTP/1.1\r\n" H E, "OPTIONS a.example * none keep"},
	{"9112 3.2.4", "OPTIONS http://a.example/ HTTP/1.1\r\n" H E, "OPTIONS a.example / none keep"},
	// RFC 9112 3.2.3 and 3.2.4: authority-form, asterisk-form
	{"9112 3.2.3", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n" E,
	 "CONNECT a.example:443  none keep"},
	{"9112 3.2.3", "CONNECT a.example:443 HTTP/1.1\r\n" H E, "CONNECT a.example:443  none keep"},
	{"9112 3.2.3", "CONNECT [fd00:c6:12::1]:1 HTTP/1.1\r\nHost: [fd00:c6:12::1]:1\r\n" E,
	 "CONNECT [fd00:c6:12::1]:1  none keep"},
	{"9112 3.2.4", "OPTIONS * HTTP/1.1\r\n" H E, "OPTIONS a.example * none keep"},
	{"9112 3.2.4", "OPTIONS /x HTTP/1.1\r\n" H E, "OPTIONS a.example /x none keep"},
	// RFC 9110 7.2: Host
	{"9110 7.2", "GET / HTTP/1.1\r\nhost:a\r\n" E, "GET a / none keep"},
	{"9110 7.2", "GET / HTTP/1.1\r\nHOST: \t a:8080 \t\r\n" E, "GET a:8080 / none keep"},
	{"3986 3.2.3", "GET / HTTP/1.1\r\nHost: a:\r\n" E, "GET a: / none keep"},
	{"9110 7.2", "GET / HTTP/1.1\r\nHost: 198.18.0.1:65535\r\n" E, "GET 198.18.0.1:65535 / none keep"},
	{"3986 3.2.2", "GET / HTTP/1.1\r\nHost: [::1]\r\n" E, "GET [::1] / none keep"},
	{"3986 3.2.2", "GET / HTTP/1.1\r\nHost: x_y-z.~a.\r\n" E, "GET x_y-z.~a. / none keep"},
	{"9110 7.2", "GET / HTTP/1.1\r\nX-Host: b\r\n" H E, "GET a.example / none keep"},
	// RFC 9112 5 and RFC 9110 5.5: fields
	{"9112 5", "GET / HTTP/1.1\r\n" H "A:b\r\n" E, "GET a.example / none keep"},
	{"9112 5", "GET / HTTP/1.1\r\n" H "A: \r\n" E, "GET a.example / none keep"},
	{"9112 5", "GET / HTTP/1.1\r\n" H "A:\r\n" E, "GET a.example / none keep"},
	{"9110 5.5", "GET / HTTP/1.1\r\n" H "A: b\tc  d\r\n" E, "GET a.example / none keep"},
	{"9110 5.5", "GET / HTTP/1.1\r\n" H "A: caf\xc3\xa9 \xff\r\n" E, "GET a.example / none keep"},
	{"9110 5.6.2", "GET / HTTP/1.1\r\n" H "!#$%&'*+-.^_`|~09azAZ: b\r\n" E, "GET a.example / none keep"},
	{"9110 5.5", "GET / HTTP/1.1\r\n" H "A: b:c:d\r\n" E, "GET a.example / none keep"},
	{"9110 5.5",
	 "GET / HTTP/1.1\r\n" H "A: 0123456789012345678901234567890123456789012345678901234567890123\r\n" E,
	 "GET a.example / none keep"},
	{"9110 5.2", "GET / HTTP/1.1\r\n" H "A: b\r\nA: c\r\n" E, "GET a.example / none keep"},
	// RFC 9110 8.6, RFC 9112 6: framing
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "content-length:10\r\n" E, "POST a.example / length=10 keep"},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 0010 \r\n" E, "POST a.example / length=10 keep"},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 1234567890123456789\r\n" E,
	 "POST a.example / length=1234567890123456789 keep"},
	{"9110 8.6", "GET / HTTP/1.1\r\n" H "Content-Length: 5\r\n" E, "GET a.example / length=5 keep"},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" E,
	 "POST a.example / chunked keep"},
	{"9112 7", "POST / HTTP/1.1\r\n" H "transfer-encoding:\tCHUNKED \r\n" E,
	 "POST a.example / chunked keep"},
	{"9112 6.1", "POST / HTTP/1.0\r\nContent-Length: 4\r\n" E, "POST [] / length=4 close 1.0"},
	// RFC 9112 9.3: persistence
	{"9112 9.3", "GET / HTTP/1.1\r\n" H "Connection: close\r\n" E, "GET a.example / none close"},
	{"9112 9.3", "GET / HTTP/1.1\r\n" H "Connection: Close\r\n" E, "GET a.example / none close"},
	{"9112 9.3", "GET / HTTP/1.1\r\n" H "Connection: x, close ,y\r\n" E, "GET a.example / none close"},
	{"9112 9.3", "GET / HTTP/1.1\r\n" H "Connection: keep-alive, close\r\n" E,
	 "GET a.example / none close"},
	{"9112 9.3", "GET / HTTP/1.1\r\n" H "Connection: x\r\nConnection: close\r\n" E,
	 "GET a.example / none close"},
	{"9112 9.3", "GET / HTTP/1.1\r\n" H "Connection: closed\r\n" E, "GET a.example / none keep"},
	{"9112 9.3", "GET / HTTP/1.1\r\n" H "Connection: ,, ,\r\n" E, "GET a.example / none keep"},
	{"9112 9.3", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n" E, "GET [] / none keep 1.0"},
	{"9112 9.3", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n" E, "GET [] / none keep 1.0"},
	{"9112 9.3", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n" E, "GET [] / none close 1.0"},
	// RFC 9110 10.1.1: Expect
	{"9110 10.1.1", "PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n" E,
	 "PUT a.example / length=1 keep expect"},
	{"9110 10.1.1", "PUT / HTTP/1.1\r\n" H "expect: 100-Continue\r\nContent-Length: 1\r\n" E,
	 "PUT a.example / length=1 keep expect"},
	{"9110 10.1.1", "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" E,
	 "PUT [] / length=1 close 1.0"},
	// RFC 9110 7.8: Upgrade
	{"9110 7.8", "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n" E,
	 "GET a.example / none keep upgrade"},
	{"9110 7.8", "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n" E,
	 "GET a.example / none keep upgrade"},
	{"9110 7.8", "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n" E, "GET a.example / none keep"},
	{"9110 7.8", "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\n" E, "GET a.example / none keep"},
	{"9110 7.8", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n" E, "GET [] / none close 1.0"},
};

static const struct bad {
	const char *rfc, *text;
	enum http_fault fault;
} bad[] = {
	// RFC 9112 3: request line
	{"9112 3", " GET / HTTP/1.1\r\n" H E, FAULT_bad_method},
	{"9112 3", "\tGET / HTTP/1.1\r\n" H E, FAULT_bad_method},
	{"9112 3", "G(T / HTTP/1.1\r\n" H E, FAULT_bad_method},
	{"9112 3", "GET\t/ HTTP/1.1\r\n" H E, FAULT_bad_method},
	{"9112 3", "G\x80T / HTTP/1.1\r\n" H E, FAULT_bad_method},
	{"9112 3", "GET\r\n" H E, FAULT_bad_method},
	{"TLS", "\x16\x03\x01\x02", FAULT_bad_method},
	{"9112 3", "GET  / HTTP/1.1\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET /  HTTP/1.1\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/1.1 \r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / \r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / http/1.1\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/1\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/1.\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/1.10\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/1,1\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/x.1\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/1.x\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / HTTP/11\r\n" H E, FAULT_bad_request_line},
	{"9112 3", "GET / FTP/1.1\r\n" H E, FAULT_bad_request_line},
	{"HTTP/0.9", "GET /\r\n", FAULT_bad_request_line},
	{"HTTP/0.9", "GET /\n", FAULT_bad_request_line},
	{"9112 2.3", "GET / HTTP/2.0\r\n" H E, FAULT_bad_version},
	{"9112 2.3", "GET / HTTP/0.9\r\n" H E, FAULT_bad_version},
	{"9112 2.3", "GET / HTTP/3\r\n" H E, FAULT_bad_version},
	{"9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FAULT_bad_version},
	// RFC 9112 2.2: line ends
	{"9112 2.2", "\r\n\r\n\r\nGET / HTTP/1.1\r\n" H E, FAULT_bad_request_line},
	{"9112 2.2", "\nGET / HTTP/1.1\r\n" H E, FAULT_bad_line_end},
	{"9112 2.2", "\rGET / HTTP/1.1\r\n" H E, FAULT_bad_line_end},
	{"9112 2.2", "GET / HTTP/1.1\n" H E, FAULT_bad_line_end},
	{"9112 2.2", "GET / HTTP/1.1\r" H E, FAULT_bad_line_end},
	{"9112 2.2", "GET / HTTP/1.1\r\nHost: a\n" E, FAULT_bad_line_end},
	{"9112 2.2", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n" E, FAULT_bad_line_end},
	{"9112 2.2", "GET / HTTP/1.1\r\n" H "\n", FAULT_bad_line_end},
	{"9112 2.2", "GET / HTTP/1.1\r\n" H "\rx", FAULT_bad_line_end},
	{"9112 2.2", "GET / HTTP/1.1\r\n" H "A: b\r\r\n" E, FAULT_bad_line_end},
	// RFC 9112 3.2: targets
	{"9112 3.2", "GET a HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2", "GET ?a HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2", "GET * HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2", "OPTIONS ** HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2", "OPTIONS *?a HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2", "GET /#top HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2", "GET /a?b#c HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2.1", "GET /% HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2.1", "GET /%4 HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2.1", "GET /%4g HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2.1", "GET /%%41 HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2.1", "GET /?%zz HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2", "GET /\x01 HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2", "GET /\x7f HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2", "GET /caf\xc3\xa9 HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2", "GET /\t HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2", "GET /<a> HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2", "GET /\"a\" HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 2", "GET /a\\b HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET /.. HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET /a/../b HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET /a/./b HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET /a/. HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET /a/%2e%2E/b HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET /a/.%2e?x HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET /a/..;x/b HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"3986 3.3", "GET http://a.example/../b HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.2", "GET ftp://a.example/ HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.2", "GET http:/a.example/ HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9110 4.2.1", "GET http:// HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9110 4.2.1", "GET http:///x HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9110 4.2.1", "GET http://:80/x HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9110 4.2.4", "GET http://u@a.example/ HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9110 4.2.4", "GET http://u:p@a.example/ HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.2", "GET http://a.example:99999/ HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.2", "GET http://a%2eexample/ HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.3", "CONNECT a.example HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.3", "CONNECT a.example: HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.3", "CONNECT / HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.3", "CONNECT http://a.example:80 HTTP/1.1\r\n" H E, FAULT_bad_target},
	{"9112 3.2.3", "CONNECT a.example:80?x HTTP/1.1\r\n" H E, FAULT_bad_target},
	// RFC 9112 3.2, RFC 9110 7.2: Host
	{"9112 3.2", "GET / HTTP/1.1\r\n" E, FAULT_no_host},
	{"9112 3.2", "GET http://a.example/ HTTP/1.1\r\n" E, FAULT_no_host},
	{"9112 3.2", "GET / HTTP/1.7\r\n" E, FAULT_no_host},
	{"9112 3.2", "GET / HTTP/1.1\r\n" H H E, FAULT_several_hosts},
	{"9112 3.2", "GET / HTTP/1.1\r\n" H "hOsT: b\r\n" E, FAULT_several_hosts},
	{"9112 3.2", "GET / HTTP/1.0\r\n" H H E, FAULT_several_hosts},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost:\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a b\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a,b\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a/b\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a@b\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a%62\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: caf\xc3\xa9\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a:b\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a:1:2\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a:65536\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: a:-1\r\n" E, FAULT_bad_host},
	{"9112 3.2", "GET / HTTP/1.1\r\nHost: :80\r\n" E, FAULT_bad_host},
	{"3986 3.2.2", "GET / HTTP/1.1\r\nHost: [::1\r\n" E, FAULT_bad_host},
	{"3986 3.2.2", "GET / HTTP/1.1\r\nHost: [::1]x\r\n" E, FAULT_bad_host},
	{"3986 3.2.2", "GET / HTTP/1.1\r\nHost: []\r\n" E, FAULT_bad_host},
	{"3986 3.2.2", "GET / HTTP/1.1\r\nHost: [198.18.0.1]\r\n" E, FAULT_bad_host},
	{"3986 3.2.2", "GET / HTTP/1.1\r\nHost: [fd00:c6:12::1%eth0]\r\n" E, FAULT_bad_host},
	{"9112 3.2.2", "GET http://b.example/ HTTP/1.1\r\n" H E, FAULT_host_differs},
	{"9112 3.2.2", "GET http://a.example:81/ HTTP/1.1\r\n" H E, FAULT_host_differs},
	{"9112 3.2.2", "GET https://a.example/ HTTP/1.1\r\nHost: a.example:80\r\n" E, FAULT_host_differs},
	{"9112 3.2.3", "CONNECT b.example:443 HTTP/1.1\r\n" H E, FAULT_host_differs},
	// RFC 9112 5: fields
	{"9112 5.1", "GET / HTTP/1.1\r\nHost : a\r\n" E, FAULT_bad_field_name},
	{"9112 5.1", "GET / HTTP/1.1\r\nHost\t: a\r\n" E, FAULT_bad_field_name},
	{"9112 5", "GET / HTTP/1.1\r\n" H ": b\r\n" E, FAULT_bad_field_name},
	{"9112 5", "GET / HTTP/1.1\r\n" H "A\r\n" E, FAULT_bad_field_name},
	{"9112 5", "GET / HTTP/1.1\r\n" H "A\n" E, FAULT_bad_field_name},
	{"9110 5.1", "GET / HTTP/1.1\r\n" H "A(b): c\r\n" E, FAULT_bad_field_name},
	{"9110 5.1", "GET / HTTP/1.1\r\n" H "A,b: c\r\n" E, FAULT_bad_field_name},
	{"9110 5.1", "GET / HTTP/1.1\r\n" H "\"A\": c\r\n" E, FAULT_bad_field_name},
	{"9110 5.1", "GET / HTTP/1.1\r\n" H "A\x7f: c\r\n" E, FAULT_bad_field_name},
	{"9110 5.1", "GET / HTTP/1.1\r\n" H "A\xc3\xa9: c\r\n" E, FAULT_bad_field_name},
	{"9112 5.2", "GET / HTTP/1.1\r\n" H " folded\r\n" E, FAULT_obs_fold},
	{"9112 5.2", "GET / HTTP/1.1\r\n" H "\tfolded\r\n" E, FAULT_obs_fold},
	{"9112 2.2", "GET / HTTP/1.1\r\n " H E, FAULT_obs_fold},
	{"9110 5.5", "GET / HTTP/1.1\r\n" H "A: b\x01\r\n" E, FAULT_bad_field_value},
	{"9110 5.5", "GET / HTTP/1.1\r\n" H "A: b\x7f\r\n" E, FAULT_bad_field_value},
	{"9110 5.5", "GET / HTTP/1.1\r\n" H "A: b\x1b[0m\r\n" E, FAULT_bad_field_value},
	{"9110 5.5", "GET / HTTP/1.1\r\n" H "A: b\x0b\r\n" E, FAULT_bad_field_value},
	// RFC 9110 8.6, RFC 9112 6: framing
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 1 2\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 0x10\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 5.0\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n" E, FAULT_bad_length},
	{"9110 8.6", "POST / HTTP/1.1\r\n" H "Content-Length: 9999999999999999999\r\n" E, FAULT_bad_length},
	{"9112 6.3", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n" E,
	 FAULT_several_lengths},
	{"9112 6.3", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n" E,
	 FAULT_several_lengths},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" E,
	 FAULT_length_and_chunked},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" E,
	 FAULT_length_and_chunked},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n" E, FAULT_bad_transfer_encoding},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n" E,
	 FAULT_bad_transfer_encoding},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n" E,
	 FAULT_chunked_not_last},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" E,
	 FAULT_chunked_not_last},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n" E, FAULT_bad_transfer_encoding},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n" E, FAULT_chunked_not_last},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n" E, FAULT_bad_transfer_encoding},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n" E,
	 FAULT_bad_transfer_encoding},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n" E,
	 FAULT_bad_transfer_encoding},
	{"9112 6.1",
	 "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	 "chunked\r\n" E,
	 FAULT_bad_field_value},
	{"9112 6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n" E, FAULT_bad_field_name},
	{"9112 6.1", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" E, FAULT_chunked_in_1_0},
	{"9110 10.1.1", "PUT / HTTP/1.1\r\n" H "Expect: x\r\n" E, FAULT_bad_expect},
	{"9110 10.1.1", "PUT / HTTP/1.1\r\n" H "Expect: 100-continue, x\r\n" E, FAULT_bad_expect},
	{"9110 10.1.1", "PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: x\r\n" E, FAULT_bad_expect},
};

static const char *framing_name(const struct http_head *h, char *buf, size_t room)
{
	switch (h->framing) {
	case FRAMING_NONE:
		return "none";
	case FRAMING_CHUNKED:
		return "chunked";
	case FRAMING_LENGTH:
		snprintf(buf, room, "length=%llu", (unsigned long long)h->length);
		return buf;
	default:
		return "close?";
	}
}

// "METHOD authority path [?query] framing keep|close [1.0] [expect] [upgrade]"
static void view_of(const struct http_head *h, char *out, size_t room)
{
	char number[40];

	snprintf(out, room, "%s %.*s %.*s %s%.*s%s%s %s%s%s%s", http_method_name[h->method],
		 h->authority.n ? (int)h->authority.n : 2, h->authority.n ? h->authority.p : "[]",
		 (int)h->path.n, h->path.p, h->query.n ? "?" : "", (int)h->query.n, h->query.p,
		 h->query.n ? " " : "", framing_name(h, number, sizeof(number)),
		 h->keep_alive ? "keep" : "close", h->minor ? "" : " 1.0", h->expect_continue ? " expect" : "",
		 h->upgrade ? " upgrade" : "");
}

static void good_requests_are_read_and_wait_for_their_last_byte(void **state)
{
	char view[512];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct good *g = &good[i];
		size_t n = strlen(g->text);
		char longer[1024];
		int got;

		for (size_t cut = 0; cut < n; cut++)
			if ((got = parse_copy(g->text, cut, MAX)) != HTTP_MORE)
				fail_msg("RFC %s, cut at %zu of %s: %d", g->rfc, cut, g->text, got);
		assert_int_equal(parse_copy(g->text, n, MAX), n);
		snprintf(longer, sizeof(longer), "%s\001garbage", g->text);
		got = http_parse_request(longer, n + 8, MAX, &head);
		if (got != (int)n)
			fail_msg("RFC %s: %s: %s", g->rfc, g->text,
				 got < 0 ? http_fault_info[-got].text : "length");
		view_of(&head, view, sizeof(view));
		assert_string_equal(view, g->view);
		// The limit counts the whole head: enough is enough, one byte less is not.
		assert_int_equal(http_parse_request(longer, n + 8, n, &head), n);
		got = http_parse_request(longer, n + 8, n - 1, &head);
		assert_int_equal(got, -FAULT_head_too_large);
	}
}

static void bad_requests_are_refused_for_the_same_reason_wherever_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *b = &bad[i];
		size_t n = strlen(b->text);
		int got = HTTP_MORE;

		for (size_t cut = 0; cut <= n; cut++) {
			int before = got;

			got = parse_copy(b->text, cut, MAX);
			if (got != before && (before != HTTP_MORE || got != -(int)b->fault))
				fail_msg("RFC %s, cut at %zu of %s: %d, then %d", b->rfc, cut, b->text, before,
					 got);
		}
		if (got != -(int)b->fault)
			fail_msg("RFC %s: %s: %d and not %s", b->rfc, b->text, got,
				 http_fault_info[b->fault].text);
	}
}

// Every control byte, in each place where text may stand; NUL cannot stand in a table of strings.
static void control_bytes_are_refused_everywhere(void **state)
{
	(void)state;
	for (int c = 0; c < 0x20; c++) {
		char value[] = "GET / HTTP/1.1\r\nHost: a\r\nA: b_c\r\n\r\n";
		char name[] = "GET / HTTP/1.1\r\nHost: a\r\nA_a: b\r\n\r\n";
		char target[] = "GET /_a HTTP/1.1\r\nHost: a\r\n\r\n";
		char method[] = "G_T / HTTP/1.1\r\nHost: a\r\n\r\n";

		*strchr(value, '_') = *strchr(name, '_') = *strchr(target, '_') = *strchr(method, '_') =
			(char)c;
		assert_int_equal(parse_copy(method, sizeof(method) - 1, MAX), -FAULT_bad_method);
		assert_int_equal(parse_copy(name, sizeof(name) - 1, MAX), -FAULT_bad_field_name);
		assert_int_equal(parse_copy(target, sizeof(target) - 1, MAX),
				 c == '\r' || c == '\n' ? -FAULT_bad_request_line : -FAULT_bad_target);
		if (c == '\t')
			assert_int_equal(parse_copy(value, sizeof(value) - 1, MAX), sizeof(value) - 1);
		else
			assert_int_equal(parse_copy(value, sizeof(value) - 1, MAX),
					 c == '\r' || c == '\n' ? -FAULT_bad_line_end : -FAULT_bad_field_value);
	}
}

// A byte of each kind at each distance from a block's border, so that the wide scan and its tail agree with the
// table.
static void a_wrong_byte_is_found_at_every_offset(void **state)
{
	char text[256];

	(void)state;
	for (int at = 0; at < 100; at++) {
		for (int c = 0; c < 256; c++) {
			int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX: %0100d\r\n\r\n",
					 0);
			bool ok = c == '\t' || (c >= ' ' && c != 0x7f);
			int got;

			text[28 + at] = (char)c;
			got = http_parse_request(text, (size_t)n, MAX, &head);
			if (ok)
				assert_int_equal(got, n);
			else
				assert_int_equal(got, c == '\r' || c == '\n' ? -FAULT_bad_line_end
									     : -FAULT_bad_field_value);
		}
	}
}

static void a_hundred_fields_are_taken_and_one_more_is_refused(void **state)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n");

	(void)state;
	for (int i = 1; i < HTTP_FIELDS_MAX; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "X-%d: %d\r\n", i, i);
	snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
	assert_int_equal(http_parse_request(text, (size_t)n + 2, MAX, &head), n + 2);
	assert_int_equal(head.n, HTTP_FIELDS_MAX);
	snprintf(text + n, sizeof(text) - (size_t)n, "Y: 1\r\n\r\n");
	assert_int_equal(http_parse_request(text, (size_t)n + 8, MAX, &head), -FAULT_too_many_fields);
}

static void connection_options_are_bounded(void **state)
{
	char text[1024] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: a";

	(void)state;
	for (int i = 1; i < 32; i++)
		strcat(text, ",a");
	strcat(text, "\r\n\r\n");
	assert_int_equal(http_parse_request(text, strlen(text), MAX, &head), strlen(text));
	strcpy(text + strlen(text) - 4, ",a\r\n\r\n");
	assert_int_equal(http_parse_request(text, strlen(text), MAX, &head), -FAULT_too_many_fields);
}

// RFC 9110 4.1 and RFC 6585 5: what is too long is said by its name.
static void a_head_beyond_the_limit_is_refused_by_the_part_that_is_too_long(void **state)
{
	char text[600];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	assert_int_equal(http_parse_request(text, 499, 500, &head), HTTP_MORE);
	assert_int_equal(http_parse_request(text, 500, 500, &head), -FAULT_uri_too_long);
	assert_int_equal(http_parse_request(text, 600, 500, &head), -FAULT_uri_too_long);
	memcpy(text, "GET / HTTP/1.1\r\nHost: ", 22);
	assert_int_equal(http_parse_request(text, 499, 500, &head), HTTP_MORE);
	assert_int_equal(http_parse_request(text, 600, 500, &head), -FAULT_head_too_large);
	text[450] = '\001'; // a fault before the limit is the one that counts
	assert_int_equal(http_parse_request(text, 600, 500, &head), -FAULT_bad_field_value);
}

static void parsing_leaves_nothing_of_the_head_before(void **state)
{
	static const char first[] =
		"PUT /p?q HTTP/1.0\r\nHost: a:1\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n";
	static const char then[] = "GET / HTTP/1.1\r\nHost: b\r\n\r\n";
	char view[128];

	(void)state;
	assert_true(http_parse_request(first, sizeof(first) - 1, MAX, &head) > 0);
	assert_true(http_parse_request(then, sizeof(then) - 1, MAX, &head) > 0);
	view_of(&head, view, sizeof(view));
	assert_string_equal(view, "GET b / none keep");
	assert_int_equal(head.n, 1);
	assert_int_equal(head.length, 0);
}

static void host_is_given_without_its_port(void **state)
{
	static const struct {
		const char *text, *host;
	} rows[] = {{"GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", "a.example"},
		    {"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "[::1]"},
		    {"GET http://x.example:81/ HTTP/1.1\r\nHost: X.example:81\r\n\r\n", "x.example"},
		    {"CONNECT c.example:1 HTTP/1.1\r\nHost: c.example:1\r\n\r\n", "c.example"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(http_parse_request(rows[i].text, strlen(rows[i].text), MAX, &head) > 0);
		assert_int_equal(head.host.n, strlen(rows[i].host));
		assert_memory_equal(head.host.p, rows[i].host, head.host.n);
	}
}

// "/a" and "/a?" are not the same resource, and are forwarded as they came.
static void an_empty_query_differs_from_none(void **state)
{
	static const struct {
		const char *text;
		bool query;
	} rows[] = {{"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", false},
		    {"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", true},
		    {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", false},
		    {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", false},
		    {"GET http://a? HTTP/1.1\r\nHost: a\r\n\r\n", true},
		    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", false},
		    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(http_parse_request(rows[i].text, strlen(rows[i].text), MAX, &head) > 0);
		assert_int_equal(head.query.p != NULL, rows[i].query);
		assert_int_equal(head.query.n, 0);
	}
}

// It is asked for when the field is read, while the rest may yet say another host.
static void the_hash_of_a_host_is_that_of_the_host_that_counts_or_none(void **state)
{
	static const char table[4 * 64];
	struct http_limits limits = http_limits_of(MAX);
	unsigned made = 0, none = 0;

	(void)state;
	limits.hosts = table;
	limits.hosts_mask = 3;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		head.host_hash = 1; // of the request before
		assert_true(http_parse_request_within(good[i].text, strlen(good[i].text), &limits, &head) > 0);
		if (head.host_hash)
			assert_int_equal(head.host_hash, routekey_host(head.host));
		made += head.host_hash != 0;
		none += head.host_hash == 0;
	}
	assert_true(made > 30 && none > 5);
	head.host_hash = 1;
	assert_true(http_parse_request(good[0].text, strlen(good[0].text), MAX, &head) > 0);
	assert_int_equal(head.host_hash, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_of_a_host_is_that_of_the_host_that_counts_or_none),
		cmocka_unit_test(good_requests_are_read_and_wait_for_their_last_byte),
		cmocka_unit_test(bad_requests_are_refused_for_the_same_reason_wherever_cut),
		cmocka_unit_test(control_bytes_are_refused_everywhere),
		cmocka_unit_test(a_wrong_byte_is_found_at_every_offset),
		cmocka_unit_test(a_hundred_fields_are_taken_and_one_more_is_refused),
		cmocka_unit_test(connection_options_are_bounded),
		cmocka_unit_test(a_head_beyond_the_limit_is_refused_by_the_part_that_is_too_long),
		cmocka_unit_test(parsing_leaves_nothing_of_the_head_before),
		cmocka_unit_test(host_is_given_without_its_port),
		cmocka_unit_test(an_empty_query_differs_from_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
