// A YAML file as a tree that knows where each thing stands. Aliases are followed; duplicate keys, several
// documents in a file and nesting beyond TREE_DEPTH are errors.
#pragma once
#include "diag.h"

#define TREE_KEYS_MAX    4096 // in one map: each is compared with those before it
#define TREE_ANCHORS_MAX 1024 // likewise with each alias
#define TREE_DEPTH       32
#define TREE_FILE_MAX    (64u << 20)
#define TREE_NODES_MAX   (8u << 20) // counted with what aliases repeat

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node;
struct node_key {
	const char *text;
	struct mark mark;
};

struct node {
	enum node_kind kind;
	struct mark mark;
	bool plain;       // a scalar without quotes
	const char *text; // NUL-terminated; a NUL inside of it is refused
	uint32_t length;
	uint32_t n;
	uint32_t weight;      // nodes in it, itself included
	struct node_key *key; // NODE_MAP
	struct node **item;   // NODE_LIST, and the values of NODE_MAP
};

// NULL where the file could not be read or is not YAML: diag says why. *text, *n: the file's text.
struct node *tree_read(struct memory *m, struct diag *d, const char *path, struct mark from, const char **text,
		       size_t *n);
// The same from memory; name stands in messages.
struct node *tree_parse(struct memory *m, struct diag *d, const char *name, const char *text, size_t n);
struct node *node_find(const struct node *map, const char *key); // NULL: none
const char *node_kind_name(const struct node *n);
