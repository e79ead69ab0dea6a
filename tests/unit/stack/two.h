// Two stacks back to back: what one sends the other gets, at once and in order, unless a test takes it away.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/stack.h"
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS  1000000ull
#define SEC (1000 * MS)

static struct pkt_pool *two_pool;

struct two {
	struct cg_stack *s[2];
	struct addr addr[2];
	uint64_t now;
	bool cut; // the cable between them
};

static inline struct addr two_addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, strlen(text), &a), 0);
	return a;
}

static inline struct cg_config two_config(const char *address, unsigned prefix, uint8_t mac)
{
	return (struct cg_config){
		.mac = {2, 0, 0, 0, 0, mac},
		.address = {{two_addr(address), (uint8_t)prefix}},
		.n_addresses = 1,
		.no_dad = true,
		.pool = two_pool,
		.tcp = {.max_conns = 16, .max_time_wait = 8},
		.seed = mac,
		.now = 1000 * SEC,
	};
}

static inline struct two *two_make(bool v6, const struct tcp_config *tcp)
{
	static const char *const text[2][2] = {{"198.18.0.1", "198.18.0.2"},
					       {"fd00:c6:12::1", "fd00:c6:12::2"}};
	struct two *w = calloc(1, sizeof(*w));

	w->now = 1000 * SEC;
	for (uint8_t i = 0; i < 2; i++) {
		struct cg_config conf = two_config(text[v6][i], v6 ? 64 : 24, (uint8_t)(i + 1));
		int err = 1;

		if (tcp)
			conf.tcp = *tcp;
		w->addr[i] = conf.address[0].addr;
		w->s[i] = cg_create(&conf, &err);
		assert_non_null(w->s[i]);
		assert_int_equal(err, 0);
	}
	return w;
}

// Turns until nothing more is to be sent at this time.
static inline void two_turn(struct two *w)
{
	for (bool moved = true; moved;) {
		moved = false;
		for (unsigned i = 0; i < 2; i++) {
			struct pkt *v[64];
			unsigned n;

			cg_advance(w->s[i], w->now);
			while ((n = cg_output(w->s[i], v, 64))) {
				moved = true;
				for (unsigned k = 0; k < n; k++) {
					struct pkt *copy = w->cut ? NULL : pkt_copy(v[k], two_pool);

					pkt_free_chain(v[k]);
					if (copy)
						cg_input(w->s[1 - i], &copy, 1);
				}
			}
			const char *why = cg_check(w->s[i]);
			if (why)
				fail_msg("%s", why);
		}
	}
}

static inline void two_sleep(struct two *w, uint64_t ns)
{
	uint64_t end = w->now + ns;

	while (w->now < end) {
		uint64_t next = cg_next(w->s[0]), other = cg_next(w->s[1]);

		next = other < next ? other : next;
		w->now = next <= w->now ? w->now + MS : next < end ? next : end;
		two_turn(w);
	}
}

static inline void two_free(struct two *w)
{
	for (unsigned i = 0; i < 2; i++)
		cg_destroy(w->s[i]);
	assert_int_equal(pkt_pool_used(two_pool), 0);
	free(w);
}

// Nothing is left but what waits for 2 MSL.
static inline void two_quiet(struct two *w)
{
	struct tcp_pools pools;

	two_sleep(w, 70 * SEC);
	for (unsigned i = 0; i < 2; i++) {
		cg_pools(w->s[i], &pools);
		assert_int_equal(pools.conns_used, 0);
		assert_int_equal(pools.time_wait_used, 0);
	}
	assert_int_equal(pkt_pool_used(two_pool), 0);
}

// An open connection: k[0] connected to port 80 of the other, k[1] was accepted there.
static inline struct cg_listener *two_open(struct two *w, struct cg_sock *k[2])
{
	int err;
	struct cg_listener *l = cg_listen(w->s[1], (struct addr){0}, 80, NULL, &err);

	assert_non_null(l);
	k[0] = cg_connect(w->s[0], w->addr[1], 80, NULL, &err);
	assert_non_null(k[0]);
	two_turn(w);
	k[1] = cg_accept(l);
	assert_non_null(k[1]);
	return l;
}
