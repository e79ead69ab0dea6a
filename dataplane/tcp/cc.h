// Congestion control: how large the window is. When it is asked is decided by loss.c; what was lost, too.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct tcp_conn;

struct cc_ops {
	const char *name;
	// The connection is established, its mss known.
	void (*init)(struct tcp_conn *c);
	// `bytes` were acknowledged outside of recovery, of `flight` that were under way.
	void (*acked)(struct tcp_conn *c, uint32_t bytes, uint32_t flight, uint64_t now);
	// A loss was found, by a timeout or sooner, with `flight` bytes under way: the new slow start
	// threshold.
	uint32_t (*lost)(struct tcp_conn *c, uint32_t flight, bool timeout);
	// Nothing was sent for longer than one RTO (RFC 5681 4.1).
	void (*idle)(struct tcp_conn *c);
};

#define CWND_MAX (1u << 30) // bytes; ssthresh as long as nothing was lost

extern const struct cc_ops cc_cubic, cc_newreno;

uint32_t cc_initial_window(uint32_t mss); // RFC 6928
