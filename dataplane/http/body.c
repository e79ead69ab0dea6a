#include "http/body.h"
#include "http/scan.h"

// Of a chunked body: where the next byte belongs. The line end of the chunk-size line is LF's state.
enum state {
	PLAIN, // not chunked
	SIZE_FIRST,
	SIZE,
	// Extensions (RFC 9112 7.1.1): *( BWS ";" BWS name [ BWS "=" BWS value ] )
	BLANKS, // in front of a ';'
	EXT_NAME_FIRST,
	EXT_NAME,
	EXT_NAME_BLANKS, // behind a name: a '=' or ';' follows
	EXT_VALUE_FIRST,
	EXT_TOKEN,
	EXT_QUOTED,
	EXT_QUOTED_PAIR,
	EXT_QUOTED_END,
	SIZE_LF,
	DATA_CR,
	DATA_LF,
	LAST_FIRST, // behind the last chunk's size line
	LAST_LF,    // of the empty line that ends it all
	DATA,       // from here on no byte is framing
	TRAILERS,   // a field line stands here
	DONE,
};

#define SIZE_DIGITS_MAX 16
#define EXTENSION_MAX   256
// Extensions are read for nothing. A chunk makes up for 16 bytes of them, and for twice its size; what is
// beyond that adds up to so much in a body.
#define EXCESS_MAX 16384

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length)
{
	*b = (struct http_body){.framing = (uint8_t)framing,
				.state = framing == FRAMING_CHUNKED ? SIZE_FIRST : PLAIN,
				.left = framing == FRAMING_LENGTH ? length : 0,
				.room = UINT64_MAX};
}

void http_body_limit(struct http_body *b, uint64_t max)
{
	b->room = max;
}

bool http_body_done(const struct http_body *b)
{
	switch ((enum http_framing)b->framing) {
	case FRAMING_NONE:
		return true;
	case FRAMING_LENGTH:
		return b->left == 0;
	case FRAMING_CHUNKED:
		return b->state == DONE;
	case FRAMING_CLOSE:
		return false;
	}
	return false;
}

bool http_body_trailers(const struct http_body *b)
{
	return b->state == TRAILERS;
}

void http_body_end(struct http_body *b)
{
	b->state = DONE;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http_fault size_digit(struct http_body *b, char c)
{
	int v = hex_value(c);

	if (v < 0)
		return FAULT_bad_chunk;
	if (++b->line > SIZE_DIGITS_MAX || b->left >> 59)
		return FAULT_bad_chunk;
	b->left = b->left << 4 | (unsigned)v;
	b->state = SIZE;
	return FAULT_NONE;
}

// The byte behind the digits of a size.
static enum http_fault size_end(struct http_body *b, char c)
{
	switch (c) {
	case '\r':
		b->state = SIZE_LF;
		return FAULT_NONE;
	case ';':
		b->state = EXT_NAME_FIRST;
		b->line = 0;
		return FAULT_NONE;
	case ' ':
	case '\t':
		b->state = BLANKS;
		b->line = 0;
		return FAULT_NONE;
	default:
		return c == '\n' ? FAULT_bad_line_end : FAULT_bad_chunk;
	}
}

// The state behind a byte of an extension; -1: it may not stand there.
static int extension_next(enum state state, char c)
{
	uint8_t cls = scan_class[(uint8_t)c];
	bool blank = c == ' ' || c == '\t';

	switch (state) {
	case BLANKS:
		return blank ? BLANKS : c == ';' ? EXT_NAME_FIRST : -1;
	case EXT_NAME_FIRST:
		return blank ? EXT_NAME_FIRST : cls & SCAN_TCHAR ? EXT_NAME : -1;
	case EXT_NAME:
		if (cls & SCAN_TCHAR)
			return EXT_NAME;
		return blank       ? EXT_NAME_BLANKS
		       : c == '='  ? EXT_VALUE_FIRST
		       : c == ';'  ? EXT_NAME_FIRST
		       : c == '\r' ? SIZE_LF
				   : -1;
	case EXT_NAME_BLANKS:
		return blank ? EXT_NAME_BLANKS : c == '=' ? EXT_VALUE_FIRST : c == ';' ? EXT_NAME_FIRST : -1;
	case EXT_VALUE_FIRST:
		return blank ? EXT_VALUE_FIRST : c == '"' ? EXT_QUOTED : cls & SCAN_TCHAR ? EXT_TOKEN : -1;
	case EXT_TOKEN:
		if (cls & SCAN_TCHAR)
			return EXT_TOKEN;
		return blank ? BLANKS : c == ';' ? EXT_NAME_FIRST : c == '\r' ? SIZE_LF : -1;
	case EXT_QUOTED:
		if (c == '"' || c == '\\')
			return c == '"' ? EXT_QUOTED_END : EXT_QUOTED_PAIR;
		return cls & SCAN_VALUE ? EXT_QUOTED : -1;
	case EXT_QUOTED_PAIR:
		return cls & SCAN_VALUE ? EXT_QUOTED : -1;
	case EXT_QUOTED_END:
		return blank ? BLANKS : c == ';' ? EXT_NAME_FIRST : c == '\r' ? SIZE_LF : -1;
	default:
		return -1;
	}
}

// Extensions are dropped, but what is none is refused: another reader might take its bytes for something else.
static enum http_fault extension(struct http_body *b, char c)
{
	int next = extension_next((enum state)b->state, c);

	if (next < 0)
		return c == '\n' && b->state != BLANKS ? FAULT_bad_line_end : FAULT_bad_chunk;
	b->state = (uint8_t)next;
	if (next == SIZE_LF)
		return FAULT_NONE;
	b->excess++;
	return ++b->line > EXTENSION_MAX ? FAULT_bad_chunk : FAULT_NONE;
}

static enum http_fault line_feed(struct http_body *b, char c, enum state next)
{
	if (c != '\n')
		return FAULT_bad_line_end;
	b->state = (uint8_t)next;
	return FAULT_NONE;
}

static bool excess_bounded(struct http_body *b)
{
	uint64_t made_up = b->left < EXCESS_MAX ? 16 + 2 * b->left : UINT16_MAX;

	b->excess = b->excess > made_up ? (uint16_t)(b->excess - made_up) : 0;
	return b->excess <= EXCESS_MAX;
}

static enum http_fault size_line_end(struct http_body *b, char c)
{
	enum state next = b->left ? DATA : LAST_FIRST;

	b->line = 0;
	if (b->excess && !excess_bounded(b))
		return FAULT_chunk_overhead;
	if (b->left > b->room)
		return FAULT_body_too_large;
	b->room -= b->left;
	return line_feed(b, c, next);
}

// One byte of framing.
static enum http_fault framing_byte(struct http_body *b, char c)
{
	switch ((enum state)b->state) {
	case SIZE_FIRST:
		b->left = 0;
		b->line = 0;
		return size_digit(b, c);
	case SIZE:
		return hex_value(c) >= 0 ? size_digit(b, c) : size_end(b, c);
	case BLANKS:
	case EXT_NAME_FIRST:
	case EXT_NAME:
	case EXT_NAME_BLANKS:
	case EXT_VALUE_FIRST:
	case EXT_TOKEN:
	case EXT_QUOTED:
	case EXT_QUOTED_PAIR:
	case EXT_QUOTED_END:
		return extension(b, c);
	case SIZE_LF:
		return size_line_end(b, c);
	case DATA_CR:
		b->state = DATA_LF;
		return c == '\r' ? FAULT_NONE : FAULT_bad_chunk;
	case DATA_LF:
		return line_feed(b, c, SIZE_FIRST);
	case LAST_FIRST: // a CR, see chunked_next()
		b->state = LAST_LF;
		return FAULT_NONE;
	case LAST_LF:
		return line_feed(b, c, DONE);
	case PLAIN:
	case DATA:
	case TRAILERS:
	case DONE:
		break;
	}
	return FAULT_bad_chunk;
}

static size_t run_take(struct http_body *b, size_t n)
{
	size_t run = b->left < n ? (size_t)b->left : n;

	b->left -= run;
	return run;
}

static enum http_fault chunked_next(struct http_body *b, const char *p, size_t n, size_t *skip, size_t *run)
{
	size_t i = 0;

	while (i < n && b->state < DATA) {
		if (b->state == LAST_FIRST && p[i] != '\r') {
			b->state = TRAILERS;
			b->left = 0;
			break;
		}
		b->fault = (uint8_t)framing_byte(b, p[i++]);
		if (b->fault)
			return (enum http_fault)b->fault;
	}
	*skip = i;
	if (b->state == DATA) {
		*run = run_take(b, n - i);
		if (b->left == 0)
			b->state = DATA_CR;
	}
	return FAULT_NONE;
}

enum http_fault http_body_next(struct http_body *b, const char *p, size_t n, size_t *skip, size_t *run)
{
	*skip = *run = 0;
	if (b->fault)
		return (enum http_fault)b->fault;
	switch ((enum http_framing)b->framing) {
	case FRAMING_NONE:
		break;
	case FRAMING_LENGTH:
		*run = run_take(b, n);
		break;
	case FRAMING_CHUNKED:
		return chunked_next(b, p, n, skip, run);
	case FRAMING_CLOSE:
		*run = n;
		break;
	}
	return FAULT_NONE;
}
