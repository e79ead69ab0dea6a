// Rate limits: what each decided, summed over the workers.
#include "ebpf/metrics.h"

void metrics_limits(struct text *t, const struct metrics_source *m)
{
	static const char name[] = "churchgate_ratelimit_decisions_total";

	text_family(t, name, "counter", "Requests looked at by a rate limit, by limit and decision.");
	for (uint32_t s = 1; s < REGION_LIMITS; s++) {
		char limit[REGION_NAME];

		if (!metrics_slot_name(&region_limit_names(m->region)[s], limit))
			continue;
		for (unsigned d = 0; d < LIMIT_DECISIONS; d++) {
			const struct label l[] = {{"limit", limit}, {"decision", limit_decision_name[d]}};
			uint64_t sum = 0;

			for (uint32_t w = 0; w < m->stats->workers; w++)
				sum += stat_get(&region_limit_stats(m->region, w)[s].n[d]);
			text_sample(t, name, l, 2, sum);
		}
	}
}
