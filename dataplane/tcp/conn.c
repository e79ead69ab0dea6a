// A connection's life, and what owners ask of it.
#include "tcp/conn.h"
#include <errno.h>

// Bytes of window before anything is known of the path (an initial window of ten segments fits), and where much
// of the memory is held.
#define RCV_BEGIN 65536u
#define RCV_MANY  16384u
#define RCV_SHORT 4096u

static void list_push(struct list *l, uint32_t index, uint32_t *next, uint32_t *tail_next)
{
	*next = 0;
	if (l->tail)
		*tail_next = index + 1;
	else
		l->head = index + 1;
	l->tail = index + 1;
}

void conn_dirty(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (c->flags & CONN_IN_DIRTY)
		return;
	c->flags |= CONN_IN_DIRTY;
	list_push(&t->dirty, conn_index(t, c), &c->next_dirty,
		  t->dirty.tail ? &conn_at(t, t->dirty.tail - 1)->next_dirty : NULL);
}

void conn_notify(struct tcp_conn *c, unsigned events)
{
	struct tcp *t = c->tcp;

	if (c->flags & (CONN_ORPHAN | CONN_DEAD))
		return;
	c->events |= (uint8_t)events;
	if (c->flags & CONN_IN_READY)
		return;
	c->flags |= CONN_IN_READY;
	list_push(&t->ready, conn_index(t, c), &c->next_ready,
		  t->ready.tail ? &conn_at(t, t->ready.tail - 1)->next_ready : NULL);
}

// One half is for sequence numbers, the other for timestamps.
static uint64_t secret_of(const struct tcp *t, const struct flow_ends *ends)
{
	struct {
		struct addr local, remote;
		uint16_t local_port, remote_port;
		uint32_t zero; // no padding is hashed
	} in = {ends->local, ends->remote, ends->local_port, ends->remote_port, 0};

	return siphash(t->secret, &in, sizeof(in));
}

// RFC 6528: a clock of 4 us (4.096 here) plus a keyed hash of the ends.
static uint32_t isn_of(const struct tcp *t, uint32_t hash, uint32_t floor)
{
	uint32_t isn = (uint32_t)(t->now >> 12) + hash;

	return floor && seq_lt(isn, floor + 65536) ? floor + 65536 : isn;
}

uint32_t conn_isn(const struct tcp *t, const struct flow_ends *ends, uint32_t floor)
{
	return isn_of(t, (uint32_t)secret_of(t, ends), floor);
}

// RFC 7323 5.4 and 7.1: timestamps do not tell our clock, but rise over all incarnations of one flow.
uint32_t conn_ts_offset(const struct tcp *t, const struct flow_ends *ends)
{
	return (uint32_t)(secret_of(t, ends) >> 32);
}

void conn_numbers(struct tcp *t, struct tcp_conn *c, uint32_t floor)
{
	uint64_t secret = secret_of(t, (const struct flow_ends *)c);

	c->ts_offset = (uint32_t)(secret >> 32);
	conn_set_isn(c, isn_of(t, (uint32_t)secret, floor));
}

void conn_set_isn(struct tcp_conn *c, uint32_t isn)
{
	c->snd_una = c->snd_nxt = c->snd_max = c->recover = isn;
	c->snd_end = isn + 1;
}

uint8_t conn_wscale(uint32_t rcv_buf)
{
	uint8_t shift = 0;

	while (shift < 14 && (65535u << shift) < rcv_buf)
		shift++;
	return shift;
}

// A window once offered cannot be taken back (RFC 9293 3.8.6), so the first one is no more than this
// connection's part of what is free: thousands that are opened before any has sent would else be promised many
// times the memory, and what they send were dropped. Who needs more gets it within few round trips
// (window_tune).
static uint32_t window_begin(const struct tcp *t)
{
	uint64_t memory = t->conf.buffer_memory, free = t->held < memory ? memory - t->held : 0;
	uint64_t part = free / 2 / t->conns.used;
	uint32_t least = t->held < memory / 4 ? RCV_MANY : RCV_SHORT;
	uint32_t begin = part > RCV_BEGIN ? RCV_BEGIN : part < least ? least : (uint32_t)part;

	return begin < t->conf.rcv_buf ? begin : t->conf.rcv_buf;
}

struct tcp_conn *conn_create(struct tcp *t, struct addr local, struct addr remote, uint16_t local_port,
			     uint16_t remote_port, uint16_t port, uint16_t hint, int *err)
{
	struct tcp_conn *c = slab_get(&t->conns);

	if (!c) {
		*err = -ENOMEM;
		return NULL;
	}
	*c = (struct tcp_conn){
		.local_port = local_port,
		.remote_port = remote_port,
		.state = TCP_CLOSED,
		.tcp = t,
		.rcv_buf = window_begin(t),
		.cc = (uint8_t)t->conf.cc & 15u,
		.ecn = (uint8_t)t->conf.ecn & 15u,
		.opened = (uint32_t)(t->now >> 27),
		.last_rx = tick_now(t),
		.last_tx = tick_now(t),
	};
	*err = net_path_init(t->net, &c->path, port, local, remote, hint);
	if (*err) {
		slab_put(&t->conns, c);
		return NULL;
	}
	c->flags |= CONN_HAS_PATH;
	uint32_t index = conn_index(t, c);
	t->conn_used[index / 64] |= 1ull << (index % 64);
	c->rcv_wscale = conn_wscale(t->conf.rcv_buf) & 15u;
	pathmtu_begin(t, c);
	conn_set_mss(c, 0);
	return c;
}

void conn_set_mss(struct tcp_conn *c, uint16_t peer)
{
	bool v4 = addr_is_v4(c->path.remote);
	uint32_t room = c->path.mtu - (v4 ? 40u : 60u);

	// RFC 9293 3.7.1: without the option 536 or 1220. Too little would let a peer cost us a packet for
	// each few bytes.
	if (peer == 0)
		peer = v4 ? 536 : 1220;
	if (peer < c->tcp->conf.min_mss) {
		tcp_count(c->tcp, CTR_tcp_tiny_mss);
		peer = c->tcp->conf.min_mss;
	}
	c->path.own = peer;
	uint32_t mss = peer < room ? peer : room;
	if (mss > PKT_ROOM) // small writes share a segment's buffer
		mss = PKT_ROOM;
	if (c->flags & CONN_TS)
		mss -= OPT_TS_LEN;
	c->mss = (uint16_t)mss;
	const struct tso *tso = &c->tcp->net->port[c->path.port].tso;
	if (__builtin_expect(tso->max && (v4 || tso->ipv6), 0))
		c->more |= MORE_TSO;
}

void conn_established(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (c->flags & CONN_HALF_OPEN)
		half_open_remove(t, c);
	conn_set_state(c, c->flags & CONN_FIN_QUEUED ? TCP_FIN_WAIT_1 : TCP_ESTABLISHED);
	c->flags |= CONN_OPENED;
	c->flags &= ~CONN_SYN_DUE;
	c->backoff = c->retries = 0;
	c->due_rexmt = 0;
	c->recover = c->fack = c->snd_una;
	conn_cc(c)->init(c);
	// RFC 5681 3.1: a lost SYN means a window of one segment to begin with.
	if (c->more & MORE_SYN_LOST)
		c->cwnd = c->mss;
	tcp_count(t, c->flags & CONN_ACCEPTED ? CTR_tcp_accepted : CTR_tcp_connected);
	if (c->more & MORE_ECN)
		tcp_count(t, CTR_tcp_ecn);
	c->flags |= CONN_TOLD;
	conn_notify(c, EV_OPEN);
	conn_dirty(c);
	conn_arm(t, c);
}

void conn_detach(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;
	uint32_t index = conn_index(t, c);

	if (c->flags & CONN_HALF_OPEN)
		half_open_remove(t, c);
	if (c->flags & CONN_IN_FLOW)
		flow_remove(&t->flows,
			    flow_hash(&t->flows, c->path.local, c->path.remote, c->local_port, c->remote_port),
			    index);
	if (c->flags & CONN_HAS_PATH)
		net_path_release(t->net, &c->path);
	if (c->more & MORE_SEARCH)
		mtu_search_end(t, c);
	if (t->sources.used && t->conn_source[index]) {
		source_drop(&t->sources, t->conn_source[index]);
		t->conn_source[index] = 0;
	}
	c->flags &= ~(CONN_IN_FLOW | CONN_HAS_PATH | CONN_ACK_NOW | CONN_SYN_DUE | CONN_RESEND |
		      CONN_PROBE_DUE | CONN_PTO | CONN_REO | CONN_PTO_DUE);
	conn_set_state(c, TCP_CLOSED);
	c->due_rexmt = c->due_delack = 0;
}

void conn_release(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;
	uint32_t index = conn_index(t, c);

	if (c->flags & CONN_DEAD)
		return;
	if (c->state != TCP_CLOSED || (c->flags & (CONN_IN_FLOW | CONN_HAS_PATH)))
		conn_detach(c);
	sendq_clear(c);
	recvq_clear(c);
	timer_cancel(t->wheel, &c->timer);
	t->conn_used[index / 64] &= ~(1ull << (index % 64));
	t->n_accepted -= (c->flags & CONN_ACCEPTED) != 0;
	c->flags |= CONN_DEAD;
	if (!(c->flags & CONN_LISTS))
		slab_put(&t->conns, c);
}

void conn_fail(struct tcp_conn *c, int error)
{
	if (!conn_owned(c)) {
		conn_release(c);
		return;
	}
	c->error = (uint8_t)error;
	conn_detach(c);
	// What was not sent to a peer that has reset it may go elsewhere (tcp_send_withdraw()).
	if (error != ECONNRESET)
		sendq_clear(c);
	conn_notify(c, EV_ERROR);
}

void conn_finished(struct tcp_conn *c)
{
	if (conn_owned(c)) {
		conn_detach(c);
		sendq_clear(c);
	} else {
		conn_release(c);
	}
}

struct tcp_conn *tcp_connect(struct tcp *t, uint16_t port, struct addr remote, uint16_t remote_port,
			     tcp_event_fn *fn, void *ctx, void *user, int *err)
{
	return tcp_connect_from(t, port, 0, remote, remote_port, fn, ctx, user, err);
}

struct tcp_conn *tcp_connect_from(struct tcp *t, uint16_t port, uint16_t local_port, struct addr remote,
				  uint16_t remote_port, tcp_event_fn *fn, void *ctx, void *user, int *err)
{
	struct addr any = {.w = {0, 0}};
	uint32_t floor = 0;
	struct tcp_conn *c = conn_create(t, any, remote, 0, remote_port, port, 0, err);

	if (!c) {
		if (*err == -ENOBUFS)
			*err = -ENOMEM;
		return NULL;
	}
	c->local_port = local_port ? local_port
				   : ports_choose(t, c->path.port, c->path.local, remote, remote_port, &floor);
	if (c->local_port == 0) {
		tcp_count(t, CTR_tcp_no_port_left);
		*err = -EADDRNOTAVAIL;
		goto give_up;
	}
	uint64_t hash = flow_hash(&t->flows, c->path.local, remote, c->local_port, remote_port);
	if (local_port && flow_find(t, hash, c->path.local, remote, local_port, remote_port) != FLOW_NONE) {
		*err = -EADDRINUSE;
		goto give_up;
	}
	if (!flow_insert(&t->flows, hash, conn_index(t, c))) {
		*err = -ENOMEM;
		goto give_up;
	}
	c->flags |= CONN_IN_FLOW | CONN_SYN_DUE | CONN_TOLD;
	conn_numbers(t, c, floor);
	c->fn = fn;
	c->ctx = ctx;
	c->user = user;
	conn_set_state(c, TCP_SYN_SENT);
	conn_dirty(c);
	return c;
give_up:
	conn_release(c);
	return NULL;
}

void tcp_shutdown(struct tcp_conn *c)
{
	if (c->flags & (CONN_FIN_QUEUED | CONN_DEAD))
		return;
	switch (c->state) {
	case TCP_CLOSED:
	case TCP_TIME_WAIT:
		return;
	case TCP_ESTABLISHED:
		conn_set_state(c, TCP_FIN_WAIT_1);
		break;
	case TCP_CLOSE_WAIT:
		conn_set_state(c, TCP_LAST_ACK);
		break;
	default: // not yet established: conn_established() sees the flag
		break;
	}
	c->flags |= CONN_FIN_QUEUED;
	if (c->flags & CONN_OPENED)
		conn_dirty(c);
}

// RST with the sequence number that the peer takes (RFC 9293 3.10.5).
static void conn_reset(struct tcp_conn *c)
{
	if (c->state >= TCP_SYN_RECEIVED && c->state != TCP_TIME_WAIT)
		conn_send_control(c->tcp, c, TCP_RST | TCP_ACK);
}

void tcp_close(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (c->flags & (CONN_ORPHAN | CONN_DEAD))
		return;
	c->flags |= CONN_ORPHAN;
	c->due_user = 0;
	switch (c->state) {
	case TCP_CLOSED:
	case TCP_SYN_SENT:
		conn_release(c);
		return;
	case TCP_TIME_WAIT:
		time_wait_enter(t, c);
		return;
	default:
		break;
	}
	if (c->rcv_len || c->ooo_count) {
		conn_reset(c);
		conn_release(c);
		return;
	}
	tcp_shutdown(c);
	if (c->state == TCP_FIN_WAIT_2)
		conn_set_rexmt(t, c, FIN_WAIT_2_TIME);
}

void tcp_abort(struct tcp_conn *c)
{
	if (c->flags & (CONN_ORPHAN | CONN_DEAD))
		return;
	c->flags |= CONN_ORPHAN;
	conn_reset(c);
	conn_release(c);
}

void tcp_set_timer(struct tcp_conn *c, uint64_t at)
{
	struct tcp *t = c->tcp;

	if (c->flags & (CONN_ORPHAN | CONN_DEAD))
		return;
	// Ticks are compared modulo 2^32: 13 days is the longest.
	if (at > t->now + (1ull << 50))
		at = t->now + (1ull << 50);
	if (at == 0)
		c->due_user = 0;
	else
		conn_set_user(t, c, at > t->now ? at : t->now);
}

void tcp_set_cc(struct tcp_conn *c, enum tcp_cc cc)
{
	if (cc != TCP_CC_DEFAULT && !(c->flags & CONN_OPENED))
		c->cc = (uint8_t)cc & 15u;
}

void tcp_set_rcv_buf(struct tcp_conn *c, uint32_t bytes)
{
	if (c->state != TCP_SYN_SENT || bytes == 0)
		return;
	c->rcv_buf = bytes;
	c->rcv_wscale = conn_wscale(bytes) & 15u;
	c->more |= MORE_RCV_FIXED;
}

void tcp_set_ecn(struct tcp_conn *c, enum tcp_ecn ecn)
{
	if (ecn != TCP_ECN_DEFAULT && !(c->flags & CONN_OPENED))
		c->ecn = (uint8_t)ecn & 15u;
}

void tcp_set_user(struct tcp_conn *c, void *user)
{
	c->user = user;
}

void *tcp_user(const struct tcp_conn *c)
{
	return c->user;
}

void tcp_set_handler(struct tcp_conn *c, tcp_event_fn *fn, void *ctx, void *user)
{
	c->fn = fn;
	c->ctx = ctx;
	c->user = user;
}

uint32_t tcp_conn_tag(const struct tcp_conn *c)
{
	return c->tag;
}

int tcp_error(const struct tcp_conn *c)
{
	return c->error;
}

struct addr tcp_remote(const struct tcp_conn *c)
{
	return c->path.remote;
}

uint32_t tcp_conn_index(const struct tcp_conn *c)
{
	return slab_index(&c->tcp->conns, c);
}

uint16_t tcp_remote_port(const struct tcp_conn *c)
{
	return c->remote_port;
}

uint32_t tcp_mss(const struct tcp_conn *c)
{
	return c->mss;
}
