// The table through a whole gateway: what the backend and the client see of each message, sent whole, cut in
// two at every byte, and byte by byte.
#include "conformance/noted.h"
#include "conformance/pooled.h"
#include "conformance/timed.h"
#include "conformance/ways.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char second[] = "GET /second HTTP/1.1\r\nHost: second.example\r\n\r\n";
static char text[1024];

static const char *say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

// How a message's bytes come: up to first, then step at a time.
struct cuts {
	size_t first, step;
};

static void send_cut(struct bed *b, struct peer *p, struct slice s, struct cuts cuts)
{
	size_t at = 0, n = cuts.first;

	while (at < s.n && p->c) {
		if (n > s.n - at)
			n = s.n - at;
		bed_say(b, p, slice_of(s.p + at, n));
		bed_settle(b);
		at += n;
		n = cuts.step;
	}
}

static bool start_is(const struct message *m, const char *start)
{
	return m->start.n == strlen(start) && memcmp(m->start.p, start, m->start.n) == 0;
}

static bool line_is(struct slice name, struct slice value, const char *line)
{
	char one[KEPT_MAX / 4];
	int n = snprintf(one, sizeof(one), "%.*s: %.*s", (int)name.n, name.p, (int)value.n, value.p);

	return n > 0 && strcmp(one, line) == 0;
}

static bool has_line(const struct message *m, const char *line)
{
	for (unsigned i = 0; i < m->n; i++)
		if (line_is(m->name[i], m->value[i], line))
			return true;
	return false;
}

static const char *trailers_judge(const struct testcase *c, const struct message *m)
{
	if (m->n_trailers != c->n_trailers)
		return say("%u trailers, not %u", m->n_trailers, c->n_trailers);
	for (unsigned i = 0; i < c->n_trailers; i++)
		if (!line_is(m->trailer_name[i], m->trailer_value[i], c->trailer[i]))
			return say("lacks the trailer \"%.100s\"", c->trailer[i]);
	return NULL;
}

static const char *fields_judge(const struct testcase *c, const struct message *m)
{
	for (unsigned i = 0; i < c->n_has; i++)
		if (!has_line(m, c->has[i]))
			return say("lacks \"%.100s\"", c->has[i]);
	for (unsigned i = 0; i < c->n_lacks; i++)
		if (message_field(m, c->lacks[i]))
			return say("has %s", c->lacks[i]);
	return NULL;
}

static const char *body_judge(const struct testcase *c, const struct message *m, bool until_close)
{
	enum http_framing framing = m->chunked    ? FRAMING_CHUNKED
				    : m->length   ? FRAMING_LENGTH
				    : until_close ? FRAMING_CLOSE
						  : FRAMING_NONE;

	if (framing != c->framing)
		return say("framing %d, not %d", framing, c->framing);
	if (m->body.n != c->body.n || (m->body.n && memcmp(m->body.p, c->body.p, m->body.n) != 0))
		return say("a body of %zu bytes: %.*s", m->body.n, (int)m->body.n, m->body.p);
	return trailers_judge(c, m);
}

// The answers that the client was sent, but interim ones: statuses, and how it ended.
struct answers {
	unsigned n;
	unsigned status[4];
	const char *wrong;
};

static struct answers answers_read(const struct bed *b, bool head_first)
{
	struct answers a = {0};
	struct slice s = slice_of(b->client.bytes, b->client.n);

	while (s.n && a.n < 4) {
		struct message m;
		int n = message_take(s, false, head_first && a.n == 0 ? BODY_NONE : BODY_AS_STATED, &m,
				     &a.wrong);

		if (n <= 0 || !m.whole) {
			a.wrong = a.wrong ? a.wrong : "an answer that is not complete";
			return a;
		}
		a.status[a.n] = (unsigned)strtoul(m.start.p + 9, NULL, 10);
		if (a.status[a.n] >= 200)
			a.n++;
		s = slice_of(s.p + n, s.n - (size_t)n);
	}
	return a;
}

static uint64_t counted(const struct bed *b, const char *reason)
{
	char name[64];

	snprintf(name, sizeof(name), "fault_%s", reason);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (strcmp(counter_info[i].name, name) == 0)
			return stat_get(&b->worker.stats->c[i]);
	return 0;
}

/* ---- requests ---- */

// What reached the backend: the messages of all its connections, in their order where there is one.
static const char *backend_judge(const struct testcase *c, const struct bed *b)
{
	unsigned seen = 0, wanted = c->outcome == FORWARDED ? c->closes ? 1 : 2 : 0;

	for (const struct peer *p = b->peer; p < b->peer + PEERS_MAX; p++) {
		struct slice s = slice_of(p->bytes, p->used ? p->n : 0);

		while (s.n) {
			struct message m;
			const char *why, *what;
			int n = message_take(s, true, BODY_AS_STATED, &m, &why);

			if (n < 0)
				return say("the backend saw %s: %.*s", why, (int)s.n, s.p);
			if (n == 0)
				return say("the backend saw a head without end");
			if (c->outcome != FORWARDED && (m.whole || start_is(&m, "GET /second HTTP/1.1")))
				return say("the backend saw %.*s", (int)m.start.n, m.start.p);
			if (c->outcome == FORWARDED) {
				if (!m.whole)
					return say("the backend saw a message without end");
				if (seen == 0) {
					const struct slice *host = message_field(&m, "host");

					if (!start_is(&m, c->start))
						return say("forwarded %.*s", (int)m.start.n, m.start.p);
					if (host->n != strlen(c->host) ||
					    memcmp(host->p, c->host, host->n) != 0)
						return say("forwarded with Host %.*s", (int)host->n, host->p);
					what = fields_judge(c, &m);
					what = what ? what : body_judge(c, &m, false);
					if (what)
						return what;
				} else if (!start_is(&m, "GET /second HTTP/1.1")) {
					return say("the backend saw %.*s", (int)m.start.n, m.start.p);
				}
				seen++;
			}
			s = slice_of(s.p + n, s.n - (size_t)n);
		}
	}
	return seen == wanted ? NULL : say("the backend saw %u requests, not %u", seen, wanted);
}

static const char *client_judge(const struct testcase *c, const struct bed *b)
{
	struct answers a = answers_read(b, c->bytes.n > 5 && memcmp(c->bytes.p, "HEAD ", 5) == 0);
	bool ended = b->client.eof || b->client.reset;

	if (a.wrong)
		return say("the client saw %s: %.200s", a.wrong, b->client.bytes);
	switch (c->outcome) {
	case FORWARDED:
		if (a.n != (c->closes ? 1 : 2) || a.status[0] != 200 || (a.n == 2 && a.status[1] != 200))
			return say("the client saw %u answers, the first with %u", a.n, a.status[0]);
		return ended == c->closes ? NULL : say("the connection %s", ended ? "ended" : "stays");
	case REFUSED:
		if (a.n != 1 || a.status[0] != c->status)
			return say("the client saw %u answers, the first with %u", a.n, a.status[0]);
		return ended ? NULL : say("the connection stays");
	case ANSWERED:
		return a.n >= 1 && a.status[0] == c->status ? NULL : say("answered with %u", a.status[0]);
	case CUT:
		return a.n == 0 || a.status[0] >= 400 ? NULL : say("answered with %u", a.status[0]);
	}
	return NULL;
}

static const char *request_run(struct bed *b, const struct testcase *c, struct cuts cuts)
{
	uint64_t before;
	const char *what;
	static struct slice all;
	static char bytes[KEPT_MAX];

	bed_case(b);
	before = c->reason ? counted(b, c->reason) : 0;
	memcpy(bytes, c->bytes.p, c->bytes.n);
	all = slice_of(bytes, c->bytes.n);
	if (c->outcome == FORWARDED || c->outcome == REFUSED) {
		memcpy(bytes + all.n, second, sizeof(second) - 1);
		all.n += sizeof(second) - 1;
	}
	if (!bed_connect(b, c->listener))
		return "no connection";
	// Behind the cuts the rest comes together with the second request.
	send_cut(b, &b->client, slice_of(all.p, cuts.step == 1 ? c->bytes.n : all.n), cuts);
	if (cuts.step == 1 && b->client.c)
		send_cut(b, &b->client, slice_of(all.p + c->bytes.n, all.n - c->bytes.n),
			 (struct cuts){all.n, all.n});
	if (c->outcome == CUT && b->client.c) {
		tcp_shutdown(b->client.c);
		bed_settle(b);
	}
	what = b->violation;
	what = what ? what : backend_judge(c, b);
	what = what ? what : client_judge(c, b);
	if (!what && c->reason && counted(b, c->reason) != before + 1)
		what = say("fault_%s counted %llu times", c->reason,
			   (unsigned long long)(counted(b, c->reason) - before));
	if (b->client.c)
		tcp_abort(b->client.c);
	b->client.c = NULL;
	bed_settle(b);
	return what;
}

/* ---- responses ---- */

static const char *relayed_judge(const struct testcase *c, const struct bed *b)
{
	bool ended = b->client.eof || b->client.reset;
	enum body_rule rule = c->outcome == CUT             ? BODY_AS_STATED
			      : c->framing == FRAMING_NONE  ? BODY_NONE
			      : c->framing == FRAMING_CLOSE ? BODY_UNTIL_CLOSE
							    : BODY_AS_STATED;
	struct slice s = slice_of(b->client.bytes, b->client.n);
	struct message m;
	const char *why = NULL, *what;
	int n;

	do {
		n = message_take(s, false, rule, &m, &why);
		if (n > 0 && m.start.p[9] == '1')
			n = message_take(s, false, BODY_NONE, &m, &why);
		if (n <= 0)
			return say("the client saw %s: %.*s", why ? why : "no head", (int)s.n, s.p);
		s = slice_of(s.p + n, s.n - (size_t)n);
		if (m.start.p[9] == '1' && c->minor == 0)
			return say("a client of 1.0 saw an interim answer");
	} while (m.start.p[9] == '1');
	if (!start_is(&m, c->start))
		return say("relayed %.*s", (int)m.start.n, m.start.p);
	if (s.n)
		return say("the client saw more behind the answer: %.*s", (int)s.n, s.p);
	if (c->outcome == CUT)
		return !ended                        ? say("the connection stays")
		       : m.whole && !b->client.reset ? say("it looks whole")
						     : NULL;
	if (!m.whole)
		return say("cut short");
	what = fields_judge(c, &m);
	if (what || c->framing == FRAMING_NONE)
		return what;
	return body_judge(c, &m, rule == BODY_UNTIL_CLOSE);
}

static const char *response_judge(const struct testcase *c, const struct bed *b)
{
	bool ended = !b->answering->c || b->answering->eof || b->answering->reset || c->ending != END_STAYS;
	struct answers a;

	if (c->outcome != REFUSED) {
		const char *what = relayed_judge(c, b);

		if (what)
			return what;
		if (ended != (c->closes || c->outcome == CUT))
			return say("the backend's connection %s", ended ? "was ended" : "may serve again");
		return NULL;
	}
	a = answers_read(b, false);
	if (a.wrong || a.n != 1 || a.status[0] != c->status)
		return say("the client saw %u answers, the first with %u; %s", a.n, a.status[0],
			   a.wrong ? a.wrong : "");
	return ended ? NULL : say("the backend's connection may serve again");
}

static const char *response_run(struct bed *b, const struct testcase *c, struct cuts cuts)
{
	uint64_t before = c->reason ? counted(b, c->reason) : 0;
	const char *what = NULL;
	char request[128];
	int n = snprintf(request, sizeof(request), "%s /first HTTP/1.%u\r\nHost: a.example\r\n%s\r\n",
			 http_method_name[c->method], c->minor,
			 c->te ? "TE: trailers\r\nConnection: TE\r\n" : "");

	bed_case(b);
	b->answer = c;
	if (!bed_connect(b, LISTENER_STRICT))
		return "no connection";
	bed_say(b, &b->client, slice_of(request, (size_t)n));
	bed_settle(b);
	if (!b->answering)
		return "the backend saw no request";
	send_cut(b, b->answering, c->bytes, cuts);
	if (c->ending != END_STAYS && b->answering->c) {
		if (c->ending == END_CLOSE) {
			tcp_close(b->answering->c);
		} else {
			tcp_abort(b->answering->c);
		}
		b->answering->c = NULL;
		bed_settle(b);
	}
	what = b->violation;
	what = what ? what : response_judge(c, b);
	if (!what && c->reason && counted(b, c->reason) != before + 1)
		what = say("fault_%s counted %llu times", c->reason,
			   (unsigned long long)(counted(b, c->reason) - before));
	bed_hang_up(b);
	return what;
}

static const char *run(struct bed *b, const struct testcase *c, bool request)
{
	for (size_t first = 0; first <= c->bytes.n; first++) {
		// first 0 stands for the whole, the last for byte by byte; of long messages some cuts do.
		bool each = first == c->bytes.n;
		size_t step = !each ? KEPT_MAX : c->bytes.n > 2000 ? 97 : 1;
		const char *what;

		if (c->bytes.n > 400 && !each && first % (c->bytes.n / 100))
			continue;
		what = request ? request_run(b, c,
					     (struct cuts){each    ? step
							   : first ? first
								   : KEPT_MAX,
							   step})
			       : response_run(b, c,
					      (struct cuts){each    ? step
							    : first ? first
								    : KEPT_MAX,
							    step});
		if (what) {
			size_t n = strlen(what);

			if (first && what == text)
				snprintf(text + n, sizeof(text) - n, ", cut at %zu", first);
			bed_hang_up(b);
			return what;
		}
	}
	return NULL;
}

/* ---- a pipeline ---- */

#define PIPELINED 300
#define TURN_MAX  64 // requests of a connection in one turn of the worker (README)

// RFC 9112 9.3.2: requests that a client sends ahead are answered in their order, and hold up nobody: of those
// that are there at once just so many are begun in a turn.
static const char *pipeline_run(struct bed *b)
{
	static const char one[] = "GET /here HTTP/1.1\r\nHost: a\r\n\r\n";
	uint64_t turns = stat_get(&b->worker.stats->c[CTR_http_turn_used]), limit = b->now + 1000000000;
	uint64_t begun = stat_get(&b->worker.stats->c[CTR_http_requests]), most = 0, seen = begun;
	struct slice s;
	unsigned n = 0;

	bed_case(b);
	if (!bed_connect(b, LISTENER_STRICT))
		return "no connection";
	for (unsigned i = 0; i < PIPELINED; i++)
		bed_say(b, &b->client, slice_of(one, sizeof(one) - 1));
	while (b->now < limit && seen < begun + PIPELINED) {
		uint64_t now;

		b->now += 20000;
		bed_turn(b);
		now = stat_get(&b->worker.stats->c[CTR_http_requests]);
		most = now - seen > most ? now - seen : most;
		seen = now;
	}
	bed_settle(b);
	for (s = slice_of(b->client.bytes, b->client.n); s.n; n++) {
		struct message m;
		const char *why;
		int used = message_take(s, false, BODY_NONE, &m, &why);

		if (used <= 0 || !start_is(&m, "HTTP/1.1 204 No Content"))
			return say("answer %u is none", n);
		s = slice_of(s.p + used, s.n - (size_t)used);
	}
	bed_hang_up(b);
	if (n != PIPELINED)
		return say("%u answers to %u requests", n, PIPELINED);
	if (most > TURN_MAX)
		return say("%llu requests in one turn", (unsigned long long)most);
	turns = stat_get(&b->worker.stats->c[CTR_http_turn_used]) - turns;
	return turns >= 2 ? NULL : say("%llu turns were used up", (unsigned long long)turns);
}

static void tell(struct tally *tally, const char *law, const char *what)
{
	printf("gateway: %s%s%s\n", law, what ? ": " : "", what ? what : "");
	if (what)
		tally->failed++;
	else
		tally->passed++;
}

int main(int argc, char **argv)
{
	static struct bed bed;
	static struct table table[2];
	struct tally tally = {0};
	struct pkt_pool *pool;

	if (argc != 3) {
		fprintf(stderr, "usage: %s requests.txt responses.txt\n", argv[0]);
		return 2;
	}
	world_start(argv[0]);
	pool = pkt_pool_create("conformance", 32u << 20, 0);
	if (!pool)
		return 2;
	bed_init(&bed, pool);
	for (int i = 0; i < 2; i++) {
		table[i] = table_read(argv[i + 1]);
		for (unsigned k = 0; k < table[i].n; k++)
			verdict(&tally, &table[i].v[k], argv[i + 1], run(&bed, &table[i].v[k], i == 0));
		printf("gateway: %u %s\n", table[i].n, i == 0 ? "requests" : "responses");
	}
	tell(&tally, "a pipeline is served in turns", pipeline_run(&bed));
	tell(&tally, "a request gets the same on each way", ways_run(&bed));
	tell(&tally, "a head that passes is the same on each way", passed_run(&bed));
	tell(&tally, "a request of which nothing was sent goes out on another connection", pooled_run(&bed));
	tell(&tally, "a noted request whose connection ends is forgotten", noted_run(&bed));
	tell(&tally, "what comes in the turn of a timer is not forgotten", timed_run(&bed));
	bed_fini(&bed);
	if (pkt_pool_used(pool)) {
		printf("packet buffers are left\n");
		tally.failed++;
	}
	printf("%u passed, %u failed\n", tally.passed, tally.failed);
	return tally.failed != 0;
}
