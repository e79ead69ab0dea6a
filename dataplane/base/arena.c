#include "base/arena.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int arena_init(struct arena *a, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	*a = (struct arena){0};
	if (size == 0 || size > SIZE_MAX - page)
		return -EINVAL;
	size = (size + page - 1) & ~(page - 1);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	a->base = p;
	a->size = size;
	return 0;
}

void *arena_alloc(struct arena *a, size_t size, size_t align)
{
	size_t at = (a->used + align - 1) & ~(align - 1);

	if (at < a->used || at > a->size || size > a->size - at)
		return NULL;
	a->used = at + size;
	return a->base + at;
}

void *arena_alloc_table(struct arena *a, size_t size)
{
	size_t off;
	char *p;

	if (size < ARENA_LARGE_PAGE)
		return arena_alloc(a, size, 64);
	off = ARENA_LARGE_PAGE - ((uintptr_t)a->base + a->used) % ARENA_LARGE_PAGE;
	if (off > a->size - a->used || size > a->size - a->used - off)
		return NULL;
	a->used += off;
	p = arena_alloc(a, size, 1);
	(void)madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

void arena_fini(struct arena *a)
{
#if defined(__SANITIZE_ADDRESS__)
	// Free slab objects were poisoned; whoever maps these addresses next must not inherit that.
	extern void __asan_unpoison_memory_region(void const volatile *, size_t);
	if (a->base)
		__asan_unpoison_memory_region(a->base, a->size);
#endif
	if (a->base)
		munmap(a->base, a->size);
	*a = (struct arena){0};
}
