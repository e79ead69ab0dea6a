// Sockets: what callers do with a connection.
#include "stack/host.h"
#include <errno.h>

#define COPY_MAX 16384 // bytes taken between two looks at the send buffer

static void accepted(struct cg_stack *s, struct tcp_conn *c)
{
	struct cg_listener *l = listen_of(s, tcp_conn_tag(c));
	struct cg_sock *k = l ? slab_get(&s->socks) : NULL;

	if (!k) {
		tcp_abort(c);
		return;
	}
	*k = (struct cg_sock){.stack = s, .c = c, .open = true};
	tcp_set_handler(c, sock_event, s, k);
	if (l->last)
		l->last->next = k;
	else
		l->first = k;
	l->last = k;
}

void sock_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct cg_sock *k = user;

	if (!k) {
		accepted(ctx, c);
		k = events & EV_ERROR ? tcp_user(c) : NULL;
		if (!k)
			return;
	}
	if (events & EV_OPEN)
		k->open = true;
	if (events & EV_ERROR)
		k->error = tcp_error(c);
}

struct cg_sock *cg_connect(struct cg_stack *s, struct addr remote, uint16_t remote_port,
			   const struct cg_options *opt, int *err)
{
	struct cg_sock *k = slab_get(&s->socks);

	*err = -ENOMEM;
	if (!k)
		return NULL;
	*k = (struct cg_sock){.stack = s};
	k->c = tcp_connect_from(s->tcp, 0, opt ? opt->local_port : 0, remote, remote_port, sock_event, s, k,
				err);
	if (!k->c) {
		slab_put(&s->socks, k);
		return NULL;
	}
	if (opt) {
		tcp_set_cc(k->c, opt->cc);
		tcp_set_rcv_buf(k->c, opt->rcv_buf);
	}
	*err = 0;
	return k;
}

unsigned cg_poll(const struct cg_sock *k)
{
	unsigned ready = k->open ? CG_OPEN : 0;

	if (k->error)
		return ready | CG_ERROR;
	if (tcp_recv_eof(k->c))
		ready |= CG_EOF | CG_READABLE;
	else if (tcp_recv_len(k->c))
		ready |= CG_READABLE;
	if (k->open && !k->shut && tcp_send_space(k->c))
		ready |= CG_WRITABLE;
	return ready;
}

int cg_error(const struct cg_sock *k)
{
	return k->error;
}

ssize_t cg_read(struct cg_sock *k, void *buf, size_t n)
{
	uint32_t done = 0, max = n < INT32_MAX ? (uint32_t)n : INT32_MAX;

	if (k->error)
		return -k->error;
	for (struct pkt *p = tcp_recv_peek(k->c); p && done < max; p = tcp_recv_peek_next(p)) {
		uint32_t part = pkt_len(p) < max - done ? pkt_len(p) : max - done;

		memcpy((char *)buf + done, pkt_data(p), part);
		done += part;
	}
	tcp_recv_skip(k->c, done);
	return done || tcp_recv_eof(k->c) || max == 0 ? (ssize_t)done : -EAGAIN;
}

ssize_t cg_write(struct cg_sock *k, const void *buf, size_t n)
{
	uint32_t done = 0, max = n < INT32_MAX ? (uint32_t)n : INT32_MAX, space;

	if (k->error)
		return -k->error;
	if (k->shut)
		return -EPIPE;
	while (done < max && (space = tcp_send_space(k->c))) {
		uint32_t part = max - done < space ? max - done : space;
		int err;

		part = part < COPY_MAX ? part : COPY_MAX;
		err = tcp_send_copy(k->c, (const char *)buf + done, part);
		if (err)
			return done ? (ssize_t)done : err;
		done += part;
	}
	return done || max == 0 ? (ssize_t)done : -EAGAIN;
}

struct pkt *cg_read_packet(struct cg_sock *k)
{
	return k->error ? NULL : tcp_recv_take(k->c);
}

int cg_write_packet(struct cg_sock *k, struct pkt *p)
{
	if (k->error)
		return -k->error;
	if (k->shut)
		return -EPIPE;
	if (tcp_send_space(k->c) == 0)
		return -EAGAIN;
	tcp_send(k->c, p);
	return 0;
}

int cg_shutdown(struct cg_sock *k)
{
	if (k->error)
		return -k->error;
	k->shut = true;
	tcp_shutdown(k->c);
	return 0;
}

void cg_close(struct cg_sock *k)
{
	tcp_close(k->c);
	slab_put(&k->stack->socks, k);
}

void cg_abort(struct cg_sock *k)
{
	tcp_abort(k->c);
	slab_put(&k->stack->socks, k);
}

void cg_info(const struct cg_sock *k, struct tcp_info *info)
{
	tcp_get_info(k->c, info);
}

void *cg_user(const struct cg_sock *k)
{
	return k->user;
}

void cg_set_user(struct cg_sock *k, void *user)
{
	k->user = user;
}
