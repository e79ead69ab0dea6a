// Deadlines. Each connection has one timer in the wheel, armed for its earliest deadline or before: deadlines
// move with nearly every segment, the timer seldom.
#include "tcp/conn.h"
#include <errno.h>

#define MS            1000000ull
#define RTO_INITIAL   (1000 * MS) // RFC 6298 2.1
#define RTO_AFTER_SYN (3000 * MS) // RFC 6298 5.7
#define SYN_LATE      (500 * MS)
// RFC 6298 2.4 asks for a minimum of 1 s, against clocks of coarse granularity and long delayed ACKs; with
// ours of 1 ms, and peers that delay 40 ms, 200 ms is what other stacks use.
#define RTO_MIN   CONN_RTO_MIN
#define RTO_MAX   (60000 * MS) // RFC 6298 2.5
#define RTO_GRAIN 1049u        // us, one tick

uint64_t conn_rto(const struct tcp_conn *c)
{
	uint64_t rto;

	if (c->srtt && c->backoff == 0 && (uint64_t)c->srtt + RTO_GRAIN + 4ull * c->rttvar < RTO_MIN / 1000)
		return RTO_MIN;
	if (c->srtt == 0) {
		rto = (c->flags & CONN_OPENED) && (c->more & MORE_SYN_LOST) ? RTO_AFTER_SYN : RTO_INITIAL;
	} else {
		uint64_t var = 4ull * c->rttvar > RTO_GRAIN ? 4ull * c->rttvar : RTO_GRAIN;
		rto = (c->srtt + var) * 1000;
		if (rto < RTO_MIN)
			rto = RTO_MIN;
	}
	if (rto > RTO_MAX || c->backoff > 15 || rto << c->backoff > RTO_MAX)
		return RTO_MAX;
	return rto << c->backoff;
}

void conn_rtt_sample(struct tcp_conn *c, uint32_t us)
{
	if (us == 0)
		us = 1;
	if (us > 60000000)
		us = 60000000;
	if (c->srtt == 0) {
		c->srtt = us;
		c->rttvar = us / 2;
		return;
	}
	uint32_t diff = us > c->srtt ? us - c->srtt : c->srtt - us;
	c->rttvar = (3 * c->rttvar + diff) / 4;
	c->srtt = (7 * c->srtt + us) / 8;
	if (c->srtt == 0)
		c->srtt = 1;
}

// When the next keep-alive probe is due; 0: none, as there is something else to wait for.
static uint32_t keepalive_due(const struct tcp *t, const struct tcp_conn *c)
{
	bool idle = c->snd_una == c->snd_max && c->snd_una == c->snd_end + ((c->flags & CONN_FIN_QUEUED) != 0);

	if (t->conf.keep_idle == 0 || !idle || !conn_owned(c) ||
	    (c->state != TCP_ESTABLISHED && c->state != TCP_CLOSE_WAIT && c->state != TCP_FIN_WAIT_2))
		return 0;
	uint32_t due = c->last_rx + tick_at(t->conf.keep_idle + c->kept * t->conf.keep_interval);
	return due ? due : 1;
}

// Nothing was acknowledged for the user timeout.
static bool stalled(const struct tcp *t, const struct tcp_conn *c)
{
	uint16_t ticks = (uint16_t)((uint16_t)(t->now >> PROGRESS_SHIFT) - c->progress);

	return t->conf.user_timeout && (uint64_t)ticks << PROGRESS_SHIFT >= t->conf.user_timeout;
}

void conn_arm(struct tcp *t, struct tcp_conn *c)
{
	const uint32_t due[] = {c->due_rexmt, c->due_delack, c->due_user, keepalive_due(t, c)};
	uint32_t now = tick_now(t);
	int32_t least = INT32_MAX;

	for (unsigned i = 0; i < 4; i++)
		if (due[i] && (int32_t)(due[i] - now) < least)
			least = (int32_t)(due[i] - now);
	if (least == INT32_MAX)
		return;
	uint64_t at = (uint64_t)((int64_t)(t->now >> TICK_SHIFT) + least) << TICK_SHIFT;
	if (!timer_armed(&c->timer) || at < c->timer.at)
		timer_arm(t->wheel, &c->timer, at);
}

// A deadline that was just set, and its tick: the timer is armed for the others already, or before them.
static uint32_t arm_for(struct tcp *t, struct tcp_conn *c, uint64_t ns)
{
	uint64_t tick = (ns + (1u << TICK_SHIFT) - 1) >> TICK_SHIFT, at;

	tick += (uint32_t)tick == 0; // which is none
	at = tick << TICK_SHIFT;
	if (!timer_armed(&c->timer) || at < c->timer.at)
		timer_arm(t->wheel, &c->timer, at);
	return (uint32_t)tick;
}

void conn_set_user(struct tcp *t, struct tcp_conn *c, uint64_t at)
{
	c->due_user = arm_for(t, c, at);
}

void conn_set_rexmt(struct tcp *t, struct tcp_conn *c, uint64_t delay)
{
	// Not later than the user timeout ends.
	if (t->conf.user_timeout && c->state >= TCP_ESTABLISHED && c->state != TCP_FIN_WAIT_2) {
		uint16_t ticks = (uint16_t)((uint16_t)(t->now >> PROGRESS_SHIFT) - c->progress);
		uint64_t passed = (uint64_t)ticks << PROGRESS_SHIFT;
		uint64_t left = passed < t->conf.user_timeout ? t->conf.user_timeout - passed : 0;
		left += 1ull << PROGRESS_SHIFT; // so that it has surely ended
		delay = delay < left ? delay : left;
	}
	c->due_rexmt = arm_for(t, c, t->now + delay);
}

void conn_set_rto(struct tcp *t, struct tcp_conn *c)
{
	uint32_t probe = rack_probe_time(c);

	c->flags &= ~(CONN_PTO | CONN_REO);
	if (probe)
		c->flags |= CONN_PTO;
	conn_set_rexmt(t, c, probe ? probe * 1000ull : conn_rto(c));
}

void conn_set_delack(struct tcp *t, struct tcp_conn *c, uint64_t delay)
{
	c->due_delack = arm_for(t, c, t->now + delay);
}

static void give_up(struct tcp *t, struct tcp_conn *c)
{
	tcp_count(t, CTR_tcp_timeout);
	if (c->state >= TCP_SYN_RECEIVED)
		conn_send_control(t, c, TCP_RST | TCP_ACK);
	conn_fail(c, ETIMEDOUT);
}

static void syn_lost(struct tcp_conn *c)
{
	c->retries++;
	c->backoff++;
	c->flags |= CONN_SYN_DUE | CONN_SYN_AGAIN;
	c->more |= MORE_SYN_LOST;
}

static void syn_timeout(struct tcp *t, struct tcp_conn *c)
{
	if (c->retries >= t->conf.syn_retries) {
		tcp_count(t, CTR_tcp_timeout);
		conn_fail(c, ETIMEDOUT);
		return;
	}
	syn_lost(c);
	tcp_count(t, CTR_tcp_rto);
	conn_dirty(c);
}

void conn_syn_again(struct tcp *t, struct tcp_conn *c)
{
	uint64_t since = (uint64_t)(tick_now(t) - c->last_tx) << TICK_SHIFT;

	if (since >= SYN_LATE && c->retries < t->conf.syn_retries) {
		syn_lost(c);
		c->due_rexmt = 0; // begins anew, with what is sent now
	}
	c->flags |= CONN_SYN_DUE | CONN_SYN_AGAIN;
	conn_dirty(c);
}

// RFC 9293 3.8.6.1: a peer that answers probes may keep its window shut for ever, as long as somebody here
// still wants to send to it.
static void persist_timeout(struct tcp *t, struct tcp_conn *c)
{
	bool alone = (c->flags & CONN_ORPHAN) && c->backoff >= t->conf.data_retries;

	if (alone || stalled(t, c) || c->retries >= t->conf.data_retries) {
		if (c->retries < t->conf.data_retries) // it answered
			tcp_count(t, CTR_tcp_window_shut);
		give_up(t, c);
		return;
	}
	c->retries++;
	if (c->backoff < UINT8_MAX)
		c->backoff++;
	c->flags &= ~CONN_PERSIST;
	c->flags |= CONN_PROBE_DUE;
	conn_dirty(c);
}

static void rexmt_timeout(struct tcp *t, struct tcp_conn *c)
{
	if (c->state == TCP_FIN_WAIT_2) {
		if (c->flags & CONN_ORPHAN)
			conn_release(c);
		return;
	}
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED) {
		syn_timeout(t, c);
		return;
	}
	if (c->flags & CONN_PERSIST) {
		persist_timeout(t, c);
		return;
	}
	if (c->flags & CONN_REO) {
		rack_reo_timeout(t, c);
		return;
	}
	if (c->flags & CONN_PTO) {
		if (rack_probe_time(c))
			c->flags |= CONN_PTO_DUE;
		c->flags &= ~CONN_PTO;
		conn_set_rexmt(t, c, conn_rto(c));
		conn_dirty(c);
		return;
	}
	if (stalled(t, c) || c->retries >= t->conf.data_retries) {
		give_up(t, c);
		return;
	}
	c->retries++;
	pathmtu_timeout(t, c);
	loss_timeout(t, c);
	if (c->backoff < UINT8_MAX)
		c->backoff++; // RFC 6298 5.5
	tcp_count(t, CTR_tcp_rto);
	conn_set_rexmt(t, c, conn_rto(c));
	conn_dirty(c);
}

// False: given up; c may be gone.
static bool keepalive(struct tcp *t, struct tcp_conn *c)
{
	if (c->kept >= t->conf.keep_probes) {
		give_up(t, c);
		return false;
	}
	c->kept++;
	conn_send_keepalive(t, c);
	return true;
}

void tcp_probe(struct tcp_conn *c)
{
	bool idle = c->snd_una == c->snd_max && !(c->flags & (CONN_ORPHAN | CONN_DEAD));

	if (!idle || (c->state != TCP_ESTABLISHED && c->state != TCP_CLOSE_WAIT))
		return;
	if (c->kept < UINT8_MAX)
		c->kept++;
	conn_send_keepalive(c->tcp, c);
}

unsigned tcp_unanswered(const struct tcp_conn *c)
{
	return c->state == TCP_CLOSED ? 0 : c->kept; // an error stands in its place
}

void conn_timer(struct tcp *t, struct tcp_conn *c)
{
	if (tick_passed(t, c->due_user)) {
		c->due_user = 0;
		conn_notify(c, EV_TIMER);
	}
	if (tick_passed(t, c->due_delack)) {
		c->due_delack = 0;
		if (!(c->flags & CONN_NO_BUFFER) || c->rcv_nxt != c->last_ack)
			c->flags |= CONN_ACK_NOW;
		c->flags &= ~CONN_NO_BUFFER;
		conn_dirty(c);
	}
	if (tick_passed(t, keepalive_due(t, c)) && !keepalive(t, c))
		return;
	conn_arm(t, c);
	if (tick_passed(t, c->due_rexmt)) {
		c->due_rexmt = 0;
		rexmt_timeout(t, c); // may free c
	}
}
