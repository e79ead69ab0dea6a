#include "policy/headers/headers.h"
#include "policy/stage.h"

// The first field of the name takes the value, others of it go.
static bool field_set(struct http_head *h, struct slice name, struct slice value)
{
	struct http_field *f = http_find(h, name);

	if (!f)
		return http_add(h, name, value);
	http_drop(h, name);
	f->dropped = false;
	f->value = value;
	return true;
}

static bool edit_apply(const struct snapshot *s, struct http_head *h, const struct headers_edit *e,
		       struct slice value)
{
	struct slice name = snap_text(s, e->name);

	switch ((enum headers_op)e->op) {
	case HEADERS_REMOVE:
		http_drop(h, name);
		return true;
	case HEADERS_SET:
		// Host is written from the authority, and only ever set: the record's check sees to that.
		if (http_header_of(name) == HDR_host) {
			h->authority = value;
			return true;
		}
		return field_set(h, name, value);
	case HEADERS_ADD:
		return http_add(h, name, value);
	}
	return true;
}

// A field's value has no blanks around it (RFC 9110 5.5).
static struct slice trimmed(struct slice v)
{
	while (v.n && (*v.p == ' ' || *v.p == '\t'))
		v = slice_of(v.p + 1, v.n - 1);
	while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
		v.n--;
	return v;
}

static bool fill(struct stage_ctx *ctx, const struct headers_edit *e, struct slice *value)
{
	int n = template_expand(ctx->values, e->pieces, ctx->text, ctx->text_room);

	if (n < 0)
		return false;
	*value = trimmed(slice_of(ctx->text, (size_t)n));
	ctx->text += n;
	ctx->text_room -= (uint32_t)n;
	return true;
}

// What the response's fields say of the request is put together while the request is there: a length of two
// bytes and the value, for each edit with pieces in turn.
static bool keep(struct stage_ctx *ctx, struct snap_ref list)
{
	const struct headers_edit *edit = snap_at(ctx->snapshot, list);

	for (uint32_t i = 0; i < list.n; i++) {
		uint16_t n;
		int k;

		if (!edit[i].pieces.n)
			continue;
		if (STAGE_KEPT_MAX - ctx->kept_n < sizeof(n))
			return false;
		k = template_expand(ctx->values, edit[i].pieces, ctx->kept + ctx->kept_n + sizeof(n),
				    STAGE_KEPT_MAX - ctx->kept_n - sizeof(n));
		if (k < 0)
			return false;
		n = (uint16_t)k;
		memcpy(ctx->kept + ctx->kept_n, &n, sizeof(n));
		ctx->kept_n += (uint32_t)sizeof(n) + n;
	}
	return true;
}

static bool take_kept(struct stage_ctx *ctx, struct slice *value)
{
	uint16_t n;

	if (ctx->was_kept.n < sizeof(n))
		return false;
	memcpy(&n, ctx->was_kept.p, sizeof(n));
	if (ctx->was_kept.n - sizeof(n) < n)
		return false;
	*value = trimmed(slice_of(ctx->was_kept.p + sizeof(n), n));
	ctx->was_kept = slice_of(ctx->was_kept.p + sizeof(n) + n, ctx->was_kept.n - sizeof(n) - n);
	return true;
}

enum verdict headers_run(enum stage_hook hook, struct stage_ctx *ctx)
{
	const struct headers_conf *conf = ctx->conf;
	struct snap_ref list = hook == HOOK_HEAD ? conf->request : conf->response;
	const struct headers_edit *edit = snap_at(ctx->snapshot, list);
	// Before the request is edited.
	bool ok = hook != HOOK_HEAD || keep(ctx, conf->response);

	for (uint32_t i = 0; i < list.n && ok; i++) {
		struct slice value = snap_text(ctx->snapshot, edit[i].value);

		if (edit[i].pieces.n)
			ok = hook == HOOK_HEAD ? fill(ctx, &edit[i], &value) : take_kept(ctx, &value);
		ok = ok && edit_apply(ctx->snapshot, ctx->head, &edit[i], value);
	}
	if (ok)
		return VERDICT_PASS;
	ctx->status = hook == HOOK_HEAD ? 431 : 502;
	ctx->message = "too many header fields";
	return VERDICT_REPLY;
}

struct snap_ref headers_edits(const struct snapshot *s, const struct snap_route *r, bool request)
{
	const struct headers_conf *conf = snap_at(s, r->stage_conf[STAGE_headers]);

	if (!(r->stages & 1u << STAGE_headers))
		return (struct snap_ref){0, 0};
	return request ? conf->request : conf->response;
}
