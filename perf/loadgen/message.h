// A request or a response that is sent again and again: its bytes, and their checksums by pieces of an MSS.
#pragma once
#include "link.h"

#define MESSAGE_DIGITS 32

struct message {
	char *bytes;
	uint32_t n;
	uint64_t *sum; // of each piece
	// Where a number stands in it, which is another one each time: its last digit first. It may stand at
	// several places: `last` has a bit for each digit that is the last of its place.
	unsigned n_digits;
	uint32_t last;
	uint16_t digit[MESSAGE_DIGITS];
	uint64_t sum_zero; // of the first piece, with zeroes there
};

// The byte of a body at that place.
static inline char message_byte(uint64_t at)
{
	return (char)('a' + at % 26);
}
// Whether data are the bytes of a body from that place on.
static inline bool message_is(const char *data, uint32_t n, uint64_t at)
{
	for (uint32_t i = 0; i < n; i++)
		if (data[i] != message_byte(at + i))
			return false;
	return true;
}
// head (with its empty line) and body_n bytes of a fixed pattern. Each '#' of the head is a digit of the
// message's number, which is 0 at first and stands wherever there are such digits. 0, -ENOMEM, or -E2BIG: more
// digits than MESSAGE_DIGITS, or not all in one piece.
int message_make(struct message *m, const char *head, uint32_t body_n);
void message_free(struct message *m);
// Its digits tell another number from now on: the last ones, of a number that has more.
void message_number(struct message *m, uint32_t number);
// Sends what there is of m from seq on, m's first byte being start, up to limit or until the link has no room.
// Returns the next seq.
uint32_t message_send(const struct message *m, struct link *l, const struct flow *f, uint32_t start,
		      uint32_t seq, uint32_t limit);

// What the answers of one kind have in common, so that the next one is recognised without parsing it.
struct likeness {
	uint32_t head;      // bytes of the head with its empty line; 0: none seen yet
	uint32_t length_at; // where "Content-Length: N\r\n" begins
	uint32_t length_n;  // its bytes
	uint64_t body;
	char length[40];
};
struct head {
	uint32_t n;
	uint64_t body;
	unsigned status; // of a response; 0: a request
	bool close;
};
// Reads the head that data begins with. Returns false when it does not end in these bytes or has no length
// where it needs one. With likeness, it learns.
bool head_read(const char *data, uint32_t n, struct head *h, struct likeness *like);
