#include "blob.h"
#include "base/hash.h"
#include <stdlib.h>

static bool blob_grow(struct blob *b, size_t need)
{
	size_t cap = b->cap ? b->cap : 4096;
	char *p;

	if (b->failed)
		return false;
	if (need > UINT32_MAX) {
		b->failed = true;
		return false;
	}
	while (cap < need)
		cap *= 2;
	if (cap == b->cap)
		return true;
	p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

static struct snap_ref blob_append(struct blob *b, const void *bytes, size_t n, size_t align, size_t count)
{
	size_t off = (b->n + align - 1) & ~(align - 1);

	if (n == 0 || !blob_grow(b, off + n))
		return (struct snap_ref){0, 0};
	memset(b->p + b->n, 0, off - b->n);
	if (bytes)
		memcpy(b->p + off, bytes, n);
	else
		memset(b->p + off, 0, n);
	b->n = off + n;
	return (struct snap_ref){(uint32_t)off, (uint32_t)count};
}

struct snap_ref blob_add(struct blob *b, const void *records, size_t count, size_t size_each)
{
	if (size_each && count > UINT32_MAX / size_each) {
		b->failed = true;
		return (struct snap_ref){0, 0};
	}
	return blob_append(b, records, count * size_each, 8, count);
}

// Where such a text stands, or the empty slot that it would have.
static struct snap_ref *text_slot(const struct blob *b, struct snap_ref *slots, uint32_t n_slots, const char *s,
				  size_t n)
{
	for (uint32_t i = (uint32_t)hash64(s, n);; i++) {
		struct snap_ref *t = &slots[i & (n_slots - 1)];

		if (t->n == 0 || (t->n == n && memcmp(b->p + t->off, s, n) == 0))
			return t;
	}
}

static bool texts_grow(struct blob *b)
{
	uint32_t n = b->text_slots ? 2 * b->text_slots : 1024;
	struct snap_ref *more = calloc(n, sizeof(*more));

	if (!more)
		return false;
	for (uint32_t i = 0; i < b->text_slots; i++)
		if (b->texts[i].n)
			*text_slot(b, more, n, b->p + b->texts[i].off, b->texts[i].n) = b->texts[i];
	free(b->texts);
	b->texts = more;
	b->text_slots = n;
	return true;
}

struct snap_ref blob_text(struct blob *b, const char *s, size_t n)
{
	struct snap_ref *t, none = {0, 0};

	if (n == 0 || b->failed)
		return none;
	if (n > UINT32_MAX || (2 * b->n_texts >= b->text_slots && !texts_grow(b))) {
		b->failed = true;
		return none;
	}
	t = text_slot(b, b->texts, b->text_slots, s, n);
	if (t->n)
		return *t;
	*t = blob_append(b, s, n, 1, n);
	b->n_texts += t->n != 0;
	return *t;
}

void blob_pad(struct blob *b, size_t align)
{
	blob_append(b, NULL, -b->n & (align - 1), 1, 1);
}

void blob_free(struct blob *b)
{
	free(b->p);
	free(b->texts);
	*b = (struct blob){0};
}
