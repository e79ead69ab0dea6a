// What one run of the generator is to do.
#pragma once
#include "client.h"
#include <stdbool.h>
#include <stdint.h>

struct option_work {
	const char *method, *path;
	unsigned send, expect, status; // bytes of bodies: of requests, of answers
	unsigned share;
};

struct options {
	const char *wan, *lan; // memif sockets; lan may be missing: no backends
	unsigned cpu, memory;  // MiB for packets
	bool hugepages, random;
	enum client_close close;
	uint32_t gateway, client, lan_gateway, backend; // network order
	unsigned port, backends, backend_port;
	unsigned connections;
	double open_rate;
	unsigned patience;        // ms
	unsigned pipeline;        // requests sent at once on a connection
	const char *snapshot;     // of the gateway, where it is in the same thread
	unsigned null_rate;       // frames a second, in open loop: 0, as many as possible
	unsigned null, null_runs; // bytes of a frame, and how often: nothing but the null limit is measured
	const char *host, *field, *large, *sink;    // field: a further line of requests' heads
	unsigned respond;                           // bytes of backends' responses
	struct option_work work, mix[CLIENT_WORKS]; // without a mix, work is all
	unsigned n_mix;
};

// Exits with a message and 2 when they are wrong.
void options_read(struct options *o, int argc, char **argv);
