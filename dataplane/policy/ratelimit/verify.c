#include "http/scan.h"
#include "policy/ratelimit/conf.h"
#include "policy/stage.h"

bool ratelimit_verify(const struct snapshot *s, const void *record, size_t n)
{
	return n > 0 && n % sizeof(struct snap_limit_use) == 0 &&
	       n / sizeof(struct snap_limit_use) <= SNAP_LIMIT_USES_MAX &&
	       snapshot_limit_uses_ok(s, record, (uint32_t)(n / sizeof(struct snap_limit_use)));
}

static bool all_token(struct slice s)
{
	return scan_bytes(s.p, s.p + s.n, SCAN_TCHAR) == s.p + s.n;
}

bool ratelimit_limits_verify(const struct snapshot *s)
{
	const struct snap_limit *l = snap_at(s, s->limits);

	for (uint32_t i = 0; i < s->limits.n; i++)
		if (!all_token(snap_text(s, l[i].name)) || !all_token(snap_text(s, l[i].header)))
			return false;
	return true;
}
