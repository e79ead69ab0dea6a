#include "http/scan.h"
#include "policy/headers/conf.h"
#include "policy/stage.h"

static bool inside(const struct snapshot *s, struct snap_ref r, size_t size_each)
{
	return r.n == 0 || (r.off >= sizeof(*s) && r.off <= s->size && r.n <= (s->size - r.off) / size_each);
}

static bool all_of(struct slice s, uint8_t cls)
{
	return scan_bytes(s.p, s.p + s.n, cls) == s.p + s.n;
}

// Framing and persistence are the gateway's to state, on each side anew.
static bool name_refused(enum http_header id)
{
	switch (id) {
	case HDR_connection:
	case HDR_content_length:
	case HDR_transfer_encoding:
	case HDR_keep_alive:
	case HDR_proxy_connection:
	case HDR_te:
	case HDR_trailer:
	case HDR_upgrade:
	case HDR_expect:
		return true;
	default:
		return false;
	}
}

static bool edit_ok(const struct snapshot *s, const struct headers_edit *e, bool request)
{
	struct slice name, value;

	if (e->op > HEADERS_ADD || !inside(s, e->name, 1) || !inside(s, e->value, 1))
		return false;
	name = snap_text(s, e->name);
	value = snap_text(s, e->value);
	if (!snapshot_pieces_ok(s, e->pieces) || (e->pieces.n && (e->value.n || e->op == HEADERS_REMOVE)))
		return false;
	if (name.n == 0 || !all_of(name, SCAN_TCHAR) || !all_of(value, SCAN_VALUE))
		return false;
	if (http_header_of(name) == HDR_host)
		return request && e->op == HEADERS_SET && !e->pieces.n && http_authority_ok(value);
	return !name_refused(http_header_of(name));
}

static bool edits_ok(const struct snapshot *s, struct snap_ref list, bool request)
{
	const struct headers_edit *edit;

	if (list.n > HEADERS_EDITS_MAX || list.off % 8 || !inside(s, list, sizeof(struct headers_edit)))
		return false;
	edit = snap_at(s, list);
	for (uint32_t i = 0; i < list.n; i++)
		if (!edit_ok(s, &edit[i], request) || (i && edit[i].op < edit[i - 1].op))
			return false;
	return true;
}

bool headers_verify(const struct snapshot *s, const void *record, size_t n)
{
	const struct headers_conf *conf = record;

	return n == sizeof(*conf) && edits_ok(s, conf->request, true) && edits_ok(s, conf->response, false);
}
