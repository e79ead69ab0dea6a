// What the tables of the configuration cannot say.
#include "addresses.h"
#include "base/hash.h"
#include "conditions.h"
#include "config.h"
#include "contract/region.h"
#include "ratelimits.h"
#include "routetable.h"
#include "stage.h"
#include "template.h"
#include "versions.h"
#include <stdlib.h>
#include <string.h>

#define SHADOW_BUDGET (20u << 20) // comparisons of routes; beyond it only the routes so far are looked at

// Names of one kind, sorted for look-ups.
struct names {
	const struct text **v;
	uint32_t n;
	const char **words; // for suggestions
};

static int by_name(const void *pa, const void *pb)
{
	const struct text *a = *(const struct text *const *)pa, *b = *(const struct text *const *)pb;
	int d = strcmp(a->s, b->s);

	return d ? d : a < b ? -1 : a > b;
}

// Collects the names of a list's items (each has its name at offset), and reports those given twice.
static struct names names_of(struct config *c, const struct list *l, size_t size, size_t offset,
			     const char *what)
{
	struct names names = {memory_take(&c->memory, (l->n + 1) * sizeof(*names.v)), 0,
			      memory_take(&c->memory, (l->n + 1) * sizeof(*names.words))};

	for (uint32_t i = 0; i < l->n; i++) {
		const struct text *t = (const void *)((const char *)l->v + i * size + offset);

		if (t->s)
			names.v[names.n++] = t;
	}
	qsort(names.v, names.n, sizeof(*names.v), by_name);
	for (uint32_t i = 0; i < names.n; i++) {
		names.words[i] = names.v[i]->s;
		if (i && strcmp(names.v[i - 1]->s, names.v[i]->s) == 0)
			diag_error(&c->diag, names.v[i]->mark, "%s \"%s\" a second time (first in line %u)",
				   what, names.v[i]->s, names.v[i - 1]->mark.line);
	}
	return names;
}

// Index in the list of the item with this name; UINT32_MAX, reported, where there is none.
static uint32_t name_index(struct config *c, const struct names *names, const struct text *t,
			   const struct list *l, size_t size, size_t offset, const char *what)
{
	const struct text **at = NULL;

	for (uint32_t lo = 0, hi = names->n; !at && lo < hi;) {
		uint32_t mid = lo + (hi - lo) / 2;
		int d = strcmp(t->s, names->v[mid]->s);

		if (d == 0)
			at = &names->v[mid];
		else if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (at)
		return (uint32_t)(((const char *)*at - (const char *)l->v - offset) / size);
	const char *near = diag_suggest(t->s, names->words, names->n);

	diag_error(&c->diag, t->mark, "%s \"%s\" is not defined%s%s%s", what, t->s,
		   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return UINT32_MAX;
}

#define NAMES(list, type, what) names_of(c, &(list), sizeof(struct type), offsetof(struct type, name), what)
#define INDEX(names, text, list, type, what)                                                                   \
	name_index(c, names, text, &(list), sizeof(struct type), offsetof(struct type, name), what)

static bool cores_parse(struct config *c, const struct text *t)
{
	const char *p = t->s;

	for (;;) {
		char *end;
		unsigned long from = strtoul(p, &end, 10), to = from;

		if (end == p || *p < '0' || *p > '9')
			return false;
		p = end;
		if (*p == '-') {
			p++;
			to = strtoul(p, &end, 10);
			if (end == p || *p < '0' || *p > '9')
				return false;
			p = end;
		}
		if (to < from || to > 1023)
			return false;
		for (; from <= to; from++) {
			for (uint32_t i = 0; i < c->n_workers; i++)
				if (c->cpu[i] == (int32_t)from)
					return false;
			if (c->n_workers == SNAP_WORKERS_MAX)
				return false;
			c->cpu[c->n_workers++] = (int32_t)from;
		}
		if (*p == '\0')
			return true;
		if (*p++ != ',')
			return false;
	}
}

static void check_workers(struct config *c)
{
	const struct conf_workers *w = &c->root.system.workers;

	if (w->cores.s && w->count.given)
		diag_error(&c->diag, w->count.mark, "workers: either count or cores, not both");
	if (w->cores.s) {
		if (!cores_parse(c, &w->cores))
			diag_error(&c->diag, w->cores.mark,
				   "cores: \"%s\" is no list of at most %d different CPUs in 0..1023 such as "
				   "\"2-5,8\"",
				   w->cores.s, SNAP_WORKERS_MAX);
		return;
	}
	c->n_workers = w->count.given ? (uint32_t)w->count.v : 1;
	for (uint32_t i = 0; i < c->n_workers; i++)
		c->cpu[i] = -1;
}

static bool address_usable(struct addr a)
{
	if (addr_is_any(a))
		return false;
	if (addr_is_v4(a))
		return a.b[12] != 127 && a.b[12] != 0 && a.b[12] < 224; // loopback, this network, multicast
	return a.b[0] != 0xff && !(a.w[0] == 0 && a.b[15] == 1 && a.b[14] == 0 && a.b[13] == 0 && a.b[12] == 0);
}

static bool is_link_local(struct addr a)
{
	return a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80;
}

// A port with an IPv6 address has a link-local one, too.
static bool port_reaches(const struct conf_port *p, struct addr a)
{
	for (uint32_t i = 0; i < p->addresses.n; i++) {
		const struct address *own = (const struct address *)p->addresses.v + i;

		if (own->given && addr_is_v4(a) == addr_is_v4(own->addr) &&
		    (addr_in_prefix(a, own->addr, own->prefix) || (!addr_is_v4(a) && is_link_local(a))))
			return true;
	}
	return false;
}

static void check_onlink(struct config *c, const struct conf_port *p, const struct address *a, const char *key)
{
	if (a->given && p->addresses.n && !port_reaches(p, a->addr))
		diag_error(&c->diag, a->text.mark, "%s: %s is in no network of this port's addresses", key,
			   a->text.s);
}

static void check_ports(struct config *c)
{
	const struct list *ports = &c->root.system.ports;
	struct conf_port *p = ports->v;

	for (uint32_t i = 0; i < ports->n; i++) {
		struct address *own = p[i].addresses.v;
		struct conf_netroute *r = p[i].routes.v;

		for (uint32_t k = 0; k < p[i].addresses.n; k++) {
			if (!own[k].given)
				continue;
			if (!address_usable(own[k].addr))
				diag_error(&c->diag, own[k].text.mark,
					   "addresses: %s cannot be an address of ours", own[k].text.s);
			if (!addr_is_v4(own[k].addr) && p[i].mtu.v < 1280)
				diag_error(&c->diag, own[k].text.mark,
					   "addresses: %s needs an MTU of at least 1280 (RFC 8200)",
					   own[k].text.s);
			if (is_link_local(own[k].addr))
				diag_error(
					&c->diag, own[k].text.mark,
					"addresses: %s is link-local; a port with an IPv6 address has one of "
					"those by itself",
					own[k].text.s);
			for (uint32_t x = 0; x <= i; x++) {
				const struct address *other = p[x].addresses.v;

				for (uint32_t y = 0; y < (x == i ? k : p[x].addresses.n); y++)
					if (other[y].given && addr_eq(other[y].addr, own[k].addr))
						diag_error(&c->diag, own[k].text.mark,
							   "addresses: %s a second time (first in line %u)",
							   own[k].text.s, other[y].text.mark.line);
			}
		}
		if (p[i].name.s && p[i].name.n > 31)
			diag_error(&c->diag, p[i].name.mark, "name: a port's name has at most 31 bytes");
		for (uint32_t x = 0; x < i; x++)
			if (p[i].device.s && p[x].device.s && strcmp(p[i].device.s, p[x].device.s) == 0)
				diag_error(&c->diag, p[i].device.mark, "device: \"%s\" is port \"%s\" already",
					   p[i].device.s, p[x].name.s ? p[x].name.s : "");
		for (const char *s = p[i].device.s; s && *s; s++)
			if (*s <= ' ' || *s == 0x7f) {
				diag_error(&c->diag, p[i].device.mark,
					   "device: blanks or control characters in it");
				break;
			}
		if (p[i].gateway.given && p[i].gateway6.given && !addr_is_v4(p[i].gateway.addr))
			diag_error(&c->diag, p[i].gateway.text.mark, "gateway: two gateways for IPv6");
		if (p[i].gateway6.given && addr_is_v4(p[i].gateway6.addr))
			diag_error(&c->diag, p[i].gateway6.text.mark, "gateway6: %s is not an IPv6 address",
				   p[i].gateway6.text.s);
		if (p[i].gateway6.given && p[i].routers.v == ROUTERS_ADVERTISED)
			diag_error(&c->diag, p[i].gateway6.text.mark,
				   "gateway6: routers of this port are advertised; either is enough");
		check_onlink(c, &p[i], &p[i].gateway, "gateway");
		check_onlink(c, &p[i], &p[i].gateway6, "gateway6");
		for (uint32_t k = 0; k < p[i].routes.n; k++) {
			check_onlink(c, &p[i], &r[k].via, "via");
			if (r[k].to.given && r[k].via.given &&
			    addr_is_v4(r[k].to.addr) != addr_is_v4(r[k].via.addr))
				diag_error(&c->diag, r[k].via.text.mark,
					   "via: %s is of another address family than %s", r[k].via.text.s,
					   r[k].to.text.s);
		}
	}
}

// The port that a listener or an upstream names, or the only one there is.
static uint32_t port_of(struct config *c, const struct names *ports, const struct text *name, struct mark at,
			const char *what)
{
	const struct list *l = &c->root.system.ports;

	if (name->s)
		return l->n ? INDEX(ports, name, *l, conf_port, "port") : UINT32_MAX;
	if (l->n > 1)
		diag_error(&c->diag, at, "%s: key \"port\" is missing, and there is more than one", what);
	return l->n == 1 ? 0 : UINT32_MAX;
}

static bool text_clean(const struct text *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if ((unsigned char)t->s[i] < 0x20 || t->s[i] == 0x7f)
			return false;
	return true;
}

// "404", "5xx"
static bool page_status(const struct text *t)
{
	bool family = t->n == 3 && t->s[1] == 'x' && t->s[2] == 'x';

	return t->n == 3 && (t->s[0] == '4' || t->s[0] == '5') &&
	       (family || (t->s[1] >= '0' && t->s[1] <= '9' && t->s[2] >= '0' && t->s[2] <= '9'));
}

static void check_pages(struct diag *d, const struct list *l)
{
	static const char *const names[] = {"status", "reason", "error", "message", "request_id"};
	const struct conf_page *p = l->v;
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		const struct text *status = p[i].status.v;

		n += p[i].status.n;
		for (uint32_t k = 0; k < p[i].status.n; k++)
			if (status[k].s && !page_status(&status[k]))
				diag_error(d, status[k].mark, "status: \"%s\" is none of 400..599, 4xx and 5xx",
					   status[k].s);
		if (!text_clean(&p[i].content_type))
			diag_error(d, p[i].content_type.mark, "content_type: control characters in it");
		for (const char *v = p[i].body.s; v && (v = strstr(v, "${")); v += 2) {
			size_t length = strcspn(v + 2, "}"), k = 0;

			while (k < 5 && (strlen(names[k]) != length || memcmp(names[k], v + 2, length) != 0))
				k++;
			if (k == 5 || !v[2 + length])
				diag_error(d, p[i].body.mark,
					   "body: \"%.*s\" is none of ${status}, ${reason}, ${error}, "
					   "${message} and "
					   "${request_id}",
					   (int)(length > 40 ? 40 : length + 3), v);
		}
	}
	if (n > SNAP_PAGES_MAX)
		diag_error(d, l->mark, "error_pages: more than %d statuses", SNAP_PAGES_MAX);
}

static void check_listeners(struct config *c, const struct names *ports)
{
	struct conf_listener *l = c->root.listeners.v;
	const struct conf_port *p = c->root.system.ports.v;

	for (uint32_t i = 0; i < c->root.listeners.n; i++) {
		check_limit_uses(&c->diag, &c->root, &l[i].rate_limit, NULL);
		check_pages(&c->diag, &l[i].error_pages);
		l[i].port_index = port_of(c, ports, &l[i].port, l[i].head.mark, "listeners");
		if (l[i].accept_burst.given && l[i].accept_rate.v == 0)
			diag_error(&c->diag, l[i].accept_burst.mark,
				   "accept_burst: means nothing without accepts_per_second");
		if (l[i].client_from.given && !l[i].trusted_proxies.n)
			diag_error(&c->diag, l[i].client_from.mark,
				   "client_address: means nothing without trusted_proxies");
		if (l[i].proxy_protocol.v == PROXY_PROTOCOL_ACCEPT && !l[i].trusted_proxies.n)
			diag_error(&c->diag, l[i].proxy_protocol.mark,
				   "proxy_protocol: accept needs trusted_proxies, else any client could be "
				   "anyone");
		if (!l[i].bind.given || l[i].port_index == UINT32_MAX)
			continue;
		struct mark at = l[i].bind.text.mark;

		if (l[i].bind.tcp_port > SNAP_LISTEN_MAX)
			diag_error(&c->diag, at, "bind: port %u is not in 1..%d", l[i].bind.tcp_port,
				   SNAP_LISTEN_MAX);
		const struct conf_port *port = &p[l[i].port_index];
		bool own = addr_is_any(l[i].bind.addr);

		for (uint32_t k = 0; k < port->addresses.n; k++)
			own |= addr_eq(((const struct address *)port->addresses.v)[k].addr, l[i].bind.addr);
		if (!own)
			diag_error(&c->diag, at, "bind: %s is no address of port \"%s\"", l[i].bind.text.s,
				   port->name.s ? port->name.s : "");
		for (uint32_t k = 0; k < i; k++)
			if (l[k].bind.given && l[k].port_index == l[i].port_index &&
			    l[k].bind.tcp_port == l[i].bind.tcp_port && addr_eq(l[k].bind.addr, l[i].bind.addr))
				diag_error(&c->diag, at, "bind: listener \"%s\" has this place already",
					   l[k].name.s ? l[k].name.s : "");
	}
}

static void check_upstreams(struct config *c, const struct names *ports)
{
	struct conf_upstream *u = c->root.upstreams.v;

	for (uint32_t i = 0; i < c->root.upstreams.n; i++) {
		struct conf_endpoint *e = u[i].endpoints.v;

		u[i].port_index = port_of(c, ports, &u[i].port, u[i].head.mark, "upstreams");
		for (uint32_t k = 0; k < u[i].endpoints.n; k++) {
			if (!e[k].address.given)
				continue;
			if (!address_usable(e[k].address.addr))
				diag_error(&c->diag, e[k].address.text.mark,
					   "endpoints: %s cannot be connected to", e[k].address.text.s);
			for (uint32_t x = 0; x < k; x++)
				if (e[x].address.given && addr_eq(e[x].address.addr, e[k].address.addr) &&
				    e[x].address.tcp_port == e[k].address.tcp_port)
					diag_error(&c->diag, e[k].address.text.mark,
						   "endpoints: %s a second time (first in line %u)",
						   e[k].address.text.s, e[x].address.text.mark.line);
		}
		c->n_endpoints += u[i].endpoints.n;
	}
	// A new generation's endpoints stand beside the old one's until it runs.
	if (c->n_endpoints > (REGION_ENDPOINTS - 1) / 2)
		diag_error(&c->diag, c->root.upstreams.mark, "upstreams: %u endpoints, of %d at most",
			   c->n_endpoints, (REGION_ENDPOINTS - 1) / 2);
}

static void check_action(struct config *c, struct conf_route *r, const struct names *upstreams)
{
	unsigned actions = (unsigned)(r->to.given + r->respond.head.given + r->redirect.head.given +
				      (r->list_versions.s != NULL));
	struct conf_target *t = r->to.v;
	bool any = r->to.n == 0;

	if (actions != 1)
		diag_error(&c->diag, r->head.mark,
			   actions ? "routes: more than one of to, respond and redirect"
				   : "routes: one of to, respond and redirect is missing");
	for (uint32_t i = 0; i < r->to.n; i++) {
		any |= t[i].weight.v > 0;
		t[i].upstream_index = UINT32_MAX;
		if (!t[i].upstream.s)
			continue;
		t[i].upstream_index =
			INDEX(upstreams, &t[i].upstream, c->root.upstreams, conf_upstream, "upstream");
		for (uint32_t k = 0; k < i; k++)
			if (t[k].upstream.s && strcmp(t[k].upstream.s, t[i].upstream.s) == 0)
				diag_error(&c->diag, t[i].upstream.mark, "to: upstream \"%s\" a second time",
					   t[i].upstream.s);
	}
	if (!any)
		diag_error(&c->diag, r->to.mark, "to: every weight is 0");
	if (r->respond.head.given) {
		uint64_t status = r->respond.status.v;

		if (!text_clean(&r->respond.content_type))
			diag_error(&c->diag, r->respond.content_type.mark,
				   "content_type: control characters in it");
		if (r->respond.body.n && (status == 204 || status == 205 || status == 304))
			diag_error(&c->diag, r->respond.body.mark, "body: an answer of status %u has none",
				   (unsigned)status);
	}
	if (r->redirect.head.given) {
		uint64_t s = r->redirect.status.v;

		if (s != 301 && s != 302 && s != 303 && s != 307 && s != 308)
			diag_error(&c->diag, r->redirect.status.mark,
				   "status: %u is not one of 301, 302, 303, 307 and 308", (unsigned)s);
		template_check(&c->diag, "location", &r->redirect.location, TEMPLATE_LOCATION, r);
		for (uint32_t i = 0; i < r->redirect.location.n; i++)
			if ((unsigned char)r->redirect.location.s[i] <= ' ' ||
			    r->redirect.location.s[i] == 0x7f) {
				diag_error(&c->diag, r->redirect.location.mark,
					   "location: blanks or control characters in it");
				break;
			}
	}
}

static void check_sticky(struct config *c, const struct conf_route *r)
{
	const struct conf_sticky *k = &r->sticky;
	enum snap_sticky by = (enum snap_sticky)(k->by.v + 1);

	if (!k->head.given)
		return;
	if (!r->to.n)
		diag_error(&c->diag, k->head.mark, "sticky: means nothing without to");
	for (uint32_t i = 0; i < k->name.n; i++)
		if (k->name.s[i] <= ' ' || k->name.s[i] == 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", k->name.s[i])) {
			diag_error(&c->diag, k->name.mark, "name: \"%s\" is no name of a %s", k->name.s,
				   by == STICKY_COOKIE ? "cookie" : "header field");
			break;
		}
	if (by == STICKY_HEADER && !k->name.s)
		diag_error(&c->diag, k->head.mark, "sticky: key \"name\" is missing, of the header field");
	if (by == STICKY_CLIENT && k->name.s)
		diag_error(&c->diag, k->name.mark, "name: an address has none");
	if (by != STICKY_COOKIE && (k->age.given || k->secure.given))
		diag_error(&c->diag, k->head.mark, "sticky: age and secure are of a cookie");
}

static void check_trailers(struct config *c, const struct conf_route *r)
{
	if (r->trailers.head.given && !r->to.n)
		diag_error(&c->diag, r->trailers.head.mark, "trailers: means nothing without to");
}

static void check_rewrite(struct config *c, const struct conf_route *r)
{
	const struct conf_rewrite *w = &r->rewrite;

	if (!w->head.given)
		return;
	if (!r->to.n)
		diag_error(&c->diag, w->head.mark, "rewrite: means nothing without to");
	if (!w->path.s && !w->prefix.s && !w->host.s)
		diag_error(&c->diag, w->head.mark, "rewrite: one of path, prefix and host is missing");
	if (w->path.s && w->prefix.s)
		diag_error(&c->diag, w->prefix.mark, "rewrite: either path or prefix, not both");
	if (w->prefix.s && r->match.path.s)
		diag_error(&c->diag, w->prefix.mark, "rewrite: prefix, but \"%s\" is a whole path",
			   r->match.path.s);
	template_check(&c->diag, "path", &w->path, TEMPLATE_TARGET, r);
	template_check(&c->diag, "prefix", &w->prefix, TEMPLATE_TARGET, r);
	template_check(&c->diag, "host", &w->host, TEMPLATE_HOST, r);
	if (w->host.s && !template_is(&w->host) && !http_authority_ok(slice_of(w->host.s, w->host.n)))
		diag_error(&c->diag, w->host.mark, "host: \"%s\" is no host, with or without a port",
			   w->host.s);
}

static struct text route_path(const struct conf_route *r)
{
	return r->match.path.s     ? r->match.path
	       : r->match.prefix.s ? r->match.prefix
				   : (struct text){"/", 1, r->head.mark};
}

static void check_match(struct config *c, struct conf_route *r)
{
	const struct conf_match *m = &r->match;
	struct text path = route_path(r);
	struct route_pattern p = {.host = slice_of(m->host.s ? m->host.s : "", m->host.n),
				  .path = slice_of(path.s, path.n),
				  .prefix = !m->path.s};
	struct route_pattern only_path = {.host = SLICE(""), .path = p.path, .prefix = p.prefix};
	const char *why;

	if (m->path.s && m->prefix.s)
		diag_error(&c->diag, m->prefix.mark, "match: either path or prefix, not both");
	for (uint32_t i = 0; i < path.n; i++)
		if ((unsigned char)path.s[i] <= ' ' || path.s[i] == '?' || path.s[i] == '#' ||
		    path.s[i] == 0x7f) {
			diag_error(&c->diag, path.mark, "%s: \"%s\" has a character that no path has",
				   m->path.s ? "path" : "prefix", path.s);
			return;
		}
	if (path.n && path.s[path.n - 1] == '*') {
		diag_error(&c->diag, path.mark,
			   "%s: \"%s\" ends with '*'; write prefix: for a path and all below it",
			   m->path.s ? "path" : "prefix", path.s);
		return;
	}
	if ((why = routetable_check(&only_path)))
		diag_error(&c->diag, path.mark, "%s: \"%s\": %s", m->path.s ? "path" : "prefix", path.s, why);
	else if ((why = routetable_check(&p)))
		diag_error(&c->diag, m->host.mark, "host: \"%s\": %s", m->host.s ? m->host.s : "", why);
	if (why || !m->host.s || strcmp(m->host.s, "*") == 0)
		return;
	const char *h = m->host.s + (strncmp(m->host.s, "*.", 2) == 0 ? 2 : 0);

	for (; *h; h++)
		if (!((*h >= 'a' && *h <= 'z') || (*h >= 'A' && *h <= 'Z') || (*h >= '0' && *h <= '9') ||
		      *h == '-' || *h == '.' || *h == '_' || *h == '[' || *h == ']' || *h == ':')) {
			diag_error(&c->diag, m->host.mark, "host: \"%s\" is no host name", m->host.s);
			break;
		}
}

static bool host_covers(const struct text *a, const struct text *b)
{
	if (!a->s || (a->n == 1 && a->s[0] == '*'))
		return true;
	if (!b->s)
		return false;
	if (a->n == b->n && strcasecmp(a->s, b->s) == 0)
		return true;
	if (strncmp(a->s, "*.", 2) != 0)
		return false;
	const char *bs = b->s + (strncmp(b->s, "*.", 2) == 0 ? 1 : 0);
	size_t bn = strlen(bs), an = a->n - 1;

	return bn >= an && strcasecmp(bs + bn - an, a->s + 1) == 0 && (bn > an || b->s[0] == '*');
}

static bool segment_param(const char *s, size_t n)
{
	return n >= 2 && s[0] == '{' && s[n - 1] == '}';
}

// Cuts "/{name...}" off; what is left of "/{name...}" is "/".
static bool path_rest(struct text *t)
{
	const char *slash = strrchr(t->s, '/');

	if (t->n < 6 || strcmp(t->s + t->n - 4, "...}") != 0 || !slash || slash[1] != '{')
		return false;
	t->n = slash == t->s ? 1 : (uint32_t)(slash - t->s);
	return true;
}

static bool path_covers(struct text a, bool a_prefix, struct text b, bool b_prefix)
{
	bool a_rest = path_rest(&a), b_rest = path_rest(&b);

	if (a_rest || b_rest) { // what follows is at least one byte
		const char *next = b.s + a.n + (a.n > 1);

		if (b_rest)
			return (a_rest || a_prefix) && path_covers(a, true, b, true);
		return !b_prefix && path_covers(a, true, b, false) && b.n > a.n + 1 && *next != '/';
	}
	const char *pa = a.s + 1, *pb = b.s + 1;

	if (a_prefix && a.n > 1 && a.s[a.n - 1] == '/')
		a.n--; // a prefix's trailing slash does not count
	const char *ea = a.s + a.n, *eb = b.s + b.n;

	if (a_prefix && a.n == 1)
		return true;
	if (b_prefix && !a_prefix)
		return false;
	for (;;) {
		size_t na = strcspn(pa, "/"), nb = strcspn(pb, "/");

		na = na > (size_t)(ea - pa) ? (size_t)(ea - pa) : na;
		if (segment_param(pa, na) ? nb == 0 : na != nb || memcmp(pa, pb, na) != 0)
			return false;
		pa += na;
		pb += nb;
		if (pa >= ea)
			return a_prefix || pb >= eb;
		if (pb >= eb)
			return false;
		pa++;
		pb++;
	}
}

static uint32_t methods_of(const struct conf_match *m)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < m->methods.n; i++)
		bits |= 1u << ((const struct number *)m->methods.v)[i].v;
	if (bits & 1) // GET takes HEAD too: the first two of conf_methods
		bits |= 2;
	return m->methods.n ? bits : UINT32_MAX;
}

static void check_shadows(struct config *c)
{
	const struct conf_route *r = c->root.routes.v;
	uint32_t left = SHADOW_BUDGET;

	for (uint32_t i = 1; i < c->root.routes.n; i++)
		for (uint32_t k = 0; k < i; k++) {
			if (left-- == 0)
				return;
			if (!conditions_cover(&r[k].match, &r[i].match) ||
			    (methods_of(&r[i].match) & ~methods_of(&r[k].match)) != 0 ||
			    !host_covers(&r[k].match.host, &r[i].match.host) ||
			    !path_covers(route_path(&r[k]), !r[k].match.path.s, route_path(&r[i]),
					 !r[i].match.path.s))
				continue;
			diag_warning(
				&c->diag, r[i].head.mark,
				"route \"%s\" is never reached: \"%s\" in line %u takes all of its requests",
				r[i].name.s ? r[i].name.s : "", r[k].name.s ? r[k].name.s : "",
				r[k].head.mark.line);
			break;
		}
}

static void check_tunnels(struct config *c, const struct conf_route *r)
{
	if (r->upgrade.n && !r->to.n)
		diag_error(&c->diag, r->upgrade.mark, "upgrade: means nothing without to");
	if (r->connect.v && !r->to.n)
		diag_error(&c->diag, r->connect.mark, "connect: means nothing without to");
	if (r->connect.v && r->match.methods.n)
		diag_error(&c->diag, r->connect.mark, "connect: match.methods leaves CONNECT out");
	if (r->tunnel_idle.given && !r->upgrade.n && !r->connect.v)
		diag_error(&c->diag, r->tunnel_idle.mark,
			   "tunnel_idle: means nothing without upgrade or connect");
}

static void check_routes(struct config *c, const struct names *upstreams)
{
	struct conf_route *r = c->root.routes.v;

	for (uint32_t i = 0; i < c->root.routes.n; i++) {
		check_match(c, &r[i]);
		check_conditions(c, &r[i].match);
		check_versions(c, &r[i]);
		check_pages(&c->diag, &r[i].error_pages);
		check_action(c, &r[i], upstreams);
		check_rewrite(c, &r[i]);
		check_sticky(c, &r[i]);
		check_trailers(c, &r[i]);
		if (r[i].timeout.v && r[i].per_try.given && r[i].per_try.v > r[i].timeout.v)
			diag_warning(&c->diag, r[i].per_try.mark, "per_try: longer than the whole timeout");
		check_tunnels(c, &r[i]);
		for (unsigned s = 0; s < STAGE_COUNT; s++)
			if (r[i].stage[s] && stage_compilers[s]->check)
				stage_compilers[s]->check(&c->diag, r[i].stage[s],
							  &(struct stage_place){&c->root, &r[i]});
	}
	// Patterns must be sound for the comparison.
	if (c->diag.errors == 0)
		check_shadows(c);
}

static void check_sockets(struct config *c)
{
	const struct conf_socket *s = c->root.control.v;

	for (uint32_t i = 0; i < c->root.control.n; i++)
		for (uint32_t k = 0; k < i; k++)
			if (s[i].socket.s && s[k].socket.s && strcmp(s[i].socket.s, s[k].socket.s) == 0)
				diag_error(&c->diag, s[i].socket.mark, "socket: %s a second time",
					   s[i].socket.s);
}

static void check_system_limits(struct config *c)
{
	const struct conf_limits *l = &c->root.system.limits;

	if (l->upstream_reserve.given && l->upstream_reserve.v >= l->connections.v)
		diag_error(&c->diag, l->upstream_reserve.mark,
			   "upstream_reserve: nothing of %llu connections is left for clients",
			   (unsigned long long)l->connections.v);
}

void check_config(struct config *c)
{
	struct conf_root *root = &c->root;

	if (!root->head.given || !root->system.head.given)
		return; // not a configuration at all; that was said
	struct names ports = NAMES(root->system.ports, conf_port, "port");
	struct names upstreams = NAMES(root->upstreams, conf_upstream, "upstream");

	NAMES(root->listeners, conf_listener, "listener");
	NAMES(root->routes, conf_route, "route");
	check_workers(c);
	check_system_limits(c);
	check_ports(c);
	check_apis(c);
	check_versions(c, NULL);
	check_limits(&c->diag, root);
	check_addresses(c);
	check_listeners(c, &ports);
	check_upstreams(c, &ports);
	check_routes(c, &upstreams);
	check_sockets(c);
}
