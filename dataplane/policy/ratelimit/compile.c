// rate_limit of a route, and how it becomes the stage's record.
#include "control/ratelimits.h"
#include "control/stage.h"
#include "policy/ratelimit/conf.h"

struct ratelimit_keys_conf {
	struct object_head head;
	struct list rate_limit; // struct conf_limit_use
};

static const struct field ratelimit_fields[] = {
	{"rate_limit", KIND_LIST, KIND_OBJECT, FIELD_ONE,
	 .offset = offsetof(struct ratelimit_keys_conf, rate_limit), .min = 1, .max = SNAP_LIMIT_USES_MAX,
	 .object = &conf_limit_use_object, .help = "limits that all must let a request pass"},
};
const struct object ratelimit_keys = {"rate_limit", sizeof(struct ratelimit_keys_conf),
				      OBJECT(ratelimit_fields)};

static bool present(const void *conf, const struct stage_place *place)
{
	(void)place;
	return ((const struct ratelimit_keys_conf *)conf)->rate_limit.n > 0;
}

static const struct text *path_of(const struct conf_route *r)
{
	static const struct text none = {"/", 1, {0, 0, 0}};

	return r->match.path.s ? &r->match.path : r->match.prefix.s ? &r->match.prefix : &none;
}

static void check(struct diag *d, const void *conf, const struct stage_place *place)
{
	const struct ratelimit_keys_conf *c = conf;

	check_limit_uses(d, place->root, &c->rate_limit, path_of(place->route));
}

static struct snap_ref compile(struct blob *b, const void *conf, const struct stage_place *place)
{
	const struct ratelimit_keys_conf *c = conf;
	struct snap_ref ref = limit_uses_add(b, place->root, &c->rate_limit, path_of(place->route));

	ref.n *= (uint32_t)sizeof(struct snap_limit_use); // stage records are counted in bytes
	return ref;
}

const struct stage_compiler ratelimit_compiler = {present, check, compile};
