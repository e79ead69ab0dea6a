// Whole gateways in simulation: W workers of the real pipeline, a host of clients and a host of backends on the
// real network and TCP layers, joined by a simulated wire under virtual time.
//
//   clients 198.18.0.2 ──wire── port 0 [ workers 0..W-1 ] port 1 ──wire── backends 198.19.0.11
//
// Each schedule follows from one seed: loss, duplication, reordering, how many workers there are, and which of
// them a frame arrives at (a device with one queue, or with queues that know nothing of flows). Checked: every
// answer is right, byte for byte; every connection stays with its worker (nobody answers "no such connection");
// no connection, exchange or packet buffer is left.
#include "contract/credits.h"
#include "control/blob.h"
#include "control/routetable.h"
#include "gateway/exchange.h"
#include "http/body.h"
#include "http/parse.h"
#include "sim/world.h"
#include "worker.h"
#include <stdio.h>
#include <stdlib.h>

#define WORKERS_MAX  4
#define CLIENTS      24
#define REQUESTS     6
#define BACKENDS_MAX 256
#define LIMIT        (600ull * 1000000000ull) // of virtual time, for a whole schedule

enum { END_WAN, END_LAN, END_CLIENTS, END_BACKENDS };
enum kind { LOCAL, BYTES, BYTES_CHUNKED, ECHO, ECHO_CHUNKED, MISSING, KINDS };

struct sim;

// One client connection, which asks REQUESTS times.
struct client {
	struct sim *sim;
	struct tcp_conn *c;
	uint32_t left;     // requests still to be sent
	uint32_t expected; // answers still to come
	enum kind kind;
	uint32_t size; // of the body asked for or sent
	uint32_t sent; // of a body under way
	bool in_body, done;
	struct http_body body;
	uint32_t got;
	uint16_t status;
	uint32_t sum;
	uint32_t answers;
	char head[4096];
};

// One connection of the backends' host.
struct backend {
	struct sim *sim;
	struct tcp_conn *c;
	bool in_body, answering, chunked, used;
	struct http_body body;
	uint32_t size, sent, got, sum;
	struct backend *next;
	char head[4096];
};

struct sim {
	uint64_t seed, now;
	struct random random;
	struct wire wire;
	struct link link;
	unsigned n_workers;
	bool spread; // frames arrive at any worker; else all at the first
	struct worker worker[WORKERS_MAX];
	struct steer steer;
	struct region *region;
	struct stats stats;
	struct snapshot *snapshot;
	struct pkt_pool *pool;
	struct host clients, backends;
	struct client client[CLIENTS];
	struct backend backend[BACKENDS_MAX], *free_backend;
	uint32_t running;
	uint32_t limit[4]; // of requests in flight, by route
	uint64_t refused;  // since there were as many
	const char *violation;
};

static void violate(struct sim *s, const char *what)
{
	if (!s->violation)
		s->violation = what;
}

// The bytes of a body are a function of its size and the place.
static unsigned char body_byte(uint32_t size, uint32_t at)
{
	return (unsigned char)((size * 31 + at) ^ (at >> 8));
}

static uint32_t sum_byte(uint32_t sum, unsigned char b)
{
	return (sum ^ b) * 16777619u;
}

// Sends up to n bytes of a body from *sent on, as far as there is room; in chunks of uneven size if asked.
static bool body_send(struct tcp_conn *c, uint32_t size, uint32_t *sent, bool chunked)
{
	while (*sent < size) {
		char buf[1400], line[16];
		uint32_t n = size - *sent < 900 ? size - *sent : 100 + (size * 7 + *sent) % 800;

		if (tcp_send_space(c) == 0)
			return false;
		for (uint32_t i = 0; i < n; i++)
			buf[i] = (char)body_byte(size, *sent + i);
		if (chunked && tcp_send_copy(c, line, (uint32_t)snprintf(line, sizeof(line), "%x\r\n", n)) != 0)
			return false;
		if (tcp_send_copy(c, buf, n) != 0 || (chunked && tcp_send_copy(c, "\r\n", 2) != 0))
			abort(); // the pool is sized so that this cannot be
		*sent += n;
	}
	return true;
}

// Bytes at the front of the queue, up to room, without removing them.
static size_t peek(struct tcp_conn *c, char *buf, size_t room)
{
	size_t n = 0;

	for (struct pkt *p = tcp_recv_peek(c); p && n < room; p = tcp_recv_peek_next(p)) {
		size_t part = pkt_len(p) < room - n ? pkt_len(p) : room - n;

		memcpy(buf + n, pkt_data(p), part);
		n += part;
	}
	return n;
}

// Takes body bytes off the queue; each is summed. False: malformed.
static bool body_take(struct tcp_conn *c, struct http_body *b, uint32_t *got, uint32_t *sum,
		      uint32_t check_size)
{
	struct pkt *p;

	while (!http_body_done(b) && (p = tcp_recv_peek(c))) {
		size_t skip, run;

		if (http_body_next(b, pkt_data(p), pkt_len(p), &skip, &run) != FAULT_NONE)
			return false;
		for (size_t i = 0; i < run; i++) {
			unsigned char byte = (unsigned char)pkt_data(p)[skip + i];

			if (check_size && byte != body_byte(check_size, *got))
				return false;
			*sum = sum_byte(*sum, byte);
			(*got)++;
		}
		tcp_recv_skip(c, (uint32_t)(skip + run));
	}
	return true;
}

/* ---- clients ---- */

static void client_ask(struct client *k)
{
	struct sim *s = k->sim;
	char head[512];
	int n;
	bool post, last = k->left == 1;

	k->kind = random_below(&s->random, KINDS);
	k->size = 1 + random_below(&s->random, random_below(&s->random, 4) ? 3000 : 200000);
	k->sent = 0;
	k->got = k->sum = 0;
	k->in_body = false;
	k->left--;
	k->expected++;
	post = k->kind == ECHO || k->kind == ECHO_CHUNKED;
	n = snprintf(head, sizeof(head), "%s /%s%u HTTP/1.1\r\nHost: sim\r\n%s", post ? "POST" : "GET",
		     k->kind == LOCAL     ? "local?"
		     : k->kind == MISSING ? "missing/"
		     : post               ? "echo/"
		     : k->kind == BYTES   ? "bytes/"
					  : "chunks/",
		     k->size, last ? "Connection: close\r\n" : "");
	if (k->kind == ECHO)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %u\r\n", k->size);
	else if (k->kind == ECHO_CHUNKED)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Transfer-Encoding: chunked\r\n");
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	if (tcp_send_copy(k->c, head, (uint32_t)n) != 0)
		abort();
	if (!post)
		k->sent = k->size;
}

static void client_feed(struct client *k)
{
	bool chunked = k->kind == ECHO_CHUNKED;

	if (k->sent == k->size || !k->expected)
		return;
	if (body_send(k->c, k->size, &k->sent, chunked) && chunked && tcp_send_copy(k->c, "0\r\n\r\n", 5) != 0)
		abort();
}

static void client_over(struct client *k, const char *violation)
{
	if (violation)
		violate(k->sim, violation);
	tcp_close(k->c);
	k->c = NULL;
	k->done = true;
	k->sim->running--;
}

static void client_check(struct client *k)
{
	bool post = k->kind == ECHO || k->kind == ECHO_CHUNKED;

	k->answers++;
	if (k->status == 503 && (k->kind == BYTES || k->kind == BYTES_CHUNKED)) {
		k->sim->refused++;
		return;
	}
	if (k->status != (k->kind == MISSING ? 404 : 200))
		violate(k->sim, "an answer has the wrong status");
	if ((k->kind == BYTES || k->kind == BYTES_CHUNKED) && k->got != k->size)
		violate(k->sim, "a response body has the wrong length");
	if (k->kind == LOCAL && k->got != 6)
		violate(k->sim, "a local answer has the wrong length");
	if (post && k->got != 8)
		violate(k->sim, "an answer to a POST has the wrong length");
}

static void client_read(struct client *k)
{
	struct http_head *h = &(struct http_head){0};

	while (k->c) {
		if (!k->in_body) {
			size_t n = peek(k->c, k->head, sizeof(k->head));
			int used = n ? http_parse_response(k->head, n, sizeof(k->head), h) : HTTP_MORE;

			if (used == HTTP_MORE)
				return;
			if (used < 0 || !k->expected) {
				client_over(k, "a client got a malformed or unasked answer");
				return;
			}
			tcp_recv_skip(k->c, (uint32_t)used);
			k->status = h->status;
			http_body_init(&k->body, http_response_framing(h, METHOD_GET), h->length);
			k->in_body = true;
		}
		bool bytes = k->status == 200 && (k->kind == BYTES || k->kind == BYTES_CHUNKED);

		if (!body_take(k->c, &k->body, &k->got, &k->sum, bytes ? k->size : 0)) {
			client_over(k, "a response body is wrong");
			return;
		}
		if (!http_body_done(&k->body))
			return;
		if ((k->kind == ECHO || k->kind == ECHO_CHUNKED) && k->sent != k->size) {
			client_over(k, "answered before the request was complete");
			return;
		}
		client_check(k);
		k->expected--;
		k->in_body = false;
		if (!k->left) {
			client_over(k, NULL);
			return;
		}
		client_ask(k);
		client_feed(k);
	}
}

static void client_on_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct client *k = user;
	(void)ctx;
	(void)c;

	if (events & EV_ERROR) {
		client_over(k, "a client's connection was reset or timed out");
		return;
	}
	if (events & EV_OPEN)
		client_ask(k);
	client_feed(k);
	client_read(k);
	if (k->c && (events & EV_EOF) && tcp_recv_eof(k->c))
		client_over(k, "a client's connection was ended early");
}

/* ---- backends ---- */

static void backend_end(struct backend *b)
{
	tcp_close(b->c);
	b->next = b->sim->free_backend;
	b->sim->free_backend = b;
	b->used = false;
}

// Answers: /bytes/N and /chunks/N with N bytes, POST /echo/N with the sum of what came.
static void backend_answer(struct backend *b)
{
	if (body_send(b->c, b->size, &b->sent, b->chunked)) {
		if (b->chunked && tcp_send_copy(b->c, "0\r\n\r\n", 5) != 0)
			abort();
		b->answering = false;
	}
}

static void backend_read(struct backend *b)
{
	struct http_head *h = &(struct http_head){0};

	while (!b->answering) {
		char text[256];
		int n;

		if (!b->in_body) {
			size_t have = peek(b->c, b->head, sizeof(b->head));
			int used = have ? http_parse_request(b->head, have, sizeof(b->head), h) : HTTP_MORE;
			const char *slash;

			if (used == HTTP_MORE)
				return;
			if (used < 0) {
				violate(b->sim, "a backend got a malformed request");
				return;
			}
			slash = memchr(h->path.p + 1, '/', h->path.n - 1);
			b->size = slash ? (uint32_t)strtoul(slash + 1, NULL, 10) : 0;
			b->chunked = h->path.p[1] == 'c';
			http_body_init(&b->body, h->framing, h->length);
			b->got = b->sum = 0;
			b->in_body = h->method == METHOD_POST;
			tcp_recv_skip(b->c, (uint32_t)used);
		}
		if (b->in_body) {
			if (!body_take(b->c, &b->body, &b->got, &b->sum, b->size)) {
				violate(b->sim, "a request body is wrong");
				return;
			}
			if (!http_body_done(&b->body))
				return;
			if (b->got != b->size)
				violate(b->sim, "a request body has the wrong length");
			b->in_body = false;
			n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n%08x",
				     b->sum);
			if (tcp_send_copy(b->c, text, (uint32_t)n) != 0)
				abort();
			continue;
		}
		n = b->chunked ? snprintf(text, sizeof(text),
					  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			       : snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
					  b->size);
		if (tcp_send_copy(b->c, text, (uint32_t)n) != 0)
			abort();
		b->sent = 0;
		b->answering = true;
		backend_answer(b);
	}
}

static void backend_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct sim *s = ctx;
	struct backend *b = user;

	if (events & EV_OPEN) {
		b = s->free_backend;
		if (!b) {
			violate(s, "more upstream connections than there may be");
			tcp_abort(c);
			return;
		}
		s->free_backend = b->next;
		*b = (struct backend){.sim = s, .c = c, .used = true};
		tcp_set_user(c, b);
	}
	if (events & EV_ERROR) {
		backend_end(b);
		return;
	}
	if (b->answering)
		backend_answer(b);
	backend_read(b);
	if (!b->answering && tcp_recv_eof(c))
		backend_end(b);
}

static bool backend_listen(void *ctx, uint16_t port, struct addr local, uint16_t local_port,
			   struct tcp_accept *out)
{
	(void)port;
	(void)local;
	*out = (struct tcp_accept){.on_event = backend_event, .ctx = ctx};
	return local_port == 8080 || local_port == 8081;
}

/* ---- the gateway's configuration ---- */

static struct addr address(const char *text)
{
	struct addr a;

	addr_parse(text, strlen(text), &a);
	return a;
}

static struct snapshot *snapshot_make(unsigned workers)
{
	static const struct route_pattern pattern[] = {
		{.host = {"", 0}, .path = {"/local", 6}},
		{.host = {"", 0}, .path = {"/echo", 5}, .prefix = true},
		{.host = {"", 0}, .path = {"/bytes", 6}, .prefix = true},
		{.host = {"", 0}, .path = {"/chunks", 7}, .prefix = true},
	};
	struct snapshot h = {.magic = SNAPSHOT_MAGIC,
			     .version = SNAPSHOT_VERSION,
			     .header_size = sizeof(h),
			     .generation = 1,
			     .system = {.workers = workers, .max_connections = 512}};
	struct blob b = {0};
	struct snap_address wan = {.addr = address("198.18.0.1"), .prefix = 120};
	struct snap_address lan = {.addr = address("198.19.0.1"), .prefix = 120};
	struct snap_port port[2] = {{.mtu = 1500}, {.mtu = 1500}};
	struct snap_listener listener = {.tcp_port = 80,
					 .head_timeout = 60000000000ull,
					 .idle_timeout = 120000000000ull,
					 .body_timeout = 120000000000ull,
					 .response_idle = 120000000000ull,
					 .rate_grace = 120000000000ull,
					 .max_head = 8192,
					 .max_line = 8192,
					 .max_uri = 8192,
					 .max_fields = 100};
	struct snap_endpoint e[2];
	struct snap_upstream u = {.stat_slot = 1,
				  .port = 1,
				  .connect_timeout = 60000000000ull,
				  .idle_timeout = 30000000000ull,
				  .max_connections = 3,
				  .max_pending = 64};
	struct snap_target t = {.weight = 1};
	struct snap_route route[4];

	blob_add(&b, &h, 1, sizeof(h));
	port[0].addresses = blob_add(&b, &wan, 1, sizeof(wan));
	port[1].addresses = blob_add(&b, &lan, 1, sizeof(lan));
	h.ports = blob_add(&b, port, 2, sizeof(port[0]));
	listener.name = blob_text(&b, "http", 4);
	h.listeners = blob_add(&b, &listener, 1, sizeof(listener));
	for (uint32_t i = 0; i < 2; i++)
		e[i] = (struct snap_endpoint){.addr = address("198.19.0.11"),
					      .tcp_port = (uint16_t)(8080 + i),
					      .weight = 1,
					      .slot = i + 1,
					      .epoch = 1};
	u.endpoints = blob_add(&b, e, 2, sizeof(e[0]));
	h.upstreams = blob_add(&b, &u, 1, sizeof(u));
	for (uint32_t i = 0; i < 4; i++) // the last two have a limit on their requests in flight
		route[i] = (struct snap_route){.credits = i < 2 ? 0 : (uint16_t)(SNAP_LIMITED | i),
					       .max_in_flight = i < 2 ? 0 : 1,
					       .action = i ? ACTION_TO : ACTION_RESPOND,
					       .stat_slot = i + 1,
					       .status = 200,
					       .attempts = 2,
					       .targets = blob_add(&b, &t, 1, sizeof(t)),
					       .body = blob_text(&b, "hello\n", 6),
					       .content_type = blob_text(&b, "text/plain", 10)};
	h.routes = blob_add(&b, route, 4, sizeof(route[0]));
	if (!routetable_build(&b, pattern, 4, &h) || !routetable_prompts(&b, route, 4, &h))
		abort();
	h.size = b.n;
	memcpy(b.p, &h, sizeof(h));
	free(b.texts); // the bytes are the caller's
	return (struct snapshot *)(void *)b.p;
}

/* ---- one schedule ---- */

static void *cells(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) & ~(size_t)63);

	memset(p, 0, n);
	return p;
}

static void sim_init(struct sim *s, uint64_t seed, struct pkt_pool *pool)
{
	*s = (struct sim){.seed = seed, .pool = pool, .now = 1000000000ull};
	random_seed(&s->random, seed);
	s->n_workers = 1u << random_below(&s->random, 3);
	s->spread = random_below(&s->random, 2);
	wire_init(&s->wire, random_next(&s->random));
	s->link.impair.delay = s->link.impair.late = 20000 + random_below(&s->random, 5000000);
	s->link.impair.reorder_max = 8 * s->link.impair.delay;
	if (random_below(&s->random, 4)) {
		s->link.impair.loss = random_below(&s->random, 300);
		s->link.impair.duplicate = random_below(&s->random, 200);
		s->link.impair.reorder = random_below(&s->random, 500);
	}
	s->region = calloc(1, region_size(s->n_workers));
	region_create(s->region, s->n_workers);
	for (uint32_t i = 1; i <= 2; i++)
		atomic_store(&region_endpoints(s->region)[i].weight, -1);
	for (uint32_t i = 2; i < 4; i++) {
		s->limit[i] = random_below(&s->random, 2) ? 1000 : 1 + random_below(&s->random, 8);
		credits_limit(s->region, i, s->limit[i]);
	}
	s->stats = (struct stats){.worker = cells(s->n_workers * sizeof(struct worker_stats)),
				  .port = cells(s->n_workers * STATS_PORTS * sizeof(struct port_stats)),
				  .route = cells(s->n_workers * STATS_ROUTES * sizeof(struct route_stats)),
				  .upstream =
					  cells(s->n_workers * STATS_UPSTREAMS * sizeof(struct upstream_stats)),
				  .workers = s->n_workers};
	s->snapshot = snapshot_make(s->n_workers);
	s->steer = (struct steer){.kind = s->n_workers > 1 ? STEER_PORTBITS : STEER_ONE,
				  .workers = (uint16_t)s->n_workers};
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct net_port ports[2] = {{.mac = {2, 0, 0, 0, 1, 0}, .mtu = 1500},
					    {.mac = {2, 0, 0, 0, 1, 1}, .mtu = 1500}};
		struct worker_config conf = {.id = i,
					     .n_workers = s->n_workers,
					     .snapshot = s->snapshot,
					     .stats = &s->stats,
					     .region = s->region,
					     .pool = pool,
					     .steer = {&s->steer, &s->steer},
					     .ports = ports,
					     .n_ports = 2,
					     .seed = random_next(&s->random),
					     .now = s->now};

		conf.bursts = conf.seed & 1;
		if (worker_init(&s->worker[i], &conf) != 0)
			abort();
	}
	for (unsigned i = 0; i < s->n_workers; i++)
		for (unsigned j = 0; j < s->n_workers; j++)
			if (i != j && worker_join(&s->worker[i], &s->worker[j]) != 0)
				abort();
	host_init(&s->clients, pool, "198.18.0.2", 24, "198.18.0.1", 2, 0, NULL, NULL, random_next(&s->random));
	host_init(&s->backends, pool, "198.19.0.11", 24, "198.19.0.1", 3, 0, backend_listen, s,
		  random_next(&s->random));
	for (unsigned i = 0; i < BACKENDS_MAX; i++) {
		s->backend[i].next = s->free_backend;
		s->free_backend = &s->backend[i];
	}
}

static unsigned sim_fini(struct sim *s)
{
	unsigned left = 0;

	for (unsigned i = 0; i < s->n_workers; i++)
		left += worker_fini(&s->worker[i]);
	host_fini(&s->clients);
	host_fini(&s->backends);
	wire_fini(&s->wire);
	free(s->region);
	free(s->stats.worker);
	free(s->stats.port);
	free(s->stats.route);
	free(s->stats.upstream);
	free(s->snapshot);
	return left;
}

static void transmit(struct sim *s, struct net_txq *q, uint32_t to)
{
	for (uint32_t i = 0; i < q->n; i++) {
		wire_send(&s->wire, &s->link, s->now, to, q->v[i]);
		pkt_free_chain(q->v[i]);
	}
	q->n = 0;
}

static void deliver(struct sim *s, uint32_t to, struct pkt *p)
{
	if (to == END_CLIENTS)
		host_receive(&s->clients, s->now, p);
	else if (to == END_BACKENDS)
		host_receive(&s->backends, s->now, p);
	else
		worker_receive(&s->worker[s->spread ? random_below(&s->random, s->n_workers) : 0], s->now,
			       (uint16_t)to, &p, 1);
}

// A frame may be handed over to a worker that has already had its turn: then it is that one's turn again.
static bool handed_over(struct sim *s)
{
	for (unsigned i = 0; i < s->n_workers; i++)
		for (unsigned j = 0; j < s->n_workers; j++)
			if (s->worker[i].from[j] && !ptr_ring_empty(s->worker[i].from[j]))
				return true;
	return false;
}

static void turn(struct sim *s)
{
	struct pkt *p;
	unsigned first;
	uint32_t to;

	while ((p = wire_packet(&s->wire, s->now, s->pool, &to)))
		deliver(s, to, p);
	first = random_below(&s->random, s->n_workers); // any interleaving
	do
		for (unsigned i = 0; i < s->n_workers; i++) {
			struct worker *w = &s->worker[(first + i) % s->n_workers];

			worker_advance(w, s->now);
			transmit(s, &w->net.tx[0], END_CLIENTS);
			transmit(s, &w->net.tx[1], END_BACKENDS);
		}
	while (handed_over(s));
	host_advance(&s->clients, s->now);
	transmit(s, &s->clients.net.tx[0], END_WAN);
	host_advance(&s->backends, s->now);
	transmit(s, &s->backends.net.tx[0], END_LAN);
}

static uint64_t next_time(struct sim *s)
{
	uint64_t at = wire_time(&s->wire), t;

	for (unsigned i = 0; i < s->n_workers; i++)
		if ((t = worker_next_timer(&s->worker[i])) < at)
			at = t;
	if ((t = wheel_next(&s->clients.wheel)) < at)
		at = t;
	if ((t = wheel_next(&s->backends.wheel)) < at)
		at = t;
	return at > s->now ? at : s->now + 1000;
}

// What is in flight on the routes that have a limit: by the exchanges that live, never more than there may be.
static void look(struct sim *s)
{
	for (uint32_t route = 2; route < 4; route++) {
		uint32_t n = 0, at = 0;
		struct exchange *x;

		for (unsigned i = 0; i < s->n_workers; i++, at = 0)
			while ((x = gateway_live(s->worker[i].gateway, &at)))
				n += x->credit[1] == route;
		if (n > s->limit[route])
			violate(s, "more requests are in flight than there may be");
		if (n != credits_used(s->region, route))
			violate(s, "credits are in use that no exchange has");
	}
}

static uint64_t total(const struct sim *s, enum counter c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < s->n_workers; i++)
		n += stat_get(&s->stats.worker[i].c[c]);
	return n;
}

// What was counted, to see what went wrong.
static void explain(const struct sim *s)
{
	printf("  %u workers, %s, delay %llu us, loss %u dup %u reorder %u of 10000, virtual time %llu ms, %u "
	       "clients left\n",
	       s->n_workers, s->spread ? "many queues" : "one queue",
	       (unsigned long long)s->link.impair.delay / 1000, s->link.impair.loss, s->link.impair.duplicate,
	       s->link.impair.reorder, (unsigned long long)s->now / 1000000, s->running);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->client[i].expected)
			printf("  client %u: kind %d, size %u, sent %u, got %u\n", i, s->client[i].kind,
			       s->client[i].size, s->client[i].sent, s->client[i].got);
	for (unsigned c = 0; c < CTR_COUNT; c++) {
		uint64_t a = total(s, c), b = stat_get(&s->clients.stats->c[c]),
			 d = stat_get(&s->backends.stats->c[c]);

		if (a || b || d)
			printf("  %-24s gateway %llu, clients %llu, backends %llu\n", counter_info[c].name,
			       (unsigned long long)a, (unsigned long long)b, (unsigned long long)d);
	}
}

struct sums {
	uint64_t answers, frames, lost, reordered, duplicated, handed_over, retransmits, upstream_connections,
		refused;
};

static const char *schedule(uint64_t seed, struct pkt_pool *pool, struct sums *sums)
{
	struct sim *s = calloc(1, sizeof(*s));
	const char *violation;
	uint64_t limit;
	int err;

	sim_init(s, seed, pool);
	limit = s->now + LIMIT;
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *k = &s->client[i];

		*k = (struct client){.sim = s, .left = REQUESTS};
		host_advance(&s->clients, s->now);
		k->c = tcp_connect(s->clients.tcp, 0, address("198.18.0.1"), 80, client_on_event, s, k, &err);
		if (!k->c)
			abort();
		s->running++;
	}
	while (s->running && !s->violation && s->now < limit) {
		turn(s);
		look(s);
		s->now = next_time(s);
	}
	if (s->running && !s->violation)
		violate(s, "clients were not served in time");
	if (total(s, CTR_tcp_no_connection) &&
	    s->link.impair.loss + s->link.impair.duplicate + s->link.impair.reorder == 0)
		violate(s, "a segment met a worker that does not own its connection");
	if (total(s, CTR_up_bad_response) + total(s, CTR_http_bad_request) + total(s, CTR_http_bad_chunk))
		violate(s, "a message was found malformed");
	for (unsigned i = 0; i < CLIENTS; i++)
		sums->answers += s->client[i].answers;
	sums->frames += s->link.frames;
	sums->lost += s->link.lost;
	sums->reordered += s->link.reordered;
	sums->duplicated += s->link.duplicated;
	sums->handed_over += total(s, CTR_rx_handover);
	sums->refused += s->refused;
	sums->retransmits += total(s, CTR_tcp_retransmit);
	sums->upstream_connections += total(s, CTR_tcp_connected);
	violation = s->violation;
	if (violation)
		explain(s);
	if (sim_fini(s) && !violation)
		violation = "a gateway has leaked connections or exchanges";
	if (!violation && pkt_pool_used(pool))
		violation = "packet buffers are left";
	free(s);
	return violation;
}

int main(int argc, char **argv)
{
	uint64_t runs = 200, seed = 1, violations = 0;
	struct sums sums = {0};
	struct pkt_pool *pool;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--runs") == 0)
			runs = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
	}
	world_start(argv[0]);
	pool = pkt_pool_create("sim", 128u << 20, 0);
	if (!pool) {
		fprintf(stderr, "no packet pool\n");
		return 2;
	}
	for (uint64_t i = 0; i < runs; i++) {
		const char *violation = schedule(seed + i, pool, &sums);

		if (violation) {
			printf("seed %llu: %s\n", (unsigned long long)(seed + i), violation);
			violations++;
			if (pkt_pool_used(pool))
				break; // what leaked would show in every schedule behind
		}
	}
	printf("gateway: %llu refused beyond a limit, %llu answers, %llu frames, %llu lost, %llu reordered, "
	       "%llu duplicated, %llu handed "
	       "over, "
	       "%llu retransmitted, %llu upstream connections\n",
	       (unsigned long long)sums.refused, (unsigned long long)sums.answers,
	       (unsigned long long)sums.frames, (unsigned long long)sums.lost,
	       (unsigned long long)sums.reordered, (unsigned long long)sums.duplicated,
	       (unsigned long long)sums.handed_over, (unsigned long long)sums.retransmits,
	       (unsigned long long)sums.upstream_connections);
	printf("exercised: %llu packets, %llu losses, %llu reorderings\n", (unsigned long long)sums.frames,
	       (unsigned long long)sums.lost, (unsigned long long)sums.reordered);
	printf("sim: %llu schedules, %llu violations\n", (unsigned long long)runs,
	       (unsigned long long)violations);
	return violations != 0;
}
