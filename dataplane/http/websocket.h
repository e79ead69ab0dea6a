// WebSocket's opening handshake as HTTP sees it (RFC 6455 4): what a request must say, and the answer that
// shows that it was understood. Frames are nobody's business here. Pure functions over a parsed head.
#pragma once
#include "http/head.h"

#define WEBSOCKET_ACCEPT 28 // bytes of a Sec-WebSocket-Accept

enum websocket_request {
	WEBSOCKET_NONE,        // asks for no WebSocket
	WEBSOCKET_OK,          // does, rightly
	WEBSOCKET_BAD_KEY,     // Sec-WebSocket-Key missing, twice, or not 16 bytes in base64
	WEBSOCKET_BAD_VERSION, // Sec-WebSocket-Version is not 13
	WEBSOCKET_BAD_METHOD,  // not a GET
};

// Upgrade is read even where it was dropped as a field of this hop; the others count where they were not.
enum websocket_request websocket_request(struct http_head *h, char accept[static WEBSOCKET_ACCEPT]);
// Does a 101 agree to what was asked for (RFC 6455 4.1): Upgrade, Connection and accept?
bool websocket_response(struct http_head *h, const char accept[static WEBSOCKET_ACCEPT]);
