// The PROXY protocol: what stands in front of a client's first request, and of ours to an upstream.
//
// Whoever may send it says who the client is. So a listener takes it from those that it trusts, where it names
// any, and a connection that should have one and has not is closed without a word.
#include "gateway/exchange.h"

static bool sender_trusted(const struct gateway *g, const struct snap_listener *l, struct addr a)
{
	const struct snap_address *net = snap_at(gateway_snapshot(g), l->trusted);

	for (uint32_t i = 0; i < l->trusted.n; i++)
		if (addr_is_v4(a) == addr_is_v4(net[i].addr) && addr_in_prefix(a, net[i].addr, net[i].prefix))
			return true;
	return false;
}

enum preface preface_begin(struct gateway *g, const struct tcp_conn *c, const struct snap_listener *l)
{
	if (l->trusted.n == 0 || sender_trusted(g, l, tcp_remote(c)))
		return PREFACE_MORE;
	if (l->proxy_protocol == PROXY_PROTOCOL_ACCEPT)
		return PREFACE_NONE;
	count(g, CTR_http_proxy_refused);
	return PREFACE_BAD;
}

// Its bytes, out of several buffers if need be.
static struct slice bytes(struct gateway *g, const struct tcp_conn *c, size_t max)
{
	size_t n = 0;

	for (struct pkt *p = tcp_recv_peek(c); p && n < max; p = tcp_recv_peek_next(p)) {
		size_t part = pkt_len(p) < max - n ? pkt_len(p) : max - n;

		memcpy(g->in + n, pkt_data(p), part);
		n += part;
	}
	return slice_of(g->in, n);
}

static int parse(struct gateway *g, const struct tcp_conn *c, struct proxy_header *h)
{
	struct slice s = pkt_slice(tcp_recv_peek(c));
	int n = proxy_parse(s.p, s.n, h);

	// It comes in one segment but from those who want to be difficult: then what is known of its length
	// saves looking at each byte again and again.
	if (n == 0 && h->need <= tcp_recv_len(c)) {
		s = bytes(g, c, PROXY_MAX);
		n = proxy_parse(s.p, s.n, h);
	}
	return n;
}

enum preface preface_read(struct gateway *g, struct tcp_conn *c, const struct snap_listener *l)
{
	struct proxy_header *h = &g->proxied[tcp_conn_index(c)];
	int n = parse(g, c, h);

	if (n > 0) {
		tcp_recv_skip(c, (uint32_t)n);
		count(g, CTR_http_proxied);
		return h->known ? PREFACE_CLIENT : PREFACE_NONE;
	}
	if (n == 0)
		return PREFACE_MORE;
	if (n == -PROXY_MISSING && l->proxy_protocol != PROXY_PROTOCOL_REQUIRE)
		return PREFACE_NONE;
	count(g, n == -PROXY_MISSING    ? CTR_http_proxy_missing
		 : n == -PROXY_CHECKSUM ? CTR_http_proxy_checksum
					: CTR_http_proxy_bad);
	return PREFACE_BAD;
}

uint16_t client_port(const struct exchange *x)
{
	if (!addr_eq(x->remote, client_peer(x))) // a proxy in front named the address alone
		return 0;
	return x->proxied ? client_proxied(x)->src_port : tcp_remote_port(x->client);
}

int preface_send(struct attempt *a)
{
	const struct exchange *x = a->x;
	struct proxy_header h = {.known = true, .src = x->remote, .src_port = client_port(x)};
	char text[PROXY_OUT_MAX];
	struct tcp_info info;

	if (x->proxied) {
		h.dst = client_proxied(x)->dst;
		h.dst_port = client_proxied(x)->dst_port;
	} else {
		tcp_get_info(x->client, &info);
		h.dst = info.local;
		h.dst_port = info.local_port;
	}
	return tcp_send_copy(a->conn->tcp, text, (uint32_t)proxy_write(text, a->upstream->proxy_protocol, &h));
}
