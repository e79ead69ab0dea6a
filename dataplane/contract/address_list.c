#include "contract/address_list.h"
#include <errno.h>
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAYS      4u
#define LINES_MAX 128u // that an entry may be away from its home
#define USED      1ull // id of a cell that had an entry in a full line: a search goes on behind it
#define SAMPLE    16u  // one of so many hits is counted, for all of them
#define AHEAD     2u   // entries of an address whose lines are fetched ahead

// The filter has FILTER_SPARSE bits for each prefix, but for lists of which most are prefixes: its share of the
// whole is bounded.
#define FILTER_SPARSE 16u
#define FILTER_MIN    4096u // bytes
#define FILTER_OF     64u   // one part of so many

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

static uint64_t filter_bytes(uint64_t size) // at most
{
	return 1ull << (63 - __builtin_clzll(size / FILTER_OF));
}

// What is left for cells, in whole lines.
static uint64_t lines_of(uint64_t size)
{
	return (size - 4096 - lengths_bytes() - filter_bytes(size)) / (WAYS * ADDRESS_LIST_CELL);
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
	h->filter_mask = FILTER_MIN * 8 - 1;
	__atomic_store_n(&h->magic, ADDRESS_LIST_MAGIC, __ATOMIC_RELEASE);
}

bool address_list_attach(struct address_list *l, void *memory, uint64_t size, char *why, size_t why_size)
{
	struct address_list_head *h = memory;
	char *at = (char *)memory + 4096;

	if (size < ADDRESS_LIST_MIN || h->magic != ADDRESS_LIST_MAGIC || h->version != ADDRESS_LIST_VERSION ||
	    h->size != size || h->cells != lines_of(size) * WAYS || h->filter_mask >= filter_bytes(size) * 8) {
		snprintf(why, why_size, "list of addresses: not of this version and size");
		return false;
	}
	*l = (struct address_list){.head = h, .lines = lines_of(size)};
	l->lengths = (struct address_lengths *)at;
	at += lengths_bytes();
	l->filter = (_Atomic uint64_t *)(void *)at;
	at += filter_bytes(size);
	l->line = (struct address_line *)at;
	at += l->lines * sizeof(struct address_line);
	l->addr = (struct addr *)at;
	at += l->lines * WAYS * sizeof(struct addr);
	l->hits = (_Atomic uint32_t *)(void *)at;
	keyhash_init(&l->hash, h->secret);
	for (uint64_t i = 0; i < 3; i++)
		l->mix[i] = siphash(h->secret, &i, sizeof(i)) | 1;
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

// The ids of a line's cells, for all to be compared at once: in which of them an entry is nobody can tell
// beforehand. Each is read whole.
static inline __m256i ids_of(const struct address_line *line)
{
	const __m256i *half = (const __m256i *)(const void *)line;

	__asm__ volatile("" ::: "memory");
	return _mm256_unpacklo_epi64(_mm256_load_si256(half), _mm256_load_si256(half + 1));
}

static inline unsigned which(__m256i ids, __m256i id) // bits of the cells 0, 2, 1 and 3
{
	return (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(ids, id)));
}

// Goes through the lines where an entry may be. NULL: it is not there.
static inline union address_cell *find(const struct address_list *l, uint64_t id, union address_cell *seen)
{
	uint64_t n = home(l, id);

	for (unsigned turn = 0; turn < LINES_MAX; turn++) {
		struct address_line *line = &l->line[n];
		__m256i ids = ids_of(line);
		unsigned m = which(ids, _mm256_set1_epi64x((long long)id));

		if (m) {
			union address_cell *at = &line->cell[0xd8 >> 2 * __builtin_ctz(m) & 3];

			*seen = cell_load(at);
			return seen->id == id ? at : NULL; // it has just gone
		}
		if (which(ids, _mm256_setzero_si256()))
			return NULL;
		n = n + 1 < l->lines ? n + 1 : 0;
	}
	return NULL;
}

static inline uint64_t index_of(const struct address_list *l, const union address_cell *at)
{
	return (uint64_t)(at - l->line[0].cell);
}

// Which bit of the filter an entry has, but for its mask.
static inline uint64_t filter_bit(const struct address_list *l, enum address_kind kind, struct addr prefix,
				  unsigned len)
{
	uint64_t m =
		prefix.w[0] * l->mix[0] + prefix.w[1] * l->mix[1] + (len | (unsigned)kind << 8) * l->mix[2];

	return (m ^ m >> 32) * 0x9e3779b97f4a7c15ull >> 32;
}

static inline bool filter_has(const struct address_list *l, uint64_t bit, uint64_t mask)
{
	bit &= mask;
	return atomic_load_explicit(&l->filter[bit / 64], memory_order_relaxed) >> bit % 64 & 1;
}

// The lengths that occur, longest first.
struct lengths_left {
	uint64_t of[2];
};

static inline struct lengths_left lengths_of(const struct address_lengths *have, enum address_kind kind)
{
	return (struct lengths_left){{atomic_load_explicit(&have->of[kind][0], memory_order_relaxed),
				      atomic_load_explicit(&have->of[kind][1], memory_order_relaxed)}};
}

// The next entry that may hold a: its prefix and length. False: there is no further one.
static inline bool next_entry(const struct address_list *l, enum address_kind kind, struct addr a,
			      struct lengths_left *left, struct addr *prefix, unsigned *len)
{
	uint64_t mask = atomic_load_explicit(&l->head->filter_mask, memory_order_relaxed);

	for (unsigned half = 2; half-- > 0;)
		while (left->of[half]) {
			unsigned top = 63 - (unsigned)__builtin_clzll(left->of[half]);

			left->of[half] &= ~(1ull << top);
			*len = half * 64 + top + 1;
			*prefix = address_prefix_of(a, *len);
			if (*len == 128 || filter_has(l, filter_bit(l, kind, *prefix, *len), mask))
				return true;
		}
	return false;
}

static inline bool lasts(union address_cell seen, uint64_t now_ms)
{
	return META_UNTIL(seen.meta) == 0 || META_UNTIL(seen.meta) > now_ms;
}

static inline union address_cell *holds(const struct address_list *l, enum address_kind kind, struct addr a,
					struct lengths_left *left, uint64_t now_ms)
{
	union address_cell seen, *at;
	struct addr prefix;
	unsigned len;

	while (next_entry(l, kind, a, left, &prefix, &len)) {
		at = find(l, id_of(l, kind, prefix, len), &seen);
		if (at && lasts(seen, now_ms))
			return at;
	}
	return NULL;
}

static inline bool allowed(const struct address_list *l, struct addr a, const struct address_lengths *have,
			   uint64_t now_ms)
{
	struct lengths_left left = lengths_of(have, ADDRESS_ALLOW);

	return (left.of[0] | left.of[1]) && holds(l, ADDRESS_ALLOW, a, &left, now_ms);
}

// Where a hit is counted; NULL: this one is not.
static inline _Atomic uint32_t *sample(const struct address_list *l, const union address_cell *at)
{
	static _Thread_local unsigned sampled;

	return ++sampled % SAMPLE == 0 ? &l->hits[index_of(l, at)] : NULL;
}

static inline void count_hits(_Atomic uint32_t *hits)
{
	if (hits)
		atomic_fetch_add_explicit(hits, SAMPLE, memory_order_relaxed);
}

bool address_list_denied(const struct address_list *l, struct addr a, uint64_t now)
{
	const struct address_lengths *have = &l->lengths[slot_of(a)];
	struct lengths_left left = lengths_of(have, ADDRESS_DENY);
	union address_cell *at = holds(l, ADDRESS_DENY, a, &left, now / MS);

	if (!at || allowed(l, a, have, now / MS))
		return false;
	count_hits(sample(l, at));
	return true;
}

// What may deny an address, as far as it was looked up.
struct probe {
	const struct address_lengths *have;
	uint64_t id[AHEAD];
	unsigned n;
	struct lengths_left left; // what else there is
};

static inline void probe_make(const struct address_list *l, struct addr a, struct probe *p)
{
	const uint64_t host = 1ull << 63;
	struct addr prefix;
	unsigned len;

	p->n = 0;
	p->left = lengths_of(p->have, ADDRESS_DENY);
	if (p->left.of[1] & host) {
		p->left.of[1] &= ~host;
		p->id[p->n++] = id_of(l, ADDRESS_DENY, a, 128);
	}
	while (p->n < AHEAD && (p->left.of[0] | p->left.of[1]) &&
	       next_entry(l, ADDRESS_DENY, a, &p->left, &prefix, &len))
		p->id[p->n++] = id_of(l, ADDRESS_DENY, prefix, len);
}

static inline union address_cell *probe_holds(const struct address_list *l, struct addr a, struct probe *p,
					      uint64_t now_ms)
{
	union address_cell seen, *at;

	for (unsigned k = 0; k < p->n; k++) {
		at = find(l, p->id[k], &seen);
		if (at && lasts(seen, now_ms))
			return at;
	}
	return p->left.of[0] | p->left.of[1] ? holds(l, ADDRESS_DENY, a, &p->left, now_ms) : NULL;
}

// All hashes, then all prefetches one right after the other, then all lines: with a hash between two prefetches
// a processor has few of them under way.
uint64_t address_list_denied_burst(const struct address_list *l, const struct addr *v, unsigned n, uint64_t now)
{
	struct probe probe[ADDRESS_LIST_BURST];
	_Atomic uint32_t *hits = NULL; // counted when its line has come
	uint64_t denied = 0, ms = now / MS;

	for (unsigned i = 0; i < n; i++) {
		probe[i].have = &l->lengths[slot_of(v[i])];
		__builtin_prefetch(probe[i].have);
	}
	for (unsigned i = 0; i < n; i++)
		probe_make(l, v[i], &probe[i]);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < probe[i].n; k++)
			__builtin_prefetch(&l->line[home(l, probe[i].id[k])]);
	for (unsigned i = 0; i < n; i++) {
		const union address_cell *at = probe_holds(l, v[i], &probe[i], ms);
		_Atomic uint32_t *sampled;

		if (!at || allowed(l, v[i], probe[i].have, ms))
			continue;
		denied |= 1ull << i;
		sampled = sample(l, at);
		if (!sampled)
			continue;
		__builtin_prefetch(sampled, 1);
		count_hits(hits);
		hits = sampled;
	}
	count_hits(hits);
	return denied;
}

// Before an entry is there: who looks for it must not be told that it cannot be.
static void filter_put(const struct address_list *l, _Atomic uint64_t *filter, uint64_t mask,
		       enum address_kind kind, struct addr prefix, unsigned len)
{
	uint64_t bit = filter_bit(l, kind, prefix, len) & mask;

	if (len < 128)
		atomic_fetch_or_explicit(&filter[bit / 64], 1ull << bit % 64, memory_order_relaxed);
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
	filter_put(l, l->filter, l->head->filter_mask, kind, prefix, len);
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

// As large as so many prefixes need.
static uint64_t filter_mask_for(const struct address_list *l, uint64_t prefixes)
{
	uint64_t bits = FILTER_MIN * 8, most = filter_bytes(l->head->size) * 8;

	while (bits < most && bits < prefixes * FILTER_SPARSE)
		bits *= 2;
	return bits - 1;
}

// Makes the filter of what there is. Where its size changes, bits of both sizes stay until the next sweep: a
// worker may still go by the one before.
static void filter_sweep(struct address_list *l, uint64_t prefixes)
{
	uint64_t before = l->head->filter_mask, mask = filter_mask_for(l, prefixes), words = (mask + 1) / 64;
	static _Atomic uint64_t *fresh; // one thread writes lists
	static uint64_t room;

	if (room < words) {
		_Atomic uint64_t *more = realloc(fresh, words * sizeof(*fresh));

		if (!more)
			return; // more of the entries that are not there will be looked for
		fresh = more;
		room = words;
	}
	memset((void *)fresh, 0, words * sizeof(*fresh));
	for (uint64_t i = 0; i < l->lines * WAYS; i++) {
		union address_cell c = l->line[i / WAYS].cell[i % WAYS];

		if (c.id > USED)
			filter_put(l, fresh, mask, META_KIND(c.meta), l->addr[i], META_LEN(c.meta));
	}
	for (uint64_t i = 0; i < words; i++)
		if (mask == before)
			atomic_store_explicit(&l->filter[i], fresh[i], memory_order_relaxed);
		else
			atomic_fetch_or_explicit(&l->filter[i], fresh[i], memory_order_relaxed);
	atomic_store_explicit(&l->head->filter_mask, mask, memory_order_release);
}

void address_list_sweep(struct address_list *l, uint64_t now)
{
	static struct address_lengths fresh[2 * ADDRESS_LIST_SLOTS]; // one thread writes lists
	uint64_t ms = now / MS, prefixes = 0;

	memset(fresh, 0, sizeof(fresh));
	for (uint64_t i = 0; i < l->lines * WAYS; i++) {
		union address_cell *at = &l->line[i / WAYS].cell[i % WAYS];

		if (at->id <= USED)
			continue;
		if (META_UNTIL(at->meta) && META_UNTIL(at->meta) <= ms) {
			cell_free(l, i);
			continue;
		}
		lengths_put(fresh, META_KIND(at->meta), l->addr[i], META_LEN(at->meta));
		prefixes += META_LEN(at->meta) < 128;
	}
	for (unsigned i = 0; i < 2 * ADDRESS_LIST_SLOTS; i++)
		for (unsigned k = 0; k < ADDRESS_KINDS * 2; k++)
			atomic_store_explicit(&l->lengths[i].of[k / 2][k % 2], fresh[i].of[k / 2][k % 2],
					      memory_order_relaxed);
	filter_sweep(l, prefixes);
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
