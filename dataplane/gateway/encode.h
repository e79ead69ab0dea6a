// Bodies of responses that are compressed on their way (policy/compress). Inside of gateway/ only.
//
// What comes from the upstream waits in its receive queue; those that have something to do stand in one line
// for all of the worker, and each turn of the worker has the first of it work for one turn of its encoder. So
// back-pressure goes through TCP's windows as ever, and nobody else's packets wait for more than one such turn.
#pragma once
#include "gateway/exchange.h"
#include "policy/compress/encoder.h"

struct encoding {
	struct encoding *next, **pprev; // in the line; pprev is NULL while it is not
	struct exchange *x;
	struct encoder *encoder;
	struct pkt *out;   // of the output, not sent yet; NULL: none
	uint64_t flush_at; // when what was taken is to be seen by the client, if no more comes; 0: all is
	bool ended;        // all of the body is taken: its end is being written
	bool finished;     // it is written but for trailers and the last chunk
};

// The response's body is to be encoded; one is free.
void encode_begin(struct exchange *x, enum coding coding, unsigned level);
void encode_end(struct encoding *e);
// Something has come, or there is room again, or its time has: it is to have a turn.
void encode_wake(struct encoding *e);
