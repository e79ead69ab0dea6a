// Bodies on their way through, in both directions: taken out of one framing and put into another, in the
// packet buffers they came in. Nothing is read that the other side has no room for, so that back-pressure goes
// through TCP's window.
#include "gateway/encode.h"
#include "gateway/trailers.h"

#define CHUNK_SIZE_ROOM 18
#define ALONE_LEAST     512 // bytes; a copy of less costs no more than what is done for a buffer
// Pieces of a body that are copied in one turn, each some 20 ns: who sends chunks of a byte holds up nobody
// else.
#define PIECES_MOST 1024

// Has it room for a chunk's framing, and may its bytes change? A fresh buffer with 2 bytes spared has.
static bool frameable(const struct pkt *p)
{
	return pkt_exclusive(p) && pkt_tailroom(p) >= 2 && pkt_headroom(p) >= HEADERS_ROOM + CHUNK_SIZE_ROOM;
}

void relay_send(struct tcp_conn *to, struct pkt *p, bool chunked)
{
	char size[CHUNK_SIZE_ROOM];

	if (chunked) {
		int k = http_write_chunk_size(size, pkt_len(p));

		memcpy(pkt_prepend(p, (uint32_t)k), size, (size_t)k);
		memcpy(pkt_append(p, 2), "\r\n", 2);
	}
	tcp_send(to, p);
}

enum relay relay_body(struct gateway *g, struct tcp_conn *from, struct http_body *in, struct tcp_conn *to,
		      bool chunked, struct pkt *head, uint64_t *moved)
{
	// A buffer that is payload from end to end goes as it is; pieces between framing, and the end of a body
	// with another message behind it, are gathered in a buffer of their own, and the first of a body behind
	// the head.
	struct pkt *gather = head;
	uint32_t mss = head ? tcp_mss(to) : 0;
	enum relay result = RELAY_MORE;
	unsigned pieces = 0;

	if (head && (chunked || pkt_next(head))) {
		send_chain(to, head);
		gather = head = NULL;
	}
	while (!http_body_done(in)) {
		struct pkt *p = tcp_recv_peek(from);
		size_t skip, run;

		if (http_body_trailers(in)) {
			result = RELAY_TRAILERS;
			break;
		}
		if (!p) {
			if (tcp_recv_eof(from))
				result = in->framing == FRAMING_CLOSE ? RELAY_DONE : RELAY_EOF;
			break;
		}
		if (tcp_send_full(to))
			break;
		if (gather && pkt_tailroom(gather) < 2 + pkt_len(p)) {
			relay_send(to, gather, chunked);
			gather = head = NULL;
			continue;
		}
		struct http_body before = *in;

		if (http_body_next(in, pkt_data(p), pkt_len(p), &skip, &run) != FAULT_NONE) {
			result = RELAY_FAULT;
			break;
		}
		if (skip == 0 && run == pkt_len(p) &&
		    (!gather || (gather == head && pkt_len(head) + run > mss)) && run >= ALONE_LEAST &&
		    (!chunked || frameable(p))) {
			if (gather)
				tcp_send(to, gather);
			gather = head = NULL;
			struct checksum_tail sum = tcp_recv_sum(p);

			p = tcp_recv_take(from);
			if (chunked)
				relay_send(to, p, true);
			else
				tcp_forward(to, p, sum);
			*moved += run;
			continue;
		}
		if (run && !gather) {
			gather = pkt_alloc(g->conf.pool);
			if (!gather) {
				*in = before;
				result = RELAY_NO_BUFFER;
				break;
			}
		}
		if (run) {
			uint32_t room = pkt_tailroom(gather) - 2, part = run < room ? (uint32_t)run : room;

			if (part < run) { // more than fits: the rest comes in the next turn
				*in = before;
				if (http_body_next(in, pkt_data(p), skip + part, &skip, &run) != FAULT_NONE) {
					result = RELAY_FAULT;
					break;
				}
			}
			memcpy(pkt_append(gather, (uint32_t)run), pkt_data(p) + skip, run);
			*moved += run;
		}
		tcp_recv_skip(from, (uint32_t)(skip + run));
		if (++pieces == PIECES_MOST) {
			result = RELAY_PAUSE;
			break;
		}
	}
	if (gather && pkt_len(gather))
		relay_send(to, gather, chunked);
	else
		pkt_free_chain(gather);
	if ((result == RELAY_MORE || result == RELAY_PAUSE) && http_body_done(in))
		result = RELAY_DONE;
	return result;
}

// A body that stands in the first buffer of from's queue, behind the `skip` bytes that were its head, with
// nothing behind it, goes with its new head: in its own buffer where there is room in front of it for that and
// for headers, as it is then neither written nor read again, else behind the head. Larger ones only where that
// is one segment. False: nothing has changed.
static inline __attribute__((always_inline)) bool send_joined(struct tcp_conn *from, struct tcp_conn *to,
							      struct pkt *head, uint32_t skip, uint64_t length)
{
	struct pkt *p = tcp_recv_peek(from);
	uint32_t k = pkt_len(head), n = (uint32_t)length;
	bool large = n >= ALONE_LEAST, in_place;

	if (!p || n == 0 || pkt_len(p) != skip + length || pkt_next(head) || (large && k + n > tcp_mss(to)))
		return false;
	in_place = large && pkt_exclusive(p) && !pkt_small(p) && pkt_headroom(p) + skip >= k + tcp_headers(to);
	if (!in_place && pkt_tailroom(head) < n)
		return false;
	if (!large) {
		memcpy(pkt_append(head, n), pkt_data(p) + skip, n);
		tcp_recv_skip(from, skip + n);
		tcp_send(to, head);
		return true;
	}
	if (skip)
		tcp_recv_skip(from, skip);
	struct checksum_tail sum = checksum_behind(tcp_recv_sum(p), k);

	if (in_place) {
		tcp_recv_take(from);
		memcpy(pkt_prepend(p, k), pkt_data(head), k);
		pkt_free(head);
		head = p;
	} else {
		memcpy(pkt_append(head, n), pkt_data(p), n);
		tcp_recv_skip(from, n);
	}
	tcp_forward(to, head, sum);
	return true;
}

bool relay_whole_request(struct exchange *x, struct tcp_conn *to, struct pkt *head)
{
	uint64_t n = x->request.left;

	if (x->request.framing != FRAMING_LENGTH || !send_joined(x->client, to, head, 0, n))
		return false;
	http_body_init(&x->request, FRAMING_NONE, 0);
	x->bytes_in += n;
	x->body_sent = true;
	tcp_set_timer(x->client, 0); // from here on the time is the upstream's
	x->watched = WATCHED_NOT;
	return true;
}

bool relay_whole(struct exchange *x, struct tcp_conn *from, uint32_t head_length, uint64_t length)
{
	struct pkt *head = x->head;

	if (x->encoding || !head || !send_joined(from, x->client, head, head_length, length))
		return false;
	x->head = NULL;
	http_body_init(&x->response, FRAMING_NONE, 0);
	x->bytes_out += length;
	return true;
}

void relay_again(struct exchange *x, enum relay why)
{
	count(x->g, why == RELAY_PAUSE ? CTR_http_pieces : CTR_tcp_no_buffer);
	x->retry = true;
	exchange_arm(x);
}

bool relay_request(struct exchange *x)
{
	struct gateway *g = x->g;
	struct attempt *a = x->attempt;
	bool chunked = x->request.framing == FRAMING_CHUNKED;
	uint64_t moved = 0;
	enum relay r;

	if (http_body_done(&x->request) && !x->chunk_end_due)
		return true; // a client that has half-closed still gets its answer
	if (!a || (a->state != ATTEMPT_WAITING && a->state != ATTEMPT_RESPONDING)) {
		if (tcp_recv_eof(x->client)) {
			count(g, CTR_http_client_gone);
			exchange_abort(x);
			return false;
		}
		return true;
	}
	r = http_body_done(&x->request)
		    ? RELAY_DONE
		    : relay_body(g, x->client, &x->request, a->conn->tcp, chunked, NULL, &moved);
	if (r == RELAY_TRAILERS) {
		r = trailers_relay(x, TRAILERS_TO_UPSTREAM);
		if (r == RELAY_MORE && conn_ended(x->client))
			r = RELAY_EOF;
	}
	x->bytes_in += moved;
	if (moved) {
		x->body_sent = true;
		client_progress(x);
	}
	switch (r) {
	case RELAY_MORE:
		break;
	case RELAY_PAUSE:
	case RELAY_NO_BUFFER:
		relay_again(x, r);
		break;
	case RELAY_TRAILERS:
	case RELAY_DONE:
	case RELAY_ENDED:
		x->chunk_end_due = false;
		if (chunked && r != RELAY_ENDED && tcp_send_copy(a->conn->tcp, "0\r\n\r\n", 5) != 0) {
			x->chunk_end_due = true;
			relay_again(x, RELAY_NO_BUFFER);
			break;
		}
		attempt_relayed(a);
		if (!x->response_started) { // from here on the time is the upstream's
			tcp_set_timer(x->client, 0);
			x->watched = WATCHED_NOT;
		}
		break;
	case RELAY_FAULT:
		count(g, CTR_http_bad_chunk);
		count(g, fault_counter((enum http_fault)x->request.fault));
		exchange_fail(x, http_fault_info[x->request.fault].status,
			      http_fault_info[x->request.fault].text);
		return false;
	case RELAY_EOF:
		count(g, CTR_http_client_gone);
		exchange_abort(x);
		return false;
	}
	return true;
}

bool relay_response(struct exchange *x)
{
	struct gateway *g = x->g;
	struct attempt *a = x->attempt;
	bool chunked = x->out_framing == FRAMING_CHUNKED;
	uint64_t moved = 0;
	struct pkt *head;
	enum relay r = RELAY_DONE;

	if (!a || a->state != ATTEMPT_RESPONDING)
		return true;
	if (x->encoding) {
		encode_wake(x->encoding);
		return true;
	}
	head = x->head;
	x->head = NULL;
	if (!x->terminator_due)
		r = relay_body(g, a->conn->tcp, &x->response, x->client, chunked, head, &moved);
	if (r == RELAY_TRAILERS) {
		r = trailers_relay(x, TRAILERS_TO_CLIENT);
		if (r == RELAY_MORE && (a->eof || a->dead))
			r = RELAY_EOF;
	}
	x->bytes_out += moved;
	if (r != RELAY_DONE && (moved || head))
		client_progress(x);
	switch (r) {
	case RELAY_MORE:
		break;
	case RELAY_PAUSE:
	case RELAY_NO_BUFFER:
		relay_again(x, r);
		break;
	case RELAY_TRAILERS:
	case RELAY_DONE:
	case RELAY_ENDED:
		x->terminator_due = false;
		if (chunked && r != RELAY_ENDED && tcp_send_copy(x->client, "0\r\n\r\n", 5) != 0) {
			x->terminator_due = true;
			client_progress(x);
			relay_again(x, RELAY_NO_BUFFER);
			break;
		}
		attempt_complete(a);
		return false;
	case RELAY_FAULT:
		count(g, CTR_http_bad_chunk);
		count(g, fault_counter((enum http_fault)x->response.fault));
		exchange_cut(x);
		return false;
	case RELAY_EOF:
		count(g, CTR_up_truncated);
		exchange_cut(x);
		return false;
	}
	return true;
}
