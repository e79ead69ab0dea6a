#include "blob.h"
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

struct snap_ref blob_text(struct blob *b, const char *s, size_t n)
{
	if (n > UINT32_MAX) {
		b->failed = true;
		return (struct snap_ref){0, 0};
	}
	return blob_append(b, s, n, 1, n);
}

void blob_pad(struct blob *b, size_t align)
{
	blob_append(b, NULL, -b->n & (align - 1), 1, 1);
}

void blob_free(struct blob *b)
{
	free(b->p);
	*b = (struct blob){0};
}
