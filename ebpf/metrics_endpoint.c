// Endpoints: what the workers found out about them, and what was set by hand.
#include "ebpf/metrics.h"
#include <string.h>

struct endpoint {
	char upstream[REGION_ENDPOINT_NAME];
	char address[REGION_ENDPOINT_NAME];
};

// The slot may get another owner while we look: the key before and after tells.
static bool endpoint_read(struct region *r, uint32_t slot, struct endpoint *e)
{
	const uint64_t *key = &region_endpoints(r)[slot].key;
	uint64_t before = __atomic_load_n(key, __ATOMIC_ACQUIRE);
	char *slash;

	if (before <= 1) // 0: never used, 1: released
		return false;
	memcpy(e->upstream, region_endpoint_names(r)[slot].text, REGION_ENDPOINT_NAME);
	e->upstream[REGION_ENDPOINT_NAME - 1] = '\0';
	atomic_thread_fence(memory_order_acquire);
	if (__atomic_load_n(key, __ATOMIC_RELAXED) != before)
		return false;
	slash = strrchr(e->upstream, '/'); // an address has none
	if (!slash)
		return false;
	*slash = '\0';
	memcpy(e->address, slash + 1, strlen(slash + 1) + 1);
	return true;
}

static unsigned workers_down(struct region *r, uint32_t workers, uint32_t slot)
{
	unsigned down = 0;

	for (uint32_t w = 0; w < workers; w++)
		down += atomic_load_explicit(&region_health(r, w)[slot], memory_order_relaxed) != HEALTH_UP;
	return down;
}

void metrics_endpoints(struct text *t, const struct metrics_source *m)
{
	static const char *const admin_name[] = {"ready", "drain", "maint"};
	static const struct {
		const char *name, *help;
	} family[] = {
		{"churchgate_endpoint_up", "1 unless every worker has marked the endpoint down."},
		{"churchgate_endpoint_workers_down", "Workers that have marked the endpoint down."},
		{"churchgate_endpoint_admin", "1, with the state set by hand: ready, drain or maint."},
	};
	struct region *r = m->region;

	for (unsigned f = 0; f < 3; f++) {
		text_family(t, family[f].name, "gauge", family[f].help);
		for (uint32_t s = 1; s < REGION_ENDPOINTS; s++) {
			struct label l[] = {{"upstream", NULL}, {"endpoint", NULL}, {"state", NULL}};
			struct endpoint e;
			uint32_t admin;

			if (!endpoint_read(r, s, &e))
				continue;
			l[0].value = e.upstream;
			l[1].value = e.address;
			admin = atomic_load_explicit(&region_endpoints(r)[s].admin, memory_order_relaxed);
			l[2].value = admin <= ADMIN_MAINT ? admin_name[admin] : "unknown";
			if (f == 0)
				text_sample(t, family[f].name, l, 2,
					    workers_down(r, m->stats->workers, s) < m->stats->workers);
			else if (f == 1)
				text_sample(t, family[f].name, l, 2, workers_down(r, m->stats->workers, s));
			else
				text_sample(t, family[f].name, l, 3, 1);
		}
	}
}
