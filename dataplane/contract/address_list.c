#include "contract/address_list.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WAYS      4u
#define LINES_MAX 128u // that an entry may be away from its home
#define USED      1ull // id of a cell that had an entry in a full line: a search goes on behind it
#define SAMPLE    16u  // one of so many hits is counted, for all of them

// meta: bits 0..7 len, 8 kind, 9..11 sources, 12..19 round of files, 20..63 end in ms (0: none)
#define META_LEN(m)    ((unsigned)((m)&0xff))
#define META_KIND(m)   ((enum address_kind)((m) >> 8 & 1))
#define META_SOURCE(m) ((unsigned)((m) >> 9 & 7))
#define META_ROUND(m)  ((unsigned)((m) >> 12 & 0xff))
#define META_UNTIL(m)  ((m) >> 20)
#define MS             1000000ull

static inline uint64_t meta_of(unsigned len, enum address_kind kind, unsigned source, uint64_t round,
			       uint64_t ms)
{
	return len | (uint64_t)kind << 8 | (uint64_t)source << 9 | (round & 0xff) << 12 | ms << 20;
}

// Both halves at once: an aligned 16-byte vector access is atomic on every processor with AVX (both vendors'
// manuals say so), which -march=x86-64-v3 asks for.
static inline union address_cell cell_load(const union address_cell *at)
{
	union address_cell c;

	__asm__ volatile("vmovdqa %1, %%xmm0\n\tvmovq %%xmm0, %0\n\tvpextrq $1, %%xmm0, %2"
			 : "=r"(c.id), "+m"(*(union address_cell *)(uintptr_t)at), "=r"(c.meta)
			 :
			 : "xmm0", "memory");
	return c;
}

static inline void cell_store(union address_cell *at, uint64_t id, uint64_t meta)
{
	__asm__ volatile("vmovq %1, %%xmm0\n\tvpinsrq $1, %2, %%xmm0, %%xmm0\n\tvmovdqa %%xmm0, %0"
			 : "=m"(*at)
			 : "r"(id), "r"(meta)
			 : "xmm0", "memory");
}

static uint64_t lengths_bytes(void)
{
	return 2 * ADDRESS_LIST_SLOTS * sizeof(struct address_lengths);
}

// What is left for cells, in whole lines.
static uint64_t lines_of(uint64_t size)
{
	return (size - 4096 - lengths_bytes()) / (WAYS * ADDRESS_LIST_CELL);
}

uint64_t address_list_room(uint64_t size)
{
	return lines_of(size) * WAYS / 4 * 3;
}

void address_list_create(void *memory, uint64_t size, struct hash_key secret)
{
	struct address_list_head *h = memory;

	h->version = ADDRESS_LIST_VERSION;
	h->size = size;
	h->cells = lines_of(size) * WAYS;
	h->secret = secret;
	__atomic_store_n(&h->magic, ADDRESS_LIST_MAGIC, __ATOMIC_RELEASE);
}

bool address_list_attach(struct address_list *l, void *memory, uint64_t size, char *why, size_t why_size)
{
	struct address_list_head *h = memory;
	char *at = (char *)memory + 4096;

	if (size < ADDRESS_LIST_MIN || h->magic != ADDRESS_LIST_MAGIC || h->version != ADDRESS_LIST_VERSION ||
	    h->size != size || h->cells != lines_of(size) * WAYS) {
		snprintf(why, why_size, "list of addresses: not of this version and size");
		return false;
	}
	*l = (struct address_list){.head = h, .lines = lines_of(size)};
	l->lengths = (struct address_lengths *)at;
	at += lengths_bytes();
	l->line = (struct address_line *)at;
	at += l->lines * sizeof(struct address_line);
	l->addr = (struct addr *)at;
	at += l->lines * WAYS * sizeof(struct addr);
	l->hits = (_Atomic uint32_t *)(void *)at;
	keyhash_init(&l->hash, h->secret);
	return true;
}

static inline uint64_t mask_of(unsigned bits) // of 64, the first ones, as they stand in memory
{
	return bits == 0 ? 0 : __builtin_bswap64(~0ull << (64 - bits));
}

struct addr address_prefix_of(struct addr a, unsigned len)
{
	a.w[0] &= mask_of(len < 64 ? len : 64);
	a.w[1] &= len <= 64 ? 0 : mask_of(len - 64);
	return a;
}

static inline uint64_t id_of(const struct address_list *l, enum address_kind kind, struct addr a, unsigned len)
{
	uint64_t id = keyhash(&l->hash, len | (uint32_t)kind << 8, &a, sizeof(a));

	return id > USED ? id : id + 2;
}

static inline uint64_t home(const struct address_list *l, uint64_t id)
{
	return (uint64_t)((__uint128_t)id * l->lines >> 64);
}

// Which set of lengths an address goes by: the first 12 bits of an IPv4 address, a hash of the first 32 of an
// IPv6 one. Shorter prefixes are in all sets that they reach.
static inline uint32_t slot_of(struct addr a)
{
	if (addr_is_v4(a))
		return (uint32_t)a.b[12] << 4 | a.b[13] >> 4;
	return ADDRESS_LIST_SLOTS + ((uint32_t)a.w[0] * 2654435761u >> 20);
}

// Goes through the lines where an entry may be. NULL: it is not there.
static inline union address_cell *find(const struct address_list *l, uint64_t id, union address_cell *seen)
{
	uint64_t n = home(l, id);

	for (unsigned turn = 0; turn < LINES_MAX; turn++) {
		struct address_line *line = &l->line[n];

		for (unsigned i = 0; i < WAYS; i++) {
			*seen = cell_load(&line->cell[i]);
			if (seen->id == id)
				return &line->cell[i];
			if (seen->id == 0)
				return NULL;
		}
		n = n + 1 < l->lines ? n + 1 : 0;
	}
	return NULL;
}

static inline uint64_t index_of(const struct address_list *l, const union address_cell *at)
{
	return (uint64_t)(at - l->line[0].cell);
}

static inline bool holds(const struct address_list *l, enum address_kind kind, struct addr a,
			 const struct address_lengths *have, const struct address_probe *probe, uint64_t now_ms,
			 union address_cell **at)
{
	for (int half = 1; half >= 0; half--) {
		uint64_t bits = atomic_load_explicit(&have->of[kind][half], memory_order_relaxed);

		for (; bits; bits &= ~(1ull << (63 - __builtin_clzll(bits)))) {
			unsigned len = (unsigned)half * 64 + 64 - (unsigned)__builtin_clzll(bits);
			union address_cell seen;

			*at = find(l,
				   len == probe->len ? probe->id
						     : id_of(l, kind, address_prefix_of(a, len), len),
				   &seen);
			if (*at && (META_UNTIL(seen.meta) == 0 || META_UNTIL(seen.meta) > now_ms))
				return true;
		}
	}
	return false;
}

static const struct address_probe no_probe;

void address_list_prefetch(const struct address_list *l, struct addr a, struct address_probe *probe)
{
	const struct address_lengths *have = &l->lengths[slot_of(a)];

	*probe = no_probe;
	// Of the lengths that occur, the hosts', which most entries are; those behind it overlap less.
	for (int half = 1; half >= 0; half--) {
		uint64_t bits = atomic_load_explicit(&have->of[ADDRESS_DENY][half], memory_order_relaxed);

		for (unsigned k = 0; bits && k < 2; k++, bits &= ~(1ull << (63 - __builtin_clzll(bits)))) {
			unsigned len = (unsigned)half * 64 + 64 - (unsigned)__builtin_clzll(bits);
			uint64_t id = id_of(l, ADDRESS_DENY, address_prefix_of(a, len), len);

			__builtin_prefetch(&l->line[home(l, id)]);
			if (!probe->len)
				*probe = (struct address_probe){id, len};
		}
	}
}

bool address_list_denied(const struct address_list *l, struct addr a, uint64_t now)
{
	return address_list_denied_probe(l, a, &no_probe, now);
}

bool address_list_denied_probe(const struct address_list *l, struct addr a, const struct address_probe *probe,
			       uint64_t now)
{
	const struct address_lengths *have = &l->lengths[slot_of(a)];
	union address_cell *at, *allowed;
	uint64_t ms = now / MS;
	static _Thread_local unsigned sampled;

	if (!holds(l, ADDRESS_DENY, a, have, probe, ms, &at) ||
	    holds(l, ADDRESS_ALLOW, a, have, &no_probe, ms, &allowed))
		return false;
	if (++sampled % SAMPLE == 0)
		atomic_fetch_add_explicit(&l->hits[index_of(l, at)], SAMPLE, memory_order_relaxed);
	return true;
}

static void lengths_put(struct address_lengths *all, enum address_kind kind, struct addr a, unsigned len)
{
	uint32_t from = slot_of(a), n = 1;

	if (addr_is_v4(a) && len < 96 + 12)
		n = 1u << (96 + 12 - len);
	else if (!addr_is_v4(a) && len < 32)
		from = ADDRESS_LIST_SLOTS, n = ADDRESS_LIST_SLOTS;
	for (uint32_t i = from; i < from + n; i++)
		atomic_fetch_or_explicit(&all[i].of[kind][(len - 1) / 64], 1ull << (len - 1) % 64,
					 memory_order_relaxed);
}

static void count(struct address_list *l, enum address_kind kind, int64_t by)
{
	uint64_t n = atomic_load_explicit(&l->head->n[kind], memory_order_relaxed);

	atomic_store_explicit(&l->head->n[kind], n + (uint64_t)by, memory_order_release);
}

static union address_cell *room_for(const struct address_list *l, uint64_t id)
{
	uint64_t n = home(l, id);

	for (unsigned turn = 0; turn < LINES_MAX; turn++) {
		for (unsigned i = 0; i < WAYS; i++)
			if (l->line[n].cell[i].id <= USED)
				return &l->line[n].cell[i];
		n = n + 1 < l->lines ? n + 1 : 0;
	}
	return NULL;
}

// A cell whose follower was never used is as if it had not been, either: nothing lies behind it. Else searches
// must go on there.
static void cell_free(struct address_list *l, uint64_t n)
{
	uint64_t cells = l->lines * WAYS, next = n + 1 < cells ? n + 1 : 0;
	union address_cell *cell = l->line[0].cell;

	count(l, META_KIND(cell[n].meta), -1);
	cell_store(&cell[n], USED, 0);
	for (; cell[next].id == 0 && cell[n].id == USED; n = n ? n - 1 : cells - 1) {
		cell_store(&cell[n], 0, 0);
		next = n;
	}
}

int address_list_add(struct address_list *l, enum address_kind kind, struct addr a, unsigned len,
		     uint64_t until, unsigned source)
{
	uint64_t ms = until ? (until + MS - 1) / MS : 0, round = l->head->file_round;
	struct addr prefix = address_prefix_of(a, len);
	uint64_t id = id_of(l, kind, prefix, len);
	union address_cell seen, *at = find(l, id, &seen);

	if (at && META_UNTIL(seen.meta) && META_UNTIL(seen.meta) <= l->now / MS) {
		cell_free(l, index_of(l, at));
		at = NULL;
	}
	if (at) {
		uint64_t before = META_UNTIL(seen.meta);

		ms = !before || !ms ? 0 : ms > before ? ms : before;
		if (!(source & ADDRESS_FILE))
			round = META_ROUND(seen.meta);
		cell_store(at, id, meta_of(len, kind, source | META_SOURCE(seen.meta), round, ms));
		return 1;
	}
	at = room_for(l, id);
	if (!at || atomic_load(&l->head->n[0]) + atomic_load(&l->head->n[1]) >= l->lines * WAYS / 4 * 3)
		return -ENOSPC;
	l->addr[index_of(l, at)] = prefix;
	atomic_store_explicit(&l->hits[index_of(l, at)], 0, memory_order_relaxed);
	cell_store(at, id, meta_of(len, kind, source, round, ms));
	lengths_put(l->lengths, kind, prefix, len);
	count(l, kind, 1);
	if (kind == ADDRESS_DENY)
		atomic_fetch_add_explicit(&l->head->version_denied, 1, memory_order_release);
	return 0;
}

bool address_list_remove(struct address_list *l, enum address_kind kind, struct addr a, unsigned len,
			 unsigned source)
{
	struct addr prefix = address_prefix_of(a, len);
	union address_cell seen, *at = find(l, id_of(l, kind, prefix, len), &seen);
	unsigned left;

	if (!at || !(META_SOURCE(seen.meta) & source))
		return false;
	left = META_SOURCE(seen.meta) & ~source;
	if (left)
		cell_store(at, seen.id, meta_of(len, kind, left, META_ROUND(seen.meta), META_UNTIL(seen.meta)));
	else
		cell_free(l, index_of(l, at));
	return true;
}

void address_list_files_begin(struct address_list *l)
{
	l->head->file_round++;
}

void address_list_files_end(struct address_list *l)
{
	unsigned round = (unsigned)(l->head->file_round & 0xff);

	for (uint64_t i = 0; i < l->lines * WAYS; i++) {
		union address_cell *at = &l->line[i / WAYS].cell[i % WAYS], c = *at;
		unsigned left = META_SOURCE(c.meta) & ~(unsigned)ADDRESS_FILE;

		if (c.id <= USED || !(META_SOURCE(c.meta) & ADDRESS_FILE) || META_ROUND(c.meta) == round)
			continue;
		if (left)
			cell_store(
				at, c.id,
				meta_of(META_LEN(c.meta), META_KIND(c.meta), left, round, META_UNTIL(c.meta)));
		else
			cell_free(l, i);
	}
}

void address_list_sweep(struct address_list *l, uint64_t now)
{
	static struct address_lengths fresh[2 * ADDRESS_LIST_SLOTS]; // one thread writes lists
	uint64_t ms = now / MS;

	memset(fresh, 0, sizeof(fresh));
	for (uint64_t i = 0; i < l->lines * WAYS; i++) {
		union address_cell *at = &l->line[i / WAYS].cell[i % WAYS];

		if (at->id <= USED)
			continue;
		if (META_UNTIL(at->meta) && META_UNTIL(at->meta) <= ms)
			cell_free(l, i);
		else
			lengths_put(fresh, META_KIND(at->meta), l->addr[i], META_LEN(at->meta));
	}
	for (unsigned i = 0; i < 2 * ADDRESS_LIST_SLOTS; i++)
		for (unsigned k = 0; k < ADDRESS_KINDS * 2; k++)
			atomic_store_explicit(&l->lengths[i].of[k / 2][k % 2], fresh[i].of[k / 2][k % 2],
					      memory_order_relaxed);
}

uint64_t address_list_visit(const struct address_list *l, uint64_t from, uint64_t n, address_visit_fn *fn,
			    void *ctx)
{
	for (; n && from < l->lines; n--, from++)
		for (unsigned i = 0; i < WAYS; i++) {
			const union address_cell c = cell_load(&l->line[from].cell[i]);
			uint64_t k = from * WAYS + i;

			if (c.id > USED)
				fn(ctx, &(struct address_entry){.addr = l->addr[k],
								.len = META_LEN(c.meta),
								.source = META_SOURCE(c.meta),
								.kind = META_KIND(c.meta),
								.until = META_UNTIL(c.meta) * MS,
								.hits = atomic_load_explicit(
									&l->hits[k], memory_order_relaxed)});
		}
	return from < l->lines ? from : 0;
}
