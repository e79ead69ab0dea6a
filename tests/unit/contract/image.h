// A small valid snapshot, for tests to damage: two ports, two listeners, four routes (one of each action, one
// with a policy stage, and one that asks for what another does), two upstreams with three endpoints, hosts of
// each kind, tries with literal and parameter.
#pragma once
#include "base/hash.h"
#include "contract/snapshot.h"
#include "contract/stats.h"
#include <arpa/inet.h>
#include <string.h>

#define IMAGE_ROOM 16384

struct image {
	_Alignas(64) unsigned char bytes[IMAGE_ROOM];
	uint32_t used;
};

static struct snapshot *image_header(struct image *m)
{
	return (struct snapshot *)m->bytes;
}

static void *image_at(struct image *m, struct snap_ref r)
{
	return m->bytes + r.off;
}

static struct snap_ref image_records(struct image *m, uint32_t n, size_t size)
{
	struct snap_ref r = {(m->used + 7) & ~7u, n};

	m->used = r.off + n * (uint32_t)size;
	return r;
}

static struct snap_ref image_text(struct image *m, const char *s)
{
	struct snap_ref r = {m->used, (uint32_t)strlen(s)};

	memcpy(m->bytes + r.off, s, r.n);
	m->used += r.n;
	return r;
}

static struct addr image_addr(const char *s)
{
	struct addr a = {0};
	uint32_t v4;

	if (inet_pton(AF_INET, s, &v4) == 1)
		return addr_from_v4(v4);
	inet_pton(AF_INET6, s, a.b);
	return a;
}

static struct snap_port *image_port(struct image *m, unsigned i)
{
	return (struct snap_port *)image_at(m, image_header(m)->ports) + i;
}

static struct snap_listener *image_listener(struct image *m, unsigned i)
{
	return (struct snap_listener *)image_at(m, image_header(m)->listeners) + i;
}

static struct snap_route *image_route(struct image *m, unsigned i)
{
	return (struct snap_route *)image_at(m, image_header(m)->routes) + i;
}

static struct snap_upstream *image_upstream(struct image *m, unsigned i)
{
	return (struct snap_upstream *)image_at(m, image_header(m)->upstreams) + i;
}

static struct snap_endpoint *image_endpoint(struct image *m, unsigned upstream, unsigned i)
{
	return (struct snap_endpoint *)image_at(m, image_upstream(m, upstream)->endpoints) + i;
}

static struct snap_node *image_node(struct image *m, unsigned i)
{
	return (struct snap_node *)image_at(m, image_header(m)->nodes) + i;
}

static struct snap_host *image_host(struct image *m, const char *key)
{
	struct snap_host *h = image_at(m, image_header(m)->hosts);

	while (!h->used || h->n != strlen(key) || memcmp(h->text, key, h->n) != 0)
		h++;
	return h;
}

// The edge that has a segment.
static struct snap_edge *image_edge(struct image *m, const char *segment)
{
	for (uint32_t at = 0;; at += 1 + image_node(m, at)->slots)
		for (uint32_t i = 1; i <= image_node(m, at)->slots; i++) {
			struct snap_edge *e = (struct snap_edge *)image_node(m, at + i);

			if (e->n == strlen(segment) && memcmp(e->w, segment, e->n) == 0)
				return e;
		}
}

static struct snap_ends *image_ends(struct image *m, unsigned i)
{
	return (struct snap_ends *)image_at(m, image_header(m)->ends) + i;
}

// Its one route is `first`, or stands there in the order.
static void image_put_host(struct image *m, const char *key, uint32_t root, enum snap_host_used used,
			   uint32_t first)
{
	struct snap_ref table = image_header(m)->hosts;
	struct snap_host *h = image_at(m, table);
	uint64_t hash = routekey_host(slice_of(key, strlen(key)));
	uint32_t at = (uint32_t)hash & (table.n - 1);

	while (h[at].used)
		at = (at + 1) & (table.n - 1);
	h[at] = (struct snap_host){.hash = hash,
				   .root = root,
				   .first = first,
				   .count = 1,
				   .used = (uint16_t)used,
				   .n = (uint16_t)strlen(key)};
	memcpy(h[at].text, key, h[at].n);
}

// The node that stands at `at`, with an edge.
static void image_put_edge(struct image *m, uint32_t at, const char *segment, uint32_t to, uint32_t rank)
{
	struct snap_node *v = image_node(m, at);
	struct snap_edge *e = (struct snap_edge *)(v + 1);

	*e = (struct snap_edge){.n = (uint32_t)strlen(segment), .node = to, .rank = rank};
	memcpy(e->w, segment, e->n);
	e->hash = routekey_edge(routekey_segment(slice_of(segment, e->n)).hash);
	v->slots = 1;
	v->tag[0] = routekey_tag(e->hash);
}

static struct snap_ref image_take(struct image *m, uint32_t route)
{
	struct snap_ref r = image_records(m, 1, sizeof(struct snap_take));
	const struct snap_route *v = image_route(m, route);
	struct snap_take t = {0, v->methods | (v->conditions.n ? SNAP_TAKE_CONDITIONS : 0)};

	memcpy(image_at(m, r), &t, sizeof t);
	return r;
}

// Route 1 takes requests of listener 1, from 198.18.0.0/16, with a header and a cookie that matches, and in
// version v2 of the API "shop".
static void image_conditions(struct image *m)
{
	struct snap_condition *c;
	struct snap_address *a;
	struct snap_api *api;
	struct snap_ref *v;

	image_header(m)->apis = image_records(m, 1, sizeof *api);
	api = image_at(m, image_header(m)->apis);
	api->name = image_text(m, "shop");
	api->header = image_text(m, "X-API-Version");
	api->otherwise = image_text(m, "v2");
	image_route(m, 1)->conditions = image_records(m, 5, sizeof *c);
	c = image_at(m, image_route(m, 1)->conditions);
	c[0] = (struct snap_condition){.kind = CONDITION_LISTENER, .value = image_records(m, 1, 4)};
	*(uint32_t *)image_at(m, c[0].value) = 1;
	c[1] = (struct snap_condition){.kind = CONDITION_CLIENT, .value = image_records(m, 1, sizeof *a)};
	a = image_at(m, c[1].value);
	*a = (struct snap_address){.addr = image_addr("198.18.0.0"), .prefix = 96 + 16};
	c[2] = (struct snap_condition){.kind = CONDITION_HEADER, .test = TEST_EQUAL};
	c[2].name = image_text(m, "X-Env");
	c[2].value = image_text(m, "staging");
	c[3] = (struct snap_condition){.kind = CONDITION_COOKIE, .test = TEST_REGEX, .number = 1};
	c[3].name = image_text(m, "user");
	image_header(m)->regexes = image_records(m, 2, sizeof *v);
	v = image_at(m, image_header(m)->regexes);
	v[0] = image_text(m, "^a");
	v[1] = image_text(m, "^(alice|bob)$");
	c[4] = (struct snap_condition){.kind = CONDITION_VERSION, .value = image_records(m, 1, sizeof *v)};
	v = image_at(m, c[4].value);
	*v = image_text(m, "v2");
	image_route(m, 3)->conditions = image_records(m, 1, sizeof *c);
	c = image_at(m, image_route(m, 3)->conditions);
	*c = (struct snap_condition){.kind = CONDITION_HEADER, .test = TEST_PRESENT};
	c->name = image_text(m, "X-Env");
}

// After damage done on purpose: it must then be found by other checks than the checksum.
static void image_sum(struct image *m)
{
	struct snapshot *s = image_header(m);

	s->checksum = hash64(s + 1, m->used - sizeof *s);
}

static void image_ports(struct image *m)
{
	image_header(m)->ports = image_records(m, 2, sizeof(struct snap_port));
	for (unsigned i = 0; i < 2; i++) {
		struct snap_port *p = image_port(m, i);
		struct snap_address *a;
		struct snap_netroute *r;

		p->name = image_text(m, i ? "lan" : "wan");
		p->device = image_text(m, i ? "net_tap1,iface=t1" : "0000:3b:00.0");
		p->mtu = 1500;
		p->vlan = i ? 7 : 0;
		p->addresses = image_records(m, 1, sizeof *a);
		a = image_at(m, p->addresses);
		a->addr = image_addr(i ? "fd00:c6:12::1" : "198.18.0.1");
		a->prefix = i ? 64 : 96 + 24;
		p->routes = image_records(m, 1, sizeof *r);
		r = image_at(m, p->routes);
		r->dst = image_addr(i ? "::" : "0.0.0.0");
		r->prefix = i ? 0 : 96;
		r->gateway = image_addr(i ? "fd00:c6:12::fe" : "198.18.0.254");
	}
}

static void image_limits(struct image *m)
{
	struct snap_limit *l;

	image_header(m)->limits = image_records(m, 1, sizeof(*l));
	l = image_at(m, image_header(m)->limits);
	*l = (struct snap_limit){
		.slot = 1, .rate = 100, .period = 60000000000, .interval = 600000000, .burst = 100};
	l->name = image_text(m, "per-client");
	l->parts = image_records(m, 1, sizeof(struct snap_limit_part));
	*(struct snap_limit_part *)image_at(m, l->parts) =
		(struct snap_limit_part){.kind = LIMIT_PART_CLIENT_IP, .prefix4 = 32, .prefix6 = 64};
}

static void image_listeners(struct image *m)
{
	image_header(m)->listeners = image_records(m, 2, sizeof(struct snap_listener));
	for (unsigned i = 0; i < 2; i++) {
		struct snap_listener *l = image_listener(m, i);

		*l = (struct snap_listener){.port = (uint16_t)i,
					    .tcp_port = (uint16_t)(80 + i),
					    .head_timeout = 10000000000,
					    .idle_timeout = 60000000000,
					    .body_timeout = 60000000000,
					    .response_idle = 60000000000,
					    .rate_grace = 10000000000,
					    .max_head = 8192,
					    .client_prefix6 = 64,
					    .max_per_address = 100,
					    .accept_rate = 1000,
					    .accept_burst = 2000,
					    .max_line = 8192,
					    .max_uri = 8000,
					    .max_fields = 100};
		l->name = image_text(m, i ? "inside" : "http");
		if (i == 0)
			continue;
		l->trusted = image_records(m, 1, sizeof(struct snap_address));
		*(struct snap_address *)image_at(m, l->trusted) =
			(struct snap_address){.addr = image_addr("198.18.0.0"), .prefix = 112};
		l->forwarded = 3;
		l->pages = image_records(m, 1, sizeof(struct snap_page));
		*(struct snap_page *)image_at(m, l->pages) = (struct snap_page){.from = 500, .to = 504};
		((struct snap_page *)image_at(m, l->pages))->content_type = image_text(m, "text/html");
		((struct snap_page *)image_at(m, l->pages))->body = image_text(m, "sorry");
		l->limits = image_records(m, 1, sizeof(struct snap_limit_use));
		*(struct snap_limit_use *)image_at(m, l->limits) = (struct snap_limit_use){.cost = 1};
	}
}

static void image_upstreams(struct image *m)
{
	image_header(m)->upstreams = image_records(m, 2, sizeof(struct snap_upstream));
	for (unsigned i = 0; i < 2; i++) {
		struct snap_upstream *u = image_upstream(m, i);

		u->name = image_text(m, i ? "users" : "orders");
		u->stat_slot = i + 1;
		u->port = 1;
		u->balance = (uint8_t)i;
		u->connect_timeout = 1000000000;
		u->idle_timeout = 30000000000;
		u->down_for = 5000000000;
		u->endpoints = image_records(m, 2 - i, sizeof(struct snap_endpoint));
		for (unsigned k = 0; k < 2 - i; k++) {
			struct snap_endpoint *e = image_endpoint(m, i, k);

			e->name = image_text(m, "[fd00:c6:12::10]:8080");
			e->addr = image_addr("fd00:c6:12::10");
			e->tcp_port = (uint16_t)(8080 + k);
			e->weight = 1;
			e->slot = 1 + 2 * i + k;
		}
	}
}

static void image_routes(struct image *m)
{
	struct snap_route *r;
	struct snap_target *t;

	image_header(m)->routes = image_records(m, 4, sizeof *r);
	for (unsigned i = 0; i < 3; i++) {
		r = image_route(m, i);
		r->name = image_text(m, i == 0 ? "to" : i == 1 ? "answer" : "moved");
		r->host_text = image_text(m, "api.example.com");
		r->path_text = image_text(m, "/v2/orders");
		r->action = (uint16_t)i;
		r->stat_slot = i + 1;
		r->timeout = 5000000000;
	}
	r = image_route(m, 0);
	r->targets = image_records(m, 2, sizeof *t);
	t = image_at(m, r->targets);
	t[0] = (struct snap_target){.upstream = 0, .weight = 90, .slot = 1};
	t[1] = (struct snap_target){.upstream = 1, .weight = 10, .slot = 2};
	r->attempts = 2;
	r->per_try = 1000000000;
	r->sticky = STICKY_COOKIE;
	r->trailers_request = TRAILERS_PASS;
	r->trailers_response = TRAILERS_ACCEPTED;
	r->sticky_name = image_text(m, "sid");
	r->rewrites = 1;
	r->rewrite_path = image_records(m, 2, sizeof(struct snap_piece));
	((struct snap_piece *)image_at(m, r->rewrite_path))[0] = (struct snap_piece){
		.kind = PIECE_LITERAL, .escape = ESCAPE_PATH, .text = image_text(m, "/orders/")};
	((struct snap_piece *)image_at(m, r->rewrite_path))[1] =
		(struct snap_piece){.kind = PIECE_CAPTURE, .escape = ESCAPE_PATH};
	r->stages = 1;
	r->stage_conf[0] = image_records(m, 24, 1);
	r = image_route(m, 1);
	r->status = 200;
	r->content_type = image_text(m, "text/plain");
	r->body = image_text(m, "hello\n");
	r->answer = image_text(m, "HTTP/1.1 200 OK\r\nDate:                              \r\n"
				  "X-Request-Id:                                 \r\n\r\nhello\n");
	r->answer_head = (uint16_t)(r->answer.n - 6);
	r->answer_date = 23;
	r->answer_id = 69;
	r = image_route(m, 2);
	r->status = 308;
	r->location = image_text(m, "https://api.example.com/");
	*image_route(m, 3) = *image_route(m, 1);
	image_route(m, 3)->name = image_text(m, "again");
}

// Routes 1 and 3 have the same answer.
static void image_prompts(struct image *m)
{
	struct snapshot *s = image_header(m);
	const struct snap_route *r = image_route(m, 1);
	struct snap_prompt *p;

	s->answers = image_records(m, 1, sizeof(struct snap_answer));
	*(struct snap_answer *)image_at(m, s->answers) =
		(struct snap_answer){r->answer, r->answer_head, r->answer_date, r->answer_id, r->status};
	s->prompts = image_records(m, 4, sizeof *p);
	p = image_at(m, s->prompts);
	for (unsigned i = 0; i < 4; i++)
		p[i] = (struct snap_prompt){(uint16_t)image_route(m, i)->stat_slot, i % 2};
}

// Route 0: api.example.com /v2/orders/{id}; route 1: *.example.com /hello; route 2: any host, prefix /; route
// 3: example.org /hello, on route 1's trie.
static void image_tries(struct image *m)
{
	struct snapshot *s = image_header(m);

	s->nodes = image_records(m, 10, sizeof(struct snap_node));
	s->ends = image_records(m, 3, sizeof(struct snap_ends));
	s->hosts = image_records(m, 8, sizeof(struct snap_host));
	s->order = image_records(m, 2, sizeof(uint32_t));
	((uint32_t *)image_at(m, s->order))[0] = 3; // nobody's
	((uint32_t *)image_at(m, s->order))[1] = 2;
	image_ends(m, 0)->exact.list = image_take(m, 0);
	image_ends(m, 1)->exact.one =
		(struct snap_take){0, image_route(m, 1)->methods | SNAP_TAKE_ONE |
					      (image_route(m, 1)->conditions.n ? SNAP_TAKE_CONDITIONS : 0)};
	image_ends(m, 2)->prefix.list = image_take(m, 2);
	image_node(m, 0)->ends = 1;
	image_node(m, 1)->param = 1 + 0;
	image_put_edge(m, 2, "orders", 1, 0);
	image_put_edge(m, 4, "v2", 2, 0);
	image_node(m, 6)->ends = 2;
	image_put_edge(m, 7, "hello", 6, 0);
	image_node(m, 9)->ends = 3;
	image_put_host(m, "api.example.com", 4, HOST_IN_A_ROW, 0);
	image_put_host(m, ".example.com", 7, HOST_IN_A_ROW, 1);
	image_put_host(m, "example.org", 7, HOST_IN_A_ROW, 3);
	image_put_host(m, "", 9, HOST_IN_ORDER, 1);
	s->host_any = 1;
	s->host_suffixes = 1;
}

static void image_build(struct image *m)
{
	struct snapshot *s = image_header(m);

	memset(m, 0, sizeof *m);
	m->used = sizeof *s;
	*s = (struct snapshot){.magic = SNAPSHOT_MAGIC,
			       .version = SNAPSHOT_VERSION,
			       .header_size = sizeof *s,
			       .generation = 1};
	s->system = (struct snap_system){.workers = 2,
					 .idle = IDLE_ADAPTIVE,
					 .max_connections = 1000,
					 .upstream_reserve = 125,
					 .min_mss = 216,
					 .compressions = 4,
					 .packet_memory = 64ull << 20,
					 .cpu = {0, -1}};
	s->source = image_text(m, "gateway.yaml");
	image_ports(m);
	image_limits(m);
	image_listeners(m);
	image_upstreams(m);
	image_routes(m);
	image_conditions(m);
	image_prompts(m);
	image_tries(m);
	m->used = (m->used + 7) & ~7u;
	s->size = m->used;
	image_sum(m);
}
