// The configuration's keys, declared once in tables: the parser, the JSON Schema and the defaults follow from
// them. A table (struct object) names the fields of a C struct; schema_parse() fills such a struct from a tree
// and reports everything that is wrong, each at its place.
#pragma once
#include "base/addr.h"
#include "tree.h"

enum kind {
	KIND_TEXT,    // struct text
	KIND_NAME,    // struct text: letters, digits, '_', '-', '.'
	KIND_NUMBER,  // struct number
	KIND_TIME,    // struct number, ns; the unit is mandatory
	KIND_SIZE,    // struct number, bytes; the unit is mandatory
	KIND_RATE,    // struct number, bytes a second: a size and "/s"
	KIND_WORD,    // struct number, index in words
	KIND_MODE,    // struct number: permissions of a file, octal text
	KIND_ADDRESS, // struct address
	KIND_PREFIX,  // struct address: address/bits
	KIND_TCP,     // struct address: address:port
	KIND_BIND,    // struct address: ":port" or address:port
	KIND_OBJECT,  // a struct that begins with struct object_head
	KIND_LIST,    // struct list, of kind `item`
	KIND_MAP,     // struct list of struct pair: texts under keys of the writer's choice
	KIND_NAMED,   // struct list of objects under names: each begins with struct object_head, struct text
};

struct text {
	const char *s; // NULL: neither given nor defaulted
	uint32_t n;
	struct mark mark;
};
struct number {
	uint64_t v;
	bool given;
	struct mark mark;
};
struct address {
	bool given;
	struct addr addr;
	uint32_t prefix; // 0..128, IPv4 is mapped
	uint16_t tcp_port;
	struct text text;
};
struct list {
	void *v;
	uint32_t n;
	bool given;
	struct mark mark;
};
struct pair {
	struct text key, value;
};
struct object_head {
	bool given;
	struct mark mark;
};

#define FIELD_REQUIRED 1u
#define FIELD_ONE      2u // a list may be written as its only item

struct object;
struct field {
	const char *key;
	enum kind kind;
	enum kind item; // of a list
	uint32_t flags;
	size_t offset;
	uint64_t min, max;           // of the value; of a text's or list's length where not 0
	const char *def;             // as it would be written; NULL: none
	const char *const *words;    // KIND_WORD, ends with NULL
	const struct object *object; // KIND_OBJECT, and lists of it
	const char *help;
};

struct object {
	const char *name;
	size_t size;
	const struct field *fields;
	uint32_t n;
	const char *shorthand; // a scalar in the object's place stands for this key
	// Further tables whose keys stand among this one's (the stages' keys in a route); for each a struct of
	// its own is made, and its address is put into an array of pointers at parts_offset.
	const struct object *const *parts;
	uint32_t n_parts;
	size_t parts_offset;
};

#define OBJECT(table) .fields = (table), .n = sizeof(table) / sizeof((table)[0])

// Fills *out (o->size bytes, zeroed) from the tree.
void schema_parse(struct memory *m, struct diag *d, const struct object *o, const struct node *n, void *out);
struct json_t;
struct json_t *schema_json(const struct object *root, const char *title);

// Units. Each is false where the text is none of the kind, with a reason in why.
bool unit_time(const char *s, uint64_t *ns, const char **why);
// "100/min": so many (1..1000000000) in a second, minute, hour or day: s, min, h, day; the period in ns.
bool unit_rate(const char *s, uint32_t *count, uint64_t *period, const char **why);
bool unit_size(const char *s, uint64_t *bytes, const char **why);
bool unit_speed(const char *s, uint64_t *bytes, const char **why); // "1KiB/s"
void unit_time_text(uint64_t ns, char out[static 32]);             // the shortest exact form, "1500ms", "5s"
void unit_size_text(uint64_t bytes, char out[static 32]);
// "address:port", "[address]:port"; and ":port" where any is allowed (address all zero).
bool address_tcp(const char *s, bool any, struct addr *addr, uint16_t *port, const char **why);
bool address_prefix(const char *s, struct addr *addr, uint32_t *prefix, const char **why);
