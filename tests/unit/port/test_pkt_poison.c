// Under AddressSanitizer: what goes wrong inside packet pools is caught, and what drivers do is not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "port/pkt.h"
#include <signal.h>
#include <sys/wait.h>

static struct pkt_pool *pool;

#if defined(__SANITIZE_ADDRESS__)
// Runs fault() in a child, and requires that the sanitizer ends it with a report that names `kind`.
static void is_caught(void (*fault)(void), const char *kind)
{
	char report[8192];
	size_t n = 0;
	ssize_t got;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(fd[1], 2);
		close(fd[0]);
		fault();
		_exit(0);
	}
	close(fd[1]);
	while (n < sizeof(report) - 1 && (got = read(fd[0], report + n, sizeof(report) - 1 - n)) > 0)
		n += (size_t)got;
	report[n] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	if (!strstr(report, "AddressSanitizer") || !strstr(report, kind))
		fail_msg("no report of %s:\n%s", kind, report);
}
#else
static void is_caught(void (*fault)(void), const char *kind)
{
	(void)fault, (void)kind;
	skip();
}
#endif

static volatile char sink;

static struct pkt *filled(uint32_t n)
{
	struct pkt *p = pkt_alloc(pool);

	if (p)
		memset(pkt_append(p, n), 'x', n);
	return p;
}

static void read_after_free(void)
{
	struct pkt *p = filled(100);
	volatile char *data = pkt_data(p);

	pkt_free(p);
	sink = data[50];
}

static void write_after_free(void)
{
	struct pkt *p = filled(100);
	char *data = pkt_data(p);

	pkt_free(p);
	memset(data, 0, 10);
}

static void length_after_free(void)
{
	struct pkt *p = filled(100);

	pkt_free(p);
	sink = (char)pkt_len(p);
}

static void private_room_after_free(void)
{
	struct pkt *p = filled(100);
	volatile char *priv = pkt_priv(p);

	pkt_free(p);
	sink = priv[8];
}

static void second_free(void)
{
	struct pkt *p = filled(100);

	pkt_free(p);
	pkt_free(p);
}

static void overrun_by_one(void)
{
	struct pkt *p = filled(100);

	((volatile char *)pkt_data(p))[100] = 1;
}

static void underrun_by_one_word(void)
{
	struct pkt *p = filled(100);

	((volatile char *)pkt_data(p))[-1] = 1;
}

static void overrun_after_trim(void)
{
	struct pkt *p = filled(100);

	pkt_trim(p, 50);
	sink = ((volatile char *)pkt_data(p))[50];
}

static void overrun_of_the_whole_room(void)
{
	struct pkt *p = filled(PKT_ROOM);

	memset(pkt_data(p), 0, PKT_ROOM + 1);
}

static void freed_by_the_driver(void)
{
	struct pkt *p = filled(100);
	volatile char *data = pkt_data(p);

	rte_pktmbuf_free(pkt_mbuf(p));
	sink = data[0];
}

static void use_after_free_is_caught(void **state)
{
	(void)state;
	is_caught(read_after_free, "use-after-poison");
	is_caught(write_after_free, "use-after-poison");
	is_caught(length_after_free, "use-after-poison");
	is_caught(private_room_after_free, "use-after-poison");
	is_caught(second_free, "use-after-poison");
	is_caught(freed_by_the_driver, "use-after-poison");
}

static void overrun_is_caught(void **state)
{
	(void)state;
	is_caught(overrun_by_one, "use-after-poison");
	is_caught(underrun_by_one_word, "use-after-poison");
	is_caught(overrun_after_trim, "use-after-poison");
	is_caught(overrun_of_the_whole_room, "use-after-poison");
}

// As a driver receives: it takes buffers by itself and copies frames into them.
static void a_driver_may_write_into_what_it_took(void **state)
{
	(void)state;
	static char frame[PKT_ROOM];
	uint32_t used = pkt_pool_used(pool); // the children above share the pool, and never gave back

	for (unsigned round = 0; round < 3; round++) {
		struct rte_mbuf *m[4];

		assert_int_equal(rte_pktmbuf_alloc_bulk(pkt_pool_mempool(pool), m, 4), 0);
		for (unsigned i = 0; i < 4; i++) {
			memcpy(rte_pktmbuf_mtod(m[i], char *), frame, sizeof(frame));
			m[i]->data_len = 60;
			m[i]->pkt_len = 60;
			pkt_poison_range(m[i]);
			sink = pkt_data(pkt_of(m[i]))[59];
		}
		rte_pktmbuf_free_bulk(m, 4);
	}
	assert_int_equal(pkt_pool_used(pool), used);
}

static void room_opens_with_the_data(void **state)
{
	(void)state;
	struct pkt *p = filled(3);

	memset(pkt_append(p, 100), 1, 100);
	memset(pkt_prepend(p, 13), 2, 13);
	pkt_adj(p, 7);
	memset(pkt_data(p), 3, pkt_len(p));
	memset(pkt_priv(p), 4, PKT_PRIV);
	pkt_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(use_after_free_is_caught),
		cmocka_unit_test(overrun_is_caught),
		cmocka_unit_test(a_driver_may_write_into_what_it_took),
		cmocka_unit_test(room_opens_with_the_data),
	};
	if (!pkt_start(64))
		return 1;
	pool = pkt_pool_create("test", 1u << 20, -1);
	if (!pool)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	pkt_pool_free(pool);
	rte_eal_cleanup();
	return failed;
}
