#include "policy/cors/cors.h"
#include "policy/stage.h"
#include <stdio.h>

static const struct http_field *find(const struct http_head *h, struct slice name)
{
	for (unsigned i = 0; i < h->n; i++)
		if (!h->field[i].dropped && slice_ieq(h->field[i].name, name))
			return &h->field[i];
	return NULL;
}

static struct slice origin_text(const struct snapshot *s, const struct cors_conf *conf, uint8_t origin)
{
	const struct snap_ref *v = snap_at(s, conf->origins);

	return snap_text(s, v[origin - 1]);
}

static bool any_origin(const struct snapshot *s, const struct cors_conf *conf)
{
	return slice_eq(origin_text(s, conf, 1), SLICE("*"));
}

uint8_t cors_origin(const struct snapshot *s, const struct cors_conf *conf, const struct http_head *h)
{
	const struct http_field *f = find(h, SLICE("origin"));

	if (!f)
		return 0;
	if (any_origin(s, conf))
		return 1;
	for (uint32_t i = 1; i <= conf->origins.n; i++) // compared byte by byte (Fetch 4.9, the CORS check)
		if (slice_eq(origin_text(s, conf, (uint8_t)i), f->value))
			return (uint8_t)i;
	return 0;
}

bool cors_preflight(const struct http_head *h)
{
	return h->method == METHOD_OPTIONS && find(h, SLICE("origin")) &&
	       find(h, SLICE("access-control-request-method"));
}

struct lines {
	char *p;
	size_t n, room;
};

static void line(struct lines *l, const char *name, struct slice value)
{
	int n = snprintf(l->p + l->n, l->room - l->n, "%s: %.*s\r\n", name, (int)value.n, value.p);

	if (n > 0 && (size_t)n < l->room - l->n)
		l->n += (size_t)n;
}

size_t cors_fields(const struct snapshot *s, const struct cors_conf *conf, uint8_t origin,
		   char dst[static CORS_FIELDS_MAX])
{
	struct lines l = {dst, 0, CORS_FIELDS_MAX};

	if (!any_origin(s, conf))
		line(&l, "Vary", SLICE("Origin"));
	if (!origin)
		return l.n;
	line(&l, "Access-Control-Allow-Origin", origin_text(s, conf, origin));
	if (conf->credentials)
		line(&l, "Access-Control-Allow-Credentials", SLICE("true"));
	if (conf->expose.n)
		line(&l, "Access-Control-Expose-Headers", snap_text(s, conf->expose));
	return l.n;
}

static bool tokens(struct slice list)
{
	struct slice element;

	while (http_list_next(&list, &element))
		for (size_t i = 0; i < element.n; i++)
			if (element.p[i] == ' ' || element.p[i] == '\t' || element.p[i] == '"')
				return false;
	return true;
}

static enum verdict preflight(struct stage_ctx *ctx, const struct cors_conf *conf)
{
	const struct snapshot *s = ctx->snapshot;
	const struct http_field *asked = find(ctx->head, SLICE("access-control-request-headers"));
	struct slice headers = snap_text(s, conf->headers);
	struct lines l = {ctx->scratch, 0, ctx->scratch_room};

	if (!ctx->cors) {
		ctx->status = 403;
		ctx->message = "the origin is not allowed";
		return VERDICT_REPLY;
	}
	if (slice_eq(headers, SLICE("*"))) // which, with credentials, would be a name (Fetch 3.2.3)
		headers = asked && asked->value.n <= CORS_LIST_MAX && tokens(asked->value) ? asked->value
											   : SLICE("");
	line(&l, "Access-Control-Allow-Origin", origin_text(s, conf, ctx->cors));
	if (conf->credentials)
		line(&l, "Access-Control-Allow-Credentials", SLICE("true"));
	line(&l, "Access-Control-Allow-Methods", snap_text(s, conf->methods));
	if (headers.n)
		line(&l, "Access-Control-Allow-Headers", headers);
	line(&l, "Access-Control-Max-Age", snap_text(s, conf->max_age));
	line(&l, "Vary", SLICE("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
	ctx->status = 204;
	ctx->message = "";
	ctx->fields = slice_of(l.p, l.n);
	return VERDICT_REPLY;
}

// What the upstream says of it is replaced: two answers would be none.
static enum verdict response(struct stage_ctx *ctx, const struct cors_conf *conf)
{
	const struct snapshot *s = ctx->snapshot;
	struct http_head *h = ctx->head;
	bool ok = true;

	http_drop(h, SLICE("access-control-allow-origin"));
	http_drop(h, SLICE("access-control-allow-credentials"));
	http_drop(h, SLICE("access-control-expose-headers"));
	if (!any_origin(s, conf))
		ok = http_add(h, SLICE("Vary"), SLICE("Origin"));
	if (ctx->cors) {
		ok = ok && http_add(h, SLICE("Access-Control-Allow-Origin"), origin_text(s, conf, ctx->cors));
		if (conf->credentials)
			ok = ok && http_add(h, SLICE("Access-Control-Allow-Credentials"), SLICE("true"));
		if (conf->expose.n)
			ok = ok &&
			     http_add(h, SLICE("Access-Control-Expose-Headers"), snap_text(s, conf->expose));
	}
	if (ok)
		return VERDICT_PASS;
	ctx->status = 502;
	ctx->message = "too many header fields";
	return VERDICT_REPLY;
}

enum verdict cors_run(enum stage_hook hook, struct stage_ctx *ctx)
{
	const struct cors_conf *conf = ctx->conf;

	if (hook == HOOK_RESPONSE)
		return response(ctx, conf);
	return cors_preflight(ctx->head) ? preflight(ctx, conf) : VERDICT_PASS;
}
