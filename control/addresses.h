// The lists of denied and allowed addresses: what the configuration and its files say, and what is done by hand
// and by rate limits.
#pragma once
#include "config.h"

// Reads the files of deny and allow, each line an address or a prefix, '#' to the end of a line a comment.
void check_addresses(struct config *c);
// "198.18.0.1", "198.18.0.0/16", "2001:db8::/32"; *len counts the 96 bits in front of an IPv4 address, too.
// false with a reason, also where bits behind the prefix are not 0.
bool address_network(const char *s, struct addr *a, uint32_t *len, const char **why);
