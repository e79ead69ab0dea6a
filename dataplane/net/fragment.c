#include "net/fragment.h"
#include "net/ethernet.h"

unsigned fragment_split(struct net *n, const struct pkt *p, uint32_t each, struct pkt *out[FRAGMENTS_MAX])
{
	uint32_t len = pkt_chain_len(p), done = 0;
	unsigned count = (len + each - 1) / each;

	if (count > FRAGMENTS_MAX) {
		net_count(n, CTR_ip_too_big);
		return 0;
	}
	for (unsigned i = 0; i < count; i++) {
		out[i] = pkt_alloc(n->pool);
		if (out[i])
			continue;
		while (i > 0)
			pkt_free(out[--i]);
		net_count(n, CTR_rx_no_buffer);
		return 0;
	}
	for (; p; p = pkt_next(p))
		for (uint32_t at = 0, k; at < pkt_len(p); at += k, done += k) {
			k = each - done % each;
			k = k < pkt_len(p) - at ? k : pkt_len(p) - at;
			memcpy(pkt_append(out[done / each], k), pkt_data(p) + at, k);
		}
	return count;
}

uint32_t fragment_id(struct net *n, struct addr local, struct addr remote)
{
	struct addr ends[2] = {local, remote};

	return (uint32_t)siphash(n->key, ends, sizeof(ends)) + n->fragment_id++;
}
