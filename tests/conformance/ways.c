#include "conformance/ways.h"
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_MAX 16384

static const char *const requests[] = {
	"GET /prepared HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /prepared?a=b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX: y\r\n\r\n",
	"GET http://a/prepared HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD /prepared HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD /prepared HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X\r\nX: y\r\n\r\n",
	"GET /prepared HTTP/1.0\r\n\r\n",
	"GET /prepared HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	"POST /prepared HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
	"POST /prepared HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS /prepared HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"TRACE /prepared HTTP/1.1\r\nHost: a\r\n\r\n",
	"DELETE /prepared HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /pre%70ared HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /here HTTP/1.1\r\nHost: a\r\n\r\n",
	// Of one packet, of several.
	"GET /prepared HTTP/1.1\r\nHost: a\r\n\r\nGET /prepared HTTP/1.1\r\nHost: b\r\n\r\nGET /here "
	"HTTP/1.1\r\nHost: "
	"a\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\n\r\nGET /prepared HTTP/1.1\r\nHost: a\r\nConnection: "
	"close\r\n\r\nGET /here "
	"HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /prepared HTTP/1.1\r\nHost: a\r\n\r\nGET /prep",
	"GET /prepared HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n",
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

// Of a route: all but times, of which only those of answers of our own are always the same.
#define STATS (STATUS_CLASSES + 4)

// Heads that pass nearly as they came (gateway/plain.c), and others. Where a '~' stands, one way has a blank
// more, which leaves the message the same, but has its head written field by field.
static const struct {
	const char *request, *response;
} passed[] = {
#define OK "HTTP/1.1 200 OK\r\nX-Odd:~ 1\r\n"
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n", OK "Content-Length: 3\r\n\r\nabc"},
	{"GET /p?q=1 HTTP/1.1\r\nHost: a:81\r\nX-Odd: 1~\r\nAccept: */*\r\n\r\n",
	 OK "Content-Length: 0\r\nServer: s\r\n\r\n"},
	{"GET /p? HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n", OK "Content-Length: 003\r\n\r\nabc"},
	{"POST /p HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\nX-Odd:~ 1\r\n\r\nabc",
	 "HTTP/1.1 404 Not There\r\ncontent-length: 3\r\nX-Odd:~ 1\r\nDate: never\r\n\r\nabc"},
	{"POST /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nContent-Length: 03\r\n\r\nabc",
	 OK "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 3\r\nX: y\r\n\r\nabc"},
	{"PUT /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nContent-Length: 0\r\nX: y\r\n\r\n",
	 OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nKeep-Alive: 5\r\nX-Odd:~ 1\r\n\r\n",
	 OK "Connection: close\r\nContent-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nConnection: X\r\nX: y\r\nX-Odd:~ 1\r\n\r\n",
	 OK "Connection: X\r\nContent-Length: 3\r\nX: y\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nConnection: close\r\nClose: y\r\nX-Odd:~ 1\r\n\r\n",
	 OK "Content-Length: 3\r\nVia: 1.0 other\r\n\r\nabc"},
	{"HEAD /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n", OK "Content-Length: 3\r\n\r\n"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n",
	 "HTTP/1.1 304 Not\r\nX-Odd:~ 1\r\nContent-Length: 9\r\n\r\n"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n", "HTTP/1.1 204 No\r\nX-Odd:~ 1\r\n\r\n"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n",
	 "HTTP/1.1 200 \r\nX-Odd:~ 1\r\nX-Request-Id: theirs\r\nContent-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n",
	 "HTTP/1.1 200\r\nX-Odd:~ 1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n",
	 "HTTP/1.0 200 OK\r\nX-Odd:~ 1\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nX-Odd:~ 1\r\n\r\n",
	 OK "Content-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nX-Odd:~ 1\r\nHost: a\r\n\r\n", OK "Trailer: X\r\nContent-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nhost: a\r\nX-Odd:~ 1\r\n\r\n", OK "Upgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"},
	{"GET http://b/p HTTP/1.1\r\nHost: b\r\nX-Odd:~ 1\r\n\r\n", OK "Content-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.2\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n",
	 "HTTP/1.2 200 OK\r\nX-Odd:~ 1\r\nContent-Length: 3\r\n\r\nabc"},
	{"\r\nGET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\n\r\n",
	 OK "Proxy-Connection: close\r\nContent-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=b\r\n\r\n",
	 OK "Content-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nVia: 1.1 other\r\nX-Request-Id: mine\r\n\r\n",
	 OK "Content-Length: 3\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
	 OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"},
	{"POST /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	 OK "Content-Length: 3\r\n\r\nabc"},
	{"GET /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	 OK "Content-Length: 3\r\n\r\nabc"},
	{"OPTIONS /p HTTP/1.1\r\nHost: a\r\nX-Odd:~ 1\r\nMax-Forwards: 5\r\n\r\n",
	 OK "Content-Length: 3\r\n\r\nabc"},
#undef OK
};
#define PASSED (sizeof(passed) / sizeof(passed[0]))

// What one way showed of a request.
struct seen {
	uint32_t n;
	bool eof, reset;
	uint64_t stats[STATS], counter[CTR_COUNT];
	char bytes[SHOWN_MAX];
};

// What is another one in each answer.
static void mask(struct seen *s, const char *field, size_t n)
{
	char *p = s->bytes;

	while ((p = memmem(p, s->n - (size_t)(p - s->bytes), field, strlen(field)))) {
		p += strlen(field);
		for (size_t i = 0; i < n && p < s->bytes + s->n && *p != '\r'; i++)
			*p++ = '*';
	}
}

static void stats_take(const struct bed *b, uint64_t v[STATS])
{
	const struct route_stats *r = &b->stats.route[1];
	uint64_t at_once = 0;

	for (unsigned i = 0; i < STATUS_CLASSES; i++) {
		v[i] = stat_get(&r->requests[i]) + stat_get(&b->stats.worker->at_once[i][1]);
		at_once += stat_get(&b->stats.worker->at_once[i][1]);
	}
	v[STATUS_CLASSES] = stat_get(&r->started) + at_once;
	v[STATUS_CLASSES + 1] = stat_get(&r->finished) + at_once;
	v[STATUS_CLASSES + 2] = stat_get(&r->duration[0]) + at_once;
	v[STATUS_CLASSES + 3] = stat_get(&b->stats.route[0].started);
}

// cut: the bytes come in two packets; 0: in one. hang_up: and the end of them, too.
static bool way_seen(struct bed *b, const char *request, size_t cut, bool hang_up, struct seen *s)
{
	size_t n = strlen(request);
	uint64_t before[STATS];

	bed_case(b);
	stats_take(b, before);
	for (unsigned i = 0; i < CTR_COUNT; i++)
		s->counter[i] = stat_get(&b->worker.stats->c[i]);
	if (!bed_connect(b, LISTENER_STRICT))
		return false;
	if (cut) {
		bed_say(b, &b->client, slice_of(request, cut));
		bed_settle(b);
	}
	bed_say(b, &b->client, slice_of(request + cut, n - cut));
	if (hang_up && b->client.c)
		tcp_shutdown(b->client.c);
	bed_settle(b);
	s->n = b->client.n;
	s->eof = b->client.eof;
	s->reset = b->client.reset;
	memcpy(s->bytes, b->client.bytes, s->n);
	bed_hang_up(b);
	stats_take(b, s->stats);
	for (unsigned i = 0; i < STATS; i++)
		s->stats[i] -= before[i];
	for (unsigned i = 0; i < CTR_COUNT; i++)
		s->counter[i] = stat_get(&b->worker.stats->c[i]) - s->counter[i];
	mask(s, "Date: ", SNAP_DATE);
	mask(s, "X-Request-Id: ", SNAP_ID);
	mask(s, "\"request_id\":\"", SNAP_ID);
	return b->violation == NULL;
}

static bool of_requests(const char *counter)
{
	return strncmp(counter, "http_", 5) == 0 || strncmp(counter, "fault_", 6) == 0;
}

static const char *differ(const struct seen *a, const struct seen *b)
{
	static char text[64];

	if (a->n != b->n || memcmp(a->bytes, b->bytes, a->n) != 0)
		return "its bytes";
	if (a->eof != b->eof || a->reset != b->reset)
		return "how its connection ends";
	if (memcmp(a->stats, b->stats, sizeof(a->stats)) != 0)
		return "the route's statistics";
	for (unsigned i = 0; i < CTR_COUNT; i++)
		if (of_requests(counter_info[i].name) && a->counter[i] != b->counter[i]) {
			snprintf(text, sizeof(text), "the counter %s", counter_info[i].name);
			return text;
		}
	return NULL;
}

static struct slice written(const char *text, bool odd, char room[static 1024])
{
	size_t n = 0;

	for (; *text; text++)
		if (*text != '~')
			room[n++] = *text;
		else if (odd)
			room[n++] = ' ';
	return slice_of(room, n);
}

// What the backend and the client get.
static bool passed_seen(struct bed *b, unsigned i, bool odd, struct seen *backend, struct seen *client)
{
	char request[1024], response[1024];
	struct testcase c = {.bytes = written(passed[i].response, odd, response)};
	const struct peer *p;

	bed_case(b);
	b->answer = &c;
	if (!bed_connect(b, LISTENER_STRICT))
		return false;
	bed_say(b, &b->client, written(passed[i].request, odd, request));
	bed_settle(b);
	if (!(p = b->answering))
		return false;
	bed_say(b, b->answering, c.bytes);
	bed_settle(b);
	*backend = (struct seen){.n = p->n, .eof = p->eof, .reset = p->reset};
	memcpy(backend->bytes, p->bytes, p->n);
	*client = (struct seen){.n = b->client.n, .eof = b->client.eof, .reset = b->client.reset};
	memcpy(client->bytes, b->client.bytes, b->client.n);
	for (unsigned k = 0; k < 2; k++) {
		mask(k ? client : backend, "Date: ", SNAP_DATE);
		mask(k ? client : backend, "X-Request-Id: ", SNAP_ID);
	}
	bed_hang_up(b);
	return b->violation == NULL;
}

const char *passed_run(struct bed *b)
{
	static struct seen usual[2], own[2];
	static char text[2048];

	for (unsigned i = 0; i < PASSED; i++) {
		bool ok = passed_seen(b, i, true, &usual[0], &usual[1]);
		const char *what;

		ok = passed_seen(b, i, false, &own[0], &own[1]) && ok;
		what = ok ? differ(&usual[0], &own[0]) : "the bed";
		if (!what && (what = differ(&usual[1], &own[1])))
			i += 1000;
		if (what) {
			snprintf(text, sizeof(text), "%s, as the %s sees it, in exchange %u:\n%.*s\n%.*s", what,
				 i < 1000 ? "backend" : "client", i % 1000, (int)usual[i / 1000].n,
				 usual[i / 1000].bytes, (int)own[i / 1000].n, own[i / 1000].bytes);
			return text;
		}
	}
	return NULL;
}

const char *ways_run(struct bed *b)
{
	static struct seen usual, own;
	static char text[256];

	for (unsigned i = 0; i < 4 * REQUESTS; i++) {
		const char *request = requests[i / 4], *what;
		size_t cut = i & 1 ? strlen(request) / 2 : 0;
		bool ok;

		// What is logged goes the usual way.
		atomic_store(&b->region->log_level, LOG_INFO);
		ok = way_seen(b, request, cut, i & 2, &usual);
		atomic_store(&b->region->log_level, LOG_WARNING);
		ok = way_seen(b, request, cut, i & 2, &own) && ok;
		what = ok ? differ(&usual, &own) : "the bed";
		if (what) {
			snprintf(text, sizeof(text), "%s of request %u (cut at %zu%s)", what, i / 4, cut,
				 i & 2 ? ", hung up" : "");
			return text;
		}
	}
	return NULL;
}
