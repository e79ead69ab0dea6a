#include "http/websocket.h"
#include "base/sha1.h"
#include "http/fold.h"

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool names_websocket(const struct http_head *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		struct slice list = h->field[i].value, element;

		if (h->field[i].id != HDR_upgrade)
			continue;
		while (http_list_next(&list, &element))
			if (FOLDED(element, "websocket"))
				return true;
	}
	return false;
}

// The one field of this name; false where there is none, or several.
static bool single(struct http_head *h, struct slice name, struct slice *value)
{
	struct http_field *found = NULL;

	for (unsigned i = 0; i < h->n; i++) {
		struct http_field *f = &h->field[i];

		if (f->dropped || !slice_ieq(f->name, name))
			continue;
		if (found)
			return false;
		found = f;
	}
	if (found)
		*value = found->value;
	return found != NULL;
}

// 16 bytes in base64: 22 digits, of which the last has two bits only, and "==" (RFC 4648 4).
static bool key_ok(struct slice key)
{
	if (key.n != 24 || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (unsigned i = 0; i < 22; i++) {
		const char *digit = key.p[i] ? strchr(base64, key.p[i]) : NULL;

		if (!digit || (i == 21 && (digit - base64) % 16))
			return false;
	}
	return true;
}

static void accept_of(struct slice key, char accept[static WEBSOCKET_ACCEPT])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char text[24 + sizeof(guid) - 1];
	uint8_t digest[21];

	memcpy(text, key.p, 24);
	memcpy(text + 24, guid, sizeof(guid) - 1);
	sha1(slice_of(text, sizeof(text)), digest);
	digest[20] = 0;
	for (unsigned i = 0; i < 7; i++) {
		const uint8_t *p = digest + 3 * i;
		uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

		for (unsigned k = 0; k < 4; k++)
			accept[4 * i + k] = base64[v >> (18 - 6 * k) & 63];
	}
	accept[WEBSOCKET_ACCEPT - 1] = '=';
}

enum websocket_request websocket_request(struct http_head *h, char accept[static WEBSOCKET_ACCEPT])
{
	struct slice key, version;

	if (!h->upgrade || !names_websocket(h))
		return WEBSOCKET_NONE;
	if (h->method != METHOD_GET)
		return WEBSOCKET_BAD_METHOD;
	if (!single(h, SLICE("Sec-WebSocket-Version"), &version) || !slice_eq(version, SLICE("13")))
		return WEBSOCKET_BAD_VERSION;
	if (!single(h, SLICE("Sec-WebSocket-Key"), &key) || !key_ok(key))
		return WEBSOCKET_BAD_KEY;
	accept_of(key, accept);
	return WEBSOCKET_OK;
}

bool websocket_response(struct http_head *h, const char accept[static WEBSOCKET_ACCEPT])
{
	struct slice value;

	return h->upgrade && names_websocket(h) && single(h, SLICE("Sec-WebSocket-Accept"), &value) &&
	       slice_eq(value, slice_of(accept, WEBSOCKET_ACCEPT));
}
