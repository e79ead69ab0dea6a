#include "base/slab.h"
#include <errno.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

int slab_init(struct slab *s, struct arena *a, uint32_t capacity, uint32_t size, uint32_t align)
{
	*s = (struct slab){0};
	if (size < sizeof(void *))
		size = sizeof(void *);
	if (size > UINT32_MAX - align)
		return -ENOMEM;
	s->size = (size + align - 1) & ~(align - 1);
	s->capacity = capacity;
	if (s->size && capacity > SIZE_MAX / s->size)
		return -ENOMEM;
	s->mem = arena_alloc(a, (size_t)capacity * s->size, align);
	if (!s->mem)
		return -ENOMEM;
	POISON(s->mem, (size_t)capacity * s->size);
	return 0;
}

void *slab_get(struct slab *s)
{
	void *obj = s->free;

	if (obj) {
		UNPOISON(obj, s->size);
		memcpy(&s->free, obj, sizeof(void *));
	} else if (s->used < s->capacity) {
		// The list is empty, so the `used` objects handed out are the first ones. The others were
		// never touched, and their pages cost nothing until now.
		obj = slab_at(s, s->used);
		UNPOISON(obj, s->size);
	} else {
		s->none_left++;
		return NULL;
	}
	if (++s->used > s->high)
		s->high = s->used;
	return obj;
}

void slab_put(struct slab *s, void *obj)
{
	// Under AddressSanitizer this write is also what finds an object that is put back twice.
	memcpy(obj, &s->free, sizeof(void *));
	s->free = obj;
	s->used--;
	POISON(obj, s->size);
}
