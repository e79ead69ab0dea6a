// Loss recovery where SACK is agreed: RACK-TLP (RFC 8985), with proportional rate reduction (RFC 6937) of the
// window. A part counts as lost when one that was sent later has arrived and a reordering window is over.
//
// Work for an ACK: one walk over what is under way for its blocks, and one to find losses, both only if the ACK
// tells something. They step over what the peer has, so their length is the number of holes. A hostile peer
// makes as many as he likes: each walk may take WALK_FREE steps, and all connections together WALK_RATE more in
// a millisecond; what is not reached waits for a later ACK.
#include "tcp/sendq.h"

#define WALK_FREE    64
#define WALK_RATE    4096u
#define WALK_BURST   65536u
#define DUP_THRESH   3
#define REO_PERSIST  16
#define REO_MULT_MAX 64
#define DELACK_WORST 200000u // us, RFC 8985 7.2 (WCDelAckT)
#define PTO_FLOOR    2000u   // us, for clocks of coarse granularity at both ends

// What one ACK delivered.
struct delivery {
	uint32_t bytes;
	bool any;
	bool dsack;
};

static uint32_t us_now(const struct tcp *t)
{
	return (uint32_t)(t->now / 1000);
}

// May a walk go on?
static bool step(struct tcp *t, unsigned *walked)
{
	if (++*walked <= WALK_FREE)
		return true;
	uint64_t ms = (t->now - t->walk.at) / 1000000;
	if (ms) {
		uint64_t more = t->walk.left + ms * WALK_RATE;
		t->walk.left = more < WALK_BURST ? (uint32_t)more : WALK_BURST;
		t->walk.at = t->now;
	}
	if (t->walk.left == 0) {
		tcp_count(t, CTR_tcp_sack_limited);
		return false;
	}
	t->walk.left--;
	return true;
}

static bool after(uint32_t at, uint32_t end, uint32_t than_at, uint32_t than_end)
{
	return at != than_at ? seq_gt(at, than_at) : seq_gt(end, than_end);
}

// The echoed timestamp is from before the time at which the part was sent again, rtt us ago.
static bool echo_older(const struct tcp *t, const struct tcp_conn *c, const struct segment *s, uint32_t rtt)
{
	if (!(c->flags & CONN_TS) || !s->opt.has_ts)
		return false;
	uint32_t age = conn_tsval(t, c->ts_offset) - s->opt.tsecr;
	return age < 1u << 20 && (uint64_t)age * 1049 > rtt + 2 * 1049ull;
}

// RFC 8985 6.2 step 2: may the acknowledgement belong to an earlier copy of what was sent again?
static bool ambiguous(const struct tcp *t, const struct tcp_conn *c, const struct segment *s, uint32_t rtt)
{
	return rtt < c->min_rtt || echo_older(t, c, s, rtt);
}

// A part that was sent again in this recovery has arrived. It surely was its first copy when the answer came
// too soon for the second, or when that filled the hole and the peer echoes a time before (RFC 3522); what lies
// behind a hole moves no timestamp.
static void again_delivered(struct tcp *t, struct tcp_conn *c, const struct segment *s, uint32_t rtt,
			    bool in_order)
{
	if (!(c->flags & CONN_RECOVERY) || c->doubtful == 0 || c->doubtful == UINT8_MAX)
		return;
	if (rtt < c->min_rtt / 2 || (in_order && echo_older(t, c, s, rtt)))
		c->doubtful--;
}

// RFC 8985 6.2 steps 1 to 3 for one part that has just been delivered.
static void delivered(struct tcp *t, struct tcp_conn *c, const struct segment *s, const struct board_pos *b,
		      uint32_t hi, bool in_order, struct delivery *d)
{
	uint32_t rtt = us_now(t) - b->part->sent_at;
	bool again = b->part->flags & PART_RETRANS;

	d->any = true;
	d->bytes += hi - b->lo;
	if (seq_gt(hi, c->fack))
		c->fack = hi;
	else if (seq_lt(hi, c->fack) && !again)
		c->flags |= CONN_REORDERED;
	if (again && hi == b->hi)
		again_delivered(t, c, s, rtt, in_order);
	if (again && ambiguous(t, c, s, rtt))
		return;
	if (!again) {
		// A minimum that forgets slowly, as paths change.
		if (c->min_rtt == 0 || rtt < c->min_rtt)
			c->min_rtt = rtt ? rtt : 1;
		else
			c->min_rtt += (rtt - c->min_rtt) >> 10;
	}
	if (c->rack_rtt == 0 || after(b->part->sent_at, hi, c->rack_at, c->rack_end)) {
		c->rack_at = b->part->sent_at;
		c->rack_end = hi;
		c->rack_rtt = rtt ? rtt : 1;
		c->more = (uint16_t)(again ? c->more | MORE_RACK_AGAIN : c->more & ~MORE_RACK_AGAIN);
	}
}

// Takes what the cumulative acknowledgement covers off the scoreboard. snd_una has not moved yet.
static void cumulative(struct tcp *t, struct tcp_conn *c, const struct segment *s, struct delivery *d)
{
	struct board_pos b;

	for (bool more = board_first(c, &b); more && seq_lt(b.lo, s->ack); more = board_next(c, &b)) {
		uint32_t hi = seq_lt(b.hi, s->ack) ? b.hi : s->ack;

		if (b.part->flags & PART_LOST)
			c->lost -= hi - b.lo;
		if (b.part->flags & PART_SACKED)
			c->sacked -= hi - b.lo;
		else
			delivered(t, c, s, &b, hi, true, d);
	}
}

// RFC 2883 4: the first block repeats what is acknowledged, or lies within the second.
static bool is_dsack(const struct segment *s)
{
	const struct sack_block *v = s->opt.sack;

	if (!seq_lt(v[0].lo, v[0].hi))
		return false;
	if (seq_le(v[0].hi, s->ack))
		return true;
	return s->opt.n_sack > 1 && seq_ge(v[0].lo, v[1].lo) && seq_le(v[0].hi, v[1].hi);
}

static void selective(struct tcp *t, struct tcp_conn *c, const struct segment *s, struct delivery *d)
{
	struct sack_block v[SACK_MAX];
	unsigned n = 0, walked = 0;
	struct board_pos b;
	uint32_t last = c->snd_una;

	if (s->opt.n_sack == 0)
		return;
	d->dsack = is_dsack(s);
	for (unsigned i = d->dsack; i < s->opt.n_sack; i++) {
		struct sack_block k = s->opt.sack[i];
		if (!seq_lt(k.lo, k.hi) || seq_gt(k.hi, c->snd_max) || seq_lt(k.lo, c->snd_una - c->max_wnd)) {
			tcp_count(t, CTR_tcp_sack_bad);
			continue;
		}
		if (seq_le(k.hi, c->snd_una))
			continue;
		v[n++] = k;
		last = seq_max(last, k.hi);
	}
	if (n == 0)
		return;
	for (bool more = board_first_open(c, &b); more && seq_lt(b.lo, last) && step(t, &walked);
	     more = board_next_open(c, &b)) {
		if (b.part->flags & PART_SACKED)
			continue;
		for (unsigned i = 0; i < n; i++) {
			if (seq_lt(b.lo, v[i].lo) || seq_gt(b.hi, v[i].hi))
				continue;
			delivered(t, c, s, &b, b.hi, false, d);
			board_sacked(c, &b);
			break;
		}
	}
}

// RFC 8985 6.2 step 4: how much later than its successor a part may come.
static uint32_t reordering_window(const struct tcp_conn *c)
{
	if (!(c->flags & CONN_REORDERED) &&
	    ((c->flags & CONN_RECOVERY) || c->sacked >= DUP_THRESH * (uint32_t)c->mss))
		return 0;
	uint64_t reo = (uint64_t)(c->reo_mult ? c->reo_mult : 1) * c->min_rtt / 4;
	return reo < c->srtt ? (uint32_t)reo : c->srtt;
}

// A D-SACK means that something was sent again for nothing: wait longer, for some recoveries.
static void reordering_adapt(struct tcp *t, struct tcp_conn *c, const struct delivery *d)
{
	if ((c->more & MORE_REO_ROUND) && seq_ge(c->snd_una, c->reo_round))
		c->more &= (uint16_t)~MORE_REO_ROUND;
	if (!d->dsack)
		return;
	tcp_count(t, CTR_tcp_dsack_rx);
	if (!(c->flags & CONN_TLP_AGAIN))
		c->flags |= CONN_REORDERED;
	if (c->more & MORE_REO_ROUND)
		return;
	c->more |= MORE_REO_ROUND;
	c->reo_round = c->snd_max;
	if (c->reo_mult < REO_MULT_MAX)
		c->reo_mult = (uint8_t)(c->reo_mult ? c->reo_mult + 1 : 2);
	c->reo_persist = REO_PERSIST;
}

static void recovery_over(struct tcp_conn *c)
{
	if (c->reo_persist && --c->reo_persist == 0)
		c->reo_mult = 1;
}

// RFC 8985 6.2 step 5. Returns us until the next part may be taken for lost, 0: none waits.
static uint32_t detect(struct tcp *t, struct tcp_conn *c)
{
	uint32_t now = us_now(t), reo = reordering_window(c), wait = 0, edge = c->snd_max;
	unsigned walked = 0;
	struct board_pos b;

	if (c->rack_rtt == 0)
		return 0;
	// What lies behind the highest that has arrived was sent later, unless that was sent again.
	if (!(c->more & MORE_RACK_AGAIN) && seq_ge(c->rack_end, c->fack))
		edge = c->rack_end;
	for (bool more = board_first_open(c, &b); more && seq_lt(b.lo, edge) && step(t, &walked);
	     more = board_next_open(c, &b)) {
		if ((b.part->flags & (PART_SACKED | PART_LOST)) ||
		    !after(c->rack_at, c->rack_end, b.part->sent_at, b.hi))
			continue;
		int32_t left = (int32_t)(b.part->sent_at + c->rack_rtt + reo - now);
		if (left <= 0)
			board_lost(c, &b);
		else if ((uint32_t)left > wait)
			wait = (uint32_t)left;
	}
	return wait;
}

static void recovery_enter(struct tcp *t, struct tcp_conn *c, uint32_t flight)
{
	tcp_count(t, CTR_tcp_fast_retransmit);
	c->undo_cwnd = c->cwnd & ~1u;
	c->undo_cwnd |= c->ssthresh >= CWND_MAX; // nothing was ever lost
	c->doubtful = c->flags & CONN_TLP_AGAIN || c->more & MORE_ECN_ROUND ? UINT8_MAX : 0;
	if (!(c->more & MORE_ECN_ROUND)) // once for each window (RFC 3168 6.1.2)
		c->ssthresh = conn_cc(c)->lost(c, flight, false);
	ecn_reduced(c);
	c->prr = (struct prr){.begin = flight ? flight : 1};
	c->recover = c->snd_max;
	// One goes out at once, whatever the window says.
	c->flags |= CONN_RECOVERY | CONN_RESEND;
	c->flags &= ~(CONN_RTT | CONN_TLP | CONN_TLP_AGAIN);
}

// Nothing was lost, only late: all that was sent again had been on its way (RFC 4015). The window is what it
// was.
static void recovery_undo(struct tcp *t, struct tcp_conn *c)
{
	tcp_count(t, CTR_tcp_undo);
	c->flags = (c->flags | CONN_REORDERED) & ~(CONN_RECOVERY | CONN_RESEND);
	c->cwnd = c->undo_cwnd > c->cwnd ? c->undo_cwnd & ~1u : c->cwnd;
	if (c->undo_cwnd & 1)
		c->ssthresh = CWND_MAX;
	else if (c->ssthresh < c->cwnd)
		c->ssthresh = c->cwnd;
	c->prr = (struct prr){0};
}

// RFC 6937 3, with its slow start reduction bound.
static void rate_reduce(struct tcp_conn *c, uint32_t bytes)
{
	uint32_t pipe = rack_pipe(c), send;

	c->prr.delivered += bytes;
	if (pipe > c->ssthresh) {
		uint64_t share = ((uint64_t)c->prr.delivered * c->ssthresh + c->prr.begin - 1) / c->prr.begin;
		send = share > c->prr.out ? (uint32_t)share - c->prr.out : 0;
	} else {
		uint32_t owed = c->prr.delivered > c->prr.out ? c->prr.delivered - c->prr.out : 0;
		uint32_t limit = (owed > bytes ? owed : bytes) + c->mss;
		send = c->ssthresh - pipe < limit ? c->ssthresh - pipe : limit;
	}
	c->cwnd = pipe + send > c->mss ? pipe + send : c->mss;
}

// Losses are marked: begin to mend them, and be called again when more may be.
static void react(struct tcp *t, struct tcp_conn *c, uint32_t wait, uint32_t flight, uint32_t bytes, bool timer)
{
	if (c->lost && !(c->flags & CONN_RECOVERY) && (c->more & MORE_SEARCH) && mtu_search_lost(t, c))
		c->flags |= CONN_RESEND; // no congestion (RFC 4821 7.6.2)
	else if (c->lost && !(c->flags & CONN_RECOVERY) &&
		 (seq_ge(c->snd_una, c->recover) || (c->more & MORE_ECN_ROUND))) {
		recovery_enter(t, c, flight);
		bytes = bytes ? bytes : 1;
	}
	if ((c->flags & CONN_RECOVERY) && (bytes || timer))
		rate_reduce(c, bytes);
	if (c->lost || c->sacked)
		conn_dirty(c);
	if (wait) {
		uint32_t due = tick_at(t->now + wait * 1000ull);
		if (c->due_rexmt == 0 || (int32_t)(due - c->due_rexmt) < 0 || (c->flags & CONN_REO)) {
			c->flags = (c->flags & ~CONN_PTO) | CONN_REO;
			conn_set_rexmt(t, c, wait * 1000ull);
		}
	}
}

// RFC 8985 7.4.2: was the tail really lost, and mended by the probe alone?
static void probe_check(struct tcp_conn *c, const struct segment *s, const struct delivery *d, bool advances,
			uint32_t flight)
{
	if (!(c->flags & CONN_TLP) || seq_lt(s->ack, c->tlp_end))
		return;
	bool lost = (c->flags & CONN_TLP_AGAIN) && !d->dsack && seq_gt(s->ack, c->tlp_end);

	if ((c->flags & CONN_TLP_AGAIN) && !lost && !d->dsack && (advances || s->opt.n_sack))
		return;
	c->flags &= ~(CONN_TLP | CONN_TLP_AGAIN);
	if (lost && !(c->flags & CONN_RECOVERY)) {
		c->ssthresh = conn_cc(c)->lost(c, flight, false);
		ecn_reduced(c);
		if (c->cwnd > c->ssthresh) // a timeout before may have shut it further
			c->cwnd = c->ssthresh > c->mss ? c->ssthresh : c->mss;
	}
}

void rack_ack(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	uint32_t flight = c->snd_max - c->snd_una, wait = 0;
	bool advances = seq_gt(s->ack, c->snd_una);
	struct delivery d = {0};

	if (advances) {
		cumulative(t, c, s, &d);
		c->snd_una = s->ack;
		c->snd_nxt = seq_max(c->snd_nxt, s->ack);
		sendq_acked(c, s->ack);
		if (c->more & MORE_SEARCH)
			mtu_search_acked(t, c);
	}
	selective(t, c, s, &d);
	reordering_adapt(t, c, &d);
	probe_check(c, s, &d, advances, flight);
	if ((c->flags & CONN_RECOVERY) && c->doubtful == 0 && c->lost == 0)
		recovery_undo(t, c);
	if ((c->flags & CONN_RECOVERY) && seq_ge(c->snd_una, c->recover)) {
		c->flags &= ~(CONN_RECOVERY | CONN_RESEND);
		c->cwnd = c->ssthresh > c->mss ? c->ssthresh : c->mss;
		c->prr = (struct prr){0};
		recovery_over(c);
	} else if (d.bytes && (advances || ((c->flags & CONN_REORDERED) && !c->retries)) &&
		   !(c->flags & CONN_RECOVERY) && !(c->more & MORE_ECN_ROUND)) {
		// Where a path reorders, what has arrived counts when it does, as it may well be in order
		// later. Behind a timeout it may have counted before, if the peer had taken it back.
		conn_cc(c)->acked(c, d.bytes, flight, t->now);
	}
	if (!(c->flags & CONN_RECOVERY) && seq_gt(c->snd_una, c->recover))
		c->recover = c->snd_una; // keeps near, so that numbers may wrap
	if (d.any)
		wait = detect(t, c);
	if (advances) { // RFC 6298 5.2 and 5.3
		c->flags &= ~CONN_PERSIST;
		c->due_rexmt = 0;
		if (conn_flight(c))
			conn_set_rto(t, c);
	}
	// An ACK that tells nothing new lets nothing out.
	if (d.any)
		react(t, c, wait, flight, d.bytes, false);
}

void rack_reo_timeout(struct tcp *t, struct tcp_conn *c)
{
	uint32_t flight = c->snd_max - c->snd_una, lost = c->lost;

	conn_set_rto(t, c);
	uint32_t wait = detect(t, c);
	react(t, c, wait, flight, 0, c->lost != lost); // where nothing more is lost no ACK lets anything out
	conn_dirty(c);
}

// RFC 8985 6.3: what was sent too recently to have been acknowledged is not taken for lost.
void rack_timeout(struct tcp *t, struct tcp_conn *c)
{
	uint32_t now = us_now(t), rtt = c->rack_rtt ? c->rack_rtt : c->srtt, reo = reordering_window(c);
	struct board_pos b;
	bool first = true;

	if (board_first(c, &b) && (b.part->flags & PART_SACKED)) {
		tcp_count(t, CTR_tcp_sack_reneged);
		board_lose_all(c, true);
	}
	for (bool more = board_first(c, &b); more; more = board_next(c, &b), first = false)
		if (!(b.part->flags & (PART_SACKED | PART_LOST)) &&
		    (first || (int32_t)(b.part->sent_at + rtt + reo - now) <= 0))
			board_lost(c, &b);
	c->flags &= ~(CONN_TLP | CONN_TLP_AGAIN | CONN_PTO_DUE);
	c->flags |= CONN_RESEND;
	c->prr = (struct prr){0};
	recovery_over(c);
}

// RFC 8985 7.2: us until a probe for a lost tail, 0: none is due.
uint32_t rack_probe_time(const struct tcp_conn *c)
{
	uint32_t flight = c->snd_max - c->snd_una;
	uint64_t pto;

	if (!(c->flags & CONN_SACK) || (c->flags & (CONN_RECOVERY | CONN_TLP)) || c->lost || c->sacked ||
	    (seq_lt(c->snd_una, c->recover) && !(c->more & MORE_ECN_ROUND)) || c->srtt == 0 || c->retries ||
	    flight == 0)
		return 0;
	pto = 2ull * c->srtt + PTO_FLOOR + (flight <= c->mss ? DELACK_WORST : 0);
	return pto * 1000 < conn_rto(c) ? (uint32_t)pto : 0;
}
