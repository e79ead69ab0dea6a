#include "conformance/bed.h"
#include "control/blob.h"
#include "control/routetable.h"
#include "gateway/gateway.h"
#include "policy/compress/conf.h"
#include "policy/stage.h"
#include <stdio.h>
#include <stdlib.h>

#define MS  1000000ull
#define SEC (1000 * MS)

enum { END_WAN, END_LAN, END_CLIENTS, END_BACKENDS };

static struct addr address(const char *text)
{
	struct addr a;

	addr_parse(text, strlen(text), &a);
	return a;
}

// As control does it.
static void answer_prepare(struct blob *b, struct snap_route *r)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nServer: churchgate\r\nDate: ", body[] = "prepared\n";
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "%s%*s\r\nX-Request-Id: %*s\r\nContent-Type: text/plain\r\n"
			 "Content-Length: %zu\r\n\r\n",
			 head, SNAP_DATE, "", SNAP_ID, "", sizeof(body) - 1);

	r->answer_date = sizeof(head) - 1;
	r->answer_id = (uint16_t)(sizeof(head) - 1 + SNAP_DATE + strlen("\r\nX-Request-Id: "));
	r->answer_head = (uint16_t)n;
	memcpy(text + n, body, sizeof(body) - 1);
	r->answer = blob_text(b, text, (size_t)n + sizeof(body) - 1);
	r->content_type = blob_text(b, "text/plain", 10);
	r->body = blob_text(b, body, sizeof(body) - 1);
}

static struct snapshot *snapshot_make(void)
{
	static const struct route_pattern pattern[] = {
		{.host = {"", 0}, .path = {"/trailers", 9}, .prefix = true},
		{.host = {"", 0}, .path = {"/here", 5}},
		{.host = {"", 0}, .path = {"/prepared", 9}},
		{.host = {"", 0}, .path = {"/patient", 8}},
		{.host = {"", 0}, .path = {"/pair", 5}, .prefix = true},
		{.host = {"", 0}, .path = {"/", 1}, .prefix = true}};
	enum { PAIR = 4, ROUTES = sizeof(pattern) / sizeof(pattern[0]) };
	static const char *const name[LISTENERS] = {"strict", "lenient", "small"};
	struct snapshot h = {.magic = SNAPSHOT_MAGIC,
			     .version = SNAPSHOT_VERSION,
			     .header_size = sizeof(h),
			     .generation = 1,
			     .system = {.workers = 1, .max_connections = 512, .compressions = 2}};
	struct blob b = {0};
	struct snap_address wan = {.addr = address("198.18.0.1"), .prefix = 120};
	struct snap_address lan = {.addr = address("198.19.0.1"), .prefix = 120};
	struct snap_port port[2] = {{.mtu = 1500}, {.mtu = 1500}};
	struct snap_listener listener[LISTENERS];
	struct snap_endpoint e[] = {
		{.addr = address("198.19.0.11"), .tcp_port = 8080, .weight = 1, .slot = 1, .epoch = 1},
		{.addr = address("198.19.0.11"), .tcp_port = 8081, .weight = 1, .slot = 2, .epoch = 1},
		{.addr = address("198.19.0.11"), .tcp_port = 8082, .weight = 1, .slot = 3, .epoch = 1}};
	struct snap_upstream u[] = {
		{.stat_slot = 1, .port = 1, .connect_timeout = 60 * SEC, .idle_timeout = 3600 * SEC},
		{.stat_slot = 2, .port = 1, .connect_timeout = 60 * SEC, .idle_timeout = 3600 * SEC}};
	struct snap_target t[] = {{.weight = 1}, {.upstream = 1, .weight = 1}};
	struct snap_route route[ROUTES] = {
		{.action = ACTION_TO,
		 .stat_slot = 1,
		 .attempts = 1,
		 .trailers_request = TRAILERS_PASS,
		 .trailers_response = TRAILERS_PASS},
		{.action = ACTION_RESPOND, .stat_slot = 1, .status = 204},
		{.action = ACTION_RESPOND, .stat_slot = 1, .status = 200},
		{.action = ACTION_TO, .stat_slot = 1, .attempts = 2, .per_try = 60 * SEC},
		{.action = ACTION_TO, .stat_slot = 1, .attempts = 2},
		{.action = ACTION_TO, .stat_slot = 1, .attempts = 1, .trailers_response = TRAILERS_ACCEPTED}};

	struct compress_conf pack = {
		.min_size = 1, .level = 1, .n_codings = 2, .coding = {CODING_GZIP, CODING_BR}};
	struct snap_ref type;

	blob_add(&b, &h, 1, sizeof(h));
	type = blob_text(&b, "text/*", 6);
	pack.types = blob_add(&b, &type, 1, sizeof(type));
	port[0].addresses = blob_add(&b, &wan, 1, sizeof(wan));
	port[1].addresses = blob_add(&b, &lan, 1, sizeof(lan));
	h.ports = blob_add(&b, port, 2, sizeof(port[0]));
	for (unsigned i = 0; i < LISTENERS; i++) {
		struct http_limits limits = listener_limits((enum listener)i);

		listener[i] = (struct snap_listener){.name = blob_text(&b, name[i], strlen(name[i])),
						     .tcp_port = (uint16_t)(80 + i),
						     .head_timeout = 600 * SEC,
						     .idle_timeout = 600 * SEC,
						     .body_timeout = 600 * SEC,
						     .response_idle = 600 * SEC,
						     .rate_grace = 600 * SEC,
						     .max_head = (uint32_t)limits.head,
						     .max_line = limits.line,
						     .max_uri = limits.uri,
						     .max_fields = limits.fields,
						     .lenient_lf = limits.lenient_lf,
						     .forwarded = 1u << FORWARDED_FOR | 1u << FORWARDED_PROTO,
						     .max_body = limits.body == UINT64_MAX ? 0 : limits.body};
	}
	h.listeners = blob_add(&b, listener, LISTENERS, sizeof(listener[0]));
	u[0].endpoints = blob_add(&b, &e[0], 1, sizeof(e[0]));
	u[1].endpoints = blob_add(&b, &e[1], 2, sizeof(e[0]));
	h.upstreams = blob_add(&b, u, 2, sizeof(u[0]));
	for (unsigned i = 0; i < ROUTES; i++)
		if (route[i].action == ACTION_TO) {
			route[i].targets = blob_add(&b, &t[i == PAIR], 1, sizeof(t[0]));
			// Whoever wants compression adds the stage to the routes.
			route[i].stage_conf[STAGE_compress] = blob_add(&b, &pack, 1, sizeof(pack));
			route[i].stage_conf[STAGE_compress].n = sizeof(pack);
		}
	answer_prepare(&b, &route[2]);
	h.routes = blob_add(&b, route, ROUTES, sizeof(route[0]));
	if (!routetable_build(&b, pattern, ROUTES, &h) || !routetable_prompts(&b, route, ROUTES, &h))
		abort();
	h.size = b.n;
	memcpy(b.p, &h, sizeof(h));
	free(b.texts); // the bytes are the caller's
	return (struct snapshot *)(void *)b.p;
}

/* ---- what peers do ---- */

static void keep(struct bed *b, struct peer *p)
{
	struct pkt *q;

	while ((q = tcp_recv_peek(p->c))) {
		uint32_t n = pkt_len(q);

		if (n > KEPT_MAX - p->n) {
			b->violation = "a peer was sent more than it can keep";
			n = 0;
		}
		memcpy(p->bytes + p->n, pkt_data(q), n);
		p->n += n;
		tcp_recv_skip(p->c, pkt_len(q));
	}
}

static bool heard(struct bed *b, struct peer *p, unsigned events)
{
	if (!p->deaf)
		keep(b, p);
	if (events & EV_EOF)
		p->eof = true;
	if (events & EV_ERROR) {
		p->reset = true;
		tcp_close(p->c);
		p->c = NULL;
		return false;
	}
	return true;
}

static void client_hears(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	(void)c;
	heard(ctx, user, events);
}

// Answers every request that is complete.
static void backend_answers(struct bed *b, struct peer *p)
{
	while (p->c) {
		struct message m;
		const char *why;
		struct slice s = slice_of(p->bytes + p->taken, p->n - p->taken);
		int n = message_take(s, true, BODY_AS_STATED, &m, &why);
		bool head_only;

		if (n < 0)
			b->violation = why;
		if (n <= 0 || !m.whole)
			return;
		p->taken += (uint32_t)n;
		if (b->answer && !b->answering) {
			b->answering = p;
			return;
		}
		head_only = m.start.n > 5 && memcmp(m.start.p, "HEAD ", 5) == 0;
		bed_say(b, p,
			head_only ? SLICE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
				  : SLICE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	}
}

static void backend_hears(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct bed *b = ctx;
	struct peer *p = user;

	if (events & EV_OPEN) {
		for (p = b->peer; p < b->peer + PEERS_MAX && p->used; p++)
			;
		if (p == b->peer + PEERS_MAX) {
			b->violation = "too many upstream connections";
			tcp_abort(c);
			return;
		}
		p->used = true;
		p->eof = p->reset = false;
		p->n = p->taken = 0;
		p->deaf = b->deaf;
		p->c = c;
		tcp_set_user(c, p);
	}
	if (p && heard(b, p, events))
		backend_answers(b, p);
}

static bool backend_listen(void *ctx, uint16_t port, struct addr local, uint16_t local_port,
			   struct tcp_accept *out)
{
	const struct bed *b = ctx;

	(void)port;
	(void)local;
	*out = (struct tcp_accept){.on_event = backend_hears, .ctx = ctx, .rcv_buf = b->deaf ? 2048 : 0};
	return local_port >= 8080 && local_port <= 8082;
}

/* ---- time ---- */

static void transmit(struct bed *b, struct net_txq *q, uint32_t to)
{
	for (uint32_t i = 0; i < q->n; i++) {
		wire_send(&b->wire, &b->link, b->now, to, q->v[i]);
		pkt_free_chain(q->v[i]);
	}
	q->n = 0;
}

static void hosts_advance(struct bed *b)
{
	host_advance(&b->clients, b->now);
	transmit(b, &b->clients.net.tx[0], END_WAN);
	host_advance(&b->backends, b->now);
	transmit(b, &b->backends.net.tx[0], END_LAN);
}

void bed_receive(struct bed *b)
{
	struct pkt *p;
	uint32_t to;

	while ((p = wire_packet(&b->wire, b->now, b->pool, &to))) {
		if (to == END_CLIENTS)
			host_receive(&b->clients, b->now, p);
		else if (to == END_BACKENDS)
			host_receive(&b->backends, b->now, p);
		else
			worker_receive(&b->worker, b->now, (uint16_t)to, &p, 1);
	}
}

void bed_turn(struct bed *b)
{
	bed_receive(b);
	worker_advance(&b->worker, b->now);
	transmit(b, &b->worker.net.tx[0], END_CLIENTS);
	transmit(b, &b->worker.net.tx[1], END_BACKENDS);
	hosts_advance(b);
}

static bool unheard(const struct bed *b)
{
	bool waiting = b->client.c && tcp_send_queued(b->client.c);

	for (const struct peer *p = b->peer; p < b->peer + PEERS_MAX; p++)
		waiting = waiting || (p->used && p->c && tcp_send_queued(p->c));
	return waiting;
}

void bed_settle(struct bed *b)
{
	uint64_t limit = b->now + 10 * SEC;

	hosts_advance(b);
	while (b->now < limit && (wire_time(&b->wire) != UINT64_MAX || unheard(b))) {
		uint64_t at = wire_time(&b->wire), timer = worker_next_timer(&b->worker);

		at = timer < at ? timer : at;
		timer = wheel_next(&b->clients.wheel);
		at = timer < at ? timer : at;
		timer = wheel_next(&b->backends.wheel);
		at = timer < at ? timer : at;
		b->now = at > b->now ? at : b->now + 1000;
		bed_turn(b);
	}
	if (b->now >= limit)
		b->violation = "nothing settles";
}

/* ---- the bed ---- */

static void *cells(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) & ~(size_t)63);

	memset(p, 0, n);
	return p;
}

void bed_init(struct bed *b, struct pkt_pool *pool)
{
	struct net_port ports[2] = {{.mac = {2, 0, 0, 0, 1, 0}, .mtu = 1500},
				    {.mac = {2, 0, 0, 0, 1, 1}, .mtu = 1500}};

	*b = (struct bed){.now = SEC, .pool = pool, .steer = {.kind = STEER_ONE, .workers = 1}};
	b->small = pkt_pool_create_small("small", 256u << 10, 0);
	if (!b->small)
		abort();
	wire_init(&b->wire, 1);
	b->link.impair.delay = 50000;
	b->region = calloc(1, region_size(1));
	region_create(b->region, 1);
	for (unsigned i = 1; i <= 3; i++)
		atomic_store(&region_endpoints(b->region)[i].weight, -1);
	b->stats = (struct stats){.worker = cells(sizeof(struct worker_stats)),
				  .port = cells(STATS_PORTS * sizeof(struct port_stats)),
				  .route = cells(STATS_ROUTES * sizeof(struct route_stats)),
				  .upstream = cells(STATS_UPSTREAMS * sizeof(struct upstream_stats)),
				  .workers = 1};
	b->snapshot = snapshot_make();
	struct worker_config conf = {.n_workers = 1,
				     .snapshot = b->snapshot,
				     .stats = &b->stats,
				     .region = b->region,
				     .pool = pool,
				     .small = b->small,
				     .steer = {&b->steer, &b->steer},
				     .ports = ports,
				     .n_ports = 2,
				     .seed = 1,
				     .now = b->now,
				     .bursts = true};
	if (worker_init(&b->worker, &conf) != 0)
		abort();
	host_init(&b->clients, pool, "198.18.0.2", 24, "198.18.0.1", 2, 0, NULL, NULL, 2);
	host_init(&b->backends, pool, "198.19.0.11", 24, "198.19.0.1", 3, 0, backend_listen, b, 3);
}

void bed_fini(struct bed *b)
{
	worker_fini(&b->worker);
	host_fini(&b->clients);
	host_fini(&b->backends);
	wire_fini(&b->wire);
	if (pkt_pool_used(b->small))
		abort();
	pkt_pool_free(b->small);
	free(b->region);
	free(b->stats.worker);
	free(b->stats.port);
	free(b->stats.route);
	free(b->stats.upstream);
	free(b->snapshot);
}

void bed_case(struct bed *b)
{
	b->violation = NULL;
	b->answer = NULL;
	b->answering = NULL;
	b->client.n = 0;
	for (struct peer *p = b->peer; p < b->peer + PEERS_MAX; p++) {
		p->n = p->taken = 0;
		if (p->used && (!p->c || p->eof)) {
			if (p->c)
				tcp_abort(p->c);
			p->used = false;
		}
	}
}

bool bed_connect(struct bed *b, enum listener l)
{
	int err;

	b->client.eof = b->client.reset = false;
	b->client.n = 0;
	b->client.c = tcp_connect(b->clients.tcp, 0, address("198.18.0.1"), (uint16_t)(80 + l), client_hears, b,
				  &b->client, &err);
	bed_settle(b);
	return b->client.c && !b->client.reset;
}

bool bed_say(struct bed *b, struct peer *p, struct slice s)
{
	if (!p->c)
		return false;
	if (s.n && tcp_send_copy(p->c, s.p, (uint32_t)s.n) != 0)
		b->violation = "no buffers";
	return true;
}

void bed_hang_up(struct bed *b)
{
	if (b->client.c)
		tcp_abort(b->client.c);
	b->client.c = NULL;
	for (struct peer *p = b->peer; p < b->peer + PEERS_MAX; p++) {
		if (p->used && p->c)
			tcp_abort(p->c);
		p->used = false;
		p->c = NULL;
	}
	bed_settle(b);
}
