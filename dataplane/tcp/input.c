// A segment for a connection, in the order of RFC 9293 3.10.7.3 and 3.10.7.4, with PAWS (RFC 7323 5) first and
// the checks of RFC 5961.
#include "tcp/conn.h"
#include <errno.h>

// Ticks of the peer's clock that a segment may be older and yet be taken: what was overtaken by a
// retransmission is. The clock ticks at least once in 2^31 bytes (RFC 7323 5.4), and a sequence number comes
// again after twice as many.
#define PAWS_SLACK 1
#define QUICK_ACKS 63                           // segments
#define PAWS_IDLE  (24ull * 86400 * 1000000000) // RFC 7323 5.5

// What the peer's SYN agrees on; rcv_nxt and the window begin here.
void conn_syn_options(struct tcp_conn *c, const struct segment *s, uint32_t rcv_buf)
{
	if (rcv_buf) {
		c->rcv_buf = rcv_buf;
		c->more |= MORE_RCV_FIXED;
		c->rcv_wscale = conn_wscale(rcv_buf) & 15u;
	}
	if (s->opt.has_wscale) {
		c->flags |= CONN_WSCALE;
		c->snd_wscale = s->opt.wscale & 15u;
	} else {
		c->rcv_wscale = 0;
	}
	if (s->opt.has_ts) {
		c->flags |= CONN_TS;
		c->ts_recent = s->opt.tsval;
	}
	if (s->opt.sack_ok && !c->tcp->conf.no_sack)
		c->flags |= CONN_SACK;
	conn_set_mss(c, s->opt.mss);
	c->rcv_nxt = c->last_ack = s->seq + 1;
	c->rcv_adv = c->rcv_nxt + (c->rcv_buf < UINT16_MAX ? c->rcv_buf : UINT16_MAX);
	c->rcv_mark = c->rcv_nxt + c->rcv_buf / 2;
	c->round_at = (uint16_t)(c->tcp->now >> 16);
	c->snd_wnd = c->max_wnd = s->wnd;
	c->snd_wl1 = s->seq;
}

static void ack_now(struct tcp_conn *c)
{
	c->flags |= CONN_ACK_NOW;
	conn_dirty(c);
}

// An answer to something that does not fit. Only segments without payload can make two ends answer each other
// for ever.
static void ack_unacceptable(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if (s->len || (s->flags & TCP_FIN))
		ack_now(c);
	else
		conn_challenge(t, c);
}

// RFC 6298 4 and 5.7: what was sent twice is not timed, and the backed-off RTO stays until something else was.
// Timestamps tell the copies apart (RFC 7323 4.1), but only an echo of the last of them counts: an ACK that a
// duplicate called forth may carry the stamp of one long before it.
static void rtt_measure(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if ((c->flags & CONN_RTT) && seq_ge(s->ack, c->rtt_seq)) {
		c->flags &= ~CONN_RTT;
		conn_rtt_sample(c, (uint32_t)(t->now / 1000) - c->rtt_at);
	} else if (c->retries && (c->flags & CONN_TS) && s->opt.has_ts &&
		   seq_ge(s->opt.tsecr, c->last_tx + c->ts_offset) &&
		   seq_le(s->opt.tsecr, conn_tsval(t, c->ts_offset))) {
		conn_rtt_sample(c, (conn_tsval(t, c->ts_offset) - s->opt.tsecr + 1) * 1049);
	} else if (c->retries) {
		return;
	}
	c->backoff = 0;
}

static void syn_sent_input(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	bool ack = s->flags & TCP_ACK;

	if (ack && (seq_le(s->ack, c->snd_una) || seq_gt(s->ack, c->snd_max))) {
		tcp_count(t, CTR_tcp_bad_ack);
		reply_rst(t, s);
		return;
	}
	if (s->flags & TCP_RST) {
		if (ack && !ecn_syn_refused(t, c)) {
			tcp_count(t, CTR_tcp_reset_rx);
			conn_fail(c, ECONNREFUSED);
		}
		return;
	}
	if (!(s->flags & TCP_SYN))
		return;
	conn_syn_options(c, s, 0);
	c->last_rx = tick_now(t);
	if (!ack) { // both sides open at once
		ecn_syn_input(c, s);
		conn_set_state(c, TCP_SYN_RECEIVED);
		c->flags |= CONN_SYN_DUE;
		conn_dirty(c);
		return;
	}
	rtt_measure(t, c, s);
	ecn_synack_input(c, s);
	c->snd_una = s->ack;
	conn_established(c);
	ack_now(c);
}

// After so long ts_recent says nothing any more (RFC 7323 5.5).
static bool paws_outdated(const struct tcp *t, const struct tcp_conn *c)
{
	return (uint64_t)(tick_now(t) - c->last_rx) << TICK_SHIFT > PAWS_IDLE;
}

// False: dealt with.
static bool paws_check(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if (!(c->flags & CONN_TS) || (s->flags & TCP_RST))
		return true;
	if (!s->opt.has_ts) { // RFC 7323 3.2
		tcp_count(t, CTR_tcp_paws);
		if (s->flags &
		    TCP_SYN) // a peer that has forgotten all would else never hear of it (RFC 5961 4.2)
			conn_challenge(t, c);
		return false;
	}
	if (seq_ge(s->opt.tsval + PAWS_SLACK, c->ts_recent) || paws_outdated(t, c))
		return true;
	tcp_count(t, CTR_tcp_paws);
	ack_unacceptable(t, c, s);
	return false;
}

// Old acknowledgements that were overtaken are taken as long as they reach to what we acknowledged last; their
// payload is trimmed later.
static bool sequence_check(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	uint32_t end = s->seq + segment_span(s), edge = seq_max(c->rcv_adv, c->rcv_nxt);

	if (seq_ge(end, c->last_ack) && seq_le(s->seq, edge))
		return true;
	if (s->flags & TCP_RST) {
		tcp_count(t, CTR_tcp_bad_reset);
		return false;
	}
	tcp_count(t, seq_le(end, c->rcv_nxt) ? CTR_tcp_duplicate : CTR_tcp_out_of_window);
	if (s->len && seq_le(s->seq + s->len, c->rcv_nxt))
		recvq_duplicate(c, s->seq, s->seq + s->len);
	ack_unacceptable(t, c, s);
	if (segment_span(s) || seq_ge(s->seq, c->rcv_nxt))
		return false;
	// A keep-alive (RFC 9293 3.8.4) may be all that still tells that our last bytes came: what acknowledged
	// them was lost, and so is what we send again, at ever longer intervals.
	if (s->seq + 1 == c->rcv_nxt && seq_gt(s->ack, c->snd_una))
		return true;
	// RFC 9293 3.10.7.4: nothing is acceptable while the window is shut, but a valid ACK counts. A peer
	// whose probe was taken, and that does not know it yet, sends such. Shut is what the field tells as 0.
	return edge - c->rcv_nxt < 1u << c->rcv_wscale && seq_ge(s->seq, c->rcv_nxt - c->mss);
}

// RFC 5961 3.2 and 4.2. False: dealt with; c may be gone.
static bool reset_and_syn_check(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if (s->flags & TCP_RST) {
		if (c->state == TCP_TIME_WAIT) // RFC 1337
			return false;
		if (s->seq != c->rcv_nxt) {
			tcp_count(t, CTR_tcp_bad_reset);
			conn_challenge(t, c);
			return false;
		}
		tcp_count(t, CTR_tcp_reset_rx);
		conn_fail(c, c->state == TCP_SYN_RECEIVED ? ECONNREFUSED : ECONNRESET);
		return false;
	}
	if (s->flags & TCP_SYN) {
		if (c->state == TCP_SYN_RECEIVED && s->seq + 1 == c->rcv_nxt && !(s->flags & TCP_ACK)) {
			conn_syn_again(t, c);
			ecn_syn_input(c, s);
			return false;
		}
		// Both opened at once: the peer's SYN-ACK acknowledges our SYN.
		if (c->state == TCP_SYN_RECEIVED && s->seq + 1 == c->rcv_nxt)
			return true;
		tcp_count(t, CTR_tcp_bad_syn);
		conn_challenge(t, c);
		return false;
	}
	return s->flags & TCP_ACK;
}

static void window_update(struct tcp_conn *c, const struct segment *s, bool advances)
{
	uint32_t wnd = s->flags & TCP_SYN ? s->wnd : (uint32_t)s->wnd << c->snd_wscale;

	// Of two that may have overtaken each other the larger counts; a shut one always, as that is probed
	// (RFC 9293 3.8.6, MUST-35).
	if (!advances && !seq_gt(s->seq, c->snd_wl1) &&
	    !(s->seq == c->snd_wl1 && (wnd > c->snd_wnd || wnd == 0)))
		return;
	if (wnd > c->snd_wnd)
		conn_dirty(c);
	c->snd_wnd = wnd;
	c->snd_wl1 = s->seq;
	if (wnd > c->max_wnd)
		c->max_wnd = wnd;
}

static void duplicate_ack(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	uint32_t wnd = (uint32_t)s->wnd << c->snd_wscale;

	// It answers probes, and what is sent into a window that was shut behind it is one, too.
	if ((c->flags & CONN_PERSIST) || (c->snd_wnd == 0 && wnd == 0))
		c->retries = 0;
	if (c->flags & CONN_SACK) {
		rack_ack(t, c, s);
		if (s->ack == c->snd_una)
			window_update(c, s, false);
		return;
	}
	// RFC 5681 2: something is under way, nothing comes with it, and the window is the same.
	if (s->ack == c->snd_una && s->len == 0 && !(s->flags & TCP_FIN) && wnd == c->snd_wnd && conn_flight(c))
		loss_dupack(t, c);
	else if (s->ack == c->snd_una) // one that was overtaken has an old window, too
		window_update(c, s, false);
}

// Our FIN is acknowledged. False: c is gone.
static bool fin_acked(struct tcp *t, struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_FIN_WAIT_1:
		conn_set_state(c, TCP_FIN_WAIT_2);
		if (c->flags & CONN_ORPHAN)
			conn_set_rexmt(t, c, FIN_WAIT_2_TIME);
		return true;
	case TCP_CLOSING:
		return time_wait_begin(t, c);
	case TCP_LAST_ACK:
		conn_finished(c);
		return false;
	default:
		return true;
	}
}

// False: the segment goes no further; c may be gone.
static bool ack_input(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if (seq_gt(s->ack, c->snd_max) || seq_lt(s->ack, c->snd_una - c->max_wnd)) { // RFC 5961 5.2
		tcp_count(t, CTR_tcp_bad_ack);
		ack_unacceptable(t, c, s);
		return false;
	}
	if (c->more & MORE_ECN)
		ecn_ack_input(t, c, s);
	if (seq_le(s->ack, c->snd_una)) {
		duplicate_ack(t, c, s);
		return true;
	}
	uint32_t bytes = s->ack - c->snd_una, flight = c->snd_max - c->snd_una;

	if (c->flags & CONN_PERSIST)
		c->retries = 0;
	rtt_measure(t, c, s);
	c->retries = 0;
	conn_progress(c);
	if (c->flags & CONN_SACK) {
		rack_ack(t, c, s);
	} else {
		c->snd_una = s->ack;
		c->snd_nxt = seq_max(c->snd_nxt, s->ack);
		sendq_acked(c, s->ack);
		loss_acked(t, c, bytes, flight);
		// RFC 6298 5.2 and 5.3.
		c->flags &= ~CONN_PERSIST;
		c->due_rexmt = 0;
		if (conn_flight(c))
			conn_set_rto(t, c);
	}
	window_update(c, s, true);
	if (seq_lt(c->snd_nxt, c->snd_end) || (c->flags & (CONN_FIN_QUEUED | CONN_RESEND)) || c->lost)
		conn_dirty(c);
	return !conn_fin_acked(c) || fin_acked(t, c);
}

// The acknowledgement that completes the handshake. False: the segment goes no further; c may be gone.
static bool handshake_ack(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	if (seq_le(s->ack, c->snd_una) || seq_gt(s->ack, c->snd_max)) {
		tcp_count(t, CTR_tcp_bad_ack);
		reply_rst(t, s);
		return false;
	}
	if ((c->flags & CONN_HALF_OPEN) && !listen_admit(t, c, s))
		return false;
	rtt_measure(t, c, s);
	if (s->flags & TCP_SYN)
		ecn_synack_input(c, s);
	c->snd_una = c->snd_una + 1;
	c->snd_nxt = seq_max(c->snd_nxt, c->snd_una);
	conn_established(c);
	window_update(c, s, true);
	if (s->flags & TCP_SYN)
		ack_now(c);
	return true;
}

// The peer's FIN is next in order. What came from beyond it will never be. False: c is gone.
static bool fin_input(struct tcp *t, struct tcp_conn *c)
{
	if (c->ooo)
		tcp_count(t, CTR_tcp_after_close);
	recvq_prune(c);
	c->flags |= CONN_FIN_SEEN;
	c->rcv_nxt++;
	ack_now(c);
	conn_notify(c, EV_EOF);
	switch (c->state) {
	case TCP_ESTABLISHED:
		conn_set_state(c, TCP_CLOSE_WAIT);
		return true;
	case TCP_FIN_WAIT_1:
		conn_set_state(c, TCP_CLOSING);
		return true;
	case TCP_FIN_WAIT_2:
		return time_wait_begin(t, c);
	default:
		return true;
	}
}

// RFC 9293 3.8.6.3: every second segment at least; at once for what is out of order or fills a gap (RFC 5681
// 4.2), so that the peer finds losses soon; and for a while after that, as a window that losses have made small
// gains from each segment that it may send sooner.
static void ack_schedule(struct tcp *t, struct tcp_conn *c, bool moved, bool gap)
{
	bool now = !moved || gap;

	if (now) {
		c->quick = QUICK_ACKS;
	} else if (c->quick) {
		c->quick = (c->quick - 1) & QUICK_ACKS;
		now = true;
	} else if (c->segs_unacked < 2) {
		c->segs_unacked = (c->segs_unacked + 1) & 3;
	}
	if (now || c->segs_unacked == 2)
		ack_now(c);
	else if (c->due_delack == 0)
		conn_set_delack(t, c, DELACK_TIME);
}

static void payload_input(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	uint32_t end = s->seq + s->len, edge = seq_max(c->rcv_adv, c->rcv_nxt);

	if (c->state != TCP_ESTABLISHED && c->state != TCP_FIN_WAIT_1 && c->state != TCP_FIN_WAIT_2) {
		tcp_count(t, seq_gt(end, c->rcv_nxt) ? CTR_tcp_after_close : CTR_tcp_duplicate);
		ack_now(c);
		return;
	}
	if ((c->flags & CONN_ORPHAN) && seq_gt(end, c->rcv_nxt)) {
		// Nobody will read it (RFC 9293 3.6.1, RFC 2525 2.17).
		tcp_count(t, CTR_tcp_after_close);
		conn_send_control(t, c, TCP_RST | TCP_ACK);
		conn_release(c);
		return;
	}
	if ((s->flags & TCP_FIN) && !(c->flags & CONN_FIN_AHEAD) && seq_le(end, edge) &&
	    seq_ge(end, c->rcv_nxt)) {
		c->flags |= CONN_FIN_AHEAD;
		c->fin_seq = end;
	}
	if (s->len && (c->more & MORE_ECN))
		ecn_data_input(t, c, s);
	if (s->len) {
		bool gap = c->ooo_count > 0, moved = recvq_add(t, c, segment_strip(s), s->seq, s->payload);
		if (moved) {
			if (seq_ge(c->rcv_nxt, c->rcv_mark))
				window_tune(c);
			conn_notify(c, EV_READABLE);
		}
		ack_schedule(t, c, moved, gap || c->ooo_count || c->dsack.lo != c->dsack.hi);
	} else {
		ack_now(c);
	}
	if ((c->flags & CONN_FIN_AHEAD) && seq_ge(c->rcv_nxt, c->fin_seq))
		fin_input(t, c);
}

// The common case (header prediction, as V. Jacobson's): payload that is next in order and fits, in one buffer,
// with an acknowledgement of all that is under way, or of nothing new, on a connection about which nothing is
// in doubt. What the steps below would come to, in one. False: nothing was done.
#define FLAGS_UNUSUAL                                                                                          \
	(CONN_ORPHAN | CONN_FIN_SEEN | CONN_FIN_AHEAD | CONN_FIN_QUEUED | CONN_RESEND | CONN_PERSIST |         \
	 CONN_SND_FULL | CONN_RECOVERY | CONN_TLP | CONN_REO)

static bool request_input(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	const uint8_t kinds = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_ECE | TCP_CWR;
	bool ts = c->flags & CONN_TS, sack = c->flags & CONN_SACK, acks = s->ack != c->snd_una;

	if (c->state != TCP_ESTABLISHED || (s->flags & kinds) != TCP_ACK || s->seq != c->rcv_nxt ||
	    s->len == 0 || s->ack != c->snd_max || seq_gt(s->seq + s->len, c->rcv_adv) ||
	    (c->flags & FLAGS_UNUSUAL) || (c->more & (MORE_ECN | MORE_SEARCH)) || c->kept || c->retries ||
	    c->ooo_count || pkt_chained(s->pkt))
		return false;
	if (s->opt.has_ts != ts || (ts && seq_lt(s->opt.tsval, c->ts_recent)) ||
	    (sack && (s->opt.n_sack || c->dsack.lo != c->dsack.hi)) || !recvq_ample(c))
		return false;

	if (ts && c->last_ack == s->seq)
		c->ts_recent = s->opt.tsval;
	c->last_rx = tick_now(t);
	if (acks) {
		uint32_t bytes = s->ack - c->snd_una;

		rtt_measure(t, c, s);
		conn_progress(c);
		if (sack) {
			rack_ack(t, c, s);
		} else {
			c->snd_una = c->snd_nxt = s->ack;
			sendq_acked(c, s->ack);
			loss_acked(t, c, bytes, bytes);
			c->due_rexmt = 0;
		}
		if (c->snd_nxt != c->snd_end || (sack && c->lost))
			conn_dirty(c);
	}
	window_update(c, s, acks);
	recvq_in_order(c, segment_strip(s), s->payload);
	if (seq_ge(c->rcv_nxt, c->rcv_mark))
		window_tune(c);
	conn_notify(c, EV_READABLE);
	ack_schedule(t, c, true, false);
	return true;
}

void conn_input(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	if (__builtin_expect(!t->conf.long_way, 1) && request_input(t, c, s))
		return;
	if (c->state == TCP_SYN_SENT) {
		syn_sent_input(t, c, s);
		return;
	}
	if (!paws_check(t, c, s) || !sequence_check(t, c, s) || !reset_and_syn_check(t, c, s))
		return;
	// RFC 7323 4.3.
	if (s->opt.has_ts && seq_le(s->seq, c->last_ack) &&
	    (seq_ge(s->opt.tsval, c->ts_recent) || paws_outdated(t, c)))
		c->ts_recent = s->opt.tsval;
	c->last_rx = tick_now(t);
	if (c->kept) { // the timer stands at the next probe
		c->kept = 0;
		conn_arm(t, c);
	}
	if (c->state == TCP_SYN_RECEIVED && !handshake_ack(t, c, s))
		return;
	if (!ack_input(t, c, s) || (s->flags & TCP_SYN)) // payload of a SYN comes again
		return;
	if (s->len || (s->flags & TCP_FIN))
		payload_input(t, c, s);
}
