// Reading a segment: is it whole and unharmed, and where does its payload begin.
#include "base/checksum.h"
#include "tcp/conn.h"
#include <arpa/inet.h>
#include <netinet/in.h>

#define SUM_KEPT 512 // bytes: of less the sum is soon made, and heads are mostly less

static inline uint64_t halves(uint64_t w)
{
	return (w & 0xffffffff) + (w >> 32);
}

// As words in memory's order; no carry can get lost in 64 bits.
static uint64_t checksum_pseudo(const struct net_seg *n, uint32_t len)
{
	uint64_t sum = (uint64_t)htonl(len) + htonl(IPPROTO_TCP);

	if (addr_is_v4(n->src))
		return sum + addr_v4(n->src) + addr_v4(n->dst);
	return sum + halves(n->src.w[0]) + halves(n->src.w[1]) + halves(n->dst.w[0]) + halves(n->dst.w[1]);
}

static bool checksum_right(const struct net_seg *n)
{
	uint64_t sum = checksum_pseudo(n, pkt_chain_len(n->pkt));
	bool odd = false;

	if (!pkt_chained(n->pkt))
		return checksum_fold(checksum_add(sum, pkt_data(n->pkt), pkt_len(n->pkt))) == 0;
	for (const struct pkt *p = n->pkt; p; p = pkt_next(p)) {
		if (!odd) {
			sum = checksum_add(sum, pkt_data(p), pkt_len(p));
		} else {
			// A piece that begins at an odd offset counts with its bytes swapped (RFC 1071 2 B).
			uint16_t part = (uint16_t)~checksum_fold(checksum_add(0, pkt_data(p), pkt_len(p)));
			part = (uint16_t)(part << 8 | part >> 8);
			sum = checksum_add(sum, &part, sizeof(part));
		}
		odd ^= pkt_len(p) & 1;
	}
	return checksum_fold(sum) == 0;
}

static uint8_t header_length(const struct tcp_header *h)
{
	return (uint8_t)(h->off >> 4 << 2);
}

// The whole header must stand in the first buffer; drivers that split frames rarely do it before its end.
static bool header_gather(struct tcp *t, struct net_seg *n)
{
	uint32_t len = pkt_len(n->pkt);
	struct pkt *whole;

	if (!pkt_chained(n->pkt))
		return true;
	if (len >= TCP_HEADER && len >= header_length((const struct tcp_header *)pkt_data(n->pkt)))
		return true;
	whole = pkt_copy(n->pkt, t->net->pool);
	if (!whole)
		return false;
	pkt_free_chain(n->pkt);
	n->pkt = whole;
	return true;
}

bool segment_parse(struct tcp *t, struct net_seg *n, struct segment *s)
{
	const struct tcp_header *h;
	uint32_t len, header;

	s->net = n;
	s->pkt = NULL;
	s->payload = (struct checksum_tail){0};
	if (!header_gather(t, n) || pkt_len(n->pkt) < TCP_HEADER)
		goto bad;
	h = (const struct tcp_header *)pkt_data(n->pkt);
	len = pkt_chain_len(n->pkt);
	header = header_length(h);
	if (header < TCP_HEADER || header > pkt_len(n->pkt) || h->src == 0 || h->dst == 0)
		goto bad;
	if (!n->checked && !checksum_right(n)) {
		tcp_count(t, CTR_tcp_bad_checksum);
		return false;
	}
	// All of it sums up to nothing, so that the payload is what the rest is not. A device may call a
	// checksum right that was never computed.
	if (len >= SUM_KEPT && !n->checked && !pkt_chained(n->pkt))
		s->payload = (struct checksum_tail){
			.sum = checksum_fold(checksum_add(checksum_pseudo(n, len), h, header)),
			.len = (uint16_t)(len - header)};
	s->pkt = n->pkt;
	s->src_port = ntohs(h->src);
	s->dst_port = ntohs(h->dst);
	s->seq = ntohl(h->seq);
	s->ack = ntohl(h->ack);
	s->wnd = ntohs(h->wnd);
	s->flags = h->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_PSH | TCP_ACK | TCP_ECE | TCP_CWR);
	s->header = (uint8_t)header;
	s->len = len - header;
	options_parse(&s->opt, (const uint8_t *)(h + 1), header - TCP_HEADER);
	s->hash = flow_hash(&t->flows, n->dst, n->src, s->dst_port, s->src_port);
	return true;
bad:
	tcp_count(t, CTR_tcp_bad_header);
	return false;
}

struct pkt *segment_strip(struct segment *s)
{
	struct pkt *p = s->pkt;

	s->pkt = NULL;
	pkt_adj(p, s->header);
	return p;
}
