// Trailer sections on their way through. Inside of gateway/ only.
#pragma once
#include "gateway/exchange.h"

// Ways, bits of x->trailers: those that may pass.
enum { TRAILERS_TO_UPSTREAM = 1, TRAILERS_TO_CLIENT = 2 };

// Of the request in g->head, on x->route. What http_drop_hop_by_hop() has dropped is still read.
void trailers_begin(struct exchange *x);
static inline bool trailers_due(const struct exchange *x, const struct http_head *h)
{
	return h->framing == FRAMING_CHUNKED || http_has(h, HDR_te) ||
	       x->route->trailers_response == TRAILERS_PASS;
}
// Adds what the upstream is told of them. false: no room left.
bool trailers_ask(struct exchange *x);
// The same for the client, of a response that goes to it chunked or not.
bool trailers_answer(struct exchange *x, bool chunked);
// A body stands at its trailers (http_body_trailers()). DONE: none passed; ENDED: they are sent, with all that
// ends the body.
enum relay trailers_relay(struct exchange *x, unsigned way);
