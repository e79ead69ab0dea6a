// The null limit: frames that circulate over one port as fast as the other side sends them back without looking
// at them (dpdk-testpmd). What the path between two processes costs with no gateway in it.
#pragma once
#include "link.h"

struct null_conf {
	uint32_t bytes;  // of a frame, with its Ethernet header and without a checksum: 60 to 1514
	unsigned flight; // frames under way
	unsigned runs;   // of seconds each, after one that does not count
	double seconds;
	double hz; // ticks a second
};

// Frames a second that came back in each run, as one line of JSON on standard output; -ENODEV: the other side
// sends nothing back.
int null_play(const struct null_conf *conf, struct link *l);
