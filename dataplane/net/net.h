// One worker's network layer: Ethernet, VLAN, IPv4 with ARP and ICMP, IPv6 with NDP and ICMPv6.
//
// A function of packets and time: packets come in by net_input(), leave through net->tx[port] (whoever runs
// the worker drains them: DPDK, or the simulator's wire), and time is net->now. Nothing here calls a clock or
// a driver. Single-threaded: it belongs to one worker.
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/checksum.h"
#include "base/hash.h"
#include "base/wheel.h"
#include "contract/snapshot.h"
#include "contract/stats.h"
#include "port/pkt.h"
#include "port/tso.h"

#define NET_BURST 32
#define NET_TXQ   512

// A packet on its way up: the buffer's data begins at the TCP (or ICMP) header and ends with it and its
// payload.
struct net_seg {
	struct pkt *pkt;
	struct addr src, dst;
	uint16_t port;  // index of the port
	uint16_t neigh; // a neighbour entry through which src was seen, 0: none
	uint8_t tos;    // with ECN in the low two bits
	uint8_t ttl;
	bool checked; // the L4 checksum has been verified by the device
};

// Upwards. The callee owns the packets.
struct net_ops {
	void (*tcp)(void *ctx, struct net_seg *v, unsigned n); // up to NET_BURST, in order of arrival
	// An ICMP error about a TCP segment of ours: the quoted ends, sequence number, and what is wrong, in
	// the types and codes of IPv4 (RFC 792) for either version.
	void (*unreachable)(void *ctx, struct addr local, struct addr remote, uint16_t local_port,
			    uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code, uint16_t mtu);
	// A resolved or changed neighbour, so that other workers of this port may learn it too; may be NULL.
	void (*learned)(void *ctx, uint16_t port, struct addr addr, const uint8_t mac[6]);
	// A router of this port, so that other workers may have it too (net_router()); may be NULL.
	void (*router)(void *ctx, uint16_t port, struct addr addr, uint64_t until, uint16_t mtu);
	// A frame whose worker could not be known before: a TCP segment that came in fragments or behind IPv6
	// extension headers, an ICMP error about one of ours. true, and it is consumed, where it is another
	// worker's. May be NULL.
	bool (*elsewhere)(void *ctx, uint16_t port, struct pkt *frame);
	// May this address and TCP port be answered on port? For nothing but choosing RST over silence; NULL:
	// yes.
	void *ctx;
};

// A default router that advertises itself.
#define NET_ROUTERS 2
struct net_router {
	struct addr addr;
	uint64_t until; // ns; good before
};

// What a port is to this layer.
struct net_port {
	uint8_t mac[6];
	uint16_t vlan; // 0 none
	uint16_t mtu;
	bool tx_ip_csum, tx_tcp_csum, rx_ip_csum, rx_tcp_csum;
	struct tso tso;                       // with checksums in both headers
	const struct snap_address *addresses; // in the current snapshot
	uint32_t n_addresses;
	const struct snap_netroute *routes;
	uint32_t n_routes;
	bool hear_routers;
	uint16_t advertised_mtu; // of IPv6 packets; 0: none was
	struct net_router router[NET_ROUTERS];
	struct snap_address link_local; // made of the mac where there is an IPv6 address; else all zero
	uint32_t here;                  // the IPv4 address of ours that the last datagram was for; 0: none yet
};

struct net_txq {
	struct pkt *v[NET_TXQ];
	uint32_t n;
};

#define NEIGH_RECENT 64
struct net_neigh;      // an entry of the table, see neigh.h
struct net_own;        // an IPv6 address of ours, see own.h
struct net_reassembly; // datagrams in fragments, see reassembly.h

struct net {
	uint64_t now; // ns, set by the worker once per burst
	struct net_ops ops;
	struct pkt_pool *pool;
	struct worker_stats *stats;
	struct wheel *wheel;
	uint32_t n_ports;
	struct net_port port[SNAP_PORTS_MAX];
	struct net_txq tx[SNAP_PORTS_MAX];
	struct port_stats *port_stats; // [n_ports] of this worker
	struct hash_key key;
	struct net_neigh *neigh; // table; entry 0 is never used
	uint32_t n_neigh;
	uint16_t neigh_recent[NEIGH_RECENT]; // entries found last, by their address's low bits; 0: none
	uint16_t *neigh_bucket;              // [neigh_mask + 1] first entry of each hash chain
	uint32_t neigh_mask;
	uint16_t neigh_free, neigh_oldest, neigh_newest; // free list; unreferenced entries by last use
	uint32_t neigh_held;                             // entries that paths refer to
	uint32_t neigh_waiting;                          // packets that wait for resolution, of all entries
	struct net_own *own;                             // IPv6 addresses on their way to being ours
	uint32_t n_own, own_unusable;                    // those that are tentative or somebody else's
	uint32_t icmp_tokens;
	uint64_t icmp_refilled;
	struct net_reassembly *reassembly;
	uint32_t reassembly_buffers; // that may be held; may be lowered after net_init()
	uint32_t fragment_id;
	// A bit for each IPv4 address, by its hash: only where it is set may the address be ours or a broadcast
	// address of ours.
	uint64_t special[4];
	bool special_known; // set by net_configure()
};

// The wheel is shared with the layers above: its fire callback calls net_timer() for timers for which
// net_owns_timer() is true.
int net_init(struct net *n, struct arena *a, struct pkt_pool *pool, struct worker_stats *stats,
	     struct port_stats *port_stats, struct wheel *wheel, struct hash_key key, uint32_t neighbours);
// Frees queued packets and disarms its timers.
void net_fini(struct net *n);
// Takes addresses, routes and VLANs from a verified snapshot; device facts (mac, offloads) were set before.
// The snapshot must stay valid until the next call. Announces IPv4
// addresses that are new, and asks whether anybody has the new IPv6 ones (RFC 4862).
void net_configure(struct net *n, const struct snapshot *s);

// Up to NET_BURST frames of one port. All are consumed.
void net_input(struct net *n, uint16_t port, struct pkt **v, unsigned count);
// A neighbour learned by another worker.
void net_learn(struct net *n, uint16_t port, struct addr addr, const uint8_t mac[6]);
// A router heard of by another worker: good until (0: no longer), MTU of its link (0: it does not say). true:
// it is news.
bool net_router(struct net *n, uint16_t port, struct addr addr, uint64_t until, uint16_t mtu);
bool net_owns_timer(const struct net *n, const struct timer *t);
void net_timer(struct net *n, struct timer *t);

// The way to a remote address, to be kept by a connection.
struct net_path {
	struct addr local, remote;
	uint16_t port;
	uint16_t neigh; // entry of the next hop
	uint16_t mtu;   // of IP packets
	uint16_t own;   // the holder's
};

// Finds port, next hop and (where local is all zero) the source address. port: wanted, or UINT16_MAX for any.
// hint: a neighbour entry seen (net_seg.neigh) or 0. Starts resolution where needed. 0, or -ENETUNREACH,
// -ENOBUFS (table full).
int net_path_init(struct net *n, struct net_path *p, uint16_t port, struct addr local, struct addr remote,
		  uint16_t hint);
// A path keeps its neighbour entry alive until it is released.
void net_path_release(struct net *n, struct net_path *p);
// Sends: pkt's data begins at the transport header (checksum field zero; it is filled in here, by the device
// where it can), the IP and Ethernet headers go in front (needs NET_HEADERS of headroom). proto: IPPROTO_TCP.
// Consumes pkt; until the neighbour is known a few packets wait in its entry.
#define NET_HEADERS (14 + 4 + 40)
// As many as it are on this path, as the port is configured now.
static inline uint32_t net_headers(const struct net *n, const struct net_path *p)
{
	return 14u + (n->port[p->port].vlan ? 4 : 0) + (addr_is_v4(p->remote) ? 20 : 40);
}
void net_output(struct net *n, const struct net_path *p, struct pkt *pkt, uint8_t proto, uint8_t tos);
// The same for TCP, of a packet whose last bytes need not be read for its checksum.
void net_output_summed(struct net *n, const struct net_path *p, struct pkt *pkt, uint8_t tos,
		       struct checksum_tail tail);
// The same for TCP of several segments' payload, `segment` bytes each, that the port's device cuts
// (port/tso.h): `header` is the length of TCP's, the path carries what is cut.
void net_output_tso(struct net *n, const struct net_path *p, struct pkt *pkt, uint8_t tos, unsigned header,
		    unsigned segment);
// The same of a TCP segment whose header, `words` long as it lies in memory, checksum zero, stands apart: pkt's
// data is the payload alone. On the usual way, IPv4 to a neighbour that is reachable, all headers are composed
// at once.
void net_output_tcp(struct net *n, const struct net_path *p, struct pkt *pkt, const uint32_t *header,
		    uint32_t words, uint8_t tos, struct checksum_tail tail);
// True where addr is one of this port's own (or any port's, with UINT16_MAX), and nobody else has shown to have
// it.
bool net_is_local(const struct net *n, uint16_t port, struct addr addr);
