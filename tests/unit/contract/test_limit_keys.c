// Many keys that are beyond their limit: none is forgotten. LIMIT_KEYS in the environment says how many, in a
// table of 100 bytes for each (`make limit-keys`: ten million in 1 GiB).
#include "base/random.h"
#include "contract/limit_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define SECOND 1000000000ull
#define DAY    (86400 * SECOND)
#define BURST  2

static struct limit_table_key key_of(const struct limit_table *t, uint64_t n)
{
	return limit_table_key(t, 1 + (uint32_t)(n % 7), &n, sizeof(n));
}

static void no_key_beyond_its_limit_is_forgotten_among_millions(void **state)
{
	const char *wanted = getenv("LIMIT_KEYS");
	uint64_t keys = wanted ? strtoull(wanted, NULL, 10) : 200000, bytes = (keys * 107 / 4096 + 2) * 4096;
	uint64_t now = 1000 * SECOND, tat, without = 0, forgotten = 0, again = 0;
	struct limit_table_claims claims;
	struct limit_table t;
	char why[100];
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	limit_table_create(memory, bytes, (struct hash_key){11, 12});
	assert_true(limit_table_attach(&t, memory, bytes, 1, why, sizeof(why)));
	limit_table_claims_init(&claims, &t, 0);
	// Each key uses up its limit and is refused, while time goes on: a day for one request, an hour in all.
	for (uint64_t n = 0; n < keys; n++, now += 3600 * SECOND / keys) {
		struct limit_table_key k = key_of(&t, n);
		enum limit_table_result got = limit_table_charge(&t, &claims, &k, now, DAY, BURST * DAY, &tat);

		if (got == LIMIT_TABLE_FULL) {
			without++;
			continue;
		}
		assert_int_equal(got, LIMIT_TABLE_ALLOWED);
		assert_int_equal(limit_table_charge(&t, &claims, &k, now, DAY, BURST * DAY, &tat),
				 LIMIT_TABLE_ALLOWED);
		assert_int_equal(limit_table_charge(&t, &claims, &k, now, DAY, BURST * DAY, &tat),
				 LIMIT_TABLE_OVER);
	}
	// All of them, an hour after the first.
	for (uint64_t n = 0; n < keys; n++) {
		struct limit_table_key k = key_of(&t, n);

		forgotten +=
			limit_table_charge(&t, &claims, &k, now, DAY, BURST * DAY, &tat) != LIMIT_TABLE_OVER;
	}
	// What comes beside them is new, until the table is full, and takes nobody's place.
	for (uint64_t n = keys; n < keys + keys / 10; n++) {
		struct limit_table_key k = key_of(&t, n);

		without += limit_table_charge(&t, &claims, &k, now, DAY, BURST * DAY, &tat) == LIMIT_TABLE_FULL;
	}
	for (uint64_t n = 0; n < keys; n++) {
		struct limit_table_key k = key_of(&t, n);

		again += limit_table_peek(&t, &k, now, DAY, BURST * DAY, &tat) != LIMIT_TABLE_OVER;
	}
	print_message("%llu keys beyond their limit in %llu bytes (%llu cells): %llu forgotten, %llu after "
		      "%llu more; "
		      "%llu found no place\n",
		      (unsigned long long)keys, (unsigned long long)bytes,
		      (unsigned long long)limit_table_cells(&t), (unsigned long long)forgotten,
		      (unsigned long long)again, (unsigned long long)(keys / 10), (unsigned long long)without);
	assert_int_equal(forgotten + again, 0);
	assert_int_equal(without, 0);
	munmap(memory, bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_key_beyond_its_limit_is_forgotten_among_millions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
