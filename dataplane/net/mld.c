#include "net/mld.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/own.h"
#include "net/wire.h"

enum { REPORT_LEN = 8, RECORD_LEN = 20, QUERY_LEN = 24 };
enum { MODE_IS_EXCLUDE = 2, CHANGE_TO_EXCLUDE = 4 }; // with no source excluded: everything is wanted

static void report(struct net *n, uint16_t port, struct addr addr, uint8_t mode)
{
	struct addr source = n->port[port].link_local.addr, group = ipv6_solicited_node(addr);
	struct pkt *p = pkt_alloc(n->pool);
	uint8_t *mld;

	if (!p)
		return;
	if (!own_usable(n, port, source)) // RFC 3810 5.2.13
		source = (struct addr){0};
	mld = (uint8_t *)pkt_append(p, REPORT_LEN + RECORD_LEN);
	memset(mld, 0, REPORT_LEN + RECORD_LEN);
	mld[0] = MLD_REPORT;
	put16(mld + 6, 1);
	mld[REPORT_LEN] = mode;
	memcpy(mld + REPORT_LEN + 4, group.b, 16);
	ipv6_send(n, port, source, ipv6_all_mld_routers, NULL, 1, true, p);
}

void mld_report(struct net *n, uint16_t port, struct addr addr)
{
	report(n, port, addr, CHANGE_TO_EXCLUDE);
}

// RFC 3810 5.1.14, 6.2: from a neighbour's link-local address, over no router. It is answered at once: we are
// one station, and the delay is there for many.
void mld_input(struct net *n, struct net_seg *seg)
{
	const struct net_port *np = &n->port[seg->port];
	const uint8_t *mld = (const uint8_t *)pkt_data(seg->pkt);
	struct addr group;

	if (pkt_len(seg->pkt) < QUERY_LEN || seg->ttl != 1 || !ipv6_is_link_local(seg->src)) {
		net_drop(n, seg->pkt, CTR_icmp_bad);
		return;
	}
	memcpy(group.b, mld + 8, 16);
	for (uint32_t i = 0; i <= np->n_addresses; i++) {
		struct addr a = i < np->n_addresses ? np->addresses[i].addr : np->link_local.addr;

		if (!addr_is_v4(a) && (addr_is_any(group) || addr_eq(group, ipv6_solicited_node(a))) &&
		    icmp_allowed(n, ICMP_ECHO_COST))
			report(n, seg->port, a, MODE_IS_EXCLUDE);
	}
	pkt_free_chain(seg->pkt);
}
