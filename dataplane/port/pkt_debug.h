// Packet pools under AddressSanitizer; used by pkt.c and pkt_memory.c. See pkt_debug.c.
#pragma once
#include <rte_mempool.h>

#if defined(__SANITIZE_ADDRESS__)
const char *pkt_debug_ops(void); // name of the mempool operations, registered at the first call
// Around the making of a pool in memory that may have served another one (where it is new, begin is enough).
void pkt_debug_pool_make(const struct rte_mempool *mp);
void pkt_debug_pool_begin(struct rte_mempool *mp);
void pkt_debug_pool_end(struct rte_mempool *mp);
#endif
