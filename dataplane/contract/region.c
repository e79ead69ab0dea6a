#include "contract/region.h"
#include "base/hash.h"
#include "contract/stats.h"
#include <stdio.h>
#include <string.h>

#define PAGE 4096ull

// A slot whose owner has gone: it may be taken again, but a probe goes on behind it.
#define KEY_RELEASED 1ull

static const uint32_t ring_bytes[RING_IDS] = {
	[RING_CMD] = REGION_CMD_RING, [RING_REPLY] = REGION_REPLY_RING, [RING_LOG] = REGION_LOG_RING};

struct layout {
	uint64_t endpoints, targets, routes, upstreams, ports, health, rings, endpoint_names, active, size;
};

static uint64_t place(uint64_t *at, uint64_t bytes)
{
	uint64_t off = *at;

	*at = (off + bytes + PAGE - 1) & ~(PAGE - 1);
	return off;
}

static uint64_t ring_stride(enum ring_id id)
{
	return sizeof(struct rec_ring) + ring_bytes[id];
}

static uint64_t worker_rings(void)
{
	uint64_t n = 0;

	for (enum ring_id id = 0; id < RING_IDS; id++)
		n += ring_stride(id);
	return n;
}

static struct layout layout_of(uint32_t workers)
{
	uint64_t at = 0;
	struct layout l;

	place(&at, sizeof(struct region));
	l.endpoints = place(&at, REGION_ENDPOINTS * sizeof(struct region_endpoint));
	l.targets = place(&at, REGION_TARGETS * sizeof(struct region_target));
	l.routes = place(&at, STATS_ROUTES * sizeof(struct region_name));
	l.upstreams = place(&at, STATS_UPSTREAMS * sizeof(struct region_name));
	l.ports = place(&at, STATS_PORTS * sizeof(struct region_name));
	l.health = place(&at, (uint64_t)REGION_ENDPOINTS * workers);
	l.rings = place(&at, worker_rings() * workers);
	l.endpoint_names = place(&at, REGION_ENDPOINTS * sizeof(struct region_endpoint_name));
	l.active = place(&at, (uint64_t)REGION_ENDPOINTS * workers * sizeof(uint32_t));
	l.size = at;
	return l;
}

uint64_t region_size(uint32_t workers)
{
	return layout_of(workers).size;
}

uint32_t region_ring_size(enum ring_id id)
{
	return ring_bytes[id];
}

struct rec_ring *region_ring(struct region *r, uint32_t worker, enum ring_id id)
{
	uint64_t off = r->off_rings + worker_rings() * worker;

	for (enum ring_id i = 0; i < id; i++)
		off += ring_stride(i);
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
	struct layout l = layout_of(workers);

	r->version = REGION_VERSION;
	r->workers = workers;
	r->size = l.size;
	r->off_endpoints = l.endpoints;
	r->off_targets = l.targets;
	r->off_routes = l.routes;
	r->off_upstreams = l.upstreams;
	r->off_ports = l.ports;
	r->off_health = l.health;
	r->off_rings = l.rings;
	r->off_endpoint_names = l.endpoint_names;
	r->off_active = l.active;
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

bool region_verify(const struct region *r, uint64_t size, char *why, size_t why_size)
{
	struct layout l;

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
	l = layout_of(r->workers);
	if (r->size != l.size || size < l.size) {
		snprintf(why, why_size, "region: %llu bytes (%llu in its header), but %u workers need %llu",
			 (unsigned long long)size, (unsigned long long)r->size, r->workers,
			 (unsigned long long)l.size);
		return false;
	}
	if (r->off_endpoints != l.endpoints || r->off_targets != l.targets || r->off_routes != l.routes ||
	    r->off_upstreams != l.upstreams || r->off_ports != l.ports || r->off_health != l.health ||
	    r->off_rings != l.rings || r->off_endpoint_names != l.endpoint_names || r->off_active != l.active) {
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
		for (uint32_t w = 0; w < r->workers; w++)
			atomic_store(&region_health(r)[w * REGION_ENDPOINTS + slot], HEALTH_UP);
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
