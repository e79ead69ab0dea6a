// One side: what a data plane does with a port, on simulated time. Its workers are stacks that share addresses.
#include "base/hash.h"
#include "tests/sim/tcp_sim.h"
#include <stdlib.h>

#define POOL_MEMORY  (8u << 20)
#define STORM_WAKES  300 // turns without a frame or a byte within a second
#define POLL_AGAIN   (20 * US)
#define MUTED        (120 * SEC) // longer than any two retransmissions are apart
#define ROUTER_FRAME 128

bool side_pools(struct sim *s)
{
	for (unsigned i = 0; i < 2; i++) {
		struct side *h = &s->side[i];

		h->sim = s;
		h->id = i;
		h->pool = pkt_pool_create(i ? "one" : "zero", POOL_MEMORY, -1);
		if (!h->pool)
			return false;
		h->nic.pool = pkt_pool_create(i ? "card one" : "card zero", NIC_MEMORY, -1);
		if (!h->nic.pool)
			return false;
		h->hog = calloc(pkt_pool_size(h->pool), sizeof(struct pkt *));
	}
	return true;
}

// Takes buffers until only so many are left.
static void hog(struct side *h, uint32_t leave)
{
	uint32_t size = pkt_pool_size(h->pool);
	struct pkt *p;

	for (uint32_t left = size - pkt_pool_used(h->pool); left > leave; left--) {
		if (!(p = pkt_alloc(h->pool)))
			break;
		h->hog[h->n_hog++] = p;
	}
}

static void unhog(struct side *h, uint32_t keep)
{
	while (h->n_hog > keep)
		pkt_free(h->hog[--h->n_hog]);
}

static void told_state(void *ctx, const struct tcp_conn *c, enum tcp_state from, enum tcp_state to)
{
	struct side *h = ctx;

	(void)c;
	h->sim->total.state[from][to]++;
}

// Workers tell each other of neighbours.
static void learned(void *ctx, struct addr addr, const uint8_t mac[6])
{
	struct side *h = ctx;

	for (unsigned i = 0; i < h->n_cpus; i++)
		if (h->cpu[i].stack)
			cg_learn(h->cpu[i].stack, addr, mac);
}

void side_start(struct side *h)
{
	struct sim *s = h->sim;
	int err;

	h->up = true;
	h->muted = 0;
	for (unsigned i = 0; i < h->n_cpus; i++) {
		struct cpu *c = &h->cpu[i];

		*c = (struct cpu){.storm_from = s->now};
		h->conf.now = s->now;
		h->conf.worker = i;
		h->conf.steer = &h->steer;
		h->conf.learned = h->n_cpus > 1 ? learned : NULL;
		h->conf.learned_ctx = h;
		h->conf.tcp.long_way = s->long_way;
		h->conf.tcp.on_state = told_state;
		h->conf.tcp.on_state_ctx = h;
		c->stack = cg_create(&h->conf, &err);
		c->listener = c->stack ? cg_listen(c->stack, (struct addr){0}, LISTEN_PORT, NULL, &err) : NULL;
		if (!c->listener)
			abort();
	}
	if (s->fate[h->id].short_until > s->now)
		hog(h, s->fate[h->id].short_leave);
}

static uint64_t digest(const struct pkt *p)
{
	uint64_t d = 1;

	for (; p; p = pkt_next(p))
		d = hash_mix(d, hash64(pkt_data(p), pkt_len(p)) ^ pkt_headroom(p));
	return d;
}

static void give_back(struct side *h, unsigned i)
{
	struct held *held = &h->held[i];

	if (digest(held->pkt) != held->digest)
		sim_violation(h->sim, "side %u: a buffer changed while the driver had it", h->id);
	pkt_free_chain(held->pkt);
	*held = h->held[--h->n_held];
}

// RFC 792 and RFC 4443 3.2: what did not fit comes back in parts, from the router between (who is its receiver
// here: its answer arrives where the connection's packets do).
static void too_big(struct side *h, const struct pkt *p)
{
	struct sim *s = h->sim;
	const struct impair *m = &s->link[h->id].impair;
	const unsigned char *sent = (const unsigned char *)pkt_data(p);
	unsigned char f[ROUTER_FRAME] = {0}, *ip = f + 14, *icmp;
	uint32_t quote = s->ipv6 ? 60 : 28, sum = 0;

	memcpy(f, sent + 6, 6);
	memcpy(f + 6, sent, 6);
	memcpy(f + 12, sent + 12, 2);
	if (pkt_len(p) < 14 + quote)
		return;
	if (!s->ipv6) {
		memcpy(ip, (unsigned char[]){0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1}, 10);
		memcpy(ip + 12, sent + 30, 4);
		memcpy(ip + 16, sent + 26, 4);
		for (unsigned i = 0; i < 20; i += 2)
			sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
		sum = ~((sum & 0xffff) + (sum >> 16));
		ip[10] = (unsigned char)(sum >> 8);
		ip[11] = (unsigned char)sum;
		icmp = ip + 20;
		icmp[0] = 3;
		icmp[1] = 4;
		sum = 0;
	} else {
		memcpy(ip, (unsigned char[]){0x60, 0, 0, 0, 0, 68, 58, 64}, 8);
		memcpy(ip + 8, sent + 38, 16);
		memcpy(ip + 24, sent + 22, 16);
		icmp = ip + 40;
		icmp[0] = 2;
		sum = 68 + 58;
		for (unsigned i = 8; i < 40; i += 2)
			sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	}
	icmp[6] = (unsigned char)(m->narrow_mtu >> 8);
	icmp[7] = (unsigned char)m->narrow_mtu;
	memcpy(icmp + 8, sent + 14, quote);
	for (unsigned i = 0; i < 8 + quote; i += 2)
		sum += (uint32_t)(icmp[i] << 8 | icmp[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	icmp[2] = (unsigned char)(~sum >> 8);
	icmp[3] = (unsigned char)~sum;
	wire_put(&s->wire, &s->link[1 - h->id], s->now, h->id, f, (uint32_t)(icmp - f) + 8 + quote);
}

static void frame_out(struct side *h, const struct pkt *p)
{
	struct sim *s = h->sim;
	enum wire_fate to = wire_send(&s->wire, &s->link[h->id], s->now, 1 - h->id, p);

	watch_sent(s, h->id, p, to);
	if (to == WIRE_TOO_BIG && s->fate[h->id].icmp)
		too_big(h, p);
}

static void packet_out(struct side *h, const struct pkt *p)
{
	struct pkt *frame[NIC_FRAMES];
	const char *why;
	unsigned n = nic_send(&h->nic, p, frame, &why);

	if (why)
		sim_violation(h->sim, "side %u: the card is given %s", h->id, why);
	else if (n == 0)
		frame_out(h, p);
	for (unsigned i = 0; i < n; i++) {
		frame_out(h, frame[i]);
		pkt_free(frame[i]);
	}
}

// What worker c wants to send goes out. True: something did.
static bool transmit(struct side *h, struct cpu *c)
{
	struct sim *s = h->sim;
	const struct fate *fate = &s->fate[h->id];
	struct pkt *v[64];
	unsigned n, most = fate->busy ? random_below(&s->r, 9) : 64;
	bool any = false;

	while (most && (n = cg_output(c->stack, v, most))) {
		for (unsigned i = 0; i < n; i++) {
			s->digest = hash_mix(s->digest ^ s->now, digest(v[i]) ^ h->id);
			packet_out(h, v[i]);
			if (!fate->hold || random_below(&s->r, 3) || h->n_held == 64)
				pkt_free_chain(v[i]);
			else
				h->held[h->n_held++] = (struct held){v[i], digest(v[i])};
		}
		any = true;
		if (fate->busy)
			break;
	}
	while (h->n_held && (!fate->hold || random_below(&s->r, 4) == 0))
		give_back(h, random_below(&s->r, h->n_held));
	return any;
}

// As a driver would receive it: in one buffer, or scattered over several.
static struct pkt *receive(struct side *h, const struct frame *f)
{
	struct sim *s = h->sim;
	bool scatter = sim_chance(s, s->fate[h->id].chain);
	struct pkt *head = NULL;

	for (uint32_t at = 0, n; at < f->n; at += n) {
		struct pkt *p = pkt_alloc(h->pool);

		if (!p) {
			pkt_free_chain(head);
			s->total.no_buffer++;
			return NULL;
		}
		n = f->n - at < PKT_ROOM ? f->n - at : PKT_ROOM;
		if (scatter && n > 60)
			n = at == 0 ? 54 + random_below(&s->r, n - 54) : 1 + random_below(&s->r, n);
		memcpy(pkt_append(p, n), f->data + at, n);
		if (head)
			pkt_chain(head, p);
		else
			head = p;
	}
	return head;
}

// A frame arrives on a worker's queue: the right one's where the device steers, else on any; then its owner
// gets it when it is that one's turn.
void side_arrive(struct side *h, const struct frame *f)
{
	struct sim *s = h->sim;
	unsigned queue = h->n_cpus > 1 ? random_below(&s->r, h->n_cpus) : 0, owner;
	struct pkt *p;

	if (!h->up || !(p = receive(h, f)))
		return;
	owner = steer_frame(&h->steer, (const char *)f->data, f->n, queue);
	struct cpu *c = &h->cpu[owner];
	if (h->steer.kind == STEER_PORTBITS && owner != queue)
		s->total.handed++;
	if (c->n_handed < sizeof(c->handed) / sizeof(*c->handed))
		c->handed[c->n_handed++] = p;
	else
		pkt_free_chain(p);
}

// No timer may run for nothing again and again.
static void storm_check(struct side *h, struct cpu *c, bool busy)
{
	struct sim *s = h->sim;

	if (busy || s->now - c->storm_from > SEC) {
		c->storm_from = s->now;
		c->wakes = 0;
	} else if (++c->wakes == STORM_WAKES &&
		   !h->n_hog) { // else each connection asks for a buffer every 10 ms
		sim_violation(s, "side %u: %u turns for nothing within a second", h->id, STORM_WAKES);
	}
}

static void cpu_turn(struct side *h, struct cpu *c, bool due)
{
	struct sim *s = h->sim;
	const struct fate *fate = &s->fate[h->id];
	uint32_t hogged = h->n_hog;
	bool starve = sim_chance(s, fate->starve), busy = c->n_handed > 0;
	const char *why;

	cg_advance(c->stack, s->now); // what comes before this moment comes before these frames
	if (sim_chance(s, fate->forge))
		forge(h);
	if (starve) {
		s->total.starved++;
		hog(h, fate->starve_leave);
	}
	cg_input(c->stack, c->handed, c->n_handed);
	c->n_handed = 0;
	cg_advance(c->stack, s->now);
	if ((why = cg_check(c->stack)))
		sim_violation(s, "side %u: %s", h->id, why);
	app_turn(h, (unsigned)(c - h->cpu));
	cg_advance(c->stack, s->now);
	if (starve)
		unhog(h, hogged);
	busy |= transmit(h, c);
	if (cg_unresolved(c->stack))
		h->muted = s->now;
	if ((why = cg_check(c->stack)))
		sim_violation(s, "side %u: %s", h->id, why);
	if (due)
		storm_check(h, c, busy);
	for (unsigned i = 0; i < s->n_pairs; i++)
		for (unsigned k = 0; k < 2; k++) {
			struct end *e = &s->pair[i].end[k];
			if (e->k && e->side == h->id && &h->cpu[e->cpu] == c)
				law_turn(s, e);
		}
}

void side_turn(struct side *h)
{
	struct sim *s = h->sim;
	const struct fate *fate = &s->fate[h->id];
	unsigned first = h->n_cpus > 1 ? random_below(&s->r, h->n_cpus) : 0;

	if (h->up && s->now >= fate->down_at && s->now < fate->up_at) {
		side_down(h);
		s->total.reboots++;
	} else if (!h->up && s->now >= fate->up_at) {
		h->conf.seed++;
		side_start(h);
	}
	if (h->n_hog && s->now >= fate->short_until)
		unhog(h, 0);
	for (unsigned i = 0; i < h->n_cpus && h->up; i++) {
		struct cpu *c = &h->cpu[(first + i) % h->n_cpus];

		if (s->now < c->asleep_until)
			continue;
		if (sim_chance(s, fate->lag)) {
			c->asleep_until = s->now + 1 + sim_within(s, 300 * US);
			continue;
		}
		cpu_turn(h, c, cg_next(c->stack) <= s->now);
	}
}

uint64_t side_next(const struct side *h)
{
	const struct sim *s = h->sim;
	const struct fate *fate = &s->fate[h->id];
	uint64_t next = UINT64_MAX;

	if (!h->up)
		return fate->up_at;
	if (fate->down_at > s->now)
		next = fate->down_at;
	if (h->n_hog && fate->short_until < next)
		next = fate->short_until;
	for (unsigned i = 0; i < h->n_cpus; i++) {
		const struct cpu *c = &h->cpu[i];
		uint64_t at = cg_next(c->stack);

		if (c->n_handed)
			at = s->now;
		else if (at <= s->now || cg_queued(c->stack))
			at = s->now + POLL_AGAIN; // a worker goes on polling
		if (at < c->asleep_until)
			at = c->asleep_until;
		if (at < next)
			next = at;
	}
	return next;
}

bool side_idle(const struct side *h)
{
	struct tcp_pools pools;

	for (unsigned i = 0; i < h->n_cpus && h->up; i++) {
		cg_pools(h->cpu[i].stack, &pools);
		if (pools.conns_used || pools.time_wait_used)
			return false;
	}
	return true;
}

bool side_mute(const struct side *h)
{
	for (unsigned i = 0; i < h->n_cpus && h->up; i++)
		if (cg_counter(h->cpu[i].stack, CTR_neigh_unresolved))
			return true;
	return h->muted && h->sim->now - h->muted < MUTED;
}

void side_down(struct side *h)
{
	struct sim *s = h->sim;

	app_lost(h);
	for (unsigned i = 0; i < h->n_cpus; i++) {
		struct cpu *c = &h->cpu[i];

		for (unsigned k = 0; k < CTR_COUNT; k++)
			s->total.counters[k] += cg_counter(c->stack, (enum counter)k);
		while (c->n_handed)
			pkt_free_chain(c->handed[--c->n_handed]);
		cg_destroy(c->stack);
		*c = (struct cpu){0};
	}
	h->up = false;
	unhog(h, 0);
}

void side_stop(struct side *h)
{
	struct sim *s = h->sim;

	if (h->up)
		side_down(h);
	while (h->n_held)
		give_back(h, 0);
	unhog(h, 0);
	s->total.large += h->nic.large;
	s->total.cut += h->nic.cut;
	h->nic.large = h->nic.cut = 0;
	if (pkt_pool_used(h->pool))
		sim_violation(s, "side %u: %u packet buffers missing", h->id, pkt_pool_used(h->pool));
}
