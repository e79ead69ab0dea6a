// A packet pool in memory that is not EAL's. Buffers stand one behind the other: rte_pktmbuf_pool_create()
// would let none cross a page, and on 4 KiB pages that wastes two fifths (and AF_XDP's umem, which is measured
// by the number of buffers, would not reach the last ones).
#include "port/pkt.h"
#include "port/pkt_debug.h"
#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#define CACHE_MAX 256 // as in pkt.c
#define CACHE_OF  32
#define ELEMENT   ((uint32_t)(sizeof(struct rte_mbuf) + PKT_PRIV + PKT_HEADROOM + PKT_ROOM))
#define FLAGS     RTE_MEMPOOL_F_NO_IOVA_CONTIG // buffers may lie across pages
#define PAGE      4096u

static uint64_t buffers(uint64_t memory)
{
	return (memory + ELEMENT - 1) / ELEMENT;
}

size_t pkt_pool_bytes(uint64_t memory)
{
	struct rte_mempool_objsz size;

	rte_mempool_calc_obj_size(ELEMENT, FLAGS, &size);
	return (buffers(memory) * size.total_size + RTE_CACHE_LINE_SIZE + PAGE - 1) / PAGE * PAGE;
}

static unsigned cache_size(uint64_t n)
{
#if defined(__SANITIZE_ADDRESS__)
	// Every buffer passes through the operations that open and poison it.
	(void)n;
	return 0;
#else
	return (unsigned)((RTE_MIN(n / CACHE_OF, (uint64_t)CACHE_MAX) + 7) & ~7ull);
#endif
}

static const char *operations(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return pkt_debug_ops();
#else
	return rte_mbuf_best_mempool_ops();
#endif
}

struct pkt_pool *pkt_pool_create_at(const char *name, uint64_t memory, void *at, size_t size)
{
	struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = PKT_HEADROOM + PKT_ROOM,
						.mbuf_priv_size = PKT_PRIV};
	uint64_t n = buffers(memory);
	struct rte_mempool *mp;
	int got;

	if (n == 0 || n > UINT32_MAX / 2 || size < pkt_pool_bytes(memory)) {
		rte_errno = EINVAL;
		return NULL;
	}
	mp = rte_mempool_create_empty(name, (unsigned)n, ELEMENT, cache_size(n), sizeof priv, SOCKET_ID_ANY,
				      FLAGS);
	if (!mp)
		return NULL;
	got = rte_mempool_set_ops_byname(mp, operations(), NULL);
	if (got == 0) {
		rte_pktmbuf_pool_init(mp, &priv);
#if defined(__SANITIZE_ADDRESS__)
		pkt_debug_pool_make(mp);
#endif
		// An address of the process is what devices use too.
		got = rte_mempool_populate_iova(mp, at, (rte_iova_t)(uintptr_t)at, size, NULL, NULL);
	}
	if (got != (int)n) {
		rte_mempool_free(mp);
		rte_errno = got < 0 ? -got : ENOMEM;
		return NULL;
	}
	rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
#if defined(__SANITIZE_ADDRESS__)
	pkt_debug_pool_begin(mp);
#endif
	return (struct pkt_pool *)mp;
}
