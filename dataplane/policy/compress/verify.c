#include "policy/compress/conf.h"
#include "policy/stage.h"

static bool type_ok(const struct snapshot *s, struct snap_ref r)
{
	const char *p, *slash;

	if (r.n < 3 || r.n > COMPRESS_TYPE_MAX || r.off < sizeof(*s) || r.off > s->size ||
	    r.n > s->size - r.off)
		return false;
	p = snap_text(s, r).p;
	slash = memchr(p, '/', r.n);
	return slash && slash != p && slash != p + r.n - 1;
}

static bool codings_ok(const struct compress_conf *conf)
{
	uint32_t seen = 0;

	if (conf->n_codings == 0 || conf->n_codings > CODINGS - 1)
		return false;
	for (unsigned i = 0; i < conf->n_codings; i++) {
		uint8_t c = conf->coding[i];

		if (c == CODING_NONE || c >= CODINGS || seen & 1u << c)
			return false;
		seen |= 1u << c;
	}
	return true;
}

bool compress_verify(const struct snapshot *s, const void *record, size_t n)
{
	const struct compress_conf *conf = record;
	const struct snap_ref *v;

	if (n != sizeof(*conf) || conf->min_size == 0 || conf->level == 0 || conf->level > COMPRESS_LEVELS ||
	    !codings_ok(conf) || conf->types.n == 0 || conf->types.n > COMPRESS_TYPES_MAX ||
	    conf->types.off % 8 || conf->types.off < sizeof(*s) || conf->types.off > s->size ||
	    conf->types.n > (s->size - conf->types.off) / sizeof(*v))
		return false;
	v = snap_at(s, conf->types);
	for (uint32_t i = 0; i < conf->types.n; i++)
		if (!type_ok(s, v[i]))
			return false;
	return true;
}
