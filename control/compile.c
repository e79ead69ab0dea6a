#include "compile.h"
#include "base/hash.h"
#include "conditions.h"
#include "contract/credits.h"
#include "contract/stats.h"
#include "http/write.h"
#include "policy/stage.h"
#include "ratelimits.h"
#include "routetable.h"
#include "stage.h"
#include "template.h"
#include "versions.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define PATIENCE (3600ull * 1000000000) // ns for an answer, where the configuration says nothing

struct job {
	struct blob *b;
	const struct config *c;
	struct region *r;
	struct snapshot head;
	struct expressions *expressions;
	char *why;
	size_t why_size;
};

static struct snap_ref text_add(struct job *j, const struct text *t)
{
	return t->s ? blob_text(j->b, t->s, t->n) : (struct snap_ref){0, 0};
}

static int fail(struct job *j, const char *what)
{
	snprintf(j->why, j->why_size, "%s", what);
	return -1;
}

static struct snap_tcp job_tcp(const struct conf_tcp *t)
{
	return (struct snap_tcp){
		.congestion = (uint8_t)(t->congestion.v + 1),
		.ecn = (uint8_t)(t->ecn.v + 1),
		.receive_buffer = (uint32_t)t->receive_buffer.v,
		.send_buffer = (uint32_t)t->send_buffer.v,
		.user_timeout = t->user_timeout.v,
		.keep_idle = t->keepalive.idle.v,
		.keep_interval = t->keepalive.interval.v,
		.keep_probes = (uint16_t)t->keepalive.probes.v,
		.time_wait_max = (uint32_t)t->time_wait.max.v,
		.msl = t->time_wait.msl.v,
	};
}

static int job_system(struct job *j)
{
	const struct conf_system *s = &j->c->root.system;
	struct snap_system *y = &j->head.system;

	y->workers = j->c->n_workers;
	y->idle = (uint32_t)s->workers.idle.v;
	y->hugepages = (uint32_t)s->memory.hugepages.v;
	y->max_connections = (uint32_t)s->limits.connections.v;
	y->upstream_reserve = (uint32_t)(s->limits.upstream_reserve.given ? s->limits.upstream_reserve.v
									  : s->limits.connections.v / 8);
	y->min_mss = (uint32_t)s->limits.min_mss.v;
	y->compressions = (uint32_t)s->limits.compressions.v;
	y->packet_memory = s->memory.packets.v;
	y->tcp = job_tcp(&s->tcp);
	y->limit_memory = s->memory.rate_limits.v & ~4095ull;
	y->address_memory = s->memory.addresses.v & ~4095ull;
	for (uint32_t i = 0; i < SNAP_WORKERS_MAX; i++)
		y->cpu[i] = i < y->workers ? j->c->cpu[i] : -1;
	return 0;
}

static void netroute_default(struct snap_netroute *r, uint32_t *n, const struct address *gateway)
{
	if (!gateway->given)
		return;
	bool v4 = addr_is_v4(gateway->addr);

	r[(*n)++] = (struct snap_netroute){
		.dst = v4 ? addr_from_v4(0) : (struct addr){.w = {0, 0}},
		.gateway = gateway->addr,
		.prefix = v4 ? 96 : 0,
	};
}

static int job_port(struct job *j, const struct conf_port *p, struct snap_port *out)
{
	struct snap_address *a = calloc(p->addresses.n + 1, sizeof(*a));
	struct snap_netroute *r = calloc(p->routes.n + 2, sizeof(*r));
	uint32_t n = 0;

	if (!a || !r) {
		free(a);
		free(r);
		return fail(j, "no memory left");
	}
	for (uint32_t i = 0; i < p->addresses.n; i++) {
		const struct address *own = (const struct address *)p->addresses.v + i;

		a[i] = (struct snap_address){.addr = own->addr, .prefix = own->prefix};
	}
	for (uint32_t i = 0; i < p->routes.n; i++) {
		const struct conf_netroute *from = (const struct conf_netroute *)p->routes.v + i;

		r[n++] = (struct snap_netroute){
			.dst = from->to.addr, .gateway = from->via.addr, .prefix = from->to.prefix};
	}
	netroute_default(r, &n, &p->gateway);
	netroute_default(r, &n, &p->gateway6);
	*out = (struct snap_port){
		.name = text_add(j, &p->name),
		.device = text_add(j, &p->device),
		.addresses = blob_add(j->b, a, p->addresses.n, sizeof(*a)),
		.routes = blob_add(j->b, r, n, sizeof(*r)),
		.vlan = p->vlan.given ? (uint16_t)p->vlan.v : 0,
		.mtu = (uint16_t)p->mtu.v,
		.queues = (uint16_t)p->queues.v,
		.routers = (uint8_t)p->routers.v,
		.tso = (uint8_t)p->tso.v,
	};
	free(a);
	free(r);
	return 0;
}

static int job_ports(struct job *j)
{
	const struct list *l = &j->c->root.system.ports;
	struct snap_port out[SNAP_PORTS_MAX] = {0};

	for (uint32_t i = 0; i < l->n; i++)
		if (job_port(j, (const struct conf_port *)l->v + i, &out[i]) < 0)
			return -1;
	j->head.ports = blob_add(j->b, out, l->n, sizeof(out[0]));
	return 0;
}

static struct snap_ref limit_parts(struct job *j, const struct conf_limit *l)
{
	struct snap_limit_part p[SNAP_LIMIT_PARTS_MAX] = {0};
	const struct text *key = l->key.v;

	for (uint32_t i = 0; i < l->key.n && i < SNAP_LIMIT_PARTS_MAX; i++) {
		struct text name = {0};
		const char *why;

		limit_part_parse(&key[i], &p[i].kind, &name, &why);
		p[i].prefix4 = (uint8_t)l->ipv4_prefix.v;
		p[i].prefix6 = (uint8_t)l->ipv6_prefix.v;
		p[i].name = text_add(j, &name);
	}
	return blob_add(j->b, p, l->key.n, sizeof(p[0]));
}

static int job_limits(struct job *j)
{
	const struct list *list = &j->c->root.rate_limits;
	const struct conf_limit *l = list->v;
	struct snap_limit *out = calloc(list->n + 1, sizeof(*out));

	if (!out)
		return fail(j, "no memory left");
	for (uint32_t i = 0; i < list->n; i++) {
		uint32_t slot = region_name_slot(region_limit_names(j->r), REGION_LIMITS, l[i].name.s);

		if (!slot) {
			free(out);
			return fail(j, "no slot is left for a rate limit: 1023 names have been used");
		}
		out[i] = (struct snap_limit){
			.name = text_add(j, &l[i].name),
			.parts = limit_parts(j, &l[i]),
			.header = text_add(j, &l[i].header),
			.slot = slot,
			.action = (uint32_t)l[i].action.v,
			.full_passes = (uint32_t)l[i].when_full.v,
			.rate = l[i].count,
			.period = l[i].period,
			.interval = l[i].interval,
			.burst = l[i].most,
			.delay = l[i].action.v == LIMIT_DELAY ? l[i].delay.v : 0,
			.block = l[i].escalate.block.v,
			.strikes_in = l[i].escalate.within.v,
			.strikes = (uint32_t)l[i].escalate.after.v,
			.drop = l[i].escalate.head.given && l[i].escalate.how.v,
		};
	}
	j->head.limits = blob_add(j->b, out, list->n, sizeof(*out));
	free(out);
	return 0;
}

static struct snap_ref networks_add(struct blob *b, const struct list *l)
{
	struct snap_address out[SNAP_TRUSTED_MAX] = {0};
	const struct address *a = l->v;

	for (uint32_t i = 0; i < l->n && i < SNAP_TRUSTED_MAX; i++)
		out[i] = (struct snap_address){.addr = a[i].addr, .prefix = a[i].prefix};
	return blob_add(b, out, l->n, sizeof(out[0]));
}

static struct snap_ref pages_add(struct job *j, const struct list *l)
{
	struct snap_page out[SNAP_PAGES_MAX] = {0};
	const struct conf_page *p = l->v;
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		const struct text *status = p[i].status.v;
		struct snap_ref content_type = text_add(j, &p[i].content_type), body = text_add(j, &p[i].body);

		for (uint32_t k = 0; k < p[i].status.n && n < SNAP_PAGES_MAX; k++) {
			uint16_t family = (uint16_t)(100 * (status[k].s[0] - '0'));
			bool all = status[k].s[1] == 'x';
			uint16_t one = all ? 0 : (uint16_t)(10 * (status[k].s[1] - '0') + status[k].s[2] - '0');

			out[n++] = (struct snap_page){.from = (uint16_t)(family + one),
						      .to = (uint16_t)(family + (all ? 99 : one)),
						      .content_type = content_type,
						      .body = body};
		}
	}
	return blob_add(j->b, out, n, sizeof(out[0]));
}

static struct snap_path path_policy(const struct conf_path *p)
{
	return (struct snap_path){.dot_segments = (uint8_t)p->dot_segments.v,
				  .slashes = (uint8_t)p->slashes.v,
				  .unreserved = (uint8_t)p->unreserved.v,
				  .encoded_slash = (uint8_t)p->encoded_slash.v,
				  .encoded_backslash = (uint8_t)p->encoded_backslash.v};
}

static uint8_t forwarded_bits(const struct list *l)
{
	unsigned bits = l->given ? 0 : 1u << FORWARDED_FOR | 1u << FORWARDED_PROTO;

	for (uint32_t i = 0; i < l->n; i++)
		bits |= 1u << ((const struct number *)l->v)[i].v;
	return (uint8_t)bits;
}

// The slot of what may have a limit on requests in flight; 0 where none is left.
static uint16_t credits_slot(struct job *j, const char *kind, const struct text *name, uint64_t max)
{
	char key[sizeof(struct region_credit_name)];
	uint32_t slot;

	snprintf(key, sizeof(key), "%s/%s", kind, name->s);
	slot = region_credits_slot(j->r, key);
	return (uint16_t)(slot | (slot && max ? SNAP_LIMITED : 0));
}

static int job_listeners(struct job *j)
{
	const struct list *l = &j->c->root.listeners;
	struct snap_listener *out = calloc(l->n + 1, sizeof(*out));

	if (!out)
		return fail(j, "no memory left");
	for (uint32_t i = 0; i < l->n; i++) {
		const struct conf_listener *from = (const struct conf_listener *)l->v + i;

		out[i] = (struct snap_listener){
			.name = text_add(j, &from->name),
			.addr = from->bind.addr,
			.port = (uint16_t)from->port_index,
			.tcp_port = from->bind.tcp_port,
			.head_timeout = from->head_timeout.v,
			.idle_timeout = from->idle_timeout.v,
			.body_timeout = from->body_timeout.given ? from->body_timeout.v : from->idle_timeout.v,
			.response_idle =
				from->response_idle.given ? from->response_idle.v : from->idle_timeout.v,
			.min_body_rate = (uint32_t)from->min_body_rate.v,
			.min_read_rate = (uint32_t)from->min_read_rate.v,
			.rate_grace = from->rate_grace.v,
			.max_head = (uint32_t)from->max_head.v,
			.max_requests = (uint32_t)from->max_requests.v,
			.congestion = (uint8_t)from->congestion.v,
			.ecn = (uint8_t)from->ecn.v,
			.syn_cookies = (uint8_t)from->syn_cookies.v,
			.refuse = (uint8_t)from->refuse.v,
			.client_prefix6 = (uint8_t)from->client_prefix6.v,
			.max_per_address = (uint32_t)from->max_per_address.v,
			.accept_rate = (uint32_t)from->accept_rate.v,
			.accept_burst = (uint32_t)(from->accept_rate.v && from->accept_burst.given
							   ? from->accept_burst.v
							   : from->accept_rate.v),
			.limits = limit_uses_add(j->b, &j->c->root, &from->rate_limit, NULL),
			.max_line = (uint32_t)from->max_request_line.v,
			.max_uri = (uint32_t)from->max_uri.v,
			.max_fields = (uint16_t)from->max_fields.v,
			.lenient_lf = (uint8_t)from->lenient_lf.v,
			.max_body = from->max_body.v,
			.forwarded = forwarded_bits(&from->forwarded_headers),
			.client_from = (uint8_t)from->client_from.v,
			.proxy_protocol = (uint8_t)from->proxy_protocol.v,
			.trusted = networks_add(j->b, &from->trusted_proxies),
			.path = path_policy(&from->path_policy),
			.pages = pages_add(j, &from->error_pages),
			.credits = credits_slot(j, "listener", &from->name, from->max_in_flight.v),
			.max_in_flight = (uint32_t)from->max_in_flight.v,
		};
		if (!out[i].credits && out[i].max_in_flight) {
			free(out);
			return fail(j, "no slot is left for a limit on requests in flight");
		}
	}
	j->head.listeners = blob_add(j->b, out, l->n, sizeof(*out));
	free(out);
	return 0;
}

static int job_endpoints(struct job *j, const struct conf_upstream *u, struct snap_upstream *up)
{
	struct snap_endpoint *out = calloc(u->endpoints.n + 1, sizeof(*out));
	char addr[ADDR_TEXT_MAX], name[ADDR_TEXT_MAX + 16], key[160];

	if (!out)
		return fail(j, "no memory left");
	for (uint32_t i = 0; i < u->endpoints.n; i++) {
		const struct conf_endpoint *e = (const struct conf_endpoint *)u->endpoints.v + i;
		const char *fmt = addr_is_v4(e->address.addr) ? "%s:%u" : "[%s]:%u";

		snprintf(name, sizeof(name), fmt, addr_text(e->address.addr, addr), e->address.tcp_port);
		snprintf(key, sizeof(key), "%s/%s", u->name.s, name);
		uint32_t slot = region_endpoint_slot(j->r, key);

		if (slot == 0) {
			free(out);
			return fail(j, "no endpoint slot is left in the region");
		}
		out[i] = (struct snap_endpoint){
			.name = blob_text(j->b, name, strlen(name)),
			.addr = e->address.addr,
			.tcp_port = e->address.tcp_port,
			.weight = (uint32_t)e->weight.v,
			.slot = slot,
			.epoch = region_endpoints(j->r)[slot].epoch,
			.token = siphash((struct hash_key){j->r->sticky_secret[0], j->r->sticky_secret[1]}, key,
					 strlen(key)) |
				 1,
		};
	}
	up->endpoints = blob_add(j->b, out, u->endpoints.n, sizeof(*out));
	free(out);
	return 0;
}

static int job_upstreams(struct job *j)
{
	const struct list *l = &j->c->root.upstreams;
	struct snap_upstream *out = calloc(l->n + 1, sizeof(*out));

	if (!out)
		return fail(j, "no memory left");
	for (uint32_t i = 0; i < l->n; i++) {
		const struct conf_upstream *u = (const struct conf_upstream *)l->v + i;

		out[i] = (struct snap_upstream){
			.name = text_add(j, &u->name),
			.stat_slot = region_name_slot(region_upstreams(j->r), STATS_UPSTREAMS, u->name.s),
			.port = (uint16_t)u->port_index,
			.balance = (uint8_t)u->balance.v,
			.proxy_protocol = (uint8_t)u->proxy_protocol.v,
			.connect_timeout = u->connect_timeout.v,
			.idle_timeout = u->pool.idle.v,
			.pool_probe = u->pool.keepalive.v,
			.max_connections = (uint32_t)u->pool.max_connections.v,
			.max_pending = (uint32_t)u->pool.max_pending.v,
			.down_after = (uint32_t)u->down.after.v,
			.down_for = u->down.time.v,
			.congestion = (uint8_t)u->congestion.v,
			.ecn = (uint8_t)u->ecn.v,
		};
		if (job_endpoints(j, u, &out[i]) < 0) {
			free(out);
			return -1;
		}
	}
	j->head.upstreams = blob_add(j->b, out, l->n, sizeof(*out));
	free(out);
	return 0;
}

static int job_targets(struct job *j, const struct conf_route *r, struct snap_route *out)
{
	const struct conf_upstream *u = j->c->root.upstreams.v;
	struct snap_target t[64] = {0};
	char key[160];

	for (uint32_t i = 0; i < r->to.n && i < 64; i++) {
		const struct conf_target *from = (const struct conf_target *)r->to.v + i;

		snprintf(key, sizeof(key), "%s/%s", r->name.s, u[from->upstream_index].name.s);
		t[i] = (struct snap_target){
			.upstream = from->upstream_index,
			.weight = (uint32_t)from->weight.v,
			.slot = region_target_slot(j->r, key),
		};
		if (t[i].slot == 0)
			return fail(j, "no target slot is left in the region");
	}
	out->targets = blob_add(j->b, t, r->to.n, sizeof(t[0]));
	return 0;
}

// The answer of a respond action, so that a worker has to copy it only (see snap_route.answer). One that does
// not fit stays out.
static void job_answer(struct job *j, const struct conf_route *r, struct snap_route *out)
{
	const struct conf_respond *a = &r->respond;
	char text[SNAP_ANSWER_MAX + 1];
	uint16_t status = (uint16_t)a->status.v;
	size_t n, head;

	if (status == 204 || status == 304 || a->body.n + a->content_type.n > SNAP_ANSWER_MAX / 2)
		return;
	n = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 %u %s\r\nServer: churchgate\r\nDate: ", status,
			     http_reason(status));
	out->answer_date = (uint16_t)n;
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%*s\r\nX-Request-Id: ", SNAP_DATE, "");
	out->answer_id = (uint16_t)n;
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%*s\r\n", SNAP_ID, "");
	if (a->body.n)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Content-Type: %s\r\n", a->content_type.s);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "Content-Length: %u\r\n\r\n", a->body.n);
	head = n;
	if (a->body.n)
		memcpy(text + n, a->body.s, a->body.n);
	out->answer_head = (uint16_t)head;
	out->answer = blob_text(j->b, text, head + a->body.n);
}

static void job_action(struct job *j, const struct conf_route *r, struct snap_route *out)
{
	out->action = ACTION_TO;
	if (r->respond.head.given) {
		out->action = ACTION_RESPOND;
		out->status = (uint16_t)r->respond.status.v;
		if (r->respond.body.n)
			out->content_type = text_add(j, &r->respond.content_type);
		out->body = text_add(j, &r->respond.body);
	} else if (r->list_versions.s) {
		out->action = ACTION_RESPOND;
		out->status = 200;
		out->content_type = blob_text(j->b, "application/json", 16);
		out->body = versions_document(j->b, &j->c->root, &r->list_versions);
	} else if (r->redirect.head.given) {
		out->action = ACTION_REDIRECT;
		out->status = (uint16_t)r->redirect.status.v;
		if (template_is(&r->redirect.location))
			out->location_pieces = template_add(j->b, &r->redirect.location, TEMPLATE_LOCATION, r);
		else
			out->location = text_add(j, &r->redirect.location);
	}
}

// A prefix takes the place of the route's; its last slash does not count, as what follows begins with one.
static void job_rewrite(struct job *j, const struct conf_route *r, struct snap_route *out)
{
	const struct conf_rewrite *w = &r->rewrite;
	char text[2100];
	struct text path = w->path;

	if (w->prefix.s) {
		uint32_t n = w->prefix.n - (w->prefix.s[w->prefix.n - 1] == '/');

		path = (struct text){text,
				     (uint32_t)snprintf(text, sizeof(text), "%.*s${rest}", (int)n, w->prefix.s),
				     w->prefix.mark};
	}
	out->rewrite_path = template_add(j->b, &path, TEMPLATE_TARGET, r);
	out->rewrite_host = template_add(j->b, &w->host, TEMPLATE_HOST, r);
	out->rewrites = out->rewrite_path.n || out->rewrite_host.n;
}

static void job_sticky(struct job *j, const struct conf_sticky *k, struct snap_route *out)
{
	static const char cookie[] = "cg-endpoint";

	if (!k->head.given)
		return;
	out->sticky = (uint8_t)(k->by.v + 1);
	out->sticky_age = (uint32_t)(k->age.v / 1000000000);
	out->sticky_secure = (uint8_t)k->secure.v;
	if (k->name.s)
		out->sticky_name = text_add(j, &k->name);
	else if (out->sticky == STICKY_COOKIE)
		out->sticky_name = blob_text(j->b, cookie, sizeof(cookie) - 1);
}

static uint32_t methods_bits(const struct list *methods)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < methods->n; i++) {
		const char *name = conf_methods[((const struct number *)methods->v)[i].v];

		bits |= 1u << http_method_of(slice_of(name, strlen(name)));
	}
	// What may be read may be asked for without its body (RFC 9110 9.3.2).
	if (bits & 1u << METHOD_GET)
		bits |= 1u << METHOD_HEAD;
	return bits;
}

// A path pattern as listings show it: a prefix ends with an asterisk.
static struct snap_ref path_text(struct job *j, const struct conf_match *m)
{
	char text[SNAP_TEXT_MAX + 1];

	if (m->path.s)
		return text_add(j, &m->path);
	snprintf(text, sizeof(text), "%s*", m->prefix.s ? m->prefix.s : "/");
	return blob_text(j->b, text, strlen(text));
}

static bool edits_responses(uint32_t stages)
{
#define STAGE(name, hooks, help)                                                                               \
	if ((stages & 1u << STAGE_##name) && ((hooks)&HOOK_RESPONSE))                                          \
		return true;
#include "contract/stages.def"
#undef STAGE
	return false;
}

static int job_route(struct job *j, const struct conf_route *r, struct snap_route *out)
{
	const struct conf_match *m = &r->match;

	*out = (struct snap_route){
		.name = text_add(j, &r->name),
		.methods = methods_bits(&m->methods),
		.stat_slot = region_name_slot(region_routes(j->r), STATS_ROUTES, r->name.s),
		.timeout = r->timeout.v,
		.per_try = r->per_try.v || r->timeout.v ? r->per_try.v : PATIENCE,
		.attempts = (uint8_t)r->attempts.v,
		.host_text = text_add(j, &m->host),
		.path_text = path_text(j, m),
		.path = path_policy(&r->path_policy),
		.pages = pages_add(j, &r->error_pages),
		.conditions = conditions_add(j->b, &j->c->root, m, j->expressions),
		.connect = (uint8_t)r->connect.v,
		.tunnel_idle = r->tunnel_idle.v,
		.credits = credits_slot(j, "route", &r->name, r->max_in_flight.v),
		.max_in_flight = (uint32_t)r->max_in_flight.v,
	};

	if (!out->credits && out->max_in_flight)
		return fail(j, "no slot is left for a limit on requests in flight");
	for (uint32_t i = 0; i < r->upgrade.n; i++)
		out->upgrade |= (uint8_t)(1u << ((const struct number *)r->upgrade.v)[i].v);
	job_action(j, r, out);
	job_rewrite(j, r, out);
	job_sticky(j, &r->sticky, out);
	if (out->action == ACTION_TO) {
		out->trailers_request = (uint8_t)r->trailers.request.v;
		out->trailers_response = (uint8_t)r->trailers.response.v;
	}
	if (out->action == ACTION_TO && job_targets(j, r, out) < 0)
		return -1;
	for (unsigned s = 0; s < STAGE_COUNT; s++) {
		if (!r->stage[s] ||
		    !stage_compilers[s]->present(r->stage[s], &(struct stage_place){&j->c->root, r}))
			continue;
		out->stages |= 1u << s;
		out->stage_conf[s] =
			stage_compilers[s]->compile(j->b, r->stage[s], &(struct stage_place){&j->c->root, r});
	}
	if (r->respond.head.given && !edits_responses(out->stages))
		job_answer(j, r, out);
	return 0;
}

// Where a host pattern stands in the table of hosts.
static uint32_t host_index(const struct job *j, const struct text *host)
{
	const struct snap_host *t = (const struct snap_host *)(const void *)(j->b->p + j->head.hosts.off);
	struct slice key = slice_of(host->s, host->n);

	if (key.n >= 2 && key.p[0] == '*')
		key = slice_of(key.p + 1, key.n - 1);
	else if (key.n == 1 && key.p[0] == '*')
		key.n = 0;
	for (uint32_t i = (uint32_t)routekey_host(key), k = 0; k < j->head.hosts.n; i++, k++) {
		const struct snap_host *h = &t[i & (j->head.hosts.n - 1)];

		if (!h->used)
			break;
		if (slice_ieq(snap_host_text((const struct snapshot *)(const void *)j->b->p, h), key))
			return i & (j->head.hosts.n - 1);
	}
	return 0;
}

static int job_routes(struct job *j)
{
	const struct list *l = &j->c->root.routes;
	const struct conf_route *r = l->v;
	struct snap_route *out = calloc(l->n + 1, sizeof(*out));
	struct route_pattern *p = calloc(l->n + 1, sizeof(*p));
	int err = -1;

	j->expressions = calloc(1, sizeof(*j->expressions));
	if (!out || !p || !j->expressions) {
		fail(j, "no memory left");
		goto done;
	}
	for (uint32_t i = 0; i < l->n; i++) {
		const struct conf_match *m = &r[i].match;
		struct slice path = m->path.s     ? slice_of(m->path.s, m->path.n)
				    : m->prefix.s ? slice_of(m->prefix.s, m->prefix.n)
						  : SLICE("/");

		if (job_route(j, &r[i], &out[i]) < 0)
			goto done;
		p[i] = (struct route_pattern){.host = slice_of(m->host.s, m->host.n),
					      .path = path,
					      .prefix = !m->path.s,
					      .conditions = out[i].conditions.n > 0,
					      .methods = out[i].methods};
	}
	if (!routetable_build(j->b, p, l->n, &j->head)) {
		fail(j, "the route table could not be built");
		goto done;
	}
	for (uint32_t i = 0; i < l->n; i++)
		out[i].host = host_index(j, &r[i].match.host);
	if (!routetable_prompts(j->b, out, l->n, &j->head)) {
		fail(j, "no memory left");
		goto done;
	}
	blob_pad(j->b, CACHE_LINE_BYTES);
	j->head.routes = blob_add(j->b, out, l->n, sizeof(*out));
	j->head.regexes = expressions_add(j->b, j->expressions);
	err = j->expressions->full ? fail(j, "more than 4096 different regular expressions") : 0;
done:
	free(out);
	free(p);
	free(j->expressions);
	j->expressions = NULL;
	return err;
}

static int job_finish(struct job *j, uint64_t generation)
{
	struct timespec now;

	if (j->b->failed)
		return fail(j, "no memory left, or more than 4 GiB of snapshot");
	clock_gettime(CLOCK_REALTIME, &now);
	j->head.magic = SNAPSHOT_MAGIC;
	j->head.version = SNAPSHOT_VERSION;
	j->head.header_size = sizeof(j->head);
	j->head.size = j->b->n;
	j->head.generation = generation;
	j->head.created = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	j->head.checksum = hash64(j->b->p + sizeof(j->head), j->b->n - sizeof(j->head));
	memcpy(j->b->p, &j->head, sizeof(j->head));
	if (!snapshot_verify(j->b->p, j->b->n, j->why, j->why_size))
		return -1;
	return policy_verify((const struct snapshot *)(const void *)j->b->p, j->why, j->why_size) ? 0 : -1;
}

int compile_snapshot(struct blob *b, const struct config *c, struct region *r, uint64_t generation, char *why,
		     size_t why_size)
{
	struct job j = {.b = b, .c = c, .r = r, .why = why, .why_size = why_size};

	*b = (struct blob){0};
	// Once for the region's life, so that cookies outlive reloads and restarts.
	if (!(r->sticky_secret[0] | r->sticky_secret[1]) &&
	    getrandom(r->sticky_secret, sizeof(r->sticky_secret), 0) != sizeof(r->sticky_secret))
		return fail(&j, "no random numbers");
	blob_add(b, NULL, 1, sizeof(struct snapshot));
	j.head.source = blob_text(b, c->path, strnlen(c->path, SNAP_TEXT_MAX));
	j.head.text = blob_text(b, c->text ? c->text : "", c->text_size);
	j.head.apis = apis_add(b, &c->root);
	if (job_system(&j) < 0 || job_ports(&j) < 0 || job_limits(&j) < 0 || job_listeners(&j) < 0 ||
	    job_upstreams(&j) < 0 || job_routes(&j) < 0)
		return -1;
	return job_finish(&j, generation);
}

static int blob_write(const struct blob *b, const char *path, char *why, size_t why_size)
{
	FILE *f = fopen(path, "wb");
	bool good = f && fwrite(b->p, 1, b->n, f) == b->n;

	if (!f || fclose(f) || !good) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

int compile_dry(const struct config *c, const char *out, char *why, size_t why_size)
{
	struct region *r = aligned_alloc(4096, region_size(1));
	struct blob b = {0};
	int err = -1;

	if (r) {
		memset(r, 0, region_size(1));
		region_create(r, 1);
		err = compile_snapshot(&b, c, r, 1, why, why_size);
		if (err == 0 && out)
			err = blob_write(&b, out, why, why_size);
	} else {
		snprintf(why, why_size, "no memory left");
	}
	blob_free(&b);
	free(r);
	return err;
}

static void used_by(const struct snapshot *s, uint8_t *endpoint, uint8_t *target, uint8_t *credits)
{
	const struct snap_listener *l = snap_at(s, s->listeners);
	const struct snap_upstream *u = snap_at(s, s->upstreams);
	const struct snap_route *route = snap_at(s, s->routes);

	for (uint32_t i = 0; i < s->upstreams.n; i++) {
		const struct snap_endpoint *e = snap_at(s, u[i].endpoints);

		for (uint32_t k = 0; k < u[i].endpoints.n; k++)
			endpoint[e[k].slot] = 1;
	}
	for (uint32_t i = 0; i < s->listeners.n; i++)
		credits[l[i].credits & ~SNAP_LIMITED] = 1;
	for (uint32_t i = 0; i < s->routes.n; i++) {
		const struct snap_target *t = snap_at(s, route[i].targets);

		credits[route[i].credits & ~SNAP_LIMITED] = 1;
		for (uint32_t k = 0; k < route[i].targets.n; k++)
			target[t[k].slot] = 1;
	}
}

static bool has_route(const struct snapshot *s, uint64_t key)
{
	const struct snap_route *r = s ? snap_at(s, s->routes) : NULL;

	for (uint32_t i = 0; s && i < s->routes.n; i++)
		if (hash64(snap_at(s, r[i].name), r[i].name.n) == key)
			return true;
	return false;
}

// Routes that are gone are not remembered as disabled.
static void release_routes(struct region *r, const struct snapshot *running, const struct snapshot *before)
{
	for (uint32_t i = atomic_load(&r->n_routes_off); i-- > 0;) {
		uint64_t key = i < REGION_ROUTES_OFF ? atomic_load(&r->route_off[i]) : 0;

		if (key && !has_route(running, key) && !has_route(before, key))
			region_route_enable(r, key);
	}
}

void compile_release(struct region *r, const struct snapshot *running, const struct snapshot *before)
{
	uint8_t *endpoint = calloc(REGION_ENDPOINTS, 1), *target = calloc(REGION_TARGETS, 1);
	uint8_t *credits = calloc(REGION_CREDITS, 1);

	if (endpoint && target && credits) {
		used_by(running, endpoint, target, credits);
		if (before)
			used_by(before, endpoint, target, credits);
		for (uint32_t i = 1; i < REGION_ENDPOINTS; i++)
			if (!endpoint[i] && region_endpoints(r)[i].key)
				region_endpoint_release(r, i);
		for (uint32_t i = 1; i < REGION_TARGETS; i++)
			if (!target[i] && region_targets(r)[i].key)
				region_target_release(r, i);
		// Requests that are still in flight keep it.
		for (uint32_t i = 1; i < REGION_CREDITS; i++)
			if (!credits[i] && region_credits(r)[i].key) {
				credits_limit(r, i, 0);
				if (!credits_used(r, i))
					region_credits_release(r, i);
			}
	}
	free(credits);
	free(endpoint);
	free(target);
	release_routes(r, running, before);
}
