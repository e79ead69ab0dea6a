// A load generator for the gateway: clients and backends in one thread that polls two memif ports. Its TCP
// knows no more than a wire without loss needs, and sends again what got lost all the same.
#include "backend.h"
#include "client.h"
#include "null.h"
#include "options.h"
#include "phase.h"
#include "watch.h"
#include "wire.h"
#include <errno.h>
#include <poll.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE      20.0  // seconds until the gateway must be there
#define DRAIN         1.0   // seconds for answers under way at the end
#define QUIET         0.3   // seconds in which nothing may be under way any more before we stop polling
#define VERIFY_MASK   15    // of so many bursts, one segment's checksums are looked at
#define STALL         50e-6 // seconds that a turn may take
#define STALL_LONG    1e-3  // from which on it disturbs a round, whatever the kernel knows of it
#define STALL_FRAME   1e-6  // and for each frame in it; beyond, the CPU was not ours
#define ROUNDS_MOST   4     // rounds played for each one that is asked for
#define REST          0.002 // seconds between rounds
#define REST_LONG     0.02  // behind a disturbed one, and until what was due meanwhile has been sent,
#define REST_MOST     5.0   // for so long in a phase at most; the same before the first one
#define BEHIND        0.001 // seconds
#define MOVE          20000 // us in which both CPUs stand still, so that the machine below may place them anew
#define MOVE_MOST     1.0   // seconds of it in a phase at most
#define CLEAR_LEAST   5u    // clear rounds, from which on they alone count
#define FLOOD_MASK    0x7fffu // sources of the floods: 198.18.128.0/17, behind a router
#define FLOOD_FROM    0xc6128000u
#define ROUTER        0xc61200feu // 198.18.0.254
#define NULL_FLIGHT   512         // frames under way, in rounds of
#define NULL_SECONDS  0.05
#define HOSTILE_AFTER 256u // addresses behind the first client's

struct generator {
	struct options o;
	struct link wan, lan;
	struct client client;
	struct backend backend;
	struct flood flood;
	struct hostile hostile;
	struct client_work work[CLIENT_WORKS];
	unsigned n_work;
	struct message response;
	double hz;
	uint64_t turns, turns_worked, busy, idle;          // ticks
	uint64_t bursts, burst_segments;                   // of answers
	uint64_t stalls, stalled, stall_max, stalled_long; // turns that took too long, and their ticks
	uint64_t last_sweep;
	bool started;    // the clients may begin
	bool worked;     // in the last turn
	uint64_t frames; // of it
	struct rounds {
		struct run {
			double rps, p50, p99, p999; // us
			double syn_answered;
		} run[PHASE_RUNS_MAX];
		unsigned n;
		struct histogram latency, lag; // of all of them
	} clear, hampered;                     // that count
	struct watch watch;
	bool watched;
	struct run disturbed[PHASE_RUNS_MAX]; // the last rounds that do not count
	unsigned asked, played;               // rounds
	struct span {
		uint64_t begin, end; // ticks
	} away_span[2 * PHASE_RUNS_MAX * ROUNDS_MOST +
		    1]; // of rounds that do not count, and of what was held up
	unsigned n_span;
	uint64_t rested;                  // ticks in which what others had held up was worked off
	double away, away_sum;            // of the rounds that count at most, of all together
	double share_sum;                 // of its core, of all rounds
	unsigned placed[PLACEMENT_KINDS]; // where rounds ended
	double moving;                    // seconds
};

// To whom what came in belongs, by the address it came to.
static void wan_input(struct generator *g, struct segment *seg, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t which = rte_be_to_cpu_32(seg[i].dst) - g->client.base;

		if (which < CLIENT_ADDRESSES) {
			if (k != i)
				seg[k] = seg[i];
			k++;
		} else if (which - HOSTILE_AFTER < HOSTILE_ADDRESSES) {
			hostile_input(&g->hostile, &seg[i]);
		} else {
			flood_input(&g->flood, &seg[i]);
		}
	}
	client_input(&g->client, seg, k);
	g->bursts += k > 0;
	g->burst_segments += k;
}

static bool listens(const struct link *l)
{
	return l->n_tx < LINK_TX / 2;
}

// Frames taken, made and given away so far.
static uint64_t handled(const struct generator *g)
{
	const struct link *l[2] = {&g->wan, &g->lan};
	uint64_t n = 0;

	for (unsigned i = 0; i < 2; i++)
		n += l[i]->received + 2 * (l[i]->sent + l[i]->lost) + l[i]->n_tx;
	return n;
}

// One turn; the tick at its beginning.
static uint64_t turn(struct generator *g, uint64_t before)
{
	struct segment seg[LINK_BURST];
	uint64_t now = wire_now(), received = g->wan.received + g->lan.received;
	uint64_t frames = handled(g);
	uint32_t ms = (uint32_t)((double)now * 1e3 / g->hz);
	bool verify = (g->turns & VERIFY_MASK) == 0, worked, first = g->turns & 1, held = false;
	unsigned n;

	client_set_now(&g->client, now, ms);
	g->client.verify = verify;
	// What comes is answered: it is not taken while there is nowhere for the answers to go.
	n = listens(&g->wan) ? link_receive(&g->wan, seg, verify) : 0;
	if (n)
		wan_input(g, seg, n);
	link_release(&g->wan);
	if (g->o.lan && listens(&g->lan)) {
		n = link_receive(&g->lan, seg, verify);
		if (n)
			backend_input(&g->backend, seg, n, ms);
		link_release(&g->lan);
	}
	if (g->o.lan)
		held = backend_turn(&g->backend);
	worked = held || g->wan.received + g->lan.received != received;
	if (g->started) {
		// In turn before and behind the good ones, so that neither has the better place on the wire.
		if (first)
			worked |= flood_turn(&g->flood, now);
		worked |= client_turn(&g->client);
		worked |= hostile_turn(&g->hostile, now, ms);
		if (!first)
			worked |= flood_turn(&g->flood, now);
	}
	if (now - g->last_sweep > (uint64_t)(g->hz / 1000)) {
		g->last_sweep = now;
		client_sweep(&g->client);
		if (g->o.lan)
			backend_sweep(&g->backend, g->backend.n_active / 16 + 1);
	}
	link_flush(&g->wan);
	if (g->o.lan)
		link_flush(&g->lan);
	g->turns++;
	g->turns_worked += worked;
	// What a turn took is known when the next one begins.
	*(g->worked ? &g->busy : &g->idle) += now - before;
	if ((double)(now - before) > (STALL_LONG + (double)g->frames * STALL_FRAME) * g->hz)
		g->stalled_long += now - before;
	if ((double)(now - before) > (STALL + (double)g->frames * STALL_FRAME) * g->hz) {
		g->stalls++;
		g->stalled += now - before;
		if (now - before > g->stall_max)
			g->stall_max = now - before;
	}
	g->worked = worked;
	g->frames = handled(g) - frames;
	return now;
}

static uint64_t run_for(struct generator *g, uint64_t now, double seconds)
{
	uint64_t end = now + (uint64_t)(seconds * g->hz);

	while (now < end)
		now = turn(g, now);
	return now;
}

static bool linked(const struct link *l)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(l->port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

// A gateway that has to ask for each of our addresses first would drop what comes from them meanwhile.
static void introduce(struct generator *g)
{
	for (uint32_t i = 0; i < CLIENT_ADDRESSES; i++) {
		link_ask(&g->wan, i);
		link_ask(&g->wan, HOSTILE_AFTER + i);
	}
	link_ask(&g->wan, ROUTER - g->client.base);
	for (uint32_t i = 0; g->o.lan && i < g->o.backends; i++)
		link_ask(&g->lan, i);
}

// Until the gateway's addresses are known. 0: it is not there.
static uint64_t find_gateway(struct generator *g, uint64_t now)
{
	uint64_t end = now + (uint64_t)(PATIENCE * g->hz);

	while (now < end) {
		if (g->wan.resolved && (!g->o.lan || g->lan.resolved)) {
			introduce(g);
			return run_for(g, now, 0.05);
		}
		if (!g->wan.resolved && linked(&g->wan) && !g->wan.n_tx)
			link_ask(&g->wan, 0);
		if (g->o.lan && !g->lan.resolved && linked(&g->lan) && !g->lan.n_tx)
			link_ask(&g->lan, 0);
		for (unsigned i = 0; i < 50; i++, now = turn(g, now))
			wire_wait(1000); // the gateway starts on this CPU, too
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// The middle one of what n runs have at the same place, and the least and the largest.
static double median(const double *of, unsigned n, double *min, double *max)
{
	const size_t step = sizeof(struct run) / sizeof(double);
	double sorted[PHASE_RUNS_MAX];

	*min = *max = 0;
	if (n == 0)
		return 0;
	for (unsigned i = 0; i < n; i++)
		sorted[i] = of[i * step];
	qsort(sorted, n, sizeof(sorted[0]), compare);
	*min = sorted[0];
	*max = sorted[n - 1];
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

// Counters of one phase are differences: this is where they stood when it began.
struct mark {
	struct client client;
	struct backend backend;
	struct flood flood;
	struct hostile hostile;
	uint64_t lost, bad, dropped, other;
};

static void mark_now(const struct generator *g, struct mark *m)
{
	m->client = g->client;
	m->backend = g->backend;
	m->flood = g->flood;
	m->hostile = g->hostile;
	m->lost = g->wan.lost;
	m->other = g->wan.other;
	m->bad = g->wan.bad + g->lan.bad;
	m->dropped = g->wan.tx_full + g->lan.tx_full + g->wan.no_buffer + g->lan.no_buffer;
}

static double us(const struct histogram *h, double share)
{
	return (double)histogram_at(h, share) / 1e3;
}

// The clear ones, if there are enough of them.
static const struct rounds *rounds_counted(const struct generator *g)
{
	return g->clear.n >= RTE_MIN(CLEAR_LEAST, g->asked) || g->clear.n >= g->hampered.n ? &g->clear
											   : &g->hampered;
}

static void report_runs(const struct generator *g, const struct phase *p, double offered)
{
	// Where none counts, the others tell at least what happened.
	const struct rounds *r = rounds_counted(g);
	const unsigned n = r->n ? r->n : RTE_MIN(g->played, PHASE_RUNS_MAX);
	const struct run *run = r->n ? r->run : g->disturbed;
	double min, max, mid = median(&run->rps, n, &min, &max), any_min, any_max;

	printf("{\"phase\": \"%s\", \"rps\": %.0f, \"rps_min\": %.0f, \"rps_max\": %.0f, \"runs\": [", p->name,
	       mid, min, max);
	for (unsigned i = 0; i < n; i++)
		printf("%s%.0f", i ? ", " : "", run[i].rps);
	printf("], \"asked\": %u, \"counted\": %u, \"played\": %u, \"away_max\": %.5f, \"away_mean\": %.5f"
	       ", \"offered\": %.0f",
	       p->runs, r->n, g->played, g->away, g->away_sum / g->played, offered);
	printf(", \"clear\": %s, \"clear_rounds\": %u, \"share\": %.3f, \"moving\": %.2f, \"hampered_rps\": "
	       "%.0f",
	       r == &g->clear ? "true" : "false", g->clear.n, g->share_sum / g->played, g->moving,
	       median(&g->hampered.run->rps, g->hampered.n, &any_min, &any_max));
	printf(", \"placed\": {");
	for (unsigned i = 0; i < PLACEMENT_KINDS; i++)
		printf("%s\"%s\": %u", i ? ", " : "", placement_name[i], g->placed[i]);
	printf("}");
	printf(", \"p50_us\": %.1f", median(&run->p50, n, &min, &max));
	printf(", \"p99_us\": %.1f", median(&run->p99, n, &min, &max));
	printf(", \"p99_us_min\": %.1f, \"p99_us_max\": %.1f", min, max);
	printf(", \"p999_us\": %.1f", median(&run->p999, n, &min, &max));
	printf(", \"syn_answered\": %.0f", median(&run->syn_answered, n, &min, &max));
}

static void report_flood(const struct flood *f, const struct mark *m, const uint64_t *sent, double seconds)
{
	for (unsigned i = 0; i < FLOODS; i++)
		printf(", \"%s_sent\": %.0f", flood_name[i], (double)(f->sent[i] - sent[i]) / seconds);
	printf(", \"flood_rst\": %.0f, \"flood_other\": %.0f, \"flood_missed\": %.0f",
	       (double)(f->rst - m->flood.rst) / seconds, (double)(f->other - m->flood.other) / seconds,
	       (double)(f->missed - m->flood.missed) / seconds);
}

// Requests that were due while somebody else had a CPU, and were not answered in time.
static uint64_t excused(const struct generator *g, uint64_t first)
{
	const struct client *c = &g->client;
	uint64_t n = 0;

	if (c->n_missed > first + CLIENT_MISSES)
		first = c->n_missed - CLIENT_MISSES;
	for (uint64_t i = first; i < c->n_missed; i++)
		for (unsigned k = 0; k < g->n_span; k++) {
			uint64_t due = c->missed_at[i % CLIENT_MISSES];

			if (due >= g->away_span[k].begin && due < g->away_span[k].end) {
				n++;
				break;
			}
		}
	return n * c->conf.pipeline;
}

static void report(const struct generator *g, const struct phase *p, const struct mark *begin,
		   const struct mark *m, double seconds)
{
	const struct client *c = &g->client;
	const struct backend *b = &g->backend;
	const struct hostile *h = &g->hostile;
	const struct client *c0 = &begin->client;
	const struct rounds *r = rounds_counted(g);

	report_runs(g, p, (double)(c->started - m->client.started) / (seconds - g->moving));
	printf(", \"p99_all_us\": %.1f, \"p999_all_us\": %.1f, \"max_us\": %.1f", us(&r->latency, 0.99),
	       us(&r->latency, 0.999), (double)r->latency.max / 1e3);
	printf(", \"lag_p99_us\": %.1f, \"lag_p999_us\": %.1f, \"stalls\": %lu, \"stalled\": %.5f"
	       ", \"stall_max_us\": %.0f",
	       us(&r->lag, 0.99), us(&r->lag, 0.999), g->stalls, (double)g->stalled / g->hz / seconds,
	       (double)g->stall_max / g->hz * 1e6);
	printf(", \"generator_busy\": %.3f, \"turns_with_work\": %.3f, \"answers_per_burst\": %.1f",
	       (double)g->busy / (double)(g->busy + g->idle), (double)g->turns_worked / (double)g->turns,
	       g->bursts ? (double)g->burst_segments / (double)g->bursts : 0);
	report_flood(&g->flood, m, m->flood.sent, seconds - g->moving);
	printf(", \"hostile\": {\"opened\": %lu, \"established\": %lu, \"open\": %u, \"acts\": %.0f"
	       ", \"bytes\": %lu, \"answers\": %lu, \"ended\": %lu, \"reset\": %lu}",
	       h->opened - begin->hostile.opened, h->established - begin->hostile.established, h->open,
	       (double)(h->acted - m->hostile.acted) / seconds, h->bytes - begin->hostile.bytes,
	       h->answers - begin->hostile.answers, h->ended - begin->hostile.ended,
	       h->reset - begin->hostile.reset);
	printf(", \"excused\": %lu", excused(g, c0->n_missed));
	// From the phase's beginning on, what did not count yet included.
	printf(", \"answered\": %.0f", (double)(c->done - m->client.done) / seconds);
	printf(", \"started\": %lu, \"done\": %lu, \"waiting\": %u, \"opened\": %lu, \"open\": %u"
	       ", \"ended\": %lu, \"refused\": {",
	       c->started - c0->started, c->done - c0->done, c->waiting, c->opened - c0->opened, c->open,
	       c->ended - c0->ended);
	for (unsigned i = 0; i < CLIENT_REFUSALS; i++)
		printf("%s\"%s\": %lu", i ? ", " : "", client_refusal_name[i], c->refused[i] - c0->refused[i]);
	printf("}, \"misses\": {");
	for (unsigned i = 0; i < CLIENT_FAULTS; i++)
		printf("%s\"%s\": %lu", i ? ", " : "", client_fault_name[i], c->fault[i] - c0->fault[i]);
	printf("}, \"bad_requests\": %lu, \"bad_frames\": %lu", b->bad_requests - begin->backend.bad_requests,
	       g->wan.bad + g->lan.bad - begin->bad);
	printf(", \"retransmits\": %lu, \"out_of_order\": %lu, \"stray\": %lu, \"dropped\": %lu, "
	       "\"wire_lost\": %lu"
	       ", \"not_tcp\": %lu",
	       c->retransmits + b->retransmits - c0->retransmits - begin->backend.retransmits,
	       c->out_of_order + b->out_of_order - c0->out_of_order - begin->backend.out_of_order,
	       c->stray - c0->stray,
	       g->wan.tx_full + g->lan.tx_full + g->wan.no_buffer + g->lan.no_buffer - begin->dropped,
	       g->wan.lost - begin->lost, g->wan.other - begin->other);
	wire_report(stdout);
	printf(", \"backend\": {\"accepted\": %lu, \"requests\": %lu, \"resets\": %lu}}\n",
	       b->accepted - begin->backend.accepted, b->requests - begin->backend.requests,
	       b->resets - begin->backend.resets);
	fflush(stdout);
}

// A line of standard input; what is open is kept so meanwhile. false: its end.
static bool line_read(struct generator *g, uint64_t *now, char *line, size_t size)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	size_t n = 0;

	while (true) {
		for (; poll(&in, 1, 0) == 0; *now = run_for(g, *now, 0.001))
			;
		if (read(STDIN_FILENO, &line[n], 1) <= 0)
			return false;
		if (line[n] == '\n' || n == size - 1)
			break;
		n++;
	}
	line[n] = 0;
	return true;
}

// Says where it stands, and waits until it is told to go on.
static bool hold(struct generator *g, const struct phase *p, uint64_t *now, const char *where)
{
	char line[64];

	fprintf(stderr, "loadgen: %s\n", where);
	return !p->hold || line_read(g, now, line, sizeof(line));
}

// The clocks of both CPUs, between two rounds.
static uint64_t mark_clocks(struct generator *g, uint64_t now, struct watch_mark *m)
{
	for (bool first = true; g->watched && !watch_mark(&g->watch, m, first); first = false)
		now = turn(g, now);
	m->stalled = (uint64_t)((double)g->stalled_long / g->hz * 1e9);
	return now;
}

static void delay(struct generator *g, uint64_t ticks)
{
	schedule_delay(&g->client.due, ticks);
	schedule_delay(&g->client.opening, ticks);
	schedule_delay(&g->hostile.due, ticks);
	for (unsigned i = 0; i < FLOODS; i++)
		schedule_delay(&g->flood.due[i], ticks);
}

// The machine below may place the CPUs anew, until the gateway's has its core for itself, if that can be had.
// true: time has passed.
static bool place(struct generator *g, uint64_t *now, struct watch_mark *m)
{
	uint64_t begin;
	bool moved = false;

	for (; g->watched && !watch_clear(m) && g->moving < MOVE_MOST; g->moving += MOVE * 1e-6) {
		begin = wire_now();
		watch_again(&g->watch, MOVE);
		delay(g, wire_now() - begin);
		*now = mark_clocks(g, run_for(g, wire_now(), REST), m);
		moved = true;
	}
	return moved;
}

static void round_keep(struct rounds *r, const struct client *c, const struct run *run)
{
	if (r->n == PHASE_RUNS_MAX)
		return;
	r->run[r->n++] = *run;
	histogram_merge(&r->latency, &c->latency);
	histogram_merge(&r->lag, &c->lag);
}

// What somebody else has held up is no part of the next round.
static uint64_t rest(struct generator *g, const struct phase *p, uint64_t now, bool disturbed)
{
	double behind = BEHIND + p->send_patience * 1e-3;
	uint64_t begin;

	now = begin = run_for(g, now, disturbed ? REST_LONG : REST);
	while (disturbed && (double)(g->rested + now - begin) < REST_MOST * g->hz &&
	       (double)client_behind(&g->client) > behind * g->hz)
		now = turn(g, now);
	g->rested += now - begin;
	return now;
}

static uint64_t round_play(struct generator *g, const struct phase *p, uint64_t now, struct run *run)
{
	uint64_t done = g->client.done, synack = g->flood.synack, start = now;
	double seconds;

	memset(&g->client.latency, 0, sizeof(g->client.latency));
	memset(&g->client.lag, 0, sizeof(g->client.lag));
	g->client.measuring = true;
	now = run_for(g, now, p->seconds);
	g->client.measuring = false;
	seconds = (double)(now - start) / g->hz;
	*run = (struct run){.rps = (double)(g->client.done - done) / seconds,
			    .p50 = us(&g->client.latency, 0.5),
			    .p99 = us(&g->client.latency, 0.99),
			    .p999 = us(&g->client.latency, 0.999),
			    .syn_answered = (double)(g->flood.synack - synack) / seconds};
	return now;
}

// Rounds until as many as asked for were not disturbed; what happens between two of them does not count, but
// for whether it disturbs the next one.
static uint64_t rounds_play(struct generator *g, const struct phase *p, uint64_t now)
{
	struct watch_mark begin = {0}, end = {0};
	uint64_t from = now;

	g->asked = p->runs;
	g->played = 0;
	g->away = g->away_sum = g->share_sum = g->moving = 0;
	g->rested = 0;
	memset(&g->clear, 0, sizeof(g->clear));
	memset(&g->hampered, 0, sizeof(g->hampered));
	memset(g->placed, 0, sizeof(g->placed));
	now = mark_clocks(g, now, &begin);
	// How it was before is not known: where a full ring loses frames, somebody else may be why.
	g->away_span[0] = (struct span){0, g->wan.lossy ? now : 0};
	g->n_span = 1;
	for (enum round_kind kind = g->watched ? ROUND_DISTURBED : ROUND_CLEAR;
	     g->clear.n < p->runs && g->played < ROUNDS_MOST * p->runs; g->played++) {
		struct run run;
		double away = 0;
		bool moved;

		from = now;
		moved = !p->any && place(g, &now, &begin);
		now = rest(g, p, now, moved || kind == ROUND_DISTURBED);
		// What others held up, or was lost meanwhile and goes out again, is answered in this one.
		if (moved || kind == ROUND_DISTURBED)
			g->client.measured_from = now;
		if (moved)
			g->away_span[g->n_span++] = (struct span){from, now};
		else if (kind == ROUND_DISTURBED && g->played)
			g->away_span[g->n_span - 1].end = now;
		now = round_play(g, p, now, &run);
		now = mark_clocks(g, now, &end);
		kind = ROUND_CLEAR;
		if (g->watched) {
			away = watch_away(&begin, &end);
			kind = p->any ? ROUND_CLEAR : watch_round(&begin, &end, p->quiet);
		}
		begin = end;
		g->away_sum += away;
		g->share_sum += end.share;
		g->placed[end.placed]++;
		if (kind == ROUND_DISTURBED) {
			g->away_span[g->n_span++] = (struct span){from, now};
			g->disturbed[(g->played - g->clear.n - g->hampered.n) % PHASE_RUNS_MAX] = run;
			continue;
		}
		g->away = away > g->away ? away : g->away;
		round_keep(kind == ROUND_CLEAR ? &g->clear : &g->hampered, &g->client, &run);
	}
	return now;
}

static bool play(struct generator *g, const struct phase *p, uint64_t *at)
{
	static struct mark begin, m;
	uint64_t now = *at, from;

	mark_now(g, &begin);
	wire_begin();
	client_set_now(&g->client, now, g->client.now_ms);
	client_numbers(&g->client, p->numbers, p->each);
	client_limit(&g->client, p->open, p->active);
	client_patience(&g->client, p->syn_patience, p->send_patience);
	client_rate(&g->client, p->rate, p->think);
	flood_start(&g->flood, now, p->flood, p->aim);
	if (p->hostile != HOSTILE_NONE)
		hostile_start(&g->hostile, now, p->hostile, p->hostiles, p->acts);
	g->wan.lossy = p->lossy;
	g->started = true;
	now = run_for(g, now, p->settle);
	if (!hold(g, p, &now, "measuring"))
		return false;
	now = wire_now();
	g->turns = g->turns_worked = g->busy = g->idle = g->bursts = g->burst_segments = 0;
	g->stalls = g->stalled = g->stall_max = 0;
	mark_now(g, &m);
	wire_mark();
	from = now;
	now = rounds_play(g, p, now);
	if (!hold(g, p, &now, "measured"))
		return false;
	report(g, p, &begin, &m, (double)(now - from) / g->hz);
	client_rate(&g->client, -1, 0);
	flood_start(&g->flood, now, (const double[FLOODS]){0}, false);
	if (p->hostile != HOSTILE_NONE)
		hostile_stop(&g->hostile);
	*at = now;
	return true;
}

// Nothing may be under way when one side goes.
static void quiet(struct generator *g, uint64_t now)
{
	for (uint64_t begin = now; g->client.waiting && (double)(now - begin) < DRAIN * g->hz;)
		now = turn(g, now);
	client_abort(&g->client);
	g->started = false;
	run_for(g, now, QUIET);
	fprintf(stderr, "loadgen: quiet\n");
}

// Of all phases, when nothing is under way any more: each request and each SYN came to one end or another.
static void account(const struct generator *g)
{
	const struct client *c = &g->client;
	uint64_t missed = 0, refused = 0;

	for (unsigned i = 0; i < CLIENT_FAULTS; i++)
		missed += c->fault[i];
	for (unsigned i = 0; i < CLIENT_REFUSALS; i++)
		refused += c->refused[i];
	printf("{\"started\": %lu, \"done\": %lu, \"refused\": %lu, \"refused_status\": %lu, \"missed\": %lu"
	       ", \"syns\": %lu, \"syn_answered\": %lu, \"syn_reset\": %lu, \"syn_expired\": %lu"
	       ", \"syn_late\": %lu, \"syn_challenged\": %lu, \"syn_wire_lost\": %lu, \"active\": %lu}\n",
	       c->started, c->done, refused, c->refused[REFUSED_STATUS], missed, c->opened + c->syn_again,
	       c->syn_answered, c->syn_reset, c->syn_expired, c->syn_late, c->syn_challenged, g->wan.lost_syn,
	       c->active);
	fflush(stdout);
}

// Lines of standard input: phases, "account", "quiet", or the end.
static int obey(struct generator *g, uint64_t now)
{
	char line[1024], why[1200];
	struct phase phase;
	int tid, process, other, err;
	unsigned cpu;

	while (line_read(g, &now, line, sizeof(line))) {
		if (strcmp(line, "quiet") == 0) {
			struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

			quiet(g, now);
			// Seldom: the driver does not bear a peer that leaves while it is at work.
			while (poll(&in, 1, 1) == 0)
				if (linked(&g->wan))
					now = turn(g, wire_now());
			return 0;
		}
		if (strcmp(line, "account") == 0) {
			account(g);
			continue;
		}
		if (sscanf(line, "watch %d %d %d %u", &tid, &process, &other, &cpu) == 4) {
			if (g->watched)
				watch_close(&g->watch);
			err = watch_open(&g->watch, tid, process, other, cpu);
			if (err) {
				fprintf(stderr, "loadgen: thread %d cannot be watched: %s\n", tid,
					strerror(-err));
				return 2;
			}
			g->watched = true;
			continue;
		}
		if (!phase_read(&phase, line, why, sizeof(why))) {
			fprintf(stderr, "loadgen: phase: %s\n", why);
			return 2;
		}
		if (!play(g, &phase, &now))
			return 0;
	}
	return 0;
}

static int request_make(struct generator *g, const struct option_work *w)
{
	struct client_work *work = &g->work[g->n_work++];
	static char batch[CLIENT_PIPELINE * LINK_MSS];
	char head[2048], length[64] = "";
	int n;

	if (w->send)
		snprintf(length, sizeof(length), "Content-Length: %u\r\n", w->send);
	n = snprintf(head, sizeof(head),
		     "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: loadgen\r\nAccept: */*\r\n%s%s%s%s\r\n",
		     w->method, w->path, g->o.host, g->o.field ? g->o.field : "", g->o.field ? "\r\n" : "",
		     length, g->o.close == CLOSE_SERVER ? "Connection: close\r\n" : "");
	if (n >= LINK_MSS)
		return -E2BIG;
	*work = (struct client_work){.status = w->status,
				     .body = w->expect,
				     .share = w->share,
				     .patterned = w->expect && w->expect == g->o.respond};
	for (unsigned i = 0; i < g->o.pipeline; i++)
		memcpy(batch + i * (size_t)n, head, (size_t)n + 1);
	return message_make(&work->request, batch, w->send);
}

static int messages(struct generator *g)
{
	const struct options *o = &g->o;
	char head[256];
	int err = 0;

	for (unsigned i = 0; i < o->n_mix && !err; i++)
		err = request_make(g, &o->mix[i]);
	if (!o->n_mix)
		err = request_make(g, &o->work);
	if (err)
		return err;
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %u\r\n\r\n",
		 o->respond);
	return message_make(&g->response, head, o->respond);
}

int main(int argc, char **argv)
{
	static struct generator g;
	struct client_conf conf;
	struct hostile_conf hostile;
	struct flood_conf flood;
	struct pkt_pool *pool;
	uint64_t now;
	int err;

	options_read(&g.o, argc, argv);
	if (wire_eal(&g.o) < 0) {
		fprintf(stderr, "loadgen: DPDK does not start: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	g.hz = wire_hz();
	pool = wire_pool(&g.o);
	err = pool ? messages(&g) : -ENOMEM;
	if (!err)
		err = link_start(&g.wan, wire_device[0], g.o.client, g.o.gateway, pool);
	if (!err && g.o.null) {
		struct null_conf null = {.bytes = g.o.null,
					 .flight = NULL_FLIGHT,
					 .runs = g.o.null_runs,
					 .rate = g.o.null_rate,
					 .seconds = NULL_SECONDS,
					 .hz = g.hz};

		err = null_play(&null, &g.wan);
		link_stop(&g.wan);
		if (err)
			fprintf(stderr, "loadgen: null: %s\n", rte_strerror(-err));
		return err ? 1 : 0;
	}
	if (!err && g.o.lan)
		err = link_start(&g.lan, wire_device[1], g.o.backend, g.o.lan_gateway, pool);
	conf = (struct client_conf){.server = g.o.gateway,
				    .port = (uint16_t)g.o.port,
				    .conns = g.o.connections,
				    .open_rate = g.o.open_rate,
				    .close = g.o.close,
				    .random = g.o.random,
				    .patience = g.o.patience,
				    .pipeline = g.o.pipeline,
				    .hz = g.hz};
	hostile = (struct hostile_conf){.server = g.o.gateway,
					.base = rte_be_to_cpu_32(g.o.client) + HOSTILE_AFTER,
					.port = (uint16_t)g.o.port,
					.path = g.o.work.path,
					.large = g.o.large,
					.sink = g.o.sink,
					.hz = g.hz};
	flood = (struct flood_conf){.server = g.o.gateway,
				    .port = (uint16_t)g.o.port,
				    .from = FLOOD_FROM,
				    .mask = FLOOD_MASK,
				    .good = rte_be_to_cpu_32(g.o.client),
				    .addresses = CLIENT_ADDRESSES,
				    .per_each = g.o.connections / CLIENT_ADDRESSES + 1,
				    .good_port = CLIENT_PORT_FIRST,
				    .hz = g.hz};
	if (!err)
		err = client_init(&g.client, &conf, &g.wan, g.work, g.n_work);
	if (!err)
		err = hostile_init(&g.hostile, &hostile, &g.wan);
	if (!err && g.o.lan)
		err = backend_init(&g.backend, g.o.backends, (uint16_t)g.o.backend_port, &g.lan, &g.response);
	if (err) {
		fprintf(stderr, "loadgen: does not start: %s\n", rte_strerror(-err));
		return 1;
	}
	if (!err)
		err = wire_connected();
	if (err) {
		fprintf(stderr, "loadgen: no gateway: %s\n", rte_strerror(-err));
		return 1;
	}
	fprintf(stderr, "loadgen: waiting for the gateway\n");
	now = find_gateway(&g, wire_now());
	if (!now) {
		fprintf(stderr, "loadgen: the gateway is not there\n");
		return 1;
	}
	flood_init(&g.flood, &flood, &g.wan);
	fprintf(stderr, "loadgen: ready\n");
	err = obey(&g, now);
	link_stop(&g.wan);
	if (g.o.lan)
		link_stop(&g.lan);
	return err;
}
