// Trailers on their way through (RFC 9110 6.5, RFC 9112 7.1.2): to a client that says TE: trailers, or where
// the route says so; to upstreams where the route says so. All others end here, and are counted.
//
// A trailer section waits in the receive queue until it is whole, as a head does, and is bounded as one.
#include "gateway/trailers.h"
#include "http/scan.h"
#include "http/trailer.h"
#include "policy/headers/headers.h"
#include <errno.h>

static bool te_trailers(struct http_head *h)
{
	struct slice list, member;

	for (unsigned i = 0; i < h->n; i++) {
		if (h->field[i].id != HDR_te)
			continue;
		for (list = h->field[i].value; http_list_next(&list, &member);)
			if (slice_ieq(member, SLICE("trailers")))
				return true;
	}
	return false;
}

// What Connection names goes, among the trailers too (RFC 9110 7.6.1). Its names are not kept until they come:
// of a message that names any but those which are known, no trailer is passed on.
static bool connection_plain(const struct http_head *h)
{
	static const struct slice known[] = {SLICE("close"),   SLICE("keep-alive"), SLICE("te"),
					     SLICE("trailer"), SLICE("upgrade"),    SLICE("transfer-encoding")};
	struct slice list, option;
	unsigned k;

	for (unsigned i = 0; i < h->n; i++) {
		if (h->field[i].id != HDR_connection)
			continue;
		for (list = h->field[i].value; http_list_next(&list, &option);) {
			for (k = 0; k < sizeof(known) / sizeof(known[0]); k++)
				if (slice_ieq(option, known[k]))
					break;
			if (k == sizeof(known) / sizeof(known[0]))
				return false;
		}
	}
	return true;
}

void trailers_begin(struct exchange *x)
{
	struct http_head *h = &x->g->head;
	const struct snap_route *r = x->route;

	x->trailers = 0;
	if (h->framing == FRAMING_CHUNKED && r->trailers_request == TRAILERS_PASS && connection_plain(h))
		x->trailers |= TRAILERS_TO_UPSTREAM;
	if (h->minor >= 1 && !h->upgrade &&
	    (r->trailers_response == TRAILERS_PASS ||
	     (r->trailers_response == TRAILERS_ACCEPTED && te_trailers(h))))
		x->trailers |= TRAILERS_TO_CLIENT;
}

/* ---- which may pass ---- */

static bool edited(const struct exchange *x, struct slice name)
{
	const struct snapshot *s = x->snapshot;
	struct snap_ref edits = headers_edits(s, x->route, true);
	const struct snap_limit *limit = snap_at(s, s->limits);

	for (uint32_t i = 0; i < edits.n; i++)
		if (slice_ieq(headers_edit_name(s, edits, i), name))
			return true;
	for (uint32_t i = 0; i < s->limits.n; i++)
		if (limit[i].header.n && slice_ieq(snap_text(s, limit[i].header), name))
			return true;
	return false;
}

// Names that the route sets or removes in its answers: kept, as the route is not known any more when they come.
static bool withhold(struct exchange *x)
{
	struct snap_ref edits = headers_edits(x->snapshot, x->route, false);

	if (!edits.n)
		return true;
	x->withheld = pkt_alloc(x->g->conf.pool);
	for (uint32_t i = 0; x->withheld && i < edits.n; i++) {
		struct slice name = headers_edit_name(x->snapshot, edits, i);
		uint16_t n = (uint16_t)name.n;

		if (pkt_tailroom(x->withheld) < sizeof(n) + n)
			return false;
		memcpy(pkt_append(x->withheld, sizeof(n)), &n, sizeof(n));
		memcpy(pkt_append(x->withheld, n), name.p, n);
	}
	return x->withheld;
}

static bool withheld(const struct exchange *x, struct slice name)
{
	struct slice left = x->withheld ? pkt_slice(x->withheld) : slice_of("", 0);
	uint16_t n;

	for (; left.n; left = slice_of(left.p + sizeof(n) + n, left.n - sizeof(n) - n)) {
		memcpy(&n, left.p, sizeof(n));
		if (slice_ieq(slice_of(left.p + sizeof(n), n), name))
			return true;
	}
	return false;
}

static bool passes(const struct exchange *x, unsigned way, struct slice name)
{
	if (!(x->trailers & way) || !http_trailer_allowed(name))
		return false;
	return way == TRAILERS_TO_CLIENT ? !withheld(x, name) : x->route && !edited(x, name);
}

/* ---- what heads say of them ---- */

// Trailer with those of its names that may come, in the place of what the sender wrote.
static bool trailer_field(struct exchange *x, unsigned way)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	char *line = g->text + g->text_used, *at = line, *end = g->text + sizeof(g->text);
	struct slice list, name;
	unsigned n = 0;

	if (!http_has(h, HDR_trailer))
		return true;
	if (end - at < 9)
		return false;
	at = mempcpy(at, "Trailer: ", 9);
	for (unsigned i = 0, fields = h->n; i < fields; i++) {
		if (h->field[i].id != HDR_trailer)
			continue;
		for (list = h->field[i].value; http_list_next(&list, &name);) {
			if (scan_bytes(name.p, name.p + name.n, SCAN_TCHAR) != name.p + name.n ||
			    !passes(x, way, name))
				continue;
			if ((size_t)(end - at) < name.n + 4)
				return false;
			if (n++)
				at = mempcpy(at, ", ", 2);
			at = mempcpy(at, name.p, name.n);
		}
	}
	if (!n)
		return true;
	at = mempcpy(at, "\r\n", 2);
	g->text_used += (uint32_t)(at - line);
	return http_add_line(h, HDR_trailer, line, 7, (size_t)(at - line));
}

bool trailers_ask(struct exchange *x)
{
	struct gateway *g = x->g;

	if ((x->trailers & TRAILERS_TO_CLIENT) &&
	    (!forward_line(g, &g->head, HDR_te, SLICE("TE"), SLICE("trailers")) ||
	     !forward_line(g, &g->head, HDR_connection, SLICE("Connection"), SLICE("TE"))))
		return false;
	return !(x->trailers & TRAILERS_TO_UPSTREAM) || trailer_field(x, TRAILERS_TO_UPSTREAM);
}

bool trailers_answer(struct exchange *x, bool chunked)
{
	if (!chunked || x->response.framing != FRAMING_CHUNKED || !connection_plain(&x->g->head) ||
	    !withhold(x)) {
		x->trailers &= (uint8_t)~TRAILERS_TO_CLIENT;
		return true;
	}
	return trailer_field(x, TRAILERS_TO_CLIENT);
}

/* ---- the section itself ---- */

// The fields of g->head that pass, behind the last chunk's size line. NULL: none do, and *err is 0, or there is
// no buffer.
static struct pkt *section(struct exchange *x, unsigned way, int *err)
{
	struct gateway *g = x->g;
	char *at = g->out;
	unsigned n = 0;
	struct pkt *p;

	_Static_assert(sizeof(g->out) >= 2 * SNAP_HEAD_MAX,
		       "a section with a blank more in each line, and its end");
	*err = 0;
	at = mempcpy(at, "0\r\n", 3);
	for (unsigned i = 0; i < g->head.n; i++) {
		const struct http_field *f = &g->head.field[i];

		if (!passes(x, way, f->name))
			continue;
		n++;
		at = mempcpy(at, f->name.p, f->name.n);
		at = mempcpy(at, ": ", 2);
		at = mempcpy(at, f->value.p, f->value.n);
		at = mempcpy(at, "\r\n", 2);
	}
	if (n) {
		at = mempcpy(at, "\r\n", 2);
		p = pkts_from(g, g->out, (size_t)(at - g->out));
		if (!p) {
			*err = -ENOBUFS;
			return NULL;
		}
	}
	stat_add(&g->conf.stats->c[CTR_http_trailers], n);
	stat_add(&g->conf.stats->c[CTR_http_trailers_dropped], g->head.n - n);
	return n ? p : NULL;
}

enum relay trailers_relay(struct exchange *x, unsigned way)
{
	struct gateway *g = x->g;
	bool request = way == TRAILERS_TO_UPSTREAM;
	struct http_body *in = request ? &x->request : &x->response;
	struct tcp_conn *from = request ? x->client : x->attempt->conn->tcp;
	const struct snap_listener *l = gateway_listener(g, tcp_conn_tag(x->client));
	struct http_limits limits = http_limits_of(request ? l->max_head : SNAP_HEAD_MAX);
	uint32_t scanned = (uint32_t)in->left;
	struct pkt *p;
	int n, err;

	if (request)
		limits.fields = l->max_fields;
	n = trailers_parse(g, from, &scanned, &limits);
	in->left = scanned;
	if (n == HTTP_MORE) {
		tcp_recv_shrink(from, g->conf.small);
		return RELAY_MORE;
	}
	if (n < 0) {
		in->fault = (uint8_t)-n;
		return RELAY_FAULT;
	}
	p = section(x, way, &err);
	if (err)
		return RELAY_NO_BUFFER;
	tcp_recv_skip(from, (uint32_t)n);
	http_body_end(in);
	if (!p)
		return RELAY_DONE;
	send_chain(request ? x->attempt->conn->tcp : x->client, p);
	return RELAY_ENDED;
}
