// Records on the rings between control and the workers (see region.h). Plain C structs, one machine.
#pragma once
#include "base/addr.h"
#include <stdint.h>

enum record_type { REC_CMD = 1, REC_REPLY, REC_REPLY_END, REC_ACCESS, REC_MESSAGE, REC_BLOCK };

enum worker_cmd { CMD_LIST_CONNS = 1, CMD_LIST_NEIGH };

struct rec_cmd {
	uint32_t epoch;  // control_epoch of the asker, echoed in answers
	uint32_t id;     // echoed
	uint32_t cmd;    // enum worker_cmd
	uint32_t limit;  // records at most
	uint64_t cursor; // where to go on, 0 at first
};

struct rec_reply_end {
	uint32_t epoch, id;
	uint64_t cursor; // 0: complete
};

struct rec_conn {
	uint32_t epoch, id;
	struct addr local, remote;
	struct addr client; // who is behind it; all zero: an upstream
	uint16_t local_port, remote_port;
	uint8_t state; // enum tcp_state
	uint8_t side;  // bit 0: upstream, else client; bit 1: it is an end of a tunnel
	uint16_t port;
	uint64_t age_ns, idle_ns;
	uint64_t bytes_in, bytes_out;
	uint32_t queued_in, queued_out; // buffer bytes held
	uint32_t srtt_us, rto_us, cwnd, retransmits;
	uint8_t congestion, ecn; // enum snap_congestion; ECN agreed on
	uint16_t mss;
	uint32_t window; // bytes that it may hold unread
};

struct rec_access {
	uint64_t realtime_ns;
	struct addr client;
	uint16_t client_port;
	uint16_t status;
	uint32_t route_slot;
	uint32_t upstream_slot; // 0: answered here
	uint32_t duration_us;
	uint64_t bytes_in, bytes_out; // of bodies
	char request_id[32];
	uint16_t method_n, path_n; // of text
	char text[256];            // method, then path, cut to fit
};

struct rec_block { // an address that a rate limit blocks, to be put onto the deny list
	struct addr addr;
	uint64_t until; // CLOCK_MONOTONIC, ns
	uint32_t len, pad;
	char limit[64]; // its name, ends with NUL
};

struct rec_message {
	uint64_t realtime_ns;
	uint32_t level;
	uint32_t n;
	char text[240];
};
