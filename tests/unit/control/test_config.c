// The configuration: every fault is named at its line and column, all at once; units; suggestions.
#include "control/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
// after what it needs
#include <cmocka.h>

// A configuration that is right, with one thing put in the place of another.
static const char good[] =
	"version: 1\n"                                                                              // 1
	"system:\n"                                                                                 // 2
	"  workers: {count: 2, idle: spin}\n"                                                       // 3
	"  memory: {packets: 64MiB}\n"                                                              // 4
	"  ports:\n"                                                                                // 5
	"    - {name: wan, device: \"net_a0\", addresses: [198.18.0.1/24]}\n"                       // 6
	"    - {name: lan, device: \"net_a1\", addresses: [198.19.0.1/24, \"fd00:c6:12::1/64\"]}\n" // 7
	"listeners:\n"                                                                              // 8
	"  - {name: http, port: wan, bind: \":80\", idle_timeout: 30s}\n"                           // 9
	"routes:\n"                                                                                 // 10
	"  - name: hello\n"                                                                         // 11
	"    match: {host: api.example.com, path: /hello, methods: [GET, HEAD]}\n"                  // 12
	"    respond: {status: 200, body: \"hello\\n\"}\n"                                          // 13
	"  - name: orders\n"                                                                        // 14
	"    match: {host: \"*.example.com\", prefix: \"/v2/{id}\"}\n"                              // 15
	"    to: [{upstream: v1, weight: 90}, {upstream: v2, weight: 10}]\n"                        // 16
	"    timeout: 5s\n"                                                                         // 17
	"    per_try: 1s\n"                                                                         // 18
	"    request_headers: {set: {X-From: gateway}, remove: [X-Secret]}\n"                       // 19
	"  - {name: old, match: {path: /old}, redirect: {status: 308, location: /new}}\n"           // 20
	"upstreams:\n"                                                                              // 21
	"  - {name: v1, port: lan, endpoints: [\"198.19.0.11:8080\"]}\n"                            // 22
	"  - {name: v2, port: lan, endpoints: [{address: \"198.19.0.12:8080\", weight: 3}]}\n";     // 23

static char *with(const char *old, const char *new)
{
	const char *at = strstr(good, old);
	char *text = malloc(sizeof(good) + strlen(new) + 1);

	assert_non_null(at);
	sprintf(text, "%.*s%s%s", (int)(at - good), good, new, at + strlen(old));
	return text;
}

static bool parse(struct config *c, const char *text)
{
	return config_parse(c, "test.yaml", text, strlen(text));
}

static void line_is_found(struct config *c, const char *wanted)
{
	char line[1024];

	for (uint32_t i = 0; i < c->diag.n; i++) {
		diag_line(&c->diag, &c->diag.v[i], line, sizeof(line));
		if (strcmp(line, wanted) == 0)
			return;
	}
	for (uint32_t i = 0; i < c->diag.n; i++) {
		diag_line(&c->diag, &c->diag.v[i], line, sizeof(line));
		print_error("found:  %s\n", line);
	}
	fail_msg("wanted: %s", wanted);
}

static void good_configuration_is_read_with_its_defaults(void **state)
{
	struct config c;

	(void)state;
	assert_true(parse(&c, good));
	assert_int_equal(c.diag.n, 0);
	assert_int_equal(c.n_workers, 2);
	assert_int_equal(c.root.system.memory.packets.v, 64 << 20);
	assert_int_equal(c.root.system.ports.n, 2);
	const struct conf_listener *l = c.root.listeners.v;
	const struct conf_route *r = c.root.routes.v;
	const struct conf_upstream *u = c.root.upstreams.v;

	assert_int_equal(l[0].idle_timeout.v, 30000000000ull);
	assert_int_equal(l[0].head_timeout.v, 10000000000ull);
	assert_int_equal(l[0].bind.tcp_port, 80);
	assert_int_equal(r[0].match.methods.n, 2);
	assert_string_equal(r[0].respond.content_type.s, "text/plain; charset=utf-8");
	assert_int_equal(r[1].to.n, 2);
	assert_int_equal(r[1].timeout.v, 5000000000ull);
	assert_int_equal(r[1].attempts.v, 3);
	assert_int_equal(u[0].port_index, 1);
	assert_int_equal(((const struct conf_endpoint *)u[1].endpoints.v)->weight.v, 3);
	config_free(&c);
}

static const struct {
	const char *old, *new, *line;
} faults[] = {
	{"idle: spin", "idel: spin", "test.yaml:3:23: unknown key \"idel\" in workers; did you mean \"idle\"?"},
	{"idle: spin", "idle: spinn",
	 "test.yaml:3:29: idle: \"spinn\" is not one of spin or adaptive; did you mean \"spin\"?"},
	{"count: 2", "count: 0", "test.yaml:3:20: count: 0 is not in 1..64"},
	{"count: 2", "count: two", "test.yaml:3:20: count: \"two\" is not a whole number"},
	{"64MiB", "64", "test.yaml:4:21: packets: \"64\" needs a unit: B, KiB, MiB or GiB"},
	{"64MiB", "1KiB", "test.yaml:4:21: packets: 1KiB is not in 8MiB..1024GiB"},
	{"198.18.0.1/24", "198.18.0.1.7/24",
	 "test.yaml:6:49: addresses: \"198.18.0.1.7/24\" is a malformed address"},
	{"198.18.0.1/24", "198.18.0.1",
	 "test.yaml:6:49: addresses: \"198.18.0.1\" needs a prefix length: address/bits"},
	{"198.18.0.1/24", "198.18.0.1/33",
	 "test.yaml:6:49: addresses: \"198.18.0.1/33\" has a prefix length beyond 32"},
	{"net_a1", "net_a0", "test.yaml:7:27: device: \"net_a0\" is port \"wan\" already"},
	{"port: wan", "port: wann", "test.yaml:9:24: port \"wann\" is not defined; did you mean \"wan\"?"},
	{"30s", "30", "test.yaml:9:56: idle_timeout: \"30\" needs a unit: ns, us, ms, s, m or h"},
	{"\":80\"", "\":99999\"", "test.yaml:9:35: bind: \":99999\" has a port that is not in 1..65535"},
	{"30s", "30s, syn_cookies: sometimes",
	 "test.yaml:9:74: syn_cookies: \"sometimes\" is not one of pressure, always or never"},
	{"30s", "30s, min_body_rate: 1KiB",
	 "test.yaml:9:76: min_body_rate: \"1KiB\" is not bytes in a second, such as \"1KiB/s\""},
	{"30s", "30s, min_read_rate: 2GiB/s", "test.yaml:9:76: min_read_rate: 2GiB/s is not in 0..1073741824"},
	{"30s", "30s, body_timeout: 0s", "test.yaml:9:75: body_timeout: 0s is not in 1ms..24h"},
	{"30s", "30s, client_prefix6: 129", "test.yaml:9:77: client_prefix6: 129 is not in 16..128"},
	{"30s", "30s, accept_burst: 10",
	 "test.yaml:9:75: accept_burst: means nothing without accepts_per_second"},
	{"30s", "30s, trusted_proxies: 203.0.113.0",
	 "test.yaml:9:78: trusted_proxies: \"203.0.113.0\" needs a prefix length: address/bits"},
	{"30s", "30s, path_policy: {dot_segments: keep}",
	 "test.yaml:9:89: dot_segments: \"keep\" is not one of reject or resolve"},
	{"timeout: 5s", "path_policy: {slashes: decode}",
	 "test.yaml:17:28: slashes: \"decode\" is not one of keep, merge or reject"},
	{"timeout: 5s", "cors: {origins: \"*\", credentials: true}",
	 "test.yaml:17:21: origins: any site could act as the user; with credentials, name them"},
	{"timeout: 5s", "cors: {origins: [\"https://a.test\", \"https://a.test/x\"]}",
	 "test.yaml:17:40: origins: \"https://a.test/x\" is no origin: scheme://host or scheme://host:port"},
	{"timeout: 5s", "cors: {origins: \"https://a.test\", headers: [\"*\", X-A]}",
	 "test.yaml:17:49: headers: \"*\" stands alone or not at all"},
	{"timeout: 5s", "compress: {level: 5}", "test.yaml:17:23: level: 5 is not in 1..4"},
	{"timeout: 5s", "compress: {algorithms: [br, zstd]}",
	 "test.yaml:17:33: algorithms: \"zstd\" is not one of gzip or br"},
	{"timeout: 5s", "compress: {algorithms: [br, gzip, br]}",
	 "test.yaml:17:28: algorithms: more than 2 items"},
	{"timeout: 5s", "compress: {algorithms: [br, br]}", "test.yaml:17:33: algorithms: br a second time"},
	{"timeout: 5s", "compress: {types: [text/html, \"*/*\"]}",
	 "test.yaml:17:35: types: \"*/*\" is no media type such as text/html or text/*"},
	{"timeout: 5s", "compress: {types: \"text/html; charset=utf-8\"}",
	 "test.yaml:17:23: types: \"text/html; charset=utf-8\" is no media type such as text/html or text/*"},
	{"timeout: 5s", "compress: {types: text}",
	 "test.yaml:17:23: types: \"text\" is no media type such as text/html or text/*"},
	{"timeout: 5s", "compress: {min_size: 0B}", "test.yaml:17:26: min_size: 0B is not in 1B..1GiB"},
	{"64MiB}\n", "64MiB}\n  limits: {compressions: 5000}\n",
	 "test.yaml:5:26: compressions: 5000 is not in 0..4096"},
	{"timeout: 5s", "error_pages: [{status: [404, 6xx], body: x}]",
	 "test.yaml:17:34: status: \"6xx\" is none of 400..599, 4xx and 5xx"},
	{"timeout: 5s", "error_pages: {status: 404, body: \"${statsu}\"}",
	 "test.yaml:17:38: body: \"${statsu}\" is none of ${status}, ${reason}, ${error}, ${message} and "
	 "${request_id}"},
	{"30s", "30s, proxy_protocol: accept",
	 "test.yaml:9:77: proxy_protocol: accept needs trusted_proxies, else any client could be anyone"},
	{"30s", "30s, proxy_protocol: yes",
	 "test.yaml:9:77: proxy_protocol: \"yes\" is not one of off, accept or require"},
	{"198.19.0.11:8080\"]", "198.19.0.11:8080\"], proxy_protocol: v3",
	 "test.yaml:22:76: proxy_protocol: \"v3\" is not one of off, v1 or v2; did you mean \"v1\"?"},
	{"30s", "30s, client_address: forwarded",
	 "test.yaml:9:77: client_address: means nothing without trusted_proxies"},
	{"30s", "30s, forwarded_headers: [for, prot]",
	 "test.yaml:9:86: forwarded_headers: \"prot\" is not one of for, proto, host, port or rfc7239; did you "
	 "mean \"proto\"?"},
	{"64MiB}\n", "64MiB}\n  limits: {connections: 100, upstream_reserve: 100}\n",
	 "test.yaml:5:48: upstream_reserve: nothing of 100 connections is left for clients"},
	{"\":80\"", "\":20000\"", "test.yaml:9:35: bind: port 20000 is not in 1..16383"},
	{"\":80\"", "\"198.18.0.9:80\"", "test.yaml:9:35: bind: 198.18.0.9:80 is no address of port \"wan\""},
	{"name: hello\n", "nmae: hello\n",
	 "test.yaml:11:5: unknown key \"nmae\" in routes; did you mean \"name\"?"},
	{"name: hello\n", "nmae: hello\n", "test.yaml:11:5: routes: key \"name\" is missing"},
	{"name: hello\n", "name: orders\n",
	 "test.yaml:14:11: route \"orders\" a second time (first in line 11)"},
	{"name: hello\n", "name: hello\n    name: x\n",
	 "test.yaml:12:5: key \"name\" a second time (first in line 11)"},
	{"name: hello\n", "name: \"a b\"\n",
	 "test.yaml:11:11: name: \"a b\" is no name: letters, digits, '_', '-' and '.' make names"},
	{"path: /hello", "path: /hello, headers: {name: X-A, regex: \"^(a|b\"}",
	 "test.yaml:12:78: regex: \"^(a|b\": missing closing parenthesis, at its character 6"},
	{"path: /hello", "path: /hello, headers: {name: X-A, regex: a, equal: a}",
	 "test.yaml:12:59: headers: one of equal, prefix, regex and is, not several"},
	{"{X-From: gateway}", "{X-From: \"${client}\"}",
	 "test.yaml:19:37: X-From: \"${client}\" is none of client_ip, request_id, listener, route, method, "
	 "scheme, "
	 "host, authority, path, query, rest, path.NAME, header.NAME, cookie.NAME and query.NAME"},
	{"{X-From: gateway}", "{X-From: \"a ${path.id\"}",
	 "test.yaml:19:37: X-From: \"${\" is not closed, at its character 3"},
	{"{X-From: gateway}", "{X-From: \"${path.name}\"}",
	 "test.yaml:19:37: X-From: ${path.name}, but the route's path has no {name}"},
	{"location: /new", "location: \"${header.X-A}\"",
	 "test.yaml:20:72: location: \"${header.X-A}\" begins with a variable other than scheme, path and "
	 "rest"},
	{"timeout: 5s\n", "rewrite: {prefix: /x, path: /y}\n",
	 "test.yaml:17:23: rewrite: either path or prefix, not both"},
	{"timeout: 5s\n", "sticky: {by: header}\n",
	 "test.yaml:17:13: sticky: key \"name\" is missing, of the header field"},
	{"timeout: 5s\n", "sticky: {by: cookie, name: \"a;b\"}\n",
	 "test.yaml:17:32: name: \"a;b\" is no name of a cookie"},
	{"timeout: 5s\n", "sticky: {by: client_ip, age: 1h}\n",
	 "test.yaml:17:13: sticky: age and secure are of a cookie"},
	{"timeout: 5s\n", "rewrite: {}\n", "test.yaml:17:14: rewrite: one of path, prefix and host is missing"},
	{"timeout: 5s\n", "rewrite: {path: \"x${path}\"}\n",
	 "test.yaml:17:21: path: \"x${path}\" does not begin with '/'"},
	{"timeout: 5s\n", "rewrite: {host: \"a b\"}\n",
	 "test.yaml:17:21: host: character 2 must be percent-encoded"},
	{"path: /hello", "path: hello", "test.yaml:12:42: path: \"hello\": path does not begin with '/'"},
	{"path: /hello", "path: /hello/*",
	 "test.yaml:12:42: path: \"/hello/*\" ends with '*'; write prefix: for a path and all below it"},
	{"path: /hello", "path: /hello, prefix: /", "test.yaml:12:58: match: either path or prefix, not both"},
	{"[GET, HEAD]", "[GET, HAED]",
	 "test.yaml:12:65: methods: \"HAED\" is not one of GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE or "
	 "PATCH; did you "
	 "mean \"HEAD\"?"},
	{"status: 200", "status: 99", "test.yaml:13:23: status: 99 is not in 200..599"},
	{"status: 200", "status: 204", "test.yaml:13:34: body: an answer of status 204 has none"},
	{"respond: {status: 200, body: \"hello\\n\"}", "timeout: 1s",
	 "test.yaml:11:5: routes: one of to, respond and redirect is missing"},
	{"upstream: v2", "upstream: v22",
	 "test.yaml:16:49: upstream \"v22\" is not defined; did you mean \"v2\"?"},
	{"timeout: 5s\n", "rate_limit: slow\n", "test.yaml:17:17: rate limit \"slow\" is not defined"},
	{"upstreams:\n", "rate_limits: {slow: {key: client_pi, rate: 1/s}}\nupstreams:\n",
	 "test.yaml:21:27: key: \"client_pi\" is none of client_ip, header:NAME, cookie:NAME, query:NAME, "
	 "path:CAPTURE, route, listener and constant"},
	{"upstreams:\n", "rate_limits: {slow: {key: \"jwt:sub\", rate: 1/s}}\nupstreams:\n",
	 "test.yaml:21:27: key: \"jwt:sub\" needs a route that verifies tokens, which no route can yet"},
	{"upstreams:\n", "rate_limits: {slow: {key: header, rate: 1/s}}\nupstreams:\n",
	 "test.yaml:21:27: key: \"header\" needs a name of 1 to 63 bytes behind a colon"},
	{"upstreams:\n", "rate_limits: {slow: {key: route, rate: 1/week}}\nupstreams:\n",
	 "test.yaml:21:40: rate: \"1/week\" is no rate such as \"100/min\": a whole number, then /s, /min, /h "
	 "or "
	 "/day"},
	{"upstreams:\n", "rate_limits: {slow: {key: route, rate: 1/day, burst: 1000}}\nupstreams:\n",
	 "test.yaml:21:54: burst: at this rate it takes more than 400 days to earn"},
	{"upstreams:\n",
	 "  - {name: x, rate_limit: slow, match: {path: \"/x/{id}\"}, respond: {}}\nrate_limits: {slow: {key: "
	 "\"path:name\", rate: 1/s}}\nupstreams:\n",
	 "test.yaml:21:27: rate_limit: the key of \"slow\" has path:name, but \"/x/{id}\" has no {name}"},
	{"upstreams:\n",
	 "  - {name: x, rate_limit: {limit: slow, cost: 2}, respond: {}}\nrate_limits: {slow: {key: route, "
	 "rate: 1/s}}\nupstreams:\n",
	 "test.yaml:21:47: cost: 2 is more than the burst of \"slow\", 1: no request would pass"},
	{"upstreams:\n",
	 "rate_limits: {slow: {key: [client_ip, route], rate: 1/s, escalate: {after: 1, within: 1s, block: 1s, "
	 "how: drop}}}\nupstreams:\n",
	 "test.yaml:21:107: how: drop needs client_ip as the limit's key, and nothing else"},
	{"upstreams:\n", "deny: {addresses: 198.18.0.1/24}\nupstreams:\n",
	 "test.yaml:21:19: addresses: \"198.18.0.1/24\" has bits behind its prefix"},
	{"upstreams:\n", "allow: {addresses: [\"2001:db8::/32\", client.test]}\nupstreams:\n",
	 "test.yaml:21:38: addresses: \"client.test\" is no address"},
	{"upstreams:\n", "deny: {files: /nowhere/deny.txt}\nupstreams:\n",
	 "test.yaml:21:15: /nowhere/deny.txt: No such file or directory"},
	{"upstream: v2", "upstream: v1", "test.yaml:16:49: to: upstream \"v1\" a second time"},
	{"{upstream: v1, weight: 90}, {upstream: v2, weight: 10}", "{upstream: v1, weight: 0}",
	 "test.yaml:16:9: to: every weight is 0"},
	{"timeout: 5s", "trailers: {request: accepted}",
	 "test.yaml:17:25: request: \"accepted\" is not one of drop or pass"},
	{"location: /new}", "location: /new}, trailers: {response: pass}",
	 "test.yaml:20:89: trailers: means nothing without to"},
	{"timeout: 5s", "upgrade: webscoket",
	 "test.yaml:17:14: upgrade: \"webscoket\" is not one of websocket; did you mean \"websocket\"?"},
	{"timeout: 5s", "tunnel_idle: 5s",
	 "test.yaml:17:18: tunnel_idle: means nothing without upgrade or connect"},
	{"location: /new}", "location: /new}, upgrade: websocket",
	 "test.yaml:20:88: upgrade: means nothing without to"},
	{"location: /new}", "location: /new}, connect: true",
	 "test.yaml:20:88: connect: means nothing without to"},
	{"timeout: 5s", "timeout: 5 s",
	 "test.yaml:17:14: timeout: \"5 s\" needs a unit: ns, us, ms, s, m or h"},
	{"timeout: 5s", "timeout:", "test.yaml:17:13: timeout: has no value"},
	{"{X-From: gateway}", "{Content-Length: 7}",
	 "test.yaml:19:29: header field \"Content-Length\" is the gateway's own and cannot be edited"},
	{"{X-From: gateway}", "{\"X From\": 7}", "test.yaml:19:29: \"X From\" is no name of a header field"},
	{"{X-From: gateway}", "{X-From: \"a\\rb\"}",
	 "test.yaml:19:37: a control character in a header field's value"},
	{"status: 308", "status: 305", "test.yaml:20:57: status: 305 is not one of 301, 302, 303, 307 and 308"},
	{"location: /new", "location: \"/n w\"",
	 "test.yaml:20:72: location: blanks or control characters in it"},
	{"198.19.0.11:8080", "198.19.0.11",
	 "test.yaml:22:39: address: \"198.19.0.11\" is not \"address:port\""},
	{"198.19.0.11:8080", "fd00:c6:12::2:80",
	 "test.yaml:22:39: address: \"fd00:c6:12::2:80\" needs brackets around its IPv6 address"},
	{"\"fd00:c6:12::1/64\"", "\"fe80::1/64\"",
	 "test.yaml:7:64: addresses: fe80::1/64 is link-local; a port with an IPv6 address has one of those by "
	 "itself"},
	{"\"fd00:c6:12::1/64\"]}", "\"fd00:c6:12::1/64\"], mtu: 1279}",
	 "test.yaml:7:64: addresses: fd00:c6:12::1/64 needs an MTU of at least 1280 (RFC 8200)"},
	{"\"fd00:c6:12::1/64\"]}", "\"fd00:c6:12::1/64\"], gateway6: 198.19.0.9}",
	 "test.yaml:7:95: gateway6: 198.19.0.9 is not an IPv6 address"},
	{"\"fd00:c6:12::1/64\"]}", "\"fd00:c6:12::1/64\"], gateway6: \"fd00:c6:13::9\"}",
	 "test.yaml:7:95: gateway6: fd00:c6:13::9 is in no network of this port's addresses"},
	{"\"fd00:c6:12::1/64\"]}", "\"fd00:c6:12::1/64\"], routers: advertised, gateway6: \"fd00:c6:12::9\"}",
	 "test.yaml:7:116: gateway6: routers of this port are advertised; either is enough"},
	{"[198.18.0.1/24]}", "[198.18.0.1/24], gateway6: \"fe80::9\"}",
	 "test.yaml:6:75: gateway6: fe80::9 is in no network of this port's addresses"},
	{"[\"198.19.0.11:8080\"]", "[\"198.19.0.11:8080\", \"198.19.0.11:8080\"]",
	 "test.yaml:22:59: endpoints: 198.19.0.11:8080 a second time (first in line 22)"},
	{"version: 1\n", "version: 2\n", "test.yaml:1:10: version: 2 is not in 1..1"},
	{"version: 1\n", "", "test.yaml:1:1: the configuration: key \"version\" is missing"},
};

static void each_fault_is_named_at_its_line_and_column(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		char *text = with(faults[i].old, faults[i].new);
		struct config c;

		assert_false(parse(&c, text));
		line_is_found(&c, faults[i].line);
		config_free(&c);
		free(text);
	}
}

static void all_faults_are_found_at_once_in_the_order_of_the_file(void **state)
{
	static const char text[] =
		"version: 1\n"
		"system: {ports: [{name: a, device: d, addresses: [x/24]}], wrokers: {count: 1}}\n"
		"listeners:\n"
		"  - {name: l, bind: \":0\", head_timeout: 5}\n"
		"routes:\n"
		"  - {name: r, to: nobody}\n";
	struct config c;

	(void)state;
	assert_false(parse(&c, text));
	assert_int_equal(c.diag.errors, 5);
	for (uint32_t i = 1; i < c.diag.n; i++)
		assert_true(c.diag.v[i - 1].mark.line <= c.diag.v[i].mark.line);
	config_free(&c);
}

static void what_is_no_yaml_is_said_with_its_place(void **state)
{
	struct config c;

	(void)state;
	assert_false(parse(&c, "version: 1\nroutes: [\n"));
	assert_int_equal(c.diag.v[0].mark.line, 3);
	config_free(&c);
	assert_false(parse(&c, ""));
	config_free(&c);
	assert_false(parse(&c, "just text"));
	line_is_found(&c, "test.yaml:1:1: the configuration: a value where a map is expected");
	config_free(&c);
	assert_false(parse(&c, "version: \xff\n"));
	config_free(&c);
	assert_false(parse(&c, "version: 1\n---\nversion: 1\n"));
	config_free(&c);
}

static void aliases_cannot_stand_for_billions(void **state)
{
	char text[4096] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
	struct config c;

	(void)state;
	for (int i = 1; i < 12; i++) {
		sprintf(text + strlen(text), "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			sprintf(text + strlen(text), "%s*a%d", k ? ", " : "", i - 1);
		strcat(text, "]\n");
	}
	assert_false(parse(&c, text));
	assert_non_null(strstr(c.diag.v[0].text, "aliases repeat too much"));
	config_free(&c);
}

// Each of these would be compared with all of its kind: the time grows with their square.
static void too_many_keys_or_anchors_are_refused(void **state)
{
	static char text[2][100000];
	struct config c;

	(void)state;
	strcpy(text[0], "version: 1\n");
	strcpy(text[1], "version: 1\na: [");
	for (int i = 0; i < 5000; i++) {
		sprintf(text[0] + strlen(text[0]), "k%d: 1\n", i);
		sprintf(text[1] + strlen(text[1]), "&b%d 1, ", i);
	}
	strcat(text[1], "]\n");
	assert_false(parse(&c, text[0]));
	assert_non_null(strstr(c.diag.v[0].text, "too many keys"));
	config_free(&c);
	assert_false(parse(&c, text[1]));
	assert_non_null(strstr(c.diag.v[0].text, "too many anchors"));
	config_free(&c);
}

static void aliases_are_followed(void **state)
{
	char *text = with("{host: api.example.com, path: /hello, methods: [GET, HEAD]}",
			  "&m {host: api.example.com, path: /hello}");
	char *more = malloc(strlen(text) + 200);
	struct config c;

	(void)state;
	sprintf(more, "%s", text);
	assert_true(parse(&c, more));
	config_free(&c);
	free(text);
	free(more);
}

static void shadowed_route_is_a_warning(void **state)
{
	char *text = with("  - {name: old, match: {path: /old}, redirect: {status: 308, location: /new}}\n",
			  "  - {name: all, respond: {status: 404}}\n"
			  "  - {name: old, match: {path: /old}, redirect: {status: 308, location: /new}}\n");
	struct config c;

	(void)state;
	assert_true(parse(&c, text));
	line_is_found(
		&c,
		"test.yaml:21:5: warning: route \"old\" is never reached: \"all\" in line 20 takes all of its "
		"requests");
	assert_int_equal(c.diag.warnings, 1);
	config_free(&c);
	free(text);
}

static void route_is_shadowed_only_by_what_covers_it(void **state)
{
	static const struct {
		const char *first, *second;
		bool shadowed;
	} v[] = {
		{"{prefix: /a}", "{path: /a/b}", true},
		{"{prefix: /a}", "{path: /ab}", false},
		{"{prefix: /a/}", "{path: /a}", true},
		{"{path: /a}", "{prefix: /a}", false},
		{"{path: \"/{x}\"}", "{path: /a}", true},
		{"{path: /a}", "{path: \"/{x}\"}", false},
		{"{prefix: /, methods: GET}", "{path: /a}", false},
		{"{prefix: /, methods: [GET, POST]}", "{path: /a, methods: POST}", true},
		{"{host: a.test}", "{path: /a}", false},
		{"{host: \"*.test\"}", "{host: a.test, path: /a}", true},
		{"{host: \"*.test\"}", "{host: test, path: /a}", false},
		{"{host: \"*.test\"}", "{host: \"*.b.test\"}", true},
		{"{host: A.test}", "{host: a.TEST}", true},
		{"{path: /a/b}", "{path: /a}", false},
	};
	char text[1024];
	struct config c;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\n"
			 "system: {ports: [{name: p, device: d, addresses: [198.18.0.1/24]}]}\n"
			 "routes:\n"
			 "  - {name: a, match: %s, respond: {status: 200}}\n"
			 "  - {name: b, match: %s, respond: {status: 200}}\n",
			 v[i].first, v[i].second);
		assert_true(parse(&c, text));
		if ((c.diag.warnings == 1) != v[i].shadowed)
			fail_msg("%s before %s: %s", v[i].first, v[i].second,
				 v[i].shadowed ? "missed" : "false alarm");
		config_free(&c);
	}
}

// RFC 9745 4: a version is not switched off before it is deprecated.
static void days_of_a_version_are_in_order_and_one_that_is_deprecated_has_a_day(void **state)
{
	static const struct {
		const char *version;
		bool taken;
		uint32_t warnings;
	} v[] = {
		{"status: deprecated, deprecated: \"2026-01-01\", sunset: \"2026-12-31\"", true, 0},
		{"status: deprecated, deprecated: \"2026-01-01\", sunset: \"2026-01-01\"", true, 0},
		{"status: deprecated, deprecated: \"2026-01-02\", sunset: \"2026-01-01\"", false, 0},
		{"status: deprecated, sunset: \"2026-01-01\"", true, 1},
		{"status: stable, sunset: \"2026-01-01\"", true, 0},
	};
	char text[1024];
	struct config c;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\n"
			 "system: {ports: [{name: p, device: d, addresses: [198.18.0.1/24]}]}\n"
			 "apis:\n"
			 "  - {name: x, header: X-V, default: v1, versions: [{name: v1, %s}]}\n"
			 "routes:\n"
			 "  - {name: a, match: {path: /a, version: x/v1}, respond: {status: 200}}\n",
			 v[i].version);
		if (parse(&c, text) != v[i].taken || c.diag.warnings != v[i].warnings)
			fail_msg("%s: %u warnings%s%s", v[i].version, c.diag.warnings, c.diag.n ? ", " : "",
				 c.diag.n ? c.diag.v[0].text : "");
		config_free(&c);
	}
}

// Under each of its captures, the rest of the path among them, a limit may count.
static void a_limits_key_is_any_capture_of_its_route(void **state)
{
	static const struct {
		const char *key;
		bool taken;
	} v[] = {{"path:a", true}, {"path:rest", true}, {"path:rest...", false}, {"path:b", false}};
	char text[1024];
	struct config c;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\n"
			 "system: {ports: [{name: p, device: d, addresses: [198.18.0.1/24]}]}\n"
			 "rate_limits:\n"
			 "  l: {key: \"%s\", rate: 5/s}\n"
			 "routes:\n"
			 "  - {name: a, match: {path: \"/{a}/{rest...}\"}, rate_limit: l, respond: {status: "
			 "200}}\n",
			 v[i].key);
		if (parse(&c, text) != v[i].taken)
			fail_msg("%s%s%s", v[i].key, c.diag.n ? ": " : "", c.diag.n ? c.diag.v[0].text : "");
		config_free(&c);
	}
}

static void units_are_exact(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
		bool good;
	} times[] = {
		{"0s", 0, true},
		{"1ns", 1, true},
		{"1.5s", 1500000000, true},
		{"250ms", 250000000, true},
		{"2m", 120000000000, true},
		{"1h", 3600000000000, true},
		{"5", 0, false},
		{"s", 0, false},
		{"-1s", 0, false},
		{"1.5ns", 0, false},
		{"1e3s", 0, false},
		{"1 s", 0, false},
		{"99999999999999999999s", 0, false},
		{"9999999999h", 0, false},
		{"1.s", 0, false},
		{"1S", 0, false},
	};
	const char *why;
	char text[32];
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		bool is = unit_time(times[i].text, &v, &why);

		if (is != times[i].good || (is && v != times[i].value))
			fail_msg("%s", times[i].text);
	}
	assert_true(unit_size("1.5KiB", &v, &why));
	assert_int_equal(v, 1536);
	assert_false(unit_size("1KB", &v, &why));
	assert_false(unit_size("1k", &v, &why));
	unit_time_text(1500000000, text);
	assert_string_equal(text, "1500ms");
	unit_size_text(64 << 20, text);
	assert_string_equal(text, "64MiB");
}

static void suggestions_are_close_or_absent(void **state)
{
	static const char *const words[] = {"workers", "memory", "limits", "ports"};

	(void)state;
	assert_string_equal(diag_suggest("wrokers", words, 4), "workers");
	assert_string_equal(diag_suggest("port", words, 4), "ports");
	assert_null(diag_suggest("telemetry", words, 4));
	assert_null(diag_suggest("", words, 4));
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void included_lists_stand_behind_our_own(void **state)
{
	char dir[] = "/tmp/cg-test-XXXXXX", main_path[64], part_path[64];
	struct config c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(main_path, sizeof(main_path), "%s/main.yaml", dir);
	snprintf(part_path, sizeof(part_path), "%s/part.yaml", dir);
	write_file(main_path, "version: 1\n"
			      "include: part.yaml\n"
			      "system: {ports: [{name: p, device: d, addresses: [198.18.0.1/24]}]}\n"
			      "routes:\n"
			      "  - {name: a, match: {path: /a}, respond: {status: 200}}\n");
	write_file(part_path, "routes:\n  - {name: b, respond: {status: 200}}\n");
	assert_true(config_load(&c, main_path));
	assert_int_equal(c.root.routes.n, 2);
	assert_string_equal(((const struct conf_route *)c.root.routes.v)[1].name.s, "b");
	assert_non_null(strstr(c.text, "name: b"));
	config_free(&c);

	write_file(part_path, "routes:\n  - {name: b, respnod: {status: 200}}\n");
	assert_false(config_load(&c, main_path));
	char wanted[200];

	snprintf(wanted, sizeof(wanted),
		 "%s:2:15: unknown key \"respnod\" in routes; did you mean \"respond\"?", part_path);
	line_is_found(&c, wanted);
	config_free(&c);

	write_file(part_path, "include: main.yaml\n");
	assert_false(config_load(&c, main_path));
	assert_non_null(strstr(c.diag.v[0].text, "includes itself"));
	config_free(&c);

	write_file(part_path, "system: {}\n");
	assert_false(config_load(&c, main_path));
	assert_non_null(strstr(c.diag.v[0].text, "stands in"));
	config_free(&c);

	unlink(part_path);
	assert_false(config_load(&c, main_path));
	assert_int_equal(c.diag.v[0].mark.line, 2);
	config_free(&c);
	unlink(main_path);
	rmdir(dir);
}

static void file_that_cannot_be_read_is_named(void **state)
{
	struct config c;

	(void)state;
	assert_false(config_load(&c, "/nonexistent/churchgate.yaml"));
	line_is_found(&c, "/nonexistent/churchgate.yaml: No such file or directory");
	config_free(&c);
	assert_false(config_load(&c, "/dev/null"));
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_configuration_is_read_with_its_defaults),
		cmocka_unit_test(each_fault_is_named_at_its_line_and_column),
		cmocka_unit_test(all_faults_are_found_at_once_in_the_order_of_the_file),
		cmocka_unit_test(what_is_no_yaml_is_said_with_its_place),
		cmocka_unit_test(aliases_cannot_stand_for_billions),
		cmocka_unit_test(too_many_keys_or_anchors_are_refused),
		cmocka_unit_test(aliases_are_followed),
		cmocka_unit_test(days_of_a_version_are_in_order_and_one_that_is_deprecated_has_a_day),
		cmocka_unit_test(a_limits_key_is_any_capture_of_its_route),
		cmocka_unit_test(shadowed_route_is_a_warning),
		cmocka_unit_test(route_is_shadowed_only_by_what_covers_it),
		cmocka_unit_test(units_are_exact),
		cmocka_unit_test(suggestions_are_close_or_absent),
		cmocka_unit_test(included_lists_stand_behind_our_own),
		cmocka_unit_test(file_that_cannot_be_read_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
