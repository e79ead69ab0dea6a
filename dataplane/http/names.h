// Which of headers.def a name is.
#pragma once
#include "http/fold.h"
#include "http/head.h"

// A name's slot, from its length and its last two letters. Each of our names has a slot of its own
// (test_forms.c says so): the compiler makes a table of the comparisons.
static inline unsigned name_slot(size_t n, char last_but_one, char last)
{
	return ((unsigned)n * 4 + ((unsigned)last_but_one | 0x20) * 2 + ((unsigned)last | 0x20) * 5) % 128;
}

static inline enum http_header name_in_slot(unsigned slot)
{
#define HEADER(id, text)                                                                                       \
	if (slot == name_slot(sizeof(text) - 1, (text)[sizeof(text) - 3], (text)[sizeof(text) - 2]))           \
		return HDR_##id;
#include "http/headers.def"
#undef HEADER
	return HDR_OTHER;
}

static inline uint64_t name_word(const char *p)
{
	uint64_t word;

	memcpy(&word, p, 8);
	return word;
}

// Of n bytes; text is in lower case (fold.h). Words overlap where n is no multiple of theirs.
static inline bool name_is(const char *name, const char *text, size_t n)
{
	const uint64_t fold = 0x2020202020202020u;
	uint64_t differ;

	if (n < 8)
		return folded_eq(name, text, n);
	differ = ((name_word(name) | fold) ^ name_word(text)) |
		 ((name_word(name + n - 8) | fold) ^ name_word(text + n - 8));
	if (n > 16)
		differ |= (name_word(name + 8) | fold) ^ name_word(text + 8);
	return differ == 0;
}
#define HEADER(id, text) _Static_assert(sizeof(text) - 1 >= 2 && sizeof(text) - 1 <= 24, "name_is");
#include "http/headers.def"
#undef HEADER

// One of our names with '_' in the place of a '-', which servers behind us may read as that (RFC 3875 4.1.18).
static inline __attribute__((cold)) enum http_header name_misspelt(const char *name, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((name[i] == '_' ? '-' : ascii_lower(name[i])) != text.p[i])
			return HDR_OTHER;
	return HDR_misspelt;
}

// Of a name with a byte in front of it that may be read.
static inline __attribute__((always_inline)) enum http_header name_find_within(const char *name, size_t n)
{
	const char *end = name + n;
	static const struct slice text[HDR_COUNT] = {
#define HEADER(id, text) [HDR_##id] = {text, sizeof(text) - 1},
#include "http/headers.def"
#undef HEADER
	};
	enum http_header id = name_in_slot(name_slot(n, end[-2], end[-1]));

	if (id == HDR_OTHER || text[id].n != n)
		return HDR_OTHER;
	return name_is(name, text[id].p, n) ? id : name_misspelt(name, text[id]);
}

static inline enum http_header name_find(struct slice name)
{
	return name.n < 2 ? HDR_OTHER : name_find_within(name.p, name.n);
}
