// DPDK's environment layer: which memory and which cores it gets, and its messages.
#pragma once
#include "contract/snapshot.h"

// Of the packet memory, the part that small buffers have beside it.
#define EAL_SMALL_PART 8
// Decides on the memory: what ports and the pool will need is known from the snapshot. 0 or -errno with a
// sentence in why.
int eal_plan(const struct snapshot *s, char *why, size_t why_size);
// dir: of the instance, where DPDK keeps its telemetry socket. Possible once in a process's life. 0 or -errno
// with a sentence in why.
int eal_start(const struct snapshot *s, const char *dir, char *why, size_t why_size);
void eal_stop(void);
// Planned: whether packet buffers are to stand in ordinary memory of our own (see packets.h).
bool eal_memory_is_ours(void);
// EAL's name of a worker's core (lcore).
unsigned eal_lcore(unsigned worker);
// How many CPUs this process may use.
unsigned eal_cpus(void);
// The first error that DPDK wrote since the last call, without its newline; empty: none.
const char *eal_error(void);
