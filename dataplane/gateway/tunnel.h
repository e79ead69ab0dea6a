// Tunnels: exchanges whose bodies have no framing, both ways, until both ends have closed (RFC 9110 7.8 and
// 9.3.6). A WebSocket begins as a request that is forwarded and ends being one with a 101; CONNECT opens a
// connection of its own to an endpoint and begins with our 200. Inside of gateway/ only.
//
// The record is all that is kept of the configuration: no generation is pinned by an open tunnel.
#pragma once
#include "gateway/exchange.h"
#include "http/websocket.h"

enum tunnel_kind { TUNNEL_WEBSOCKET, TUNNEL_CONNECT };

struct tunnel {
	uint64_t idle;                 // ns without a byte either way, then it ends; 0: never
	uint64_t moved;                // when the last byte was
	uint64_t took;                 // ns from the request to the tunnel
	uint32_t queued;               // bytes that both sides had not acknowledged when the timer was set
	uint8_t kind;                  // enum tunnel_kind
	bool open;                     // else the request is still one
	bool up_done;                  // the client has ended its direction, and the upstream was told
	bool down_done;                // the same the other way
	char accept[WEBSOCKET_ACCEPT]; // that the 101 must have
};

// A request of a route that takes tunnels, which asks for one. False: it is answered, x is gone.
bool tunnel_ask(struct exchange *x);
// CONNECT, in place of forwarding a head.
void tunnel_connect(struct exchange *x, uint32_t head_length);
// Its connection stands. False: the exchange has ended.
bool tunnel_connected(struct attempt *a);
// The upstream's 101 in g->head: does it agree? Then it is passed on, and the tunnel is open. 0; or -EBADMSG,
// or -ENOBUFS with nothing sent.
int tunnel_switch(struct attempt *a);
// No tunnel comes of it: what the client may have sent for one is not read as a request.
void tunnel_decline(struct exchange *x);
// Moves what can be moved. False: the tunnel has ended, x is gone.
bool tunnel_pump(struct exchange *x);
void tunnel_timer(struct exchange *x);
// When the next look is due; UINT64_MAX: never.
uint64_t tunnel_due(const struct exchange *x);
// Ends those that are open, in order.
void tunnels_end(struct gateway *g);
// Fields and Connection of a response to a request that asked for a tunnel; true where they are to be added.
bool tunnel_response(const struct exchange *x, struct http_head *h, struct slice *connection);
void tunnel_free(struct exchange *x);

static inline bool tunnel_is_open(const struct exchange *x)
{
	return x->tunnel && x->tunnel->open;
}
