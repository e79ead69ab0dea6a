#include "gateway/tunnel.h"
#include <errno.h>

// The head is still in the queue: the end of the connection takes it away.
static bool refuse(struct exchange *x, enum counter why, uint16_t status, const char *message,
		   struct slice fields)
{
	count(x->g, why);
	x->keep_alive = false; // what comes behind it may be no HTTP
	reply_refusal(x, status, message, fields);
	return false;
}

static bool websocket_ask(struct exchange *x, struct tunnel *t)
{
	struct gateway *g = x->g;

	switch (websocket_request(&g->head, t->accept)) {
	case WEBSOCKET_NONE: // of other protocols none is spoken: the request goes on without (RFC 9110 7.8)
		tunnel_free(x);
		return true;
	case WEBSOCKET_OK:
		break;
	case WEBSOCKET_BAD_VERSION: // RFC 6455 4.2.2, RFC 9110 15.5.22
		return refuse(
			x, CTR_ws_bad_version, 426, "the version of WebSocket is 13",
			SLICE("Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
	case WEBSOCKET_BAD_METHOD:
		return refuse(x, CTR_ws_bad_handshake, 400, "a WebSocket begins with a GET", SLICE(""));
	case WEBSOCKET_BAD_KEY:
		return refuse(x, CTR_ws_bad_handshake, 400, "malformed Sec-WebSocket-Key", SLICE(""));
	}
	if (!http_add(&g->head, SLICE("Connection"), SLICE("Upgrade")) ||
	    !http_add(&g->head, SLICE("Upgrade"), SLICE("websocket")))
		return refuse(x, CTR_ws_bad_handshake, 431, "too many header fields", SLICE(""));
	return true;
}

bool tunnel_ask(struct exchange *x)
{
	struct gateway *g = x->g;
	bool connect = x->method == METHOD_CONNECT;
	struct tunnel *t = slab_get(&g->tunnels);

	if (!t)
		return refuse(x, CTR_http_overload, 503, "the gateway is overloaded", SLICE(""));
	*t = (struct tunnel){.idle = x->route->tunnel_idle,
			     .kind = connect ? TUNNEL_CONNECT : TUNNEL_WEBSOCKET};
	x->tunnel = t;
	return connect || websocket_ask(x, t);
}

void tunnel_free(struct exchange *x)
{
	if (x->tunnel->open)
		count(x->g, CTR_tunnel_closed);
	slab_put(&x->g->tunnels, x->tunnel);
	x->tunnel = NULL;
}

void tunnel_decline(struct exchange *x)
{
	if (tcp_recv_len(x->client))
		x->keep_alive = false;
}

// host ":" port of CONNECT's target, which the parser has found good.
static bool authority_split(struct slice target, struct addr *addr, bool *is_addr, uint16_t *port)
{
	const char *colon = memrchr(target.p, ':', target.n);
	uint32_t v = 0;

	if (!colon)
		return false;
	for (const char *p = colon + 1; p < target.p + target.n; p++)
		v = v * 10 + (uint32_t)(*p - '0');
	*port = (uint16_t)v;
	target.n = (size_t)(colon - target.p);
	if (target.n > 2 && target.p[0] == '[')
		target = slice_of(target.p + 1, target.n - 2);
	*is_addr = addr_parse(target.p, target.n, addr) == 0;
	return true;
}

// A tunnel leads to the route's upstream and nowhere else: to an endpoint that the target names by its address,
// or, where it names a host (the route's), to one of the target's port. The others are avoided.
static bool endpoints_allowed(struct exchange *x, const struct snap_upstream *u)
{
	const struct snap_endpoint *e = snap_at(x->snapshot, u->endpoints);
	struct addr addr;
	uint64_t avoid = 0;
	bool is_addr, any = false;
	uint16_t port;

	if (u->endpoints.n > 64 || !authority_split(x->g->head.target, &addr, &is_addr, &port))
		return false;
	for (uint32_t i = 0; i < u->endpoints.n; i++)
		if (e[i].tcp_port == port && (!is_addr || addr_eq(e[i].addr, addr)))
			any = true;
		else
			avoid |= 1ull << i;
	x->avoid = avoid;
	return any;
}

void tunnel_connect(struct exchange *x, uint32_t head_length)
{
	const struct snap_upstream *u = attempt_upstream(x);

	if (!u || !endpoints_allowed(x, u)) {
		refuse(x, CTR_connect_refused, 403, "no tunnel leads there", SLICE(""));
		return;
	}
	tcp_recv_skip(x->client, head_length);
	attempt_start(x, u);
}

// Both messages are over; from here on all is payload.
static void tunnel_open(struct exchange *x)
{
	struct gateway *g = x->g;
	struct tunnel *t = x->tunnel;
	struct attempt *a = x->attempt;

	t->open = true;
	t->moved = g->now;
	t->took = g->now - x->started;
	count(g, t->kind == TUNNEL_CONNECT ? CTR_tunnel_connect : CTR_tunnel_websocket);
	http_body_init(&x->request, FRAMING_CLOSE, 0);
	http_body_init(&x->response, FRAMING_CLOSE, 0);
	x->out_framing = FRAMING_CLOSE; // its end shows as one, or as a reset
	x->keep_alive = a->reusable = false;
	x->response_started = x->request_relayed = true;
	x->deadline = a->deadline = 0;
	a->state = ATTEMPT_RESPONDING;
	head_done(x);
	pkt_free_chain(x->head);
	x->head = NULL;
	tcp_set_timer(x->client, 0);
	exchange_unpin(x);
	exchange_arm(x);
}

bool tunnel_connected(struct attempt *a)
{
	struct exchange *x = a->x;
	struct gateway *g = x->g;

	g->text_used = 0;
	// No length, no coding (RFC 9110 9.3.6).
	struct slice head = text_printf(g,
					"HTTP/1.1 200 Connection established\r\nDate: %.29s\r\nVia: 1.1 "
					"churchgate\r\nX-Request-Id: %.32s\r\n\r\n",
					gateway_date(g).p, x->request_id);

	if (tcp_send_copy(x->client, head.p, (uint32_t)head.n) != 0) {
		count(g, CTR_http_overload);
		exchange_fail(x, 503, "the gateway is overloaded");
		return false;
	}
	x->status = 200;
	tunnel_open(x);
	return tunnel_pump(x);
}

int tunnel_switch(struct attempt *a)
{
	struct exchange *x = a->x;
	struct http_head *h = &x->g->head;
	int err;

	if (x->tunnel->kind != TUNNEL_WEBSOCKET || !websocket_response(h, x->tunnel->accept)) {
		count(x->g, CTR_ws_bad_accept);
		return -EBADMSG;
	}
	err = forward_response(x, FRAMING_NONE, 0);
	if (err)
		return err;
	send_chain(x->client, x->head);
	x->head = NULL;
	x->status = 101;
	tunnel_open(x);
	return 0;
}

bool tunnel_response(const struct exchange *x, struct http_head *h, struct slice *connection)
{
	if (x->tunnel->kind != TUNNEL_WEBSOCKET || (h->status != 101 && h->status != 426))
		return true;
	*connection = x->keep_alive || h->status == 101 ? SLICE("Upgrade") : SLICE("Upgrade, close");
	return http_add(h, SLICE("Upgrade"), SLICE("websocket"));
}

// One direction, as far as it goes, or until the timer looks again.
static void move(struct exchange *x, struct tcp_conn *from, struct http_body *body, struct tcp_conn *to,
		 bool *done, uint64_t *bytes)
{
	uint64_t moved = 0;
	enum relay r;

	if (*done)
		return;
	r = relay_body(x->g, from, body, to, false, NULL, &moved);
	*bytes += moved;
	if (moved)
		x->tunnel->moved = x->g->now;
	if (r == RELAY_DONE) { // its end is passed on, and the other direction goes on
		*done = true;
		tcp_shutdown(to);
	}
	if ((r == RELAY_NO_BUFFER || r == RELAY_PAUSE) && !x->retry)
		relay_again(x, r);
}

// Both ends have said all; or nobody will hear them.
static void finish(struct exchange *x)
{
	attempt_complete(x->attempt);
}

static uint32_t queued(const struct exchange *x)
{
	return tcp_send_queued(x->client) + tcp_send_queued(x->attempt->conn->tcp);
}

bool tunnel_pump(struct exchange *x)
{
	struct tunnel *t = x->tunnel;
	struct attempt *a = x->attempt;
	struct tcp_conn *up = a->conn->tcp;

	if (!a->dead)
		move(x, x->client, &x->request, up, &t->up_done, &x->bytes_in);
	move(x, up, &x->response, x->client, &t->down_done, &x->bytes_out);
	if (a->dead && tcp_recv_len(up) == 0) { // what came before it has been passed on; so is the reset
		count(x->g, CTR_tunnel_reset);
		exchange_abort(x);
		return false;
	}
	if (t->up_done && t->down_done) {
		finish(x);
		return false;
	}
	if (t->moved == x->g->now)
		t->queued = queued(x);
	return true;
}

uint64_t tunnel_due(const struct exchange *x)
{
	const struct tunnel *t = x->tunnel;

	return t->open && t->idle ? t->moved + t->idle : UINT64_MAX;
}

// The timer is left alone while bytes move, and looks at when the last did.
void tunnel_timer(struct exchange *x)
{
	struct gateway *g = x->g;
	struct tunnel *t = x->tunnel;
	uint32_t n;

	if (x->retry) {
		x->retry = false;
		if (!tunnel_pump(x))
			return;
	}
	if (g->now >= tunnel_due(x)) {
		n = queued(x);
		if (!n || n >= t->queued) {
			count(g, CTR_tunnel_idle_timeout);
			if (n) // somebody does not read
				exchange_abort(x);
			else
				finish(x);
			return;
		}
		t->moved = g->now; // what was sent before is being read, slowly
	}
	t->queued = queued(x);
	exchange_arm(x);
}

void tunnels_end(struct gateway *g)
{
	struct exchange *x;

	for (uint32_t at = 0; (x = gateway_live(g, &at));) {
		if (!tunnel_is_open(x))
			continue;
		count(g, CTR_tunnel_drained);
		finish(x);
	}
}
