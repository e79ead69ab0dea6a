// The applications at both ends: they transfer random amounts both ways with random reads, writes and pauses,
// half-close, close early or abort.
#include "tests/sim/tcp_sim.h"
#include <errno.h>

#define LISTEN_PORT 80
#define IDLE_LIMIT  (900 * SEC) // an end whose peer's RST was lost gives up after this

static unsigned char byte_at(uint64_t key, uint64_t offset)
{
	uint64_t x = (offset ^ key) * 0x9e3779b97f4a7c15ull;
	return (unsigned char)(x >> 56);
}

static void fill(char *to, uint64_t key, uint64_t offset, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = (char)byte_at(key, offset + i);
}

static struct pair *pair_of(struct end *e)
{
	for (unsigned i = 0; i < SIM_CONNS; i++)
		if (e == &e->sim->pair[i].end[0] || e == &e->sim->pair[i].end[1])
			return &e->sim->pair[i];
	return NULL;
}

static void finish(struct end *e, bool abort)
{
	if (abort)
		tcp_abort(e->c);
	else
		tcp_close(e->c);
	e->c = NULL;
	e->done = true;
}

static void verify(struct end *e, const struct pkt *p, uint32_t n)
{
	const char *data = pkt_data(p);

	for (uint32_t i = 0; i < n; i++) {
		if ((unsigned char)data[i] != byte_at(e->in_key, e->received + i)) {
			sim_violation(e->sim, "host %u: wrong byte at %llu", e->host,
				      (unsigned long long)(e->received + i));
			break;
		}
	}
	e->received += n;
	e->sim->total.bytes += n;
	if (e->received > e->to_receive && e->to_receive != UINT64_MAX)
		sim_violation(e->sim, "host %u: more bytes than were sent", e->host);
}

static void app_read(struct end *e)
{
	struct random *r = &e->sim->r;
	struct pkt *p;

	while (e->c && (p = tcp_recv_peek(e->c))) {
		if (e->echo) {
			if (tcp_send_space(e->c) == 0)
				return;
			p = tcp_recv_take(e->c);
			verify(e, p, pkt_len(p));
			e->sent += pkt_len(p);
			tcp_send(e->c, p);
		} else if (random_below(r, 2)) {
			p = tcp_recv_take(e->c);
			verify(e, p, pkt_len(p));
			pkt_free(p);
		} else {
			uint32_t n = 1 + random_below(r, pkt_len(p));
			verify(e, p, n);
			tcp_recv_skip(e->c, n);
		}
		if (e->received >= e->abort_at) {
			finish(e, true);
			return;
		}
		if (e->received >= e->close_at) {
			finish(e, false);
			return;
		}
		if (random_below(r, 40) == 0) { // slow readers shut the window
			e->pausing = true;
			tcp_set_timer(e->c, e->sim->now + random_below(r, 2000) * MS);
			return;
		}
	}
	if (e->c && tcp_recv_eof(e->c))
		e->eof = true;
}

static void app_write(struct end *e)
{
	struct random *r = &e->sim->r;
	char data[5000];

	if (e->echo) {
		if (e->eof && !e->shut && tcp_recv_len(e->c) == 0) {
			tcp_shutdown(e->c);
			e->shut = true;
		}
		return;
	}
	while (e->sent < e->to_send && tcp_send_space(e->c)) {
		uint64_t left = e->to_send - e->sent;
		uint32_t max = random_below(r, 3) ? 4999 : 300, n = 1 + random_below(r, max);
		if (n > left)
			n = (uint32_t)left;
		fill(data, e->out_key, e->sent, n);
		if (random_below(r, 2)) {
			if (tcp_send_copy(e->c, data, n) != 0)
				goto again;
		} else {
			struct pkt *p = pkt_alloc(e->sim->host[e->host].pool);
			if (!p)
				goto again;
			if (n > pkt_tailroom(p))
				n = pkt_tailroom(p);
			memcpy(pkt_append(p, n), data, n);
			tcp_send(e->c, p);
		}
		e->sent += n;
		if (random_below(r, 60) == 0)
			goto again;
	}
	if (e->sent == e->to_send && !e->shut) {
		tcp_shutdown(e->c);
		e->shut = true;
	}
	return;
again:
	e->pausing = true;
	tcp_set_timer(e->c, e->sim->now + (1 + random_below(r, 300)) * MS);
}

static void on_event(void *ctx, struct tcp_conn *c, void *user, unsigned events);

static void accepted(struct host *h, struct tcp_conn *c)
{
	struct sim *s = h->sim;

	for (unsigned i = 0; i < s->n_pairs; i++) {
		struct pair *p = &s->pair[i];
		if (p->begun && p->port == tcp_remote_port(c) && p->end[1].host == h->id && !p->end[1].c &&
		    !p->end[1].done) {
			p->end[1].c = c;
			tcp_set_handler(c, on_event, h, &p->end[1]);
			return;
		}
	}
	// A SYN that came again after its connection was over: nobody is interested.
	tcp_abort(c);
}

static void on_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct host *h = ctx;
	struct end *e = user;

	if (!e) {
		accepted(h, c);
		e = tcp_user(c);
		if (!e || e->c != c)
			return;
	}
	if (e->c != c || e->done) {
		sim_violation(h->sim, "host %u: an event after close", h->id);
		return;
	}
	if (events & EV_ERROR) {
		e->failed = true;
		// ARP gives up sooner than SYNs do: such a connection need not come about.
		if (tcp_error(c) == EHOSTUNREACH)
			pair_of(e)->lossless = false;
		if (tcp_error(c) == 0)
			sim_violation(h->sim, "host %u: EV_ERROR without an error", h->id);
		finish(e, false);
		return;
	}
	if (events & EV_TIMER) {
		if (!e->pausing && h->sim->now - e->last >= IDLE_LIMIT) {
			finish(e, true);
			return;
		}
		e->pausing = false;
	}
	if (events & (EV_OPEN | EV_READABLE | EV_WRITABLE | EV_EOF))
		e->last = h->sim->now;
	if (!e->pausing)
		app_read(e);
	if (e->c && !e->pausing)
		app_write(e);
	if (e->c && e->echo && !e->pausing) // room may have come with the write
		app_read(e);
	if (e->c && e->eof && e->shut && tcp_recv_eof(e->c)) {
		finish(e, false);
		return;
	}
	if (e->c && !e->pausing)
		tcp_set_timer(e->c, h->sim->now + IDLE_LIMIT);
}

bool app_listen(void *ctx, uint16_t port, struct addr local, uint16_t local_port, struct tcp_accept *out)
{
	(void)port, (void)local;
	if (local_port != LISTEN_PORT)
		return false;
	*out = (struct tcp_accept){.on_event = on_event, .ctx = ctx, .tag = 7};
	return true;
}

static uint64_t amount(struct sim *s)
{
	switch (random_below(&s->r, 5)) {
	case 0:
		return 0;
	case 1:
		return 1 + random_below(&s->r, 10);
	case 2:
	case 3:
		return random_below(&s->r, 20000);
	default:
		return random_below(&s->r, 200000);
	}
}

void app_plan(struct sim *s)
{
	s->n_pairs = 1 + random_below(&s->r, SIM_CONNS);
	for (unsigned i = 0; i < s->n_pairs; i++) {
		struct pair *p = &s->pair[i];
		unsigned opener = random_below(&s->r, 2);
		*p = (struct pair){.start = s->now + random_below(&s->r, 3000) * MS, .lossless = !s->dead};
		for (unsigned k = 0; k < 2; k++) {
			p->end[k] = (struct end){
				.sim = s,
				.host = k ? 1 - opener : opener,
				.to_send = amount(s),
				.out_key = random_next(&s->r),
				.abort_at = UINT64_MAX,
				.close_at = UINT64_MAX,
				.last = s->now,
			};
		}
		if (random_below(&s->r, 4) == 0) {
			p->end[1].echo = true;
			p->end[1].to_send = p->end[0].to_send;
			p->end[1].out_key = p->end[0].out_key;
		}
		for (unsigned k = 0; k < 2; k++) {
			p->end[k].to_receive = p->end[1 - k].to_send;
			p->end[k].in_key = p->end[1 - k].out_key;
		}
		if (random_below(&s->r, 4) == 0) {
			struct end *e = &p->end[random_below(&s->r, 2)];
			if (e->to_receive) {
				p->lossless = false;
				*(random_below(&s->r, 2) ? &e->abort_at : &e->close_at) =
					1 + random_next(&s->r) % e->to_receive;
			}
		}
		s->total.pairs++;
	}
}

void app_begin(struct sim *s)
{
	for (unsigned i = 0; i < s->n_pairs; i++) {
		struct pair *p = &s->pair[i];
		struct end *e = &p->end[0];
		struct host *h = &s->host[e->host];
		struct tcp_info info;
		int err;

		if (p->begun || s->now < p->start)
			continue;
		p->begun = true;
		h->net.now = s->now;
		tcp_set_now(h->tcp, s->now);
		e->c = tcp_connect(h->tcp, 0, s->host[1 - e->host].address.addr, LISTEN_PORT, on_event, h, e,
				   &err);
		if (!e->c) {
			if (err == 0)
				sim_violation(s, "tcp_connect failed without an error");
			e->done = e->failed = p->end[1].done = true;
			p->lossless = false;
			continue;
		}
		tcp_get_info(e->c, &info);
		p->port = info.local_port;
	}
}

uint64_t app_next(const struct sim *s)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < s->n_pairs; i++)
		if (!s->pair[i].begun && s->pair[i].start < next)
			next = s->pair[i].start;
	return next;
}

bool app_done(const struct sim *s)
{
	for (unsigned i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pair[i];
		if (!p->begun || !p->end[0].done)
			return false;
		// Where the opener failed or left early the other end may never have heard of it.
		if (!p->end[1].done && (p->end[1].c || p->lossless))
			return false;
	}
	return true;
}

void app_verify(struct sim *s)
{
	for (unsigned i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pair[i];
		for (unsigned k = 0; k < 2 && p->lossless; k++) {
			const struct end *e = &p->end[k];
			if (e->failed)
				sim_violation(s, "host %u: connection %u failed", e->host, i);
			else if (!e->done)
				sim_violation(s, "host %u: connection %u does not end", e->host, i);
			else if (e->received != e->to_receive || e->sent != e->to_send)
				sim_violation(s, "host %u: connection %u: %llu of %llu bytes received", e->host,
					      i, (unsigned long long)e->received,
					      (unsigned long long)e->to_receive);
		}
	}
}
