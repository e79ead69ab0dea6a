#include "http/trailer.h"
#include "http/scan.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

// CR LF at p. > 0: it is there; 0: more is needed.
static int line_end(const char *p, const char *end)
{
	if (*p != '\r')
		return -FAULT_bad_line_end;
	if (end - p < 2)
		return HTTP_MORE;
	return p[1] == '\n' ? 2 : -FAULT_bad_line_end;
}

// The line at p, which is not empty. > 0: its bytes.
static int field_line(const char *p, const char *end, struct http_field *f, bool room)
{
	const char *colon = scan_bytes(p, end, SCAN_TCHAR), *value, *at;
	int n;

	if (colon == end)
		return room ? HTTP_MORE : -FAULT_too_many_fields;
	if (colon == p && blank(*p)) // RFC 9112 5.2
		return -FAULT_obs_fold;
	if (!room)
		return -FAULT_too_many_fields;
	if (colon == p || *colon != ':')
		return -FAULT_bad_field_name;
	value = colon + 1;
	at = scan_bytes(value, end, SCAN_VALUE);
	if (at == end)
		return HTTP_MORE;
	n = *at == '\r' || *at == '\n' ? line_end(at, end) : -FAULT_bad_field_value;
	if (n <= 0)
		return n;
	*f = (struct http_field){.name = slice_of(p, (size_t)(colon - p)), .id = HDR_OTHER};
	n += (int)(at - p);
	while (value < at && blank(*value))
		value++;
	while (at > value && blank(at[-1]))
		at--;
	f->value = slice_of(value, (size_t)(at - value));
	return n;
}

int http_parse_trailers(const char *begin, size_t n, const struct http_limits *limits, struct http_head *out)
{
	const char *p = begin, *end = begin + (n < limits->head ? n : limits->head);
	int step = HTTP_MORE;

	out->n = 0;
	out->have = 0;
	for (; p < end; p += step) {
		if (*p == '\r' || *p == '\n') {
			step = line_end(p, end);
			if (step > 0)
				return (int)(p - begin) + step;
			break;
		}
		step = field_line(p, end, &out->field[out->n], out->n < limits->fields);
		if (step <= 0)
			break;
		out->n++;
	}
	if (p == end)
		step = HTTP_MORE;
	return step == HTTP_MORE && n >= limits->head ? -FAULT_head_too_large : step;
}

// What a name begins with, or is.
static const char *const forbidden_prefix[] = {"accept", "access-control-", "content-", "if-", "proxy-",
					       "sec-",   "x-forwarded-"};
static const char *const forbidden[] = {
	"age",
	"authorization",
	"cache-control",
	"clear-site-data",
	"connection",
	"cookie",
	"date",
	"expect",
	"expires",
	"forwarded",
	"front-end-https",
	"host",
	"http2-settings",
	"keep-alive",
	"location",
	"max-forwards",
	"origin",
	"pragma",
	"prefer",
	"range",
	"referer",
	"refresh",
	"retry-after",
	"set-cookie",
	"strict-transport-security",
	"te",
	"trailer",
	"transfer-encoding",
	"true-client-ip",
	"upgrade",
	"upgrade-insecure-requests",
	"user-agent",
	"vary",
	"via",
	"warning",
	"www-authenticate",
	"x-client-ip",
	"x-cluster-client-ip",
	"x-host",
	"x-http-method",
	"x-http-method-override",
	"x-method-override",
	"x-original-host",
	"x-original-url",
	"x-real-ip",
	"x-request-id",
	"x-rewrite-url",
};

static char plain(char c)
{
	return c == '_' ? '-' : ascii_lower(c);
}

static bool begins(struct slice name, const char *text, size_t n)
{
	if (name.n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (plain(name.p[i]) != text[i])
			return false;
	return true;
}

bool http_trailer_allowed(struct slice name)
{
	// What says that the content arrived whole is known behind it alone (RFC 9530).
	if (slice_ieq(name, SLICE("content-digest")))
		return true;
	for (size_t i = 0; i < sizeof(forbidden_prefix) / sizeof(forbidden_prefix[0]); i++)
		if (begins(name, forbidden_prefix[i], strlen(forbidden_prefix[i])))
			return false;
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (name.n == strlen(forbidden[i]) && begins(name, forbidden[i], name.n))
			return false;
	return true;
}
