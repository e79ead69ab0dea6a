#include "net/ipv6.h"
#include "base/checksum.h"
#include "net/fragment.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/neigh.h"
#include "net/output.h"
#include "net/own.h"
#include "net/reassembly.h"
#include "net/route.h"
#include "net/wire.h"
#include <netinet/in.h>

enum { AT_LENGTH = 4, AT_NEXT = 6, AT_HOPS = 7, AT_SRC = 8, AT_DST = 24 };

#define TCP_SUM   16
#define TCP_MIN   20u
#define ICMP6_SUM 2

#define FRAGMENT_HEADER 8
#define FRAGMENT_HEAD   (PKT_HEADROOM - ETHERNET_HEADER - ETHERNET_VLAN) // headers that can be kept

const struct addr ipv6_all_nodes = {.b = {0xff, 2, [15] = 1}};
const struct addr ipv6_all_mld_routers = {.b = {0xff, 2, [15] = 0x16}};

struct addr ipv6_solicited_node(struct addr a)
{
	return (struct addr){
		.b = {0xff, 2, [11] = 1, [12] = 0xff, [13] = a.b[13], [14] = a.b[14], [15] = a.b[15]}};
}

struct addr ipv6_link_local_of(const uint8_t m[MAC_LEN])
{
	return (struct addr){.b = {0xfe, 0x80, [8] = m[0] ^ 2, [9] = m[1], [10] = m[2], [11] = 0xff,
				   [12] = 0xfe, [13] = m[3], [14] = m[4], [15] = m[5]}};
}

static struct addr addr_at(const uint8_t *p)
{
	struct addr a;

	memcpy(a.b, p, 16);
	return a;
}

static uint32_t whole_length(const uint8_t *ip)
{
	return IPV6_HEADER + (uint32_t)get16(ip + AT_LENGTH);
}

static bool is_our_group(const struct net *n, uint16_t port, struct addr group)
{
	const struct net_port *np = &n->port[port];

	if (addr_eq(group, ipv6_all_nodes) || addr_eq(group, ipv6_solicited_node(np->link_local.addr)))
		return true;
	for (uint32_t i = 0; i < np->n_addresses; i++)
		if (!addr_is_v4(np->addresses[i].addr) &&
		    addr_eq(group, ipv6_solicited_node(np->addresses[i].addr)))
			return true;
	return false;
}

// The first fault of the fixed header, or CTR_COUNT. An IPv4-mapped address must never come from a wire: inside
// it means IPv4 (RFC 4942 2.1.2).
static enum counter fault(const struct net *n, uint16_t port, const struct pkt *p, bool multicast)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	struct addr src, dst;

	if (addr_is_any(n->port[port].link_local.addr))
		return CTR_ipv6_ignored;
	if (pkt_len(p) < IPV6_HEADER || ip[0] >> 4 != 6 || whole_length(ip) > pkt_chain_len(p))
		return CTR_ip_bad_header;
	src = addr_at(ip + AT_SRC);
	dst = addr_at(ip + AT_DST);
	if (ipv6_is_multicast(dst) ? !is_our_group(n, port, dst)
				   : multicast || addr_is_v4(dst) || !net_is_local(n, port, dst))
		return CTR_ip_not_for_us;
	// Nobody's address, and our own, are left to neighbour discovery: they may mean a duplicate address.
	if (addr_is_v4(src) || (!addr_is_any(src) && !route_is_host(src)))
		return CTR_ip_martian;
	return CTR_COUNT;
}

// Whether a first fragment has all headers up to the upper layer's, and enough of that (RFC 7112 5).
static bool has_headers(const struct ipv6_walk *w, uint32_t len)
{
	if (w->proto == IPPROTO_TCP)
		return len >= w->header + TCP_MIN;
	if (w->proto == IPPROTO_ICMPV6)
		return len >= w->header + ICMP6_HEADER;
	return w->fault != CTR_ip_bad_extension || w->answer;
}

// NULL, or the whole packet without its fragment header; *walk is then of that.
static struct pkt *defragment(struct net *n, uint16_t port, struct pkt *p, const struct net_seg *seg,
			      struct ipv6_walk *walk)
{
	uint8_t *ip = (uint8_t *)pkt_data(p), *header = ip + walk->fragment;
	uint32_t field = get16(header + 2), head = walk->fragment + FRAGMENT_HEADER;
	struct fragment f = {.src = seg->src,
			     .dst = seg->dst,
			     .id = get32(header + 4),
			     .ecn = seg->tos & 3,
			     .more = field & FRAGMENT_MORE,
			     .head = head,
			     .offset = field & FRAGMENT_OFFSET,
			     .len = pkt_chain_len(p) - head};

	f.tell = walk->proto == IPPROTO_TCP || (f.offset == 0 && ip[walk->header] == ICMP6_ECHO);
	if (f.offset == 0 && !has_headers(walk, pkt_len(p))) {
		if (walk->proto != IPPROTO_ICMPV6)
			icmp6_error(n, port, p, ICMP6_PARAMETER, PROBLEM_FIRST, 0);
		net_drop(n, p, CTR_ip_fragment_bad);
		return NULL;
	}
	if (walk->fault != CTR_COUNT || (f.offset == 0 && walk->proto == IPPROTO_UDP)) {
		enum counter why = walk->fault != CTR_COUNT ? walk->fault : CTR_ip_unknown_protocol;

		icmp6_refuse(n, port, p, walk);
		net_drop(n, p, why);
		return NULL;
	}
	if (f.more && f.len % 8 != 0)
		icmp6_error(n, port, p, ICMP6_PARAMETER, PROBLEM_FIELD, AT_LENGTH);
	else if (f.offset + f.len > UINT16_MAX)
		icmp6_error(n, port, p, ICMP6_PARAMETER, PROBLEM_FIELD, walk->fragment + 2);
	else if (f.offset == 0 && head > FRAGMENT_HEAD) {
		net_drop(n, p, CTR_ip_fragment_bad);
		return NULL;
	}
	p = reassembly_input(n, port, p, &f, &head, &f.ecn);
	if (!p)
		return NULL;
	ip = (uint8_t *)pkt_data(p);
	ipv6_walk(walk, ip, pkt_len(p)); // that of the first fragment, whose headers may be others
	ip[walk->named] = ip[walk->fragment];
	memmove(ip + FRAGMENT_HEADER, ip, walk->fragment);
	pkt_adj(p, FRAGMENT_HEADER);
	ip = (uint8_t *)pkt_data(p);
	put16(ip + AT_LENGTH, pkt_chain_len(p) - IPV6_HEADER);
	ip[1] = (uint8_t)((ip[1] & ~0x30u) | f.ecn << 4);
	ipv6_walk(walk, ip, pkt_len(p));
	return p;
}

// What stood between the fixed header and the upper layer says nothing to it.
static void strip_extensions(struct pkt *p, uint32_t header)
{
	uint8_t *ip;

	if (header == IPV6_HEADER)
		return;
	memmove(pkt_data(p) + header - IPV6_HEADER, pkt_data(p), IPV6_HEADER);
	pkt_adj(p, header - IPV6_HEADER);
	ip = (uint8_t *)pkt_data(p);
	ip[AT_NEXT] = IPPROTO_TCP;
	put16(ip + AT_LENGTH, pkt_chain_len(p) - IPV6_HEADER);
}

bool ipv6_input(struct net *n, uint16_t port, struct pkt *p, bool multicast, struct net_seg *seg)
{
	enum counter why = fault(n, port, p, multicast);
	const uint8_t *ip = (const uint8_t *)pkt_data(p);
	struct ipv6_facts facts = {0};
	struct ipv6_walk walk;
	bool stranger;

	if (why != CTR_COUNT) {
		net_drop(n, p, why);
		return false;
	}
	if (whole_length(ip) < pkt_chain_len(p))
		pkt_trim_chain(p, whole_length(ip));
	*seg = (struct net_seg){
		.pkt = p,
		.src = addr_at(ip + AT_SRC),
		.dst = addr_at(ip + AT_DST),
		.port = port,
		.tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4),
		.ttl = ip[AT_HOPS],
		.checked = n->port[port].rx_tcp_csum && pkt_l4_checked(p),
	};
	facts.multicast = ipv6_is_multicast(seg->dst);
	ipv6_walk(&walk, ip, pkt_len(p));
	facts.fragmented = walk.fragmented;
	stranger = addr_is_any(seg->src) || net_is_local(n, UINT16_MAX, seg->src);
	if (__builtin_expect(walk.fragment != 0, 0)) {
		if (stranger || facts.multicast || !own_usable(n, port, seg->dst)) {
			net_drop(n, p, stranger ? CTR_ip_bad_source : CTR_ip_not_for_us);
			return false;
		}
		p = defragment(n, port, p, seg, &walk);
		if (!p)
			return false;
		seg->pkt = p;
		ip = (const uint8_t *)pkt_data(p);
		seg->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
		seg->ttl = ip[AT_HOPS];
		seg->checked = false;
	}
	if (walk.fault == CTR_COUNT && walk.proto == IPPROTO_ICMPV6) {
		// With a strange source nothing but neighbour discovery makes sense; an address that is not yet
		// ours hears nothing else.
		if ((stranger || !own_usable(n, port, seg->dst)) &&
		    !icmp6_is_discovery(ip, pkt_len(p), &walk)) {
			net_drop(n, p, stranger ? route_source_fault(seg->src, seg->dst) : CTR_ip_not_for_us);
			return false;
		}
		if (walk.header == IPV6_HEADER && ethernet_elsewhere(n, port, p, TYPE_IPV6))
			return false;
		pkt_adj(p, walk.header);
		icmp6_input(n, seg, &facts);
		return false;
	}
	if (stranger)
		why = route_source_fault(seg->src, seg->dst);
	else if (!own_usable(n, port, seg->dst))
		why = CTR_ip_not_for_us;
	else if (walk.fault != CTR_COUNT)
		why = walk.fault;
	else if (walk.proto != IPPROTO_TCP)
		why = CTR_ip_unknown_protocol;
	else if (facts.multicast)
		why = CTR_ip_not_for_us;
	if (why != CTR_COUNT) {
		if (why == walk.fault || why == CTR_ip_unknown_protocol)
			icmp6_refuse(n, port, p, &walk);
		net_drop(n, p, why);
		return false;
	}
	if (__builtin_expect(walk.header != IPV6_HEADER || facts.fragmented, 0)) {
		strip_extensions(p, walk.header);
		if (ethernet_elsewhere(n, port, p, TYPE_IPV6))
			return false;
		walk.header = IPV6_HEADER;
	}
	pkt_adj(p, walk.header);
	return true;
}

uint64_t ipv6_pseudo_sum(struct addr src, struct addr dst, uint8_t proto, uint32_t len)
{
	const uint8_t tail[8] = {
		(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0, proto};
	uint64_t sum = checksum_add(0, src.b, 16);

	sum = checksum_add(sum, dst.b, 16);
	return checksum_add(sum, tail, 8);
}

static void put_header(struct pkt *p, struct addr src, struct addr dst, uint8_t next, uint8_t hops, uint8_t tos)
{
	uint32_t len = pkt_chain_len(p);
	uint8_t *ip = (uint8_t *)pkt_prepend(p, IPV6_HEADER);

	put32(ip, 6u << 28 | (uint32_t)tos << 20);
	put16(ip + AT_LENGTH, len);
	ip[AT_NEXT] = next;
	ip[AT_HOPS] = hops;
	memcpy(ip + AT_SRC, src.b, 16);
	memcpy(ip + AT_DST, dst.b, 16);
}

// RFC 8200 5: the least MTU passes everywhere, and nobody tells this layer of a path's.
static void output_fragments(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto,
			     uint8_t tos)
{
	uint32_t each = (IPV6_MTU_MIN - IPV6_HEADER - FRAGMENT_HEADER) & ~7u;
	uint32_t id = fragment_id(n, path->local, path->remote);
	struct pkt *v[FRAGMENTS_MAX];
	unsigned count = fragment_split(n, p, each, v);

	for (unsigned i = 0; i < count; i++) {
		uint8_t *header = (uint8_t *)pkt_prepend(v[i], FRAGMENT_HEADER);

		header[0] = proto;
		header[1] = 0;
		put16(header + 2, i * each | (i + 1 < count ? FRAGMENT_MORE : 0));
		put32(header + 4, id);
		pkt_offload6(v[i], false, 0, 0);
		put_header(v[i], path->local, path->remote, IPPROTO_FRAGMENT, IPV6_HOPS, tos);
		neigh_output(n, path->neigh, v[i], TYPE_IPV6);
	}
	pkt_free_chain(p);
}

static void put_sum(struct pkt *p, uint32_t at, uint64_t sum)
{
	uint16_t field = checksum_fold(checksum_add(sum, &(uint64_t){output_sum(p)}, 8));

	memcpy(pkt_data(p) + at, &field, 2);
}

void ipv6_output(struct net *n, const struct net_path *path, struct pkt *p, uint8_t proto, uint8_t tos,
		 struct checksum_tail tail)
{
	const struct net_port *np = &n->port[path->port];
	uint32_t len = pkt_chain_len(p);
	bool tcp_csum = proto == IPPROTO_TCP && np->tx_tcp_csum;
	uint64_t sum = ipv6_pseudo_sum(path->local, path->remote, proto, len);

	if (len + IPV6_HEADER > path->mtu) {
		if (proto == IPPROTO_ICMPV6) {
			put_sum(p, ICMP6_SUM, sum);
			output_fragments(n, path, p, proto, tos);
			return;
		}
		net_drop(n, p, CTR_ip_too_big);
		return;
	}
	if (tcp_csum) { // a device goes on from the sum of the pseudo header
		uint16_t field = (uint16_t)~checksum_fold(sum);

		memcpy(pkt_data(p) + TCP_SUM, &field, 2);
	} else {
		uint16_t field = checksum_fold(checksum_add(sum, &(uint64_t){output_sum_with(p, tail)}, 8));

		memcpy(pkt_data(p) + (proto == IPPROTO_TCP ? TCP_SUM : ICMP6_SUM), &field, 2);
	}
	pkt_offload6(p, tcp_csum, ethernet_header(np), IPV6_HEADER);
	put_header(p, path->local, path->remote, proto, IPV6_HOPS, tos);
	neigh_output(n, path->neigh, p, TYPE_IPV6);
}

void ipv6_output_tso(struct net *n, const struct net_path *path, struct pkt *p, uint8_t tos, unsigned header,
		     unsigned segment)
{
	uint16_t field = (uint16_t)~checksum_fold(ipv6_pseudo_sum(path->local, path->remote, IPPROTO_TCP, 0));

	memcpy(pkt_data(p) + TCP_SUM, &field, 2);
	pkt_offload_tso(p, true, ethernet_header(&n->port[path->port]), IPV6_HEADER, header, segment);
	put_header(p, path->local, path->remote, IPPROTO_TCP, IPV6_HOPS, tos);
	neigh_output(n, path->neigh, p, TYPE_IPV6);
}

void ipv6_send(struct net *n, uint16_t port, struct addr src, struct addr dst, const uint8_t *mac, uint8_t hops,
	       bool alert, struct pkt *p)
{
	static const uint8_t router_alert[8] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};
	uint8_t group[MAC_LEN] = {0x33, 0x33, dst.b[12], dst.b[13], dst.b[14], dst.b[15]}; // RFC 2464 7

	put_sum(p, ICMP6_SUM, ipv6_pseudo_sum(src, dst, IPPROTO_ICMPV6, pkt_chain_len(p)));
	if (alert)
		memcpy(pkt_prepend(p, sizeof(router_alert)), router_alert, sizeof(router_alert));
	put_header(p, src, dst, alert ? IPPROTO_HOPOPTS : IPPROTO_ICMPV6, hops, 0);
	pkt_offload6(p, false, 0, 0);
	ethernet_output(n, port, p, mac ? mac : group, TYPE_IPV6);
}

void ipv6_unresolved(struct net *n, const struct pkt *p)
{
	const uint8_t *ip = (const uint8_t *)pkt_data(p), *tcp = ip + IPV6_HEADER;

	if (pkt_len(p) < IPV6_HEADER + 8 || ip[AT_NEXT] != IPPROTO_TCP || !n->ops.unreachable)
		return;
	n->ops.unreachable(n->ops.ctx, addr_at(ip + AT_SRC), addr_at(ip + AT_DST), get16(tcp), get16(tcp + 2),
			   get32(tcp + 4), ICMP_UNREACHABLE, ICMP_HOST_UNREACHABLE, 0);
}
