#include "tests/nic/nic.h"
#include <string.h>

#define FRAME_MAX (65535 + 18 + 40)
#define TCP_LEAST 20

// By hand, from the RFCs alone: a second opinion.
static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}
static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}
static uint64_t sum(const uint8_t *p, uint32_t n)
{
	uint64_t s = 0;

	for (uint32_t i = 0; i + 1 < n; i += 2)
		s += get16(p + i);
	return n & 1 ? s + ((uint32_t)p[n - 1] << 8) : s;
}
static uint16_t fold(uint64_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

struct large {
	const struct nic *nic;
	const struct rte_mbuf *m;
	uint8_t bytes[FRAME_MAX];
	uint32_t n, l2, l3, l4, head, segment;
	bool v6;
};

static const char *gather(struct large *g)
{
	unsigned buffers = 0;

	g->n = 0;
	for (const struct rte_mbuf *m = g->m; m; m = m->next, buffers++) {
		if (m->data_len == 0 || g->n + m->data_len > sizeof(g->bytes))
			return "an empty buffer, or too many bytes";
		memcpy(g->bytes + g->n, rte_pktmbuf_mtod(m, const char *), m->data_len);
		g->n += m->data_len;
	}
	if (buffers != g->m->nb_segs || g->n != g->m->pkt_len)
		return "a chain that is not what its first buffer says";
	return NULL;
}

// Are the lengths that came with the packet those in it?
static const char *lengths(struct large *g)
{
	const uint8_t *ip = g->bytes + g->l2, *tcp = ip + g->l3;

	if (g->l2 != (get16(g->bytes + 12) == 0x8100 ? 18u : 14u))
		return "a wrong length of the Ethernet header";
	if (g->v6 ? ip[0] >> 4 != 6 || ip[6] != 6 || g->l3 != 40 : ip[0] >> 4 != 4 || ip[9] != 6 || g->l3 != 20)
		return "no TCP over the IP version that is said";
	if (g->v6 ? get16(ip + 4) != g->n - g->l2 - 40 : get16(ip + 2) != g->n - g->l2)
		return "a length field of IP that is not the packet's";
	if (!(g->m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
		return NULL;
	if (g->l4 < TCP_LEAST || g->l4 != (uint32_t)(tcp[12] >> 4 << 2) || g->m->data_len < g->head)
		return "a wrong length of TCP's header, or not all of it in the first buffer";
	if (tcp[13] & 0xa6)
		return "SYN, RST, URG or CWR in what is cut";
	return NULL;
}

// In how many buffers is each segment, and does it go on in one at an odd place?
static const char *scattered(const struct large *g)
{
	uint32_t pieces = 1, in = 0;

	for (const struct rte_mbuf *m = g->m; m; m = m->next) {
		uint32_t n = m->data_len - (m == g->m ? g->head : 0);

		if (g->nic->tso.even && (in & 1))
			return "a segment goes on in another buffer at an odd place";
		while (n) {
			uint32_t part = n < g->segment - in ? n : g->segment - in;

			if (++pieces > g->nic->tso.segment_buffers)
				return "a segment in too many buffers";
			n -= part;
			in += part;
			if (in == g->segment) {
				in = 0;
				pieces = 1;
			}
		}
	}
	return NULL;
}

static const char *limits(const struct large *g)
{
	const struct tso *tso = &g->nic->tso;

	if (!(g->m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
		return g->n - g->l2 > g->nic->mtu ? "a packet that exceeds the MTU" : NULL;
	if (tso->max == 0 || (g->v6 && !tso->ipv6))
		return "a packet to be cut, which it cannot";
	if (g->segment == 0 || g->segment + tso->less + g->head - g->l2 > g->nic->mtu)
		return "segments that exceed the MTU";
	if (g->n - g->l2 > tso->max || g->m->nb_segs > tso->buffers ||
	    (g->n - g->head + g->segment - 1) / g->segment > tso->segments)
		return "too much at once";
	if (g->n - g->head <= g->segment)
		return "one segment alone to be cut";
	return scattered(g);
}

// One segment: len bytes of payload from at on. A card goes on from the sum in the checksum field, to which it
// adds the length where it cuts.
static struct pkt *segment(const struct large *g, uint32_t at, uint32_t len, unsigned index)
{
	bool cut = g->m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
	struct pkt *p = pkt_alloc(g->nic->pool);
	uint8_t *f, *ip, *tcp;

	if (!p)
		return NULL;
	f = (uint8_t *)pkt_append(p, g->head + len);
	memcpy(f, g->bytes, g->head);
	memcpy(f + g->head, g->bytes + g->head + at, len);
	ip = f + g->l2;
	tcp = ip + g->l3;
	uint32_t whole = g->head - g->l2 - g->l3 + len;
	if (cut) {
		uint32_t seq = get32(tcp + 4) + at;

		put16(tcp + 4, seq >> 16);
		put16(tcp + 6, seq & 0xffff);
		if (at + len < g->n - g->head)
			tcp[13] &= (uint8_t)~0x09; // FIN and PSH are the last one's
		if (g->v6)
			put16(ip + 4, whole);
		else
			put16(ip + 2, 20 + whole);
	}
	if (!g->v6 && (g->m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM)) {
		put16(ip + 4, get16(ip + 4) + index);
		put16(ip + 10, 0);
		put16(ip + 10, fold(sum(ip, 20)));
	}
	put16(tcp + 16, fold(sum(tcp, whole) + (cut ? whole : 0)));
	return p;
}

unsigned nic_send(struct nic *nic, const struct pkt *p, struct pkt *out[NIC_FRAMES], const char **why)
{
	static struct large g;
	unsigned n = 0;

	g.nic = nic;
	g.m = pkt_mbuf(p);
	*why = NULL;
	if (!(g.m->ol_flags & (RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG)))
		return 0;
	g.v6 = g.m->ol_flags & RTE_MBUF_F_TX_IPV6;
	g.l2 = g.m->l2_len;
	g.l3 = g.m->l3_len;
	g.l4 = g.m->l4_len;
	g.segment = g.m->tso_segsz;
	if ((*why = gather(&g)))
		return 0;
	if (g.bytes[g.l2 + (g.v6 ? 6 : 9)] != 6) { // ICMP: the header's checksum alone
		struct pkt *copy = pkt_copy(p, nic->pool);
		uint8_t *ip = copy ? (uint8_t *)pkt_data(copy) + g.l2 : NULL;

		if (ip) {
			put16(ip + 10, 0);
			put16(ip + 10, fold(sum(ip, 20)));
		}
		out[0] = copy;
		return copy != NULL;
	}
	bool cut = g.m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
	g.head = g.l2 + g.l3 + (cut ? g.l4 : (uint32_t)(g.bytes[g.l2 + g.l3 + 12] >> 4 << 2));
	if ((*why = lengths(&g)) || (*why = limits(&g)))
		return 0;
	uint32_t payload = g.n - g.head, each = cut ? g.segment : payload;
	for (uint32_t at = 0; n == 0 || at < payload; at += each) {
		uint32_t len = payload - at < each ? payload - at : each;

		if (n == NIC_FRAMES || !(out[n] = segment(&g, at, len, n))) {
			*why = "the card's own buffers";
			while (n)
				pkt_free(out[--n]);
			return 0;
		}
		n++;
	}
	nic->large += cut;
	nic->cut += cut ? n : 0;
	return n;
}
