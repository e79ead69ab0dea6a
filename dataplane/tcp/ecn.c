// Explicit Congestion Notification (RFC 3168): routers mark instead of dropping, the receiver echoes the mark,
// the sender answers as to a loss, without one.
#include "tcp/conn.h"

#define ECN_MASK 3
#define ECT_0    2
#define CE       3
#define SETUP    (TCP_ECE | TCP_CWR)

static bool willing(const struct tcp_conn *c)
{
	return c->ecn != TCP_ECN_NEVER && !(c->more & MORE_ECN_OFF);
}

// RFC 3168 6.1.1.1: a SYN that had no answer goes out again without, as something on the way may not let it
// pass. A SYN-ACK keeps what it said.
uint8_t ecn_syn_flags(struct tcp *t, struct tcp_conn *c)
{
	if (c->state == TCP_SYN_RECEIVED)
		return c->more & MORE_ECN ? TCP_ECE : 0;
	if (c->ecn != TCP_ECN_ACTIVE || (c->more & MORE_ECN_OFF))
		return 0;
	if (!(c->flags & CONN_SYN_AGAIN))
		return SETUP;
	c->more |= MORE_ECN_OFF;
	tcp_count(t, CTR_tcp_ecn_fallback);
	return 0;
}

bool ecn_syn_refused(struct tcp *t, struct tcp_conn *c)
{
	if (c->ecn != TCP_ECN_ACTIVE || (c->more & MORE_ECN_OFF) || !(c->flags & CONN_RTT))
		return false;
	c->more |= MORE_ECN_OFF;
	c->flags = (c->flags | CONN_SYN_DUE) & ~CONN_RTT; // another one is timed
	c->due_rexmt = 0;
	tcp_count(t, CTR_tcp_ecn_fallback);
	conn_dirty(c);
	return true;
}

// Also one that comes again without, as the peer gave up hope for it.
void ecn_syn_input(struct tcp_conn *c, const struct segment *s)
{
	c->more &= (uint16_t)~MORE_ECN;
	if ((s->flags & SETUP) == SETUP && willing(c))
		c->more |= MORE_ECN;
	else
		c->more |= MORE_ECN_OFF;
}

// Both flags in a SYN-ACK come from peers that reflect what they do not know.
void ecn_synack_input(struct tcp_conn *c, const struct segment *s)
{
	c->more &= (uint16_t)~MORE_ECN;
	if ((s->flags & SETUP) == TCP_ECE && c->ecn == TCP_ECN_ACTIVE && !(c->more & MORE_ECN_OFF))
		c->more |= MORE_ECN;
}

// RFC 3168 6.1.3: each ACK says so until the peer has heard it.
void ecn_data_input(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if (s->flags & TCP_CWR)
		c->more &= (uint16_t)~MORE_ECE;
	if ((s->net->tos & ECN_MASK) != CE)
		return;
	tcp_count(t, CTR_tcp_ecn_marked);
	if (!(c->more & MORE_ECE)) {
		c->flags |= CONN_ACK_NOW;
		conn_dirty(c);
	}
	c->more |= MORE_ECE;
}

void ecn_reduced(struct tcp_conn *c)
{
	c->more &= (uint16_t)~MORE_ECN_ROUND;
	if (c->more & MORE_ECN)
		c->more |= MORE_CWR;
}

// RFC 3168 6.1.2: as to a loss, once for each window. What was sent first after a reduction carries CWR, so
// only what acknowledges that begins another round.
void ecn_ack_input(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if ((c->more & MORE_ECN_ROUND) && seq_gt(s->ack, c->recover))
		c->more &= (uint16_t)~MORE_ECN_ROUND;
	if (!(s->flags & TCP_ECE) || (c->more & MORE_CWR) || (c->flags & CONN_RECOVERY) ||
	    seq_le(s->ack, c->recover))
		return;
	tcp_count(t, CTR_tcp_ecn_reduced);
	c->ssthresh = conn_cc(c)->lost(c, c->snd_max - c->snd_una, false);
	ecn_reduced(c);
	if (c->cwnd > c->ssthresh) // a timeout before may have shut it further
		c->cwnd = c->ssthresh > c->mss ? c->ssthresh : c->mss;
	c->recover = c->snd_max;
	c->more |= MORE_ECN_ROUND;
}

// RFC 3168 6.1.4 to 6.1.6: neither acknowledgements alone, nor what is sent again, nor probes are marked.
uint8_t ecn_flags(struct tcp_conn *c, bool fresh, uint8_t *tos)
{
	uint8_t flags = c->more & MORE_ECE ? TCP_ECE : 0;

	if (!fresh)
		return flags;
	*tos = ECT_0;
	if (c->more & MORE_CWR)
		flags |= TCP_CWR;
	c->more &= (uint16_t)~MORE_CWR;
	return flags;
}
