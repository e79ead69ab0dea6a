// request_headers and response_headers of a route, and how they become the stage's record.
#include "control/stage.h"
#include "control/template.h"
#include "control/versions.h"
#include "policy/headers/conf.h"
#include <string.h>

#define VERSION_EDITS 4 // fields that a version adds

struct direction {
	struct object_head head;
	struct list set, add; // struct pair
	struct list remove;   // struct text
};

struct headers_keys_conf {
	struct object_head head;
	struct direction request, response;
};

static const struct field direction_fields[] = {
	{"set", KIND_MAP, .offset = offsetof(struct direction, set),
	 .help = "in place of what the message has"},
	{"add", KIND_MAP, .offset = offsetof(struct direction, add), .help = "beside what the message has"},
	{"remove", KIND_LIST, KIND_TEXT, FIELD_ONE, .offset = offsetof(struct direction, remove)},
};
static const struct object request_object = {"request_headers", sizeof(struct direction),
					     OBJECT(direction_fields)};
static const struct object response_object = {"response_headers", sizeof(struct direction),
					      OBJECT(direction_fields)};

static const struct field headers_fields[] = {
	{"request_headers", KIND_OBJECT, .offset = offsetof(struct headers_keys_conf, request),
	 .object = &request_object, .help = "edits of the request's header fields: remove, then set, then add"},
	{"response_headers", KIND_OBJECT, .offset = offsetof(struct headers_keys_conf, response),
	 .object = &response_object,
	 .help = "edits of the response's header fields: remove, then set, then add"},
};
const struct object headers_keys = {"headers", sizeof(struct headers_keys_conf), OBJECT(headers_fields)};

// Fields that say how the message is framed, where it goes or what holds for one connection only: the gateway
// writes them itself (RFC 9110 7.6.1, RFC 9112 6).
static const char *const reserved[] = {
	"host", "connection",       "content-length", "transfer-encoding", "keep-alive",
	"te",   "proxy-connection", "trailer",        "upgrade",           "expect",
};

static bool is_token(const char *s, size_t n) // RFC 9110 5.6.2
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			continue;
		if (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))
			return false;
	}
	return n > 0;
}

static void check_name(struct diag *d, const struct text *name)
{
	if (!name->s)
		return;
	if (!is_token(name->s, name->n) || name->n > 256) {
		diag_error(d, name->mark, "\"%s\" is no name of a header field", name->s);
		return;
	}
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcasecmp(name->s, reserved[i]) == 0)
			diag_error(d, name->mark,
				   "header field \"%s\" is the gateway's own and cannot be edited", name->s);
}

static void check_value(struct diag *d, const struct text *v)
{
	if (!v->s)
		return;
	if (v->n > 4096)
		diag_error(d, v->mark, "a header field's value of more than 4096 bytes");
	for (uint32_t i = 0; i < v->n; i++)
		if (((unsigned char)v->s[i] < 0x20 && v->s[i] != '\t') || v->s[i] == 0x7f) {
			diag_error(d, v->mark, "a control character in a header field's value");
			return;
		}
	if (v->n && (strchr(" \t", v->s[0]) || strchr(" \t", v->s[v->n - 1])))
		diag_error(d, v->mark, "blanks around a header field's value");
}

static void check_direction(struct diag *d, const struct direction *dir, const struct conf_route *route)
{
	const struct pair *set = dir->set.v, *add = dir->add.v;
	const struct text *remove = dir->remove.v;

	for (uint32_t i = 0; i < dir->set.n; i++) {
		check_name(d, &set[i].key);
		check_value(d, &set[i].value);
		template_check(d, set[i].key.s, &set[i].value, TEMPLATE_FIELD, route);
	}
	for (uint32_t i = 0; i < dir->add.n; i++) {
		check_name(d, &add[i].key);
		check_value(d, &add[i].value);
		template_check(d, add[i].key.s, &add[i].value, TEMPLATE_FIELD, route);
	}
	for (uint32_t i = 0; i < dir->remove.n; i++)
		check_name(d, &remove[i]);
	if (dir->set.n + dir->add.n + dir->remove.n > HEADERS_EDITS_MAX)
		diag_error(d, dir->head.mark, "more than %d edits", HEADERS_EDITS_MAX);
}

static bool present(const void *conf, const struct stage_place *place)
{
	const struct headers_keys_conf *c = conf;
	const struct direction *q = &c->request, *s = &c->response;

	return q->set.n + q->add.n + q->remove.n + s->set.n + s->add.n + s->remove.n > 0 ||
	       version_of(place->root, place->route);
}

static void check(struct diag *d, const void *conf, const struct stage_place *place)
{
	const struct headers_keys_conf *c = conf;

	check_direction(d, &c->request, place->route);
	check_direction(d, &c->response, place->route);
	if (version_of(place->root, place->route) &&
	    c->response.set.n + c->response.add.n + c->response.remove.n + VERSION_EDITS > HEADERS_EDITS_MAX)
		diag_error(d, c->response.head.mark, "more than %d edits beside those of the version",
			   HEADERS_EDITS_MAX - VERSION_EDITS);
}

static struct headers_edit edit(struct blob *b, enum headers_op op, const struct text *name,
				const struct text *value, const struct conf_route *route)
{
	bool pieces = route && value && template_is(value);

	return (struct headers_edit){
		.name = blob_text(b, name->s, name->n),
		.value = value && !pieces ? blob_text(b, value->s, value->n) : (struct snap_ref){0, 0},
		.pieces = pieces ? template_add(b, value, TEMPLATE_FIELD, route) : (struct snap_ref){0, 0},
		.op = op,
	};
}

static struct headers_edit edit_plain(struct blob *b, enum headers_op op, const char *name, const char *value)
{
	return edit(b, op, &(struct text){.s = name, .n = (uint32_t)strlen(name)},
		    &(struct text){.s = value, .n = (uint32_t)strlen(value)}, NULL);
}

// version: of the API, whose fields stand in place of those that the upstream may have set; NULL: none.
static struct snap_ref compile_direction(struct blob *b, const struct direction *d,
					 const struct conf_version *version, const struct conf_route *route)
{
	struct version_fields fields = {0};
	struct headers_edit e[HEADERS_EDITS_MAX];
	const struct pair *set = d->set.v, *add = d->add.v;
	const struct text *remove = d->remove.v;
	uint32_t n = 0;

	for (uint32_t i = 0; i < d->remove.n && n < HEADERS_EDITS_MAX; i++)
		e[n++] = edit(b, HEADERS_REMOVE, &remove[i], NULL, NULL);
	for (uint32_t i = 0; i < d->set.n && n < HEADERS_EDITS_MAX; i++)
		e[n++] = edit(b, HEADERS_SET, &set[i].key, &set[i].value, route);
	if (version) {
		version_fields(version, &fields);
		e[n++] = edit_plain(b, HEADERS_SET, "X-API-Version", version->name.s);
		if (*fields.deprecation)
			e[n++] = edit_plain(b, HEADERS_SET, "Deprecation", fields.deprecation);
		if (*fields.sunset)
			e[n++] = edit_plain(b, HEADERS_SET, "Sunset", fields.sunset);
		if (*fields.link)
			e[n++] = edit_plain(b, HEADERS_ADD, "Link", fields.link);
	}
	for (uint32_t i = 0; i < d->add.n && n < HEADERS_EDITS_MAX; i++)
		e[n++] = edit(b, HEADERS_ADD, &add[i].key, &add[i].value, route);
	return blob_add(b, e, n, sizeof(e[0]));
}

static struct snap_ref compile(struct blob *b, const void *conf, const struct stage_place *place)
{
	const struct headers_keys_conf *c = conf;
	struct headers_conf record = {.request = compile_direction(b, &c->request, NULL, place->route),
				      .response = compile_direction(b, &c->response,
								    version_of(place->root, place->route),
								    place->route)};
	struct snap_ref ref = blob_add(b, &record, 1, sizeof(record));

	ref.n = sizeof(record); // stage records are counted in bytes
	return ref;
}

const struct stage_compiler headers_compiler = {present, check, compile};
