#include "net/output.h"
#include "base/checksum.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include <netinet/in.h>

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
	return checksum_add(tail.sum, pkt_data(p), pkt_len(p) - tail.len);
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
