#include "http/head.h"
#include "http/names.h"
#include "http/parse.h"

const char *const http_method_name[METHOD_COUNT] = {
	[METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",
	[METHOD_PUT] = "PUT",         [METHOD_DELETE] = "DELETE", [METHOD_CONNECT] = "CONNECT",
	[METHOD_OPTIONS] = "OPTIONS", [METHOD_TRACE] = "TRACE",   [METHOD_PATCH] = "PATCH",
	[METHOD_OTHER] = "OTHER",
};

const struct http_fault_info http_fault_info[FAULT_COUNT] = {
	[FAULT_NONE] = {0, ""},
#define FAULT(id, status, text) [FAULT_##id] = {status, text},
#include "http/faults.def"
#undef FAULT
};

enum http_method http_method_of(struct slice text)
{
	switch (text.n) {
	case 3:
		if (memcmp(text.p, "GET", 3) == 0)
			return METHOD_GET;
		return memcmp(text.p, "PUT", 3) == 0 ? METHOD_PUT : METHOD_OTHER;
	case 4:
		if (memcmp(text.p, "POST", 4) == 0)
			return METHOD_POST;
		return memcmp(text.p, "HEAD", 4) == 0 ? METHOD_HEAD : METHOD_OTHER;
	case 5:
		if (memcmp(text.p, "PATCH", 5) == 0)
			return METHOD_PATCH;
		return memcmp(text.p, "TRACE", 5) == 0 ? METHOD_TRACE : METHOD_OTHER;
	case 6:
		return memcmp(text.p, "DELETE", 6) == 0 ? METHOD_DELETE : METHOD_OTHER;
	case 7:
		if (memcmp(text.p, "OPTIONS", 7) == 0)
			return METHOD_OPTIONS;
		return memcmp(text.p, "CONNECT", 7) == 0 ? METHOD_CONNECT : METHOD_OTHER;
	default:
		return METHOD_OTHER;
	}
}

enum http_header http_header_of(struct slice name)
{
	return name_find(name);
}

struct http_field *http_find(struct http_head *h, struct slice name)
{
	for (unsigned i = 0; i < h->n; i++)
		if (!h->field[i].dropped && slice_ieq(h->field[i].name, name))
			return &h->field[i];
	return NULL;
}

struct http_field *http_find_id(struct http_head *h, enum http_header id)
{
	if (!http_has(h, id))
		return NULL;
	for (unsigned i = 0; i < h->n; i++)
		if (h->field[i].id == id && !h->field[i].dropped)
			return &h->field[i];
	return NULL;
}

bool http_add(struct http_head *h, struct slice name, struct slice value)
{
	if (h->n == HTTP_FIELDS_ROOM)
		return false;
	enum http_header id = http_header_of(name);

	h->have |= 1u << id;
	h->field[h->n++] = (struct http_field){name, value, (uint8_t)id, false, 0};
	return true;
}

void http_drop(struct http_head *h, struct slice name)
{
	for (unsigned i = 0; i < h->n; i++)
		if (slice_ieq(h->field[i].name, name))
			h->field[i].dropped = true;
}

void http_drop_id(struct http_head *h, enum http_header id)
{
	if (!http_has(h, id))
		return;
	for (unsigned i = 0; i < h->n; i++)
		if (h->field[i].id == id)
			h->field[i].dropped = true;
}

bool http_list_next(struct slice *list, struct slice *element)
{
	const char *p = list->p, *end = p + list->n, *from;

	while (p < end && (*p == ',' || *p == ' ' || *p == '\t'))
		p++;
	for (from = p; p < end && *p != ',';)
		p++;
	*list = slice_of(p, (size_t)(end - p));
	while (p > from && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	*element = slice_of(from, (size_t)(p - from));
	return element->n > 0;
}

// RFC 9110 7.6.1, and Proxy-Authorization, which is spent at the first proxy that asks (11.7.2).
// Proxy-Authenticate stays: only the client can answer it.
#define HOP_BY_HOP                                                                                             \
	(1u << HDR_connection | 1u << HDR_keep_alive | 1u << HDR_proxy_connection | 1u << HDR_te |             \
	 1u << HDR_trailer | 1u << HDR_upgrade | 1u << HDR_transfer_encoding | 1u << HDR_content_length |      \
	 1u << HDR_proxy_authorization)
_Static_assert(HDR_COUNT <= 32, "sets of headers are 32-bit words");

void http_drop_hop_by_hop(struct http_head *h)
{
	if (!(h->have & HOP_BY_HOP))
		return;
	for (unsigned i = 0; i < h->n; i++) {
		struct http_field *f = &h->field[i];

		if (!(HOP_BY_HOP >> f->id & 1))
			continue;
		if (f->id == HDR_connection) {
			struct slice list = f->value, option;

			while (http_list_next(&list, &option))
				http_drop(h, option);
		}
		f->dropped = true;
	}
}

enum http_framing http_response_framing(const struct http_head *h, enum http_method request)
{
	if (request == METHOD_HEAD || h->status < 200 || h->status == 204 || h->status == 304)
		return FRAMING_NONE;
	if (request == METHOD_CONNECT && h->status < 300)
		return FRAMING_NONE;
	return (enum http_framing)h->framing;
}
