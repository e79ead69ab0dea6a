// Hierarchical timer wheel: O(1) arm, cancel and expiry; single-threaded. Ticks of 2^20 ns (about 1 ms).
// A timer never fires early; it fires at the first wheel_run() at least one tick after its deadline at the
// latest, if that has the budget. Deadlines may be any distance away; wheel_next() looks ahead over the wheel's
// span (12 days) only.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct timer {
	struct timer *next, **pprev; // pprev is NULL while not armed
	uint64_t at;                 // ns
};

#define WHEEL_LEVELS 5
#define WHEEL_SLOTS  64

struct wheel {
	uint64_t tick; // the next tick to be run
	uint64_t occupied[WHEEL_LEVELS];
	struct timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
	struct timer *moving[WHEEL_LEVELS]; // of slots whose time has begun, on their way to lower levels
	void (*fire)(void *ctx, struct timer *t);
	void *ctx;
	uint32_t armed;
	uint32_t running; // inside of wheel_run(): what is armed for now waits for the next tick
};

// fire() is called with the timer already disarmed; it may arm and cancel any timer, this one included.
void wheel_init(struct wheel *w, uint64_t now, void (*fire)(void *, struct timer *), void *ctx);
static inline bool timer_armed(const struct timer *t)
{
	return t->pprev != 0;
}
// Arms, or moves an armed timer, to fire at `at` (ns, same clock as now).
void timer_arm(struct wheel *w, struct timer *t, uint64_t at);
void timer_cancel(struct wheel *w, struct timer *t);
// Fires all that is due at `now`; at most budget timers (0: no bound), and moves at most WHEEL_MOVES times as
// many to lower levels: a million timers may stand in a slot there. Returns how many fired.
#define WHEEL_MOVES 8
unsigned wheel_run(struct wheel *w, uint64_t now, unsigned budget);
// A lower bound of the next deadline, UINT64_MAX when nothing is armed: how long a worker may sleep.
uint64_t wheel_next(const struct wheel *w);
