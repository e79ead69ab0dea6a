// Heads on their way through: what a proxy adds and takes away (RFC 9110 7.6).
#include "gateway/encode.h"
#include "gateway/rewrite.h"
#include "gateway/sticky.h"
#include "gateway/trailers.h"
#include "gateway/tunnel.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define VIA_NAME "churchgate"

struct slice text_printf(struct gateway *g, const char *format, ...)
{
	char *at = g->text + g->text_used;
	size_t room = sizeof(g->text) - g->text_used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(at, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		return (struct slice){NULL, 0};
	g->text_used += (uint32_t)n;
	return (struct slice){at, (size_t)n};
}

struct slice gateway_date(struct gateway *g)
{
	uint64_t second = (g->now + g->conf.realtime_offset) / 1000000000ull;

	if (second != g->date_second) {
		http_date(g->date, second);
		g->date_second = second;
	}
	return (struct slice){g->date, sizeof(g->date)};
}

struct pkt *pkts_from(struct gateway *g, const char *p, size_t n)
{
	struct pkt *first = NULL;

	do {
		struct pkt *q = pkt_alloc(g->conf.pool);
		size_t part = n < PKT_ROOM ? n : PKT_ROOM;

		if (!q) {
			pkt_free_chain(first);
			return NULL;
		}
		memcpy(pkt_append(q, (uint32_t)part), p, part);
		if (first)
			pkt_chain(first, q);
		else
			first = q;
		p += part;
		n -= part;
	} while (n);
	return first;
}

void send_chain(struct tcp_conn *c, struct pkt *p)
{
	while (p) {
		struct pkt *rest = pkt_unchain(p);

		tcp_send(c, p);
		p = rest;
	}
}

// A client's own id is kept when it is plain: 1 to 64 letters, digits, '-', '_' or '.'.
static bool plain_id(struct slice id)
{
	if (id.n == 0 || id.n > 64)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char ch = id.p[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
		      ch == '-' || ch == '_' || ch == '.'))
			return false;
	}
	return true;
}

// Replaces all fields of this name by one whose value is theirs, joined, and one more.
// What is added stands in g->text as the lines that are written, one behind the other, so that they are copied
// all at once.
bool forward_append(struct gateway *g, struct http_head *h, enum http_header id, struct slice name,
		    struct slice value)
{
	char *line = g->text + g->text_used, *at = line, *end = g->text + sizeof(g->text);

	if (name.n + value.n + 4 > (size_t)(end - at))
		return false;
	copy_short(at, name.p, name.n);
	at += name.n;
	memcpy(at, ": ", 2);
	at += 2;
	if (http_has(h, id)) {
		for (unsigned i = 0; i < h->n; i++) {
			struct http_field *f = &h->field[i];

			if (f->id != id || f->dropped)
				continue;
			if (f->value.n + value.n + 4 > (size_t)(end - at))
				return false;
			copy_short(at, f->value.p, f->value.n);
			at += f->value.n;
			memcpy(at, ", ", 2);
			at += 2;
			f->dropped = true;
		}
	}
	copy_short(at, value.p, value.n);
	at += value.n;
	memcpy(at, "\r\n", 2);
	at += 2;
	g->text_used += (uint32_t)(at - line);
	return http_add_line(h, id, line, name.n, (size_t)(at - line));
}

struct pkt *buffer_open(struct gateway *g, uint32_t *room)
{
	struct pkt *p = pkt_alloc(g->conf.pool);

	if (!p)
		return NULL;
	*room = pkt_tailroom(p);
	pkt_append(p, *room);
	return p;
}

static inline struct slice version_text(uint8_t minor)
{
	return minor ? SLICE("1.1 " VIA_NAME) : SLICE("1.0 " VIA_NAME);
}

// Connection-level fields are gone already, and those of the client are set (exchange_route()).
uint16_t forward_request(struct exchange *x)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	struct http_field *id;
	struct slice target = h->path;
	struct pkt *p;
	uint32_t room;
	int n;
	bool ok;

	if (h->method == METHOD_CONNECT)
		return 501;
	if (x->route->rewrites) {
		uint16_t status = rewrite_request(x);

		if (status)
			return status;
		target = h->path;
	}
	if (h->query.p && h->query.p == h->path.p + h->path.n + 1)
		target.n += 1 + h->query.n;
	else if (h->query.p)
		target = text_printf(g, "%.*s?%.*s", (int)h->path.n, h->path.p, (int)h->query.n, h->query.p);
	ok = forward_line(g, h, HDR_via, SLICE("Via"), version_text(x->minor));
	id = http_find_id(h, HDR_x_request_id);
	if (!id || !plain_id(id->value)) {
		http_drop_id(h, HDR_x_request_id);
		ok = ok && forward_line(g, h, HDR_x_request_id, SLICE("X-Request-Id"),
					slice_of(x->request_id, sizeof(x->request_id)));
	}
	if (trailers_due(x, h)) {
		trailers_begin(x);
		ok = ok && trailers_ask(x);
	}
	if (!ok || !target.p)
		return 431;

	p = buffer_open(g, &room);
	if (!p)
		return 503;
	n = http_write_request(pkt_data(p), room, h, target, x->request.framing, x->request.left);
	if (n < 0) {
		pkt_free(p);
		n = http_write_request(g->out, sizeof(g->out), h, target, x->request.framing, x->request.left);
		if (n < 0)
			return 431;
		p = pkts_from(g, g->out, (size_t)n);
		if (!p)
			return 503;
	} else {
		pkt_trim(p, room - (uint32_t)n);
	}
	x->head = p;
	return 0;
}

// In x->head: in its buffer where it has one still, as the request's head has done its work.
static int write_response(struct exchange *x, enum http_framing out, uint64_t length, bool keep_length,
			  struct slice connection)
{
	struct gateway *g = x->g;
	struct pkt *p = x->head;
	uint32_t room;
	int n;

	x->head = NULL;
	if (p && !pkt_next(p)) {
		pkt_set_view(p, PKT_HEADROOM, 0);
		room = pkt_tailroom(p);
		pkt_append(p, room);
	} else {
		pkt_free_chain(p);
		p = buffer_open(g, &room);
	}
	if (!p)
		return -ENOBUFS;
	n = http_write_response(pkt_data(p), room, &g->head, out, length, keep_length, connection);
	if (n < 0) {
		pkt_free(p);
		n = http_write_response(g->out, sizeof(g->out), &g->head, out, length, keep_length, connection);
		if (n < 0)
			return -EMSGSIZE;
		p = pkts_from(g, g->out, (size_t)n);
		if (!p)
			return -ENOBUFS;
	} else {
		pkt_trim(p, room - (uint32_t)n);
	}
	x->head = p;
	return 0;
}

int forward_interim(struct exchange *x)
{
	int err;

	http_drop_hop_by_hop(&x->g->head);
	err = write_response(x, FRAMING_NONE, 0, false, SLICE(""));
	if (err)
		return err;
	send_chain(x->client, x->head);
	x->head = NULL;
	return 0;
}

// false: what comes out does not fit. *coding, *level: what the body is to be compressed with.
static bool response_stages(struct exchange *x, enum coding *coding, unsigned *level)
{
	struct gateway *g = x->g;
	struct stage_ctx ctx = {.snapshot = x->snapshot,
				.now = g->now,
				.head = &g->head,
				.client = x->remote,
				.was_kept = rewrite_kept(x),
				.cors = x->cors,
				.coding = x->coding,
				.encoder_free = encoders_free(g->encoders) > 0,
				.text = g->text + g->text_used,
				.text_room = (uint32_t)sizeof(g->text) - g->text_used};
	enum stage at;

	if (policy_run(HOOK_RESPONSE, x->route->stages, x->route->stage_conf, &ctx, 0, &at) != VERDICT_PASS)
		return false;
	if (ctx.encoder_missed)
		count(g, CTR_compress_none_left);
	if (x->route->stages & 1u << STAGE_compress) {
		*coding = (enum coding)ctx.coding;
		*level = ctx.level;
	}
	return true;
}

int forward_response(struct exchange *x, enum http_framing out, uint64_t length)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	// What the upstream said of a body that HEAD and 304 leave out is passed on.
	bool keep_length = out == FRAMING_NONE && (x->method == METHOD_HEAD || h->status == 304);
	struct slice connection = !x->keep_alive  ? SLICE("close")
				  : x->minor == 0 ? SLICE("keep-alive")
						  : SLICE("");
	struct slice stated = {NULL, 0};
	enum coding coding = CODING_NONE;
	unsigned level = 0;
	bool ok;

	if (plain_response(x, out))
		return 0;
	g->text_used = 0;
	if (keep_length) {
		struct http_field *f = http_find_id(h, HDR_content_length);

		if (f)
			stated = f->value;
	}
	http_drop_hop_by_hop(h);
	ok = forward_line(g, h, HDR_via, SLICE("Via"), version_text(h->minor));
	if (!http_find_id(h, HDR_date))
		ok = ok && forward_line(g, h, HDR_date, SLICE("Date"), gateway_date(g));
	if (!http_find_id(h, HDR_x_request_id))
		ok = ok && forward_line(g, h, HDR_x_request_id, SLICE("X-Request-Id"),
					slice_of(x->request_id, sizeof(x->request_id)));
	if (x->trailers & TRAILERS_TO_CLIENT)
		ok = ok && trailers_answer(x, out == FRAMING_CHUNKED);
	if (x->tunnel)
		ok = ok && tunnel_response(x, h, &connection);
	if (x->route->sticky == STICKY_COOKIE)
		ok = ok && sticky_answer(x, h);
	if (!ok || (x->route->stages && !response_stages(x, &coding, &level)))
		return -EMSGSIZE;
	if (coding != CODING_NONE && out != FRAMING_NONE) {
		encode_begin(x, coding, level);
		x->out_framing = out = FRAMING_CHUNKED;
	}
	if (keep_length && stated.n)
		length = h->length;
	return write_response(x, out, length, keep_length && stated.n && coding == CODING_NONE, connection);
}
