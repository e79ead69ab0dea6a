// The steps < and >: what comes in, and what must go out.
#include "scripts/play.h"
#include <stdio.h>
#include <string.h>

#define TOLERANCE 3000000ull // ns: two ticks of the timer wheel, and rounding
#define TS_TICK   1048576ull // ns of a unit of the stack's timestamps

static uint32_t resolve(const struct conn *c, struct number n)
{
	switch (n.base) {
	case RCV_NXT:
		return c->out_ack + (uint32_t)n.n;
	case SND_UNA:
		return c->una + (uint32_t)n.n;
	case SND_NXT:
		return c->out_next + (uint32_t)n.n;
	default:
		return (uint32_t)n.n;
	}
}

static void stated(const struct conn *c, const struct spec *spec, struct segment *s)
{
	s->flags = spec->flags;
	s->has |= spec->has;
	for (unsigned f = 0; f < FIELDS; f++)
		if (spec->has & HAS(f))
			s->v[f] = resolve(c, spec->v[f]);
	for (s->n_sack = 0; s->n_sack < spec->n_sack; s->n_sack++)
		for (unsigned i = 0; i < 2; i++)
			s->sack[s->n_sack][i] = resolve(c, spec->sack[s->n_sack][i]);
}

static uint32_t span(const struct segment *s)
{
	return s->v[F_END] - s->v[F_SEQ] + ((s->flags & SYN) != 0) + ((s->flags & FIN) != 0);
}

static bool later(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

// A segment of the peer, with what the script leaves open.
static struct segment incoming(struct play *p, struct conn *c, const struct spec *spec)
{
	struct segment s = {.conn = c->name};

	stated(c, spec, &s);
	if (!(s.has & HAS(F_SEQ)))
		s.v[F_SEQ] = s.v[F_END] = s.flags & SYN ? 0 : c->in_next;
	if (!(s.has & HAS(F_ACK)))
		s.v[F_ACK] = c->in_ack;
	if (!(s.has & HAS(F_WIN)))
		s.v[F_WIN] = c->in_win;
	if (!(s.flags & SYN) && c->ts_in && c->ts_out && !spec->no_ts)
		s.has |= HAS(F_TS);
	if (!(s.has & HAS(F_TSVAL)))
		s.v[F_TSVAL] = 1000 + (uint32_t)((p->now - p->begun) / 1000000);
	s.v[F_TSECR] = s.has & HAS(F_TSECR) ? c->ts_zero + s.v[F_TSECR] : s.flags & ACK ? c->ts_last : 0;
	return s;
}

static void sent_by_peer(struct conn *c, const struct segment *s, const struct spec *spec)
{
	uint32_t end = s->v[F_SEQ] + span(s);

	if (spec->bad_sum || spec->header || (s->flags & RST))
		return;
	if ((s->flags & SYN) && s->v[F_SEQ] == 0)
		c->ts_in = (s->has & HAS(F_TS)) != 0;
	if (later(end, c->in_next))
		c->in_next = end;
	if (s->flags & ACK) {
		c->in_ack = s->v[F_ACK];
		if (later(s->v[F_ACK], c->una))
			c->una = s->v[F_ACK];
	}
	c->in_win = s->v[F_WIN];
}

static struct pkt *packet(const uint8_t *frame, uint32_t n)
{
	struct pkt *k = pkt_alloc(in_pool);

	if (k)
		memcpy(pkt_append(k, n), frame, n);
	return k;
}

static void tell_in(struct play *p, const struct step *step, const struct segment *s)
{
	char text[160];

	if (step->spec.icmp >= 0)
		snprintf(text, sizeof(text), "icmp %s", icmp_kinds[step->spec.icmp].name);
	else
		segment_text(s, text, sizeof(text));
	play_tell(p, p->now, "<", text);
}

static bool in_once(struct play *p, const struct step *step)
{
	struct conn *c = play_conn(p, step->conn);
	const struct spec *spec = &step->spec;
	struct pkt *burst[64];
	uint8_t frame[FRAME_MAX + 9000];
	unsigned n = 0;

	if (spec->icmp >= 0) {
		uint32_t about = resolve(c, spec->about);
		uint32_t size = peer_icmp(&p->wire, c, about, &icmp_kinds[spec->icmp], spec->mtu, frame);
		burst[n] = packet(frame, size);
		if (!burst[n++])
			return play_fail(p, step, "the runner has no buffer left");
		tell_in(p, step, NULL);
		cg_input(p->stack, burst, n);
		return play_flush(p, step);
	}
	struct segment all = incoming(p, c, spec);
	uint32_t at = all.v[F_SEQ], end = all.v[F_END];
	do {
		struct segment s = all;
		s.v[F_SEQ] = at;
		s.v[F_END] = spec->by && end - at > spec->by ? at + spec->by : end;
		if (s.v[F_END] != end)
			s.flags &= (uint8_t)~FIN;
		if (s.v[F_END] - s.v[F_SEQ] > 1960)
			return play_fail(p, step, "more than fits into one segment");
		at = s.v[F_END];
		burst[n] = packet(frame, peer_segment(&p->wire, c, &s, spec, frame));
		if (!burst[n++])
			return play_fail(p, step, "the runner has no buffer left");
		tell_in(p, step, &s);
		sent_by_peer(c, &s, spec);
		if (spec->burst && n < 64 && at != end)
			continue;
		cg_input(p->stack, burst, n);
		n = 0;
		if (!play_flush(p, step))
			return false;
	} while (at != end);
	return true;
}

bool play_in(struct play *p, const struct step *step)
{
	for (uint32_t i = 0; i < step->spec.times; i++)
		if (!in_once(p, step))
			return false;
	return true;
}

// What differs between what is expected and what came, as words; "" where nothing does.
static void differences(const struct conn *c, const struct spec *spec, const struct segment *want,
			const struct segment *got, char *out, unsigned size)
{
	const uint32_t strict = HAS(F_MSS) | HAS(F_WSCALE) | HAS(F_SACKOK) | HAS(F_TS);
	uint8_t mask = (uint8_t)(spec->psh ? 0xff : 0xff & ~PSH);
	char *const end = out + size;
	char *at = out;

#define DIFFERS(...)                                                                                           \
	(at += at < end ? snprintf(at, (size_t)(end - at), "%s", at == out ? "" : ", ") : 0,                   \
	 at += at < end ? snprintf(at, (size_t)(end - at), __VA_ARGS__) : 0)
	*out = 0;
	if (got->icmp)
		DIFFERS("not TCP");
	if (got->conn != c->name)
		DIFFERS("another connection");
	if (got->wrong)
		DIFFERS("%s is wrong", got->wrong);
	if ((want->flags & mask) != (got->flags & mask))
		DIFFERS("flags");
	for (unsigned f = 0; f < FIELDS; f++) {
		bool say = want->has & HAS(f), has = got->has & HAS(f);
		if (f == F_URG ? say && want->v[f] != got->v[f] : say && (!has || want->v[f] != got->v[f])) {
			// A timestamp may be two ticks later than the script counts.
			if (f == F_TS || f == F_SACKOK ? has
						       : f == F_TSVAL && has && got->v[f] - want->v[f] <= 2)
				continue;
			DIFFERS("%s", field_names[f]);
		} else if (!say && has && (strict & HAS(f)) && !spec->anything &&
			   !(f == F_TS && (got->flags & RST))) {
			DIFFERS("%s", field_names[f]);
		}
	}
	if (want->n_sack != got->n_sack && !spec->anything)
		DIFFERS("SACK blocks");
	else if (want->n_sack && memcmp(want->sack, got->sack, want->n_sack * sizeof(want->sack[0])) != 0)
		DIFFERS("SACK blocks");
#undef DIFFERS
}

static struct segment outgoing(const struct conn *c, const struct spec *spec)
{
	struct segment s = {.has = HAS(F_SEQ) | HAS(F_END), .conn = c->name};

	stated(c, spec, &s);
	if (!(spec->has & HAS(F_SEQ)))
		s.v[F_SEQ] = s.v[F_END] = s.flags & SYN ? 0 : c->out_next;
	if ((s.flags & ACK) && !(spec->has & HAS(F_ACK)))
		s.v[F_ACK] = c->out_ack;
	s.has |= s.flags & ACK ? HAS(F_ACK) : 0;
	if (!(s.flags & (SYN | RST)) && c->ts_in && c->ts_out && !spec->no_ts)
		s.has |= HAS(F_TS);
	return s;
}

static void sent_by_stack(struct play *p, struct conn *c, const struct segment *s)
{
	uint32_t end = s->v[F_SEQ] + span(s);

	if ((s->flags & SYN) && !p->iss_seen) {
		p->iss_seen = true;
		p->iss_first = c->iss;
		p->iss_at = s->at;
	}
	if (s->flags & SYN)
		c->ts_out = (s->has & HAS(F_TS)) != 0;
	if (s->flags & RST)
		return;
	if (later(end, c->out_next))
		c->out_next = end;
	if (s->flags & ACK)
		c->out_ack = s->v[F_ACK];
}

static void when_text(const struct play *p, uint64_t at, char out[32])
{
	snprintf(out, 32, "+%.3fms", (double)(at - p->base) / 1e6);
}

static bool match(struct play *p, const struct step *step, struct conn *c, const struct segment *want)
{
	char differs[256], want_text[256], got_text[256], when[32];
	struct segment *got = p->head == p->tail ? NULL : &p->queue[p->head];
	uint64_t slack = step->from == step->to ? TOLERANCE : 0;
	uint64_t from = step->from > slack ? step->from - slack : 0, to = step->timed ? step->to + slack : 0;

	segment_text(want, want_text, sizeof(want_text));
	if (!got)
		return play_fail(p, step, "  - > %s\n  nothing was sent%s", want_text,
				 step->timed ? " by then" : "");
	segment_text(got, got_text, sizeof(got_text));
	differences(c, &step->spec, want, got, differs, sizeof(differs));
	when_text(p, got->at, when);
	if (*differs)
		return play_fail(p, step, "  - > %s\n  + > %s\n  differs: %s (sent at %s)", want_text, got_text,
				 differs, when);
	if (got->at - p->base < from || got->at - p->base > to)
		return play_fail(p, step, "  - > %s\n  came at the wrong time: %s", want_text, when);
	p->head++;
	sent_by_stack(p, c, got);
	return true;
}

static bool out_once(struct play *p, const struct step *step)
{
	struct conn *c = play_conn(p, step->conn);
	struct segment all = outgoing(c, &step->spec);
	uint32_t at = all.v[F_SEQ], end = all.v[F_END], by = step->spec.by;

	if (p->head == p->tail && step->timed &&
	    !play_advance(p, step, p->base + step->to + (step->from == step->to ? TOLERANCE : 0), true))
		return false;
	do {
		struct segment want = all;
		want.v[F_SEQ] = at;
		want.v[F_END] = by && end - at > by ? at + by : end;
		if (want.v[F_END] != end)
			want.flags &= (uint8_t)~FIN;
		at = want.v[F_END];
		if (!match(p, step, c, &want))
			return false;
	} while (at != end);
	return true;
}

bool play_out(struct play *p, const struct step *step)
{
	for (uint32_t i = 0; i < step->spec.times; i++)
		if (!out_once(p, step))
			return false;
	return true;
}
