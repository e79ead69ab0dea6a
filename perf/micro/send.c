// What sending bodies costs TCP and what is below it: perf/micro/send. One connection between two hosts of the
// library, without a network between; the sender is given payload in full buffers, as it arrives from an
// upstream, and what the receiver answers. Only the sender's time counts: what it is given, what it sends and
// what it does with acknowledgements. With all checksums its own, with those left to the device, and with
// segments cut by the device too (TSO). Cutting is the card's work, for which nothing is counted.
#include "perf/micro/cycles.h"
#include "stack/stack.h"
#include "tests/nic/nic.h"
#include <stdio.h>
#include <string.h>

#define FULL    1448u // payload of a segment with timestamps
#define BATCH   44u   // buffers at a time: 62 KiB
#define WINDOWS 2000
#define MS      1000000ull

struct hosts {
	struct cg_stack *s[2];
	struct cg_sock *k[2]; // 0 sends
	struct nic nic;
	struct pkt_pool *pool;
	uint64_t now, took, packets;
};

static struct addr address(unsigned i)
{
	return addr_from_v4(i ? 0x020012c6 : 0x010012c6); // 198.18.0.1 and .2
}

static void deliver(struct hosts *h, unsigned to, const struct pkt *p)
{
	struct pkt *frame[NIC_FRAMES];
	const char *why = NULL;
	unsigned n = to ? nic_send(&h->nic, p, frame, &why) : 0;

	if (why)
		abort();
	if (n == 0) {
		frame[0] = pkt_copy(p, h->pool);
		n = 1;
	}
	for (unsigned i = 0; i < n; i++) {
		struct pkt *in = n > 1 || frame[i] ? pkt_copy(frame[i], h->pool) : NULL;

		pkt_free_chain(frame[i]);
		if (!in)
			abort();
		uint64_t begun = __rdtsc();
		cg_input(h->s[to], &in, 1);
		h->took += to ? 0 : __rdtsc() - begun;
	}
}

// Until nobody has anything to say.
static void turn(struct hosts *h)
{
	char dust[1 << 16];

	for (bool moved = true; moved;) {
		moved = false;
		for (unsigned i = 0; i < 2; i++) {
			struct pkt *v[64];
			uint64_t begun = __rdtsc();

			cg_advance(h->s[i], h->now);
			h->took += i ? 0 : __rdtsc() - begun;
			for (unsigned n; (n = cg_output(h->s[i], v, 64)) > 0;) {
				moved = true;
				for (unsigned k = 0; k < n; k++) {
					deliver(h, 1 - i, v[k]);
					begun = __rdtsc();
					pkt_free_chain(v[k]); // as its driver does
					h->took += i ? 0 : __rdtsc() - begun;
					h->packets += !i;
				}
			}
			while (i && h->k[1] && cg_read(h->k[1], dust, sizeof(dust)) > 0)
				moved = true;
		}
	}
}

static void hosts_make(struct hosts *h, struct pkt_pool *pool, struct pkt_pool *card, bool checksum, bool tso)
{
	struct cg_listener *l;
	int err;

	*h = (struct hosts){.pool = pool, .nic = {.pool = card, .mtu = 1500}, .now = 1000 * MS};
	for (unsigned i = 0; i < 2; i++) {
		struct cg_config c = {.mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)},
				      .address = {{address(i), 24}},
				      .n_addresses = 1,
				      .no_dad = true,
				      .pool = pool,
				      .tx_checksum = checksum && i == 0,
				      .tcp = {.max_conns = 16, .max_time_wait = 8, .rcv_buf = 1 << 20},
				      .seed = i + 1,
				      .now = h->now};

		if (tso && i == 0)
			c.tso = h->nic.tso = (struct tso){.max = 65535,
							  .segments = NIC_FRAMES,
							  .buffers = UINT16_MAX,
							  .segment_buffers = 8};
		if (!(h->s[i] = cg_create(&c, &err)))
			abort();
	}
	l = cg_listen(h->s[1], (struct addr){0}, 80, NULL, &err);
	h->k[0] = cg_connect(h->s[0], address(1), 80, NULL, &err);
	turn(h);
	h->k[1] = l ? cg_accept(l) : NULL;
	if (!h->k[0] || !h->k[1])
		abort();
}

static void window(struct hosts *h)
{
	struct pkt *body[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		body[i] = pkt_alloc(h->pool);
		if (!body[i])
			abort();
		memset(pkt_append(body[i], FULL), 'x', FULL);
	}
	uint64_t begun = __rdtsc();
	for (unsigned i = 0; i < BATCH; i++)
		if (cg_write_packet(h->k[0], body[i]))
			abort();
	h->took += __rdtsc() - begun;
	h->now += MS;
	turn(h);
}

static void row(const char *what, struct pkt_pool *pool, struct pkt_pool *card, bool checksum, bool tso)
{
	struct cycles all = cycles_start(WINDOWS);
	struct hosts h;

	hosts_make(&h, pool, card, checksum, tso);
	for (unsigned w = 0; w < 50; w++) // until the windows are open
		window(&h);
	h.packets = 0;
	for (unsigned w = 0; w < WINDOWS; w++) {
		h.took = 0;
		window(&h);
		cycles_add(&all, h.took);
	}
	double packets = (double)h.packets / WINDOWS, each = cycles_median(&all, BATCH);
	printf("send %-28s %5.0f cycles (%4.0f ns) for %u bytes, %4.1f packets for %u of these\n", what, each,
	       cycles_ns(each), FULL, packets, BATCH);
	for (unsigned i = 0; i < 2; i++)
		cg_destroy(h.s[i]);
}

int main(void)
{
	struct pkt_pool *pool, *card;

	if (!pkt_start(64) || !(pool = pkt_pool_create("packets", 16u << 20, -1)) ||
	    !(card = pkt_pool_create("card", NIC_MEMORY, -1)))
		return 2;
	row("all of it", pool, card, false, false);
	row("checksums by the device", pool, card, true, false);
	row("segments by the device (TSO)", pool, card, true, true);
	return 0;
}
