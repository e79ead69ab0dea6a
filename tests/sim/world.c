#include "sim/world.h"
#include "control/blob.h"
#include <stdio.h>
#include <stdlib.h>

#define SECOND 1000000000ull

void world_start(const char *name)
{
	if (!pkt_start(256)) {
		fprintf(stderr, "%s: no EAL\n", name);
		exit(2);
	}
}

static struct snapshot *host_config(const char *address, unsigned prefix, const char *gateway)
{
	struct blob b = {0};
	struct snapshot head = {.generation = 1};
	struct snap_address a = {.prefix = 96 + prefix};
	struct snap_netroute r = {.dst = {.b = {[10] = 0xff, [11] = 0xff}}, .prefix = 96};
	struct snap_port port = {.mtu = 1500};

	blob_add(&b, &head, 1, sizeof(head));
	addr_parse(address, strlen(address), &a.addr);
	addr_parse(gateway, strlen(gateway), &r.gateway);
	port.addresses = blob_add(&b, &a, 1, sizeof(a));
	port.routes = blob_add(&b, &r, 1, sizeof(r));
	head.ports = blob_add(&b, &port, 1, sizeof(port));
	memcpy(b.p, &head, sizeof(head));
	free(b.texts); // the bytes are the caller's
	return (struct snapshot *)(void *)b.p;
}

static void input_tcp(void *ctx, struct net_seg *v, unsigned n)
{
	tcp_input(((struct host *)ctx)->tcp, v, n);
}

static void input_unreachable(void *ctx, struct addr local, struct addr remote, uint16_t local_port,
			      uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code, uint16_t mtu)
{
	tcp_unreachable(((struct host *)ctx)->tcp, local, remote, local_port, remote_port, seq, type, code,
			mtu);
}

static void fire(void *ctx, struct timer *t)
{
	struct host *h = ctx;

	if (tcp_owns_timer(h->tcp, t))
		tcp_timer(h->tcp, t);
	else
		net_timer(&h->net, t);
}

void host_init(struct host *h, struct pkt_pool *pool, const char *address, unsigned prefix, const char *gateway,
	       uint8_t mac, uint32_t rcv_buf, tcp_listen_fn *listen, void *ctx, uint64_t seed)
{
	struct tcp_config conf = {.max_conns = 1024,
				  .rcv_buf = rcv_buf,
				  .keep_idle = 30 * SECOND,
				  .keep_interval = 5 * SECOND,
				  .listen = listen,
				  .listen_ctx = ctx,
				  .secret = {seed, ~seed},
				  .steer = {&h->steer}};

	*h = (struct host){.steer = {.kind = STEER_ONE, .workers = 1}};
	h->stats = aligned_alloc(64, sizeof(*h->stats));
	h->port_stats = aligned_alloc(64, sizeof(*h->port_stats));
	memset(h->stats, 0, sizeof(*h->stats));
	memset(h->port_stats, 0, sizeof(*h->port_stats));
	h->config = host_config(address, prefix, gateway);
	if (arena_init(&h->arena, tcp_memory(&conf) + (4u << 20)) != 0)
		abort();
	wheel_init(&h->wheel, 0, fire, h);
	if (net_init(&h->net, &h->arena, pool, h->stats, h->port_stats, &h->wheel,
		     (struct hash_key){seed, seed}, 64) != 0)
		abort();
	h->net.ops.tcp = input_tcp;
	h->net.ops.unreachable = input_unreachable;
	h->net.ops.ctx = h;
	h->net.n_ports = 1;
	h->net.port[0] = (struct net_port){.mac = {2, 0, 0, 0, 0, mac}, .mtu = 1500};
	net_configure(&h->net, h->config);
	h->tcp = tcp_create(&h->arena, &conf, &h->net, &h->wheel, h->stats);
	if (!h->tcp)
		abort();
}

void host_fini(struct host *h)
{
	tcp_destroy(h->tcp);
	net_fini(&h->net);
	while (h->net.tx[0].n)
		pkt_free_chain(h->net.tx[0].v[--h->net.tx[0].n]);
	arena_fini(&h->arena);
	free(h->stats);
	free(h->port_stats);
	free(h->config);
}

void host_receive(struct host *h, uint64_t now, struct pkt *p)
{
	h->net.now = now;
	tcp_set_now(h->tcp, now);
	net_input(&h->net, 0, &p, 1);
}

void host_advance(struct host *h, uint64_t now)
{
	h->net.now = now;
	tcp_set_now(h->tcp, now);
	wheel_run(&h->wheel, now, 0);
	while (tcp_dispatch(h->tcp))
		tcp_flush(h->tcp);
	tcp_flush(h->tcp);
}
