// Which worker owns a flow. Pure functions of the packet's bytes and addresses.
//
// STEER_ONE: a single worker.
// STEER_RSS: the driver hashes with Toeplitz under a known key and an indirection table that we set; the same
//   computation in software says where the answer to an upstream connection will arrive.
// STEER_PORTBITS: no RSS. Towards one of our ephemeral ports (STEER_EPHEMERAL and up) the owner is port mod
//   workers; else it is a hash of the remote end. Packets that arrive on another worker's queue are handed
//   over.
// Fragments, and IPv6 packets with extension headers, have an owner by their sender's address alone, who puts
// them together and hands on what comes out. An ICMP error is of the owner of the connection whose segment it
// quotes. What is neither that nor TCP belongs to the worker that received it.
#pragma once
#include "base/addr.h"
#include <stdbool.h>
#include <stdint.h>

enum steer_kind { STEER_ONE, STEER_RSS, STEER_PORTBITS };

#define STEER_EPHEMERAL 16384 // our local ports towards upstreams: 16384..65535; listeners stay below
#define STEER_KEY       40
#define STEER_RETA      512

struct steer {
	enum steer_kind kind;
	uint16_t workers;
	uint16_t reta_size;     // STEER_RSS
	uint8_t key[STEER_KEY]; // STEER_RSS
	uint16_t reta[STEER_RETA];
};

// Toeplitz hash of the input under key (n <= 36 bytes), as RSS of the NDIS specification computes it.
uint32_t steer_toeplitz(const uint8_t key[STEER_KEY], const uint8_t *in, unsigned n);
// The owner of the flow remote → local (ports in host order).
unsigned steer_flow(const struct steer *s, struct addr remote, struct addr local, uint16_t remote_port,
		    uint16_t local_port);
// The owner of a received frame (Ethernet upwards, n bytes); `self` for what is not steered.
unsigned steer_frame(const struct steer *s, const char *frame, uint32_t n, unsigned self);
// ICMP or ICMPv6: what the device may have brought to another worker than its flow's.
bool steer_is_icmp(const char *frame, uint32_t n);
