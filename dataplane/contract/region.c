#include "contract/region.h"
#include "base/hash.h"
#include <stdio.h>
#include <string.h>

// A slot whose owner has gone: it may be taken again, but a probe goes on behind it.
#define KEY_RELEASED 1ull

const char *const limit_decision_name[LIMIT_DECISIONS] = {
	[LIMIT_PASSED] = "passed",   [LIMIT_REFUSED] = "refused",      [LIMIT_DELAYED] = "delayed",
	[LIMIT_TAGGED] = "tagged",   [LIMIT_SHADOWED] = "shadowed",    [LIMIT_NO_PLACE] = "no_place",
	[LIMIT_BLOCKED] = "blocked", [LIMIT_GIVEN_BACK] = "given_back"};

static const uint32_t ring_bytes[RING_IDS] = {[RING_CMD] = REGION_CMD_RING,
					      [RING_REPLY] = REGION_REPLY_RING,
					      [RING_LOG] = REGION_LOG_RING,
					      [RING_BLOCK] = REGION_BLOCK_RING};

uint64_t region_size(uint32_t workers)
{
	return REGION_AT_WORKERS + workers * REGION_WORKER_BYTES;
}

uint32_t region_workers(const struct region *r)
{
	uint32_t workers = r->workers;

	return workers <= SNAP_WORKERS_MAX && r->size == region_size(workers) ? workers : 0;
}

uint32_t region_ring_size(enum ring_id id)
{
	return ring_bytes[id];
}

struct rec_ring *region_ring(struct region *r, uint32_t worker, enum ring_id id)
{
	uint64_t off = REGION_AT_WORKERS + worker * REGION_WORKER_BYTES + REGION_WORKER_RINGS;

	for (enum ring_id i = 0; i < id; i++)
		off += sizeof(struct rec_ring) + ring_bytes[i];
	return (struct rec_ring *)((char *)r + off);
}

static void name_set(struct region_name *e, uint64_t key, const char *name)
{
	snprintf(e->text, sizeof e->text, "%s", name);
	// Readers of other processes look at the key first: it appears last.
	__atomic_store_n(&e->key, key, __ATOMIC_RELEASE);
}

void region_create(struct region *r, uint32_t workers)
{
	r->version = REGION_VERSION;
	r->workers = workers;
	r->size = region_size(workers);
	r->off_endpoints = REGION_AT_ENDPOINTS;
	r->off_targets = REGION_AT_TARGETS;
	r->off_routes = REGION_AT_ROUTES;
	r->off_upstreams = REGION_AT_UPSTREAMS;
	r->off_ports = REGION_AT_PORTS;
	r->off_health = REGION_AT_WORKERS;
	r->off_rings = REGION_AT_WORKERS + REGION_WORKER_RINGS;
	r->off_endpoint_names = REGION_AT_ENDPOINT_NAMES;
	r->off_active = REGION_AT_WORKERS + REGION_WORKER_ACTIVE;
	r->off_limits = REGION_AT_LIMITS;
	atomic_store(&r->log_level, LOG_WARNING);
	for (uint32_t i = 0; i < REGION_ENDPOINTS; i++)
		atomic_init(&region_endpoints(r)[i].weight, -1);
	for (uint32_t i = 0; i < REGION_TARGETS; i++)
		atomic_init(&region_targets(r)[i].weight, -1);
	name_set(&region_routes(r)[0], hash64("other", 5), "other");
	name_set(&region_upstreams(r)[0], hash64("other", 5), "other");
	for (uint32_t w = 0; w < workers; w++)
		for (enum ring_id id = 0; id < RING_IDS; id++)
			rec_ring_create(region_ring(r, w, id), ring_bytes[id]);
	// Whoever finds the magic finds the rest complete.
	__atomic_store_n(&r->magic, REGION_MAGIC, __ATOMIC_RELEASE);
}

static uint32_t route_off_find(const struct region *r, uint64_t key)
{
	uint32_t n = atomic_load(&r->n_routes_off), i = 0;

	n = n <= REGION_ROUTES_OFF ? n : REGION_ROUTES_OFF;
	while (i < n && atomic_load(&r->route_off[i]) != key)
		i++;
	return i < n ? i : UINT32_MAX;
}

bool region_route_is_off(const struct region *r, struct slice name)
{
	return route_off_find(r, hash64(name.p, name.n)) != UINT32_MAX;
}

void region_route_enable(struct region *r, uint64_t key)
{
	uint32_t n = atomic_load(&r->n_routes_off), i = route_off_find(r, key);

	if (i == UINT32_MAX)
		return;
	atomic_store(&r->route_off[i], atomic_load(&r->route_off[n - 1]));
	atomic_store(&r->n_routes_off, n - 1);
}

bool region_route_switch(struct region *r, struct slice name, bool off)
{
	uint64_t key = hash64(name.p, name.n);
	uint32_t n = atomic_load(&r->n_routes_off);

	if (!off)
		region_route_enable(r, key);
	if (!off || region_route_is_off(r, name))
		return true;
	if (n >= REGION_ROUTES_OFF)
		return false;
	atomic_store(&r->route_off[n], key);
	atomic_store(&r->n_routes_off, n + 1);
	return true;
}

bool region_verify(const struct region *r, uint64_t size, char *why, size_t why_size)
{
	uint64_t need;

	if (size < sizeof *r) {
		snprintf(why, why_size, "region: %llu bytes are less than its header",
			 (unsigned long long)size);
		return false;
	}
	if (r->magic != REGION_MAGIC) {
		snprintf(why, why_size, "region: not a region (its magic is wrong)");
		return false;
	}
	if (r->version != REGION_VERSION) {
		snprintf(why, why_size, "region: version %u, but this program is of version %u", r->version,
			 REGION_VERSION);
		return false;
	}
	if (r->workers == 0 || r->workers > SNAP_WORKERS_MAX) {
		snprintf(why, why_size, "region: made for %u workers, but 1 to %u are possible", r->workers,
			 SNAP_WORKERS_MAX);
		return false;
	}
	need = region_size(r->workers);
	if (r->size != need || size < need) {
		snprintf(why, why_size, "region: %llu bytes (%llu in its header), but %u workers need %llu",
			 (unsigned long long)size, (unsigned long long)r->size, r->workers,
			 (unsigned long long)need);
		return false;
	}
	if (r->off_endpoints != REGION_AT_ENDPOINTS || r->off_targets != REGION_AT_TARGETS ||
	    r->off_routes != REGION_AT_ROUTES || r->off_upstreams != REGION_AT_UPSTREAMS ||
	    r->off_ports != REGION_AT_PORTS || r->off_health != REGION_AT_WORKERS ||
	    r->off_rings != REGION_AT_WORKERS + REGION_WORKER_RINGS ||
	    r->off_endpoint_names != REGION_AT_ENDPOINT_NAMES ||
	    r->off_active != REGION_AT_WORKERS + REGION_WORKER_ACTIVE || r->off_limits != REGION_AT_LIMITS) {
		snprintf(why, why_size, "region: its parts stand elsewhere than in this version");
		return false;
	}
	return true;
}

static uint64_t key_of(const char *text)
{
	uint64_t key = hash64(text, strlen(text));

	return key > KEY_RELEASED ? key : key + 2;
}

// Probes slots 1..n-1 of a table, whose entries begin with their key, from the key's home on: the slot with
// this key (*taken), or else the first that is free; 0 where there is neither.
static uint32_t probe(const void *table, size_t stride, uint32_t n, uint64_t want, bool *taken)
{
	uint32_t slot = 0, at = 1 + (uint32_t)(want % (n - 1));

	*taken = false;
	for (uint32_t i = 0; i < n - 1; i++) {
		uint64_t key = *(const uint64_t *)((const char *)table + at * stride);

		if (key == want) {
			*taken = true;
			return at;
		}
		if (!slot && key <= KEY_RELEASED)
			slot = at;
		if (key == 0)
			break;
		at = at + 1 < n ? at + 1 : 1;
	}
	return slot;
}

uint32_t region_endpoint_slot(struct region *r, const char *key)
{
	struct region_endpoint *table = region_endpoints(r);
	uint64_t want = key_of(key);
	bool taken;
	uint32_t slot = probe(table, sizeof *table, REGION_ENDPOINTS, want, &taken);

	if (slot && !taken) {
		struct region_endpoint *e = &table[slot];

		e->epoch++;
		atomic_store(&e->admin, ADMIN_READY);
		atomic_store(&e->weight, -1);
		for (uint32_t w = 0; w < region_workers(r); w++)
			atomic_store(&region_health(r, w)[slot], HEALTH_UP);
		snprintf(region_endpoint_names(r)[slot].text, REGION_ENDPOINT_NAME, "%s", key);
		__atomic_store_n(&e->key, want, __ATOMIC_RELEASE);
	}
	return slot;
}

void region_endpoint_release(struct region *r, uint32_t slot)
{
	if (slot > 0 && slot < REGION_ENDPOINTS && region_endpoints(r)[slot].key != 0)
		__atomic_store_n(&region_endpoints(r)[slot].key, KEY_RELEASED, __ATOMIC_RELEASE);
}

void region_target_release(struct region *r, uint32_t slot)
{
	if (slot > 0 && slot < REGION_TARGETS && region_targets(r)[slot].key != 0)
		__atomic_store_n(&region_targets(r)[slot].key, KEY_RELEASED, __ATOMIC_RELEASE);
}

uint32_t region_target_slot(struct region *r, const char *key)
{
	struct region_target *table = region_targets(r);
	uint64_t want = key_of(key);
	bool taken;
	uint32_t slot = probe(table, sizeof *table, REGION_TARGETS, want, &taken);

	if (slot && !taken) {
		atomic_store(&table[slot].weight, -1);
		__atomic_store_n(&table[slot].key, want, __ATOMIC_RELEASE);
	}
	return slot;
}

uint32_t region_credits_slot(struct region *r, const char *key)
{
	struct region_credits *table = region_credits(r);
	uint64_t want = key_of(key);
	bool taken;
	uint32_t slot = probe(table, sizeof *table, REGION_CREDITS, want, &taken);

	if (slot && !taken) {
		for (uint32_t w = 0; w < region_workers(r); w++)
			atomic_store(&region_credit_cells(r, w)[slot].refused, 0);
		snprintf(region_credit_names(r)[slot].text, sizeof(struct region_credit_name), "%s", key);
		__atomic_store_n(&table[slot].key, want, __ATOMIC_RELEASE);
	}
	return slot;
}

void region_credits_release(struct region *r, uint32_t slot)
{
	struct region_credits *c = &region_credits(r)[slot];

	if (slot == 0 || slot >= REGION_CREDITS || c->key <= KEY_RELEASED)
		return;
	if (atomic_exchange(&c->hand, 0))
		atomic_fetch_sub(&r->n_credits_by_hand, 1);
	__atomic_store_n(&c->key, KEY_RELEASED, __ATOMIC_RELEASE);
}

uint32_t region_name_slot(struct region_name *table, uint32_t n, const char *name)
{
	uint64_t want = key_of(name);
	uint32_t slot;
	bool taken;

	if (n < 2)
		return 0;
	slot = probe(table, sizeof *table, n, want, &taken);
	if (slot && !taken)
		name_set(&table[slot], want, name);
	return slot;
}
