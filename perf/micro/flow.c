// What finding a segment's connection costs: perf/micro/flow [CONNECTIONS]. One thread; a flow table with
// records of one line each, which hold the four ends as connections do; segments of connections drawn at random
// before the clock runs. In bursts of 32, as the data plane does it: all hashes with the prefetches of their
// buckets, then the prefetches of the records, then the lookups. Alone: each lookup waits for the one before.
// Then what a connection that comes and goes costs: an insert and the removal of another. Without an argument:
// ten connections beside a million.
#include "tcp/flow.h"
#include "base/random.h"
#include "perf/micro/cycles.h"
#include <stdio.h>
#include <string.h>

#define BURST   32
#define WINDOWS 20000

struct ends {
	struct addr local, remote;
	uint16_t local_port, remote_port;
} __attribute__((aligned(64)));

static uint64_t hash_of(const struct flow_table *f, const struct ends *e)
{
	return flow_hash(f, e->local, e->remote, e->local_port, e->remote_port);
}

static uint32_t find(const struct flow_table *f, const struct ends *record, uint64_t hash,
		     const struct ends *want)
{
	uint16_t tag = flow_tag(hash);
	uint32_t n = flow_first(f, hash);

	for (int turn = 0; turn < 2; turn++, n = flow_other(f, n, tag))
		for (unsigned bits = flow_match(&f->bucket[n], tag); bits; bits &= bits - 1) {
			uint32_t index = f->bucket[n].index[__builtin_ctz(bits)];
			const struct ends *e = &record[index];

			if (addr_eq(e->remote, want->remote) && addr_eq(e->local, want->local) &&
			    e->local_port == want->local_port && e->remote_port == want->remote_port)
				return index;
		}
	return FLOW_NONE;
}

// Clients of one listener.
static void ends_make(struct ends *e, uint32_t i)
{
	e->local = addr_from_v4(0x010012c6);                  // 198.18.0.1
	e->remote = addr_from_v4(0x000012c6 | i >> 16 << 16); // 198.18.x.y
	e->local_port = 80;
	e->remote_port = (uint16_t)i;
}

static void row(uint32_t connections)
{
	struct cycles burst = cycles_start(WINDOWS), alone = cycles_start(WINDOWS),
		      churn = cycles_start(WINDOWS);
	struct ends *record, *want = aligned_alloc(64, BURST * sizeof(*want));
	double in_burst, by_itself, renewed;
	uint32_t missed = 0, next = connections;
	uint64_t hash[BURST];
	struct flow_table f;
	struct random r;
	struct arena a;

	random_seed(&r, 1);
	if (!want ||
	    arena_init(&a, flow_memory(connections) + arena_table_memory(connections * sizeof(*record))) ||
	    flow_init(&f, &a, connections, (struct hash_key){random_next(&r), random_next(&r)}) ||
	    !(record = arena_alloc_table(&a, connections * sizeof(*record))))
		abort();
	for (uint32_t i = 0; i < connections; i++) {
		ends_make(&record[i], i);
		if (!flow_insert(&f, hash_of(&f, &record[i]), i))
			abort();
	}
	for (unsigned w = 0; w < WINDOWS; w++) {
		uint64_t begun;

		for (unsigned k = 0; k < BURST; k++)
			ends_make(&want[k], random_below(&r, connections));
		begun = __rdtsc();
		for (unsigned k = 0; k < BURST; k++) {
			hash[k] = hash_of(&f, &want[k]);
			flow_prefetch(&f, hash[k]);
		}
		for (unsigned k = 0; k < BURST; k++) {
			uint32_t guess = flow_guess(&f, hash[k]);

			if (guess != FLOW_NONE)
				__builtin_prefetch(&record[guess]);
		}
		for (unsigned k = 0; k < BURST; k++)
			missed += find(&f, record, hash[k], &want[k]) == FLOW_NONE;
		cycles_add(&burst, __rdtsc() - begun);
	}
	for (unsigned w = 0; w < WINDOWS; w++) {
		uint32_t before = 0;
		uint64_t begun;

		for (unsigned k = 0; k < BURST; k++)
			ends_make(&want[k], random_below(&r, connections));
		begun = __rdtsc();
		for (unsigned k = 0; k < BURST; k++) {
			want[k].remote_port ^=
				(uint16_t)(before >> 31); // nothing, known when the one before is
			before = find(&f, record, hash_of(&f, &want[k]), &want[k]);
			missed += before == FLOW_NONE;
		}
		cycles_add(&alone, __rdtsc() - begun);
	}
	for (unsigned w = 0; w < WINDOWS; w++) {
		uint64_t begun = __rdtsc();

		for (unsigned k = 0; k < BURST; k++, next++) {
			uint32_t at = next % connections; // the oldest

			flow_remove(&f, hash_of(&f, &record[at]), at);
			ends_make(&record[at], next);
			if (!flow_insert(&f, hash_of(&f, &record[at]), at))
				missed++;
		}
		cycles_add(&churn, __rdtsc() - begun);
	}
	in_burst = cycles_median(&burst, BURST);
	by_itself = cycles_median(&alone, BURST);
	renewed = cycles_median(&churn, BURST);
	printf("flow      %8u connections: %4.0f cycles in a burst of %d (%.1f ns), alone %4.0f (%.1f ns), one "
	       "for another %4.0f%s\n",
	       connections, in_burst, BURST, cycles_ns(in_burst), by_itself, cycles_ns(by_itself), renewed,
	       missed ? " (NOT ALL FOUND)" : "");
	arena_fini(&a);
	free(want);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		row((uint32_t)strtoul(argv[1], NULL, 10));
		return 0;
	}
	row(10);
	row(1000000);
	return 0;
}
