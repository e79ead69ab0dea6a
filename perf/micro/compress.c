// What a turn of an encoder takes (policy/compress/encoder.h): build/release/perf/micro/compress [FILE...]. For
// each coding and level and each kind of body: output to input, bytes a second, and the mean and the longest of
// its turns, each the least of 9 runs. The encoder looks at its clock in the first; in those behind it sees the
// same times again, and so takes the same turns. SLOW=1.5: as on a host that takes half as long again. One
// thread.
#include "base/random.h"
#include "policy/compress/encoder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#define BODY  (192u << 10)
#define RUNS  9
#define TURNS 8192
#define READS (4 * TURNS)

static char body[BODY], packed[2 * BODY];
static size_t body_n;
static double took[TURNS]; // us
static double slow = 1, cycles_us;
static uint64_t seen[READS]; // what the clock said, ns
static unsigned reads;
static bool again;

static uint64_t now_ns(const void *of)
{
	(void)of;
	if (reads == READS)
		abort();
	if (!again)
		seen[reads] = (uint64_t)((double)__rdtsc() * 1000 * slow / cycles_us);
	return seen[reads++];
}

static double cycles_in_us(void)
{
	struct timespec from, to;
	uint64_t begun = __rdtsc();
	int64_t ns = 0;

	clock_gettime(CLOCK_MONOTONIC, &from);
	while (ns < 50000000) {
		clock_gettime(CLOCK_MONOTONIC, &to);
		ns = (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec);
	}
	return (double)(__rdtsc() - begun) * 1000 / (double)ns;
}

static void put(const char *s)
{
	for (; *s && body_n < BODY; s++)
		body[body_n++] = *s;
}

static void fill_json(struct random *r)
{
	static const char *const names[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot"};
	char line[256];

	while (body_n < BODY) {
		snprintf(line, sizeof(line),
			 "{\"id\": %u, \"name\": \"%s%u\", \"price\": %u.%02u, \"tags\": [\"%s\", \"%s\"], "
			 "\"active\": %s},\n",
			 (unsigned)random_below(r, 100000), names[random_below(r, 6)],
			 (unsigned)random_below(r, 1000), (unsigned)random_below(r, 500),
			 (unsigned)random_below(r, 100), names[random_below(r, 6)], names[random_below(r, 6)],
			 random_below(r, 2) ? "true" : "false");
		put(line);
	}
}

static void fill_noise(struct random *r)
{
	while (body_n < BODY)
		body[body_n++] = (char)random_next(r);
}

// Nearly everything has been there before, and hardly anything goes on as it did: the worst for matching.
static void fill_pairs(struct random *r)
{
	while (body_n < BODY)
		body[body_n++] = "ab"[random_below(r, 2)];
}

static void fill_prefixes(struct random *r)
{
	while (body_n < BODY) {
		put("abc");
		if (body_n < BODY)
			body[body_n++] = (char)random_next(r);
	}
}

// Trees of all kinds as large as they get, and hardly a match that is worth it.
static void fill_mixed(struct random *r)
{
	while (body_n < BODY) {
		put("abc");
		for (unsigned i = 0; i < 2 && body_n < BODY; i++)
			body[body_n++] = (char)random_below(r, 150);
	}
}

static void fill_bytes(struct random *r)
{
	while (body_n < BODY)
		body[body_n++] = (char)random_below(r, 150);
}

// Text, and in its midst what is much more work.
static void fill_changing(struct random *r)
{
	fill_json(r);
	for (size_t at = 7000; at + 3000 < BODY; at += 10000)
		for (body_n = at; body_n < at + 3000;) {
			put("abc");
			for (unsigned i = 0; i < 2; i++)
				body[body_n++] = (char)random_below(r, 150);
		}
	body_n = BODY;
}

static void fill_100(struct random *r)
{
	while (body_n < BODY)
		body[body_n++] = (char)random_below(r, 100);
}

static size_t run(struct encoders *pool, enum coding coding, unsigned level, double us, unsigned *turns)
{
	struct encoder *e = encoder_take(pool, coding, level);
	size_t at = 0, out = 0;
	enum encoded result = ENCODED_SPENT;
	uint64_t begun = 0;

	for (*turns = 0; result != ENCODED_ALL;) {
		// As from a packet, to a packet.
		size_t n = body_n - at < 1448 - at % 1448 ? body_n - at : 1448 - at % 1448;
		size_t room = 2048 - out % 2048 < 64 ? 64 : 2048 - out % 2048;

		if (result == ENCODED_SPENT) {
			begun = __rdtsc();
			encoder_turn(e);
		}
		result = encoder_run(e, at + n == body_n ? ENCODE_FINISH : ENCODE_MORE, body + at, &n,
				     packed + out, &room);
		if (result == ENCODED_FAILED)
			abort();
		at += n;
		out += room;
		if (result == ENCODED_ALL && at < body_n)
			result = ENCODED_FULL;
		if ((result == ENCODED_SPENT || result == ENCODED_ALL) && *turns < TURNS) {
			double t = (double)(__rdtsc() - begun) / us * slow;

			took[*turns] = t < took[*turns] ? t : took[*turns];
			++*turns;
		}
	}
	encoder_give(pool, e);
	return out;
}

static struct arena arena;

// As it is at start: nothing is known of earlier bodies.
static struct encoders *pool_make(void)
{
	struct encoders *pool;

	if (arena_init(&arena, encoders_memory(1) + 4096) || !(pool = encoders_create(&arena, 1)))
		abort();
	encoders_touch(pool);
	encoders_clock(pool, now_ns, NULL);
	return pool;
}

static void rows(const char *what, double us)
{
	static const char *const names[CODINGS] = {[CODING_GZIP] = "gzip", [CODING_BR] = "br"};

	for (enum coding c = CODING_GZIP; c < CODINGS; c++)
		for (unsigned level = 1; level <= COMPRESS_LEVELS; level++) {
			struct encoders *pool;
			double sum = 0, most = 0;
			unsigned turns = 0, n50 = 0;
			size_t out = 0;

			for (unsigned i = 0; i < TURNS; i++)
				took[i] = 1e9;
			for (unsigned i = 0; i < RUNS; i++) {
				again = i > 0;
				reads = 0;
				pool = pool_make();
				out = run(pool, c, level, us, &turns);
				arena_fini(&arena);
			}
			for (unsigned i = 0; i < turns; i++) {
				sum += took[i];
				most = took[i] > most ? took[i] : most;
				n50 += took[i] > 50;
			}
			printf("%-10s %-4s level %u: %.3f of it, %4.0f MB/s, turns of %4.1f us, at most %5.1f, "
			       "%.2f%% above 50\n",
			       what, names[c], level, (double)out / (double)body_n, (double)body_n / sum,
			       sum / turns, most, 100.0 * n50 / turns);
		}
}

int main(int argc, char **argv)
{
	static void (*const fills[])(struct random *) = {fill_json,  fill_noise, fill_pairs, fill_prefixes,
							 fill_bytes, fill_mixed, fill_100,   fill_changing};
	static const char *const names[] = {"json",      "noise", "pairs",     "prefixes",
					    "150 bytes", "mixed", "100 bytes", "changing"};
	double us = cycles_us = cycles_in_us();

	if (getenv("SLOW"))
		slow = atof(getenv("SLOW"));
	for (unsigned i = 0; i < 8 && argc == 1; i++) {
		struct random r;

		random_seed(&r, 1);
		body_n = 0;
		fills[i](&r);
		rows(names[i], us);
	}
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		const char *name = strrchr(argv[i], '/');

		if (!f)
			return 1;
		body_n = fread(body, 1, BODY, f);
		fclose(f);
		rows(name ? name + 1 : argv[i], us);
	}
	return 0;
}
