// What one run of the generator is to do.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *wan, *lan; // memif sockets; lan may be missing: no backends
	unsigned cpu, memory;  // MiB for packets
	bool hugepages, per_request;
	uint32_t gateway, client, lan_gateway, backend; // network order
	unsigned port, backends, backend_port;
	unsigned connections;
	double rate;
	const char *method, *host, *path;
	unsigned send, expect, status,
		respond; // bytes of bodies: of requests, of answers, of backends' responses
	double warmup, seconds;
	unsigned runs;
};

// Exits with a message and 2 when they are wrong.
void options_read(struct options *o, int argc, char **argv);
