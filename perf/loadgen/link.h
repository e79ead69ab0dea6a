// A port of the generator: bursts in, frames out, ARP answered for every address it is asked about (all
// addresses of the subnet but the gateway's are ours).
#pragma once
#include "base/checksum.h"
#include "port/pkt.h"
#include <stdbool.h>
#include <stdint.h>

#define LINK_BURST 64
#define LINK_TX    8192 // frames that wait for the ring
#define LINK_FULL  512  // from which on nothing is sent that can wait
#define FRAME_HEAD 54   // Ethernet, IPv4 and TCP without options
#define LINK_MSS   1460

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

// Addresses and ports as they stand in the packet, sequence numbers in host order.
struct segment {
	uint32_t src, dst;
	uint16_t sport, dport;
	uint32_t seq, ack, len;
	uint16_t wnd;
	uint8_t flags;
	const char *data;
	void *conn;
};

struct link {
	uint16_t port;
	uint8_t mac[6];
	uint32_t address, gateway; // ours (the first), the peer's
	bool resolved;
	struct pkt_pool *pool;
	char frame[FRAME_HEAD]; // what all frames have in common
	uint64_t ip_sum;        // of its IPv4 header
	struct pkt *tx[LINK_TX];
	unsigned n_tx;
	struct pkt *rx[LINK_BURST];
	unsigned n_rx;
	bool lossy; // what the ring does not take is lost, as on a wire; else it waits
	uint64_t received, sent, tx_full, bad, no_buffer;
	uint64_t lost, lost_syn; // frames that the ring did not take, while lossy; SYNs among them
	uint64_t other;          // received IPv4 that is not TCP
};

// What identifies a connection on the wire, and where it stands.
struct flow {
	uint32_t local, remote;
	uint16_t local_port, remote_port;
	uint32_t rcv_nxt, snd_nxt, snd_una;
};

// device: DPDK's name of the port. 0 or -errno, with a message on standard error.
int link_start(struct link *l, const char *device, uint32_t address, uint32_t gateway, struct pkt_pool *pool);
void link_stop(struct link *l);
// ARP request for the gateway from our n-th address: so it learns that one, too.
void link_ask(struct link *l, uint32_t n);
// Fills seg with the TCP segments of one burst and returns their number; link_release() when they are done
// with.
unsigned link_receive(struct link *l, struct segment *seg, bool verify);
void link_release(struct link *l);
void link_flush(struct link *l);
// Whether what can wait may be sent now. A lossy link loses it instead.
static inline bool link_room(const struct link *l)
{
	return l->n_tx < LINK_FULL || l->lossy;
}
// Room for a frame of n bytes that the caller fills in; NULL (counted): none.
char *link_frame(struct link *l, uint32_t n);
// One segment of f: flags, seq, and n bytes whose checksum is sum. Acknowledges f->rcv_nxt.
void link_send(struct link *l, const struct flow *f, uint8_t flags, uint32_t seq, const char *data, uint32_t n,
	       uint64_t sum);
// The same with its own window and TCP options (n_options: a multiple of 4).
void link_send_options(struct link *l, const struct flow *f, uint8_t flags, uint32_t seq, uint16_t wnd,
		       const uint8_t *options, unsigned n_options, const char *data, uint32_t n);
void link_send_syn(struct link *l, const struct flow *f, uint8_t flags, uint32_t seq); // with the MSS option
// RST for a segment that belongs to nobody.
void link_refuse(struct link *l, const struct segment *s);
