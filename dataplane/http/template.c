#include "http/template.h"
#include <string.h>

struct out {
	char *dst;
	size_t n, room; // n > room: it did not fit
};

static void put(struct out *o, char c)
{
	if (o->n < o->room)
		o->dst[o->n] = c;
	o->n++;
}

static void put_encoded(struct out *o, unsigned char c)
{
	put(o, '%');
	put(o, "0123456789ABCDEF"[c >> 4]);
	put(o, "0123456789ABCDEF"[c & 15]);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool unreserved(char c) // RFC 3986 2.3
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~", c));
}

// Part of a URI already: what is percent-encoded stays so.
static bool from_uri(enum snap_piece_kind kind)
{
	return kind == PIECE_PATH || kind == PIECE_QUERY || kind == PIECE_REST || kind == PIECE_CAPTURE ||
	       kind == PIECE_PARAMETER;
}

// Whether the byte means in this place what it meant where it comes from.
static bool stays(char c, enum snap_piece_kind kind, enum snap_escape escape)
{
	bool path = kind == PIECE_PATH || kind == PIECE_REST || kind == PIECE_CAPTURE;

	if (unreserved(c))
		return true;
	if (c == '\0')
		return false;
	if (kind == PIECE_HOST || kind == PIECE_AUTHORITY)
		return strchr(":[]", c) != NULL;
	if (kind == PIECE_QUERY)
		return strchr("!$&'()*+,;=:@/?", c) != NULL;
	if (escape == ESCAPE_PATH)
		return strchr(path ? "!$&'()*+,;=:@/" : "!$&'()*,;=:@", c) != NULL;
	return strchr(kind == PIECE_PARAMETER ? "!$'()*+,:@/?" : "!$'()*,:@/?", c) != NULL;
}

static void put_uri(struct out *o, struct slice s, enum snap_piece_kind kind, enum snap_escape escape)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && from_uri(kind) && s.n - i > 2 && is_hex(s.p[i + 1]) &&
		    is_hex(s.p[i + 2])) {
			for (unsigned k = 0; k < 3; k++)
				put(o, s.p[i + k]);
			i += 2;
		} else if (s.p[i] == '+' && kind == PIECE_PARAMETER && escape == ESCAPE_PATH) {
			put_encoded(o, ' ');
		} else if (stays(s.p[i], kind, escape)) {
			put(o, s.p[i]);
		} else {
			put_encoded(o, (unsigned char)s.p[i]);
		}
	}
}

static void put_field(struct out *o, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		put(o, (c < 0x20 && c != '\t') || c == 0x7f ? '_' : (char)c);
	}
}

static void put_literal(struct out *o, struct slice s)
{
	if (o->n <= o->room && s.n <= o->room - o->n && s.n)
		memcpy(o->dst + o->n, s.p, s.n);
	o->n += s.n;
}

static struct slice pair_find(struct slice list, char separator, struct slice name)
{
	const char *p = list.p, *end = list.p + list.n;

	while (p < end) {
		const char *stop = memchr(p, separator, (size_t)(end - p)), *eq;

		stop = stop ? stop : end;
		while (p < stop && *p == ' ')
			p++;
		eq = p < stop ? memchr(p, '=', (size_t)(stop - p)) : NULL;
		if (eq && slice_eq(slice_of(p, (size_t)(eq - p)), name))
			return slice_of(eq + 1, (size_t)(stop - eq - 1));
		p = stop + (stop < end);
	}
	return slice_of("", 0);
}

static struct slice header_find(const struct http_head *h, struct slice name)
{
	for (unsigned i = 0; i < h->n; i++)
		if (!h->field[i].dropped && slice_ieq(h->field[i].name, name))
			return h->field[i].value;
	return slice_of("", 0);
}

static struct slice cookie_find(const struct http_head *h, struct slice name)
{
	for (unsigned i = 0; i < h->n; i++) {
		struct slice v = slice_of("", 0);

		if (!h->field[i].dropped && slice_ieq(h->field[i].name, SLICE("cookie")))
			v = pair_find(h->field[i].value, ';', name);
		if (v.n)
			return v;
	}
	return slice_of("", 0);
}

static struct slice value(const struct template_values *v, const struct snap_piece *p)
{
	struct slice text = snap_text(v->snapshot, p->text);

	switch ((enum snap_piece_kind)p->kind) {
	case PIECE_LITERAL:
		return text;
	case PIECE_CLIENT_IP:
		return v->client;
	case PIECE_REQUEST_ID:
		return v->request_id;
	case PIECE_LISTENER:
		return v->listener;
	case PIECE_METHOD:
		return v->head->method_text;
	case PIECE_SCHEME:
		return SLICE("http");
	case PIECE_HOST:
		return v->head->host;
	case PIECE_AUTHORITY:
		return v->head->authority;
	case PIECE_PATH:
		return v->head->path;
	case PIECE_QUERY:
		return v->head->query;
	case PIECE_REST:
		return v->rest;
	case PIECE_CAPTURE:
		return p->number < v->n_captures ? v->capture[p->number] : slice_of("", 0);
	case PIECE_HEADER:
		return header_find(v->head, text);
	case PIECE_COOKIE:
		return cookie_find(v->head, text);
	case PIECE_PARAMETER:
		return v->head->query.n ? pair_find(v->head->query, '&', text) : slice_of("", 0);
	case PIECES:
		break;
	}
	return slice_of("", 0);
}

int template_expand(const struct template_values *v, struct snap_ref pieces, char *dst, size_t room)
{
	const struct snap_piece *p = snap_at(v->snapshot, pieces);
	struct out o = {dst, 0, room};

	for (uint32_t i = 0; i < pieces.n; i++) {
		struct slice s = value(v, &p[i]);

		if (p[i].kind == PIECE_LITERAL)
			put_literal(&o, s);
		else if (p[i].escape == ESCAPE_FIELD)
			put_field(&o, s);
		else
			put_uri(&o, s, (enum snap_piece_kind)p[i].kind, (enum snap_escape)p[i].escape);
	}
	return o.n <= room ? (int)o.n : -1;
}
