// Makes AddressSanitizer see inside packet pools.
//
// Drivers take and give back buffers by themselves, in code that is not instrumented but calls memcpy(), which
// is. So the pool's own operations do the work, whoever calls them: giving back poisons a buffer's private room
// and its data room, taking out opens both completely, as a driver needs them to receive. What our code
// receives or allocates is then narrowed to the bytes that carry data (pkt_poison_range). The mbuf itself stays
// open, since DPDK reads and writes it while the buffer is free; pkt_mbuf() looks at the private room instead.
// The ring below is first in, first out, so that a freed buffer stays poisoned as long as the pool allows.
#include "port/pkt_debug.h"
#include "port/pkt.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>

// Libraries below us that forget memory when a device is closed.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libxdp\n";
}
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

#define BELOW "ring_mp_mc"

static const struct rte_mempool_ops *below; // set before the first pool is made
static const struct rte_mempool *making;    // by the main thread, in memory that may not be new

static char *room(const struct rte_mbuf *m)
{
	return (char *)(uintptr_t)m + sizeof(*m);
}
// Pools have buffers of two sizes.
static size_t room_size(const struct rte_mbuf *m)
{
	return PKT_PRIV + (size_t)m->buf_len;
}

void pkt_poison_range(struct rte_mbuf *m)
{
	if (!RTE_MBUF_DIRECT(m))
		return;
	__asan_poison_memory_region(m->buf_addr, m->buf_len);
	__asan_unpoison_memory_region(rte_pktmbuf_mtod(m, char *), m->data_len);
}

void pkt_poison_fresh(struct rte_mbuf *m)
{
	pkt_poison_range(m);
}

void pkt_poison_freed(struct rte_mbuf *m)
{
	__asan_poison_memory_region(room(m), room_size(m));
}

void pkt_unpoison(struct rte_mbuf *m)
{
	__asan_unpoison_memory_region(room(m), room_size(m));
}

static int ops_alloc(struct rte_mempool *mp)
{
	return below->alloc(mp);
}

static void ops_free(struct rte_mempool *mp)
{
	below->free(mp);
}

static int ops_enqueue(struct rte_mempool *mp, void *const *v, unsigned n)
{
	// Before the ring has them: the next owner may be quick. While the pool is being made its buffers
	// (which have no address yet, unless their memory served another pool before) are about to be cleared
	// as a whole; pkt_debug_pool_begin() follows.
	for (unsigned i = 0; i < n; i++)
		if (mp != making && ((struct rte_mbuf *)v[i])->buf_addr)
			pkt_poison_freed(v[i]);
	return below->enqueue(mp, v, n);
}

static int ops_dequeue(struct rte_mempool *mp, void **v, unsigned n)
{
	int ret = below->dequeue(mp, v, n);

	if (ret == 0)
		for (unsigned i = 0; i < n; i++)
			pkt_unpoison(v[i]);
	return ret;
}

static unsigned ops_count(const struct rte_mempool *mp)
{
	return below->get_count(mp);
}

static const struct rte_mempool_ops ops = {
	.name = "churchgate_asan",
	.alloc = ops_alloc,
	.free = ops_free,
	.enqueue = ops_enqueue,
	.dequeue = ops_dequeue,
	.get_count = ops_count,
};

const char *pkt_debug_ops(void)
{
	if (!below) {
		for (unsigned i = 0; i < rte_mempool_ops_table.num_ops; i++)
			if (strcmp(rte_mempool_ops_table.ops[i].name, BELOW) == 0)
				below = &rte_mempool_ops_table.ops[i];
		if (!below || rte_mempool_register_ops(&ops) < 0)
			rte_panic("no mempool operations \"" BELOW "\"\n");
	}
	return ops.name;
}

// Padding that the mempool puts around its objects is nobody's: it stays poisoned, as a fence between them.
static uint32_t fence(const struct rte_mempool *mp)
{
	return mp->header_size - (uint32_t)sizeof(struct rte_mempool_objhdr);
}

static void poison_one(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	(void)arg, (void)i;
	pkt_poison_freed(obj);
	__asan_poison_memory_region((char *)obj - mp->header_size, fence(mp));
	__asan_poison_memory_region((char *)obj + mp->elt_size, mp->trailer_size);
}

static void open_one(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	(void)arg, (void)i;
	pkt_unpoison(obj);
	__asan_unpoison_memory_region((char *)obj - mp->header_size, fence(mp));
	__asan_unpoison_memory_region((char *)obj + mp->elt_size, mp->trailer_size);
}

void pkt_debug_pool_make(const struct rte_mempool *mp)
{
	making = mp;
}

void pkt_debug_pool_begin(struct rte_mempool *mp)
{
	making = NULL;
	rte_mempool_obj_iter(mp, poison_one, NULL);
}

// The memory goes back to EAL, which clears it.
void pkt_debug_pool_end(struct rte_mempool *mp)
{
	rte_mempool_obj_iter(mp, open_one, NULL);
}
#endif
