// Texts with variables (snap_piece): what control has cut into pieces is put together for one request.
//
// What a request brings is taken as it was received, nothing decoded, and written so that it stays what it
// stands for where it goes: in a field no byte is a control character; in a path or a query whatever has a
// meaning there is percent-encoded, what is percent-encoded already (paths, queries and their parts) stays so.
// A slash stays one just where whole paths and captures of them are put in. What the request lacks is empty.
#pragma once
#include "contract/snapshot.h"
#include "http/head.h"

struct template_values {
	const struct snapshot *snapshot;
	const struct http_head *head; // of the request
	struct slice client;          // its address as text
	struct slice request_id;
	struct slice listener;       // name
	const struct slice *capture; // of the route's path
	uint32_t n_captures;
	struct slice rest; // of the path, behind the route's prefix
};

// Writes the text to dst. Its length; -1: there is not so much room.
int template_expand(const struct template_values *v, struct snap_ref pieces, char *dst, size_t room);
