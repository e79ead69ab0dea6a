// A path brought into the form that a policy wants (RFC 3986 6.2.2): what is matched, and what is forwarded, is
// the result. Pure; a path is read once, so what decoding yields is never decoded again.
#pragma once
#include "contract/snapshot.h"
#include "http/head.h"

enum http_path_result { HTTP_PATH_SAME, HTTP_PATH_CHANGED, HTTP_PATH_REFUSED };

// path: begins with '/'. out: room for path.n bytes; *n: how many were written,
// for CHANGED. Dot segments that decoding uncovers, and those of which a parameter hangs ("..;x"), are refused
// where they are not resolved; so is a path that leads above its root.
enum http_path_result http_path_apply(const struct snap_path *policy, struct slice path, char *out, size_t *n);

// "." and ".." as whole segments, plain or encoded, have no meaning but in relative references (RFC 3986 3.3),
// and would lead a server that resolves them out of the route that was matched. Some servers cut a segment
// at ';' before they look.
bool http_path_has_dot_segment(struct slice path); // percent-encoding in it is well-formed

// Whether the policy may have something to say of the request's path: encoded where it has "%".
static inline bool http_path_due(const struct snap_path *policy, const struct http_head *h)
{
	return (h->path_encoded | policy->slashes | policy->dot_segments) && h->path.n && h->path.p[0] == '/';
}
