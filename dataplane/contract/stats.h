// Statistics: single-writer cells in memory that several processes map.
//
// There are four arrays, each in a mapping of its own: mmap-able BPF array maps, pinned in the host's bpf file
// system, or plain shared memory where BPF is not allowed. The layout is the same, the file descriptor too is
// mapped at offset 0 either way. Control makes them once at full size; the data plane writes with plain
// (relaxed) stores; anyone reads. Values only grow, but for those marked gauge.
#pragma once
#include <stdatomic.h>
#include <stdint.h>

enum counter_group { GROUP_rx, GROUP_net, GROUP_tcp, GROUP_http, GROUP_upstream, GROUP_worker };
enum counter_kind { KIND_count, KIND_drop, KIND_error, KIND_gauge };

enum counter {
#define COUNTER(group, name, kind, help) CTR_##name,
#include "contract/counters.def"
#undef COUNTER
	CTR_COUNT
};

struct counter_info {
	const char *name, *help;
	uint8_t group, kind;
};
extern const struct counter_info counter_info[CTR_COUNT];
extern const char *const counter_group_name[];

typedef _Atomic uint64_t stat_cell;

static inline void stat_add(stat_cell *c, uint64_t n) // the only writer
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline uint64_t stat_get(const stat_cell *c)
{
	return atomic_load_explicit((stat_cell *)c, memory_order_relaxed);
}

// Log-linear histogram of durations: bucket 0 is below 1 µs; then 4 buckets for each power of two of
// microseconds, up to 2^26 µs (67 s); the last bucket takes the rest.
#define HIST_SUB     4
#define HIST_BUCKETS (1 + 26 * HIST_SUB + 1)
unsigned hist_bucket(uint64_t ns);
// Upper bound of a bucket in ns (exclusive); UINT64_MAX for the last.
uint64_t hist_bound(unsigned bucket);

#define STATS_ROUTES    1024 // slot 0 is "other": what found no slot
#define STATS_UPSTREAMS 1024 // slot 0 is "other"
#define STATS_PORTS     16
#define STATUS_CLASSES  6 // index 0: no answer was sent (client gone); 1..5: 1xx..5xx

struct worker_stats {
	_Alignas(64) stat_cell c[CTR_COUNT];
	_Alignas(64) stat_cell busy_ns;
	stat_cell idle_ns, loops, sleeps, generation, alive_ns; // alive_ns: time of the last loop
	stat_cell pool_used, pool_size;                         // packet buffers (written by worker 0), gauge
	stat_cell conns_used, conns_high, conns_size, exchanges_used, exchanges_high, exchanges_size; // gauges
	stat_cell tid; // thread id of the worker, 0 before it runs
	// Turns of 1 ms and more: how many and their time; the longest one ever, and the frames received in it.
	// A turn's work takes tens of microseconds, so that long ones with few frames are time in which
	// somebody else had the core.
	stat_cell long_turns, long_turn_ns, turn_max_ns, turn_max_frames;
	// Packet memory, bytes of whole buffers, gauges: all there is (written by worker 0); what the receive
	// and send queues of connections hold, what they may hold together, and what is free in the worker's
	// own cache.
	stat_cell packet_memory, queued_in, queued_out, queue_limit, packet_cached;
	// Requests answered in the turn in which they came, by class and the slot of their route. They count as
	// begun and ended there, too, in the first bucket; here they are few lines however many routes there
	// are.
	_Alignas(64) stat_cell at_once[STATUS_CLASSES][STATS_ROUTES];
};
// What a port's device does for us, as bits.
enum port_offload {
	OFFLOAD_TX_IP_CHECKSUM = 1,
	OFFLOAD_TX_TCP_CHECKSUM = 2,
	OFFLOAD_RX_IP_CHECKSUM = 4,
	OFFLOAD_RX_TCP_CHECKSUM = 8,
	OFFLOAD_TX_CHAINS = 16, // sends packets of several buffers
	OFFLOAD_RSS = 32,       // brings each flow to its worker
	OFFLOAD_TSO = 64,       // cuts TCP segments
};
struct port_stats {
	_Alignas(64) stat_cell rx_packets;
	stat_cell rx_bytes, tx_packets, tx_bytes, tx_dropped, link_up;
	stat_cell offloads;  // enum port_offload, gauge
	stat_cell rx_memory; // bytes of packet buffers that its driver keeps for receiving, gauge
};
struct route_stats {
	_Alignas(64) stat_cell requests[STATUS_CLASSES];
	stat_cell started, finished; // active = started - finished
	stat_cell duration_sum_ns;
	stat_cell duration[HIST_BUCKETS]; // head's first byte to answer's last byte handed to TCP
};
struct upstream_stats {
	_Alignas(64)
		stat_cell responses[STATUS_CLASSES]; // by the upstream's status; 0: failed without an answer
	stat_cell attempts, connects, connect_failures, timeouts, resets, retries, pending_overflow;
	stat_cell active, connections, idle, pending; // gauges
	stat_cell duration_sum_ns;
	stat_cell duration[HIST_BUCKETS]; // attempt start to response complete
};

// Cell of worker w and slot s stands at [w * SLOTS + s].
struct stats {
	struct worker_stats *worker;
	struct port_stats *port;
	struct route_stats *route;
	struct upstream_stats *upstream;
	uint32_t workers;
};

enum stats_array { STATS_WORKER, STATS_PORT, STATS_ROUTE, STATS_UPSTREAM, STATS_ARRAYS };
extern const char *const stats_array_name[STATS_ARRAYS]; // names of pins and files
uint32_t stats_entry_size(enum stats_array a);
uint32_t stats_entries(enum stats_array a, uint32_t workers);
// Maps the four descriptors; writable or read-only. 0 or -errno.
int stats_map(struct stats *st, const int fd[STATS_ARRAYS], uint32_t workers, int writable);
void stats_unmap(struct stats *st);
