// What is to happen at a fixed rate, whatever else happens: the n-th time is due n steps after the first one.
// Who is late finds the missed times still due, one after the other, and measures from them (no coordinated
// omission).
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct schedule {
	double next, step; // ticks; step 0: never
};

// The first time is due now. rate: a second; hz: ticks a second.
static inline void schedule_start(struct schedule *s, uint64_t now, double hz, double rate)
{
	*s = (struct schedule){.next = (double)now, .step = rate > 0 ? hz / rate : 0};
}
static inline bool schedule_due(const struct schedule *s, uint64_t now)
{
	return s->step > 0 && s->next <= (double)now;
}
// Takes the time that is due, and returns it.
static inline uint64_t schedule_take(struct schedule *s)
{
	double due = s->next;

	s->next += s->step;
	return (uint64_t)due;
}
// Nothing was due for so many ticks, in which everybody stood still.
static inline void schedule_delay(struct schedule *s, uint64_t ticks)
{
	s->next += (double)ticks;
}
// Gives up what is due beyond the latest `keep` times, for what cannot be made up for; returns how many those
// were.
static inline uint64_t schedule_skip(struct schedule *s, uint64_t now, unsigned keep)
{
	double behind = s->step > 0 ? ((double)now - s->next) / s->step - keep : 0;
	uint64_t n = behind >= 1 ? (uint64_t)behind : 0;

	s->next += (double)n * s->step;
	return n;
}
