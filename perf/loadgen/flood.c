#include "flood.h"
#include <rte_byteorder.h>
#include <string.h>

#define BATCH            64     // packets of a kind in one turn
#define UNKNOWN_PROTOCOL 0x88b5 // EtherType for local experiments (IEEE 802)

const char *const flood_name[FLOODS] = {"syn", "ack", "rst", "fin", "udp", "unknown"};

static const uint8_t syn_options[20] = {2, 4, 1460 >> 8, 1460 & 255, 4, 2, 8, 10, 0, 1,
					2, 3, 0,         0,          0, 0, 1, 3,  3, 7};

static void put16(char *at, uint16_t v)
{
	v = rte_cpu_to_be_16(v);
	memcpy(at, &v, 2);
}

// What differs from packet to packet is zero.
static void frame_make(struct flood *f, unsigned kind)
{
	static const uint8_t flags[FLOODS] = {TCP_SYN, TCP_ACK, TCP_RST, TCP_FIN | TCP_ACK, 0, TCP_SYN};
	char *at = f->frame[kind];
	bool syn = kind == FLOOD_SYN || kind == FLOOD_UNKNOWN;
	unsigned l4 = kind == FLOOD_UDP ? 26 : syn ? 40 : 20;
	uint64_t pseudo = (uint64_t)f->conf.server + rte_cpu_to_be_16(kind == FLOOD_UDP ? 17 : 6) +
			  rte_cpu_to_be_16((uint16_t)l4);

	f->n[kind] = 34 + l4;
	memcpy(at, f->link->frame, 34);
	put16(at + 16, (uint16_t)(20 + l4));
	at[23] = kind == FLOOD_UDP ? 17 : 6;
	memcpy(at + 30, &f->conf.server, 4);
	put16(at + 36, f->conf.port);
	if (kind == FLOOD_UDP) {
		put16(at + 38, (uint16_t)l4);
	} else {
		at[46] = (char)(l4 / 4 << 4);
		at[47] = (char)flags[kind];
		put16(at + 48, 64240);
		if (syn)
			memcpy(at + 54, syn_options, sizeof(syn_options));
	}
	if (kind == FLOOD_UNKNOWN)
		put16(at + 12, UNKNOWN_PROTOCOL);
	f->ip_sum[kind] = checksum_add(0, at + 14, 20);
	f->l4_sum[kind] = pseudo + checksum_add(0, at + 34, l4);
}

void flood_init(struct flood *f, const struct flood_conf *conf, struct link *l)
{
	*f = (struct flood){.conf = *conf, .link = l, .random = 0x9e3779b97f4a7c15ull};
}

void flood_start(struct flood *f, uint64_t now, const double rate[FLOODS], bool aim)
{
	f->aim = aim;
	for (unsigned i = 0; i < FLOODS; i++) {
		frame_make(f, i); // the peer's hardware address is known by now
		schedule_start(&f->due[i], now, f->conf.hz, rate[i]);
	}
}

static uint64_t random_next(struct flood *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

static void packet_send(struct flood *f, unsigned kind)
{
	char *at = link_frame(f->link, f->n[kind]);
	uint64_t r = random_next(f), sum;
	uint32_t src = f->conf.from + ((uint32_t)r & f->conf.mask), seq = (uint32_t)(r >> 16), ack;
	uint16_t port = (uint16_t)(1024 + (r >> 48) % 64000), csum;

	if (!at) {
		f->missed++;
		return;
	}
	if (f->aim) {
		src = f->conf.good + (uint32_t)r % f->conf.addresses;
		port = (uint16_t)(f->conf.good_port + (r >> 48) % f->conf.per_each);
	}
	src = rte_cpu_to_be_32(src);
	port = rte_cpu_to_be_16(port);
	memcpy(at, f->frame[kind], f->n[kind]);
	memcpy(at + 26, &src, 4);
	csum = checksum_fold(f->ip_sum[kind] + src);
	memcpy(at + 24, &csum, 2);
	memcpy(at + 34, &port, 2);
	sum = f->l4_sum[kind] + src + port;
	if (kind != FLOOD_UDP) {
		memcpy(at + 38, &seq, 4);
		sum += seq;
	}
	if (kind == FLOOD_ACK || kind == FLOOD_FIN) {
		ack = seq * 0x9e3779b1u;
		memcpy(at + 42, &ack, 4);
		sum += ack;
	}
	csum = checksum_fold(sum);
	memcpy(at + (kind == FLOOD_UDP ? 40 : 50), &csum, 2);
	f->sent[kind]++;
}

bool flood_turn(struct flood *f, uint64_t now)
{
	bool worked = false;

	for (unsigned i = 0; i < FLOODS; i++) {
		for (unsigned n = 0; n < BATCH && link_room(f->link) && schedule_due(&f->due[i], now); n++) {
			(void)schedule_take(&f->due[i]);
			packet_send(f, i);
			worked = true;
		}
		f->missed += schedule_skip(&f->due[i], now, 4 * BATCH);
	}
	return worked;
}

void flood_input(struct flood *f, const struct segment *s)
{
	if (s->flags & TCP_RST)
		f->rst++;
	else if ((s->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		f->synack++;
	else
		f->other++;
}
