// SHA-1 (RFC 3174), for what protocols prescribe it for, such as WebSocket's handshake (RFC 6455 4.2.2). It
// proves nothing about who made a text: use it for no signature.
#pragma once
#include "base/slice.h"
#include <stdint.h>

void sha1(struct slice text, uint8_t out[static 20]);
