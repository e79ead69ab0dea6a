// What proxies before us said of the client, and what upstreams are told of it (X-Forwarded-*, RFC 7239).
//
// A field says what its sender wants it to say. So it is believed only where a trusted proxy sent it, and the
// client is the nearest address that is none of theirs; what anybody else sent is replaced.
#include "gateway/exchange.h"

#define BIT(field) (1u << FORWARDED_##field)

static bool trusted(const struct exchange *x, struct addr a)
{
	const struct snap_address *net = snap_at(x->snapshot, x->listener->trusted);

	for (uint32_t i = 0; i < x->listener->trusted.n; i++)
		if (addr_is_v4(a) == addr_is_v4(net[i].addr) && addr_in_prefix(a, net[i].addr, net[i].prefix))
			return true;
	return false;
}

bool forwarded_client(struct exchange *x)
{
	struct gateway *g = x->g;
	enum http_header id =
		x->listener->client_from == CLIENT_FROM_FORWARDED ? HDR_forwarded : HDR_x_forwarded_for;
	const struct forwarded_hop *hop;

	g->client_hop = NULL;
	x->remote = client_peer(x);
	if (!trusted(x, x->remote))
		return false;
	if (!forwarded_parse(&g->head, id, &g->forwarded)) {
		count(g, CTR_http_forwarded_bad);
		http_drop_id(&g->head, id);
		return true;
	}
	for (uint32_t i = 0; (hop = forwarded_hop(&g->forwarded, i)) && trusted(x, x->remote); i++) {
		if (!forwarded_node(hop->node, &x->remote)) {
			count(g, CTR_http_forwarded_bad); // the client is who we know of
			break;
		}
		g->client_hop = hop;
	}
	return true;
}

static struct slice address(struct gateway *g, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	return text_printf(g, "%s", addr_text(a, text));
}

static struct slice element(struct exchange *x, struct addr a)
{
	struct slice host = x->g->head.authority;
	const char *format =
		addr_is_v4(a) ? "for=%s;host=\"%.*s\";proto=http" : "for=\"[%s]\";host=\"%.*s\";proto=http";
	char text[ADDR_TEXT_MAX];

	return text_printf(x->g, format, addr_text(a, text), (int)host.n, host.p);
}

static bool keep(struct http_head *h, enum http_header id, struct slice name, struct slice value)
{
	return http_find_id(h, id) || http_add(h, name, value);
}

static bool replace(struct http_head *h, enum http_header id, struct slice name, struct slice value)
{
	http_drop_id(h, id);
	return value.n == 0 || http_add(h, name, value);
}

typedef bool field_fn(struct http_head *h, enum http_header id, struct slice name, struct slice value);

// Of the fields that say what was asked for.
static bool asked(struct exchange *x, field_fn *put, struct slice proto, struct slice host)
{
	struct http_head *h = &x->g->head;
	unsigned which = x->listener->forwarded;
	bool ok = true;

	if (which & BIT(PROTO))
		ok = put(h, HDR_x_forwarded_proto, SLICE("X-Forwarded-Proto"), proto);
	if (which & BIT(HOST))
		ok = ok && put(h, HDR_x_forwarded_host, SLICE("X-Forwarded-Host"), host);
	if (which & BIT(PORT))
		ok = ok && put(h, HDR_x_forwarded_port, SLICE("X-Forwarded-Port"),
			       text_printf(x->g, "%u", client_port_asked(x)));
	return ok;
}

static void drop_those(struct http_head *h, uint32_t ids)
{
	if (!(h->have & ids))
		return;
	for (unsigned i = 0; i < h->n; i++)
		h->field[i].dropped |= ids >> h->field[i].id & 1;
	h->have &= ~ids;
}

// A trusted proxy asks. What its believed field says goes on, with the proxy itself behind.
static bool from_trusted(struct exchange *x)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	unsigned which = x->listener->forwarded;
	const struct forwarded_hop *hop = g->client_hop;
	bool ok = true;

	drop_those(h, (which & BIT(FOR) ? 0 : 1u << HDR_x_forwarded_for) |
			      (which & BIT(PROTO) ? 0 : 1u << HDR_x_forwarded_proto) |
			      (which & BIT(HOST) ? 0 : 1u << HDR_x_forwarded_host) |
			      (which & BIT(PORT) ? 0 : 1u << HDR_x_forwarded_port) |
			      (which & BIT(RFC7239) ? 0 : 1u << HDR_forwarded));
	if (x->listener->client_from == CLIENT_FROM_X_FORWARDED_FOR) {
		if (which & BIT(FOR))
			ok = forward_append(g, h, HDR_x_forwarded_for, SLICE("X-Forwarded-For"),
					    address(g, client_peer(x)));
		if (which & BIT(RFC7239))
			ok = ok && replace(h, HDR_forwarded, SLICE("Forwarded"), element(x, x->remote));
		return ok && asked(x, keep, SLICE("http"), h->authority);
	}
	if (which & BIT(RFC7239))
		ok = forward_append(g, h, HDR_forwarded, SLICE("Forwarded"), element(x, client_peer(x)));
	if (which & BIT(FOR))
		ok = ok && replace(h, HDR_x_forwarded_for, SLICE("X-Forwarded-For"), address(g, x->remote));
	return ok &&
	       asked(x, replace, hop && slice_ieq(hop->proto, SLICE("https")) ? SLICE("https") : SLICE("http"),
		     hop && hop->host.n && http_authority_ok(hop->host) ? hop->host : h->authority);
}

static struct slice local_authority(const struct exchange *x)
{
	struct tcp_info info;
	char text[ADDR_TEXT_MAX];
	const char *format;

	tcp_get_info(x->client, &info);
	format = addr_is_v4(info.local) ? "%s:%u" : "[%s]:%u";
	return text_printf(x->g, format, addr_text(info.local, text), info.local_port);
}

bool forwarded_fields(struct exchange *x)
{
	struct gateway *g = x->g;
	struct http_head *h = &g->head;
	unsigned which = x->listener->forwarded;
	bool ok = true;

	g->text_used = 0;
	if (h->authority.n == 0) // HTTP/1.0 may leave Host out, 1.1 may not (RFC 9112 3.2): where it came to
		h->authority = local_authority(x);
	// To many a server behind us X_Forwarded_For is X-Forwarded-For, and Content_Length Content-Length:
	// what we have not understood as such must not arrive as such.
	drop_those(h, 1u << HDR_misspelt);
	if (g->peer_trusted)
		return from_trusted(x);
	drop_those(h, 1u << HDR_x_forwarded_for | 1u << HDR_x_forwarded_proto | 1u << HDR_x_forwarded_host |
			      1u << HDR_x_forwarded_port | 1u << HDR_forwarded);
	if (which & BIT(FOR)) {
		char text[ADDR_TEXT_MAX];
		const char *addr = addr_text(x->remote, text);

		ok = forward_line(g, h, HDR_x_forwarded_for, SLICE("X-Forwarded-For"),
				  slice_of(addr, strlen(addr)));
	}
	if (which & BIT(PROTO))
		ok = ok && forward_line(g, h, HDR_x_forwarded_proto, SLICE("X-Forwarded-Proto"), SLICE("http"));
	if (which & (BIT(HOST) | BIT(PORT)))
		ok = ok && asked(x, replace, SLICE("http"), h->authority);
	if (which & BIT(RFC7239))
		ok = ok && http_add(h, SLICE("Forwarded"), element(x, x->remote));
	return ok;
}
