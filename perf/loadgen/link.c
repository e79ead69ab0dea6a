#include "link.h"
#include <errno.h>
#include <rte_arp.h>
#include <rte_byteorder.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <stdio.h>
#include <string.h>

#define DESCRIPTORS 1024

int link_start(struct link *l, const char *device, uint32_t address, uint32_t gateway, struct pkt_pool *pool)
{
	static const char head[FRAME_HEAD] = {
		[12] = 0x08, [14] = 0x45, [20] = 0x40, [22] = 64, [23] = 6, [46] = 0x50,
	};
	struct rte_eth_conf conf = {0};
	struct rte_ether_addr mac;
	int err;

	*l = (struct link){.address = address, .gateway = gateway, .pool = pool};
	err = rte_eth_dev_get_port_by_name(device, &l->port);
	if (!err)
		err = rte_eth_dev_configure(l->port, 1, 1, &conf);
	if (!err)
		err = rte_eth_rx_queue_setup(l->port, 0, DESCRIPTORS, SOCKET_ID_ANY, NULL,
					     pkt_pool_mempool(pool));
	if (!err)
		err = rte_eth_tx_queue_setup(l->port, 0, DESCRIPTORS, SOCKET_ID_ANY, NULL);
	if (!err)
		err = rte_eth_macaddr_get(l->port, &mac);
	if (!err)
		err = rte_eth_dev_start(l->port);
	if (err) {
		fprintf(stderr, "loadgen: port %s does not start: %s\n", device, rte_strerror(-err));
		return err;
	}
	if (rte_is_zero_ether_addr(&mac)) // as rings have it
		mac = (struct rte_ether_addr){{2, 0, 0, 0, 1, (uint8_t)l->port}};
	memcpy(l->mac, mac.addr_bytes, 6);
	memcpy(l->frame, head, sizeof(head));
	memcpy(l->frame + 6, l->mac, 6);
	l->ip_sum = checksum_add(0, l->frame + 14, 20);
	return 0;
}

void link_stop(struct link *l)
{
	(void)rte_eth_dev_stop(l->port);
	(void)rte_eth_dev_close(l->port);
}

static struct pkt *fresh(struct link *l)
{
	struct pkt *p;

	if (l->n_tx == LINK_TX) {
		l->tx_full++;
		return NULL;
	}
	p = pkt_alloc(l->pool);
	if (!p) {
		l->no_buffer++;
		return NULL;
	}
	l->tx[l->n_tx++] = p;
	return p;
}

char *link_frame(struct link *l, uint32_t n)
{
	struct pkt *p = fresh(l);

	return p ? pkt_append(p, n) : NULL;
}

static void arp_send(struct link *l, uint16_t op, const uint8_t to[6], uint32_t sender, uint32_t target)
{
	struct pkt *p = fresh(l);
	struct rte_ether_hdr eth = {.ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP)};
	struct rte_arp_hdr arp = {.arp_hardware = RTE_BE16(1),
				  .arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4),
				  .arp_hlen = 6,
				  .arp_plen = 4,
				  .arp_opcode = rte_cpu_to_be_16(op),
				  .arp_data = {.arp_sip = sender, .arp_tip = target}};

	if (!p)
		return;
	memcpy(eth.src_addr.addr_bytes, l->mac, 6);
	memcpy(eth.dst_addr.addr_bytes, to, 6);
	memcpy(arp.arp_data.arp_sha.addr_bytes, l->mac, 6);
	if (op == RTE_ARP_OP_REPLY)
		memcpy(arp.arp_data.arp_tha.addr_bytes, to, 6);
	memcpy(pkt_append(p, sizeof(eth)), &eth, sizeof(eth));
	memcpy(pkt_append(p, sizeof(arp)), &arp, sizeof(arp));
}

void link_ask(struct link *l, uint32_t n)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	arp_send(l, RTE_ARP_OP_REQUEST, all, rte_cpu_to_be_32(rte_be_to_cpu_32(l->address) + n), l->gateway);
}

static void arp_input(struct link *l, const char *at, uint32_t n)
{
	struct rte_arp_hdr a;

	if (n < 14 + sizeof(a))
		return;
	memcpy(&a, at + 14, sizeof(a));
	if (a.arp_data.arp_sip == l->gateway) {
		memcpy(l->frame, a.arp_data.arp_sha.addr_bytes, 6);
		l->resolved = true;
	}
	if (a.arp_opcode == RTE_BE16(RTE_ARP_OP_REQUEST) && a.arp_data.arp_tip != l->gateway)
		arp_send(l, RTE_ARP_OP_REPLY, a.arp_data.arp_sha.addr_bytes, a.arp_data.arp_tip,
			 a.arp_data.arp_sip);
}

static uint16_t load16(const char *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}
static uint32_t load32(const char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static bool checksums_hold(const char *at, uint32_t total)
{
	uint64_t sum = checksum_add(0, at + 26, 8);

	if (checksum_fold(checksum_add(0, at + 14, 20)) != 0)
		return false;
	sum += rte_cpu_to_be_16(6) + (uint64_t)rte_cpu_to_be_16((uint16_t)(total - 20));
	return checksum_fold(checksum_add(sum, at + 34, total - 20)) == 0;
}

// false: not TCP over IPv4 without options, or malformed (counted).
static bool segment_parse(struct link *l, struct pkt *p, struct segment *s, bool verify)
{
	const char *at = pkt_data(p);
	uint32_t n = pkt_len(p), total, head;

	if (n >= 14 && load16(at + 12) == RTE_BE16(RTE_ETHER_TYPE_ARP)) {
		arp_input(l, at, n);
		return false;
	}
	if (n < 34 || load16(at + 12) != RTE_BE16(RTE_ETHER_TYPE_IPV4) || at[14] != 0x45)
		goto bad;
	if (at[23] != 6) {
		l->other++;
		return false;
	}
	if (n < FRAME_HEAD)
		goto bad;
	total = rte_be_to_cpu_16(load16(at + 16));
	head = ((uint32_t)(uint8_t)at[46] >> 4) * 4;
	if (total + 14 > n || head < 20 || 20 + head > total || pkt_next(p))
		goto bad;
	if (verify && !checksums_hold(at, total))
		goto bad;
	*s = (struct segment){
		.src = load32(at + 26),
		.dst = load32(at + 30),
		.sport = load16(at + 34),
		.dport = load16(at + 36),
		.seq = rte_be_to_cpu_32(load32(at + 38)),
		.ack = rte_be_to_cpu_32(load32(at + 42)),
		.flags = (uint8_t)at[47],
		.wnd = rte_be_to_cpu_16(load16(at + 48)),
		.data = at + 34 + head,
		.len = total - 20 - head,
	};
	return true;
bad:
	l->bad++;
	return false;
}

unsigned link_receive(struct link *l, struct segment *seg, bool verify)
{
	unsigned n = rte_eth_rx_burst(l->port, 0, (struct rte_mbuf **)l->rx, LINK_BURST), k = 0;

	for (unsigned i = 0; i < n; i++)
		rte_prefetch0(pkt_data(l->rx[i]));
	for (unsigned i = 0; i < n; i++)
		k += segment_parse(l, l->rx[i], &seg[k], verify && i == 0);
	l->n_rx = n;
	l->received += n;
	return k;
}

void link_release(struct link *l)
{
	if (l->n_rx)
		rte_pktmbuf_free_bulk((struct rte_mbuf **)l->rx, l->n_rx);
	l->n_rx = 0;
}

void link_flush(struct link *l)
{
	unsigned done = 0;

	while (done < l->n_tx) {
		unsigned want = l->n_tx - done < 256 ? l->n_tx - done : 256;
		unsigned n = rte_eth_tx_burst(l->port, 0, (struct rte_mbuf **)l->tx + done, (uint16_t)want);

		done += n;
		if (n < want)
			break;
	}
	l->n_tx -= done;
	l->sent += done;
	if (l->n_tx && l->lossy) {
		for (unsigned i = 0; i < l->n_tx; i++)
			l->lost_syn += (pkt_data(l->tx[done + i])[47] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
		rte_pktmbuf_free_bulk((struct rte_mbuf **)l->tx + done, l->n_tx);
		l->lost += l->n_tx;
		l->n_tx = 0;
	}
	if (l->n_tx && done)
		memmove(l->tx, l->tx + done, l->n_tx * sizeof(l->tx[0]));
}

// The headers in front of n bytes; sum is that of everything behind the TCP header's 20 bytes.
static void head_write(const struct link *l, char *at, const struct flow *f, uint8_t flags, uint32_t seq,
		       uint16_t window, unsigned options, uint32_t n, uint64_t sum)
{
	uint16_t total = rte_cpu_to_be_16((uint16_t)(40 + options + n)), csum;
	uint16_t tcp_len = rte_cpu_to_be_16((uint16_t)(20 + options + n)), wnd = rte_cpu_to_be_16(window);
	uint16_t doff = rte_cpu_to_be_16((uint16_t)((20 + options) / 4 << 12 | flags));
	uint32_t be_seq = rte_cpu_to_be_32(seq), be_ack = flags & TCP_ACK ? rte_cpu_to_be_32(f->rcv_nxt) : 0;
	uint64_t addresses = (uint64_t)f->local + f->remote;

	memcpy(at, l->frame, FRAME_HEAD);
	memcpy(at + 16, &total, 2);
	csum = checksum_fold(l->ip_sum + total + addresses);
	memcpy(at + 24, &csum, 2);
	memcpy(at + 26, &f->local, 4);
	memcpy(at + 30, &f->remote, 4);
	memcpy(at + 34, &f->local_port, 2);
	memcpy(at + 36, &f->remote_port, 2);
	memcpy(at + 38, &be_seq, 4);
	memcpy(at + 42, &be_ack, 4);
	memcpy(at + 46, &doff, 2);
	memcpy(at + 48, &wnd, 2);
	sum += addresses + rte_cpu_to_be_16(6) + tcp_len + f->local_port + f->remote_port + (uint64_t)be_seq +
	       be_ack + doff + wnd;
	csum = checksum_fold(sum);
	memcpy(at + 50, &csum, 2);
}

void link_send(struct link *l, const struct flow *f, uint8_t flags, uint32_t seq, const char *data, uint32_t n,
	       uint64_t sum)
{
	struct pkt *p = fresh(l);
	char *at;

	if (!p)
		return;
	at = pkt_append(p, FRAME_HEAD + n);
	head_write(l, at, f, flags, seq, UINT16_MAX, 0, n, sum);
	memcpy(at + FRAME_HEAD, data, n);
}

void link_send_options(struct link *l, const struct flow *f, uint8_t flags, uint32_t seq, uint16_t wnd,
		       const uint8_t *options, unsigned n_options, const char *data, uint32_t n)
{
	char *at = link_frame(l, FRAME_HEAD + n_options + n);

	if (!at)
		return;
	head_write(l, at, f, flags, seq, wnd, n_options, n,
		   checksum_add(checksum_add(0, options, n_options), data, n));
	if (n_options)
		memcpy(at + FRAME_HEAD, options, n_options);
	if (n)
		memcpy(at + FRAME_HEAD + n_options, data, n);
}

void link_send_syn(struct link *l, const struct flow *f, uint8_t flags, uint32_t seq)
{
	static const uint8_t mss[4] = {2, 4, LINK_MSS >> 8, LINK_MSS & 0xff};
	struct pkt *p = fresh(l);
	char *at;

	if (!p)
		return;
	at = pkt_append(p, FRAME_HEAD + sizeof(mss));
	head_write(l, at, f, flags, seq, UINT16_MAX, sizeof(mss), 0, checksum_add(0, mss, sizeof(mss)));
	memcpy(at + FRAME_HEAD, mss, sizeof(mss));
}

void link_refuse(struct link *l, const struct segment *s)
{
	struct flow f = {.local = s->dst,
			 .remote = s->src,
			 .local_port = s->dport,
			 .remote_port = s->sport,
			 .rcv_nxt = s->seq + s->len + !!(s->flags & (TCP_SYN | TCP_FIN))};

	if (s->flags & TCP_RST)
		return;
	if (s->flags & TCP_ACK)
		link_send(l, &f, TCP_RST, s->ack, NULL, 0, 0);
	else
		link_send(l, &f, TCP_RST | TCP_ACK, 0, NULL, 0, 0);
}
