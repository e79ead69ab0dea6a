// Requests of one client go to the same target of their route, and to the same endpoint: while that is usable.
#pragma once
#include "gateway/exchange.h"

// What the request in g->head sticks to, kept in the exchange. The route is sticky.
void sticky_ask(struct exchange *x);
// Which of the route's targets it sticks to, of the n whose weights are w; -1: it may be any.
int sticky_target(const struct exchange *x, const uint32_t *w, uint32_t n);
// Tells the client its endpoint, where it does not know it yet. false: no room.
bool sticky_answer(struct exchange *x, struct http_head *h);
