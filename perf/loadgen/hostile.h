// Clients that mean ill: complete connections that hold the peer's memory or make it work. Each of them acts in
// turn, at a fixed rate of all together; one that the peer has ended is opened anew when its turn comes.
#pragma once
#include "link.h"
#include "schedule.h"

enum hostile_kind {
	HOSTILE_NONE,
	SLOW_READ,    // asks for much and reads a segment's worth each time
	ZERO_WINDOW,  // asks for much and shuts its window
	ONE_BYTE,     // sends its requests in segments of one byte
	SACK_SPLIT,   // acknowledges nothing but many small ranges, other ones each time
	OUT_OF_ORDER, // sends bytes between which others are missing
	SLOW_HEAD,    // a head that does not end, a byte each time
	SLOW_BODY,    // the same with a body
	HOSTILE_KINDS
};
// HOSTILE_NONE: there is no such kind.
enum hostile_kind hostile_kind(const char *name);

#define HOSTILES_MAX      65536u
#define HOSTILE_ADDRESSES 64u

struct hostile_conf {
	uint32_t server, base; // network order; host order: the first of their addresses
	uint16_t port;
	const char *path, *large, *sink; // paths: of a small and of a large answer, and one that takes bodies
	double hz;
};

struct hostile_conn;
struct hostile {
	struct hostile_conf conf;
	struct link *link;
	enum hostile_kind kind;
	struct hostile_conn *conn;
	uint32_t n, cursor, isn;
	struct schedule due;
	uint32_t now_ms, text_n;
	char text[512];
	uint64_t opened, established, acted, bytes, answers; // answers: with status 200
	uint64_t ended, reset;                               // by the peer: with FIN, with RST
	uint32_t open;                                       // now
};

// 0 or -ENOMEM.
int hostile_init(struct hostile *h, const struct hostile_conf *conf, struct link *l);
void hostile_start(struct hostile *h, uint64_t now, enum hostile_kind kind, unsigned n, double acts);
void hostile_stop(struct hostile *h); // RST to all
bool hostile_turn(struct hostile *h, uint64_t now, uint32_t ms);
void hostile_input(struct hostile *h, const struct segment *s);
