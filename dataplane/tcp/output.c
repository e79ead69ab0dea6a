// What a connection sends: SYN, data in as many segments as the windows let out, probes, acknowledgements.
#include "tcp/sendq.h"
#include <arpa/inet.h>
#include <netinet/in.h>

#define QUEUE_SPARE 64  // packets
#define TSO_LEAST   512 // bytes of a segment: devices refuse to cut very small ones
#define IDLE_TICKS  (CONN_RTO_MIN >> TICK_SHIFT)

static void header_put(struct tcp_conn *c, struct pkt *p, uint32_t seq, uint8_t flags, uint16_t wnd,
		       const uint8_t *options, uint32_t n)
{
	struct tcp_header *h = (struct tcp_header *)pkt_prepend(p, TCP_HEADER + n);

	h->src = htons(c->local_port);
	h->dst = htons(c->remote_port);
	h->seq = htonl(seq);
	h->ack = flags & TCP_ACK ? htonl(c->rcv_nxt) : 0;
	h->off = (uint8_t)((TCP_HEADER + n) / 4 << 4);
	h->flags = flags;
	h->wnd = htons(wnd);
	h->sum = 0;
	h->urg = 0;
	memcpy(h + 1, options, n);
}

static void no_buffer(struct tcp *t, struct tcp_conn *c)
{
	tcp_count(t, CTR_tcp_no_buffer);
	c->flags |= CONN_NO_BUFFER;
	conn_set_delack(t, c, NO_BUFFER_TIME);
}

// The window field, and what it promises.
static uint16_t window_offer(struct tcp_conn *c)
{
	uint32_t field = recvq_window(c) >> c->rcv_wscale;

	if (field > UINT16_MAX)
		field = UINT16_MAX;
	c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + (field << c->rcv_wscale));
	return (uint16_t)field;
}

static bool sack_due(const struct tcp_conn *c)
{
	return (c->flags & CONN_SACK) && (c->ooo_count || c->dsack.lo != c->dsack.hi);
}

static void acked_by(struct tcp_conn *c)
{
	c->flags &= ~CONN_ACK_NOW;
	c->segs_unacked = 0;
	if (!(c->flags & CONN_NO_BUFFER))
		c->due_delack = 0;
}

// The header of a segment; n: its bytes, of which those behind timestamps are in h already. As words: what was
// written as bytes could not be read back as words at once.
static inline __attribute__((always_inline)) void header_words(struct tcp *t, struct tcp_conn *c, uint32_t *h,
							       uint32_t n, uint32_t seq, uint8_t flags)
{
	uint32_t wnd = flags & TCP_RST ? 0 : window_offer(c), ends;

	memcpy(&ends, &c->local_port, sizeof(ends));
	ends = __builtin_bswap32(ends);
	h[0] = ends << 16 | ends >> 16;
	h[1] = htonl(seq);
	h[2] = flags & TCP_ACK ? htonl(c->rcv_nxt) : 0;
	h[3] = n << 2 | (uint32_t)flags << 8 | (uint32_t)htons((uint16_t)wnd) << 16;
	h[4] = 0;
	if (c->flags & CONN_TS)
		options_words_ts(h + 5, conn_tsval(t, c->ts_offset), c->ts_recent);
	c->last_ack = c->rcv_nxt;
}

// Header and all that a segment says beside its payload, which is p's data.
static inline __attribute__((always_inline)) void segment_put(struct tcp *t, struct tcp_conn *c, struct pkt *p,
							      uint32_t *h, uint32_t n, uint32_t seq,
							      uint8_t flags, uint8_t tos,
							      struct checksum_tail sum)
{
	header_words(t, c, h, n, seq, flags);
	tcp_count(t, flags & TCP_RST ? CTR_tcp_reset_tx : CTR_tcp_tx);
	net_output_tcp(t->net, &c->path, p, h, n / 4, tos, sum);
}

static uint32_t header_size(const struct tcp_conn *c)
{
	return c->flags & CONN_TS ? TCP_HEADER + OPT_TS_LEN : TCP_HEADER;
}

uint32_t tcp_headers(const struct tcp_conn *c)
{
	return net_headers(c->tcp->net, &c->path) + header_size(c);
}

// Room for n bytes of TCP's header, and those below it.
static inline bool has_headroom(const struct tcp *t, const struct tcp_conn *c, const struct sendq_item *it,
				uint32_t n)
{
	return it->off >= NET_HEADERS + n || it->off >= net_headers(t->net, &c->path) + n;
}

// A segment with len bytes of the send queue from seq on. False: no buffer; it is tried again by timer.
static bool segment_send(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t len, uint8_t flags)
{
	uint32_t h[TCP_HEADER_MAX / 4], n = header_size(c);
	bool sack = sack_due(c) && !(flags & TCP_RST);
	struct checksum_tail sum = {0};
	uint8_t tos = 0;

	// SACK goes with segments without payload, so that full ones need not become smaller.
	if (sack && len == 0) {
		struct sack_block v[SACK_MAX];
		unsigned blocks = recvq_sack(c, v, c->flags & CONN_TS ? SACK_MAX - 1 : SACK_MAX);
		n += options_put_sack((uint8_t *)h + n, v, blocks);
	}
	struct pkt *p = len ? sendq_packet(t, c, seq, len, net_headers(t->net, &c->path) + n, &sum)
			    : pkt_alloc(t->net->pool);

	if (!p) {
		no_buffer(t, c);
		return false;
	}
	if ((c->more & MORE_ECN) && !(flags & TCP_RST))
		flags |= ecn_flags(c, len && seq_ge(seq, c->snd_max) && !(c->flags & CONN_PROBE_DUE), &tos);
	if (sack && len == 0)
		c->dsack = (struct sack_block){0};
	if (!sack || len == 0)
		acked_by(c);
	segment_put(t, c, p, h, n, seq, flags, tos, sum);
	return true;
}

// A segment that may have been sent before.
static bool segment_resend(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t len, uint8_t flags)
{
	if (c->more & MORE_TSO)
		sendq_unlink(c, seq, len);
	return segment_send(t, c, seq, len, flags);
}

// The number of an empty segment: what the peer expects next, as far as we know. Not snd_nxt, which a timeout
// moves back to where the peer may take it for old and ignore the acknowledgement with it; and not beyond the
// peer's window.
bool conn_send_control(struct tcp *t, struct tcp_conn *c, uint8_t flags)
{
	uint32_t edge = c->snd_una + c->snd_wnd;

	return segment_send(t, c, seq_lt(edge, c->snd_max) ? edge : c->snd_max, 0, flags);
}

void conn_send_keepalive(struct tcp *t, struct tcp_conn *c)
{
	if (segment_send(t, c, c->snd_una - 1, 0, TCP_ACK))
		tcp_count(t, CTR_tcp_keepalive);
}

static void syn_send(struct tcp *t, struct tcp_conn *c)
{
	bool answer = c->state == TCP_SYN_RECEIVED;
	// What the port takes, not the path (RFC 9293 3.7.1).
	uint32_t room = t->net->port[c->path.port].mtu - (addr_is_v4(c->path.remote) ? 40u : 60u), n;
	uint8_t options[OPT_SYN_MAX];
	struct pkt *p = pkt_alloc(t->net->pool);

	if (!p) {
		no_buffer(t, c);
		return;
	}
	n = options_put_mss(options, (uint16_t)room);
	if (!answer || (c->flags & CONN_WSCALE))
		n += options_put_wscale(options + n, c->rcv_wscale);
	if (!answer || (c->flags & CONN_TS))
		n += options_put_ts(options + n, conn_tsval(t, c->ts_offset), c->ts_recent);
	if (answer ? (c->flags & CONN_SACK) != 0 : !t->conf.no_sack)
		n += options_put_sack_ok(options + n);
	// RFC 7323 2.2: the window of a SYN is never scaled.
	uint16_t wnd = (uint16_t)(c->rcv_buf < UINT16_MAX ? c->rcv_buf : UINT16_MAX);
	uint8_t flags = (answer ? TCP_SYN | TCP_ACK : TCP_SYN) | ecn_syn_flags(t, c);
	header_put(c, p, c->snd_una, flags, wnd, options, n);
	if (answer) {
		c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + wnd);
		c->last_ack = c->rcv_nxt;
		acked_by(c);
	}
	c->snd_nxt = c->snd_max = c->snd_una + 1;
	c->flags &= ~CONN_SYN_DUE;
	if (c->flags & CONN_SYN_AGAIN) {
		c->flags &= ~CONN_RTT;
		tcp_count(t, CTR_tcp_retransmit);
		if (c->retransmits < UINT16_MAX)
			c->retransmits++;
	} else if (!(c->flags & CONN_RTT)) { // which a SYN that crosses the peer's has begun
		c->flags |= CONN_RTT;
		c->rtt_seq = c->snd_nxt;
		c->rtt_at = (uint32_t)(t->now / 1000);
	}
	c->last_tx = tick_now(t);
	if (c->due_rexmt == 0) // RFC 6298 5.1
		conn_set_rexmt(t, c, conn_rto(c));
	tcp_count(t, CTR_tcp_tx);
	net_output(t->net, &c->path, p, IPPROTO_TCP, 0);
}

// Bookkeeping for payload or FIN just sent from seq to end.
static void data_sent(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint32_t end)
{
	if (seq_lt(seq, c->snd_max)) {
		c->flags &= ~CONN_RTT; // Karn's rule: what is sent twice is not timed
		if (c->more & MORE_SEARCH)
			mtu_search_resent(t, c, seq, end);
		tcp_count(t, CTR_tcp_retransmit);
		if (c->retransmits < UINT16_MAX)
			c->retransmits++;
	} else if (!(c->flags & CONN_RTT)) {
		c->flags |= CONN_RTT;
		c->rtt_seq = end;
		c->rtt_at = (uint32_t)(t->now / 1000);
	}
	if (c->flags & CONN_SACK) {
		uint32_t data = seq_lt(end, c->snd_end) ? end : c->snd_end;

		if (c->snd_max == c->snd_una) { // a new flight: what was measured before is too old to compare
			c->rack_rtt = 0;
			c->fack = c->snd_una;
		}
		board_sent(c, seq, data, (uint32_t)(t->now / 1000));
		c->prr.out += c->flags & CONN_RECOVERY ? data - seq : 0;
	}
	if (seq_gt(end, c->snd_max)) {
		c->count_out += end - c->snd_max - (end == c->snd_end + 1);
		c->snd_max = end;
	}
	c->last_tx = tick_now(t);
}

static uint8_t data_flags(const struct tcp_conn *c, uint32_t end, bool fin)
{
	return (uint8_t)(TCP_ACK | (end == c->snd_end ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));
}

// The device takes less than we would send: data waits here, where it costs nothing, and leaves room in the
// queue for acknowledgements and for ARP.
static bool queue_full(struct tcp *t, struct tcp_conn *c)
{
	if (t->net->tx[c->path.port].n < NET_TXQ - QUEUE_SPARE)
		return false;
	c->flags |= CONN_NO_BUFFER;
	conn_set_delack(t, c, 1);
	conn_dirty(c);
	return true;
}

// Fast retransmit, or the next hole after a partial acknowledgement: one segment from snd_una.
static bool resend(struct tcp *t, struct tcp_conn *c)
{
	uint32_t una = c->snd_una, end = seq_lt(c->snd_max, c->snd_end) ? c->snd_max : c->snd_end;
	uint32_t max = end - una < c->mss ? end - una : c->mss;

	if (seq_ge(una, c->snd_max))
		goto done;
	uint32_t len = sendq_segment(c, una, max);
	bool fin = una + len == c->snd_end && c->snd_max == c->snd_end + 1;
	if (!segment_resend(t, c, una, len, data_flags(c, una + len, fin)))
		return false;
	data_sent(t, c, una, una + len + fin);
	c->snd_nxt = seq_max(c->snd_nxt, una + len + fin);
	conn_set_rto(t, c);
done:
	c->flags &= ~CONN_RESEND;
	return true;
}

// A part again (RFC 8985), with neighbours that are lost, too, while they fit into one segment. One that is
// larger than a segment goes out whole: the scoreboard knows it only as a whole.
static bool part_resend(struct tcp *t, struct tcp_conn *c, struct board_pos *b, bool alone)
{
	struct pkt *cur = c->snd_cur, *begin = b->pkt;
	uint32_t lo = b->lo, hi = b->hi;
	bool sent = true;

	if (alone && hi - lo > c->mss)
		lo = hi - c->mss;
	while (!alone && board_next(c, b) && (b->part->flags & PART_LOST) && b->hi - lo <= c->mss)
		hi = b->hi;
	bool fin = hi == c->snd_end && c->snd_max == c->snd_end + 1;
	c->snd_cur = begin; // it is found at once, and what is to be sent next afterwards, too
	for (uint32_t at = lo, n; at != hi && sent; at += n) {
		n = hi - at < c->mss ? hi - at : c->mss;
		sent = segment_resend(t, c, at, n, data_flags(c, at + n, fin && at + n == hi));
	}
	if (sent)
		data_sent(t, c, lo, hi + fin);
	c->snd_cur = cur;
	return sent;
}

// Only the FIN is under way.
static bool fin_resend(struct tcp *t, struct tcp_conn *c)
{
	if (!segment_send(t, c, c->snd_end, 0, TCP_ACK | TCP_FIN))
		return false;
	data_sent(t, c, c->snd_end, c->snd_end + 1);
	return true;
}

static bool fin_alone(const struct tcp_conn *c)
{
	return c->snd_una == c->snd_end && c->snd_max == c->snd_end + 1;
}

// What is marked lost, as far as the congestion window lets it out; the first in any case where CONN_RESEND is
// set.
static bool lost_resend(struct tcp *t, struct tcp_conn *c)
{
	struct board_pos b;

	if ((c->flags & CONN_RESEND) && fin_alone(c)) {
		if (!fin_resend(t, c))
			return false;
		conn_set_rto(t, c);
	}
	for (bool more = c->lost && board_first_open(c, &b); more && c->lost;) {
		uint32_t pipe = rack_pipe(c), len = b.hi - b.lo;

		if (!(b.part->flags & PART_LOST)) {
			more = board_next_open(c, &b);
			continue;
		}
		if (!(c->flags & CONN_RESEND) && pipe + (len < c->mss ? len : c->mss) > c->cwnd)
			return true;
		if (queue_full(t, c) || !part_resend(t, c, &b, false))
			return false;
		if (c->due_rexmt == 0)
			conn_set_rto(t, c);
		c->flags &= ~CONN_RESEND;
		more = b.part != NULL;
	}
	c->flags &= ~CONN_RESEND;
	return true;
}

// RFC 8985 7.3: a segment of new data, or else the last one again, so that the peer's answer shows what is
// lost.
static bool tail_probe(struct tcp *t, struct tcp_conn *c)
{
	uint32_t unsent = c->snd_end - c->snd_nxt, edge = c->snd_una + c->snd_wnd;
	uint32_t room = seq_gt(edge, c->snd_nxt) ? edge - c->snd_nxt : 0;
	uint32_t len = unsent < c->mss ? unsent : c->mss;
	struct board_pos b, last = {0};

	if (!rack_probe_time(c) || c->snd_nxt != c->snd_max)
		goto done;
	if (seq_lt(c->snd_nxt, c->snd_end) && room >= len) {
		len = sendq_segment(c, c->snd_nxt, len);
		if (!segment_send(t, c, c->snd_nxt, len, data_flags(c, c->snd_nxt + len, false)))
			return false;
		data_sent(t, c, c->snd_nxt, c->snd_nxt + len);
		c->snd_nxt = c->snd_max;
		c->flags &= ~CONN_TLP_AGAIN;
	} else {
		for (bool more = board_first(c, &b); more; more = board_next(c, &b))
			last = b;
		if (last.part ? !part_resend(t, c, &last, true) : !fin_resend(t, c))
			return false;
		c->flags |= CONN_TLP_AGAIN;
	}
	tcp_count(t, CTR_tcp_tail_probe);
	c->flags |= CONN_TLP;
	c->tlp_end = c->snd_max;
	conn_set_rto(t, c);
done:
	c->flags &= ~CONN_PTO_DUE;
	return true;
}

// RFC 9293 3.8.6.1: at least one byte (or the FIN) although the window is shut; if it is open by less than
// silly window avoidance would use, all that fits.
static bool probe(struct tcp *t, struct tcp_conn *c)
{
	uint32_t una = c->snd_una, unsent = seq_lt(una, c->snd_end) ? c->snd_end - una : 0;
	uint32_t max = c->snd_wnd < c->mss ? c->snd_wnd : c->mss;

	// It may have waited for a buffer, and what it asks for may be known by now.
	if (conn_flight(c) || (unsent == 0 && (!(c->flags & CONN_FIN_QUEUED) || conn_fin_acked(c))))
		goto done;
	uint32_t len = sendq_segment(c, una, max ? max : 1);
	bool fin = unsent == 0;
	if (!segment_resend(t, c, una, len, data_flags(c, una + len, fin)))
		return false;
	tcp_count(t, CTR_tcp_probe);
	data_sent(t, c, una, una + len + fin);
	if (max) {
		c->snd_nxt = una + len + fin;
	} else {
		c->flags &= ~CONN_RTT; // a shut window has its own time
		c->flags |= CONN_PERSIST;
	}
	c->flags &= ~(CONN_PTO | CONN_REO);
	conn_set_rexmt(t, c, conn_rto(c));
done:
	c->flags &= ~CONN_PROBE_DUE;
	return true;
}

// What the peer's window and the congestion window leave for what begins at snd_nxt.
static uint32_t send_room(const struct tcp_conn *c)
{
	bool sack = c->flags & CONN_SACK;
	uint32_t flight = conn_flight(c), pipe = sack ? rack_pipe(c) : flight;
	uint32_t cwnd = sack ? c->cwnd : loss_window(c);

	if (flight >= c->snd_wnd || pipe >= cwnd || c->lost)
		return 0;
	return c->snd_wnd - flight < cwnd - pipe ? c->snd_wnd - flight : cwnd - pipe;
}

bool tcp_send_waits(const struct tcp_conn *c)
{
	uint32_t room;

	if (c->state != TCP_ESTABLISHED || c->snd_nxt != c->snd_end)
		return true;
	if (c->snd_una == c->snd_max && c->snd_wnd >= c->mss && c->cwnd >= c->mss) // as mostly
		return false;
	room = send_room(c);
	return room < c->mss && room < c->max_wnd / 2; // as data_send()
}

// A segment that is larger than the path is known to carry (mtusearch.c). False: no buffer.
static bool mtu_probe_send(struct tcp *t, struct tcp_conn *c, uint32_t len)
{
	uint32_t seq = c->snd_nxt;
	uint16_t mtu = c->path.mtu;

	c->path.mtu = mtu_search_size(t, c);
	bool sent = segment_send(t, c, seq, len, data_flags(c, seq + len, false));
	c->path.mtu = mtu;
	if (sent)
		mtu_search_sent(t, c, seq, len);
	return sent;
}

// The timer of what has just gone out.
static void under_way(struct tcp *t, struct tcp_conn *c)
{
	if (c->due_rexmt && !(c->flags & CONN_PERSIST))
		return;
	if (c->flags & CONN_PERSIST)
		c->backoff = 0; // the doublings were those of probes
	c->flags &= ~CONN_PERSIST;
	conn_set_rto(t, c);
}

// New data of several segments as one packet, which the device cuts; all that is kept about it is as if they
// had been sent one by one. False: it is for those who send one, so that also a probe of the path, a CWR (RFC
// 3168 6.1.2) and what is sent again are one segment.
static bool large_send(struct tcp *t, struct tcp_conn *c, uint32_t unsent, uint32_t wnd)
{
	const struct tso *tso = &t->net->port[c->path.port].tso;
	uint32_t segment = c->mss - tso->less, seq = c->snd_nxt, most,
		 ip = addr_is_v4(c->path.remote) ? 20 : 40;
	uint8_t options[OPT_MAX], tos = 0;
	uint32_t n =
		c->flags & CONN_TS ? options_put_ts(options, conn_tsval(t, c->ts_offset), c->ts_recent) : 0;
	struct pkt *p;

	if (seq != c->snd_max || (c->more & MORE_CWR)) {
		if (seq != c->snd_max)
			sendq_unlink(c, seq, c->mss);
		return false;
	}
	most = tso->max - ip - TCP_HEADER - n;
	most = most < tso->segments * segment ? most : tso->segments * segment;
	most = most < wnd ? most : wnd;
	if (most <= c->mss || unsent <= c->mss || segment < TSO_LEAST)
		return false;
	uint32_t len = sendq_large(t, c, seq, most, segment, NET_HEADERS + TCP_HEADER + n, &p);
	if (len == 0)
		return false;
	bool fin = (c->flags & CONN_FIN_QUEUED) && len == unsent && wnd > len;
	uint8_t flags = data_flags(c, seq + len, fin);
	if (c->more & MORE_ECN)
		flags |= ecn_flags(c, true, &tos);
	header_put(c, p, seq, flags, window_offer(c), options, n);
	if (!sack_due(c))
		acked_by(c);
	c->last_ack = c->rcv_nxt;
	net_output_tso(t->net, &c->path, p, tos, TCP_HEADER + n, segment);
	tcp_count(t, CTR_tcp_tso);
	for (uint32_t end = seq + len, at = seq, next; at != end; at = next) {
		next = end - at > segment ? at + segment : end;
		tcp_count(t, CTR_tcp_tx);
		data_sent(t, c, at, next + (next == end && fin));
	}
	c->snd_nxt = c->snd_max;
	under_way(t, c);
	return true;
}

// What is in doubt keeps to the way of one step after the other.
#define FLAGS_UNUSUAL                                                                                          \
	(CONN_SYN_DUE | CONN_RESEND | CONN_PERSIST | CONN_PROBE_DUE | CONN_RECOVERY | CONN_NO_BUFFER |         \
	 CONN_PTO_DUE | CONN_REO | CONN_TLP)

// Whether p, whose payload begins at snd_nxt, is one segment and not the last that may go or is to say
// something more.
static inline bool run_goes_on(const struct tcp *t, const struct tcp_conn *c, const struct pkt *p, uint32_t n,
			       uint32_t room)
{
	const struct sendq_item *it = sendq_item(p);

	return it->seq == c->snd_nxt && it->len <= c->mss && it->len >= c->mss / 2u && room > c->mss &&
	       has_headroom(t, c, it, n) && t->net->tx[c->path.port].n < NET_TXQ - QUEUE_SPARE &&
	       pkt_exclusive(p) && !((c->flags & CONN_FIN_QUEUED) && it->seq + it->len == c->snd_end);
}

// The common case of much to be sent: full buffers one after the other, on a connection about which nothing is
// in doubt. What data_send() comes to for each, with what they have in common done once. It stops at the first
// that is not such a one.
static __attribute__((noinline)) void run_send(struct tcp *t, struct tcp_conn *c)
{
	uint32_t n = header_size(c), h[(TCP_HEADER + OPT_TS_LEN) / 4], us = (uint32_t)(t->now / 1000), sent = 0;
	bool sack = c->flags & CONN_SACK;

	if ((c->flags & FLAGS_UNUSUAL) || (c->more & (MORE_ECN | MORE_SEARCH | MORE_TSO)) ||
	    c->snd_nxt != c->snd_max || !seq_lt(c->snd_nxt, c->snd_end) || sack_due(c))
		return;
	uint32_t room = send_room(c);
	struct pkt *p = sendq_find(c, c->snd_nxt);

	if (!p || !run_goes_on(t, c, p, n, room))
		return;
	acked_by(c);
	header_words(t, c, h, n, c->snd_nxt, TCP_ACK);
	if (!(c->flags & CONN_RTT)) {
		c->flags |= CONN_RTT;
		c->rtt_seq = c->snd_nxt + sendq_item(p)->len;
		c->rtt_at = us;
	}
	if (sack && c->snd_max == c->snd_una) {
		c->rack_rtt = 0;
		c->fack = c->snd_una;
	}
	c->last_tx = tick_now(t);
	do {
		struct sendq_item *it = sendq_item(p);
		uint32_t end = it->seq + it->len;

		h[1] = htonl(it->seq);
		h[3] |= end == c->snd_end ? TCP_PSH << 8 : 0;
		pkt_set_view(p, it->off, it->len);
		pkt_ref(p);
		net_output_tcp(t->net, &c->path, p, h, n / 4, 0, it->sum);
		c->snd_cur = p;
		if (sack)
			board_sent(c, it->seq, end, us);
		c->snd_nxt = c->snd_max = end;
		if (c->due_rexmt == 0)
			under_way(t, c);
		room -= it->len;
		c->count_out += it->len;
		sent++;
		p = it->next;
	} while (p && run_goes_on(t, c, p, n, room));
	stat_add(&t->stats->c[CTR_tcp_in_place], sent);
	stat_add(&t->stats->c[CTR_tcp_tx], sent);
}

// New data, and after a timeout old data again. False: no buffer, or no room in the device's queue.
static bool data_send(struct tcp *t, struct tcp_conn *c)
{
	uint32_t before = c->snd_nxt;

	if (c->snd_end - c->snd_nxt > c->mss && !t->conf.long_way)
		run_send(t, c);
	while (seq_lt(c->snd_nxt, c->snd_end) || ((c->flags & CONN_FIN_QUEUED) && c->snd_nxt == c->snd_end)) {
		uint32_t nxt = c->snd_nxt, unsent = c->snd_end - nxt, wnd = send_room(c), len = 0, large = 0;

		if (wnd == 0)
			break;
		if (queue_full(t, c))
			return false;
		if (c->more & (MORE_SEARCH | MORE_TSO)) {
			large = len = c->more & MORE_SEARCH ? mtu_search_due(t, c, unsent, wnd) : 0;
			if (!large && (c->more & MORE_TSO) && large_send(t, c, unsent, wnd))
				continue;
		}
		if (unsent && !large) {
			uint32_t max = unsent < c->mss ? unsent : c->mss;
			// Sender's silly window avoidance (RFC 9293 3.8.6.2.1), without Nagle's algorithm.
			if (wnd < max && wnd < c->max_wnd / 2)
				break;
			len = sendq_segment(c, nxt, wnd < max ? wnd : max);
		}
		bool fin = (c->flags & CONN_FIN_QUEUED) && len == unsent && wnd > len;
		if (large ? !mtu_probe_send(t, c, len)
			  : !segment_send(t, c, nxt, len, data_flags(c, nxt + len, fin)))
			return false;
		data_sent(t, c, nxt, nxt + len + fin);
		c->snd_nxt = nxt + len + fin;
		under_way(t, c);
	}
	// RFC 8985 7.2: with each new segment, as one alone waits longer than several.
	if (c->snd_nxt != before && !(c->flags & CONN_REO) && rack_probe_time(c))
		conn_set_rto(t, c);
	return true;
}

// The common case, all that is there to be sent is one buffer, nothing is under way, and nothing is in doubt:
// what the steps below would come to, in one. False: nothing was done.
#define STATES_USUAL (1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT | 1u << TCP_FIN_WAIT_1 | 1u << TCP_LAST_ACK)

static bool answer_send(struct tcp *t, struct tcp_conn *c)
{
	uint32_t nxt = c->snd_nxt, len = c->snd_end - nxt, n = header_size(c), h[(TCP_HEADER + OPT_TS_LEN) / 4];
	bool sack = c->flags & CONN_SACK, fin = c->flags & CONN_FIN_QUEUED;
	struct pkt *p = c->snd_head;

	if (!(STATES_USUAL >> c->state & 1) || (c->flags & FLAGS_UNUSUAL) ||
	    (c->more & (MORE_ECN | MORE_SEARCH)) || c->mtu_at || c->due_rexmt || nxt != c->snd_una ||
	    nxt != c->snd_max || !p || p != c->snd_tail || tick_now(t) - c->last_tx > IDLE_TICKS)
		return false;
	struct sendq_item *it = sendq_item(p);
	if (it->seq != nxt || len > c->mss || len >= c->snd_wnd || len >= c->cwnd ||
	    t->net->tx[c->path.port].n >= NET_TXQ - QUEUE_SPARE || !has_headroom(t, c, it, n) ||
	    !pkt_exclusive(p) || (sack ? sack_due(c) || c->lost || c->sacked : c->dupacks))
		return false;

	uint32_t end = nxt + len + fin, us = (uint32_t)(t->now / 1000);
	struct checksum_tail sum = it->sum;

	conn_progress(c); // what is sent now has waited for nothing
	pkt_set_view(p, it->off, it->len);
	pkt_ref(p);
	tcp_count(t, CTR_tcp_in_place);
	c->snd_cur = p;
	acked_by(c);
	segment_put(t, c, p, h, n, nxt, data_flags(c, nxt + len, fin), 0, sum);
	if (!(c->flags & CONN_RTT)) {
		c->flags |= CONN_RTT;
		c->rtt_seq = end;
		c->rtt_at = us;
	}
	if (sack) {
		c->rack_rtt = 0;
		c->fack = nxt;
		board_sent(c, nxt, c->snd_end, us);
	}
	c->count_out += len;
	c->snd_nxt = c->snd_max = end;
	c->last_tx = tick_now(t);
	conn_set_rto(t, c);
	return true;
}

void conn_output(struct tcp *t, struct tcp_conn *c)
{
	bool ok = true;

	if (__builtin_expect(!t->conf.long_way, 1) && answer_send(t, c))
		return;
	c->flags &= ~CONN_NO_BUFFER;
	switch (c->state) {
	case TCP_CLOSED:
		return;
	case TCP_SYN_SENT:
	case TCP_SYN_RECEIVED:
		if (c->flags & CONN_SYN_DUE)
			syn_send(t, c);
		else if ((c->flags & CONN_ACK_NOW) && c->state == TCP_SYN_RECEIVED)
			conn_send_control(t, c, TCP_ACK);
		return;
	default:
		break;
	}
	if (c->mtu_at)
		pathmtu_age(t, c);
	if (conn_flight(c) == 0 && c->due_rexmt == 0 && !(c->flags & CONN_PROBE_DUE))
		conn_progress(c); // what is sent now has waited for nothing
	uint64_t silent = (uint64_t)(tick_now(t) - c->last_tx) << TICK_SHIFT;

	if (silent > CONN_RTO_MIN && conn_flight(c) == 0 && silent > conn_rto(c) && !(c->flags & CONN_RECOVERY))
		conn_cc(c)->idle(c);
	if (c->flags & CONN_PROBE_DUE)
		ok = probe(t, c);
	if (ok && (c->flags & CONN_PTO_DUE))
		ok = tail_probe(t, c);
	if (ok && ((c->flags & CONN_RESEND) || c->lost))
		ok = c->flags & CONN_SACK ? lost_resend(t, c) : resend(t, c);
	if (ok)
		ok = data_send(t, c);
	// Something is left, nothing is under way: the window is shut. A timeout still running becomes a
	// probe's.
	if (ok && conn_flight(c) == 0 && !conn_fin_acked(c) && !(c->flags & CONN_PERSIST) &&
	    (seq_lt(c->snd_nxt, c->snd_end) || (c->flags & CONN_FIN_QUEUED))) {
		c->flags = (c->flags & ~(CONN_PTO | CONN_REO)) | CONN_PERSIST;
		if (c->due_rexmt == 0)
			conn_set_rexmt(t, c, conn_rto(c));
	}
	if (c->flags & CONN_ACK_NOW)
		conn_send_control(t, c, TCP_ACK);
}
