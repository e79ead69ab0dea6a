// The data plane's TCP/IP as a library: a complete host (Ethernet, ARP, NDP, IPv4, IPv6, ICMP, TCP) as a
// function of packets and time, with a small socket-like interface. Simulation, packet scripts, fuzzers and
// tools use this header and nothing below it (but for packet buffers, port/pkt.h, and addresses, base/addr.h).
// They link libchurchgate-tcp.a; a program begins with pkt_start() and pkt_pool_create().
//
// Packets go in by cg_input() and come out by cg_output(); time goes in by cg_advance(). Nothing here blocks,
// reads a clock or a random source, or calls a driver: the same calls with the same arguments give the same
// packets. Several stacks may live in one process; one stack belongs to one thread at a time.
//
// A turn is: cg_clock(), cg_input() for what has arrived, cg_advance(), reads and writes by those who own
// sockets, cg_advance() again where something was written, cg_output(). cg_next() says when the next turn is
// due if nothing arrives before.
//
// Errors are negative errno values. A socket is the caller's from cg_connect() or cg_accept() until cg_close()
// or cg_abort(), after which the pointer must not be used; the stack finishes the connection on its own.
#pragma once
#include "base/addr.h"
#include "contract/stats.h" // enum counter
#include "port/pkt.h"
#include "tcp/tcp.h" // enum tcp_state, enum tcp_cc, struct tcp_config, struct tcp_info, struct tcp_pools
#include <sys/types.h>

struct cg_stack;
struct cg_listener;
struct cg_sock;

#define CG_ADDRESSES 8

struct cg_config {
	uint8_t mac[6];
	uint16_t mtu; // of IP packets, 576 (IPv6: 1280) to 2030; 0: 1500
	struct {
		struct addr addr;
		uint8_t prefix; // bits, as written for its family: 24, 64
	} address[CG_ADDRESSES];
	unsigned n_addresses;
	struct addr gateway4, gateway6; // all zero: none
	bool tx_checksum, rx_checksum;  // the "device" does it: on output the fields are left to it
	struct tso tso;                 // and cuts segments, with tx_checksum; all 0: it does not
	bool no_dad;           // addresses are ours at once, neither asked for (RFC 4862 5.1) nor announced
	uint32_t neighbours;   // 0: 16
	struct pkt_pool *pool; // where packets to be sent are allocated; outlives the stack
	struct tcp_config
		tcp;   // limits and times; listen, listen_ctx, steer, worker and secret are set by the stack
	uint64_t seed; // keys, sequence numbers and ports follow from it; workers of one host share it
	uint64_t now;  // ns
	// Several stacks may be the workers of one host: same mac, addresses and seed. Who delivers frames asks
	// steer_frame() (port/steer.h) whose each is, and passes on what one of them learns of neighbours
	// (cg_learn). NULL: it is alone.
	const struct steer *steer; // outlives the stack
	unsigned worker;
	void (*learned)(void *ctx, struct addr addr, const uint8_t mac[6]);
	void *learned_ctx;
};

// NULL with *err: -EINVAL, -ENOMEM.
struct cg_stack *cg_create(const struct cg_config *conf, int *err);
// Ends silently, sockets included. Afterwards no packet of the pool is held.
void cg_destroy(struct cg_stack *s);

// Frames that arrived, all consumed. n: any. Chains are taken.
void cg_input(struct cg_stack *s, struct pkt **v, unsigned n);
// The same for one frame as bytes. -ENOBUFS: the pool is empty, it is lost. -EINVAL: empty, or too long.
int cg_input_frame(struct cg_stack *s, const void *frame, uint32_t n);
// Time is now `now` (ns, never less than before), and nothing else happens. Where time goes on between turns,
// before cg_input(): what arrived then did so now, and not when the last turn was (round trips are measured).
void cg_clock(struct cg_stack *s, uint64_t now);
// The same, and timers run, sockets learn what happened, what is due is sent.
void cg_advance(struct cg_stack *s, uint64_t now);
// When cg_advance() has something to do at the latest (the last `now`: at once); UINT64_MAX: never.
uint64_t cg_next(const struct cg_stack *s);
// Takes up to n frames to be sent, in order; they are the caller's to free. What is not taken waits. Payload
// stays in its buffer, which the send queue holds as well, as under a driver: another stack gets a copy
// (pkt_copy).
unsigned cg_output(struct cg_stack *s, struct pkt **v, unsigned n);
unsigned cg_queued(const struct cg_stack *s);     // frames that wait
unsigned cg_unresolved(const struct cg_stack *s); // packets that wait for their next hop's address
// Takes one as bytes, linearised: its length (cut to size), 0: none.
uint32_t cg_output_frame(struct cg_stack *s, void *frame, uint32_t size);
// A neighbour, as another worker learned it, or so that nobody need ask for it.
void cg_learn(struct cg_stack *s, struct addr addr, const uint8_t mac[6]);

// Of a connection, to be set before it is opened, or of a listener for those it accepts. Zero: the stack's.
struct cg_options {
	enum tcp_cc cc;
	uint32_t rcv_buf;    // bytes
	uint16_t local_port; // to connect from, such that the answers steer to this worker; 0: any
};

// Listens on local (all zero: any of ours) and port; the exact address wins. -EADDRINUSE, -EINVAL, -ENOMEM.
struct cg_listener *cg_listen(struct cg_stack *s, struct addr local, uint16_t port,
			      const struct cg_options *opt, int *err);
void cg_unlisten(struct cg_listener *l); // those not yet accepted are reset
// The next established connection; NULL: none. How many may wait is bounded by tcp.max_conns alone.
struct cg_sock *cg_accept(struct cg_listener *l);
// -ENETUNREACH, -EADDRNOTAVAIL, -EADDRINUSE, -ENOMEM. opt may be NULL. Established later: see cg_poll().
struct cg_sock *cg_connect(struct cg_stack *s, struct addr remote, uint16_t remote_port,
			   const struct cg_options *opt, int *err);

enum cg_ready {
	CG_OPEN = 1,     // established (stays)
	CG_READABLE = 2, // cg_read() gives bytes or the end
	CG_WRITABLE = 4, // cg_write() takes bytes
	CG_EOF = 8,      // the peer's FIN has come and all before it is read
	CG_ERROR = 16,   // dead: cg_error()
};
unsigned cg_poll(const struct cg_sock *k); // enum cg_ready
int cg_error(const struct cg_sock *k);     // errno, 0: none

// Bytes read; 0: the peer sent FIN; -EAGAIN: nothing yet; the connection's error (what was not read is lost).
ssize_t cg_read(struct cg_sock *k, void *buf, size_t n);
// Bytes taken, at least 1; -EAGAIN: no room; -EPIPE: after cg_shutdown(); -ENOBUFS; the connection's error.
// What is written before it is established is sent then.
ssize_t cg_write(struct cg_sock *k, const void *buf, size_t n);
// The same in packet buffers, not copied: for what passes on what it got. NULL: nothing yet, or the end.
struct pkt *cg_read_packet(struct cg_sock *k);
int cg_write_packet(struct cg_sock *k, struct pkt *p); // 0 (p, unchained, is taken) or an error (it is not)
int cg_shutdown(struct cg_sock *k);                    // FIN after what was written; the connection's error
void cg_close(struct cg_sock *k);                      // graceful; what is not read resets
void cg_abort(struct cg_sock *k);                      // RST

void cg_info(const struct cg_sock *k, struct tcp_info *info);
static inline enum tcp_state cg_state(const struct cg_sock *k)
{
	struct tcp_info info;

	cg_info(k, &info);
	return info.state;
}
void *cg_user(const struct cg_sock *k); // NULL at first
void cg_set_user(struct cg_sock *k, void *user);

// What every connection, queue and pool must fulfil between calls: NULL, or what does not. Looks at all of
// them.
const char *cg_check(const struct cg_stack *s);
// Pools in use; all 0 once every connection is over and TIME_WAIT has passed.
void cg_pools(const struct cg_stack *s, struct tcp_pools *out);
// Counters by name of contract/counters.def.
uint64_t cg_counter(const struct cg_stack *s, enum counter c);
