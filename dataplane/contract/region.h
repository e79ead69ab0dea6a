// The region: what outlives a data plane and a control process alike, in one file of the instance, made by
// control, attached by the data plane and the exporter. Offsets only. Each side checks magic, version and
// size before it uses anything else.
//
// Who writes what: control writes everything but the parts marked with another writer.
#pragma once
#include "base/ring.h"
#include "contract/snapshot.h"
#include "contract/stats.h"
#include <stdatomic.h>
#include <stdint.h>

#define REGION_MAGIC         0x6e676572474348ull // "CHGregn"
#define REGION_VERSION       5u
#define REGION_ENDPOINTS     16384 // slot 0 is never used
#define REGION_TARGETS       65536 // slot 0 is never used
#define REGION_LIMITS        1024  // slot 0 is never used; an identity in the table has 10 bits for it
#define REGION_LIMIT_KEYS    1024  // of each worker, a power of two
#define REGION_ROUTES_OFF    256   // disabled by hand at a time
#define REGION_CREDITS       16384 // slot 0 is never used
#define REGION_NAME          64
#define REGION_ENDPOINT_NAME 128
#define REGION_CMD_RING      (64u << 10)
#define REGION_LOG_RING      (1u << 20)
#define REGION_REPLY_RING    (256u << 10)
#define REGION_BLOCK_RING    (16u << 10)

enum endpoint_admin { ADMIN_READY, ADMIN_DRAIN, ADMIN_MAINT };

struct region_endpoint {
	uint64_t key;           // hash64 of "upstream/address:port"; 0: free
	uint32_t epoch;         // rises each time the slot gets another owner
	_Atomic uint32_t admin; // enum endpoint_admin, set by hand, kept over reloads and restarts
	_Atomic int32_t weight; // set by hand; -1: as configured
	uint32_t pad;
};

struct region_target {
	uint64_t key;           // hash64 of "route/upstream"; 0: free
	_Atomic int32_t weight; // set by hand, 0..65535; -1: as configured
	uint32_t pad;
};

struct region_name { // of a statistics slot; never reused for another name
	uint64_t key;
	char text[REGION_NAME];
};

// Of an endpoint slot, for listings: what workers read stands in region_endpoint, closely packed. Valid while
// the slot's key is; a reader compares the key before and after.
struct region_endpoint_name {
	char text[REGION_ENDPOINT_NAME]; // "upstream/address:port"
};

// A rate limit: what was set by hand, kept over reloads and restarts.
struct region_limit {
	_Atomic uint64_t interval; // ns from one request to the next; 0: as configured
	_Atomic uint64_t burst;    // 0: as configured
	uint32_t rate, pad;        // as it was set, for listings
	uint64_t period;
};

// Requests in flight of a route or listener: contract/credits.h.
struct region_credits {
	uint64_t key;          // hash64 of "route/NAME" or "listener/NAME"; 0: free
	_Atomic uint64_t home; // what no worker has, and the limit in force
	_Atomic uint32_t hand; // the limit that was set by hand (0: none), plus 1; 0: as configured
	uint32_t pad[3];
};
// Of one worker.
struct region_credit_cell {
	_Atomic uint64_t idle; // of its own; others may take from there
	stat_cell refused;     // requests beyond the limit; it alone writes
};
struct region_credit_name { // valid while the slot's key is
	char text[80];
};

enum limit_decision {
	LIMIT_PASSED,
	LIMIT_REFUSED,    // beyond the limit
	LIMIT_DELAYED,    // passed after a wait
	LIMIT_TAGGED,     // beyond it, passed with a header field
	LIMIT_SHADOWED,   // beyond it, passed
	LIMIT_NO_PLACE,   // a new key found no place in the table
	LIMIT_BLOCKED,    // its key was refused too often, and is now for a time without a look at the limit
	LIMIT_GIVEN_BACK, // charged, and given back since another limit refused meanwhile
	LIMIT_DECISIONS
};
extern const char *const limit_decision_name[LIMIT_DECISIONS];

// Of one worker and one limit; it alone writes.
struct region_limit_stats {
	_Alignas(64) stat_cell n[LIMIT_DECISIONS];
};

// The text of a key that one worker met lately, near or beyond its limit; the entry at its identity's lower
// bits. A reader compares the identity before and after. The worker alone writes.
struct region_limit_key {
	_Atomic uint64_t id;
	char text[56]; // cut to fit, ends with NUL
};

// Bits of an endpoint's state as one worker sees it; each worker writes its own byte.
enum endpoint_health { HEALTH_UP, HEALTH_DOWN };

// An orderly end: requests in flight are finished; at the end of the time for it tunnels are closed.
enum drain { DRAIN_OFF, DRAIN_ON, DRAIN_END };

struct region {
	uint64_t magic;
	uint32_t version;
	uint32_t workers;
	uint64_t size;
	uint64_t off_endpoints, off_targets, off_routes, off_upstreams, off_ports, off_health, off_rings;
	_Atomic uint32_t log_level;       // enum log_level
	_Atomic uint32_t control_epoch;   // rises with each start of control
	_Atomic uint32_t dataplane_epoch; // rises with each start of the data plane (written by it)
	_Atomic uint64_t draining;        // enum drain
	_Atomic uint64_t involuntary_pid; // reserved
	uint64_t off_endpoint_names;
	uint64_t off_active;
	uint64_t off_limits;
	// Routes disabled by hand: hash64 of their names, the first n_routes_off of them. One that moves up to
	// close a gap stands twice for a moment, never nowhere.
	_Atomic uint32_t n_routes_off;
	_Atomic uint32_t n_credits_by_hand; // slots with a limit that was set by hand
	_Atomic uint64_t route_off[REGION_ROUTES_OFF];
	uint64_t sticky_secret[2]; // of the endpoints' tokens; both 0: not made yet
};

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

enum ring_id {
	RING_CMD,
	RING_REPLY,
	RING_LOG,
	RING_BLOCK, // addresses for the deny list
	RING_IDS
}; // control → worker, then worker → control

uint64_t region_size(uint32_t workers);
// Formats a fresh, zeroed mapping of region_size(workers) bytes.
void region_create(struct region *r, uint32_t workers);
// Disables or enables a route, of any generation, by name. false: as many as can be are disabled.
bool region_route_switch(struct region *r, struct slice name, bool off);
void region_route_enable(struct region *r, uint64_t key); // hash64 of its name
bool region_route_is_off(const struct region *r, struct slice name);
// Checks a mapping of size bytes; false with a sentence in why.
bool region_verify(const struct region *r, uint64_t size, char *why, size_t why_size);

// Where the parts stand. Whoever was built with this file knows it; the offsets in the header are for others
// and are checked on attaching, never followed: who damages the region in use changes figures, but leads nobody
// out of it. The parts of one worker stand together, behind all others.
#define REGION_PAGES(bytes) (((bytes) + 4095ull) / 4096 * 4096)
#define REGION_AT_ENDPOINTS REGION_PAGES(sizeof(struct region))
#define REGION_AT_TARGETS                                                                                      \
	(REGION_AT_ENDPOINTS + REGION_PAGES(REGION_ENDPOINTS * sizeof(struct region_endpoint)))
#define REGION_AT_ROUTES         (REGION_AT_TARGETS + REGION_PAGES(REGION_TARGETS * sizeof(struct region_target)))
#define REGION_AT_UPSTREAMS      (REGION_AT_ROUTES + REGION_PAGES(STATS_ROUTES * sizeof(struct region_name)))
#define REGION_AT_PORTS          (REGION_AT_UPSTREAMS + REGION_PAGES(STATS_UPSTREAMS * sizeof(struct region_name)))
#define REGION_AT_ENDPOINT_NAMES (REGION_AT_PORTS + REGION_PAGES(STATS_PORTS * sizeof(struct region_name)))
#define REGION_AT_LIMITS                                                                                       \
	(REGION_AT_ENDPOINT_NAMES + REGION_PAGES(REGION_ENDPOINTS * sizeof(struct region_endpoint_name)))
#define REGION_AT_LIMIT_NAMES (REGION_AT_LIMITS + REGION_PAGES(REGION_LIMITS * sizeof(struct region_limit)))
#define REGION_AT_CREDITS     (REGION_AT_LIMIT_NAMES + REGION_PAGES(REGION_LIMITS * sizeof(struct region_name)))
#define REGION_AT_CREDIT_NAMES                                                                                 \
	(REGION_AT_CREDITS + REGION_PAGES(REGION_CREDITS * sizeof(struct region_credits)))
#define REGION_AT_WORKERS                                                                                      \
	(REGION_AT_CREDIT_NAMES + REGION_PAGES(REGION_CREDITS * sizeof(struct region_credit_name)))
#define REGION_WORKER_ACTIVE REGION_PAGES(REGION_ENDPOINTS) // behind its bytes of health
#define REGION_WORKER_RINGS  (REGION_WORKER_ACTIVE + REGION_PAGES(REGION_ENDPOINTS * sizeof(uint32_t)))
#define REGION_WORKER_LIMITS                                                                                   \
	(REGION_WORKER_RINGS + REGION_PAGES(RING_IDS * sizeof(struct rec_ring) + REGION_CMD_RING +             \
					    REGION_REPLY_RING + REGION_LOG_RING + REGION_BLOCK_RING))
#define REGION_WORKER_LIMIT_KEYS                                                                               \
	(REGION_WORKER_LIMITS + REGION_PAGES(REGION_LIMITS * sizeof(struct region_limit_stats)))
#define REGION_WORKER_CREDITS                                                                                  \
	(REGION_WORKER_LIMIT_KEYS + REGION_PAGES(REGION_LIMIT_KEYS * sizeof(struct region_limit_key)))
#define REGION_WORKER_BYTES                                                                                    \
	(REGION_WORKER_CREDITS + REGION_PAGES(REGION_CREDITS * sizeof(struct region_credit_cell)))

static inline struct region_endpoint *region_endpoints(struct region *r)
{
	return (struct region_endpoint *)((char *)r + REGION_AT_ENDPOINTS);
}
static inline struct region_target *region_targets(struct region *r)
{
	return (struct region_target *)((char *)r + REGION_AT_TARGETS);
}
static inline struct region_name *region_routes(struct region *r) // STATS_ROUTES of them
{
	return (struct region_name *)((char *)r + REGION_AT_ROUTES);
}
static inline struct region_name *region_upstreams(struct region *r) // STATS_UPSTREAMS of them
{
	return (struct region_name *)((char *)r + REGION_AT_UPSTREAMS);
}
static inline struct region_name *region_ports(struct region *r) // STATS_PORTS of them, by snap_port index
{
	return (struct region_name *)((char *)r + REGION_AT_PORTS);
}
static inline struct region_endpoint_name *region_endpoint_names(struct region *r) // by endpoint slot
{
	return (struct region_endpoint_name *)((char *)r + REGION_AT_ENDPOINT_NAMES);
}
// Of one worker: a byte (enum endpoint_health) for each endpoint slot.
static inline _Atomic uint8_t *region_health(struct region *r, uint32_t worker)
{
	return (_Atomic uint8_t *)((char *)r + REGION_AT_WORKERS + worker * REGION_WORKER_BYTES);
}
// Requests in flight of one worker, for each endpoint slot. Each worker writes its own; the others read them to
// balance (they may be a little behind).
static inline _Atomic uint32_t *region_active(struct region *r, uint32_t worker)
{
	return (_Atomic uint32_t *)((char *)r + REGION_AT_WORKERS + worker * REGION_WORKER_BYTES +
				    REGION_WORKER_ACTIVE);
}
static inline struct region_limit *region_limits(struct region *r)
{
	return (struct region_limit *)((char *)r + REGION_AT_LIMITS);
}
static inline struct region_name *region_limit_names(struct region *r) // REGION_LIMITS of them
{
	return (struct region_name *)((char *)r + REGION_AT_LIMIT_NAMES);
}
static inline struct region_limit_stats *region_limit_stats(struct region *r, uint32_t worker)
{
	return (struct region_limit_stats *)((char *)r + REGION_AT_WORKERS + worker * REGION_WORKER_BYTES +
					     REGION_WORKER_LIMITS);
}
static inline struct region_limit_key *region_limit_keys(struct region *r, uint32_t worker)
{
	return (struct region_limit_key *)((char *)r + REGION_AT_WORKERS + worker * REGION_WORKER_BYTES +
					   REGION_WORKER_LIMIT_KEYS);
}
static inline struct region_credits *region_credits(struct region *r) // REGION_CREDITS of them
{
	return (struct region_credits *)((char *)r + REGION_AT_CREDITS);
}
static inline struct region_credit_name *region_credit_names(struct region *r) // by credits slot
{
	return (struct region_credit_name *)((char *)r + REGION_AT_CREDIT_NAMES);
}
static inline struct region_credit_cell *region_credit_cells(struct region *r, uint32_t worker)
{
	return (struct region_credit_cell *)((char *)r + REGION_AT_WORKERS + worker * REGION_WORKER_BYTES +
					     REGION_WORKER_CREDITS);
}
// How many workers it was made for; 0 where its header is damaged.
uint32_t region_workers(const struct region *r);
struct rec_ring *region_ring(struct region *r, uint32_t worker, enum ring_id id);
uint32_t region_ring_size(enum ring_id id);

// Slot of a name: the one it has, or a free one that becomes its own; 0 when none is left.
uint32_t region_endpoint_slot(struct region *r, const char *key);
uint32_t region_target_slot(struct region *r, const char *key);
uint32_t region_credits_slot(struct region *r, const char *key);
uint32_t region_name_slot(struct region_name *table, uint32_t n, const char *name);
// Gives an endpoint's slot back, when no living generation names it any more.
void region_endpoint_release(struct region *r, uint32_t slot);
void region_target_release(struct region *r, uint32_t slot);
void region_credits_release(struct region *r, uint32_t slot); // none of which is in use
