#include "port/steer.h"
#include "base/hash.h"
#include <netinet/in.h>

uint32_t steer_toeplitz(const uint8_t key[STEER_KEY], const uint8_t *in, unsigned n)
{
	uint32_t hash = 0;
	// The top half is the window that slides along the key, one bit for each bit of input.
	uint64_t window = (uint64_t)key[0] << 56 | (uint64_t)key[1] << 48 | (uint64_t)key[2] << 40 |
			  (uint64_t)key[3] << 32;

	for (unsigned i = 0; i < n; i++) {
		window |= (uint64_t)key[i + 4] << 24;
		for (unsigned bit = 0; bit < 8; bit++) {
			// Without a branch: the bits of addresses are anything.
			hash ^= (uint32_t)(window >> 32) & (0u - ((in[i] >> (7 - bit)) & 1u));
			window <<= 1;
		}
	}
	return hash;
}

// The tuple as NDIS orders it: source address, destination address, source port, destination port, each in
// network order.
static unsigned by_rss(const struct steer *s, struct addr remote, struct addr local, uint16_t remote_port,
		       uint16_t local_port)
{
	uint8_t in[36];
	unsigned from = addr_is_v4(remote) ? 12 : 0, n = 16 - from;

	memcpy(in, remote.b + from, n);
	memcpy(in + n, local.b + from, n);
	in[2 * n] = (uint8_t)(remote_port >> 8);
	in[2 * n + 1] = (uint8_t)remote_port;
	in[2 * n + 2] = (uint8_t)(local_port >> 8);
	in[2 * n + 3] = (uint8_t)local_port;
	return s->reta[steer_toeplitz(s->key, in, 2 * n + 4) % s->reta_size];
}

unsigned steer_flow(const struct steer *s, struct addr remote, struct addr local, uint16_t remote_port,
		    uint16_t local_port)
{
	if (s->kind == STEER_ONE || s->workers <= 1)
		return 0;
	if (s->kind == STEER_RSS)
		return by_rss(s, remote, local, remote_port, local_port);
	if (local_port >= STEER_EPHEMERAL)
		return local_port % s->workers;
	return (unsigned)(hash_mix(remote.w[0] ^ remote_port, remote.w[1]) >> 32) % s->workers;
}

static unsigned by_address(const struct steer *s, struct addr remote)
{
	return (unsigned)(hash_mix(remote.w[0], remote.w[1]) >> 32) % s->workers;
}

#define ETH_HEADER 14
#define VLAN_TAG   4

static inline uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

// An ICMP or ICMPv6 error concerns the connection whose segment it quotes, sent by us: that one's owner. -1: it
// quotes no whole beginning of a segment. icmp: n bytes from its header on.
static int by_quote(const struct steer *s, const uint8_t *icmp, uint32_t n, bool v6)
{
	const uint8_t *ip = icmp + 8, *l4;
	uint32_t header = 40, v4;
	struct addr remote, local;

	if (n < 8 + 20 || (v6 ? icmp[0] >= 128 : icmp[0] != 3 && icmp[0] != 11 && icmp[0] != 12))
		return -1;
	n -= 8;
	if (v6) {
		if (n < 40 + 4 || ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP)
			return -1;
		memcpy(local.b, ip + 8, 16);
		memcpy(remote.b, ip + 24, 16);
	} else {
		header = (ip[0] & 15u) * 4;
		if (ip[0] >> 4 != 4 || header < 20 || n < header + 4 || ip[9] != IPPROTO_TCP ||
		    (be16(ip + 6) & 0x1fff) != 0)
			return -1;
		memcpy(&v4, ip + 12, 4);
		local = addr_from_v4(v4);
		memcpy(&v4, ip + 16, 4);
		remote = addr_from_v4(v4);
	}
	l4 = ip + header;
	return (int)steer_flow(s, remote, local, be16(l4 + 2), be16(l4));
}

unsigned steer_frame(const struct steer *s, const char *frame, uint32_t n, unsigned self)
{
	const uint8_t *p = (const uint8_t *)frame, *l4;
	struct addr remote, local;
	uint32_t v4, ihl;
	uint16_t type;

	if (s->kind == STEER_ONE || s->workers <= 1 || n < ETH_HEADER)
		return self;
	type = be16(p + 12);
	p += ETH_HEADER;
	n -= ETH_HEADER;
	if (type == 0x8100) {
		if (n < VLAN_TAG)
			return self;
		type = be16(p + 2);
		p += VLAN_TAG;
		n -= VLAN_TAG;
	}
	if (type == 0x0800) {
		if (n < 20 || p[0] >> 4 != 4)
			return self;
		ihl = (p[0] & 15u) * 4;
		if (ihl < 20 || n < ihl + 4)
			return self;
		memcpy(&v4, p + 12, 4);
		remote = addr_from_v4(v4);
		memcpy(&v4, p + 16, 4);
		local = addr_from_v4(v4);
		// A fragment, the first one too: there are no ports in the others.
		if ((be16(p + 6) & 0x3fff) != 0)
			return by_address(s, remote);
		if (p[9] == IPPROTO_ICMP) {
			int owner = by_quote(s, p + ihl, n - ihl, false);

			return owner < 0 ? self : (unsigned)owner;
		}
		if (p[9] != IPPROTO_TCP)
			return self;
		l4 = p + ihl;
	} else if (type == 0x86dd) {
		// Extension headers are not walked, as most devices do not; there may be a fragment's.
		if (n < 40 + 4 || p[0] >> 4 != 6)
			return self;
		memcpy(remote.b, p + 8, 16);
		memcpy(local.b, p + 24, 16);
		if (p[6] == IPPROTO_FRAGMENT || p[6] == IPPROTO_HOPOPTS || p[6] == IPPROTO_ROUTING ||
		    p[6] == IPPROTO_DSTOPTS)
			return by_address(s, remote);
		if (p[6] == IPPROTO_ICMPV6) {
			int owner = by_quote(s, p + 40, n - 40, true);

			return owner < 0 ? self : (unsigned)owner;
		}
		if (p[6] != IPPROTO_TCP)
			return self;
		l4 = p + 40;
	} else {
		return self;
	}
	return steer_flow(s, remote, local, be16(l4), be16(l4 + 2));
}

bool steer_is_icmp(const char *frame, uint32_t n)
{
	const uint8_t *p = (const uint8_t *)frame;
	uint32_t header = n > ETH_HEADER && be16(p + 12) == 0x8100 ? ETH_HEADER + VLAN_TAG : ETH_HEADER;

	if (n < header + 20)
		return false;
	switch (be16(p + header - 2)) {
	case 0x0800:
		return p[header + 9] == IPPROTO_ICMP;
	case 0x86dd:
		return p[header + 6] == IPPROTO_ICMPV6;
	default:
		return false;
	}
}
