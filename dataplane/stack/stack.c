// The host: its beginning and end, frames and time.
#include "base/random.h"
#include "net/ipv6.h"
#include "stack/host.h"
#include <errno.h>
#include <stdlib.h>

#define MTU         1500
#define FRAME_EXTRA 18 // Ethernet and VLAN
#define NEIGHBOURS  16
#define ROOM        (512u << 10) // of the arena, beside connections, neighbours and sockets

static void fire(void *ctx, struct timer *t)
{
	struct cg_stack *s = ctx;

	if (tcp_owns_timer(s->tcp, t))
		tcp_timer(s->tcp, t);
	else
		net_timer(&s->net, t);
}

static void input_tcp(void *ctx, struct net_seg *v, unsigned n)
{
	tcp_input(((struct cg_stack *)ctx)->tcp, v, n);
}

static void input_unreachable(void *ctx, struct addr local, struct addr remote, uint16_t local_port,
			      uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code, uint16_t mtu)
{
	tcp_unreachable(((struct cg_stack *)ctx)->tcp, local, remote, local_port, remote_port, seq, type, code,
			mtu);
}

static void learned(void *ctx, uint16_t port, struct addr addr, const uint8_t mac[6])
{
	struct cg_stack *s = ctx;

	(void)port;
	s->conf.learned(s->conf.learned_ctx, addr, mac);
}

static bool config_valid(const struct cg_config *c)
{
	unsigned least = 576;

	if (!c->pool || c->n_addresses == 0 || c->n_addresses > CG_ADDRESSES || !mac_is_station(c->mac))
		return false;
	for (unsigned i = 0; i < c->n_addresses; i++) {
		bool v4 = addr_is_v4(c->address[i].addr);
		if (c->address[i].prefix > (v4 ? 32 : 128))
			return false;
		if (!v4)
			least = IPV6_MTU_MIN;
	}
	if (c->tso.max && !c->tx_checksum)
		return false;
	return c->mtu == 0 || (c->mtu >= least && c->mtu + FRAME_EXTRA <= PKT_ROOM);
}

static struct snap_ref ref(const struct cg_stack *s, const void *at, uint32_t n)
{
	return (struct snap_ref){(uint32_t)((const char *)at - (const char *)&s->image), n};
}

static void image_make(struct cg_stack *s)
{
	const struct cg_config *c = &s->conf;
	struct image *m = &s->image;
	uint32_t routes = 0;

	for (unsigned i = 0; i < c->n_addresses; i++)
		m->address[i] = (struct snap_address){
			.addr = c->address[i].addr,
			.prefix = (addr_is_v4(c->address[i].addr) ? 96u : 0u) + c->address[i].prefix,
		};
	if (!addr_is_any(c->gateway4))
		m->route[routes++] =
			(struct snap_netroute){.dst = addr_from_v4(0), .gateway = c->gateway4, .prefix = 96};
	if (!addr_is_any(c->gateway6))
		m->route[routes++] = (struct snap_netroute){.gateway = c->gateway6};
	m->port.mtu = c->mtu;
	m->port.addresses = ref(s, m->address, c->n_addresses);
	m->port.routes = ref(s, m->route, routes);
	m->head.generation = 1;
	m->head.ports = ref(s, &m->port, 1);
}

static void port_make(struct cg_stack *s)
{
	const struct cg_config *c = &s->conf;
	struct net_port *np = &s->net.port[0];

	s->net.n_ports = 1;
	*np = (struct net_port){.mtu = c->mtu,
				.tx_ip_csum = c->tx_checksum,
				.tx_tcp_csum = c->tx_checksum,
				.tso = c->tso,
				.rx_ip_csum = c->rx_checksum,
				.rx_tcp_csum = c->rx_checksum};
	memcpy(np->mac, c->mac, sizeof(np->mac));
	image_make(s);
	if (!c->no_dad) {
		net_configure(&s->net, &s->image.head);
		return;
	}
	np->addresses = s->image.address;
	np->n_addresses = s->image.port.addresses.n;
	np->routes = s->image.route;
	np->n_routes = s->image.port.routes.n;
	for (unsigned i = 0; i < c->n_addresses; i++)
		if (!addr_is_v4(c->address[i].addr))
			np->link_local =
				(struct snap_address){.addr = ipv6_link_local_of(c->mac), .prefix = 64};
}

struct cg_stack *cg_create(const struct cg_config *conf, int *err)
{
	struct cg_stack *s = config_valid(conf) ? calloc(1, sizeof(*s)) : NULL;
	struct tcp_pools pools;
	struct hash_key key;
	struct random r;

	*err = config_valid(conf) ? -ENOMEM : -EINVAL;
	if (!s)
		return NULL;
	s->conf = *conf;
	s->conf.mtu = conf->mtu ? conf->mtu : MTU;
	s->conf.neighbours = conf->neighbours ? conf->neighbours : NEIGHBOURS;
	s->now = conf->now;
	s->stats = aligned_alloc(64, sizeof(*s->stats));
	s->port_stats = aligned_alloc(64, sizeof(*s->port_stats));
	if (!s->stats || !s->port_stats)
		goto fail;
	memset(s->stats, 0, sizeof(*s->stats));
	memset(s->port_stats, 0, sizeof(*s->port_stats));
	random_seed(&r, conf->seed);
	struct tcp_config *tcp = &s->conf.tcp;
	tcp->secret[0] = random_next(&r);
	tcp->secret[1] = random_next(&r);
	key = (struct hash_key){random_next(&r), random_next(&r)};
	tcp->listen = listen_find;
	tcp->listen_ctx = s;
	tcp->steer[0] = conf->steer;
	tcp->worker = conf->worker;
	if (arena_init(&s->arena, tcp_memory(tcp) * 2 + s->conf.neighbours * 1024ul + ROOM) != 0)
		goto fail;
	wheel_init(&s->wheel, s->now, fire, s);
	if (net_init(&s->net, &s->arena, conf->pool, s->stats, s->port_stats, &s->wheel, key,
		     s->conf.neighbours) != 0)
		goto fail;
	s->net.now = s->now;
	s->net.ops = (struct net_ops){.tcp = input_tcp,
				      .unreachable = input_unreachable,
				      .learned = conf->learned ? learned : NULL,
				      .ctx = s};
	s->tcp = tcp_create(&s->arena, tcp, &s->net, &s->wheel, s->stats);
	if (!s->tcp)
		goto fail;
	tcp_pools(s->tcp, &pools);
	if (slab_init(&s->socks, &s->arena, pools.conns_size, sizeof(struct cg_sock), 8) != 0)
		goto fail;
	tcp_set_now(s->tcp, s->now);
	port_make(s);
	*err = 0;
	return s;
fail:
	if (s->arena.base)
		arena_fini(&s->arena);
	free(s->stats);
	free(s->port_stats);
	free(s);
	return NULL;
}

void cg_destroy(struct cg_stack *s)
{
	listen_end(s);
	tcp_destroy(s->tcp);
	net_fini(&s->net);
	arena_fini(&s->arena);
	free(s->stats);
	free(s->port_stats);
	free(s);
}

void cg_input(struct cg_stack *s, struct pkt **v, unsigned n)
{
	for (unsigned at = 0, part; at < n; at += part) {
		part = n - at < NET_BURST ? n - at : NET_BURST;
		net_input(&s->net, 0, v + at, part);
	}
}

int cg_input_frame(struct cg_stack *s, const void *frame, uint32_t n)
{
	struct pkt *head = NULL;

	if (n == 0 || n > PKT_CHAIN_MAX * PKT_ROOM)
		return -EINVAL;
	for (uint32_t at = 0, part; at < n; at += part) {
		struct pkt *p = pkt_alloc(s->conf.pool);

		if (!p) {
			pkt_free_chain(head);
			return -ENOBUFS;
		}
		part = n - at < PKT_ROOM ? n - at : PKT_ROOM;
		memcpy(pkt_append(p, part), (const char *)frame + at, part);
		if (head)
			pkt_chain(head, p);
		else
			head = p;
	}
	cg_input(s, &head, 1);
	return 0;
}

void cg_clock(struct cg_stack *s, uint64_t now)
{
	s->now = now;
	s->net.now = now;
	tcp_set_now(s->tcp, now);
}

void cg_advance(struct cg_stack *s, uint64_t now)
{
	cg_clock(s, now);
	wheel_run(&s->wheel, now, 0);
	while (tcp_dispatch(s->tcp))
		tcp_flush(s->tcp);
	tcp_flush(s->tcp);
}

uint64_t cg_next(const struct cg_stack *s)
{
	return tcp_pending(s->tcp) ? s->now : wheel_next(&s->wheel);
}

unsigned cg_output(struct cg_stack *s, struct pkt **v, unsigned n)
{
	struct net_txq *q = &s->net.tx[0];

	if (n > q->n)
		n = q->n;
	memcpy(v, q->v, n * sizeof(*v));
	q->n -= n;
	memmove(q->v, q->v + n, q->n * sizeof(*v));
	return n;
}

unsigned cg_queued(const struct cg_stack *s)
{
	return s->net.tx[0].n;
}

unsigned cg_unresolved(const struct cg_stack *s)
{
	return s->net.neigh_waiting;
}

uint32_t cg_output_frame(struct cg_stack *s, void *frame, uint32_t size)
{
	struct pkt *p;
	uint32_t at = 0;

	if (cg_output(s, &p, 1) == 0)
		return 0;
	for (const struct pkt *part = p; part && at < size; part = pkt_next(part)) {
		uint32_t n = pkt_len(part) < size - at ? pkt_len(part) : size - at;

		memcpy((char *)frame + at, pkt_data(part), n);
		at += n;
	}
	pkt_free_chain(p);
	return at;
}

void cg_learn(struct cg_stack *s, struct addr addr, const uint8_t mac[6])
{
	net_learn(&s->net, 0, addr, mac);
}

const char *cg_check(const struct cg_stack *s)
{
	struct tcp_pools pools;

	tcp_pools(s->tcp, &pools);
	if (s->socks.used > pools.conns_used)
		return "more sockets than connections";
	return tcp_check(s->tcp);
}

void cg_pools(const struct cg_stack *s, struct tcp_pools *out)
{
	tcp_pools(s->tcp, out);
}

uint64_t cg_counter(const struct cg_stack *s, enum counter c)
{
	return stat_get(&s->stats->c[c]);
}
