#include "port/pkt.h"
#include "port/pkt_debug.h"
#include <rte_errno.h>
#include <rte_mempool.h>

// Enough that workers seldom meet at the shared ring, not so many that idle caches starve a small pool.
#define CACHE_MAX 256
#define CACHE_OF  32 // at most one part in so many of the pool for each worker

static struct pkt_pool *create(const char *name, uint64_t memory, uint16_t room, int socket)
{
	uint64_t each = sizeof(struct rte_mbuf) + PKT_PRIV + PKT_HEADROOM + room;
	uint64_t n = (memory + each - 1) / each;
	struct rte_mempool *mp;

	if (n == 0 || n > UINT32_MAX / 2) {
		rte_errno = EINVAL;
		return NULL;
	}
#if defined(__SANITIZE_ADDRESS__)
	// No cache: every buffer then passes through the operations that open and poison it.
	mp = rte_pktmbuf_pool_create_by_ops(name, (unsigned)n, 0, PKT_PRIV, (uint16_t)(PKT_HEADROOM + room),
					    socket, pkt_debug_ops());
	if (mp)
		pkt_debug_pool_begin(mp);
#else
	unsigned cache = n / CACHE_OF < CACHE_MAX ? (unsigned)(n / CACHE_OF) : CACHE_MAX;

	// What was freed last is what the caches still hold: in a ring every buffer of the pool would take its
	// turn, each of them cold. Where that driver is not installed a ring serves, too.
	cache = (cache + 7) & ~7u;
	mp = rte_pktmbuf_pool_create_by_ops(name, (unsigned)n, cache, PKT_PRIV, (uint16_t)(PKT_HEADROOM + room),
					    socket, "stack");
	if (!mp)
		mp = rte_pktmbuf_pool_create(name, (unsigned)n, cache, PKT_PRIV,
					     (uint16_t)(PKT_HEADROOM + room), socket);
#endif
	return (struct pkt_pool *)mp;
}

struct pkt_pool *pkt_pool_create(const char *name, uint64_t memory, int socket)
{
	return create(name, memory, PKT_ROOM, socket);
}

struct pkt_pool *pkt_pool_create_small(const char *name, uint64_t memory, int socket)
{
	return create(name, memory, PKT_SMALL, socket);
}

void pkt_pool_free(struct pkt_pool *pool)
{
#if defined(__SANITIZE_ADDRESS__)
	if (pool)
		pkt_debug_pool_end((struct rte_mempool *)pool);
#endif
	rte_mempool_free((struct rte_mempool *)pool);
}

uint32_t pkt_pool_size(const struct pkt_pool *pool)
{
	return ((const struct rte_mempool *)pool)->size;
}

uint64_t pkt_pool_memory(const struct pkt_pool *pool)
{
	return (uint64_t)pkt_pool_size(pool) * pkt_pool_buffer(pool);
}

uint32_t pkt_pool_buffer(const struct pkt_pool *pool)
{
	struct rte_mempool *mp = (struct rte_mempool *)(uintptr_t)pool;

	return (uint32_t)sizeof(struct rte_mbuf) + PKT_PRIV + rte_pktmbuf_data_room_size(mp);
}

uint32_t pkt_pool_used(const struct pkt_pool *pool)
{
	const struct rte_mempool *mp = (const struct rte_mempool *)pool;

	return rte_mempool_in_use_count(mp) - (uint32_t)(uintptr_t)mp->pool_config;
}

uint32_t pkt_pool_cached(const struct pkt_pool *pool)
{
	struct rte_mempool *mp = (struct rte_mempool *)(uintptr_t)pool;
	const struct rte_mempool_cache *mine = rte_mempool_default_cache(mp, rte_lcore_id());

	return mine ? mine->len : 0;
}

uint32_t pkt_pool_left(const struct pkt_pool *pool)
{
	const struct rte_mempool *mp = (const struct rte_mempool *)pool;

	return pkt_pool_cached(pool) + rte_mempool_get_ops(mp->ops_index)->get_count(mp);
}

bool pkt_pool_short(const struct pkt_pool *pool)
{
	return pkt_pool_left(pool) < pkt_pool_size(pool) / 16;
}

// The mempool has one word for an argument of its operations, and the ring's take none.
void pkt_pool_forget(struct pkt_pool *pool, uint32_t n)
{
	struct rte_mempool *mp = (struct rte_mempool *)pool;

	mp->pool_config = (void *)((uintptr_t)mp->pool_config + n);
}

#define FREE      UINT32_MAX                  // as pkt_len, while they are told apart
#define FORGOTTEN (RTE_MBUF_PORT_INVALID - 1) // as port

struct blanks {
	uint32_t found, most;
};

static void forget_if_blank(struct rte_mempool *mp, void *ctx, void *object, unsigned index)
{
	struct blanks *b = ctx;
	struct rte_mbuf *m = object;

	(void)mp;
	(void)index;
	if (b->found == b->most || m->pkt_len != 0 || m->port != RTE_MBUF_PORT_INVALID)
		return;
	m->port = FORGOTTEN;
	b->found++;
}

uint32_t pkt_pool_forget_blank(struct pkt_pool *pool, uint32_t most)
{
	struct rte_mempool *mp = (struct rte_mempool *)pool;
	struct blanks b = {.most = most};
	struct rte_mbuf *m, *taken = NULL;

	for (unsigned i = 0; mp->cache_size && i < RTE_MAX_LCORE; i++)
		rte_mempool_cache_flush(&mp->local_cache[i], mp);
	// All that are free are taken out for the time: what they held last says nothing.
	while (rte_mempool_generic_get(mp, (void **)&m, 1, NULL) == 0) {
		m->pkt_len = FREE;
		m->next = taken;
		taken = m;
	}
	rte_mempool_obj_iter(mp, forget_if_blank, &b);
	while ((m = taken)) {
		taken = m->next;
		m->next = NULL;
		rte_mempool_generic_put(mp, (void **)&m, 1, NULL);
	}
	pkt_pool_forget(pool, b.found);
	return b.found;
}

struct rte_mempool *pkt_pool_mempool(struct pkt_pool *pool)
{
	return (struct rte_mempool *)pool;
}

void pkt_free_chain(struct pkt *p)
{
#if defined(__SANITIZE_ADDRESS__)
	for (struct pkt *seg = p; seg; seg = pkt_next(seg))
		; // a buffer freed twice is reported here
#endif
	rte_pktmbuf_free((struct rte_mbuf *)p);
}

void pkt_free_burst(struct pkt **v, unsigned n)
{
#if defined(__SANITIZE_ADDRESS__)
	for (unsigned i = 0; i < n; i++)
		pkt_free_chain(v[i]);
#else
	rte_pktmbuf_free_bulk((struct rte_mbuf **)v, n);
#endif
}

void pkt_trim_chain(struct pkt *p, uint32_t n)
{
	struct rte_mbuf *m = pkt_mbuf(p), *last = m, *rest;
	uint32_t left = n;
	uint16_t segs = 1;

	while (left > last->data_len && last->next) {
		left -= last->data_len;
		last = last->next;
		segs++;
	}
	rest = last->next;
	last->next = NULL;
	last->data_len = (uint16_t)left;
	pkt_poison_range(last);
	m->nb_segs = segs;
	m->pkt_len = n;
	while (rest) {
		struct rte_mbuf *next = rest->next;

		rest->next = NULL;
		rest->nb_segs = 1;
		rte_pktmbuf_free_seg(rest);
		rest = next;
	}
}

struct pkt *pkt_unchain(struct pkt *p)
{
	struct rte_mbuf *m = pkt_mbuf(p), *rest = m->next;

	if (!rest)
		return NULL;
	rest->nb_segs = (uint16_t)(m->nb_segs - 1);
	rest->pkt_len = m->pkt_len - m->data_len;
	rest->port = m->port;
	m->next = NULL;
	m->nb_segs = 1;
	m->pkt_len = m->data_len;
	return pkt_of(rest);
}

void pkt_chain(struct pkt *head, struct pkt *tail)
{
	struct rte_mbuf *h = pkt_mbuf(head), *t = pkt_mbuf(tail);

	rte_pktmbuf_lastseg(h)->next = t;
	h->nb_segs = (uint16_t)(h->nb_segs + t->nb_segs);
	h->pkt_len += t->pkt_len;
	t->pkt_len = t->data_len;
	t->nb_segs = 1; // only the first of a chain counts the others
}

struct pkt *pkt_copy(const struct pkt *p, struct pkt_pool *pool)
{
	const struct rte_mbuf *m = pkt_mbuf(p);
	struct pkt *copy;

	if (m->pkt_len > PKT_ROOM)
		return NULL;
	copy = pkt_alloc(pool);
	if (!copy)
		return NULL;
	for (; m; m = m->next)
		memcpy(pkt_append(copy, m->data_len), rte_pktmbuf_mtod(m, const char *), m->data_len);
	// What the driver said about it, or is asked to do with it, holds for the copy too.
	m = pkt_mbuf(p);
	pkt_mbuf(copy)->port = m->port;
	pkt_mbuf(copy)->packet_type = m->packet_type;
	pkt_mbuf(copy)->ol_flags = m->ol_flags & ~(RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL);
	pkt_mbuf(copy)->tx_offload = m->tx_offload;
	pkt_mbuf(copy)->vlan_tci = m->vlan_tci;
	pkt_mbuf(copy)->hash = m->hash;
	return copy;
}
