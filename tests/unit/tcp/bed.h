// One TCP stack with a script in place of its peer. Segments go in as net would hand them up; what comes out is
// taken from net's transmit queue and kept for looking at. Time stands still unless a test moves it.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tcp/conn.h"
#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS       1000000ull
#define SEC      (1000 * MS)
#define SRV      80          // the port that is listened on
#define PEER     40000       // the peer's port when it connects
#define PEER_ISN 0xfffffff0u // wraps soon: every test crosses it
#define OUT_MAX  256
#define WND      50000
#define FIRST_TS 1000 // the peer's first timestamp

struct out { // a segment that was sent
	uint64_t at;
	uint16_t src, dst;
	uint32_t seq, ack, wnd, len;
	uint8_t flags, tos;
	struct tcp_options opt;
	unsigned char data[2048];
};

struct bed {
	uint64_t now;
	struct arena arena;
	struct wheel wheel;
	struct net net;
	struct port_stats port_stats[1];
	struct worker_stats *stats;
	struct snap_address address;
	struct tcp *tcp;
	struct addr local, remote;
	struct out out[OUT_MAX];
	unsigned n_out, seen;     // seen: how many a test has looked at
	enum tcp_cc cc;           // of the listener
	uint8_t tos;              // of what comes in
	bool hold;                // the driver keeps what it sent
	struct tcp_accept accept; // its limits
	struct pkt *held[OUT_MAX];
	unsigned n_held;
	// What owners were told.
	struct tcp_conn *c; // the connection last opened
	unsigned events;    // of the last call
	unsigned all, calls;
	void (*react)(struct bed *b, struct tcp_conn *c, unsigned events);
	// The peer's side of the one connection that most tests have.
	uint16_t peer_port, our_port;
	uint32_t seq, ack; // of its next segment
	uint32_t tsval;
	bool ts;
};

static struct pkt_pool *bed_pool;

static inline void bed_start(void)
{
	if (!pkt_start(64) || !(bed_pool = pkt_pool_create("bed", 4u << 20, -1)))
		exit(2);
}

static inline void bed_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
	struct bed *b = ctx;

	(void)user;
	if (events & EV_OPEN)
		b->c = c;
	b->events = events;
	b->all |= events;
	b->calls++;
	if (b->react)
		b->react(b, c, events);
}

static inline bool bed_listen(void *ctx, uint16_t port, struct addr local, uint16_t local_port,
			      struct tcp_accept *out)
{
	struct bed *b = ctx;

	(void)port, (void)local;
	*out = b->accept;
	out->on_event = bed_event;
	out->ctx = ctx;
	out->tag = 42;
	out->cc = b->cc;
	return local_port == SRV;
}

static inline void bed_fire(void *ctx, struct timer *t)
{
	struct bed *b = ctx;

	if (tcp_owns_timer(b->tcp, t))
		tcp_timer(b->tcp, t);
	else
		net_timer(&b->net, t);
}

static inline struct bed *bed_make(struct tcp_config conf)
{
	struct bed *b = calloc(1, sizeof(*b));
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};

	b->stats = aligned_alloc(64, sizeof(*b->stats));
	memset(b->stats, 0, sizeof(*b->stats));
	b->now = 1000 * SEC;
	b->local = addr_from_v4(htonl(0xc6120001));
	b->remote = addr_from_v4(htonl(0xc6120002));
	conf.max_conns = conf.max_conns ? conf.max_conns : 16;
	conf.max_time_wait = conf.max_time_wait ? conf.max_time_wait : 4;
	conf.listen = bed_listen;
	conf.listen_ctx = b;
	conf.secret[0] = 1;
	conf.secret[1] = 2;
	assert_int_equal(arena_init(&b->arena, tcp_memory(&conf) + (1u << 20)), 0);
	wheel_init(&b->wheel, b->now, bed_fire, b);
	assert_int_equal(net_init(&b->net, &b->arena, bed_pool, b->stats, b->port_stats, &b->wheel,
				  (struct hash_key){3, 4}, 16),
			 0);
	b->address = (struct snap_address){.addr = b->local, .prefix = 96 + 24};
	b->net.n_ports = 1;
	b->net.port[0] = (struct net_port){
		.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500, .addresses = &b->address, .n_addresses = 1};
	b->tcp = tcp_create(&b->arena, &conf, &b->net, &b->wheel, b->stats);
	assert_non_null(b->tcp);
	b->net.ops = (struct net_ops){.tcp = tcp_input, .unreachable = tcp_unreachable, .ctx = b->tcp};
	b->net.now = b->now;
	tcp_set_now(b->tcp, b->now);
	net_learn(&b->net, 0, b->remote, mac);
	b->peer_port = PEER;
	b->our_port = SRV;
	b->seq = PEER_ISN;
	b->tsval = FIRST_TS;
	return b;
}

// Nothing may be left behind, whatever the test did.
static inline void bed_free(struct bed *b)
{
	while (b->n_held)
		pkt_free_chain(b->held[--b->n_held]);
	tcp_destroy(b->tcp);
	assert_int_equal(b->tcp->conns.used, 0);
	assert_int_equal(b->tcp->waits.used, 0);
	assert_int_equal(b->tcp->flows.used, 0);
	assert_int_equal(b->tcp->held, 0);
	net_fini(&b->net);
	assert_int_equal(b->wheel.armed, 0);
	assert_int_equal(pkt_pool_used(bed_pool), 0);
	arena_fini(&b->arena);
	free(b->stats);
	free(b);
}

static inline void bed_capture(struct bed *b, struct pkt *p)
{
	struct out *o;
	const uint8_t *d = (const uint8_t *)pkt_data(p);
	uint32_t n = pkt_chain_len(p), header;

	if (n >= 54 && d[12] == 8 && d[13] == 0) {
		assert_true(b->n_out < OUT_MAX);
		o = &b->out[b->n_out++];
		const struct tcp_header *h = (const struct tcp_header *)(d + 34);
		header = h->off >> 4 << 2;
		*o = (struct out){.at = b->now,
				  .src = ntohs(h->src),
				  .dst = ntohs(h->dst),
				  .seq = ntohl(h->seq),
				  .ack = ntohl(h->ack),
				  .wnd = ntohs(h->wnd),
				  .flags = h->flags,
				  .tos = d[15],
				  .len = n - 34 - header};
		options_parse(&o->opt, (const uint8_t *)(h + 1), header - 20);
		memcpy(o->data, d + 34 + header, o->len);
	}
	if (b->hold)
		b->held[b->n_held++] = p;
	else
		pkt_free_chain(p);
}

// What a worker does after a burst.
static inline void bed_run(struct bed *b)
{
	for (int i = 0; i < 2; i++) {
		tcp_dispatch(b->tcp);
		tcp_flush(b->tcp);
	}
	for (uint32_t i = 0; i < b->net.tx[0].n; i++)
		bed_capture(b, b->net.tx[0].v[i]);
	b->net.tx[0].n = 0;
	for (uint32_t i = 0; i < b->tcp->conns.capacity; i++)
		if (b->tcp->conn_used[i / 64] >> (i % 64) & 1) {
			const char *why = conn_check(conn_at(b->tcp, i));
			if (why)
				fail_msg("%s", why);
		}
}

// Time passes, in steps as fine as the wheel's.
static inline void bed_sleep(struct bed *b, uint64_t ns)
{
	uint64_t end = b->now + ns;
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};

	while (b->now < end) {
		uint64_t next = wheel_next(&b->wheel);
		b->now = next > b->now && next < end ? next : next >= end ? end : b->now + MS;
		b->net.now = b->now;
		tcp_set_now(b->tcp, b->now);
		net_learn(&b->net, 0, b->remote, mac); // stays known, however long nothing is said
		wheel_run(&b->wheel, b->now, 0);
		bed_run(b);
	}
}

struct in { // a segment from the peer; what is left 0 comes from the bed
	uint16_t src, dst;
	uint32_t seq, ack;
	uint8_t flags;
	uint32_t wnd;
	const void *data;
	uint32_t len;
	uint16_t mss;
	bool wscale, ts;
	uint8_t shift;
	uint32_t tsval, tsecr;
	bool sack_ok;
	struct sack_block sack[SACK_MAX];
	unsigned n_sack;
};

static inline struct pkt *bed_packet(struct in in)
{
	uint8_t opt[40];
	uint32_t n = 0;
	struct pkt *p = pkt_alloc(bed_pool);

	assert_non_null(p);
	if (in.mss)
		n += options_put_mss(opt + n, in.mss);
	if (in.wscale)
		n += options_put_wscale(opt + n, in.shift);
	if (in.ts)
		n += options_put_ts(opt + n, in.tsval, in.tsecr);
	if (in.sack_ok)
		n += options_put_sack_ok(opt + n);
	if (in.n_sack)
		n += options_put_sack(opt + n, in.sack, in.n_sack);
	struct tcp_header *h = (struct tcp_header *)pkt_append(p, 20 + n + in.len);
	*h = (struct tcp_header){.src = htons(in.src),
				 .dst = htons(in.dst),
				 .seq = htonl(in.seq),
				 .ack = htonl(in.ack),
				 .off = (uint8_t)((20 + n) / 4 << 4),
				 .flags = in.flags,
				 .wnd = htons((uint16_t)in.wnd)};
	memcpy(h + 1, opt, n);
	if (in.len && in.data)
		memcpy((char *)(h + 1) + n, in.data, in.len);
	else if (in.len)
		memset((char *)(h + 1) + n, 'x', in.len);
	return p;
}

static inline void bed_input(struct bed *b, struct pkt *p)
{
	struct net_seg seg = {.pkt = p, .src = b->remote, .dst = b->local, .tos = b->tos, .checked = true};

	tcp_input(b->tcp, &seg, 1);
}

static inline void bed_in(struct bed *b, struct in in)
{
	in.src = in.src ? in.src : b->peer_port;
	in.dst = in.dst ? in.dst : b->our_port;
	if (b->ts && !in.ts) {
		in.ts = true;
		in.tsval = in.tsval ? in.tsval : b->tsval;
	}
	bed_input(b, bed_packet(in));
}

// From the peer, in order: payload, then an ACK of all that we sent.
static inline void bed_data(struct bed *b, const void *data, uint32_t len)
{
	bed_in(b,
	       (struct in){
		       .seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = WND, .data = data, .len = len});
	b->seq += len;
	bed_run(b);
}
static inline void bed_ack(struct bed *b, uint32_t ack, uint32_t wnd)
{
	b->ack = ack;
	bed_in(b, (struct in){.seq = b->seq, .ack = ack, .flags = TCP_ACK, .wnd = wnd});
	bed_run(b);
}
static inline void bed_fin(struct bed *b)
{
	bed_in(b, (struct in){.seq = b->seq++, .ack = b->ack, .flags = TCP_ACK | TCP_FIN, .wnd = WND});
	bed_run(b);
}

// The next segment that was sent; fails where there is none.
static inline const struct out *bed_out(struct bed *b)
{
	if (b->seen == b->n_out)
		fail_msg("nothing more was sent");
	return &b->out[b->seen++];
}
static inline void bed_silent(struct bed *b)
{
	if (b->seen != b->n_out)
		fail_msg("sent without need: flags %02x, %u bytes", b->out[b->seen].flags, b->out[b->seen].len);
}
static inline void bed_drain(struct bed *b)
{
	b->seen = b->n_out = 0;
}
static inline uint64_t bed_count(struct bed *b, enum counter c)
{
	return stat_get(&b->stats->c[c]);
}

// A connection accepted on SRV, without options but the given.
static inline struct tcp_conn *bed_accept_with(struct bed *b, struct in syn)
{
	syn.seq = b->seq;
	syn.flags |= TCP_SYN;
	syn.wnd = syn.wnd ? syn.wnd : WND;
	bed_in(b, syn);
	bed_run(b);
	const struct out *o = bed_out(b);
	assert_int_equal(o->flags & ~TCP_ECE, TCP_SYN | TCP_ACK);
	b->seq++;
	b->ts = syn.ts;
	b->ack = o->seq + 1;
	bed_in(b, (struct in){.seq = b->seq, .ack = b->ack, .flags = TCP_ACK, .wnd = syn.wnd});
	bed_run(b);
	assert_true(b->all & EV_OPEN);
	bed_drain(b);
	b->all = b->calls = 0;
	return b->c;
}
static inline struct tcp_conn *bed_accept(struct bed *b)
{
	return bed_accept_with(b, (struct in){.mss = 1000});
}

// A connection opened to the peer's SRV.
static inline struct tcp_conn *bed_connect(struct bed *b)
{
	int err = 0;
	struct tcp_conn *c = tcp_connect(b->tcp, 0, b->remote, SRV, bed_event, b, NULL, &err);

	assert_non_null(c);
	bed_run(b);
	return c;
}

// A buffer of n times the same byte, as an owner of connections has it; and whether it is that.
static inline struct pkt *bed_filled(char with, uint32_t n)
{
	struct pkt *p = pkt_alloc(bed_pool);

	assert_non_null(p);
	memset(pkt_append(p, n), with, n);
	return p;
}

static inline void bed_holds(const struct pkt *p, char with, uint32_t n)
{
	assert_non_null(p);
	assert_int_equal(pkt_len(p), n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(pkt_data(p)[i], with);
}

// n bytes, the first of which is first.
static inline void bed_send(struct bed *b, struct tcp_conn *c, uint32_t n)
{
	static char bytes[100000];

	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (char)i;
	assert_int_equal(tcp_send_copy(c, bytes, n), 0);
	bed_run(b);
}

static inline enum tcp_state bed_state(const struct tcp_conn *c)
{
	struct tcp_info info;

	tcp_get_info(c, &info);
	return info.state;
}

// tests[] and main().
#define BED_TEST(name) cmocka_unit_test(name)
#define BED_MAIN(tests)                                                                                        \
	int main(void)                                                                                         \
	{                                                                                                      \
		bed_start();                                                                                   \
		return cmocka_run_group_tests(tests, NULL, NULL);                                              \
	}
