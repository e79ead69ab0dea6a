#include "net/output.h"
#include "base/checksum.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/neigh.h"
#include <netinet/in.h>

#define DF      0x4000
#define TCP_MIN 20
#define TCP_SUM 16

// A piece that begins at an odd offset is summed with its bytes swapped (RFC 1071 2(B)).
uint64_t output_sum(const struct pkt *p)
{
	uint64_t sum = 0;
	bool odd = false;

	if (!pkt_next(p)) {
		sum = checksum_add(0, pkt_data(p), pkt_len(p));
		return (sum & 0xffffffff) + (sum >> 32);
	}
	for (; p; p = pkt_next(p)) {
		uint32_t len = pkt_len(p);

		if (odd)
			sum += __builtin_bswap16((uint16_t)~checksum_fold(checksum_add(0, pkt_data(p), len)));
		else
			sum += (uint16_t)~checksum_fold(checksum_add(0, pkt_data(p), len));
		odd ^= len & 1;
	}
	return sum;
}

uint64_t output_sum_with(const struct pkt *p, struct checksum_tail tail)
{
	if (tail.len == 0)
		return output_sum(p);
	uint64_t sum = checksum_add(tail.sum, pkt_data(p), pkt_len(p) - tail.len);
	return (sum & 0xffffffff) + (sum >> 32); // what is added to it must not carry out of the top
}

void net_output(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto, uint8_t tos)
{
	if (addr_is_v4(path->remote))
		ipv4_output(n, path, p, proto, tos, (struct checksum_tail){0});
	else
		ipv6_output(n, path, p, proto, tos, (struct checksum_tail){0});
}

void net_output_summed(struct net *n, const struct net_path *path, struct pkt *p, uint8_t tos,
		       struct checksum_tail tail)
{
	if (addr_is_v4(path->remote))
		ipv4_output(n, path, p, IPPROTO_TCP, tos, tail);
	else
		ipv6_output(n, path, p, IPPROTO_TCP, tos, tail);
}

void net_output_tso(struct net *n, const struct net_path *path, struct pkt *p, uint8_t tos, unsigned header,
		    unsigned segment)
{
	if (addr_is_v4(path->remote))
		ipv4_output_tso(n, path, p, tos, header, segment);
	else
		ipv6_output_tso(n, path, p, tos, header, segment);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of a header are composed for little endian");

static inline uint32_t be16(uint32_t v)
{
	return __builtin_bswap16((uint16_t)v);
}

static inline void put64(char *p, uint64_t w)
{
	memcpy(p, &w, sizeof(w));
}

static inline uint64_t mac_bits(const uint8_t *mac) // what lies behind it is cut off
{
	uint64_t w;

	memcpy(&w, mac, sizeof(w));
	return w & 0xffffffffffff;
}

void net_output_tcp(struct net *n, const struct net_path *path, struct pkt *p, const uint32_t *header,
		    uint32_t words, uint8_t tos, struct checksum_tail tail)
{
	const uint16_t port = path->port;
	const struct net_port *np = &n->port[port];
	struct net_txq *q = &n->tx[port];
	struct net_neigh *e = &n->neigh[path->neigh];
	const uint32_t payload = pkt_len(p), size = words * 4, len = IPV4_HEADER + size + payload;
	const uint32_t local = addr_v4(path->local), remote = addr_v4(path->remote), at = q->n;

	// Something is in doubt: the neighbour, the packet's size, a tag that is to be put in.
	if (__builtin_expect(e->state != NEIGH_REACHABLE || e->port != port || !addr_is_v4(path->remote) ||
				     len > path->mtu || np->vlan || at == NET_TXQ || pkt_chained(p),
			     0)) {
		memcpy(pkt_prepend(p, size), header, size);
		net_output_summed(n, path, p, tos, tail);
		return;
	}
	// Composed and summed as words: what was written as bytes could not be read back as words at once.
	const bool tcp_csum = np->tx_tcp_csum, ip_csum = np->tx_ip_csum;
	const uint64_t ends = (uint64_t)local + remote, ours = mac_bits(np->mac);
	const uint64_t eth[2] = {mac_bits(e->mac) | ours << 48, ours >> 16 | (uint64_t)be16(TYPE_IPV4) << 32};
	const uint32_t first = (4 << 4 | IPV4_HEADER / 4) | (uint32_t)tos << 8 | be16(len) << 16;
	const uint32_t second = (header[1] ^ header[2]) >> 16 | be16(DF) << 16; // as ipv4.c: tcp_id()
	uint32_t third = IPV4_TTL | IPPROTO_TCP << 8, field;
	uint64_t sum = ends + be16(IPPROTO_TCP) + be16(size + payload);

	third |= ip_csum ? 0 : (uint32_t)checksum_fold(ends + first + second + third) << 16;
	if (tcp_csum) { // a device goes on from the sum of the pseudo header, which is not complemented
		field = (uint16_t)~checksum_fold(sum);
	} else {
		sum += (uint64_t)header[0] + header[1] + header[2] + header[3]; // the fifth is the checksum
		for (uint32_t i = TCP_MIN / 4; i < words; i++)
			sum += header[i];
		sum += tail.len ? tail.sum : 0u;
		if (payload != tail.len)
			sum = checksum_add(sum, pkt_data(p), payload - tail.len);
		field = checksum_fold(sum);
	}
	e->used = n->now;
	q->v[at] = p;
	q->n = at + 1;
	if (ip_csum || tcp_csum)
		pkt_offload(p, ip_csum, tcp_csum, ETHERNET_HEADER, IPV4_HEADER);
	else
		pkt_offload_none(p);
	pkt_set_port(p, port);
	char *frame = pkt_prepend(p, ETHERNET_HEADER + IPV4_HEADER + size),
	     *tcp = frame + ETHERNET_HEADER + IPV4_HEADER;
	put64(frame, eth[0]);
	put64(frame + 8, eth[1]);
	put64(frame + 14, (uint64_t)second << 32 | first);
	put64(frame + 22, (uint64_t)local << 32 | third);
	memcpy(frame + 30, &remote, sizeof(remote));
	memcpy(tcp, header, 16);
	memcpy(tcp + TCP_SUM, &field, sizeof(field)); // no urgent pointer
	for (uint32_t i = TCP_MIN / 4; i < words; i++)
		memcpy(tcp + i * 4, &header[i], 4);
}
