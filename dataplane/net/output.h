// What both IP versions do alike when they send. Within net/ only.
#pragma once
#include "net/net.h"

// The ones' complement sum over the data of a chain, not complemented (RFC 1071).
uint64_t output_sum(const struct pkt *p);
// The same of one that may end with bytes whose sum is known.
uint64_t output_sum_with(const struct pkt *p, struct checksum_tail tail);
