// The loop's body: the whole pipeline on one screen, and a worker's beginning and end.
#include "worker.h"
#include "base/random.h"
#include "contract/record.h"
#include "gateway/gateway.h"
#include "port/screen.h"
#include "route/regex.h"
#include "tcp/tcp.h"
#include <errno.h>

#define NEIGHBOURS  4096
#define HOLDER_TIME 1000000000ull // for a peer to take some of what is kept for it, when buffers run short
// Timers fired in one turn: one that ends a connection which holds much takes 20 us, and who has a request may
// wait for all of them. Behind a full burst there is one, as more frames wait: ten thousand connections that
// end within 50 ms would else take the time in which what still comes could be looked at. The later they are,
// the more, so that they are not put off for ever by frames.
#define TIMERS       4
#define TIMERS_BUSY  1
#define TIMERS_MORE  100000000ull // ns of lateness, for each of which it is one more
#define TIMERS_MOST  64
#define LIST_SLICE   32     // connections listed in one turn
#define HANDED_LEARN 0xffff // port of a hand-over that is not a frame but a struct learned

struct learned { // what one worker tells the others of a neighbour or a router
	struct addr addr;
	uint16_t port;
	uint8_t mac[6];
	bool router;
	uint16_t mtu;
	uint64_t until;
};

static void hand_over(struct worker *w, unsigned owner, uint16_t port, struct pkt *frame)
{
	pkt_set_port(frame, port);
	if (ptr_ring_push(w->to[owner], (void **)&frame, 1) == 1) {
		stat_add(&w->stats->c[CTR_rx_handover], 1);
	} else {
		stat_add(&w->stats->c[CTR_rx_handover_full], 1);
		pkt_free_chain(frame);
	}
}

// SYNs of the denied end here, before anything else is done for them.
static unsigned screened(struct worker *w, struct pkt **v, unsigned n)
{
	struct addr source[NET_BURST];
	struct pkt *denied[NET_BURST];
	uint8_t of[NET_BURST];
	uint64_t found, frames = 0;
	unsigned kept = 0, syns = 0, n_denied = 0;

	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(pkt_data(v[i]));
	for (unsigned i = 0; i < n; i++)
		if (screen_syn(pkt_data(v[i]), pkt_len(v[i]), &source[syns]))
			of[syns++] = (uint8_t)i;
	found = syns ? address_list_denied_burst(w->addresses, source, syns, w->now) : 0;
	if (!found)
		return n;
	for (; found; found &= found - 1)
		frames |= 1ull << of[__builtin_ctzll(found)];
	for (unsigned i = 0; i < n; i++)
		if (frames & 1ull << i)
			denied[n_denied++] = v[i];
		else
			v[kept++] = v[i];
	pkt_free_burst(denied, n_denied);
	stat_add(&w->stats->c[CTR_rx_denied], n_denied);
	return kept;
}

void worker_receive(struct worker *w, uint64_t now, uint16_t port, struct pkt **v, unsigned n)
{
	struct pkt *mine[NET_BURST];
	unsigned k = 0;

	w->now = now;
	w->busy |= n == NET_BURST;
	if (w->addresses && address_list_denies(w->addresses))
		n = screened(w, v, n);
	w->net.now = now;
	tcp_set_now(w->tcp, now);
	gateway_set_now(w->gateway, now);
	const struct steer *steer = w->steer[port];
	if (w->n_workers == 1 || steer->kind == STEER_ONE) {
		net_input(&w->net, port, v, n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		// The device has brought segments to the right worker where it hashes, but not ICMP errors.
		bool steered = steer->kind == STEER_RSS && !steer_is_icmp(pkt_data(v[i]), pkt_len(v[i]));
		unsigned owner = steered ? w->id : steer_frame(steer, pkt_data(v[i]), pkt_len(v[i]), w->id);

		if (owner == w->id) {
			mine[k++] = v[i];
			continue;
		}
		hand_over(w, owner, port, v[i]);
	}
	if (k)
		net_input(&w->net, port, mine, k);
}

// What came out of fragments may be another worker's.
static bool elsewhere(void *ctx, uint16_t port, struct pkt *frame)
{
	struct worker *w = ctx;
	unsigned owner = steer_frame(w->steer[port], pkt_data(frame), pkt_len(frame), w->id);

	if (owner == w->id)
		return false;
	hand_over(w, owner, port, frame);
	return true;
}

static unsigned take_handed(struct worker *w)
{
	unsigned total = 0;

	for (unsigned i = 0; i < w->n_workers; i++) {
		struct pkt *v[NET_BURST];
		unsigned n = w->from[i] ? ptr_ring_pop(w->from[i], (void **)v, NET_BURST) : 0, begin = 0;

		total += n;
		// Runs of one port go in together.
		for (unsigned k = 0; k < n; k++) {
			if (pkt_port(v[k]) == HANDED_LEARN) {
				const struct learned *l = (const struct learned *)pkt_data(v[k]);

				if (k > begin)
					net_input(&w->net, pkt_port(v[begin]), v + begin, k - begin);
				if (l->router)
					(void)net_router(&w->net, l->port, l->addr, l->until, l->mtu);
				else
					net_learn(&w->net, l->port, l->addr, l->mac);
				pkt_free(v[k]);
				begin = k + 1;
			} else if (k > begin && pkt_port(v[k]) != pkt_port(v[begin])) {
				net_input(&w->net, pkt_port(v[begin]), v + begin, k - begin);
				begin = k;
			}
		}
		if (n > begin)
			net_input(&w->net, pkt_port(v[begin]), v + begin, n - begin);
	}
	return total;
}

static void tell_others(struct worker *w, const struct learned *l)
{
	for (unsigned i = 0; i < w->n_workers; i++) {
		struct pkt *p;

		if (!w->to[i])
			continue;
		p = pkt_alloc(w->net.pool);
		if (!p)
			return; // that worker asks for itself when it needs to
		memcpy(pkt_append(p, sizeof(*l)), l, sizeof(*l));
		pkt_set_port(p, HANDED_LEARN);
		if (ptr_ring_push(w->to[i], (void **)&p, 1) != 1)
			pkt_free(p);
	}
}

static void learned(void *ctx, uint16_t port, struct addr addr, const uint8_t mac[6])
{
	struct learned l = {.addr = addr, .port = port};

	memcpy(l.mac, mac, 6);
	tell_others(ctx, &l);
}

static void heard_router(void *ctx, uint16_t port, struct addr addr, uint64_t until, uint16_t mtu)
{
	tell_others(ctx,
		    &(struct learned){.addr = addr, .port = port, .router = true, .mtu = mtu, .until = until});
}

static void input_tcp(void *ctx, struct net_seg *v, unsigned n)
{
	tcp_input(((struct worker *)ctx)->tcp, v, n);
}

static void input_unreachable(void *ctx, struct addr local, struct addr remote, uint16_t local_port,
			      uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code, uint16_t mtu)
{
	tcp_unreachable(((struct worker *)ctx)->tcp, local, remote, local_port, remote_port, seq, type, code,
			mtu);
}

static void fire(void *ctx, struct timer *t)
{
	struct worker *w = ctx;

	if (tcp_owns_timer(w->tcp, t))
		tcp_timer(w->tcp, t);
	else if (gateway_owns_timer(w->gateway, t))
		gateway_timer(w->gateway, t);
	else if (net_owns_timer(&w->net, t))
		net_timer(&w->net, t);
}

// Operators' questions, answered in bounded slices: one each turn.
static void answer_command(struct worker *w)
{
	struct rec_ring *cmd = region_ring(w->region, w->id, RING_CMD);
	struct rec_ring *reply = region_ring(w->region, w->id, RING_REPLY);
	union {
		struct rec_cmd cmd;
		unsigned char room[REC_MAX];
	} rec;
	struct tcp_info info[LIST_SLICE];
	struct rec_reply_end end;
	uint16_t type;
	unsigned n;

	if (rec_ring_get(cmd, region_ring_size(RING_CMD), &type, &rec) < (int)sizeof(rec.cmd) ||
	    type != REC_CMD)
		return;
	if (rec.cmd.cmd != CMD_LIST_CONNS)
		return;
	end = (struct rec_reply_end){.epoch = rec.cmd.epoch, .id = rec.cmd.id, .cursor = rec.cmd.cursor};
	n = tcp_list(w->tcp, &end.cursor, info, rec.cmd.limit < LIST_SLICE ? rec.cmd.limit : LIST_SLICE);
	for (unsigned i = 0; i < n; i++) {
		const struct tcp_info *t = &info[i];
		struct rec_conn c = {.epoch = rec.cmd.epoch,
				     .id = rec.cmd.id,
				     .local = t->local,
				     .remote = t->remote,
				     .client = gateway_client(w->gateway, t),
				     .local_port = t->local_port,
				     .remote_port = t->remote_port,
				     .state = (uint8_t)t->state,
				     .side = (uint8_t)((t->accepted ? 0 : 1) | (gateway_tunnels(t) ? 2 : 0)),
				     .port = t->port,
				     .age_ns = w->now - t->opened,
				     .idle_ns = w->now - t->last_rx,
				     .bytes_in = t->bytes_in,
				     .bytes_out = t->bytes_out,
				     .queued_in = t->queued_in,
				     .queued_out = t->queued_out,
				     .srtt_us = t->srtt_us,
				     .rto_us = t->rto_us,
				     .cwnd = t->cwnd,
				     .retransmits = t->retransmits,
				     .congestion = (uint8_t)t->congestion,
				     .ecn = t->ecn,
				     .mss = (uint16_t)t->mss,
				     .window = t->rcv_buf};

		rec_ring_put(reply, region_ring_size(RING_REPLY), REC_REPLY, &c, sizeof(c));
	}
	rec_ring_put(reply, region_ring_size(RING_REPLY), REC_REPLY_END, &end, sizeof(end));
}

static void gauges(struct worker *w)
{
	struct tcp_pools p;

	tcp_pools(w->tcp, &p);
	atomic_store_explicit(&w->stats->conns_used, p.conns_used, memory_order_relaxed);
	atomic_store_explicit(&w->stats->conns_high, p.conns_high, memory_order_relaxed);
	atomic_store_explicit(&w->stats->conns_size, p.conns_size, memory_order_relaxed);
	atomic_store_explicit(&w->stats->queued_in, p.queued_in, memory_order_relaxed);
	atomic_store_explicit(&w->stats->queued_out, p.queued_out, memory_order_relaxed);
	atomic_store_explicit(&w->stats->queue_limit, p.queue_limit, memory_order_relaxed);
	atomic_store_explicit(&w->stats->packet_cached,
			      (uint64_t)pkt_pool_cached(w->net.pool) * pkt_pool_buffer(w->net.pool),
			      memory_order_relaxed);
	gateway_gauges(w->gateway);
}

// A new generation is taken between bursts, when nothing here refers to the old one but what pins it.
static void take_snapshot(struct worker *w)
{
	const struct snapshot *s = atomic_load_explicit(&w->next_snapshot, memory_order_acquire);
	const struct regex_set *r = atomic_load_explicit(&w->next_regexes, memory_order_acquire);
	uint64_t held[SNAP_GENERATIONS];
	bool taken = false;

	// Those of a newer snapshot, which is about to be written: both are taken the next time.
	if (s && s->regexes.n && (!r || regex_set_snapshot(r) != s))
		s = NULL;
	if (s && s->generation != atomic_load_explicit(&w->running_generation, memory_order_relaxed) &&
	    gateway_configure(w->gateway, s, s->regexes.n ? r : NULL)) {
		net_configure(&w->net, s);
		atomic_store_explicit(&w->stats->generation, s->generation, memory_order_relaxed);
		taken = true;
	}
	gateway_generations(w->gateway, held);
	for (unsigned i = 0; i < SNAP_GENERATIONS; i++)
		atomic_store_explicit(&w->held[i], held[i], memory_order_release);
	// Last: from then on what is older is read only where it stands in held.
	if (taken)
		atomic_store_explicit(&w->running_generation, s->generation, memory_order_release);
}

bool worker_reads(const struct worker *w, uint64_t generation)
{
	// What it has not overtaken it may be about to take.
	if (generation >= atomic_load_explicit(&w->running_generation, memory_order_acquire))
		return true;
	for (unsigned i = 0; i < SNAP_GENERATIONS; i++)
		if (atomic_load_explicit(&w->held[i], memory_order_acquire) == generation)
			return true;
	return false;
}

static unsigned timers_now(struct worker *w)
{
	uint64_t next = wheel_next(&w->wheel), more = next < w->now ? (w->now - next) / TIMERS_MORE : 0;
	unsigned least = w->busy ? TIMERS_BUSY : TIMERS;

	w->busy = false;
	return more < TIMERS_MOST - least ? least + (unsigned)more : TIMERS_MOST;
}

void worker_advance(struct worker *w, uint64_t now)
{
	w->now = now;
	w->net.now = now;
	tcp_set_now(w->tcp, now);
	gateway_set_now(w->gateway, now);
	if (w->n_workers > 1)
		take_handed(w);
	wheel_run(&w->wheel, now, timers_now(w));
	gateway_work(w->gateway);
	// What happened is told before anything is sent, so that acknowledgements ride on answers.
	while (tcp_dispatch(w->tcp)) {
		gateway_decide(w->gateway);
		tcp_flush(w->tcp);
	}
	tcp_flush(w->tcp);
	if (++w->turns % 64 == 0 || now - w->housekept > 10000000) {
		w->housekept = now;
		enum drain drain = (enum drain)atomic_load_explicit(&w->region->draining, memory_order_relaxed);

		gateway_give_up(w->gateway, atomic_load_explicit(&w->give_up, memory_order_relaxed));
		take_snapshot(w);
		answer_command(w);
		gateway_denied(w->gateway);
		gateway_drain(w->gateway, drain);
		gauges(w);
		atomic_store_explicit(&w->draining, drain != DRAIN_OFF, memory_order_release);
	}
}

uint64_t worker_next_timer(const struct worker *w)
{
	return gateway_has_work(w->gateway) ? w->now : wheel_next(&w->wheel);
}

_Static_assert((int)TCP_CC_CUBIC == (int)CONGESTION_CUBIC && (int)TCP_CC_NEWRENO == (int)CONGESTION_NEWRENO &&
		       (int)TCP_ECN_PASSIVE == (int)ECN_PASSIVE && (int)TCP_ECN_ACTIVE == (int)ECN_ACTIVE &&
		       (int)TCP_ECN_NEVER == (int)ECN_NEVER,
	       "the snapshot's numbers are the stack's");

static struct tcp_config tcp_settings(const struct snap_tcp *t)
{
	return (struct tcp_config){
		.cc = (enum tcp_cc)t->congestion,
		.ecn = (enum tcp_ecn)t->ecn,
		.rcv_buf = t->receive_buffer,
		.snd_buf = t->send_buffer,
		.max_time_wait = t->time_wait_max,
		.msl = t->msl,
		.user_timeout = t->user_timeout,
		.keep_idle = t->keep_idle,
		.keep_interval = t->keep_interval,
		.keep_probes = t->keep_probes,
	};
}

int worker_init(struct worker *w, const struct worker_config *conf)
{
	const struct snapshot *s = conf->snapshot;
	uint32_t max_conns = s->system.max_connections;
	struct random seed;
	struct hash_key key;
	struct tcp_config tcp = tcp_settings(&s->system.tcp);
	struct gateway_config gateway = {.worker = conf->id,
					 .max_connections = max_conns,
					 .bursts = conf->bursts,
					 .stopwatch = conf->stopwatch,
					 .stopwatch_of = conf->stopwatch_of,
					 .pool = conf->pool,
					 .small = conf->small,
					 .region = conf->region,
					 .limits = conf->limits,
					 .addresses = conf->addresses,
					 .encoders = s->system.compressions,
					 .stats = &conf->stats->worker[conf->id],
					 .route_stats = conf->stats->route + (size_t)conf->id * STATS_ROUTES,
					 .upstream_stats =
						 conf->stats->upstream + (size_t)conf->id * STATS_UPSTREAMS,
					 .wheel = &w->wheel,
					 .realtime_offset = conf->realtime_offset};
	int err;

	tcp.max_conns = max_conns;
	tcp.addresses = conf->addresses;
	tcp.worker = conf->id;
	tcp.reserve = s->system.upstream_reserve;
	tcp.min_mss = (uint16_t)s->system.min_mss;
	tcp.holder_time = HOLDER_TIME;
	// A quarter stays for what is on its way: receive and transmit rings, heads, answers of the gateway's
	// own.
	tcp.buffer_memory = pkt_pool_memory(conf->pool) / conf->n_workers / 4 * 3;
	*w = (struct worker){.id = conf->id,
			     .n_workers = conf->n_workers,
			     .now = conf->now,
			     .region = conf->region,
			     .addresses = conf->addresses};
	w->stats = gateway.stats;
	w->port_stats = conf->stats->port + (size_t)conf->id * STATS_PORTS;
	random_seed(&seed, conf->seed);
	key = (struct hash_key){random_next(&seed), random_next(&seed)};
	tcp.secret[0] = random_next(&seed);
	tcp.secret[1] = random_next(&seed);
	gateway.seed = random_next(&seed);
	for (unsigned i = 0; i < conf->n_ports; i++)
		w->steer[i] = tcp.steer[i] = conf->steer[i];

	err = arena_init(
		&w->arena,
		tcp_memory(&tcp) + gateway_memory(max_conns, s->system.compressions) + NEIGHBOURS * 1024 +
			(size_t)conf->n_workers * (WORKER_HANDOVER * sizeof(void *) + 4096) + (4u << 20));
	if (err)
		return err;
	wheel_init(&w->wheel, conf->now, fire, w);
	err = net_init(&w->net, &w->arena, conf->pool, w->stats, w->port_stats, &w->wheel, key, NEIGHBOURS);
	if (err)
		goto fail;
	w->net.now = conf->now;
	w->net.ops.tcp = input_tcp;
	w->net.ops.unreachable = input_unreachable;
	w->net.ops.learned = conf->n_workers > 1 ? learned : NULL;
	w->net.ops.router = conf->n_workers > 1 ? heard_router : NULL;
	w->net.ops.elsewhere = conf->n_workers > 1 ? elsewhere : NULL;
	w->net.ops.ctx = w;
	w->net.reassembly_buffers /= conf->n_workers;
	w->net.n_ports = conf->n_ports;
	for (unsigned i = 0; i < conf->n_ports; i++)
		w->net.port[i] = conf->ports[i];
	err = -ENOMEM;
	w->gateway = gateway_create(&w->arena, &gateway);
	if (!w->gateway)
		goto fail;
	tcp.listen = gateway_listen;
	tcp.listen_ctx = w->gateway;
	w->tcp = tcp_create(&w->arena, &tcp, &w->net, &w->wheel, w->stats);
	if (!w->tcp)
		goto fail;
	tcp_set_now(w->tcp, conf->now);
	gateway_set_now(w->gateway, conf->now);
	err = gateway_start(w->gateway, &w->arena, w->tcp);
	if (err)
		goto fail;
	worker_prepare(w, s);
	atomic_store_explicit(&w->next_regexes, conf->regexes, memory_order_relaxed);
	atomic_store_explicit(&w->next_snapshot, s, memory_order_relaxed);
	take_snapshot(w);
	return 0;
fail:
	arena_fini(&w->arena);
	return err;
}

void worker_prepare(struct worker *w, const struct snapshot *s)
{
	gateway_prepare(w->gateway, s);
}

int worker_join(struct worker *from, struct worker *to)
{
	struct ptr_ring *r = arena_alloc(&to->arena, sizeof(*r), CACHE_LINE);
	int err = r ? ptr_ring_init(r, &to->arena, WORKER_HANDOVER) : -ENOMEM;

	if (err)
		return err;
	from->to[to->id] = r;
	to->from[from->id] = r;
	return 0;
}

unsigned worker_fini(struct worker *w)
{
	struct tcp_pools pools;
	unsigned left;

	for (unsigned i = 0; i < w->n_workers; i++) {
		struct pkt *p;

		while (w->from[i] && ptr_ring_pop(w->from[i], (void **)&p, 1) == 1)
			pkt_free_chain(p);
	}
	left = gateway_stop(w->gateway);
	tcp_destroy(w->tcp);
	tcp_pools(w->tcp, &pools);
	left += pools.conns_used;
	net_fini(&w->net);
	for (unsigned i = 0; i < w->net.n_ports; i++)
		while (w->net.tx[i].n)
			pkt_free_chain(w->net.tx[i].v[--w->net.tx[i].n]);
	gauges(w);
	arena_fini(&w->arena);
	return left;
}
