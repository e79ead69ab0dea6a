// Answers that the gateway makes itself. Errors are JSON: {"error", "message", "request_id"}.
#include "gateway/rewrite.h"
#include <stdio.h>

const char *reply_error_name(uint16_t status)
{
	switch (status) {
	case 400:
		return "bad_request";
	case 403:
		return "forbidden";
	case 404:
		return "not_found";
	case 405:
		return "method_not_allowed";
	case 406:
		return "not_acceptable";
	case 408:
		return "request_timeout";
	case 411:
		return "length_required";
	case 413:
		return "content_too_large";
	case 414:
		return "uri_too_long";
	case 417:
		return "expectation_failed";
	case 426:
		return "upgrade_required";
	case 429:
		return "too_many_requests";
	case 431:
		return "request_header_fields_too_large";
	case 501:
		return "not_implemented";
	case 502:
		return "bad_gateway";
	case 503:
		return "service_unavailable";
	case 504:
		return "gateway_timeout";
	case 505:
		return "http_version_not_supported";
	default:
		return "error";
	}
}

struct reply {
	uint16_t status;
	const char *request_id; // 32 bytes; NULL: none
	struct slice content_type;
	struct slice body;
	struct slice extra; // whole field lines
	struct slice cors;  // likewise
	bool head_only, keep_alive;
	uint8_t minor;
};

// A head that is being put together, without printf, which takes a third of the time of an answer.
struct text {
	char *at, *end;
};

// Field lines come from g->in, which is smaller than g->out by more than all the rest takes.
static inline void text_put(struct text *t, struct slice s)
{
	if (s.n && s.n <= (size_t)(t->end - t->at)) { // an empty slice may point nowhere
		memcpy(t->at, s.p, s.n);
		t->at += s.n;
	}
}

static inline void text_number(struct text *t, uint64_t v)
{
	char digits[20];
	unsigned i = sizeof(digits);

	do
		digits[--i] = (char)('0' + v % 10);
	while (v /= 10);
	text_put(t, slice_of(digits + i, sizeof(digits) - i));
}

// false: no buffer.
static bool reply_send(struct gateway *g, struct tcp_conn *c, const struct reply *r)
{
	const char *reason = http_reason(r->status);
	bool no_body = r->status == 204 || r->status == 304;
	struct text t = {g->out, g->out + sizeof(g->out)};
	struct pkt *p;

	text_put(&t, SLICE("HTTP/1.1 "));
	text_number(&t, r->status);
	text_put(&t, SLICE(" "));
	text_put(&t, slice_of(reason, strlen(reason)));
	text_put(&t, SLICE("\r\nServer: churchgate\r\nDate: "));
	text_put(&t, gateway_date(g));
	text_put(&t, SLICE("\r\n"));
	if (r->request_id) {
		text_put(&t, SLICE("X-Request-Id: "));
		text_put(&t, slice_of(r->request_id, 32));
		text_put(&t, SLICE("\r\n"));
	}
	if (r->content_type.n) {
		text_put(&t, SLICE("Content-Type: "));
		text_put(&t, r->content_type);
		text_put(&t, SLICE("\r\n"));
	}
	if (!no_body) {
		text_put(&t, SLICE("Content-Length: "));
		text_number(&t, r->body.n);
		text_put(&t, SLICE("\r\n"));
	}
	text_put(&t, r->extra);
	text_put(&t, r->cors);
	if (!r->keep_alive)
		text_put(&t, SLICE("Connection: close\r\n"));
	else if (r->minor == 0)
		text_put(&t, SLICE("Connection: keep-alive\r\n"));
	text_put(&t, SLICE("\r\n"));
	p = pkts_from(g, g->out, (size_t)(t.at - g->out));
	if (!p)
		return false;
	if (!r->head_only && !no_body && r->body.n) {
		if (!pkt_next(p) && r->body.n <= pkt_tailroom(p)) {
			memcpy(pkt_append(p, (uint32_t)r->body.n), r->body.p, r->body.n);
		} else {
			struct pkt *body = pkts_from(g, r->body.p, r->body.n);

			if (!body) {
				pkt_free_chain(p);
				return false;
			}
			pkt_chain(p, body);
		}
	}
	send_chain(c, p);
	return true;
}

// An answer that cannot be sent ends the connection.
static void reply_exchange(struct exchange *x, struct reply *r)
{
	struct gateway *g = x->g;

	if (!http_body_done(&x->request) && x->request.framing == FRAMING_LENGTH &&
	    x->request.left <= tcp_recv_len(x->client)) {
		// All of the body is here: drop it, and the connection may go on.
		tcp_recv_skip(x->client, (uint32_t)x->request.left);
		x->bytes_in += x->request.left;
		http_body_init(&x->request, FRAMING_NONE, 0);
	}
	if (!http_body_done(&x->request))
		x->keep_alive = false;
	r->request_id = x->request_id;
	r->head_only = x->method == METHOD_HEAD;
	r->keep_alive = x->keep_alive;
	r->minor = x->minor;
	x->status = r->status;
	if (!reply_send(g, x->client, r)) {
		count(g, CTR_http_overload);
		exchange_cut(x);
		return;
	}
	x->response_started = true;
	if (!r->head_only)
		x->bytes_out += r->body.n;
	exchange_finish(x);
}

static int error_body(char *dst, size_t room, uint16_t status, const char *message, const char *request_id)
{
	return snprintf(dst, room, "{\"error\":\"%s\",\"message\":\"%s\",\"request_id\":\"%.32s\"}\n",
			reply_error_name(status), message, request_id);
}

static const struct snap_page *page_in(const struct snapshot *s, struct snap_ref pages, uint16_t status)
{
	const struct snap_page *p = snap_at(s, pages);

	for (uint32_t i = 0; i < pages.n; i++)
		if (status >= p[i].from && status <= p[i].to)
			return &p[i];
	return NULL;
}

// A route's page, or its listener's. NULL: none.
static const struct snap_page *page_of(const struct exchange *x, uint16_t status)
{
	const struct snap_page *p = x->route ? page_in(x->snapshot, x->route->pages, status) : NULL;

	return p || !x->listener ? p : page_in(x->snapshot, x->listener->pages, status);
}

static struct slice variable(struct slice name, uint16_t status, const char *message, const char *id)
{
	const char *text = "";

	if (slice_eq(name, SLICE("request_id")))
		return slice_of(id, 32);
	if (slice_eq(name, SLICE("reason")))
		text = http_reason(status);
	else if (slice_eq(name, SLICE("error")))
		text = reply_error_name(status);
	else if (slice_eq(name, SLICE("message")))
		text = message;
	return slice_of(text, strlen(text));
}

// The page with its variables, none of which anybody outside has a say in. False: it finds no room.
static bool page_write(struct gateway *g, struct slice page, uint16_t status, const char *message,
		       const char *id, struct slice *body)
{
	struct text t = {g->path, g->path + sizeof(g->path)};
	const char *p = page.p, *end = p + page.n;

	while (p < end) {
		const char *open = memmem(p, (size_t)(end - p), "${", 2);
		const char *close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;
		struct slice name;

		if ((size_t)(t.end - t.at) <
		    (size_t)((close ? open : end) - p) + 256) // what a variable has at most
			return false;
		text_put(&t, slice_of(p, (size_t)((close ? open : end) - p)));
		if (!close)
			break;
		name = slice_of(open + 2, (size_t)(close - open) - 2);
		if (slice_eq(name, SLICE("status")))
			text_number(&t, status);
		else
			text_put(&t, variable(name, status, message, id));
		p = close + 1;
	}
	*body = slice_of(g->path, (size_t)(t.at - g->path));
	return true;
}

// What an error says: JSON, or a page. room: for JSON.
static void error_fill(struct exchange *x, struct reply *r, const char *message, char *room, size_t n)
{
	const struct snap_page *p = x->snapshot ? page_of(x, r->status) : NULL;

	if (p &&
	    page_write(x->g, snap_text(x->snapshot, p->body), r->status, message, x->request_id, &r->body)) {
		r->content_type = snap_text(x->snapshot, p->content_type);
		return;
	}
	r->content_type = SLICE("application/json");
	r->body = slice_of(room, (size_t)error_body(room, n, r->status, message, x->request_id));
}

void reply_error(struct exchange *x, uint16_t status, const char *message, uint32_t allow)
{
	char body[512], extra[256];
	int n = 0;
	struct reply r = {.status = status};

	error_fill(x, &r, message, body, sizeof(body));
	if (status == 405) {
		n = snprintf(extra, sizeof(extra), "Allow: ");
		n += route_allow(extra + n, sizeof(extra) - (size_t)n - 3, allow);
		n += snprintf(extra + n, sizeof(extra) - (size_t)n, "\r\n");
	} else if (status == 503 || status == 429) {
		n = snprintf(extra, sizeof(extra), "Retry-After: 1\r\n");
	}
	r.extra = slice_of(extra, (size_t)n);
	r.cors = cors_lines(x);
	reply_exchange(x, &r);
}

// Appends text as the inside of a JSON string; false where it does not fit.
static bool json_put(char *dst, size_t room, size_t *n, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool escape = s.p[i] == '"' || s.p[i] == '\\';

		if (*n + 2 >= room)
			return false;
		if (escape)
			dst[(*n)++] = '\\';
		dst[(*n)++] = s.p[i];
	}
	return true;
}

// One route's part: {"type":"...","language":"...","version":"..."}, the first of each.
static bool offer_put(char *dst, size_t room, size_t *n, const struct snapshot *s, const struct snap_route *r)
{
	static const char *const names[] = {"version", "type", "language"};
	const struct snap_condition *c = snap_at(s, r->conditions);
	const char *separator = "{";
	bool ok = true;

	for (uint32_t i = 0; i < r->conditions.n; i++) {
		const struct snap_ref *v = snap_at(s, c[i].value);
		const char *name;

		if (c[i].kind < CONDITION_NEGOTIATED)
			continue;
		name = names[c[i].kind - CONDITION_NEGOTIATED];
		for (uint32_t k = 0; k < c[i].value.n; k++) {
			ok = ok && json_put(dst, room, n, slice_of(separator, strlen(separator)));
			ok = ok && *n + 16 < room; // the name, or what follows the value, has room
			if (k == 0 && ok)
				*n += (size_t)snprintf(dst + *n, room - *n, "\"%s\":[", name);
			ok = ok && *n + 2 < room;
			if (ok)
				dst[(*n)++] = '"';
			ok = ok && json_put(dst, room, n, snap_text(s, v[k])) && *n + 4 < room;
			if (ok)
				dst[(*n)++] = '"';
			separator = ",";
		}
		if (ok)
			dst[(*n)++] = ']';
	}
	if (!ok || *n + 1 >= room)
		return false;
	dst[(*n)++] = '}';
	return true;
}

void reply_offers(struct exchange *x)
{
	const struct snap_route *routes = snap_at(x->snapshot, x->snapshot->routes);
	const struct route_match *m = &x->g->match;
	struct reply r = {.status = 406, .content_type = SLICE("application/json")};
	char body[4096];
	size_t room = sizeof(body) - 8, n;

	n = (size_t)snprintf(body, sizeof(body),
			     "{\"error\":\"%s\",\"message\":\"nothing on offer is acceptable to the client\","
			     "\"request_id\":\"%.32s\",\"on_offer\":[",
			     reply_error_name(406), x->request_id);
	for (uint32_t i = 0; i < m->n_offers; i++) {
		size_t before = n;

		if (i)
			body[n++] = ',';
		if (!offer_put(body, room, &n, x->snapshot, &routes[m->offer[i]])) {
			n = before; // what does not fit is left out
			break;
		}
	}
	memcpy(body + n, "]}\n", 3);
	r.body = slice_of(body, n + 3);
	reply_exchange(x, &r);
}

void reply_refusal(struct exchange *x, uint16_t status, const char *message, struct slice fields)
{
	char body[512];
	struct reply r = {.status = status, .extra = fields};

	if (status != 204) { // an answer to a preflight
		error_fill(x, &r, message, body, sizeof(body));
		r.cors = cors_lines(x);
	}
	reply_exchange(x, &r);
}

void prepared_put(struct gateway *g, const struct snapshot *s, const struct snap_answer *a,
		  const char id[static SNAP_ID], bool head_only, bool keep_alive, struct pkt *p)
{
	static const char close[] = "Connection: close\r\n";
	struct slice answer = snap_text(s, a->text);
	uint32_t part = a->head - 2u; // but for the empty line
	uint32_t all = head_only ? a->head : (uint32_t)answer.n;
	uint32_t n = all + (keep_alive ? 0 : (uint32_t)sizeof(close) - 1);
	char *at;

	pkt_set_view(p, PKT_HEADROOM, 0);
	at = pkt_append(p, n);
	if (keep_alive) {
		memcpy(at, answer.p, all);
	} else {
		memcpy(at, answer.p, part);
		memcpy(at + part, close, sizeof(close) - 1);
		memcpy(at + part + sizeof(close) - 1, answer.p + part, all - part);
	}
	memcpy(at + a->date, gateway_date(g).p, SNAP_DATE);
	memcpy(at + a->id, id, SNAP_ID);
}

// The answer that control has prepared: false where this request needs another one, or there is no buffer.
static bool reply_prepared(struct exchange *x, struct pkt *spare)
{
	const struct snap_route *route = x->route;
	const struct snap_answer a = {route->answer, route->answer_head, route->answer_date, route->answer_id,
				      route->status};
	bool head_only = x->method == METHOD_HEAD;
	struct pkt *p = spare;

	if (!route->answer.n || x->minor == 0 || !http_body_done(&x->request))
		return false;
	if (!p && !(p = pkt_alloc(x->g->conf.pool)))
		return false;
	prepared_put(x->g, x->snapshot, &a, x->request_id, head_only, x->keep_alive, p);
	x->status = (uint16_t)route->status;
	x->response_started = true;
	x->bytes_out += head_only ? 0 : route->answer.n - route->answer_head;
	tcp_send(x->client, p);
	exchange_finish(x);
	return true;
}

void reply_last_hop(struct exchange *x)
{
	char allow[256];
	struct reply r = {.status = 200};
	uint32_t methods = x->route->methods ? x->route->methods : ~(1u << METHOD_CONNECT);

	if (x->method == METHOD_TRACE) {
		r.content_type = SLICE("message/http");
		r.body = x->g->reflected;
	} else {
		int n = snprintf(allow, sizeof(allow), "Allow: ");

		n += route_allow(allow + n, sizeof(allow) - (size_t)n - 3, methods);
		n += snprintf(allow + n, sizeof(allow) - (size_t)n, "\r\n");
		r.extra = slice_of(allow, (size_t)n);
	}
	reply_exchange(x, &r);
}

void reply_route(struct exchange *x, struct pkt *spare, struct slice to)
{
	const struct snapshot *s = x->snapshot;
	const struct snap_route *route = x->route;

	if (reply_prepared(x, spare))
		return;
	pkt_free_chain(spare);

	struct reply r = {.status = (uint16_t)route->status,
			  .content_type = snap_text(s, route->content_type),
			  .body = snap_text(s, route->body)};

	// Response stages edit a head view; what they leave is written as field lines.
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	struct stage_ctx ctx = {.snapshot = s,
				.now = g->now,
				.head = h,
				.client = x->remote,
				.was_kept = rewrite_kept(x),
				.cors = x->cors};
	enum stage at;
	size_t n = 0;

	h->n = 0;
	h->status = r.status;
	if (route->action == ACTION_REDIRECT)
		http_add(h, SLICE("Location"), to);
	policy_run(HOOK_RESPONSE, route->stages, route->stage_conf, &ctx, 0, &at);
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->field[i];

		if (f->dropped || n + f->name.n + f->value.n + 4 > sizeof(g->in))
			continue;
		n += (size_t)snprintf(g->in + n, sizeof(g->in) - n, "%.*s: %.*s\r\n", (int)f->name.n, f->name.p,
				      (int)f->value.n, f->value.p);
	}
	r.extra = slice_of(g->in, n);
	reply_exchange(x, &r);
}

void reply_bare(struct gateway *g, struct tcp_conn *c, uint16_t status, const char *message, bool head_only)
{
	char id[33], body[512];
	struct reply r = {.status = status,
			  .content_type = SLICE("application/json"),
			  .minor = 1,
			  .request_id = id,
			  .head_only = head_only};

	snprintf(id, sizeof(id), "%016llx%016llx", (unsigned long long)random_next(&g->random),
		 (unsigned long long)random_next(&g->random));
	r.body = slice_of(body, (size_t)error_body(body, sizeof(body), status, message, id));
	if (!reply_send(g, c, &r))
		count(g, CTR_http_overload);
}
