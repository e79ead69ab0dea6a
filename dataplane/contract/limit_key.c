#include "contract/limit_key.h"

void limit_key_start(struct limit_key *k)
{
	k->n = 0;
}

// Two words, stored as one: they are read as one soon.
typedef uint64_t block __attribute__((vector_size(16), may_alias));

static void put(struct limit_key *k, uint32_t kind, const void *p, size_t n)
{
	size_t room = (n + sizeof(block) - 1) / sizeof(block) * sizeof(block);

	// SNAP_LIMIT_PARTS_MAX of the longest have room; more parts than that there are not.
	if (room + sizeof(block) > sizeof(k->b) - k->n)
		return;
	*(block *)(k->b + k->n) = (block){kind, n};
	k->n += (uint32_t)sizeof(block);
	if (n)
		memcpy(k->b + k->n, p, n);
	memset(k->b + k->n + n, 0, room - n);
	k->n += (uint32_t)room;
}

void limit_key_value(struct limit_key *k, const struct limit_table *t, uint32_t kind, struct slice value)
{
	if (value.n <= KEY_VALUE_MAX) {
		put(k, kind, value.p, value.n);
	} else {
		const uint64_t sum[2] = {siphash(t->hash.key, value.p, value.n), value.n};

		put(k, kind | 0x100, sum, sizeof(sum));
	}
}

struct limit_table_key limit_key_aspect(struct limit_key *k, const struct limit_table *t, uint32_t slot,
					enum limit_key_aspect aspect, uint32_t n)
{
	k->n = n;
	put(k, aspect, NULL, 0);
	return limit_table_aside(limit_table_key(t, slot, k->b, k->n));
}

struct limit_table_key limit_key_strike(const struct limit_table *t, const struct limit_table_key *strikes,
					uint32_t i)
{
	const uint64_t of[2] = {strikes->id, i};

	return limit_table_aside(limit_table_key(t, limit_table_slot(strikes->id), of, sizeof(of)));
}

// The first `bits` of 16 bytes.
static inline block network(struct addr client, unsigned bits)
{
	const uint64_t high = bits < 64 ? (bits ? ~0ull << (64 - bits) : 0) : ~0ull;
	const uint64_t low = bits <= 64 ? 0 : ~0ull << (128 - bits);

	// Word by word, in registers.
	return (block){client.w[0] & __builtin_bswap64(high), client.w[1] & __builtin_bswap64(low)};
}

static inline unsigned prefix_of(const struct snap_limit_part *p, struct addr client)
{
	return addr_is_v4(client) ? 96u + p->prefix4 : p->prefix6;
}

struct addr limit_key_network(const struct snap_limit_part *p, struct addr client)
{
	block a = network(client, prefix_of(p, client));

	memcpy(client.b, &a, sizeof(a));
	return client;
}

void limit_key_address(struct limit_key *k, const struct snap_limit_part *p, struct addr client)
{
	const uint32_t n = k->n;

	if (2 * sizeof(block) > sizeof(k->b) - n)
		return;
	*(block *)(k->b + n) = (block){LIMIT_PART_CLIENT_IP, sizeof(block)};
	*(block *)(k->b + n + sizeof(block)) = network(client, prefix_of(p, client));
	k->n = n + 2 * (uint32_t)sizeof(block);
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
