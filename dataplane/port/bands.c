#include "port/bands.h"

#define SYN_SHARE 4 // of a burst one part in so many is theirs, if they want it
#define MANY      4 // SYNs wait when they fill one part in so many of their band
#define PREFETCH  8 // frames ahead

#define ETH_HEADER 14u
#define VLAN_TAG   4u
#define IP4_HEADER 20u
#define IP6_HEADER 40u
#define TCP        6
#define TCP_FLAGS  13u // offset in the header
#define SYN        2u
#define ACK        16u

bool frame_is_syn(const char *frame, uint32_t n)
{
	const uint8_t *p = (const uint8_t *)frame;
	uint32_t at = ETH_HEADER;

	if (n < ETH_HEADER + VLAN_TAG + IP4_HEADER)
		return false;
	if (p[12] == 0x81 && p[13] == 0)
		at += VLAN_TAG;
	if (p[at - 2] == 0x08 && p[at - 1] == 0x00) {
		if (p[at + 9] != TCP || (p[at + 6] & 0x3f) != 0 || p[at + 7] != 0)
			return false;
		at += (p[at] & 15u) * 4;
	} else if (p[at - 2] == 0x86 && p[at - 1] == 0xdd) {
		if (p[at + 6] != TCP)
			return false;
		at += IP6_HEADER;
	} else {
		return false;
	}
	return at + TCP_FLAGS < n && (p[at + TCP_FLAGS] & (SYN | ACK)) == SYN;
}

unsigned bands_put(struct bands *q, struct pkt **v, unsigned n, bool sort)
{
	unsigned dropped = 0;

	for (unsigned i = 0; sort && i < n && i < PREFETCH; i++)
		__builtin_prefetch(pkt_data(v[i]));
	for (unsigned i = 0; i < n; i++) {
		if (sort && i + PREFETCH < n)
			__builtin_prefetch(pkt_data(v[i + PREFETCH]));
		if (!sort || !frame_is_syn(pkt_data(v[i]), pkt_len(v[i])))
			q->rest[q->tail++ % BANDS_REST] = v[i];
		else if (bands_syns(q) < q->max_syn)
			q->syn[q->syn_tail++ % BANDS_SYN] = v[i];
		else
			v[dropped++] = v[i];
	}
	pkt_free_burst(v, dropped);
	return dropped;
}

unsigned bands_take(struct bands *q, struct pkt **v, unsigned n)
{
	uint32_t syns = bands_syns(q), rest = bands_rest(q), k = 0;
	uint32_t kept = syns < n / SYN_SHARE ? syns : n / SYN_SHARE;

	rest = rest < n - kept ? rest : n - kept;
	while (k < rest)
		v[k++] = q->rest[q->head++ % BANDS_REST];
	for (; k < n && syns; syns--)
		v[k++] = syns > q->max_syn / MANY ? q->syn[--q->syn_tail % BANDS_SYN]
						  : q->syn[q->syn_head++ % BANDS_SYN];
	return k;
}

void bands_clear(struct bands *q)
{
	struct pkt *p;

	while (bands_take(q, &p, 1) == 1)
		pkt_free_chain(p);
}
