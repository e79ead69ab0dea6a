// The stack: start, bursts in, owners told, bursts out, end.
#include "tcp/tcp.h"
#include "tcp/conn.h"
#include <errno.h>

#define KIB               1024u
#define MSL               30000000000ull   // ns; TIME_WAIT lasts a minute, as with other stacks
#define HOUR              3600000000000ull // ns
#define KEEP_INTERVAL     75000000000ull   // ns
#define RST_RATE          1000             // a second, for strangers of one part of all addresses
#define BUFFER_MEMORY_MAX ((uint64_t)SHARE_PARTS * UINT32_MAX) // tcp_share() is of 32 bits
#define DEFAULT_CONN      1024
#define HALF_OPEN         4096
#define MSS_FLOOR         216 // what other stacks use; with less a packet's headers outweigh it by far

static struct tcp_config config_complete(const struct tcp_config *conf)
{
	struct tcp_config c = *conf;

	c.max_conns = c.max_conns ? c.max_conns : DEFAULT_CONN;
	c.reserve = c.reserve < c.max_conns ? c.reserve : c.max_conns - 1;
	if (c.max_half_open == 0)
		c.max_half_open = c.max_conns / 4 < HALF_OPEN ? c.max_conns / 4 + 1 : HALF_OPEN;
	c.max_time_wait = c.max_time_wait ? c.max_time_wait : TIME_WAIT_DEFAULT;
	c.min_mss = c.min_mss ? c.min_mss : MSS_FLOOR;
	c.rcv_buf = c.rcv_buf ? c.rcv_buf : 4096 * KIB;
	c.snd_buf = c.snd_buf ? c.snd_buf : 4096 * KIB;
	c.msl = c.msl ? c.msl : MSL;
	c.syn_retries = c.syn_retries ? c.syn_retries : 5;
	c.user_timeout = c.user_timeout < HOUR ? c.user_timeout : HOUR;
	c.keep_interval = c.keep_interval ? c.keep_interval : KEEP_INTERVAL;
	c.keep_probes = c.keep_probes ? c.keep_probes : 9;
	c.keep_probes = c.keep_probes < UINT8_MAX ? c.keep_probes : UINT8_MAX;
	c.data_retries = c.data_retries ? c.data_retries : 10;
	return c;
}

size_t tcp_memory(const struct tcp_config *conf)
{
	struct tcp_config c = config_complete(conf);

	return sizeof(struct tcp) + (size_t)c.max_conns * sizeof(struct tcp_conn) +
	       (size_t)c.max_time_wait * sizeof(struct time_wait) + (c.max_conns / 64 + 1) * 8ul +
	       flow_memory(c.max_conns + c.max_time_wait) + sources_memory(c.max_conns) + c.max_conns * 4ul +
	       1024;
}

struct tcp *tcp_create(struct arena *a, const struct tcp_config *conf, struct net *net, struct wheel *wheel,
		       struct worker_stats *stats)
{
	struct tcp *t = arena_alloc(a, sizeof(*t), 64);

	if (!t)
		return NULL;
	t->conf = config_complete(conf);
	if (t->conf.buffer_memory == 0)
		t->conf.buffer_memory = pkt_pool_memory(net->pool) / 4 * 3;
	if (t->conf.buffer_memory > BUFFER_MEMORY_MAX)
		t->conf.buffer_memory = BUFFER_MEMORY_MAX;
	t->net = net;
	t->wheel = wheel;
	t->stats = stats;
	t->secret = (struct hash_key){conf->secret[0], conf->secret[1]};
	for (unsigned i = 0; i < RST_SOURCES; i++)
		t->rst_rate[i] = (struct tcp_rate){.rate = RST_RATE, .burst = RST_RATE, .tokens = RST_RATE};
	t->conn_used = arena_alloc(a, (t->conf.max_conns / 64 + 1) * 8ul, 64);
	t->conn_source = arena_alloc(a, t->conf.max_conns * 4ul, 64);
	if (!t->conn_used || !t->conn_source || sources_init(&t->sources, a, t->conf.max_conns) ||
	    slab_init(&t->conns, a, t->conf.max_conns, sizeof(struct tcp_conn), 64) ||
	    slab_init(&t->waits, a, t->conf.max_time_wait, sizeof(struct time_wait), 64) ||
	    flow_init(&t->flows, a, t->conf.max_conns + t->conf.max_time_wait, t->secret))
		return NULL;
	return t;
}

void tcp_set_now(struct tcp *t, uint64_t now)
{
	t->now = now;
}

static struct tcp_conn *list_pop(struct tcp *t, struct list *l, bool ready)
{
	struct tcp_conn *c;

	if (!l->head)
		return NULL;
	c = conn_at(t, l->head - 1);
	l->head = ready ? c->next_ready : c->next_dirty;
	if (!l->head)
		l->tail = 0;
	c->flags &= ~(ready ? CONN_IN_READY : CONN_IN_DIRTY);
	return c;
}

// A connection that was given up while it stood in a list is freed by the last list that meets it.
static bool list_reap(struct tcp *t, struct tcp_conn *c)
{
	if (!(c->flags & CONN_DEAD))
		return false;
	if (!(c->flags & CONN_LISTS))
		slab_put(&t->conns, c);
	return true;
}

unsigned tcp_dispatch(struct tcp *t)
{
	struct tcp_conn *c;
	unsigned told = 0;

	if (tcp_tight(t))
		relief(t);
	while ((c = list_pop(t, &t->ready, true))) {
		unsigned events = c->events;

		if (list_reap(t, c) || !conn_owned(c) || events == 0)
			continue;
		c->events = 0;
		told++;
		c->fn(c->ctx, c, c->user, events); // c may be gone
	}
	return told;
}

void tcp_flush(struct tcp *t)
{
	uint32_t last = t->dirty.tail; // what becomes dirty again meanwhile waits for the next flush
	struct tcp_conn *c;

	while (last && (c = list_pop(t, &t->dirty, false))) {
		if (conn_index(t, c) + 1 == last)
			last = 0;
		if (!list_reap(t, c))
			conn_output(t, c);
	}
}

bool tcp_more_told(const struct tcp *t)
{
	return t->ready.head;
}

bool tcp_pending(const struct tcp *t)
{
	return t->ready.head || t->dirty.head;
}

void tcp_destroy(struct tcp *t)
{
	struct tcp_conn *c;

	for (uint32_t i = 0; i < t->conns.capacity; i++)
		if (t->conn_used[i / 64] >> (i % 64) & 1)
			conn_release(conn_at(t, i));
	while ((c = list_pop(t, &t->ready, true)))
		list_reap(t, c);
	while ((c = list_pop(t, &t->dirty, false)))
		list_reap(t, c);
	time_wait_clear(t);
}

static inline bool ends_are(const struct flow_ends *e, const struct segment *s)
{
	return addr_eq(e->remote, s->net->src) && addr_eq(e->local, s->net->dst) &&
	       e->local_port == s->dst_port && e->remote_port == s->src_port;
}

// A connection that the table had has not left it meanwhile.
static inline bool still_there(const struct tcp *t, uint32_t index)
{
	return (t->conn_used[index / 64] >> (index % 64) & 1) && (conn_at(t, index)->flags & CONN_IN_FLOW);
}

// guess: what the table had for its tag, which mostly is right. same: nothing was put in or taken out since.
static void segment_input(struct tcp *t, struct segment *s, uint32_t guess, bool same)
{
	tcp_count(t, CTR_tcp_rx);
	if (guess < t->conns.capacity && (same || still_there(t, guess)) &&
	    ends_are((const struct flow_ends *)conn_at(t, guess), s)) {
		conn_input(t, conn_at(t, guess), s);
	} else {
		uint32_t index = flow_find(t, s->hash, s->net->dst, s->net->src, s->dst_port, s->src_port);

		if (index == FLOW_NONE)
			listen_input(t, s, 0);
		else if (index < t->conns.capacity)
			conn_input(t, conn_at(t, index), s);
		else
			time_wait_input(t, flow_object(t, index), s);
	}
	if (s->pkt)
		pkt_free_chain(s->pkt);
}

#define LINE  64u
#define AHEAD 2 // segments
// Of a connection, by nearly every segment: all but what is for losses. TIME_WAIT records are shorter.
#define TOUCHED offsetof(struct tcp_conn, dsack)

// Payload that is about to be summed; its first line has come with the frame's headers.
static inline void payload_prefetch(const struct pkt *p)
{
	const char *data = pkt_data(p);

	for (uint32_t at = LINE, n = pkt_len(p); at < n; at += LINE)
		__builtin_prefetch(data + at);
}

void tcp_input(void *tcp, struct net_seg *v, unsigned n)
{
	struct segment seg[NET_BURST];
	uint32_t guess[NET_BURST];
	struct tcp *t = tcp;
	uint32_t changes = t->flows.changes;

	// The burst goes through three passes, so that table and connections are on their way into the cache
	// before they are needed.
	for (unsigned i = 0; i < n && i < AHEAD; i++)
		payload_prefetch(v[i].pkt);
	for (unsigned i = 0; i < n; i++) {
		if (i + AHEAD < n)
			payload_prefetch(v[i + AHEAD].pkt);
		if (segment_parse(t, &v[i], &seg[i]))
			flow_prefetch(&t->flows, seg[i].hash);
		else
			pkt_free_chain(v[i].pkt);
	}
	for (unsigned i = 0; i < n; i++) {
		if (!seg[i].pkt)
			continue;
		guess[i] = flow_guess(&t->flows, seg[i].hash);
		if (guess[i] != FLOW_NONE) {
			const char *object = flow_object(t, guess[i]);
#pragma GCC unroll 8
			for (unsigned at = 0; at < TOUCHED; at += LINE)
				__builtin_prefetch(object + at);
		}
		__builtin_prefetch(pkt_priv(seg[i].pkt), 1);
	}
	for (unsigned i = 0; i < n; i++)
		if (seg[i].pkt)
			segment_input(t, &seg[i], guess[i], t->flows.changes == changes);
}

bool tcp_owns_timer(const struct tcp *t, const struct timer *timer)
{
	const char *p = (const char *)timer, *begin = t->conns.mem;

	return timer == &t->wait_timer || (p >= begin && p < begin + (size_t)t->conns.capacity * t->conns.size);
}

void tcp_timer(struct tcp *t, struct timer *timer)
{
	if (timer == &t->wait_timer)
		time_wait_timer(t);
	else
		conn_timer(t, (struct tcp_conn *)((char *)timer - offsetof(struct tcp_conn, timer)));
}
