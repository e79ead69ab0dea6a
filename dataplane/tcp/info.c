// What operators and tests may see of connections.
#include "tcp/sendq.h"

const char *const tcp_state_name[TCP_STATES] = {
	[TCP_CLOSED] = "CLOSED",           [TCP_SYN_SENT] = "SYN_SENT",     [TCP_SYN_RECEIVED] = "SYN_RECEIVED",
	[TCP_ESTABLISHED] = "ESTABLISHED", [TCP_FIN_WAIT_1] = "FIN_WAIT_1", [TCP_FIN_WAIT_2] = "FIN_WAIT_2",
	[TCP_CLOSE_WAIT] = "CLOSE_WAIT",   [TCP_CLOSING] = "CLOSING",       [TCP_LAST_ACK] = "LAST_ACK",
	[TCP_TIME_WAIT] = "TIME_WAIT",
};

void tcp_get_info(const struct tcp_conn *c, struct tcp_info *info)
{
	const struct tcp *t = c->tcp;

	*info = (struct tcp_info){
		.local = c->path.local,
		.remote = c->path.remote,
		.local_port = c->local_port,
		.remote_port = c->remote_port,
		.port = c->path.port,
		.state = (enum tcp_state)c->state,
		.opened = (uint64_t)c->opened << 27,
		.last_rx = t->now - ((uint64_t)(tick_now(t) - c->last_rx) << TICK_SHIFT),
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.queued_in = c->rcv_held,
		.queued_out = c->snd_held,
		.srtt_us = c->srtt,
		.rto_us = (uint32_t)(conn_rto(c) / 1000),
		.cwnd = c->cwnd,
		.mss = c->mss,
		.ssthresh = c->ssthresh,
		.flight = c->snd_max - c->snd_una,
		.sacked = c->sacked,
		.pipe = c->flags & CONN_SACK ? rack_pipe(c) : conn_flight(c),
		.retries = c->retries,
		.recovery = (c->flags & CONN_RECOVERY) != 0,
		.probing = (c->flags & (CONN_PERSIST | CONN_PROBE_DUE)) != 0,
		.retransmits = c->retransmits,
		.rcv_buf = c->rcv_buf,
		.index = tcp_conn_index(c),
		.congestion = c->cc == TCP_CC_NEWRENO ? TCP_CC_NEWRENO : TCP_CC_CUBIC,
		.cc = conn_cc(c)->name,
		.ecn = (c->more & MORE_ECN) != 0,
		.accepted = (c->flags & CONN_ACCEPTED) != 0,
	};
	if (conn_owned(c)) {
		info->on_event = c->fn;
		info->user = c->user;
	}
}

unsigned tcp_list(const struct tcp *t, uint64_t *cursor, struct tcp_info *out, unsigned n)
{
	uint64_t at = *cursor;
	unsigned filled = 0;

	while (at < t->conns.capacity && filled < n) {
		uint64_t bits = t->conn_used[at / 64] >> (at % 64);
		if (!bits) {
			at = (at / 64 + 1) * 64;
			continue;
		}
		at += (unsigned)__builtin_ctzll(bits);
		tcp_get_info(conn_at(t, (uint32_t)at++), &out[filled++]);
	}
	while (at < t->conns.capacity && !(t->conn_used[at / 64] >> (at % 64)))
		at = (at / 64 + 1) * 64;
	*cursor = at < t->conns.capacity ? at : 0;
	return filled;
}

struct tcp_conn *tcp_next(const struct tcp *t, uint64_t *cursor, tcp_event_fn *fn)
{
	for (uint64_t at = *cursor; at < t->conns.capacity; at++) {
		struct tcp_conn *c = conn_at(t, (uint32_t)at);

		if (!(t->conn_used[at / 64] >> (at % 64))) {
			at |= 63;
			continue;
		}
		if (!(t->conn_used[at / 64] >> (at % 64) & 1) || !conn_owned(c) || c->fn != fn)
			continue;
		*cursor = at + 1;
		return c;
	}
	return NULL;
}

void tcp_pools(const struct tcp *t, struct tcp_pools *out)
{
	*out = (struct tcp_pools){
		.conns_used = t->conns.used,
		.conns_high = t->conns.high,
		.conns_size = t->conns.capacity,
		.time_wait_used = t->waits.used,
		.time_wait_high = t->waits.high,
		.time_wait_size = t->waits.capacity,
		.queued_in = t->held - t->held_out,
		.queued_out = t->held_out,
		.queue_limit = t->conf.buffer_memory,
	};
}

// The scoreboard: parts follow each other from snd_una to snd_max, and their sums are right.
static const char *board_check(const struct tcp_conn *c)
{
	uint32_t at = c->snd_una, sacked = 0, lost = 0;
	uint32_t end = seq_lt(c->snd_max, c->snd_end) ? c->snd_max : c->snd_end;
	struct board_pos b;

	for (bool more = board_first(c, &b); more; more = board_next(c, &b)) {
		uint8_t flags = b.part->flags;
		if (b.lo != at || seq_le(b.hi, b.lo))
			return "scoreboard with a gap";
		at = b.hi;
		sacked += flags & PART_SACKED ? b.hi - b.lo : 0;
		lost += flags & PART_LOST ? b.hi - b.lo : 0;
		if ((flags & PART_SACKED) && (flags & PART_LOST))
			return "lost although the peer has it";
	}
	if (seq_lt(c->snd_una, end) && at != end)
		return "scoreboard does not end where sending ended";
	if (sacked != c->sacked || lost != c->lost)
		return "scoreboard miscounted";
	if (sacked + lost > c->snd_max - c->snd_una)
		return "more on the scoreboard than under way";
	return NULL;
}

const char *conn_check(const struct tcp_conn *c)
{
	bool fin = c->flags & CONN_FIN_QUEUED;
	uint32_t in = 0, held = 0;

	if (seq_gt(c->snd_una, c->snd_nxt))
		return "SND.UNA > SND.NXT";
	if (seq_gt(c->snd_nxt, c->snd_max))
		return "SND.NXT > SND.MAX";
	if (seq_gt(c->snd_max, c->snd_end + fin))
		return "sent more than was queued";
	if (c->state != TCP_SYN_SENT && seq_gt(c->last_ack, c->rcv_nxt))
		return "acknowledged more than was received";
	if (c->rcv_adv - c->rcv_nxt + 1 > c->rcv_buf + 1 && seq_gt(c->rcv_adv, c->rcv_nxt))
		return "window larger than the buffer";
	if ((c->snd_head == NULL) != (c->snd_held == 0))
		return "send queue miscounted";
	for (struct pkt *p = c->rcv_head; p; p = tcp_recv_peek_next(p)) {
		in += pkt_len(p);
		held += pkt_truesize(p);
	}
	const char *why = ooo_check(c, &held);
	if (why)
		return why;
	if (in != c->rcv_len || held != c->rcv_held)
		return "receive queue miscounted";
	if (c->state >= TCP_ESTABLISHED && c->cwnd < c->mss)
		return "congestion window below one segment";
	if (c->state != TCP_CLOSED && conn_flight(c) && c->due_rexmt == 0 && !(c->flags & CONN_NO_BUFFER))
		return "data under way without a timer";
	if (c->due_rexmt && !timer_armed(&c->timer))
		return "deadline without a timer";
	if (c->state != TCP_CLOSED && !(c->flags & CONN_IN_FLOW))
		return "live connection not in the flow table";
	if ((c->flags & CONN_SACK) && (c->flags & CONN_OPENED) && c->state != TCP_CLOSED)
		return board_check(c);
	return NULL;
}

const char *tcp_check(const struct tcp *t)
{
	uint64_t in = 0, out = 0;
	uint32_t used = 0, in_flow = 0;

	for (uint64_t at = 0; at < t->conns.capacity; at++) {
		const struct tcp_conn *c = conn_at(t, (uint32_t)at);
		const char *why;

		if (!(t->conn_used[at / 64] >> (at % 64))) {
			at |= 63;
			continue;
		}
		if (!(t->conn_used[at / 64] >> (at % 64) & 1))
			continue;
		why = conn_check(c);
		if (why)
			return why;
		used++;
		in += c->rcv_held;
		out += c->snd_held;
		in_flow += (c->flags & CONN_IN_FLOW) != 0;
	}
	if (used > t->conns.used) // those that are freed by the next flush are in use and no longer live
		return "live connections that their pool does not know";
	if (in + out != t->held || out != t->held_out)
		return "buffer bytes of all queues miscounted";
	if (in_flow + t->waits.used != t->flows.used)
		return "the flow table does not hold what lives";
	return NULL;
}
