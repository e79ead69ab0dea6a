#include "contract/credits.h"

// A test may stop a thread in front of each access to what is shared.
#ifndef CREDITS_STEP
#define CREDITS_STEP(where, writes) ((void)0)
#endif
// Each try that fails shows another's success; beyond so many of them a request is refused.
#ifndef CREDITS_TRIES
#define CREDITS_TRIES 64
#endif

// Of a worker: idle credits, and how often one was given back there.
#define CELL_ONE    1ull
#define CELL_CHANGE (1ull << 32)
// Home: idle credits there (below zero: owed), the limit, and how often that changed.
#define HOME_IDLE_BITS  22
#define HOME_LIMIT_BITS 20
#define HOME_CHANGE     (1ull << (HOME_IDLE_BITS + HOME_LIMIT_BITS))

_Static_assert(CREDITS_MAX < 1u << HOME_LIMIT_BITS && CREDITS_MAX < 1u << (HOME_IDLE_BITS - 1), "room for any");

static uint32_t cell_idle(uint64_t cell)
{
	return (uint32_t)cell;
}

static int32_t home_idle(uint64_t home)
{
	return (int32_t)((uint32_t)home << (32 - HOME_IDLE_BITS)) >> (32 - HOME_IDLE_BITS);
}

static uint32_t home_limit(uint64_t home)
{
	return (uint32_t)(home >> HOME_IDLE_BITS) & ((1u << HOME_LIMIT_BITS) - 1);
}

// Behind `old`.
static uint64_t home_make(uint64_t old, uint32_t limit, int32_t idle)
{
	return (old / HOME_CHANGE + 1) * HOME_CHANGE | (uint64_t)limit << HOME_IDLE_BITS |
	       ((uint32_t)idle & ((1u << HOME_IDLE_BITS) - 1));
}

static uint64_t load(_Atomic uint64_t *at)
{
	CREDITS_STEP(at, false);
	return atomic_load(at);
}

static bool swap(_Atomic uint64_t *at, uint64_t old, uint64_t new)
{
	CREDITS_STEP(at, true);
	return atomic_compare_exchange_strong(at, &old, new);
}

static void pay(_Atomic uint64_t *home, uint32_t n)
{
	uint64_t h;

	while (n && (h = load(home), !swap(home, h, home_make(h, home_limit(h), home_idle(h) + (int32_t)n))))
		;
}

enum look { LOOK_TAKEN, LOOK_AGAIN, LOOK_EMPTY };

// Takes the first idle credit, the worker's own before others; EMPTY: there was none in any cell, and as
// long as *changes stays the same, none has come into one.
static enum look look(struct region *r, uint32_t worker, uint32_t slot, uint32_t workers, uint64_t *changes)
{
	_Atomic uint64_t *home = &region_credits(r)[slot].home;
	uint64_t h;

	*changes = 0;
	for (uint32_t i = 0; i < workers; i++) {
		uint32_t w = worker + i < workers ? worker + i : worker + i - workers;
		_Atomic uint64_t *at = &region_credit_cells(r, w)[slot].idle;
		uint64_t cell = load(at);

		*changes += cell / CELL_CHANGE;
		if (!cell_idle(cell))
			continue;
		// Looked at behind the cell: what is taken away there in between, the swap finds out.
		h = load(home);
		if (!swap(at, cell, cell - CELL_ONE))
			return LOOK_AGAIN;
		if (home_idle(h) >= 0)
			return LOOK_TAKEN;
		pay(home, 1);
		return LOOK_AGAIN;
	}
	h = load(home);
	*changes += h / HOME_CHANGE;
	if (home_idle(h) <= 0)
		return LOOK_EMPTY;
	return swap(home, h, home_make(h, home_limit(h), home_idle(h) - 1)) ? LOOK_TAKEN : LOOK_AGAIN;
}

enum credit credits_take(struct region *r, uint32_t worker, uint32_t slot)
{
	_Atomic uint64_t *home = &region_credits(r)[slot].home;
	uint64_t seen = 0, changes;
	bool was_empty = false;

	if (home_limit(load(home)) == 0)
		return CREDIT_NO_LIMIT;
	for (unsigned i = 0; i < CREDITS_TRIES; i++) {
		enum look found = look(r, worker, slot, region_workers(r), &changes);

		if (found == LOOK_TAKEN)
			return CREDIT_TAKEN;
		if (found == LOOK_EMPTY && was_empty && changes == seen)
			break;
		was_empty = found == LOOK_EMPTY;
		seen = changes;
	}
	// It may have been taken away meanwhile, and the credits with it.
	return home_limit(load(home)) == 0 ? CREDIT_NO_LIMIT : CREDIT_REFUSED;
}

void credits_give(struct region *r, uint32_t worker, uint32_t slot)
{
	_Atomic uint64_t *at = &region_credit_cells(r, worker)[slot].idle,
			 *home = &region_credits(r)[slot].home;
	uint64_t h;

	while (h = load(home), home_idle(h) < 0)
		if (swap(home, h, home_make(h, home_limit(h), home_idle(h) + 1)))
			return;
	CREDITS_STEP(at, true);
	atomic_fetch_add(at, CELL_ONE + CELL_CHANGE);
}

uint32_t credits_used(struct region *r, uint32_t slot)
{
	uint64_t home = atomic_load(&region_credits(r)[slot].home);
	int64_t used = (int64_t)home_limit(home) - home_idle(home);

	for (uint32_t w = 0; w < region_workers(r); w++)
		used -= cell_idle(atomic_load(&region_credit_cells(r, w)[slot].idle));
	return used > 0 ? (uint32_t)used : 0;
}

// What is idle in one worker's cell pays what home is owed.
static void collect(struct region *r, uint32_t worker, uint32_t slot)
{
	_Atomic uint64_t *at = &region_credit_cells(r, worker)[slot].idle,
			 *home = &region_credits(r)[slot].home;
	uint32_t owed, paid;
	uint64_t cell, h;

	do {
		h = load(home);
		owed = home_idle(h) < 0 ? (uint32_t)-home_idle(h) : 0;
		cell = load(at);
		paid = cell_idle(cell) < owed ? cell_idle(cell) : owed;
	} while (paid && !swap(at, cell, cell - paid));
	pay(home, paid);
}

void credits_limit(struct region *r, uint32_t slot, uint32_t limit)
{
	_Atomic uint64_t *home = &region_credits(r)[slot].home;
	uint64_t h;

	do {
		h = load(home);
		if (home_limit(h) == limit)
			return;
	} while (!swap(home, h, home_make(h, limit, home_idle(h) + (int32_t)limit - (int32_t)home_limit(h))));
	for (uint32_t w = 0; w < region_workers(r) && home_idle(load(home)) < 0; w++)
		collect(r, w, slot);
}

uint32_t credits_limit_now(const struct region *r, uint32_t slot)
{
	return home_limit(atomic_load(&region_credits((struct region *)(uintptr_t)r)[slot].home));
}

void credits_restart(struct region *r)
{
	for (uint32_t slot = 1; slot < REGION_CREDITS; slot++) {
		struct region_credits *c = &region_credits(r)[slot];
		uint64_t h = atomic_load(&c->home);

		if (!c->key)
			continue;
		for (uint32_t w = 0; w < region_workers(r); w++)
			atomic_store(&region_credit_cells(r, w)[slot].idle, 0);
		atomic_store(&c->home, home_make(h, home_limit(h), (int32_t)home_limit(h)));
	}
}
