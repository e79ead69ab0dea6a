// A reader of messages as a peer of the gateway sees them: it takes what the gateway is to write, and nothing
// else, so that what is ambiguous anywhere fails here. It shares no code with the parser under test.
#pragma once
#include "base/slice.h"
#include <stdint.h>

#define READER_FIELDS 160

struct message {
	struct slice start; // the first line
	unsigned n;
	struct slice name[READER_FIELDS], value[READER_FIELDS];
	unsigned n_trailers; // behind a chunked body
	struct slice trailer_name[READER_FIELDS], trailer_value[READER_FIELDS];
	bool chunked, length; // how the body is framed; neither: none, or until the close
	struct slice body;    // without framing; in memory of the reader, until its next call
	bool whole;           // the body is complete
};

enum body_rule { BODY_AS_STATED, BODY_NONE, BODY_UNTIL_CLOSE };

// Reads the message at the front of s. Bytes of it, 0 where its head is not complete, -1 where it is not as it
// should be (*why). A body that is not complete takes all of s.
int message_take(struct slice s, bool request, enum body_rule rule, struct message *m, const char **why);
const struct slice *message_field(const struct message *m, const char *name); // NULL: none
