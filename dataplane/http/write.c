#include "http/write.h"
#include "base/copy.h"
#include "http/parse.h"

// p stays where it is once a piece found no room; `full` remembers it, so that only the end looks.
struct out {
	char *begin, *p, *end;
	bool full;
};

static inline __attribute__((always_inline)) void put(struct out *o, const char *s, size_t n)
{
	if ((size_t)(o->end - o->p) < n || o->full) {
		o->full = true;
		return;
	}
	copy_short(o->p, s, n);
	o->p += n;
}
#define PUT(o, literal) put(o, literal, sizeof(literal) - 1)

static inline __attribute__((always_inline)) void put_slice(struct out *o, struct slice s)
{
	put(o, s.p, s.n);
}

static void put_number(struct out *o, uint64_t v)
{
	char digits[20], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	for (; p < digits + sizeof(digits) && o->p < o->end; p++)
		*o->p++ = *p;
	o->full |= p < digits + sizeof(digits);
}

static inline bool written(const struct http_field *f)
{
	const uint32_t not = 1u << HDR_host | 1u << HDR_content_length | 1u << HDR_transfer_encoding;

	return !f->dropped && !(not >> f->id & 1);
}

// The bytes at its name are the line still: a value that was set since stands elsewhere, or is shorter.
static inline bool whole(const struct http_field *f)
{
	return f->line && f->value.p == f->name.p + f->name.n + 2 && f->line == f->name.n + f->value.n + 4;
}

// Lines that stand behind one another in the received bytes go as one run.
static void put_fields(struct out *o, const struct http_head *h)
{
	const struct http_field *f = h->field, *end = f + h->n;

	while (f < end) {
		const char *from = f->name.p, *to;

		if (!written(f)) {
			f++;
		} else if (whole(f)) {
			to = from;
			do {
				to += f->line;
				f++;
			} while (f < end && f->name.p == to && written(f) && whole(f));
			put(o, from, (size_t)(to - from));
		} else {
			put_slice(o, f->name);
			PUT(o, ": ");
			put_slice(o, f->value);
			PUT(o, "\r\n");
			f++;
		}
	}
}

static void put_framing(struct out *o, enum http_framing framing, uint64_t length)
{
	if (framing == FRAMING_LENGTH) {
		PUT(o, "Content-Length: ");
		put_number(o, length);
		PUT(o, "\r\n");
	} else if (framing == FRAMING_CHUNKED) {
		PUT(o, "Transfer-Encoding: chunked\r\n");
	}
}

static int finish(struct out *o)
{
	PUT(o, "\r\n");
	return o->full ? -1 : (int)(o->p - o->begin);
}

int http_write_request(char *dst, size_t room, const struct http_head *h, struct slice target,
		       enum http_framing framing, uint64_t length)
{
	struct out o = {dst, dst, dst + room, false};

	put_slice(&o, h->method_text);
	PUT(&o, " ");
	put_slice(&o, target);
	PUT(&o, " HTTP/1.1\r\nHost: ");
	put_slice(&o, h->authority);
	PUT(&o, "\r\n");
	put_fields(&o, h);
	put_framing(&o, framing, length);
	return finish(&o);
}

int http_write_response(char *dst, size_t room, const struct http_head *h, enum http_framing framing,
			uint64_t length, bool keep_length, struct slice connection)
{
	struct out o = {dst, dst, dst + room, false};

	char line[] = "HTTP/1.1 000 ";

	line[9] = (char)('0' + h->status / 100);
	line[10] = (char)('0' + h->status / 10 % 10);
	line[11] = (char)('0' + h->status % 10);
	put(&o, line, sizeof(line) - 1);
	put_slice(&o, h->reason);
	PUT(&o, "\r\n");
	put_fields(&o, h);
	put_framing(&o, framing == FRAMING_NONE && keep_length ? FRAMING_LENGTH : framing, length);
	if (connection.n) {
		PUT(&o, "Connection: ");
		put_slice(&o, connection);
		PUT(&o, "\r\n");
	}
	return finish(&o);
}

int http_write_chunk_size(char *dst, uint64_t n)
{
	int digits = n ? (67 - __builtin_clzll(n)) / 4 : 1;

	for (int i = digits; i--; n >>= 4)
		dst[i] = "0123456789abcdef"[n & 15];
	memcpy(dst + digits, "\r\n", 2);
	return digits + 2;
}
