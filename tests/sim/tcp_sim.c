// tcp_sim [--runs N] [--seed S] [--schedule K [--trace 1]]
#include "tests/sim/tcp_sim.h"
#include <rte_eal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_LIMIT (6 * 3600 * SEC)

double sim_unit(struct sim *s)
{
	return (double)(random_next(&s->r) >> 11) * 0x1p-53;
}

void sim_violation(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	s->violations++;
	if (s->violations > 50)
		return;
	printf("schedule %u (seed %llu) at %.6f s: ", s->schedule, (unsigned long long)s->seed,
	       (double)s->now / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void impair_plan(struct sim *s)
{
	struct random *r = &s->r;
	struct impair *m = &s->impair;

	*m = (struct impair){.delay = (1 + random_below(r, 50000)) * 1000ull, .queue = 200 * MS};
	if (random_below(r, 4)) // a quarter of all schedules has a perfect wire
		m->loss = random_below(r, 2) ? 0.02 * sim_unit(s) : 0.2 * sim_unit(s);
	if (random_below(r, 2))
		m->reorder = 0.3 * sim_unit(s);
	if (random_below(r, 4) == 0 && m->loss < 0.03)
		m->ack_loss = 0.4 * sim_unit(s);
	if (random_below(r, 6) == 0)
		m->burst = 0.02 * sim_unit(s);
	m->reorder_max = 4 * m->delay + MS;
	if (random_below(r, 2))
		m->duplicate = 0.1 * sim_unit(s);
	if (random_below(r, 2))
		m->corrupt = 0.03 * sim_unit(s);
	if (random_below(r, 2))
		m->chain = sim_unit(s);
	if (random_below(r, 2))
		m->jitter = (1 + random_below(r, 20)) * MS;
	if (random_below(r, 2))
		m->rate = (1ull + random_below(r, 100)) * 1000000;
	m->hold = random_below(r, 2);
	m->busy = random_below(r, 4) == 0;
	if (random_below(r, 6) == 0) {
		m->dark_from = s->now + random_below(r, 5000) * MS;
		m->dark_until = m->dark_from + random_below(r, 20000) * MS;
	}
	s->dead = random_below(r, 30) == 0;
	if (s->dead) {
		m->dark_from = s->now + random_below(r, 5000) * MS;
		m->dark_until = UINT64_MAX;
	}
	if (random_below(r, 10) == 0) {
		s->dead = false;
		*m = (struct impair){.gentle = true, .delay = 8 * MS + m->delay, .reorder = 0.3 * sim_unit(s)};
		m->reorder_max = m->delay / 4 - MS;
	}
}

// RFC 8985 6.2: once a path is known to reorder (a connection may learn it the hard way, once for each
// direction and recovery), what is late by less than the reordering window is not taken for lost.
static void gentle_check(struct sim *s)
{
	uint64_t refused = 0; // by a receiver that is short of room: as good as lost

	for (unsigned i = 0; i < 2; i++)
		refused += stat_get(&s->host[i].stats->c[CTR_tcp_ooo_full]) +
			   stat_get(&s->host[i].stats->c[CTR_tcp_rcv_full]) +
			   stat_get(&s->host[i].stats->c[CTR_tcp_out_of_window]);
	for (unsigned i = 0; i < 2 && s->impair.gentle && !refused; i++) {
		struct worker_stats *stats = s->host[i].stats;
		uint64_t n = stat_get(&stats->c[CTR_tcp_fast_retransmit]);

		if (!s->host[0].no_sack && !s->host[1].no_sack && n > s->n_pairs)
			sim_violation(s, "host %u: %llu recoveries on %u connections without a loss", i,
				      (unsigned long long)n, s->n_pairs);
	}
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void schedule_run(struct sim *s, uint64_t seed, unsigned k)
{
	s->schedule = k;
	s->seed = seed;
	random_seed(&s->r, seed * 1000003 + k);
	s->ipv6 = k % 4 == 3;
	s->now = SEC + random_next(&s->r) % (1ull << random_below(&s->r, 55));
	uint64_t end = s->now + TIME_LIMIT, before = s->violations;
	impair_plan(s);
	for (unsigned i = 0; i < 2; i++) {
		s->host[i].sim = s;
		s->host[i].id = i;
		host_start(&s->host[i]);
	}
	app_plan(s);
	while (!(app_done(s) && host_idle(&s->host[0]) && host_idle(&s->host[1]))) {
		uint64_t next = least(app_next(s), wire_next(s));
		next = least(next, least(host_next(&s->host[0]), host_next(&s->host[1])));
		if (next == UINT64_MAX || next > end) {
			if (!app_done(s) || next > end)
				sim_violation(s, "nothing moves any more");
			break;
		}
		if (next > s->now)
			s->now = next;
		app_begin(s);
		wire_deliver(s, s->now);
		host_advance(&s->host[0]);
		host_advance(&s->host[1]);
		if (s->violations > before + 5)
			break;
	}
	app_verify(s);
	gentle_check(s);
	wire_clear(s);
	host_stop(&s->host[0]);
	host_stop(&s->host[1]);
}

static unsigned long long number(int argc, char **argv, const char *name, unsigned long long fallback)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return strtoull(argv[i + 1], NULL, 0);
	return fallback;
}

int main(int argc, char **argv)
{
	static char text[][16] = {"tcp_sim",        "--no-huge",     "-m",          "64",       "--no-pci",
				  "--no-telemetry", "--log-level=3", "--no-shconf", "--lcores", "0"};
	char *eal[sizeof(text) / sizeof(*text) + 1] = {0};
	static struct sim s;
	unsigned runs = (unsigned)number(argc, argv, "--runs", 1000), only;
	uint64_t seed = number(argc, argv, "--seed", 1);
	const uint64_t *c = s.total.counters;

	for (unsigned i = 0; i < sizeof(text) / sizeof(*text); i++)
		eal[i] = text[i];
	if (rte_eal_init((int)(sizeof(text) / sizeof(*text)), eal) < 0 || host_pools(&s) != 0) {
		fprintf(stderr, "tcp_sim: no memory for packet buffers\n");
		return 2;
	}
	s.trace = number(argc, argv, "--trace", 0);
	only = (unsigned)number(argc, argv, "--schedule", runs);
	if (only != runs) {
		schedule_run(&s, seed, only);
		runs = 1;
	} else {
		for (unsigned k = 0; k < runs; k++)
			schedule_run(&s, seed, k);
	}
	printf("%llu connections, %llu bytes, %llu packets: %llu lost, %llu reordered, %llu duplicated, %llu "
	       "corrupted, %llu without a buffer\n",
	       (unsigned long long)s.total.pairs, (unsigned long long)s.total.bytes,
	       (unsigned long long)s.total.packets, (unsigned long long)s.total.lost,
	       (unsigned long long)s.total.reordered, (unsigned long long)s.total.duplicated,
	       (unsigned long long)s.total.corrupted, (unsigned long long)s.total.no_buffer);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (counter_info[i].group == GROUP_tcp && c[i])
			printf("%s %llu\n", counter_info[i].name, (unsigned long long)c[i]);
	printf("sim: %u schedules, %llu violations\n", runs, (unsigned long long)s.violations);
	return s.violations ? 1 : 0;
}
