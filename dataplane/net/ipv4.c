#include "net/ipv4.h"
#include "base/checksum.h"
#include "net/icmp.h"
#include "net/neigh.h"
#include "net/output.h"
#include "net/route.h"
#include "net/wire.h"
#include <netinet/in.h>

enum { AT_TOS = 1, AT_TOTAL = 2, AT_FRAG = 6, AT_TTL = 8, AT_PROTO = 9, AT_SRC = 12, AT_DST = 16 };

#define FRAG_DF   0x4000
#define FRAG_MASK 0x3fff // more fragments, and the offset
#define TCP_SUM   16

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
static enum counter fault(const struct net *n, uint16_t port, const struct pkt *p)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	uint32_t len = pkt_len(p), header, total;
	struct addr src, dst;

	if (len < IPV4_HEADER || ip[0] >> 4 != 4)
		return CTR_ip_bad_header;
	header = (ip[0] & 15u) * 4;
	total = get16(ip + AT_TOTAL);
	if (header < IPV4_HEADER || header > len || total < header || total > pkt_chain_len(p))
		return CTR_ip_bad_header;
	if (!(n->port[port].rx_ip_csum && pkt_ip_checked(p)) && header_check(ip, header) != 0)
		return CTR_ip_bad_checksum;
	src = addr_at(ip + AT_SRC);
	dst = addr_at(ip + AT_DST);
	if (!net_is_local(n, port, dst))
		return CTR_ip_not_for_us;
	if (!route_is_host(src) || net_is_local(n, UINT16_MAX, src) || route_is_broadcast(n, port, src))
		return CTR_ip_bad_source;
	if (get16(ip + AT_FRAG) & FRAG_MASK)
		return CTR_ip_fragment;
	return CTR_COUNT;
}

bool ipv4_input(struct net *n, uint16_t port, struct pkt *p, struct net_seg *seg)
{
	enum counter why = fault(n, port, p);
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	uint32_t header, total;
	uint8_t proto;

	if (why != CTR_COUNT) {
		net_drop(n, p, why);
		return false;
	}
	header = (ip[0] & 15u) * 4;
	total = get16(ip + AT_TOTAL);
	proto = ip[AT_PROTO];
	if (total < pkt_chain_len(p)) // frames are padded to 60 bytes
		pkt_trim_chain(p, total);
	if (proto != IPPROTO_TCP && proto != IPPROTO_ICMP) {
		icmp_refuse(n, port, p,
			    proto == IPPROTO_UDP ? ICMP_PORT_UNREACHABLE : ICMP_PROTOCOL_UNREACHABLE);
		net_drop(n, p, CTR_ip_unknown_protocol);
		return false;
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

void ipv4_output(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto, uint8_t tos)
{
	const struct net_port *np = &n->port[path->port];
	uint32_t len = pkt_chain_len(p);
	bool tcp_csum = proto == IPPROTO_TCP && np->tx_tcp_csum;
	uint32_t w[IPV4_HEADER / 4];

	if (len + IPV4_HEADER > path->mtu) {
		net_drop(n, p, CTR_ip_too_big);
		return;
	}
	if (proto == IPPROTO_TCP) {
		uint64_t sum = pseudo_sum(path, proto, len);
		// A device goes on from the sum of the pseudo header, which is then not complemented.
		uint16_t field = tcp_csum ? (uint16_t)~checksum_fold(sum) : checksum_fold(sum + output_sum(p));

		memcpy(pkt_data(p) + TCP_SUM, &field, 2);
	}
	pkt_offload(p, np->tx_ip_csum, tcp_csum, ethernet_header(np), IPV4_HEADER);
	// Composed and summed as words: bytes written to memory could not be read back as words at once.
	w[0] = (4 << 4 | IPV4_HEADER / 4) | (uint32_t)tos << 8 | be16(len + IPV4_HEADER) << 16;
	w[1] = be16(n->ip_id++) | be16(FRAG_DF)
					  << 16; // the identification means nothing with DF (RFC 6864 4.1)
	w[2] = IPV4_TTL | (uint32_t)proto << 8;
	w[3] = addr_v4(path->local);
	w[4] = addr_v4(path->remote);
	if (!np->tx_ip_csum)
		w[2] |= (uint32_t)checksum_fold(header_sum(w)) << 16;
	memcpy(pkt_prepend(p, IPV4_HEADER), w, IPV4_HEADER);
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
