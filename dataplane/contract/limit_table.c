#include "contract/limit_table.h"
#include <stdio.h>
#include <string.h>

#define LINES_OF_PAGE (LIMIT_TABLE_PAGE / sizeof(struct limit_table_line))
#define CELLS         (LIMIT_TABLE_LINES * LIMIT_TABLE_WAYS) // where a key may be
#define CLAIM         (1ull << 63)
#define ID_BITS       (64 - LIMIT_TABLE_SLOT_BITS)
#ifndef LIMIT_TABLE_YIELDS
#define LIMIT_TABLE_YIELDS                                                                                     \
	64 // times that a claim gives way to one before it; then that one's owner is taken for dead
#endif

// A test may stop a thread in front of each access to what is shared.
#ifndef LIMIT_TABLE_STEP
#define LIMIT_TABLE_STEP(where, writes) ((void)0)
#endif

// Both halves at once: an aligned 16-byte vector load is atomic on every processor with AVX (both vendors'
// manuals say so), which -march=x86-64-v3 asks for.
static inline union limit_table_cell cell_load(const union limit_table_cell *at)
{
	union limit_table_cell c;

	LIMIT_TABLE_STEP(at, false);
	__asm__ volatile("vmovdqa %1, %%xmm0\n\tvmovq %%xmm0, %0\n\tvpextrq $1, %%xmm0, %2"
			 : "=r"(c.id), "+m"(*(union limit_table_cell *)(uintptr_t)at), "=r"(c.tat)
			 :
			 : "xmm0", "memory");
	return c;
}

// Inline, so that it never becomes a call into libatomic, which may take a lock.
static inline bool cell_swap(union limit_table_cell *at, union limit_table_cell old, union limit_table_cell new)
{
	bool swapped;

	LIMIT_TABLE_STEP(at, true);
	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(swapped), "+m"(*at), "+a"(old.id), "+d"(old.tat)
			 : "b"(new.id), "c"(new.tat)
			 : "memory");
	return swapped;
}

static inline uint64_t reached_load(const struct limit_table *t)
{
	LIMIT_TABLE_STEP(&t->head->reached, false);
	return atomic_load(&t->head->reached);
}

// The time a caller works at: its own, or the one all have reached, if that is later. The shared one follows
// when it is left behind, some hundred times a second and by whoever comes first.
static uint64_t time_now(const struct limit_table *t, uint64_t now)
{
	uint64_t reached = reached_load(t);

	while (now > reached && now - reached > LIMIT_TABLE_LAG) {
		LIMIT_TABLE_STEP(&t->head->reached, true);
		if (atomic_compare_exchange_weak(&t->head->reached, &reached, now))
			return now;
	}
	return now > reached ? now : reached;
}

void limit_table_create(void *memory, uint64_t size, struct hash_key secret)
{
	struct limit_table_head *h = memory;

	h->version = LIMIT_TABLE_VERSION;
	h->ways = LIMIT_TABLE_WAYS;
	h->size = size;
	h->secret = secret;
	__atomic_store_n(&h->magic, LIMIT_TABLE_MAGIC, __ATOMIC_RELEASE);
}

bool limit_table_attach(struct limit_table *t, void *memory, uint64_t size, uint16_t epoch, char *why,
			size_t why_size)
{
	struct limit_table_head *h = memory;

	if (size < LIMIT_TABLE_MIN || size % LIMIT_TABLE_PAGE) {
		snprintf(why, why_size, "table of rate limits: %llu bytes are no whole pages, two at least",
			 (unsigned long long)size);
		return false;
	}
	if (h->magic != LIMIT_TABLE_MAGIC || h->version != LIMIT_TABLE_VERSION || h->ways != LIMIT_TABLE_WAYS ||
	    h->size != size) {
		snprintf(why, why_size, "table of rate limits: not of this version and size");
		return false;
	}
	*t = (struct limit_table){.head = h,
				  .line = (struct limit_table_line *)((char *)memory + LIMIT_TABLE_PAGE),
				  .pages = size / LIMIT_TABLE_PAGE - 1,
				  .epoch = epoch & 0x7fff};
	keyhash_init(&t->hash, h->secret);
	return true;
}

// A claim's mark: epoch 15 bits, worker 8 bits, a number that no other claim of this worker has, 40 bits.
void limit_table_claims_init(struct limit_table_claims *c, const struct limit_table *t, unsigned worker)
{
	c->next = CLAIM | (uint64_t)t->epoch << 48 | (uint64_t)(worker & 0xff) << 40;
}

static uint64_t claim_next(struct limit_table_claims *c)
{
	uint64_t mark = c->next;

	c->next = (mark & ~((1ull << 40) - 1)) | ((mark + 1) & ((1ull << 40) - 1));
	return mark;
}

static inline bool is_claim(const struct limit_table *t, union limit_table_cell c)
{
	return c.tat & CLAIM && (c.tat >> 48 & 0x7fff) == t->epoch;
}

struct limit_table_key limit_table_key(const struct limit_table *t, uint32_t slot, const void *key, size_t n)
{
	// The limit is part of what is hashed: the same client's lines under two limits are not the same.
	uint64_t h = keyhash(&t->hash, slot, key, n);
	uint64_t page = (uint64_t)((__uint128_t)h * t->pages >> 64);

	return (struct limit_table_key){.id = (uint64_t)slot << ID_BITS | (h & (LIMIT_TABLE_ASIDE - 1)),
					.line = t->line + page * LINES_OF_PAGE + h % LINES_OF_PAGE};
}

// The key's lines follow each other in steps around their page. The step is odd and the number of lines a power
// of two: they differ.
static inline struct limit_table_line *line_at(const struct limit_table_key *k, unsigned i)
{
	uintptr_t page = (uintptr_t)k->line / LIMIT_TABLE_PAGE * LIMIT_TABLE_PAGE;
	uint64_t at = ((uintptr_t)k->line - page) / sizeof(struct limit_table_line);
	uint64_t step = k->id / LINES_OF_PAGE % LINES_OF_PAGE | 1;

	if (__builtin_expect(i == 0, 1))
		return k->line;
	return (struct limit_table_line *)page + (at + i * step) % LINES_OF_PAGE;
}

static inline union limit_table_cell *cell_at(const struct limit_table_key *k, unsigned i)
{
	return &line_at(k, i / LIMIT_TABLE_WAYS)->cell[i % LIMIT_TABLE_WAYS];
}

// The key has no cell in its first line, whose cells were `first`: what find() says of the rest.
static __attribute__((noinline)) union limit_table_cell *
find_on(const struct limit_table *t, const struct limit_table_key *k, uint64_t reached,
	const union limit_table_cell first[LIMIT_TABLE_WAYS], union limit_table_cell *seen,
	union limit_table_cell **room)
{
	union limit_table_cell free_seen = {.id = 0}, claim_seen = {.id = 0}, *claimed = NULL;

	*room = NULL;
	for (unsigned i = 0; i < CELLS; i++) {
		union limit_table_cell *at = cell_at(k, i), c = i < LIMIT_TABLE_WAYS ? first[i] : cell_load(at);

		if (c.id == k->id && !(c.tat & CLAIM)) {
			*seen = c;
			return at;
		}
		if (c.tat & CLAIM ? is_claim(t, c) : c.tat > reached) {
			if (c.id == k->id) {
				claimed = at;
				claim_seen = c;
			}
		} else if (!*room) {
			*room = at;
			free_seen = c;
		}
	}
	*seen = *room ? free_seen : claim_seen;
	if (!*room)
		*room = claimed;
	return NULL;
}

// The key's cell, or NULL; then *room is the first that is free, if there is any. *seen is the content of what
// is returned. Where nothing is free but what another has claimed for this very key, that is the room: there is
// one.
static inline __attribute__((always_inline)) union limit_table_cell *
find(const struct limit_table *t, const struct limit_table_key *k, uint64_t reached,
     union limit_table_cell *seen, union limit_table_cell **room)
{
	union limit_table_cell first[LIMIT_TABLE_WAYS];

#pragma GCC unroll 4
	for (unsigned i = 0; i < LIMIT_TABLE_WAYS; i++) {
		const union limit_table_cell c = cell_load(&k->line->cell[i]);

		if (__builtin_expect(((c.id ^ k->id) | (c.tat & CLAIM)) == 0, 1)) {
			seen->id = k->id;
			seen->tat = c.tat;
			return &k->line->cell[i];
		}
		first[i].id = c.id;
		first[i].tat = c.tat;
	}
	return find_on(t, k, reached, first, seen, room);
}

// Looks whether the claim that stands at `own` is the key's only cell. false: it was given up, or a real cell
// was there, or another's claim could not be taken away yet.
static bool claim_alone(const struct limit_table *t, const struct limit_table_key *k,
			union limit_table_cell *own, union limit_table_cell claim, unsigned *yields)
{
	const union limit_table_cell none = {.id = 0, .tat = 0};
	bool before = true;

	for (unsigned i = 0; i < CELLS; i++) {
		union limit_table_cell *at = cell_at(k, i), c;

		if (at == own) {
			before = false;
			continue;
		}
		for (c = cell_load(at); c.id == k->id; c = cell_load(at)) {
			if (c.tat & CLAIM && is_claim(t, c) && !(before && ++*yields < LIMIT_TABLE_YIELDS)) {
				cell_swap(at, c, none);
				continue;
			}
			if (c.tat & CLAIM && !is_claim(t, c))
				break; // of a data plane that is gone: nobody will make it real
			cell_swap(own, claim, none);
			return false;
		}
	}
	return true;
}

// A tolerance that was made smaller by hand leaves TATs that no charge could have led to: such a key is at its
// limit, and no more than that. This is written down, so that it earns from then on.
static inline uint64_t tat_bounded(const struct limit_table *t, union limit_table_cell *at,
				   union limit_table_cell *seen, uint64_t tolerance)
{
	union limit_table_cell bounded = *seen;

	if (seen->tat <= tolerance)
		return seen->tat;
	bounded.tat = reached_load(t) + LIMIT_TABLE_LAG + tolerance;
	if (seen->tat > bounded.tat && cell_swap(at, *seen, bounded))
		*seen = bounded;
	return seen->tat;
}

static inline uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

// Makes a cell for a new key. cost is charged from the time that all have reached by then.
static bool insert(const struct limit_table *t, struct limit_table_claims *c, const struct limit_table_key *k,
		   uint64_t now, uint64_t cost, union limit_table_cell *room, union limit_table_cell seen,
		   unsigned *yields, uint64_t *tat)
{
	union limit_table_cell claim = {.id = k->id, .tat = claim_next(c)}, real = {.id = k->id};

	if (!cell_swap(room, seen, claim) || !claim_alone(t, k, room, claim, yields))
		return false;
	// Read behind the search: whoever took the key's cell away meanwhile had reached its end.
	*tat = real.tat = later(now, reached_load(t)) + cost;
	return cell_swap(room, claim, real);
}

enum limit_table_result limit_table_charge(const struct limit_table *t, struct limit_table_claims *c,
					   const struct limit_table_key *k, uint64_t now, uint64_t cost,
					   uint64_t tolerance, uint64_t *tat)
{
	unsigned yields = 0;

	now = time_now(t, now);
	for (;;) {
		union limit_table_cell seen, *room, *at = find(t, k, reached_load(t), &seen, &room);

		if (at) {
			uint64_t have = tat_bounded(t, at, &seen, tolerance);
			union limit_table_cell new = {.id = k->id, .tat = later(have, now) + cost};

			if (new.tat > now + tolerance) {
				*tat = have;
				return LIMIT_TABLE_OVER;
			}
			*tat = new.tat;
			if (cell_swap(at, seen, new))
				return LIMIT_TABLE_ALLOWED;
			continue;
		}
		*tat = 0;
		if (cost > tolerance)
			return LIMIT_TABLE_OVER;
		if (!room)
			return LIMIT_TABLE_FULL;
		if (insert(t, c, k, now, cost, room, seen, &yields, tat))
			return LIMIT_TABLE_ALLOWED;
	}
}

enum limit_table_result limit_table_peek(const struct limit_table *t, const struct limit_table_key *k,
					 uint64_t now, uint64_t cost, uint64_t tolerance, uint64_t *tat)
{
	union limit_table_cell seen, *room, *at;

	now = time_now(t, now);
	at = find(t, k, reached_load(t), &seen, &room);
	if (!at) {
		*tat = cost > tolerance ? 0 : now + cost;
		return cost > tolerance ? LIMIT_TABLE_OVER : room ? LIMIT_TABLE_ALLOWED : LIMIT_TABLE_FULL;
	}
	*tat = tat_bounded(t, at, &seen, tolerance);
	if (later(*tat, now) + cost > now + tolerance)
		return LIMIT_TABLE_OVER;
	*tat = later(*tat, now) + cost;
	return LIMIT_TABLE_ALLOWED;
}

void limit_table_return(const struct limit_table *t, const struct limit_table_key *k, uint64_t tat,
			uint64_t cost)
{
	for (;;) {
		union limit_table_cell seen, *room, *at = find(t, k, 0, &seen, &room), new;

		if (!at || seen.tat < cost)
			return;
		// Others may have charged since. Their charges begin where this one ended, unless it had lapsed
		// at their time, and nobody's time is more than LIMIT_TABLE_LAG ahead of what all have reached.
		if (seen.tat != tat && tat <= reached_load(t) + LIMIT_TABLE_LAG)
			return;
		new = (union limit_table_cell){.id = k->id, .tat = seen.tat - cost};
		if (cell_swap(at, seen, new))
			return;
	}
}

enum limit_table_result limit_table_set(const struct limit_table *t, struct limit_table_claims *c,
					const struct limit_table_key *k, uint64_t now, uint64_t ahead)
{
	unsigned yields = 0;
	uint64_t tat;

	now = time_now(t, now);
	for (;;) {
		union limit_table_cell seen, *room, *at = find(t, k, reached_load(t), &seen, &room);
		union limit_table_cell new = {.id = k->id, .tat = ahead ? now + ahead : 0};

		if (at && cell_swap(at, seen, new))
			return LIMIT_TABLE_ALLOWED;
		if (at)
			continue;
		if (!ahead)
			return LIMIT_TABLE_ALLOWED;
		if (!room)
			return LIMIT_TABLE_FULL;
		if (insert(t, c, k, now, ahead, room, seen, &yields, &tat))
			return LIMIT_TABLE_ALLOWED;
	}
}

uint64_t limit_table_visit(const struct limit_table *t, uint64_t from, uint64_t n, limit_table_visit_fn *fn,
			   void *ctx)
{
	uint64_t lines = t->pages * LINES_OF_PAGE, reached = reached_load(t);

	for (; n && from < lines; n--, from++)
		for (unsigned i = 0; i < LIMIT_TABLE_WAYS; i++) {
			union limit_table_cell c = cell_load(&t->line[from].cell[i]);

			if (c.id && !(c.tat & CLAIM) && c.tat > reached)
				fn(ctx, c.id, c.tat);
		}
	return from < lines ? from : 0;
}
