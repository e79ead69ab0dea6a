// tcp_sim [--runs N] [--seed S] [--from K]     schedules K to K+N-1 that follow from S
// tcp_sim --replay NUMBER [--trace 1]          one schedule again, by the number that was printed
//         [--long 1]                           without the short cuts for what is common
// tcp_sim --regressions FILE                   those that once failed: numbers at the beginning of lines
// --no-tso 1                                   no card cuts segments; regressions play both ways
#include "tests/sim/tcp_sim.h"
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIME_LIMIT     (6 * 3600 * SEC)
#define SCHEDULE_LIMIT 60    // seconds; milliseconds are usual
#define TURNS_MAX      10000 // without any time passing
#define TELL_MAX       50    // violations printed
#define COMPARE        8     // one schedule in so many goes both ways

void sim_violation(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	s->violations++;
	if (s->violations > TELL_MAX)
		return;
	printf("schedule %" PRIu64 " at %.6f s: ", s->seed, (double)s->now / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

// RFC 8985 6.2: once a path is known to reorder (a connection may learn it the hard way, and a second
// time before it is told), what is late by less than the reordering window is not taken for lost. And a wire
// that only delays calls for no recovery at all.
static void recovery_check(struct sim *s)
{
	uint64_t refused = 0, recoveries[2] = {0},
		 timeouts = 0; // refused by a receiver without room: as good as lost

	if (!s->gentle && !s->perfect)
		return;
	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < s->side[i].n_cpus; k++) {
			const struct cg_stack *c = s->side[i].cpu[k].stack;

			refused += cg_counter(c, CTR_tcp_ooo_full) + cg_counter(c, CTR_tcp_rcv_full) +
				   cg_counter(c, CTR_tcp_out_of_window) + cg_counter(c, CTR_tcp_no_buffer);
			recoveries[i] += cg_counter(c, CTR_tcp_fast_retransmit);
			timeouts += cg_counter(c, CTR_tcp_rto);
		}
	for (unsigned i = 0; i < 2 && !refused; i++) {
		if (s->perfect && recoveries[i])
			sim_violation(s, "side %u: %" PRIu64 " recoveries on a perfect wire", i, recoveries[i]);
		if (!s->no_sack && recoveries[i] > 2 * s->n_pairs)
			sim_violation(s, "side %u: %" PRIu64 " recoveries on %u connections without a loss", i,
				      recoveries[i], s->n_pairs);
	}
	if (s->perfect && timeouts && !refused)
		sim_violation(s, "%" PRIu64 " timeouts on a perfect wire", timeouts);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_time(const struct sim *s)
{
	return least(least(app_next(s), wire_time(&s->wire)),
		     least(side_next(&s->side[0]), side_next(&s->side[1])));
}

static bool over(const struct sim *s)
{
	return app_done(s) && side_idle(&s->side[0]) && side_idle(&s->side[1]);
}

static void sum_up(struct sim *s)
{
	struct totals *t = &s->total;

	t->schedules++;
	for (unsigned i = 0; i < 2; i++) {
		t->packets += s->link[i].frames;
		t->lost += s->link[i].lost;
		t->reordered += s->link[i].reordered;
		t->duplicated += s->link[i].duplicated;
		t->corrupted += s->link[i].corrupted;
		t->too_big += s->link[i].too_big;
	}
}

static void play(struct sim *s, uint64_t seed)
{
	struct frame *f;

	s->seed = seed;
	s->digest = 1;
	s->begun_with = s->violations;
	random_seed(&s->r, seed);
	memset(s->link, 0, sizeof(s->link));
	memset(s->flow, 0, sizeof(s->flow));
	memset(s->heard_at, 0, sizeof(s->heard_at));
	s->next_flow = 0;
	wire_init(&s->wire, random_next(&s->r));
	plan(s);
	alarm(SCHEDULE_LIMIT);
	uint64_t end = s->now + TIME_LIMIT, turns = 0;
	side_start(&s->side[0]);
	side_start(&s->side[1]);
	while (!over(s)) {
		uint64_t next = next_time(s);

		if (next == UINT64_MAX || next > end) {
			sim_violation(s, app_done(s) ? "connections are left" : "nothing moves any more");
			break;
		}
		turns = next > s->now ? 0 : turns + 1;
		if (next > s->now)
			s->now = next;
		if (turns == TURNS_MAX) {
			sim_violation(s, "time stands still");
			break;
		}
		app_begin(s);
		while ((f = wire_next(&s->wire, s->now))) {
			watch_arrived(s, f->to, f);
			side_arrive(&s->side[f->to], f);
			wire_done(&s->wire, f);
		}
		side_turn(&s->side[0]);
		side_turn(&s->side[1]);
		if (s->violations > s->begun_with + 5)
			break;
	}
	app_verify(s);
	recovery_check(s);
	side_stop(&s->side[0]);
	side_stop(&s->side[1]);
	wire_fini(&s->wire);
	sum_up(s);
}

// The short cuts for what is common are to come to what the long way does, to the last bit and at the same
// time.
static void ways_compare(struct sim *s, uint64_t seed)
{
	static struct totals before;
	uint64_t digest = s->digest;

	before = s->total;
	memset(&s->total, 0, sizeof(s->total));
	s->long_way = true;
	play(s, seed);
	s->long_way = false;
	if (s->digest != digest)
		sim_violation(s, "the short way sends something else than the long way");
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (s->total.counters[i] != s->last[i])
			sim_violation(s, "the short way counts %" PRIu64 " for %s, the long way %" PRIu64,
				      s->last[i], counter_info[i].name, s->total.counters[i]);
	s->total = before;
}

static void schedule_run(struct sim *s, uint64_t seed)
{
	static uint64_t before[CTR_COUNT];
	uint64_t violations = s->violations;

	memcpy(before, s->total.counters, sizeof(before));
	play(s, seed);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		s->last[i] = s->total.counters[i] - before[i];
	if (seed % COMPARE == 0 && s->violations == violations)
		ways_compare(s, seed);
}

static void report(const struct sim *s)
{
	const struct totals *t = &s->total;
	uint64_t kinds = 0, changes = 0;

	for (unsigned i = 0; i < TCP_STATES; i++)
		for (unsigned k = 0; k < TCP_STATES; k++) {
			kinds += t->state[i][k] > 0;
			changes += t->state[i][k];
		}
	printf("tcp: %" PRIu64 " connections (%" PRIu64 " ends failed), %" PRIu64 " bytes, %" PRIu64
	       " duplicated, %" PRIu64 " corrupted, %" PRIu64 " too big, %" PRIu64 " without a buffer, %" PRIu64
	       " turns starved, %" PRIu64 " handed over, %" PRIu64 " hosts lost, %" PRIu64 " forged, %" PRIu64
	       " packets cut into %" PRIu64 "\n",
	       t->pairs, t->failed, t->bytes, t->duplicated, t->corrupted, t->too_big, t->no_buffer, t->starved,
	       t->handed, t->reboots, t->forged, t->large, t->cut);
	printf("transitions:");
	for (unsigned i = 0; i < TCP_STATES; i++)
		for (unsigned k = 0; k < TCP_STATES; k++)
			if (t->state[i][k])
				printf(" %s>%s:%" PRIu64, tcp_state_name[i], tcp_state_name[k], t->state[i][k]);
	printf("\n");
	printf("counters:");
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (counter_info[i].group <= GROUP_tcp && t->counters[i])
			printf(" %s:%" PRIu64, counter_info[i].name, t->counters[i]);
	printf("\n");
	printf("exercised: %" PRIu64 " packets, %" PRIu64 " losses, %" PRIu64 " reorderings, %" PRIu64
	       " timeouts, %" PRIu64 " state transitions of %" PRIu64 " kinds\n",
	       t->packets, t->lost, t->reordered, t->counters[CTR_tcp_rto], changes, kinds);
	printf("sim: %" PRIu64 " schedules, %" PRIu64 " violations\n", t->schedules, s->violations);
}

static void regressions_run(struct sim *s, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512];

	if (!f) {
		fprintf(stderr, "tcp_sim: cannot read %s\n", path);
		exit(2);
	}
	while (fgets(line, sizeof(line), f))
		for (int turn = 0; turn < 2 && line[0] >= '0' && line[0] <= '9'; turn++) {
			s->no_tso = turn == 0;
			schedule_run(s, strtoull(line, NULL, 10));
		}
	fclose(f);
}

static const char *option(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return argv[i + 1];
	return NULL;
}

static uint64_t number(const char *text, uint64_t fallback)
{
	return text ? strtoull(text, NULL, 0) : fallback;
}

static struct sim s;

// A crash is a violation, too, and the number is worth more than a core file.
static void crashed(int number)
{
	sim_violation(&s, number == SIGALRM ? "hangs (signal %d)" : "crashes (signal %d)", number);
	printf("sim: %" PRIu64 " schedules, %" PRIu64 " violations\n", s.total.schedules + 1, s.violations);
	fflush(stdout);
	_exit(1);
}

int main(int argc, char **argv)
{
	uint64_t runs = number(option(argc, argv, "--runs"), 1000),
		 seed = number(option(argc, argv, "--seed"), 1);
	uint64_t from = number(option(argc, argv, "--from"), 0), stop = number(option(argc, argv, "--stop"), 0);
	const char *replay = option(argc, argv, "--replay"), *file = option(argc, argv, "--regressions");

	if (!pkt_start(64) || !side_pools(&s)) {
		fprintf(stderr, "tcp_sim: no memory for packet buffers\n");
		return 2;
	}
#if !defined(__SANITIZE_ADDRESS__) // which has more to say
	signal(SIGSEGV, crashed);
	signal(SIGABRT, crashed);
	signal(SIGFPE, crashed);
	signal(SIGALRM, crashed);
#else
	(void)crashed;
#endif
	s.no_tso = number(option(argc, argv, "--no-tso"), 0);
	s.trace = number(option(argc, argv, "--trace"), 0);
	s.long_way = option(argc, argv, "--long") != NULL;
	if (replay)
		schedule_run(&s, number(replay, 0));
	else if (file)
		regressions_run(&s, file);
	for (uint64_t k = from; !replay && !file && k < from + runs && !(stop && s.violations); k++)
		schedule_run(&s, seed * 1000000007 + k);
	report(&s);
	return s.violations ? 1 : 0;
}
