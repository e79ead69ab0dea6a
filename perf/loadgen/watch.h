// Whether somebody else had a CPU that was ours to measure on: this thread's, and that of the process that is
// measured. By the kernel's account of what ran when, never by what came of it, so that whoever is slow by
// himself is not excused: a thread that computes for long has its CPU, one that sleeps gave it away. One thread
// uses it, between the times that it measures.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct watch {
	int stat, status;   // of the watched thread; -1: only this one is watched
	int process, other; // whose threads but the watched one's count as its own; 0: none
};

// Clocks at one moment, in ns.
struct watch_mark {
	uint64_t wall, self;  // self: what this thread has run
	uint64_t ran, waited; // the watched thread: has run, and waited to run
	uint64_t sleeps;      // how often it gave its CPU away
	uint64_t others;      // what the rest of it and of the other process have run
	uint64_t stalled;     // ours to add: turns of this thread that took longer than their work
};

// tid 0: watches this thread alone. process: the one that tid belongs to; other: one that belongs to it, or 0.
// 0 or -errno.
int watch_open(struct watch *w, int tid, int process, int other);
void watch_close(struct watch *w);
// true: m is now. What a thread has run is known only when the kernel brings its account up to date, at its
// next tick, so that this is to be called again and again, with other work in between, until it is true. first:
// this is the first of these calls.
bool watch_mark(const struct watch *w, struct watch_mark *m, bool first);
// The share of the time between two marks for which the one of the two threads that fared worse was kept from
// running.
double watch_away(const struct watch_mark *begin, const struct watch_mark *end);
