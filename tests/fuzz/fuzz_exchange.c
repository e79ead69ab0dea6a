// Whole exchanges: what a client and a backend say comes from the input, in between are the real worker, TCP
// and network layers under virtual time (tests/conformance/bed.h).
//
// Holds: every byte that reaches a backend reads back as a well-formed request by a reader that shares no code
// with the parser (the bed sees to it; in a tunnel anything goes); the client sees well-formed answers; of
// those at most one is the backend's fuzzed one, and one more for each time that it spoke while it had a part
// of the next request, so nothing of an exchange has reached the next; when both have gone no exchange, no
// tunnel and no packet is left, and every connection is as TCP wants it.
//
// The input: bytes of the client, and after each MARK an act: one letter, then bytes for it until the next
// MARK.
//   c  the client says      b  the backend says, to the request that it has      t  time: 250 ms for each byte,
//   squared f  the client's FIN     e  the backend's FIN     r  the backend's RST        x  the client's RST
#include "conformance/bed.h"
#include "fuzz_head.h"
#include "gateway/exchange.h"
#include <stdlib.h>

#define MARK     0xff
#define ACTS_MAX 48

static struct bed bed;
static struct pkt_pool *pool;
static const struct testcase fuzzed; // that the first request of a connection is not answered by the bed
static char said[4096];              // by the client
static size_t said_n;
static unsigned due; // at most so many answers may be fuzzed ones

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct snap_listener *l;
	struct snap_route *r;

	(void)argc;
	world_start((*argv)[0]);
	pool = pkt_pool_create("exchange", 16u << 20, 0);
	CHECK(pool);
	bed_init(&bed, pool);
	r = (struct snap_route *)(uintptr_t)snap_at(bed.snapshot, bed.snapshot->routes);
	for (unsigned i = 0; i < bed.snapshot->routes.n; i++) {
		if (r[i].action != ACTION_TO)
			continue;
		r[i].upgrade = 1u << UPGRADE_WEBSOCKET;
		r[i].connect = 1;
		r[i].tunnel_idle = 20000000000;
		r[i].per_try = 15000000000;
		r[i].attempts = 2;
		r[i].stages |= 1u << STAGE_compress;
	}
	l = (struct snap_listener *)(uintptr_t)snap_at(bed.snapshot, bed.snapshot->listeners);
	for (unsigned i = 0; i < LISTENERS; i++) {
		l[i].head_timeout = l[i].idle_timeout = l[i].body_timeout = l[i].response_idle = 10000000000;
		l[i].min_body_rate = 10;
		l[i].min_read_rate = 10;
		l[i].rate_grace = 3000000000;
	}
	return 0;
}

static bool has(struct slice s, const char *text)
{
	return s.n && memmem(s.p, s.n, text, strlen(text));
}

// Answers as far as they are whole; the last may be cut short, where its connection has ended.
static void client_judge(bool heads)
{
	struct slice s = slice_of(bed.client.bytes, bed.client.n);
	unsigned theirs = 0;

	while (s.n) {
		struct message m;
		const char *why;
		int n = message_take(s, false, BODY_AS_STATED, &m, &why);
		unsigned status;
		bool none;

		CHECK(n >= 0);
		if (n == 0)
			return;
		status = (unsigned)strtoul(m.start.p + 9, NULL, 10);
		if (status == 101 || has(m.start, "Connection established"))
			return; // a tunnel
		none = status < 200 || status == 204 || status == 304 || heads;
		n = message_take(s, false,
				 none                    ? BODY_NONE
				 : m.length || m.chunked ? BODY_AS_STATED
							 : BODY_UNTIL_CLOSE,
				 &m, &why);
		CHECK(n > 0);
		if (heads)
			return; // whose are which is not known here
		if (status >= 200 && !message_field(&m, "server") && !slice_eq(m.body, SLICE("ok")))
			theirs++;
		if (message_field(&m, "server") && !slice_eq(*message_field(&m, "server"), SLICE("churchgate")))
			theirs++;
		s = slice_of(s.p + n, s.n - (size_t)n);
	}
	CHECK(theirs <= due);
}

static void pass(uint64_t ns)
{
	// What may be due meanwhile is: the bed looks at timers while there is something under way.
	uint64_t until = bed.now + ns;

	while (bed.now < until) {
		bed.now = until - bed.now > 500000000 ? bed.now + 500000000 : until;
		bed_turn(&bed);
		bed_settle(&bed);
	}
}

static struct peer *speaker(void)
{
	return bed.answering && bed.answering->c ? bed.answering : NULL;
}

static void act(char what, struct slice s)
{
	struct peer *p = speaker();

	switch (what) {
	case 'b':
		if (p) {
			due += p->n > p->taken; // of the next request: it is answered early
			bed_say(&bed, p, s);
		}
		break;
	case 't':
		pass((s.n > 12 ? 144 : s.n * s.n) * 250000000ull);
		break;
	case 'f':
		if (bed.client.c)
			tcp_shutdown(bed.client.c);
		break;
	case 'e':
		if (p)
			tcp_shutdown(p->c);
		break;
	case 'r':
		if (p) {
			tcp_abort(p->c);
			p->c = NULL;
		}
		break;
	case 'x':
		if (bed.client.c)
			tcp_abort(bed.client.c);
		bed.client.c = NULL;
		break;
	default:
		memcpy(said + said_n, s.p, s.n);
		said_n += s.n;
		bed_say(&bed, &bed.client, s);
	}
	bed_settle(&bed);
}

static unsigned peers(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PEERS_MAX; i++)
		n += bed.peer[i].used;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice rest = slice_of(data, n);
	struct gateway *g = bed.worker.gateway;
	stat_cell *tunnels[] = {&bed.worker.stats->c[CTR_tunnel_websocket],
				&bed.worker.stats->c[CTR_tunnel_connect]};
	char what = 'c';

	bed_case(&bed);
	bed.answer = &fuzzed;
	due = 1;
	said_n = 0;
	if (n > sizeof(said))
		return -1;
	CHECK(bed_connect(&bed, n % 7 ? LISTENER_STRICT : LISTENER_LENIENT));
	for (unsigned i = 0; i < ACTS_MAX && rest.n && peers() < PEERS_MAX - 2; i++) {
		const char *end = memchr(rest.p, MARK, rest.n);
		struct slice s = slice_of(rest.p, end ? (size_t)(end - rest.p) : rest.n);

		act(what, s);
		rest = slice_of(rest.p + s.n, rest.n - s.n);
		if (rest.n < 2)
			break;
		what = rest.p[1];
		rest = slice_of(rest.p + 2, rest.n - 2);
	}
	// In a tunnel the bed reads as requests what is none.
	if (bed.violation && !stat_get(tunnels[0]) && !stat_get(tunnels[1])) {
		fprintf(stderr, "violation: %s\n", bed.violation);
		CHECK(!bed.violation);
	}
	atomic_store(tunnels[0], 0);
	atomic_store(tunnels[1], 0);
	client_judge(has(slice_of(said, said_n), "HEAD"));
	bed.violation = NULL;
	bed_hang_up(&bed);
	CHECK(g->exchanges.used == 0 && g->attempts.used == 0 && g->tunnels.used == 0);
	CHECK(!tcp_check(bed.worker.tcp));
	CHECK(pkt_pool_used(pool) == 0 && pkt_pool_used(bed.small) == 0);
	return 0;
}
