// Whether somebody else had a CPU that was ours to measure on: this thread's, and that of the process that is
// measured. By the kernel's account of what ran when, never by what came of it, so that whoever is slow by
// himself is not excused: a thread that computes for long has its CPU, one that sleeps gave it away. One thread
// uses it, between the times that it measures.
#pragma once
#include "placement.h"
#include <stdbool.h>
#include <stdint.h>

struct watch {
	int stat, status;   // of the watched thread; -1: only this one is watched
	int process, other; // whose threads but the watched one's count as its own; 0: none
	struct placement placement;
};

// Clocks at one moment, in ns.
struct watch_mark {
	uint64_t wall, self;        // self: what this thread has run
	uint64_t ran, waited;       // the watched thread: has run, and waited to run
	uint64_t sleeps;            // how often it gave its CPU away
	uint64_t others;            // what the rest of it and of the other process have run
	uint64_t stalled;           // ours to add: turns of this thread that took longer than their work
	enum placement_kind placed; // of the watched thread's CPU
	double share;               // of its core, since the last mark
};

// tid 0: watches this thread alone. process: the one that tid belongs to; other: one that belongs to it, or 0;
// cpu: where tid runs. 0 or -errno.
int watch_open(struct watch *w, int tid, int process, int other, unsigned cpu);
void watch_close(struct watch *w);
// true: m is now. What a thread has run is known only when the kernel brings its account up to date, at its
// next tick, so that this is to be called again and again, with other work in between, until it is true. first:
// this is the first of these calls.
bool watch_mark(struct watch *w, struct watch_mark *m, bool first);
// A round between two marks.
enum round_kind {
	ROUND_DISTURBED, // others had more of the time of one of the CPUs than `quiet`
	ROUND_HAMPERED,  // the watched CPU had less than WATCH_SHARE of its core, or shared no cache with this
			 // one
	ROUND_CLEAR
};
#define WATCH_SHARE 0.85
// Whether a round that begins now may be clear.
bool watch_clear(const struct watch_mark *m);
enum round_kind watch_round(const struct watch_mark *begin, const struct watch_mark *end, double quiet);
// The watched process and this thread stand still for a moment, so that the machine below may place their CPUs
// anew. us: how long.
void watch_again(const struct watch *w, unsigned us);
// The share of the time between two marks for which the one of the two threads that fared worse was kept from
// running.
double watch_away(const struct watch_mark *begin, const struct watch_mark *end);
