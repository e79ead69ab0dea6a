// Involuntary switches: how often the kernel took the CPU from a worker thread that wanted to go on. A worker
// owns its core, so each of them is lost time and a latency peak.
//
// The program runs at each context switch of the machine; it stays with this process (nothing is pinned) and
// goes with it.
#pragma once
#include "contract/snapshot.h"
#include "contract/stats.h"
#include <stdbool.h>

struct sched;

// Loads and attaches. NULL with a sentence in why where that is not possible or not permitted.
struct sched *sched_open(char *why, size_t why_size);
void sched_close(struct sched *s);
// Follows the worker threads that run now; cheap where nothing has changed.
void sched_follow(struct sched *s, const uint32_t tid[], unsigned workers);
// Switches of worker w since sched_open().
uint64_t sched_switches(const struct sched *s, unsigned w);
