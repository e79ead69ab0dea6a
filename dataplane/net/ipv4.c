#include "net/ipv4.h"
#include "base/checksum.h"
#include "net/fragment.h"
#include "net/icmp.h"
#include "net/neigh.h"
#include "net/output.h"
#include "net/reassembly.h"
#include "net/route.h"
#include "net/wire.h"
#include <netinet/in.h>

enum {
	AT_TOS = 1,
	AT_TOTAL = 2,
	AT_ID = 4,
	AT_FRAG = 6,
	AT_TTL = 8,
	AT_PROTO = 9,
	AT_SUM = 10,
	AT_SRC = 12,
	AT_DST = 16
};

#define FRAG_DF   0x4000
#define FRAG_MORE 0x2000
#define FRAG_MASK 0x3fff // more fragments, and the offset
#define TCP_SEQ   4      // and the acknowledgement behind it
#define TCP_SUM   16
#define TCP_MIN   20u

static struct addr addr_at(const uint8_t *p)
{
	uint32_t v4;

	memcpy(&v4, p, 4);
	return addr_from_v4(v4);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of a header are composed for little endian");

static inline uint32_t be16(uint32_t v)
{
	return __builtin_bswap16((uint16_t)v);
}

// A header without options as five words in memory's order.
static inline uint64_t header_sum(const uint32_t w[static IPV4_HEADER / 4])
{
	return (uint64_t)w[0] + w[1] + w[2] + w[3] + w[4];
}

static inline uint16_t header_check(const uint8_t *ip, uint32_t header)
{
	uint32_t w[IPV4_HEADER / 4];

	if (header != IPV4_HEADER)
		return checksum_fold(checksum_add(0, ip, header));
	memcpy(w, ip, IPV4_HEADER);
	return checksum_fold(header_sum(w));
}

// The first fault of the header, or CTR_COUNT. Options are skipped, source routes with them (RFC 7126 4.3, 4.4:
// we forward nothing). A TTL that has run out concerns routers, not the destination (RFC 1122 3.2.1.7).
static enum counter fault(struct net *n, uint16_t port, const struct pkt *p)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	uint32_t len = pkt_len(p), header, total;
	struct addr src, dst;
	uint32_t from, to;

	if (len < IPV4_HEADER || ip[0] >> 4 != 4)
		return CTR_ip_bad_header;
	header = (ip[0] & 15u) * 4;
	total = get16(ip + AT_TOTAL);
	if (header < IPV4_HEADER || header > len || total < header || total > pkt_chain_len(p))
		return CTR_ip_bad_header;
	if (!(n->port[port].rx_ip_csum && pkt_ip_checked(p)) && header_check(ip, header) != 0)
		return CTR_ip_bad_checksum;
	memcpy(&from, ip + AT_SRC, 4);
	memcpy(&to, ip + AT_DST, 4);
	src = addr_from_v4(from);
	dst = addr_from_v4(to);
	if (to != n->port[port].here || to == 0) {
		if (!net_is_local(n, port, dst))
			return CTR_ip_not_for_us;
		n->port[port].here = to;
	}
	// As good as all are neither ours nor a broadcast address.
	if (n->special_known && !special_has(n, from) && route_is_host(src))
		return CTR_COUNT;
	if (!route_is_host(src) || net_is_local(n, UINT16_MAX, src) || route_is_broadcast(n, port, src))
		return route_source_fault(src, dst);
	return CTR_COUNT;
}

// NULL, or the whole datagram.
static struct pkt *defragment(struct net *n, uint16_t port, struct pkt *p)
{
	uint8_t *ip = (uint8_t *)pkt_data(p);
	uint16_t field = get16(ip + AT_FRAG), sum;
	uint32_t header = (ip[0] & 15u) * 4;
	struct fragment f = {.src = addr_at(ip + AT_SRC),
			     .dst = addr_at(ip + AT_DST),
			     .id = get16(ip + AT_ID),
			     .proto = ip[AT_PROTO],
			     .ecn = ip[AT_TOS] & 3,
			     .more = field & FRAG_MORE,
			     .head = header,
			     .offset = (field & 0x1fffu) * 8,
			     .len = get16(ip + AT_TOTAL) - header};

	f.tell = f.proto == IPPROTO_TCP || (f.len > 0 && ip[header] == ICMP_ECHO);
	// What decides about a segment stands in its first fragment (RFC 1858 3, RFC 3128 3).
	if (f.proto == IPPROTO_TCP && (f.offset == 0 ? f.len < TCP_MIN : f.offset < TCP_MIN)) {
		net_drop(n, p, CTR_ip_fragment_bad);
		return NULL;
	}
	p = reassembly_input(n, port, p, &f, &header, &f.ecn);
	if (!p)
		return NULL;
	ip = (uint8_t *)pkt_data(p);
	put16(ip + AT_TOTAL, pkt_chain_len(p));
	put16(ip + AT_FRAG, 0);
	ip[AT_TOS] = (uint8_t)((ip[AT_TOS] & ~3u) | f.ecn);
	memset(ip + AT_SUM, 0, 2);
	sum = checksum_fold(checksum_add(0, ip, header));
	memcpy(ip + AT_SUM, &sum, 2);
	return p;
}

bool ipv4_input(struct net *n, uint16_t port, struct pkt *p, struct net_seg *seg)
{
	enum counter why = fault(n, port, p);
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	uint32_t header, total;
	bool fragment;
	uint8_t proto;

	if (why != CTR_COUNT) {
		net_drop(n, p, why);
		return false;
	}
	header = (ip[0] & 15u) * 4;
	total = get16(ip + AT_TOTAL);
	proto = ip[AT_PROTO];
	fragment = get16(ip + AT_FRAG) & FRAG_MASK;
	if (total < pkt_chain_len(p)) // frames are padded to 60 bytes
		pkt_trim_chain(p, total);
	if (proto != IPPROTO_TCP && proto != IPPROTO_ICMP) {
		if (!(get16(ip + AT_FRAG) & FRAG_MASK &
		      ~FRAG_MORE)) // RFC 1122 3.2.2: never of a later fragment
			icmp_error(n, port, p, ICMP_UNREACHABLE,
				   proto == IPPROTO_UDP ? ICMP_PORT_UNREACHABLE : ICMP_PROTOCOL_UNREACHABLE);
		net_drop(n, p, CTR_ip_unknown_protocol);
		return false;
	}
	if (__builtin_expect(fragment, 0)) {
		p = defragment(n, port, p);
		if (!p)
			return false;
		ip = (const uint8_t *)pkt_data(p);
		header = (ip[0] & 15u) * 4;
	}
	if (__builtin_expect(fragment || proto == IPPROTO_ICMP, 0)) {
		if (ethernet_elsewhere(n, port, p, TYPE_IPV4))
			return false;
		ip = (const uint8_t *)pkt_data(p);
	}
	*seg = (struct net_seg){
		.pkt = p,
		.src = addr_at(ip + AT_SRC),
		.dst = addr_at(ip + AT_DST),
		.port = port,
		.tos = ip[AT_TOS],
		.ttl = ip[AT_TTL],
		.checked = n->port[port].rx_tcp_csum && pkt_l4_checked(p),
	};
	pkt_adj(p, header);
	if (proto == IPPROTO_TCP)
		return true;
	icmp_input(n, seg);
	return false;
}

// RFC 9293 3.1: source, destination, zero and protocol, length.
static uint64_t pseudo_sum(const struct net_path *path, uint8_t proto, uint32_t len)
{
	return (uint64_t)addr_v4(path->local) + addr_v4(path->remote) + __builtin_bswap16(proto) +
	       __builtin_bswap16((uint16_t)len);
}

// Composed and summed as words: bytes written to memory could not be read back as words at once.
static inline void put_header(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto,
			      uint8_t tos, uint16_t id, uint16_t frag)
{
	bool offload = n->port[path->port].tx_ip_csum;
	uint32_t w[IPV4_HEADER / 4];

	w[0] = (4 << 4 | IPV4_HEADER / 4) | (uint32_t)tos << 8 | be16(pkt_chain_len(p) + IPV4_HEADER) << 16;
	w[1] = be16(id) | be16(frag) << 16;
	w[2] = IPV4_TTL | (uint32_t)proto << 8;
	w[3] = addr_v4(path->local);
	w[4] = addr_v4(path->remote);
	if (!offload)
		w[2] |= (uint32_t)checksum_fold(header_sum(w)) << 16;
	memcpy(pkt_prepend(p, IPV4_HEADER), w, IPV4_HEADER);
}

// Without DF, so that routers may make them smaller still.
static void output_fragments(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto,
			     uint8_t tos)
{
	const struct net_port *np = &n->port[path->port];
	uint32_t mtu = path->mtu < PKT_ROOM ? path->mtu : PKT_ROOM, each = (mtu - IPV4_HEADER) & ~7u;
	uint16_t id = (uint16_t)fragment_id(n, path->local, path->remote);
	struct pkt *v[FRAGMENTS_MAX];
	unsigned count = fragment_split(n, p, each, v);

	for (unsigned i = 0; i < count; i++) {
		pkt_offload(v[i], np->tx_ip_csum, false, ethernet_header(np), IPV4_HEADER);
		put_header(n, path, v[i], proto, tos, id,
			   (uint16_t)(i * each / 8 | (i + 1 < count ? FRAG_MORE : 0)));
		neigh_output(n, path->neigh, v[i], TYPE_IPV4);
	}
	pkt_free_chain(p);
}

// The identification means nothing with DF (RFC 6864 4.1), but routers that do not heed DF use it. A counter
// would tell everybody how much is sent to others, and with that whether a forged segment was answered (RFC
// 7739 5, CVE-2020-36516). So it is made of the segment's own numbers: the low halves of both.
static uint16_t tcp_id(const struct pkt *p)
{
	uint32_t numbers[2];

	memcpy(numbers, pkt_data(p) + TCP_SEQ, sizeof(numbers));
	return (uint16_t)be16((numbers[0] ^ numbers[1]) >> 16);
}

void ipv4_output(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto, uint8_t tos,
		 struct checksum_tail tail)
{
	const struct net_port *np = &n->port[path->port];
	uint32_t len = pkt_chain_len(p);
	bool tcp_csum = proto == IPPROTO_TCP && np->tx_tcp_csum;
	uint16_t id = proto == IPPROTO_TCP ? tcp_id(p) : 0;

	if (len + IPV4_HEADER > path->mtu) {
		if (proto == IPPROTO_ICMP) {
			output_fragments(n, path, p, proto, tos);
			return;
		}
		net_drop(n, p, CTR_ip_too_big);
		return;
	}
	if (proto == IPPROTO_TCP) {
		uint64_t sum = pseudo_sum(path, proto, len);
		// A device goes on from the sum of the pseudo header, which is then not complemented.
		uint16_t field = tcp_csum ? (uint16_t)~checksum_fold(sum)
					  : checksum_fold(sum + output_sum_with(p, tail));

		memcpy(pkt_data(p) + TCP_SUM, &field, 2);
	}
	pkt_offload(p, np->tx_ip_csum, tcp_csum, ethernet_header(np), IPV4_HEADER);
	put_header(n, path, p, proto, tos, id, FRAG_DF);
	neigh_output(n, path->neigh, p, TYPE_IPV4);
}

// The device gives each segment the next identification.
void ipv4_output_tso(struct net *n, const struct net_path *path, struct pkt *p, uint8_t tos, unsigned header,
		     unsigned segment)
{
	const struct net_port *np = &n->port[path->port];
	uint16_t field = (uint16_t)~checksum_fold(pseudo_sum(path, IPPROTO_TCP, 0)), id = tcp_id(p);

	memcpy(pkt_data(p) + TCP_SUM, &field, 2);
	pkt_offload_tso(p, false, ethernet_header(np), IPV4_HEADER, header, segment);
	put_header(n, path, p, IPPROTO_TCP, tos, id, FRAG_DF);
	neigh_output(n, path->neigh, p, TYPE_IPV4);
}

void ipv4_unresolved(struct net *n, const struct pkt *p)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p), *tcp = ip + IPV4_HEADER;

	if (pkt_len(p) < IPV4_HEADER + 8 || ip[AT_PROTO] != IPPROTO_TCP || !n->ops.unreachable)
		return;
	n->ops.unreachable(n->ops.ctx, addr_at(ip + AT_SRC), addr_at(ip + AT_DST), get16(tcp), get16(tcp + 2),
			   get32(tcp + 4), ICMP_UNREACHABLE, ICMP_HOST_UNREACHABLE, 0);
}
