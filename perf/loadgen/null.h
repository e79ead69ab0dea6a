// The null limit: frames that circulate over one port as fast as the other side sends them back without looking
// at them (dpdk-testpmd). What the path between two processes costs with no gateway in it.
#pragma once
#include "link.h"

struct null_conf {
	uint32_t bytes;  // of a frame, with its Ethernet header and without a checksum: 60 to 1514
	unsigned flight; // frames under way
	unsigned runs;   // of seconds each, after one that does not count
	double rate;     // a second, in open loop; 0: as many as possible
	double seconds;
	double hz; // ticks a second
};

// Frames a second that came back in each run, as one line of JSON on standard output; -ENODEV: the other side
// sends nothing back.
// With a rate: what the frames took from when they were due, over rounds in which nobody else had a CPU of ours
// (watch.h); the line "watch THREAD PROCESS 0" is read from standard input before them.
int null_play(const struct null_conf *conf, struct link *l);
