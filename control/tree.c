#include "tree.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

struct anchor {
	const char *name;
	struct node *node;
};

struct reader {
	struct memory *m;
	struct diag *d;
	yaml_parser_t yaml;
	uint32_t file;
	struct anchor *anchor;
	uint32_t n_anchors;
	uint64_t nodes;
	bool failed;
};

static struct mark mark_of(const struct reader *r, yaml_mark_t at)
{
	return (struct mark){r->file, (uint32_t)at.line + 1, (uint32_t)at.column + 1};
}

static bool fail(struct reader *r, struct mark at, const char *text)
{
	if (!r->failed)
		diag_error(r->d, at, "%s", text);
	r->failed = true;
	return false;
}

static bool next(struct reader *r, yaml_event_t *e)
{
	if (r->failed)
		return false;
	if (yaml_parser_parse(&r->yaml, e))
		return true;
	// The scanner's own words, with the place of the problem rather than of its context.
	const yaml_parser_t *y = &r->yaml;
	struct mark at = mark_of(r, y->problem_mark);

	if (y->error == YAML_READER_ERROR)
		at = (struct mark){r->file, (uint32_t)y->mark.line + 1, (uint32_t)y->mark.column + 1};
	diag_error(r->d, at, "not valid YAML: %s%s%s", y->problem ? y->problem : "no memory left",
		   y->context ? " " : "", y->context ? y->context : "");
	r->failed = true;
	return false;
}

static struct node *node_new(struct reader *r, enum node_kind kind, const yaml_event_t *e)
{
	struct node *n = memory_take(r->m, sizeof(*n));

	n->kind = kind;
	n->mark = mark_of(r, e->start_mark);
	n->weight = 1;
	if (++r->nodes > TREE_NODES_MAX)
		fail(r, n->mark, "the file is too large");
	return n;
}

static void anchor_set(struct reader *r, struct mark at, const char *name, struct node *n)
{
	if (!name)
		return;
	if (r->n_anchors == TREE_ANCHORS_MAX) {
		fail(r, at, "too many anchors");
		return;
	}
	r->anchor = memory_grow(r->m, r->anchor, r->n_anchors, sizeof(*r->anchor));
	r->anchor[r->n_anchors++] = (struct anchor){name, n};
}

static struct node *read_node(struct reader *r, yaml_event_t *e, unsigned depth);

static struct node *read_alias(struct reader *r, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;

	for (uint32_t i = r->n_anchors; i > 0; i--) {
		if (strcmp(r->anchor[i - 1].name, name) != 0)
			continue;
		// What an alias repeats counts again: nested aliases could otherwise stand for billions.
		r->nodes += r->anchor[i - 1].node->weight;
		if (r->nodes > TREE_NODES_MAX)
			fail(r, mark_of(r, e->start_mark), "aliases repeat too much");
		return r->anchor[i - 1].node;
	}
	fail(r, mark_of(r, e->start_mark), "alias of an anchor that is not defined before it");
	return NULL;
}

static struct node *read_scalar(struct reader *r, const yaml_event_t *e)
{
	struct node *n = node_new(r, NODE_SCALAR, e);

	if (memchr(e->data.scalar.value, 0, e->data.scalar.length))
		fail(r, n->mark, "a NUL character in a text");
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text = memory_text(r->m, (const char *)e->data.scalar.value, e->data.scalar.length);
	n->length = (uint32_t)e->data.scalar.length;
	return n;
}

static void append(struct reader *r, struct node *n, struct node *child)
{
	n->item = memory_grow(r->m, n->item, n->n, sizeof(struct node *));
	n->item[n->n++] = child;
	n->weight += child->weight;
}

static struct node *read_list(struct reader *r, const yaml_event_t *e, unsigned depth)
{
	struct node *n = node_new(r, NODE_LIST, e);
	yaml_event_t ev;

	while (next(r, &ev)) {
		bool end = ev.type == YAML_SEQUENCE_END_EVENT;
		struct node *child = end ? NULL : read_node(r, &ev, depth + 1);

		yaml_event_delete(&ev);
		if (end)
			return n;
		if (child)
			append(r, n, child);
	}
	return NULL;
}

static struct node *read_map(struct reader *r, const yaml_event_t *e, unsigned depth)
{
	struct node *n = node_new(r, NODE_MAP, e);
	yaml_event_t ev;

	while (next(r, &ev)) {
		if (ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			return n;
		}
		if (ev.type != YAML_SCALAR_EVENT) {
			fail(r, mark_of(r, ev.start_mark), "a key must be a plain text");
			yaml_event_delete(&ev);
			return NULL;
		}
		struct node *key = read_scalar(r, &ev);

		yaml_event_delete(&ev);
		if (!next(r, &ev))
			return NULL;
		struct node *value = read_node(r, &ev, depth + 1);

		yaml_event_delete(&ev);
		if (!value)
			return NULL;
		if (n->n == TREE_KEYS_MAX) {
			fail(r, key->mark, "too many keys in one map");
			return NULL;
		}
		bool twice = false;

		for (uint32_t i = 0; i < n->n && !twice; i++) {
			if (strcmp(n->key[i].text, key->text) != 0)
				continue;
			diag_error(r->d, key->mark, "key \"%s\" a second time (first in line %u)", key->text,
				   n->key[i].mark.line);
			twice = true;
		}
		if (twice)
			continue;
		n->key = memory_grow(r->m, n->key, n->n, sizeof(*n->key));
		n->key[n->n] = (struct node_key){key->text, key->mark};
		append(r, n, value);
	}
	return NULL;
}

static struct node *read_node(struct reader *r, yaml_event_t *e, unsigned depth)
{
	struct node *n = NULL;
	const yaml_char_t *anchor = NULL;

	if (depth > TREE_DEPTH) {
		fail(r, mark_of(r, e->start_mark), "nested too deeply");
		return NULL;
	}
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return read_alias(r, e);
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		n = read_scalar(r, e);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		n = read_list(r, e, depth);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		n = read_map(r, e, depth);
		break;
	default:
		fail(r, mark_of(r, e->start_mark), "not valid YAML here");
		return NULL;
	}
	if (n && anchor)
		anchor_set(r, n->mark, memory_text(r->m, (const char *)anchor, strlen((const char *)anchor)),
			   n);
	return n;
}

static struct node *read_stream(struct reader *r)
{
	struct node *root = NULL;
	yaml_event_t ev;
	bool end = false;

	while (!end && next(r, &ev)) {
		switch (ev.type) {
		case YAML_STREAM_END_EVENT:
			end = true;
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (root)
				fail(r, mark_of(r, ev.start_mark), "a second document in the file");
			break;
		default:
			root = read_node(r, &ev, 0);
		}
		yaml_event_delete(&ev);
	}
	if (!r->failed && !root)
		diag_error(r->d, (struct mark){r->file, 1, 1}, "the file is empty");
	return r->failed ? NULL : root;
}

struct node *tree_parse(struct memory *m, struct diag *d, const char *name, const char *text, size_t n)
{
	struct reader r = {.m = m, .d = d, .file = diag_file(d, name)};

	if (!yaml_parser_initialize(&r.yaml)) {
		diag_error(d, (struct mark){r.file, 0, 0}, "no memory left");
		return NULL;
	}
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, n);
	struct node *root = read_stream(&r);

	yaml_parser_delete(&r.yaml);
	return root;
}

struct node *tree_read(struct memory *m, struct diag *d, const char *path, struct mark from, const char **text,
		       size_t *n)
{
	// A FIFO or a device must not hold control up.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		diag_error(d, from, "%s: %s", path, strerror(errno));
		goto failed;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > TREE_FILE_MAX) {
		diag_error(d, from, "%s: %s", path, S_ISREG(st.st_mode) ? "larger than 64 MiB" : "not a file");
		goto failed;
	}
	size_t size = (size_t)st.st_size, got = 0;
	char *p = memory_take(m, size + 1);

	while (got < size) {
		ssize_t k = read(fd, p + got, size - got);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			diag_error(d, from, "%s: %s", path, strerror(errno));
			goto failed;
		}
		if (k == 0)
			break;
		got += (size_t)k;
	}
	close(fd);
	*text = p;
	*n = got;
	return tree_parse(m, d, path, p, got);
failed:
	if (fd >= 0)
		close(fd);
	return NULL;
}

struct node *node_find(const struct node *map, const char *key)
{
	for (uint32_t i = 0; map->kind == NODE_MAP && i < map->n; i++)
		if (strcmp(map->key[i].text, key) == 0)
			return map->item[i];
	return NULL;
}

const char *node_kind_name(const struct node *n)
{
	return n->kind == NODE_SCALAR ? "a value" : n->kind == NODE_LIST ? "a list" : "a map";
}
