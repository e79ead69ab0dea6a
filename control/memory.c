#include "memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (64u << 10)

struct memory_chunk {
	_Alignas(16) struct memory_chunk *before;
	char data[];
};

void *memory_take(struct memory *m, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	if (size > m->left) {
		size_t room = size > CHUNK ? size : CHUNK;
		struct memory_chunk *c = calloc(1, sizeof(*c) + room + 16);

		if (!c) {
			fputs("churchgate-control: no memory left\n", stderr);
			exit(1);
		}
		c->before = m->last;
		m->last = c;
		m->at = (char *)(((size_t)c->data + 15) & ~(size_t)15);
		m->left = room;
	}
	void *p = m->at;

	m->at += size;
	m->left -= size;
	return p;
}

char *memory_text(struct memory *m, const char *s, size_t n)
{
	char *p = memory_take(m, n + 1);

	if (n)
		memcpy(p, s, n);
	return p;
}

char *memory_print(struct memory *m, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	p = memory_take(m, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return p;
}

void *memory_grow(struct memory *m, void *array, size_t n, size_t size)
{
	if (n && (n & (n - 1)))
		return array; // room was made at the last power of two
	void *p = memory_take(m, (n ? n * 2 : 1) * size);

	if (n)
		memcpy(p, array, n * size);
	return p;
}

void memory_free(struct memory *m)
{
	while (m->last) {
		struct memory_chunk *c = m->last;

		m->last = c->before;
		free(c);
	}
	m->left = 0;
}
