// The list of denied and allowed addresses against a plain one, with its full load, and read while it is
// written.
#include "base/random.h"
#include "contract/address_list.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000000ull

static void *memory;
static struct address_list l;

static void make(uint64_t size)
{
	char why[100];

	free(memory);
	memory = aligned_alloc(4096, size);
	memset(memory, 0, size);
	address_list_create(memory, size, (struct hash_key){3, 4});
	assert_true(address_list_attach(&l, memory, size, why, sizeof(why)));
}

static int fresh(void **state)
{
	(void)state;
	make(1u << 20);
	return 0;
}

static struct addr at(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, strlen(text), &a), 0);
	return a;
}

static int put(enum address_kind kind, const char *text, unsigned len)
{
	struct addr a = at(text);

	return address_list_add(&l, kind, a, addr_is_v4(a) ? 96 + len : len, 0, ADDRESS_HAND);
}

static bool denied(const char *text)
{
	return address_list_denied(&l, at(text), 1000 * SECOND);
}

static void hosts_and_prefixes_deny_who_is_in_them_and_nobody_else(void **state)
{
	(void)state;
	assert_false(address_list_denies(&l));
	assert_int_equal(put(ADDRESS_DENY, "198.18.7.9", 32), 0);
	assert_int_equal(put(ADDRESS_DENY, "198.18.64.0", 18), 0);
	assert_int_equal(put(ADDRESS_DENY, "203.0.0.0", 8), 0);
	assert_int_equal(put(ADDRESS_DENY, "2001:db8:1::", 48), 0);
	assert_int_equal(put(ADDRESS_DENY, "2400::", 12), 0);
	assert_int_equal(put(ADDRESS_DENY, "fd00::7", 128), 0);
	assert_true(address_list_denies(&l));
	assert_true(denied("198.18.7.9"));
	assert_false(denied("198.18.7.8"));
	assert_true(denied("198.18.64.0"));
	assert_true(denied("198.18.127.255"));
	assert_false(denied("198.18.128.0"));
	assert_true(denied("203.0.113.4"));
	assert_false(denied("204.0.0.0"));
	assert_true(denied("2001:db8:1:ffff::1"));
	assert_false(denied("2001:db8:2::1"));
	assert_true(denied("240f:ffff::1"));
	assert_false(denied("2410::1"));
	assert_true(denied("fd00::7"));
	assert_false(denied("fd00::8"));
}

static void no_ipv6_prefix_holds_an_ipv4_address_and_all_of_ipv4_is_one(void **state)
{
	(void)state;
	put(ADDRESS_DENY, "::", 1);
	assert_true(denied("2001:db8::1"));
	assert_false(denied("198.18.0.1"));
	put(ADDRESS_DENY, "0.0.0.0", 0);
	assert_true(denied("198.18.0.1"));
	assert_false(denied("8000::1"));
}

static void who_is_allowed_is_not_denied_however_long_the_prefix_that_denies(void **state)
{
	(void)state;
	put(ADDRESS_DENY, "198.18.0.0", 16);
	put(ADDRESS_DENY, "198.18.7.9", 32);
	put(ADDRESS_ALLOW, "198.18.7.0", 24);
	assert_false(denied("198.18.7.9"));
	assert_false(denied("198.18.7.10"));
	assert_true(denied("198.18.8.1"));
	assert_true(address_list_remove(&l, ADDRESS_ALLOW, at("198.18.7.0"), 96 + 24, ADDRESS_HAND));
	assert_true(denied("198.18.7.9"));
}

static void an_entry_ends_when_its_time_has_come(void **state)
{
	struct addr a = at("198.18.7.9");

	(void)state;
	address_list_add(&l, ADDRESS_DENY, a, 128, 500 * SECOND, ADDRESS_HAND);
	assert_true(address_list_denied(&l, a, 499 * SECOND));
	assert_false(address_list_denied(&l, a, 500 * SECOND));
	// The later end counts, and none at all is the latest.
	address_list_add(&l, ADDRESS_DENY, a, 128, 400 * SECOND, ADDRESS_LIMIT);
	assert_true(address_list_denied(&l, a, 499 * SECOND));
	address_list_add(&l, ADDRESS_DENY, a, 128, 600 * SECOND, ADDRESS_LIMIT);
	assert_true(address_list_denied(&l, a, 599 * SECOND));
	address_list_sweep(&l, 599 * SECOND);
	assert_int_equal(l.head->n[ADDRESS_DENY], 1);
	address_list_sweep(&l, 600 * SECOND);
	assert_int_equal(l.head->n[ADDRESS_DENY], 0);
	assert_false(address_list_denies(&l));
	address_list_add(&l, ADDRESS_DENY, a, 128, 0, ADDRESS_HAND);
	address_list_add(&l, ADDRESS_DENY, a, 128, 700 * SECOND, ADDRESS_HAND);
	assert_true(address_list_denied(&l, a, 800 * SECOND));
}

static void one_that_has_ended_is_added_anew(void **state)
{
	struct addr a = at("198.18.7.9");

	(void)state;
	address_list_add(&l, ADDRESS_DENY, a, 128, 500 * SECOND, ADDRESS_HAND);
	l.now = 500 * SECOND;
	address_list_files_begin(&l);
	assert_int_equal(address_list_add(&l, ADDRESS_DENY, a, 128, 0, ADDRESS_FILE), 0);
	address_list_files_end(&l);
	assert_true(address_list_denied(&l, a, 600 * SECOND));
	assert_int_equal(l.head->n[ADDRESS_DENY], 1);
	// The hand that set it has nothing to take away any more.
	assert_false(address_list_remove(&l, ADDRESS_DENY, a, 128, ADDRESS_HAND));
}

static void what_a_file_no_longer_has_goes_and_what_a_hand_set_stays(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) { // more than the rounds that are told apart
		address_list_files_begin(&l);
		address_list_add(&l, ADDRESS_DENY, at("198.18.0.1"), 128, 0, ADDRESS_FILE);
		if (round % 2 == 0)
			address_list_add(&l, ADDRESS_DENY, at("198.18.0.2"), 128, 0, ADDRESS_FILE);
		if (round == 0)
			address_list_add(&l, ADDRESS_DENY, at("198.18.0.3"), 128, 0, ADDRESS_HAND);
		if (round % 3 == 0)
			address_list_add(&l, ADDRESS_DENY, at("198.18.0.3"), 128, 0, ADDRESS_FILE);
		address_list_files_end(&l);
		assert_true(denied("198.18.0.1"));
		assert_int_equal(denied("198.18.0.2"), round % 2 == 0);
		assert_true(denied("198.18.0.3"));
	}
	assert_false(address_list_remove(&l, ADDRESS_DENY, at("198.18.0.1"), 128, ADDRESS_HAND));
	assert_true(address_list_remove(&l, ADDRESS_DENY, at("198.18.0.3"), 128, ADDRESS_HAND));
	assert_false(denied("198.18.0.3"));
}

// A plain list of the same entries.
struct entry {
	struct addr addr;
	unsigned len;
	enum address_kind kind;
	bool there;
};

static bool plain_denied(const struct entry *e, unsigned n, struct addr a)
{
	bool deny = false;

	for (unsigned i = 0; i < n; i++) {
		if (!e[i].there || addr_is_v4(a) != addr_is_v4(e[i].addr) ||
		    !addr_eq(address_prefix_of(a, e[i].len), e[i].addr))
			continue;
		if (e[i].kind == ADDRESS_ALLOW)
			return false;
		deny = true;
	}
	return deny;
}

static struct addr random_near(struct random *r)
{
	// Few bits of difference, so that prefixes hold each other.
	struct addr a = at(random_below(r, 2) ? "198.16.0.0" : "2001:db8::");
	unsigned from = addr_is_v4(a) ? 12 : 3;

	for (unsigned i = from; i < 16; i++)
		if (random_below(r, 4) == 0)
			a.b[i] ^= (uint8_t)(1u << random_below(r, 8));
	return a;
}

// As a burst asks.
static void assert_burst(const struct entry *e, unsigned n, const struct addr *v, unsigned k)
{
	uint64_t got = address_list_denied_burst(&l, v, k, SECOND);

	for (unsigned i = 0; i < k; i++)
		assert_int_equal(got >> i & 1, plain_denied(e, n, v[i]));
	assert_true(k == 64 || got >> k == 0);
}

static void random_lists_decide_as_a_plain_one(void **state)
{
	static struct entry e[400];
	struct addr asked[64];
	struct random r;
	unsigned hit = 0, n = 0;

	(void)state;
	random_seed(&r, 5);
	for (unsigned turn = 0; turn < 60; turn++) {
		make(ADDRESS_LIST_MIN);
		memset(e, 0, sizeof(e));
		for (unsigned step = 0; step < 1200; step++) {
			struct entry *x = &e[random_below(&r, 400)];

			if (x->there) {
				assert_true(address_list_remove(&l, x->kind, x->addr, x->len, ADDRESS_HAND));
				x->there = false;
			} else {
				struct addr a = random_near(&r);

				x->len = addr_is_v4(a) ? 96 + random_below(&r, 33) : 1 + random_below(&r, 128);
				x->addr = address_prefix_of(a, x->len);
				x->kind = random_below(&r, 4) == 0;
				for (unsigned i = 0; i < 400; i++)
					if (e[i].there && e[i].kind == x->kind && e[i].len == x->len &&
					    addr_eq(e[i].addr, x->addr))
						goto twice;
				assert_int_equal(
					address_list_add(&l, x->kind, x->addr, x->len, 0, ADDRESS_HAND), 0);
				x->there = true;
			}
		twice:
			if (step % 100 == 0)
				address_list_sweep(&l, SECOND);
			for (unsigned i = 0; i < 3; i++) {
				struct addr a = i ? e[random_below(&r, 400)].addr : random_near(&r);

				if (i) // near an entry, that is there or was
					a.b[15 - random_below(&r, 3)] ^= (uint8_t)(1u << random_below(&r, 8));
				bool plain = plain_denied(e, 400, a);

				hit += plain;
				assert_int_equal(address_list_denied(&l, a, SECOND), plain);
				asked[n++ % 64] = a;
			}
			if (n >= 64 && step % 10 == 0)
				assert_burst(e, 400, asked, 1 + random_below(&r, 64));
		}
	}
	assert_in_range(hit, 20000, 180000);
}

// More prefixes than the smallest filter is made for, of which it learns by and by: none of them is missed, at
// any size, and nobody beside them is denied.
static void prefixes_are_found_however_many_there_are(void **state)
{
	enum { MANY = 8000 };
	uint64_t mask = l.head->filter_mask;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		struct addr net = addr_from_v4(__builtin_bswap32(0x20000000u + i * 0x200));

		assert_int_equal(address_list_add(&l, ADDRESS_DENY, net, 96 + 24, 0, ADDRESS_FILE), 0);
		if (i % 1000 == 0)
			address_list_sweep(&l, SECOND);
	}
	for (unsigned sweep = 0; sweep < 3; sweep++) {
		for (uint32_t i = 0; i < MANY; i += 32) {
			struct addr v[64];

			for (uint32_t k = 0; k < 64; k++) // every other one beside them
				v[k] = addr_from_v4(__builtin_bswap32(0x20000007u + i * 0x200 + k * 0x100));
			assert_int_equal(address_list_denied_burst(&l, v, 64, SECOND), 0x5555555555555555ull);
			assert_true(address_list_denied(&l, v[62], SECOND));
			assert_false(address_list_denied(&l, v[63], SECOND));
		}
		address_list_sweep(&l, SECOND);
	}
	assert_true(l.head->filter_mask > mask);
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(address_list_remove(&l, ADDRESS_DENY,
						addr_from_v4(__builtin_bswap32(0x20000000u + i * 0x200)),
						96 + 24, ADDRESS_FILE));
	address_list_sweep(&l, SECOND);
	address_list_sweep(&l, SECOND);
	assert_int_equal(l.head->filter_mask, mask);
	for (uint64_t i = 0; i <= mask / 64; i++)
		assert_int_equal(l.filter[i], 0);
}

// Of sixteen hits of a burst one is counted, for sixteen.
static void hits_are_counted_by_samples(void **state)
{
	struct addr v[64];
	uint64_t hits = 0;

	(void)state;
	put(ADDRESS_DENY, "198.18.7.9", 32);
	for (unsigned i = 0; i < 64; i++)
		v[i] = at("198.18.7.9");
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(address_list_denied_burst(&l, v, 64, SECOND), UINT64_MAX);
	for (uint64_t i = 0; i < l.lines * 4; i++)
		hits += l.hits[i];
	assert_int_equal(hits, 640);
}

static uint64_t visited;

static void visit(void *ctx, const struct address_entry *e)
{
	(void)ctx;
	assert_int_equal(e->source, ADDRESS_FILE);
	visited++;
}

static struct addr nth(uint64_t n)
{
	struct addr a = at("2001:db8::");

	if (n % 2)
		return addr_from_v4(__builtin_bswap32((uint32_t)(0x20000000u + n * 977)));
	a.w[1] = n * 0x9e3779b97f4a7c15ull;
	return a;
}

static void a_million_entries_have_place_in_48_mib_and_all_are_found(void **state)
{
	enum { MANY = 1000000 };

	(void)state;
	make(48u << 20);
	assert_true(address_list_room(48u << 20) >= MANY);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (uint64_t i = 0; i < MANY; i++)
			assert_int_equal(address_list_add(&l, ADDRESS_DENY, nth(i), 128, 0, ADDRESS_FILE), 0);
		assert_int_equal(l.head->n[ADDRESS_DENY], MANY);
		for (uint64_t i = 0; i < MANY; i++)
			assert_true(address_list_denied(&l, nth(i), SECOND));
		for (uint64_t i = MANY; i < 2 * MANY; i++)
			assert_false(address_list_denied(&l, nth(i), SECOND));
		visited = 0;
		for (uint64_t line = 0; (line = address_list_visit(&l, line, 1000, visit, NULL));)
			;
		assert_int_equal(visited, MANY);
		for (uint64_t i = 0; i < MANY; i++)
			assert_true(address_list_remove(&l, ADDRESS_DENY, nth(i), 128, ADDRESS_FILE));
		// Nothing is left of them that searches would have to go through.
		for (uint64_t i = 0; i < l.lines * 4; i++)
			assert_true(l.line[i / 4].cell[i % 4].id == 0);
	}
	fresh(NULL);
}

static void a_full_list_says_so_and_keeps_what_it_has(void **state)
{
	uint64_t n = 0;

	(void)state;
	make(ADDRESS_LIST_MIN);
	while (address_list_add(&l, ADDRESS_DENY, nth(n), 128, 0, ADDRESS_HAND) == 0)
		n++;
	assert_in_range(n, address_list_room(ADDRESS_LIST_MIN) * 95 / 100, address_list_room(ADDRESS_LIST_MIN));
	assert_int_equal(address_list_add(&l, ADDRESS_DENY, nth(n), 128, 0, ADDRESS_HAND), -ENOSPC);
	for (uint64_t i = 0; i < n; i++)
		assert_true(address_list_denied(&l, nth(i), SECOND));
	fresh(NULL);
}

static void damaged_memory_is_not_attached(void **state)
{
	struct address_list other;
	char why[100];

	(void)state;
	l.head->size--;
	assert_false(address_list_attach(&other, memory, 1u << 20, why, sizeof(why)));
	l.head->size++;
	l.head->version++;
	assert_false(address_list_attach(&other, memory, 1u << 20, why, sizeof(why)));
	l.head->version--;
	assert_false(address_list_attach(&other, memory, (1u << 20) - 4096, why, sizeof(why)));
	assert_true(address_list_attach(&other, memory, 1u << 20, why, sizeof(why)));
}

// Two entries stay, all around them others come and go in the same lines: readers never lose the first two, and
// never find what was never there.
static _Atomic bool stop;

static void *reader(void *ctx)
{
	struct random r;
	uint64_t looks = 0;

	random_seed(&r, (uint64_t)(uintptr_t)ctx);
	for (; !stop; looks++) {
		uint64_t i = random_below(&r, 2000);

		if (!address_list_denied(&l, nth(i), SECOND) ||
		    address_list_denied(&l, nth(100000 + i), SECOND))
			return NULL;
	}
	return ctx;
}

static void readers_lose_nothing_while_entries_come_and_go(void **state)
{
	pthread_t threads[3];
	struct random r;

	(void)state;
	make(ADDRESS_LIST_MIN);
	for (uint64_t i = 0; i < 2000; i++)
		address_list_add(&l, ADDRESS_DENY, nth(i), 128, 0, ADDRESS_HAND);
	stop = false;
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, (void *)(i + 1)), 0);
	random_seed(&r, 9);
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t n = 10000 + random_below(&r, 3000);

		if (!address_list_remove(&l, ADDRESS_DENY, nth(n), 128, ADDRESS_HAND))
			address_list_add(&l, ADDRESS_DENY, nth(n), 128, 0, ADDRESS_HAND);
		if (i % 50000 == 0)
			address_list_sweep(&l, SECOND);
	}
	stop = true;
	for (unsigned i = 0; i < 3; i++) {
		void *sound;

		pthread_join(threads[i], &sound);
		assert_non_null(sound);
	}
	fresh(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hosts_and_prefixes_deny_who_is_in_them_and_nobody_else, fresh),
		cmocka_unit_test_setup(no_ipv6_prefix_holds_an_ipv4_address_and_all_of_ipv4_is_one, fresh),
		cmocka_unit_test_setup(who_is_allowed_is_not_denied_however_long_the_prefix_that_denies, fresh),
		cmocka_unit_test_setup(an_entry_ends_when_its_time_has_come, fresh),
		cmocka_unit_test_setup(one_that_has_ended_is_added_anew, fresh),
		cmocka_unit_test_setup(what_a_file_no_longer_has_goes_and_what_a_hand_set_stays, fresh),
		cmocka_unit_test_setup(random_lists_decide_as_a_plain_one, fresh),
		cmocka_unit_test_setup(prefixes_are_found_however_many_there_are, fresh),
		cmocka_unit_test_setup(hits_are_counted_by_samples, fresh),
		cmocka_unit_test_setup(a_million_entries_have_place_in_48_mib_and_all_are_found, fresh),
		cmocka_unit_test_setup(a_full_list_says_so_and_keeps_what_it_has, fresh),
		cmocka_unit_test_setup(damaged_memory_is_not_attached, fresh),
		cmocka_unit_test_setup(readers_lose_nothing_while_entries_come_and_go, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
