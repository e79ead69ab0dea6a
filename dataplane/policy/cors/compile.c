// cors of a route, and how it becomes the stage's record.
#include "control/stage.h"
#include "policy/cors/conf.h"
#include <stdio.h>
#include <string.h>

struct cors_given {
	struct object_head head;
	struct list origins, headers, expose; // struct text
	struct list methods;                  // struct number, index in conf_methods
	struct number credentials, max_age;
};

struct cors_keys_conf {
	struct object_head head;
	struct cors_given cors;
};

#define G(member) .offset = offsetof(struct cors_given, member)
static const struct field cors_fields_given[] = {
	{"origins", KIND_LIST, KIND_TEXT, FIELD_ONE | FIELD_REQUIRED, G(origins), .min = 1,
	 .max = CORS_ORIGINS_MAX, .help = "https://app.example.com; \"*\" alone: any"},
	{"methods", KIND_LIST, KIND_WORD, FIELD_ONE, G(methods), .min = 1, .max = 16, .words = conf_methods,
	 .help = "that other origins may use; those of the route when not given"},
	{"headers", KIND_LIST, KIND_TEXT, FIELD_ONE, G(headers), .max = 64,
	 .help = "fields that they may set; \"*\" alone: any"},
	{"expose", KIND_LIST, KIND_TEXT, FIELD_ONE, G(expose), .max = 64,
	 .help = "fields of the answer that their scripts may read"},
	{"credentials", KIND_WORD, G(credentials), .def = "false", .words = conf_booleans,
	 .help = "whether cookies and authorization may be sent along"},
	{"max_age", KIND_TIME, G(max_age), .max = 86400ull * 1000000000, .def = "10m",
	 .help = "for which browsers may keep the answer to a preflight"},
};
static const struct object cors_object = {"cors", sizeof(struct cors_given), OBJECT(cors_fields_given)};
static const struct field cors_route_fields[] = {
	{"cors", KIND_OBJECT, .offset = offsetof(struct cors_keys_conf, cors), .object = &cors_object,
	 .help = "which other origins' scripts may use the route (Fetch standard); preflights are answered "
		 "here"},
};
const struct object cors_keys = {"cors", sizeof(struct cors_keys_conf), OBJECT(cors_route_fields)};

static bool present(const void *conf, const struct stage_place *place)
{
	(void)place;
	return ((const struct cors_keys_conf *)conf)->cors.head.given;
}

static bool is_any(const struct text *t)
{
	return t->n == 1 && t->s[0] == '*';
}

// scheme "://" host [":" port], in lower case, as browsers send it.
static bool is_origin(const struct text *t)
{
	const char *host = strstr(t->s, "://");

	if (!host || host == t->s || !host[3])
		return false;
	for (const char *p = t->s; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.';

		if (!letter && (p < host || p >= host + 3) && *p != ':' && *p != '[' && *p != ']' && *p != '+')
			return false;
	}
	return true;
}

static void check_names(struct diag *d, const struct list *l, const char *what, bool any)
{
	const struct text *t = l->v;
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		bool token = t[i].n > 0;

		if (!t[i].s)
			continue;
		bytes += t[i].n + 2;
		for (uint32_t k = 0; k < t[i].n; k++)
			token = token && (unsigned char)t[i].s[k] > ' ' && (unsigned char)t[i].s[k] < 0x7f &&
				!strchr("\"(),/:;<=>?@[\\]{}", t[i].s[k]);
		if (is_any(&t[i]) && (!any || l->n > 1))
			diag_error(d, t[i].mark, "%s: \"*\" stands alone or not at all", what);
		else if (!token)
			diag_error(d, t[i].mark, "%s: \"%s\" is no name of a header field", what, t[i].s);
	}
	if (bytes > CORS_LIST_MAX)
		diag_error(d, l->mark, "%s: more than %d bytes together", what, CORS_LIST_MAX);
}

static void check(struct diag *d, const void *conf, const struct stage_place *place)
{
	const struct cors_given *c = &((const struct cors_keys_conf *)conf)->cors;
	const struct text *o = c->origins.v;

	(void)place;
	if (!c->head.given)
		return;
	for (uint32_t i = 0; i < c->origins.n; i++) {
		if (!o[i].s)
			continue;
		if (is_any(&o[i]) && c->origins.n > 1)
			diag_error(d, o[i].mark, "origins: \"*\" stands alone or not at all");
		else if (is_any(&o[i]) && c->credentials.v)
			diag_error(d, o[i].mark,
				   "origins: any site could act as the user; with credentials, name them");
		else if (!is_any(&o[i]) && (!is_origin(&o[i]) || o[i].n > 255))
			diag_error(d, o[i].mark,
				   "origins: \"%s\" is no origin: scheme://host or scheme://host:port", o[i].s);
	}
	check_names(d, &c->headers, "headers", true);
	check_names(d, &c->expose, "expose", false);
}

static struct snap_ref names_add(struct blob *b, const struct list *l)
{
	char text[CORS_LIST_MAX + 4];
	const struct text *t = l->v;
	size_t n = 0;

	for (uint32_t i = 0; i < l->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "", t[i].s);
	return n ? blob_text(b, text, n) : (struct snap_ref){0, 0};
}

static struct snap_ref methods_add(struct blob *b, const struct list *own, const struct list *route)
{
	const struct list *l = own->n ? own : route;
	char text[256] = "GET, HEAD, POST, PUT, DELETE, PATCH";
	size_t n = 0;

	for (uint32_t i = 0; i < l->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "",
				      conf_methods[((const struct number *)l->v)[i].v]);
	return blob_text(b, text, strlen(text));
}

static struct snap_ref compile(struct blob *b, const void *conf, const struct stage_place *place)
{
	const struct cors_given *c = &((const struct cors_keys_conf *)conf)->cors;
	struct snap_ref origins[CORS_ORIGINS_MAX], ref;
	const struct text *o = c->origins.v;
	char age[24];

	for (uint32_t i = 0; i < c->origins.n && i < CORS_ORIGINS_MAX; i++)
		origins[i] = blob_text(b, o[i].s, o[i].n);
	snprintf(age, sizeof(age), "%llu", (unsigned long long)(c->max_age.v / 1000000000));

	struct cors_conf record = {.origins = blob_add(b, origins, c->origins.n, sizeof(origins[0])),
				   .methods = methods_add(b, &c->methods, &place->route->match.methods),
				   .headers = names_add(b, &c->headers),
				   .expose = names_add(b, &c->expose),
				   .max_age = blob_text(b, age, strlen(age)),
				   .credentials = (uint32_t)c->credentials.v};

	ref = blob_add(b, &record, 1, sizeof(record));
	ref.n = sizeof(record); // stage records are counted in bytes
	return ref;
}

const struct stage_compiler cors_compiler = {present, check, compile};
