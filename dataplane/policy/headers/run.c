#include "policy/headers/conf.h"
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

static bool edit_apply(const struct snapshot *s, struct http_head *h, const struct headers_edit *e)
{
	struct slice name = snap_text(s, e->name), value = snap_text(s, e->value);

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

enum verdict headers_run(enum stage_hook hook, struct stage_ctx *ctx)
{
	const struct headers_conf *conf = ctx->conf;
	struct snap_ref list = hook == HOOK_HEAD ? conf->request : conf->response;
	const struct headers_edit *edit = snap_at(ctx->snapshot, list);

	for (uint32_t i = 0; i < list.n; i++) {
		if (edit_apply(ctx->snapshot, ctx->head, &edit[i]))
			continue;
		ctx->status = hook == HOOK_HEAD ? 431 : 502;
		ctx->message = "too many header fields";
		return VERDICT_REPLY;
	}
	return VERDICT_PASS;
}
