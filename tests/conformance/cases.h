// The table of requests.txt and responses.txt, whose format stands at the head of each.
#pragma once
#include "http/parse.h"

enum outcome {
	FORWARDED, // requests: written anew to the backend. Responses: relayed to the client
	REFUSED,   // with a status and a reason
	ANSWERED,  // requests: well-formed, but answered by the gateway itself
	CUT,       // requests: never complete. Responses: begun, and visibly not ended
};
enum listener { LISTENER_STRICT, LISTENER_LENIENT, LISTENER_SMALL, LISTENERS };
enum ending { END_STAYS, END_CLOSE, END_RESET };

#define CASE_FIELDS 8

struct testcase {
	const char *name, *rfc, *why;
	unsigned line;      // in its file
	struct slice bytes; // the message
	enum outcome outcome;
	enum listener listener; // requests: of which the message comes to
	uint16_t status;
	const char *reason;        // of faults.def; NULL: none
	const char *start;         // FORWARDED: the start line that the other side sees, CUT too for responses
	const char *host;          // requests: Host as forwarded
	enum http_framing framing; // of the forwarded message
	struct slice body;
	const char *has[CASE_FIELDS], *lacks[CASE_FIELDS]; // field lines, names
	const char *trailer[CASE_FIELDS]; // FORWARDED: field lines behind the body, these and no others
	unsigned n_has, n_lacks, n_trailers;
	bool closes;             // the connection it came on serves no more
	enum http_method method; // responses: of the request, which is of HTTP/1.minor
	uint8_t minor;
	bool te;            // which says TE: trailers
	enum ending ending; // responses: what the backend does behind the bytes
};

struct table {
	struct testcase *v;
	unsigned n;
};

// Ends the program where the file is not as it should be.
struct table table_read(const char *path);
// What the listener takes; the same in the parser's run and in the gateway's.
struct http_limits listener_limits(enum listener l);
enum http_fault fault_named(const char *reason);

struct tally {
	unsigned passed, failed;
};
// A case's verdict: what is NULL when all was as expected, and is printed else.
void verdict(struct tally *t, const struct testcase *c, const char *path, const char *what);
