// TIME_WAIT: a record of one cache line keeps the ends of a closed connection busy for 2 MSL, so that old
// segments meet no new connection and a lost last ACK can be sent again (RFC 9293 3.6.1). All records live
// equally long, so the list by age is also the list by deadline, and one timer serves them all.
//
// It ends earlier for a SYN of the peer that is surely later (RFC 6191), for a connection of ours when no other
// port is left, and for the oldest when all records are in use (counted). Its cost is 64 bytes and, in the flow
// table, 11 to 22.
#include "tcp/conn.h"

#define SECOND 954 // ticks

static struct time_wait *wait_at(const struct tcp *t, uint32_t index)
{
	return (struct time_wait *)t->waits.mem + index;
}
static uint32_t wait_index(const struct tcp *t, const struct time_wait *w)
{
	return (uint32_t)(w - (const struct time_wait *)t->waits.mem);
}

static uint64_t wait_hash(const struct tcp *t, const struct time_wait *w)
{
	return flow_hash(&t->flows, w->local, w->remote, w->local_port, w->remote_port);
}

static void wait_append(struct tcp *t, struct time_wait *w)
{
	uint32_t self = wait_index(t, w) + 1;

	w->due = tick_at(t->now + 2 * t->conf.msl);
	w->next = 0;
	w->prev = t->wait_list.tail;
	if (w->prev)
		wait_at(t, w->prev - 1)->next = self;
	else
		t->wait_list.head = self;
	t->wait_list.tail = self;
	if (!timer_armed(&t->wait_timer))
		timer_arm(t->wheel, &t->wait_timer, t->now + 2 * t->conf.msl);
}

static void wait_unlink(struct tcp *t, struct time_wait *w)
{
	if (w->prev)
		wait_at(t, w->prev - 1)->next = w->next;
	else
		t->wait_list.head = w->next;
	if (w->next)
		wait_at(t, w->next - 1)->prev = w->prev;
	else
		t->wait_list.tail = w->prev;
}

static void wait_free(struct tcp *t, struct time_wait *w)
{
	wait_unlink(t, w);
	flow_remove(&t->flows, wait_hash(t, w), t->conns.capacity + wait_index(t, w));
	slab_put(&t->waits, w);
}

void time_wait_enter(struct tcp *t, struct tcp_conn *c)
{
	struct time_wait *w;
	bool placed = false;

	if (t->wait_list.head && t->waits.used == t->waits.capacity) {
		tcp_count(t, CTR_tcp_time_wait_recycled);
		wait_free(t, wait_at(t, t->wait_list.head - 1));
	}
	if (c->last_ack != c->rcv_nxt || (c->flags & CONN_ACK_NOW))
		conn_send_control(t, c, TCP_ACK);
	w = slab_get(&t->waits);
	if (w) {
		*w = (struct time_wait){
			.local = c->path.local,
			.remote = c->path.remote,
			.port = c->path.port,
			.local_port = c->local_port,
			.remote_port = c->remote_port,
			.has_ts = (c->flags & CONN_TS) != 0,
			.rcv_wscale = c->rcv_wscale & 15u,
			.rcv_nxt = c->rcv_nxt,
			.snd_nxt = c->snd_nxt,
			.ts_recent = c->ts_recent,
		};
		if (c->flags & CONN_IN_FLOW) {
			flow_replace(&t->flows, wait_hash(t, w), conn_index(t, c),
				     t->conns.capacity + wait_index(t, w));
			c->flags &= ~CONN_IN_FLOW;
			placed = true;
		}
	}
	conn_release(c);
	if (!w)
		return;
	tcp_count(t, CTR_tcp_time_wait);
	if (!placed && !flow_insert(&t->flows, wait_hash(t, w), t->conns.capacity + wait_index(t, w))) {
		slab_put(&t->waits, w);
		return;
	}
	wait_append(t, w);
}

bool time_wait_begin(struct tcp *t, struct tcp_conn *c)
{
	conn_set_state(c, TCP_TIME_WAIT);
	c->due_rexmt = 0;
	c->flags &= ~CONN_PERSIST;
	if (conn_owned(c)) // the record takes over when the owner closes
		return true;
	time_wait_enter(t, c);
	return false;
}

// RFC 6191 2: a SYN is of a new incarnation if its clock or its sequence number is ahead, or if it alone has a
// clock.
static bool later(const struct time_wait *w, const struct segment *s)
{
	if (!s->opt.has_ts || (w->has_ts && s->opt.tsval == w->ts_recent))
		return seq_gt(s->seq, w->rcv_nxt);
	return !w->has_ts || seq_gt(s->opt.tsval, w->ts_recent);
}

void time_wait_input(struct tcp *t, struct time_wait *w, struct segment *s)
{
	bool ts = w->has_ts && s->opt.has_ts;
	uint8_t tick = (uint8_t)challenge_tick(t);

	if (s->flags & TCP_RST) // RFC 1337: no assassination
		return;
	if ((s->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		if (later(w, s)) {
			uint32_t floor = w->snd_nxt;
			tcp_count(t, CTR_tcp_time_wait_reused);
			wait_free(t, w);
			listen_input(t, s, floor ? floor : 1);
			return;
		}
	}
	if (ts && seq_lt(s->opt.tsval, w->ts_recent))
		tcp_count(t, CTR_tcp_paws);
	else if (ts && seq_le(s->seq, w->rcv_nxt))
		w->ts_recent = s->opt.tsval;
	if (s->len == 0 && !(s->flags & TCP_FIN)) {
		if (s->seq == w->rcv_nxt && !(s->flags & TCP_SYN))
			return;
		if (w->challenged == tick) {
			tcp_count(t, CTR_tcp_challenge_limited);
			return;
		}
		w->challenged = tick;
		tcp_count(t, CTR_tcp_challenge);
	}
	if ((s->flags & TCP_FIN) && s->seq + segment_span(s) == w->rcv_nxt) {
		wait_unlink(t, w);
		wait_append(t, w);
	}
	uint32_t offset = conn_ts_offset(t, (const struct flow_ends *)w);
	reply_ack(t, s, w->snd_nxt, w->rcv_nxt, (uint16_t)(UINT16_MAX >> w->rcv_wscale), w->has_ts,
		  conn_tsval(t, offset), w->ts_recent);
}

bool time_wait_reusable(const struct tcp *t, uint32_t index)
{
	if (index < t->conns.capacity)
		return false;
	const struct time_wait *w = flow_object(t, index);
	return w->has_ts && tick_at(2 * t->conf.msl) - (w->due - tick_now(t)) > SECOND;
}

uint32_t time_wait_reuse(struct tcp *t, uint32_t index)
{
	struct time_wait *w = flow_object(t, index);
	uint32_t floor = w->snd_nxt ? w->snd_nxt : 1;

	tcp_count(t, CTR_tcp_time_wait_port);
	wait_free(t, w);
	return floor;
}

void time_wait_timer(struct tcp *t)
{
	struct time_wait *w;

	while (t->wait_list.head) {
		w = wait_at(t, t->wait_list.head - 1);
		if (!tick_passed(t, w->due)) {
			timer_arm(t->wheel, &t->wait_timer,
				  ((t->now >> TICK_SHIFT) + (w->due - tick_now(t))) << TICK_SHIFT);
			return;
		}
		wait_free(t, w);
	}
}

void time_wait_clear(struct tcp *t)
{
	while (t->wait_list.head)
		wait_free(t, wait_at(t, t->wait_list.head - 1));
	timer_cancel(t->wheel, &t->wait_timer);
}
