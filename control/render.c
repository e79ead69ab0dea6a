#include "render.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 32
#define CELL_MAX    512

struct out {
	char *p;
	size_t n, cap;
	bool failed;
};

static void put(struct out *o, const char *s, size_t n)
{
	if (o->n + n + 1 > o->cap) {
		size_t cap = (o->n + n + 1) * 2;
		char *p = realloc(o->p, cap);

		if (!p) {
			o->failed = true;
			return;
		}
		o->p = p;
		o->cap = cap;
	}
	memcpy(o->p + o->n, s, n);
	o->n += n;
	o->p[o->n] = '\0';
}

// Characters, not bytes, are what is aligned.
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void pad(struct out *o, size_t n)
{
	while (n-- > 0)
		put(o, " ", 1);
}

static void scalar(const json_t *v, char *dst, size_t room)
{
	switch (json_typeof(v)) {
	case JSON_STRING: {
		const char *s = json_string_value(v);
		size_t n = 0;

		for (; *s && n + 2 < room; s++) {
			if (*s == '\n') {
				dst[n++] = '\\';
				dst[n++] = 'n';
			} else {
				dst[n++] = (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s;
			}
		}
		dst[n] = '\0';
		break;
	}
	case JSON_INTEGER:
		snprintf(dst, room, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		snprintf(dst, room, json_real_value(v) < 10 ? "%.3f" : "%.1f", json_real_value(v));
		break;
	case JSON_TRUE:
		snprintf(dst, room, "yes");
		break;
	case JSON_FALSE:
		snprintf(dst, room, "no");
		break;
	default:
		snprintf(dst, room, "-");
	}
}

static void cell(const json_t *v, char *dst, size_t room)
{
	size_t n = 0, i;
	json_t *item;

	if (!v) {
		snprintf(dst, room, "-");
		return;
	}
	if (!json_is_array(v)) {
		scalar(v, dst, room);
		if (!dst[0])
			snprintf(dst, room, "-");
		return;
	}
	dst[0] = '\0';
	json_array_foreach(v, i, item)
	{
		char one[CELL_MAX];

		scalar(item, one, sizeof(one));
		int k = snprintf(dst + n, room - n, "%s%s", i ? "," : "", one);

		if (k < 0 || (size_t)k >= room - n)
			return;
		n += (size_t)k;
	}
	if (!dst[0])
		snprintf(dst, room, "-");
}

static bool is_rows(const json_t *v)
{
	return json_is_array(v) && json_array_size(v) && json_is_object(json_array_get(v, 0));
}

struct column {
	const char *key;
	bool number;
	size_t width;
};

// "endpoints" of "upstreams": the column in front is called "upstream".
static void singular(const char *key, char *dst, size_t room)
{
	size_t n = strlen(key);

	snprintf(dst, room, "%.*s", (int)(n && key[n - 1] == 's' ? n - 1 : n), key);
}

// rows: objects. of: NULL, or the owners' key and the name of each row's owner.
static void table(struct out *o, const json_t *rows, const char *of, const json_t *owners)
{
	struct column c[COLUMNS_MAX];
	char text[CELL_MAX], head[64];
	size_t n = 0, i;
	json_t *row, *v;
	const char *key;

	json_array_foreach(rows, i, row) json_object_foreach(row, key, v)
	{
		size_t k = 0;

		if (is_rows(v) || json_is_object(v) || (json_is_array(v) && !json_array_size(v)))
			continue;
		while (k < n && strcmp(c[k].key, key) != 0)
			k++;
		if (k == COLUMNS_MAX)
			continue;
		if (k == n)
			c[n++] = (struct column){key, true, width(key)};
		cell(v, text, sizeof(text));
		c[k].number &= json_is_number(v) || json_is_null(v);
		if (width(text) > c[k].width)
			c[k].width = width(text);
	}
	size_t first = 0;

	if (of) {
		singular(of, head, sizeof(head));
		first = width(head);
		json_array_foreach(owners, i, v) if (width(json_string_value(v)) > first) first =
			width(json_string_value(v));
	}
	for (size_t line = 0; line <= json_array_size(rows); line++) {
		row = line ? json_array_get(rows, line - 1) : NULL;
		if (of) {
			const char *name = line ? json_string_value(json_array_get(owners, line - 1)) : head;

			put(o, name, strlen(name));
			pad(o, first - width(name) + 2);
		}
		for (size_t k = 0; k < n; k++) {
			if (row)
				cell(json_object_get(row, c[k].key), text, sizeof(text));
			else
				snprintf(text, sizeof(text), "%s", c[k].key);
			size_t gap = c[k].width - width(text);

			if (c[k].number)
				pad(o, gap);
			put(o, text, strlen(text));
			if (k + 1 < n)
				pad(o, (c[k].number ? 0 : gap) + 2);
		}
		put(o, "\n", 1);
	}
}

// The tables inside of rows, each kind as one table behind.
static void inner_tables(struct out *o, const char *of, const json_t *rows)
{
	const char *done[COLUMNS_MAX];
	size_t n_done = 0, i, k;
	json_t *row, *v, *item;
	const char *key;

	json_array_foreach(rows, i, row) json_object_foreach(row, key, v)
	{
		bool seen = false;
		json_t *all, *owners;
		size_t m;
		json_t *other;

		if (!is_rows(v))
			continue;
		for (k = 0; k < n_done; k++)
			seen |= strcmp(done[k], key) == 0;
		if (seen || n_done == COLUMNS_MAX)
			continue;
		done[n_done++] = key;
		all = json_array();
		owners = json_array();
		json_array_foreach(rows, m, other) json_array_foreach(json_object_get(other, key), k, item)
		{
			json_t *name = json_object_get(other, "name");

			json_array_append(all, item);
			json_array_append_new(owners,
					      json_string(json_is_string(name) ? json_string_value(name) : ""));
		}
		put(o, key, strlen(key));
		put(o, ":\n", 2);
		table(o, all, of, owners);
		json_decref(all);
		json_decref(owners);
	}
}

static void lines(struct out *o, const json_t *object, const char *prefix, size_t column)
{
	const char *key;
	json_t *v;
	char text[CELL_MAX * 4], name[128];

	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		if (is_rows(v) || (json_is_array(v) && !json_array_size(v)))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? " " : "", key);
		if (json_is_object(v)) {
			lines(o, v, name, column);
			continue;
		}
		cell(v, text, sizeof(text));
		put(o, name, strlen(name));
		pad(o, column > width(name) ? column - width(name) + 2 : 2);
		put(o, text, strlen(text));
		put(o, "\n", 1);
	}
}

static size_t lines_width(const json_t *object, size_t prefix)
{
	size_t widest = 0;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		size_t w = is_rows(v) ? 0 : prefix + width(key);

		if (json_is_object(v))
			w = lines_width(v, w + 1);
		if (w > widest)
			widest = w;
	}
	return widest;
}

char *render_text(const json_t *answer)
{
	struct out o = {0};
	unsigned tables = 0;
	const char *key;
	json_t *v;

	put(&o, "", 0);
	lines(&o, answer, "", lines_width(answer, 0));
	json_object_foreach((json_t *)(uintptr_t)answer, key, v) tables += json_is_array(v);
	json_object_foreach((json_t *)(uintptr_t)answer, key, v)
	{
		if (!json_is_array(v) || (json_array_size(v) && !is_rows(v)))
			continue;
		if (!json_array_size(v)) {
			put(&o, "no ", 3);
			put(&o, key, strlen(key));
			put(&o, "\n", 1);
			continue;
		}
		if (tables > 1) {
			put(&o, key, strlen(key));
			put(&o, ":\n", 2);
		}
		table(&o, v, NULL, NULL);
		inner_tables(&o, key, v);
	}
	if (o.failed) {
		free(o.p);
		return NULL;
	}
	return o.p;
}
