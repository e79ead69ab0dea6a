// ICMP errors about our segments. Anyone can forge them, so they count only where the quoted sequence number is
// under way (RFC 5927 4.1), and end a connection only while it is being opened (RFC 5461).
#include "tcp/sendq.h"
#include <errno.h>

#define ICMP_UNREACHABLE 3
#define UNREACH_PROTOCOL 2
#define UNREACH_PORT     3
#define UNREACH_TOO_BIG  4
#define MTU_MIN          576

// RFC 5461 lets a connection attempt end at the first error, and that is what callers with other endpoints to
// try want. An unresolved next hop is reported in the same way, as host unreachable.
static int open_error(uint8_t code)
{
	return code == UNREACH_PROTOCOL || code == UNREACH_PORT ? ECONNREFUSED : EHOSTUNREACH;
}

// RFC 1191: smaller segments from now on, and what is under way again.
static void path_mtu(struct tcp_conn *c, uint16_t mtu)
{
	uint32_t overhead = (addr_is_v4(c->path.remote) ? 40u : 60u) + (c->flags & CONN_TS ? OPT_TS_LEN : 0);

	if (mtu < MTU_MIN || mtu >= c->path.mtu || mtu < overhead + 64 || mtu - overhead >= c->mss)
		return;
	c->path.mtu = mtu;
	c->mss = (uint16_t)(mtu - overhead);
	if (c->flags & CONN_SACK) {
		board_lose_all(c, false);
		c->recover = c->snd_max; // no sign of congestion
		c->flags |= CONN_RESEND;
	} else {
		c->snd_nxt = c->snd_una;
	}
	c->flags &= ~CONN_RTT;
	conn_dirty(c);
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
			path_mtu(c, mtu);
		return;
	}
	if (c->state == TCP_SYN_SENT) {
		tcp_count(t, CTR_tcp_unreachable);
		conn_fail(c, open_error(code));
	}
}
