// A snapshot of one route with one stage's record, laid down by hand. Who includes it defines RECORD before:
// the members of the record, and what it refers to.
#pragma once
#include "policy/stage.h"
#include <string.h>

static _Alignas(8) struct {
	struct snapshot s;
	struct snap_route route;
	RECORD;
	char text[8192];
} t;
static uint32_t text_used;

#define REF(member, count) ((struct snap_ref){(uint32_t)((char *)(member) - (char *)&t), count})

static inline struct snap_ref put_text(const char *s)
{
	uint32_t n = (uint32_t)strlen(s);
	struct snap_ref r = REF(t.text + text_used, n);

	memcpy(t.text + text_used, s, n);
	text_used += n;
	return r;
}

// All of it empty, but for the route, whose record of that stage is `conf` (bytes).
static inline void lay_route(enum stage stage, const void *conf, uint32_t bytes)
{
	memset(&t, 0, sizeof(t));
	text_used = 0;
	t.s.size = sizeof(t);
	t.s.routes = REF(&t.route, 1);
	t.route.stages = 1u << stage;
	t.route.stage_conf[stage] = REF(conf, bytes);
}

static inline bool verified(void)
{
	char why[128] = "";
	bool ok = policy_verify(&t.s, why, sizeof(why));

	assert_true(ok == (why[0] == 0));
	return ok;
}
