// Encoders for content codings (RFC 9110 8.4.1): gzip by zlib, br by libbrotlienc. This is the only door to
// both.
//
// Memory: a pool of one worker, laid down at start; each encoder has a heap of its own in it, from which its
// library takes all that it wants, and which is forgotten when the encoder ends. Nothing else is allocated.
//
// Time: an encoder works in turns. In one it takes a part of a body, or does one other thing of that size: less
// than 50 us of a worker. What is written in one go is a block (br can hand out no smaller pieces than whole
// meta-blocks, so each has one), and how much of a body may be in one follows from how long the last ones took.
// So compression that is better but slower is not on offer.
#pragma once
#include "base/arena.h"
#include "policy/compress/conf.h"

struct encoders;
struct encoder;

// Bytes that n of them take of an arena.
size_t encoders_memory(uint32_t n);
// For one worker. NULL: the arena is used up. n = 0: a pool that has none.
struct encoders *encoders_create(struct arena *a, uint32_t n);
// Backs all of it with memory, so that no turn meets a page for the first time. Before the first is taken, and
// not by a worker: it takes milliseconds.
void encoders_touch(struct encoders *pool);
// Where time is real: a clock in ns, by which it sees how long turns take. Without one blocks are as long as on
// a host that is fast enough, and the same each time.
typedef uint64_t encoders_clock_fn(const void *of);
void encoders_clock(struct encoders *pool, encoders_clock_fn *clock, const void *of);
uint32_t encoders_free(const struct encoders *pool);

// NULL: none is free. It does nothing yet.
struct encoder *encoder_take(struct encoders *pool, enum coding coding, unsigned level);
void encoder_give(struct encoders *pool, struct encoder *e);

enum encode_op {
	ENCODE_MORE,   // the input, of which more will come
	ENCODE_FLUSH,  // the same, and whoever reads the output sees all that came so far
	ENCODE_FINISH, // the same, and the end; said again until that is written
};
enum encoded {
	ENCODED_ALL,   // all is taken, and what the operation asks for is written
	ENCODED_FULL,  // there is no room left in the output
	ENCODED_SPENT, // the turn is over
	ENCODED_FAILED,
};
// A turn begins.
void encoder_turn(struct encoder *e);
// Takes *n bytes at most from in, and says how many it took; writes *room bytes at most to out, and says how
// many it wrote. A flush or an end that was begun is gone on with until it is ENCODED_ALL, before other input
// comes.
enum encoded encoder_run(struct encoder *e, enum encode_op op, const char *in, size_t *n, char *out,
			 size_t *room);

// For tests: bytes of its heap in use at most, and the size of that.
uint32_t encoder_peak(const struct encoder *e);
uint32_t encoder_heap(void);
