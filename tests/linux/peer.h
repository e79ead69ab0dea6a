// One end of a transfer: the kernel's TCP or ours, behind the same few calls.
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct peer_conf {
	const char *device;            // ours: where the frames come and go
	char local[INET6_ADDRSTRLEN];  // ours: its address
	char remote[INET6_ADDRSTRLEN]; // empty: listen
	uint16_t port;
	bool newreno;
	uint32_t buffer; // bytes of each queue; 0: the stack's default
};

struct peer_ops {
	// Connects, or waits for one to come.
	void (*open)(const struct peer_conf *conf);
	// Waits until something can be moved. 0: the end of what the other end sends. Dies on errors.
	size_t (*read)(void *buf, size_t n);
	size_t (*write)(const void *buf, size_t n);
	void (*shutdown)(void); // no more will be sent
	// After both ends have finished: waits until the other end knows.
	void (*close)(void);
	// What the stack tells of itself, in a line; may be empty.
	void (*report)(char *text, size_t size);
};

extern const struct peer_ops peer_kernel, peer_library;

_Noreturn void peer_die(const char *what, int error);
uint64_t peer_now(void); // ns
