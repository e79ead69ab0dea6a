// Heads that pass as they came, but for a few lines that we add: the one that is forwarded is put together from
// runs of the bytes received. What makes a head another one (a stage, a rewrite, a field that goes or that we
// have a say in, a line in another form than usual) is asked for at the top; such heads are edited and written
// field by field (forward.c), and both ways give the same bytes.
#include "gateway/trailers.h"
#include "http/fold.h"

#define BIT(id) (1u << HDR_##id)
// Lines of which no head, or no request, or no response that has one is plain.
#define EDITED                                                                                                 \
	(BIT(proxy_connection) | BIT(te) | BIT(trailer) | BIT(upgrade) | BIT(proxy_authorization) | BIT(via) | \
	 BIT(x_request_id))
#define EDITED_REQUEST                                                                                         \
	(EDITED | BIT(transfer_encoding) | BIT(max_forwards) | BIT(x_forwarded_for) | BIT(x_forwarded_proto) | \
	 BIT(x_forwarded_host) | BIT(x_forwarded_port) | BIT(forwarded) | BIT(misspelt))
#define EDITED_RESPONSE (EDITED | BIT(host))
// Lines that are left out; the length is said again at the end.
#define LEFT_OUT (BIT(connection) | BIT(keep_alive) | BIT(content_length) | BIT(transfer_encoding))

#define ADDED_MAX 320 // bytes of the lines that are added

static inline char *put(char *at, const char *p, size_t n)
{
	copy_short(at, p, n);
	return at + n;
}
#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

// All lines as they are mostly written, none of `edited` among them, and a Connection that names none of them.
static inline bool fields_plain(const struct http_head *h, uint32_t edited)
{
	if (h->odd_lines || (h->have & edited) || h->n == 0)
		return false;
	if (!http_has(h, HDR_connection))
		return true;
	for (unsigned i = 0; i < h->n; i++)
		if (h->field[i].id == HDR_connection && !FOLDED(h->field[i].value, "keep-alive"))
			return false;
	return true;
}

// All from `from`, which stands in front of the fields, to the last of them.
static inline char *lines_put(char *at, const char *from, const struct http_head *h, struct slice *length)
{
	const struct http_field *f = h->field, *const end = f + h->n;

	if (h->have & LEFT_OUT)
		for (; f < end; f++) {
			if (!(LEFT_OUT >> f->id & 1))
				continue;
			if (f->id == HDR_content_length)
				*length = f->value;
			at = put(at, from, (size_t)(f->name.p - from));
			from = f->name.p + f->line;
		}
	return put(at, from, (size_t)(end[-1].name.p + end[-1].line - from));
}

static inline char *length_put(char *at, struct slice length)
{
	at = PUT(at, "Content-Length: ");
	at = put(at, length.p, length.n);
	return PUT(at, "\r\n");
}

// Its digits are as we would write them.
static inline bool length_plain(const struct http_head *h)
{
	const struct http_field *f = h->field;

	if (!http_has(h, HDR_content_length))
		return true;
	while (f->id != HDR_content_length)
		f++;
	return f->value.n < 20 && (f->value.p[0] != '0' || f->value.n == 1);
}

// It is a path, maybe with a query, and nobody has changed it.
static inline bool target_plain(const struct http_head *h)
{
	return h->path.p == h->target.p && h->path.n + (h->query.p ? 1 + h->query.n : 0) == h->target.n;
}

static inline bool request_is_plain(const struct exchange *x, const struct http_head *h)
{
	const struct snap_route *r = x->route;
	const struct http_field *host = h->field;
	const char *version = h->target.p + h->target.n + 1;

	return h->minor == 1 && fields_plain(h, EDITED_REQUEST) && length_plain(h) && target_plain(h) &&
	       host->id == HDR_host && host->value.n && memcmp(host->name.p, "Host", 4) == 0 &&
	       version + 10 == host->name.p && memcmp(version, "HTTP/1.1", 8) == 0 &&
	       x->listener->forwarded == (1u << FORWARDED_FOR | 1u << FORWARDED_PROTO) && !x->g->peer_trusted &&
	       !r->rewrites && !r->sticky && r->trailers_response != TRAILERS_PASS;
}

// Its buffer has nothing else, none of its lines goes, and what is added finds room behind them.
static inline bool extends(const struct pkt *p, const struct http_head *h, uint32_t head_length)
{
	return !(h->have & LEFT_OUT) && pkt_len(p) == head_length && pkt_data(p) == h->method_text.p &&
	       pkt_exclusive(p) && pkt_tailroom(p) >= ADDED_MAX && pkt_headroom(p) >= HEADERS_ROOM &&
	       !pkt_small(p);
}

bool plain_request(struct exchange *x, uint32_t *head_length)
{
	const struct http_head *h = &x->g->head;
	struct slice length = {NULL, 0};
	char text[ADDR_TEXT_MAX];
	uint32_t room;
	struct pkt *p = tcp_recv_peek(x->client);
	char *at;

	if (*head_length + ADDED_MAX > PKT_ROOM || !request_is_plain(x, h))
		return false;
	if (extends(p, h, *head_length)) {
		const struct http_field *last = &h->field[h->n - 1];

		tcp_recv_take(x->client);
		at = pkt_data(p) + (last->name.p + last->line - h->method_text.p);
		room = *head_length + ADDED_MAX;
		pkt_append(p, ADDED_MAX);
		*head_length = 0;
	} else {
		p = buffer_open(x->g, &room);
		if (!p)
			return false;
		at = lines_put(pkt_data(p), h->method_text.p, h, &length);
	}
	at = PUT(at, "X-Forwarded-For: ");
	if (addr_is_v4(x->remote)) {
		at = addr_v4_put(at, x->remote);
	} else {
		addr_text(x->remote, text);
		at = put(at, text, strlen(text));
	}
	at = PUT(at, "\r\nX-Forwarded-Proto: http\r\nVia: 1.1 churchgate\r\nX-Request-Id: ");
	memcpy(at, x->request_id, 32);
	at = PUT(at + 32, "\r\n");
	if (length.n)
		at = length_put(at, length);
	at = PUT(at, "\r\n");
	pkt_trim(p, room - (uint32_t)(at - (char *)pkt_data(p)));
	x->head = p;
	return true;
}

static inline bool response_is_plain(const struct exchange *x, const struct http_head *h, enum http_framing out)
{
	const char *begin = h->method_text.p;

	return h->minor == 1 && x->minor == 1 && (out == FRAMING_LENGTH || out == FRAMING_CHUNKED) &&
	       fields_plain(h, EDITED_RESPONSE) && length_plain(h) && h->reason.p == begin + 13 &&
	       h->field[0].name.p == h->reason.p + h->reason.n + 2 && memcmp(begin, "HTTP/1.1", 8) == 0 &&
	       !x->route->stages && x->route->sticky != STICKY_COOKIE && !x->tunnel && !x->trailers;
}

__attribute__((noinline)) bool plain_response(struct exchange *x, enum http_framing out)
{
	struct gateway *g = x->g;
	const struct http_head *h = &g->head;
	const char *begin = h->method_text.p;
	struct pkt *p = x->head;
	struct slice length = {NULL, 0};
	uint32_t room;
	char *at;

	if (!response_is_plain(x, h, out) ||
	    h->field[h->n - 1].name.p + h->field[h->n - 1].line - begin + ADDED_MAX > PKT_ROOM)
		return false;
	if (p && !pkt_next(p)) { // the request's head has done its work
		pkt_set_view(p, PKT_HEADROOM, 0);
		room = pkt_tailroom(p);
		pkt_append(p, room);
	} else {
		struct pkt *fresh = buffer_open(g, &room);

		if (!fresh)
			return false;
		pkt_free_chain(p);
		x->head = p = fresh;
	}
	at = lines_put(pkt_data(p), begin, h, &length);
	at = PUT(at, "Via: 1.1 churchgate\r\n");
	if (!http_has(h, HDR_date)) {
		at = PUT(at, "Date: ");
		at = put(at, gateway_date(g).p, sizeof(g->date));
		at = PUT(at, "\r\n");
	}
	at = PUT(at, "X-Request-Id: ");
	memcpy(at, x->request_id, 32);
	at = PUT(at + 32, "\r\n");
	at = out == FRAMING_LENGTH ? length_put(at, length) : PUT(at, "Transfer-Encoding: chunked\r\n");
	if (!x->keep_alive)
		at = PUT(at, "Connection: close\r\n");
	at = PUT(at, "\r\n");
	pkt_trim(p, room - (uint32_t)(at - (char *)pkt_data(p)));
	return true;
}
