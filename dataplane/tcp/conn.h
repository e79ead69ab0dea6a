// A connection, the stack, and what the files of this folder say to each other. Not for other folders (but for
// tests).
//
// Life: conn_create() → in the flow table, in any state but CLOSED → conn_detach() takes it out of the table
// and gives up its timers → once the owner has let go (CONN_ORPHAN) conn_release() → freed with its queues at
// once, or, while it stands in the ready or dirty list, when that list next meets it (CONN_DEAD).
//
// Owners may do anything to any connection from within an event, so after telling one nothing of the connection
// is touched.
#pragma once
#include "base/slab.h"
#include "base/wheel.h"
#include "tcp/cc.h"
#include "tcp/flow.h"
#include "tcp/header.h"
#include "tcp/seq.h"
#include "tcp/source.h"
#include "tcp/tcp.h"

#define CONN_ACCEPTED   (1u << 0)  // opened by the peer
#define CONN_TS         (1u << 1)  // timestamps agreed on
#define CONN_WSCALE     (1u << 2)  // window scale agreed on
#define CONN_ORPHAN     (1u << 3)  // no owner: not yet told, or it has closed
#define CONN_OPENED     (1u << 4)  // was established
#define CONN_FIN_QUEUED (1u << 5)  // FIN follows the send queue
#define CONN_FIN_SEEN   (1u << 6)  // the peer's FIN is part of rcv_nxt
#define CONN_FIN_AHEAD  (1u << 7)  // it came out of order and stands at fin_seq
#define CONN_ACK_NOW    (1u << 8)  // an acknowledgement is due with this flush
#define CONN_SYN_DUE    (1u << 9)  // SYN or SYN-ACK to be sent
#define CONN_SYN_AGAIN  (1u << 10) // it was sent more than once
#define CONN_RESEND     (1u << 11) // the segment at snd_una is to be sent again
#define CONN_RTT        (1u << 12) // rtt_seq is being timed
#define CONN_PERSIST    (1u << 13) // due_rexmt is a zero-window probe
#define CONN_PROBE_DUE  (1u << 14) // a probe is to be sent
#define CONN_SND_FULL   (1u << 15) // the owner waits for EV_WRITABLE
#define CONN_RECOVERY   (1u << 16) // fast recovery (RFC 6582)
#define CONN_IN_READY   (1u << 17)
#define CONN_IN_DIRTY   (1u << 18)
#define CONN_IN_FLOW    (1u << 19)
#define CONN_HALF_OPEN  (1u << 20) // in the list of accepted but not established ones
#define CONN_HAS_PATH   (1u << 21)
#define CONN_DEAD       (1u << 22) // freed as soon as no list holds it
#define CONN_NO_BUFFER  (1u << 23) // due_delack is the retry of a segment that found no buffer or queue room
#define CONN_TOLD       (1u << 24) // the owner has had an event, or made the connection

#define CONN_SACK      (1u << 25) // SACK agreed on
#define CONN_PTO       (1u << 26) // due_rexmt is a tail loss probe (RFC 8985 7.2)
#define CONN_REO       (1u << 27) // due_rexmt is the end of a reordering window (RFC 8985 6.2)
#define CONN_PTO_DUE   (1u << 28) // a tail loss probe is to be sent
#define CONN_TLP       (1u << 29) // one is under way; it ends at tlp_end
#define CONN_TLP_AGAIN (1u << 30) // and it was sent before
#define CONN_REORDERED (1u << 31) // the path has been seen to reorder

// A second word of flags.
#define MORE_ECN       (1u << 0) // ECN agreed on (RFC 3168)
#define MORE_ECN_OFF   (1u << 1) // not to be offered, or not again
#define MORE_ECE       (1u << 2) // congestion was met on the way here: ECE until the peer says CWR
#define MORE_CWR       (1u << 3) // CWR is due with the next new data
#define MORE_ECN_ROUND (1u << 4) // the window was reduced for an ECE; until something beyond `recover` is acked
#define MORE_REO_ROUND (1u << 5) // reo_round is set
#define MORE_RCV_FIXED (1u << 6) // rcv_buf was given, and is not tuned

#define MORE_RACK_AGAIN (1u << 7) // what rack_at tells of had been sent before

#define MORE_RCV_AWAITED (1u << 8) // the owner waits for more of what stands in the queue: it is packed tightly

#define MORE_SYN_LOST (1u << 9) // a timer ran out before the SYN was acknowledged (RFC 6298 5.7)

#define MORE_SEARCH (1u << 10) // larger packets are searched for (mtusearch.c)
#define MORE_TSO    (1u << 11) // the port's device cuts segments (port/tso.h)

#define CONN_LISTS (CONN_IN_READY | CONN_IN_DIRTY)

// Proportional rate reduction (RFC 6937), in bytes since recovery began.
struct prr {
	uint32_t begin, delivered, out; // under way then, delivered and sent since
};

// Of the first slow start (hystart.c); us. What a slow round must be below to be none is in w_max.
struct hystart {
	uint32_t round_end;
	uint32_t last : 27, slow_rounds : 3,
		begun : 1;                // the shortest round trip of the round before; 0: unknown
	uint32_t least : 27, samples : 5; // and of this one
};

struct tcp_conn {
	// Who, and the receive side. The ends never change; the rest is written by input and output.
	struct net_path path; // path.own: the peer's MSS
	uint16_t local_port, remote_port;
	uint32_t flags;
	uint8_t state, events;
	uint16_t more;
	uint32_t rcv_nxt;
	uint32_t rcv_adv;  // right edge of the window as advertised; never moves back
	uint32_t last_ack; // rcv_nxt as last sent (Last.ACK.sent of RFC 7323)

	// The send side (RFC 9293 3.3.1). snd_nxt goes back to snd_una after a timeout, snd_max does not.
	uint32_t snd_una, snd_nxt, snd_max;
	uint32_t snd_end; // behind the last byte queued; a FIN would stand there
	uint32_t snd_wnd, snd_wl1;
	uint32_t cwnd, ssthresh, recover;
	uint32_t ts_recent, ts_offset;
	uint16_t mss; // payload bytes of a full segment, timestamps allowed for
	union {
		uint8_t dupacks;  // without SACK
		uint8_t doubtful; // parts sent again in this recovery whose first copy has not been seen to
				  // arrive
	};
	uint8_t segs_unacked : 2;        // received with payload since the last ACK; 2: or more
	uint8_t quick : 6;               // so many more are to be acknowledged at once
	uint8_t backoff;                 // doublings of the RTO or of the probe interval
	uint8_t retries;                 // without an answer
	uint16_t ooo_count;              // buffers out of order
	uint32_t next_ready, next_dirty; // index + 1; 0: end
	uint16_t progress;               // when snd_una last moved or sending began, ticks of 2^27 ns
	union {
		uint8_t kept;  // keep-alive probes without an answer
		uint8_t error; // errno, after EV_ERROR
	};
	uint8_t snd_wscale : 4, rcv_wscale : 4;

	// Queues, linked through the buffers' private room (sendq.c, recvq.c).
	struct pkt *snd_head, *snd_tail;
	struct pkt *snd_cur; // where sending goes on; NULL: search from the head
	struct pkt *rcv_head, *rcv_tail;
	struct pkt *ooo;             // the newest run (ooo.c)
	uint32_t snd_held, rcv_held; // buffer bytes, of both receive queues together
	uint32_t rcv_len;            // payload bytes in order
	uint32_t rcv_buf;            // payload bytes, tuned (window_tune)

	// Time. due_* are ticks of 2^20 ns, 0: none; the timer is armed for the earliest of them or before.
	struct timer timer;
	uint32_t due_rexmt, due_delack, due_user;
	uint32_t srtt, rttvar; // us; srtt 0: no sample yet
	uint32_t rtt_seq, rtt_at;
	uint32_t last_rx, last_tx; // ticks
	uint32_t max_wnd;          // largest window the peer ever offered

	// The owner, and what is rarely touched.
	struct tcp *tcp;
	tcp_event_fn *fn;
	void *ctx;
	union {
		void *user;
		struct {
			uint32_t next, prev; // index + 1, in the half-open list: no owner yet
		} half_open;
	};
	union { // counted as a whole: 2^48 bytes are not reached
		uint64_t count_in;
		struct {
			uint64_t bytes_in : 48, round_at : 16; // of window_tune(), ticks of 2^16 ns
		};
	};
	union {
		uint64_t count_out;
		struct {
			uint64_t bytes_out : 48, mtu_at : 16; // when path.mtu was lowered (pathmtu.c); 0: not
		};
	};
	uint32_t tag;
	union {
		uint32_t fin_seq;  // with CONN_FIN_AHEAD
		uint32_t rcv_mark; // before: where that round may end
	};
	uint32_t opened; // ticks of 2^27 ns
	uint16_t retransmits;
	uint16_t challenged; // when the last challenge ACK was sent (challenge_tick())

	// Loss: touched only where something was lost, or came twice.
	struct sack_block dsack; // payload that came twice and was not yet reported; empty: none
	uint32_t sacked, lost;   // bytes: of the scoreboard (board.c)
	uint32_t fack;           // behind the last byte that the peer is known to have
	uint32_t min_rtt;        // us; 0: no sample yet
	// Of what was sent last among what has arrived: when it was sent (us), its end, its round trip;
	// rack_rtt 0: none yet.
	uint32_t rack_at, rack_end, rack_rtt;
	union {
		uint32_t tlp_end;
		uint32_t undo_cwnd; // in recovery: the window before; its lowest bit: nothing had been lost
				    // before
	};
	uint32_t reo_round;             // D-SACKs below it belong to one round
	uint8_t reo_mult, reo_persist;  // the reordering window in quarters of min_rtt, for so many recoveries
	uint8_t ecn : 4, cc : 4;        // enum tcp_ecn, enum tcp_cc
	uint8_t ooo_small;              // of the buffers out of order
	union {                         // what the one begins anew after the other
		struct prr prr;         // in recovery
		struct {                // CUBIC's outside of it: begin of its epoch (ms; 0: none), its K (ms)
			uint32_t epoch; // and Reno's window
			uint32_t k, w_est;
		} cubic;
		struct hystart hystart; // in its first slow start
	};
	uint32_t w_max; // CUBIC's
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct tcp_conn) == 384, "six cache lines");

// What is left of a connection in TIME_WAIT. The ends stand where they do in struct tcp_conn.
struct time_wait {
	struct addr local, remote;
	uint16_t port;
	uint8_t has_ts : 1, rcv_wscale : 4;
	uint8_t challenged; // when an empty segment was last answered (challenge_tick())
	uint32_t rcv_nxt;
	uint16_t local_port, remote_port;
	uint32_t snd_nxt;
	uint32_t ts_recent;
	uint32_t due;        // ticks
	uint32_t next, prev; // by age; index + 1
};
_Static_assert(sizeof(struct time_wait) == 64, "one cache line");
_Static_assert(offsetof(struct time_wait, local_port) == offsetof(struct tcp_conn, local_port), "flow_ends");

struct flow_ends {
	struct addr local, remote;
	uint64_t other;
	uint16_t local_port, remote_port;
};
_Static_assert(offsetof(struct flow_ends, local_port) == offsetof(struct tcp_conn, local_port), "flow_ends");

struct list {
	uint32_t head, tail; // index + 1
};

#define PATH_MTUS 256
struct path_mtu { // learnt by ICMP; a remote address has one place
	struct addr remote;
	uint16_t mtu, at;
};

#define MTU_SEARCHES 256
struct mtu_search {        // a connection has one place
	uint32_t owner;    // its index + 1; 0: nobody's
	uint32_t lo;       // where the probe under way begins
	uint16_t len;      // and its payload; 0: none is
	uint16_t size;     // its packet's
	uint16_t high, at; // the largest size that may pass; when the next probe may be sent, 0: at once
	bool failed;       // the probe was lost, and is not yet sent again
	bool told;         // `high` is a router's word
};

#define PORT_COUNTERS 64
#define RST_SOURCES   64

struct tcp {
	uint64_t now;
	struct tcp_config conf;
	struct net *net;
	struct wheel *wheel;
	struct worker_stats *stats;
	struct slab conns, waits;
	uint64_t *conn_used; // bit for each connection, for listings
	struct flow_table flows;
	struct list ready, dirty, half_open, wait_list;
	uint32_t n_half_open;
	uint32_t n_accepted;          // connections that peers opened
	uint64_t cookie_sent;         // when a cookie was sent last; 0: never
	uint64_t short_at;            // when packet buffers were last looked at, and what was seen (relief.c)
	bool tight, short_of_buffers; // tight: where queues hold what they may
	struct {                      // relief.c: a walk over all connections
		uint32_t at, worst, held; // held 0: none found yet
		uint64_t rest_until;
	} relief;
	struct {
		uint64_t at;
		uint32_t left;
	} walk; // steps that walks over scoreboards may take (rack.c)
	struct sources sources;
	uint32_t *conn_source; // of each connection, its place in sources; 0: not counted
	struct timer wait_timer;
	struct hash_key secret;
	struct tcp_rate rst_rate[RST_SOURCES];
	uint64_t held;     // buffer bytes, of all receive and send queues
	uint64_t held_out; // and of send queues alone
	uint32_t port_counter[PORT_COUNTERS];
	struct path_mtu path_mtu[PATH_MTUS];
	struct mtu_search mtu_search[MTU_SEARCHES];
};

static inline void tcp_count(struct tcp *t, enum counter c)
{
	stat_add(&t->stats->c[c], 1);
}

// A part of packet memory that is still free: what any one connection may hold in a queue. Those that hold most
// stop first, and as many connections as there are share what there is (Choudhury and Hahne's dynamic
// threshold).
#define SHARE_PARTS 8
static inline uint32_t tcp_share(const struct tcp *t)
{
	return t->held < t->conf.buffer_memory ? (uint32_t)((t->conf.buffer_memory - t->held) / SHARE_PARTS)
					       : 0;
}

// Ticks.
#define TICK_SHIFT 20
static inline uint32_t tick_now(const struct tcp *t)
{
	return (uint32_t)(t->now >> TICK_SHIFT);
}
static inline uint32_t tick_at(uint64_t ns) // rounded up; never 0
{
	uint32_t tick = (uint32_t)((ns + (1u << TICK_SHIFT) - 1) >> TICK_SHIFT);
	return tick ? tick : 1;
}
static inline bool tick_passed(const struct tcp *t, uint32_t due)
{
	return due && (int32_t)(tick_now(t) - due) >= 0;
}

static inline struct tcp_conn *conn_at(const struct tcp *t, uint32_t index)
{
	return (struct tcp_conn *)t->conns.mem + index;
}
static inline uint32_t conn_index(const struct tcp *t, const struct tcp_conn *c)
{
	return (uint32_t)(c - (const struct tcp_conn *)t->conns.mem);
}
static inline bool conn_owned(const struct tcp_conn *c)
{
	return (c->flags & (CONN_TOLD | CONN_ORPHAN)) == CONN_TOLD;
}
// Empty segments that need an answer get one a second (RFC 5961 7): when the last one did, in as many bits as
// are kept of it. Its lowest one is set: 0 is never.
static inline uint32_t challenge_tick(const struct tcp *t)
{
	return (uint32_t)(t->now >> 29) | 1;
}
#define PROGRESS_SHIFT 27
static inline void conn_progress(struct tcp_conn *c)
{
	c->progress = (uint16_t)(c->tcp->now >> PROGRESS_SHIFT);
}
static inline const struct cc_ops *conn_cc(const struct tcp_conn *c)
{
	return c->cc == TCP_CC_NEWRENO ? &cc_newreno : &cc_cubic;
}
static inline void conn_set_state(struct tcp_conn *c, enum tcp_state to)
{
	const struct tcp_config *conf = &c->tcp->conf;
	enum tcp_state from = (enum tcp_state)c->state;

	c->state = (uint8_t)to;
	if (__builtin_expect(conf->on_state != NULL, 0) && from != to)
		conf->on_state(conf->on_state_ctx, c, from, to);
}
// Payload and FIN on the wire that is not acknowledged.
static inline uint32_t conn_flight(const struct tcp_conn *c)
{
	return c->snd_nxt - c->snd_una;
}
static inline bool conn_fin_acked(const struct tcp_conn *c)
{
	return (c->flags & CONN_FIN_QUEUED) && c->snd_una == c->snd_end + 1;
}
static inline uint32_t conn_tsval(const struct tcp *t, uint32_t offset)
{
	return tick_now(t) + offset;
}

// conn.c
struct tcp_conn *conn_create(struct tcp *t, struct addr local, struct addr remote, uint16_t local_port,
			     uint16_t remote_port, uint16_t port, uint16_t hint, int *err);
void conn_established(struct tcp_conn *c);
// Reset, timed out, refused: the owner is told, or, where there is none, all is freed. c may be gone
// afterwards.
void conn_fail(struct tcp_conn *c, int error);
// Out of the flow table, no timer but the owner's, nothing more to send.
void conn_detach(struct tcp_conn *c);
void conn_release(struct tcp_conn *c);
void conn_notify(struct tcp_conn *c, unsigned events);
void conn_dirty(struct tcp_conn *c);
// Both sides have sent FIN and ours is acknowledged, or nothing is left to wait for. c may be gone afterwards.
void conn_finished(struct tcp_conn *c);
// The MSS from the peer's option (0: absent), the path and the options in use.
void conn_set_mss(struct tcp_conn *c, uint16_t peer);
uint8_t conn_wscale(uint32_t rcv_buf);
// floor: above what the incarnation before used (RFC 6191); 0: there was none. conn_numbers(): this, and the
// timestamps' offset, of a connection whose ends are known.
void conn_numbers(struct tcp *t, struct tcp_conn *c, uint32_t floor);
void conn_set_isn(struct tcp_conn *c, uint32_t isn);
uint32_t conn_isn(const struct tcp *t, const struct flow_ends *ends, uint32_t floor);
uint32_t conn_ts_offset(const struct tcp *t, const struct flow_ends *ends);

// find.c: FLOW_NONE, or the index of a connection (below conns.capacity) or of a TIME_WAIT record (above).
uint32_t flow_find(const struct tcp *t, uint64_t hash, struct addr local, struct addr remote,
		   uint16_t local_port, uint16_t remote_port);
void *flow_object(const struct tcp *t, uint32_t index);

// segment.c: false (counted) where it is malformed or damaged; the packet stays the caller's, in n->pkt.
bool segment_parse(struct tcp *t, struct net_seg *n, struct segment *s);

// input.c: a packet that is still in s->pkt afterwards is the caller's to free.
void conn_syn_options(struct tcp_conn *c, const struct segment *s, uint32_t rcv_buf);
void conn_input(struct tcp *t, struct tcp_conn *c, struct segment *s);
// Takes the header off; what is left of the chain belongs to the caller.
struct pkt *segment_strip(struct segment *s);

// listen.c
void listen_input(struct tcp *t, struct segment *s, uint32_t isn_floor);
void half_open_remove(struct tcp *t, struct tcp_conn *c);
// The handshake of c, which is half open, is complete with s: may it go on, as far as limits say? Counts it.
// False: not now, or never; c may be gone.
bool listen_admit(struct tcp *t, struct tcp_conn *c, struct segment *s);

// output.c
void conn_output(struct tcp *t, struct tcp_conn *c);
// Sends an empty segment with these flags at once: RST, or an ACK that cannot wait. False without a buffer.
bool conn_send_control(struct tcp *t, struct tcp_conn *c, uint8_t flags);
// An ACK with a number that the peer has already acknowledged, so that it answers (RFC 9293 3.8.4).
void conn_send_keepalive(struct tcp *t, struct tcp_conn *c);

// reply.c: segments that belong to no connection.
// They go out in the buffer that they answer, where that is possible: s->pkt is then NULL.
void reply_send(struct tcp *t, struct segment *s, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t wnd,
		const uint8_t *options, uint32_t n);
void reply_rst(struct tcp *t, struct segment *s);
void reply_ack(struct tcp *t, struct segment *s, uint32_t seq, uint32_t ack, uint16_t wnd, bool has_ts,
	       uint32_t tsval, uint32_t tsecr);
// An ACK for something that should not have come, at most two in a second for each connection (RFC 5961 7).
void conn_challenge(struct tcp *t, struct tcp_conn *c);

// True where one more may be; rate_take() counts it.
bool rate_ready(struct tcp_rate *r, uint64_t now);
bool rate_take(struct tcp_rate *r, uint64_t now);

// sendq.c
struct pkt *sendq_find(struct tcp_conn *c, uint32_t seq);
// How many payload bytes the segment at seq should have: at most max, ending with a buffer where possible.
uint32_t sendq_segment(struct tcp_conn *c, uint32_t seq, uint32_t max);
// A packet with these bytes as its data and room for headers: the queue's own buffer with one more reference,
// or a copy. NULL: no buffer left.
struct pkt *sendq_packet(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t len, uint32_t headers,
			 struct checksum_tail *sum);
// Payload from seq on that was never sent, as one packet for a device that cuts it into segments of `segment`
// bytes: at most max bytes, ending with a buffer. The queue's own buffers, one behind the other, but for the
// rest of one that was begun, which is copied. Returns how many bytes are in *out; 0: not more than a segment,
// or no buffer.
uint32_t sendq_large(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t max, uint32_t segment,
		     uint32_t headers, struct pkt **out);
// These bytes, which may have been part of such a packet, are to be sent again.
void sendq_unlink(struct tcp_conn *c, uint32_t seq, uint32_t len);
void sendq_acked(struct tcp_conn *c, uint32_t una);
void sendq_clear(struct tcp_conn *c);

// recvq.c
// Takes the payload (a chain) at seq; what lies outside of the window is dropped. True when rcv_nxt has moved.
bool recvq_add(struct tcp *t, struct tcp_conn *c, struct pkt *p, uint32_t seq, struct checksum_tail sum);
// Nothing has to be asked before a buffer more is taken.
bool recvq_ample(const struct tcp_conn *c);
// One buffer of payload that is next in order, with the sum of all of it, where that is known.
void recvq_in_order(struct tcp_conn *c, struct pkt *p, struct checksum_tail sum);
void recvq_clear(struct tcp_conn *c);
// Gives up all that is out of order, a FIN, too: the peer sends it again (RFC 2018 8).
void recvq_prune(struct tcp_conn *c);
// Payload from lo to hi came although it was there already (RFC 2883).
void recvq_duplicate(struct tcp_conn *c, uint32_t lo, uint32_t hi);
// What lies out of order, the most recent first (RFC 2018 4), behind a range that came twice, if any. Returns
// how many blocks, at most max.
unsigned recvq_sack(struct tcp_conn *c, struct sack_block *v, unsigned max);
// More was received in order: a window that a round trip fills half or more is doubled.
void window_tune(struct tcp_conn *c); // at rcv_mark
// The window to be offered now (bytes; RFC 9293 3.8.6.2.2), at least what was offered before.
uint32_t recvq_window(const struct tcp_conn *c);

// timer.c
#define FIN_WAIT_2_TIME 60000000000ull       // ns, once the owner has closed
#define DELACK_TIME     40000000ull          // ns
#define NO_BUFFER_TIME  10000000ull          // ns until a segment that found no buffer is tried again
#define CONN_RTO_MIN    200000000ull         // ns
uint64_t conn_rto(const struct tcp_conn *c); // ns, backed off
void conn_rtt_sample(struct tcp_conn *c, uint32_t us);
void conn_set_rexmt(struct tcp *t, struct tcp_conn *c, uint64_t delay);
// The same for what is under way: its RTO, or a tail loss probe before.
void conn_set_rto(struct tcp *t, struct tcp_conn *c);
void conn_set_delack(struct tcp *t, struct tcp_conn *c, uint64_t delay);
// Arms the wheel for the earliest deadline, where it is not armed for that or before.
void conn_arm(struct tcp *t, struct tcp_conn *c);
void conn_set_user(struct tcp *t, struct tcp_conn *c, uint64_t at); // ns; EV_TIMER is told
void conn_timer(struct tcp *t, struct tcp_conn *c);
// The SYN that is answered already comes again, and is answered again. Soon after the answer it is a copy that
// the path has made, which moves no timer (RFC 6298 5.1). Later the peer's timer has run out in place of ours.
void conn_syn_again(struct tcp *t, struct tcp_conn *c);

// loss.c: what was lost, and the window while that is mended.
void loss_dupack(struct tcp *t, struct tcp_conn *c);
void loss_acked(struct tcp *t, struct tcp_conn *c, uint32_t bytes, uint32_t flight);
void loss_timeout(struct tcp *t, struct tcp_conn *c);
uint32_t loss_window(const struct tcp_conn *c); // cwnd, with what limited transmit adds (RFC 3042)

// rack.c: the same where SACK is agreed. rack_ack() moves snd_una, too, and sets the timer.
void rack_ack(struct tcp *t, struct tcp_conn *c, const struct segment *s);
void rack_reo_timeout(struct tcp *t, struct tcp_conn *c);
void rack_timeout(struct tcp *t, struct tcp_conn *c);
uint32_t rack_probe_time(const struct tcp_conn *c);
// Bytes that are thought to be on their way (RFC 6675 2, pipe).
static inline uint32_t rack_pipe(const struct tcp_conn *c)
{
	return c->snd_max - c->snd_una - c->sacked - c->lost;
}

// ecn.c: Explicit Congestion Notification (RFC 3168).
uint8_t ecn_syn_flags(struct tcp *t, struct tcp_conn *c);        // for a SYN or SYN-ACK that is to be sent
void ecn_syn_input(struct tcp_conn *c, const struct segment *s); // a SYN came
void ecn_synack_input(struct tcp_conn *c, const struct segment *s);
// A SYN that offered ECN was answered with RST: true where it should be tried without.
bool ecn_syn_refused(struct tcp *t, struct tcp_conn *c);
void ecn_data_input(struct tcp *t, struct tcp_conn *c, const struct segment *s); // acceptable payload
void ecn_ack_input(struct tcp *t, struct tcp_conn *c, const struct segment *s);  // an acceptable ACK
void ecn_reduced(struct tcp_conn *c); // the window was reduced, for whatever reason
// Flags for an outgoing segment, fresh: with payload that was never sent before. Sets *tos.
uint8_t ecn_flags(struct tcp_conn *c, bool fresh, uint8_t *tos);

// hystart.c: so many were acknowledged in the first slow start: by how much the window grows. It may be over
// then.
uint32_t hystart_acked(struct tcp_conn *c, uint32_t bytes);

// pathmtu.c
// A new connection: what others have learnt of its path.
void pathmtu_begin(struct tcp *t, struct tcp_conn *c);
// An ICMP error says that packets may have so many bytes; 0: a router that does not know (RFC 1191 5).
void pathmtu_too_big(struct tcp *t, struct tcp_conn *c, uint16_t mtu);
// Nothing was acknowledged before one more timeout: do full segments get lost without a word (RFC 2923 2.1)?
void pathmtu_timeout(struct tcp *t, struct tcp_conn *c);
// Before sending: what was learnt long ago is forgotten (RFC 8201 5.4).
void pathmtu_age(struct tcp *t, struct tcp_conn *c);
// Packets of that size have arrived.
void pathmtu_raise(struct tcp *t, struct tcp_conn *c, uint16_t mtu);
static inline uint16_t pathmtu_now(const struct tcp *t)
{
	uint16_t at = (uint16_t)(t->now >> 32);
	return at ? at : 1;
}

// mtusearch.c. But for the first two, only where MORE_SEARCH is set.
bool mtu_search_begin(struct tcp *t, struct tcp_conn *c); // false: without SACK, or another is at it
void mtu_search_end(struct tcp *t, struct tcp_conn *c);
// Payload of a probe that may be sent at snd_nxt, or 0; and: it was sent.
uint32_t mtu_search_due(struct tcp *t, struct tcp_conn *c, uint32_t unsent, uint32_t room);
void mtu_search_sent(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t len);
static inline uint16_t mtu_search_size(const struct tcp *t, const struct tcp_conn *c) // of that probe's packet
{
	return t->mtu_search[conn_index(t, c) % MTU_SEARCHES].size;
}
void mtu_search_resent(struct tcp *t, struct tcp_conn *c, uint32_t lo, uint32_t hi); // that goes out again
void mtu_search_acked(struct tcp *t, struct tcp_conn *c);                            // snd_una has moved
bool mtu_search_lost(struct tcp *t, struct tcp_conn *c); // all that is lost is the probe
void mtu_search_timeout(struct tcp *t, struct tcp_conn *c);
bool mtu_search_too_big(struct tcp *t, struct tcp_conn *c, uint16_t mtu); // true: it was about the probe

// timewait.c
#define TIME_WAIT_DEFAULT 65536
void time_wait_enter(struct tcp *t, struct tcp_conn *c);
// Both FINs are acknowledged. False: c is gone.
bool time_wait_begin(struct tcp *t, struct tcp_conn *c);
void time_wait_input(struct tcp *t, struct time_wait *w, struct segment *s);
// May a connection of ours take this one's port? Its last segment is a second old, and timestamps tell late
// ones from the new connection's, at either end (RFC 6191, RFC 7323 5).
bool time_wait_reusable(const struct tcp *t, uint32_t index);
uint32_t time_wait_reuse(struct tcp *t, uint32_t index); // ends it; what it sent last, never 0
void time_wait_timer(struct tcp *t);
void time_wait_clear(struct tcp *t);

// relief.c: packet buffers run short: nothing new is begun, and those who hold them for nothing give way.
bool tcp_short(struct tcp *t);
bool tcp_tight(struct tcp *t);
// Buffer bytes that anybody's queue may hold, however many others hold theirs: as soon as it holds so many it
// takes no more.
#define TCP_FLOOR 4096u
static inline uint32_t tcp_floor(struct tcp *t)
{
	return tcp_tight(t) ? 1 : TCP_FLOOR;
}
void relief(struct tcp *t);

// ooo.c: what is wrong with it, or NULL; adds what it holds.
const char *ooo_check(const struct tcp_conn *c, uint32_t *held);

// info.c: what a connection must fulfil between bursts: NULL, or what is wrong.
const char *conn_check(const struct tcp_conn *c);

// ports.c: a free local port whose flow steers to this worker, or 0. *floor: what its last use sent last, or 0.
uint16_t ports_choose(struct tcp *t, uint16_t port, struct addr local, struct addr remote, uint16_t remote_port,
		      uint32_t *floor);
