// The view of a request's or response's head: slices into the bytes that were received, nothing copied.
// It is valid as long as those bytes are; stages may drop fields and append their own (whose bytes must live as
// long: the snapshot's, or the worker's scratch).
#pragma once
#include "base/slice.h"
#include <stdint.h>

enum http_method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_DELETE,
	METHOD_CONNECT,
	METHOD_OPTIONS,
	METHOD_TRACE,
	METHOD_PATCH,
	METHOD_OTHER,
	METHOD_COUNT
};
extern const char *const http_method_name[METHOD_COUNT];
enum http_method http_method_of(struct slice text); // case-sensitive, RFC 9110 9.1

enum http_header {
	HDR_OTHER,
#define HEADER(id, name) HDR_##id,
#include "http/headers.def"
#undef HEADER
	HDR_misspelt, // one of these with '_' for '-'
	HDR_COUNT
};

#define HTTP_FIELDS_MAX  100 // received
#define HTTP_FIELDS_ROOM 132 // with what we and the stages add

struct http_field {
	struct slice name, value; // value without surrounding blanks
	uint8_t id;               // enum http_header
	bool dropped;             // is not written
	// Bytes at name.p through the line end CR LF; 0: no such line stands there. As long as value begins 2
	// bytes behind the name and ends 2 before its end, they are the field as it is to be written.
	uint32_t line;
};

enum http_framing {
	FRAMING_NONE,   // no body
	FRAMING_LENGTH, // Content-Length
	FRAMING_CHUNKED,
	FRAMING_CLOSE, // responses: until the connection closes
};

struct http_head {
	uint8_t minor;   // HTTP/1.minor; anything above 1 is read as 1
	uint8_t method;  // requests
	uint16_t status; // responses
	uint8_t framing; // enum http_framing, of a request; of a response as if it answered a GET (see
			 // http_response_framing)
	bool keep_alive; // persistence as the version and Connection say (RFC 9112 9.3)
	bool expect_continue;
	bool path_encoded;                // requests: something in the path is percent-encoded
	bool upgrade;                     // Connection: upgrade with an Upgrade field
	uint64_t length;                  // FRAMING_LENGTH
	struct slice method_text, target; // requests; target as received
	struct slice host;      // requests: authority's host, without port, as received; empty: none (1.0)
	struct slice authority; // Host as it is to be forwarded
	uint64_t host_hash;     // routekey_host() of host; 0: it was not made
	// Of the target: path begins with '/', or is "*" (OPTIONS), or empty (CONNECT); query without '?', its
	// p is NULL where the target has none.
	struct slice path, query;
	struct slice reason; // responses
	uint32_t have;       // bits of enum http_header: of one that is not set there is no field
	bool odd_lines;      // a field was received in another form than "name: value" CR LF
	uint16_t n;
	struct http_field field[HTTP_FIELDS_ROOM];
};

enum http_header http_header_of(struct slice name); // any case; a token
// Takes the next element of a comma-separated list (RFC 9110 5.6.1) off its front; empty elements are skipped.
// false at the end.
bool http_list_next(struct slice *list, struct slice *element);
// host [":" port], as a Host field may have it.
bool http_authority_ok(struct slice text);
// A path as a request may have it: begins with '/', of the bytes that paths have, without dot segments.
bool http_path_ok(struct slice path);
// First field of this name that is not dropped; NULL: none.
struct http_field *http_find(struct http_head *h, struct slice name);
struct http_field *http_find_id(struct http_head *h, enum http_header id);
// false when there is no room for another field.
bool http_add(struct http_head *h, struct slice name, struct slice value);
// The same for a line that stands somewhere as it is to be written, "name: value" CR LF, and whose name is
// known.
static inline bool http_add_line(struct http_head *h, enum http_header id, const char *line, size_t name,
				 size_t n)
{
	struct http_field *f = &h->field[h->n];

	if (h->n == HTTP_FIELDS_ROOM)
		return false;
	h->n++;
	h->have |= 1u << id;
	f->name = slice_of(line, name);
	f->value = slice_of(line + name + 2, n - name - 4);
	f->id = (uint8_t)id;
	f->dropped = false;
	f->line = (uint32_t)n;
	return true;
}
static inline bool http_has(const struct http_head *h, enum http_header id)
{
	return h->have >> id & 1;
}
void http_drop(struct http_head *h, struct slice name);
void http_drop_id(struct http_head *h, enum http_header id);
// Drops connection-level fields and those that Connection names (RFC 9110 7.6.1), Content-Length and
// Transfer-Encoding included: the writer states the framing anew.
void http_drop_hop_by_hop(struct http_head *h);
// What really follows this response's head (RFC 9112 6.3).
enum http_framing http_response_framing(const struct http_head *h, enum http_method request);
