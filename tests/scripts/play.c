// One variant of a script: a stack of its own, virtual time, and the steps one after the other.
#include "scripts/play.h"
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN    (1000000ull * 1000000000) // ns: any moment
#define PEER_ISN 0xfffffe00u               // wraps soon: most scripts cross it
#define STILL    2000                      // moments without progress before the stack counts as stuck

void play_tell(struct play *p, uint64_t at, const char *way, const char *text)
{
	snprintf(p->told[p->n_told++ % TOLD_MAX], sizeof(p->told[0]), "%11.3f ms  %s %.120s",
		 (double)(at - p->begun) / 1e6, way, text);
}

bool play_fail(struct play *p, const struct step *step, const char *format, ...)
{
	char *at = p->report, *const end = p->report + REPORT_MAX;
	va_list args;

#define SAY(...) (at += at < end ? snprintf(at, (size_t)(end - at), __VA_ARGS__) : 0)
	SAY("%s:%u: %s\n", p->s->file, step ? step->line : p->s->line, p->s->title);
	SAY("  %s%s%s", p->variant.v6 ? "IPv6" : "IPv4",
	    p->s->accepted || p->s->connected ? p->variant.connected ? ", connected" : ", accepted" : "",
	    p->variant.state ? ", in state " : "");
	SAY("%s\n", p->variant.state ? p->variant.state : "");
	if (step)
		SAY("    %s\n", step->text + strspn(step->text, " \t"));
	va_start(args, format);
	at += at < end ? vsnprintf(at, (size_t)(end - at), format, args) : 0;
	va_end(args);
	SAY("\n  before:\n");
	for (unsigned i = p->n_told > TOLD_MAX ? p->n_told - TOLD_MAX : 0; i < p->n_told; i++)
		SAY("    %s\n", p->told[i % TOLD_MAX]);
#undef SAY
	return false;
}

struct conn *play_conn(struct play *p, char name)
{
	for (unsigned i = 0; i < p->n_conns; i++)
		if (p->conn[i].name == name)
			return &p->conn[i];
	struct conn *c = &p->conn[p->n_conns++];
	*c = (struct conn){
		.name = name,
		.peer_port = (uint16_t)(40000 + name - 'a'),
		.our_port = 80,
		.isn = p->isn,
		.in_win = 65535,
		.read_at = 1,
		.write_at = 1,
	};
	return c;
}

static bool sent(struct play *p, const struct step *step, const uint8_t *frame, uint32_t n)
{
	uint8_t answer[FRAME_MAX];
	uint32_t size = peer_resolve(&p->wire, frame, n, answer);
	struct segment s;
	char text[256];

	if (size)
		return cg_input_frame(p->stack, answer, size) == 0 ||
		       play_fail(p, step, "  no buffer for a neighbour's answer");
	if (!peer_read(&p->wire, p->conn, p->n_conns, frame, n, &s))
		return true;
	if (p->tail == QUEUE_MAX)
		return play_fail(p, step, "  more was sent than any script expects");
	s.at = p->now;
	p->queue[p->tail++] = s;
	play_tell(p, p->now, ">", segment_text(&s, text, sizeof(text)));
	return true;
}

static bool sent_packet(struct play *p, const struct step *step, const struct pkt *v)
{
	uint8_t frame[FRAME_MAX];
	uint32_t n = 0;

	for (; v && n + pkt_len(v) <= sizeof(frame); n += pkt_len(v), v = pkt_next(v))
		memcpy(frame + n, pkt_data(v), pkt_len(v));
	return v ? play_fail(p, step, "  a frame is too long") : sent(p, step, frame, n);
}

// Through the card, which may make several frames of it.
static bool through(struct play *p, const struct step *step, const struct pkt *v)
{
	struct pkt *frame[NIC_FRAMES];
	const char *why;
	unsigned n = nic_send(&p->nic, v, frame, &why);
	bool ok = !why || play_fail(p, step, "  the card is given %s", why);

	if (ok && n == 0)
		return sent_packet(p, step, v);
	for (unsigned i = 0; i < n; i++) {
		ok = ok && sent_packet(p, step, frame[i]);
		pkt_free(frame[i]);
	}
	return ok;
}

bool play_flush(struct play *p, const struct step *step)
{
	bool more = true;
	const char *why;

	while (more) {
		struct pkt *v;
		more = false;
		cg_advance(p->stack, p->now);
		while (cg_output(p->stack, &v, 1)) {
			bool ok = through(p, step, v);

			pkt_free_chain(v);
			more = true;
			if (!ok)
				return false;
		}
	}
	why = cg_check(p->stack);
	return !why || play_fail(p, step, "  a connection is not as it must be: %s", why);
}

bool play_advance(struct play *p, const struct step *step, uint64_t to, bool until_sent)
{
	unsigned still = 0;

	while (p->now < to && !(until_sent && p->head != p->tail)) {
		uint64_t next = cg_next(p->stack);
		if (next <= p->now) {
			if (++still > STILL)
				return play_fail(p, step, "  the stack's time stands still");
			next = p->now + 100000;
		} else {
			still = 0;
		}
		p->now = next < to ? next : to;
		if (!play_flush(p, step))
			return false;
	}
	return true;
}

static bool nothing_waits(struct play *p, const struct step *step)
{
	char text[256];

	if (p->head == p->tail)
		return true;
	return play_fail(p, step, "  + > %s\n  was sent, and nothing was expected",
			 segment_text(&p->queue[p->head], text, sizeof(text)));
}

static bool play_step(struct play *p, const struct step *step)
{
	if (step->kind == STEP_SET)
		return true;
	if (step->kind == STEP_OUT) {
		if (!play_out(p, step))
			return false;
	} else {
		if (!nothing_waits(p, step) ||
		    (step->timed && !play_advance(p, step, p->base + step->to, false)) ||
		    !nothing_waits(p, step))
			return false;
		if (!(step->kind == STEP_IN ? play_in(p, step) : play_call(p, step)))
			return false;
	}
	p->base = p->now;
	return true;
}

static void addresses(struct play *p)
{
	const char *our = p->variant.v6 ? "fd00:c6:12::1" : "198.18.0.1";
	const char *their = p->variant.v6 ? "fd00:c6:12::2" : "198.18.0.2";

	addr_parse(our, strlen(our), &p->wire.ours);
	addr_parse(their, strlen(their), &p->wire.theirs);
	p->wire.v6 = p->variant.v6;
	memcpy(p->wire.our_mac, (uint8_t[]){2, 0, 0, 0, 0, 1}, 6);
	memcpy(p->wire.their_mac, (uint8_t[]){2, 0, 0, 0, 0, 2}, 6);
}

static struct cg_config configuration(struct play *p)
{
	struct cg_config conf = {
		// A segment has as many bytes over IPv6.
		.mtu = p->variant.v6 ? 1520 : 1500,
		.n_addresses = 1,
		.no_dad = true,
		.pool = out_pool,
		.tcp = {.max_conns = 32, .max_time_wait = 16, .rcv_buf = 65535, .buffer_memory = 1ull << 30},
		.seed = 1,
		.now = p->now,
	};

	memcpy(conf.mac, p->wire.our_mac, 6);
	conf.address[0].addr = p->wire.ours;
	conf.address[0].prefix = p->variant.v6 ? 64 : 24;
	return conf;
}

static bool play_steps(struct play *p, const struct step *steps, unsigned n)
{
	int err = 0;

	addresses(p);
	p->conf = configuration(p);
	for (unsigned i = 0; i < n; i++)
		if (steps[i].kind == STEP_SET && !play_set(p, &steps[i]))
			return false;
	p->nic = (struct nic){.pool = nic_pool, .tso = p->conf.tso, .mtu = p->conf.mtu};
	p->stack = cg_create(&p->conf, &err);
	if (!p->stack)
		return play_fail(p, NULL, "  no stack: %s", strerror(-err));
	if (!play_flush(p, NULL))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!play_step(p, &steps[i]))
			return false;
	return nothing_waits(p, n ? &steps[n - 1] : NULL);
}

static void give_back(struct play *p)
{
	struct pkt *k;

	if (p->stack)
		cg_destroy(p->stack);
	while ((k = p->taken)) {
		memcpy(&p->taken, pkt_priv(k), sizeof(k));
		pkt_free(k);
	}
}

bool script_play(struct script *s, const struct variant *v, char *report)
{
	static struct step steps[STEPS_MAX];
	static struct play p;
	uint64_t begun = BEGIN;
	unsigned n;
	bool ok;

	*report = 0;
	if (!script_steps(s, v, steps, &n)) {
		snprintf(report, REPORT_MAX, "%s:%u: %s\n  %s\n", s->file, s->error_line, s->title, s->error);
		return false;
	}
	for (int turn = 0; turn < 2; turn++) {
		p = (struct play){.s = s, .variant = *v, .now = begun, .begun = begun, .base = begun};
		p.report = report;
		p.isn = PEER_ISN;
		ok = play_steps(&p, steps, n);
		give_back(&p);
		if (ok && pkt_pool_used(out_pool) + pkt_pool_used(in_pool)) {
			ok = play_fail(&p, NULL, "  %u packet buffers are lost",
				       pkt_pool_used(out_pool) + pkt_pool_used(in_pool));
			break;
		}
		// The stack's number follows its clock in steps of 4.096 us (RFC 6528): with another begin of
		// time it is the wanted one.
		if (!p.iss_wanted || !p.iss_seen || p.iss_first == p.iss_want)
			break;
		begun += (uint64_t)(p.iss_want - p.iss_first) << 12;
	}
	return ok;
}
