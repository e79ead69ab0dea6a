// Encoders of the compress stage: what they make is what went in, in turns, from memory that never grows.
#include "base/random.h"
#include "policy/compress/encoder.h"
#include "policy/compress/heap.h"
#include <brotli/decode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#define BODY (400u << 10)

static struct arena arena;
static char body[BODY], packed[2 * BODY + 65536], unpacked[BODY + 1];

// What is asked of the general heap, by whomever. Under AddressSanitizer that is its own.
static unsigned long asked;
#if !defined(__SANITIZE_ADDRESS__)
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
void *malloc(size_t n)
{
	asked++;
	return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
	asked++;
	return __libc_calloc(n, size);
}
#endif

static int make_arena(void **state)
{
	(void)state;
	return arena_init(&arena, encoders_memory(3) + 4096);
}

static int drop_arena(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

enum kind { WORDS, ZEROES, NOISE, PAIRS, DISTANT, KINDS };

static void fill(enum kind kind, uint64_t seed)
{
	static const char *const words[] = {"alpha",   "beta ", "\"id\": ", "{",   "}, ",
					    "gamma\n", "<p>",   "</p>",     "1.5", "x"};
	struct random r;

	random_seed(&r, seed);
	for (uint32_t i = 0; i < BODY;) {
		switch (kind) {
		case WORDS: {
			const char *w = words[random_below(&r, 10)];

			for (; *w && i < BODY; w++)
				body[i++] = *w;
			break;
		}
		case ZEROES:
			body[i++] = 0;
			break;
		case NOISE:
			body[i++] = (char)random_below(&r, 256);
			break;
		case PAIRS:
			body[i++] = "ab"[random_below(&r, 2)];
			break;
		default: // matches that lie far back, some bytes each
			body[i] = i < 60000 ? (char)random_below(&r, 256)
					    : body[i - 59990 + random_below(&r, 16)];
			i++;
		}
	}
}

// Takes n bytes of the body in pieces, the output in rooms, with flushes in between. Returns bytes of output,
// and the number of turns.
static size_t encode(struct encoder *e, size_t n, struct random *r, uint32_t piece_max, uint32_t room_max,
		     uint32_t flush_each, unsigned *turns)
{
	size_t at = 0, out = 0;
	enum encoded result = ENCODED_SPENT;

	*turns = 0;
	while (at < n || result != ENCODED_ALL) {
		size_t piece = 1 + random_below(r, piece_max);
		enum encode_op op;

		piece = piece < n - at ? piece : n - at;
		op = at + piece == n                    ? ENCODE_FINISH
		     : random_below(r, flush_each) == 0 ? ENCODE_FLUSH
							: ENCODE_MORE;
		result = ENCODED_SPENT;
		while (result != ENCODED_ALL) {
			size_t took = piece, room = 16 + random_below(r, room_max);

			if (result == ENCODED_SPENT) {
				encoder_turn(e);
				++*turns;
			}
			assert_true(out + room <= sizeof(packed));
			result = encoder_run(e, op, body + at, &took, packed + out, &room);
			assert_int_not_equal(result, ENCODED_FAILED);
			assert_true(took <= piece);
			at += took;
			piece -= took;
			out += room;
		}
		assert_int_equal(piece, 0);
	}
	return out;
}

// Bytes that a decoder makes of n bytes; the end must be the end.
static size_t decode(enum coding coding, size_t n, bool whole)
{
	if (coding == CODING_GZIP) {
		z_stream z = {.next_in = (Bytef *)packed,
			      .avail_in = (uInt)n,
			      .next_out = (Bytef *)unpacked,
			      .avail_out = sizeof(unpacked)};
		int err;

		assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
		err = inflate(&z, Z_SYNC_FLUSH);
		assert_int_equal(err, whole ? Z_STREAM_END : Z_OK);
		assert_int_equal(z.avail_in, 0);
		inflateEnd(&z);
		return z.total_out;
	}
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	const uint8_t *in = (const uint8_t *)packed;
	uint8_t *out = (uint8_t *)unpacked;
	size_t room = sizeof(unpacked), total;
	BrotliDecoderResult result = BrotliDecoderDecompressStream(s, &n, &in, &room, &out, &total);

	assert_int_equal(result,
			 whole ? BROTLI_DECODER_RESULT_SUCCESS : BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT);
	assert_int_equal(n, 0);
	BrotliDecoderDestroyInstance(s);
	return sizeof(unpacked) - room;
}

static void what_comes_out_decodes_to_what_went_in_whatever_the_pieces(void **state)
{
	static const struct {
		uint32_t piece, room, flush_each;
	} cut[] = {{1448, 1500, 1000000},
		   {1, 2048, 1000000},
		   {1448, 1, 1000000},
		   {100, 50, 3},
		   {65536, 65536, 20}};
	struct encoders *pool = encoders_create(&arena, 1);
	uint32_t peak = 0;

	(void)state;
	for (enum coding c = CODING_GZIP; c < CODINGS; c++)
		for (unsigned level = 1; level <= COMPRESS_LEVELS; level++)
			for (enum kind k = 0; k < KINDS; k++)
				for (unsigned i = 0; i < 5; i++) {
					size_t n = i == 1 || i == 2 ? 20000 : i == 3 ? 60001 : BODY, out;
					struct encoder *e = encoder_take(pool, c, level);
					struct random r;
					unsigned turns;

					if (i && level == 2)
						n = i; // small ones
					fill(k, i + 7);
					random_seed(&r, i);
					out = encode(e, n, &r, cut[i].piece, cut[i].room, cut[i].flush_each,
						     &turns);
					assert_int_equal(decode(c, out, true), n);
					assert_memory_equal(body, unpacked, n);
					peak = encoder_peak(e) > peak ? encoder_peak(e) : peak;
					encoder_give(pool, e);
				}
	print_message("peak of a heap: %u of %u KiB\n", peak >> 10, encoder_heap() >> 10);
	// brotli ends the process where its heap is used up.
	assert_true(peak < encoder_heap() / 100 * 92);
}

static void nothing_is_asked_of_the_general_heap(void **state)
{
	struct encoders *pool = encoders_create(&arena, 1);
	unsigned long before;
	struct random r;
	unsigned turns;

	(void)state;
	random_seed(&r, 3);
	fill(WORDS, 3);
	before = asked;
	for (enum coding c = CODING_GZIP; c < CODINGS; c++)
		for (unsigned level = 1; level <= COMPRESS_LEVELS; level++) {
			struct encoder *e = encoder_take(pool, c, level);

			encode(e, BODY, &r, 1448, 2048, 50, &turns);
			encoder_give(pool, e);
		}
	assert_int_equal(asked, before);
#if !defined(__SANITIZE_ADDRESS__)
	void *volatile p = malloc(16); // which would have been seen
	free(p);
	assert_true(asked > before);
#endif
}

static void a_flush_shows_all_that_came_so_far(void **state)
{
	struct encoders *pool = encoders_create(&arena, 1);

	(void)state;
	fill(WORDS, 9);
	for (enum coding c = CODING_GZIP; c < CODINGS; c++) {
		struct encoder *e = encoder_take(pool, c, 3);
		size_t out = 0;

		for (size_t at = 0; at < 3000; at += 10) {
			enum encoded result = ENCODED_SPENT;
			size_t left = 10;

			while (result != ENCODED_ALL) {
				size_t took = left, room = 500;

				encoder_turn(e);
				result = encoder_run(e, ENCODE_FLUSH, body + at + 10 - left, &took,
						     packed + out, &room);
				left -= took;
				out += room;
			}
			assert_int_equal(decode(c, out, false), at + 10);
		}
		encoder_give(pool, e);
	}
}

static void a_turn_takes_no_more_than_its_slice(void **state)
{
	struct encoders *pool = encoders_create(&arena, 1);

	(void)state;
	fill(WORDS, 1);
	for (enum coding c = CODING_GZIP; c < CODINGS; c++)
		for (unsigned level = 1; level <= COMPRESS_LEVELS; level++) {
			struct encoder *e = encoder_take(pool, c, level);

			for (unsigned turn = 0; turn < 50; turn++) {
				size_t sum = 0;
				enum encoded result = ENCODED_ALL;

				encoder_turn(e);
				while (result != ENCODED_SPENT) {
					size_t took = 300, room = sizeof(packed);

					result = encoder_run(e, ENCODE_MORE, body, &took, packed, &room);
					sum += took;
				}
				assert_true(sum <= 3072);
			}
			encoder_give(pool, e);
		}
}

// Trees for 256 different bytes take twice what those of text do: such blocks are short, and one is written in
// a turn at most. Of noise a block is written as it is, so its length shows.
static void blocks_of_many_different_bytes_are_short(void **state)
{
	struct encoders *pool = encoders_create(&arena, 3);
	unsigned level;

	(void)state;
	fill(NOISE, 1);
	for (level = 1; level <= COMPRESS_LEVELS; level++) {
		for (size_t n = 20000; n < 21300; n += 13) { // the end anywhere in a block
			struct encoder *e = encoder_take(pool, CODING_GZIP, level);
			enum encoded result = ENCODED_SPENT;
			size_t at = 0, out = 0, of_turn = 0;

			while (at < n || result != ENCODED_ALL) {
				size_t took = n - at, room = sizeof(packed) - out;

				if (result == ENCODED_SPENT) {
					encoder_turn(e);
					of_turn = 0;
				}
				result = encoder_run(e, ENCODE_FINISH, body + at, &took, packed + out, &room);
				assert_int_not_equal(result, ENCODED_FAILED);
				at += took;
				out += room;
				of_turn += room;
				assert_in_range(of_turn, 0, 448 + 32);
			}
			assert_int_equal(decode(CODING_GZIP, out, true), n);
			assert_memory_equal(unpacked, body, n);
			encoder_give(pool, e);
		}
	}
}

static uint64_t clock_now, clock_step;

static uint64_t clock_read(const void *of)
{
	(void)of;
	return clock_now += clock_step;
}

// So that no turn is longer than it may be, however slow the host is just now.
static void blocks_are_shorter_while_writing_one_takes_long_and_grow_again(void **state)
{
	struct encoders *pool = encoders_create(&arena, 1);

	(void)state;
	encoders_clock(pool, clock_read, NULL);
	for (enum coding c = CODING_GZIP; c < CODINGS; c++)
		for (unsigned level = 1; level <= COMPRESS_LEVELS; level++)
			for (enum kind k = WORDS; k <= NOISE; k += NOISE - WORDS) {
				unsigned turns[3];

				fill(k, 5);
				for (unsigned i = 0; i < 3; i++) {
					struct encoder *e = encoder_take(pool, c, level);
					struct random r;
					size_t n = 100000, out;

					clock_step = i == 1 ? 60000 : 5000; // ns of each turn
					random_seed(&r, 1);
					out = encode(e, n, &r, 1448, 2048, 1000000, &turns[i]);
					assert_int_equal(decode(c, out, true), n);
					assert_memory_equal(body, unpacked, n);
					encoder_give(pool, e);
				}
				assert_true(turns[1] > turns[0] * (c == CODING_BR ? 4 : 2));
				assert_true(turns[2] < turns[1] / (c == CODING_BR ? 4 : 2) * 1.5);
			}
}

static void a_pool_has_as_many_as_were_asked_for(void **state)
{
	struct encoders *pool = encoders_create(&arena, 2), *none;
	struct encoder *a, *b;

	(void)state;
	encoders_touch(pool);
	assert_int_equal(encoders_free(pool), 2);
	a = encoder_take(pool, CODING_GZIP, 1);
	b = encoder_take(pool, CODING_BR, 1);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(encoders_free(pool), 0);
	assert_null(encoder_take(pool, CODING_GZIP, 1));
	encoder_give(pool, a);
	assert_non_null(encoder_take(pool, CODING_GZIP, 1));
	none = encoders_create(&arena, 0);
	assert_non_null(none);
	assert_int_equal(encoders_free(none), 0);
	assert_null(encoder_take(none, CODING_GZIP, 1));
}

// Of what takes and gives have left, in any order, nothing overlaps and all comes back.
static void a_heap_gives_back_all_that_it_took(void **state)
{
	static _Alignas(16) char memory[65536];
	struct heap h;
	struct random r;
	char *at[64] = {NULL};
	size_t n[64];

	(void)state;
	random_seed(&r, 5);
	heap_init(&h, memory, sizeof(memory));
	for (unsigned i = 0; i < 20000; i++) {
		unsigned k = random_below(&r, 64);

		if (at[k]) {
			for (size_t b = 0; b < n[k]; b++)
				assert_int_equal(at[k][b], (char)k);
			heap_give(&h, at[k]);
			at[k] = NULL;
			continue;
		}
		n[k] = random_below(&r, 3000);
		at[k] = heap_take(&h, n[k]);
		if (at[k]) {
			assert_true(at[k] >= memory && at[k] + n[k] <= memory + sizeof(memory));
			assert_int_equal((uintptr_t)at[k] % 16, 0);
			memset(at[k], (int)k, n[k]);
		}
	}
	for (unsigned k = 0; k < 64; k++)
		heap_give(&h, at[k]);
	assert_int_equal(h.used, 0);
	assert_non_null(heap_take(&h, sizeof(memory) - 16));
	assert_null(heap_take(&h, 1));
	assert_null(heap_take(&h, SIZE_MAX));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_comes_out_decodes_to_what_went_in_whatever_the_pieces),
		TEST(nothing_is_asked_of_the_general_heap),
		TEST(a_flush_shows_all_that_came_so_far),
		TEST(a_turn_takes_no_more_than_its_slice),
		TEST(blocks_of_many_different_bytes_are_short),
		TEST(blocks_are_shorter_while_writing_one_takes_long_and_grow_again),
		TEST(a_pool_has_as_many_as_were_asked_for),
		TEST(a_heap_gives_back_all_that_it_took),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
