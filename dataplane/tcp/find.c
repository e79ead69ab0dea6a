#include "tcp/conn.h"

void *flow_object(const struct tcp *t, uint32_t index)
{
	if (index < t->conns.capacity)
		return conn_at(t, index);
	return (struct time_wait *)t->waits.mem + (index - t->conns.capacity);
}

uint32_t flow_find(const struct tcp *t, uint64_t hash, struct addr local, struct addr remote,
		   uint16_t local_port, uint16_t remote_port)
{
	const struct flow_table *f = &t->flows;
	uint16_t tag = flow_tag(hash);
	uint32_t n = flow_first(f, hash);

	for (int turn = 0; turn < 2; turn++, n = flow_other(f, n, tag)) {
		const struct flow_bucket *b = &f->bucket[n];

		for (unsigned bits = flow_match(b, tag); bits; bits &= bits - 1) {
			uint32_t index = b->index[__builtin_ctz(bits)];
			const struct flow_ends *e = flow_object(t, index);

			if (addr_eq(e->remote, remote) && addr_eq(e->local, local) &&
			    e->local_port == local_port && e->remote_port == remote_port)
				return index;
		}
	}
	return FLOW_NONE;
}
