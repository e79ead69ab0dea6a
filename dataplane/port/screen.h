// Who wants to connect, read from the frame alone: for what is decided by the address before a packet is looked
// at by any layer. A pure function over bytes.
#pragma once
#include "base/addr.h"

// True: the frame of n bytes holds a SYN without ACK, and its sender is in *source. What is cut off, fragmented
// or has extension headers is not recognised: the layers above see it.
bool screen_syn(const char *frame, uint32_t n, struct addr *source);
