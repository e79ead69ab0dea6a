#include "net/own.h"
#include "net/ethernet.h"
#include "net/ipv6.h"
#include "net/mld.h"
#include "net/ndp.h"
#include "net/router.h"
#include <errno.h>

// RFC 4862 5.1, RFC 4861 10: one question, and RetransTimer for somebody to object. The random delay before the
// first one is left out: it would double the time for which a started gateway has no IPv6.
#define WAIT 1000000000ull

int own_init(struct net *n, struct arena *a)
{
	n->own = arena_alloc(a, OWN_MAX * sizeof(*n->own), 64);
	return n->own ? 0 : -ENOMEM;
}

static struct net_own *find(const struct net *n, uint16_t port, struct addr addr)
{
	for (uint32_t i = 0; i < n->n_own; i++)
		if (n->own[i].state != OWN_FREE && n->own[i].port == port && addr_eq(n->own[i].addr, addr))
			return &n->own[i];
	return NULL;
}

enum own_state own_state(const struct net *n, uint16_t port, struct addr addr)
{
	const struct net_own *o = find(n, port, addr);

	return o ? o->state : OWN_VALID;
}

static void set_state(struct net *n, struct net_own *o, enum own_state state)
{
	bool before = o->state == OWN_TENTATIVE || o->state == OWN_DUPLICATE;
	bool after = state == OWN_TENTATIVE || state == OWN_DUPLICATE;

	n->own_unusable += after;
	n->own_unusable -= before;
	o->state = (uint8_t)state;
}

static void ask(struct net *n, struct net_own *o)
{
	mld_report(n, o->port, o->addr);
	o->asked = ndp_probe(n, o->port, o->addr);
	timer_arm(n->wheel, &o->timer, n->now + WAIT);
}

static void add(struct net *n, uint16_t port, struct addr addr)
{
	struct net_own *o = NULL;

	if (find(n, port, addr))
		return;
	for (uint32_t i = 0; i < n->n_own && !o; i++)
		if (n->own[i].state == OWN_FREE)
			o = &n->own[i];
	if (!o && n->n_own < OWN_MAX)
		o = &n->own[n->n_own++];
	if (!o) {
		ndp_announce(n, port, addr);
		return;
	}
	*o = (struct net_own){.addr = addr, .port = port};
	set_state(n, o, OWN_TENTATIVE);
	ask(n, o);
}

static bool configured(const struct net_port *np, struct addr addr)
{
	for (uint32_t i = 0; i < np->n_addresses; i++)
		if (addr_eq(np->addresses[i].addr, addr))
			return true;
	return addr_eq(np->link_local.addr, addr);
}

void own_configure(struct net *n, uint16_t port)
{
	struct net_port *np = &n->port[port];
	bool ipv6 = false;

	for (uint32_t i = 0; i < np->n_addresses; i++)
		ipv6 |= !addr_is_v4(np->addresses[i].addr);
	np->link_local = (struct snap_address){0};
	if (ipv6)
		np->link_local = (struct snap_address){.addr = ipv6_link_local_of(np->mac), .prefix = 64};
	for (uint32_t i = 0; i < n->n_own; i++)
		if (n->own[i].state != OWN_FREE && n->own[i].port == port && !configured(np, n->own[i].addr)) {
			timer_cancel(n->wheel, &n->own[i].timer);
			set_state(n, &n->own[i], OWN_FREE);
		}
	if (!ipv6)
		return;
	add(n, port, np->link_local.addr);
	for (uint32_t i = 0; i < np->n_addresses; i++)
		if (!addr_is_v4(np->addresses[i].addr))
			add(n, port, np->addresses[i].addr);
}

void own_conflict(struct net *n, uint16_t port, struct addr addr, bool tell)
{
	struct net_own *o = find(n, port, addr);

	if (tell)
		net_count(n, CTR_neigh_conflict);
	if (!o || o->state != OWN_TENTATIVE)
		return;
	timer_cancel(n->wheel, &o->timer);
	set_state(n, o, OWN_DUPLICATE);
	if (tell && n->ops.learned)
		n->ops.learned(n->ops.ctx, port, addr, n->port[port].mac);
}

// RFC 4861 6.3.7, 10: three times, four seconds apart.
static void solicit_routers(struct net *n, struct net_own *o)
{
	if (!n->port[o->port].hear_routers || !router_solicit(n, o->port))
		return;
	if (++o->solicited < 3)
		timer_arm(n->wheel, &o->timer, n->now + 4 * WAIT);
}

void own_timer(struct net *n, struct timer *t)
{
	struct net_own *o = (struct net_own *)((char *)t - offsetof(struct net_own, timer));

	if (o->state == OWN_VALID) {
		solicit_routers(n, o);
		return;
	}
	if (!o->asked) { // for want of a buffer
		ask(n, o);
		return;
	}
	set_state(n, o, OWN_VALID);
	ndp_announce(n, o->port, o->addr);
	if (n->port[o->port].hear_routers && ipv6_is_link_local(o->addr))
		solicit_routers(n, o);
}

bool own_owns_timer(const struct net *n, const struct timer *t)
{
	return (const char *)t >= (const char *)n->own && (const char *)t < (const char *)(n->own + OWN_MAX);
}

void own_fini(struct net *n)
{
	for (uint32_t i = 0; i < n->n_own; i++)
		timer_cancel(n->wheel, &n->own[i].timer);
	n->n_own = n->own_unusable = 0;
}
