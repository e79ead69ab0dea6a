// Texts with variables. The input's first four bytes choose two variables and how they are written, the rest is
// a request's head. Holds: the same comes out for every room that is large enough and nothing is written behind
// it; a field gets no control character, a path and a query nothing that would end them or be another part.
#include "fuzz_head.h"
#include "http/template.h"

static _Alignas(8) struct {
	struct snapshot s;
	struct snap_piece piece[2];
	char text[8];
} t;

static void part_check(const struct snap_piece *p, const char *out, size_t n)
{
	bool uri = p->escape != ESCAPE_FIELD, slashes = p->kind == PIECE_PATH || p->kind == PIECE_REST ||
							p->kind == PIECE_CAPTURE || p->kind == PIECE_QUERY;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)out[i];

		CHECK(uri ? c > ' ' && c < 0x7f && !strchr("\"#<>\\^`{|}", c) : c >= 0x20 || c == '\t');
		CHECK(c != 0x7f);
		if (p->escape == ESCAPE_PATH && p->kind != PIECE_QUERY)
			CHECK(c != '?' && (c != '/' || slashes));
		if (p->escape == ESCAPE_QUERY && p->kind != PIECE_QUERY)
			CHECK(c != '&' && c != '=');
		if (uri && c == '%')
			CHECK(i + 2 < n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char name[] = "X-User";
	const char *p = (const char *)data + 4;
	static struct http_head head;
	static char room[8192];
	struct snap_ref pieces = {(uint32_t)((char *)t.piece - (char *)&t), 2};
	struct slice capture[2];
	struct template_values v = {.snapshot = &t.s, .head = &head, .capture = capture, .n_captures = 2};
	int all, one;

	if (n < 8 || http_parse_request(p, n - 4, 2048, &head) <= 0)
		return 0;
	memcpy(t.text, name, 6);
	t.s.size = sizeof(t);
	for (unsigned i = 0; i < 2; i++) {
		enum snap_piece_kind kind = (enum snap_piece_kind)(1 + data[2 * i] % (PIECES - 1));
		bool named = kind >= PIECE_HEADER;

		t.piece[i] = (struct snap_piece){
			.kind = (uint8_t)kind,
			.escape = data[2 * i + 1] % ESCAPES,
			.number = (uint16_t)(data[2 * i + 1] >> 4),
			.text = {(uint32_t)(t.text - (char *)&t), named ? (uint32_t)(data[2 * i] % 6 + 1) : 0}};
	}
	CHECK(snapshot_pieces_ok(&t.s, pieces));
	capture[0] = head.path;
	capture[1] = head.query.p ? head.query : slice_of("", 0);
	all = template_expand(&v, pieces, room, sizeof(room));
	if (all < 0)
		return 0;
	pieces.n = 1;
	one = template_expand(&v, pieces, room, sizeof(room));
	CHECK(one >= 0 && one <= all);
	part_check(&t.piece[0], room, (size_t)one);
	if (one) {
		char *exact = malloc((size_t)one);

		CHECK(exact && template_expand(&v, pieces, exact, (size_t)one) == one);
		CHECK(memcmp(exact, room, (size_t)one) == 0);
		CHECK(template_expand(&v, pieces, exact, (size_t)one - 1) == -1);
		free(exact);
	}
	return 0;
}
