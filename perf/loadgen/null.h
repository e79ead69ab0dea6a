// The null limit: frames that somebody sends back over one port without looking at them (dpdk-testpmd). What
// the path between two processes can carry and what it takes, with no gateway in it.
#pragma once
#include "link.h"

struct null_conf {
	uint32_t bytes;  // of a frame, with its Ethernet header and without a checksum: 60 to 1514
	unsigned flight; // frames under way, where there is no rate
	unsigned runs;   // rounds that are to count, at most 100
	double rate;     // frames a second in open loop; 0: as many as come back
	double seconds;  // of a round
	double hz;       // ticks a second
};

// Waits until frames come back, then for the line "watch THREAD PROCESS CPU" of standard input: who sends them
// back. Then rounds, by the same rule as those of phases. One line of JSON on standard output: frames a second,
// and what they took from when they were due (without a rate: nothing). 0, or -ENODEV: nothing comes back;
// -EINVAL, -errno: there is nobody to watch.
int null_play(const struct null_conf *conf, struct link *l);
