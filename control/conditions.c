#include "conditions.h"
#include "route/regex.h"
#include <stdlib.h>
#include <string.h>

static bool token(const struct text *t) // RFC 9110 5.6.2
{
	for (uint32_t i = 0; i < t->n; i++) {
		char c = t->s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr("!#$%&'*+-.^_`|~", c))))
			return false;
	}
	return t->n > 0;
}

static bool plain(const struct text *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if ((unsigned char)t->s[i] < 0x20 || t->s[i] == 0x7f)
			return false;
	return true;
}

static void check_regex(struct config *c, const struct text *t)
{
	char why[160];
	size_t at = 0;

	if (!plain(t))
		diag_error(&c->diag, t->mark, "regex: control characters in it; write \\t and the like");
	else if (!regex_check(slice_of(t->s, t->n), why, sizeof(why), &at))
		diag_error(&c->diag, t->mark, "regex: \"%s\": %s, at its character %zu", t->s, why, at + 1);
}

static void check_tests(struct config *c, const struct list *l, const char *key, bool tokens)
{
	const struct conf_condition *v = l->v;

	for (uint32_t i = 0; i < l->n; i++) {
		unsigned tests = (unsigned)((v[i].equal.s != NULL) + (v[i].prefix.s != NULL) +
					    (v[i].regex.s != NULL) + v[i].is.given);

		if (v[i].name.s && (tokens ? !token(&v[i].name) : !plain(&v[i].name)))
			diag_error(&c->diag, v[i].name.mark, "%s: \"%s\" is no name", key, v[i].name.s);
		if (tests > 1)
			diag_error(&c->diag, v[i].head.mark,
				   "%s: one of equal, prefix, regex and is, not several", key);
		if (!plain(&v[i].equal) || !plain(&v[i].prefix))
			diag_error(&c->diag, v[i].head.mark, "%s: control characters in a value", key);
		if (v[i].regex.s)
			check_regex(c, &v[i].regex);
	}
}

static uint32_t listener_index(const struct conf_root *root, const struct text *name)
{
	const struct conf_listener *l = root->listeners.v;

	for (uint32_t i = 0; i < root->listeners.n; i++)
		if (l[i].name.s && name->s && strcmp(l[i].name.s, name->s) == 0)
			return i;
	return UINT32_MAX;
}

static bool media_type(const struct text *t)
{
	const char *slash = memchr(t->s, '/', t->n);
	struct text major = {t->s, slash ? (uint32_t)(slash - t->s) : 0, t->mark};
	struct text minor = {slash ? slash + 1 : t->s, slash ? t->n - major.n - 1 : 0, t->mark};

	return slash && token(&major) && token(&minor) && !memchr(t->s, '*', t->n);
}

static bool language(const struct text *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		char ch = (char)(t->s[i] | 0x20);

		if (!((ch >= 'a' && ch <= 'z') || (t->s[i] >= '0' && t->s[i] <= '9') || (t->s[i] == '-' && i)))
			return false;
	}
	return t->n > 0;
}

const struct conf_version *version_find(const struct conf_root *root, const struct text *name, uint32_t *api)
{
	const struct conf_api *a = root->apis.v;
	const char *slash = strchr(name->s, '/');

	*api = UINT32_MAX;
	for (uint32_t i = 0; slash && i < root->apis.n; i++) {
		const struct conf_version *v = a[i].versions.v;

		if (!a[i].name.s || a[i].name.n != (size_t)(slash - name->s) ||
		    memcmp(a[i].name.s, name->s, a[i].name.n) != 0)
			continue;
		*api = i;
		for (uint32_t k = 0; k < a[i].versions.n; k++)
			if (v[k].name.s && strcasecmp(v[k].name.s, slash + 1) == 0)
				return &v[k];
	}
	return NULL;
}

void check_conditions(struct config *c, const struct conf_match *m)
{
	const struct text *t = m->listeners.v;
	uint32_t api;

	for (uint32_t i = 0; i < m->listeners.n; i++)
		if (t[i].s && listener_index(&c->root, &t[i]) == UINT32_MAX)
			diag_error(&c->diag, t[i].mark, "listeners: listener \"%s\" is not defined", t[i].s);
	check_tests(c, &m->headers, "headers", true);
	check_tests(c, &m->query, "query", false);
	check_tests(c, &m->cookies, "cookies", true);
	if (m->headers.n + m->query.n + m->cookies.n + 5 > SNAP_CONDITIONS_MAX)
		diag_error(&c->diag, m->head.mark, "match: more than %d conditions", SNAP_CONDITIONS_MAX - 5);
	t = m->accept.v;
	for (uint32_t i = 0; i < m->accept.n; i++)
		if (t[i].s && !media_type(&t[i]))
			diag_error(&c->diag, t[i].mark, "accept: \"%s\" is no media type such as \"text/html\"",
				   t[i].s);
	t = m->language.v;
	for (uint32_t i = 0; i < m->language.n; i++)
		if (t[i].s && !language(&t[i]))
			diag_error(&c->diag, t[i].mark, "language: \"%s\" is no language tag such as \"en-GB\"",
				   t[i].s);
	if (m->version.s && !version_find(&c->root, &m->version, &api))
		diag_error(&c->diag, m->version.mark,
			   "version: \"%s\" is not defined; a version is API/VERSION", m->version.s);
}

bool conditions_any(const struct conf_match *m)
{
	return m->listeners.n + m->headers.n + m->query.n + m->cookies.n + m->clients.n + m->accept.n +
			       m->language.n >
		       0 ||
	       m->version.s;
}

static bool text_same(const struct text *a, const struct text *b)
{
	return (a->s == NULL) == (b->s == NULL) && (!a->s || (a->n == b->n && memcmp(a->s, b->s, a->n) == 0));
}

static bool tests_cover(const struct list *a, const struct list *b)
{
	const struct conf_condition *x = a->v, *y = b->v;

	for (uint32_t i = 0; i < a->n; i++) {
		uint32_t k = 0;

		while (k < b->n && !(text_same(&x[i].name, &y[k].name) && text_same(&x[i].equal, &y[k].equal) &&
				     text_same(&x[i].prefix, &y[k].prefix) &&
				     text_same(&x[i].regex, &y[k].regex) && x[i].is.v == y[k].is.v))
			k++;
		if (k == b->n)
			return false;
	}
	return true;
}

bool conditions_cover(const struct conf_match *a, const struct conf_match *b)
{
	return a->listeners.n + a->clients.n + a->accept.n + a->language.n == 0 && !a->version.s &&
	       tests_cover(&a->headers, &b->headers) && tests_cover(&a->query, &b->query) &&
	       tests_cover(&a->cookies, &b->cookies);
}

static struct snap_ref texts_add(struct blob *b, const struct list *l)
{
	struct snap_ref v[SNAP_VALUES_MAX];
	const struct text *t = l->v;
	uint32_t n = l->n < SNAP_VALUES_MAX ? l->n : SNAP_VALUES_MAX;

	for (uint32_t i = 0; i < n; i++)
		v[i] = blob_text(b, t[i].s, t[i].n);
	return blob_add(b, v, n, sizeof(v[0]));
}

static uint32_t expression_index(struct expressions *e, const struct text *t)
{
	uint32_t i = 0;

	while (i < e->n && !text_same(e->v[i], t))
		i++;
	if (i == SNAP_REGEXES_MAX) {
		e->full = true;
		return 0;
	}
	if (i == e->n)
		e->v[e->n++] = t;
	return i;
}

struct snap_ref expressions_add(struct blob *b, const struct expressions *e)
{
	struct snap_ref *v = calloc(e->n + 1, sizeof(*v)), list = {0, 0};

	for (uint32_t i = 0; v && i < e->n; i++)
		v[i] = blob_text(b, e->v[i]->s, e->v[i]->n);
	if (v)
		list = blob_add(b, v, e->n, sizeof(*v));
	else
		b->failed = true;
	free(v);
	return list;
}

static uint32_t tests_add(struct blob *b, enum snap_condition_kind kind, const struct list *l,
			  struct expressions *e, struct snap_condition *out)
{
	const struct conf_condition *v = l->v;

	for (uint32_t i = 0; i < l->n; i++) {
		const struct text *value = v[i].equal.s ? &v[i].equal : &v[i].prefix;

		out[i] = (struct snap_condition){
			.kind = (uint16_t)kind,
			.test = v[i].equal.s    ? TEST_EQUAL
				: v[i].regex.s  ? TEST_REGEX
				: v[i].prefix.s ? TEST_PREFIX
				: v[i].is.v     ? TEST_ABSENT
						: TEST_PRESENT,
			.number = v[i].regex.s ? expression_index(e, &v[i].regex) : 0,
			.name = blob_text(b, v[i].name.s, v[i].name.n),
			.value = value->s ? blob_text(b, value->s, value->n) : (struct snap_ref){0, 0},
		};
	}
	return l->n;
}

struct snap_ref conditions_add(struct blob *b, const struct conf_root *root, const struct conf_match *m,
			       struct expressions *e)
{
	struct snap_condition v[SNAP_CONDITIONS_MAX];
	uint32_t n = 0, index[SNAP_VALUES_MAX];
	struct snap_address client[SNAP_VALUES_MAX] = {0};

	if (m->listeners.n) {
		for (uint32_t i = 0; i < m->listeners.n && i < SNAP_VALUES_MAX; i++)
			index[i] = listener_index(root, (const struct text *)m->listeners.v + i);
		v[n++] = (struct snap_condition){.kind = CONDITION_LISTENER,
						 .value = blob_add(b, index, m->listeners.n, sizeof(index[0]))};
	}
	if (m->clients.n) {
		for (uint32_t i = 0; i < m->clients.n && i < SNAP_VALUES_MAX; i++) {
			const struct address *a = (const struct address *)m->clients.v + i;

			client[i] = (struct snap_address){.addr = a->addr, .prefix = a->prefix};
		}
		v[n++] = (struct snap_condition){.kind = CONDITION_CLIENT,
						 .value = blob_add(b, client, m->clients.n, sizeof(client[0]))};
	}
	n += tests_add(b, CONDITION_HEADER, &m->headers, e, v + n);
	n += tests_add(b, CONDITION_QUERY, &m->query, e, v + n);
	n += tests_add(b, CONDITION_COOKIE, &m->cookies, e, v + n);
	if (m->version.s) {
		uint32_t api;
		const struct conf_version *version = version_find(root, &m->version, &api);
		struct snap_ref name = blob_text(b, version->name.s, version->name.n);

		v[n++] = (struct snap_condition){
			.kind = CONDITION_VERSION, .number = api, .value = blob_add(b, &name, 1, sizeof(name))};
	}
	if (m->accept.n)
		v[n++] = (struct snap_condition){.kind = CONDITION_ACCEPT, .value = texts_add(b, &m->accept)};
	if (m->language.n)
		v[n++] = (struct snap_condition){.kind = CONDITION_LANGUAGE,
						 .value = texts_add(b, &m->language)};
	return blob_add(b, v, n, sizeof(v[0]));
}

static void check_api(struct config *c, const struct conf_api *a)
{
	const struct conf_version *v = a->versions.v;
	const char *mark = a->media_type.s ? strstr(a->media_type.s, "{version}") : NULL;
	bool known = !a->otherwise.s;

	if (a->media_type.s && !mark)
		diag_error(&c->diag, a->media_type.mark, "media_type: \"%s\" has no {version}",
			   a->media_type.s);
	if (a->header.s && (!token(&a->header) || a->header.n > SNAP_NAME_MAX))
		diag_error(&c->diag, a->header.mark, "header: \"%s\" is no name of a header field",
			   a->header.s);
	for (uint32_t i = 0; i < a->versions.n; i++) {
		known |= v[i].name.s && a->otherwise.s && strcmp(v[i].name.s, a->otherwise.s) == 0;
		for (uint32_t k = 0; k < i; k++)
			if (v[i].name.s && v[k].name.s && strcasecmp(v[i].name.s, v[k].name.s) == 0)
				diag_error(&c->diag, v[i].name.mark, "versions: version \"%s\" a second time",
					   v[i].name.s);
	}
	if (!known)
		diag_error(&c->diag, a->otherwise.mark, "default: \"%s\" is none of the versions",
			   a->otherwise.s);
}

void check_apis(struct config *c)
{
	const struct conf_api *a = c->root.apis.v;

	for (uint32_t i = 0; i < c->root.apis.n; i++) {
		check_api(c, &a[i]);
		for (uint32_t k = 0; k < i; k++)
			if (a[i].name.s && a[k].name.s && strcmp(a[i].name.s, a[k].name.s) == 0)
				diag_error(&c->diag, a[i].name.mark, "apis: API \"%s\" a second time",
					   a[i].name.s);
	}
}

struct snap_ref apis_add(struct blob *b, const struct conf_root *root)
{
	const struct conf_api *a = root->apis.v;
	struct snap_api out[SNAP_APIS_MAX];
	uint32_t n = root->apis.n < SNAP_APIS_MAX ? root->apis.n : SNAP_APIS_MAX;

	for (uint32_t i = 0; i < n; i++) {
		const char *mark = a[i].media_type.s ? strstr(a[i].media_type.s, "{version}") : NULL;

		out[i] = (struct snap_api){
			.name = blob_text(b, a[i].name.s, a[i].name.n),
			.header = a[i].header.s ? blob_text(b, a[i].header.s, a[i].header.n)
						: (struct snap_ref){0, 0},
			.otherwise = blob_text(b, a[i].otherwise.s, a[i].otherwise.n),
		};
		if (!mark)
			continue;
		out[i].media_prefix = blob_text(b, a[i].media_type.s, (size_t)(mark - a[i].media_type.s));
		out[i].media_suffix = blob_text(b, mark + 9, strlen(mark + 9));
	}
	return blob_add(b, out, n, sizeof(out[0]));
}
