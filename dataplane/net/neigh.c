#include "net/neigh.h"
#include "net/arp.h"
#include "net/ipv4.h"
#include "net/ipv6.h"
#include "net/ndp.h"
#include "net/own.h"
#include "net/reassembly.h"
#include "net/route.h"
#include <errno.h>

#define SECOND 1000000000ull
// RFC 1122 2.3.2.1: no more than one request a second for one destination.
#define RETRY (1 * SECOND)
#define TRIES 3
// Confirmed for 30 s to 60 s, each entry its own time, so that they do not all ask at once (RFC 4861 6.3.2).
#define REACHABLE_MIN  (30 * SECOND)
#define REACHABLE_SPAN (30 * SECOND)
#define HOLD_DOWN      (3 * SECOND)

#define ENTRIES_MAX UINT16_MAX

// A part of the table that those who only answer leave free: whoever forges addresses of our links (RFC 6583)
// must not keep us from our upstreams.
#define RESERVE 8

static uint64_t hash_of(const struct net *n, uint16_t port, struct addr addr)
{
	struct {
		struct addr addr;
		uint64_t port;
	} key = {addr, port};

	return siphash(n->key, &key, sizeof(key));
}

static uint16_t *bucket(struct net *n, uint16_t port, struct addr addr)
{
	return &n->neigh_bucket[hash_of(n, port, addr) & n->neigh_mask];
}

static uint16_t index_of(const struct net *n, const struct net_neigh *e)
{
	return (uint16_t)(e - n->neigh);
}

int neigh_init(struct net *n, struct arena *a, uint32_t entries)
{
	uint32_t buckets = 64;

	if (entries < 2 || entries > ENTRIES_MAX)
		return -EINVAL;
	while (buckets < entries)
		buckets *= 2;
	n->neigh = arena_alloc(a, entries * sizeof(*n->neigh), 64);
	n->neigh_bucket = arena_alloc(a, buckets * sizeof(*n->neigh_bucket), 64);
	if (!n->neigh || !n->neigh_bucket)
		return -ENOMEM;
	n->n_neigh = entries;
	n->neigh_mask = buckets - 1;
	n->neigh_free = 1;
	for (uint32_t i = 1; i + 1 < entries; i++)
		n->neigh[i].next = (uint16_t)(i + 1);
	return 0;
}

static struct net_neigh *find(struct net *n, uint16_t port, struct addr addr)
{
	uint16_t *recent = &n->neigh_recent[(addr.b[15] ^ port) % NEIGH_RECENT], i = *recent;

	// A router, or clients of one network: no keyed hash for them.
	if (n->neigh[i].state != NEIGH_FREE && n->neigh[i].port == port && addr_eq(n->neigh[i].addr, addr))
		return &n->neigh[i];
	for (i = *bucket(n, port, addr); i != 0; i = n->neigh[i].next)
		if (n->neigh[i].port == port && addr_eq(n->neigh[i].addr, addr)) {
			*recent = i;
			return &n->neigh[i];
		}
	return NULL;
}

bool neigh_silent(const struct net *n, uint16_t port, struct addr addr)
{
	const struct net_neigh *e = find((struct net *)(uintptr_t)n, port, addr);

	return e && !neigh_has_mac(e);
}

// The list of the unreferenced: newest at the end.
static void unreferenced_add(struct net *n, struct net_neigh *e)
{
	uint16_t i = index_of(n, e);

	e->older = n->neigh_newest;
	e->newer = 0;
	if (e->older)
		n->neigh[e->older].newer = i;
	else
		n->neigh_oldest = i;
	n->neigh_newest = i;
}

static void unreferenced_remove(struct net *n, struct net_neigh *e)
{
	if (e->older)
		n->neigh[e->older].newer = e->newer;
	else
		n->neigh_oldest = e->newer;
	if (e->newer)
		n->neigh[e->newer].older = e->older;
	else
		n->neigh_newest = e->older;
}

static void queue_drop(struct net *n, struct net_neigh *e)
{
	for (uint32_t i = 0; i < e->queued; i++)
		net_drop(n, e->queue[i], CTR_neigh_unresolved);
	n->neigh_waiting -= e->queued;
	e->queued = 0;
}

// An unreferenced entry becomes a free one.
static void release(struct net *n, struct net_neigh *e)
{
	uint16_t i = index_of(n, e), *at = bucket(n, e->port, e->addr);

	while (*at != i)
		at = &n->neigh[*at].next;
	*at = e->next;
	unreferenced_remove(n, e);
	timer_cancel(n->wheel, &e->timer);
	queue_drop(n, e);
	e->state = NEIGH_FREE;
	e->next = n->neigh_free;
	n->neigh_free = i;
}

// An unreferenced entry without a state yet; NULL: none is left.
static struct net_neigh *make(struct net *n, uint16_t port, struct addr addr)
{
	struct net_neigh *e;
	uint16_t *at;

	if (!n->neigh_free && n->neigh_oldest)
		release(n, &n->neigh[n->neigh_oldest]);
	if (!n->neigh_free)
		return NULL;
	e = &n->neigh[n->neigh_free];
	n->neigh_free = e->next;
	*e = (struct net_neigh){.port = port, .addr = addr};
	at = bucket(n, port, addr);
	e->next = *at;
	*at = index_of(n, e);
	unreferenced_add(n, e);
	return e;
}

static void ask(struct net *n, struct net_neigh *e)
{
	bool probe = e->state == NEIGH_PROBE;
	struct addr source;

	if (!route_source(n, e->port, e->addr, &source)) {
		e->tries++; // our addresses have gone
	} else if (addr_is_v4(e->addr)) {
		arp_request(n, e->port, source, e->addr, probe ? e->mac : mac_broadcast);
		e->tries++;
	} else if (own_usable(n, e->port, source)) {
		ndp_solicit(n, e->port, source, e->addr, probe ? e->mac : NULL);
		e->tries++;
	} // else nothing may be sent from it yet (RFC 4862 5.4)
	timer_arm(n->wheel, &e->timer, n->now + RETRY);
}

static void ask_anew(struct net *n, struct net_neigh *e, enum neigh_state state)
{
	e->state = (uint8_t)state;
	e->tries = 0;
	ask(n, e);
}

uint16_t neigh_get(struct net *n, uint16_t port, struct addr addr, bool answer)
{
	struct net_neigh *e = find(n, port, addr);

	if (!e) {
		if (answer && n->neigh_held + n->n_neigh / RESERVE >= n->n_neigh - 1)
			return 0;
		e = make(n, port, addr);
		if (!e)
			return 0;
		ask_anew(n, e, NEIGH_INCOMPLETE);
	}
	neigh_ref(n, index_of(n, e));
	return index_of(n, e);
}

void neigh_ref(struct net *n, uint16_t index)
{
	struct net_neigh *e = &n->neigh[index];

	if (e->refs++ == 0) {
		unreferenced_remove(n, e);
		n->neigh_held++;
	}
}

void neigh_put(struct net *n, uint16_t index)
{
	struct net_neigh *e = &n->neigh[index];

	if (--e->refs == 0) {
		unreferenced_add(n, e);
		n->neigh_held--;
	}
}

static void wait_for(struct net *n, struct net_neigh *e, struct pkt *p)
{
	// The latest are worth more: the oldest goes (RFC 1122 2.3.2.2).
	if (n->neigh_waiting == NEIGH_WAITING && e->queued == 0) {
		net_drop(n, p, CTR_neigh_queue_full);
		return;
	}
	if (e->queued == NEIGH_QUEUE || n->neigh_waiting == NEIGH_WAITING) {
		net_drop(n, e->queue[0], CTR_neigh_queue_full);
		memmove(e->queue, e->queue + 1, sizeof(e->queue) - sizeof(e->queue[0]));
		e->queued--;
		n->neigh_waiting--;
	}
	e->queue[e->queued++] = p;
	n->neigh_waiting++;
}

void neigh_output(struct net *n, uint16_t index, struct pkt *p, uint16_t type)
{
	struct net_neigh *e = &n->neigh[index];

	e->used = n->now;
	if (__builtin_expect(e->state == NEIGH_REACHABLE, 1)) {
		ethernet_output(n, e->port, p, e->mac, type);
		return;
	}
	switch (e->state) {
	case NEIGH_STALE:
		ask_anew(n, e, NEIGH_PROBE);
		ethernet_output(n, e->port, p, e->mac, type);
		return;
	case NEIGH_PROBE:
		ethernet_output(n, e->port, p, e->mac, type);
		return;
	case NEIGH_INCOMPLETE:
		wait_for(n, e, p);
		return;
	default:
		if (timer_armed(&e->timer)) { // held down
			net_drop(n, p, CTR_neigh_unresolved);
			return;
		}
		wait_for(n, e, p);
		ask_anew(n, e, NEIGH_INCOMPLETE);
		return;
	}
}

static void queue_send(struct net *n, struct net_neigh *e)
{
	uint32_t waiting = e->queued;

	n->neigh_waiting -= waiting;
	e->queued = 0;
	for (uint32_t i = 0; i < waiting; i++)
		// The port may have got a tag meanwhile, for which there is no room.
		if (pkt_headroom(e->queue[i]) < ethernet_header(&n->port[e->port]))
			net_drop(n, e->queue[i], CTR_neigh_unresolved);
		else
			ethernet_output(n, e->port, e->queue[i], e->mac,
					addr_is_v4(e->addr) ? TYPE_IPV4 : TYPE_IPV6);
}

static void confirm(struct net *n, struct net_neigh *e, const uint8_t mac[MAC_LEN])
{
	memcpy(e->mac, mac, MAC_LEN);
	e->state = NEIGH_REACHABLE;
	e->tries = 0;
	e->confirmed = n->now;
	timer_arm(n->wheel, &e->timer,
		  n->now + REACHABLE_MIN + (hash_of(n, e->port, e->addr) >> 16) % REACHABLE_SPAN);
	queue_send(n, e);
}

// Known, but not confirmed: whoever uses it next asks.
static void suspect(struct net *n, struct net_neigh *e, const uint8_t mac[MAC_LEN])
{
	bool waiting = e->queued > 0;

	memcpy(e->mac, mac, MAC_LEN);
	e->state = NEIGH_STALE;
	timer_cancel(n->wheel, &e->timer);
	queue_send(n, e);
	if (waiting)
		ask_anew(n, e, NEIGH_PROBE);
}

static void tell(struct net *n, const struct net_neigh *e)
{
	if (n->ops.learned)
		n->ops.learned(n->ops.ctx, e->port, e->addr, e->mac);
}

void neigh_solicited(struct net *n, uint16_t port, struct addr addr, const uint8_t mac[MAC_LEN])
{
	struct net_neigh *e = find(n, port, addr);

	if (!e)
		e = make(n, port, addr); // none left: as in neigh_heard()
	if (!e || (neigh_has_mac(e) && mac_eq(e->mac, mac)))
		return;
	suspect(n, e, mac);
	tell(n, e);
}

void neigh_advertised(struct net *n, uint16_t port, struct addr addr, const uint8_t *mac, bool solicited,
		      bool override)
{
	struct net_neigh *e = find(n, port, addr);
	bool changed;

	if (!e) { // the answer may be to another worker's question
		if (mac && solicited && n->ops.learned)
			n->ops.learned(n->ops.ctx, port, addr, mac);
		return;
	}
	if (!neigh_has_mac(e)) {
		if (!mac)
			return;
		if (solicited)
			confirm(n, e, mac);
		else
			suspect(n, e, mac);
		tell(n, e);
		return;
	}
	changed = mac && !mac_eq(e->mac, mac);
	if (changed && !override) {
		// Whichever of the two is right: it is asked when it is next used.
		if (e->state == NEIGH_REACHABLE) {
			e->state = NEIGH_STALE;
			timer_cancel(n->wheel, &e->timer);
		}
		return;
	}
	if (solicited)
		confirm(n, e, mac ? mac : e->mac);
	else if (changed)
		suspect(n, e, mac);
	if (changed || solicited)
		tell(n, e);
}

void neigh_heard(struct net *n, uint16_t port, struct addr addr, const uint8_t mac[MAC_LEN], bool create,
		 bool answer)
{
	struct net_neigh *e = find(n, port, addr);

	if (!e && create)
		e = make(n, port, addr); // none left: it is not worth a packet, so nothing is counted
	if (e) {
		answer |= e->state != NEIGH_REACHABLE || !mac_eq(e->mac, mac);
		confirm(n, e, mac);
	}
	if (answer && n->ops.learned)
		n->ops.learned(n->ops.ctx, port, addr, mac);
}

void net_learn(struct net *n, uint16_t port, struct addr addr, const uint8_t mac[6])
{
	struct net_neigh *e;

	if (port >= n->n_ports)
		return;
	if (!addr_is_v4(addr) && net_is_local(n, port, addr)) {
		own_conflict(n, port, addr, false);
		return;
	}
	e = find(n, port, addr);
	if (!e && n->neigh_free) // nobody is put out for what may never be needed here
		e = make(n, port, addr);
	if (!e)
		return;
	// Of IPv6 the teller need not have had an answer: what is not asked for here is asked for when it is
	// used.
	if (addr_is_v4(addr) || e->state == NEIGH_INCOMPLETE || e->state == NEIGH_PROBE)
		confirm(n, e, mac);
	else if (!neigh_has_mac(e) || !mac_eq(e->mac, mac))
		suspect(n, e, mac);
}

// What waits is told to its transport, so that it need not find out by itself.
static void fail(struct net *n, struct net_neigh *e)
{
	uint32_t waiting = e->queued;

	e->state = NEIGH_FAILED;
	timer_arm(n->wheel, &e->timer, n->now + HOLD_DOWN);
	n->neigh_waiting -= waiting;
	e->queued = 0;
	for (uint32_t i = 0; i < waiting; i++) {
		if (addr_is_v4(e->addr))
			ipv4_unresolved(n, e->queue[i]);
		else
			ipv6_unresolved(n, e->queue[i]);
		net_drop(n, e->queue[i], CTR_neigh_unresolved);
	}
}

void net_timer(struct net *n, struct timer *t)
{
	struct net_neigh *e = (struct net_neigh *)((char *)t - offsetof(struct net_neigh, timer));

	if (own_owns_timer(n, t)) {
		own_timer(n, t);
		return;
	}
	if (reassembly_owns_timer(n, t)) {
		reassembly_timer(n, t);
		return;
	}
	switch (e->state) {
	case NEIGH_INCOMPLETE:
		if (e->tries < TRIES)
			ask(n, e);
		else
			fail(n, e);
		break;
	case NEIGH_REACHABLE:
		if (e->used > e->confirmed)
			ask_anew(n, e, NEIGH_PROBE);
		else
			e->state = NEIGH_STALE;
		break;
	case NEIGH_PROBE:
		if (e->tries < TRIES)
			ask(n, e);
		else
			ask_anew(n, e, NEIGH_INCOMPLETE); // perhaps its hardware was exchanged
		break;
	case NEIGH_FAILED:
		if (e->refs == 0)
			release(n, e);
		break;
	default:
		break;
	}
}

bool net_owns_timer(const struct net *n, const struct timer *t)
{
	return ((const char *)t >= (const char *)n->neigh &&
		(const char *)t < (const char *)(n->neigh + n->n_neigh)) ||
	       own_owns_timer(n, t) || reassembly_owns_timer(n, t);
}

void neigh_fini(struct net *n)
{
	for (uint32_t i = 1; i < n->n_neigh; i++) {
		struct net_neigh *e = &n->neigh[i];

		if (e->state == NEIGH_FREE)
			continue;
		timer_cancel(n->wheel, &e->timer);
		for (uint32_t k = 0; k < e->queued; k++)
			pkt_free_chain(e->queue[k]);
		*e = (struct net_neigh){0};
	}
}
