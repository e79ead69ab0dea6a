// A timer stands at the level of the highest group of six bits in which its tick differs from the wheel's. So
// whatever is at a lower level is due before anything at a higher one, and a slot is moved down when the
// wheel's tick enters it. Until all of it is moved the tick stays, and with it whatever is due later.
#include "base/wheel.h"
#include <stddef.h>

#define TICK_SHIFT  20
#define LEVEL_BITS  6
#define SLOT_MASK   (WHEEL_SLOTS - 1)
#define TOP_SHIFT   (LEVEL_BITS * (WHEEL_LEVELS - 1))
#define SPAN_TICKS  ((uint64_t)SLOT_MASK << TOP_SHIFT) // beyond it a top-level slot would be ambiguous
#define TICK_OF(ns) ((ns) >> TICK_SHIFT)

static void timer_unlink(struct timer *t)
{
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	t->pprev = NULL;
}

static void timer_insert(struct wheel *w, struct timer *t, uint64_t tick)
{
	uint64_t diff = tick ^ w->tick;
	unsigned level = diff ? (unsigned)(63 - __builtin_clzll(diff)) / LEVEL_BITS : 0;

	if (level >= WHEEL_LEVELS)
		level = WHEEL_LEVELS - 1;
	unsigned i = (unsigned)(tick >> (level * LEVEL_BITS)) & SLOT_MASK;
	struct timer **slot = &w->slot[level][i];

	t->next = *slot;
	if (t->next)
		t->next->pprev = &t->next;
	t->pprev = slot;
	*slot = t;
	w->occupied[level] |= 1ull << i;
}

// Rounded up, so that no timer fires early.
static uint64_t timer_tick(const struct wheel *w, uint64_t at)
{
	uint64_t tick = TICK_OF(at) + ((at & ((1ull << TICK_SHIFT) - 1)) != 0);

	if (tick < w->tick + w->running)
		return w->tick + w->running;
	return tick - w->tick > SPAN_TICKS ? w->tick + SPAN_TICKS : tick;
}

void wheel_init(struct wheel *w, uint64_t now, void (*fire)(void *, struct timer *), void *ctx)
{
	*w = (struct wheel){.tick = TICK_OF(now), .fire = fire, .ctx = ctx};
}

void timer_arm(struct wheel *w, struct timer *t, uint64_t at)
{
	if (timer_armed(t))
		timer_unlink(t);
	else
		w->armed++;
	t->at = at;
	timer_insert(w, t, timer_tick(w, at));
}

// The occupied bit may stay behind: wheel_run() clears it when its time comes.
void timer_cancel(struct wheel *w, struct timer *t)
{
	if (!timer_armed(t))
		return;
	timer_unlink(t);
	w->armed--;
}

// The first tick at which there is something to do: a timer to fire or a slot to move down.
static uint64_t wheel_event(const struct wheel *w)
{
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		unsigned shift = level * LEVEL_BITS, i = (unsigned)(w->tick >> shift) & SLOT_MASK;
		uint64_t bits = w->occupied[level];

		// The top level goes round: slots below the current one come after it.
		if (level == WHEEL_LEVELS - 1 && i)
			bits = (bits >> i) | (bits << (WHEEL_SLOTS - i));
		else
			bits >>= i;
		if (bits)
			return ((w->tick >> shift) + (unsigned)__builtin_ctzll(bits)) << shift;
	}
	return UINT64_MAX;
}

static bool wheel_moving(const struct wheel *w)
{
	bool any = false;

	for (unsigned level = 1; level < WHEEL_LEVELS; level++)
		any |= w->moving[level] != NULL;
	return any;
}

// Enters a tick: slots whose time begins here are to be moved to lower levels.
static void wheel_enter(struct wheel *w, uint64_t tick)
{
	w->tick = tick;
	for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--) {
		unsigned shift = level * LEVEL_BITS, i = (unsigned)(tick >> shift) & SLOT_MASK;

		if (tick & ((1ull << shift) - 1))
			continue;
		w->moving[level] = w->slot[level][i];
		if (w->moving[level])
			w->moving[level]->pprev = &w->moving[level];
		w->slot[level][i] = NULL;
		w->occupied[level] &= ~(1ull << i);
	}
}

// False: the budget did not do.
static bool wheel_move(struct wheel *w, unsigned *budget)
{
	for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--) {
		struct timer *t;

		while ((t = w->moving[level])) {
			if (*budget == 0)
				return false;
			--*budget;
			__builtin_prefetch(t->next);
			timer_unlink(t);
			timer_insert(w, t, timer_tick(w, t->at));
		}
	}
	return true;
}

unsigned wheel_run(struct wheel *w, uint64_t now, unsigned budget)
{
	uint64_t end = TICK_OF(now) + 1;
	unsigned fired = 0, moves = budget ? budget * WHEEL_MOVES : UINT32_MAX;

	while (w->tick < end) {
		if (wheel_moving(w) && !wheel_move(w, &moves))
			return fired;
		uint64_t event = wheel_event(w);

		if (event > w->tick) {
			wheel_enter(w, event < end ? event : end);
			continue;
		}
		unsigned i = (unsigned)w->tick & SLOT_MASK;
		struct timer *t;

		w->running = 1;
		while ((t = w->slot[0][i]) && (budget == 0 || fired < budget)) {
			timer_unlink(t);
			w->armed--;
			fired++;
			w->fire(w->ctx, t);
		}
		w->running = 0;
		if (t)
			return fired;
		w->occupied[0] &= ~(1ull << i);
		wheel_enter(w, w->tick + 1);
	}
	return fired;
}

uint64_t wheel_next(const struct wheel *w)
{
	uint64_t event;

	if (w->armed == 0)
		return UINT64_MAX;
	if (wheel_moving(w))
		return w->tick << TICK_SHIFT;
	event = wheel_event(w);
	return event >= UINT64_MAX >> TICK_SHIFT ? UINT64_MAX : event << TICK_SHIFT;
}
