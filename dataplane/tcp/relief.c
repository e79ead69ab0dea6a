// When packet buffers run short. Whoever opens many connections and takes nothing of what is sent to him (or
// fills them with pieces out of order) could have all buffers held, and nobody else would be served. So, while
// queues hold as much as they may and less than a quarter of the buffers is left (tight): whose queue holds
// anything takes no more, and nothing more out of order; what lies out of order in numbers is given up; and of
// those whose peer has taken nothing for holder_time the one that holds most is ended, again and again. What is
// left then is for those who hold nothing: who comes new is let in, and his request. Less than a sixteenth
// (short), whatever holds it: the same, and no new connections.
//
// The walk goes a slice at a time, so that no burst waits long for it: each connection is two lines that are
// not in the cache. One that has found nobody is not begun again at once: who holds takes his time.
#include "tcp/conn.h"
#include <errno.h>

#define LOOK_EVERY 20000ull    // ns: buffers are counted in memory that all workers share
#define PER_TURN   16          // connections looked at before each telling of events
#define AHEAD      4           // and fetched before
#define REST       20000000ull // ns after a walk in vain
#define PIECES     4           // out of order that anybody may keep
#define WORTH      (16u << 10) // buffer bytes for which a connection is ended

static void buffers_look(struct tcp *t)
{
	if (t->now - t->short_at < LOOK_EVERY)
		return;
	t->short_at = t->now;
	t->tight = pkt_pool_left(t->net->pool) < pkt_pool_size(t->net->pool) / 4;
	t->short_of_buffers = t->tight && pkt_pool_short(t->net->pool);
}

bool tcp_short(struct tcp *t)
{
	buffers_look(t);
	return t->short_of_buffers;
}

bool tcp_tight(struct tcp *t)
{
	buffers_look(t);
	return t->short_of_buffers || (t->tight && t->held >= t->conf.buffer_memory);
}

static bool takes_nothing(const struct tcp *t, const struct tcp_conn *c)
{
	uint16_t ticks = (uint16_t)((uint16_t)(t->now >> PROGRESS_SHIFT) - c->progress);

	return t->conf.holder_time && c->state != TCP_CLOSED && c->snd_head && (c->flags & CONN_OPENED) &&
	       (uint64_t)ticks << PROGRESS_SHIFT >= t->conf.holder_time;
}

static void look_at(struct tcp *t, struct tcp_conn *c)
{
	if (c->ooo_count > PIECES) {
		tcp_count(t, CTR_tcp_ooo_pruned);
		recvq_prune(c);
	}
	if (c->snd_held > t->relief.held && c->snd_held >= WORTH && takes_nothing(t, c)) {
		t->relief.worst = conn_index(t, c);
		t->relief.held = c->snd_held;
	}
}

static void end_worst(struct tcp *t)
{
	struct tcp_conn *c = conn_at(t, t->relief.worst);
	bool live = t->conn_used[t->relief.worst / 64] >> (t->relief.worst % 64) & 1;

	t->relief.held = 0;
	if (!live || !takes_nothing(t, c)) // it moved on, or another stands in its place
		return;
	tcp_count(t, CTR_tcp_holder_ended);
	conn_send_control(t, c, TCP_RST | TCP_ACK);
	conn_fail(c, ENOBUFS);
	t->short_at = 0; // was it enough?
}

void relief(struct tcp *t)
{
	uint32_t size = t->conns.capacity;

	if (t->now < t->relief.rest_until)
		return;
	for (unsigned n = 0; n < PER_TURN; n++) {
		uint32_t at = t->relief.at;

		if (at >= size) {
			t->relief.at = 0;
			if (t->relief.held)
				end_worst(t);
			else
				t->relief.rest_until = t->now + REST;
			return;
		}
		uint64_t bits = t->conn_used[at / 64] >> (at % 64);
		if (!bits) {
			t->relief.at = (at / 64 + 1) * 64;
			continue;
		}
		at += (unsigned)__builtin_ctzll(bits);
		t->relief.at = at + 1;
		if (at + AHEAD < size) {
			__builtin_prefetch(&conn_at(t, at + AHEAD)->ooo_count);
			__builtin_prefetch(&conn_at(t, at + AHEAD)->snd_held);
		}
		look_at(t, conn_at(t, at));
	}
}
