// A stranger who sees all that goes over the wire makes up segments that RFC 5961 and RFC 9293 have refused: a
// RST or SYN that is in the window but not exact, acknowledgements of what was never sent or long ago, payload
// beyond the window. They arrive at once, so that nothing that is still under way makes them exact.
#include "base/checksum.h"
#include "tcp/header.h"
#include "tcp/seq.h"
#include "tests/sim/tcp_sim.h"

struct forged {
	uint32_t seq, ack, len;
	uint8_t flags;
};

static void put16(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static void put32(unsigned char *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static void put_sum(unsigned char *at, uint64_t sum)
{
	uint16_t v = checksum_fold(sum);

	memcpy(at, &v, 2);
}

static void build(struct frame *f, const struct sim *s, const struct flow *flow, unsigned to,
		  const struct forged *t)
{
	const struct side *victim = &s->side[to], *peer = &s->side[1 - to];
	const struct dir *said = &flow->dir[1 - to];
	unsigned header = said->tsval ? 32 : 20, n = header + t->len;
	unsigned char *ip = f->data + 14, *tcp = ip + (s->ipv6 ? 40 : 20), pseudo[40] = {0};

	memset(f->data, 0, 14 + 40 + n);
	memcpy(f->data, victim->conf.mac, 6);
	memcpy(f->data + 6, peer->conf.mac, 6);
	put16(f->data + 12, s->ipv6 ? 0x86dd : 0x0800);
	if (s->ipv6) {
		ip[0] = 0x60;
		put16(ip + 4, n);
		ip[6] = 6;
		ip[7] = 64;
		memcpy(ip + 8, peer->addr.b, 16);
		memcpy(ip + 24, victim->addr.b, 16);
		memcpy(pseudo, ip + 8, 32);
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 20 + n);
		ip[8] = 64;
		ip[9] = 6;
		memcpy(ip + 12, peer->addr.b + 12, 4);
		memcpy(ip + 16, victim->addr.b + 12, 4);
		put_sum(ip + 10, checksum_add(0, ip, 20));
		memcpy(pseudo, ip + 12, 8);
	}
	put16(tcp, flow->port[1 - to]);
	put16(tcp + 2, flow->port[to]);
	put32(tcp + 4, t->seq);
	put32(tcp + 8, t->ack);
	tcp[12] = (unsigned char)(header / 4 << 4);
	tcp[13] = t->flags;
	put16(tcp + 14, 1000);
	if (header > 20)
		options_put_ts(tcp + 20, said->tsval, flow->dir[to].tsval);
	put32(pseudo + 32, n);
	pseudo[39] = 6;
	put_sum(tcp + 16, checksum_add(checksum_add(0, pseudo, 40), tcp, n));
	f->n = (uint32_t)(tcp - f->data) + n;
}

void forge(struct side *h)
{
	struct sim *s = h->sim;
	struct flow *flow = &s->flow[s->next_flow ? random_below(&s->r, s->next_flow) % 64 : 0];
	const struct dir *d = &flow->dir[h->id], *peer = &flow->dir[1 - h->id];
	// What the peer has not sent yet, but may.
	uint32_t next = seq_max(peer->max, d->ack) + 1, room = seq_gt(d->edge, next) ? d->edge - next : 0;
	struct forged t = {.seq = next - 1, .ack = peer->ack, .flags = TCP_ACK};
	struct frame f;

	if (!d->acks || !peer->acks)
		return;
	switch (random_below(&s->r, 5)) {
	case 0:
		if (!room)
			return;
		t.seq = next + random_below(&s->r, room);
		t.flags = random_below(&s->r, 2) ? TCP_RST : TCP_RST | TCP_ACK;
		break;
	case 1:
		if (peer->fin) // in TIME_WAIT it may be of a new connection (RFC 6191)
			return;
		t.seq = next + (room ? random_below(&s->r, room) : 0);
		t.flags = random_below(&s->r, 2) ? TCP_SYN : TCP_SYN | TCP_ACK;
		break;
	case 2:
		t.ack = d->max + (1u << 24) +
			random_below(&s->r, 1u << 20); // nor will be by the time it is read
		break;
	case 3:
		t.ack = d->isn - random_below(&s->r, 1u << 20);
		break;
	default:
		t.seq = d->edge + 1 + random_below(&s->r, 1u << 20);
		t.len = random_below(&s->r, 500);
		t.flags |= random_below(&s->r, 2) ? TCP_FIN : TCP_RST;
		break;
	}
	s->total.forged++;
	flow->dir[h->id].forged = true;
	build(&f, s, flow, h->id, &t);
	side_arrive(h, &f);
}
