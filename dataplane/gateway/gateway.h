// The gateway: exchanges between client connections and upstream connections, for one worker. It stands on tcp
// (events), http (bytes), route, policy and upstream (decisions), and holds the snapshots that requests run
// under.
#pragma once
#include "base/arena.h"
#include "base/wheel.h"
#include "contract/address_list.h"
#include "contract/limit_table.h"
#include "contract/region.h"
#include "contract/snapshot.h"
#include "contract/stats.h"
#include "port/pkt.h"
#include "tcp/tcp.h"

struct gateway;
struct regex_set;

struct gateway_config {
	unsigned worker;
	uint32_t max_connections; // of the worker, both sides together
	struct pkt_pool *pool;
	struct pkt_pool *small; // for heads that are not whole; NULL: they stay as they came
	struct region *region;
	struct worker_stats *stats;
	struct route_stats *route_stats;       // [STATS_ROUTES] of this worker
	struct upstream_stats *upstream_stats; // [STATS_UPSTREAMS] of this worker
	struct wheel *wheel;
	const struct limit_table *limits;      // of requests; NULL: none
	const struct address_list *addresses;  // denied and allowed; NULL: none
	uint32_t encoders;                     // bodies that may be compressed at a time
	bool bursts;                           // see worker.h
	uint64_t (*stopwatch)(const void *of); // likewise
	const void *stopwatch_of;
	uint64_t seed;
	uint64_t realtime_offset; // CLOCK_REALTIME - CLOCK_MONOTONIC, ns
};

size_t gateway_memory(uint32_t max_connections, uint32_t encoders); // arena bytes, at most
struct gateway *gateway_create(struct arena *a, const struct gateway_config *conf);
// Second step, when the TCP stack (which needs gateway_listen) is there. 0 or -errno.
int gateway_start(struct gateway *g, struct arena *a, struct tcp *tcp);
// Ends every exchange with its connections, and frees all packets. Nothing of that is sent any more. Returns
// how many of its objects no connection leads to: they have leaked.
unsigned gateway_stop(struct gateway *g);

bool gateway_listen(void *gateway, uint16_t port, struct addr local, uint16_t local_port,
		    struct tcp_accept *out);
void gateway_set_now(struct gateway *g, uint64_t now);
// After tcp_dispatch(): requests that were told of and wait to be decided together (burst.c).
void gateway_decide(struct gateway *g);
// Takes a verified snapshot into use for new requests, with its regular expressions (NULL: it has none). false:
// too many older ones are still in use; try again.
bool gateway_configure(struct gateway *g, const struct snapshot *s, const struct regex_set *regexes);
// The generations that exchanges here run under, and the one that new ones will; 0: none.
void gateway_generations(const struct gateway *g, uint64_t held[static SNAP_GENERATIONS]);
// Ends exchanges that still run under generations before this one, some of them each time: nobody has had an
// answer, and those whose request is all sent hear 504, the others 503.
void gateway_give_up(struct gateway *g, uint64_t before);
bool gateway_owns_timer(const struct gateway *g, const struct timer *t);
void gateway_timer(struct gateway *g, struct timer *t);
// From DRAIN_ON on: stops taking connections, closes idle ones, says "Connection: close" on the rest; at its
// end closes tunnels, which know no end of their own. Once is enough. Off: connections are taken again.
void gateway_drain(struct gateway *g, enum drain to);
// Is it an end of an open tunnel? Of what tcp_list() and tcp_get_info() give.
bool gateway_tunnels(const struct tcp_info *info);
// The client that one is of, as trusted proxies or the PROXY protocol name it; the remote where nobody does,
// all zero on a connection to an upstream. What a field names is known as long as its request is in work.
struct addr gateway_client(const struct gateway *g, const struct tcp_info *info);
// Looks whether clients of connections have come onto the deny list, some of them each time; ends those.
void gateway_denied(struct gateway *g);
// Work that is done in pieces, compression: has the next piece done, some 50 us at most. Once in each turn of
// the worker. False: there was none.
bool gateway_work(struct gateway *g);
bool gateway_has_work(const struct gateway *g);
// Backs what a snapshot needs with memory, before it is given to the worker; by another thread.
void gateway_prepare(struct gateway *g, const struct snapshot *s);
// Pools and gauges into the worker's statistics.
void gateway_gauges(struct gateway *g);
