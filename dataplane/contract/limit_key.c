#include "contract/limit_key.h"

void limit_key_start(struct limit_key *k)
{
	k->n = 0;
}

static void put(struct limit_key *k, uint32_t kind, const void *p, size_t n)
{
	const uint16_t head[2] = {(uint16_t)kind, (uint16_t)n};

	// SNAP_LIMIT_PARTS_MAX of the longest have room; more parts than that there are not.
	if (n + sizeof(head) > sizeof(k->b) - k->n)
		return;
	memcpy(k->b + k->n, head, sizeof(head));
	if (n)
		memcpy(k->b + k->n + sizeof(head), p, n);
	k->n += (uint32_t)(sizeof(head) + n);
}

void limit_key_value(struct limit_key *k, const struct limit_table *t, uint32_t kind, struct slice value)
{
	if (value.n <= KEY_VALUE_MAX) {
		put(k, kind, value.p, value.n);
	} else {
		const uint64_t sum[2] = {siphash(t->key, value.p, value.n), value.n};

		put(k, kind | 0x100, sum, sizeof(sum));
	}
}

void limit_key_aspect(struct limit_key *k, enum limit_key_aspect aspect, uint32_t n)
{
	k->n = n;
	put(k, aspect, NULL, 0);
}

struct addr limit_key_network(const struct snap_limit_part *p, struct addr client)
{
	unsigned bits = addr_is_v4(client) ? 96u + p->prefix4 : p->prefix6;

	for (unsigned i = 0; i < 16; i++) {
		if (i * 8 >= bits)
			client.b[i] = 0;
		else if (bits - i * 8 < 8)
			client.b[i] &= (uint8_t)(0xff << (8 - (bits - i * 8)));
	}
	return client;
}

void limit_key_address(struct limit_key *k, const struct snap_limit_part *p, struct addr client)
{
	struct addr network = limit_key_network(p, client);

	put(k, LIMIT_PART_CLIENT_IP, network.b, sizeof(network.b));
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t limit_key_decode(struct slice v, bool plus, char *dst, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < v.n && n < room; i++) {
		char c = v.p[i];

		if (c == '%' && v.n - i > 2 && hex(v.p[i + 1]) >= 0 && hex(v.p[i + 2]) >= 0) {
			c = (char)(hex(v.p[i + 1]) << 4 | hex(v.p[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		dst[n++] = c;
	}
	return n;
}
