#include "conformance/noted.h"
#include "gateway/exchange.h"

#define CLIENTS 3

enum how { BY_US, BY_PEER, HOWS };

static const char request[] = "GET /prepared HTTP/1.1\r\nHost: a\r\n\r\n";

static void end(struct gateway *g, struct tcp_conn *c, enum how how)
{
	if (how == BY_US)
		client_cut(g, c);
	else
		client_event(g, c, tcp_user(c), EV_ERROR);
}

static unsigned answers(const struct peer *p)
{
	const char *at = p->bytes, *stop = at + p->n;
	unsigned n = 0;

	for (; (at = memmem(at, (size_t)(stop - at), "HTTP/1.1 ", 9)); at++)
		n++;
	return n;
}

// Three clients ask in one burst; the connection of the nth is at its end before they are decided.
static const char *one_ends(struct bed *b, struct peer client[CLIENTS], unsigned nth, enum how how)
{
	struct gateway *g = b->worker.gateway;

	for (unsigned i = 0; i < CLIENTS; i++) {
		if (!bed_connect(b, LISTENER_STRICT))
			return "cannot connect";
		client[i].c = b->client.c;
		tcp_set_user(client[i].c, &client[i]);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		if (!bed_say(b, &client[i], slice_of(request, sizeof(request) - 1)))
			return "cannot ask";
	bed_turn(b);                          // they leave
	b->now = wire_time(&b->wire) + 20000; // and all have come
	bed_receive(b);
	if (!tcp_dispatch(b->worker.tcp) || g->n_noted != CLIENTS)
		return "they are not noted";
	end(g, g->noted[nth].c, how);
	gateway_decide(g);
	if (g->n_noted)
		return "some are noted still";
	tcp_flush(b->worker.tcp);
	bed_settle(b);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (answers(&client[i]) != (i != nth))
			return i == nth ? "who is gone is answered" : "another is not answered, once";
	return b->violation;
}

const char *noted_run(struct bed *b)
{
	static struct peer client[CLIENTS];
	const char *what = NULL;

	for (enum how how = 0; how < HOWS && !what; how++)
		for (unsigned nth = 0; nth < CLIENTS && !what; nth++) {
			memset(client, 0, sizeof(client));
			bed_case(b);
			what = one_ends(b, client, nth, how);
			for (unsigned i = 0; i < CLIENTS; i++)
				if (client[i].c)
					tcp_abort(client[i].c);
			b->client.c = NULL;
			bed_hang_up(b);
		}
	return what;
}
