// TCP (RFC 9293) for both roles: accepting clients and opening to upstreams. One stack for each worker; nothing
// here is shared, blocks, allocates from the heap, reads a clock or knows HTTP.
//
// Use: packets go in through tcp_input() (net's ops), time through tcp->now. Input only changes connections
// and notes what happened; after a burst the worker calls tcp_dispatch(), which tells each connection's owner
// once, with all its events together; then tcp_flush() sends what is due, so that acknowledgements ride on
// answers. Owners may call any function below on any connection from within an event, and at any other time
// between bursts.
//
// A connection belongs to its owner from on_event's first call (EV_OPEN) or from tcp_connect() until the owner
// calls tcp_close() or tcp_abort(), after which no event comes and the pointer must not be used; the stack
// finishes (FIN, TIME_WAIT) on its own. EV_ERROR tells that the connection is dead (reset, timed out,
// unreachable); the owner must still call tcp_close().
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/random.h"
#include "contract/address_list.h"
#include "net/net.h"
#include "port/steer.h"

struct tcp;
struct tcp_conn;

enum tcp_state {
	TCP_CLOSED,
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
	TCP_STATES
};
extern const char *const tcp_state_name[TCP_STATES];

enum tcp_event {
	EV_OPEN = 1,     // established (accepted: the first event; connected: after tcp_connect)
	EV_READABLE = 2, // in-order data, or more of it
	EV_WRITABLE = 4, // tcp_send_space() has become large again after it was too small
	EV_EOF = 8,      // the peer sent FIN and everything before it is in the receive queue
	EV_ERROR = 16,   // dead; tcp_error() says why
	EV_TIMER = 32,   // the owner's timer (tcp_set_timer) has run out
};

typedef void tcp_event_fn(void *ctx, struct tcp_conn *c, void *user, unsigned events);

// Congestion control.
enum tcp_cc {
	TCP_CC_DEFAULT, // what the one above says: listener, then stack, then CUBIC
	TCP_CC_CUBIC,   // RFC 9438
	TCP_CC_NEWRENO, // RFC 5681
	TCP_CC_KINDS
};

// Explicit congestion notification (RFC 3168).
enum tcp_ecn {
	TCP_ECN_DEFAULT, // what the one above says: listener or connection, then stack, then passive
	TCP_ECN_PASSIVE, // agreed to where the peer offers it
	TCP_ECN_ACTIVE,  // and offered in connections that we open
	TCP_ECN_NEVER,
	TCP_ECN_KINDS
};

// When a SYN is answered with a cookie (RFC 4987 3.6), for which nothing is kept until the handshake is
// complete: with the first, once half-open connections or connections at all run short.
enum tcp_cookies { TCP_COOKIES_PRESSURE, TCP_COOKIES_ALWAYS, TCP_COOKIES_NEVER };

// So many in a second, and `burst` at once.
struct tcp_rate {
	uint32_t rate, burst; // at least 1
	uint32_t tokens;
	uint64_t refilled; // ns
};

// A listener. The stack asks on each SYN and each handshake; the answer must be quick and have no effect.
struct tcp_accept {
	tcp_event_fn *on_event;
	void *ctx;
	uint32_t tag;     // for tcp_conn_tag(): which listener it was
	uint32_t rcv_buf; // bytes, not tuned; 0: as the stack's
	enum tcp_cc cc;
	enum tcp_ecn ecn;
	enum tcp_cookies cookies;
	// Limits. They count connections whose handshake is complete: those who forge addresses use up nothing.
	uint32_t max_per_address; // at a time, of one IPv4 address or IPv6 prefix; 0: no bound
	uint8_t prefix6;          // bits that tell IPv6 clients apart; 0: 64
	bool refuse_reset;        // what is beyond a limit is answered with RST, else ignored
	struct tcp_rate *rate;    // of handshakes, kept by the owner; NULL: no bound
};
// Fills *out and returns true where (port, local address, local TCP port) is listened on.
typedef bool tcp_listen_fn(void *ctx, uint16_t port, struct addr local, uint16_t local_port,
			   struct tcp_accept *out);

struct tcp_config {
	uint32_t max_conns;     // connections in any state but TIME_WAIT
	uint32_t reserve;       // of these, kept for tcp_connect()
	uint32_t max_half_open; // accepted and not established; 0: a quarter of max_conns, 4096
	uint16_t min_mss;       // a peer's smaller MSS counts as this one, default 216
	uint32_t max_time_wait; // compact records; 0: a default
	// Payload bytes that a connection may hold unread, at most; default 4 MiB. It begins with 64 KiB and
	// grows with what arrives in a round trip.
	uint32_t rcv_buf;
	// Buffer bytes that its send queue may hold, at most; default 4 MiB. It begins with 256 KiB and grows
	// with the congestion window.
	uint32_t snd_buf;
	// Buffer bytes that the queues of all connections may hold; 0: three quarters of the pool. The fuller
	// it is, the less may one connection hold.
	uint64_t buffer_memory;
	uint32_t ooo_max; // buffers kept out of order for each connection; 0: as rcv_buf and memory allow
	uint64_t msl;     // ns; TIME_WAIT lasts 2 MSL; default 30 s
	uint32_t syn_retries, data_retries; // defaults 5 and 10
	// ns that data may stay unacknowledged, be it that nothing answers or that the peer keeps its window
	// shut (RFC 5482, RFC 6429), up to an hour; then the connection ends with ETIMEDOUT. 0: only retries
	// count, and a peer that answers probes may keep its window shut for ever.
	uint64_t user_timeout;
	// A connection on which nothing came for keep_idle ns is probed each keep_interval (default 75 s), and
	// ends with ETIMEDOUT when keep_probes (default 9) found no answer. keep_idle 0: never (RFC
	// 9293 3.8.4).
	uint64_t keep_idle, keep_interval;
	uint32_t keep_probes;
	enum tcp_cc cc; // of connections for which nothing else is said
	enum tcp_ecn ecn;
	// When packet buffers run short, connections whose peer took nothing of what waits for it for
	// holder_time ns are ended, the one that holds most first. 0: none is.
	uint64_t holder_time;
	const struct address_list *addresses; // who is denied gets no answer; NULL: nobody is
	bool no_sack;                         // neither offer nor take SACK (RFC 2018)
	bool long_way;                        // no short cut for the common case: for tests, which compare
	tcp_listen_fn *listen;
	void *listen_ctx;
	const struct steer *steer[SNAP_PORTS_MAX]; // of each port
	unsigned worker;
	uint64_t secret[2]; // keys sequence numbers and the flow table
	// Told of each change of state, for whoever watches connections; NULL: nobody. TIME_WAIT's end is none.
	void (*on_state)(void *ctx, const struct tcp_conn *c, enum tcp_state from, enum tcp_state to);
	void *on_state_ctx;
};

// The stack as one worker owns it; opaque but for `now`.
struct tcp *tcp_create(struct arena *a, const struct tcp_config *conf, struct net *net, struct wheel *wheel,
		       struct worker_stats *stats);
size_t tcp_memory(const struct tcp_config *conf); // arena bytes tcp_create() will take, at most
// Resets and frees everything, silently. Afterwards no packet is held.
void tcp_destroy(struct tcp *t);

void tcp_input(void *tcp, struct net_seg *v, unsigned n); // as net_ops.tcp
void tcp_unreachable(void *tcp, struct addr local, struct addr remote, uint16_t local_port,
		     uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code, uint16_t mtu);
void tcp_set_now(struct tcp *t, uint64_t now);
// Tells owners what happened, until nothing is left to tell. Returns how many events were told.
unsigned tcp_dispatch(struct tcp *t);
bool tcp_more_told(const struct tcp *t); // behind the one that is told now
// Sends what is due: data, acknowledgements, window updates.
void tcp_flush(struct tcp *t);
// Something is to be told or sent at once, without waiting for a packet or a timer.
bool tcp_pending(const struct tcp *t);
bool tcp_owns_timer(const struct tcp *t, const struct timer *timer);
void tcp_timer(struct tcp *t, struct timer *timer);

// Opens to remote. local port chosen here so that the answers steer to this worker, and not one that is in
// TIME_WAIT. NULL with *err = -ENETUNREACH, -EADDRNOTAVAIL (no port left), -ENOMEM (no connection left).
struct tcp_conn *tcp_connect(struct tcp *t, uint16_t port, struct addr remote, uint16_t remote_port,
			     tcp_event_fn *fn, void *ctx, void *user, int *err);
// The same from a port of the caller's choice (0: any), which steers to this worker. -EADDRINUSE also where its
// last connection to remote is in TIME_WAIT.
struct tcp_conn *tcp_connect_from(struct tcp *t, uint16_t port, uint16_t local_port, struct addr remote,
				  uint16_t remote_port, tcp_event_fn *fn, void *ctx, void *user, int *err);

// Before it is established.
void tcp_set_cc(struct tcp_conn *c, enum tcp_cc cc);
// Bytes offered as window, at least 1; before the SYN is sent, which tells its scale.
void tcp_set_rcv_buf(struct tcp_conn *c, uint32_t bytes);
void tcp_set_ecn(struct tcp_conn *c, enum tcp_ecn ecn); // before its SYN is sent: before the next tcp_flush()
void tcp_set_user(struct tcp_conn *c, void *user);
void *tcp_user(const struct tcp_conn *c);
// Takes over the connection's events (from the listener's or connect's function).
void tcp_set_handler(struct tcp_conn *c, tcp_event_fn *fn, void *ctx, void *user);
uint32_t tcp_conn_tag(const struct tcp_conn *c);
uint32_t tcp_conn_index(const struct tcp_conn *c); // below max_conns; its own until its owner closes it

// Receive queue: in-order payload, in packet buffers.
uint32_t tcp_recv_len(const struct tcp_conn *c);     // payload bytes
struct pkt *tcp_recv_peek(const struct tcp_conn *c); // first buffer (unchained), not removed; NULL: none
struct pkt *tcp_recv_peek_next(const struct pkt *p); // the one behind it in the queue
void tcp_recv_skip(struct tcp_conn *c, uint32_t n);  // drops n payload bytes from the front
struct pkt *tcp_recv_take(struct tcp_conn *c);       // removes the first buffer; it is the caller's
bool tcp_recv_eof(const struct tcp_conn *c);         // FIN seen and the queue is empty
// The owner takes nothing of the queue until more is in it, n bytes at most. So many are then offered, however
// small the segments that they come in: else a peer whose window the beginning of a message has shut would wait
// for its owner, who waits for the rest. Said anew whenever something came.
void tcp_recv_await(struct tcp_conn *c, uint32_t n);
// The owner wants more before it takes what is in the queue: where that is little for the buffers that it is
// in, it is moved into those of the pool, as far as there are any. NULL is fine.
void tcp_recv_shrink(struct tcp_conn *c, struct pkt_pool *small);

// Send queue. tcp_send() takes over a buffer (unchained) with payload as its data; small ones may be copied
// into the buffer before, and one to which the caller keeps a reference (pkt_ref) is copied, so that it may be
// sent again elsewhere. It always succeeds (but for such a copy without a buffer left, which ends the
// connection with ENOBUFS): callers look at tcp_send_space() first and stop when it is 0. After tcp_shutdown()
// nothing may be sent.
bool tcp_send_full(struct tcp_conn *c);      // no space, without saying how much there is
uint32_t tcp_send_space(struct tcp_conn *c); // buffer bytes it may still take; 0: full, EV_WRITABLE follows
uint32_t tcp_send_queued(const struct tcp_conn *c); // payload bytes not yet acknowledged
void tcp_send(struct tcp_conn *c, struct pkt *p);
// What was received and is sent on as it is need not be read again for its checksum: the sum of the buffer that
// tcp_recv_peek() gave, from before it was taken, and tcp_send() with it. A sum that came with the bytes also
// shows to who gets them whether they were harmed here.
struct checksum_tail tcp_recv_sum(const struct pkt *p);
void tcp_forward(struct tcp_conn *c, struct pkt *p, struct checksum_tail sum);
// Bytes of headers in front of payload: with so much headroom a buffer is sent as it is.
uint32_t tcp_headers(const struct tcp_conn *c);
// tcp_send() of a buffer that the owner may want again: while the queue has it, it is `queued`; once all of it
// is acknowledged, or the connection has ended, it is `back`, as it was given, and the owner's. (NULL, where a
// driver still held it, and there was no buffer for a copy.) *kept stays where it is until tcp_kept_end(),
// which gives up whatever is left.
struct tcp_kept {
	struct pkt *queued, *back;
};
void tcp_send_kept(struct tcp_conn *c, struct pkt *p, struct tcp_kept *kept);
void tcp_kept_end(struct tcp_kept *kept);
// Copies; 0, or -ENOBUFS (nothing was taken).
int tcp_send_copy(struct tcp_conn *c, const void *data, uint32_t n);
// What is sent now would wait: the connection is not open both ways, something stands in the queue unsent, or
// the windows leave no room.
bool tcp_send_waits(const struct tcp_conn *c);
// Where what is sent next begins. tcp_send_began(): whether a byte of that has left, also after EV_ERROR.
// tcp_send_withdraw(): takes what was sent since off the queue again, of which no byte may have left; NULL: one
// has, nothing was sent, there is no buffer, or the connection has failed by anything but a reset. Afterwards
// it is to be closed.
uint32_t tcp_send_mark(const struct tcp_conn *c);
bool tcp_send_began(const struct tcp_conn *c, uint32_t mark);
struct pkt *tcp_send_withdraw(struct tcp_conn *c, uint32_t mark);
// No more data will be sent: FIN after what is queued. Receiving goes on.
void tcp_shutdown(struct tcp_conn *c);
// Gives the connection up: what is queued is still sent, then FIN; unread or later data is answered with RST
// (RFC 9293 3.6.1, RFC 2525 2.17).
void tcp_close(struct tcp_conn *c);
// RST at once.
void tcp_abort(struct tcp_conn *c);

// EV_TIMER at `at` (ns); 0 cancels. One for each connection.
void tcp_set_timer(struct tcp_conn *c, uint64_t at);

// Asks a peer that has nothing to say whether it is there (RFC 9293 3.8.4), where nothing of ours is under way
// to be answered. tcp_unanswered(): how many such probes found no answer since something last came.
void tcp_probe(struct tcp_conn *c);
unsigned tcp_unanswered(const struct tcp_conn *c);

struct tcp_info {
	struct addr local, remote;
	uint16_t local_port, remote_port, port;
	enum tcp_state state;
	uint64_t opened, last_rx; // ns
	uint64_t bytes_in, bytes_out;
	uint32_t queued_in, queued_out; // buffer bytes
	uint32_t srtt_us, rto_us, cwnd, mss, retransmits;
	uint32_t ssthresh;
	uint32_t flight; // bytes sent and not acknowledged, a FIN included
	uint32_t sacked; // of them what the peer said it has (RFC 2018)
	uint32_t pipe;   // of them those thought to be on their way (RFC 6675 2)
	uint8_t retries; // since something was last acknowledged
	bool recovery;   // fast recovery (RFC 6582, RFC 6937)
	bool probing;    // the peer's window is shut
	bool accepted;
	bool ecn;               // agreed on
	uint32_t rcv_buf;       // bytes that it may hold unread, now
	uint32_t index;         // tcp_conn_index()
	enum tcp_cc congestion; // not TCP_CC_DEFAULT
	const char *cc;         // the name of its congestion control
	tcp_event_fn *on_event; // of its owner; NULL: it has none any more
	const void *user;
};
void tcp_get_info(const struct tcp_conn *c, struct tcp_info *info);
int tcp_error(
	const struct tcp_conn *c); // after EV_ERROR: ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS
struct addr tcp_remote(const struct tcp_conn *c);
uint16_t tcp_remote_port(const struct tcp_conn *c);
uint32_t tcp_mss(const struct tcp_conn *c); // bytes of payload of a full segment

// Listing in bounded slices: fills up to n from *cursor (0 at first) on and moves it; 0 again at the end.
unsigned tcp_list(const struct tcp *t, uint64_t *cursor, struct tcp_info *out, unsigned n);

// The next connection from *cursor on (0 at first) whose events go to fn; NULL at the end. Owners may end it.
struct tcp_conn *tcp_next(const struct tcp *t, uint64_t *cursor, tcp_event_fn *fn);

struct tcp_pools {
	uint32_t conns_used, conns_high, conns_size;
	uint32_t time_wait_used, time_wait_high, time_wait_size;
	uint64_t queued_in, queued_out; // buffer bytes that receive and send queues hold
	uint64_t queue_limit;           // and may hold together (buffer_memory)
};
void tcp_pools(const struct tcp *t, struct tcp_pools *out);
// What every connection, queue and pool must fulfil between calls: NULL, or what does not. Looks at all of
// them.
const char *tcp_check(const struct tcp *t);
