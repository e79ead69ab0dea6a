#include "conformance/cases.h"
#include <stdio.h>
#include <stdlib.h>

struct reader {
	const char *path;
	unsigned line;
};

static void wrong(const struct reader *r, const char *what)
{
	fprintf(stderr, "%s:%u: %s\n", r->path, r->line, what);
	exit(2);
}

static void *room(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		exit(2);
	return p;
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static void append(struct slice *s, const char *p, size_t n)
{
	char *longer = realloc((char *)s->p, s->n + n + 1);

	if (!longer)
		exit(2);
	if (n)
		memcpy(longer + s->n, p, n);
	*s = slice_of(longer, s->n + n);
}

// \r \n \t \\ \xHH, and \{text*N}, which is text N times.
static void unescape(const struct reader *r, struct slice *s, const char *p)
{
	for (; *p; p++) {
		char c = *p;

		if (c == '\\') {
			switch (*++p) {
			case 'r':
				c = '\r';
				break;
			case 'n':
				c = '\n';
				break;
			case 't':
				c = '\t';
				break;
			case '\\':
				break;
			case 'x':
				if (hex(p[1]) < 0 || hex(p[2]) < 0)
					wrong(r, "\\x takes two lower-case digits");
				c = (char)(hex(p[1]) << 4 | hex(p[2]));
				p += 2;
				break;
			case '{': {
				const char *star = strrchr(p, '*'), *end = star ? strchr(star, '}') : NULL;
				struct slice one = {NULL, 0};
				char text[256];

				if (!end || (size_t)(star - p) > sizeof(text))
					wrong(r, "\\{text*N}");
				memcpy(text, p + 1, (size_t)(star - p) - 1);
				text[star - p - 1] = 0;
				unescape(r, &one, text);
				for (unsigned long i = strtoul(star + 1, NULL, 10); i; i--)
					append(s, one.p, one.n);
				free((char *)one.p);
				p = end;
				continue;
			}
			default:
				wrong(r, "unknown escape");
			}
		}
		append(s, &c, 1);
	}
}

static const char *text_of(const char *p)
{
	char *copy = room(strlen(p) + 1);

	return strcpy(copy, p);
}

static const char *plain(const struct reader *r, const char *p)
{
	struct slice s = {NULL, 0};

	unescape(r, &s, p);
	append(&s, "", 1);
	return s.p;
}

static bool word(const char **p, const char *w)
{
	size_t n = strlen(w);

	if (strncmp(*p, w, n) != 0 || ((*p)[n] && (*p)[n] != ' '))
		return false;
	*p += n;
	while (**p == ' ')
		(*p)++;
	return true;
}

static enum http_framing framing_of(const struct reader *r, const char **p)
{
	if (word(p, "length"))
		return FRAMING_LENGTH;
	if (word(p, "chunked"))
		return FRAMING_CHUNKED;
	if (word(p, "close"))
		return FRAMING_CLOSE;
	if (!word(p, "none"))
		wrong(r, "body none, length, chunked or close");
	return FRAMING_NONE;
}

static void refused(const struct reader *r, struct testcase *c, const char *p)
{
	char *rest;

	c->status = (uint16_t)strtoul(p, &rest, 10);
	while (*rest == ' ')
		rest++;
	c->reason = *rest ? text_of(rest) : NULL;
	if (c->status < 200 || c->status > 599 || (c->reason && fault_named(c->reason) == FAULT_NONE))
		wrong(r, "no such status or reason");
}

static void case_line(const struct reader *r, struct testcase *c, const char *p)
{
	if (word(&p, "rfc")) {
		c->rfc = text_of(p);
	} else if (word(&p, "why")) {
		c->why = text_of(p);
	} else if (*p == '>' || *p == '<') {
		unescape(r, &c->bytes, p[1] == ' ' ? p + 2 : p + 1);
	} else if (word(&p, "forwarded") || word(&p, "relayed")) {
		c->outcome = FORWARDED;
		c->start = plain(r, p);
	} else if (word(&p, "refused")) {
		c->outcome = REFUSED;
		refused(r, c, p);
	} else if (word(&p, "answered")) {
		c->outcome = ANSWERED;
		c->status = (uint16_t)strtoul(p, NULL, 10);
	} else if (word(&p, "cut")) {
		c->outcome = CUT;
		c->start = *p ? text_of(p) : NULL;
	} else if (word(&p, "for")) {
		c->reason = text_of(p);
		if (fault_named(p) == FAULT_NONE)
			wrong(r, "no such reason");
	} else if (word(&p, "host")) {
		c->host = text_of(p);
	} else if (word(&p, "body")) {
		c->framing = framing_of(r, &p);
		unescape(r, &c->body, p);
	} else if (word(&p, "has") && c->n_has < CASE_FIELDS) {
		c->has[c->n_has++] = plain(r, p);
	} else if (word(&p, "trailer") && c->n_trailers < CASE_FIELDS) {
		c->trailer[c->n_trailers++] = plain(r, p);
	} else if (word(&p, "lacks") && c->n_lacks < CASE_FIELDS) {
		c->lacks[c->n_lacks++] = text_of(p);
	} else if (word(&p, "closes")) {
		c->closes = true;
	} else if (word(&p, "listener")) {
		c->listener = word(&p, "lenient") ? LISTENER_LENIENT
			      : word(&p, "small") ? LISTENER_SMALL
						  : LISTENER_STRICT;
	} else if (word(&p, "to")) {
		const char *space = strchr(p, ' ');

		c->method = http_method_of(slice_of(p, space ? (size_t)(space - p) : strlen(p)));
		c->minor = !(space && strcmp(space, " HTTP/1.0") == 0);
	} else if (word(&p, "te")) {
		c->te = true;
	} else if (word(&p, "end")) {
		c->ending = word(&p, "close") ? END_CLOSE : word(&p, "reset") ? END_RESET : END_STAYS;
	} else {
		wrong(r, "a line that means nothing");
	}
}

struct table table_read(const char *path)
{
	struct reader r = {.path = path};
	struct table t = {room(2000 * sizeof(*t.v)), 0};
	struct testcase *c = NULL;
	static char line[8192];
	FILE *f = fopen(path, "r");

	if (!f)
		wrong(&r, "cannot be read");
	while (fgets(line, sizeof(line), f)) {
		r.line++;
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#' || line[0] == 0)
			continue;
		if (line[0] == '=') {
			if (t.n == 2000)
				wrong(&r, "too many cases");
			c = &t.v[t.n++];
			*c = (struct testcase){.name = text_of(line + 2), .line = r.line, .minor = 1};
		} else if (c) {
			case_line(&r, c, line);
		} else {
			wrong(&r, "a case begins with =");
		}
	}
	fclose(f);
	for (unsigned i = 0; i < t.n; i++) {
		r.line = t.v[i].line;
		if (!t.v[i].rfc || !t.v[i].why || !t.v[i].bytes.n)
			wrong(&r, "a case needs rfc, why and bytes");
		for (unsigned j = 0; j < i; j++)
			if (strcmp(t.v[i].name, t.v[j].name) == 0)
				wrong(&r, "a name that was used before");
	}
	return t;
}

struct http_limits listener_limits(enum listener l)
{
	if (l == LISTENER_SMALL)
		return (struct http_limits){.head = 512, .line = 100, .uri = 60, .fields = 8, .body = 16};
	return (struct http_limits){.head = 16384,
				    .line = 8192,
				    .uri = 8000,
				    .fields = HTTP_FIELDS_MAX,
				    .lenient_lf = l == LISTENER_LENIENT,
				    .body = UINT64_MAX};
}

enum http_fault fault_named(const char *reason)
{
	static const char *const name[FAULT_COUNT] = {
#define FAULT(id, status, text) [FAULT_##id] = #id,
#include "http/faults.def"
#undef FAULT
	};

	for (unsigned i = 1; i < FAULT_COUNT; i++)
		if (strcmp(name[i], reason) == 0)
			return (enum http_fault)i;
	return FAULT_NONE;
}

void verdict(struct tally *t, const struct testcase *c, const char *path, const char *what)
{
	if (!what) {
		t->passed++;
		return;
	}
	t->failed++;
	printf("%s:%u: %s (RFC %s): %s\n", path, c->line, c->name, c->rfc, what);
}
