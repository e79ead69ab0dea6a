#include "template.h"
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	enum snap_piece_kind kind;
	bool named; // "name." and a name of the writer's
} variables[] = {
	{"client_ip", PIECE_CLIENT_IP, false}, {"request_id", PIECE_REQUEST_ID, false},
	{"listener", PIECE_LISTENER, false},   {"method", PIECE_METHOD, false},
	{"scheme", PIECE_SCHEME, false},       {"host", PIECE_HOST, false},
	{"authority", PIECE_AUTHORITY, false}, {"path", PIECE_PATH, false},
	{"query", PIECE_QUERY, false},         {"rest", PIECE_REST, false},
	{"route", PIECE_LITERAL, false},       {"path", PIECE_CAPTURE, true},
	{"header", PIECE_HEADER, true},        {"cookie", PIECE_COOKIE, true},
	{"query", PIECE_PARAMETER, true},
};
#define VARIABLES (sizeof(variables) / sizeof(variables[0]))

struct piece {
	enum snap_piece_kind kind;
	uint16_t number;
	struct text text; // of a literal, or the name
};

// "{name}" of the route's path, or of its prefix, in their order; -1: there is none.
static int capture_find(const struct conf_route *r, const char *name, size_t n)
{
	const char *p = r->match.path.s ? r->match.path.s : r->match.prefix.s;
	int index = 0;

	while (p && (p = strstr(p, "/{"))) {
		size_t k = strcspn(p + 2, "}/.");

		p += 2;
		if (k == n && memcmp(p, name, n) == 0)
			return index;
		index++;
	}
	return -1;
}

static void suggest(struct diag *d, const struct text *t, const char *key, const char *name, size_t n)
{
	const char *words[VARIABLES], *near;
	char written[64];

	for (size_t i = 0; i < VARIABLES; i++)
		words[i] = variables[i].name;
	snprintf(written, sizeof(written), "%.*s", (int)n, name);
	near = diag_suggest(written, words, VARIABLES);
	diag_error(d, t->mark,
		   "%s: \"${%.*s}\" is none of client_ip, request_id, listener, route, method, scheme, host, "
		   "authority, path, query, rest, path.NAME, header.NAME, cookie.NAME and query.NAME%s%s%s",
		   key, (int)n, name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

// What stands between the braces; false, reported, where it is no variable.
static bool variable(struct diag *d, const char *key, const struct text *t, const char *name, size_t n,
		     const struct conf_route *route, struct piece *out)
{
	const char *dot = memchr(name, '.', n);
	size_t head = dot ? (size_t)(dot - name) : n, i = 0;

	while (i < VARIABLES && !(variables[i].named == (dot != NULL) && strlen(variables[i].name) == head &&
				  memcmp(variables[i].name, name, head) == 0))
		i++;
	if (i == VARIABLES || (dot && (n - head < 2 || n - head > SNAP_NAME_MAX))) {
		suggest(d, t, key, name, n);
		return false;
	}
	*out = (struct piece){.kind = variables[i].kind};
	if (dot)
		out->text = (struct text){dot + 1, (uint32_t)(n - head - 1), t->mark};
	if (strcmp(variables[i].name, "route") == 0)
		out->text = route->name;
	if (out->kind == PIECE_REST && route->match.path.s) {
		diag_error(d, t->mark, "%s: ${rest} is what follows a prefix, and \"%s\" is a whole path", key,
			   route->match.path.s);
		return false;
	}
	if (out->kind == PIECE_CAPTURE) {
		int at = capture_find(route, out->text.s, out->text.n);

		if (at < 0) {
			diag_error(d, t->mark, "%s: ${path.%.*s}, but the route's path has no {%.*s}", key,
				   (int)out->text.n, out->text.s, (int)out->text.n, out->text.s);
			return false;
		}
		out->number = (uint16_t)at;
		out->text = (struct text){0};
	}
	return true;
}

bool template_is(const struct text *t)
{
	return t->s && memmem(t->s, t->n, "${", 2) != NULL;
}

// Cuts the text into pieces; their number, 0 where something is wrong, which is reported.
static uint32_t cut(struct diag *d, const char *key, const struct text *t, const struct conf_route *route,
		    struct piece out[static SNAP_PIECES_MAX])
{
	const char *p = t->s, *end = t->s + t->n;
	uint32_t n = 0;

	while (p < end) {
		const char *mark = memmem(p, (size_t)(end - p), "${", 2), *close;

		if (n + 2 > SNAP_PIECES_MAX) {
			diag_error(d, t->mark, "%s: more than %d variables and texts between them", key,
				   SNAP_PIECES_MAX - 2);
			return 0;
		}
		if (mark && mark > p && mark[-1] == '$') { // "$${"
			out[n++] = (struct piece){.kind = PIECE_LITERAL,
						  .text = {p, (uint32_t)(mark - p - 1), t->mark}};
			out[n++] = (struct piece){.kind = PIECE_LITERAL, .text = {mark, 2, t->mark}};
			p = mark + 2;
			continue;
		}
		if (!mark || mark > p)
			out[n++] = (struct piece){.kind = PIECE_LITERAL,
						  .text = {p, (uint32_t)((mark ? mark : end) - p), t->mark}};
		if (!mark)
			break;
		close = memchr(mark, '}', (size_t)(end - mark));
		if (!close) {
			diag_error(d, t->mark, "%s: \"${\" is not closed, at its character %zu", key,
				   (size_t)(mark - t->s) + 1);
			return 0;
		}
		if (!variable(d, key, t, mark + 2, (size_t)(close - mark - 2), route, &out[n]))
			return 0;
		n++;
		p = close + 1;
	}
	return n;
}

static bool begins(const struct piece *p, const char *with)
{
	return p->kind == PIECE_LITERAL && p->text.n >= strlen(with) &&
	       memcmp(p->text.s, with, strlen(with)) == 0;
}

void template_check(struct diag *d, const char *key, const struct text *t, enum template_use use,
		    const struct conf_route *route)
{
	struct piece p[SNAP_PIECES_MAX];
	uint32_t n = t->s ? cut(d, key, t, route, p) : 0;
	bool path = n && (begins(&p[0], "/") || p[0].kind == PIECE_PATH || p[0].kind == PIECE_REST);

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; p[i].kind == PIECE_LITERAL && k < p[i].text.n; k++) {
			unsigned char c = (unsigned char)p[i].text.s[k];

			if (use == TEMPLATE_FIELD ? (c < 0x20 && c != '\t') || c == 0x7f
						  : c <= ' ' || c >= 0x7f || strchr("\"<>\\", c)) {
				diag_error(d, t->mark, "%s: character %zu must be percent-encoded", key,
					   (size_t)(p[i].text.s + k - t->s) + 1);
				return;
			}
		}
	if (n && use == TEMPLATE_TARGET && !path)
		diag_error(d, t->mark, "%s: \"%s\" does not begin with '/'", key, t->s);
	// What a client names must not become another site's address.
	if (n && use == TEMPLATE_LOCATION && !path && p[0].kind != PIECE_LITERAL && p[0].kind != PIECE_SCHEME)
		diag_error(d, t->mark, "%s: \"%s\" begins with a variable other than scheme, path and rest",
			   key, t->s);
}

struct snap_ref template_add(struct blob *b, const struct text *t, enum template_use use,
			     const struct conf_route *route)
{
	struct piece p[SNAP_PIECES_MAX];
	struct snap_piece out[SNAP_PIECES_MAX];
	struct diag ignored = {0};
	enum snap_escape escape =
		use == TEMPLATE_TARGET || use == TEMPLATE_LOCATION ? ESCAPE_PATH : ESCAPE_FIELD;
	uint32_t n = t->s ? cut(&ignored, "", t, route, p) : 0;

	for (uint32_t i = 0; i < n; i++) {
		bool literal = p[i].kind == PIECE_LITERAL;

		out[i] = (struct snap_piece){.kind = (uint8_t)p[i].kind,
					     .escape = (uint8_t)escape,
					     .number = p[i].number,
					     .text = p[i].text.n ? blob_text(b, p[i].text.s, p[i].text.n)
								 : (struct snap_ref){0, 0}};
		if (literal && escape == ESCAPE_PATH &&
		    (memchr(p[i].text.s, '?', p[i].text.n) || memchr(p[i].text.s, '#', p[i].text.n)))
			escape = ESCAPE_QUERY;
	}
	diag_free(&ignored);
	return blob_add(b, out, n, sizeof(out[0]));
}
