#include "gateway/encode.h"
#include "gateway/trailers.h"

// A body that has paused for so long, ns, is flushed: what has come may be all that its reader waits for.
#define FLUSH_TIME 1000000ull
#define ROOM_LEAST 64u // of a buffer; with less it is sent

void encode_begin(struct exchange *x, enum coding coding, unsigned level)
{
	struct gateway *g = x->g;
	struct encoding *e = slab_get(&g->encodings);

	*e = (struct encoding){.x = x, .encoder = encoder_take(g->encoders, coding, level)};
	x->encoding = e;
	count(g, coding == CODING_GZIP ? CTR_compress_gzip : CTR_compress_br);
}

static void line_leave(struct encoding *e)
{
	struct gateway *g = e->x->g;

	if (!e->pprev)
		return;
	*e->pprev = e->next;
	if (e->next)
		e->next->pprev = e->pprev;
	else
		g->encode_last = e->pprev;
	e->pprev = NULL;
}

void encode_end(struct encoding *e)
{
	struct exchange *x = e->x;

	line_leave(e);
	if (e->out)
		pkt_free(e->out);
	encoder_give(x->g->encoders, e->encoder);
	x->encoding = NULL;
	slab_put(&x->g->encodings, e);
}

void encode_wake(struct encoding *e)
{
	struct gateway *g = e->x->g;

	if (e->pprev)
		return;
	e->next = NULL;
	e->pprev = g->encode_last;
	*g->encode_last = e;
	g->encode_last = &e->next;
}

static void out_send(struct encoding *e)
{
	struct exchange *x = e->x;

	if (x->head) {
		send_chain(x->client, x->head);
		x->head = NULL;
	}
	if (!e->out)
		return;
	if (pkt_len(e->out)) {
		x->bytes_out += pkt_len(e->out);
		stat_add(&x->g->conf.stats->c[CTR_compress_bytes_out], pkt_len(e->out));
		relay_send(x->client, e->out, true);
	} else {
		pkt_free(e->out);
	}
	e->out = NULL;
}

static void response_fault(struct exchange *x)
{
	count(x->g, CTR_http_bad_chunk);
	count(x->g, fault_counter((enum http_fault)x->response.fault));
	exchange_cut(x);
}

enum next { NEXT_INPUT, NEXT_NOTHING, NEXT_END, NEXT_CUT, NEXT_FAULT };

// The next bytes of the body, if there are any; framing before them is dropped.
static enum next input_next(struct encoding *e, struct slice *piece, size_t *skip, struct http_body *before)
{
	struct exchange *x = e->x;
	struct attempt *a = x->attempt;
	struct pkt *p;
	size_t run;

	while (!e->ended && !http_body_done(&x->response) && !http_body_trailers(&x->response)) {
		p = tcp_recv_peek(a->conn->tcp);
		if (!p) {
			if (tcp_recv_eof(a->conn->tcp) && x->response.framing == FRAMING_CLOSE)
				break;
			if (!tcp_recv_eof(a->conn->tcp) && !a->dead)
				return NEXT_NOTHING;
			count(x->g, CTR_up_truncated);
			return NEXT_CUT;
		}
		*before = x->response;
		if (http_body_next(&x->response, pkt_data(p), pkt_len(p), skip, &run) != FAULT_NONE)
			return NEXT_FAULT;
		if (run) {
			*piece = slice_of(pkt_data(p) + *skip, run);
			return NEXT_INPUT;
		}
		if (*skip == 0) // what stands there is none of the body's
			break;
		tcp_recv_skip(a->conn->tcp, (uint32_t)*skip);
	}
	e->ended = true;
	return NEXT_END;
}

// n bytes of the piece are taken.
static void input_taken(struct exchange *x, const struct slice *piece, size_t n, size_t skip,
			const struct http_body *before)
{
	struct tcp_conn *from = x->attempt->conn->tcp;
	size_t run;

	if (n < piece->n) { // the body is as far as that
		x->response = *before;
		if (skip + n)
			(void)http_body_next(&x->response, pkt_data(tcp_recv_peek(from)), skip + n, &skip,
					     &run);
	}
	tcp_recv_skip(from, (uint32_t)(skip + n));
	stat_add(&x->g->conf.stats->c[CTR_compress_bytes_in], n);
}

static enum encoded work(struct encoding *e, enum encode_op op, const struct slice *piece, size_t *n)
{
	size_t room = pkt_tailroom(e->out) - 2, wrote = room; // 2: the chunk's line end
	char *at = pkt_append(e->out, (uint32_t)room);
	enum encoded result;

	*n = piece->n;
	result = encoder_run(e->encoder, op, piece->p, n, at, &wrote);
	pkt_trim(e->out, (uint32_t)(room - wrote));
	return result;
}

// All of it is written but trailers and the last chunk. Trailers may have to be waited for.
static void finish(struct encoding *e)
{
	struct exchange *x = e->x;
	struct attempt *a = x->attempt;
	enum relay r = RELAY_DONE;

	out_send(e);
	e->finished = true;
	if (http_body_trailers(&x->response))
		r = trailers_relay(x, TRAILERS_TO_CLIENT);
	if (r == RELAY_MORE && (a->eof || a->dead)) {
		count(x->g, CTR_up_truncated);
		exchange_cut(x);
	} else if (r == RELAY_FAULT) {
		response_fault(x);
	} else if (r == RELAY_NO_BUFFER || (r == RELAY_DONE && tcp_send_copy(x->client, "0\r\n\r\n", 5) != 0)) {
		relay_again(x, RELAY_NO_BUFFER);
	} else if (r != RELAY_MORE) {
		attempt_complete(a);
	}
}

static void pause_until_more(struct encoding *e)
{
	if (e->x->head)
		out_send(e);
	if (e->flush_at)
		exchange_arm(e->x);
}

// One turn.
static void turn(struct encoding *e)
{
	struct exchange *x = e->x;
	struct gateway *g = x->g;
	bool head = x->head != NULL;
	uint64_t in_before = stat_get(&g->conf.stats->c[CTR_compress_bytes_in]), out_before = x->bytes_out;

	if (e->finished) {
		finish(e);
		return;
	}
	encoder_turn(e->encoder);
	while (!tcp_send_full(x->client)) {
		struct slice piece = {"", 0};
		struct http_body before;
		size_t skip = 0, n;
		enum next next = input_next(e, &piece, &skip, &before);
		enum encode_op op = next == NEXT_INPUT ? ENCODE_MORE
				    : next == NEXT_END ? ENCODE_FINISH
						       : ENCODE_FLUSH;

		if (next == NEXT_FAULT) {
			response_fault(x);
			return;
		}
		if (next == NEXT_CUT) {
			exchange_cut(x);
			return;
		}
		if (next == NEXT_NOTHING && (!e->flush_at || g->now < e->flush_at)) {
			pause_until_more(e);
			break;
		}
		if (!e->out)
			e->out = pkt_alloc(g->conf.pool);
		if (!e->out) {
			if (next == NEXT_INPUT)
				input_taken(x, &piece, 0, skip, &before);
			relay_again(x, RELAY_NO_BUFFER);
			break;
		}
		switch (work(e, op, &piece, &n)) {
		case ENCODED_FAILED:
			count(g, CTR_compress_failed);
			exchange_cut(x);
			return;
		case ENCODED_SPENT:
			encode_wake(e);
			break;
		case ENCODED_FULL:
			break;
		case ENCODED_ALL:
			if (op == ENCODE_FINISH) {
				finish(e);
				return;
			}
			if (op == ENCODE_FLUSH) {
				e->flush_at = 0;
				out_send(e);
			}
			break;
		}
		if (next == NEXT_INPUT)
			input_taken(x, &piece, n, skip, &before);
		if (n)
			e->flush_at = g->now + FLUSH_TIME;
		if (e->out && pkt_tailroom(e->out) < ROOM_LEAST)
			out_send(e);
		if (e->pprev)
			break;
	}
	if (head != (x->head != NULL) || stat_get(&g->conf.stats->c[CTR_compress_bytes_in]) != in_before ||
	    x->bytes_out != out_before)
		client_progress(x);
}

bool gateway_work(struct gateway *g)
{
	struct encoding *e = g->encode_first;

	if (!e)
		return false;
	line_leave(e);
	turn(e);
	return true;
}

bool gateway_has_work(const struct gateway *g)
{
	return g->encode_first != NULL;
}
