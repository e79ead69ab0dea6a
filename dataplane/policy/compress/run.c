#include "policy/compress/compress.h"
#include "policy/stage.h"

static struct slice essence(struct slice type)
{
	const char *end = type.n ? memchr(type.p, ';', type.n) : NULL;

	if (end)
		type.n = (size_t)(end - type.p);
	while (type.n && (type.p[type.n - 1] == ' ' || type.p[type.n - 1] == '\t'))
		type.n--;
	return type;
}

static bool type_listed(const struct snapshot *s, const struct compress_conf *conf, struct slice type)
{
	const struct snap_ref *v = snap_at(s, conf->types);

	type = essence(type);
	for (uint32_t i = 0; i < conf->types.n; i++) {
		struct slice t = snap_text(s, v[i]);
		bool family = t.n >= 2 && t.p[t.n - 1] == '*';

		if (family ? type.n >= t.n && slice_ieq(slice_of(type.p, t.n - 1), slice_of(t.p, t.n - 1))
			   : slice_ieq(type, t))
			return true;
	}
	return false;
}

static bool list_has(struct slice list, struct slice what)
{
	struct slice element;

	while (http_list_next(&list, &element))
		if (slice_ieq(element, what))
			return true;
	return false;
}

// What says that a body is as it must be: it is encoded already, a part of another, or its bytes are vouched
// for.
static bool fixes_body(struct slice name)
{
	static const struct slice names[] = {
		{"content-encoding", 16}, {"content-range", 13}, {"content-digest", 14},
		{"repr-digest", 11},      {"digest", 6},         {"content-md5", 11},
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_ieq(name, names[i]))
			return true;
	return false;
}

enum compress_verdict compress_judge(const struct snapshot *s, const struct compress_conf *conf,
				     const struct http_head *h)
{
	unsigned types = 0;
	bool listed = false;

	if (h->status < 200 || h->status == 204 || h->status == 205 || h->status == 206 || h->status == 226)
		return COMPRESS_NOT;
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->field[i];

		if (f->dropped)
			continue;
		if (slice_ieq(f->name, SLICE("content-type"))) {
			types++;
			listed = type_listed(s, conf, f->value);
		} else if (fixes_body(f->name) || (slice_ieq(f->name, SLICE("cache-control")) &&
						   list_has(f->value, SLICE("no-transform")))) { // RFC 9110 7.7
			return COMPRESS_NOT;
		}
	}
	if (h->status == 304) // which need not say of what type what it does not send is
		return types == 0 || listed ? COMPRESS_VARIES : COMPRESS_NOT;
	if (types != 1 || !listed || (h->framing == FRAMING_LENGTH && h->length < conf->min_size))
		return COMPRESS_NOT;
	return COMPRESS_BODY;
}

static bool vary_add(struct http_head *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		const struct http_field *f = &h->field[i];

		if (!f->dropped && slice_ieq(f->name, SLICE("vary")) &&
		    (list_has(f->value, SLICE("accept-encoding")) || list_has(f->value, SLICE("*"))))
			return true;
	}
	return http_add(h, SLICE("Vary"), SLICE("Accept-Encoding"));
}

// Two representations with one strong entity tag would be taken for one (RFC 9110 8.8.3.3): it becomes weak.
static bool etag_weaken(struct stage_ctx *ctx)
{
	struct http_field *f = http_find(ctx->head, SLICE("etag"));

	if (!f || f->value.n == 0 || f->value.p[0] != '"')
		return true;
	if (f->value.n + 2 > ctx->text_room)
		return false;
	memcpy(ctx->text, "W/", 2);
	memcpy(ctx->text + 2, f->value.p, f->value.n);
	f->value = slice_of(ctx->text, f->value.n + 2);
	ctx->text += f->value.n;
	ctx->text_room -= (uint32_t)f->value.n;
	return true;
}

static enum verdict response(struct stage_ctx *ctx, const struct compress_conf *conf)
{
	struct http_head *h = ctx->head;
	enum coding wanted = (enum coding)ctx->coding;
	enum compress_verdict verdict = compress_judge(ctx->snapshot, conf, h);
	bool ok = true;

	ctx->coding = CODING_NONE;
	if (verdict == COMPRESS_NOT)
		return VERDICT_PASS;
	ok = vary_add(h);
	if (wanted != CODING_NONE && verdict == COMPRESS_VARIES) { // RFC 9110 15.4.5
		ok = ok && etag_weaken(ctx);
	} else if (wanted != CODING_NONE && ctx->encoder_free) {
		ok = ok && etag_weaken(ctx) &&
		     http_add(h, SLICE("Content-Encoding"),
			      slice_of(coding_name[wanted], strlen(coding_name[wanted])));
		http_drop(h, SLICE("accept-ranges")); // those would be ranges of something else
		ctx->coding = (uint8_t)wanted;
		ctx->level = conf->level;
	} else if (wanted != CODING_NONE) {
		ctx->encoder_missed = true;
	}
	if (ok)
		return VERDICT_PASS;
	ctx->status = 502;
	ctx->message = "too many header fields";
	return VERDICT_REPLY;
}

// The client may forbid it, too (RFC 9111 5.2.1.6), and HTTP/1.0 knows no chunks to send it in.
static enum coding asked(const struct http_head *h, const struct compress_conf *conf)
{
	if (h->minor == 0)
		return CODING_NONE;
	for (unsigned i = 0; i < h->n; i++)
		if (!h->field[i].dropped && slice_ieq(h->field[i].name, SLICE("cache-control")) &&
		    list_has(h->field[i].value, SLICE("no-transform")))
			return CODING_NONE;
	return compress_accept(h, conf);
}

enum verdict compress_run(enum stage_hook hook, struct stage_ctx *ctx)
{
	const struct compress_conf *conf = ctx->conf;

	if (hook == HOOK_RESPONSE)
		return response(ctx, conf);
	ctx->coding = (uint8_t)asked(ctx->head, conf);
	return VERDICT_PASS;
}
