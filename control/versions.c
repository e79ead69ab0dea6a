#include "versions.h"
#include "conditions.h"
#include "http/write.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool version_day(const struct text *t, uint64_t *seconds)
{
	struct tm day = {0}, same;
	time_t at;
	char end;

	if (!t->s || sscanf(t->s, "%4d-%2d-%2d%c", &day.tm_year, &day.tm_mon, &day.tm_mday, &end) != 3)
		return false;
	day.tm_year -= 1900;
	day.tm_mon -= 1;
	same = day;
	at = timegm(&same);
	*seconds = (uint64_t)at;
	// timegm() takes the 31st of February for a day of March.
	return at >= 0 && same.tm_mon == day.tm_mon && same.tm_mday == day.tm_mday;
}

const struct conf_version *version_of(const struct conf_root *root, const struct conf_route *r)
{
	const struct text *name = r->api_version.s ? &r->api_version : &r->match.version;
	uint32_t api;

	return name->s ? version_find(root, name, &api) : NULL;
}

void version_fields(const struct conf_version *v, struct version_fields *f)
{
	uint64_t at;

	*f = (struct version_fields){0};
	if (version_day(&v->deprecated, &at))
		snprintf(f->deprecation, sizeof(f->deprecation), "@%llu", (unsigned long long)at);
	if (version_day(&v->sunset, &at))
		http_date(f->sunset, at);
	if (v->link.s)
		snprintf(f->link, sizeof(f->link), "<%s>; rel=\"deprecation\"", v->link.s);
}

static void check_day(struct config *c, const struct text *t, const char *key)
{
	uint64_t at;

	if (t->s && !version_day(t, &at))
		diag_error(&c->diag, t->mark, "%s: \"%s\" is no day such as 2026-01-31", key, t->s);
}

static void check_dates(struct config *c)
{
	const struct conf_api *a = c->root.apis.v;
	uint64_t from, until;

	for (uint32_t i = 0; i < c->root.apis.n; i++)
		for (uint32_t k = 0; k < a[i].versions.n; k++) {
			const struct conf_version *v = (const struct conf_version *)a[i].versions.v + k;

			check_day(c, &v->deprecated, "deprecated");
			check_day(c, &v->sunset, "sunset");
			if (version_day(&v->deprecated, &from) && version_day(&v->sunset, &until) &&
			    until < from)
				diag_error(
					&c->diag, v->sunset.mark,
					"sunset: %s is before %s, from which on it is deprecated (RFC 9745 4)",
					v->sunset.s, v->deprecated.s);
			if (v->status.v == VERSION_DEPRECATED && !v->deprecated.s && v->name.s)
				diag_warning(
					&c->diag, v->name.mark,
					"version \"%s\" is deprecated, but without a day in \"deprecated\" its "
					"answers have no Deprecation field (RFC 9745 2.1)",
					v->name.s);
			for (const char *s = v->link.s; s && *s; s++)
				if (*s <= ' ' || *s == '<' || *s == '>' || *s == 0x7f) {
					diag_error(&c->diag, v->link.mark, "link: \"%s\" is no URL", v->link.s);
					break;
				}
		}
}

static const struct conf_api *api_find(const struct conf_root *root, const struct text *name)
{
	const struct conf_api *a = root->apis.v;

	for (uint32_t i = 0; i < root->apis.n; i++)
		if (a[i].name.s && strcmp(a[i].name.s, name->s) == 0)
			return &a[i];
	return NULL;
}

void check_versions(struct config *c, const struct conf_route *r)
{
	uint32_t api;

	if (!r) {
		check_dates(c);
		return;
	}
	if (r->api_version.s && !version_find(&c->root, &r->api_version, &api))
		diag_error(&c->diag, r->api_version.mark,
			   "api_version: \"%s\" is not defined; a version is API/VERSION", r->api_version.s);
	if (r->list_versions.s && !api_find(&c->root, &r->list_versions))
		diag_error(&c->diag, r->list_versions.mark, "list_versions: API \"%s\" is not defined",
			   r->list_versions.s);
}

struct snap_ref versions_document(struct blob *b, const struct conf_root *root, const struct text *api)
{
	static const char *const status[] = {
		[VERSION_STABLE] = "stable", [VERSION_BETA] = "beta", [VERSION_DEPRECATED] = "deprecated"};
	const struct conf_api *a = api_find(root, api);
	json_t *list = json_array(), *j;
	struct snap_ref ref = {0, 0};
	char *text;

	for (uint32_t i = 0; i < a->versions.n; i++) {
		const struct conf_version *v = (const struct conf_version *)a->versions.v + i;
		json_t *one = json_pack("{s:s, s:s, s:b}", "version", v->name.s, "status", status[v->status.v],
					"default", strcasecmp(v->name.s, a->otherwise.s) == 0);

		if (v->deprecated.s)
			json_object_set_new(one, "deprecated", json_string(v->deprecated.s));
		if (v->sunset.s)
			json_object_set_new(one, "sunset", json_string(v->sunset.s));
		if (v->link.s)
			json_object_set_new(one, "link", json_string(v->link.s));
		json_array_append_new(list, one);
	}
	j = json_pack("{s:s, s:s, s:o}", "api", a->name.s, "default", a->otherwise.s, "versions", list);
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	if (text)
		ref = blob_text(b, text, strlen(text));
	else
		b->failed = true;
	free(text);
	return ref;
}
