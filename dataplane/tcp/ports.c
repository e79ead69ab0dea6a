// Local ports for connections to upstreams: such that the answers steer to this worker, in an order that a
// stranger cannot foresee (RFC 6056 3.3.4: a keyed offset for each destination and a counter), and free towards
// that destination. A port whose last use is in TIME_WAIT is not free, but taken where no other is found and
// timestamps tell the two apart.
#include "tcp/conn.h"

#define PORTS   (65536u - STEER_EPHEMERAL)
#define LOOKUPS 2048 // flow lookups at most for one choice: a worker must not stand still over this

uint16_t ports_choose(struct tcp *t, uint16_t port, struct addr local, struct addr remote, uint16_t remote_port,
		      uint32_t *floor)
{
	struct {
		struct addr local, remote;
		uint32_t port, purpose;
	} in = {local, remote, remote_port, 3};
	uint64_t hash = siphash(t->secret, &in, sizeof(in));
	uint32_t *counter = &t->port_counter[(hash >> 32) % PORT_COUNTERS];
	const struct steer *steer = port < SNAP_PORTS_MAX ? t->conf.steer[port] : NULL;
	uint32_t lookups = 0, waiting = FLOW_NONE;
	uint16_t second = 0;

	*floor = 0;

	for (uint32_t i = 0; i < PORTS && lookups < LOOKUPS; i++) {
		uint16_t candidate =
			(uint16_t)(STEER_EPHEMERAL + ((uint32_t)hash % PORTS + (*counter)++) % PORTS);

		if (steer && steer->kind != STEER_ONE &&
		    steer_flow(steer, remote, local, remote_port, candidate) != t->conf.worker)
			continue;
		lookups++;
		uint32_t index = flow_find(t, flow_hash(&t->flows, local, remote, candidate, remote_port),
					   local, remote, candidate, remote_port);
		if (index == FLOW_NONE)
			return candidate;
		if (second == 0 && time_wait_reusable(t, index)) {
			second = candidate;
			waiting = index;
		}
	}
	if (second)
		*floor = time_wait_reuse(t, waiting);
	return second;
}
