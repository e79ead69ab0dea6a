// SYNs to listeners, and the connections that are not yet established: a bounded number, beyond which cookies
// take over, or, where there are to be none, the oldest goes first. Limits of a listener are looked at with the
// SYN, so that a refusal costs little, and count when the handshake is complete.
#include "tcp/cookie.h"

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

static bool listening(const struct tcp *t, const struct segment *s, struct tcp_accept *out)
{
	*out = (struct tcp_accept){0};
	return t->conf.listen &&
	       t->conf.listen(t->conf.listen_ctx, s->net->port, s->net->dst, s->dst_port, out);
}

// Connections that peers may open at all, and how many of them before it counts as pressure.
static uint32_t room_for_peers(const struct tcp *t)
{
	return t->conf.max_conns - t->conf.reserve;
}
static bool crowded(const struct tcp *t)
{
	uint32_t room = room_for_peers(t);

	return t->n_half_open >= t->conf.max_half_open || t->n_accepted >= room - room / 8;
}

static uint64_t source_of(const struct tcp *t, const struct segment *s, const struct tcp_accept *a)
{
	return source_key(t->secret, s->net->src, a->prefix6 ? a->prefix6 : 64, a->tag);
}

// The limit that s is beyond, or CTR_COUNT. take: the handshake is complete.
static enum counter beyond(struct tcp *t, const struct segment *s, const struct tcp_accept *a, bool take)
{
	if (tcp_short(t))
		return CTR_tcp_syn_no_buffer;
	if (a->max_per_address && source_count(&t->sources, source_of(t, s, a)) >= a->max_per_address)
		return CTR_tcp_address_limit;
	if (a->rate && !(take ? rate_take(a->rate, t->now) : rate_ready(a->rate, t->now)))
		return CTR_tcp_accept_limit;
	return CTR_COUNT;
}

static void count_source(struct tcp *t, const struct tcp_conn *c, const struct segment *s,
			 const struct tcp_accept *a)
{
	uint32_t place;

	if (a->max_per_address == 0)
		return;
	place = source_add(&t->sources, source_of(t, s, a));
	t->conn_source[conn_index(t, c)] = place;
	if (place == 0)
		tcp_count(t, CTR_tcp_address_uncounted);
}

static void refuse(struct tcp *t, struct segment *s, const struct tcp_accept *a, enum counter why)
{
	tcp_count(t, why);
	if (a->refuse_reset)
		reply_rst(t, s);
}

// Most SYNs of the denied do not come this far (worker.c); what does is dropped without a word.
static bool denied(struct tcp *t, const struct segment *s)
{
	const struct address_list *l = t->conf.addresses;

	if (!l || !address_list_denies(l) || !address_list_denied(l, s->net->src, t->now))
		return false;
	tcp_count(t, CTR_tcp_denied);
	return true;
}

bool listen_admit(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	struct tcp_accept a;
	enum counter why;

	if (denied(t, s)) { // since its SYN was taken
		conn_release(c);
		return false;
	}
	if (!listening(t, s, &a)) // closed since the SYN was taken
		return true;
	why = beyond(t, s, &a, true);
	if (why != CTR_COUNT) {
		// Ignored, it stays half open: our SYN-ACK comes again, and with the peer's answer another
		// chance.
		refuse(t, s, &a, why);
		if (a.refuse_reset)
			conn_release(c);
		return false;
	}
	count_source(t, c, s, &a);
	return true;
}

static void half_open_drop(struct tcp *t)
{
	tcp_count(t, CTR_tcp_half_open_dropped);
	conn_release(conn_at(t, t->half_open.head - 1));
}

// From a SYN, or what a cookie has kept of one. NULL: none left (counted).
static struct tcp_conn *accept_create(struct tcp *t, const struct segment *syn, const struct tcp_accept *a)
{
	struct tcp_conn *c;
	int err = 0;

	if (t->n_accepted >= room_for_peers(t))
		goto none_left;
	c = conn_create(t, syn->net->dst, syn->net->src, syn->dst_port, syn->src_port, syn->net->port,
			syn->net->neigh, &err);
	if (!c)
		goto none_left;
	if (!flow_insert(&t->flows, syn->hash, conn_index(t, c))) {
		conn_release(c);
		goto none_left;
	}
	conn_set_state(c, TCP_SYN_RECEIVED);
	c->flags |= CONN_IN_FLOW | CONN_ACCEPTED;
	t->n_accepted++;
	c->fn = a->on_event;
	c->ctx = a->ctx;
	c->tag = a->tag;
	tcp_set_cc(c, a->cc);
	tcp_set_ecn(c, a->ecn);
	ecn_syn_input(c, syn);
	conn_syn_options(c, syn, a->rcv_buf);
	return c;
none_left:
	tcp_count(t, CTR_tcp_no_conn_left);
	return NULL;
}

static void syn_input(struct tcp *t, struct segment *s, const struct tcp_accept *a, uint32_t isn_floor)
{
	enum counter why = beyond(t, s, a, false);
	struct tcp_conn *c;

	if (why != CTR_COUNT) {
		refuse(t, s, a, why);
		return;
	}
	if (a->cookies == TCP_COOKIES_ALWAYS || (a->cookies == TCP_COOKIES_PRESSURE && crowded(t))) {
		// Half-open connections give way to a handshake that is completed.
		if (t->n_accepted >= room_for_peers(t) && t->n_half_open == 0)
			tcp_count(t, CTR_tcp_no_conn_left);
		else
			cookie_send(t, s, a->rcv_buf ? a->rcv_buf : t->conf.rcv_buf,
				    (a->ecn ? a->ecn : t->conf.ecn) != TCP_ECN_NEVER);
		return;
	}
	if (t->n_half_open >= t->conf.max_half_open)
		half_open_drop(t);
	c = accept_create(t, s, a);
	if (!c)
		return;
	half_open_add(t, c);
	conn_numbers(t, c, isn_floor);
	c->flags |= CONN_SYN_DUE;
	conn_dirty(c);
}

// An acknowledgement of no connection: does it complete a handshake that a cookie stands for? False: no.
static bool cookie_input(struct tcp *t, struct segment *s)
{
	struct tcp_accept a;
	struct segment syn;
	struct tcp_conn *c;
	enum counter why;

	if (!cookie_expected(t))
		return false;
	switch (cookie_check(t, s, &syn)) {
	case COOKIE_WRONG:
		tcp_count(t, CTR_tcp_cookie_wrong);
		return false;
	case COOKIE_OLD:
		tcp_count(t, CTR_tcp_cookie_old);
		return false;
	case COOKIE_RIGHT:
		break;
	}
	if (!listening(t, s, &a))
		return false;
	why = beyond(t, s, &a, true);
	if (why != CTR_COUNT) { // where it is ignored the peer tries again
		refuse(t, s, &a, why);
		return true;
	}
	if (t->n_half_open && (t->n_accepted >= room_for_peers(t) || t->conns.used == t->conns.capacity))
		half_open_drop(t);
	c = accept_create(t, &syn, &a);
	if (!c)
		return true;
	tcp_count(t, CTR_tcp_cookie_accepted);
	count_source(t, c, s, &a);
	c->ts_offset = conn_ts_offset(t, (const struct flow_ends *)c);
	conn_set_isn(c, s->ack - 1);
	c->snd_nxt = c->snd_max = s->ack;
	conn_input(t, c, s);
	return true;
}

void listen_input(struct tcp *t, struct segment *s, uint32_t isn_floor)
{
	struct tcp_accept accept;

	if (denied(t, s))
		return;
	if (s->flags & TCP_RST) {
		tcp_count(t, CTR_tcp_no_connection);
		return;
	}
	if (s->flags & TCP_ACK) {
		if (!(s->flags & TCP_SYN) && cookie_input(t, s))
			return;
		tcp_count(t, CTR_tcp_no_connection);
		reply_rst(t, s);
		return;
	}
	if (!listening(t, s, &accept)) {
		tcp_count(t, s->flags & TCP_SYN ? CTR_tcp_no_listener : CTR_tcp_no_connection);
		reply_rst(t, s);
		return;
	}
	if (!(s->flags & TCP_SYN)) { // RFC 9293 3.10.7.2: dropped where somebody listens
		tcp_count(t, CTR_tcp_no_connection);
		return;
	}
	syn_input(t, s, &accept, isn_floor);
}
