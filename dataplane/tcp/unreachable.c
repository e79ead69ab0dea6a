// ICMP errors about our segments. Anyone can forge them, so they count only where the quoted sequence number is
// under way (RFC 5927 4.1), and end a connection only while it is being opened (RFC 5461).
#include "tcp/conn.h"
#include <errno.h>

#define ICMP_UNREACHABLE 3
#define UNREACH_PROTOCOL 2
#define UNREACH_PORT     3
#define UNREACH_TOO_BIG  4

// RFC 5461 lets a connection attempt end at the first error, and that is what callers with other endpoints to
// try want. An unresolved next hop is reported in the same way, as host unreachable.
static int open_error(uint8_t code)
{
	return code == UNREACH_PROTOCOL || code == UNREACH_PORT ? ECONNREFUSED : EHOSTUNREACH;
}

void tcp_unreachable(void *tcp, struct addr local, struct addr remote, uint16_t local_port,
		     uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code, uint16_t mtu)
{
	struct tcp *t = tcp;
	uint64_t hash = flow_hash(&t->flows, local, remote, local_port, remote_port);
	uint32_t index = flow_find(t, hash, local, remote, local_port, remote_port);

	if (type != ICMP_UNREACHABLE || index >= t->conns.capacity) // FLOW_NONE and TIME_WAIT too
		return;
	struct tcp_conn *c = conn_at(t, index);
	if (seq_lt(seq, c->snd_una) || seq_ge(seq, c->snd_max))
		return;
	if (code == UNREACH_TOO_BIG) {
		if (c->flags & CONN_OPENED)
			pathmtu_too_big(t, c, mtu);
		return;
	}
	if (c->state == TCP_SYN_SENT) {
		tcp_count(t, CTR_tcp_unreachable);
		conn_fail(c, open_error(code));
	}
}
