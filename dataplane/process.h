// The data plane as a process: what main.c puts together in order (start.c), housekeeping.c looks after, and
// start.c takes down again in reverse.
#pragma once
#include "contract/address_list.h"
#include "contract/channel_io.h"
#include "contract/limit_table.h"
#include "contract/region.h"
#include "contract/stats.h"
#include "eal.h"
#include "generation.h"
#include "loop.h"
#include "packets.h"
#include <limits.h>

#define GENERATIONS SNAP_GENERATIONS

struct dataplane {
	char dir[PATH_MAX];
	struct clock clock;

	// What control handed over.
	struct region *region;
	size_t region_size;
	struct stats stats;
	struct generation generation[GENERATIONS]; // those alive, in no order
	struct generation *running;                // the newest that the workers were given

	int memory_fd; // packet memory of an earlier data plane, until the start; -1: none
	int limits_fd; // the table of rate limits; -1: none
	struct limit_table limits;
	size_t limits_size;
	int addresses_fd; // the list of denied and allowed addresses; -1: none
	struct address_list addresses;
	size_t addresses_size;
	struct packets packets;
	struct pkt_pool *pool, *small;
	struct port port[SNAP_PORTS_MAX];
	unsigned n_ports; // started
	struct arena arena;
	struct worker *worker[SNAP_WORKERS_MAX];
	struct loop *loop; // [n_workers]
	unsigned n_workers;
	bool launched;
};

// Takes over the descriptors of CHANNEL_START: checks and maps all of them. 0 or -errno with a sentence in why;
// nothing is kept then, and another START may follow.
int dataplane_attach(struct dataplane *d, const int fds[CHANNEL_FDS_MAX], char *why, size_t why_size);
void dataplane_detach(struct dataplane *d);
// From EAL to running workers. 0 or -errno with a sentence in why; all is taken down again then, but EAL cannot
// be started a second time.
int dataplane_start(struct dataplane *d, char *why, size_t why_size);
// The reverse. Packet buffers and connections that are missing then: their number, 0 in a sound program.
unsigned dataplane_stop(struct dataplane *d);
