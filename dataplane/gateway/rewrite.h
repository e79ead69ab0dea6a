// Rewriting of requests and redirects by templates.
#pragma once
#include "gateway/exchange.h"
#include "http/template.h"

struct rewrite_values {
	struct template_values values;
	char client[ADDR_TEXT_MAX];
};

// What templates are filled with, of the request in g->head.
void rewrite_values(struct exchange *x, struct rewrite_values *r);
// The route's rewrite of g->head. 0, or the status to answer with: what came out is no path or host, or too
// long.
uint16_t rewrite_request(struct exchange *x);
// Where the route redirects to; before the request's head is given away. n = 0: there is no room for it.
struct slice rewrite_location(struct exchange *x);
// Values that stages keep for the response, as long as the exchange lives. false: no buffer.
bool rewrite_keep(struct exchange *x, struct slice values);
struct slice rewrite_kept(const struct exchange *x);
