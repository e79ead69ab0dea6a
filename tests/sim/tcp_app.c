// The applications at both ends: they transfer random amounts both ways with random reads, writes and pauses,
// half-close, close early, abort, or stop reading for minutes.
#include "tests/sim/tcp_sim.h"
#include <errno.h>

#define FIN_WAIT_2 (60 * SEC) // of a connection whose owner has closed

unsigned char app_byte(uint64_t key, uint64_t offset)
{
	return (unsigned char)(((offset ^ key) * 0x9e3779b97f4a7c15ull) >> 56);
}

static void finish(struct sim *s, struct end *e, bool abort)
{
	if (abort)
		cg_abort(e->k);
	else
		cg_close(e->k);
	e->k = NULL;
	e->done = true;
	e->done_at = s->now;
	s->total.failed += e->failed;
}

static void verify(struct sim *s, struct end *e, const char *data, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if ((unsigned char)data[i] != app_byte(e->in_key, e->received + i)) {
			sim_violation(s, "side %u: wrong byte at %llu", e->side,
				      (unsigned long long)(e->received + i));
			break;
		}
	}
	e->received += n;
	e->last = s->now;
	s->total.bytes += n;
	if (e->received > e->to_receive)
		sim_violation(s, "side %u: more bytes than were sent", e->side);
}

static void pause(struct sim *s, struct end *e, uint64_t ns)
{
	e->wake = s->now + 1 + sim_within(s, ns);
}

// Something was read. True: that is enough for now, or the socket is gone.
static bool had_enough(struct sim *s, struct end *e)
{
	if (e->received >= e->abort_at || e->received >= e->close_at) {
		finish(s, e, e->received >= e->abort_at);
		return true;
	}
	if (e->received >= e->stall_at) {
		e->stall_at = UINT64_MAX;
		e->wake = s->now + e->stall_for;
		return true;
	}
	if (random_below(&s->r, 40) == 0) { // slow readers shut the window
		pause(s, e, 2 * SEC);
		return true;
	}
	return false;
}

static void echo(struct sim *s, struct end *e)
{
	struct pkt *p;

	while (e->k && (cg_poll(e->k) & CG_WRITABLE) && (p = cg_read_packet(e->k))) {
		uint32_t n = pkt_len(p);
		int err;

		verify(s, e, pkt_data(p), n);
		e->sent += n;
		err = cg_write_packet(e->k, p);
		if (err) {
			sim_violation(s, "side %u: a writable socket refuses: %d", e->side, err);
			pkt_free(p);
		}
		if (had_enough(s, e))
			return;
	}
}

static void take(struct sim *s, struct end *e)
{
	char data[8000];

	while (e->k) {
		if (random_below(&s->r, 2)) {
			struct pkt *p = cg_read_packet(e->k);
			if (!p)
				return;
			verify(s, e, pkt_data(p), pkt_len(p));
			pkt_free(p);
		} else {
			ssize_t n =
				cg_read(e->k, data,
					1 + random_below(&s->r, random_below(&s->r, 3) ? sizeof(data) : 400));
			if (n <= 0)
				return;
			verify(s, e, data, (uint64_t)n);
		}
		if (had_enough(s, e))
			return;
	}
}

// One piece of at most n bytes. Returns how many were taken.
static ssize_t put(struct sim *s, struct end *e, uint64_t n)
{
	char data[5000];
	struct pkt *p = NULL;
	int err;

	for (uint64_t i = 0; i < n; i++)
		data[i] = (char)app_byte(e->out_key, e->sent + i);
	if (random_below(&s->r, 2))
		return cg_write(e->k, data, n);
	p = pkt_alloc(s->side[e->side].pool);
	if (!p)
		return -ENOBUFS;
	if (n > pkt_tailroom(p))
		n = pkt_tailroom(p);
	memcpy(pkt_append(p, (uint32_t)n), data, n);
	err = cg_write_packet(e->k, p);
	if (err) {
		pkt_free(p);
		return err;
	}
	return (ssize_t)n;
}

static void give(struct sim *s, struct end *e)
{
	while (e->sent < e->to_send) {
		uint64_t left = e->to_send - e->sent,
			 n = 1 + random_below(&s->r, sim_one_in(s, 3) ? 300 : 4999);
		ssize_t took = put(s, e, n < left ? n : left);

		if (took == -EAGAIN)
			return;
		if (took <= 0) { // no buffer
			pause(s, e, 300 * MS);
			return;
		}
		e->sent += (uint64_t)took;
		e->last = s->now;
		if (random_below(&s->r, 60) == 0) {
			pause(s, e, 300 * MS);
			return;
		}
	}
}

static void end_run(struct sim *s, struct pair *p, struct end *e)
{
	unsigned ready = cg_poll(e->k);

	if (ready & CG_ERROR) {
		e->failed = true;
		e->error = cg_error(e->k);
		// ARP and NDP give up sooner than SYNs do: such a connection need not come about.
		if (e->error == EHOSTUNREACH && !(ready & CG_OPEN))
			p->lossless = false;
		finish(s, e, false);
		return;
	}
	if (s->now - e->last >= IDLE_LIMIT) {
		e->failed = true;
		finish(s, e, true);
		return;
	}
	if (s->now < e->wake)
		return;
	e->wake = 0;
	if (!(ready & CG_OPEN) && !e->eager)
		return;
	if (e->echo)
		echo(s, e);
	else
		take(s, e);
	if (!e->k || e->wake)
		return;
	if (!e->echo)
		give(s, e);
	if (e->wake)
		return;
	if ((ready & CG_OPEN) && e->leaves && e->sent == e->to_send && e->received == e->to_receive) {
		finish(s, e, false);
		return;
	}
	ready = cg_poll(e->k);
	e->eof = ready & CG_EOF;
	if (!e->shut && (e->echo ? e->eof : e->sent == e->to_send)) {
		cg_shutdown(e->k);
		e->shut = true;
	}
	if (e->eof && e->shut)
		finish(s, e, false);
}

static void accepted(struct sim *s, struct side *h, unsigned cpu, struct cg_sock *k)
{
	struct tcp_info info;

	cg_info(k, &info);
	for (unsigned i = 0; i < s->n_pairs; i++) {
		struct pair *p = &s->pair[i];
		struct end *e = &p->end[1];

		if (!p->begun || p->both || p->port[0] != info.remote_port || e->side != h->id || e->k ||
		    e->done)
			continue;
		e->k = k;
		e->cpu = cpu;
		e->last = s->now;
		return;
	}
	// A SYN that came again after its connection was over: nobody is interested.
	cg_abort(k);
}

void app_turn(struct side *h, unsigned cpu)
{
	struct sim *s = h->sim;
	struct cg_sock *k;

	while ((k = cg_accept(h->cpu[cpu].listener)))
		accepted(s, h, cpu, k);
	for (unsigned i = 0; i < s->n_pairs; i++)
		for (unsigned j = 0; j < 2; j++) {
			struct end *e = &s->pair[i].end[j];
			if (e->k && e->side == h->id && e->cpu == cpu)
				end_run(s, &s->pair[i], e);
		}
}

void app_lost(struct side *h)
{
	struct sim *s = h->sim;

	for (unsigned i = 0; i < s->n_pairs; i++)
		for (unsigned j = 0; j < 2; j++) {
			struct end *e = &s->pair[i].end[j];
			if (e->k && e->side == h->id) {
				e->k = NULL;
				e->done = true;
			}
		}
}

static void open_end(struct sim *s, struct pair *p, unsigned k)
{
	struct end *e = &p->end[k];
	struct side *h = &s->side[e->side], *peer = &s->side[1 - e->side];
	struct cg_options opt = {.local_port = p->both ? p->port[k] : 0};
	struct tcp_info info;
	int err = 0;

	e->last = s->now;
	if (h->up) {
		cg_advance(h->cpu[e->cpu].stack, s->now);
		e->k = cg_connect(h->cpu[e->cpu].stack, peer->addr, p->both ? p->port[1 - k] : LISTEN_PORT,
				  &opt, &err);
	}
	if (!e->k) {
		if (h->up && err == 0)
			sim_violation(s, "cg_connect() failed without an error");
		e->done = e->failed = true;
		p->lossless = false;
		return;
	}
	cg_info(e->k, &info);
	p->port[k] = info.local_port;
	p->port[1 - k] = info.remote_port;
	if (p->both && info.local_port != OPEN_PORT + 2 * (unsigned)(p - s->pair) + k)
		sim_violation(s, "side %u: not the port that was asked for", e->side);
}

void app_begin(struct sim *s)
{
	for (unsigned i = 0; i < s->n_pairs; i++) {
		struct pair *p = &s->pair[i];

		if (p->begun || s->now < p->start)
			continue;
		p->begun = true;
		open_end(s, p, 0);
		if (p->both)
			open_end(s, p, 1);
	}
}

uint64_t app_next(const struct sim *s)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pair[i];

		if (!p->begun && p->start < next)
			next = p->start;
		for (unsigned k = 0; k < 2; k++) {
			const struct end *e = &p->end[k];
			if (!e->k)
				continue;
			uint64_t at =
				e->wake && e->wake < e->last + IDLE_LIMIT ? e->wake : e->last + IDLE_LIMIT;
			uint64_t up = s->side[e->side].cpu[e->cpu].asleep_until;
			at = at < up ? up : at;
			next = at < next ? at : next;
		}
	}
	return next;
}

bool app_done(const struct sim *s)
{
	for (unsigned i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pair[i];

		if (!p->begun || !p->end[0].done)
			return false;
		// Where the opener failed or left early the other end may never have heard of it.
		if (!p->end[1].done && (p->end[1].k || p->lossless))
			return false;
	}
	return true;
}

// It had all, and its TIME_WAIT, or its patience with a peer that does not close, could be over by then.
static bool went_well(const struct sim *s, const struct end *e, uint64_t by)
{
	const struct side *h = &s->side[e->side];
	uint64_t wait = 2 * h->conf.tcp.msl;

	if (e->leaves && wait > FIN_WAIT_2)
		wait = FIN_WAIT_2;
	if (!e->done || e->failed || e->received != e->to_receive)
		return false;
	return by >= e->done_at + wait || cg_counter(h->cpu[e->cpu].stack, CTR_tcp_time_wait_recycled);
}

void app_verify(struct sim *s)
{
	for (unsigned i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pair[i];

		for (unsigned k = 0; k < 2; k++) {
			const struct end *e = &p->end[k];

			if (e->k)
				sim_violation(s, "side %u: connection %u does not end", e->side, i);
			if (!p->lossless)
				continue;
			// The peer had all and was gone for good before this end said its last.
			if (e->failed && e->error == ECONNRESET && went_well(s, &p->end[1 - k], e->done_at))
				continue;
			if (e->failed)
				sim_violation(s, "side %u: connection %u failed (%s)", e->side, i,
					      strerror(e->error));
			else if (!e->done)
				sim_violation(s, "side %u: connection %u was never accepted", e->side, i);
			else if (e->received != e->to_receive || e->sent != e->to_send)
				sim_violation(s, "side %u: connection %u: %llu of %llu bytes received", e->side,
					      i, (unsigned long long)e->received,
					      (unsigned long long)e->to_receive);
		}
	}
}
