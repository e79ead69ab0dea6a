// The laws that each connection keeps from turn to turn, by what it tells of itself (cg_info) and what was seen
// on the wire.
//
// Congestion window (RFC 5681 3.1, RFC 9438 4, RFC 6937 3): never below one segment; outside of recovery it
// grows by no more than was delivered (SACK included), but for where it begins; a loss sets the threshold to at
// most beta of what was under way (CUBIC 0.7, NewReno 0.5), at least two segments; a timeout shuts the window
// to one segment; new data goes out only into the window; after an idle RTO it begins anew (RFC 5681 4.1).
// Acknowledgements wait for half a second at most (RFC 9293 3.8.6.3), a window that opens by half of the buffer
// is told (3.8.6.2.2), and on a wire that does nothing but delay, what was written arrives.
#include "tcp/seq.h"
#include "tests/sim/tcp_sim.h"

#define ACK_WAIT   (500 * MS)
#define STUCK_WAIT (3 * SEC)
#define IW_MAX     14600 // RFC 6928: ten segments, or so many bytes if two segments are no more

static uint32_t max32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t initial_window(uint32_t mss)
{
	uint32_t most = max32(2 * mss, IW_MAX);

	return 10 * mss < most ? 10 * mss : most;
}

static bool established(const struct tcp_info *i)
{
	return i->state >= TCP_ESTABLISHED && i->state != TCP_TIME_WAIT;
}

static void window_law(struct sim *s, struct end *e, const struct tcp_info *now, uint64_t acked)
{
	const struct tcp_info *was = &e->sample.info;
	uint32_t mss = max32(was->mss, now->mss), base, half;
	uint64_t una = acked - now->sacked;
	bool cubic = strcmp(now->cc, "cubic") == 0;
	uint64_t bytes = acked > e->sample.acked ? acked - e->sample.acked : 0; // less: the peer reneged

	if (now->cwnd < now->mss)
		sim_violation(s, "side %u: a congestion window below one segment", e->side);
	if (!established(was)) {
		if (now->cwnd > initial_window(mss) + bytes)
			sim_violation(s, "side %u: an initial window of %u bytes", e->side, now->cwnd);
		return;
	}
	base = was->recovery && !now->recovery ? max32(now->ssthresh, max32(was->cwnd, mss)) : was->cwnd;
	if (now->mss > was->mss) // a window of one segment is one of a larger segment, too
		base = max32(base, now->mss);
	// Of small segments the scoreboard keeps a buffer's last ones together, and what is sent behind one
	// that was SACKed takes it off again.
	if (now->mss < 1024)
		bytes += now->mss;
	// RFC 9438 4.2 and 4.3: beyond the threshold CUBIC may leap, by half at most or by a segment.
	if (cubic && was->cwnd >= was->ssthresh)
		bytes = max32((uint32_t)bytes + mss, base / 2);
	if (!now->recovery && now->cwnd > base + bytes + 1)
		sim_violation(s, "side %u: the congestion window grew from %u to %u for %llu bytes", e->side,
			      was->cwnd, now->cwnd, (unsigned long long)bytes);
	// RFC 9406 4.2: CUBIC's first slow start ends where it is when round trips become longer.
	if (cubic && was->ssthresh == 1u << 30 && !now->recovery && now->ssthresh >= was->cwnd &&
	    now->ssthresh <= now->cwnd)
		return;
	// What was written in the same turn may have gone out before the loss was found.
	half = (uint32_t)((was->flight + now->bytes_out - was->bytes_out) * (cubic ? 7 : 5) / 10);
	// A recovery that is undone in the turn in which it began brings it back but for its lowest bit.
	if (now->ssthresh + 1 < was->ssthresh &&
	    (now->ssthresh > max32(half, 2 * mss) ||
	     now->ssthresh < 2 * (now->mss < was->mss ? now->mss : was->mss)))
		sim_violation(s, "side %u: threshold %u after a loss with %u bytes under way", e->side,
			      now->ssthresh, was->flight);
	// RFC 3168 6.1.2: a mark in the same window may have lowered it already.
	bool marked = now->ecn && now->ssthresh == was->ssthresh;
	if (now->recovery && !was->recovery && now->ssthresh > max32(half, 2 * mss) && !marked)
		sim_violation(s, "side %u: recovery from a loss with %u bytes under way keeps %u", e->side,
			      was->flight, now->ssthresh);
	if (now->retries <= was->retries || now->probing || was->probing)
		return;
	if (now->cwnd > mss + bytes)
		sim_violation(s, "side %u: a window of %u bytes after a timeout", e->side, now->cwnd);
	// Where segments became smaller for the path's sake, what goes out again is no loss.
	const struct cg_stack *stack = s->side[e->side].cpu[e->cpu].stack;
	bool narrowed = cg_counter(stack, CTR_tcp_path_mtu) || cg_counter(stack, CTR_tcp_black_hole);
	if (e->sample.timeout_acked != una && now->ssthresh > max32(half, 2 * mss) && !narrowed)
		sim_violation(s, "side %u: a timeout with %u bytes under way keeps %u", e->side, was->flight,
			      now->ssthresh);
	e->sample.timeout_acked = una;
}

// RFC 4821 7.6.1: segments become larger when one of that size has arrived. (The next one, larger still, may
// have gone out and got lost since.)
static void size_law(struct sim *s, const struct pair *p, struct end *e, const struct tcp_info *now)
{
	const struct dir *d = watch_find(s, p, e->side);
	uint64_t raised = cg_counter(s->side[e->side].cpu[e->cpu].stack, CTR_tcp_mtu_raised);

	if (raised != e->sample.raised && now->mss > e->sample.info.mss && d && d->large_lost &&
	    now->mss >= d->large_len)
		sim_violation(s, "side %u: segments of %u bytes, although the first such got lost", e->side,
			      now->mss);
	e->sample.raised = raised;
}

static void sending_law(struct sim *s, struct end *e, const struct tcp_info *now)
{
	const struct tcp_info *was = &e->sample.info;
	uint32_t mss = max32(was->mss, now->mss);

	if (now->bytes_out == was->bytes_out) {
		if (now->retransmits != was->retransmits)
			e->sample.sent_at = s->now;
		return;
	}
	// One segment may exceed it as a probe for a lost tail, two by limited transmit (RFC 3042).
	// What went out before the window was reduced stays under way.
	if (now->pipe > max32(max32(was->cwnd, now->cwnd), was->pipe) + 3 * mss)
		sim_violation(s, "side %u: %u bytes under way with a window of %u", e->side, now->pipe,
			      now->cwnd);
	if (was->flight == 0 && established(was) && !was->probing && e->sample.sent_at &&
	    s->now - e->sample.sent_at > was->rto_us * US + 10 * MS && now->cwnd > initial_window(mss))
		sim_violation(s, "side %u: a window of %u bytes after %llu ms without use", e->side, now->cwnd,
			      (unsigned long long)((s->now - e->sample.sent_at) / MS));
	e->sample.sent_at = s->now;
}

// For longer than `wait`: since when? 0: it is not so.
static bool lasts(struct sim *s, uint64_t *since, bool so, uint64_t wait)
{
	if (!so)
		*since = 0;
	else if (*since == 0)
		*since = s->now;
	return so && s->now - *since > wait;
}

static void receiving_law(struct sim *s, struct pair *p, struct end *e, const struct tcp_info *now)
{
	const struct fate *fate = &s->fate[e->side];
	const struct dir *d = watch_find(s, p, e->side), *peer = watch_find(s, p, 1 - e->side);
	// What cannot be sent says nothing.
	bool starved = s->doomed || fate->starve || fate->short_leave || fate->busy || fate->lag ||
		       side_mute(&s->side[e->side]);
	const struct end *other = &p->end[e == &p->end[0]];

	if (!d || !peer || !d->syn || !peer->syn || !d->acks || !established(now))
		return;
	uint32_t next = peer->isn + 1 + (uint32_t)now->bytes_in;
	uint32_t most = s->side[e->side].conf.tcp.rcv_buf, offered = seq_gt(d->edge, next) ? d->edge - next : 0;
	most = most < UINT16_MAX ? most : UINT16_MAX;
	if (lasts(s, &e->sample.unacked_since, seq_lt(d->ack, next) && !starved, ACK_WAIT))
		sim_violation(s, "side %u: %u bytes not acknowledged for half a second", e->side,
			      next - d->ack);
	bool open =
		now->state == TCP_ESTABLISHED || now->state == TCP_FIN_WAIT_1 || now->state == TCP_FIN_WAIT_2;
	if (lasts(s, &e->sample.shut_since,
		  open && now->queued_in == 0 && offered < most / 2 && offered < 2 * now->mss && !starved,
		  ACK_WAIT))
		sim_violation(s, "side %u: all is read, and a window of %u bytes of %u is offered", e->side,
			      offered, most);
	bool due = s->perfect && now->queued_in == 0 && e->received < other->sent && other->k && !e->wake;
	if (e->sample.received != e->received)
		e->sample.stuck_since = 0;
	e->sample.received = e->received;
	if (lasts(s, &e->sample.stuck_since, due && !starved, STUCK_WAIT))
		sim_violation(s, "side %u: %llu of %llu written bytes have arrived, and nothing more comes",
			      e->side, (unsigned long long)e->received, (unsigned long long)other->sent);
}

void law_turn(struct sim *s, struct end *e)
{
	struct pair *p = NULL;
	struct tcp_info now;
	uint64_t acked;

	cg_info(e->k, &now);
	for (unsigned i = 0; i < s->n_pairs && !p; i++)
		if (e == &s->pair[i].end[0] || e == &s->pair[i].end[1])
			p = &s->pair[i];
	acked = now.bytes_out - (now.flight < now.bytes_out ? now.flight : now.bytes_out) + now.sacked;
	if (e->sample.set && established(&now)) {
		window_law(s, e, &now, acked);
		size_law(s, p, e, &now);
		sending_law(s, e, &now);
		receiving_law(s, p, e, &now);
	}
	e->sample.info = now;
	e->sample.acked = acked;
	if (!e->sample.set)
		e->sample.timeout_acked = UINT64_MAX;
	e->sample.set = true;
}
