// An exchange: one client stream and its attempts upstream. Inside of gateway/ only.
//
// Who holds what
//   A client connection without a request in work has no object here: what little is known of it (requests
//   served, how far its unfinished head was looked at) is packed into its user pointer, see client.c.
//   An exchange lives from a complete request head to the last byte of its answer. It pins the snapshot it was
//   routed under until the response head is on its way; what it needs later is copied.
//   An attempt lives from the choice of an upstream to the end of its response, or its failure.
//
// States of an attempt
//   PENDING     waits in its upstream's queue for a connection
//   CONNECTING  its connection is being opened
//   WAITING     request head sent; body being sent; no response head yet
//   RESPONDING  response head relayed; bodies being relayed
#pragma once
#include "base/copy.h"
#include "base/random.h"
#include "base/slab.h"
#include "gateway/gateway.h"
#include "http/body.h"
#include "http/forwarded.h"
#include "http/parse.h"
#include "http/path.h"
#include "http/proxy_protocol.h"
#include "http/write.h"
#include "policy/ratelimit/ratelimit.h"
#include "policy/stage.h"
#include "route/route.h"
#include "upstream/upstream.h"

// What TCP and the layers below write in front of payload.
#define HEADERS_ROOM  (NET_HEADERS + 60)
#define LINGER_TIME   2000000000ull // how long we read on after an early end, so that the client sees the answer
#define LINGER_BYTES  (256u << 10)
#define RETRY_TIME    5000000ull // until a buffer shortage is looked at again
#define INTERIMS_MAX  64         // of one answer: each costs a head, and there is no end to them
#define ATTEMPTS_MAX  8
#define GENERATIONS   SNAP_GENERATIONS
#define PIN_MAX       (24ull * 3600 * 1000000000) // ns in which an exchange has its response head, or ends
#define LISTENERS_MAX 1024
#define DENIED_SLICE  512 // connections looked at in one go
#define GIVE_UP_SLICE 512 // likewise exchanges

enum attempt_state { ATTEMPT_PENDING, ATTEMPT_CONNECTING, ATTEMPT_WAITING, ATTEMPT_RESPONDING };

struct encoders;
struct encoding;
struct exchange;
struct tunnel;

struct attempt {
	struct attempt *next, **pprev; // in the upstream's queue while PENDING
	struct exchange *x;
	struct upstream_conn *conn;
	const struct snap_upstream *upstream; // valid while the exchange pins its snapshot
	const struct snap_endpoint *endpoint;
	uint64_t started, deadline;     // ns; deadline 0: none
	uint64_t pool_idle, pool_probe; // copied from the upstream
	uint32_t stat_slot;
	uint32_t scanned; // of an unfinished response head
	uint32_t mark;    // where the request begins in what its connection sends
	uint8_t interims; // heads of 1xx that came, at most INTERIMS_MAX
	uint8_t state;    // enum attempt_state
	bool fresh;       // no pooled connection will do
	bool reused;      // its connection was pooled
	bool reusable;    // its connection may serve again, as far as the response says
	bool own;         // its connection is this client's alone: it began with the client's name
	bool eof, dead;   // the upstream has ended its side; the connection is lost
};

// An exchange's timer outlives it. It stays armed where its deadline moves to later or its exchange ends, and
// looks again when it fires: so it is armed once in a timeout, not with each request.
struct exchange_timer {
	struct timer timer;
	struct exchange *x; // NULL: none in this place now
};

struct exchange {
	_Alignas(64) struct gateway *g;
	struct exchange_timer *timer;
	struct tcp_conn *client;
	struct addr remote; // the client: who holds the connection, or asked the trusted proxy that does
	struct attempt *attempt;
	struct tunnel *tunnel;           // asked for, or open (tunnel.h); NULL: it is none
	struct encoding *encoding;       // of the response's body (encode.h); NULL: it goes as it comes
	const struct snapshot *snapshot; // pinned; NULL once the response head went out
	const struct snap_route *route;  // as snapshot
	const struct snap_target *target;
	struct upstream_stick stick;          // of a sticky route
	const struct snap_listener *listener; // that it came through; valid while parked
	// The request head as it goes upstream, until it is sent; then the response head as it goes to the
	// client, until it leaves with the first of its body.
	struct pkt *head;
	struct tcp_kept sent;         // the request's, for another attempt
	struct pkt *kept;             // what the response's fields say of the request; NULL: nothing
	struct pkt *withheld;         // names that its trailers may not have, see trailers.c; NULL: none
	struct http_body request;     // what is left to come from the client
	struct http_body response;    // what is left to come from upstream
	uint64_t started, deadline;   // ns; deadline 0: none
	uint64_t bytes_in, bytes_out; // of bodies
	uint64_t avoid;               // endpoints that failed this exchange, bits of their index
	uint64_t moved;               // when bytes of a body last were, if it is watched (patience.c)
	uint64_t body_from;           // when its body's time began
	uint64_t marked;              // when queued and marked_out were noted
	uint64_t marked_out;          // bytes_out, then
	uint64_t parked;              // by a policy stage, until then; 0: not parked. Its head is in the
				      // client's receive queue still
	uint32_t served;              // requests on this connection before
	uint32_t queued;              // bytes that the client had not acknowledged when it was marked
	uint32_t route_slot;
	uint32_t upstream_slot; // 0: answered here
	uint16_t status;
	uint16_t method_n, path_n; // of text
	uint8_t generation;        // index of the pin
	uint8_t method, minor;
	uint8_t attempts;      // made
	uint8_t out_framing;   // of the response to the client
	bool proxied;          // a header of the PROXY protocol named the client: see client_proxied()
	bool keep_alive;       // of the client's connection, after this exchange
	bool request_relayed;  // all of the request is with the upstream's TCP (or needs no relaying)
	bool body_sent;        // some of the request's body has left; it cannot be replayed
	bool response_started; // a final head has gone to the client
	bool terminator_due;   // response payload complete, "0\r\n\r\n" found no buffer
	bool chunk_end_due;    // the same for the request's
	uint8_t watched;       // enum watched
	bool retry;            // the timer is to look at a shortage again
	uint8_t parked_at;     // enum stage
	uint8_t cors;          // origin of the request, see policy/cors/cors.h
	uint8_t trailers;      // which may pass, see trailers.h
	uint8_t coding;        // enum coding: what its client would have the body in
	uint32_t parked_with;  // what that stage wants to know again
	uint16_t credit[2];    // slots of the listener's and the route's credit that it has; 0: none
	_Alignas(32) char request_id[32];
	char text[160]; // method and path for the log, only when requests are logged
};

enum watched { WATCHED_NOT, WATCHED_BODY, WATCHED_BOTH };

// A generation in use.
struct generation {
	const struct snapshot *snapshot; // NULL: free
	const struct regex_set *regexes;
	uint64_t number;
	uint32_t pins;
};

// What each request asks of its listener, made once for a generation.
struct listener_rules {
	const struct snap_listener *listener;
	struct http_limits limits;
	bool plain; // nothing stands between its requests and their routes: nobody is trusted, no limit, no
		    // policy of paths
};

// A request that waits to be decided together with others of its burst (burst.c).
#define NOTED_MAX 8u // as many as a processor has lines under way for, and what is known of them stays in L1
struct noted {
	struct tcp_conn *c; // NULL: it has ended meanwhile
	const struct snap_listener *listener;
	uint32_t head_length, served;
	enum route_result found; // ROUTE_UNKNOWN: not looked up
	bool prepared;           // checks are what they will be when it is decided
	struct route_match match;
	struct http_head head;
	struct ratelimit_checks checks;
};
#define ROUTE_UNKNOWN ((enum route_result)(ROUTE_BEYOND + 1))

struct pending {
	struct attempt *first, **last;
	uint32_t n;
	bool due;          // stands in the list of those to be looked at
	uint32_t next_due; // slot; UINT32_MAX: end
};

struct gateway {
	uint64_t now;
	struct gateway_config conf;
	struct tcp *tcp;
	struct slab exchanges, attempts, tunnels;
	struct slab encodings; // as many as encoders
	struct encoders *encoders;
	bool encoders_ready;                          // gateway_prepare() alone knows
	struct encoding *encode_first, **encode_last; // those that have something to do
	struct upstream_pool upstreams;
	struct random random;
	struct ratelimit *ratelimit;
	struct regex_matcher *matcher;
	struct generation generation[GENERATIONS];
	uint32_t current; // index
	uint32_t n_listener_tags;
	uint32_t listener_tag[LISTENERS_MAX];
	struct listener_rules rules[LISTENERS_MAX]; // as listener_tag; the first also where there is none
	struct tcp_rate accept_rate[LISTENERS_MAX]; // this worker's share
	bool draining;
	struct { // a walk over all connections, since entries came onto the deny list
		uint64_t version, cursor;
		bool walking;
	} denied;
	struct { // a walk over all exchanges, since generations are given up
		uint64_t before;
		uint32_t at;
	} given_up;
	struct exchange_timer *timers; // by the exchange's place in its slab
	struct tcp_conn *running;      // whose queue client.c works on
	bool again;                    // and whether it is to go on
	bool bursts;                   // requests are noted, and decided together
	bool deciding;                 // which is going on
	uint32_t n_noted;
	struct noted *noted; // [NOTED_MAX]
	bool waking;         // attempt.c gives free connections to those that wait
	uint32_t due;        // first of the queues it is to look at; UINT32_MAX: none
	uint64_t date_second;
	char date[29];
	struct pending *pending;      // [STATS_UPSTREAMS]
	struct proxy_header *proxied; // by a connection's index; never touched where none is used
	// Scratch of the request in hand: never kept over a return to the worker.
	struct http_head head;
	struct route_match match;
	enum route_result found;                // in match, ahead of its time; ROUTE_UNKNOWN: nothing yet
	struct ratelimit_checks *prepared;      // its limits, likewise; NULL: nothing yet
	struct forwarded forwarded;             // what was said of the client
	const struct forwarded_hop *client_hop; // the part of it that names it; NULL: none
	bool peer_trusted;                      // who holds the connection is believed
	uint32_t text_used;
	char text[12288];         // values of fields that we add
	char path[SNAP_HEAD_MAX]; // path and query, where a policy has changed the path
	char path_next[SNAP_HEAD_MAX];
	char hops[12];                      // what is left of Max-Forwards
	struct slice reflected;             // in path_next: a TRACE as it came
	char in[SNAP_HEAD_MAX + 64];        // a head that came in several buffers
	char out[2 * SNAP_HEAD_MAX + 8192]; // a head that does not fit one buffer
};

static inline const struct snapshot *gateway_snapshot(const struct gateway *g)
{
	return g->generation[g->current].snapshot;
}
// Exchanges that live: the first from place *at on, which moves behind it. NULL: no more.
static inline struct exchange *gateway_live(const struct gateway *g, uint32_t *at)
{
	while (*at < g->exchanges.high)
		if (g->timers[(*at)++].x)
			return g->timers[*at - 1].x;
	return NULL;
}
static inline void count(struct gateway *g, enum counter c)
{
	stat_add(&g->conf.stats->c[c], 1);
}

// The listener (of the current generation) that took a connection.
const struct snap_listener *gateway_listener(const struct gateway *g, uint32_t tag);
// The same with what requests ask of it.
static inline const struct listener_rules *listener_rules(const struct gateway *g, uint32_t tag)
{
	for (uint32_t i = 0; i < g->n_listener_tags; i++)
		if (g->listener_tag[i] == tag)
			return &g->rules[i];
	return &g->rules[0]; // its listener is gone: it ends under the rules of the first
}

// What was wrong with a message, a request or a response: its counter.
static inline enum counter fault_counter(enum http_fault fault)
{
	static const uint16_t counter[FAULT_COUNT] = {
#define FAULT(id, status, text) [FAULT_##id] = CTR_fault_##id,
#include "http/faults.def"
#undef FAULT
	};

	return (enum counter)counter[fault];
}

// client.c
tcp_event_fn client_event;
// What a route is looked for by, as g->head or another head says.
struct route_query client_query(const struct exchange *x, const struct http_head *h);
struct route_query client_asks(const struct gateway *g, uint32_t generation, const struct snap_listener *l,
			       struct addr client, const struct http_head *h);
// Route, policy, action. The head in g->head is used up afterwards.
void exchange_route(struct exchange *x, uint32_t head_length);
// With the head as it goes upstream in x->head: an attempt begins. in_queue: bytes of the head that are in the
// client's queue still.
void exchange_forward(struct exchange *x, uint32_t in_queue);
// Was the request's head sent, and may it be had again?
static inline bool head_kept(const struct exchange *x)
{
	return x->sent.queued || x->sent.back;
}
// It is not to be sent again: x->head is its buffer, if that is ours by now, or NULL.
static inline void head_done(struct exchange *x)
{
	if (!head_kept(x))
		return;
	if (x->sent.back && !x->head) {
		x->head = x->sent.back;
		x->sent.back = NULL;
	}
	tcp_kept_end(&x->sent);
}
// Takes requests from the front of the queue, see client.c.
void client_requests(struct gateway *g, struct tcp_conn *c);
// Its first one, which was noted and is in g->head now, and what stands behind it.
void client_decided(struct gateway *g, struct tcp_conn *c, uint32_t head_length, uint32_t served);

// Drops the head from the queue; its buffer where it holds nothing else and is nobody else's.
struct pkt *head_take(struct tcp_conn *c, uint32_t n);
void request_id_make(struct gateway *g, char id[static 32]);
static inline bool logs_requests(const struct gateway *g)
{
	return atomic_load_explicit(&g->conf.region->log_level, memory_order_relaxed) >= LOG_INFO;
}

// prompt.c: requests whose route follows from their head alone
enum prompt { PROMPT_NOT, PROMPT_OPEN, PROMPT_CLOSE, PROMPT_PASS };
// Answers the request in g->head at once where that is all there is to it: OPEN, and the connection stays open;
// CLOSE, and it is to end. PASS: its route, which g->match knows, takes it to an upstream as it came; it may go
// by exchange_pass(). NOT: it goes the usual way; g->found and g->match may know its route.
enum prompt prompt_reply(struct gateway *g, struct tcp_conn *c, const struct listener_rules *rules,
			 uint32_t head_length, uint32_t served);
// exchange_route() for what may PASS.
void exchange_pass(struct exchange *x, uint32_t head_length);

// burst.c
// Where the head of the next request goes: it is noted then, or it goes its way at once.
static inline struct http_head *burst_head(struct gateway *g)
{
	return g->bursts && !g->deciding && g->n_noted < NOTED_MAX && (g->n_noted || tcp_more_told(g->tcp))
		       ? &g->noted[g->n_noted].head
		       : &g->head;
}
// False: it goes its way at once, and its head is in g->head now.
bool burst_note(struct gateway *g, struct tcp_conn *c, const struct snap_listener *l, uint32_t head_length,
		uint32_t served, uint32_t flags);
// The connection of a noted one has ended.
void burst_forget(struct gateway *g, const struct tcp_conn *c);
// For a new generation: whether it pays.
void burst_configure(struct gateway *g, const struct snapshot *s);
// What the PROXY protocol said of it.
static inline const struct proxy_header *client_proxied(const struct exchange *x)
{
	return &x->g->proxied[tcp_conn_index(x->client)];
}
// Who holds the client's connection, or has another hold it in its name (PROXY protocol).
static inline struct addr client_peer(const struct exchange *x)
{
	return x->proxied ? client_proxied(x)->src : tcp_remote(x->client);
}
// The port that it was asked for.
static inline unsigned client_port_asked(const struct exchange *x)
{
	return x->proxied ? client_proxied(x)->dst_port : x->listener->tcp_port;
}
// Ends a connection: what is queued is still sent.
void client_end(struct gateway *g, struct tcp_conn *c);
// A parked exchange's time has come.
void client_resume(struct exchange *x);
// The exchange is over (freed): goes on with the connection: next request, or end.
void client_continue(struct gateway *g, struct tcp_conn *c, uint32_t served, bool proxied, bool keep_alive);

// Ends a connection at once, with whatever goes on in it.
void client_cut(struct gateway *g, struct tcp_conn *c);
// Ends a connection that has served and now waits for its next request; others end after their answer.
void client_drain(struct gateway *g, struct tcp_conn *c);
// See gateway_client(), of a client's connection.
struct addr client_named(const struct gateway *g, const struct tcp_info *info);
// Is this the user of a client's connection that is an end of a tunnel?
bool client_tunnels(const void *user);
// patience.c: bodies that do not move, or too slowly
// The client's connection's timer is now for that.
void client_watch(struct exchange *x);
// It has run out.
void client_look(struct exchange *x);
// Something moves: the idle time begins anew.
static inline void client_progress(struct exchange *x)
{
	x->moved = x->g->now;
	if (x->watched != (x->response_started ? WATCHED_BOTH : WATCHED_BODY))
		client_watch(x);
}

// client.c
// Finds a response head; see head_parse() in client.c.
int response_head_parse(struct gateway *g, struct tcp_conn *c, uint32_t *scanned);
// The same for a trailer section.
int trailers_parse(struct gateway *g, struct tcp_conn *c, uint32_t *scanned, const struct http_limits *limits);
// Its peer has sent FIN, whatever is still in the queue.
bool conn_ended(const struct tcp_conn *c);

// exchange.c
void exchange_unpin(struct exchange *x);
// A deadline has come nearer: the timer fires at the nearest, or before.
void exchange_arm(struct exchange *x);
// The answer is complete: accounts, frees, goes on with the client's connection.
void exchange_finish(struct exchange *x);
// The client's connection is dead or must be cut: ends attempts, accounts, frees. The client is reset.
void exchange_abort(struct exchange *x);
// No (further) answer can be given: ends attempts, accounts, frees. What the client was sent before, earlier
// answers among it, still reaches it; then its connection ends, visibly before the end of the answer.
void exchange_cut(struct exchange *x);
// No answer from upstream will come: answers with status, or cuts the client off when its answer has begun.
void exchange_fail(struct exchange *x, uint16_t status, const char *message);
// Its generation is to go, and it has had no answer.
void exchange_give_up(struct exchange *x);
void exchange_timer(struct exchange *x);

// attempt.c
// The upstream that the next attempt is for: by the weights of the route's targets. NULL: all have 0.
const struct snap_upstream *attempt_upstream(struct exchange *x);
void attempt_start(struct exchange *x, const struct snap_upstream *u);
// Ends it without a response. conn_ok: its connection may be pooled.
void attempt_cancel(struct attempt *a);
void attempt_timeout(struct attempt *a);
void attempt_relayed(struct attempt *a);  // all of the request is sent: the time of its answer begins
void attempt_complete(struct attempt *a); // response and request are complete
tcp_event_fn upstream_event;
// Takes what the upstream has sent as far as it goes; false: the exchange has ended and is gone.
bool attempt_pump(struct attempt *a);

// hops.c: Max-Forwards of g->head, an OPTIONS or TRACE
enum hops { HOPS_MORE, HOPS_NONE, HOPS_BAD };
// MORE: it may be passed on, and says one less. NONE: it is to be answered here; g->reflected is a TRACE's
// answer.
enum hops hops_count(struct exchange *x);

// in_flight.c: limits on requests in flight
// Takes a credit of the listener, or of the route: false where there is none left, and that is answered (503).
bool in_flight_through(struct exchange *x, uint32_t head_length);
bool in_flight_on(struct exchange *x, uint32_t head_length);
void in_flight_end(struct exchange *x);
// Are there limits that were set by hand?
static inline uint32_t in_flight_by_hand(const struct gateway *g)
{
	return atomic_load_explicit(&g->conf.region->n_credits_by_hand, memory_order_acquire);
}
// Is there a limit that was configured, or may there be one that was set by hand? credits: as a listener or a
// route has it.
static inline bool in_flight_maybe(const struct gateway *g, uint16_t credits)
{
	return __builtin_expect((credits & SNAP_LIMITED) | in_flight_by_hand(g), 0) && credits;
}
static inline bool in_flight_limited(const struct exchange *x, uint16_t credits)
{
	return in_flight_maybe(x->g, credits) && !x->parked;
}

// cors.c
// The route of a preflight: that of the request which it asks for. False: it is none, or that route knows no
// CORS.
bool preflight_route(struct exchange *x, struct route_query *query);
// Whose origin asks; x->route has the stage.
void cors_begin(struct exchange *x);
// Field lines for an answer of ours, in g->path_next; empty where there are none.
struct slice cors_lines(struct exchange *x);

// path.c: the path of g->head
// Brings it into the form that a policy wants. False: it is refused.
bool path_apply(struct gateway *g, const struct snap_path *policy);
// The same with the policy of the route in g->match, which the result must match, too.
bool path_of_route(struct exchange *x, struct route_query *query);
void path_refuse(struct exchange *x, uint32_t head_length); // answers 400

// preface.c: the PROXY protocol
enum preface { PREFACE_MORE, PREFACE_NONE, PREFACE_CLIENT, PREFACE_BAD };
// Whether a new connection may, or must, begin with a header: MORE; NONE; BAD: it must, and its peer may not.
enum preface preface_begin(struct gateway *g, const struct tcp_conn *c, const struct snap_listener *l);
// Takes the header from the receive queue. CLIENT: g->proxied knows the client. NONE: the connection's ends
// hold.
enum preface preface_read(struct gateway *g, struct tcp_conn *c, const struct snap_listener *l);
// Says who the client is on a fresh connection to an upstream. 0, or -ENOBUFS.
int preface_send(struct attempt *a);
uint16_t client_port(const struct exchange *x); // of x->remote; 0: not known

// forwarded.c: who asks
// Finds x->remote. true where who holds the connection is trusted to say what the forwarded fields say.
bool forwarded_client(struct exchange *x);
// The forwarded fields as the upstream gets them. false: no room left.
bool forwarded_fields(struct exchange *x);

// forward.c: heads on their way through
// Builds x->head from g->head. 0, or the status to answer with.
uint16_t forward_request(struct exchange *x);
// Adds to a list-based field; several fields of the name become one. false: no room left.
bool forward_append(struct gateway *g, struct http_head *h, enum http_header id, struct slice name,
		    struct slice value);
// The same for where there mostly is no such field, with lengths that the compiler knows. Lines stand behind
// one another in g->text, so that they are written as one run.
static inline __attribute__((always_inline)) bool
forward_line(struct gateway *g, struct http_head *h, enum http_header id, struct slice name, struct slice value)
{
	char *line = g->text + g->text_used;
	size_t n = name.n + value.n + 4;

	if (http_has(h, id) || n > sizeof(g->text) - g->text_used)
		return forward_append(g, h, id, name, value);
	memcpy(line, name.p, name.n);
	memcpy(line + name.n, ": ", 2);
	copy_short(line + name.n + 2, value.p, value.n);
	memcpy(line + n - 2, "\r\n", 2);
	g->text_used += (uint32_t)n;
	return http_add_line(h, id, line, name.n, n);
}
// A fresh buffer, all of it open for writing; what is not used is trimmed by the caller. NULL: there is none.
struct pkt *buffer_open(struct gateway *g, uint32_t *room);
// Puts the response head in g->head together, in x->head. 0, or -ENOBUFS.
int forward_response(struct exchange *x, enum http_framing out, uint64_t length);
int forward_interim(struct exchange *x); // 1xx
// Bytes in packet buffers, as a chain; NULL when there are none left.
struct pkt *pkts_from(struct gateway *g, const char *p, size_t n);
// Sends a chain.
void send_chain(struct tcp_conn *c, struct pkt *p);
struct slice text_printf(struct gateway *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct slice gateway_date(struct gateway *g);

// plain.c: heads that pass nearly as they came
// What forward_request() does, of a request as it came whose route has no stages; false: it is none of these,
// or there is no buffer, and nothing has changed. *head_length becomes 0 where the head's own buffer has become
// x->head.
bool plain_request(struct exchange *x, uint32_t *head_length);
// The same for forward_response(); x->head is another attempt's or nobody's then.
bool plain_response(struct exchange *x, enum http_framing out);

// relay.c
enum relay {
	RELAY_MORE,
	RELAY_DONE,
	RELAY_TRAILERS, // all of the payload is moved, trailers stand behind it
	RELAY_ENDED,    // done, and its end is sent, too
	RELAY_FAULT,
	RELAY_EOF,
	RELAY_PAUSE, // more stands there than is looked at in one turn
	RELAY_NO_BUFFER
};
// Moves payload from one connection's receive queue to the other's send queue as far as both allow, framed
// anew. head: goes before it, and takes the first of it along where that fits one segment; NULL: none. *moved:
// payload bytes.
void relay_send(struct tcp_conn *to, struct pkt *p, bool chunked); // payload, framed
enum relay relay_body(struct gateway *g, struct tcp_conn *from, struct http_body *in, struct tcp_conn *to,
		      bool chunked, struct pkt *head, uint64_t *moved);
// A response's body that stands in one buffer with its head, and goes with x->head. False: it is another one,
// and nothing has changed. length: of the body; 0: not known, or none.
bool relay_whole(struct exchange *x, struct tcp_conn *from, uint32_t head_length, uint64_t length);
// The same of a request's, whose own head is taken already; it goes with `head`.
bool relay_whole_request(struct exchange *x, struct tcp_conn *to, struct pkt *head);
// Counts why no more was moved, and lets the timer go on with it.
void relay_again(struct exchange *x, enum relay why);
// As far as it goes now; false: the exchange has ended and is gone.
bool relay_request(struct exchange *x);
bool relay_response(struct exchange *x);

// reply.c: answers of our own
// JSON {error, message, request_id}. allow: methods for a 405.
void reply_error(struct exchange *x, uint16_t status, const char *message, uint32_t allow);
// Respond and redirect actions. spare: the request's buffer, which the answer may be written to; NULL: none.
// to: where a redirect leads.
void reply_route(struct exchange *x, struct pkt *spare, struct slice to);
// Puts the prepared answer of a route together in p, as head_take() or pkt_alloc() gives it: there is room.
void prepared_put(struct gateway *g, const struct snapshot *s, const struct snap_answer *a,
		  const char id[static SNAP_ID], bool head_only, bool keep_alive, struct pkt *p);
// OPTIONS or TRACE that may go no further.
void reply_last_hop(struct exchange *x);
// The same with field lines of the caller's.
void reply_refusal(struct exchange *x, uint16_t status, const char *message, struct slice fields);
// 406: what g->match names as on offer.
void reply_offers(struct exchange *x);
// For a connection without an exchange (malformed request, no exchange left); its connection ends with it.
void reply_bare(struct gateway *g, struct tcp_conn *c, uint16_t status, const char *message, bool head_only);
const char *reply_error_name(uint16_t status);
