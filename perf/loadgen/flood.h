// Packets that belong to no connection, at fixed rates: SYNs with the options that clients send, and bare ACKs,
// RSTs, FINs and UDP; and frames of a protocol that nobody knows, which are dropped first thing. Their sources
// are random addresses of a prefix, which the peer reaches through a router that is us; or, aimed, those of the
// good clients.
#pragma once
#include "link.h"
#include "schedule.h"

enum flood_kind { FLOOD_SYN, FLOOD_ACK, FLOOD_RST, FLOOD_FIN, FLOOD_UDP, FLOOD_UNKNOWN, FLOODS };
extern const char *const flood_name[FLOODS];

struct flood_conf {
	uint32_t server; // network order
	uint16_t port;
	uint32_t from, mask;                // prefix of the sources, host order
	uint32_t good, addresses, per_each; // the good clients: first address, how many, ports of each
	uint16_t good_port;                 // their first one
	double hz;
};

struct flood {
	struct flood_conf conf;
	struct link *link;
	struct schedule due[FLOODS];
	char frame[FLOODS][80]; // what all of a kind have in common
	unsigned n[FLOODS];
	uint64_t ip_sum[FLOODS], l4_sum[FLOODS];
	uint64_t random;
	bool aim;
	uint64_t sent[FLOODS], missed; // missed: due, but there was no room or time for it
	uint64_t synack, rst, other;   // what came back to sources that are nobody's
};

void flood_init(struct flood *f, const struct flood_conf *conf, struct link *l);
// Packets a second of each kind from now on.
void flood_start(struct flood *f, uint64_t now, const double rate[FLOODS], bool aim);
// Whether there was anything to do.
bool flood_turn(struct flood *f, uint64_t now);
// A segment that came to one of its sources.
void flood_input(struct flood *f, const struct segment *s);
