// Packet input, from Ethernet upwards, with live connections. An input is a few bytes that say which
// connections there are and how far each has come, and then a list of steps: segments near or far from what is
// expected, ICMP errors that quote what was sent, headers with bytes changed, extension headers, raw frames,
// ARP and neighbour discovery, time that passes, and what the owner does. Lengths and checksums are mended
// unless a step says otherwise, so that it gets deep. Holds after each step: every invariant of cg_check(), and
// every frame that leaves is right in lengths and checksums; at the end: no packet is missing.
#include "frame.h"
#include "fuzz_head.h"
#include "stack/stack.h"
#include "tcp/header.h"

#define MS    1000000ull
#define SEC   (1000 * MS)
#define FLOWS 4
#define STEPS 200

// How far a connection is brought before the steps begin.
enum stage {
	NOTHING,
	SYN_RECEIVED,
	SYN_SENT,
	OPEN,
	OPENED_BY_US,
	IN_FLIGHT,
	RECOVERY,
	SHUT_WINDOW,
	OUT_OF_ORDER,
	PEER_CLOSED,
	WE_CLOSED,
	WE_CLOSED_ACKED,
	BOTH_CLOSING,
	LAST_ACK_DUE,
	WAITING, // TIME_WAIT
	GIVEN_UP,
	STAGES
};

struct flow {
	bool v6, ts, sack, scale, connects;
	uint16_t ours, peers;
	uint32_t seq;      // the peer's next
	uint32_t una, nxt; // ours: acknowledged, and behind the last byte seen
	uint32_t tsecr;    // our last timestamp
	struct cg_sock *sock;
	struct frame last; // what we sent last
};

struct input {
	const uint8_t *p;
	size_t n;
};

static struct pkt_pool *pool;
static struct cg_stack *stack;
static struct cg_listener *listener;
static struct flow flow[FLOWS];
static uint64_t now;
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};
static struct addr ours[2], peers[2]; // [v6]
static struct pkt *hog[4096];
static unsigned n_hog;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	CHECK(pkt_start(64));
	pool = pkt_pool_create("fuzz", 2u << 20, -1);
	CHECK(pool);
	ours[0] = addr_from_v4(htonl(0xc6120001));
	peers[0] = addr_from_v4(htonl(0xc6120002));
	ours[1] = (struct addr){.b = {0xfd, 0, 0, 0xc6, 0, 0x12, [15] = 1}};
	peers[1] = (struct addr){.b = {0xfd, 0, 0, 0xc6, 0, 0x12, [15] = 2}};
	return 0;
}

static uint32_t u8(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}
static uint32_t u16(struct input *in)
{
	uint32_t hi = u8(in);

	return hi << 8 | u8(in);
}
// Mostly small, either way.
static uint32_t delta(struct input *in)
{
	static const uint32_t step[4] = {1, 100, 1448, 1u << 20};
	uint32_t b = u8(in);

	return (uint32_t)((int32_t)(int8_t)(b << 2) / 4) * step[b >> 6];
}

static void learn(const struct frame *f)
{
	uint32_t at = frame_l4(f);
	const uint8_t *tcp = f->d + at;

	CHECK(frame_right(f));
	if (f->n < at + TCP_HEADER || f->d[ETHER + (frame_v6(f) ? 6 : 9)] != IPPROTO_TCP)
		return;
	for (unsigned i = 0; i < FLOWS; i++) {
		struct flow *w = &flow[i];
		if (w->v6 != frame_v6(f) || get16(tcp + 2) != w->peers || (w->ours && get16(tcp) != w->ours))
			continue;
		uint32_t header = tcp[12] >> 4 << 2, seq = get32(tcp + 4);
		uint32_t end = seq + f->n - at - header + !!(tcp[13] & TCP_SYN) + !!(tcp[13] & TCP_FIN);
		struct tcp_options opt;

		if (!w->ours || (tcp[13] & TCP_SYN)) {
			w->ours = (uint16_t)get16(tcp);
			w->una = seq;
			w->nxt = end;
		}
		if ((int32_t)(end - w->nxt) > 0)
			w->nxt = end;
		CHECK(header >= TCP_HEADER && at + header <= f->n);
		options_parse(&opt, tcp + TCP_HEADER, header - TCP_HEADER);
		if (opt.has_ts)
			w->tsecr = opt.tsval;
		w->last = *f;
	}
}

static void run(void)
{
	static struct frame f;

	cg_advance(stack, now);
	while ((f.n = cg_output_frame(stack, f.d, sizeof(f.d))))
		learn(&f);
	const char *why = cg_check(stack);
	if (why) {
		fprintf(stderr, "%s\n", why);
		abort();
	}
}

static void give(const struct frame *f)
{
	cg_input_frame(stack, f->d, f->n);
	run();
}

static void begin(struct frame *f, const struct flow *w, uint8_t proto)
{
	frame_begin(f, our_mac, peer_mac, w->v6, peers[w->v6], ours[w->v6], proto);
}

struct segment_plan {
	uint8_t flags;
	uint32_t seq, ack, wnd, len, ts; // seq, ack, ts: beside what is expected
	unsigned n_sack;
	struct sack_block sack[SACK_MAX]; // beside una
	uint8_t raw[40];                  // options instead of those agreed on
	uint32_t n_raw;
};

static void segment(struct frame *f, struct flow *w, const struct segment_plan *s)
{
	uint8_t opt[80];
	uint32_t n = 0;

	begin(f, w, IPPROTO_TCP);
	uint8_t *tcp = f->d + f->n;
	if (s->n_raw) {
		memcpy(opt, s->raw, s->n_raw);
		n = (s->n_raw + 3) & ~3u;
		memset(opt + s->n_raw, 0, n - s->n_raw);
	} else {
		if (s->flags & TCP_SYN) {
			n += options_put_mss(opt, w->scale ? 1460 : 536);
			n += w->sack ? options_put_sack_ok(opt + n) : 0;
			n += w->scale ? options_put_wscale(opt + n, 3) : 0;
		}
		n += w->ts ? options_put_ts(opt + n, (uint32_t)(now / MS) + s->ts, w->tsecr) : 0;
		if (s->n_sack) {
			struct sack_block v[SACK_MAX];
			unsigned most = w->ts ? SACK_MAX - 1 : SACK_MAX,
				 k = s->n_sack < most ? s->n_sack : most;
			for (unsigned i = 0; i < k; i++)
				v[i] = (struct sack_block){w->una + s->sack[i].lo, w->una + s->sack[i].hi};
			n += n + 4 + 8 * k <= OPT_MAX ? options_put_sack(opt + n, v, k) : 0;
		}
	}
	put16(tcp, w->peers);
	put16(tcp + 2, w->connects && !w->ours ? 80 : w->ours);
	put32(tcp + 4, w->seq + s->seq);
	put32(tcp + 8, s->flags & TCP_ACK ? w->nxt + s->ack : s->ack);
	tcp[12] = (uint8_t)((TCP_HEADER + n) / 4 << 4);
	tcp[13] = s->flags;
	put16(tcp + 14, s->wnd);
	put16(tcp + 16, 0);
	put16(tcp + 18, 0);
	memcpy(tcp + TCP_HEADER, opt, n);
	uint32_t len = s->len < 1400 ? s->len : 1400;
	memset(tcp + TCP_HEADER + n, (int)w->seq, len);
	f->n += TCP_HEADER + n + len;
	if (s->seq == 0)
		w->seq += len + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN);
	if ((s->flags & TCP_ACK) && (int32_t)(w->nxt + s->ack - w->una) > 0 && (int32_t)s->ack <= 0)
		w->una = w->nxt + s->ack;
	frame_mend(f, true, true);
}

static void peer(struct flow *w, struct segment_plan s)
{
	static struct frame f;

	s.wnd = s.wnd ? s.wnd : 20000;
	segment(&f, w, &s);
	give(&f);
}

static void own(struct flow *w, unsigned bytes)
{
	static const char data[8192];

	if (w->sock && bytes)
		cg_write(w->sock, data, bytes);
	run();
}

static void accept_one(struct flow *w)
{
	struct cg_sock *k = listener ? cg_accept(listener) : NULL;

	if (k && w->sock)
		cg_abort(k);
	else if (k)
		w->sock = k;
	run();
}

static void connect_one(struct flow *w)
{
	int err;

	if (w->sock)
		return;
	w->ours = 0;
	w->sock = cg_connect(stack, peers[w->v6], w->peers, NULL, &err);
	run();
}

static void shut(struct flow *w)
{
	if (w->sock)
		cg_shutdown(w->sock);
	run();
}

static void drop(struct flow *w, bool gently)
{
	if (w->sock && gently)
		cg_close(w->sock);
	else if (w->sock)
		cg_abort(w->sock);
	w->sock = NULL;
	run();
}

static void bring(struct flow *w, unsigned stage)
{
	if (stage == NOTHING)
		return;
	if (stage == SYN_SENT || stage == OPENED_BY_US) {
		connect_one(w);
		if (stage == OPENED_BY_US)
			peer(w, (struct segment_plan){.flags = TCP_SYN | TCP_ACK});
		return;
	}
	peer(w, (struct segment_plan){.flags = TCP_SYN});
	if (stage == SYN_RECEIVED)
		return;
	peer(w, (struct segment_plan){.flags = TCP_ACK, .len = stage == OPEN ? 100 : 0});
	accept_one(w);
	if (stage == IN_FLIGHT || stage == RECOVERY || stage == WE_CLOSED)
		own(w, 8000);
	now += 20 * MS;
	run();
	uint32_t flight = w->nxt - w->una;
	switch (stage) {
	case RECOVERY:
		peer(w, (struct segment_plan){
				.flags = TCP_ACK, .ack = -flight, .n_sack = 1, .sack = {{flight / 4, flight}}});
		break;
	case SHUT_WINDOW:
		own(w, 3000);
		peer(w, (struct segment_plan){.flags = TCP_ACK, .wnd = 1});
		own(w, 3000);
		break;
	case OUT_OF_ORDER:
		peer(w, (struct segment_plan){.flags = TCP_ACK, .seq = 2000, .len = 500});
		peer(w, (struct segment_plan){.flags = TCP_ACK | TCP_FIN, .seq = 5000, .len = 500});
		break;
	case PEER_CLOSED:
	case LAST_ACK_DUE:
		peer(w, (struct segment_plan){.flags = TCP_ACK | TCP_FIN, .len = 10});
		if (stage == LAST_ACK_DUE)
			shut(w);
		break;
	case WE_CLOSED:
	case WE_CLOSED_ACKED:
	case BOTH_CLOSING:
	case WAITING:
		shut(w);
		if (stage == WE_CLOSED_ACKED || stage == WAITING)
			peer(w, (struct segment_plan){.flags = TCP_ACK});
		if (stage == BOTH_CLOSING || stage == WAITING)
			peer(w, (struct segment_plan){.flags = TCP_ACK | TCP_FIN,
						      .ack = stage == BOTH_CLOSING ? (uint32_t)-1 : 0});
		break;
	case GIVEN_UP:
		own(w, 3000);
		drop(w, true);
		break;
	default:
		break;
	}
}

static void plan_read(struct input *in, struct segment_plan *s)
{
	static const uint8_t usual[8] = {
		TCP_ACK,           TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_SYN,
		TCP_SYN | TCP_ACK, TCP_RST,           TCP_RST | TCP_ACK, TCP_ACK | TCP_ECE,
	};
	uint32_t b = u8(in);

	*s = (struct segment_plan){.flags = b & 8 ? (uint8_t)u8(in) : usual[b & 7], .wnd = 20000};
	s->seq = b & 16 ? delta(in) : 0;
	s->ack = b & 32 ? delta(in) : 0;
	s->len = b & 64 ? u8(in) * 8 : 0;
	if (!(b & 128))
		return;
	b = u8(in);
	if (b & 1)
		s->wnd = u16(in);
	if (b & 2)
		s->ts = delta(in);
	for (s->n_sack = b >> 2 & 3; s->n_sack && in->n;) {
		for (unsigned i = 0; i < s->n_sack; i++) {
			s->sack[i].lo = u16(in) / 4;
			s->sack[i].hi = s->sack[i].lo + u8(in) * 16;
		}
		break;
	}
	if (b & 16)
		for (s->n_raw = u8(in) % 41, b = 0; b < s->n_raw; b++)
			s->raw[b] = (uint8_t)u8(in);
}

static void bytes_changed(struct input *in, struct frame *f)
{
	uint32_t b = u8(in);

	for (unsigned i = 0; i <= (b & 3); i++) {
		uint32_t at = u8(in) % (f->n < 120 ? f->n : 120);
		f->d[at] = (uint8_t)u8(in);
	}
	if ((b & 4) && f->n > 60) // cut short
		f->n -= u8(in) % (f->n - 20);
	frame_mend(f, !(b & 8), !(b & 16));
}

static void extension_put_in(struct input *in, struct frame *f)
{
	static const uint8_t kind[8] = {0, 43, 44, 60, 51, 59, 50, 135};
	uint32_t n = 8 + u8(in) % 4 * 8, at = ETHER + 40;

	if (!frame_v6(f) || f->n + n > FRAME_MAX)
		return;
	memmove(f->d + at + n, f->d + at, f->n - at);
	f->n += n;
	for (uint32_t i = 0; i < n; i++)
		f->d[at + i] = (uint8_t)u8(in);
	f->d[at] = f->d[ETHER + 6];
	if (f->d[at + 1] & 1)
		f->d[at + 1] = (uint8_t)(n / 8 - 1);
	f->d[ETHER + 6] = kind[u8(in) % 8];
	frame_mend(f, true, true);
}

// A segment in two IPv4 fragments, the second of which may begin too early or too late.
static void fragments(struct input *in, struct frame *f)
{
	static struct frame part;
	uint32_t l4 = ETHER + 20, body = f->n > l4 ? f->n - l4 : 0, cut = (1 + u8(in)) * 8u,
		 from = cut + (uint32_t)(int8_t)u8(in) / 64 * 8;

	if (frame_v6(f) || body <= cut || from >= body)
		return;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t off = i ? from : 0, n = i ? body - from : cut;
		part = *f;
		memcpy(part.d + l4, f->d + l4 + off, n);
		part.n = l4 + n;
		put16(part.d + ETHER + 4, 77);
		put16(part.d + ETHER + 6, off / 8 | (i ? 0 : 0x2000));
		put16(part.d + ETHER + 2, part.n - ETHER);
		put16(part.d + ETHER + 10, 0);
		uint16_t sum = checksum_fold(checksum_add(0, part.d + ETHER, 20));
		memcpy(part.d + ETHER + 10, &sum, 2);
		give(&part);
	}
}

static void mangled(struct input *in, struct flow *w)
{
	static struct frame f;
	struct segment_plan s;
	uint32_t how = u8(in);

	plan_read(in, &s);
	segment(&f, w, &s);
	if (how & 1)
		extension_put_in(in, &f);
	if (how & 2)
		bytes_changed(in, &f);
	if (how & 4)
		fragments(in, &f);
	else
		give(&f);
}

static void icmp_error(struct input *in, struct flow *w)
{
	static struct frame f;
	uint32_t quoted = w->last.n > ETHER ? w->last.n - ETHER : 0, n = 28 + u8(in) * 4, b = u8(in);

	begin(&f, w, w->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	uint8_t *icmp = f.d + f.n;
	icmp[0] = (uint8_t)(b & 16 ? u8(in) : w->v6 ? 1 + (b & 3) : 3);
	icmp[1] = (uint8_t)(b & 32 ? u8(in) : b >> 2 & 3 ? 4 : 0);
	put16(icmp + 2, 0);
	put32(icmp + 4, u16(in));
	n = n < quoted ? n : quoted;
	memcpy(icmp + 8, w->last.d + ETHER, n);
	f.n += 8 + n;
	if (b & 64)
		bytes_changed(in, &f);
	frame_mend(&f, true, true);
	give(&f);
}

static void raw(struct input *in)
{
	static struct frame f;
	uint32_t b = u8(in), n = u8(in) * 4;
	static const uint8_t type[4][2] = {{8, 0}, {0x86, 0xdd}, {8, 6}, {0x81, 0}};

	memcpy(f.d, b & 4 ? "\377\377\377\377\377\377" : b & 8 ? "\63\63\377\0\0\1" : (const char *)our_mac, 6);
	memcpy(f.d + 6, peer_mac, 6);
	memcpy(f.d + 12, type[b & 3], 2);
	for (f.n = ETHER; f.n < ETHER + n && in->n; f.n++)
		f.d[f.n] = (uint8_t)u8(in);
	frame_mend(&f, !(b & 16), !(b & 32));
	give(&f);
}

// ARP, or neighbour discovery: as it should be, with a few bytes changed.
static void neighbour(struct input *in)
{
	static struct frame f;
	uint32_t b = u8(in);

	if (b & 1) {
		memcpy(f.d, our_mac, 6);
		memcpy(f.d + 6, peer_mac, 6);
		memcpy(f.d + 12, "\x08\x06\0\1\x08\0\6\4\0", 9);
		f.d[21] = b & 2 ? 2 : 1;
		memcpy(f.d + 22, peer_mac, 6);
		memcpy(f.d + 28, peers[0].b + 12, 4);
		memcpy(f.d + 32, our_mac, 6);
		memcpy(f.d + 38, ours[0].b + 12, 4);
		f.n = 42;
	} else {
		static const uint8_t kind[4] = {135, 136, 134, 137};
		frame_begin(&f, our_mac, peer_mac, true, peers[1], ours[1], IPPROTO_ICMPV6);
		uint8_t *d = f.d + f.n;
		memset(d, 0, 64);
		d[0] = kind[b >> 1 & 3];
		d[4] = d[0] == 136 ? 0x60 : 0;
		memcpy(d + 8, d[0] == 136 ? peers[1].b : ours[1].b, 16);
		d[24] = d[0] == 136 ? 2 : 1;
		d[25] = 1;
		memcpy(d + 26, peer_mac, 6);
		f.n += 32;
	}
	frame_mend(&f, true, true);
	if (b & 8)
		bytes_changed(in, &f);
	give(&f);
}

static void time_passes(struct input *in)
{
	uint32_t b = u8(in);
	uint64_t end = now + ((uint64_t)(b & 15) + 1) * (MS << (b >> 4));

	for (unsigned i = 0; i < 50 && now < end; i++) {
		uint64_t next = cg_next(stack);
		now = next > now && next < end ? next : end;
		run();
	}
	now = end;
	run();
}

static void owner(struct input *in, struct flow *w)
{
	static char buf[4096];
	uint32_t b = u8(in);

	switch (b & 7) {
	case 0:
	case 1:
		own(w, (b >> 3) * 256 + 1);
		break;
	case 2:
		if (w->sock)
			cg_read(w->sock, buf, (b >> 3) * 128 + 1);
		run();
		break;
	case 3:
		shut(w);
		break;
	case 4:
		drop(w, b & 8);
		break;
	case 5:
		connect_one(w);
		break;
	case 6:
		accept_one(w);
		break;
	default: // the pool runs short, or recovers
		while ((b & 8) && n_hog < sizeof(hog) / sizeof(*hog) && (hog[n_hog] = pkt_alloc(pool)))
			n_hog++;
		for (unsigned give_back = b >> 4; n_hog && give_back; give_back--)
			pkt_free(hog[--n_hog]);
		break;
	}
}

static void setup(struct input *in)
{
	struct cg_config conf = {
		.mac = {2, 0, 0, 0, 0, 1},
		.address = {{ours[0], 24}, {ours[1], 64}},
		.n_addresses = 2,
		.no_dad = true,
		.neighbours = 8,
		.pool = pool,
		.tcp = {.max_conns = 8,
			.max_time_wait = 2,
			.rcv_buf = 16384,
			.snd_buf = 32768,
			.ooo_max = 8,
			.msl = SEC,
			.keep_idle = 60 * SEC},
		.seed = 1,
	};
	int err;

	now = 1000 * SEC;
	conf.now = now;
	conf.tcp.cc = u8(in) & 1 ? TCP_CC_NEWRENO : TCP_CC_CUBIC;
	stack = cg_create(&conf, &err);
	CHECK(stack);
	listener = cg_listen(stack, (struct addr){0}, 80, NULL, &err);
	for (unsigned v6 = 0; v6 < 2; v6++)
		cg_learn(stack, peers[v6], peer_mac);
	for (unsigned i = 0; i < FLOWS; i++) {
		uint32_t how = u8(in), stage = u8(in) % STAGES;
		flow[i] = (struct flow){.v6 = how & 1,
					.ts = how & 2,
					.sack = how & 4,
					.scale = how & 8,
					.connects = stage == SYN_SENT || stage == OPENED_BY_US,
					.ours = 80,
					.peers = (uint16_t)(40000 + i),
					.seq = 0xfffff000u + i};
		bring(&flow[i], stage);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	struct segment_plan s;

	setup(&in);
	for (unsigned i = 0; i < STEPS && in.n; i++) {
		uint32_t b = u8(&in);
		struct flow *w = &flow[b >> 6];

		switch (b & 15) {
		default:
			plan_read(&in, &s);
			peer(w, s);
			break;
		case 7:
			own(w, u8(&in) * 32);
			break;
		case 8:
		case 9:
			mangled(&in, w);
			break;
		case 10:
			icmp_error(&in, w);
			break;
		case 11:
			raw(&in);
			break;
		case 12:
			neighbour(&in);
			break;
		case 13:
		case 14:
			time_passes(&in);
			break;
		case 15:
			owner(&in, w);
			break;
		}
	}
	while (n_hog)
		pkt_free(hog[--n_hog]);
	cg_destroy(stack);
	CHECK(pkt_pool_used(pool) == 0);
	return 0;
}
