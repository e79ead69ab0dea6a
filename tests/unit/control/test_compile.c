// From configuration to snapshot: it verifies, says what the file says, and keeps the region's slots by name.
#include "base/hash.h"
#include "contract/stats.h"
#include "control/compile.h"
#include "control/generation.h"
#include "policy/headers/conf.h"
#include "route/route.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
// after what it needs
#include <cmocka.h>

static const char system_part[] =
	"version: 1\n"
	"system:\n"
	"  workers: {cores: \"2-3,5\"}\n"
	"  ports:\n"
	"    - {name: wan, device: d0, addresses: [198.18.0.1/24], gateway: 198.18.0.254, vlan: 7}\n"
	"    - {name: lan, device: d1, addresses: [198.19.0.1/24], routes: [{to: 198.19.8.0/21, via: "
	"198.19.0.9}]}\n"
	"listeners:\n"
	"  - {name: http, port: wan, bind: \":80\", max_head: 8KiB, accepts_per_second: 500}\n"
	"  - {name: strict, port: wan, bind: \":81\", syn_cookies: always, max_connections_per_address: 9, "
	"client_prefix6: 56, accepts_per_second: 7, accept_burst: 70, refuse: reset,\n"
	"     trusted_proxies: [203.0.0.0/8, \"fd00::/8\"], client_address: forwarded, forwarded_headers: "
	"rfc7239,\n"
	"     proxy_protocol: accept, path_policy: {dot_segments: resolve, encoded_slash: reject}}\n";

static const char first[] =
	"routes:\n"
	"  - name: hello\n"
	"    match: {host: api.test, path: /hello, methods: [GET]}\n"
	"    respond: {body: \"hello\\n\"}\n"
	"  - name: api\n"
	"    match: {host: \"*.api.test\", prefix: \"/v2/{id}\"}\n"
	"    to: [{upstream: a, weight: 90}, {upstream: b, weight: 10}]\n"
	"    per_try: 0s\n"
	"    request_headers: {set: {X-A: \"1\"}, add: {X-B: \"2\"}, remove: [X-C]}\n"
	"  - {name: all, redirect: {status: 301, location: /hello}}\n"
	"upstreams:\n"
	"  - {name: a, port: lan, endpoints: [\"198.19.0.11:80\", \"[fd00:c6:12::5]:81\"], balance: "
	"least_request}\n"
	"  - {name: b, port: lan, endpoints: [\"198.19.0.12:80\"], connect_timeout: 700ms, pool: {idle: 9s, "
	"keepalive: 2s}}\n";

struct made {
	struct config c;
	struct blob b;
	const struct snapshot *s;
};

static struct region *region_new(uint32_t workers)
{
	struct region *r = aligned_alloc(4096, region_size(workers));

	memset(r, 0, region_size(workers));
	region_create(r, workers);
	return r;
}

static void make(struct made *m, struct region *r, const char *routes, uint64_t generation)
{
	char text[4096], why[300];

	snprintf(text, sizeof(text), "%s%s", system_part, routes);
	if (!config_parse(&m->c, "test.yaml", text, strlen(text))) {
		diag_print(&m->c.diag, stderr);
		fail();
	}
	if (compile_snapshot(&m->b, &m->c, r, generation, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	m->s = (const void *)m->b.p;
}

static void made_free(struct made *m)
{
	config_free(&m->c);
	blob_free(&m->b);
}

static bool text_is(const struct snapshot *s, struct snap_ref r, const char *text)
{
	return slice_eq(snap_text(s, r), slice_of(text, strlen(text)));
}

// The nth of many texts of all lengths, which differ from each other.
static size_t nth_text(unsigned n, char out[static 600])
{
	size_t len = 4 + n % 500;

	memset(out, 'a' + (int)(n % 26), len);
	memcpy(out, &n, sizeof(n));
	return len;
}

static void equal_texts_stand_in_a_snapshot_once_and_all_are_what_was_put_in(void **state)
{
	enum { MANY = 5000 };
	static struct snap_ref ref[MANY];
	struct blob b = {0};
	char text[600];
	size_t n;

	(void)state;
	blob_add(&b, NULL, 1, 64);
	for (unsigned i = 0; i < MANY; i++) {
		n = nth_text(i, text);
		ref[i] = blob_text(&b, text, n);
		if (i % 3 == 0) // one that is there, while the table of them grows
			assert_int_equal(blob_text(&b, text, n).off, ref[i].off);
	}
	n = b.n;
	for (unsigned i = MANY; i-- > 0;) {
		size_t len = nth_text(i, text);
		struct snap_ref again = blob_text(&b, text, len);

		assert_int_equal(again.off, ref[i].off);
		assert_int_equal(again.n, len);
		assert_memory_equal(b.p + again.off, text, len);
	}
	assert_int_equal(b.n, n); // nothing was added
	// The beginning of one that is there is a text of its own.
	assert_int_not_equal(blob_text(&b, text, 2).off, ref[0].off);
	assert_int_equal(blob_text(&b, text, 0).n, 0);
	assert_false(b.failed);
	blob_free(&b);
}

static void routes_that_answer_the_same_share_their_answer(void **state)
{
	struct region *r = region_new(3);
	const struct snap_route *route;
	struct made m;

	(void)state;
	make(&m, r,
	     "routes:\n"
	     "  - {name: a, match: {path: /a}, respond: {body: same}}\n"
	     "  - {name: b, match: {path: /b}, respond: {body: same}}\n"
	     "  - {name: c, match: {path: /c}, respond: {body: other}}\n"
	     "  - {name: d, match: {path: /d}, respond: {body: same, status: 404}}\n",
	     1);
	route = snap_at(m.s, m.s->routes);
	assert_true(route[0].answer.n > 4 && route[0].answer.off == route[1].answer.off);
	assert_int_not_equal(route[0].answer.off, route[2].answer.off);
	assert_int_not_equal(route[0].answer.off, route[3].answer.off);
	made_free(&m);
	free(r);
}

static void snapshot_verifies_and_says_what_the_file_says(void **state)
{
	struct region *r = region_new(3);
	struct made m;
	char why[200];

	(void)state;
	make(&m, r, first, 7);
	assert_true(snapshot_verify(m.b.p, m.b.n, why, sizeof(why)));
	assert_int_equal(m.s->generation, 7);
	assert_int_equal(m.s->system.workers, 3);
	assert_int_equal(m.s->system.cpu[0], 2);
	assert_int_equal(m.s->system.cpu[2], 5);
	assert_int_equal(m.s->system.cpu[3], -1);
	const struct snap_port *p = snap_at(m.s, m.s->ports);
	const struct snap_netroute *n = snap_at(m.s, p[0].routes);

	assert_int_equal(p[0].vlan, 7);
	assert_int_equal(p[0].routes.n, 1);
	assert_int_equal(n[0].prefix, 96);
	assert_int_equal(p[1].routes.n, 1);
	const struct snap_listener *l = snap_at(m.s, m.s->listeners);

	assert_true(addr_is_any(l[0].addr));
	assert_int_equal(l[0].max_head, 8192);
	assert_int_equal(l[0].syn_cookies, SYN_COOKIES_PRESSURE);
	assert_int_equal(l[0].refuse, REFUSE_DROP);
	assert_int_equal(l[0].client_prefix6, 64);
	assert_int_equal(l[0].max_per_address, 0);
	assert_int_equal(l[0].accept_burst, 500); // as many as in a second
	assert_int_equal(l[1].syn_cookies, SYN_COOKIES_ALWAYS);
	assert_int_equal(l[1].refuse, REFUSE_RESET);
	assert_int_equal(l[1].client_prefix6, 56);
	assert_int_equal(l[1].max_per_address, 9);
	assert_int_equal(l[1].accept_rate, 7);
	assert_int_equal(l[1].accept_burst, 70);
	assert_int_equal(m.s->system.upstream_reserve, 32768 / 8);
	assert_int_equal(m.s->system.min_mss, 216);
	assert_int_equal(l[0].max_line, 8192);
	assert_int_equal(l[0].max_uri, 8000);
	assert_int_equal(l[0].max_fields, 100);
	assert_int_equal(l[0].max_body, 0);
	assert_int_equal(l[0].lenient_lf, 0);
	assert_int_equal(l[0].forwarded, 1u << FORWARDED_FOR | 1u << FORWARDED_PROTO);
	assert_int_equal(l[0].trusted.n, 0);
	assert_int_equal(l[0].path.dot_segments, PATH_KEEP);
	assert_int_equal(l[0].path.unreserved, PATH_NORMALISE);
	assert_int_equal(l[1].path.encoded_slash, PATH_REJECT);
	assert_int_equal(l[1].path.dot_segments, PATH_NORMALISE);
	assert_int_equal(l[1].forwarded, 1u << FORWARDED_RFC7239);
	assert_int_equal(l[1].client_from, CLIENT_FROM_FORWARDED);
	assert_int_equal(l[0].proxy_protocol, PROXY_PROTOCOL_OFF);
	assert_int_equal(l[1].proxy_protocol, PROXY_PROTOCOL_ACCEPT);
	assert_int_equal(l[1].trusted.n, 2);
	assert_int_equal(((const struct snap_address *)snap_at(m.s, l[1].trusted))->prefix, 96 + 8);
	const struct snap_route *route = snap_at(m.s, m.s->routes);

	assert_int_equal(m.s->routes.n, 3);
	assert_int_equal(route[0].methods, 1u << METHOD_GET | 1u << METHOD_HEAD); // RFC 9110 9.3.2
	assert_int_equal(route[0].action, ACTION_RESPOND);
	assert_true(text_is(m.s, route[0].body, "hello\n"));
	assert_true(text_is(m.s, route[0].content_type, "text/plain; charset=utf-8"));
	assert_true(text_is(m.s, route[1].path_text, "/v2/{id}*"));
	assert_int_equal(route[1].targets.n, 2);
	assert_int_equal(route[1].timeout, 0);
	assert_int_equal(route[1].per_try, 3600000000000); // 0s: every request ends all the same
	assert_int_equal(((const struct snap_target *)snap_at(m.s, route[1].targets))[1].weight, 10);
	assert_int_equal(route[2].status, 301);
	const struct snap_upstream *u = snap_at(m.s, m.s->upstreams);
	const struct snap_endpoint *e = snap_at(m.s, u[0].endpoints);

	assert_int_equal(u[0].balance, BALANCE_LEAST_REQUEST);
	assert_int_equal(u[0].port, 1);
	assert_true(text_is(m.s, e[1].name, "[fd00:c6:12::5]:81"));
	assert_int_equal(u[1].connect_timeout, 700000000);
	assert_int_equal(u[1].idle_timeout, 9000000000);
	assert_int_equal(u[0].pool_probe, 10000000000);
	assert_int_equal(u[1].pool_probe, 2000000000);
	assert_true(text_is(m.s, m.s->text, m.c.text));
	made_free(&m);
	free(r);
}

static enum route_result find(const struct made *m, struct slice host, struct slice path,
			      enum http_method method, struct route_match *match)
{
	return route_find(m->s, &(struct route_query){.host = host, .path = path, .method = method}, match);
}

static void routes_are_found_in_the_snapshot(void **state)
{
	struct region *r = region_new(3);
	struct route_match match;
	struct made m;

	(void)state;
	make(&m, r, first, 1);
	assert_int_equal(find(&m, SLICE("API.test"), SLICE("/hello"), METHOD_GET, &match), ROUTE_FOUND);
	assert_int_equal(match.index, 0);
	assert_int_equal(find(&m, SLICE("x.api.test"), SLICE("/v2/5/y"), METHOD_PUT, &match), ROUTE_FOUND);
	assert_int_equal(match.index, 1);
	assert_true(slice_eq(match.param[0], SLICE("5")));
	assert_int_equal(find(&m, SLICE(""), SLICE("/x"), METHOD_PUT, &match), ROUTE_FOUND);
	assert_int_equal(match.index, 2);
	made_free(&m);
	free(r);
}

static void stage_record_holds_the_edits_in_their_order(void **state)
{
	struct region *r = region_new(3);
	struct made m;

	(void)state;
	make(&m, r, first, 1);
	const struct snap_route *route = snap_at(m.s, m.s->routes);

	assert_int_equal(route[0].stages, 0);
	assert_int_equal(route[1].stages, 1u << STAGE_headers);
	assert_int_equal(route[1].stage_conf[STAGE_headers].n, sizeof(struct headers_conf));
	const struct headers_conf *h = snap_at(m.s, route[1].stage_conf[STAGE_headers]);
	const struct headers_edit *e = snap_at(m.s, h->request);

	assert_int_equal(h->request.n, 3);
	assert_int_equal(h->response.n, 0);
	assert_int_equal(e[0].op, HEADERS_REMOVE);
	assert_true(text_is(m.s, e[0].name, "X-C"));
	assert_int_equal(e[1].op, HEADERS_SET);
	assert_true(text_is(m.s, e[1].value, "1"));
	assert_int_equal(e[2].op, HEADERS_ADD);
	made_free(&m);
	free(r);
}

static const struct snap_endpoint *endpoint_named(const struct snapshot *s, const char *name)
{
	const struct snap_upstream *u = snap_at(s, s->upstreams);

	for (uint32_t i = 0; i < s->upstreams.n; i++) {
		const struct snap_endpoint *e = snap_at(s, u[i].endpoints);

		for (uint32_t k = 0; k < u[i].endpoints.n; k++)
			if (text_is(s, e[k].name, name))
				return &e[k];
	}
	fail_msg("no endpoint %s", name);
	return NULL;
}

static const char second[] = "routes:\n"
			     "  - {name: api, to: [{upstream: b, weight: 10}, {upstream: a, weight: 90}]}\n"
			     "upstreams:\n"
			     "  - {name: b, port: lan, endpoints: [\"198.19.0.13:80\", \"198.19.0.12:80\"]}\n"
			     "  - {name: a, port: lan, endpoints: [\"198.19.0.11:80\"]}\n";

static void slots_stay_with_their_names_over_a_reload(void **state)
{
	struct region *r = region_new(3);
	struct made a, b;

	(void)state;
	make(&a, r, first, 1);
	make(&b, r, second, 2);
	assert_int_equal(endpoint_named(a.s, "198.19.0.11:80")->slot,
			 endpoint_named(b.s, "198.19.0.11:80")->slot);
	assert_int_equal(endpoint_named(a.s, "198.19.0.12:80")->slot,
			 endpoint_named(b.s, "198.19.0.12:80")->slot);
	assert_int_equal(endpoint_named(a.s, "198.19.0.12:80")->epoch,
			 endpoint_named(b.s, "198.19.0.12:80")->epoch);
	const struct snap_route *ra = snap_at(a.s, a.s->routes), *rb = snap_at(b.s, b.s->routes);
	const struct snap_target *ta = snap_at(a.s, ra[1].targets), *tb = snap_at(b.s, rb[0].targets);
	const struct snap_upstream *ua = snap_at(a.s, a.s->upstreams), *ub = snap_at(b.s, b.s->upstreams);

	assert_int_equal(ra[1].stat_slot, rb[0].stat_slot);
	assert_int_equal(ta[0].slot, tb[1].slot);
	assert_int_equal(ta[1].slot, tb[0].slot);
	assert_int_equal(ua[0].stat_slot, ub[1].stat_slot);
	made_free(&a);
	made_free(&b);
	free(r);
}

static void slot_of_an_endpoint_that_left_is_given_back_a_generation_later(void **state)
{
	struct region *r = region_new(3);
	struct made a, b, c;

	(void)state;
	make(&a, r, first, 1);
	const struct snap_endpoint *left = endpoint_named(a.s, "[fd00:c6:12::5]:81");
	uint32_t slot = left->slot, epoch = left->epoch;
	uint64_t key = region_endpoints(r)[slot].key;

	region_endpoints(r)[slot].admin = ADMIN_MAINT;
	make(&b, r, second, 2);
	compile_release(r, b.s, a.s);
	assert_int_equal(region_endpoints(r)[slot].key, key);
	compile_release(r, b.s, NULL);
	assert_int_not_equal(region_endpoints(r)[slot].key, key);
	// It comes back as another: what was set by hand is not its own.
	make(&c, r, first, 3);
	left = endpoint_named(c.s, "[fd00:c6:12::5]:81");
	assert_int_equal(region_endpoints(r)[left->slot].admin, ADMIN_READY);
	if (left->slot == slot)
		assert_int_not_equal(left->epoch, epoch);
	made_free(&a);
	made_free(&b);
	made_free(&c);
	free(r);
}

static void what_finds_no_statistics_slot_goes_to_other(void **state)
{
	struct region *r = region_new(1);
	size_t size = 200000;
	char *text = malloc(size), why[200];
	struct config c;
	struct blob b;
	int n;

	(void)state;
	n = snprintf(
		text, size,
		"version: 1\nsystem: {ports: [{name: p, device: d, addresses: [198.18.0.1/24]}]}\nroutes:\n");
	for (int i = 0; i < STATS_ROUTES + 5; i++)
		n += snprintf(text + n, size - (size_t)n,
			      "  - {name: r%d, match: {path: /%d}, respond: {body: x}}\n", i, i);
	assert_true(config_parse(&c, "test.yaml", text, (size_t)n));
	assert_int_equal(compile_snapshot(&b, &c, r, 1, why, sizeof(why)), 0);
	const struct snapshot *s = (const void *)b.p;
	const struct snap_route *route = snap_at(s, s->routes);
	unsigned other = 0;

	for (uint32_t i = 0; i < s->routes.n; i++)
		other += route[i].stat_slot == 0;
	assert_int_equal(other, 6); // slot 0 is "other" itself
	config_free(&c);
	blob_free(&b);
	free(r);
	free(text);
}

static void generation_is_sealed_and_verified_when_taken_over(void **state)
{
	struct region *r = region_new(3);
	struct generation g, taken;
	struct made m;
	char why[200];

	(void)state;
	make(&m, r, first, 5);
	assert_int_equal(generation_seal(&g, &m.b, why, sizeof(why)), 0);
	assert_int_equal(write(g.fd, "x", 1), -1);
	assert_int_equal(ftruncate(g.fd, 1), -1);
	assert_int_equal(generation_adopt(&taken, dup(g.fd), why, sizeof(why)), 0);
	assert_int_equal(taken.snapshot->generation, 5);
	generation_drop(&taken);
	generation_drop(&g);

	// Unsealed, or sealed with something else in it: refused.
	int fd = memfd_create("t", MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, m.b.p, m.b.n), (ssize_t)m.b.n);
	assert_int_equal(generation_adopt(&taken, dup(fd), why, sizeof(why)), -1);
	m.b.p[m.b.n - 1] ^= 1;
	assert_int_equal(pwrite(fd, m.b.p, m.b.n, 0), (ssize_t)m.b.n);
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(generation_adopt(&taken, fd, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "checksum"));
	made_free(&m);
	free(r);
}

static void ipv6_gateways_routes_and_listeners_are_compiled(void **state)
{
	static const char text[] = "version: 1\n"
				   "system:\n"
				   "  ports:\n"
				   "    - name: six\n"
				   "      device: d0\n"
				   "      addresses: [\"fd00:c6:12::1/64\", 198.18.0.1/24]\n"
				   "      gateway: 198.18.0.254\n"
				   "      gateway6: \"fe80::fe\"\n"
				   "      routes: [{to: \"fd00:c6:12:8::/61\", via: \"fd00:c6:12::9\"}]\n"
				   "listeners:\n"
				   "  - {name: http, bind: \"[fd00:c6:12::1]:80\"}\n"
				   "routes:\n"
				   "  - {name: hello, respond: {body: \"hello\\n\"}}\n";
	struct region *r = region_new(1);
	struct config c;
	struct blob b;
	char why[300];

	(void)state;
	assert_true(config_parse(&c, "six.yaml", text, strlen(text)));
	assert_int_equal(compile_snapshot(&b, &c, r, 1, why, sizeof(why)), 0);
	const struct snapshot *s = (const struct snapshot *)(const void *)b.p;
	const struct snap_port *p = snap_at(s, s->ports);
	const struct snap_netroute *n = snap_at(s, p->routes);
	const struct snap_listener *l = snap_at(s, s->listeners);
	const struct snap_address *a = snap_at(s, p->addresses);
	char buf[ADDR_TEXT_MAX];

	assert_string_equal(addr_text(a[0].addr, buf), "fd00:c6:12::1");
	assert_int_equal(a[0].prefix, 64);
	assert_int_equal(p->routes.n, 3);
	assert_string_equal(addr_text(n[0].dst, buf), "fd00:c6:12:8::");
	assert_int_equal(n[0].prefix, 61);
	assert_string_equal(addr_text(n[0].gateway, buf), "fd00:c6:12::9");
	assert_true(addr_eq(n[2].dst, (struct addr){0}));
	assert_int_equal(n[2].prefix, 0);
	assert_string_equal(addr_text(n[2].gateway, buf), "fe80::fe");
	assert_string_equal(addr_text(l->addr, buf), "fd00:c6:12::1");
	blob_free(&b);
	config_free(&c);
	free(r);
}

static void tcp_settings_of_the_system_a_listener_and_an_upstream_are_compiled(void **state)
{
	const char *text =
		"version: 1\n"
		"system:\n"
		"  tcp: {congestion: newreno, ecn: active, receive_buffer: 1MiB, send_buffer: 2MiB,\n"
		"        user_timeout: 30s, keepalive: {idle: 10m, interval: 20s, probes: 4},\n"
		"        time_wait: {max: 1000, msl: 15s}}\n"
		"  ports: [{name: lan, device: d0, addresses: 198.18.0.1/24}]\n"
		"listeners:\n"
		"  - {name: a, bind: \":80\", congestion: cubic, ecn: never}\n"
		"  - {name: b, bind: \":81\"}\n"
		"upstreams:\n"
		"  - {name: u, endpoints: \"198.18.0.2:80\", congestion: newreno, ecn: passive}\n"
		"routes:\n"
		"  - {name: r, to: u}\n";
	struct region *r = region_new(1);
	struct config c;
	struct blob b;
	char why[300];

	(void)state;
	assert_true(config_parse(&c, "tcp.yaml", text, strlen(text)));
	assert_int_equal(compile_snapshot(&b, &c, r, 1, why, sizeof(why)), 0);
	const struct snapshot *s = (const struct snapshot *)(const void *)b.p;
	const struct snap_tcp *t = &s->system.tcp;
	const struct snap_listener *l = snap_at(s, s->listeners);
	const struct snap_upstream *u = snap_at(s, s->upstreams);

	assert_int_equal(t->congestion, CONGESTION_NEWRENO);
	assert_int_equal(t->ecn, ECN_ACTIVE);
	assert_int_equal(t->receive_buffer, 1u << 20);
	assert_int_equal(t->send_buffer, 2u << 20);
	assert_int_equal(t->user_timeout, 30000000000);
	assert_int_equal(t->keep_idle, 600000000000);
	assert_int_equal(t->keep_interval, 20000000000);
	assert_int_equal(t->keep_probes, 4);
	assert_int_equal(t->time_wait_max, 1000);
	assert_int_equal(t->msl, 15000000000);
	assert_int_equal(l[0].congestion, CONGESTION_CUBIC);
	assert_int_equal(l[0].ecn, ECN_NEVER);
	assert_int_equal(l[1].congestion, CONGESTION_DEFAULT);
	assert_int_equal(l[1].ecn, ECN_DEFAULT);
	assert_int_equal(u->congestion, CONGESTION_NEWRENO);
	assert_int_equal(u->ecn, ECN_PASSIVE);
	blob_free(&b);
	config_free(&c);
	free(r);
}

// 20 routes, each with a segment of its own, are a table.
static struct snap_edge *wide(struct made *m, struct region *r)
{
	char routes[4096] = "routes:\n";
	struct snap_node *v;

	for (unsigned i = 0; i < 20; i++)
		snprintf(routes + strlen(routes), sizeof(routes) - strlen(routes),
			 "  - {name: r%u, match: {host: a.test, path: /s%u}, redirect: {location: /}}\n", i, i);
	make(m, r, routes, 1);
	v = (struct snap_node *)(void *)(m->b.p + m->s->nodes.off);
	while (v->slots <= SNAP_TAGS)
		v++;
	assert_int_equal(v->slots, 64);
	return (struct snap_edge *)(void *)(v + 1);
}

// Breaks a table with 20 edges; false: there is no such fault.
static bool table_break(unsigned fault, struct snap_edge *e)
{
	struct snap_node *v = (struct snap_node *)(void *)e - 1;
	unsigned used = 0, empty = 0, home;

	while (!e[used].hash)
		used++;
	while (e[empty].hash)
		empty++;
	home = (routekey_slot(e[used].hash, 64) + 63) % 64;
	switch (fault) {
	case 0: // stands before its place
		while (e[home].hash)
			home = (home + 63) % 64;
		e[home] = e[used];
		e[used] = (struct snap_edge){.hash = 0};
		return true;
	case 1: // no power of two
		v->slots = 63;
		return true;
	case 2: // none is empty
		for (unsigned i = 0; i < 64; i++)
			if (!e[i].hash)
				e[i] = e[used];
		return true;
	case 3: // more empty than there may be
		for (unsigned i = 0, n = 0; i < 64; i++)
			if (e[i].hash && n++ >= 15)
				e[i] = (struct snap_edge){.hash = 0};
		return true;
	case 4:
		v->slots = 1u << 31;
		return true;
	case 5:
		e[used].node = (uint32_t)UINT16_MAX;
		return true;
	case 6:
		e[used].rank++;
		return true;
	case 7:
		e[empty] = e[used];
		return true;
	default:
		return false;
	}
}

static void a_table_of_segments_in_which_one_is_not_found_is_refused(void **state)
{
	struct region *r = region_new(3);
	bool broken = true;
	struct made m;
	char why[200];

	(void)state;
	for (unsigned fault = 0; broken; fault++) {
		struct snap_edge *e = wide(&m, r);
		struct snapshot *s = (struct snapshot *)(void *)m.b.p;

		assert_true(snapshot_verify(s, m.b.n, why, sizeof(why)));
		broken = table_break(fault, e);
		s->checksum = hash64(s + 1, m.b.n - sizeof(*s));
		if (snapshot_verify(s, m.b.n, why, sizeof(why)) == broken)
			fail_msg("fault %u", fault);
		made_free(&m);
	}
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv6_gateways_routes_and_listeners_are_compiled),
		cmocka_unit_test(tcp_settings_of_the_system_a_listener_and_an_upstream_are_compiled),
		cmocka_unit_test(equal_texts_stand_in_a_snapshot_once_and_all_are_what_was_put_in),
		cmocka_unit_test(routes_that_answer_the_same_share_their_answer),
		cmocka_unit_test(snapshot_verifies_and_says_what_the_file_says),
		cmocka_unit_test(routes_are_found_in_the_snapshot),
		cmocka_unit_test(a_table_of_segments_in_which_one_is_not_found_is_refused),
		cmocka_unit_test(stage_record_holds_the_edits_in_their_order),
		cmocka_unit_test(slots_stay_with_their_names_over_a_reload),
		cmocka_unit_test(slot_of_an_endpoint_that_left_is_given_back_a_generation_later),
		cmocka_unit_test(what_finds_no_statistics_slot_goes_to_other),
		cmocka_unit_test(generation_is_sealed_and_verified_when_taken_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
