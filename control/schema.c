#include "schema.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
	struct memory *m;
	struct diag *d;
};

static size_t kind_size(enum kind k, const struct object *o)
{
	switch (k) {
	case KIND_TEXT:
	case KIND_NAME:
		return sizeof(struct text);
	case KIND_NUMBER:
	case KIND_TIME:
	case KIND_SIZE:
	case KIND_RATE:
	case KIND_WORD:
	case KIND_MODE:
		return sizeof(struct number);
	case KIND_ADDRESS:
	case KIND_PREFIX:
	case KIND_TCP:
	case KIND_BIND:
		return sizeof(struct address);
	case KIND_OBJECT:
		return o->size;
	case KIND_LIST:
	case KIND_MAP:
	case KIND_NAMED:
		break;
	}
	return sizeof(struct list);
}

static size_t words_count(const char *const *words)
{
	size_t n = 0;

	while (words && words[n])
		n++;
	return n;
}

// "a, b or c"
static const char *words_text(struct memory *m, const char *const *words)
{
	size_t n = words_count(words);
	char *text = memory_text(m, "", 0);

	for (size_t i = 0; i < n; i++)
		text = memory_print(m, "%s%s%s", text, i == 0 ? "" : i + 1 == n ? " or " : ", ", words[i]);
	return text;
}

static void range_error(const struct parse *p, const struct field *f, enum kind kind, struct mark at,
			const char *written)
{
	char lo[32], hi[32];

	if (kind == KIND_TIME) {
		unit_time_text(f->min, lo);
		unit_time_text(f->max, hi);
	} else if (kind == KIND_SIZE) {
		unit_size_text(f->min, lo);
		unit_size_text(f->max, hi);
	} else {
		snprintf(lo, sizeof(lo), "%llu", (unsigned long long)f->min);
		snprintf(hi, sizeof(hi), "%llu", (unsigned long long)f->max);
	}
	diag_error(p->d, at, "%s: %s is not in %s..%s", f->key, written, lo, hi);
}

static bool digits(const char *s, unsigned base, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s || strlen(s) > 18)
		return false;
	for (; *s; s++) {
		if (*s < '0' || (unsigned)(*s - '0') >= base)
			return false;
		v = v * base + (uint64_t)(*s - '0');
	}
	*out = v;
	return true;
}

static void parse_number(const struct parse *p, const struct field *f, enum kind kind, const char *s,
			 struct mark at, struct number *out)
{
	const char *why = NULL;
	uint64_t v = 0;
	bool good;

	switch (kind) {
	case KIND_TIME:
		good = unit_time(s, &v, &why);
		break;
	case KIND_SIZE:
		good = unit_size(s, &v, &why);
		break;
	case KIND_RATE:
		good = unit_speed(s, &v, &why);
		break;
	case KIND_MODE:
		good = digits(s, 8, &v) && v <= 0777;
		why = "is not a file mode such as \"0600\"";
		break;
	case KIND_WORD: {
		size_t n = words_count(f->words);

		for (; v < n && strcmp(f->words[v], s) != 0; v++)
			;
		if (v == n) {
			const char *near = diag_suggest(s, f->words, n);

			diag_error(p->d, at, "%s: \"%s\" is not one of %s%s%s%s", f->key, s,
				   words_text(p->m, f->words), near ? "; did you mean \"" : "",
				   near ? near : "", near ? "\"?" : "");
			return;
		}
		*out = (struct number){v, true, at};
		return;
	}
	default:
		good = digits(s, 10, &v);
		why = "is not a whole number";
	}
	if (!good) {
		diag_error(p->d, at, "%s: \"%s\" %s", f->key, s, why);
		return;
	}
	if (kind != KIND_MODE && f->max && (v < f->min || v > f->max)) {
		range_error(p, f, kind, at, s);
		return;
	}
	*out = (struct number){v, true, at};
}

static void parse_text(const struct parse *p, const struct field *f, enum kind kind, const char *s, size_t n,
		       struct mark at, struct text *out)
{
	uint64_t max = f->max && f->kind != KIND_LIST ? f->max : 65536;

	if (kind == KIND_NAME) {
		max = 63; // names are kept in the region, whose places have 64 bytes
		for (size_t i = 0; i < n; i++) {
			char c = s[i];

			if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '-' || c == '.')
				continue;
			diag_error(p->d, at,
				   "%s: \"%s\" is no name: letters, digits, '_', '-' and '.' make names",
				   f->key, s);
			return;
		}
		if (n == 0) {
			diag_error(p->d, at, "%s: an empty name", f->key);
			return;
		}
	}
	if (n > max) {
		diag_error(p->d, at, "%s: longer than %llu bytes", f->key, (unsigned long long)max);
		return;
	}
	if (f->min && f->kind != KIND_LIST && n < f->min) {
		diag_error(p->d, at, "%s: empty", f->key);
		return;
	}
	*out = (struct text){s, (uint32_t)n, at};
}

static void parse_address(const struct parse *p, const struct field *f, enum kind kind, const char *s,
			  struct mark at, struct address *out)
{
	struct address a = {.given = true, .text = {s, (uint32_t)strlen(s), at}};
	const char *why = "is a malformed address";
	bool good;

	switch (kind) {
	case KIND_PREFIX:
		good = address_prefix(s, &a.addr, &a.prefix, &why);
		break;
	case KIND_TCP:
	case KIND_BIND:
		good = address_tcp(s, kind == KIND_BIND, &a.addr, &a.tcp_port, &why);
		break;
	default:
		good = addr_parse(s, strlen(s), &a.addr) == 0;
	}
	if (good)
		*out = a;
	else
		diag_error(p->d, at, "%s: \"%s\" %s", f->key, s, why);
}

static void parse_scalar(const struct parse *p, const struct field *f, enum kind kind, const char *s, size_t n,
			 struct mark at, void *out)
{
	switch (kind) {
	case KIND_TEXT:
	case KIND_NAME:
		parse_text(p, f, kind, s, n, at, out);
		break;
	case KIND_ADDRESS:
	case KIND_PREFIX:
	case KIND_TCP:
	case KIND_BIND:
		parse_address(p, f, kind, s, at, out);
		break;
	default:
		parse_number(p, f, kind, s, at, out);
	}
}

static void defaults(const struct parse *p, const struct object *o, struct mark at, void *out);
static void parse_object(const struct parse *p, const struct object *o, const struct node *n, void *out);

static void parse_value(const struct parse *p, const struct field *f, enum kind kind, const struct node *n,
			void *out)
{
	if (kind == KIND_OBJECT) {
		parse_object(p, f->object, n, out);
		return;
	}
	if (n->kind != NODE_SCALAR) {
		diag_error(p->d, n->mark, "%s: %s where a value is expected", f->key, node_kind_name(n));
		return;
	}
	if (n->plain && (n->length == 0 || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0)) {
		diag_error(p->d, n->mark, "%s: has no value", f->key);
		return;
	}
	parse_scalar(p, f, kind, n->text, n->length, n->mark, out);
}

static void parse_list(const struct parse *p, const struct field *f, const struct node *n, struct list *out)
{
	size_t size = kind_size(f->item, f->object);
	const struct node *one = n;
	struct node *const *item = (struct node *const *)&one;
	uint32_t count = 1;

	if (n->kind == NODE_LIST) {
		item = n->item;
		count = n->n;
	} else if (!(f->flags & FIELD_ONE)) {
		diag_error(p->d, n->mark, "%s: %s where a list is expected", f->key, node_kind_name(n));
		return;
	}
	if (f->max && count > f->max)
		diag_error(p->d, n->mark, "%s: more than %llu items", f->key, (unsigned long long)f->max);
	if (count < f->min)
		diag_error(p->d, n->mark, "%s: at least %llu item needed", f->key, (unsigned long long)f->min);
	*out = (struct list){memory_take(p->m, size * (count ? count : 1)), count, true, n->mark};
	for (uint32_t i = 0; i < count; i++)
		parse_value(p, f, f->item, item[i], (char *)out->v + i * size);
}

static void parse_map(const struct parse *p, const struct field *f, const struct node *n, struct list *out)
{
	if (n->kind != NODE_MAP) {
		diag_error(p->d, n->mark, "%s: %s where a map is expected", f->key, node_kind_name(n));
		return;
	}
	struct pair *v = memory_take(p->m, sizeof(*v) * (n->n ? n->n : 1));

	for (uint32_t i = 0; i < n->n; i++) {
		v[i].key = (struct text){n->key[i].text, (uint32_t)strlen(n->key[i].text), n->key[i].mark};
		if (n->item[i]->kind != NODE_SCALAR)
			diag_error(p->d, n->item[i]->mark, "%s: %s where a text is expected", n->key[i].text,
				   node_kind_name(n->item[i]));
		else
			v[i].value = (struct text){n->item[i]->text, n->item[i]->length, n->item[i]->mark};
	}
	*out = (struct list){v, n->n, true, n->mark};
}

static void parse_named(const struct parse *p, const struct field *f, const struct node *n, struct list *out)
{
	size_t size = f->object->size;
	const struct field name = {.key = f->key, .kind = KIND_NAME};

	if (n->kind != NODE_MAP) {
		diag_error(p->d, n->mark, "%s: %s where a map is expected", f->key, node_kind_name(n));
		return;
	}
	if (f->max && n->n > f->max)
		diag_error(p->d, n->mark, "%s: more than %llu items", f->key, (unsigned long long)f->max);
	*out = (struct list){memory_take(p->m, size * (n->n ? n->n : 1)), n->n, true, n->mark};
	for (uint32_t i = 0; i < n->n; i++) {
		char *at = (char *)out->v + i * size;

		parse_object(p, f->object, n->item[i], at);
		parse_text(p, &name, KIND_NAME, n->key[i].text, strlen(n->key[i].text), n->key[i].mark,
			   (struct text *)(void *)(at + sizeof(struct object_head)));
	}
}

static void parse_field(const struct parse *p, const struct field *f, const struct node *n, void *out)
{
	if (f->kind == KIND_LIST)
		parse_list(p, f, n, out);
	else if (f->kind == KIND_MAP)
		parse_map(p, f, n, out);
	else if (f->kind == KIND_NAMED)
		parse_named(p, f, n, out);
	else
		parse_value(p, f, f->kind, n, out);
}

// The field of this key in the object or in one of its parts, and the struct it belongs to.
static const struct field *field_find(const struct object *o, const char *key, void **base)
{
	for (uint32_t i = 0; i < o->n; i++)
		if (strcmp(o->fields[i].key, key) == 0)
			return &o->fields[i];
	for (uint32_t k = 0; k < o->n_parts; k++)
		for (uint32_t i = 0; i < o->parts[k]->n; i++)
			if (strcmp(o->parts[k]->fields[i].key, key) == 0) {
				*base = ((void **)((char *)*base + o->parts_offset))[k];
				return &o->parts[k]->fields[i];
			}
	return NULL;
}

static const char *key_suggest(const struct object *o, const char *key)
{
	const char *words[64];
	size_t n = 0;

	for (uint32_t i = 0; i < o->n && n < 64; i++)
		words[n++] = o->fields[i].key;
	for (uint32_t k = 0; k < o->n_parts; k++)
		for (uint32_t i = 0; i < o->parts[k]->n && n < 64; i++)
			words[n++] = o->parts[k]->fields[i].key;
	return diag_suggest(key, words, n);
}

static void default_field(const struct parse *p, const struct field *f, struct mark at, void *out)
{
	if (f->kind == KIND_OBJECT) {
		((struct object_head *)out)->mark = at;
		defaults(p, f->object, at, out);
	} else if (f->def && f->kind == KIND_LIST) {
		return;
	} else if (f->def) {
		parse_scalar(p, f, f->kind, f->def, strlen(f->def), at, out);
		if (f->kind == KIND_NUMBER || (f->kind >= KIND_TIME && f->kind <= KIND_MODE))
			((struct number *)out)->given = false;
	}
}

static void defaults(const struct parse *p, const struct object *o, struct mark at, void *out)
{
	for (uint32_t i = 0; i < o->n; i++)
		default_field(p, &o->fields[i], at, (char *)out + o->fields[i].offset);
	for (uint32_t k = 0; k < o->n_parts; k++) {
		void *part = memory_take(p->m, o->parts[k]->size);

		((void **)((char *)out + o->parts_offset))[k] = part;
		((struct object_head *)part)->mark = at;
		defaults(p, o->parts[k], at, part);
	}
}

static void parse_object(const struct parse *p, const struct object *o, const struct node *n, void *out)
{
	struct object_head *head = out;

	*head = (struct object_head){true, n->mark};
	defaults(p, o, n->mark, out);
	if (n->kind == NODE_SCALAR && o->shorthand && n->length) {
		const struct field *f = field_find(o, o->shorthand, &out);

		if (f)
			parse_field(p, f, n, (char *)out + f->offset);
		return;
	}
	if (n->kind != NODE_MAP) {
		diag_error(p->d, n->mark, "%s: %s where a map is expected", o->name, node_kind_name(n));
		return;
	}
	for (uint32_t i = 0; i < n->n; i++) {
		void *base = out;
		const struct field *f = field_find(o, n->key[i].text, &base);

		if (f) {
			((struct object_head *)base)->given = true;
			parse_field(p, f, n->item[i], (char *)base + f->offset);
			continue;
		}
		const char *near = key_suggest(o, n->key[i].text);

		diag_error(p->d, n->key[i].mark, "unknown key \"%s\" in %s%s%s%s", n->key[i].text, o->name,
			   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
	for (uint32_t i = 0; i < o->n; i++)
		if (o->fields[i].flags & FIELD_REQUIRED && !node_find(n, o->fields[i].key))
			diag_error(p->d, n->mark, "%s: key \"%s\" is missing", o->name, o->fields[i].key);
}

void schema_parse(struct memory *m, struct diag *d, const struct object *o, const struct node *n, void *out)
{
	struct parse p = {m, d};

	parse_object(&p, o, n, out);
}

static json_t *json_of_kind(const struct field *f, enum kind kind);

static json_t *json_object_of(const struct object *o)
{
	json_t *props = json_object(), *required = json_array();

	for (uint32_t k = 0; k <= o->n_parts; k++) {
		const struct object *part = k ? o->parts[k - 1] : o;

		for (uint32_t i = 0; i < part->n; i++) {
			const struct field *f = &part->fields[i];
			json_t *j = json_of_kind(f, f->kind);

			if (f->help)
				json_object_set_new(j, "description", json_string(f->help));
			if (f->def)
				json_object_set_new(j, "default", json_string(f->def));
			json_object_set_new(props, f->key, j);
			if (f->flags & FIELD_REQUIRED)
				json_array_append_new(required, json_string(f->key));
		}
	}
	json_t *j =
		json_pack("{s:s, s:o, s:b}", "type", "object", "properties", props, "additionalProperties", 0);

	if (json_array_size(required))
		json_object_set(j, "required", required);
	json_decref(required);
	if (!o->shorthand)
		return j;
	return json_pack("{s:[{s:s},o]}", "anyOf", "type", "string", j);
}

static json_t *json_of_kind(const struct field *f, enum kind kind)
{
	json_t *j;

	switch (kind) {
	case KIND_TEXT:
		return json_pack("{s:[s,s]}", "type", "string", "number");
	case KIND_NAME:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[A-Za-z0-9_.-]{1,63}$");
	case KIND_NUMBER:
		j = json_pack("{s:s}", "type", "integer");
		if (f->max) {
			json_object_set_new(j, "minimum", json_integer((json_int_t)f->min));
			json_object_set_new(j, "maximum", json_integer((json_int_t)f->max));
		}
		return j;
	case KIND_TIME:
		return json_pack("{s:s, s:s}", "type", "string", "pattern",
				 "^[0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h)$");
	case KIND_SIZE:
		return json_pack("{s:s, s:s}", "type", "string", "pattern",
				 "^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB)$");
	case KIND_RATE:
		return json_pack("{s:s, s:s}", "type", "string", "pattern",
				 "^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB)/s$");
	case KIND_MODE:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-7]{1,4}$");
	case KIND_WORD:
		j = json_array();
		for (size_t i = 0; f->words[i]; i++)
			json_array_append_new(j, json_string(f->words[i]));
		return json_pack("{s:o}", "enum", j);
	case KIND_ADDRESS:
		return json_pack("{s:s}", "type", "string");
	case KIND_PREFIX:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9A-Fa-f:.]+/[0-9]{1,3}$");
	case KIND_TCP:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[^ ]+:[0-9]{1,5}$");
	case KIND_BIND:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[^ ]*:[0-9]{1,5}$");
	case KIND_OBJECT:
		return json_object_of(f->object);
	case KIND_MAP:
		return json_pack("{s:s, s:{s:[s,s]}}", "type", "object", "additionalProperties", "type",
				 "string", "number");
	case KIND_NAMED:
		return json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
				 json_object_of(f->object));
	case KIND_LIST:
		break;
	}
	j = json_pack("{s:s, s:o}", "type", "array", "items", json_of_kind(f, f->item));
	if (f->min)
		json_object_set_new(j, "minItems", json_integer((json_int_t)f->min));
	if (f->flags & FIELD_ONE)
		return json_pack("{s:[o,o]}", "anyOf", json_of_kind(f, f->item), j);
	return j;
}

struct json_t *schema_json(const struct object *root, const char *title)
{
	json_t *j = json_object_of(root);

	json_object_set_new(j, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
	json_object_set_new(j, "title", json_string(title));
	return j;
}
