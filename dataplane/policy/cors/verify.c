#include "http/scan.h"
#include "policy/cors/conf.h"
#include "policy/stage.h"

static bool list_ok(const struct snapshot *s, struct snap_ref r, bool needed)
{
	struct slice t;

	if (r.n == 0)
		return !needed;
	if (r.n > CORS_LIST_MAX || r.off < sizeof(*s) || r.off > s->size || r.n > s->size - r.off)
		return false;
	t = snap_text(s, r);
	return scan_bytes(t.p, t.p + t.n, SCAN_VALUE) == t.p + t.n;
}

bool cors_verify(const struct snapshot *s, const void *record, size_t n)
{
	const struct cors_conf *conf = record;
	const struct snap_ref *v;

	if (n != sizeof(*conf) || conf->pad || conf->credentials > 1 || conf->origins.n == 0 ||
	    conf->origins.n > CORS_ORIGINS_MAX || conf->origins.off % 8 || conf->origins.off < sizeof(*s) ||
	    conf->origins.off > s->size || conf->origins.n > (s->size - conf->origins.off) / sizeof(*v))
		return false;
	v = snap_at(s, conf->origins);
	for (uint32_t i = 0; i < conf->origins.n; i++)
		if (!list_ok(s, v[i], true))
			return false;
	// Any origin, with credentials, is what CORS is there to prevent.
	if (conf->credentials && slice_eq(snap_text(s, v[0]), SLICE("*")))
		return false;
	return list_ok(s, conf->methods, true) && list_ok(s, conf->headers, false) &&
	       list_ok(s, conf->expose, false) && list_ok(s, conf->max_age, true);
}
