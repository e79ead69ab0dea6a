// Segments that do not go through a connection's output: resets and acknowledgements for what belongs to
// nobody, and the limits on what strangers can make us send.
#include "tcp/conn.h"
#include <arpa/inet.h>
#include <netinet/in.h>

bool rate_ready(struct tcp_rate *r, uint64_t now)
{
	uint64_t grain = 1000000000ull / r->rate, n = (now - r->refilled) / grain;

	if (n) {
		r->tokens = n > r->burst - r->tokens ? r->burst : r->tokens + (uint32_t)n;
		r->refilled += n * grain;
	}
	return r->tokens > 0;
}

bool rate_take(struct tcp_rate *r, uint64_t now)
{
	if (!rate_ready(r, now))
		return false;
	r->tokens--;
	return true;
}

// The segment's own buffer, emptied: a flood then costs no further ones, and is answered when none are left.
static struct pkt *reply_buffer(struct tcp *t, struct segment *s)
{
	struct pkt *p = s->pkt;

	if (!p || pkt_next(p) || !pkt_exclusive(p))
		return pkt_alloc(t->net->pool);
	pkt_set_view(p, PKT_HEADROOM, 0);
	if (pkt_tailroom(p) < TCP_HEADER_MAX)
		return pkt_alloc(t->net->pool);
	s->pkt = NULL;
	return p;
}

void reply_send(struct tcp *t, struct segment *s, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t wnd,
		const uint8_t *options, uint32_t n)
{
	struct net_path path;
	struct pkt *p;

	if (net_path_init(t->net, &path, s->net->port, s->net->dst, s->net->src, s->net->neigh) != 0)
		return;
	p = reply_buffer(t, s);
	if (!p) {
		tcp_count(t, CTR_tcp_no_buffer);
	} else {
		struct tcp_header *h = (struct tcp_header *)pkt_append(p, TCP_HEADER + n);
		*h = (struct tcp_header){
			.src = htons(s->dst_port),
			.dst = htons(s->src_port),
			.seq = htonl(seq),
			.ack = htonl(ack),
			.off = (uint8_t)((TCP_HEADER + n) / 4 << 4),
			.flags = flags,
			.wnd = htons(wnd),
		};
		memcpy(h + 1, options, n);
		tcp_count(t, flags & TCP_RST ? CTR_tcp_reset_tx : CTR_tcp_tx);
		net_output(t->net, &path, p, IPPROTO_TCP, 0);
	}
	net_path_release(t->net, &path);
}

// A limit for all together would tell each by what is left of it whether an RST went to somebody else, and with
// that whether his connection exists (as CVE-2016-5696 did by challenge ACKs). So addresses are parted by a
// keyed hash.
static bool rst_allowed(struct tcp *t, struct addr to)
{
	uint64_t network = addr_is_v4(to) ? to.w[1] : to.w[0];

	return rate_take(&t->rst_rate[hash_mix(network ^ t->secret.k0, t->secret.k1) % RST_SOURCES], t->now);
}

// RFC 9293 3.10.7.1.
void reply_rst(struct tcp *t, struct segment *s)
{
	if ((s->flags & TCP_RST) || !net_is_local(t->net, s->net->port, s->net->dst))
		return;
	if (!rst_allowed(t, s->net->src)) {
		tcp_count(t, CTR_tcp_rst_limited);
		return;
	}
	if (s->flags & TCP_ACK)
		reply_send(t, s, s->ack, 0, TCP_RST, 0, (const uint8_t *)"", 0);
	else
		reply_send(t, s, 0, s->seq + segment_span(s), TCP_RST | TCP_ACK, 0, (const uint8_t *)"", 0);
}

void reply_ack(struct tcp *t, struct segment *s, uint32_t seq, uint32_t ack, uint16_t wnd, bool has_ts,
	       uint32_t tsval, uint32_t tsecr)
{
	uint8_t options[OPT_TS_LEN];

	reply_send(t, s, seq, ack, TCP_ACK, wnd, options, has_ts ? options_put_ts(options, tsval, tsecr) : 0);
}

void conn_challenge(struct tcp *t, struct tcp_conn *c)
{
	uint16_t tick = (uint16_t)challenge_tick(t);

	if (c->challenged == tick) {
		tcp_count(t, CTR_tcp_challenge_limited);
		return;
	}
	c->challenged = tick;
	tcp_count(t, CTR_tcp_challenge);
	c->flags |= CONN_ACK_NOW;
	conn_dirty(c);
}
