// What snapshot_verify() promises to its readers: every reference lies inside, every index is in range, every
// table ends, every walk over the tries visits a node at most once for each depth. What it costs is linear in
// the size, even for a hostile snapshot: records may not overlap (their bytes together fit into the snapshot),
// and the text that is looked at is bounded too.
#include "base/hash.h"
#include "contract/address_list.h"
#include "contract/credits.h"
#include "contract/region.h"
#include "contract/snapshot_check.h"
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

bool check_fail(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->why_size, fmt, ap);
	va_end(ap);
	return false;
}

// The bytes of n records of `size` each.
bool check_records(struct check *c, struct snap_ref r, uint64_t size, const char *what)
{
	uint64_t bytes = r.n * size;

	if (r.n == 0)
		return true;
	if (r.off % 8 != 0)
		return check_fail(c, "%s: offset %u is not aligned", what, r.off);
	if (r.off < sizeof(struct snapshot) || r.off > c->size || bytes > c->size - r.off)
		return check_fail(c, "%s: %u records at %u reach outside of the snapshot", what, r.n, r.off);
	c->records += bytes;
	if (c->records > c->size)
		return check_fail(c, "%s: records overlap", what);
	return true;
}

bool check_bytes(struct check *c, struct snap_ref r, uint32_t max, const char *what)
{
	if (r.n == 0)
		return true;
	if (r.n > max)
		return check_fail(c, "%s: %u bytes, but at most %u are possible", what, r.n, max);
	if (r.off < sizeof(struct snapshot) || r.off > c->size || r.n > c->size - r.off)
		return check_fail(c, "%s: %u bytes at %u reach outside of the snapshot", what, r.n, r.off);
	return true;
}

// Text goes into listings and header fields: no control characters, least of all CR, LF and NUL.
bool check_text(struct check *c, struct snap_ref r, uint32_t min, uint32_t max, const char *what)
{
	const unsigned char *p;

	if (r.n < min)
		return check_fail(c, "%s: missing", what);
	if (!check_bytes(c, r, max, what))
		return false;
	c->text += r.n;
	if (c->text > 8 * c->size)
		return check_fail(c, "%s: text overlaps too often", what);
	p = snap_at(c->s, r);
	for (uint32_t i = 0; i < r.n; i++)
		if (p[i] < 0x20 || p[i] == 0x7f)
			return check_fail(c, "%s: byte 0x%02x in a text", what, p[i]);
	return true;
}

bool check_name(struct check *c, struct snap_ref r, const char *what)
{
	return check_text(c, r, 1, SNAP_NAME_MAX, what);
}

static bool header(struct check *c)
{
	const struct snapshot *s = c->s;

	if (c->size < sizeof *s || c->size > UINT32_MAX || (uintptr_t)s % 8 != 0)
		return check_fail(c, "snapshot: a size of %llu bytes is impossible",
				  (unsigned long long)c->size);
	if (s->magic != SNAPSHOT_MAGIC)
		return check_fail(c, "snapshot: not a snapshot (its magic is wrong)");
	if (s->version != SNAPSHOT_VERSION || s->header_size != sizeof *s)
		return check_fail(
			c,
			"snapshot: version %u with a header of %u bytes, but this program is of version %u "
			"with %zu",
			s->version, s->header_size, SNAPSHOT_VERSION, sizeof *s);
	if (s->size != c->size)
		return check_fail(c, "snapshot: %llu bytes, but its header says %llu",
				  (unsigned long long)c->size, (unsigned long long)s->size);
	if (s->generation == 0)
		return check_fail(c, "snapshot: generation 0");
	if (s->checksum != hash64(s + 1, c->size - sizeof *s))
		return check_fail(c, "snapshot: checksum wrong");
	return true;
}

static bool tcp_choice(uint8_t congestion, uint8_t ecn)
{
	return congestion <= CONGESTION_NEWRENO && ecn <= ECN_NEVER;
}

static bool system_tcp(struct check *c, const struct snap_tcp *t)
{
	if (!tcp_choice(t->congestion, t->ecn))
		return check_fail(c, "system: congestion control %u or ECN setting %u is unknown",
				  t->congestion, t->ecn);
	if (t->receive_buffer > BUFFER_MAX || t->send_buffer > BUFFER_MAX || t->keep_probes > UINT8_MAX)
		return check_fail(c, "system: TCP buffers or keep-alive probes out of range");
	if (t->time_wait_max > TIME_WAIT_MAX || t->msl > MSL_MAX || t->user_timeout > TIME_MAX ||
	    t->keep_idle > TIME_MAX || t->keep_interval > TIME_MAX)
		return check_fail(c, "system: TCP times or TIME_WAIT records out of range");
	return true;
}

static bool system_part(struct check *c)
{
	const struct snap_system *y = &c->s->system;

	if (y->workers == 0 || y->workers > SNAP_WORKERS_MAX)
		return check_fail(c, "system: %u workers, but 1 to %u are possible", y->workers,
				  SNAP_WORKERS_MAX);
	if (y->idle > IDLE_ADAPTIVE)
		return check_fail(c, "system: unknown idle policy %u", y->idle);
	if (y->hugepages > HUGEPAGES_NEVER)
		return check_fail(c, "system: unknown hugepages setting %u", y->hugepages);
	if (y->max_connections == 0 || y->max_connections > CONNECTIONS_MAX)
		return check_fail(c, "system: %u connections for each worker, but 1 to %u are possible",
				  y->max_connections, CONNECTIONS_MAX);
	if (y->upstream_reserve >= y->max_connections)
		return check_fail(c, "all %u connections are kept for upstreams", y->max_connections);
	if (y->min_mss < SNAP_MSS_FLOOR_MIN || y->min_mss > SNAP_MSS_FLOOR_MAX)
		return check_fail(c, "a least MSS of %u bytes", y->min_mss);
	if (y->compressions > SNAP_COMPRESSIONS_MAX)
		return check_fail(c, "system: %u compressions at a time", y->compressions);
	if (y->packet_memory < MEMORY_MIN || y->packet_memory > MEMORY_MAX)
		return check_fail(c, "system: %llu bytes of packet memory, but 1 MiB to 1 TiB are possible",
				  (unsigned long long)y->packet_memory);
	if (y->address_memory && (y->address_memory < ADDRESS_LIST_MIN || y->address_memory > MEMORY_MAX ||
				  y->address_memory % 4096))
		return check_fail(c, "system: %llu bytes for the list of addresses",
				  (unsigned long long)y->address_memory);
	if (y->limit_memory &&
	    (y->limit_memory < 8192 || y->limit_memory > MEMORY_MAX || y->limit_memory % 4096))
		return check_fail(c, "system: %llu bytes for rate limits are no whole pages, two at least",
				  (unsigned long long)y->limit_memory);
	for (uint32_t i = 0; i < SNAP_WORKERS_MAX; i++)
		if (y->cpu[i] < -1 || y->cpu[i] > CPU_MAX)
			return check_fail(c, "system: worker %u on CPU %d", i, y->cpu[i]);
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

	if (!check_records(c, p->addresses, sizeof *a, "port addresses") ||
	    !check_records(c, p->routes, sizeof *r, "port routes"))
		return false;
	a = snap_at(c->s, p->addresses);
	for (uint32_t k = 0; k < p->addresses.n; k++)
		if (addr_is_any(a[k].addr) || !prefix_fits(a[k].addr, a[k].prefix) || a[k].pad)
			return check_fail(c, "port %u: address %u is not usable", i, k);
	r = snap_at(c->s, p->routes);
	for (uint32_t k = 0; k < p->routes.n; k++) {
		if (!prefix_fits(r[k].dst, r[k].prefix) || r[k].pad ||
		    addr_is_v4(r[k].dst) != addr_is_v4(r[k].gateway) || addr_is_any(r[k].gateway))
			return check_fail(c, "port %u: route %u is not usable", i, k);
		if (!on_link(c, p, r[k].gateway))
			return check_fail(c, "port %u: the gateway of route %u is in none of its networks", i,
					  k);
	}
	return true;
}

static bool ports(struct check *c)
{
	const struct snap_port *p;

	if (!check_records(c, c->s->ports, sizeof *p, "ports"))
		return false;
	if (c->s->ports.n == 0 || c->s->ports.n > SNAP_PORTS_MAX)
		return check_fail(c, "ports: %u, but 1 to %u are possible", c->s->ports.n, SNAP_PORTS_MAX);
	p = snap_at(c->s, c->s->ports);
	for (uint32_t i = 0; i < c->s->ports.n; i++) {
		if (!check_text(c, p[i].name, 1, 31, "port name") ||
		    !check_text(c, p[i].device, 1, 127, "port device"))
			return false;
		if (p[i].vlan > 4094 || p[i].mtu < 576 || p[i].mtu > 9216 || p[i].queues > QUEUES_MAX ||
		    p[i].routers > ROUTERS_ADVERTISED || p[i].tso > TSO_OFF)
			return check_fail(c, "port %u: VLAN %u, MTU %u or %u queues are out of range", i,
					  p[i].vlan, p[i].mtu, p[i].queues);
		if (!port_addresses(c, &p[i], i))
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (slice_eq(snap_text(c->s, p[k].name), snap_text(c->s, p[i].name)) ||
			    slice_eq(snap_text(c->s, p[k].device), snap_text(c->s, p[i].device)))
				return check_fail(c, "ports %u and %u have the same name or device", k, i);
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
		return check_fail(c, "limit %u: a key of %u parts", i, l->parts.n);
	if (!check_records(c, l->parts, sizeof *p, "key of a limit"))
		return false;
	for (uint32_t k = 0; k < l->parts.n; k++) {
		bool named = p[k].kind >= LIMIT_PART_HEADER && p[k].kind <= LIMIT_PART_PATH;

		if (p[k].kind >= LIMIT_PARTS || p[k].pad)
			return check_fail(c, "limit %u: part %u of its key is of kind %u", i, k, p[k].kind);
		if (p[k].kind == LIMIT_PART_CLIENT_IP &&
		    (p[k].prefix4 == 0 || p[k].prefix4 > 32 || p[k].prefix6 == 0 || p[k].prefix6 > 128))
			return check_fail(c, "limit %u: prefixes of %u and %u bits", i, p[k].prefix4,
					  p[k].prefix6);
		if (!check_text(c, p[k].name, named, SNAP_NAME_MAX, "name in a key"))
			return false;
	}
	return true;
}

static bool limits(struct check *c)
{
	const struct snap_limit *l = snap_at(c->s, c->s->limits);

	if (c->s->limits.n > SNAP_LIMITS_MAX)
		return check_fail(c, "%u limits", c->s->limits.n);
	if (!check_records(c, c->s->limits, sizeof *l, "limits"))
		return false;
	for (uint32_t i = 0; i < c->s->limits.n; i++) {
		if (!check_name(c, l[i].name, "limit name") || !limit_parts(c, &l[i], i) ||
		    !check_text(c, l[i].header, l[i].action == LIMIT_TAG, SNAP_NAME_MAX, "header of a limit"))
			return false;
		if (l[i].slot == 0 || l[i].slot >= REGION_LIMITS || l[i].action >= LIMIT_ACTIONS ||
		    l[i].full_passes > 1)
			return check_fail(c, "limit %u: slot %u, action %u", i, l[i].slot, l[i].action);
		if (l[i].rate == 0 || l[i].period == 0 || l[i].period > SNAP_LIMIT_TIME_MAX ||
		    l[i].interval == 0 || l[i].burst == 0 || l[i].delay > SNAP_LIMIT_TIME_MAX ||
		    l[i].interval > SNAP_LIMIT_TIME_MAX / l[i].burst)
			return check_fail(c, "limit %u: rate, burst or delay out of range", i);
		if (l[i].block > SNAP_LIMIT_TIME_MAX || l[i].strikes_in > SNAP_LIMIT_TIME_MAX ||
		    l[i].drop > 1 ||
		    (l[i].drop && (l[i].parts.n != 1 || l[i].block == 0 ||
				   ((const struct snap_limit_part *)snap_at(c->s, l[i].parts))->kind !=
					   LIMIT_PART_CLIENT_IP)) ||
		    (l[i].block && (l[i].strikes == 0 || l[i].strikes_in < l[i].strikes)))
			return check_fail(c, "limit %u: blocking out of range", i);
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
		return check_fail(c, "%u pages", r.n);
	if (!check_records(c, r, sizeof(*p), "pages"))
		return false;
	for (uint32_t i = 0; i < r.n; i++) {
		if (p[i].from < 400 || p[i].to > 599 || p[i].from > p[i].to || p[i].pad)
			return check_fail(c, "page %u: of statuses %u to %u", i, p[i].from, p[i].to);
		if (!check_text(c, p[i].content_type, 1, SNAP_TEXT_MAX, "content type of a page") ||
		    !check_bytes(c, p[i].body, SNAP_PAGE_MAX, "page"))
			return false;
	}
	return true;
}

static bool listener_trusted(struct check *c, const struct snap_listener *l, uint32_t i)
{
	const struct snap_address *a;

	if (l->forwarded >> FORWARDED_FIELDS || l->client_from > CLIENT_FROM_FORWARDED)
		return check_fail(c, "listener %u: unknown fields of the client", i);
	if (l->proxy_protocol > PROXY_PROTOCOL_REQUIRE ||
	    (l->proxy_protocol == PROXY_PROTOCOL_ACCEPT && l->trusted.n == 0))
		return check_fail(c, "listener %u: PROXY protocol %u", i, l->proxy_protocol);
	if (l->trusted.n > SNAP_TRUSTED_MAX)
		return check_fail(c, "listener %u: %u trusted networks", i, l->trusted.n);
	if (!check_records(c, l->trusted, sizeof *a, "trusted proxies of a listener"))
		return false;
	a = snap_at(c->s, l->trusted);
	for (uint32_t k = 0; k < l->trusted.n; k++)
		if (!prefix_fits(a[k].addr, a[k].prefix) || a[k].pad)
			return check_fail(c, "listener %u: trusted network %u is not usable", i, k);
	return true;
}

static bool in_flight_ok(uint16_t credits, uint32_t max)
{
	uint32_t slot = credits & ~SNAP_LIMITED;

	return slot < REGION_CREDITS && max <= CREDITS_MAX && (max > 0) == (credits >= SNAP_LIMITED) &&
	       (slot || !max);
}

static bool listeners(struct check *c)
{
	const struct snap_listener *l;

	if (!check_records(c, c->s->listeners, sizeof *l, "listeners"))
		return false;
	l = snap_at(c->s, c->s->listeners);
	for (uint32_t i = 0; i < c->s->listeners.n; i++) {
		if (!check_records(c, l[i].limits, sizeof(struct snap_limit_use), "limits of a listener"))
			return false;
		if (!snapshot_limit_uses_ok(c->s, snap_at(c->s, l[i].limits), l[i].limits.n))
			return check_fail(c, "listener %u: bad use of a limit", i);
		if (!check_name(c, l[i].name, "listener name"))
			return false;
		if (!in_flight_ok(l[i].credits, l[i].max_in_flight) || l[i].pad3)
			return check_fail(c, "listener %u: %u requests in flight, slot %u", i,
					  l[i].max_in_flight, l[i].credits);
		if (l[i].port >= c->s->ports.n || l[i].tcp_port == 0 || l[i].pad ||
		    !tcp_choice(l[i].congestion, l[i].ecn))
			return check_fail(c, "listener %u: port %u, TCP port %u", i, l[i].port, l[i].tcp_port);
		if (l[i].head_timeout == 0 || l[i].head_timeout > TIME_MAX || l[i].idle_timeout == 0 ||
		    l[i].idle_timeout > TIME_MAX)
			return check_fail(c, "listener %u: timeouts out of range", i);
		if (l[i].syn_cookies > SYN_COOKIES_NEVER || l[i].refuse > REFUSE_RESET || l[i].pad2)
			return check_fail(c, "listener %u: an unknown way to take SYNs", i);
		if (l[i].client_prefix6 == 0 || l[i].client_prefix6 > 128)
			return check_fail(c, "listener %u: clients of %u bits", i, l[i].client_prefix6);
		if (l[i].accept_rate > SNAP_ACCEPT_MAX || l[i].accept_burst > SNAP_ACCEPT_MAX ||
		    (l[i].accept_rate == 0) != (l[i].accept_burst == 0))
			return check_fail(c, "listener %u: %u connections a second, %u at once", i,
					  l[i].accept_rate, l[i].accept_burst);
		if (l[i].max_head == 0 || l[i].max_head > SNAP_HEAD_MAX)
			return check_fail(c, "listener %u: a head of %u bytes, but 1 to %u are possible", i,
					  l[i].max_head, SNAP_HEAD_MAX);
		if (l[i].max_line == 0 || l[i].max_line > SNAP_HEAD_MAX || l[i].max_uri == 0 ||
		    l[i].max_uri > SNAP_HEAD_MAX)
			return check_fail(c, "listener %u: a request line of %u bytes, a target of %u", i,
					  l[i].max_line, l[i].max_uri);
		if (l[i].max_fields == 0 || l[i].max_fields > SNAP_FIELDS_MAX)
			return check_fail(c, "listener %u: %u fields, but 1 to %u are possible", i,
					  l[i].max_fields, SNAP_FIELDS_MAX);
		if (l[i].lenient_lf > 1)
			return check_fail(c, "listener %u: lenient_lf %u, or padding in use", i,
					  l[i].lenient_lf);
		if (l[i].body_timeout == 0 || l[i].body_timeout > TIME_MAX || l[i].response_idle == 0 ||
		    l[i].response_idle > TIME_MAX || l[i].rate_grace == 0 || l[i].rate_grace > TIME_MAX)
			return check_fail(c, "listener %u: patience out of range", i);
		if (!listener_trusted(c, &l[i], i))
			return false;
		if (!pages(c, l[i].pages))
			return false;
		if (!path_ok(&l[i].path))
			return check_fail(c, "listener %u: unknown treatment of paths", i);
	}
	return true;
}

static bool route_targets(struct check *c, const struct snap_route *r, uint32_t i)
{
	const struct snap_target *t;

	if (!check_records(c, r->targets, sizeof *t, "route targets"))
		return false;
	if (r->targets.n == 0)
		return check_fail(c, "route %u: no target", i);
	t = snap_at(c->s, r->targets);
	for (uint32_t k = 0; k < r->targets.n; k++)
		if (t[k].upstream >= c->s->upstreams.n || t[k].weight > 65535 || t[k].slot == 0 ||
		    t[k].slot >= REGION_TARGETS || t[k].pad)
			return check_fail(
				c, "route %u: target %u: upstream %u, weight %u or slot %u is out of range", i,
				k, t[k].upstream, t[k].weight, t[k].slot);
	if (r->attempts == 0)
		return check_fail(c, "route %u: no attempt", i);
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
		return check_fail(c, "route %u: rewrites, or does not", i);
	for (unsigned k = 0; k < 3; k++)
		if (!check_records(c, *list[k], sizeof(struct snap_piece), "pieces of a text") ||
		    !snapshot_pieces_ok(c->s, *list[k]))
			return check_fail(c, "route %u: bad pieces of a text", i);
	return true;
}

static bool route_sticky(struct check *c, const struct snap_route *r, uint32_t i)
{
	bool named = r->sticky == STICKY_COOKIE || r->sticky == STICKY_HEADER;
	const char *name = snap_at(c->s, r->sticky_name);

	if (r->sticky >= STICKIES || (r->sticky && r->action != ACTION_TO) || r->sticky_secure > 1)
		return check_fail(c, "route %u: sticky in an unknown way", i);
	if (!check_text(c, r->sticky_name, named, named ? SNAP_NAME_MAX : 0,
			"name of what makes a route sticky"))
		return false;
	for (uint32_t k = 0; k < r->sticky_name.n; k++) // it goes into a field of the answer
		if (name[k] <= ' ' || strchr("\"(),/:;<=>?@[\\]{}\x7f", name[k]))
			return check_fail(c, "route %u: the name of its cookie is none", i);
	return true;
}

static bool route_action(struct check *c, const struct snap_route *r, uint32_t i)
{
	switch (r->action) {
	case ACTION_TO:
		return route_targets(c, r, i);
	case ACTION_RESPOND:
		if (r->status < 200 || r->status > 599)
			return check_fail(c, "route %u: status %u", i, r->status);
		if (r->answer.n &&
		    (r->answer_head > r->answer.n || r->answer_head < 2 ||
		     r->answer_date + SNAP_DATE > r->answer_head || r->answer_id + SNAP_ID > r->answer_head))
			return check_fail(c, "route %u: its answer's date or id lies outside of the head", i);
		return check_text(c, r->content_type, 0, SNAP_TEXT_MAX, "route content type") &&
		       check_bytes(c, r->body, SNAP_BODY_MAX, "route body") &&
		       check_bytes(c, r->answer, SNAP_ANSWER_MAX, "route answer");
	case ACTION_REDIRECT:
		if (r->status < 300 || r->status > 399)
			return check_fail(c, "route %u: redirect with status %u", i, r->status);
		return check_text(c, r->location, r->location_pieces.n == 0, SNAP_TEXT_MAX, "route location");
	default:
		return check_fail(c, "route %u: unknown action %u", i, r->action);
	}
}

static bool route_stages(struct check *c, const struct snap_route *r, uint32_t i)
{
	if (r->stages >> STAGE_COUNT)
		return check_fail(c, "route %u: unknown stages 0x%x", i, r->stages);
	for (uint32_t k = 0; k < 8; k++) {
		if ((r->stages >> k & 1) != (r->stage_conf[k].n > 0))
			return check_fail(c, "route %u: stage %u and its record disagree", i, k);
		if (r->stage_conf[k].off % 8 != 0)
			return check_fail(c, "route %u: the record of stage %u is not aligned", i, k);
		if (!check_bytes(c, r->stage_conf[k], UINT32_MAX, "stage record"))
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
		return check_fail(c, "route %u: a condition of %u values", i, d->value.n);
	switch (d->kind) {
	case CONDITION_LISTENER:
		v = snap_at(c->s, d->value);
		if (!check_records(c, d->value, sizeof(*v), "listeners of a route"))
			return false;
		for (uint32_t k = 0; k < d->value.n; k++)
			if (v[k] >= c->s->listeners.n)
				return check_fail(c, "route %u: listener %u is out of range", i, v[k]);
		return true;
	case CONDITION_CLIENT:
		a = snap_at(c->s, d->value);
		if (!check_records(c, d->value, sizeof(*a), "clients of a route"))
			return false;
		for (uint32_t k = 0; k < d->value.n; k++)
			if (!prefix_fits(a[k].addr, a[k].prefix) || a[k].pad)
				return check_fail(c, "route %u: client network %u is not usable", i, k);
		return true;
	default:
		t = snap_at(c->s, d->value);
		if (!check_records(c, d->value, sizeof(*t), "values of a condition"))
			return false;
		for (uint32_t k = 0; k < d->value.n; k++)
			if (!check_text(c, t[k], 1, SNAP_NAME_MAX * 2, "value of a condition"))
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
		return check_fail(c, "route %u: %u conditions", i, r->conditions.n);
	if (!check_records(c, r->conditions, sizeof(*d), "conditions"))
		return false;
	for (uint32_t k = 0; k < r->conditions.n; k++) {
		bool named = d[k].kind >= CONDITION_HEADER && d[k].kind <= CONDITION_COOKIE;

		if (d[k].kind >= CONDITION_KINDS || d[k].test >= (named ? TESTS : 1) ||
		    (k && d[k].kind < d[k - 1].kind))
			return check_fail(c, "route %u: condition %u of kind %u, test %u", i, k, d[k].kind,
					  d[k].test);
		if (!condition_number(c, &d[k]))
			return check_fail(c, "route %u: condition %u names API or expression %u", i, k,
					  d[k].number);
		if (!named && d[k].name.n)
			return check_fail(c, "route %u: condition %u has a name", i, k);
		if (named ? !check_text(c, d[k].name, 1, SNAP_TEXT_MAX, "name in a condition") ||
				    !check_text(c, d[k].value, 0, SNAP_TEXT_MAX, "text of a condition")
			  : !condition_values(c, &d[k], i))
			return false;
	}
	return true;
}

static bool apis(struct check *c)
{
	const struct snap_api *a = snap_at(c->s, c->s->apis);

	if (c->s->apis.n > SNAP_APIS_MAX)
		return check_fail(c, "%u APIs", c->s->apis.n);
	if (!check_records(c, c->s->apis, sizeof(*a), "APIs"))
		return false;
	for (uint32_t i = 0; i < c->s->apis.n; i++)
		if (!check_name(c, a[i].name, "API name") || !check_name(c, a[i].otherwise, "version") ||
		    !check_text(c, a[i].header, 0, SNAP_NAME_MAX, "header of an API") ||
		    !check_text(c, a[i].media_prefix, 0, SNAP_TEXT_MAX, "media type") ||
		    !check_text(c, a[i].media_suffix, 0, SNAP_TEXT_MAX, "media type"))
			return false;
	return true;
}

static bool regexes(struct check *c)
{
	const struct snap_ref *t = snap_at(c->s, c->s->regexes);

	if (c->s->regexes.n > SNAP_REGEXES_MAX)
		return check_fail(c, "%u regular expressions", c->s->regexes.n);
	if (!check_records(c, c->s->regexes, sizeof(*t), "regular expressions"))
		return false;
	for (uint32_t i = 0; i < c->s->regexes.n; i++)
		if (!check_text(c, t[i], 1, SNAP_REGEX_MAX, "regular expression"))
			return false;
	return true;
}

static bool routes(struct check *c)
{
	const struct snap_route *r;

	if (!check_records(c, c->s->routes, sizeof *r, "routes"))
		return false;
	r = snap_at(c->s, c->s->routes);
	for (uint32_t i = 0; i < c->s->routes.n; i++) {
		if (!check_name(c, r[i].name, "route name") ||
		    !check_text(c, r[i].host_text, 0, SNAP_TEXT_MAX, "route host") ||
		    !check_text(c, r[i].path_text, 0, SNAP_TEXT_MAX, "route path") ||
		    !route_action(c, &r[i], i) || !route_pieces(c, &r[i], i) || !route_sticky(c, &r[i], i) ||
		    !route_stages(c, &r[i], i) || !route_conditions(c, &r[i], i))
			return false;
		if (r[i].stat_slot >= STATS_ROUTES || r[i].methods & SNAP_TAKE_CONDITIONS ||
		    (r[i].answer.n && r[i].action != ACTION_RESPOND) || r[i].attempts > 8 ||
		    r[i].host >= c->s->hosts.n)
			return check_fail(
				c, "route %u: statistics slot %u, %u attempts or host %u is out of range", i,
				r[i].stat_slot, r[i].attempts, r[i].host);
		if (!in_flight_ok(r[i].credits, r[i].max_in_flight) || r[i].pad)
			return check_fail(c, "route %u: %u requests in flight, slot %u", i, r[i].max_in_flight,
					  r[i].credits);
		if (r[i].upgrade >> UPGRADES || r[i].connect > 1 ||
		    ((r[i].upgrade || r[i].connect) && r[i].action != ACTION_TO))
			return check_fail(c, "route %u: tunnels of a kind that is not known, or to nowhere", i);
		if (r[i].trailers_request > TRAILERS_PASS || r[i].trailers_response >= TRAILERS ||
		    ((r[i].trailers_request || r[i].trailers_response) && r[i].action != ACTION_TO))
			return check_fail(c, "route %u: unknown treatment of trailers", i);
		if (r[i].timeout > TIME_MAX || r[i].per_try > TIME_MAX || r[i].tunnel_idle > TIME_MAX)
			return check_fail(c, "route %u: timeouts out of range", i);
		if (!pages(c, r[i].pages))
			return false;
		if (!path_ok(&r[i].path))
			return check_fail(c, "route %u: unknown treatment of paths", i);
	}
	return true;
}

static bool endpoints(struct check *c, const struct snap_upstream *u, uint32_t i)
{
	const struct snap_endpoint *e;

	if (!check_records(c, u->endpoints, sizeof *e, "endpoints"))
		return false;
	e = snap_at(c->s, u->endpoints);
	for (uint32_t k = 0; k < u->endpoints.n; k++) {
		if (!check_name(c, e[k].name, "endpoint name"))
			return false;
		if (addr_is_any(e[k].addr) || e[k].tcp_port == 0 || e[k].pad || e[k].weight == 0 ||
		    e[k].weight > 65535)
			return check_fail(
				c, "upstream %u: address, port or weight of endpoint %u is out of range", i, k);
		if (e[k].slot == 0 || e[k].slot >= REGION_ENDPOINTS)
			return check_fail(c, "upstream %u: endpoint %u has slot %u", i, k, e[k].slot);
		// Workers keep an endpoint's state by its slot.
		if (c->slots[e[k].slot / 64] >> (e[k].slot % 64) & 1)
			return check_fail(c, "upstream %u: endpoint %u has slot %u, as another has", i, k,
					  e[k].slot);
		c->slots[e[k].slot / 64] |= 1ull << (e[k].slot % 64);
	}
	return true;
}

static bool upstreams(struct check *c)
{
	const struct snap_upstream *u;

	if (!check_records(c, c->s->upstreams, sizeof *u, "upstreams"))
		return false;
	u = snap_at(c->s, c->s->upstreams);
	for (uint32_t i = 0; i < c->s->upstreams.n; i++) {
		if (!check_name(c, u[i].name, "upstream name") || !endpoints(c, &u[i], i))
			return false;
		if (u[i].stat_slot >= STATS_UPSTREAMS || u[i].port >= c->s->ports.n ||
		    u[i].balance > BALANCE_LEAST_REQUEST || u[i].proxy_protocol > 2 || u[i].pad2 ||
		    !tcp_choice(u[i].congestion, u[i].ecn))
			return check_fail(
				c, "upstream %u: statistics slot %u, port %u or balance %u is out of range", i,
				u[i].stat_slot, u[i].port, u[i].balance);
		if (u[i].connect_timeout == 0 || u[i].connect_timeout > TIME_MAX ||
		    u[i].idle_timeout > TIME_MAX || u[i].down_for > TIME_MAX || u[i].pool_probe > TIME_MAX)
			return check_fail(c, "upstream %u: timeouts out of range", i);
	}
	return true;
}

bool snapshot_verify(const void *s, size_t size, char *why, size_t why_size)
{
	struct check c = {.s = s, .size = size, .why = why, .why_size = why_size};

	// Ranges that others are checked against (ports, upstreams, hosts, nodes) are those of the header:
	// whoever comes later in this list finds them checked, or only compares with their numbers.
	return header(&c) && system_part(&c) && check_text(&c, c.s->source, 0, SNAP_TEXT_MAX, "source") &&
	       check_bytes(&c, c.s->text, UINT32_MAX, "configuration text") && ports(&c) && limits(&c) &&
	       listeners(&c) && upstreams(&c) && apis(&c) && regexes(&c) && routes(&c) && check_nodes(&c) &&
	       check_hosts(&c) && check_tries(&c) && check_prompts(&c);
}
