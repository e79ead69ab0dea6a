// Our IPv6 addresses on their way to being ours: duplicate address detection (RFC 4862 5.4), for those that are
// configured and for the link-local one that each port with IPv6 has. Within net/ only.
//
// An address is tentative for a second: it is asked for, and hears nothing but neighbour discovery. Connections
// that are opened from it meanwhile wait for their next hop to be resolved. If somebody else has the address it
// is not used until the configuration takes it away and gives it again.
#pragma once
#include "net/net.h"

#define OWN_MAX 256 // beyond it addresses are used without being asked for

enum own_state { OWN_FREE, OWN_TENTATIVE, OWN_VALID, OWN_DUPLICATE };

struct net_own {
	struct timer timer;
	struct addr addr;
	uint16_t port;
	uint8_t state;
	bool asked;
	uint8_t solicited; // how often routers were asked for
};

int own_init(struct net *n, struct arena *a);
void own_fini(struct net *n);
// The port's addresses may have changed.
void own_configure(struct net *n, uint16_t port);
void own_timer(struct net *n, struct timer *t);
bool own_owns_timer(const struct net *n, const struct timer *t);

enum own_state own_state(const struct net *n, uint16_t port, struct addr addr);
// Neither tentative nor somebody else's. What is not an IPv6 address of ours counts as usable.
static inline bool own_usable(const struct net *n, uint16_t port, struct addr addr)
{
	return n->own_unusable == 0 || own_state(n, port, addr) == OWN_VALID;
}
// Another station has addr, or wants it. tell: so that other workers hear of it.
void own_conflict(struct net *n, uint16_t port, struct addr addr, bool tell);
