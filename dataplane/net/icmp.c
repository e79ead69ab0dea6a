#include "net/icmp.h"
#include "base/checksum.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/output.h"
#include "net/wire.h"
#include <netinet/in.h>

#define ICMP_HEADER 8
#define ICMP_SUM    2
// RFC 1812 4.3.2.3: as much of the packet as fits into 576 bytes.
#define QUOTE_MAX (576 - IPV4_HEADER - ICMP_HEADER)

// Answers are limited (RFC 1812 4.3.2.8): a token is added each 100 µs, an echo reply takes one, an error ten.
#define TOKEN_NS   100000u
#define TOKENS_MAX 1000u

bool icmp_allowed(struct net *n, uint32_t cost)
{
	uint64_t fresh = (n->now - n->icmp_refilled) / TOKEN_NS;

	if (fresh >= TOKENS_MAX - n->icmp_tokens) {
		n->icmp_tokens = TOKENS_MAX;
		n->icmp_refilled = n->now;
	} else {
		n->icmp_tokens += (uint32_t)fresh;
		n->icmp_refilled += fresh * TOKEN_NS;
	}
	if (n->icmp_tokens < cost) {
		net_count(n, CTR_icmp_limited);
		return false;
	}
	n->icmp_tokens -= cost;
	return true;
}

static void set_checksum(struct pkt *p)
{
	uint16_t sum;

	memset(pkt_data(p) + ICMP_SUM, 0, 2);
	sum = checksum_fold(output_sum(p));
	memcpy(pkt_data(p) + ICMP_SUM, &sum, 2);
}

// The path lives only for this packet; its neighbour entry remains, and the packet waits there if it has to.
static void answer(struct net *n, uint16_t port, struct addr local, struct addr remote, struct pkt *p,
		   uint8_t proto, uint8_t tos)
{
	struct net_path path;

	if (net_path_init(n, &path, port, local, remote, 0) != 0) {
		pkt_free_chain(p); // counted there
		return;
	}
	net_output(n, &path, p, proto, tos);
	net_path_release(n, &path);
}

// Whether an answer may be written into the buffers that the question came in.
static bool reusable(const struct pkt *p)
{
	if (pkt_headroom(p) < NET_HEADERS)
		return false;
	for (; p; p = pkt_next(p))
		if (!pkt_exclusive(p))
			return false;
	return true;
}

void icmp_echo(struct net *n, struct net_seg *seg, struct addr local, uint8_t reply, uint8_t proto)
{
	struct pkt *p = seg->pkt;

	// What came in fragments goes out in fragments: each counts.
	if (!icmp_allowed(n, ICMP_ECHO_COST * (1 + pkt_chain_len(p) / n->port[seg->port].mtu))) {
		pkt_free_chain(p);
		return;
	}
	if (!reusable(p)) {
		struct pkt *copy = pkt_copy(p, n->pool);

		if (!copy) {
			net_drop(n, p, CTR_rx_no_buffer);
			return;
		}
		pkt_free_chain(p);
		p = copy;
	}
	pkt_data(p)[0] = (char)reply;
	memset(pkt_data(p) + ICMP_SUM, 0, 2);
	if (proto == IPPROTO_ICMP) // that of ICMPv6 needs to know the addresses
		set_checksum(p);
	net_count(n, CTR_icmp_echo);
	answer(n, seg->port, local, seg->src, p, proto, seg->tos);
}

// What an error quotes must be a TCP segment that we could have sent (RFC 5927 4): from the address the error
// came to, its first fragment. The layer above checks ports and sequence number.
static enum counter error_input(struct net *n, const struct net_seg *seg)
{
	const uint8_t *icmp = (const uint8_t *)pkt_data(seg->pkt), *ip = icmp + ICMP_HEADER, *tcp;
	uint32_t len = pkt_len(seg->pkt) - ICMP_HEADER, header, v4;
	struct addr local, remote;
	uint16_t mtu = 0;

	if (len < IPV4_HEADER || ip[0] >> 4 != 4)
		return CTR_icmp_bad;
	header = (ip[0] & 15u) * 4;
	if (header < IPV4_HEADER || len < header + 8 || (get16(ip + 6) & 0x1fff) != 0)
		return CTR_icmp_bad;
	memcpy(&v4, ip + 12, 4);
	local = addr_from_v4(v4);
	memcpy(&v4, ip + 16, 4);
	remote = addr_from_v4(v4);
	if (!addr_eq(local, seg->dst))
		return CTR_icmp_bad;
	if (ip[9] != IPPROTO_TCP)
		return CTR_icmp_ignored;
	if (icmp[0] == ICMP_UNREACHABLE && icmp[1] == ICMP_FRAGMENTATION_NEEDED)
		mtu = get16(icmp + 6); // RFC 1191 4
	tcp = ip + header;
	if (n->ops.unreachable)
		n->ops.unreachable(n->ops.ctx, local, remote, get16(tcp), get16(tcp + 2), get32(tcp + 4),
				   icmp[0], icmp[1], mtu);
	return CTR_icmp_error_rx;
}

void icmp_input(struct net *n, struct net_seg *seg)
{
	struct pkt *p = seg->pkt;

	if (pkt_len(p) < ICMP_HEADER || checksum_fold(output_sum(p)) != 0) {
		net_drop(n, p, CTR_icmp_bad);
		return;
	}
	switch ((uint8_t)pkt_data(p)[0]) {
	case ICMP_ECHO:
		icmp_echo(n, seg, seg->dst, ICMP_ECHO_REPLY, IPPROTO_ICMP);
		return;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER:
		net_drop(n, p, error_input(n, seg));
		return;
	default:
		net_drop(n, p, CTR_icmp_ignored);
	}
}

void icmp_error(struct net *n, uint16_t port, const struct pkt *p, enum icmp_type type, uint8_t code)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	uint32_t quote = pkt_len(p) < QUOTE_MAX ? pkt_len(p) : QUOTE_MAX, src, dst;
	struct pkt *reply;
	uint8_t *icmp;

	if (!icmp_allowed(n, ICMP_ERROR_COST))
		return;
	reply = pkt_alloc(n->pool);
	if (!reply)
		return;
	icmp = (uint8_t *)pkt_append(reply, ICMP_HEADER + quote);
	memset(icmp, 0, ICMP_HEADER);
	icmp[0] = (uint8_t)type;
	icmp[1] = code;
	memcpy(icmp + ICMP_HEADER, ip, quote);
	set_checksum(reply);
	memcpy(&src, ip + 12, 4);
	memcpy(&dst, ip + 16, 4);
	answer(n, port, addr_from_v4(dst), addr_from_v4(src), reply, IPPROTO_ICMP, 0);
}
