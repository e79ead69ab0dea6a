// Loss recovery: NewReno (RFC 6582) with limited transmit (RFC 3042), and go-back-N after a timeout. What it
// decides is carried out by conn_output().
#include "tcp/conn.h"

#define DUP_THRESH 3

uint32_t loss_window(const struct tcp_conn *c)
{
	// Only what was never sent goes out beyond cwnd.
	if ((c->flags & CONN_RECOVERY) || c->dupacks >= DUP_THRESH || seq_lt(c->snd_nxt, c->snd_max))
		return c->cwnd;
	return c->cwnd + c->dupacks * (uint32_t)c->mss;
}

static void recovery_enter(struct tcp *t, struct tcp_conn *c)
{
	tcp_count(t, CTR_tcp_fast_retransmit);
	if (!(c->more & MORE_ECN_ROUND)) // once for each window (RFC 3168 6.1.2)
		c->ssthresh = conn_cc(c)->lost(c, c->snd_max - c->snd_una, false);
	ecn_reduced(c);
	c->cwnd = c->ssthresh + DUP_THRESH * (uint32_t)c->mss;
	c->recover = c->snd_max;
	c->flags |= CONN_RECOVERY | CONN_RESEND;
	c->flags &= ~CONN_RTT;
	conn_dirty(c);
}

void loss_dupack(struct tcp *t, struct tcp_conn *c)
{
	if (c->flags & CONN_RECOVERY) {
		c->cwnd += c->mss;
		conn_dirty(c);
		return;
	}
	if (c->dupacks < UINT8_MAX)
		c->dupacks++;
	// Below `recover` duplicates come from what was sent again after a timeout, not from a new loss.
	if (c->dupacks == DUP_THRESH && (seq_ge(c->snd_una, c->recover) || (c->more & MORE_ECN_ROUND)))
		recovery_enter(t, c);
	else if (c->dupacks < DUP_THRESH)
		conn_dirty(c);
}

void loss_acked(struct tcp *t, struct tcp_conn *c, uint32_t bytes, uint32_t flight)
{
	if (!(c->flags & CONN_RECOVERY)) {
		c->dupacks = 0;
		if (seq_gt(c->snd_una, c->recover))
			c->recover = c->snd_una; // keeps near, so that numbers may wrap
		if (!(c->more & MORE_ECN_ROUND))
			conn_cc(c)->acked(c, bytes, flight, t->now);
		return;
	}
	if (seq_ge(c->snd_una, c->recover)) {
		uint32_t left = c->snd_max - c->snd_una, floor = left > c->mss ? left : c->mss;
		c->cwnd = c->ssthresh < floor + c->mss ? c->ssthresh : floor + c->mss;
		c->flags &= ~(CONN_RECOVERY | CONN_RESEND);
		c->dupacks = 0;
		return;
	}
	// A partial acknowledgement: the next hole is known, too.
	c->cwnd = c->cwnd > bytes ? c->cwnd - bytes : 0;
	if (bytes >= c->mss || c->cwnd < c->mss)
		c->cwnd += c->mss;
	c->flags |= CONN_RESEND;
}

void loss_timeout(struct tcp *t, struct tcp_conn *c)
{
	// RFC 5681 3.1: once for each segment lost. Retries may have been those of probes.
	if (c->retries <= 1 || seq_ge(c->snd_una, c->recover))
		c->ssthresh = conn_cc(c)->lost(c, c->snd_max - c->snd_una, true);
	ecn_reduced(c);
	c->cwnd = c->mss;
	c->recover = c->snd_max;
	c->dupacks = 0;
	c->flags &= ~(CONN_RECOVERY | CONN_RESEND | CONN_RTT);
	if (c->flags & CONN_SACK)
		rack_timeout(t, c);
	else
		c->snd_nxt = c->snd_una;
}
