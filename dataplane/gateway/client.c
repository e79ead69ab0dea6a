// The client's side of a connection: finding request heads, starting exchanges (decide.c says
// what becomes of them), ending connections.
//
// Between requests a connection has no object here, so that an idle one costs nothing beyond TCP's. Its user
// pointer then holds (lowest bit set, which no exchange's address has):
//   bit 0       1
//   bit 1       lingering: the answer is out, FIN sent, the rest of the input is read and dropped
//   bit 2       a header of the PROXY protocol is awaited, or may come
//   bit 3       one came: g->proxied knows the client
//   bit 4       reading: its time is up, but it is still taking what it was sent
//   bit 5       its share of a turn is used up: requests stand in its queue, and its timer brings the next turn
//   bit 6       noted: its request is to be decided with others of its burst (burst.c), and stays in its queue
//   bits 7..31  how many bytes of an unfinished head were looked at (lingering: bytes dropped; reading: those
//               not acknowledged when that was last looked at)
//   bits 32..63 requests served on this connection (lingering: the bytes not acknowledged)
#include "gateway/exchange.h"
#include "gateway/tunnel.h"
#include "http/trailer.h"

#define IDLE_BIT    1u
#define LINGER_BIT  2u
#define PREFACE_BIT 4u
#define PROXIED_BIT 8u
#define READING_BIT 16u
#define TURN_BIT    32u
#define NOTED_BIT   64u
#define SCANNED_BIT 7 // where the number begins
#define SCANNED_MAX (UINT32_MAX >> SCANNED_BIT)
#define TURN_MAX    64    // requests of one connection that are begun in a turn, so that all others have theirs
#define SLOW_READ   4096u // bytes that a client must take in response_idle, so that it counts as reading

// flags: those of the bits above, but IDLE_BIT.
static void *idle_pack(uint32_t served, uint32_t scanned, uint32_t flags)
{
	return (void *)(uintptr_t)((uint64_t)served << 32 | (uint64_t)scanned << SCANNED_BIT | flags |
				   IDLE_BIT);
}

static bool is_idle(const void *user)
{
	return (uintptr_t)user & IDLE_BIT;
}

static uint32_t idle_served(const void *user)
{
	return (uint32_t)((uintptr_t)user >> 32);
}

static uint32_t idle_scanned(const void *user)
{
	return (uintptr_t)user & READING_BIT ? 0 : (uint32_t)(uintptr_t)user >> SCANNED_BIT;
}

// What a client that must take its answers still had to acknowledge when that was last looked at; 0: never.
static uint32_t idle_unread(const void *user)
{
	uintptr_t v = (uintptr_t)user;

	return v & LINGER_BIT ? (uint32_t)(v >> 32) : v & READING_BIT ? (uint32_t)v >> SCANNED_BIT : 0;
}

static void *idle_unread_pack(const void *user, uint32_t unread)
{
	uintptr_t v = (uintptr_t)user;

	if (v & LINGER_BIT)
		return (void *)((v & UINT32_MAX) | (uintptr_t)unread << 32);
	if (unread > SCANNED_MAX)
		unread = SCANNED_MAX;
	return (void *)((v >> 32) << 32 | (uintptr_t)unread << SCANNED_BIT | READING_BIT | (v & PROXIED_BIT) |
			IDLE_BIT);
}

// A connection's time is up while some of its last answers is not acknowledged. True where that decides: it has
// more time as long as it reads, and is reset when it does not.
static bool client_reads_on(struct gateway *g, struct tcp_conn *c)
{
	const struct snap_listener *l = gateway_listener(g, tcp_conn_tag(c));
	uint32_t left = tcp_send_queued(c), before = idle_unread(tcp_user(c));
	uint64_t time = l->min_read_rate ? l->rate_grace : l->response_idle;
	uint64_t least = l->min_read_rate ? l->min_read_rate * time / 1000000000ull : SLOW_READ;

	if (!left)
		return false;
	if (before && (left >= before || before - left < least)) {
		count(g, l->min_read_rate ? CTR_http_read_slow : CTR_http_read_timeout);
		tcp_abort(c);
		return true;
	}
	tcp_set_user(c, idle_unread_pack(tcp_user(c), left));
	tcp_set_timer(c, g->now + time);
	return true;
}

static void client_close(struct gateway *g, struct tcp_conn *c)
{
	(void)g;
	tcp_close(c);
}

// Ends a connection whose answers are all written: FIN, then what still comes is read and dropped for a while,
// since a reset would take the last answer from a client that is still sending (RFC 9112 9.6).
void client_end(struct gateway *g, struct tcp_conn *c)
{
	tcp_recv_skip(c, tcp_recv_len(c));
	if (tcp_recv_eof(c) && !tcp_send_queued(c)) {
		client_close(g, c);
		return;
	}
	tcp_shutdown(c);
	tcp_set_user(c, idle_pack(0, 0, LINGER_BIT));
	tcp_set_timer(c, g->now + LINGER_TIME);
}

static void client_linger(struct gateway *g, struct tcp_conn *c, unsigned events)
{
	uint32_t dropped = idle_scanned(tcp_user(c)) + tcp_recv_len(c);

	tcp_recv_skip(c, tcp_recv_len(c));
	if (dropped > LINGER_BYTES) {
		count(g, CTR_http_linger_bytes);
		client_close(g, c);
		return;
	}
	tcp_set_user(c, idle_pack(idle_unread(tcp_user(c)), dropped, LINGER_BIT));
	if (tcp_recv_eof(c) && !tcp_send_queued(c)) {
		client_close(g, c);
	} else if ((events & EV_TIMER) && !client_reads_on(g, c)) {
		if (!tcp_recv_eof(c))
			count(g, CTR_http_linger_timeout);
		client_close(g, c);
	}
}

// True when the received bytes from `from` on hold the end of an empty line; CR is not required here, so that
// what the parser will refuse is given to it at once.
static bool has_empty_line(struct tcp_conn *c, uint32_t from)
{
	uint32_t at = 0;
	unsigned run = 0; // 1 after LF, 2 after LF CR

	for (struct pkt *p = tcp_recv_peek(c); p; p = tcp_recv_peek_next(p)) {
		struct slice s = pkt_slice(p);

		for (size_t i = at + s.n <= from ? s.n : at < from ? from - at : 0; i < s.n; i++) {
			if (s.p[i] == '\n') {
				if (run)
					return true;
				run = 1;
			} else
				run = s.p[i] == '\r' && run == 1 ? 2 : 0;
		}
		at += (uint32_t)s.n;
	}
	return false;
}

// The bytes of a head that stands in several buffers, copied to g->in.
static struct slice head_bytes(struct gateway *g, struct tcp_conn *c)
{
	struct pkt *p = tcp_recv_peek(c);
	size_t n = 0;

	for (; p && n < sizeof(g->in); p = tcp_recv_peek_next(p)) {
		size_t part = pkt_len(p) < sizeof(g->in) - n ? pkt_len(p) : sizeof(g->in) - n;

		memcpy(g->in + n, pkt_data(p), part);
		n += part;
	}
	return (struct slice){g->in, n};
}

enum parsed { PARSED_REQUEST, PARSED_RESPONSE, PARSED_TRAILERS };

static inline __attribute__((always_inline)) int parse(struct slice s, const struct http_limits *limits,
						       enum parsed what, struct http_head *h)
{
	switch (what) {
	case PARSED_REQUEST:
		return http_parse_request_within(s.p, s.n, limits, h);
	case PARSED_RESPONSE:
		return http_parse_response_within(s.p, s.n, limits, h);
	case PARSED_TRAILERS:
		break;
	}
	return http_parse_trailers(s.p, s.n, limits, h);
}

// What is not as mostly: a head in pieces, or one that is not whole.
static __attribute__((noinline)) int head_parse_rest(struct gateway *g, struct tcp_conn *c, uint32_t *scanned,
						     const struct http_limits *limits, enum parsed what,
						     struct http_head *h)
{
	uint32_t have = tcp_recv_len(c), max = (uint32_t)limits->head;
	struct slice s;
	int n;

	if (*scanned && have <= max && !has_empty_line(c, *scanned > 3 ? *scanned - 3 : 0)) {
		*scanned = have;
		tcp_recv_await(c, max);
		return HTTP_MORE;
	}
	s = tcp_recv_peek(c) ? pkt_slice(tcp_recv_peek(c)) : (struct slice){"", 0};
	n = parse(s, limits, what, h);
	if (n == HTTP_MORE && s.n < have)
		n = parse(head_bytes(g, c), limits, what, h);
	if (n == HTTP_MORE) {
		*scanned = have;
		if (have >= max)
			return -(int)FAULT_head_too_large;
		tcp_recv_await(c, max);
	}
	return n;
}

// Looks for a whole head, or trailer section, at the front of the receive queue. As a parser's result; *scanned
// makes sure that each byte is looked at a bounded number of times, however small the pieces it comes in.
static inline __attribute__((always_inline)) int head_parse(struct gateway *g, struct tcp_conn *c,
							    uint32_t *scanned, const struct http_limits *limits,
							    enum parsed what, struct http_head *h)
{
	const struct pkt *p = tcp_recv_peek(c);
	int n;

	// Nearly always the first buffer has it all, whatever stands behind it: only else it is copied
	// together.
	if (__builtin_expect(!*scanned && p, 1)) {
		n = parse(pkt_slice(p), limits, what, h);
		if (__builtin_expect(n != HTTP_MORE, 1))
			return n;
	}
	return head_parse_rest(g, c, scanned, limits, what, h);
}

int response_head_parse(struct gateway *g, struct tcp_conn *c, uint32_t *scanned)
{
	static const struct http_limits limits = {
		SNAP_HEAD_MAX, UINT32_MAX, UINT32_MAX, HTTP_FIELDS_MAX, false, false, UINT64_MAX, NULL, 0};

	return head_parse(g, c, scanned, &limits, PARSED_RESPONSE, &g->head);
}

int trailers_parse(struct gateway *g, struct tcp_conn *c, uint32_t *scanned, const struct http_limits *limits)
{
	return head_parse(g, c, scanned, limits, PARSED_TRAILERS, &g->head);
}

// 16 random bytes as lower-case digits, all at once.
void request_id_make(struct gateway *g, char id[static 32])
{
	typedef uint8_t bytes __attribute__((vector_size(16)));
	const uint64_t random[2] = {random_next(&g->random), random_next(&g->random)};
	bytes v, high, low, digit[2];

	memcpy(&v, random, sizeof(v));
	high = v >> 4;
	low = v & 15;
	digit[0] = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	digit[1] = __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
					   31);
	for (unsigned i = 0; i < 2; i++)
		digit[i] += '0' + ((bytes)(digit[i] > 9) & ('a' - '0' - 10));
	memcpy(id, digit, 32);
}

// What is behind the request's id is read only where it was written.
static inline void exchange_clear(struct exchange *x)
{
	typedef uint64_t block __attribute__((vector_size(32), may_alias));
	block *v = (block *)(void *)x;

	_Static_assert(offsetof(struct exchange, request_id) % sizeof(*v) == 0, "whole blocks");
#pragma GCC unroll 32
	for (unsigned i = 0; i < offsetof(struct exchange, request_id) / sizeof(*v); i++)
		v[i] = (block){0};
}

static struct exchange *exchange_begin(struct gateway *g, struct tcp_conn *c, const struct http_head *h,
				       const struct snap_listener *l, uint32_t served, bool proxied)
{
	struct exchange *x = slab_get(&g->exchanges);

	if (!x)
		return NULL;
	exchange_clear(x);
	x->g = g;
	x->timer = &g->timers[x - (struct exchange *)g->exchanges.mem];
	x->timer->x = x;
	x->client = c;
	x->remote = tcp_remote(c);
	x->started = g->now;
	x->served = served;
	x->method = h->method;
	x->minor = h->minor;
	x->listener = l;
	x->keep_alive = h->keep_alive && !g->draining && (l->max_requests == 0 || served + 1 < l->max_requests);
	x->generation = (uint8_t)g->current;
	x->snapshot = gateway_snapshot(g);
	g->generation[g->current].pins++;
	request_id_make(g, x->request_id);
	if (logs_requests(g)) {
		size_t m = h->method_text.n < 32 ? h->method_text.n : 32;
		size_t room = sizeof(x->text) - m, p = h->target.n < room ? h->target.n : room;

		memcpy(x->text, h->method_text.p, m);
		memcpy(x->text + m, h->target.p, p);
		x->method_n = (uint16_t)m;
		x->path_n = (uint16_t)p;
	}
	http_body_init(&x->request, h->framing, h->length);
	if (l->max_body)
		http_body_limit(&x->request, l->max_body);
	if (proxied) {
		x->proxied = true;
		x->remote = client_proxied(x)->src;
	}
	tcp_set_user(c, x);
	count(g, CTR_http_requests);
	return x;
}

struct pkt *head_take(struct tcp_conn *c, uint32_t n)
{
	struct pkt *p = tcp_recv_peek(c);

	if (pkt_len(p) == n && pkt_exclusive(p) && !pkt_small(p))
		return tcp_recv_take(c);
	tcp_recv_skip(c, n);
	return NULL;
}

void client_resume(struct exchange *x)
{
	struct gateway *g = x->g;
	struct http_limits limits = http_limits_of(SNAP_HEAD_MAX);
	uint32_t scanned = 0;
	int n;

	// It was whole when the exchange began, and nobody has taken it away. What its listener allowed then
	// may be other than now; one that was read without a lone LF has none.
	limits.lenient_lf = limits.dot_segments = true;
	n = head_parse(g, x->client, &scanned, &limits, PARSED_REQUEST, &g->head);
	if (n <= 0) {
		exchange_abort(x);
		return;
	}
	if (!http_body_done(&x->request))
		client_watch(x);
	exchange_route(x, (uint32_t)n);
}

static void request_fault(struct gateway *g, struct tcp_conn *c, const struct http_head *h, int fault)
{
	const struct http_fault_info *f = &http_fault_info[fault];

	count(g, fault_counter((enum http_fault)fault));
	count(g, f->status == 431 || f->status == 414 ? CTR_http_head_too_large : CTR_http_bad_request);
	reply_bare(g, c, f->status, f->text, h->method == METHOD_HEAD);
}

bool conn_ended(const struct tcp_conn *c)
{
	struct tcp_info info;

	tcp_get_info(c, &info);
	return info.state == TCP_CLOSE_WAIT;
}

// The header of the PROXY protocol, if one is to be here. False: more of it is needed, or the connection is
// over.
static bool client_preface(struct gateway *g, struct tcp_conn *c, const struct snap_listener *l)
{
	enum preface preface = preface_read(g, c, l);

	if (preface == PREFACE_BAD || (preface == PREFACE_MORE && conn_ended(c))) {
		client_close(g, c);
		return false;
	}
	if (preface == PREFACE_MORE) {
		tcp_recv_shrink(c, g->conf.small);
		return false;
	}
	tcp_set_user(c, idle_pack(0, 0, preface == PREFACE_CLIENT ? PROXIED_BIT : 0));
	g->again = true;
	return true;
}

// The request in g->head. g->again says afterwards whether the next one may follow.
static inline __attribute__((always_inline)) void request_begin(struct gateway *g, struct tcp_conn *c,
								const struct listener_rules *rules,
								uint32_t head_length, uint32_t served,
								uint32_t flags)
{
	const struct snap_listener *l = rules->listener;
	enum prompt prompt = PROMPT_NOT;
	struct http_head *h = &g->head;
	struct exchange *x;

	if (!flags) {
		prompt = prompt_reply(g, c, rules, head_length, served);
		if (prompt == PROMPT_CLOSE) {
			client_end(g, c);
			return;
		}
		if (prompt == PROMPT_OPEN) {
			tcp_set_user(c, idle_pack(served + 1, 0, 0));
			tcp_set_timer(c, g->now + l->idle_timeout);
			g->again = tcp_recv_len(c) || tcp_recv_eof(c);
			return;
		}
	}
	x = exchange_begin(g, c, h, l, served, flags & PROXIED_BIT);
	if (!x) {
		g->found = ROUTE_UNKNOWN;
		g->prepared = NULL;
		count(g, CTR_http_overload);
		reply_bare(g, c, 503, "the gateway is overloaded", h->method == METHOD_HEAD);
		client_end(g, c);
		return;
	}
	tcp_set_timer(c, 0);
	if (!http_body_done(&x->request))
		client_watch(x);
	if (prompt == PROMPT_PASS)
		exchange_pass(x, head_length);
	else
		exchange_route(x, head_length);
}

// Takes requests from the front of the queue until one stays in work, or no whole head is there. Requests that
// are answered at once come back here through client_continue(), which then only asks for another turn, so that
// a queue full of them does not nest.
void client_requests(struct gateway *g, struct tcp_conn *c)
{
	unsigned begun = 0;

	do {
		struct http_head *h = burst_head(g);

		g->again = false;
		const struct listener_rules *rules = listener_rules(g, tcp_conn_tag(c));
		const struct snap_listener *l = rules->listener;
		uint32_t served = idle_served(tcp_user(c)), scanned = idle_scanned(tcp_user(c));
		uint32_t flags = (uint32_t)(uintptr_t)tcp_user(c) & (PREFACE_BIT | PROXIED_BIT);
		int n;

		if (tcp_recv_len(c) == 0) {
			if (tcp_recv_eof(c) || (g->draining && served))
				client_end(g, c);
			return;
		}
		if (flags & PREFACE_BIT) {
			if (!client_preface(g, c, l))
				return;
			continue;
		}
		if (tcp_send_full(c))
			return; // answers wait to be read: EV_WRITABLE goes on
		if (begun == TURN_MAX) {
			count(g, CTR_http_turn_used);
			tcp_set_user(c, idle_pack(served, 0, flags | TURN_BIT));
			tcp_set_timer(c, g->now + 1);
			return;
		}
		n = head_parse(g, c, &scanned, &rules->limits, PARSED_REQUEST, h);
		if (n == HTTP_MORE) {
			if (conn_ended(c)) {
				client_end(g, c);
				return;
			}
			tcp_recv_shrink(c, g->conf.small);  // the rest may take its time
			if (idle_scanned(tcp_user(c)) == 0) // first bytes: the head's time runs from now
				tcp_set_timer(c, g->now + l->head_timeout);
			tcp_set_user(c,
				     idle_pack(served, scanned < SCANNED_MAX ? scanned : SCANNED_MAX, flags));
			return;
		}
		if (n < 0) {
			request_fault(g, c, h, -n);
			client_end(g, c);
			return;
		}
		begun++;
		if (h != &g->head && burst_note(g, c, l, (uint32_t)n, served, flags)) {
			tcp_set_user(c, idle_pack(served, 0, NOTED_BIT));
			return;
		}
		request_begin(g, c, rules, (uint32_t)n, served, flags);
	} while (g->again);
}

void client_decided(struct gateway *g, struct tcp_conn *c, uint32_t head_length, uint32_t served)
{
	g->running = c;
	g->again = false;
	tcp_set_user(c, idle_pack(served, 0, 0));
	request_begin(g, c, listener_rules(g, tcp_conn_tag(c)), head_length, served, 0);
	if (g->again)
		client_requests(g, c);
	g->running = NULL;
	g->again = false;
}

static void client_run(struct gateway *g, struct tcp_conn *c)
{
	struct tcp_conn *outer = g->running;
	bool outer_again = g->again;

	if (outer == c) {
		g->again = true;
		return;
	}
	g->running = c;
	client_requests(g, c);
	g->running = outer;
	g->again = outer_again;
}

void client_continue(struct gateway *g, struct tcp_conn *c, uint32_t served, bool proxied, bool keep_alive)
{
	const struct snap_listener *l = gateway_listener(g, tcp_conn_tag(c));

	if (!keep_alive) {
		client_end(g, c);
		return;
	}
	tcp_set_user(c, idle_pack(served, 0, proxied ? PROXIED_BIT : 0));
	tcp_set_timer(c, g->now + l->idle_timeout);
	if (tcp_recv_len(c) || tcp_recv_eof(c) || g->draining)
		client_run(g, c);
}

struct addr client_named(const struct gateway *g, const struct tcp_info *info)
{
	const struct exchange *x = info->user;

	if (!info->user)
		return info->remote;
	if (!is_idle(info->user))
		return x->remote;
	if (((uintptr_t)info->user & PROXIED_BIT) && !((uintptr_t)info->user & LINGER_BIT))
		return g->proxied[info->index].src;
	return info->remote;
}

bool client_tunnels(const void *user)
{
	return user && !is_idle(user) && tunnel_is_open(user);
}

void client_drain(struct gateway *g, struct tcp_conn *c)
{
	const void *user = tcp_user(c);

	if (is_idle(user) && !((uintptr_t)user & LINGER_BIT) && idle_served(user) && tcp_recv_len(c) == 0)
		client_end(g, c);
}

void client_cut(struct gateway *g, struct tcp_conn *c)
{
	void *user = tcp_user(c);

	if (!is_idle(user)) {
		exchange_abort(user);
		return;
	}
	if ((uintptr_t)user & NOTED_BIT)
		burst_forget(g, c);
	tcp_abort(c);
}

static void client_idle_event(struct gateway *g, struct tcp_conn *c, unsigned events)
{
	const void *user = tcp_user(c);

	if ((uintptr_t)user & LINGER_BIT) {
		client_linger(g, c, events);
		return;
	}
	if ((uintptr_t)user & TURN_BIT) {
		if (!(events & EV_TIMER))
			return; // what has come waits with the rest
		tcp_set_user(c, idle_pack(idle_served(user), 0, (uint32_t)(uintptr_t)user & PROXIED_BIT));
		tcp_set_timer(c, g->now + gateway_listener(g, tcp_conn_tag(c))->idle_timeout);
		client_run(g, c);
		return;
	}
	if ((events & EV_TIMER) && (events & (EV_READABLE | EV_EOF))) {
		// What came in the same turn counts. Where it is not enough, the time is up in the next one.
		tcp_set_timer(c, g->now + 1);
	} else if (events & EV_TIMER) {
		if ((tcp_recv_len(c) == 0 || tcp_send_space(c) == 0) && client_reads_on(g, c))
			return;
		if (tcp_recv_len(c) == 0) {
			count(g, CTR_http_idle_timeout);
		} else if ((uintptr_t)user & PREFACE_BIT) {
			count(g, CTR_http_proxy_missing);
		} else if (tcp_send_space(c)) {
			count(g, CTR_http_head_timeout);
			reply_bare(g, c, 408, "the request head did not come in time", false);
		}
		client_end(g, c);
		return;
	}
	client_run(g, c);
}

void client_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct gateway *g = ctx;
	struct exchange *x;

	if (g->n_noted == NOTED_MAX && is_idle(user) && !((uintptr_t)user & NOTED_BIT))
		gateway_decide(g);
	if (events & EV_OPEN) {
		const struct snap_listener *l = gateway_listener(g, tcp_conn_tag(c));

		enum preface preface = l->proxy_protocol ? preface_begin(g, c, l) : PREFACE_NONE;

		if (preface == PREFACE_BAD) {
			client_close(g, c);
			return;
		}
		user = idle_pack(0, 0, preface == PREFACE_MORE ? PREFACE_BIT : 0);
		tcp_set_user(c, user);
		tcp_set_timer(c, g->now + l->head_timeout);
	}
	if (is_idle(user)) {
		if ((uintptr_t)user & NOTED_BIT) {
			if (!(events & EV_ERROR))
				return; // what comes meanwhile stays in the queue, and the end of it shows
					// later
			count(g, CTR_http_client_gone);
			burst_forget(g, c);
		}
		if (events & EV_ERROR)
			client_close(g, c);
		else if (events & ~(unsigned)EV_OPEN)
			client_idle_event(g, c, events);
		return;
	}
	x = user;
	if (events & EV_ERROR) {
		count(g, CTR_http_client_gone);
		exchange_abort(x);
		return;
	}
	if (x->parked)
		return; // what comes meanwhile stays in the queue, and the end of it shows later
	if (tunnel_is_open(x)) {
		tunnel_pump(x);
		return;
	}
	if ((events & EV_WRITABLE) && x->attempt && !attempt_pump(x->attempt))
		return;
	if ((events & (EV_READABLE | EV_EOF)) && !relay_request(x))
		return;
	if (events & EV_TIMER) // behind what came in the same turn, which counts
		client_look(x);
}
