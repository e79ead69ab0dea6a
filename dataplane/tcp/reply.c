// Segments that do not go through a connection's output: resets and acknowledgements for what belongs to
// nobody, and the limits on what strangers can make us send.
#include "tcp/conn.h"
#include <arpa/inet.h>
#include <netinet/in.h>

bool bucket_take(struct bucket *b, uint64_t now)
{
	uint64_t grain = 1000000000ull / b->rate, n = (now - b->refilled) / grain;

	if (n) {
		b->tokens = n > b->rate - b->tokens ? b->rate : b->tokens + (uint32_t)n;
		b->refilled += n * grain;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

static void reply(struct tcp *t, const struct segment *s, uint32_t seq, uint32_t ack, uint8_t flags,
		  uint16_t wnd, const uint8_t *options, uint32_t n)
{
	struct net_path path;
	struct pkt *p;

	if (net_path_init(t->net, &path, s->net->port, s->net->dst, s->net->src, s->net->neigh) != 0)
		return;
	p = pkt_alloc(t->net->pool);
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

// RFC 9293 3.10.7.1.
void reply_rst(struct tcp *t, const struct segment *s)
{
	if ((s->flags & TCP_RST) || !net_is_local(t->net, s->net->port, s->net->dst))
		return;
	if (!bucket_take(&t->rst_bucket, t->now)) {
		tcp_count(t, CTR_tcp_rst_limited);
		return;
	}
	if (s->flags & TCP_ACK)
		reply(t, s, s->ack, 0, TCP_RST, 0, (const uint8_t *)"", 0);
	else
		reply(t, s, 0, s->seq + segment_span(s), TCP_RST | TCP_ACK, 0, (const uint8_t *)"", 0);
}

void reply_ack(struct tcp *t, const struct segment *s, uint32_t seq, uint32_t ack, uint16_t wnd, bool has_ts,
	       uint32_t tsval, uint32_t tsecr)
{
	uint8_t options[OPT_TS_LEN];

	reply(t, s, seq, ack, TCP_ACK, wnd, options, has_ts ? options_put_ts(options, tsval, tsecr) : 0);
}

void conn_challenge(struct tcp *t, struct tcp_conn *c)
{
	uint16_t tick = (uint16_t)(t->now >> 29 | 1);

	if (c->challenged == tick) {
		tcp_count(t, CTR_tcp_challenge_limited);
		return;
	}
	c->challenged = tick;
	tcp_count(t, CTR_tcp_challenge);
	c->flags |= CONN_ACK_NOW;
	conn_dirty(c);
}
