#include "tcp/source.h"
#include <errno.h>

static uint32_t buckets(uint32_t entries)
{
	uint64_t want = (uint64_t)entries / 3 + 1, n = 2;

	while (n < want)
		n *= 2;
	return (uint32_t)n;
}

size_t sources_memory(uint32_t entries)
{
	return (size_t)buckets(entries) * sizeof(struct source_bucket) + 64;
}

int sources_init(struct sources *s, struct arena *a, uint32_t entries)
{
	uint32_t n = buckets(entries);

	*s = (struct sources){.mask = n - 1, .bucket = arena_alloc(a, n * sizeof(struct source_bucket), 64)};
	return s->bucket ? 0 : -ENOMEM;
}

uint64_t source_key(struct hash_key secret, struct addr client, unsigned prefix6, uint32_t tag)
{
	struct {
		struct addr client;
		uint32_t tag, purpose;
	} in = {client, tag, 5};

	if (!addr_is_v4(client))
		for (unsigned i = 0; i < 16; i++) {
			unsigned keep = prefix6 > 8 * i ? prefix6 - 8 * i : 0;

			if (keep < 8)
				in.client.b[i] &= (uint8_t) ~(0xffu >> keep);
		}
	uint64_t key = siphash(secret, &in, sizeof(in));
	return key ? key : 1;
}

// Its entry, or with `make` where one is free, in the emptier of its buckets; NULL: neither.
static uint32_t *find(const struct sources *s, uint64_t key, bool make)
{
	uint32_t home[2] = {(uint32_t)key & s->mask, (uint32_t)(key >> 32) & s->mask};
	uint32_t *empty = NULL;
	unsigned most = 0;

	for (unsigned turn = 0; turn < 2; turn++) {
		struct source_bucket *b = &s->bucket[home[turn]];
		unsigned free = 0, last = 0;

		for (unsigned i = 0; i < SOURCE_WAYS; i++) {
			if (b->key[i] == key)
				return &b->count[i];
			if (b->key[i] == 0) {
				free++;
				last = i;
			}
		}
		if (free > most) {
			most = free;
			empty = &b->count[last];
		}
	}
	return make ? empty : NULL;
}

uint32_t source_count(const struct sources *s, uint64_t key)
{
	const uint32_t *count = find(s, key, false);

	return count ? *count : 0;
}

static uint32_t place_of(const struct sources *s, const uint32_t *count)
{
	uint32_t n = (uint32_t)(((const char *)count - (const char *)s->bucket) / sizeof(struct source_bucket));

	return n * SOURCE_WAYS + (uint32_t)(count - s->bucket[n].count) + 1;
}

uint32_t source_add(struct sources *s, uint64_t key)
{
	uint32_t *count = find(s, key, true);

	if (!count)
		return 0;
	uint32_t place = place_of(s, count);
	s->bucket[(place - 1) / SOURCE_WAYS].key[(place - 1) % SOURCE_WAYS] = key;
	++*count;
	s->used++;
	return place;
}

void source_drop(struct sources *s, uint32_t place)
{
	struct source_bucket *b = &s->bucket[(place - 1) / SOURCE_WAYS];
	uint32_t i = (place - 1) % SOURCE_WAYS;

	s->used--;
	if (--b->count[i] == 0)
		b->key[i] = 0;
}
