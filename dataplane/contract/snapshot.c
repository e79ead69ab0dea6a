// What snapshot_verify() promises to its readers: every reference lies inside, every index is in range, every
// table ends, every walk over the tries visits a node at most once for each depth. What it costs is linear in
// the size, even for a hostile snapshot: records may not overlap (their bytes together fit into the snapshot),
// and the text that is looked at is bounded too.
#include "contract/snapshot.h"
#include "base/hash.h"
#include "contract/address_list.h"
#include "contract/region.h"
#include "contract/stages.h"
#include "contract/stats.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_MAX        (1000ull * 86400 * 1000000000) // ns; so that now + time never wraps
#define CPU_MAX         1023
#define QUEUES_MAX      1024
#define CONNECTIONS_MAX (1u << 26)
#define BUFFER_MAX      (64u << 20)
#define TIME_WAIT_MAX   (1u << 26)
#define MSL_MAX         (120ull * 1000000000) // ns
#define MEMORY_MIN      (1ull << 20)
#define MEMORY_MAX      (1ull << 40)

struct check {
	const struct snapshot *s;
	uint64_t size;
	uint64_t records; // bytes of records referred to so far
	uint64_t text;    // bytes of text looked at so far
	uint64_t slots[REGION_ENDPOINTS / 64];
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->why_size, fmt, ap);
	va_end(ap);
	return false;
}

// The bytes of n records of `size` each.
static bool records(struct check *c, struct snap_ref r, uint64_t size, const char *what)
{
	uint64_t bytes = r.n * size;

	if (r.n == 0)
		return true;
	if (r.off % 8 != 0)
		return fail(c, "%s: offset %u is not aligned", what, r.off);
	if (r.off < sizeof(struct snapshot) || r.off > c->size || bytes > c->size - r.off)
		return fail(c, "%s: %u records at %u reach outside of the snapshot", what, r.n, r.off);
	c->records += bytes;
	if (c->records > c->size)
		return fail(c, "%s: records overlap", what);
	return true;
}

static bool bytes(struct check *c, struct snap_ref r, uint32_t max, const char *what)
{
	if (r.n == 0)
		return true;
	if (r.n > max)
		return fail(c, "%s: %u bytes, but at most %u are possible", what, r.n, max);
	if (r.off < sizeof(struct snapshot) || r.off > c->size || r.n > c->size - r.off)
		return fail(c, "%s: %u bytes at %u reach outside of the snapshot", what, r.n, r.off);
	return true;
}

// Text goes into listings and header fields: no control characters, least of all CR, LF and NUL.
static bool text(struct check *c, struct snap_ref r, uint32_t min, uint32_t max, const char *what)
{
	const unsigned char *p;

	if (r.n < min)
		return fail(c, "%s: missing", what);
	if (!bytes(c, r, max, what))
		return false;
	c->text += r.n;
	if (c->text > 8 * c->size)
		return fail(c, "%s: text overlaps too often", what);
	p = snap_at(c->s, r);
	for (uint32_t i = 0; i < r.n; i++)
		if (p[i] < 0x20 || p[i] == 0x7f)
			return fail(c, "%s: byte 0x%02x in a text", what, p[i]);
	return true;
}

static bool name(struct check *c, struct snap_ref r, const char *what)
{
	return text(c, r, 1, SNAP_NAME_MAX, what);
}

static bool header(struct check *c)
{
	const struct snapshot *s = c->s;

	if (c->size < sizeof *s || c->size > UINT32_MAX || (uintptr_t)s % 8 != 0)
		return fail(c, "snapshot: a size of %llu bytes is impossible", (unsigned long long)c->size);
	if (s->magic != SNAPSHOT_MAGIC)
		return fail(c, "snapshot: not a snapshot (its magic is wrong)");
	if (s->version != SNAPSHOT_VERSION || s->header_size != sizeof *s)
		return fail(c,
			    "snapshot: version %u with a header of %u bytes, but this program is of version %u "
			    "with %zu",
			    s->version, s->header_size, SNAPSHOT_VERSION, sizeof *s);
	if (s->size != c->size)
		return fail(c, "snapshot: %llu bytes, but its header says %llu", (unsigned long long)c->size,
			    (unsigned long long)s->size);
	if (s->generation == 0)
		return fail(c, "snapshot: generation 0");
	if (s->checksum != hash64(s + 1, c->size - sizeof *s))
		return fail(c, "snapshot: checksum wrong");
	return true;
}

static bool tcp_choice(uint8_t congestion, uint8_t ecn)
{
	return congestion <= CONGESTION_NEWRENO && ecn <= ECN_NEVER;
}

static bool system_tcp(struct check *c, const struct snap_tcp *t)
{
	if (!tcp_choice(t->congestion, t->ecn))
		return fail(c, "system: congestion control %u or ECN setting %u is unknown", t->congestion,
			    t->ecn);
	if (t->receive_buffer > BUFFER_MAX || t->send_buffer > BUFFER_MAX || t->keep_probes > UINT8_MAX)
		return fail(c, "system: TCP buffers or keep-alive probes out of range");
	if (t->time_wait_max > TIME_WAIT_MAX || t->msl > MSL_MAX || t->user_timeout > TIME_MAX ||
	    t->keep_idle > TIME_MAX || t->keep_interval > TIME_MAX)
		return fail(c, "system: TCP times or TIME_WAIT records out of range");
	return true;
}

static bool system_part(struct check *c)
{
	const struct snap_system *y = &c->s->system;

	if (y->workers == 0 || y->workers > SNAP_WORKERS_MAX)
		return fail(c, "system: %u workers, but 1 to %u are possible", y->workers, SNAP_WORKERS_MAX);
	if (y->idle > IDLE_ADAPTIVE)
		return fail(c, "system: unknown idle policy %u", y->idle);
	if (y->hugepages > HUGEPAGES_NEVER)
		return fail(c, "system: unknown hugepages setting %u", y->hugepages);
	if (y->max_connections == 0 || y->max_connections > CONNECTIONS_MAX)
		return fail(c, "system: %u connections for each worker, but 1 to %u are possible",
			    y->max_connections, CONNECTIONS_MAX);
	if (y->upstream_reserve >= y->max_connections)
		return fail(c, "all %u connections are kept for upstreams", y->max_connections);
	if (y->min_mss < SNAP_MSS_FLOOR_MIN || y->min_mss > SNAP_MSS_FLOOR_MAX)
		return fail(c, "a least MSS of %u bytes", y->min_mss);
	if (y->packet_memory < MEMORY_MIN || y->packet_memory > MEMORY_MAX)
		return fail(c, "system: %llu bytes of packet memory, but 1 MiB to 1 TiB are possible",
			    (unsigned long long)y->packet_memory);
	if (y->address_memory && (y->address_memory < ADDRESS_LIST_MIN || y->address_memory > MEMORY_MAX ||
				  y->address_memory % 4096))
		return fail(c, "system: %llu bytes for the list of addresses",
			    (unsigned long long)y->address_memory);
	if (y->limit_memory &&
	    (y->limit_memory < 8192 || y->limit_memory > MEMORY_MAX || y->limit_memory % 4096))
		return fail(c, "system: %llu bytes for rate limits are no whole pages, two at least",
			    (unsigned long long)y->limit_memory);
	for (uint32_t i = 0; i < SNAP_WORKERS_MAX; i++)
		if (y->cpu[i] < -1 || y->cpu[i] > CPU_MAX)
			return fail(c, "system: worker %u on CPU %d", i, y->cpu[i]);
	return system_tcp(c, &y->tcp);
}

static bool prefix_fits(struct addr a, uint32_t prefix)
{
	return prefix <= 128 && (!addr_is_v4(a) || prefix >= 96);
}

// A port with an IPv6 address has a link-local one, too.
static bool is_link_local(struct addr a)
{
	return a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80;
}

static bool on_link(const struct check *c, const struct snap_port *p, struct addr a)
{
	const struct snap_address *own = snap_at(c->s, p->addresses);

	for (uint32_t i = 0; i < p->addresses.n; i++)
		if (addr_is_v4(a) == addr_is_v4(own[i].addr) &&
		    (addr_in_prefix(a, own[i].addr, own[i].prefix) || is_link_local(a)))
			return true;
	return false;
}

static bool port_addresses(struct check *c, const struct snap_port *p, uint32_t i)
{
	const struct snap_address *a;
	const struct snap_netroute *r;

	if (!records(c, p->addresses, sizeof *a, "port addresses") ||
	    !records(c, p->routes, sizeof *r, "port routes"))
		return false;
	a = snap_at(c->s, p->addresses);
	for (uint32_t k = 0; k < p->addresses.n; k++)
		if (addr_is_any(a[k].addr) || !prefix_fits(a[k].addr, a[k].prefix) || a[k].pad)
			return fail(c, "port %u: address %u is not usable", i, k);
	r = snap_at(c->s, p->routes);
	for (uint32_t k = 0; k < p->routes.n; k++) {
		if (!prefix_fits(r[k].dst, r[k].prefix) || r[k].pad ||
		    addr_is_v4(r[k].dst) != addr_is_v4(r[k].gateway) || addr_is_any(r[k].gateway))
			return fail(c, "port %u: route %u is not usable", i, k);
		if (!on_link(c, p, r[k].gateway))
			return fail(c, "port %u: the gateway of route %u is in none of its networks", i, k);
	}
	return true;
}

static bool ports(struct check *c)
{
	const struct snap_port *p;

	if (!records(c, c->s->ports, sizeof *p, "ports"))
		return false;
	if (c->s->ports.n == 0 || c->s->ports.n > SNAP_PORTS_MAX)
		return fail(c, "ports: %u, but 1 to %u are possible", c->s->ports.n, SNAP_PORTS_MAX);
	p = snap_at(c->s, c->s->ports);
	for (uint32_t i = 0; i < c->s->ports.n; i++) {
		if (!text(c, p[i].name, 1, 31, "port name") || !text(c, p[i].device, 1, 127, "port device"))
			return false;
		if (p[i].vlan > 4094 || p[i].mtu < 576 || p[i].mtu > 9216 || p[i].queues > QUEUES_MAX ||
		    p[i].routers > ROUTERS_ADVERTISED)
			return fail(c, "port %u: VLAN %u, MTU %u or %u queues are out of range", i, p[i].vlan,
				    p[i].mtu, p[i].queues);
		if (!port_addresses(c, &p[i], i))
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (slice_eq(snap_text(c->s, p[k].name), snap_text(c->s, p[i].name)) ||
			    slice_eq(snap_text(c->s, p[k].device), snap_text(c->s, p[i].device)))
				return fail(c, "ports %u and %u have the same name or device", k, i);
	}
	return true;
}

bool snapshot_limit_uses_ok(const struct snapshot *s, const struct snap_limit_use *uses, uint32_t n)
{
	const struct snap_limit *limit = snap_at(s, s->limits);

	if (n > SNAP_LIMIT_USES_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (uses[i].limit >= s->limits.n || uses[i].cost == 0 ||
		    uses[i].cost > limit[uses[i].limit].burst)
			return false;
	return true;
}

static bool limit_parts(struct check *c, const struct snap_limit *l, uint32_t i)
{
	const struct snap_limit_part *p = snap_at(c->s, l->parts);

	if (l->parts.n == 0 || l->parts.n > SNAP_LIMIT_PARTS_MAX)
		return fail(c, "limit %u: a key of %u parts", i, l->parts.n);
	if (!records(c, l->parts, sizeof *p, "key of a limit"))
		return false;
	for (uint32_t k = 0; k < l->parts.n; k++) {
		bool named = p[k].kind >= LIMIT_PART_HEADER && p[k].kind <= LIMIT_PART_PATH;

		if (p[k].kind >= LIMIT_PARTS || p[k].pad)
			return fail(c, "limit %u: part %u of its key is of kind %u", i, k, p[k].kind);
		if (p[k].kind == LIMIT_PART_CLIENT_IP &&
		    (p[k].prefix4 == 0 || p[k].prefix4 > 32 || p[k].prefix6 == 0 || p[k].prefix6 > 128))
			return fail(c, "limit %u: prefixes of %u and %u bits", i, p[k].prefix4, p[k].prefix6);
		if (!text(c, p[k].name, named, SNAP_NAME_MAX, "name in a key"))
			return false;
	}
	return true;
}

static bool limits(struct check *c)
{
	const struct snap_limit *l = snap_at(c->s, c->s->limits);

	if (c->s->limits.n > SNAP_LIMITS_MAX)
		return fail(c, "%u limits", c->s->limits.n);
	if (!records(c, c->s->limits, sizeof *l, "limits"))
		return false;
	for (uint32_t i = 0; i < c->s->limits.n; i++) {
		if (!name(c, l[i].name, "limit name") || !limit_parts(c, &l[i], i) ||
		    !text(c, l[i].header, l[i].action == LIMIT_TAG, SNAP_NAME_MAX, "header of a limit"))
			return false;
		if (l[i].slot == 0 || l[i].slot >= REGION_LIMITS || l[i].action >= LIMIT_ACTIONS ||
		    l[i].full_passes > 1)
			return fail(c, "limit %u: slot %u, action %u", i, l[i].slot, l[i].action);
		if (l[i].rate == 0 || l[i].period == 0 || l[i].period > SNAP_LIMIT_TIME_MAX ||
		    l[i].interval == 0 || l[i].burst == 0 || l[i].delay > SNAP_LIMIT_TIME_MAX ||
		    l[i].interval > SNAP_LIMIT_TIME_MAX / l[i].burst)
			return fail(c, "limit %u: rate, burst or delay out of range", i);
		if (l[i].block > SNAP_LIMIT_TIME_MAX || l[i].strikes_in > SNAP_LIMIT_TIME_MAX ||
		    l[i].drop > 1 ||
		    (l[i].drop && (l[i].parts.n != 1 || l[i].block == 0 ||
				   ((const struct snap_limit_part *)snap_at(c->s, l[i].parts))->kind !=
					   LIMIT_PART_CLIENT_IP)) ||
		    (l[i].block && (l[i].strikes == 0 || l[i].strikes_in < l[i].strikes)))
			return fail(c, "limit %u: blocking out of range", i);
	}
	return true;
}

static bool path_ok(const struct snap_path *p)
{
	return p->dot_segments <= PATH_NORMALISE && p->slashes <= PATH_REJECT && p->unreserved <= PATH_REJECT &&
	       p->encoded_slash <= PATH_REJECT && p->encoded_backslash <= PATH_REJECT && !p->pad[0] &&
	       !p->pad[1] && !p->pad[2];
}

static bool pages(struct check *c, struct snap_ref r)
{
	const struct snap_page *p = snap_at(c->s, r);

	if (r.n > SNAP_PAGES_MAX)
		return fail(c, "%u pages", r.n);
	if (!records(c, r, sizeof(*p), "pages"))
		return false;
	for (uint32_t i = 0; i < r.n; i++) {
		if (p[i].from < 400 || p[i].to > 599 || p[i].from > p[i].to || p[i].pad)
			return fail(c, "page %u: of statuses %u to %u", i, p[i].from, p[i].to);
		if (!text(c, p[i].content_type, 1, SNAP_TEXT_MAX, "content type of a page") ||
		    !bytes(c, p[i].body, SNAP_PAGE_MAX, "page"))
			return false;
	}
	return true;
}

static bool listener_trusted(struct check *c, const struct snap_listener *l, uint32_t i)
{
	const struct snap_address *a;

	if (l->forwarded >> FORWARDED_FIELDS || l->client_from > CLIENT_FROM_FORWARDED)
		return fail(c, "listener %u: unknown fields of the client", i);
	if (l->proxy_protocol > PROXY_PROTOCOL_REQUIRE ||
	    (l->proxy_protocol == PROXY_PROTOCOL_ACCEPT && l->trusted.n == 0))
		return fail(c, "listener %u: PROXY protocol %u", i, l->proxy_protocol);
	if (l->trusted.n > SNAP_TRUSTED_MAX)
		return fail(c, "listener %u: %u trusted networks", i, l->trusted.n);
	if (!records(c, l->trusted, sizeof *a, "trusted proxies of a listener"))
		return false;
	a = snap_at(c->s, l->trusted);
	for (uint32_t k = 0; k < l->trusted.n; k++)
		if (!prefix_fits(a[k].addr, a[k].prefix) || a[k].pad)
			return fail(c, "listener %u: trusted network %u is not usable", i, k);
	return true;
}

static bool listeners(struct check *c)
{
	const struct snap_listener *l;

	if (!records(c, c->s->listeners, sizeof *l, "listeners"))
		return false;
	l = snap_at(c->s, c->s->listeners);
	for (uint32_t i = 0; i < c->s->listeners.n; i++) {
		if (!records(c, l[i].limits, sizeof(struct snap_limit_use), "limits of a listener"))
			return false;
		if (!snapshot_limit_uses_ok(c->s, snap_at(c->s, l[i].limits), l[i].limits.n))
			return fail(c, "listener %u: bad use of a limit", i);
		if (!name(c, l[i].name, "listener name"))
			return false;
		if (l[i].port >= c->s->ports.n || l[i].tcp_port == 0 || l[i].pad ||
		    !tcp_choice(l[i].congestion, l[i].ecn))
			return fail(c, "listener %u: port %u, TCP port %u", i, l[i].port, l[i].tcp_port);
		if (l[i].head_timeout == 0 || l[i].head_timeout > TIME_MAX || l[i].idle_timeout == 0 ||
		    l[i].idle_timeout > TIME_MAX)
			return fail(c, "listener %u: timeouts out of range", i);
		if (l[i].syn_cookies > SYN_COOKIES_NEVER || l[i].refuse > REFUSE_RESET || l[i].pad2)
			return fail(c, "listener %u: an unknown way to take SYNs", i);
		if (l[i].client_prefix6 == 0 || l[i].client_prefix6 > 128)
			return fail(c, "listener %u: clients of %u bits", i, l[i].client_prefix6);
		if (l[i].accept_rate > SNAP_ACCEPT_MAX || l[i].accept_burst > SNAP_ACCEPT_MAX ||
		    (l[i].accept_rate == 0) != (l[i].accept_burst == 0))
			return fail(c, "listener %u: %u connections a second, %u at once", i, l[i].accept_rate,
				    l[i].accept_burst);
		if (l[i].max_head == 0 || l[i].max_head > SNAP_HEAD_MAX)
			return fail(c, "listener %u: a head of %u bytes, but 1 to %u are possible", i,
				    l[i].max_head, SNAP_HEAD_MAX);
		if (l[i].max_line == 0 || l[i].max_line > SNAP_HEAD_MAX || l[i].max_uri == 0 ||
		    l[i].max_uri > SNAP_HEAD_MAX)
			return fail(c, "listener %u: a request line of %u bytes, a target of %u", i,
				    l[i].max_line, l[i].max_uri);
		if (l[i].max_fields == 0 || l[i].max_fields > SNAP_FIELDS_MAX)
			return fail(c, "listener %u: %u fields, but 1 to %u are possible", i, l[i].max_fields,
				    SNAP_FIELDS_MAX);
		if (l[i].lenient_lf > 1 || memcmp(l[i].pad3, (uint8_t[2]){0}, 2) != 0)
			return fail(c, "listener %u: lenient_lf %u, or padding in use", i, l[i].lenient_lf);
		if (l[i].body_timeout == 0 || l[i].body_timeout > TIME_MAX || l[i].response_idle == 0 ||
		    l[i].response_idle > TIME_MAX || l[i].rate_grace == 0 || l[i].rate_grace > TIME_MAX)
			return fail(c, "listener %u: patience out of range", i);
		if (!listener_trusted(c, &l[i], i))
			return false;
		if (!pages(c, l[i].pages))
			return false;
		if (!path_ok(&l[i].path))
			return fail(c, "listener %u: unknown treatment of paths", i);
	}
	return true;
}

static bool route_targets(struct check *c, const struct snap_route *r, uint32_t i)
{
	const struct snap_target *t;

	if (!records(c, r->targets, sizeof *t, "route targets"))
		return false;
	if (r->targets.n == 0)
		return fail(c, "route %u: no target", i);
	t = snap_at(c->s, r->targets);
	for (uint32_t k = 0; k < r->targets.n; k++)
		if (t[k].upstream >= c->s->upstreams.n || t[k].weight > 65535 || t[k].slot == 0 ||
		    t[k].slot >= REGION_TARGETS || t[k].pad)
			return fail(c, "route %u: target %u: upstream %u, weight %u or slot %u is out of range",
				    i, k, t[k].upstream, t[k].weight, t[k].slot);
	if (r->attempts == 0)
		return fail(c, "route %u: no attempt", i);
	return true;
}

static bool plain_text(const struct snapshot *s, struct snap_ref r, uint32_t min, uint32_t max)
{
	const unsigned char *p = snap_at(s, r);

	if (r.n < min || r.n > max || (r.n && (r.off < sizeof(*s) || r.off > s->size || r.n > s->size - r.off)))
		return false;
	for (uint32_t i = 0; i < r.n; i++)
		if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
			return false;
	return true;
}

bool snapshot_pieces_ok(const struct snapshot *s, struct snap_ref pieces)
{
	const struct snap_piece *p = snap_at(s, pieces);

	if (pieces.n == 0)
		return true;
	if (pieces.n > SNAP_PIECES_MAX || pieces.off % 8 || pieces.off < sizeof(*s) || pieces.off > s->size ||
	    pieces.n > (s->size - pieces.off) / sizeof(*p))
		return false;
	for (uint32_t i = 0; i < pieces.n; i++) {
		bool literal = p[i].kind == PIECE_LITERAL;
		bool named = p[i].kind >= PIECE_HEADER && p[i].kind <= PIECE_PARAMETER;

		if (p[i].kind >= PIECES || p[i].escape >= ESCAPES || p[i].number >= SNAP_CAPTURES_MAX ||
		    p[i].pad ||
		    !plain_text(s, p[i].text, named,
				literal ? SNAP_TEXT_MAX
				: named ? SNAP_NAME_MAX
					: 0))
			return false;
	}
	return true;
}

static bool route_pieces(struct check *c, const struct snap_route *r, uint32_t i)
{
	const struct snap_ref *list[] = {&r->rewrite_path, &r->rewrite_host, &r->location_pieces};
	bool rewrites = r->rewrite_path.n || r->rewrite_host.n;

	if (r->rewrites != rewrites || (rewrites && r->action != ACTION_TO))
		return fail(c, "route %u: rewrites, or does not", i);
	for (unsigned k = 0; k < 3; k++)
		if (!records(c, *list[k], sizeof(struct snap_piece), "pieces of a text") ||
		    !snapshot_pieces_ok(c->s, *list[k]))
			return fail(c, "route %u: bad pieces of a text", i);
	return true;
}

static bool route_sticky(struct check *c, const struct snap_route *r, uint32_t i)
{
	bool named = r->sticky == STICKY_COOKIE || r->sticky == STICKY_HEADER;
	const char *name = snap_at(c->s, r->sticky_name);

	if (r->sticky >= STICKIES || (r->sticky && r->action != ACTION_TO) || r->sticky_secure > 1)
		return fail(c, "route %u: sticky in an unknown way", i);
	if (!text(c, r->sticky_name, named, named ? SNAP_NAME_MAX : 0, "name of what makes a route sticky"))
		return false;
	for (uint32_t k = 0; k < r->sticky_name.n; k++) // it goes into a field of the answer
		if (name[k] <= ' ' || strchr("\"(),/:;<=>?@[\\]{}\x7f", name[k]))
			return fail(c, "route %u: the name of its cookie is none", i);
	return true;
}

static bool route_action(struct check *c, const struct snap_route *r, uint32_t i)
{
	switch (r->action) {
	case ACTION_TO:
		return route_targets(c, r, i);
	case ACTION_RESPOND:
		if (r->status < 200 || r->status > 599)
			return fail(c, "route %u: status %u", i, r->status);
		if (r->answer.n &&
		    (r->answer_head > r->answer.n || r->answer_head < 2 ||
		     r->answer_date + SNAP_DATE > r->answer_head || r->answer_id + SNAP_ID > r->answer_head))
			return fail(c, "route %u: its answer's date or id lies outside of the head", i);
		return text(c, r->content_type, 0, SNAP_TEXT_MAX, "route content type") &&
		       bytes(c, r->body, SNAP_BODY_MAX, "route body") &&
		       bytes(c, r->answer, SNAP_ANSWER_MAX, "route answer");
	case ACTION_REDIRECT:
		if (r->status < 300 || r->status > 399)
			return fail(c, "route %u: redirect with status %u", i, r->status);
		return text(c, r->location, r->location_pieces.n == 0, SNAP_TEXT_MAX, "route location");
	default:
		return fail(c, "route %u: unknown action %u", i, r->action);
	}
}

static bool route_stages(struct check *c, const struct snap_route *r, uint32_t i)
{
	if (r->stages >> STAGE_COUNT)
		return fail(c, "route %u: unknown stages 0x%x", i, r->stages);
	for (uint32_t k = 0; k < 8; k++) {
		if ((r->stages >> k & 1) != (r->stage_conf[k].n > 0))
			return fail(c, "route %u: stage %u and its record disagree", i, k);
		if (r->stage_conf[k].off % 8 != 0)
			return fail(c, "route %u: the record of stage %u is not aligned", i, k);
		if (!bytes(c, r->stage_conf[k], UINT32_MAX, "stage record"))
			return false;
	}
	return true;
}

static bool condition_values(struct check *c, const struct snap_condition *d, uint32_t i)
{
	const struct snap_address *a;
	const struct snap_ref *t;
	const uint32_t *v;

	if (d->value.n == 0 || d->value.n > SNAP_VALUES_MAX)
		return fail(c, "route %u: a condition of %u values", i, d->value.n);
	switch (d->kind) {
	case CONDITION_LISTENER:
		v = snap_at(c->s, d->value);
		if (!records(c, d->value, sizeof(*v), "listeners of a route"))
			return false;
		for (uint32_t k = 0; k < d->value.n; k++)
			if (v[k] >= c->s->listeners.n)
				return fail(c, "route %u: listener %u is out of range", i, v[k]);
		return true;
	case CONDITION_CLIENT:
		a = snap_at(c->s, d->value);
		if (!records(c, d->value, sizeof(*a), "clients of a route"))
			return false;
		for (uint32_t k = 0; k < d->value.n; k++)
			if (!prefix_fits(a[k].addr, a[k].prefix) || a[k].pad)
				return fail(c, "route %u: client network %u is not usable", i, k);
		return true;
	default:
		t = snap_at(c->s, d->value);
		if (!records(c, d->value, sizeof(*t), "values of a condition"))
			return false;
		for (uint32_t k = 0; k < d->value.n; k++)
			if (!text(c, t[k], 1, SNAP_NAME_MAX * 2, "value of a condition"))
				return false;
		return true;
	}
}

static bool condition_number(const struct check *c, const struct snap_condition *d)
{
	if (d->test == TEST_REGEX)
		return d->number < c->s->regexes.n && d->value.n == 0;
	return d->kind == CONDITION_VERSION ? d->number < c->s->apis.n : d->number == 0;
}

static bool route_conditions(struct check *c, const struct snap_route *r, uint32_t i)
{
	const struct snap_condition *d = snap_at(c->s, r->conditions);

	if (r->conditions.n > SNAP_CONDITIONS_MAX)
		return fail(c, "route %u: %u conditions", i, r->conditions.n);
	if (!records(c, r->conditions, sizeof(*d), "conditions"))
		return false;
	for (uint32_t k = 0; k < r->conditions.n; k++) {
		bool named = d[k].kind >= CONDITION_HEADER && d[k].kind <= CONDITION_COOKIE;

		if (d[k].kind >= CONDITION_KINDS || d[k].test >= (named ? TESTS : 1) ||
		    (k && d[k].kind < d[k - 1].kind))
			return fail(c, "route %u: condition %u of kind %u, test %u", i, k, d[k].kind,
				    d[k].test);
		if (!condition_number(c, &d[k]))
			return fail(c, "route %u: condition %u names API or expression %u", i, k, d[k].number);
		if (!named && d[k].name.n)
			return fail(c, "route %u: condition %u has a name", i, k);
		if (named ? !text(c, d[k].name, 1, SNAP_TEXT_MAX, "name in a condition") ||
				    !text(c, d[k].value, 0, SNAP_TEXT_MAX, "text of a condition")
			  : !condition_values(c, &d[k], i))
			return false;
	}
	return true;
}

static bool apis(struct check *c)
{
	const struct snap_api *a = snap_at(c->s, c->s->apis);

	if (c->s->apis.n > SNAP_APIS_MAX)
		return fail(c, "%u APIs", c->s->apis.n);
	if (!records(c, c->s->apis, sizeof(*a), "APIs"))
		return false;
	for (uint32_t i = 0; i < c->s->apis.n; i++)
		if (!name(c, a[i].name, "API name") || !name(c, a[i].otherwise, "version") ||
		    !text(c, a[i].header, 0, SNAP_NAME_MAX, "header of an API") ||
		    !text(c, a[i].media_prefix, 0, SNAP_TEXT_MAX, "media type") ||
		    !text(c, a[i].media_suffix, 0, SNAP_TEXT_MAX, "media type"))
			return false;
	return true;
}

static bool regexes(struct check *c)
{
	const struct snap_ref *t = snap_at(c->s, c->s->regexes);

	if (c->s->regexes.n > SNAP_REGEXES_MAX)
		return fail(c, "%u regular expressions", c->s->regexes.n);
	if (!records(c, c->s->regexes, sizeof(*t), "regular expressions"))
		return false;
	for (uint32_t i = 0; i < c->s->regexes.n; i++)
		if (!text(c, t[i], 1, SNAP_REGEX_MAX, "regular expression"))
			return false;
	return true;
}

static bool routes(struct check *c)
{
	const struct snap_route *r;

	if (!records(c, c->s->routes, sizeof *r, "routes"))
		return false;
	r = snap_at(c->s, c->s->routes);
	for (uint32_t i = 0; i < c->s->routes.n; i++) {
		if (!name(c, r[i].name, "route name") ||
		    !text(c, r[i].host_text, 0, SNAP_TEXT_MAX, "route host") ||
		    !text(c, r[i].path_text, 0, SNAP_TEXT_MAX, "route path") || !route_action(c, &r[i], i) ||
		    !route_pieces(c, &r[i], i) || !route_sticky(c, &r[i], i) || !route_stages(c, &r[i], i) ||
		    !route_conditions(c, &r[i], i))
			return false;
		if (r[i].stat_slot >= STATS_ROUTES || r[i].methods & SNAP_TAKE_CONDITIONS || r[i].pad2 ||
		    (r[i].answer.n && r[i].action != ACTION_RESPOND) || r[i].attempts > 8 ||
		    r[i].host >= c->s->hosts.n)
			return fail(c, "route %u: statistics slot %u, %u attempts or host %u is out of range",
				    i, r[i].stat_slot, r[i].attempts, r[i].host);
		if (r[i].upgrade >> UPGRADES || r[i].connect > 1 ||
		    ((r[i].upgrade || r[i].connect) && r[i].action != ACTION_TO))
			return fail(c, "route %u: tunnels of a kind that is not known, or to nowhere", i);
		if (r[i].timeout > TIME_MAX || r[i].per_try > TIME_MAX || r[i].tunnel_idle > TIME_MAX)
			return fail(c, "route %u: timeouts out of range", i);
		if (!pages(c, r[i].pages))
			return false;
		if (!path_ok(&r[i].path))
			return fail(c, "route %u: unknown treatment of paths", i);
	}
	return true;
}

static bool endpoints(struct check *c, const struct snap_upstream *u, uint32_t i)
{
	const struct snap_endpoint *e;

	if (!records(c, u->endpoints, sizeof *e, "endpoints"))
		return false;
	e = snap_at(c->s, u->endpoints);
	for (uint32_t k = 0; k < u->endpoints.n; k++) {
		if (!name(c, e[k].name, "endpoint name"))
			return false;
		if (addr_is_any(e[k].addr) || e[k].tcp_port == 0 || e[k].pad || e[k].weight == 0 ||
		    e[k].weight > 65535)
			return fail(c, "upstream %u: address, port or weight of endpoint %u is out of range", i,
				    k);
		if (e[k].slot == 0 || e[k].slot >= REGION_ENDPOINTS)
			return fail(c, "upstream %u: endpoint %u has slot %u", i, k, e[k].slot);
		// Workers keep an endpoint's state by its slot.
		if (c->slots[e[k].slot / 64] >> (e[k].slot % 64) & 1)
			return fail(c, "upstream %u: endpoint %u has slot %u, as another has", i, k, e[k].slot);
		c->slots[e[k].slot / 64] |= 1ull << (e[k].slot % 64);
	}
	return true;
}

static bool upstreams(struct check *c)
{
	const struct snap_upstream *u;

	if (!records(c, c->s->upstreams, sizeof *u, "upstreams"))
		return false;
	u = snap_at(c->s, c->s->upstreams);
	for (uint32_t i = 0; i < c->s->upstreams.n; i++) {
		if (!name(c, u[i].name, "upstream name") || !endpoints(c, &u[i], i))
			return false;
		if (u[i].stat_slot >= STATS_UPSTREAMS || u[i].port >= c->s->ports.n ||
		    u[i].balance > BALANCE_LEAST_REQUEST || u[i].proxy_protocol > 2 || u[i].pad2 ||
		    !tcp_choice(u[i].congestion, u[i].ecn))
			return fail(c, "upstream %u: statistics slot %u, port %u or balance %u is out of range",
				    i, u[i].stat_slot, u[i].port, u[i].balance);
		if (u[i].connect_timeout == 0 || u[i].connect_timeout > TIME_MAX ||
		    u[i].idle_timeout > TIME_MAX || u[i].down_for > TIME_MAX)
			return fail(c, "upstream %u: timeouts out of range", i);
	}
	return true;
}

// Of an open-addressed table with linear probing, scanned from an empty slot on around: an entry is found when
// no empty slot lies between its home and itself.
struct probing {
	uint32_t n, begin, since; // since: how many used slots stand before the one looked at
};

static bool probing_reaches(const struct probing *p, uint32_t at, uint64_t hash)
{
	uint32_t home = (uint32_t)hash & (p->n - 1);

	return ((at - home) & (p->n - 1)) <= p->since;
}

static bool probing_table(struct check *c, struct snap_ref r, uint64_t size, const char *what)
{
	if (!records(c, r, size, what))
		return false;
	if (r.n == 0 || (r.n & (r.n - 1)) != 0)
		return fail(c, "%s: a table of %u slots, which is not a power of two", what, r.n);
	return true;
}

static bool host_key(struct check *c, const struct snap_host *h, uint32_t at)
{
	struct slice key = snap_host_text(c->s, h);

	for (size_t k = 0; k < key.n; k++)
		if (key.p[k] != ascii_lower(key.p[k]))
			return fail(c, "host %u: key is not in lower case", at);
	if (h->hash != routekey_host(key))
		return fail(c, "host %u: hash wrong", at);
	return true;
}

// A text that stands in a table where there is room for it, and outside where there is not.
static bool key_text(struct check *c, uint32_t off, uint32_t n, const char *own, size_t room, const char *what)
{
	if (n > room)
		return text(c, (struct snap_ref){off, n}, 0, SNAP_TEXT_MAX, what);
	for (size_t i = 0; i < room; i++)
		if (i < n ? (unsigned char)own[i] < 0x20 || own[i] == 0x7f : own[i] != 0)
			return fail(c, "%s: byte 0x%02x in a text", what, (unsigned char)own[i]);
	return true;
}

static bool hosts(struct check *c)
{
	const struct snap_host *h;
	uint32_t any = 0, suffixes = 0;
	struct probing p = {.n = c->s->hosts.n};

	if (!probing_table(c, c->s->hosts, sizeof *h, "hosts"))
		return false;
	h = snap_at(c->s, c->s->hosts);
	while (p.begin < p.n && h[p.begin].used)
		p.begin++;
	if (p.begin == p.n)
		return fail(c, "hosts: no slot of the table is empty");
	for (uint32_t i = 0; i < p.n; i++) {
		uint32_t at = (p.begin + i) & (p.n - 1);

		if (!h[at].used) {
			p.since = 0;
			continue;
		}
		if (h[at].used != 1 || h[at].root >= c->s->nodes.n)
			return fail(c, "host %u: root %u is out of range", at, h[at].root);
		if (!key_text(c, h[at].off, h[at].n, h[at].text, sizeof(h[at].text), "host") ||
		    !host_key(c, &h[at], at))
			return false;
		if (!probing_reaches(&p, at, h[at].hash))
			return fail(c, "host %u: stands where it is not found", at);
		p.since++;
		any |= h[at].n == 0;
		suffixes |= h[at].n > 0 && snap_host_text(c->s, &h[at]).p[0] == '.';
	}
	if (c->s->host_any != any || c->s->host_suffixes != suffixes)
		return fail(c, "hosts: the table and its summary disagree");
	return true;
}

// What the tries' nodes are checked against.
struct trie {
	uint32_t *best;     // of each node: lowest route of itself and its children, as they say
	unsigned char *has; // a parent
};

static bool node_routes(struct check *c, struct snap_ref r, uint32_t at, uint32_t *best)
{
	const struct snap_route *routes = snap_at(c->s, c->s->routes);
	const struct snap_take *v;

	if (!records(c, r, sizeof *v, "node routes"))
		return false;
	v = snap_at(c->s, r);
	for (uint32_t k = 0; k < r.n; k++) {
		const struct snap_route *route = &routes[v[k].route];

		if (v[k].route >= c->s->routes.n || (k && v[k].route <= v[k - 1].route))
			return fail(c, "node %u: route %u is out of range or out of order", at, v[k].route);
		if (v[k].methods != (route->methods | (route->conditions.n ? SNAP_TAKE_CONDITIONS : 0)))
			return fail(c, "node %u: route %u has other methods or conditions", at, v[k].route);
	}
	if (r.n && v[0].route < *best)
		*best = v[0].route;
	return true;
}

static bool adopt(struct check *c, struct trie *t, uint32_t parent, uint32_t child)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);

	if (child >= c->s->nodes.n || parent >= c->s->nodes.n)
		return fail(c, "node %u: child %u is out of range", parent, child);
	if (t->has[child])
		return fail(c, "node %u has two parents", child);
	t->has[child] = 1;
	if (n[child].best < t->best[parent])
		t->best[parent] = n[child].best;
	return true;
}

static bool edge_text(struct check *c, const struct snap_edge *e)
{
	return key_text(c, e->off, e->n, (const char *)e->w, sizeof(e->w), "edge");
}

static bool edges(struct check *c, struct trie *t)
{
	const struct snap_edge *e;
	uint64_t hash;
	struct probing p = {.n = c->s->edges.n};

	if (!probing_table(c, c->s->edges, sizeof *e, "edges"))
		return false;
	e = snap_at(c->s, c->s->edges);
	while (p.begin < p.n && e[p.begin].child)
		p.begin++;
	if (p.begin == p.n)
		return fail(c, "edges: no slot of the table is empty");
	for (uint32_t i = 0; i < p.n; i++) {
		uint32_t at = (p.begin + i) & (p.n - 1);

		if (!e[at].child) {
			p.since = 0;
			continue;
		}
		if (!edge_text(c, &e[at]) || !adopt(c, t, e[at].parent, e[at].child))
			return false;
		hash = routekey_edge(routekey_segment(snap_edge_text(c->s, &e[at])).hash, e[at].parent);
		if (e[at].tag != hash >> 32)
			return fail(c, "edge %u: hash wrong", at);
		if (!probing_reaches(&p, at, hash))
			return fail(c, "edge %u: stands where it is not found", at);
		p.since++;
	}
	return true;
}

static bool nodes(struct check *c, struct trie *t)
{
	const struct snap_node *n = snap_at(c->s, c->s->nodes);
	uint32_t count = c->s->nodes.n;

	for (uint32_t i = 0; i < count; i++) {
		t->best[i] = UINT32_MAX;
		if (!node_routes(c, n[i].exact, i, &t->best[i]) ||
		    !node_routes(c, n[i].prefix, i, &t->best[i]) || !node_routes(c, n[i].rest, i, &t->best[i]))
			return false;
	}
	for (uint32_t i = 0; i < count; i++)
		if (n[i].param && !adopt(c, t, i, n[i].param))
			return false;
	if (!edges(c, t))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (n[i].best != t->best[i])
			return fail(c, "node %u: its lowest route is said to be %u, but is %u", i, n[i].best,
				    t->best[i]);
	return true;
}

static bool tries(struct check *c)
{
	struct trie t;
	bool ok;

	if (!records(c, c->s->nodes, sizeof(struct snap_node), "nodes"))
		return false;
	t.best = calloc((size_t)c->s->nodes.n + 1, sizeof *t.best);
	t.has = calloc((size_t)c->s->nodes.n + 1, 1);
	ok = t.best && t.has ? nodes(c, &t) : fail(c, "snapshot: no memory to check it");
	free(t.best);
	free(t.has);
	return ok;
}

bool snapshot_verify(const void *s, size_t size, char *why, size_t why_size)
{
	struct check c = {.s = s, .size = size, .why = why, .why_size = why_size};

	// Ranges that others are checked against (ports, upstreams, hosts, nodes) are those of the header:
	// whoever comes later in this list finds them checked, or only compares with their numbers.
	return header(&c) && system_part(&c) && text(&c, c.s->source, 0, SNAP_TEXT_MAX, "source") &&
	       bytes(&c, c.s->text, UINT32_MAX, "configuration text") && ports(&c) && limits(&c) &&
	       listeners(&c) && upstreams(&c) && apis(&c) && regexes(&c) && routes(&c) && hosts(&c) &&
	       tries(&c);
}
