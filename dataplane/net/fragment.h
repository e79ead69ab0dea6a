// Datagrams of ours that do not fit: answers to large echo requests, nothing else. TCP never sends such.
// Within net/ only.
#pragma once
#include "net/net.h"

#define FRAGMENTS_MAX 32

// Copies a datagram's payload to fresh buffers of `each` bytes (a multiple of 8), each with headroom. How many;
// 0, counted: it is too long, or there are no buffers. p stays the caller's.
unsigned fragment_split(struct net *n, const struct pkt *p, uint32_t each, struct pkt *out[FRAGMENTS_MAX]);
// RFC 7739 5.3: not to be foretold by others, and rising for each pair of addresses.
uint32_t fragment_id(struct net *n, struct addr local, struct addr remote);
