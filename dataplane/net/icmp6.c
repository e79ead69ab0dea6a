#include "net/icmp6.h"
#include "base/checksum.h"
#include "net/icmp.h"
#include "net/mld.h"
#include "net/ndp.h"
#include "net/output.h"
#include "net/route.h"
#include "net/wire.h"
#include <netinet/in.h>

enum { IP_NEXT = 6, IP_SRC = 8, IP_DST = 24 };

#define QUOTE_MAX (IPV6_MTU_MIN - IPV6_HEADER - ICMP6_HEADER) // RFC 4443 3.1

static struct addr addr_at(const uint8_t *p)
{
	struct addr a;

	memcpy(a.b, p, 16);
	return a;
}

bool icmp6_is_discovery(const uint8_t *ip, uint32_t n, const struct ipv6_walk *w)
{
	return w->header < n && ip[w->header] >= NDP_ROUTER_SOLICITATION && ip[w->header] <= NDP_REDIRECT;
}

static void answer(struct net *n, uint16_t port, struct addr local, struct addr remote, struct pkt *p,
		   uint8_t tos)
{
	struct net_path path;

	if (net_path_init(n, &path, port, local, remote, 0) != 0) {
		pkt_free_chain(p); // counted there
		return;
	}
	net_output(n, &path, p, IPPROTO_ICMPV6, tos);
	net_path_release(n, &path);
}

// The layer above knows the kinds of IPv4 (RFC 792); 0: none that says anything of a connection.
static uint8_t as_ipv4(uint8_t type, uint8_t code, uint8_t *v4_code)
{
	static const uint8_t unreachable[] = {0, 13, 1, ICMP_HOST_UNREACHABLE, ICMP_PORT_UNREACHABLE, 13, 13};

	switch (type) {
	case ICMP6_UNREACHABLE:
		*v4_code = code < sizeof(unreachable) ? unreachable[code] : ICMP_HOST_UNREACHABLE;
		return ICMP_UNREACHABLE;
	case ICMP6_TOO_BIG:
		*v4_code = ICMP_FRAGMENTATION_NEEDED;
		return ICMP_UNREACHABLE;
	case ICMP6_TIME_EXCEEDED:
		*v4_code = code;
		return ICMP_TIME_EXCEEDED;
	case ICMP6_PARAMETER:
		if (code == PROBLEM_NEXT_HEADER) {
			*v4_code = ICMP_PROTOCOL_UNREACHABLE;
			return ICMP_UNREACHABLE;
		}
		*v4_code = 0;
		return ICMP_PARAMETER;
	default:
		return 0;
	}
}

// What an error quotes must be a TCP segment that we could have sent (RFC 5927 4): from the address the error
// came to, and with no extension header, since we send none.
static enum counter error_input(struct net *n, const struct net_seg *seg)
{
	const uint8_t *icmp = (const uint8_t *)pkt_data(seg->pkt), *ip = icmp + ICMP6_HEADER, *tcp;
	uint32_t len = pkt_len(seg->pkt) - ICMP6_HEADER, mtu = 0;
	uint8_t type, code;

	if (len < IPV6_HEADER + 8 || ip[0] >> 4 != 6 || !addr_eq(addr_at(ip + IP_SRC), seg->dst))
		return CTR_icmp_bad;
	type = as_ipv4(icmp[0], icmp[1], &code);
	if (ip[IP_NEXT] != IPPROTO_TCP || type == 0)
		return CTR_icmp_ignored;
	if (icmp[0] == ICMP6_TOO_BIG) {
		mtu = get32(icmp + 4);
		if (mtu < IPV6_MTU_MIN) // RFC 8201 4
			return CTR_icmp_bad;
		if (mtu > UINT16_MAX)
			mtu = UINT16_MAX;
	}
	tcp = ip + IPV6_HEADER;
	if (n->ops.unreachable)
		n->ops.unreachable(n->ops.ctx, seg->dst, addr_at(ip + IP_DST), get16(tcp), get16(tcp + 2),
				   get32(tcp + 4), type, code, (uint16_t)mtu);
	return CTR_icmp_error_rx;
}

void icmp6_input(struct net *n, struct net_seg *seg, const struct ipv6_facts *facts)
{
	struct pkt *p = seg->pkt;
	uint64_t sum = ipv6_pseudo_sum(seg->src, seg->dst, IPPROTO_ICMPV6, pkt_chain_len(p));

	if (pkt_len(p) < ICMP6_HEADER || checksum_fold(checksum_add(sum, &(uint64_t){output_sum(p)}, 8)) != 0) {
		net_drop(n, p, CTR_icmp_bad);
		return;
	}
	switch ((uint8_t)pkt_data(p)[0]) {
	case ICMP6_ECHO:
		// RFC 4443 4.2: what came to a group is answered from an address of our own.
		icmp_echo(n, seg, facts->multicast ? (struct addr){0} : seg->dst, ICMP6_ECHO_REPLY,
			  IPPROTO_ICMPV6);
		return;
	case ICMP6_UNREACHABLE:
	case ICMP6_TOO_BIG:
	case ICMP6_TIME_EXCEEDED:
	case ICMP6_PARAMETER:
		net_drop(n, p, error_input(n, seg));
		return;
	case NDP_ROUTER_SOLICITATION:
	case NDP_ROUTER_ADVERTISEMENT:
	case NDP_SOLICITATION:
	case NDP_ADVERTISEMENT:
	case NDP_REDIRECT:
		ndp_input(n, seg, facts);
		return;
	case MLD_QUERY:
		mld_input(n, seg);
		return;
	default:
		net_drop(n, p, CTR_icmp_ignored);
	}
}

void icmp6_error(struct net *n, uint16_t port, const struct pkt *p, uint8_t type, uint8_t code,
		 uint32_t pointer)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	uint32_t quote = pkt_len(p) < QUOTE_MAX ? pkt_len(p) : QUOTE_MAX;
	struct addr dst = addr_at(ip + IP_DST);
	struct pkt *reply;
	uint8_t *icmp;

	if (!icmp_allowed(n, ICMP_ERROR_COST))
		return;
	reply = pkt_alloc(n->pool);
	if (!reply)
		return;
	icmp = (uint8_t *)pkt_append(reply, ICMP6_HEADER + quote);
	memset(icmp, 0, ICMP6_HEADER);
	icmp[0] = type;
	icmp[1] = code;
	put32(icmp + 4, pointer);
	memcpy(icmp + ICMP6_HEADER, ip, quote);
	answer(n, port, ipv6_is_multicast(dst) ? (struct addr){0} : dst, addr_at(ip + IP_SRC), reply, 0);
}

void icmp6_refuse(struct net *n, uint16_t port, const struct pkt *p, const struct ipv6_walk *w)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	bool udp = w->fault == CTR_COUNT && w->proto == IPPROTO_UDP;

	if (!udp && !w->answer)
		return;
	if (w->proto == IPPROTO_ICMPV6 &&
	    (w->header >= pkt_len(p) || ip[w->header] < ICMP6_ERRORS || ip[w->header] == NDP_REDIRECT))
		return;
	if (ipv6_is_multicast(addr_at(ip + IP_DST)) && (udp || !w->answer_groups))
		return;
	if (udp)
		icmp6_error(n, port, p, ICMP6_UNREACHABLE, UNREACHABLE_PORT, 0);
	else
		icmp6_error(n, port, p, ICMP6_PARAMETER, w->code, w->pointer);
}
