// Listeners, and the connections that wait to be accepted.
#include "stack/host.h"
#include <errno.h>
#include <stdlib.h>

static struct cg_listener *find(const struct cg_stack *s, struct addr local, uint16_t port)
{
	for (struct cg_listener *l = s->listeners; l; l = l->next)
		if (l->port == port && addr_eq(l->local, local))
			return l;
	return NULL;
}

bool listen_find(void *ctx, uint16_t port, struct addr local, uint16_t local_port, struct tcp_accept *out)
{
	struct cg_stack *s = ctx;
	struct cg_listener *l = find(s, local, local_port);

	(void)port;
	if (!l)
		l = find(s, (struct addr){0}, local_port);
	if (!l)
		return false;
	*out = (struct tcp_accept){
		.on_event = sock_event, .ctx = s, .tag = l->tag, .rcv_buf = l->opt.rcv_buf, .cc = l->opt.cc};
	return true;
}

struct cg_listener *listen_of(struct cg_stack *s, uint32_t tag)
{
	struct cg_listener *l = s->listeners;

	while (l && l->tag != tag)
		l = l->next;
	return l;
}

struct cg_listener *cg_listen(struct cg_stack *s, struct addr local, uint16_t port,
			      const struct cg_options *opt, int *err)
{
	struct cg_listener *l;

	if (addr_is_any(local)) // of either family
		local = (struct addr){0};
	*err = port == 0 ? -EINVAL : -EADDRINUSE;
	if (port == 0 || find(s, local, port))
		return NULL;
	*err = -ENOMEM;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	*l = (struct cg_listener){
		.stack = s, .next = s->listeners, .local = local, .port = port, .tag = ++s->next_tag};
	if (opt)
		l->opt = *opt;
	s->listeners = l;
	*err = 0;
	return l;
}

struct cg_sock *cg_accept(struct cg_listener *l)
{
	struct cg_sock *k = l->first;

	if (!k)
		return NULL;
	l->first = k->next;
	if (!l->first)
		l->last = NULL;
	k->next = NULL;
	return k;
}

void cg_unlisten(struct cg_listener *l)
{
	struct cg_listener **at = &l->stack->listeners;
	struct cg_sock *k;

	while ((k = cg_accept(l)))
		cg_abort(k);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	free(l);
}

void listen_end(struct cg_stack *s)
{
	struct cg_listener *l;

	while ((l = s->listeners)) {
		s->listeners = l->next;
		free(l);
	}
}
