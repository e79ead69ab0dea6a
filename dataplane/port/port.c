#include "port/port.h"
#include "base/hash.h"
#include <errno.h>
#include <net/if.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_pci.h>
#include <stdarg.h>
#include <stdio.h>

#define RX_DESCRIPTORS 1024
#define TX_DESCRIPTORS 1024
#define RSS_FLOWS      (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)
#define READ_LAST      25    // ms without any progress in which a peer may still read what was sent last
#define TSO_PACKET     65535 // bytes: IPv4's length field
#define TSO_SEGMENTS   64    // more would not fit into that with full segments
#define TSO_PIECES     4     // of a segment, that a device must take at least
#define TSO_BUFFERS    17    // and of a packet
#define FRAME_OVERHEAD (RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN)

// The key of the NDIS specification, so that our software is checked on the published vectors as it runs.
static const uint8_t rss_key[STEER_KEY] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

// What drivers do not say of themselves, or say wrongly.
struct quirk {
	const char *driver;
	bool no_csum;    // computes checksums in software, and reads the payload a second time for it
	bool tap_tso;    // segments in software, IPv4 alone, and with faults (tso_limits())
	bool no_rss;     // reports RSS, but what arrives where is decided by somebody else
	bool peer_mac;   // its hardware address is the other end's
	bool by_pointer; // hands the buffer itself to the receiver, who will write into it
	bool one_queue;  // further queues lead nowhere unless the other end has as many: only when asked for
	bool removable;  // its peer is a process that may go away
	bool fills_late; // with zero copy, buffers are put up when the peer is there, and never given back
};

static const struct quirk quirks[] = {
	// The kernel's interface has the address that the driver reports; the kernel spreads flows over queues
	// by itself (and rte_flow needs a multiq qdisc that many kernels do not have).
	{.driver = "net_tap", .no_csum = true, .tap_tso = true, .no_rss = true, .peer_mac = true},
	{.driver = "net_memif", .one_queue = true, .removable = true, .fills_late = true},
	{.driver = "net_ring", .by_pointer = true, .one_queue = true},
};

static const struct quirk *quirk_of(const char *driver)
{
	static const struct quirk none;

	for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++)
		if (strcmp(quirks[i].driver, driver) == 0)
			return &quirks[i];
	return &none;
}

// Everything about one start.
struct starting {
	struct port *p;
	const struct snap_port *conf;
	const struct quirk *quirk;
	struct rte_eth_dev_info info;
	struct pkt_pool *pool;
	unsigned workers;
	uint16_t queues;
	uint16_t rx_descriptors;
	bool rss;
	char *why;
	size_t why_size;
};

// Composes the sentence and returns err.
__attribute__((format(printf, 3, 4))) static int fail(struct starting *st, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(st->why, st->why_size, format, ap);
	va_end(ap);
	return err;
}

static const char *reason(int err)
{
	return err == -1 ? "its driver refused" : strerror(err < 0 ? -err : err);
}

static int text_copy(struct starting *st, const char *what, struct slice text, char *to, size_t size)
{
	if (text.n == 0 || text.n >= size || memchr(text.p, '\0', text.n))
		return fail(st, -EINVAL, "a port's %s is empty or longer than %zu bytes", what, size - 1);
	memcpy(to, text.p, text.n);
	to[text.n] = '\0';
	return 0;
}

// "net_af_packet0,iface=eth1": does eth1 exist? Drivers only say that they failed.
static int check_interface(struct starting *st)
{
	const char *at = strstr(st->p->device, ",iface=");
	char name[IF_NAMESIZE];
	size_t n;

	// net_tap makes the interface that it names.
	if (!at || strncmp(st->p->device, "net_tap", 7) == 0)
		return 0;
	at += strlen(",iface=");
	n = strcspn(at, ",");
	if (n == 0 || n >= sizeof(name))
		return fail(st, -EINVAL, "port %s: \"%.*s\" is no interface name", st->p->name, (int)n, at);
	memcpy(name, at, n);
	name[n] = '\0';
	if (if_nametoindex(name) == 0)
		return fail(st, -ENODEV, "port %s: there is no network interface \"%s\" here", st->p->name,
			    name);
	return 0;
}

static int attach(struct starting *st)
{
	struct port *p = st->p;
	struct rte_pci_addr pci;
	char name[RTE_DEV_NAME_MAX_LEN];
	size_t n = strcspn(p->device, ",");
	int err;

	if (n >= sizeof(name))
		return fail(st, -EINVAL, "port %s: the name of device \"%s\" is too long", p->name, p->device);
	memcpy(name, p->device, n);
	name[n] = '\0';
	if (rte_pci_addr_parse(name, &pci) == 0)
		rte_pci_device_name(&pci, name, sizeof(name));
	else if (strncmp(name, "net_", 4) == 0 || strncmp(name, "virtio_user", 11) == 0)
		p->vdev = true;
	else
		return fail(st, -EINVAL,
			    "port %s: device \"%s\" is neither a PCI address (0000:3b:00.0) nor a DPDK virtual "
			    "device (net_af_xdp0,iface=eth1)",
			    p->name, p->device);
	err = check_interface(st);
	if (err)
		return err;
	if (rte_eth_dev_get_port_by_name(name, &p->id) == 0) {
		// EAL attaches the physical devices that it may use by itself; what is configured is
		// somebody's.
		struct rte_eth_dev_info info = {0};

		if (p->vdev || rte_eth_dev_info_get(p->id, &info) != 0 || info.nb_rx_queues > 0)
			return fail(st, -EEXIST, "port %s: device \"%s\" is used by another port", p->name,
				    name);
		return 0;
	}
	err = rte_dev_probe(p->device);
	if (err)
		return fail(st, -ENODEV, "port %s: device \"%s\" could not be attached: %s", p->name, p->device,
			    reason(err));
	err = rte_eth_dev_get_port_by_name(name, &p->id);
	if (err)
		return fail(st, -ENODEV, "port %s: device \"%s\" is no network device", p->name, p->device);
	return 0;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void choose_queues(struct starting *st)
{
	const struct rte_eth_dev_info *info = &st->info;
	unsigned n = least(st->workers, least(info->max_rx_queues, info->max_tx_queues));

	if (st->conf->queues)
		n = least(n, st->conf->queues);
	else if (st->quirk->one_queue)
		n = 1;
	st->queues = (uint16_t)(n ? n : 1);
	// With fewer queues than workers the driver's choice could not reach everyone: hand-over does.
	st->rss = st->queues > 1 && st->queues == st->workers && !st->quirk->no_rss &&
		  (info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_TCP) && info->reta_size > 0 &&
		  info->reta_size <= STEER_RETA &&
		  (info->hash_key_size == 0 || info->hash_key_size >= STEER_KEY) &&
		  info->hash_key_size <= 2 * STEER_KEY;
}

// How large an IP packet may be: what the device takes, and what its buffers do.
static unsigned mtu_limit(const struct starting *st)
{
	const struct rte_eth_dev_info *info = &st->info;
	unsigned limit = info->max_mtu ? info->max_mtu : UINT16_MAX;

	if (info->max_rx_pktlen > RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN)
		limit = least(limit, info->max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN);
	if (!(info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) ||
	    !(info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		limit = least(limit, PKT_ROOM - FRAME_OVERHEAD);
	return limit;
}

// Is the device to cut segments? All that it takes must be offered; and it must not be slower than we are,
// unless that is asked for.
static bool tso_wanted(const struct starting *st)
{
	const uint64_t all = RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS |
			     RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	const struct rte_eth_desc_lim *lim = &st->info.tx_desc_lim;

	if (st->conf->tso == TSO_OFF || (st->conf->tso == TSO_AUTO && st->quirk->no_csum))
		return false;
	return (st->info.tx_offload_capa & all) == all && !st->quirk->by_pointer &&
	       (lim->nb_seg_max == 0 || lim->nb_seg_max >= TSO_BUFFERS) &&
	       (lim->nb_mtu_seg_max == 0 || lim->nb_mtu_seg_max >= TSO_PIECES);
}

// net_tap (22.11) sends packets of IPv6 uncut, refuses those whose frames, not packets, exceed the MTU, and
// sums wrongly what goes on in another buffer behind an odd number of bytes.
static struct tso tso_limits(const struct starting *st)
{
	const struct rte_eth_desc_lim *lim = &st->info.tx_desc_lim;

	return (struct tso){
		.max = TSO_PACKET,
		.segments = TSO_SEGMENTS,
		.buffers = lim->nb_seg_max ? lim->nb_seg_max : UINT16_MAX,
		.segment_buffers = lim->nb_mtu_seg_max ? lim->nb_mtu_seg_max : UINT16_MAX,
		.less = st->quirk->tap_tso ? RTE_ETHER_HDR_LEN + (st->conf->vlan ? RTE_VLAN_HLEN : 0) : 0,
		.ipv6 = !st->quirk->tap_tso,
		.even = st->quirk->tap_tso,
	};
}

static int configure(struct starting *st)
{
	struct port *p = st->p;
	struct rte_eth_dev_info *info = &st->info;
	uint8_t key[2 * STEER_KEY];
	struct rte_eth_conf conf = {0};
	uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	unsigned mtu = st->conf->mtu, limit = mtu_limit(st);
	int err;

	if (mtu > limit)
		return fail(st, -EINVAL,
			    "port %s: an MTU of %u is more than the %u that device \"%s\" (%s) carries",
			    p->name, mtu, limit, p->device, info->driver_name);
	bool tso = tso_wanted(st);
	if (st->quirk->no_csum)
		rx = tx = 0;
	if (tso)
		tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO;
	if (mtu + FRAME_OVERHEAD > PKT_ROOM)
		rx |= RTE_ETH_RX_OFFLOAD_SCATTER;
	tx |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf.rxmode.offloads = rx & info->rx_offload_capa;
	conf.txmode.offloads = tx & info->tx_offload_capa;
	conf.rxmode.mtu = mtu;
	if (st->rss) {
		for (size_t i = 0; i < sizeof(key); i++)
			key[i] = rss_key[i % STEER_KEY];
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_key = key;
		conf.rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size ? info->hash_key_size : STEER_KEY;
		conf.rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & RSS_FLOWS;
	}
	err = rte_eth_dev_configure(p->id, st->queues, st->queues, &conf);
	if (err)
		return fail(st, err,
			    "port %s: %u queues with an MTU of %u are not accepted by device \"%s\" (%s): %s",
			    p->name, st->queues, mtu, p->device, info->driver_name, reason(err));
	// Drivers without the operation carry what was configured, within their limit above.
	err = rte_eth_dev_set_mtu(p->id, (uint16_t)mtu);
	if (err && err != -ENOTSUP)
		return fail(st, err, "port %s: the MTU of device \"%s\" (%s) could not be set to %u: %s",
			    p->name, p->device, info->driver_name, mtu, reason(err));

	p->caps = (struct port_caps){
		.mtu = (uint16_t)mtu,
		.rx_queues = st->queues,
		.tx_queues = st->queues,
		.tx_ip_csum = conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM,
		.tx_tcp_csum = conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM,
		.rx_ip_csum = conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM,
		.rx_tcp_csum = conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM,
		.tx_chains = conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
		.tx_shared = !st->quirk->by_pointer,
		.removable =
			st->quirk->removable || (info->dev_flags && (*info->dev_flags & RTE_ETH_DEV_INTR_RMV)),
	};
	if (tso)
		p->caps.tso = tso_limits(st);
	p->caps.tx_plain = p->caps.tx_chains && p->caps.tx_shared && !tso;
	return 0;
}

static int set_up_queues(struct starting *st)
{
	struct port *p = st->p;
	uint16_t rx = RX_DESCRIPTORS, tx = TX_DESCRIPTORS;
	unsigned socket = (unsigned)rte_eth_dev_socket_id(p->id); // SOCKET_ID_ANY for what belongs to no node
	int err = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &rx, &tx);

	st->rx_descriptors = rx;
	for (uint16_t q = 0; err == 0 && q < st->queues; q++) {
		err = rte_eth_rx_queue_setup(p->id, q, rx, socket, NULL, pkt_pool_mempool(st->pool));
		if (err)
			return fail(st, err,
				    "port %s: receive queue %u of device \"%s\" (%s) could not be made: %s",
				    p->name, q, p->device, st->info.driver_name, reason(err));
		err = rte_eth_tx_queue_setup(p->id, q, tx, socket, NULL);
	}
	if (err)
		return fail(st, err, "port %s: the transmit queues of device \"%s\" (%s) could not be made: %s",
			    p->name, p->device, st->info.driver_name, reason(err));
	return 0;
}

// Where the driver has no address of its own, or has the other end's, we take one of the locally administered,
// the same at every start.
static int read_mac(struct starting *st)
{
	struct port *p = st->p;
	struct rte_ether_addr mac;
	int err = rte_eth_macaddr_get(p->id, &mac);

	if (err)
		return fail(st, err, "port %s: device \"%s\" does not tell its hardware address: %s", p->name,
			    p->device, reason(err));
	if (st->quirk->peer_mac || !rte_is_valid_assigned_ether_addr(&mac)) {
		uint64_t h = hash64(p->device, strlen(p->device));

		memcpy(&mac, &h, sizeof(mac));
		mac.addr_bytes[0] = (uint8_t)((mac.addr_bytes[0] & 0xfc) | 2);
	}
	memcpy(p->caps.mac, mac.addr_bytes, sizeof(p->caps.mac));
	return 0;
}

static bool set_reta(struct starting *st)
{
	struct rte_eth_rss_reta_entry64 reta[STEER_RETA / RTE_ETH_RETA_GROUP_SIZE] = {0};
	struct steer *s = &st->p->steer;

	s->reta_size = st->info.reta_size;
	memcpy(s->key, rss_key, sizeof(s->key));
	for (unsigned i = 0; i < s->reta_size; i++) {
		s->reta[i] = (uint16_t)(i % st->queues);
		reta[i / RTE_ETH_RETA_GROUP_SIZE].mask |= 1ull << i % RTE_ETH_RETA_GROUP_SIZE;
		reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = s->reta[i];
	}
	return rte_eth_dev_rss_reta_update(st->p->id, reta, s->reta_size) == 0;
}

int port_start(struct port *p, const struct snapshot *s, const struct snap_port *conf, unsigned workers,
	       struct pkt_pool *pool, char *why, size_t why_size)
{
	struct starting st = {
		.p = p, .conf = conf, .pool = pool, .workers = workers, .why = why, .why_size = why_size};
	uint32_t used = pkt_pool_used(pool);
	int err;

	*p = (struct port){.pool = pool};
	err = text_copy(&st, "name", snap_text(s, conf->name), p->name, sizeof(p->name));
	if (err)
		return err;
	err = text_copy(&st, "device", snap_text(s, conf->device), p->device, sizeof(p->device));
	if (err)
		return err;
	err = attach(&st);
	if (err)
		return err;
	err = rte_eth_dev_info_get(p->id, &st.info);
	if (err) {
		fail(&st, err, "port %s: device \"%s\" tells nothing about itself: %s", p->name, p->device,
		     reason(err));
		goto fail;
	}
	st.quirk = quirk_of(st.info.driver_name);
	choose_queues(&st);
	err = configure(&st);
	if (err)
		goto fail;
	err = set_up_queues(&st);
	if (err)
		goto fail;
	err = read_mac(&st);
	if (err)
		goto fail;
	err = rte_eth_dev_start(p->id);
	if (err) {
		fail(&st, err, "port %s: device \"%s\" (%s) could not be started: %s", p->name, p->device,
		     st.info.driver_name, reason(err));
		goto fail;
	}
	p->started = true;
	p->held = pkt_pool_used(pool) - used;
	if (st.quirk->fills_late && strstr(p->device, ",zero-copy=yes"))
		p->held_max = (uint32_t)st.queues * st.rx_descriptors;
	(void)rte_eth_promiscuous_disable(p->id); // drivers that cannot see everything anyway
	// Neighbours ask for IPv6 addresses in groups, and addresses may come with a later generation. Where
	// groups cannot be had alone, everything is.
	if (rte_eth_allmulticast_enable(p->id) != 0)
		(void)rte_eth_promiscuous_enable(p->id);
	p->steer.workers = (uint16_t)workers;
	p->steer.kind = workers <= 1 ? STEER_ONE : st.rss && set_reta(&st) ? STEER_RSS : STEER_PORTBITS;
	return 0;
fail:
	port_stop(p);
	return err < 0 ? err : -EIO;
}

// Sending nothing makes a driver look for what it has sent. Ends when that finds nothing more; where a peer
// reads from the buffers themselves, it may take some time to do so.
static void reap_sent(const struct port *p)
{
	uint32_t before, used = pkt_pool_used(p->pool);
	unsigned patience = p->held_max && port_link_up(p) ? READ_LAST : 0, waited = 0;

	do {
		before = used;
		for (uint16_t q = 0; q < p->caps.tx_queues; q++)
			(void)rte_eth_tx_burst(p->id, q, NULL, 0);
		used = pkt_pool_used(p->pool);
		waited = used < before ? 0 : waited + 1;
		if (waited && waited <= patience)
			rte_delay_us_sleep(1000);
	} while (used < before || waited <= patience);
}

void port_drain(struct port *p)
{
	struct pkt *v[PORT_BURST];
	unsigned n;

	if (!p->started)
		return;
	reap_sent(p);
	if (!p->held_max)
		return;
	for (uint16_t q = 0; q < p->caps.rx_queues; q++)
		for (uint32_t most = 0; most < p->held_max && (n = port_rx(p, q, v, PORT_BURST)) > 0; most += n)
			for (unsigned i = 0; i < n; i++)
				pkt_free_chain(v[i]);
}

// What a driver of this kind has put up for receiving, and never gives back, is known by being empty. What its
// peer has not read of what was sent is missed like any other buffer; but where the peer has gone, it is lost.
static void forget_held_late(const struct port *p)
{
	struct rte_eth_stats stats = {0};

	if (p->held_max == 0 || (!port_link_up(p) && (rte_eth_stats_get(p->id, &stats) != 0 ||
						      stats.ipackets + stats.opackets == 0)))
		return;
	(void)pkt_pool_forget_blank(p->pool, p->held_max);
	if (!port_link_up(p))
		pkt_pool_forget(p->pool, least(p->held_max, pkt_pool_used(p->pool)));
}

void port_stop(struct port *p)
{
	struct rte_eth_dev_info info = {0};
	bool known = rte_eth_dev_info_get(p->id, &info) == 0;
	uint32_t used, returned;

	if (p->started) {
		forget_held_late(p);
		(void)rte_eth_dev_stop(p->id);
	}
	used = pkt_pool_used(p->pool);
	(void)rte_eth_dev_close(p->id);
	if (p->vdev && known && info.device)
		(void)rte_dev_remove(info.device);
	returned = used - pkt_pool_used(p->pool);
	// Not every driver gives back what it put up for receiving (net_af_xdp does not): no loss of ours.
	if (p->started && p->held > returned)
		pkt_pool_forget(p->pool, p->held - returned);
	p->started = false;
}

// Copies what this driver cannot send as it is; false: no buffer.
static bool make_sendable(const struct port *p, struct pkt **v, struct pkt_pool *pool)
{
	bool copy_it = pkt_next(*v) && !p->caps.tx_chains;
	struct pkt *copy;

	if (!p->caps.tx_shared)
		for (struct pkt *q = *v; q && !copy_it; q = pkt_next(q))
			copy_it = !pkt_exclusive(q);
	if (!copy_it)
		return true;
	copy = pkt_copy(*v, pool);
	if (!copy)
		return false;
	pkt_free_chain(*v);
	*v = copy;
	return true;
}

// Drivers that cut segments may have their own wishes of headers and checksums, and do not look at them again
// when they send. What they refuse is freed. How many are left.
static unsigned prepare(const struct port *p, uint16_t queue, struct pkt **v, unsigned n)
{
	unsigned kept = 0;

	for (unsigned at = 0, good; at < n; at += good + 1) {
		good = rte_eth_tx_prepare(p->id, queue, (struct rte_mbuf **)v + at, (uint16_t)(n - at));
		memmove(v + kept, v + at, good * sizeof(v[0]));
		kept += good;
		if (at + good < n)
			pkt_free_chain(v[at + good]);
	}
	return kept;
}

unsigned port_tx(const struct port *p, uint16_t queue, struct pkt **v, unsigned n, struct pkt_pool *pool,
		 unsigned *failed)
{
	unsigned kept = n, sent = 0;

	if (!p->caps.tx_plain) {
		kept = 0;
		for (unsigned i = 0; i < n; i++) {
			struct pkt *q = v[i];

			if (make_sendable(p, &q, pool))
				v[kept++] = q;
			else
				pkt_free_chain(q);
		}
		if (p->caps.tso.max)
			kept = prepare(p, queue, v, kept);
		*failed += n - kept;
	}
	// Some drivers take no more than a burst at a time.
	while (sent < kept) {
		unsigned want = least(kept - sent, PORT_BURST);
		unsigned took = rte_eth_tx_burst(p->id, queue, (struct rte_mbuf **)v + sent, (uint16_t)want);

		sent += took;
		if (took < want)
			break;
	}
	// The freed ones count as taken: what remains moves to the end.
	if (kept < n && sent < kept)
		memmove(v + sent + (n - kept), v + sent, (kept - sent) * sizeof(v[0]));
	return sent + (n - kept);
}

bool port_link_up(const struct port *p)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(p->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

uint32_t port_offloads(const struct port *p)
{
	const struct port_caps *c = &p->caps;

	return (c->tx_ip_csum ? OFFLOAD_TX_IP_CHECKSUM : 0u) | (c->tx_tcp_csum ? OFFLOAD_TX_TCP_CHECKSUM : 0u) |
	       (c->rx_ip_csum ? OFFLOAD_RX_IP_CHECKSUM : 0u) | (c->rx_tcp_csum ? OFFLOAD_RX_TCP_CHECKSUM : 0u) |
	       (c->tx_chains ? OFFLOAD_TX_CHAINS : 0u) | (p->steer.kind == STEER_RSS ? OFFLOAD_RSS : 0u) |
	       (c->tso.max ? OFFLOAD_TSO : 0u);
}
