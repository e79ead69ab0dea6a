// Packet buffers: the only door to rte_mbuf.
//
// A struct pkt is one buffer, perhaps with further ones chained behind it. Whoever holds the pointer owns one
// reference; pkt_free() gives it back. A buffer may be held by the transmit side (driver) and by a TCP send
// queue at once (pkt_ref); its bytes must then not change: pkt_exclusive() tells.
//
// Each buffer carries PKT_PRIV bytes of private room for the layer that holds it at the time (pkt_priv);
// it is not cleared when it changes hands.
//
// In sanitizer builds the room of a buffer outside of its data, and the whole of a freed buffer, are poisoned
// (see pkt_debug.c), so that AddressSanitizer sees what happens inside packet pools.
#pragma once
#include "base/slice.h"
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

struct pkt; // one rte_mbuf
struct pkt_pool;

#define PKT_PRIV      64
#define PKT_HEADROOM  RTE_PKTMBUF_HEADROOM // 128: room for every header we put in front
#define PKT_ROOM      2048                 // bytes of data a fresh buffer takes behind its headroom
#define PKT_SMALL     384                  // and one of a pool of small buffers
#define PKT_CHAIN_MAX 8                    // buffers in one received chain

#if defined(__SANITIZE_ADDRESS__)
void pkt_poison_fresh(struct rte_mbuf *m); // allocated: only the data range is open
void pkt_poison_range(struct rte_mbuf *m); // data range changed
void pkt_poison_freed(struct rte_mbuf *m);
void pkt_unpoison(struct rte_mbuf *m); // whole buffer open, as drivers need it
#else
#define pkt_poison_fresh(m) ((void)(m))
#define pkt_poison_range(m) ((void)(m))
#define pkt_poison_freed(m) ((void)(m))
#define pkt_unpoison(m)     ((void)(m))
#endif

// p is not NULL.
static inline struct rte_mbuf *pkt_mbuf(const struct pkt *p)
{
#if defined(__SANITIZE_ADDRESS__)
	// The private room is open as long as the buffer is somebody's: a freed one is reported here.
	(void)*((const volatile char *)p + sizeof(struct rte_mbuf));
#endif
	return (struct rte_mbuf *)(uintptr_t)p;
}
static inline struct pkt *pkt_of(struct rte_mbuf *m)
{
	return (struct pkt *)m;
}

// Memory for pools in a program without devices or hugepages: once in a process, before the first pool. Does
// not leave files behind; the calling thread keeps its CPUs. Programs that run ports start EAL for themselves.
// False: none to be had.
bool pkt_start(unsigned mebibytes);
// Bytes at least `memory` of buffers, on one NUMA node, with a cache for each worker. NULL: rte_errno says why.
struct pkt_pool *pkt_pool_create(const char *name, uint64_t memory, int socket);
// The same of small buffers, for what has to wait and is little: received payload is moved into them
// (tcp_recv_shrink()). No device gets this pool, and nothing else is allocated from it.
struct pkt_pool *pkt_pool_create_small(const char *name, uint64_t memory, int socket);
// The same in memory that the caller has mapped and that outlives the pool (pkt_memory.c): at least
// pkt_pool_bytes(memory) bytes, page-aligned. Its content does not matter. Not for devices that address memory
// otherwise than the process does (physical ones without hugepages).
size_t pkt_pool_bytes(uint64_t memory);
struct pkt_pool *pkt_pool_create_at(const char *name, uint64_t memory, void *at, size_t size);
void pkt_pool_free(struct pkt_pool *pool);
uint32_t pkt_pool_size(const struct pkt_pool *pool);
uint64_t pkt_pool_memory(const struct pkt_pool *pool); // bytes, as pkt_truesize() counts
uint32_t pkt_pool_buffer(const struct pkt_pool *pool); // the same of one buffer
uint32_t pkt_pool_used(const struct pkt_pool *pool);
uint32_t pkt_pool_cached(const struct pkt_pool *pool); // buffers that are free for the calling worker alone
// n buffers in use are known to be lost (a driver that was stopped did not give them back): pkt_pool_used()
// counts them no more.
void pkt_pool_forget(struct pkt_pool *pool, uint32_t n);
// Forgets at most `most` of those in use that hold nothing and came from no port: a driver has put them up for
// receiving and keeps them. Returns how many. Takes milliseconds: at the end, when nobody else uses the pool.
uint32_t pkt_pool_forget_blank(struct pkt_pool *pool, uint32_t most);
// Free buffers, but for what other workers have in their caches.
uint32_t pkt_pool_left(const struct pkt_pool *pool);
// Less than a sixteenth of them: new work is to be refused.
bool pkt_pool_short(const struct pkt_pool *pool);
struct rte_mempool *pkt_pool_mempool(struct pkt_pool *pool);

// An empty buffer with PKT_HEADROOM in front; NULL when the pool is empty.
static inline struct pkt *pkt_alloc(struct pkt_pool *pool)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc((struct rte_mempool *)pool);

	if (m)
		pkt_poison_fresh(m);
	return pkt_of(m);
}
// The whole chain. NULL is fine.
void pkt_free_chain(struct pkt *p);
// n of them.
void pkt_free_burst(struct pkt **v, unsigned n);
// One buffer, whatever it was chained to.
static inline void pkt_free(struct pkt *p)
{
	rte_pktmbuf_free_seg(pkt_mbuf(p));
}
static inline void pkt_ref(struct pkt *p)
{
	rte_mbuf_refcnt_update(pkt_mbuf(p), 1);
}
static inline bool pkt_exclusive(const struct pkt *p)
{
	return rte_mbuf_refcnt_read(pkt_mbuf(p)) == 1 && RTE_MBUF_DIRECT(pkt_mbuf(p));
}

// Of a pool of small buffers.
static inline bool pkt_small(const struct pkt *p)
{
	return pkt_mbuf(p)->buf_len < PKT_HEADROOM + PKT_ROOM;
}

// Somebody else holds a reference, too.
static inline bool pkt_shared(const struct pkt *p)
{
	return rte_mbuf_refcnt_read(pkt_mbuf(p)) > 1;
}

static inline void *pkt_priv(const struct pkt *p)
{
	return rte_mbuf_to_priv(pkt_mbuf(p));
}
// A pointer of the layer that holds the buffer, where its private room is another's. In the place of what a
// device says of a packet when it comes in; kept while it is sent.
static inline void pkt_set_note(struct pkt *p, void *note)
{
	_Static_assert(sizeof(pkt_mbuf(p)->hash) >= sizeof(note), "room");
	memcpy(&pkt_mbuf(p)->hash, &note, sizeof(note));
}
static inline void *pkt_note(const struct pkt *p)
{
	void *note;

	memcpy(&note, &pkt_mbuf(p)->hash, sizeof(note));
	return note;
}
static inline char *pkt_data(const struct pkt *p)
{
	return rte_pktmbuf_mtod(pkt_mbuf(p), char *);
}
static inline uint32_t pkt_len(const struct pkt *p) // of this buffer
{
	return pkt_mbuf(p)->data_len;
}
static inline uint32_t pkt_chain_len(const struct pkt *p)
{
	return pkt_mbuf(p)->pkt_len;
}
static inline struct slice pkt_slice(const struct pkt *p)
{
	return (struct slice){pkt_data(p), pkt_len(p)};
}
static inline struct pkt *pkt_next(const struct pkt *p) // of the chain
{
	return pkt_of(pkt_mbuf(p)->next);
}
static inline bool
pkt_chained(const struct pkt *p) // asked of the first of a chain, without touching more of it
{
	return pkt_mbuf(p)->nb_segs != 1;
}
static inline uint32_t pkt_headroom(const struct pkt *p)
{
	return pkt_mbuf(p)->data_off;
}
static inline uint32_t pkt_tailroom(const struct pkt *p)
{
	return (uint32_t)(pkt_mbuf(p)->buf_len - pkt_mbuf(p)->data_off - pkt_mbuf(p)->data_len);
}
// What the buffer takes of memory, whatever it carries: limits count this.
static inline uint32_t pkt_truesize(const struct pkt *p)
{
	return (uint32_t)(sizeof(struct rte_mbuf) + PKT_PRIV + pkt_mbuf(p)->buf_len);
}
static inline uint16_t pkt_port(const struct pkt *p) // where it came in
{
	return pkt_mbuf(p)->port;
}
static inline void pkt_set_port(struct pkt *p, uint16_t port)
{
	pkt_mbuf(p)->port = port;
}

// Opens n bytes in front (n <= headroom) and returns their address.
static inline char *pkt_prepend(struct pkt *p, uint32_t n)
{
	struct rte_mbuf *m = pkt_mbuf(p);

	m->data_off = (uint16_t)(m->data_off - n);
	m->data_len = (uint16_t)(m->data_len + n);
	m->pkt_len += n;
	pkt_poison_range(m);
	return pkt_data(p);
}
// Opens n bytes behind an unchained buffer (n <= tailroom) and returns their address.
static inline char *pkt_append(struct pkt *p, uint32_t n)
{
	struct rte_mbuf *m = pkt_mbuf(p);
	char *at = rte_pktmbuf_mtod_offset(m, char *, m->data_len);

	m->data_len = (uint16_t)(m->data_len + n);
	m->pkt_len += n;
	pkt_poison_range(m);
	return at;
}
// Drops n bytes (n <= pkt_len) from the front, or from the end of an unchained buffer.
static inline void pkt_adj(struct pkt *p, uint32_t n)
{
	struct rte_mbuf *m = pkt_mbuf(p);

	m->data_off = (uint16_t)(m->data_off + n);
	m->data_len = (uint16_t)(m->data_len - n);
	m->pkt_len -= n;
	pkt_poison_range(m);
}
static inline void pkt_trim(struct pkt *p, uint32_t n)
{
	struct rte_mbuf *m = pkt_mbuf(p);

	m->data_len = (uint16_t)(m->data_len - n);
	m->pkt_len -= n;
	pkt_poison_range(m);
}
// The data of an unchained buffer becomes the n bytes that begin off bytes into it, wherever it was before.
static inline void pkt_set_view(struct pkt *p, uint16_t off, uint16_t n)
{
	struct rte_mbuf *m = pkt_mbuf(p);

	m->data_off = off;
	m->data_len = n;
	m->pkt_len = n;
	pkt_poison_range(m);
}
// Address of byte off of the buffer itself, headroom included.
static inline char *pkt_at(const struct pkt *p, uint32_t off)
{
	return (char *)pkt_mbuf(p)->buf_addr + off;
}
// Cuts a chain to its first n bytes (1 <= n <= pkt_chain_len).
void pkt_trim_chain(struct pkt *p, uint32_t n);
// Takes the first buffer off a chain and returns the rest (NULL if none); both are then whole chains.
struct pkt *pkt_unchain(struct pkt *p);
// Appends tail behind head's last buffer. The chain may not exceed UINT16_MAX buffers.
void pkt_chain(struct pkt *head, struct pkt *tail);
// The buffer stands alone, whatever a driver that gave its reference back has left of a chain. It is exclusive.
static inline void pkt_unlink(struct pkt *p)
{
	pkt_mbuf(p)->next = NULL;
	pkt_mbuf(p)->nb_segs = 1;
}
// p, which stands alone, becomes the last of head's chain, whose last was `last`.
static inline void pkt_link(struct pkt *head, struct pkt *last, struct pkt *p)
{
	pkt_mbuf(last)->next = pkt_mbuf(p);
	pkt_mbuf(head)->nb_segs++;
	pkt_mbuf(head)->pkt_len += pkt_mbuf(p)->data_len;
}
// A copy of the whole chain in one fresh buffer; NULL when the pool is empty or it does not fit.
struct pkt *pkt_copy(const struct pkt *p, struct pkt_pool *pool);

// What the device found when it received the packet; false also where it has not looked.
static inline bool pkt_ip_checked(const struct pkt *p)
{
	return (pkt_mbuf(p)->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
}
static inline bool pkt_l4_checked(const struct pkt *p)
{
	return (pkt_mbuf(p)->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}
// What the device is asked to fill in when it sends: the IPv4 header's checksum, and TCP's (whose field then
// holds the sum of the pseudo header). l2 and l3 are the lengths of the headers. Replaces what was asked or
// found before.
static inline void pkt_offload(struct pkt *p, bool ip_csum, bool tcp_csum, unsigned l2, unsigned l3)
{
	struct rte_mbuf *m = pkt_mbuf(p);

	m->ol_flags = 0;
	if (ip_csum || tcp_csum)
		m->ol_flags = RTE_MBUF_F_TX_IPV4 | (ip_csum ? RTE_MBUF_F_TX_IP_CKSUM : 0) |
			      (tcp_csum ? RTE_MBUF_F_TX_TCP_CKSUM : 0);
	m->tx_offload = 0;
	m->l2_len = l2 & 0x7f;
	m->l3_len = l3 & 0x1ff;
}
static inline void pkt_offload_none(struct pkt *p)
{
	pkt_mbuf(p)->ol_flags = 0;
}
// The same for an IPv6 packet, whose header has no checksum.
static inline void pkt_offload6(struct pkt *p, bool tcp_csum, unsigned l2, unsigned l3)
{
	struct rte_mbuf *m = pkt_mbuf(p);

	m->ol_flags = tcp_csum ? RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM : 0;
	m->tx_offload = 0;
	m->l2_len = l2 & 0x7f;
	m->l3_len = l3 & 0x1ff;
}
// It is to be cut into TCP segments of `segment` payload bytes each (port/tso.h); the checksum field holds the
// sum of the pseudo header without the length. l4 is the length of TCP's header.
static inline void pkt_offload_tso(struct pkt *p, bool v6, unsigned l2, unsigned l3, unsigned l4,
				   unsigned segment)
{
	struct rte_mbuf *m = pkt_mbuf(p);

	m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
		      (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
	m->tx_offload = 0;
	m->l2_len = l2 & 0x7f;
	m->l3_len = l3 & 0x1ff;
	m->l4_len = l4 & 0xff;
	m->tso_segsz = segment & 0xffff;
}
