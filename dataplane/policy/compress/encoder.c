#include "policy/compress/encoder.h"
#include "base/slab.h"
#include "policy/compress/heap.h"
#include <brotli/encode.h>
#include <zlib.h>

// What an encoder wants at most: br 450 KiB, whatever the body (test_encoder.c); gzip 150.
#define HEAP        (512u << 10)
#define GZIP_WINDOW (15 + 16) // 32 KiB; and a gzip header
#define BR_WINDOW   16
#define ROOM_LEAST  16u  // bytes of output that zlib needs for not saying twice that it flushes
#define AHEAD       262u // bytes of input that zlib keeps back, to find matches in, until its block is ended
// Writing a block costs what its trees cost: with so many different bytes in it twice as much as with text.
#define MANY_VALUES 112u

// The library's own quality, and bytes of a body at most: in a turn, and in a block, which is written in one
// turn. Fewer where that takes too long: perf/micro/compress shows what it takes.
enum { FEW, MANY, KINDS }; // different bytes in it
static const struct {
	uint8_t quality;
	uint8_t memory; // gzip: 2 to the power of this, and 6, are the symbols of a block, beyond which the
			// library ends it by itself
	uint16_t slice;
	uint16_t block[KINDS];
} level_of[CODINGS][COMPRESS_LEVELS + 1] = {
	[CODING_GZIP] = {{0},
			 {1, 4, 512, {8192, 320}},
			 {2, 4, 448, {8192, 320}},
			 {4, 4, 256, {8192, 320}},
			 {5, 4, 192, {8192, 320}}},
	[CODING_BR] = {{0},
		       {2, 0, 2048, {2048, 1152}},
		       {2, 0, 2816, {2816, 1152}},
		       {3, 0, 1920, {1920, 1152}},
		       {3, 0, 2048, {2048, 1152}}},
};

// ns of a turn that writes a block: after a longer one blocks become shorter, after one that would have been
// shorter with all that a block may have they grow again, slowly. Between these and the 50 us that a turn may
// take is room for what comes next to be harder than what came before, and for the host to become slower.
#define TURN_LONG   34000u
#define TURN_AIM    29000u
#define TURN_SHORT  27000u
#define BLOCK_LEAST 96u
#define BLOCK_BEGIN                                                                                            \
	640u // bytes, before anything is known of the host: or five parts of eight of what it may have
#define GROWTH      16u
#define COLD_BLOCKS 2u

// How long zlib searches for matches: its own numbers for the qualities above, and less.
struct effort {
	uint16_t good, lazy, nice, chain;
};
static const struct effort effort_of[COMPRESS_LEVELS + 1] = {
	{0}, {4, 4, 8, 4}, {4, 5, 16, 8}, {4, 4, 16, 16}, {8, 16, 32, 32}};
static const struct effort little = {4, 4, 8, 4};

struct encoder {
	struct heap heap;
	uint8_t coding, level;
	bool ready;     // its library has begun
	bool begun;     // gzip: its header is written
	uint8_t cold;   // blocks that are half as long, as nothing of it is in the caches yet
	uint8_t open;   // enum encode_op: what was begun, and is not all written; ENCODE_MORE: nothing
	uint32_t share; // bytes that this turn may still take
	uint32_t held;  // bytes of the block that is open
	uint64_t began; // when this turn did, ns
	struct encoders *pool;
	uint8_t seen[256]; // by its value: whether such a byte came since then
	z_stream z;
	BrotliEncoderState *br;
};

struct encoders {
	struct slab slab;
	char *heaps;              // one for each, by its index
	encoders_clock_fn *clock; // NULL: nobody measures
	const void *clock_of;
	// Bytes of a block at most, now: for all bodies, as it is the host that is slow, and what the next one
	// is like nobody knows.
	uint16_t block[CODINGS][COMPRESS_LEVELS + 1][KINDS];
};

size_t encoders_memory(uint32_t n)
{
	return sizeof(struct encoders) + (size_t)n * (sizeof(struct encoder) + 64 + HEAP) + 8192;
}

struct encoders *encoders_create(struct arena *a, uint32_t n)
{
	struct encoders *pool = arena_alloc(a, sizeof(*pool), 64);

	if (!pool)
		return NULL;
	for (unsigned c = 0; c < CODINGS; c++)
		for (unsigned level = 0; level <= COMPRESS_LEVELS; level++)
			for (unsigned k = 0; k < KINDS; k++)
				pool->block[c][level][k] = level_of[c][level].block[k];
	if (n == 0)
		return pool;
	if (slab_init(&pool->slab, a, n, sizeof(struct encoder), 64))
		return NULL;
	pool->heaps = arena_alloc(a, (size_t)n * HEAP, 4096);
	return pool->heaps ? pool : NULL;
}

void encoders_clock(struct encoders *pool, encoders_clock_fn *clock, const void *of)
{
	pool->clock = clock;
	pool->clock_of = of;
	for (unsigned c = CODING_GZIP; c < CODINGS; c++)
		for (unsigned level = 1; level <= COMPRESS_LEVELS; level++)
			for (unsigned k = 0; k < KINDS; k++) {
				unsigned most = level_of[c][level].block[k] * 5u / 8;

				pool->block[c][level][k] = (uint16_t)(most < BLOCK_BEGIN ? most : BLOCK_BEGIN);
			}
}

void encoders_touch(struct encoders *pool)
{
	size_t n = (size_t)pool->slab.capacity * HEAP;

	for (size_t i = 0; i < n; i += 4096)
		*(volatile char *)(pool->heaps + i) = 0;
}

uint32_t encoders_free(const struct encoders *pool)
{
	return pool->slab.capacity - pool->slab.used;
}

struct encoder *encoder_take(struct encoders *pool, enum coding coding, unsigned level)
{
	struct encoder *e = pool->slab.used < pool->slab.capacity ? slab_get(&pool->slab) : NULL;

	if (!e)
		return NULL;
	*e = (struct encoder){
		.coding = (uint8_t)coding, .level = (uint8_t)level, .cold = COLD_BLOCKS, .pool = pool};
	heap_init(&e->heap, pool->heaps + (size_t)slab_index(&pool->slab, e) * HEAP, HEAP);
	return e;
}

void encoder_give(struct encoders *pool, struct encoder *e)
{
	slab_put(&pool->slab, e);
}

static void *take_for_br(void *heap, size_t n)
{
	return heap_take(heap, n);
}

static void give_from_br(void *heap, void *p)
{
	heap_give(heap, p);
}

static void *take_for_z(void *heap, unsigned n, unsigned size)
{
	return heap_take(heap, (size_t)n * size);
}

static void give_from_z(void *heap, void *p)
{
	heap_give(heap, p);
}

static bool begin_gzip(struct encoder *e)
{
	e->z.zalloc = take_for_z;
	e->z.zfree = give_from_z;
	e->z.opaque = &e->heap;
	return deflateInit2(&e->z, level_of[CODING_GZIP][e->level].quality, Z_DEFLATED, GZIP_WINDOW,
			    level_of[CODING_GZIP][e->level].memory, Z_DEFAULT_STRATEGY) == Z_OK;
}

// A flush of nothing has it clear its tables, too.
static bool begin_br(struct encoder *e)
{
	const uint8_t *in = NULL;
	size_t n = 0, room = 0;

	e->br = BrotliEncoderCreateInstance(take_for_br, give_from_br, &e->heap);
	e->open = ENCODE_FLUSH;
	return e->br &&
	       BrotliEncoderSetParameter(e->br, BROTLI_PARAM_QUALITY, level_of[CODING_BR][e->level].quality) &&
	       BrotliEncoderSetParameter(e->br, BROTLI_PARAM_LGWIN, BR_WINDOW) &&
	       BrotliEncoderCompressStream(e->br, BROTLI_OPERATION_FLUSH, &n, &in, &room, NULL, NULL);
}

// One call of deflate(): what it left of the input and of the room. False: it failed.
static bool deflate_some(struct encoder *e, int flush, const char *in, size_t *n, char *out, size_t *room,
			 int *err)
{
	e->z.next_in = (Bytef *)(uintptr_t)in;
	e->z.avail_in = (uInt)*n;
	e->z.next_out = (Bytef *)out;
	e->z.avail_out = (uInt)*room;
	*err = deflate(&e->z, flush);
	*n = e->z.avail_in;
	*room = e->z.avail_out;
	return *err == Z_OK || *err == Z_STREAM_END || *err == Z_BUF_ERROR; // the last: there was nothing to do
}

static bool many_values(const struct encoder *e)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 256; i++)
		n += e->seen[i];
	return n >= MANY_VALUES;
}

static uint32_t block_most(const struct encoder *e)
{
	uint32_t most = e->pool->block[e->coding][e->level][many_values(e) ? MANY : FEW];

	return e->cold && e->pool->clock ? most / 2 : most;
}

// A block of `bytes`, which is of this kind now, was written.
static void pace(struct encoder *e, unsigned kind, uint32_t bytes)
{
	uint16_t *most = e->pool->block[e->coding][e->level];
	const uint16_t *cap = level_of[e->coding][e->level].block;
	uint64_t took, fit;

	if (!e->pool->clock || bytes == 0)
		return;
	if (e->cold)
		e->cold--;
	took = e->pool->clock(e->pool->clock_of) - e->began;
	if (took > TURN_LONG) {
		if (kind == MANY && bytes > most[MANY])
			kind = FEW; // which it was when it became so long
		fit = bytes * (uint64_t)TURN_AIM / took;
		fit = fit > most[kind] / 2u ? fit : most[kind] / 2u; // the host may have been elsewhere
		fit = fit > BLOCK_LEAST ? fit : BLOCK_LEAST;
		if (fit < most[kind])
			most[kind] = (uint16_t)fit;
	} else if (most[kind] < cap[kind] && took * most[kind] < (uint64_t)TURN_SHORT * bytes) {
		fit = most[kind] + most[kind] / GROWTH;
		most[kind] = (uint16_t)(fit < cap[kind] ? fit : cap[kind]);
	}
}

static void values_note(struct encoder *e, const char *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		e->seen[(unsigned char)in[i]] = 1;
}

// ahead: bytes of it that zlib has already.
static void block_begin(struct encoder *e, uint32_t ahead)
{
	e->held = ahead;
	memset(e->seen, 0, sizeof(e->seen));
}

static void search(struct encoder *e, const struct effort *f)
{
	deflateTune(&e->z, f->good, f->lazy, f->nice, f->chain);
}

// Ends the block. Among many different bytes there is little to find in what zlib has kept back: little is
// searched, as the block is to be written in the same turn.
static bool block_end(struct encoder *e, int flush, char *out, size_t *room, int *err)
{
	bool many = many_values(e), ok;
	size_t none = 0;

	if (many)
		search(e, &little);
	ok = deflate_some(e, flush, NULL, &none, out, room, err);
	if (many)
		search(e, &effort_of[e->level]);
	pace(e, many ? MANY : FEW, e->held);
	block_begin(e, 0);
	return ok;
}

static enum encoded run_gzip(struct encoder *e, enum encode_op op, const char *in, size_t *n, char *out,
			     size_t *room)
{
	size_t given = *n, has = *room, left = has, rest = given < e->share ? given : e->share;
	enum encode_op now = e->open ? (enum encode_op)e->open : op;
	uint32_t most;
	int err;

	*n = *room = 0;
	if (has < ROOM_LEAST)
		return ENCODED_FULL;
	if (!e->open) {
		if (e->share == 0)
			return ENCODED_SPENT;
		values_note(e, in, rest);
		most = block_most(e);
		if (e->held + rest > most) {
			if (e->held >= most) {
				e->share = 0;
				if (!block_end(e, Z_BLOCK, out, &left, &err))
					return ENCODED_FAILED;
				*room = has - left;
				return left < ROOM_LEAST ? ENCODED_FULL : ENCODED_SPENT;
			}
			rest = most - e->held;
		}
		*n = rest;
		if (rest && !deflate_some(e, Z_NO_FLUSH, in, &rest, out, &left, &err))
			return ENCODED_FAILED;
		*n -= rest;
		*room = has - left;
		if (*room && e->begun) { // it has ended a block by itself
			pace(e, many_values(e) ? MANY : FEW,
			     e->held + (uint32_t)*n > AHEAD ? e->held + (uint32_t)*n - AHEAD : 0);
			block_begin(e, AHEAD);
		}
		e->begun = true;
		e->held += (uint32_t)*n;
		e->share -= (uint32_t)*n;
		if (rest || left < ROOM_LEAST)
			return ENCODED_FULL;
		// The end writes a block, as this may have done: not both in one turn where it was much.
		if (*n < given || (op != ENCODE_MORE && *n > level_of[CODING_GZIP][e->level].slice / 4))
			return ENCODED_SPENT;
		if (op == ENCODE_MORE)
			return ENCODED_ALL;
	}
	e->share = 0;
	if (!block_end(e, now == ENCODE_FINISH ? Z_FINISH : Z_SYNC_FLUSH, out + *room, &left, &err))
		return ENCODED_FAILED;
	*room = has - left;
	e->open = now == ENCODE_FINISH ? err != Z_STREAM_END : left == 0;
	e->open = e->open ? (uint8_t)now : ENCODE_MORE;
	return e->open ? ENCODED_FULL : *n == given && now == op ? ENCODED_ALL : ENCODED_SPENT;
}

static enum encoded run_br(struct encoder *e, enum encode_op op, const char *in, size_t *n, char *out,
			   size_t *room)
{
	static const BrotliEncoderOperation operation_of[] = {[ENCODE_MORE] = BROTLI_OPERATION_PROCESS,
							      [ENCODE_FLUSH] = BROTLI_OPERATION_FLUSH,
							      [ENCODE_FINISH] = BROTLI_OPERATION_FINISH};
	size_t given = *n, has = *room, left, take = 0;
	uint32_t most = block_most(e);
	enum encode_op now = (enum encode_op)e->open;
	const uint8_t *from = (const uint8_t *)in;
	uint8_t *to = (uint8_t *)out;

	*n = *room = 0;
	if (now == ENCODE_MORE) {
		if (e->share == 0)
			return ENCODED_SPENT;
		left = e->held < most ? most - e->held : 0;
		take = given < left ? given : left;
		values_note(e, in, take);
		most = block_most(e);
		left = e->held < most ? most - e->held : 0;
		take = take < left ? take : left;
		if (take == given)
			now = op;
		if (now == ENCODE_FLUSH && e->held + take == 0)
			return ENCODED_ALL;
		if (now == ENCODE_MORE && e->held + take >= most)
			now = ENCODE_FLUSH;
	}
	*n = take;
	*room = has;
	if (!BrotliEncoderCompressStream(e->br, operation_of[now], &take, &from, &has, &to, NULL) || take)
		return ENCODED_FAILED;
	*room -= has;
	e->held += (uint32_t)*n;
	e->share -= (uint32_t)*n;
	if (now == ENCODE_MORE)
		return *n == given ? ENCODED_ALL : ENCODED_SPENT;
	e->share = 0;
	pace(e, many_values(e) ? MANY : FEW, e->held);
	block_begin(e, 0);
	e->open = (uint8_t)now;
	if (now == ENCODE_FINISH ? !BrotliEncoderIsFinished(e->br) : BrotliEncoderHasMoreOutput(e->br))
		return ENCODED_FULL;
	e->open = ENCODE_MORE;
	return *n == given && (now == op || op == ENCODE_MORE) ? ENCODED_ALL : ENCODED_SPENT;
}

void encoder_turn(struct encoder *e)
{
	e->share = level_of[e->coding][e->level].slice;
	if (e->pool->clock)
		e->began = e->pool->clock(e->pool->clock_of);
}

enum encoded encoder_run(struct encoder *e, enum encode_op op, const char *in, size_t *n, char *out,
			 size_t *room)
{
	if (!e->ready) {
		*n = *room = 0;
		e->ready = true;
		return (e->coding == CODING_GZIP ? begin_gzip(e) : begin_br(e)) ? ENCODED_SPENT
										: ENCODED_FAILED;
	}
	return e->coding == CODING_GZIP ? run_gzip(e, op, in, n, out, room) : run_br(e, op, in, n, out, room);
}

uint32_t encoder_peak(const struct encoder *e)
{
	return e->heap.peak;
}

uint32_t encoder_heap(void)
{
	return HEAP;
}
