// SYNs to listeners, and the connections that are not yet established: a bounded number, the oldest goes first.
// (SYN cookies have their place here.)
#include "tcp/conn.h"

static void half_open_add(struct tcp *t, struct tcp_conn *c)
{
	uint32_t self = conn_index(t, c) + 1;

	c->half_open.next = 0;
	c->half_open.prev = t->half_open.tail;
	if (t->half_open.tail)
		conn_at(t, t->half_open.tail - 1)->half_open.next = self;
	else
		t->half_open.head = self;
	t->half_open.tail = self;
	t->n_half_open++;
	c->flags |= CONN_HALF_OPEN;
}

void half_open_remove(struct tcp *t, struct tcp_conn *c)
{
	uint32_t next = c->half_open.next, prev = c->half_open.prev;

	if (prev)
		conn_at(t, prev - 1)->half_open.next = next;
	else
		t->half_open.head = next;
	if (next)
		conn_at(t, next - 1)->half_open.prev = prev;
	else
		t->half_open.tail = prev;
	t->n_half_open--;
	c->flags &= ~CONN_HALF_OPEN;
	c->user = NULL;
}

void listen_input(struct tcp *t, struct segment *s, uint32_t isn_floor)
{
	struct tcp_accept accept = {0};
	struct tcp_conn *c;
	int err;

	if (s->flags & TCP_RST) {
		tcp_count(t, CTR_tcp_no_connection);
		return;
	}
	if ((s->flags & TCP_ACK) || !(s->flags & TCP_SYN)) {
		tcp_count(t, CTR_tcp_no_connection);
		reply_rst(t, s);
		return;
	}
	if (!t->conf.listen ||
	    !t->conf.listen(t->conf.listen_ctx, s->net->port, s->net->dst, s->dst_port, &accept)) {
		tcp_count(t, CTR_tcp_no_listener);
		reply_rst(t, s);
		return;
	}
	if (t->n_half_open > t->conf.max_conns / 4) {
		tcp_count(t, CTR_tcp_half_open_dropped);
		conn_release(conn_at(t, t->half_open.head - 1));
	}
	c = conn_create(t, s->net->dst, s->net->src, s->dst_port, s->src_port, s->net->port, s->net->neigh,
			&err);
	if (!c) {
		tcp_count(t, CTR_tcp_no_conn_left);
		return;
	}
	if (!flow_insert(&t->flows, s->hash, conn_index(t, c))) {
		tcp_count(t, CTR_tcp_no_conn_left);
		conn_release(c);
		return;
	}
	conn_set_state(c, TCP_SYN_RECEIVED);
	c->flags |= CONN_IN_FLOW | CONN_ACCEPTED | CONN_SYN_DUE;
	c->fn = accept.on_event;
	c->ctx = accept.ctx;
	c->tag = accept.tag;
	tcp_set_cc(c, accept.cc);
	tcp_set_ecn(c, accept.ecn);
	ecn_syn_input(c, s);
	half_open_add(t, c);
	conn_syn_options(c, s, accept.rcv_buf);
	c->snd_una = conn_isn(t, (const struct flow_ends *)c, isn_floor);
	c->snd_nxt = c->snd_max = c->snd_una;
	c->snd_end = c->snd_una + 1;
	c->recover = c->snd_una;
	conn_dirty(c);
}
