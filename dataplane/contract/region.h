// The region: what outlives a data plane and a control process alike, in one file of the instance, made by
// control, attached by the data plane and the exporter. Offsets only. Each side checks magic, version and
// size before it uses anything else.
//
// Who writes what: control writes everything but the parts marked with another writer.
#pragma once
#include "base/ring.h"
#include "contract/snapshot.h"
#include <stdatomic.h>
#include <stdint.h>

#define REGION_MAGIC         0x6e676572474348ull // "CHGregn"
#define REGION_VERSION       1u
#define REGION_ENDPOINTS     16384 // slot 0 is never used
#define REGION_TARGETS       16384 // slot 0 is never used
#define REGION_NAME          64
#define REGION_ENDPOINT_NAME 128
#define REGION_CMD_RING      (64u << 10)
#define REGION_LOG_RING      (1u << 20)
#define REGION_REPLY_RING    (256u << 10)

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

// Bits of an endpoint's state as one worker sees it; each worker writes its own byte.
enum endpoint_health { HEALTH_UP, HEALTH_DOWN };

struct region {
	uint64_t magic;
	uint32_t version;
	uint32_t workers;
	uint64_t size;
	uint64_t off_endpoints, off_targets, off_routes, off_upstreams, off_ports, off_health, off_rings;
	_Atomic uint32_t log_level;       // enum log_level
	_Atomic uint32_t control_epoch;   // rises with each start of control
	_Atomic uint32_t dataplane_epoch; // rises with each start of the data plane (written by it)
	_Atomic uint64_t draining;        // 1: refuse keep-alive, readiness false
	_Atomic uint64_t involuntary_pid; // reserved
	uint64_t off_endpoint_names;
	uint64_t off_active;
};

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

enum ring_id {
	RING_CMD,
	RING_REPLY,
	RING_LOG,
	RING_IDS
}; // control → worker, worker → control, worker → control

uint64_t region_size(uint32_t workers);
// Formats a fresh, zeroed mapping of region_size(workers) bytes.
void region_create(struct region *r, uint32_t workers);
// Checks a mapping of size bytes; false with a sentence in why.
bool region_verify(const struct region *r, uint64_t size, char *why, size_t why_size);

static inline struct region_endpoint *region_endpoints(struct region *r)
{
	return (struct region_endpoint *)((char *)r + r->off_endpoints);
}
static inline struct region_target *region_targets(struct region *r)
{
	return (struct region_target *)((char *)r + r->off_targets);
}
static inline struct region_name *region_routes(struct region *r) // STATS_ROUTES of them
{
	return (struct region_name *)((char *)r + r->off_routes);
}
static inline struct region_name *region_upstreams(struct region *r) // STATS_UPSTREAMS of them
{
	return (struct region_name *)((char *)r + r->off_upstreams);
}
static inline struct region_name *region_ports(struct region *r) // STATS_PORTS of them, by snap_port index
{
	return (struct region_name *)((char *)r + r->off_ports);
}
static inline struct region_endpoint_name *region_endpoint_names(struct region *r) // by endpoint slot
{
	return (struct region_endpoint_name *)((char *)r + r->off_endpoint_names);
}
// One byte (enum endpoint_health) for each worker and endpoint slot: [worker * REGION_ENDPOINTS + slot].
static inline _Atomic uint8_t *region_health(struct region *r)
{
	return (_Atomic uint8_t *)((char *)r + r->off_health);
}
// Requests in flight, for each worker and endpoint slot, as health. Each worker writes its own; the others read
// them to balance (they may be a little behind).
static inline _Atomic uint32_t *region_active(struct region *r)
{
	return (_Atomic uint32_t *)((char *)r + r->off_active);
}
struct rec_ring *region_ring(struct region *r, uint32_t worker, enum ring_id id);
uint32_t region_ring_size(enum ring_id id);

// Slot of a name: the one it has, or a free one that becomes its own; 0 when none is left.
uint32_t region_endpoint_slot(struct region *r, const char *key);
uint32_t region_target_slot(struct region *r, const char *key);
uint32_t region_name_slot(struct region_name *table, uint32_t n, const char *name);
// Gives an endpoint's slot back, when no living generation names it any more.
void region_endpoint_release(struct region *r, uint32_t slot);
void region_target_release(struct region *r, uint32_t slot);
