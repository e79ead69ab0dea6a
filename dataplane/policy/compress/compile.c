// compress of a route, and how it becomes the stage's record.
#include "control/stage.h"
#include "policy/compress/conf.h"
#include <string.h>

struct compress_given {
	struct object_head head;
	struct list types;      // struct text
	struct list algorithms; // struct number, index in algorithm_words
	struct number level, min_size;
};

struct compress_keys_conf {
	struct object_head head;
	struct compress_given compress;
};

static const char *const algorithm_words[] = {"gzip", "br", NULL}; // enum coding, from CODING_GZIP on
static const char *const usual_types[] = {
	"text/*",
	"application/json",
	"application/javascript",
	"application/xml",
	"application/xhtml+xml",
	"application/rss+xml",
	"application/atom+xml",
	"application/ld+json",
	"application/problem+json",
	"application/geo+json",
	"application/manifest+json",
	"application/wasm",
	"application/x-javascript",
	"image/svg+xml",
};
#define USUAL (sizeof(usual_types) / sizeof(usual_types[0]))

#define G(member) .offset = offsetof(struct compress_given, member)
static const struct field compress_fields[] = {
	{"types", KIND_LIST, KIND_TEXT, FIELD_ONE, G(types), .min = 1, .max = COMPRESS_TYPES_MAX,
	 .help = "media types of bodies that are compressed: text/html, or text/* for all of a kind; text, "
		 "JSON, "
		 "XML, scripts, wasm and SVG when not given"},
	{"algorithms", KIND_LIST, KIND_WORD, FIELD_ONE, G(algorithms), .min = 1, .max = CODINGS - 1,
	 .words = algorithm_words,
	 .help = "of those that a client likes alike the first is used; [gzip, br] when not given"},
	{"level", KIND_NUMBER, G(level), .min = 1, .max = COMPRESS_LEVELS, .def = "3",
	 .help = "1: quickest, 4: smallest; beyond it the work on other clients' packets would have to wait"},
	{"min_size", KIND_SIZE, G(min_size), .min = 1, .max = 1u << 30, .def = "1KiB",
	 .help = "bodies that say they are smaller go as they are"},
};
static const struct object compress_object = {"compress", sizeof(struct compress_given),
					      OBJECT(compress_fields), .shorthand = "algorithms"};
static const struct field compress_route_fields[] = {
	{"compress", KIND_OBJECT, .offset = offsetof(struct compress_keys_conf, compress),
	 .object = &compress_object,
	 .help = "bodies of answers are compressed for clients that accept it (RFC 9110 12.5.3)"},
};
const struct object compress_keys = {"compress", sizeof(struct compress_keys_conf),
				     OBJECT(compress_route_fields)};

static bool present(const void *conf, const struct stage_place *place)
{
	(void)place;
	return ((const struct compress_keys_conf *)conf)->compress.head.given;
}

// type "/" subtype, or type "/*", without parameters.
static bool is_type(const struct text *t)
{
	const char *slash = t->s ? strchr(t->s, '/') : NULL;

	if (!slash || slash == t->s || !slash[1] || t->n > COMPRESS_TYPE_MAX || t->s[0] == '*')
		return false;
	for (const char *p = t->s; *p; p++)
		if (p != slash && !(*p == '*' && p == slash + 1 && !p[1]) &&
		    ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f ||
		     strchr("\"(),/:;<=>?@[\\]{}*", *p)))
			return false;
	return true;
}

static void check(struct diag *d, const void *conf, const struct stage_place *place)
{
	const struct compress_given *c = &((const struct compress_keys_conf *)conf)->compress;
	const struct text *t = c->types.v;
	const struct number *a = c->algorithms.v;

	if (!c->head.given)
		return;
	if (!place->route->to.given)
		diag_error(d, c->head.mark, "compress: means nothing in a route without \"to\"");
	for (uint32_t i = 0; i < c->types.n; i++)
		if (t[i].s && !is_type(&t[i]))
			diag_error(d, t[i].mark, "types: \"%s\" is no media type such as text/html or text/*",
				   t[i].s);
	for (uint32_t i = 0; i < c->algorithms.n; i++)
		for (uint32_t k = 0; k < i; k++)
			if (a[i].given && a[k].given && a[i].v == a[k].v)
				diag_error(d, a[i].mark, "algorithms: %s a second time",
					   algorithm_words[a[i].v]);
}

static struct snap_ref compile(struct blob *b, const void *conf, const struct stage_place *place)
{
	const struct compress_given *c = &((const struct compress_keys_conf *)conf)->compress;
	const struct text *t = c->types.v;
	const struct number *a = c->algorithms.v;
	struct snap_ref types[COMPRESS_TYPES_MAX], ref;
	uint32_t n = c->types.n ? c->types.n : USUAL;
	struct compress_conf record = {.min_size = (uint32_t)c->min_size.v, .level = (uint8_t)c->level.v};

	(void)place;
	for (uint32_t i = 0; i < n && i < COMPRESS_TYPES_MAX; i++)
		types[i] = c->types.n ? blob_text(b, t[i].s, t[i].n)
				      : blob_text(b, usual_types[i], strlen(usual_types[i]));
	record.types = blob_add(b, types, n, sizeof(types[0]));
	record.n_codings = (uint8_t)(c->algorithms.n ? c->algorithms.n : CODINGS - 1);
	for (uint32_t i = 0; i < record.n_codings; i++)
		record.coding[i] = (uint8_t)(CODING_GZIP + (c->algorithms.n ? a[i].v : i));
	ref = blob_add(b, &record, 1, sizeof(record));
	ref.n = sizeof(record); // stage records are counted in bytes
	return ref;
}

const struct stage_compiler compress_compiler = {present, check, compile};
