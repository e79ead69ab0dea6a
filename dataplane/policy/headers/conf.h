// Record of the `headers` stage in a route: edits in the order remove, set, add.
// A value may have variables, which are filled from the request, those of the response too.
//   request_headers: {set: {Name: value}, add: {Name: value}, remove: [Name]}, and response_headers likewise.
#pragma once
#include "contract/snapshot.h"

enum headers_op { HEADERS_REMOVE, HEADERS_SET, HEADERS_ADD };

struct headers_edit {
	struct snap_ref name, value; // text
	struct snap_ref pieces;      // snap_piece; n = 0: the value is text
	uint32_t op;                 // enum headers_op
	uint32_t pad;
};

#define HEADERS_EDITS_MAX 16 // for each direction

struct headers_conf {
	struct snap_ref request, response; // struct headers_edit
};
