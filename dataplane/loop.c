#include "loop.h"
#include <errno.h>
#include <rte_pause.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TX_RING     1024
#define TX_PATIENCE 10000000ull // ns without any progress, after which a transmit queue counts as stuck
#define EMPTY_TURNS 8           // before it pauses
#define AWAKE       200000ull   // ns of empty turns before it sleeps
#define AWAKE_SHORT 20000ull
#define SLEEP_MIN   50000ull
#define SLEEP_MAX   250000ull
#define SYN_MEMORY  8          // SYNs that wait may take one part in so many of the packet buffers
#define SORT        64u        // frames at once, from which on SYNs stand back
#define LONG_TURN   1000000ull // ns
#define SLEEP_LEAST 5000ull    // a timer nearer than this is waited for awake

size_t loop_memory(unsigned workers, unsigned ports)
{
	return (size_t)workers * ports *
		       (sizeof(struct ptr_ring) + TX_RING * sizeof(void *) + sizeof(struct bands) +
			4 * CACHE_LINE) +
	       4096;
}

void loop_init(struct loop *l, const struct loop_config *conf)
{
	*l = (struct loop){.worker = conf->worker,
			   .clock = conf->clock,
			   .pool = conf->pool,
			   .n_ports = conf->n_ports,
			   .adaptive = conf->adaptive,
			   .awake = conf->crowded ? AWAKE_SHORT : AWAKE,
			   .now = conf->worker->now};
	for (unsigned i = 0; i < conf->n_ports; i++) {
		const struct port *p = &conf->ports[i];
		uint16_t id = (uint16_t)conf->worker->id;

		l->port[i] = (struct loop_port){.port = p,
						.rx = id < p->caps.rx_queues,
						.rx_queue = id,
						.tx = id < p->caps.tx_queues,
						.tx_queue = id};
	}
}

// SYNs that wait may not take the buffers that connections need.
static int make_bands(struct loop *l, struct loop_port *p, struct arena *a)
{
	uint32_t most = pkt_pool_size(l->pool) / SYN_MEMORY / (l->worker->n_workers * l->n_ports);

	p->bands = arena_alloc(a, sizeof *p->bands, CACHE_LINE);
	if (!p->bands)
		return -ENOMEM;
	p->bands->max_syn = most < BANDS_SYN ? most : BANDS_SYN;
	return 0;
}

int loop_connect(struct loop *loops, unsigned n, struct arena *a)
{
	for (unsigned w = 0; w < n; w++)
		for (unsigned i = 0; i < loops[w].n_ports; i++) {
			struct loop_port *from = &loops[w].port[i], *owner;
			struct ptr_ring *r;

			if (from->rx && make_bands(&loops[w], from, a))
				return -ENOMEM;
			if (from->tx)
				continue;
			owner = &loops[w % from->port->caps.tx_queues].port[i];
			r = arena_alloc(a, sizeof *r, CACHE_LINE);
			if (!r || ptr_ring_init(r, a, TX_RING))
				return -ENOMEM;
			from->out = r;
			owner->in[owner->n_in++] = r;
		}
	return 0;
}

// Takes what the device has: the next burst into v, or, where more has come than that, all of it into the
// bands.
static unsigned take(struct loop *l, unsigned i, struct pkt **v)
{
	struct loop_port *p = &l->port[i];
	struct port_stats *st = &l->worker->port_stats[i];
	struct pkt *got[LOOP_AHEAD];
	uint64_t bytes = 0;
	uint32_t room = bands_room(p->bands), n = 0, k;
	bool waiting = !bands_empty(p->bands);

	room = room < LOOP_AHEAD ? room : LOOP_AHEAD;
	while (n + PORT_BURST <= room) {
		k = port_rx(p->port, p->rx_queue, got + n, PORT_BURST);
		n += k;
		if (k < PORT_BURST)
			break;
	}
	for (k = 0; k < n; k++)
		bytes += pkt_chain_len(got[k]);
	stat_add(&st->rx_packets, n);
	stat_add(&st->rx_bytes, bytes);
	if (!waiting && n <= PORT_BURST) {
		memcpy(v, got, n * sizeof v[0]);
		return n;
	}
	// Those that wish to be connections wait where those that are one would have to.
	k = bands_put(p->bands, got, n, n > SORT || bands_syns(p->bands));
	stat_add(&l->worker->stats->c[CTR_rx_syn_shed], k);
	return bands_take(p->bands, v, PORT_BURST);
}

static unsigned receive(struct loop *l, unsigned i)
{
	struct loop_port *p = &l->port[i];
	struct pkt *v[PORT_BURST];
	unsigned n;

	// While no SYN waits, what came before is worked off first.
	if (bands_rest(p->bands) >= PORT_BURST && bands_syns(p->bands) == 0)
		n = bands_take(p->bands, v, PORT_BURST);
	else
		n = take(l, i, v);
	if (n)
		worker_receive(l->worker, l->now, (uint16_t)i, v, n);
	return n;
}

// The first of the queue, as many as the driver takes now.
static unsigned send_own(struct loop *l, unsigned i, struct net_txq *q)
{
	struct loop_port *p = &l->port[i];
	struct port_stats *st = &l->worker->port_stats[i];
	uint32_t len[NET_TXQ];
	unsigned failed = 0, n = q->n, taken;
	uint64_t bytes = 0;

	// Once sent, a packet is the driver's: its length is read before.
	for (unsigned k = 0; k < n; k++)
		len[k] = pkt_chain_len(q->v[k]);
	taken = port_tx(p->port, p->tx_queue, q->v, n, l->pool, &failed);
	for (unsigned k = 0; k < taken; k++)
		bytes += len[k];
	stat_add(&st->tx_packets, taken - failed);
	stat_add(&st->tx_bytes, bytes);
	if (failed) {
		stat_add(&st->tx_dropped, failed);
		stat_add(&l->worker->stats->c[CTR_tx_linearise_failed], failed);
	}
	return taken;
}

// What the queue did not take waits for the next turn, in order; a queue that takes nothing for long is stuck,
// and what waits for it is given up.
static unsigned transmit(struct loop *l, unsigned i)
{
	struct loop_port *p = &l->port[i];
	struct net_txq *q = &l->worker->net.tx[i];
	unsigned taken;

	for (unsigned k = 0; k < p->n_in && q->n < NET_TXQ; k++)
		q->n += ptr_ring_pop(p->in[k], (void **)&q->v[q->n], NET_TXQ - q->n);
	if (q->n == 0) {
		p->moved = l->now;
		return 0;
	}
	taken = p->tx ? send_own(l, i, q) : ptr_ring_push(p->out, (void **)q->v, q->n);
	q->n -= taken;
	if (taken) {
		p->moved = l->now;
		memmove(q->v, q->v + taken, q->n * sizeof q->v[0]);
	} else if (l->now - p->moved > TX_PATIENCE) {
		stat_add(&l->worker->stats->c[CTR_tx_full], q->n);
		stat_add(&l->worker->port_stats[i].tx_dropped, q->n);
		while (q->n)
			pkt_free_chain(q->v[--q->n]);
	}
	return taken;
}

static bool handed_over(const struct worker *w)
{
	for (unsigned i = 0; i < w->n_workers; i++)
		if (w->from[i] && !ptr_ring_empty(w->from[i]))
			return true;
	return false;
}

bool loop_turn(struct loop *l)
{
	struct worker *w = l->worker;
	unsigned n = 0;
	bool due;

	for (unsigned i = 0; i < l->n_ports; i++)
		if (l->port[i].rx)
			n += receive(l, i);
	l->frames = n;
	due = n || handed_over(w) || worker_next_timer(w) <= l->now;
	worker_advance(w, l->now);
	n = 0;
	for (unsigned i = 0; i < l->n_ports; i++)
		n += transmit(l, i);
	return due || n;
}

static bool something_to_send(const struct loop *l)
{
	for (unsigned i = 0; i < l->n_ports; i++)
		if (l->worker->net.tx[i].n)
			return true;
	return false;
}

static bool sleep_until_due(struct loop *l)
{
	uint64_t due = worker_next_timer(l->worker), ns = l->sleep;

	if (due < l->now + SLEEP_LEAST || something_to_send(l)) {
		rte_pause();
		return false;
	}
	if (due - l->now < ns)
		ns = due - l->now;
	stat_add(&l->worker->stats->sleeps, 1);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = (long)ns}, NULL);
	l->sleep = l->sleep * 2 < SLEEP_MAX ? l->sleep * 2 : SLEEP_MAX;
	return true;
}

// True: it slept.
static bool idle(struct loop *l)
{
	if (l->empty == 0)
		l->empty_since = l->now;
	if (l->empty < EMPTY_TURNS) {
		l->empty++;
		return false;
	}
	if (l->adaptive && l->now - l->empty_since >= l->awake)
		return sleep_until_due(l);
	rte_pause();
	return false;
}

static void long_turn(struct worker_stats *st, uint64_t ns, unsigned frames)
{
	stat_add(&st->long_turns, 1);
	stat_add(&st->long_turn_ns, ns);
	if (ns <= stat_get(&st->turn_max_ns))
		return;
	atomic_store_explicit(&st->turn_max_ns, ns, memory_order_relaxed);
	atomic_store_explicit(&st->turn_max_frames, frames, memory_order_relaxed);
}

static void begin(struct loop *l)
{
	char name[16];

	snprintf(name, sizeof name, "cg-worker-%u", l->worker->id);
	prctl(PR_SET_NAME, name);
	// The default slack of 50 us would double the shortest sleep.
	prctl(PR_SET_TIMERSLACK, 1ul);
	atomic_store_explicit(&l->worker->stats->tid, (uint64_t)gettid(), memory_order_relaxed);
	l->now = clock_read(l->clock, l->now);
	l->sleep = SLEEP_MIN;
}

int loop_run(void *loop)
{
	struct loop *l = loop;
	struct worker_stats *st = l->worker->stats;

	begin(l);
	while (!atomic_load_explicit(&l->worker->stop, memory_order_relaxed)) {
		bool worked = loop_turn(l), slept = false;
		uint64_t before = l->now;

		if (worked) {
			l->empty = 0;
			l->sleep = SLEEP_MIN;
		} else {
			slept = idle(l);
		}
		l->now = clock_read(l->clock, before);
		if (l->now - before >= LONG_TURN && !slept)
			long_turn(st, l->now - before, l->frames);
		stat_add(worked ? &st->busy_ns : &st->idle_ns, l->now - before);
		stat_add(&st->loops, 1);
		atomic_store_explicit(&st->alive_ns, l->now, memory_order_relaxed);
	}
	for (unsigned i = 0; i < l->n_ports; i++)
		transmit(l, i);
	atomic_store_explicit(&st->tid, 0, memory_order_relaxed);
	return 0;
}

void loop_stop(struct loop *l)
{
	atomic_store_explicit(&l->worker->stop, 1, memory_order_relaxed);
}

void loop_fini(struct loop *l)
{
	for (unsigned i = 0; i < l->n_ports; i++) {
		if (l->port[i].bands)
			bands_clear(l->port[i].bands);
		for (unsigned k = 0; k < l->port[i].n_in; k++) {
			struct pkt *p;

			while (ptr_ring_pop(l->port[i].in[k], (void **)&p, 1) == 1)
				pkt_free_chain(p);
		}
	}
}
