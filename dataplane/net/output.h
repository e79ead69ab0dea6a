// What both IP versions do alike when they send. Within net/ only.
#pragma once
#include "net/net.h"

// The ones' complement sum over the data of a chain, not complemented (RFC 1071).
uint64_t output_sum(const struct pkt *p);
