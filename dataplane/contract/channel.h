// The channel between control and the data plane: a SOCK_SEQPACKET Unix socket in the instance's directory,
// on which the data plane's housekeeping thread listens; control connects, one connection at a time (a newer
// one replaces the older). Each message is one packet: struct channel_msg, with descriptors where said.
// Descriptors are checked (seals, size) before use; an unknown type or a wrong size closes the connection.
#pragma once
#include <stdint.h>

#define CHANNEL_MAGIC  0x43474331u // "CGC1"
#define CHANNEL_SOCKET "dataplane.sock"

enum channel_type {
	// data plane → control, on connect. state says which; with one descriptor (the running snapshot) when
	// state is CHANNEL_RUNNING.
	CHANNEL_HELLO = 1,
	// control → data plane, once in its life, in answer to CHANNEL_WAITING: region, the four statistics
	// arrays and the first snapshot: 6 descriptors in this order.
	CHANNEL_START,
	// control → data plane: another snapshot, 1 descriptor. Answered by PUBLISHED or REFUSED.
	CHANNEL_PUBLISH,
	// data plane → control: all workers run `generation` (after START: ports are up and workers run).
	CHANNEL_PUBLISHED,
	// data plane → control: text says why; nothing has changed.
	CHANNEL_REFUSED,
	// control → data plane: stop taking connections and requests, finish within `generation` ns, exit.
	CHANNEL_SHUTDOWN,
	// data plane → control: something to be logged; text.
	CHANNEL_LOG,
	// control → data plane: give each worker a look at its command ring.
	CHANNEL_KICK,
	// The memory of the packet buffers, 1 descriptor, where it is ordinary memory. The data plane passes it
	// to
	// control once it runs, and after a HELLO that says so; control only keeps it, and passes it to a data
	// plane that waits, before START: its pages are then there already, and a restart takes a fraction of
	// the time. Without it, or with another size than is needed, new memory is made.
	CHANNEL_MEMORY,
	// The table of rate limits (contract/limit_table.h), 1 descriptor. Control makes it and passes it
	// before
	// START; the data plane passes it back after its HELLO, for a control that was started again meanwhile.
	CHANNEL_LIMITS,
	// The same with the list of denied and allowed addresses (contract/address_list.h).
	CHANNEL_ADDRESSES,
};

enum channel_state { CHANNEL_WAITING, CHANNEL_RUNNING };

struct channel_msg {
	uint32_t magic;
	uint16_t type;
	uint16_t state;
	uint64_t generation;
	uint64_t pid;
	char text[240];
};
