// Clients and backends that misbehave, for gateway_rough.c.
#pragma once
#include "contract/region.h"
#include "contract/snapshot.h"
#include "contract/stats.h"
#include "http/body.h"
#include "http/parse.h"
#include "sim/world.h"
#include "worker.h"

#define MS  1000000ull
#define SEC (1000 * MS)

#define CLIENTS       40
#define ASKS_MAX      5
#define BACKENDS_MAX  1024
#define ROUGH_PORTS   4
#define ROUGH_CREDITS 3 // slot of the rough route
#define SLOTS         16
#define SNAPSHOTS     24
#define HOG_MAX       16384
#define ROUGH_HEAD    8192 // bytes of a request's head, at most

// What --plan changes: the lowest digits shift every decision of a seed to another one's, the others are bits.
#define PLAN_SHIFTS 8u
enum {
	PLAN_LOSSES = 8,     // twice as many losses, six times as many reorderings
	PLAN_CROWD = 16,     // all begin within a tenth of the time
	PLAN_PIPELINES = 32, // most clients send ahead, or half-close
	PLAN_POSTS = 64,     // most requests have a body, most backends answer before its end
	PLAN_SMALL = 128,    // small answers
};

enum { END_WAN, END_LAN, END_CLIENTS, END_BACKENDS };

// What a backend does with a request. Those before MODE_SLOW are as they should be.
enum mode {
	MODE_LENGTH,
	MODE_CHUNKED,
	MODE_UNTIL_CLOSE, // neither length nor chunks
	MODE_LAST,        // Connection: close
	MODE_EMPTY,       // 204
	MODE_UNCHANGED,   // 304
	MODE_INTERIM,     // 103 before the answer
	MODE_LEAVES,      // ends its side behind the answer without having said so
	MODE_SLOW,        // answers in pieces
	MODE_EARLY,       // answers before it has read the body
	MODE_EARLY_LAST,  // and then closes with what came unread
	MODE_RESET,
	MODE_END, // closes without an answer
	MODE_CUT, // closes, resets in the middle of the body; ends a chunked one without its end
	MODE_CUT_RESET,
	MODE_CUT_CHUNKED,
	MODE_CUT_HEAD,
	MODE_GARBAGE,
	MODE_LONG_HEAD,
	MODE_BAD_CHUNK,
	MODE_SWITCH, // 101, which nobody asked for
	MODE_STALL,
	MODE_STALL_BODY,
	MODE_EXTRA, // another answer behind the right one
	MODE_LATER, // the same, some time later
	MODES
};

enum manner { // of a client
	PLAIN,
	PIPELINE,
	TRICKLE,
	HALF_CLOSE,
	SLOW_READ,
	CIVIL, // behind it: those that break rules
	ABORT = CIVIL,
	CLOSE,
	NO_READ,
	STALL_HEAD,
	STALL_BODY,
	GARBAGE,
	MANNERS
};

struct ask {
	enum mode mode;
	uint8_t method; // METHOD_GET, METHOD_HEAD, METHOD_POST
	bool chunked;   // its body
	bool expect;    // 100-continue
	bool sane;      // to the upstream that behaves
	uint16_t pad;   // bytes of a field that makes its head long
	bool tainted; // went over a connection whose backend spoke unasked: nobody can tell what is the answer
	uint32_t size, body;
	uint32_t arrived; // at backends
};

struct client {
	struct sim *sim;
	struct tcp_conn *c;
	enum manner manner;
	uint64_t start, period, think_until, give_up;
	uint8_t minor;
	bool begun, done, keep_alive;
	uint32_t first, n, sending, await; // asks: of the schedule; sent next, answered next
	char out[ROUGH_HEAD];              // head under way
	uint32_t out_n, out_at, body_at;
	bool head_made, ended, continued, last_answer;
	struct http_body body;
	bool in_body, ours;
	uint16_t status;
	uint32_t got;
	char error[512];
	char head[8192];
};

struct backend {
	struct sim *sim;
	struct tcp_conn *c;
	struct backend *next;
	bool rough, in_body, answering, head_sent, stalled;
	bool early;  // it answers before it has read the body
	bool prompt; // what was said unasked went out at once
	struct http_body body;
	uint32_t id, got, at;
	uint8_t minor;
	uint64_t close_at, poison_at, poisoned;
	char head[ROUGH_HEAD + 1024];
};

enum { TALLY_ASKED, TALLY_RIGHT, TALLY_ERROR, TALLY_CUT, TALLIES };
struct tally {
	uint64_t n[TALLIES], counted[CTR_COUNT];
};

struct sim {
	uint64_t now, plan;
	struct random random;
	struct wire wire;
	struct link link,
		calm; // calm: for ARP, of which nothing is lost, as three lost requests are a host that is gone
	struct worker worker;
	struct steer steer;
	struct region *region;
	struct stats stats;
	struct snapshot *snapshot[SNAPSHOTS];
	uint64_t generation, meddle_at, drain_at, stop_at;
	uint64_t asked; // when a client last sent a head: what backends do at that time meets it in one burst
	struct pkt_pool *gateway_pool;
	struct pkt *hogged[HOG_MAX];
	uint32_t n_hogged;
	bool scarce, short_of_buffers;
	uint32_t refusing; // bits of ports of the rough upstream
	struct host clients, backends;
	struct client client[CLIENTS];
	struct backend backend[BACKENDS_MAX], *free_backend;
	struct ask ask[CLIENTS * ASKS_MAX];
	uint32_t running;
	struct tally tally;
	const char *violation;
	bool trace;
};

static inline void violate(struct sim *s, const char *what)
{
	if (!s->violation)
		s->violation = what;
}

static inline uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

// The bytes of a body are a function of whose it is and the place.
static inline unsigned char rough_byte(uint32_t id, uint32_t at)
{
	return (unsigned char)((id * 37 + 11 + at) ^ (at >> 8));
}

// rough_client.c
void clients_plan(struct sim *s);
void clients_begin(struct sim *s); // those whose time has come
uint64_t clients_next(const struct sim *s);
void clients_explain(const struct sim *s);

// rough_backend.c
bool backend_listen(void *ctx, uint16_t port, struct addr local, uint16_t local_port, struct tcp_accept *out);
// Bytes at the front of the queue, up to room, without removing them.
size_t rough_peek(struct tcp_conn *c, char *buf, size_t room);
// Sends bytes of a body from *at to `to` as far as there is room, in chunks if asked. True when all is sent.
bool rough_send(struct tcp_conn *c, uint32_t id, uint32_t *at, uint32_t to, bool chunked);
// Takes up to max body bytes off the queue and compares them. False: wrong.
bool rough_take(struct tcp_conn *c, struct http_body *b, uint32_t id, uint32_t *got, uint32_t max);
