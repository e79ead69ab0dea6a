// What a schedule is to be: hosts, wires, what befalls them, and what the applications mean to do.
#include "base/hash.h"
#include "tests/sim/tcp_sim.h"

static uint32_t up_to(struct sim *s, uint32_t max)
{
	return random_below(&s->r, max + 1);
}

static struct impair rough(struct sim *s)
{
	struct impair m = {.delay = (1 + up_to(s, 50000)) * US, .queue = 200 * MS, .burst_max = 100 * MS};

	m.reorder_max = 4 * m.delay + MS;
	m.late = m.delay;
	if (up_to(s, 3))
		m.loss = sim_one_in(s, 2) ? up_to(s, 200) : up_to(s, 2000);
	if (sim_one_in(s, 2))
		m.reorder = up_to(s, 3000);
	if (sim_one_in(s, 4) && m.loss < 300)
		m.ack_loss = up_to(s, 4000);
	if (sim_one_in(s, 6))
		m.tail_loss = up_to(s, 3000);
	if (sim_one_in(s, 6))
		m.burst = up_to(s, 200);
	if (sim_one_in(s, 2))
		m.duplicate = up_to(s, 1000);
	if (sim_one_in(s, 2))
		m.corrupt = up_to(s, 300);
	if (sim_one_in(s, 3))
		m.mark = up_to(s, 2000);
	if (sim_one_in(s, 2))
		m.jitter = (1 + up_to(s, 20)) * MS;
	if (sim_one_in(s, 2))
		m.rate = (1 + up_to(s, 100)) * 1000000ull;
	if (sim_one_in(s, 6)) {
		m.dark_from = s->now + sim_within(s, 5 * SEC);
		m.dark_until = m.dark_from + sim_within(s, 20 * SEC);
	}
	if (sim_one_in(s, 12)) {
		m.flap_period = 2 * SEC + sim_within(s, 8 * SEC);
		m.flap_down = sim_within(s, m.flap_period / 4);
	}
	if (sim_one_in(s, 8)) {
		m.narrow_mtu = s->ipv6 ? 1280 + up_to(s, 120) : 600 + up_to(s, 800);
		m.narrow_from = s->now + sim_within(s, 3 * SEC);
		m.narrow_until = sim_one_in(s, 3) ? UINT64_MAX : m.narrow_from + sim_within(s, 10 * SEC);
	}
	return m;
}

static void plan_wire(struct sim *s)
{
	uint32_t kind = up_to(s, 19);

	for (unsigned i = 0; i < 2; i++) {
		struct impair *m = &s->link[i].impair;

		if (kind < 2) {
			s->perfect = true;
			*m = (struct impair){.delay = (1 + up_to(s, 50000)) * US};
		} else if (kind < 4) {
			s->gentle = true;
			*m = (struct impair){.delay = (8000 + up_to(s, 50000)) * US, .reorder = up_to(s, 3000)};
			m->reorder_max = m->delay / 4 - MS;
		} else {
			*m = rough(s);
		}
		if (i == 0 && (s->gentle || sim_one_in(s, 2))) {
			s->link[1].impair = *m;
			break;
		}
	}
}

static void plan_fates(struct sim *s)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fate *f = &s->fate[i];

		*f = (struct fate){.down_at = UINT64_MAX, .up_at = UINT64_MAX};
		f->hold = sim_one_in(s, 2);
		f->chain = sim_one_in(s, 2) ? up_to(s, 10000) : 0;
		f->lag = sim_one_in(s, 3) ? up_to(s, 3000) : 0;
		f->icmp = up_to(s, 3);
		if (s->perfect || s->gentle)
			continue;
		f->busy = sim_one_in(s, 4);
		f->forge = sim_one_in(s, 10) ? up_to(s, 500) : 0;
		if (sim_one_in(s, 20)) {
			f->short_leave = 4 + up_to(s, 60);
			f->short_until = s->now + (1 + up_to(s, 20)) * SEC;
		}
		if (sim_one_in(s, 12)) {
			f->starve = up_to(s, 2000);
			f->starve_leave = up_to(s, 3);
		}
		f->few_conns = sim_one_in(s, 25);
	}
}

// Ways in which not everything can go through; then both ends must find out.
static void plan_doom(struct sim *s)
{
	uint64_t at = s->now + sim_within(s, 5 * SEC);
	unsigned side = up_to(s, 1);

	s->doomed = s->fate[0].few_conns || s->fate[1].few_conns;
	if (s->perfect || s->gentle || up_to(s, 14))
		return;
	s->doomed = true;
	switch (up_to(s, 3)) {
	case 0: // the cable is pulled
		s->link[1 - side].impair.dark_from = at;
		s->link[1 - side].impair.dark_until = UINT64_MAX;
		// fall through
	case 1: // one direction is dead
		s->link[side].impair.dark_from = at;
		s->link[side].impair.dark_until = UINT64_MAX;
		break;
	case 2: // a host forgets all and is back: it answers RST
		s->fate[side].up_at = at + sim_within(s, 10 * SEC);
		s->fate[side].down_at = at;
		break;
	default: // or it is never back
		s->fate[side].down_at = at;
		break;
	}
}

// From 1 to 60 buffers, or as many as the window holds.
static uint32_t ooo_max(uint32_t chance)
{
	return chance < 60 ? 1 + chance : 0;
}

// Half of the sides have a card that cuts segments, of any limits. Not drawn: a schedule is otherwise the same
// without.
static void plan_tso(struct sim *s, struct side *h)
{
	uint64_t r = hash_mix(s->seed ^ 0x9e3779b97f4a7c15ull, h->id + 1);
	struct cg_config *c = &h->conf;

	h->nic.tso = (struct tso){0};
	if (!(r & 1) || s->no_tso)
		return;
	c->tx_checksum = true;
	c->tso = (struct tso){
		.max = r & 2 ? 65535 : 3000 + (uint32_t)(r >> 2 & 0xffff) % 60000,
		.segments = r & 1 << 20 ? NIC_FRAMES : 2 + (uint16_t)(r >> 21 & 31),
		.buffers = r & 1 << 28 ? UINT16_MAX : 2 + (uint16_t)(r >> 29 & 15),
		.segment_buffers = (uint16_t)(3 + (r >> 36 & 7)),
		.less = r >> 40 & 1 ? 0 : 14,
		.ipv6 = r >> 41 & 3,
		.even = r >> 43 & 1,
	};
	h->nic.tso = c->tso;
	h->nic.mtu = c->mtu;
}

static void plan_side(struct sim *s, unsigned id)
{
	static const uint32_t buffers[] = {2048, 4096, 16384, 65536, 262144};
	struct side *h = &s->side[id];
	struct cg_config *c = &h->conf;
	bool patient = !s->doomed || s->fate[0].few_conns || s->fate[1].few_conns;

	h->n_cpus = sim_one_in(s, 2) ? 1 : 1 + up_to(s, SIM_WORKERS - 1);
	h->steer = (struct steer){.kind = STEER_ONE, .workers = (uint16_t)h->n_cpus};
	if (h->n_cpus > 1)
		h->steer.kind = sim_one_in(s, 2) ? STEER_RSS : STEER_PORTBITS;
	for (unsigned i = 0; i < STEER_KEY; i++)
		h->steer.key[i] = (uint8_t)random_next(&s->r);
	h->steer.reta_size = 128;
	for (unsigned i = 0; i < 128; i++)
		h->steer.reta[i] = (uint16_t)up_to(s, h->n_cpus - 1);
	h->addr = addr_from_v4(id ? 0x020012c6 : 0x010012c6); // 198.18.0.1 and .2
	if (s->ipv6)
		h->addr = (struct addr){.b = {0xfd, 0, 0, 0xc6, 0, 0x12, [15] = (uint8_t)(id + 1)}};
	*c = (struct cg_config){
		.mac = {2, 0, 0, 0, 0, (uint8_t)(id + 1)},
		.mtu = (uint16_t)(sim_one_in(s, 2) ? 1500 : 576 + up_to(s, 900)),
		.address = {{h->addr, s->ipv6 ? 64 : 24}},
		.n_addresses = 1,
		.no_dad = s->perfect || up_to(s, 3),
		.neighbours = 16,
		.pool = h->pool,
		.seed = random_next(&s->r),
		.tcp =
			{
				.max_conns = s->fate[id].few_conns ? 2 + up_to(s, 3) : 64,
				.max_time_wait = 1 + up_to(s, 7),
				.rcv_buf = buffers[up_to(s, 4)],
				.snd_buf = buffers[up_to(s, 4)],
				.ooo_max = ooo_max(up_to(s, 99)),
				.msl = SEC << up_to(s, 5),
				// Enough that no connection is given up for bad luck.
				.syn_retries = patient ? 30 : 3,
				.data_retries = patient ? 60 : 4,
				.keep_idle = up_to(s, 2) ? 0 : (1 + up_to(s, 20)) * SEC,
				.keep_interval = 2 * SEC,
				.keep_probes = patient ? 60 : 3,
				.user_timeout = s->user_timeout ? 20 * SEC : 0,
				.cc = (enum tcp_cc)up_to(s, TCP_CC_KINDS - 1),
				.no_sack = sim_one_in(s, 4),
				.ecn = (enum tcp_ecn)up_to(s, 2),
			},
	};
	if (s->ipv6 && c->mtu < 1280)
		c->mtu = 1280;
	s->no_sack |= c->tcp.no_sack;
	plan_tso(s, h);
}

static uint64_t amount(struct sim *s)
{
	switch (up_to(s, 4)) {
	case 0:
		return 0;
	case 1:
		return 1 + up_to(s, 9);
	case 2:
	case 3:
		return up_to(s, 20000);
	default:
		return up_to(s, 200000);
	}
}

static void plan_early_end(struct sim *s, struct pair *p)
{
	struct end *e = &p->end[up_to(s, 1)];

	if (e->to_receive == 0)
		return;
	p->lossless = false;
	*(sim_one_in(s, 2) ? &e->abort_at : &e->close_at) = 1 + sim_within(s, e->to_receive);
}

static void plan_pair(struct sim *s, struct pair *p, unsigned i)
{
	unsigned opener = up_to(s, 1);

	*p = (struct pair){.start = s->now + sim_within(s, 3 * SEC), .lossless = !s->doomed};
	for (unsigned k = 0; k < 2; k++) {
		struct end *e = &p->end[k];

		*e = (struct end){
			.side = k ? 1 - opener : opener,
			.to_send = amount(s),
			.out_key = random_next(&s->r),
			.abort_at = UINT64_MAX,
			.close_at = UINT64_MAX,
			.stall_at = UINT64_MAX,
			.last = s->now,
		};
		e->cpu = up_to(s, s->side[e->side].n_cpus - 1);
	}
	if (sim_one_in(s, 4)) {
		p->end[1].echo = true;
		p->end[1].to_send = p->end[0].to_send;
		p->end[1].out_key = p->end[0].out_key;
	} else if (sim_one_in(s, 8)) {
		p->end[0].to_send = p->end[1].to_send = 0; // both close at once
	}
	for (unsigned k = 0; k < 2; k++) {
		p->end[k].to_receive = p->end[1 - k].to_send;
		p->end[k].in_key = p->end[1 - k].out_key;
	}
	if (sim_one_in(s, 4))
		plan_early_end(s, p);
	if (sim_one_in(s, 8)) {
		struct end *e = &p->end[up_to(s, 1)];
		e->stall_at = 1 + sim_within(s, e->to_receive);
		e->stall_for = sim_within(s, 300 * SEC);
	}
	// Enough that both SYNs are on their way before one arrives.
	p->both = sim_one_in(s, 8);
	p->end[up_to(s, 1)].leaves = sim_one_in(s, 3);
	p->end[0].eager = sim_one_in(s, 8);
	p->end[1].eager = p->both && sim_one_in(s, 2) && !p->end[1].echo;
	for (unsigned k = 0; k < 2 && p->both; k++) {
		struct side *h = &s->side[p->end[k].side], *peer = &s->side[p->end[1 - k].side];

		p->port[k] = (uint16_t)(OPEN_PORT + 2 * i + k);
		p->end[k].cpu = steer_flow(&h->steer, peer->addr, h->addr,
					   (uint16_t)(OPEN_PORT + 2 * i + 1 - k), p->port[k]);
	}
	s->total.pairs++;
}

// Where the path becomes wide again, and nobody told of the narrow one, there is enough to send to find out.
static void plan_widening(struct sim *s)
{
	for (unsigned k = 0; k < 2; k++) {
		const struct impair *m = &s->link[k].impair;

		if (!m->narrow_mtu || m->narrow_until == UINT64_MAX || s->fate[k].icmp || s->doomed)
			continue;
		for (unsigned i = 0; i < s->n_pairs; i++) {
			struct pair *p = &s->pair[i];
			struct end *e = &p->end[p->end[0].side == k ? 0 : 1];

			if (p->end[1].echo || e->to_send < 10000)
				continue;
			e->to_send *= 8;
			p->end[e == p->end].to_receive = e->to_send;
		}
	}
}

void plan(struct sim *s)
{
	s->now = SEC + random_next(&s->r) % (1ull << random_below(&s->r, 55));
	s->ipv6 = sim_one_in(s, 4);
	s->perfect = s->gentle = s->doomed = s->no_sack = false;
	plan_wire(s);
	plan_fates(s);
	plan_doom(s);
	s->user_timeout = s->doomed && sim_one_in(s, 2);
	plan_side(s, 0);
	plan_side(s, 1);
	s->n_pairs = 1 + up_to(s, SIM_PAIRS - 1);
	for (unsigned i = 0; i < s->n_pairs; i++)
		plan_pair(s, &s->pair[i], i);
	plan_widening(s);
}
